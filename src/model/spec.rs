//! What is asked for: one run, completely described.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bytestring::ByteString;
use super::commit::GitCommit;
use super::digest::Digest;
use super::id::{LockName, QueueName, RunId};
use super::service::spec::{HookMoment, Role};
use super::signal::Signal;
use crate::limits;

/// What sort of thing a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A command that ends.
    Job,
    /// The parent of many jobs, without a process of its own.
    Batch,
    /// A command that stays up, for one replica of a service.
    Service,
}

/// What happens to processes that outlive the main one of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strays {
    /// They are killed when the main process ends.
    #[default]
    Kill,
    /// They live on; the attempt ends with the main process.
    Keep,
}

/// Further attempts after one that did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How many at most.
    pub times: u32,
    /// How long before each.
    pub backoff: Backoff,
}

/// Waiting times that grow with each attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Before the first retry, in milliseconds.
    pub first_ms: u64,
    /// No wait is longer, in milliseconds.
    pub max_ms: u64,
    /// Each wait is so many percent of the one before; 100 keeps them equal.
    pub factor_percent: u32,
    /// Each wait is shortened or lengthened by up to so many percent, 0 to 100, so that what
    /// failed together does not come back together.
    pub jitter_percent: u8,
}

/// Another run that has to end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Which.
    pub run: RunId,
    /// How it has to end.
    pub condition: Condition,
}

/// What a run asks of one that it comes after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It must succeed, else this one is skipped.
    #[default]
    Ok,
    /// It must have ended, however.
    Any,
}

/// A lock that a run holds from the intent of its first attempt until its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockWish {
    /// Which.
    pub name: LockName,
    /// If another run holds it when this one could begin.
    pub otherwise: LockBusy,
}

/// What becomes of a run whose lock is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockBusy {
    /// It waits.
    #[default]
    Wait,
    /// It is rejected.
    Fail,
    /// It is skipped.
    Skip,
}

/// What becomes of a run whose attempt nobody saw end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInterrupt {
    /// It ends as lost.
    #[default]
    Fail,
    /// It waits in its queue again, `limits::REQUEUES` times at most.
    Requeue,
    /// It is delayed until somebody resumes it.
    Ask,
}

/// How output reaches its files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// The process writes to the files itself.
    #[default]
    File,
    /// The shim copies from pipes: the order of the two streams is exact.
    Pipe,
}

/// The size of a terminal (`ioctl_tty(2)`, `TIOCSWINSZ`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// What the processes of an attempt may use together; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// CPU time per wall time, in thousandths of a core.
    pub cpu_millis: Option<u32>,
    /// Memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// Everything that an attempt of a run needs, fixed at admission.
///
/// Arguments and variables are stored masked (law 9): where [`RunSpec::secrets`] is set, the
/// values behind the markers lie in that file until no run of it can start any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// For people and selectors; 1 to 200 bytes without control characters.
    pub name: String,
    /// Job or batch.
    pub kind: Kind,
    /// argv; empty for a batch.
    pub command: Vec<ByteString>,
    /// Working directory of the process.
    pub cwd: ByteString,
    /// Permission bits that its new files do not get (umask(2)).
    pub umask: u32,
    /// The blob of the environment variables; `None` for a batch.
    pub variables: Option<Digest>,
    /// Whose secrets file holds the values behind the markers.
    pub secrets: Option<RunId>,
    /// Free words to select by.
    pub labels: BTreeMap<String, String>,
    /// Where it waits; `None` starts at once.
    pub queue: Option<QueueName>,
    /// The start waits for a client to hand over its standard input.
    pub attached: bool,
    /// Running time after which it is stopped, in milliseconds of `CLOCK_BOOTTIME`.
    pub timeout_ms: Option<u64>,
    /// The first signal of a stop or a timeout.
    pub stop_signal: Signal,
    /// Time between that signal and SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// What outlives the main process.
    pub strays: Strays,
    /// Newest bytes kept of each output stream.
    pub output_bytes_max: u64,
    /// The same key never starts a second run while the first is kept.
    pub key: Option<String>,
    /// The batch that it is a line of, the batch that it continues, the run that it repeats.
    pub parent: Option<RunId>,
    /// The line of a batch as it was written, masked.
    pub line: Option<ByteString>,
    /// Of a batch: the first failure cancels the rest.
    pub fail_fast: bool,
    /// Further attempts.
    pub retry: Option<Retry>,
    /// Exit codes that are a success besides 0.
    pub ok_codes: Vec<u8>,
    /// What has to end first.
    pub after: Vec<Dependency>,
    /// What nobody else may hold meanwhile.
    pub lock: Option<LockWish>,
    /// If an attempt is lost.
    pub on_interrupt: OnInterrupt,
    /// It gets a terminal of this size at first.
    pub tty: Option<WindowSize>,
    /// How output reaches its files.
    pub capture: Capture,
    /// What it may use.
    pub limits: ResourceLimits,
    /// Variables that are read from files at the start of each attempt, and never stored: name and
    /// path.
    pub variable_files: Vec<(ByteString, ByteString)>,
    /// The configuration that it was asked for under; `None` is what jr brings along.
    pub config: Option<Digest>,
    /// What HEAD of the working directory's repository was when it was asked for, where the client
    /// found one.
    pub commit: Option<GitCommit>,
    /// Of a service: which replica of which.
    pub role: Option<Role>,
    /// Of a command beside a service's run, its parent: at which moment.
    pub hook: Option<HookMoment>,
    /// The Unix user that runs it; `None` is the daemon's.
    pub user: Option<String>,
}

impl RunSpec {
    /// Older runs that it refers to: they are kept while it lives.
    pub fn names(&self) -> impl Iterator<Item = RunId> + '_ {
        self.parent.into_iter().chain(self.after.iter().map(|after| after.run))
    }

    /// Whether it succeeds with this exit code.
    pub fn is_ok(&self, code: i32) -> bool {
        code == 0 || u8::try_from(code).is_ok_and(|code| self.ok_codes.contains(&code))
    }
}

impl Default for RunSpec {
    /// A job without a command that starts at once in `/`: what is left out means this.
    fn default() -> Self {
        Self {
            name: "job".to_owned(),
            kind: Kind::Job,
            command: Vec::new(),
            cwd: ByteString::from("/"),
            umask: limits::UMASK,
            variables: None,
            secrets: None,
            labels: BTreeMap::new(),
            queue: None,
            attached: false,
            timeout_ms: None,
            stop_signal: Signal::TERM,
            grace_ms: limits::GRACE_MS,
            strays: Strays::Kill,
            output_bytes_max: limits::OUTPUT_BYTES_MAX,
            key: None,
            parent: None,
            line: None,
            fail_fast: false,
            retry: None,
            ok_codes: Vec::new(),
            after: Vec::new(),
            lock: None,
            on_interrupt: OnInterrupt::Fail,
            tty: None,
            capture: Capture::File,
            limits: ResourceLimits::default(),
            variable_files: Vec::new(),
            config: None,
            commit: None,
            role: None,
            hook: None,
            user: None,
        }
    }
}
