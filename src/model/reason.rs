//! Why things happen that are no end of a run.

use serde::{Deserialize, Serialize};

/// Why a delayed run waits for a start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueuedReason {
    /// Its time has come.
    Due,
    /// Somebody resumed it.
    Resumed,
    /// Its attempt was lost, and its policy is to go on.
    Interrupted,
    /// Files that its service watches have changed.
    FilesChanged,
    /// It gets another port than the one that somebody else has.
    PortTaken,
}

impl QueuedReason {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Resumed => "resumed",
            Self::Interrupted => "interrupted",
            Self::FilesChanged => "files_changed",
            Self::PortTaken => "port_taken",
        }
    }
}

/// Why a daemon went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonStopReason {
    /// Nothing lived, nothing waited, nobody was connected.
    Idle,
    /// `jr daemon stop`, or SIGTERM.
    Asked,
    /// A newer jr took over.
    Upgraded,
}

impl DaemonStopReason {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Asked => "asked",
            Self::Upgraded => "upgraded",
        }
    }
}

/// Why output is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputLossReason {
    /// The file was deleted or replaced underneath.
    FileGone,
    /// The disk was full.
    NoSpace,
    /// More was printed than `output_bytes_max`; the newest is kept.
    OverLimit,
    /// The file became shorter underneath.
    Truncated,
}

impl OutputLossReason {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::FileGone => "file_gone",
            Self::NoSpace => "no_space",
            Self::OverLimit => "over_limit",
            Self::Truncated => "truncated",
        }
    }
}
