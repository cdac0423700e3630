//! One stored record, to the byte. All integers are little-endian.
//!
//! ```text
//! whole:   format 1 │ kind 2 │ version 2 │ seq 8 │ time 8 │ cause 1|21 │ payload n │ trailer
//! pruned:  format 1 │ kind 2 │ version 2 │ seq 8 │                                 │ trailer
//! trailer: digest 32 │ hash 32 │ n 4 │ state 1 (0 whole, 1 pruned, then n is 0)
//! cause:   0, or 1 │ command id 16 │ uid 4
//!
//! digest = blake3(everything before the trailer of the whole record)
//! hash   = blake3(hash of the record before ‖ digest)
//! ```
//!
//! What is hashed lies in one piece, so one call hashes it. A pruned record loses time and cause
//! with its payload: only the digest vouches for them, and it can no longer be recomputed.

use super::chain;
use super::error::RecordFault;
use super::upcast::{self, Shape, UpcastError};
use crate::model::{Cause, CommandId, Digest, Envelope, Event, UnixMillis};

/// The only record layout so far; a newer one has another first byte.
pub const FORMAT: u8 = 1;

/// format, kind, version, seq.
const LABEL_AND_SEQ: usize = 1 + 2 + 2 + 8;
const TIME: usize = 8;
const CAUSE: usize = 16 + 4;
const TRAILER: usize = 32 + 32 + 4 + 1;
const WHOLE: u8 = 0;
const PRUNED: u8 = 1;

/// A record as it lies in the file, taken apart but not yet verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its bytes as stored.
    pub bytes: &'a [u8],
    /// Kind and version.
    pub shape: Shape,
    /// Its place.
    pub seq: u64,
    /// What only a whole record has.
    pub content: Option<Content<'a>>,
    /// Of everything before the trailer, when it was written.
    pub digest: Digest,
    /// Of the hash before and the digest.
    pub hash: Digest,
}

/// What pruning takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    /// Wall clock at the append.
    pub time: UnixMillis,
    /// The command behind it.
    pub cause: Option<Cause>,
    /// Bytes whose shape is the record's.
    pub payload: &'a [u8],
}

/// Why bytes are no record that can be read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The format byte of a newer jr.
    Newer(u8),
    /// Damage.
    Fault(RecordFault),
}

/// Why a record was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// It is not what its digest was made of.
    Digest,
    /// It does not follow from the record before it.
    Chain,
}

/// Appends the stored form of an event to `bytes`; returns its hash, shape and payload length.
pub fn write(envelope: &Envelope, previous: Digest, bytes: &mut Vec<u8>) -> (Digest, Shape, usize) {
    let start = bytes.len();
    let shape = upcast::shape_of(&envelope.event);
    bytes.push(FORMAT);
    bytes.extend_from_slice(&shape.kind.to_le_bytes());
    bytes.extend_from_slice(&shape.version.to_le_bytes());
    bytes.extend_from_slice(&envelope.seq.to_le_bytes());
    bytes.extend_from_slice(&envelope.time.0.to_le_bytes());
    match envelope.cause {
        None => bytes.push(0),
        Some(cause) => {
            bytes.push(1);
            bytes.extend_from_slice(&cause.command.to_bytes());
            bytes.extend_from_slice(&cause.uid.to_le_bytes());
        }
    }
    let payload = bytes.len();
    upcast::encode_payload(&envelope.event, bytes);
    let length = bytes.len() - payload;
    let digest = chain::digest(&bytes[start..]);
    let hash = chain::extend(previous, digest);
    trailer(bytes, digest, hash, length, WHOLE);
    (hash, shape, length)
}

fn trailer(bytes: &mut Vec<u8>, digest: Digest, hash: Digest, length: usize, state: u8) {
    bytes.extend_from_slice(&digest.0);
    bytes.extend_from_slice(&hash.0);
    // A payload that does not fit is refused before it is stored (Batch::encode).
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    bytes.push(state);
}

