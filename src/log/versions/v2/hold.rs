//! Version 2 of what lets runs and queues go on, or holds queues: it knows who asked.

use serde::{Deserialize, Serialize};

use crate::log::codec::DecodeReason;
use crate::log::versions::v1;
use crate::model::event::{self as model, Event, QueuedReason};
use crate::model::{QueueName, RunId};

/// Kind 33.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RunQueued {
    pub first: v1::RunQueued,
    pub asker: Option<v1::Asker>,
}

/// Kind 36.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct QueuePaused {
    pub first: v1::QueuePaused,
    pub asker: Option<v1::Asker>,
}

/// Kind 37.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct QueueUnpaused {
    pub first: v1::QueueUnpaused,
    pub asker: Option<v1::Asker>,
}

impl RunQueued {
    /// Of a run.
    pub fn of(run: RunId, reason: QueuedReason, asker: Option<model::Asker>) -> Self {
        let first = v1::RunQueued { run: run.to_u64(), reason: reason.into() };
        Self { first, asker: asker.map(Into::into) }
    }
}

impl QueuePaused {
    /// Of a queue.
    pub fn of(queue: &QueueName, asker: Option<model::Asker>) -> Self {
        let first = v1::QueuePaused { queue: queue.as_str().to_owned() };
        Self { first, asker: asker.map(Into::into) }
    }
}

impl QueueUnpaused {
    /// Of a queue.
    pub fn of(queue: &QueueName, asker: Option<model::Asker>) -> Self {
        let first = v1::QueueUnpaused { queue: queue.as_str().to_owned() };
        Self { first, asker: asker.map(Into::into) }
    }
}

/// The event of version 1, and who asked.
fn asked(mut event: Event, by: Option<v1::Asker>) -> Event {
    if let Event::RunQueued { asker, .. }
    | Event::QueuePaused { asker, .. }
    | Event::QueueUnpaused { asker, .. } = &mut event
    {
        *asker = by.map(Into::into);
    }
    event
}

impl TryFrom<RunQueued> for Event {
    type Error = DecodeReason;

    fn try_from(stored: RunQueued) -> Result<Self, DecodeReason> {
        Ok(asked(stored.first.try_into()?, stored.asker))
    }
}

impl TryFrom<QueuePaused> for Event {
    type Error = DecodeReason;

    fn try_from(stored: QueuePaused) -> Result<Self, DecodeReason> {
        Ok(asked(stored.first.try_into()?, stored.asker))
    }
}

impl TryFrom<QueueUnpaused> for Event {
    type Error = DecodeReason;

    fn try_from(stored: QueueUnpaused) -> Result<Self, DecodeReason> {
        Ok(asked(stored.first.try_into()?, stored.asker))
    }
}
