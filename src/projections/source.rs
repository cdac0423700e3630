//! What the views are folded from: a log, wherever it lies.

use std::ops::{ControlFlow, RangeInclusive};

use crate::model::{Digest, Envelope, IllegalEvent, State};

/// How a record changes the state: as one of the history, or as one that is kept from before it.
pub(super) type Apply = fn(&mut State, &Envelope) -> Result<(), IllegalEvent>;

/// A durable record with the chain's hash at it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The fact.
    pub envelope: Envelope,
    /// The chain's hash at it.
    pub hash: Digest,
}

/// Why a log could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// The record is no longer kept.
    #[error("record {seq} was pruned")]
    Pruned {
        /// Which.
        seq: u64,
    },
    /// A record that must be there is not.
    #[error("record {seq} is missing")]
    Missing {
        /// Which.
        seq: u64,
    },
    /// The log says so itself.
    #[error("{message}")]
    Log {
        /// What, where, why.
        message: String,
    },
}

/// Durable records, verified as they are read.
pub trait LogSource {
    /// The last durable record and its hash; seq 0 before the first.
    fn head(&self) -> Result<(u64, Digest), SourceError>;

    /// The first record of the kept history: from here on all are whole.
    fn first_seq(&self) -> u64;

    /// Tells apart what can be kept at one `first_seq`: views of another are of no use.
    fn floor(&self) -> Digest {
        Digest::default()
    }

    /// Hands over each record before `first_seq` of the runs that keep theirs, ascending.
    fn scan_kept(
        &self,
        _take: &mut dyn FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        Ok(())
    }

    /// The state before the first kept record, and the hash there.
    fn start(&self) -> Result<(State, Digest), SourceError>;

    /// One record; `None` beyond the head and for seq 0.
    fn get(&self, seq: u64) -> Result<Option<Stored>, SourceError>;

    /// Hands over each record of the range, until told to stop. What lies beyond is not read: that
    /// it is damaged harms no answer about what came before.
    fn scan(
        &self,
        range: RangeInclusive<u64>,
        take: &mut dyn FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), SourceError>;

    /// Records by their places, ascending; all of them must be there.
    fn get_many(&self, seqs: &[u64]) -> Result<Vec<Stored>, SourceError> {
        let one = |seq: &u64| self.get(*seq)?.ok_or(SourceError::Missing { seq: *seq });
        seqs.iter().map(one).collect()
    }

    /// The chain's hash at `seq`, which is kept or the one before; `None` where it is neither.
    fn hash_at(&self, seq: u64) -> Result<Option<Digest>, SourceError> {
        if seq + 1 == self.first_seq() {
            return Ok(Some(self.start()?.1));
        }
        if seq < self.first_seq() {
            return Ok(None);
        }
        Ok(self.get(seq)?.map(|stored| stored.hash))
    }
}

/// A log in memory, without pruning: for tests and `isolated` environments.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    records: Vec<Stored>,
}

impl MemoryLog {
    /// Adds the next records; their hashes only have to tell one log from another here.
    pub fn append(&mut self, envelopes: &[Envelope]) {
        for envelope in envelopes {
            let before = self.records.last().map_or(Digest::default(), |stored| stored.hash);
            let mut hasher = blake3::Hasher::new();
            hasher.update(&before.0).update(format!("{envelope:?}").as_bytes());
            let hash = Digest(*hasher.finalize().as_bytes());
            self.records.push(Stored { envelope: envelope.clone(), hash });
        }
    }

    /// All of it.
    pub fn records(&self) -> &[Stored] {
        &self.records
    }

    fn place(seq: u64) -> Option<usize> {
        usize::try_from(seq.checked_sub(1)?).ok()
    }
}

impl LogSource for MemoryLog {
    fn head(&self) -> Result<(u64, Digest), SourceError> {
        let last = self.records.last();
        Ok(last.map_or((0, Digest::default()), |stored| (stored.envelope.seq, stored.hash)))
    }

    fn first_seq(&self) -> u64 {
        1
    }

    fn start(&self) -> Result<(State, Digest), SourceError> {
        Ok((State::default(), Digest::default()))
    }

    fn get(&self, seq: u64) -> Result<Option<Stored>, SourceError> {
        Ok(Self::place(seq).and_then(|place| self.records.get(place)).cloned())
    }

    fn scan(
        &self,
        range: RangeInclusive<u64>,
        take: &mut dyn FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let from = Self::place((*range.start()).max(1)).unwrap_or(usize::MAX);
        for stored in self.records.get(from..).unwrap_or_default() {
            if stored.envelope.seq > *range.end() || take(stored.clone()).is_break() {
                break;
            }
        }
        Ok(())
    }
}
