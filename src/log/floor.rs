//! `log/floor`: where the kept history begins, after a prune.
//!
//! ```text
//! format 1 │ seq 8 │ request 8 │ hash before 32 │ n 4 │ run id 8 × n │ state … │
//! blake3 of all that 32
//! ```
//! It is replaced as a whole, so a prune happens at one moment. Without it the history begins with
//! the first segment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::atomic::TEMPORARY;
use super::chain::{self, Head};
use super::directory::Directory;
use super::error::{Damage, LogError, Newer, Place};
use super::record::take;
use crate::model::{Digest, RunId};

/// Its name.
pub const NAME: &str = "floor";
const FORMAT: u8 = 1;

/// The beginning of what is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// The first record of the history: from here on all are whole.
    pub seq: u64,
    /// The request that it comes from.
    pub request: u64,
    /// The chain's hash before it.
    pub hash: Digest,
    /// Runs that keep their records before it.
    pub kept: BTreeSet<RunId>,
    /// The state before it, as a snapshot.
    pub state: Vec<u8>,
}

impl Floor {
    /// The record before it.
    pub fn head_before(&self) -> Head {
        Head { seq: self.seq - 1, hash: self.hash }
    }

    /// Tells one floor from another.
    pub fn digest(&self) -> Digest {
        chain::digest(&self.encode())
    }

    /// Bytes of its file.
    pub fn size(&self) -> u64 {
        self.encode().len() as u64
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&self.request.to_le_bytes());
        bytes.extend_from_slice(&self.hash.0);
        let count = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&count.to_le_bytes());
        for run in &self.kept {
            bytes.extend_from_slice(&run.to_u64().to_le_bytes());
        }
        bytes.extend_from_slice(&self.state);
        let check = chain::digest(&bytes);
        bytes.extend_from_slice(&check.0);
        bytes
    }

    fn decode(file: &Path, bytes: &[u8]) -> Result<Self, LogError> {
        let malformed = || LogError::damaged(file, Damage::Floor);
        match bytes.first() {
            Some(&FORMAT) => Self::decode_v1(bytes).ok_or_else(malformed),
            None | Some(0) => Err(malformed()),
            Some(&format) => {
                let (place, newer) = (Place::of_file(file), Newer::FloorFormat(format));
                Err(LogError::Newer { place, newer })
            }
        }
    }

    fn decode_v1(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_last_chunk::<32>()?;
        if chain::digest(body).0 != *check {
            return None;
        }
        let mut rest = body.get(1..)?;
        let seq = u64::from_le_bytes(take(&mut rest)?);
        let request = u64::from_le_bytes(take(&mut rest)?);
        let hash = Digest(take(&mut rest)?);
        let count = u32::from_le_bytes(take(&mut rest)?);
        let mut kept = BTreeSet::new();
        for _ in 0..count {
            kept.insert(RunId::from_chance(u64::from_le_bytes(take(&mut rest)?)));
        }
        (seq > 0).then_some(Self { seq, request, hash, kept, state: rest.to_vec() })
    }

    /// The floor of a log, if it has one.
    pub(crate) fn read(directory: &dyn Directory) -> Result<Option<Self>, LogError> {
        let file = path(directory);
        match directory.read(NAME) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io(&file, "read", error)),
            Ok(bytes) => Self::decode(&file, &bytes).map(Some),
        }
    }

    /// Makes it the floor; durable when it returns.
    pub(crate) fn write(&self, directory: &dyn Directory) -> Result<(), LogError> {
        let file = path(directory);
        let temporary = format!("{NAME}.{TEMPORARY}");
        let written = directory.write(&temporary, &self.encode());
        written.map_err(|error| LogError::io(&file, "write", error))?;
        let renamed = directory.rename(&temporary, NAME).and_then(|()| directory.sync());
        renamed.map_err(|error| LogError::io(&file, "rename to", error))
    }
}

/// Its path, for messages.
pub(crate) fn path(directory: &dyn Directory) -> PathBuf {
    directory.path().join(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_no_flipped_bit_is_believed() {
        let kept = [1, 2, 9].map(RunId::from_chance).into();
        let hash = Digest([4; 32]);
        let floor = Floor { seq: 70, request: 90, hash, kept, state: b"state".to_vec() };
        let bytes = floor.encode();
        let file = Path::new("floor");
        assert_eq!(Floor::decode(file, &bytes).expect("reads"), floor);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Floor::decode(file, &bad).is_err(), "bit {bit}");
        }
    }
}
