//! Version 1 of what is said of runs and queues.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::reason::{LostReason, SpawnError, StopReason};
use super::service::RestartReason;
use super::spec::RunSpec;
use super::{run_id, signal, signal_byte};
use crate::log::codec::DecodeReason;
use crate::model::event::{self as model, Event};

/// Kind 7.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RunAdmitted {
    pub run: u64,
    pub spec: RunSpec,
}

/// Kind 12.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RunEnded {
    pub run: u64,
    pub outcome: Outcome,
}

/// Twin of [`model::Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum Outcome {
    Succeeded,
    Failed(RunReason),
    Signalled(u8),
    TimedOut,
    Stopped(StopReason),
    Cancelled(StopReason),
    Lost(LostReason),
    Skipped(SkipReason),
    Rejected(RejectReason),
}

/// Twin of [`model::SkipReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum SkipReason {
    DependencyFailed(u64),
    LockHeld(u64),
}

/// Twin of [`model::RejectReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum RejectReason {
    LockHeld(u64),
}

/// Twin of [`model::RunReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum RunReason {
    Code(i32),
    NotStarted(SpawnError),
    Lines(u32),
    Hook(u64),
    Unwell(RestartReason),
}

/// Kind 13.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct StopRequested {
    pub run: u64,
    pub reason: StopReason,
    pub signal: u8,
    pub grace_ms: u64,
    pub asker: Option<Asker>,
}

/// Twin of [`model::Asker`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct Asker {
    pub pid: u32,
    pub command: String,
}

/// Kind 14.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct SignalSent {
    pub run: u64,
    pub attempt: u32,
    pub signal: u8,
    pub errno: Option<i32>,
}

/// Kind 31.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct SignalRequested {
    pub run: u64,
    pub attempt: u32,
    pub signal: u8,
    pub asker: Option<Asker>,
}

/// Kind 32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct QueueSet {
    pub queue: String,
    pub limit: u32,
}

impl From<model::RunReason> for RunReason {
    fn from(model: model::RunReason) -> Self {
        match model {
            model::RunReason::Code(code) => Self::Code(code),
            model::RunReason::NotStarted(error) => Self::NotStarted(error.into()),
            model::RunReason::Lines(count) => Self::Lines(count),
            model::RunReason::Hook(run) => Self::Hook(run.to_u64()),
            model::RunReason::Unwell(reason) => Self::Unwell(reason.into()),
        }
    }
}

impl TryFrom<RunReason> for model::RunReason {
    type Error = DecodeReason;

    fn try_from(stored: RunReason) -> Result<Self, DecodeReason> {
        Ok(match stored {
            RunReason::Code(code) => Self::Code(code),
            RunReason::NotStarted(error) => Self::NotStarted(error.into()),
            RunReason::Lines(count) => Self::Lines(count),
            RunReason::Hook(run) => Self::Hook(run_id(run)?),
            RunReason::Unwell(reason) => Self::Unwell(reason.into()),
        })
    }
}

impl From<model::Outcome> for Outcome {
    fn from(model: model::Outcome) -> Self {
        match model {
            model::Outcome::Succeeded => Self::Succeeded,
            model::Outcome::Failed(reason) => Self::Failed(reason.into()),
            model::Outcome::Signalled(signal) => Self::Signalled(signal_byte(signal)),
            model::Outcome::TimedOut => Self::TimedOut,
            model::Outcome::Stopped(reason) => Self::Stopped(reason.into()),
            model::Outcome::Cancelled(reason) => Self::Cancelled(reason.into()),
            model::Outcome::Lost(reason) => Self::Lost(reason.into()),
            model::Outcome::Skipped(reason) => Self::Skipped(reason.into()),
            model::Outcome::Rejected(reason) => Self::Rejected(reason.into()),
        }
    }
}

impl TryFrom<Outcome> for model::Outcome {
    type Error = DecodeReason;

