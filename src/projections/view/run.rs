//! A run, what it was started with, its attempts and where they print.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{EventView, ProgressView};
use crate::model::{ByteString, ResourceLimits};

/// What an outcome can be called, now or in a later version. Views store places in it.
pub const OUTCOMES: [&str; 9] = [
    "succeeded",
    "failed",
    "signalled",
    "timed_out",
    "stopped",
    "cancelled",
    "rejected",
    "skipped",
    "lost",
];

/// What a run's state can be called, now or in a later version.
pub const STATES: [&str; 8] =
    ["queued", "starting", "running", "paused", "sleeping", "stopping", "delayed", "ended"];

/// The run object of `ps`, `history`, `show` and `wait`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    /// 12 characters.
    pub run_id: String,
    /// Its name.
    pub name: String,
    /// `job` or `batch`.
    pub kind: String,
    /// `process`.
    pub runner: String,
    /// Id of its environment.
    pub environment: String,
    /// `queued`, `starting`, `running`, `paused`, `stopping`, `delayed` or `ended`.
    pub state: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// What its main process returned, of the latest attempt.
    pub exit_code: Option<i32>,
    /// The number of the signal that ended its main process.
    pub signal: Option<i32>,
    /// Why, where a word says more.
    pub reason: Option<String>,
    /// The latest attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// argv, masked.
    pub command: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The batch that it is a line of, or what it continues.
    pub parent: Option<String>,
    /// Main process, while it lives.
    pub pid: Option<u32>,
    /// Ports by name.
    pub ports: BTreeMap<String, u16>,
    /// Health of a service.
    pub health: Option<String>,
    /// Image of an instance.
    pub image: Option<String>,
    /// Where it waits or waited.
    pub queue: Option<String>,
    /// blake3 of the configuration that it was asked for under; `null` where no file said anything.
    #[serde(default)]
    pub config: Option<String>,
    /// What HEAD of its directory's git repository was when it was asked for; `null` where none was
    /// found. Local changes are not seen.
    #[serde(default)]
    pub commit: Option<String>,
    /// Admission.
    pub created_at: String,
    /// First process.
    pub started_at: Option<String>,
    /// End.
    pub ended_at: Option<String>,
    /// From the first process to the end, or to now.
    pub duration_ms: Option<i64>,
    /// Its admission.
    pub first_seq: u64,
    /// Its latest record.
    pub last_seq: u64,
    /// Of a batch: what became of its lines.
    pub batch: Option<BatchView>,
    /// Of what runs, in `ps`, `show` and `wait`: how far it is.
    #[serde(default)]
    pub progress: Option<Box<ProgressView>>,
}

/// The lines of a batch, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchView {
    /// In all.
    pub lines: u32,
    /// Waiting.
    pub queued: u32,
    /// Starting, running or stopping.
    pub running: u32,
    /// Each held by itself: its processes stand still, or it keeps its place without a start. What
    /// only the paused queue of the batch holds is `queued`.
    #[serde(default)]
    pub paused: u32,
    /// As they should.
    pub succeeded: u32,
    /// Failed, signalled, timed out, stopped or lost.
    pub failed: u32,
    /// Cancelled before they began.
    pub cancelled: u32,
}

/// One attempt, in `show`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    /// From 1.
    pub attempt: u32,
    /// `intended`, `running` or `ended`.
    pub state: String,
    /// `exited`, `signalled`, `timed_out`, `not_started`, `never_started` or `lost`.
    pub status: Option<String>,
    /// What its main process returned.
    pub exit_code: Option<i32>,
    /// The signal that ended its main process.
    pub signal: Option<i32>,
    /// Why it was lost or did not start.
    pub reason: Option<String>,
    /// Main process.
    pub pid: Option<u32>,
    /// `cgroup` or `subreaper`: how its tree is followed.
    pub tracking: Option<String>,
    /// What holds it to each limit.
    pub limits_by: LimitsByView,
    /// Start.
    pub started_at: Option<String>,
    /// End.
    pub ended_at: Option<String>,
    /// On `CLOCK_BOOTTIME`.
    pub duration_ms: Option<u64>,
    /// User CPU time.
    pub user_ms: Option<u64>,
    /// System CPU time.
    pub system_ms: Option<u64>,
    /// Highest resident set.
    pub max_rss_bytes: Option<u64>,
    /// Processes of it that the kernel killed because its memory was used up.
    pub oom_kills: Option<u32>,
    /// Processes that outlived the main one.
    pub strays: u32,
    /// Processes that could not be ended.
    pub survivors: Vec<u32>,
    /// Bytes printed to stdout.
    pub stdout_bytes: Option<u64>,
    /// Bytes printed to stderr.
    pub stderr_bytes: Option<u64>,
}

