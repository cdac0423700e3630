//! The seal: a skippable frame of zstd behind the archive, with the blake3 of all bytes before it.
//!
//! ```text
//! 0x184D2A5A 4 │ 40 4 │ "jrbseal1" 8 │ blake3 32         integers are little-endian
//! ```
//! Source: RFC 8878, section 3.1.2. Decompressors skip it.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::error::BundleError;

const MAGIC: u32 = 0x184D_2A5A;
const NAME: &[u8; 8] = b"jrbseal1";
const BODY: usize = NAME.len() + 32;
/// Bytes of the whole frame.
pub(super) const BYTES: usize = 8 + BODY;

fn frame(hash: &blake3::Hash) -> [u8; BYTES] {
    let mut frame = [0; BYTES];
    frame[..4].copy_from_slice(&MAGIC.to_le_bytes());
    frame[4..8].copy_from_slice(&u32::try_from(BODY).unwrap_or(0).to_le_bytes());
    frame[8..16].copy_from_slice(NAME);
    frame[16..].copy_from_slice(hash.as_bytes());
    frame
}

/// Writes bytes through and remembers what they come to.
#[derive(Debug)]
pub(super) struct Sealing<W> {
    to: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Sealing<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, hasher: blake3::Hasher::new() }
    }

    /// Writes the seal.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.to.write_all(&frame(&self.hasher.finalize()))?;
        self.to.flush()?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Checks all bytes of a file against its seal; how many there are before it.
pub(super) fn check(path: &Path, file: &File) -> Result<u64, BundleError> {
    let io = |error| BundleError::io("read", path)(error);
    let length = file.metadata().map_err(io)?.len();
    let body = length.checked_sub(BYTES as u64).ok_or(BundleError::NoSeal)?;
    let mut found = [0; BYTES];
    let io = |error| BundleError::io("read", path)(error);
    file.read_exact_at(&mut found, body).map_err(io)?;
    if found[..16] != frame(&blake3::hash(b""))[..16] {
        return Err(BundleError::NoSeal);
    }
    let mut hasher = blake3::Hasher::new();
    let (mut buffer, mut at) = (vec![0; 1 << 20], 0);
    while at < body {
        let wanted = usize::try_from(body - at).unwrap_or(buffer.len()).min(buffer.len());
        let io = |error| BundleError::io("read", path)(error);
        file.read_exact_at(&mut buffer[..wanted], at).map_err(io)?;
        hasher.update(&buffer[..wanted]);
        at += wanted as u64;
    }
    if found == frame(&hasher.finalize()) { Ok(body) } else { Err(BundleError::Seal) }
}