impl<'a> Record<'a> {
    /// Takes stored bytes apart and checks their form; [`Self::verify`] checks what they say.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        match bytes.first() {
            Some(&FORMAT) => Self::parse_v1(bytes).map_err(ParseError::Fault),
            // No format 0 was ever written, so it is not a newer one.
            None | Some(0) => Err(ParseError::Fault(RecordFault::Length)),
            Some(&format) => Err(ParseError::Newer(format)),
        }
    }

    fn parse_v1(bytes: &'a [u8]) -> Result<Self, RecordFault> {
        let length = RecordFault::Length;
        let body = bytes.len().checked_sub(TRAILER).ok_or(length)?;
        let (body, mut trailer) = bytes.split_at(body);
        let digest = Digest(take(&mut trailer).ok_or(length)?);
        let hash = Digest(take(&mut trailer).ok_or(length)?);
        let payload = u32::from_le_bytes(take(&mut trailer).ok_or(length)?);
        let mut rest = body.get(1..).ok_or(length)?;
        let kind = u16::from_le_bytes(take(&mut rest).ok_or(length)?);
        let version = u16::from_le_bytes(take(&mut rest).ok_or(length)?);
        let seq = u64::from_le_bytes(take(&mut rest).ok_or(length)?);
        let content = match trailer {
            [WHOLE] => Some(Content::parse(rest)?),
            [PRUNED] => None,
            _ => return Err(RecordFault::Flag),
        };
        let counted = content.map_or(rest.len(), |content| content.payload.len());
        let pruned_with_rest = content.is_none() && !rest.is_empty();
        if pruned_with_rest || usize::try_from(payload) != Ok(counted) {
            return Err(length);
        }
        Ok(Self { bytes, shape: Shape { kind, version }, seq, content, digest, hash })
    }

    /// Checks digest and hash against the hash of the record before it.
    ///
    /// Of a pruned record only the hash can be checked.
    pub fn verify(&self, previous: Digest) -> Result<(), Distrust> {
        let hashed = &self.bytes[..self.bytes.len() - TRAILER];
        if self.content.is_some() && !chain::matches(hashed, self.digest) {
            return Err(Distrust::Digest);
        }
        if chain::extend(previous, self.digest) != self.hash {
            return Err(Distrust::Chain);
        }
        Ok(())
    }

    /// Today's event of a whole record; `None` of a pruned one.
    pub fn event(&self) -> Result<Option<Event>, UpcastError> {
        let decode = |content: Content<'_>| upcast::decode_payload(self.shape, content.payload);
        self.content.map(decode).transpose()
    }

    /// The same record without time, cause and payload.
    pub fn pruned(&self) -> Vec<u8> {
        pruned_bytes(self.shape, self.seq, self.digest, self.hash)
    }

    /// Whether a whole record is what its digest was made of, wherever it lies.
    pub(crate) fn is_intact(&self) -> bool {
        let hashed = &self.bytes[..self.bytes.len() - TRAILER];
        self.content.is_some() && chain::matches(hashed, self.digest)
    }
}

/// A pruned record.
pub(crate) fn pruned_bytes(shape: Shape, seq: u64, digest: Digest, hash: Digest) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LABEL_AND_SEQ + TRAILER);
    bytes.push(FORMAT);
    bytes.extend_from_slice(&shape.kind.to_le_bytes());
    bytes.extend_from_slice(&shape.version.to_le_bytes());
    bytes.extend_from_slice(&seq.to_le_bytes());
    trailer(&mut bytes, digest, hash, 0, PRUNED);
    bytes
}

impl<'a> Content<'a> {
    fn parse(mut rest: &'a [u8]) -> Result<Self, RecordFault> {
        let length = RecordFault::Length;
        let time = UnixMillis(i64::from_le_bytes(take(&mut rest).ok_or(length)?));
        let cause = match take::<1>(&mut rest).ok_or(length)? {
            [0] => None,
            [1] => Some(Cause {
                command: CommandId::from_bytes(take(&mut rest).ok_or(length)?),
                uid: u32::from_le_bytes(take(&mut rest).ok_or(length)?),
            }),
            _ => return Err(RecordFault::Flag),
        };
        Ok(Self { time, cause, payload: rest })
    }
}

