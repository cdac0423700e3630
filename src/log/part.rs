//! Parts of a log as bytes, as they leave it: records as stored, one after the other in frames, and
//! the state before them.
//!
//! ```text
//! frame:  length 4 │ record n          integers are little-endian
//! origin: hash of the record before, 32 │ state as a snapshot has it; nothing of it at seq 1
//! ```

use serde::{Deserialize, Serialize};

use super::chain::{GENESIS, Head};
use super::error::{Damage, LogError};
use super::prune::each_whole;
use super::reader::Reader;
use super::snapshot;
use crate::model::{Digest, State};

/// A part that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The first record of the history and the last one: two integers of 8 bytes.
    Extent,
    /// What comes before a record: [`Origin::encode`].
    Origin {
        /// That record.
        first: u64,
    },
    /// Frames of whole records from before, of runs that keep theirs.
    Kept {
        /// The first record of the history.
        first: u64,
    },
    /// Frames of records, as many as fit into an answer; at least one, if there is one.
    Records {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
}

/// Frames of one answer.
pub const FRAMES_BYTES: usize = 4 << 20;

/// The part, as bytes.
///
/// # Errors
/// [`LogError`].
pub fn take(reader: &Reader, part: Part) -> Result<Vec<u8>, LogError> {
    match part {
        Part::Extent => {
            let (first, last) = (reader.kept_from(), reader.head()?.seq);
            Ok([first.to_le_bytes(), last.to_le_bytes()].concat())
        }
        Part::Origin { first } if first <= 1 => Ok(Origin::genesis().encode()),
        Part::Origin { first } => origin(reader, first).map(|origin| origin.encode()),
        Part::Kept { first } => kept_frames(reader, first),
        Part::Records { from, to } => frames(reader, (from, to), FRAMES_BYTES),
    }
}

/// Where a part of a log begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The record before the first.
    pub head: Head,
    /// The state there.
    pub state: State,
}

impl Origin {
    /// Before the first record of all.
    pub fn genesis() -> Self {
        Self { head: Head { seq: 0, hash: GENESIS }, state: State::default() }
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.head.hash.0.to_vec();
        if self.head.seq > 0 {
            bytes.extend_from_slice(&snapshot::encode(&self.state));
        }
        bytes
    }

    /// The inverse, for a part that begins after `seq`; `file` is for messages.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn decode(file: &std::path::Path, seq: u64, bytes: &[u8]) -> Result<Self, LogError> {
        let damaged = || LogError::damaged(file, Damage::Snapshot);
        let (hash, state) = bytes.split_first_chunk::<32>().ok_or_else(damaged)?;
        let (hash, state) = (Digest(*hash), snapshot::decode(file, state)?);
        if state.seq != seq || (seq == 0) != (hash == GENESIS) {
            return Err(damaged());
        }
        Ok(Self { head: Head { seq, hash }, state })
    }
}

/// The state before `first`, folded from the newest snapshot that has none of what follows.
///
/// # Errors
/// [`LogError`].
pub fn origin(reader: &Reader, first: u64) -> Result<Origin, LogError> {
    let saved = reader.snapshot_before(first)?;
    let file = reader.files().into_iter().next().map(|(_, file)| file).unwrap_or_default();
    let mut state = snapshot::decode(&file, &saved.bytes)?;
    let mut cursor = reader.cursor(saved.head.seq + 1)?;
    while cursor.position().seq + 1 < first {
        let Some(record) = cursor.next_record()? else { break };
        let envelope = super::reader::envelope(&file, &record)?;
        let seq = envelope.seq;
        state.apply(&envelope).map_err(|_| LogError::damaged_at(&file, seq, Damage::Illegal))?;
    }
    Ok(Origin { head: cursor.position(), state })
}

/// Records from one place to another in frames, as many as fit into so many bytes; at least one.
fn frames(reader: &Reader, (from, to): (u64, u64), bytes_max: usize) -> Result<Vec<u8>, LogError> {
    let mut bytes = Vec::new();
    let mut cursor = reader.cursor(from)?;
    // What lies beyond is not read: that it is damaged harms nothing before it.
    while cursor.position().seq < to {
        let Some(record) = cursor.next_record()? else { break };
        let is_full = !bytes.is_empty() && bytes.len() + 4 + record.bytes.len() > bytes_max;
        if record.seq < from || is_full {
            break;
        }
        push_frame(record.bytes, &mut bytes);
    }
    Ok(bytes)
}

/// Whole records before `before` of the runs that keep theirs, in frames.
fn kept_frames(reader: &Reader, before: u64) -> Result<Vec<u8>, LogError> {
    let Some(floor) = reader.floor().filter(|floor| !floor.kept.is_empty()) else {
        return Ok(Vec::new());
    };
    let mut bytes = Vec::new();
    each_whole(reader, floor.seq.min(before), &mut |record, envelope| {
        if envelope.event.run().is_some_and(|run| floor.kept.contains(&run)) {
            push_frame(record.bytes, &mut bytes);
        }
        true
    })?;
    Ok(bytes)
}

fn push_frame(record: &[u8], bytes: &mut Vec<u8>) {
    // A record is bounded far below that when it is written.
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(record);
}

/// The records of a sequence of frames; `None` in the place of what is none.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    /// Over these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.rest.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        self.rest = record.map_or(&[], |(_, rest)| rest);
        Some(record.map(|(record, _)| record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_and_what_is_cut_is_told() {
        let mut bytes = Vec::new();
        for record in [&b"one"[..], b"", b"three"] {
            push_frame(record, &mut bytes);
        }
        let read: Vec<_> = Frames::new(&bytes).collect();
        assert_eq!(read, [Some(&b"one"[..]), Some(b""), Some(b"three")]);
        for cut in 1..bytes.len() {
            let read: Vec<_> = Frames::new(&bytes[..cut]).collect();
            let whole = [7, 11].contains(&cut);
            assert_eq!(read.last().expect("some").is_some(), whole, "{cut}");
        }
    }

    #[test]
    fn an_origin_reads_back_and_belongs_to_its_place() {
        let file = std::path::Path::new("x");
        let state = State { seq: 9, cores: 2, ..State::default() };
        let origin = Origin { head: Head { seq: 9, hash: Digest([3; 32]) }, state };
        let bytes = origin.encode();
        assert_eq!(Origin::decode(file, 9, &bytes).expect("reads"), origin);
        assert!(Origin::decode(file, 8, &bytes).is_err());
        assert!(Origin::decode(file, 9, &bytes[..31]).is_err());
        let genesis = Origin::genesis();
        assert_eq!(Origin::decode(file, 0, &genesis.encode()).expect("reads"), genesis);
    }
}