    fn try_from(stored: Outcome) -> Result<Self, DecodeReason> {
        Ok(match stored {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Failed(reason) => Self::Failed(reason.try_into()?),
            Outcome::Signalled(number) => Self::Signalled(signal(number)?),
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Stopped(reason) => Self::Stopped(reason.into()),
            Outcome::Cancelled(reason) => Self::Cancelled(reason.into()),
            Outcome::Lost(reason) => Self::Lost(reason.into()),
            Outcome::Skipped(reason) => Self::Skipped(reason.try_into()?),
            Outcome::Rejected(reason) => Self::Rejected(reason.try_into()?),
        })
    }
}

impl From<model::SkipReason> for SkipReason {
    fn from(model: model::SkipReason) -> Self {
        match model {
            model::SkipReason::DependencyFailed(run) => Self::DependencyFailed(run.to_u64()),
            model::SkipReason::LockHeld(run) => Self::LockHeld(run.to_u64()),
        }
    }
}

impl TryFrom<SkipReason> for model::SkipReason {
    type Error = DecodeReason;

    fn try_from(stored: SkipReason) -> Result<Self, DecodeReason> {
        Ok(match stored {
            SkipReason::DependencyFailed(run) => Self::DependencyFailed(run_id(run)?),
            SkipReason::LockHeld(run) => Self::LockHeld(run_id(run)?),
        })
    }
}

impl From<model::RejectReason> for RejectReason {
    fn from(model: model::RejectReason) -> Self {
        match model {
            model::RejectReason::LockHeld(run) => Self::LockHeld(run.to_u64()),
        }
    }
}

impl TryFrom<RejectReason> for model::RejectReason {
    type Error = DecodeReason;

    fn try_from(stored: RejectReason) -> Result<Self, DecodeReason> {
        match stored {
            RejectReason::LockHeld(run) => Ok(Self::LockHeld(run_id(run)?)),
        }
    }
}

impl From<model::Asker> for Asker {
    fn from(model: model::Asker) -> Self {
        Self { pid: model.pid, command: model.command }
    }
}

impl From<Asker> for model::Asker {
    fn from(stored: Asker) -> Self {
        Self { pid: stored.pid, command: stored.command }
    }
}

impl TryFrom<RunAdmitted> for Event {
    type Error = DecodeReason;

    fn try_from(stored: RunAdmitted) -> Result<Self, DecodeReason> {
        Ok(Self::RunAdmitted { run: run_id(stored.run)?, spec: Arc::new(stored.spec.try_into()?) })
    }
}

impl TryFrom<RunEnded> for Event {
    type Error = DecodeReason;

    fn try_from(stored: RunEnded) -> Result<Self, DecodeReason> {
        Ok(Self::RunEnded { run: run_id(stored.run)?, outcome: stored.outcome.try_into()? })
    }
}

impl TryFrom<StopRequested> for Event {
    type Error = DecodeReason;

    fn try_from(stored: StopRequested) -> Result<Self, DecodeReason> {
        let StopRequested { run, reason, signal: number, grace_ms, asker } = stored;
        let (run, signal, asker) = (run_id(run)?, signal(number)?, asker.map(Into::into));
        Ok(Self::StopRequested { run, reason: reason.into(), signal, grace_ms, asker })
    }
}

impl TryFrom<SignalSent> for Event {
    type Error = DecodeReason;

    fn try_from(stored: SignalSent) -> Result<Self, DecodeReason> {
        let SignalSent { run, attempt, signal: number, errno } = stored;
        Ok(Self::SignalSent { run: run_id(run)?, attempt, signal: signal(number)?, errno })
    }
}

impl TryFrom<SignalRequested> for Event {
    type Error = DecodeReason;

    fn try_from(stored: SignalRequested) -> Result<Self, DecodeReason> {
        let SignalRequested { run, attempt, signal: number, asker } = stored;
        let (run, signal, asker) = (run_id(run)?, signal(number)?, asker.map(Into::into));
        Ok(Self::SignalRequested { run, attempt, signal, asker })
    }
}

impl TryFrom<QueueSet> for Event {
    type Error = DecodeReason;

    fn try_from(stored: QueueSet) -> Result<Self, DecodeReason> {
        let queue = stored.queue.parse().map_err(|_| DecodeReason::BadField("queue"))?;
        Ok(Self::QueueSet { queue, limit: stored.limit })
    }
}
