//! What a client sees: plain types whose JSON is the contract of `--json`.
//!
//! Keys are `snake_case`, enums lower-case words, times RFC 3339 in UTC with milliseconds,
//! durations integer `*_ms`; what is not known is `null`, never a missing key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// `queued`, `starting`, `running`, `stopping`, `delayed` or `ended`.
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

/// How far a run is, and how long it may still take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgressView {
    /// 0 to 100, by a bar or by what is counted.
    #[serde(serialize_with = "number")]
    pub percent: Option<f64>,
    /// So much is done; may exceed the total.
    #[serde(serialize_with = "number")]
    pub completed: Option<f64>,
    /// Of so much.
    #[serde(serialize_with = "number")]
    pub total: Option<f64>,
    /// Of what.
    pub unit: Option<String>,
    /// What is being done.
    pub operation: Option<String>,
    /// `normal`, `error`, `indeterminate` or `paused`: what its bar says.
    pub state: Option<String>,
    /// What it said last.
    pub event: Option<String>,
    /// What came of it, as it says.
    pub result: Option<String>,
    /// Whether that is bad.
    pub failed: bool,
    /// Since the start of its attempt, without pauses.
    pub elapsed_ms: u64,
    /// The median of the newest successes of its name.
    pub usual_ms: Option<u64>,
    /// Left, as far as one can tell.
    pub eta_ms: Option<u64>,
    /// Its end by that; not while it is paused.
    pub eta_at: Option<String>,
    /// What that rests on: `progress` or `history`.
    pub eta_by: Option<String>,
    /// Beyond what is usual.
    pub overdue_ms: Option<u64>,
}

/// Integers without a point, as they were counted.
#[expect(clippy::ref_option, reason = "serde hands over the field")]
fn number<S: serde::Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match *number {
        None => serializer.serialize_none(),
        Some(number) if number.fract() == 0.0 && number.abs() < 1e15 =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "it is an integer that fits")]
            serializer.serialize_some(&(number as i64))
        }
        Some(number) => serializer.serialize_some(&number),
    }
}

/// `jr why`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhyView {
    /// `jr.why/1`.
    pub schema: String,
    /// The run.
    #[serde(flatten)]
    pub run: RunView,
    /// The reasons, in the order of what they tell.
    pub items: Vec<WhyItem>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyItem {
    /// A word for programs, e.g. `queue`, `lock`, `exit_code`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// The records that it rests on.
    pub events: Vec<u64>,
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

/// One record, in `events` and the timeline of `show`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventView {
    /// Its place.
    pub seq: u64,
    /// When.
    pub time: String,
    /// Its kind.
    pub kind: String,
    /// The run that it is about.
    pub run_id: Option<String>,
    /// The command behind it.
    pub command_id: Option<String>,
    /// The user behind it.
    pub uid: Option<u32>,
    /// The chain's hash at it.
    pub hash: String,
    /// What else its kind says.
    #[serde(flatten)]
    pub fields: BTreeMap<String, serde_json::Value>,
}

/// A queue, in `queue list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// Slots.
    pub limit: u32,
    /// Whether somebody set them.
    pub limit_set: bool,
    /// It gives no starts.
    #[serde(default)]
    pub paused: bool,
    /// Starting, running or stopping in it.
    pub running: u32,
    /// Waiting in it.
    pub queued: u32,
}

/// A replica of a service, in `status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Which.
    pub service: String,
    /// Which replica of it, from 0.
    pub replica: u32,
    /// Its name for people.
    pub title: Option<String>,
    /// `down`, `waiting`, `starting`, `ready`, `unhealthy`, `restarting`, `crash_looping`,
    /// `paused`, `interrupted`, `stopping`, `stopped`, `completed`, `failed` or `skipped`.
    pub state: String,
    /// `ready`, `healthy` or `unhealthy`; `null` where it is not asked, or has not answered.
    pub health: Option<String>,
    /// Why it is so, where a word says more.
    pub reason: Option<String>,
    /// Whether it is to be up.
    pub wanted: bool,
    /// Its run, live or the latest.
    pub run_id: Option<String>,
    /// Main process.
    pub pid: Option<u32>,
    /// Ports by name.
    pub ports: BTreeMap<String, u16>,
    /// Further attempts of its run.
    pub restarts: u32,
    /// Where to find it.
    pub url: Option<String>,
    /// Its name at the reverse proxy.
    pub hostname: Option<String>,
    /// What it depends on.
    pub depends_on: Vec<String>,
    /// The start of its process.
    pub started_at: Option<String>,
}

