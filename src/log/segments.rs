//! Segments: how their files are named and what each says of itself.
//!
//! `log/<first seq, 20 digits>.redb`; the highest is hot, the others are sealed. Each opens with
//! the state before it, so that folding can start at any of them. The rows of its `meta` table:
//!
//! ```text
//! header:   format 1 │ first seq 8 │ hash before it 32 │ snapshot digest 32 │
//!           id length 1 │ environment id n │ blake3 of all that, 32
//! snapshot: bytes that the digest in the header vouches for; empty before seq 1
//! head:     seq 8 │ hash 32 of the last record; first seq − 1 and the hash before, if none
//! kinds:    (kind 2 │ version 2) of every record, ascending │ 8 bytes of blake3 of all that
//! sealed:   first seq 8 of the segment after it; only in a sealed one
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::chain::{self, GENESIS, Head};
use super::directory::{Directory, Folder};
use super::error::{Damage, LogError, Newer, Place};
use super::record::take;
use super::upcast::Shape;
use crate::model::{Digest, EnvironmentId};

/// The only segment layout so far.
pub const FORMAT: u8 = 1;

const EXTENSION: &str = "redb";
const DIGITS: usize = 20;
const CHECK: usize = 8;

/// What a segment says of itself before its first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Place of its first record.
    pub first_seq: u64,
    /// Hash of the record before that.
    pub previous_hash: Digest,
    /// Of the snapshot of the state before that.
    pub snapshot_digest: Digest,
    /// Whose log it is.
    pub environment: EnvironmentId,
}

impl SegmentHeader {
    /// Of the first segment of a new log.
    pub fn first(environment: EnvironmentId) -> Self {
        Self::after(Head::GENESIS, &[], environment)
    }

    /// Of the segment after `head`, where the state was `snapshot`.
    pub fn after(head: Head, snapshot: &[u8], environment: EnvironmentId) -> Self {
        let snapshot_digest = chain::digest(snapshot);
        Self { first_seq: head.seq + 1, previous_hash: head.hash, snapshot_digest, environment }
    }

    /// The last record before the segment.
    pub fn head_before(&self) -> Head {
        Head { seq: self.first_seq - 1, hash: self.previous_hash }
    }

    /// The row.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let id = self.environment.as_str().as_bytes();
        let mut row = vec![FORMAT];
        row.extend_from_slice(&self.first_seq.to_le_bytes());
        row.extend_from_slice(&self.previous_hash.0);
        row.extend_from_slice(&self.snapshot_digest.0);
        row.push(u8::try_from(id.len()).expect("an environment id has at most 63 bytes"));
        row.extend_from_slice(id);
        let check = chain::digest(&row);
        row.extend_from_slice(&check.0);
        row
    }

    /// The inverse of [`Self::encode`].
    pub(crate) fn decode(file: &Path, row: &[u8]) -> Result<Self, LogError> {
        match row.first() {
            Some(&FORMAT) => Self::decode_v1(row)
                .ok_or_else(|| LogError::damaged(file, Damage::RowMalformed("header"))),
            None | Some(0) => Err(LogError::damaged(file, Damage::RowMalformed("header"))),
            Some(&format) => {
                let (place, newer) = (Place::of_file(file), Newer::SegmentFormat(format));
                Err(LogError::Newer { place, newer })
            }
        }
    }

    fn decode_v1(row: &[u8]) -> Option<Self> {
        let (body, check) = row.split_last_chunk::<32>()?;
        if chain::digest(body).0 != *check {
            return None;
        }
        let mut rest = body.get(1..)?;
        let first_seq = u64::from_le_bytes(take(&mut rest)?);
        let previous_hash = Digest(take(&mut rest)?);
        let snapshot_digest = Digest(take(&mut rest)?);
        let [length] = take(&mut rest)?;
        let id = std::str::from_utf8(rest).ok().filter(|id| id.len() == usize::from(length))?;
        let environment = id.parse().ok()?;
        let header = Self { first_seq, previous_hash, snapshot_digest, environment };
        (first_seq > 1 || (first_seq == 1 && previous_hash == GENESIS)).then_some(header)
    }
}

/// The `head` row.
pub(crate) fn encode_head(head: Head) -> Vec<u8> {
    let mut row = head.seq.to_le_bytes().to_vec();
    row.extend_from_slice(&head.hash.0);
    row
}

