//! Version 1 of what is said of the environment and its daemon.

use serde::{Deserialize, Serialize};

use super::reason::twins;
use crate::log::codec::DecodeReason;
use crate::model::event::{self as model, Event};
use crate::model::{BootId, EnvironmentId};

/// Kind 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct EnvironmentCreated {
    pub id: String,
}

/// Kind 3.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct DaemonStarted {
    pub pid: u32,
    pub version: String,
    pub boot: [u8; 16],
    pub cores: u32,
}

/// Kind 4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct DaemonStopped {
    pub reason: DaemonStopReason,
}

/// Twin of [`model::DaemonStopReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum DaemonStopReason {
    Idle,
    Asked,
    Upgraded,
}

twins!(DaemonStopReason, model::DaemonStopReason, [Idle, Asked, Upgraded]);

/// Kind 5.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RecoveryFinished {
    pub adopted: u32,
    pub ended: u32,
    pub lost: u32,
    pub requeued: u32,
}

/// Kind 6.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct ClockJumped {
    pub by_ms: i64,
}

impl From<&EnvironmentId> for EnvironmentCreated {
    fn from(id: &EnvironmentId) -> Self {
        Self { id: id.as_str().to_owned() }
    }
}

impl TryFrom<EnvironmentCreated> for Event {
    type Error = DecodeReason;

    fn try_from(stored: EnvironmentCreated) -> Result<Self, DecodeReason> {
        let id = stored.id.parse().map_err(|_| DecodeReason::BadField("id"))?;
        Ok(Self::EnvironmentCreated { id })
    }
}

impl From<DaemonStarted> for Event {
    fn from(stored: DaemonStarted) -> Self {
        let DaemonStarted { pid, version, boot, cores } = stored;
        Self::DaemonStarted { pid, version, boot: BootId(boot), cores }
    }
}

impl From<DaemonStopped> for Event {
    fn from(stored: DaemonStopped) -> Self {
        Self::DaemonStopped { reason: stored.reason.into() }
    }
}

impl From<RecoveryFinished> for Event {
    fn from(stored: RecoveryFinished) -> Self {
        let RecoveryFinished { adopted, ended, lost, requeued } = stored;
        Self::RecoveryFinished { adopted, ended, lost, requeued }
    }
}

impl From<ClockJumped> for Event {
    fn from(stored: ClockJumped) -> Self {
        Self::ClockJumped { by_ms: stored.by_ms }
    }
}
