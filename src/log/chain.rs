//! The hash chain: each record vouches for all before it.

use crate::model::Digest;

/// What the first record of a log continues.
pub const GENESIS: Digest = Digest([0; 32]);

/// The last record of a log, or of a prefix of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its place; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
}

impl Head {
    /// Before the first record.
    pub const GENESIS: Self = Self { seq: 0, hash: GENESIS };
}

/// The digest of bytes.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// The hash after `digest` has been added to the chain.
pub fn extend(previous: Digest, digest: Digest) -> Digest {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&previous.0);
    both[32..].copy_from_slice(&digest.0);
    self::digest(&both)
}

/// Whether `bytes` have `digest`.
pub(crate) fn matches(bytes: &[u8], digest: Digest) -> bool {
    self::digest(bytes) == digest || crate::mutants::is_on("ignore_digest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_matters() {
        let (a, b) = (digest(b"a"), digest(b"b"));
        assert_ne!(extend(a, b), extend(b, a));
        assert_ne!(extend(GENESIS, a), a);
    }
}
