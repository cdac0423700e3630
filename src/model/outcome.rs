//! How runs end: as they should, or why not.

use serde::{Deserialize, Serialize};

use super::event::{LostReason, SpawnError};
use super::id::RunId;
use super::service::spec::RestartReason;
use super::signal::Signal;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should.
    Succeeded,
    /// It said no, could not be started, or (a batch) some line failed.
    Failed(RunReason),
    /// A signal that jr did not send ended it.
    Signalled(Signal),
    /// Its time was over.
    TimedOut,
    /// Somebody asked for it after it had begun.
    Stopped(StopReason),
    /// Somebody asked for it before it had begun.
    Cancelled(StopReason),
    /// Nobody saw the end.
    Lost(LostReason),
    /// It was not to begin any more.
    Skipped(SkipReason),
    /// It was refused.
    Rejected(RejectReason),
}

/// Why a run was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// This run did not succeed, and it was to come after its success.
    DependencyFailed(RunId),
    /// This run held the lock.
    LockHeld(RunId),
}

/// Why a run was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// This run held the lock.
    LockHeld(RunId),
}

/// What a failed run failed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunReason {
    /// Exit code.
    Code(i32),
    /// It could not be started.
    NotStarted(SpawnError),
    /// So many lines of the batch did not succeed.
    Lines(u32),
    /// This command, which was to come first, did not succeed.
    Hook(RunId),
    /// It was ended because of this, and nothing follows.
    Unwell(RestartReason),
}

/// Why a run was to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// `jr stop`.
    Asked,
    /// Ctrl-C at the client that owned it.
    Interrupted,
    /// The batch that it is a line of was stopped.
    ParentStopped,
    /// Another line of its `--fail-fast` batch failed.
    FailFast,
    /// `jr down`.
    Down,
    /// `jr restart`: another run follows.
    Restarted,
    /// Its service is declared otherwise: another run follows.
    Changed,
    /// Its service is not listed any more, or there are to be fewer of it.
    Removed,
}

impl Outcome {
    /// The word of `--json` and `--outcome`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Signalled(_) => "signalled",
            Self::TimedOut => "timed_out",
            Self::Stopped(_) => "stopped",
            Self::Cancelled(_) => "cancelled",
            Self::Lost(_) => "lost",
            Self::Skipped(_) => "skipped",
            Self::Rejected(_) => "rejected",
        }
    }

    /// Whether nothing more is to be wished.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Succeeded)
    }

    /// Whether it began, or was to, and came to another end than it should. What was cancelled is
    /// neither a success nor a failure.
    pub fn is_failure(self) -> bool {
        match self {
            Self::Succeeded | Self::Cancelled(_) => false,
            Self::Failed(_)
            | Self::Signalled(_)
            | Self::TimedOut
            | Self::Stopped(_)
            | Self::Lost(_)
            | Self::Skipped(_)
            | Self::Rejected(_) => true,
        }
    }

    /// Whether it failed by itself, and not because of its batch or of another line of that.
    pub fn is_own_failure(self) -> bool {
        let followed = Self::Stopped(StopReason::FailFast) == self
            || Self::Stopped(StopReason::ParentStopped) == self;
        self.is_failure() && !followed
    }

    /// The code, signal or reason, where the outcome has one.
    pub fn detail(self) -> Option<String> {
        match self {
            Self::Failed(RunReason::Code(code)) => Some(format!("exit {code}")),
            Self::Signalled(signal) => Some(signal.to_string()),
            Self::Succeeded
            | Self::Failed(_)
            | Self::TimedOut
            | Self::Stopped(_)
            | Self::Cancelled(_)
            | Self::Lost(_)
            | Self::Skipped(_)
            | Self::Rejected(_) => self.reason(),
        }
    }

    /// The reason of `--json`, where the outcome has one beyond a code or signal.
    pub fn reason(self) -> Option<String> {
        match self {
            Self::Failed(RunReason::NotStarted(error)) => Some(error.to_string()),
            Self::Failed(RunReason::Lines(count)) => Some(format!("lines_failed:{count}")),
            Self::Failed(RunReason::Hook(run)) => Some(format!("hook_failed:{run}")),
            Self::Failed(RunReason::Unwell(reason)) => Some(reason.word().to_owned()),
            Self::Stopped(reason) | Self::Cancelled(reason) => Some(reason.word().to_owned()),
            Self::Lost(reason) => Some(reason.word().to_owned()),
            Self::Skipped(SkipReason::DependencyFailed(run)) => {
                Some(format!("dependency_failed:{run}"))
            }
            Self::Skipped(SkipReason::LockHeld(run))
            | Self::Rejected(RejectReason::LockHeld(run)) => Some(format!("lock_held:{run}")),
            Self::Succeeded
            | Self::Failed(RunReason::Code(_))
            | Self::Signalled(_)
            | Self::TimedOut => None,
        }
    }
}

impl StopReason {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Interrupted => "interrupted",
            Self::ParentStopped => "parent_stopped",
            Self::FailFast => "fail_fast",
            Self::Down => "down",
            Self::Restarted => "restarted",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}
