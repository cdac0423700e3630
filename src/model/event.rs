//! Facts: what was accepted or seen, in today's shape. The stored shapes are in `log::versions`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::Resolution;
use super::digest::Digest;
use super::enforcement::LimitsBy;
use super::errno;
use super::id::{CommandId, EnvironmentId, QueueName, RunId};
pub use super::outcome::{Outcome, RejectReason, RunReason, SkipReason, StopReason};
pub use super::reason::{DaemonStopReason, OutputLossReason, QueuedReason};
use super::signal::Signal;
use super::spec::RunSpec;
use super::time::{BootId, UnixMillis};

/// One fact at its place in the log. Never edited; a correction is a further event.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Place in the environment's log: from 1, without gaps. The only order that counts.
    pub seq: u64,
    /// Wall clock at the append. For people, not for logic.
    pub time: UnixMillis,
    /// The command behind it; `None` for what the daemon saw by itself.
    pub cause: Option<Cause>,
    /// The fact.
    pub event: Event,
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The client's command; repeated when the client sends it again.
    pub command: CommandId,
    /// The user of the client, by the socket's peer credentials.
    pub uid: u32,
}

/// The client that a request came from, so that `jr why` can tell people who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Its process, by the socket's peer credentials.
    pub pid: u32,
    /// Its command line as it tells it, `limits::ASKER_BYTES` at most.
    pub command: String,
}

