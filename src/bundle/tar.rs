//! Headers of a tar archive (POSIX.1-1988 `ustar`): regular files with one name, owner and time.
//!
//! A reader of archives has to decide a hundred questions; here there are none. What is read is
//! taken apart, made anew, and has to be the same to the byte.

/// Headers and contents come in pieces of this.
pub(super) const BLOCK: usize = 512;

const NAME: usize = 100;

/// The header of a member; its name has at most 100 bytes.
pub(super) fn header(name: &str, bytes: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, &name.as_bytes()[..name.len().min(NAME)]);
    put(NAME, b"0000600\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{bytes:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    // While it is summed up, the sum counts as blanks.
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Name and length of a member; `None` if this is not exactly how it would have been written.
pub(super) fn parse(block: &[u8; BLOCK]) -> Option<(String, u64)> {
    let name = block[..NAME].split(|byte| *byte == 0).next()?;
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    let bytes = std::str::from_utf8(&block[124..135]).ok()?;
    let bytes = u64::from_str_radix(bytes, 8).ok()?;
    (header(name, bytes) == *block).then(|| (name.to_owned(), bytes))
}

/// Zeros behind a content, up to the next block.
pub(super) fn padding(bytes: u64) -> usize {
    let over = usize::try_from(bytes % BLOCK as u64).unwrap_or(0);
    if over == 0 { 0 } else { BLOCK - over }
}

/// Zeros behind the last member.
pub(super) const END: usize = 2 * BLOCK;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reads_back_and_no_other_is_taken() {
        for (name, bytes) in
            [("a", 0), ("records/00000001", 4_194_304), (&"x".repeat(100), 1 << 32)]
        {
            let good = header(name, bytes);
            assert_eq!(parse(&good), Some((name.to_owned(), bytes)));
            for bit in 0..BLOCK * 8 {
                let mut bad = good;
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(parse(&bad), Some((name.to_owned(), bytes)), "bit {bit}");
            }
        }
        assert_eq!(parse(&[0; BLOCK]), None);
        assert_eq!((padding(0), padding(1), padding(512), padding(513)), (0, 511, 0, 511));
    }
}