/// Splits `N` bytes off the front.
pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

const _: () = assert!(LABEL_AND_SEQ + TIME + 1 + CAUSE == 42, "docs/log-format.md says so");

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(cause: Option<Cause>) -> Envelope {
        let event = Event::ClockJumped { by_ms: -5 };
        Envelope { seq: 7, time: UnixMillis(1_234), cause, event }
    }

    fn stored(cause: Option<Cause>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&envelope(cause), Digest([9; 32]), &mut bytes);
        bytes
    }

    #[test]
    fn a_record_reads_back() {
        let cause = Cause { command: CommandId::from_chance(99), uid: 1_000 };
        for cause in [None, Some(cause)] {
            let bytes = stored(cause);
            let record = Record::parse(&bytes).expect("parses");
            assert_eq!(record.verify(Digest([9; 32])), Ok(()));
            assert_eq!(record.verify(Digest([8; 32])), Err(Distrust::Chain));
            let content = record.content.expect("whole");
            let event = record.event().expect("decodes").expect("whole");
            let (time, cause) = (content.time, content.cause);
            assert_eq!(Envelope { seq: record.seq, time, cause, event }, envelope(cause));
        }
    }

    #[test]
    fn the_layout_is_what_the_documentation_draws() {
        let bytes = stored(None);
        assert_eq!(bytes[..5], [1, 6, 0, 1, 0], "format, kind, version");
        assert_eq!(bytes[5..13], 7_u64.to_le_bytes(), "seq");
        assert_eq!(bytes[13..21], 1_234_i64.to_le_bytes(), "time");
        assert_eq!(bytes[21..23], [0, 9], "no cause, payload: zigzag of -5");
        assert_eq!(bytes[23..55], *blake3::hash(&bytes[..23]).as_bytes(), "digest");
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[9; 32]).update(&bytes[23..55]);
        assert_eq!(bytes[55..87], *hasher.finalize().as_bytes(), "hash");
        assert_eq!(bytes[87..], [1, 0, 0, 0, 0], "payload length, state");
    }

    #[test]
    fn no_flipped_bit_and_no_cut_is_believed() {
        let good = stored(Some(Cause { command: CommandId::from_chance(3), uid: 0 }));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let verdict = Record::parse(&bad).map(|record| record.verify(Digest([9; 32])));
            assert_ne!(verdict, Ok(Ok(())), "bit {bit}");
        }
        for cut in 0..good.len() {
            let verdict = Record::parse(&good[..cut]).map(|record| record.verify(Digest([9; 32])));
            assert_ne!(verdict, Ok(Ok(())), "cut at {cut}");
        }
    }

    #[test]
    fn a_pruned_record_keeps_its_place_in_the_chain() {
        let bytes = stored(None);
        let whole = Record::parse(&bytes).expect("parses");
        let bytes = whole.pruned();
        let pruned = Record::parse(&bytes).expect("parses");
        assert_eq!(bytes.len(), 82);
        assert_eq!((pruned.shape, pruned.seq), (whole.shape, whole.seq));
        assert_eq!((pruned.digest, pruned.hash), (whole.digest, whole.hash));
        assert_eq!((pruned.content, pruned.event()), (None, Ok(None)));
        assert_eq!(pruned.verify(Digest([9; 32])), Ok(()));
        assert_eq!(pruned.verify(Digest([0; 32])), Err(Distrust::Chain));
    }

    #[test]
    fn another_format_is_newer_and_not_damaged() {
        let mut bytes = stored(None);
        bytes[0] = 2;
        assert_eq!(Record::parse(&bytes), Err(ParseError::Newer(2)));
        assert_eq!(Record::parse(&[2]), Err(ParseError::Newer(2)));
        assert_eq!(Record::parse(&[]), Err(ParseError::Fault(RecordFault::Length)));
    }
}
