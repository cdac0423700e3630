//! Bytes of stored values: bincode's documented wire format, little-endian with varints.
//!
//! The only file that names the crate. Its bytes are cross-checked with a second implementation in
//! `tests/log_codec.rs`, so leaving the crate changes this file and no stored byte.

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use bincode::de::read::Reader;
use bincode::error::DecodeError as Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits;

/// What [`decode_large`] takes: checkpoints and snapshots, which grow with what is live.
const LARGE_BYTES: usize = 1 << 30;

type Small = Configuration<LittleEndian, Varint, Limit<{ limits::PAYLOAD_BYTES }>>;
type Large = Configuration<LittleEndian, Varint, Limit<LARGE_BYTES>>;

fn small() -> Small {
    config::standard().with_limit::<{ limits::PAYLOAD_BYTES }>()
}

fn large() -> Large {
    config::standard().with_limit::<LARGE_BYTES>()
}

/// Why bytes are not the value that they were taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct DecodeError {
    /// How many bytes had been read; with [`DecodeReason::TrailingBytes`], where they begin.
    pub offset: usize,
    /// What is wrong there.
    pub reason: DecodeReason,
}

/// What is wrong with bytes that were to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeReason {
    /// They stop inside the value.
    #[error("the bytes end inside the value")]
    UnexpectedEnd,
    /// The value is whole and bytes are left.
    #[error("{0} bytes are left over")]
    TrailingBytes(usize),
    /// A length in them is above the limit.
    #[error("a length is above the limit")]
    TooLarge,
    /// An enum has no such variant.
    #[error("no such variant")]
    UnknownVariant,
    /// Text is not UTF-8.
    #[error("text that is not UTF-8")]
    NotText,
    /// A number, flag or name that cannot be.
    #[error("a value out of its range")]
    OutOfRange,
    /// A field that no longer fits its meaning; which one.
    #[error("a field that cannot be: {0}")]
    BadField(&'static str),
}

/// The bytes of `value`.
///
/// # Panics
/// Only if a `Serialize` implementation fails or hides its length, which no stored type does.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes);
    bytes
}

/// Appends the bytes of `value`; returns how many.
///
/// # Panics
/// As [`encode`].
pub fn encode_into<T: Serialize + ?Sized>(value: &T, bytes: &mut Vec<u8>) -> usize {
    bincode::serde::encode_into_std_write(value, bytes, config::standard())
        .expect("stored types serialise, and a Vec takes all bytes")
}

/// The value whose bytes are exactly `bytes`, at most [`limits::PAYLOAD_BYTES`] of them.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    match bincode::serde::decode_from_slice(bytes, small()) {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok((_, read)) => Err(trailing(bytes, read)),
        Err(error) => Err(located::<T>(bytes, &error)),
    }
}

/// As [`decode`] for what may be larger than a payload.
pub fn decode_large<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    match bincode::serde::decode_from_slice(bytes, large()) {
        Ok((value, read)) if read == bytes.len() => Ok(value),
        Ok((_, read)) => Err(trailing(bytes, read)),
        Err(error) => Err(DecodeError { offset: 0, reason: reason(&error) }),
    }
}

fn trailing(bytes: &[u8], offset: usize) -> DecodeError {
    DecodeError { offset, reason: DecodeReason::TrailingBytes(bytes.len() - offset) }
}

fn reason(error: &Error) -> DecodeReason {
    match error {
        Error::UnexpectedEnd { .. } => DecodeReason::UnexpectedEnd,
        Error::LimitExceeded | Error::OutsideUsizeRange(_) => DecodeReason::TooLarge,
        Error::UnexpectedVariant { .. } => DecodeReason::UnknownVariant,
        Error::Utf8 { .. } => DecodeReason::NotText,
        _ => DecodeReason::OutOfRange,
    }
}

/// Decodes once more, slowly, to learn where it stopped.
fn located<T: DeserializeOwned>(bytes: &[u8], error: &Error) -> DecodeError {
    let mut reader = Counted { rest: bytes };
    drop(bincode::serde::decode_from_reader::<T, _, _>(&mut reader, small()));
    DecodeError { offset: bytes.len() - reader.rest.len(), reason: reason(error) }
}

struct Counted<'a> {
    rest: &'a [u8],
}

impl Reader for &mut Counted<'_> {
    fn read(&mut self, wanted: &mut [u8]) -> Result<(), Error> {
        let Some((head, rest)) = self.rest.split_at_checked(wanted.len()) else {
            return Err(Error::UnexpectedEnd { additional: wanted.len() - self.rest.len() });
        };
        wanted.copy_from_slice(head);
        self.rest = rest;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_slice_must_be_consumed() {
        let bytes = encode(&(7_u64, "name".to_owned()));
        assert_eq!(decode::<(u64, String)>(&bytes), Ok((7, "name".to_owned())));
        let mut longer = bytes.clone();
        longer.push(0);
        let error = decode::<(u64, String)>(&longer).expect_err("one byte is left");
        assert_eq!(error, DecodeError { offset: 6, reason: DecodeReason::TrailingBytes(1) });
    }

    #[test]
    fn an_error_says_where() {
        let bytes = encode(&(7_u64, "name".to_owned(), true));
        for cut in 0..bytes.len() {
            let error = decode::<(u64, String, bool)>(&bytes[..cut]).expect_err("cut");
            assert_eq!(error.reason, DecodeReason::UnexpectedEnd, "{cut}");
            assert!(error.offset <= cut);
        }
        let mut bad = bytes;
        bad[6] = 9;
        let error = decode::<(u64, String, bool)>(&bad).expect_err("not a bool");
        assert_eq!(error, DecodeError { offset: 7, reason: DecodeReason::OutOfRange });
    }

    #[test]
    fn a_huge_length_allocates_nothing() {
        let mut bytes = vec![253];
        bytes.extend_from_slice(&(u64::MAX >> 1).to_le_bytes());
        let error = decode::<Vec<String>>(&bytes).expect_err("no such vector");
        assert_eq!(error.reason, DecodeReason::UnexpectedEnd);
        let error = decode::<String>(&bytes).expect_err("no such string");
        assert_eq!(error.reason, DecodeReason::TooLarge);
    }
}