/// What holds an attempt to each limit: `cgroup2`, `cgroup1`, `rlimit` (each process by itself) or
/// `none`; `null` where none was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsByView {
    /// CPU time per wall time.
    pub cpu: Option<String>,
    /// Memory.
    pub memory: Option<String>,
    /// Processes and threads.
    pub pids: Option<String>,
}

/// Where the output of one attempt lies, for `logs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputView {
    /// Of which run.
    pub run_id: String,
    /// Its name.
    pub name: String,
    /// Which attempt.
    pub attempt: u32,
    /// Files `<base>.out`, `<base>.err` and `<base>.idx`; `null` of a bundle, which has them in
    /// it.
    pub base: Option<String>,
    /// At a moment of the past at which it lived: what was seen by then, in Unix milliseconds.
    #[serde(default)]
    pub until_ms: Option<i64>,
    /// Whether more may come.
    pub open: bool,
    /// Whether the run may still get another attempt that is asked for.
    pub run_open: bool,
    /// What it printed to stdout, once that is known; of the latest attempt only.
    #[serde(default)]
    pub stdout_bytes: Option<u64>,
    /// The same for stderr.
    #[serde(default)]
    pub stderr_bytes: Option<u64>,
    /// The oldest bytes of stdout that a bundle was made without.
    #[serde(default)]
    pub stdout_left_out: u64,
    /// The same of stderr.
    #[serde(default)]
    pub stderr_left_out: u64,
    /// Why a bundle has none of what it printed.
    #[serde(default)]
    pub absent: Option<String>,
}

impl OutputView {
    /// Where its files are read, without their endings.
    pub fn base(&self) -> &Path {
        Path::new(self.base.as_deref().unwrap_or_default())
    }
}

/// Outputs that are followed, with the place of the log at which they were looked up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FollowView {
    /// `jr.logs/1`.
    pub schema: String,
    /// Runs admitted later are not in it.
    pub seq: u64,
    /// Attempt 0 is a run that has printed nowhere yet.
    pub items: Vec<OutputView>,
}

/// What a run was started with, for `repro` and `diff`: bytes where they may be no text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedView {
    /// `jr.recorded/1`.
    pub schema: String,
    /// The run.
    #[serde(flatten)]
    pub run: RunView,
    /// argv, masked; empty for a batch.
    pub argv: Vec<ByteString>,
    /// Working directory.
    pub directory: ByteString,
    /// Permission bits that new files do not get (umask(2)).
    pub umask: u32,
    /// Environment variables, masked.
    pub variables: Vec<(ByteString, ByteString)>,
    /// Why they could not be read.
    pub variables_error: Option<String>,
    /// Of a line of a batch: as it was written, masked.
    pub line: Option<ByteString>,
    /// Whether markers may stand for secrets; else they are text like any other.
    pub has_secrets: bool,
    /// Its time limit.
    pub timeout_ms: Option<u64>,
    /// First signal of a stop.
    pub stop_signal: String,
    /// Until SIGKILL.
    pub grace_ms: u64,
    /// The configuration that it was asked for under: a `config::document::Document`, as JSON.
    #[serde(default)]
    pub config_document: Option<String>,
    /// Why that could not be read.
    #[serde(default)]
    pub config_error: Option<String>,
}

/// `jr show`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShowView {
    /// `jr.show/1`.
    pub schema: String,
    /// The run.
    #[serde(flatten)]
    pub run: RunView,
    /// Its key.
    pub key: Option<String>,
    /// Its time limit.
    pub timeout_ms: Option<u64>,
    /// First signal of a stop.
    pub stop_signal: String,
    /// Until SIGKILL.
    pub grace_ms: u64,
    /// `kill` or `keep`.
    pub strays: String,
    /// `file` or `pipe`: how output reaches its files.
    pub capture: String,
    /// What it may use.
    pub limits: ResourceLimits,
    /// Its environment variables, masked; names sorted.
    pub variables: BTreeMap<String, String>,
    /// Why they could not be read.
    pub variables_error: Option<String>,
    /// Its attempts.
    pub attempts: Vec<AttemptView>,
    /// Its records.
    pub timeline: Vec<EventView>,
    /// Of a batch: the ids of its lines, in order.
    pub lines: Vec<String>,
    /// Of a batch: the ids of the batches that continue it.
    #[serde(default)]
    pub continuations: Vec<String>,
    /// The ids of the runs that repeat it.
    #[serde(default)]
    pub reruns: Vec<String>,
}