/// When something that waits for time goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Due {
    /// By the wall clock: for people, and after a reboot.
    pub at: UnixMillis,
    /// By `CLOCK_BOOTTIME` of the boot that the record was written in, in milliseconds.
    pub boottime_ms: u64,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The log begins.
    EnvironmentCreated {
        /// Its name.
        id: EnvironmentId,
    },
    /// A daemon took the environment.
    DaemonStarted {
        /// Its process.
        pid: u32,
        /// Version of jr.
        version: String,
        /// The boot that it lives in.
        boot: BootId,
        /// Usable cores: the limit of a queue that nobody set.
        cores: u32,
    },
    /// A daemon gave the environment up in good order.
    DaemonStopped {
        /// Why.
        reason: DaemonStopReason,
    },
    /// All that was found at the start of a daemon has been dealt with.
    RecoveryFinished {
        /// Attempts that live on.
        adopted: u32,
        /// Attempts that had ended, with their status.
        ended: u32,
        /// Attempts of which nobody knows the end.
        lost: u32,
        /// Attempts that never began; their runs wait again.
        requeued: u32,
    },
    /// The wall clock moved against `CLOCK_BOOTTIME`.
    ClockJumped {
        /// How far, in milliseconds; negative is back.
        by_ms: i64,
    },
    /// What the configuration files say is in force from now on.
    ConfigResolved {
        /// What they say.
        resolution: Resolution,
    },
    /// Configuration files changed and cannot be used: what was in force stays.
    ConfigRejected {
        /// Which file.
        source: String,
        /// Why.
        reason: String,
    },
    /// A run was accepted.
    RunAdmitted {
        /// Its name for ever.
        run: RunId,
        /// What it is.
        spec: Arc<RunSpec>,
    },
    /// An attempt will be started. Durable before anything is.
    AttemptIntended {
        /// Of which run.
        run: RunId,
        /// From 1; never used again.
        attempt: u32,
    },
    /// A process exists.
    AttemptStarted {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// What is known of the process.
        process: Process,
    },
    /// The attempt is over.
    AttemptEnded {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How.
        end: AttemptEnd,
    },
    /// The run is over; nothing of it lives again.
    RunEnded {
        /// Which.
        run: RunId,
        /// How.
        outcome: Outcome,
    },
    /// The run will be stopped. Durable before any signal.
    StopRequested {
        /// Which.
        run: RunId,
        /// Why.
        reason: StopReason,
        /// First signal.
        signal: Signal,
        /// Until SIGKILL, in milliseconds.
        grace_ms: u64,
        /// Whose wish it is; `None` where it follows from something else.
        asker: Option<Asker>,
    },
    /// A signal will be sent. Durable before it is.
    SignalRequested {
        /// To which run.
        run: RunId,
        /// To which attempt of it.
        attempt: u32,
        /// Which.
        signal: Signal,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// A signal was sent, or could not be.
    SignalSent {
        /// To which run.
        run: RunId,
        /// To which attempt of it.
        attempt: u32,
        /// Which.
        signal: Signal,
        /// `errno` if it failed.
        errno: Option<i32>,
    },
    /// The limit of a queue was set; creates the queue.
    QueueSet {
        /// Which.
        queue: QueueName,
        /// Slots.
        limit: u32,
    },
    /// A queue gives no more starts; what runs goes on.
    QueuePaused {
        /// Which.
        queue: QueueName,
    },
    /// A queue gives starts again.
    QueueUnpaused {
        /// Which.
        queue: QueueName,
    },
    /// The attempt did not succeed and another one follows later.
    RestartScheduled {
        /// Of which run.
        run: RunId,
        /// The attempt that ended.
        attempt: u32,
        /// When the next may begin.
        due: Due,
    },
    /// A delayed run waits for a start again.
    RunQueued {
        /// Which.
        run: RunId,
        /// Why now.
        reason: QueuedReason,
    },
    /// The run will be held: its processes, or its place in the queue. Durable before it is.
    PauseRequested {
        /// Which.
        run: RunId,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// Its processes are held still.
    RunPaused {
        /// Which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How.
        by: PausedBy,
    },
    /// The run will go on. Durable before it does.
    UnpauseRequested {
        /// Which.
        run: RunId,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// Its processes go on.
    RunUnpaused {
        /// Which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
    },
    /// Runs that lie wholly before a place of the log will be pruned. Durable before any byte goes.
    PruneRequested {
        /// The first record of the history that is kept.
        before: u64,
        /// What was asked: days.
        keep_days: Option<u32>,
        /// What was asked: runs.
        keep_runs: Option<u64>,
    },
    /// They are pruned, or as much of them as could be.
    RunsPruned {
        /// As in the request.
        before: u64,
        /// Runs that are gone.
        runs: u64,
        /// Records that lost their payloads, or are hidden until they do.
        events: u64,
        /// Bytes that the disk has back.
        bytes: u64,
        /// What it could not do.
        error: Option<String>,
    },
    /// A run is to be kept, or no longer. Not a record of the run's own: it may have ended.
    RunPinned {
        /// Which.
        run: RunId,
        /// Kept until further notice.
        pinned: bool,
    },
    /// Some output is gone.
    OutputLost {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How many bytes, where that is known.
        bytes: Option<u64>,
        /// Why.
        reason: OutputLossReason,
    },
}

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
    /// A port that jr was to open for it is taken.
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

impl Event {
    /// The name of its kind, as `jr events` prints it.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::EnvironmentCreated { .. } => "environment_created",
            Self::DaemonStarted { .. } => "daemon_started",
            Self::DaemonStopped { .. } => "daemon_stopped",
            Self::RecoveryFinished { .. } => "recovery_finished",
            Self::ClockJumped { .. } => "clock_jumped",
            Self::ConfigResolved { .. } => "config_resolved",
            Self::ConfigRejected { .. } => "config_rejected",
            Self::RunAdmitted { .. } => "run_admitted",
            Self::AttemptIntended { .. } => "attempt_intended",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptEnded { .. } => "attempt_ended",
            Self::RunEnded { .. } => "run_ended",
            Self::StopRequested { .. } => "stop_requested",
            Self::SignalRequested { .. } => "signal_requested",
            Self::SignalSent { .. } => "signal_sent",
            Self::QueueSet { .. } => "queue_set",
            Self::QueuePaused { .. } => "queue_paused",
            Self::QueueUnpaused { .. } => "queue_unpaused",
            Self::RestartScheduled { .. } => "restart_scheduled",
            Self::RunQueued { .. } => "run_queued",
            Self::PauseRequested { .. } => "pause_requested",
            Self::RunPaused { .. } => "run_paused",
            Self::UnpauseRequested { .. } => "unpause_requested",
            Self::RunUnpaused { .. } => "run_unpaused",
            Self::OutputLost { .. } => "output_lost",
            Self::PruneRequested { .. } => "prune_requested",
            Self::RunsPruned { .. } => "runs_pruned",
            Self::RunPinned { .. } => "run_pinned",
        }
    }

    /// The run that it is about.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::RunAdmitted { run, .. }
            | Self::AttemptIntended { run, .. }
            | Self::AttemptStarted { run, .. }
            | Self::AttemptEnded { run, .. }
            | Self::RunEnded { run, .. }
            | Self::StopRequested { run, .. }
            | Self::SignalRequested { run, .. }
            | Self::SignalSent { run, .. }
            | Self::RestartScheduled { run, .. }
            | Self::RunQueued { run, .. }
            | Self::PauseRequested { run, .. }
            | Self::RunPaused { run, .. }
            | Self::UnpauseRequested { run, .. }
            | Self::RunUnpaused { run, .. }
            | Self::OutputLost { run, .. } => Some(*run),
            Self::EnvironmentCreated { .. }
            | Self::DaemonStarted { .. }
            | Self::DaemonStopped { .. }
            | Self::RecoveryFinished { .. }
            | Self::ClockJumped { .. }
            | Self::ConfigResolved { .. }
            | Self::ConfigRejected { .. }
            | Self::PruneRequested { .. }
            | Self::RunsPruned { .. }
            | Self::RunPinned { .. }
            | Self::QueueSet { .. }
            | Self::QueuePaused { .. }
            | Self::QueueUnpaused { .. } => None,
        }
    }
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
