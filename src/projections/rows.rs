//! Rows to the byte: keys that sort as they should, values with their check.
//!
//! ```text
//! value ‖ first 8 bytes of blake3(table 1 ‖ key length 4 ‖ key ‖ value)
//! ```
//! Integers in keys are big-endian. The table's number in the check keeps a row from being taken
//! for one of another table when a page is read in the wrong place.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::ViewsError;
use super::tally;
use super::view::BatchView;
use crate::log::codec;
use crate::model::{BootId, Digest, Phase, Run, State};

const CHECK: usize = 8;

/// The tables of `views.redb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// first seq → [`Row`] of a run that has ended.
    Runs = 1,
    /// run id → first seq.
    RunIds = 2,
    /// name, 0, first seq → nothing.
    Names = 3,
    /// first seq, first seq of the piece → seqs of the run's records.
    RunEvents = 4,
    /// key → first seq of its holder.
    Keys = 5,
    /// first seq of the parent, first seq of the child → [`Child`].
    Children = 6,
    /// seq → `State` at it.
    Checkpoints = 7,
    /// seq → highest time up to it.
    Times = 8,
    /// [`META`], [`LATEST`] and [`LIVING`].
    Meta = 9,
    /// outcome, 0, first seq → nothing; of runs that ended otherwise than they should.
    Outcomes = 10,
    /// name, 0, kind, labels, block of the log → `Block` of runs that ended in it.
    Samples = 11,
    /// name, 0 → `Usual`: how long its newest successes took.
    Usual = 12,
}

impl Table {
    /// All of them.
    pub(super) const ALL: [Self; 12] = [
        Self::Runs,
        Self::RunIds,
        Self::Names,
        Self::RunEvents,
        Self::Keys,
        Self::Children,
        Self::Checkpoints,
        Self::Times,
        Self::Meta,
        Self::Outcomes,
        Self::Samples,
        Self::Usual,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::RunIds => "run_ids",
            Self::Names => "names",
            Self::RunEvents => "run_events",
            Self::Keys => "keys",
            Self::Children => "children",
            Self::Checkpoints => "checkpoints",
            Self::Times => "times",
            Self::Meta => "meta",
            Self::Outcomes => "outcomes",
            Self::Samples => "samples",
            Self::Usual => "usual",
        }
    }
}

/// The row of [`Meta`] in the table of that name.
pub(super) const META: &[u8] = b"meta";
/// The row with the state at `applied`, where that is small; else it is empty.
pub(super) const LATEST: &[u8] = b"latest";
/// The row with [`State::living`] there, where [`LATEST`] is not empty.
pub(super) const LIVING: &[u8] = b"living";
/// What these views are called.
pub(super) const NAME: &str = "jr.views";
/// Raised with any change of a row's shape or meaning: an older file is then made anew.
pub(super) const VERSION: u32 = 8;

/// What the file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) version: u32,
    /// The last record that is in it.
    pub(super) applied: u64,
    /// The chain's hash there.
    pub(super) hash: Digest,
    /// The first record of the history that it is of, and what is kept before that.
    pub(super) first_seq: u64,
    /// See [`super::source::LogSource::floor`].
    pub(super) floor: Digest,
    /// The boot that wrote it: nothing in it was ever synced.
    pub(super) boot: BootId,
}

/// A run with what its own records do not say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) run: Run,
    /// Of a batch: its lines, counted.
    pub(super) tally: Option<BatchView>,
    /// Of a batch that lives: it is paused.
    pub(super) is_held: bool,
}

impl Row {
    /// Of a run that lives in `state`.
    pub(super) fn living(state: &State, run: Run) -> Self {
        let (tally, is_held) = (tally::of_live(state, run.id), state.holds_batch(&run));
        Self { run, tally, is_held }
    }

    /// Of a run that ended; its lines were counted just before.
    pub(super) fn ended(run: Run, tally: Option<BatchView>) -> Self {
        Self { run, tally, is_held: false }
    }

    /// The state that people see.
    pub(super) fn shown_state(&self) -> &'static str {
        if self.is_held { Phase::Paused.word() } else { self.run.shown_state() }
    }
}

/// A run with a parent, as far as lists of children need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Child {
    pub(super) id: u64,
    /// It continues the parent, rather than being a line of it.
    pub(super) is_batch: bool,
}

pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    codec::encode(value)
}

pub(super) fn decode<T: DeserializeOwned>(table: Table, bytes: &[u8]) -> Result<T, ViewsError> {
    codec::decode_large(bytes)
        .map_err(|error| ViewsError::damaged(format!("a row of {}: {error}", table.name())))
}

fn check(table: Table, key: &[u8], value: &[u8]) -> [u8; CHECK] {
    let mut bytes = Vec::with_capacity(5 + key.len() + value.len());
    bytes.push(table as u8);
    bytes.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
    let mut check = [0; CHECK];
    check.copy_from_slice(&blake3::hash(&bytes).as_bytes()[..CHECK]);
    check
}

/// The stored form of a value.
pub(super) fn seal(table: Table, key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let check = check(table, key, &value);
    value.extend_from_slice(&check);
    value
}

/// The value in its stored form, if it is what was stored under this key.
pub(super) fn unseal<'a>(
    table: Table,
    key: &[u8],
    stored: &'a [u8],
) -> Result<&'a [u8], ViewsError> {
    match stored.split_last_chunk::<CHECK>() {
        Some((value, found)) if *found == check(table, key, value) => Ok(value),
        Some((value, _)) if crate::mutants::is_on("ignore_digest") => Ok(value),
        _ => Err(ViewsError::damaged(format!("a row of {} fails its check", table.name()))),
    }
}

pub(super) fn one(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

pub(super) fn pair(first: u64, second: u64) -> Vec<u8> {
    [first.to_be_bytes(), second.to_be_bytes()].concat()
}

pub(super) fn name_key(name: &str, first_seq: u64) -> Vec<u8> {
    [name.as_bytes(), &[0], &first_seq.to_be_bytes()].concat()
}

/// The number at the end of a key.
pub(super) fn last_number(table: Table, key: &[u8]) -> Result<u64, ViewsError> {
    let number = key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    number.ok_or_else(|| ViewsError::damaged(format!("a key of {} is too short", table.name())))
}

/// The text in a key of [`Table::Names`].
pub(super) fn name_of(key: &[u8]) -> Result<&str, ViewsError> {
    let name = key.len().checked_sub(9).and_then(|end| std::str::from_utf8(&key[..end]).ok());
    name.ok_or_else(|| ViewsError::damaged("a key of names is no name"))
}
