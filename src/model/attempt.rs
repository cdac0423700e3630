//! Attempts: what is known of their processes, and how they end.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::enforcement::LimitsBy;
use super::errno;
use super::signal::Signal;
use super::time::UnixMillis;

/// A started process, as its parent saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`, in clock ticks since boot: tells a reused pid apart.
    pub start_ticks: u64,
    /// When, by the shim's wall clock.
    pub at: UnixMillis,
    /// How its tree is followed.
    pub tracking: Tracking,
    /// What holds it to its limits.
    pub limits_by: LimitsBy,
    /// The shim that holds it.
    pub shim: u32,
}

/// How a process tree is followed and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tracking {
    /// A cgroup v2 leaf of its own: nothing escapes.
    Cgroup,
    /// Process group and subreaper: everything that descends from it, by walking `/proc`.
    Subreaper,
}

/// How a process tree is held still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PausedBy {
    /// Its cgroup is frozen: nothing of it runs, and it cannot tell.
    Freezer,
    /// SIGSTOP to every process of the tree: whoever waits for one of them can tell.
    Signal,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// What was observed, never invented.
    pub status: ExitStatus,
    /// When, by the shim's wall clock; of a loss, when it was noticed.
    pub at: UnixMillis,
    /// From start to end on `CLOCK_BOOTTIME`; `None` where nobody measured it.
    pub duration_ms: Option<u64>,
    /// What it used; `None` where nobody measured it.
    pub usage: Option<Usage>,
    /// Processes that outlived the main one and were then ended or left, by policy.
    pub strays: u32,
    /// Processes of it that could not be ended.
    pub survivors: Vec<u32>,
    /// What it printed; `None` where nothing started.
    pub output: Option<OutputEnd>,
}

impl AttemptEnd {
    /// When it started, by the shim's measure; `None` where nobody measured it.
    pub fn started_at(&self) -> Option<UnixMillis> {
        let duration_ms = i64::try_from(self.duration_ms?).ok()?;
        Some(UnixMillis(self.at.0.saturating_sub(duration_ms)))
    }
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// The main process exited.
    Exited(i32),
    /// The main process was ended by a signal.
    Signalled(Signal),
    /// Its time was over and it was stopped; with what its main process then said.
    TimedOut(Final),
    /// No process was made.
    NotStarted(SpawnError),
    /// It was intended and given back before anything began.
    NeverStarted,
    /// It began and nobody saw the end.
    Lost(LostReason),
}

/// The last word of a process: wait(2)'s status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Final {
    /// Exit code.
    Exited(i32),
    /// Signal.
    Signalled(Signal),
}

/// Why no process was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpawnError {
    /// There is no such program.
    NotFound,
    /// It cannot be executed.
    NotExecutable,
    /// Something else: the `errno` of clone(2), chdir(2) or execve(2).
    Errno(i32),
    /// The values behind its markers are gone.
    SecretsGone,
    /// A file that holds the value of a variable cannot be read.
    SecretUnreadable,
    /// The user that it is to run as is not known here.
    NoSuchUser,
    /// Somebody else has this port.
    PortTaken(u16),
}

/// Why nobody knows how an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostReason {
    /// Its shim was killed.
    ShimDied,
    /// Its shim answered nothing for `limits::SHIM_MUTE_MS` and was ended with its processes.
    ShimUnresponsive,
    /// The machine went down meanwhile.
    Reboot,
}

/// Resources of an attempt's whole tree as far as it was waited for, and its peak memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// User CPU time, milliseconds (getrusage(2)).
    pub user_ms: u64,
    /// System CPU time, milliseconds.
    pub system_ms: u64,
    /// Highest resident set of one process, bytes.
    pub max_rss_bytes: u64,
    /// Processes of it that the kernel killed because its memory was used up; `None` where nobody
    /// can tell.
    pub oom_kills: Option<u32>,
}

/// What an attempt printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputEnd {
    /// Bytes written to stdout, kept or not.
    pub stdout_bytes: u64,
    /// Bytes written to stderr, kept or not.
    pub stderr_bytes: u64,
    /// blake3 of what is kept of stdout, where it is at most `limits::OUTPUT_DIGEST_BYTES`.
    pub stdout_digest: Option<Digest>,
    /// The same for stderr.
    pub stderr_digest: Option<Digest>,
}

impl ExitStatus {
    /// What the main process said last, where it was seen.
    pub fn last_word(self) -> Option<Final> {
        match self {
            Self::Exited(code) => Some(Final::Exited(code)),
            Self::Signalled(signal) => Some(Final::Signalled(signal)),
            Self::TimedOut(last) => Some(last),
            Self::NotStarted(_) | Self::NeverStarted | Self::Lost(_) => None,
        }
    }
}

impl AttemptEnd {
    /// An end of which nothing was measured.
    pub fn unmeasured(status: ExitStatus, at: UnixMillis) -> Self {
        let (strays, survivors) = (0, Vec::new());
        Self { status, at, duration_ms: None, usage: None, strays, survivors, output: None }
    }
}

impl PausedBy {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Freezer => "freezer",
            Self::Signal => "signal",
        }
    }
}

impl LostReason {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::ShimDied => "shim_died",
            Self::ShimUnresponsive => "shim_unresponsive",
            Self::Reboot => "reboot",
        }
    }
}

impl Tracking {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cgroup => "cgroup",
            Self::Subreaper => "subreaper",
        }
    }
}

/// `not_found`, `not_executable`, `spawn:E…`: the reasons of exit codes 127, 126 and 125.
impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("not_found"),
            Self::NotExecutable => f.write_str("not_executable"),
            Self::SecretsGone => f.write_str("secrets_gone"),
            Self::SecretUnreadable => f.write_str("secret_unreadable"),
            Self::NoSuchUser => f.write_str("no_such_user"),
            Self::PortTaken(port) => write!(f, "port_taken:{port}"),
            Self::Errno(number) => write!(f, "spawn:{}", errno::name(*number)),
        }
    }
}
