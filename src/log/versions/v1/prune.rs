//! Version 1 of what is said of prunes and pins.

use serde::{Deserialize, Serialize};

use super::run_id;
use crate::log::codec::DecodeReason;
use crate::model::event::Event;

/// Kind 38.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct PruneRequested {
    pub before: u64,
    pub keep_days: Option<u32>,
    pub keep_runs: Option<u64>,
}

/// Kind 39.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RunsPruned {
    pub before: u64,
    pub runs: u64,
    pub events: u64,
    pub bytes: u64,
    pub error: Option<String>,
}

/// Kind 40.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RunPinned {
    pub run: u64,
    pub pinned: bool,
}

impl From<PruneRequested> for Event {
    fn from(stored: PruneRequested) -> Self {
        let PruneRequested { before, keep_days, keep_runs } = stored;
        Self::PruneRequested { before, keep_days, keep_runs }
    }
}

impl From<RunsPruned> for Event {
    fn from(stored: RunsPruned) -> Self {
        let RunsPruned { before, runs, events, bytes, error } = stored;
        Self::RunsPruned { before, runs, events, bytes, error }
    }
}

impl TryFrom<RunPinned> for Event {
    type Error = DecodeReason;

    fn try_from(stored: RunPinned) -> Result<Self, DecodeReason> {
        Ok(Self::RunPinned { run: run_id(stored.run)?, pinned: stored.pinned })
    }
}