/// The inverse of [`encode_head`].
pub(crate) fn decode_head(mut row: &[u8]) -> Option<Head> {
    let seq = u64::from_le_bytes(take(&mut row)?);
    let hash = Digest(take(&mut row)?);
    row.is_empty().then_some(Head { seq, hash })
}

/// The `kinds` row.
pub(crate) fn encode_kinds(kinds: &BTreeSet<Shape>) -> Vec<u8> {
    let mut row = Vec::with_capacity(kinds.len() * 4 + CHECK);
    for shape in kinds {
        row.extend_from_slice(&shape.kind.to_le_bytes());
        row.extend_from_slice(&shape.version.to_le_bytes());
    }
    let check = chain::digest(&row);
    row.extend_from_slice(&check.0[..CHECK]);
    row
}

/// The inverse of [`encode_kinds`].
pub(crate) fn decode_kinds(row: &[u8]) -> Option<BTreeSet<Shape>> {
    let (body, check) = row.split_last_chunk::<CHECK>()?;
    if chain::digest(body).0[..CHECK] != *check || !body.len().is_multiple_of(4) {
        return None;
    }
    let shape = |row: &[u8]| {
        let mut row = row;
        let kind = u16::from_le_bytes(take(&mut row)?);
        Some(Shape { kind, version: u16::from_le_bytes(take(&mut row)?) })
    };
    body.chunks(4).map(shape).collect()
}

/// The file of the segment that begins with `first_seq`.
pub fn segment_path(directory: &Path, first_seq: u64) -> PathBuf {
    directory.join(segment_name(first_seq))
}

/// The name of that file.
pub(crate) fn segment_name(first_seq: u64) -> String {
    format!("{first_seq:0DIGITS$}.{EXTENSION}")
}

/// The first seq that a file's name promises; `None` if it is no segment's.
pub fn first_seq_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".redb")?;
    let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|first| plain && *first > 0)
}

/// The segments of a log directory, ascending; the last is hot. Other files are ignored.
pub fn list(directory: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let firsts = list_in(&Folder::new(directory))?;
    Ok(firsts.into_iter().map(|first| (first, segment_path(directory, first))).collect())
}

/// Where the segments begin, ascending.
pub(crate) fn list_in(directory: &dyn Directory) -> Result<Vec<u64>, LogError> {
    let path = directory.path();
    let names = directory.names().map_err(|error| LogError::io(path, "list", error))?;
    let mut firsts: Vec<u64> =
        names.iter().filter_map(|name| first_seq_of(Path::new(name))).collect();
    firsts.sort_unstable();
    if firsts.is_empty() {
        return Err(LogError::NotFound { path: segment_path(path, 1) });
    }
    Ok(firsts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_their_numbers_do() {
        let directory = Path::new("log");
        let path = segment_path(directory, 4_711);
        assert_eq!(path, Path::new("log/00000000000000004711.redb"));
        assert_eq!(first_seq_of(&path), Some(4_711));
        assert_eq!(first_seq_of(&segment_path(directory, u64::MAX)), Some(u64::MAX));
        for other in ["1.redb", "00000000000000000000.redb", "00000000000000000001.redb.tmp", "x"] {
            assert_eq!(first_seq_of(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn no_flipped_bit_of_a_row_is_believed() {
        let file = Path::new("x.redb");
        let environment: EnvironmentId = "local".parse().expect("a name");
        let head = Head { seq: 41, hash: Digest([3; 32]) };
        let header = SegmentHeader::after(head, b"state", environment);
        let row = header.encode();
        assert_eq!(SegmentHeader::decode(file, &row).expect("reads"), header);
        assert_eq!(header.head_before(), head);
        let kinds = BTreeSet::from([Shape { kind: 1, version: 1 }, Shape { kind: 9, version: 2 }]);
        let kinds_row = encode_kinds(&kinds);
        assert_eq!(decode_kinds(&kinds_row), Some(kinds));
        for bit in 0..row.len() * 8 {
            let mut bad = row.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(file, &bad).is_err(), "bit {bit}");
        }
        for bit in 0..kinds_row.len() * 8 {
            let mut bad = kinds_row.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_kinds(&bad), None, "bit {bit}");
        }
    }
}
