//! Version 1 of what is said of attempts.

use serde::{Deserialize, Serialize};

use super::reason::{LostReason, OutputLossReason, SpawnError, twins};
use super::{run_id, signal, signal_byte};
use crate::log::codec::DecodeReason;
use crate::model::event::{self as model, Event};
use crate::model::{Digest, UnixMillis};

/// Kind 9.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct AttemptIntended {
    pub run: u64,
    pub attempt: u32,
    pub ports: Vec<(String, u16)>,
}

/// Kind 10.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct AttemptStarted {
    pub run: u64,
    pub attempt: u32,
    pub process: Process,
}

/// Twin of [`model::Process`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct Process {
    pub pid: u32,
    pub start_ticks: u64,
    pub at_ms: i64,
    pub tracking: Tracking,
    pub limits_by: LimitsBy,
    pub shim: u32,
}

/// Twin of [`model::Tracking`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum Tracking {
    Cgroup,
    Subreaper,
}

twins!(Tracking, model::Tracking, [Cgroup, Subreaper]);

/// Twin of [`LimitBy`](crate::model::LimitBy).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum LimitBy {
    Cgroup2,
    Cgroup1,
    Rlimit,
    Nothing,
}

twins!(LimitBy, crate::model::LimitBy, [Cgroup2, Cgroup1, Rlimit, Nothing]);

/// Twin of [`LimitsBy`](crate::model::LimitsBy).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct LimitsBy {
    pub cpu: Option<LimitBy>,
    pub memory: Option<LimitBy>,
    pub pids: Option<LimitBy>,
}

/// Kind 11.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct AttemptEnded {
    pub run: u64,
    pub attempt: u32,
    pub end: AttemptEnd,
}

/// Twin of [`model::AttemptEnd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct AttemptEnd {
    pub status: ExitStatus,
    pub at_ms: i64,
    pub duration_ms: Option<u64>,
    pub usage: Option<Usage>,
    pub strays: u32,
    pub survivors: Vec<u32>,
    pub output: Option<OutputEnd>,
}

/// Twin of [`model::ExitStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum ExitStatus {
    Exited(i32),
    Signalled(u8),
    TimedOut(Final),
    NotStarted(SpawnError),
    NeverStarted,
    Lost(LostReason),
}

/// Twin of [`model::Final`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum Final {
    Exited(i32),
    Signalled(u8),
}

/// Twin of [`model::Usage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct Usage {
    pub user_ms: u64,
    pub system_ms: u64,
    pub max_rss_bytes: u64,
    pub oom_kills: Option<u32>,
}

/// Twin of [`model::OutputEnd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct OutputEnd {
    pub stdout_bytes: u64,
    pub stderr_bytes: u64,
    pub stdout_digest: Option<[u8; 32]>,
    pub stderr_digest: Option<[u8; 32]>,
}

/// Kind 30.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct OutputLost {
    pub run: u64,
    pub attempt: u32,
    pub bytes: Option<u64>,
    pub reason: OutputLossReason,
}

impl From<&model::Process> for Process {
    fn from(model: &model::Process) -> Self {
        let model::Process { pid, start_ticks, at, tracking, limits_by, shim } = *model;
        let (tracking, limits_by) = (tracking.into(), limits_by.into());
        Self { pid, start_ticks, at_ms: at.0, tracking, limits_by, shim }
    }
}

impl From<Process> for model::Process {
    fn from(stored: Process) -> Self {
        let Process { pid, start_ticks, at_ms, tracking, limits_by, shim } = stored;
        let (tracking, limits_by) = (tracking.into(), limits_by.into());
        Self { pid, start_ticks, at: UnixMillis(at_ms), tracking, limits_by, shim }
    }
}

impl From<crate::model::LimitsBy> for LimitsBy {
    fn from(model: crate::model::LimitsBy) -> Self {
        let [cpu, memory, pids] =
            [model.cpu, model.memory, model.pids].map(|by| by.map(Into::into));
        Self { cpu, memory, pids }
    }
}

impl From<LimitsBy> for crate::model::LimitsBy {
    fn from(stored: LimitsBy) -> Self {
        let [cpu, memory, pids] =
            [stored.cpu, stored.memory, stored.pids].map(|by| by.map(Into::into));
        Self { cpu, memory, pids }
    }
}

impl From<model::Final> for Final {
    fn from(model: model::Final) -> Self {
        match model {
            model::Final::Exited(code) => Self::Exited(code),
            model::Final::Signalled(signal) => Self::Signalled(signal_byte(signal)),
        }
    }
}

impl TryFrom<Final> for model::Final {
    type Error = DecodeReason;

    fn try_from(stored: Final) -> Result<Self, DecodeReason> {
        Ok(match stored {
            Final::Exited(code) => Self::Exited(code),
            Final::Signalled(number) => Self::Signalled(signal(number)?),
        })
    }
}

