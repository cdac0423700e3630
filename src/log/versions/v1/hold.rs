//! Version 1 of what is said of runs that are held back, and go on.

use serde::{Deserialize, Serialize};

use super::reason::twins;
use super::run::Asker;
use super::run_id;
use crate::log::codec::DecodeReason;
use crate::model::UnixMillis;
use crate::model::event::{self as model, Event};

/// Kind 19.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RestartScheduled {
    pub run: u64,
    pub attempt: u32,
    pub due: Due,
    pub streak: u32,
}

/// Twin of [`model::Due`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct Due {
    pub at_ms: i64,
    pub boottime_ms: u64,
}

/// Kind 33.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RunQueued {
    pub run: u64,
    pub reason: QueuedReason,
}

/// Twin of [`model::QueuedReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum QueuedReason {
    Due,
    Resumed,
    Interrupted,
    FilesChanged,
    PortTaken,
}

twins!(QueuedReason, model::QueuedReason, [Due, Resumed, Interrupted, FilesChanged, PortTaken]);

/// Kind 34.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct PauseRequested {
    pub run: u64,
    pub asker: Option<Asker>,
}

/// Kind 15.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RunPaused {
    pub run: u64,
    pub attempt: u32,
    pub by: PausedBy,
}

/// Twin of [`model::PausedBy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum PausedBy {
    Freezer,
    Signal,
}

twins!(PausedBy, model::PausedBy, [Freezer, Signal]);

/// Kind 35.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct UnpauseRequested {
    pub run: u64,
    pub asker: Option<Asker>,
}

/// Kind 16.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RunUnpaused {
    pub run: u64,
    pub attempt: u32,
}

/// Kind 36.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct QueuePaused {
    pub queue: String,
}

/// Kind 37.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct QueueUnpaused {
    pub queue: String,
}

impl From<model::Due> for Due {
    fn from(model: model::Due) -> Self {
        Self { at_ms: model.at.0, boottime_ms: model.boottime_ms }
    }
}

impl From<Due> for model::Due {
    fn from(stored: Due) -> Self {
        Self { at: UnixMillis(stored.at_ms), boottime_ms: stored.boottime_ms }
    }
}

impl TryFrom<RestartScheduled> for Event {
    type Error = DecodeReason;

    fn try_from(stored: RestartScheduled) -> Result<Self, DecodeReason> {
        let RestartScheduled { run, attempt, due, streak } = stored;
        Ok(Self::RestartScheduled { run: run_id(run)?, attempt, due: due.into(), streak })
    }
}

impl TryFrom<RunQueued> for Event {
    type Error = DecodeReason;

    fn try_from(stored: RunQueued) -> Result<Self, DecodeReason> {
        let (run, reason) = (run_id(stored.run)?, stored.reason.into());
        Ok(Self::RunQueued { run, reason, asker: None })
    }
}

impl TryFrom<PauseRequested> for Event {
    type Error = DecodeReason;

    fn try_from(stored: PauseRequested) -> Result<Self, DecodeReason> {
        let asker = stored.asker.map(Into::into);
        Ok(Self::PauseRequested { run: run_id(stored.run)?, asker })
    }
}

impl TryFrom<RunPaused> for Event {
    type Error = DecodeReason;

    fn try_from(stored: RunPaused) -> Result<Self, DecodeReason> {
        let RunPaused { run, attempt, by } = stored;
        Ok(Self::RunPaused { run: run_id(run)?, attempt, by: by.into() })
    }
}

impl TryFrom<UnpauseRequested> for Event {
    type Error = DecodeReason;

    fn try_from(stored: UnpauseRequested) -> Result<Self, DecodeReason> {
        let asker = stored.asker.map(Into::into);
        Ok(Self::UnpauseRequested { run: run_id(stored.run)?, asker })
    }
}

impl TryFrom<RunUnpaused> for Event {
    type Error = DecodeReason;

    fn try_from(stored: RunUnpaused) -> Result<Self, DecodeReason> {
        Ok(Self::RunUnpaused { run: run_id(stored.run)?, attempt: stored.attempt })
    }
}

impl TryFrom<QueuePaused> for Event {
    type Error = DecodeReason;

    fn try_from(stored: QueuePaused) -> Result<Self, DecodeReason> {
        let queue = stored.queue.parse().map_err(|_| DecodeReason::BadField("queue"))?;
        Ok(Self::QueuePaused { queue, asker: None })
    }
}

impl TryFrom<QueueUnpaused> for Event {
    type Error = DecodeReason;

    fn try_from(stored: QueueUnpaused) -> Result<Self, DecodeReason> {
        let queue = stored.queue.parse().map_err(|_| DecodeReason::BadField("queue"))?;
        Ok(Self::QueueUnpaused { queue, asker: None })
    }
}

impl PauseRequested {
    /// Of a run, for somebody.
    pub fn of(run: u64, asker: Option<model::Asker>) -> Self {
        Self { run, asker: asker.map(Into::into) }
    }
}

impl UnpauseRequested {
    /// Of a run, for somebody.
    pub fn of(run: u64, asker: Option<model::Asker>) -> Self {
        Self { run, asker: asker.map(Into::into) }
    }
}