/// A port of a replica, in `ports`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortView {
    /// Of which service.
    pub service: String,
    /// Which replica of it.
    pub replica: u32,
    /// Its name.
    pub name: String,
    /// The port that was asked for; `null` is any.
    pub requested: Option<u16>,
    /// The port that it has.
    pub assigned: u16,
    /// What its processes listen on there; `null` where nothing is known.
    pub actual: Option<u16>,
    /// `fixed`, `allocated`, or `retried` after others were taken.
    pub source: String,
    /// Ports that were tried before.
    pub retries: u32,
    /// Who else listens there.
    pub holder: Option<crate::model::service::spec::PortHolder>,
    /// The shim of its live process.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shim: Option<u32>,
}

/// What is done about one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Which service.
    pub service: String,
    /// Which replica of it.
    pub replica: u32,
    /// `start`, `restart`, `keep`, `stop` or `forget`.
    pub action: String,
    /// Why.
    pub reason: String,
    /// The run that stands for it afterwards, or did before; `null` in a plan of what starts.
    pub run_id: Option<String>,
}

/// What a word of a command line may become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    /// The whole word, without quotes.
    pub value: String,
    /// What it is; may be empty.
    pub about: String,
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
    /// Files `<base>.out`, `<base>.err` and `<base>.idx`.
    pub base: String,
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
}

/// What became of a run in `jr resume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionView {
    /// Which run.
    pub run_id: String,
    /// Its name.
    pub name: String,
    /// `adopted`, `ended`, `lost`, `withdrawn` or `resumed`.
    pub decision: String,
    /// A sentence for people.
    pub reason: String,
    /// The records that say so.
    pub events: Vec<u64>,
}

/// What became different between two moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangesView {
    /// `jr.diff/1`.
    pub schema: String,
    /// Nothing did.
    pub same: bool,
    /// The earlier one.
    pub from: MomentView,
    /// The later one.
    pub to: MomentView,
    /// Runs that something happened to, oldest first.
    pub items: Vec<RunChange>,
    /// Queues that were set, or hold others.
    pub queues: Vec<QueueChange>,
}

/// A place of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MomentView {
    /// Its last record.
    pub seq: u64,
    /// The time of that.
    pub time: String,
}

/// A run at both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunChange {
    /// `None`: it was not there yet.
    pub a: Option<RunView>,
    /// At the later one.
    pub b: RunView,
}

/// A queue at both; `None` where nothing was queued or set there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueChange {
    /// Its name.
    pub name: String,
    /// At the earlier one.
    pub a: Option<QueueView>,
    /// At the later one.
    pub b: Option<QueueView>,
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

/// How the runs of one name did, in `stats`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatsView {
    /// Their name.
    pub name: String,
    /// That ended.
    pub runs: u64,
    /// That live.
    pub live: u64,
    /// As they should.
    pub succeeded: u64,
    /// Failed, signalled, timed out, rejected or lost.
    pub failed: u64,
    /// Stopped, cancelled or skipped.
    pub stopped: u64,
    /// Of those that succeeded or failed.
    pub failure_percent: Option<f64>,
    /// Half of them took no longer.
    pub p50_ms: Option<u64>,
    /// 95 of 100 took no longer.
    pub p95_ms: Option<u64>,
    /// The longest.
    pub max_ms: Option<u64>,
    /// The median of the newer half against that of the older half.
    pub trend_percent: Option<f64>,
    /// The last ones, the newest at the end.
    pub last_durations_ms: Vec<u64>,
    /// The run that ended last.
    pub last_run_id: Option<String>,
    /// How it ended.
    pub last_outcome: Option<String>,
    /// When it ended.
    pub last_ended_at: Option<String>,
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

/// The configuration that was in force, as it was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InForceView {
    /// `jr.in_force/1`.
    pub schema: String,
    /// A `config::document::Document`, as JSON; `None` where no file had said anything.
    pub document: Option<String>,
    /// Why it could not be read.
    pub error: Option<String>,
}

/// A list with its schema, e.g. `jr.ps/1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List<T> {
    /// Name and version.
    pub schema: String,
    /// The rows.
    pub items: Vec<T>,
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