impl From<model::ExitStatus> for ExitStatus {
    fn from(model: model::ExitStatus) -> Self {
        match model {
            model::ExitStatus::Exited(code) => Self::Exited(code),
            model::ExitStatus::Signalled(signal) => Self::Signalled(signal_byte(signal)),
            model::ExitStatus::TimedOut(last) => Self::TimedOut(last.into()),
            model::ExitStatus::NotStarted(error) => Self::NotStarted(error.into()),
            model::ExitStatus::NeverStarted => Self::NeverStarted,
            model::ExitStatus::Lost(reason) => Self::Lost(reason.into()),
        }
    }
}

impl TryFrom<ExitStatus> for model::ExitStatus {
    type Error = DecodeReason;

    fn try_from(stored: ExitStatus) -> Result<Self, DecodeReason> {
        Ok(match stored {
            ExitStatus::Exited(code) => Self::Exited(code),
            ExitStatus::Signalled(number) => Self::Signalled(signal(number)?),
            ExitStatus::TimedOut(last) => Self::TimedOut(last.try_into()?),
            ExitStatus::NotStarted(error) => Self::NotStarted(error.into()),
            ExitStatus::NeverStarted => Self::NeverStarted,
            ExitStatus::Lost(reason) => Self::Lost(reason.into()),
        })
    }
}

impl From<model::Usage> for Usage {
    fn from(model: model::Usage) -> Self {
        let model::Usage { user_ms, system_ms, max_rss_bytes, oom_kills } = model;
        Self { user_ms, system_ms, max_rss_bytes, oom_kills }
    }
}

impl From<Usage> for model::Usage {
    fn from(stored: Usage) -> Self {
        let Usage { user_ms, system_ms, max_rss_bytes, oom_kills } = stored;
        Self { user_ms, system_ms, max_rss_bytes, oom_kills }
    }
}

impl From<model::OutputEnd> for OutputEnd {
    fn from(model: model::OutputEnd) -> Self {
        let model::OutputEnd { stdout_bytes, stderr_bytes, stdout_digest, stderr_digest } = model;
        let [stdout_digest, stderr_digest] =
            [stdout_digest, stderr_digest].map(|digest| digest.map(|digest| digest.0));
        Self { stdout_bytes, stderr_bytes, stdout_digest, stderr_digest }
    }
}

impl From<OutputEnd> for model::OutputEnd {
    fn from(stored: OutputEnd) -> Self {
        let OutputEnd { stdout_bytes, stderr_bytes, stdout_digest, stderr_digest } = stored;
        let [stdout_digest, stderr_digest] =
            [stdout_digest, stderr_digest].map(|digest| digest.map(Digest));
        Self { stdout_bytes, stderr_bytes, stdout_digest, stderr_digest }
    }
}

impl From<&model::AttemptEnd> for AttemptEnd {
    fn from(model: &model::AttemptEnd) -> Self {
        let model::AttemptEnd { status, at, duration_ms, usage, strays, survivors, output } = model;
        Self {
            status: (*status).into(),
            at_ms: at.0,
            duration_ms: *duration_ms,
            usage: usage.map(Into::into),
            strays: *strays,
            survivors: survivors.clone(),
            output: output.map(Into::into),
        }
    }
}

impl TryFrom<AttemptEnd> for model::AttemptEnd {
    type Error = DecodeReason;

    fn try_from(stored: AttemptEnd) -> Result<Self, DecodeReason> {
        let AttemptEnd { status, at_ms, duration_ms, usage, strays, survivors, output } = stored;
        Ok(Self {
            status: status.try_into()?,
            at: UnixMillis(at_ms),
            duration_ms,
            usage: usage.map(Into::into),
            strays,
            survivors,
            output: output.map(Into::into),
        })
    }
}

impl TryFrom<AttemptIntended> for Event {
    type Error = DecodeReason;

    fn try_from(stored: AttemptIntended) -> Result<Self, DecodeReason> {
        let AttemptIntended { run, attempt, ports } = stored;
        Ok(Self::AttemptIntended { run: run_id(run)?, attempt, ports })
    }
}

impl TryFrom<AttemptStarted> for Event {
    type Error = DecodeReason;

    fn try_from(stored: AttemptStarted) -> Result<Self, DecodeReason> {
        let AttemptStarted { run, attempt, process } = stored;
        Ok(Self::AttemptStarted { run: run_id(run)?, attempt, process: process.into() })
    }
}

impl TryFrom<AttemptEnded> for Event {
    type Error = DecodeReason;

    fn try_from(stored: AttemptEnded) -> Result<Self, DecodeReason> {
        let AttemptEnded { run, attempt, end } = stored;
        Ok(Self::AttemptEnded { run: run_id(run)?, attempt, end: end.try_into()? })
    }
}

impl TryFrom<OutputLost> for Event {
    type Error = DecodeReason;

    fn try_from(stored: OutputLost) -> Result<Self, DecodeReason> {
        let OutputLost { run, attempt, bytes, reason } = stored;
        Ok(Self::OutputLost { run: run_id(run)?, attempt, bytes, reason: reason.into() })
    }
}
