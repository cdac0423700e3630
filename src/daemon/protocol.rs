//! The one API for the command line and, later, the page: HTTP/1.1 + JSON on the Unix socket.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/version` | | [`VersionReply`] |
//! | `POST /v1/run` | [`RunRequest`] | lines of [`RunLine`] |
//! | `POST /v1/batch` | [`BatchRequest`] | lines of [`RunLine`] |
//! | `POST /v1/rerun` | [`RerunRequest`] | [`RerunReply`] |
//! | `POST /v1/stop` | [`StopRequest`] | [`StopReply`] |
//! | `POST /v1/signal` | [`SignalRequest`] | [`SignalReply`] |
//! | `POST /v1/pause` | [`HoldRequest`] | [`HoldReply`] |
//! | `POST /v1/resume` | [`HoldRequest`] | [`HoldReply`] |
//! | `POST /v1/up` | [`UpRequest`] | [`PlanReply`] |
//! | `POST /v1/down` | [`DownRequest`] | [`PlanReply`] |
//! | `POST /v1/queue` | [`QueueRequest`] | `{}` |
//! | `POST /v1/prune` | [`PruneRequest`] | lines of [`PruneLine`] |
//! | `POST /v1/pin` | [`PinRequest`] | [`PinReply`] |
//! | `POST /v1/read` | `projections::query::Question` | its document |
//! | `POST /v1/wait` | [`WaitRequest`] | `List<RunView>`, once they ended or the time is over |
//! | `POST /v1/events` | `projections::query::EventsQuery` | lines of `EventView`, without end |
//! | `POST /v1/log/verify` | | [`LogVerified`] |
//! | `POST /v1/log/stat` | | [`LogStat`] |
//! | `POST /v1/log/part` | `log::part::Part` | its bytes |
//! | `POST /v1/log/rebuild` | | [`LogRebuilt`] |
//! | `POST /v1/daemon/stop` | [`DaemonStopRequest`] | `{}` once nothing more will be appended |
//!
//! Errors are [`ErrorBody`] with a status of 4xx or 5xx. A newer side adds optional fields; an
//! unknown field is ignored. The header `jr-protocol` carries [`PROTOCOL`] both ways.

use std::collections::BTreeMap;

mod services;

pub use services::{DownRequest, PlanReply, ServiceRequest, UpRequest};

use serde::{Deserialize, Serialize};

use super::blobs::BlobFacts;
use crate::log::stat::Stat;
use crate::log::verify::Verified;
use crate::model::spec::WindowSize;
use crate::model::{
    ByteString, Capture, CommandId, Condition, Digest, GitCommit, LockWish, OnInterrupt, Pruned,
    QueueName, ResourceLimits, Retry, RunId, Signal, Strays,
};
use crate::projections::view::RunView;

/// Raised with any change that an older side would misread.
pub const PROTOCOL: u32 = 1;
/// The header that carries it.
pub const PROTOCOL_HEADER: &str = "jr-protocol";

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionReply {
    /// Version of jr.
    pub version: String,
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The daemon's process.
    pub pid: u32,
    /// Its environment.
    pub environment: String,
    /// The latest durable record.
    pub seq: u64,
    /// What lives.
    pub live: usize,
    /// How long it has been up, in milliseconds.
    pub uptime_ms: u64,
}

/// What one command needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// Sent again with the same id, it acts once.
    pub command_id: CommandId,
    /// Its name; `None` takes the command's file name.
    pub name: Option<String>,
    /// argv, not empty.
    pub command: Vec<ByteString>,
    /// What all kinds of runs need.
    #[serde(flatten)]
    pub common: Common,
    /// Where it waits; `None` starts at once.
    pub queue: Option<QueueName>,
    /// A client will hand over standard input.
    pub attached: bool,
    /// It gets a terminal, of this size at first.
    #[serde(default)]
    pub tty: Option<WindowSize>,
    /// Idempotency key.
    pub key: Option<String>,
    /// What has to end first.
    #[serde(default)]
    pub after: Vec<After>,
    /// What nobody else may hold meanwhile.
    #[serde(default)]
    pub lock: Option<LockWish>,
    /// The answer goes on until the run has ended.
    pub wait: bool,
}

/// What has to end before a run begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct After {
    /// As typed; globs and `all` mean what lives.
    pub selector: String,
    /// How they have to end.
    pub condition: Condition,
}

/// What runs and lines of batches have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Common {
    /// Working directory, absolute.
    pub cwd: ByteString,
    /// Permission bits that new files do not get (umask(2)); `limits::UMASK`.
    pub umask: Option<u32>,
    /// Environment variables.
    pub variables: Vec<(ByteString, ByteString)>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Time limit.
    pub timeout_ms: Option<u64>,
    /// First signal of a stop; SIGTERM.
    pub stop_signal: Option<Signal>,
    /// Until SIGKILL; `limits::GRACE_MS`.
    pub grace_ms: Option<u64>,
    /// What outlives the main process.
    pub strays: Strays,
    /// Newest bytes kept of each stream; `limits::OUTPUT_BYTES_MAX`.
    pub output_bytes_max: Option<u64>,
    /// Further attempts.
    #[serde(default)]
    pub retry: Option<Retry>,
    /// Exit codes that are a success besides 0.
    #[serde(default)]
    pub ok_codes: Vec<u8>,
    /// If an attempt is lost.
    #[serde(default)]
    pub on_interrupt: OnInterrupt,
    /// How output reaches its files.
    #[serde(default)]
    pub capture: Capture,
    /// What it may use.
    #[serde(default)]
    pub limits: ResourceLimits,
    /// Variables that are secret whatever their names and values look like.
    #[serde(default)]
    pub secret_names: Vec<ByteString>,
    /// Variables that are read from files at the start of each attempt: name and path.
    #[serde(default)]
    pub variable_files: Vec<(ByteString, ByteString)>,
    /// The client's configuration, where it has files: a `config::document::Document`, as JSON.
    #[serde(default)]
    pub config: Option<String>,
    /// The configuration that a run was asked for under which this one repeats.
    #[serde(default)]
    pub repeated_config: Option<Digest>,
    /// What HEAD is in the working directory. Left out where there is none: what is declared is
    /// told apart by its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<GitCommit>,
}

/// A batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchRequest {
    /// Sent again with the same id, it acts once.
    pub command_id: CommandId,
    /// Its name; `None` is `batch`.
    pub name: Option<String>,
    /// Lines as written, without their ends, blank lines and comments left out.
    pub lines: Vec<ByteString>,
    /// Slots of its own queue; `None` is the number of cores.
    pub jobs: Option<u32>,
    /// Another queue.
    pub queue: Option<QueueName>,
    /// The first failure cancels the rest.
    pub fail_fast: bool,
    /// Instead of `lines`: what of an older batch is to be done.
    pub continued: Option<Continue>,
    /// What all its lines have in common.
    #[serde(flatten)]
    pub common: Common,
    /// The answer goes on until the batch has ended.
    pub wait: bool,
}

/// `jr rerun`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RerunRequest {
    /// Sent again with the same id, it acts once.
    pub command_id: CommandId,
    /// As typed.
    pub selectors: Vec<String>,
    /// Only what failed; selectors may then mean many.
    pub failed: bool,
    /// Variables to change.
    pub set: Vec<(ByteString, ByteString)>,
    /// The client's environment: where masked values come from.
    pub variables: Vec<(ByteString, ByteString)>,
    /// Slots of a batch's own queue; `None` is the number of cores.
    pub jobs: Option<u32>,
}

/// What was admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RerunReply {
    /// In the order of the old runs.
    pub items: Vec<RerunItem>,
}

/// One run, once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RerunItem {
    /// The old run.
    pub parent: RunId,
    /// The new one.
    pub run_id: RunId,
}

/// `jr batch --continue`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continue {
    /// Which batch; `None` is the newest.
    pub selector: Option<String>,
    /// Also what failed.
    pub failed: bool,
}

/// One line of the answer to a run or batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunLine {
    /// It is durable.
    Admitted {
        /// Its id.
        run_id: RunId,
        /// It was there before (same key or same command).
        existing: bool,
        /// Of a batch: its lines.
        lines: u32,
    },
    /// Its shim waits for standard input.
    Attach {
        /// The shim's socket.
        socket: String,
        /// The attempt.
        attempt: u32,
        /// Base of its output files.
        output: String,
    },
    /// Of a batch, now and then: how far it is.
    Progress(Box<RunView>),
    /// It is over, and that is durable.
    Ended(Box<RunView>),
}

/// `jr stop`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StopRequest {
    /// Sent again with the same id, it acts once.
    pub command_id: CommandId,
    /// As typed; globs and `all` mean what lives.
    pub selectors: Vec<String>,
    /// Until SIGKILL.
    pub grace_ms: Option<u64>,
    /// Ctrl-C at the client that owned it.
    pub interrupted: bool,
    /// The client's command line, for `jr why`.
    #[serde(default)]
    pub asker: Option<String>,
}

/// What a stop does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReply {
    /// Run and `cancelled`, `stopping` or `already_ended`.
    pub runs: Vec<(RunId, String)>,
}

/// `jr signal`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalRequest {
    /// Sent again with the same id, it acts once.
    pub command_id: CommandId,
    /// As typed; globs and `all` mean what lives.
    pub selectors: Vec<String>,
    /// Which signal.
    pub signal: Signal,
    /// The client's command line, for `jr why`.
    #[serde(default)]
    pub asker: Option<String>,
}

/// What a signal does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalReply {
    /// Run and `sending` or `not_running`.
    pub runs: Vec<(RunId, String)>,
}

/// `jr pause` and `jr resume`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HoldRequest {
    /// Sent again with the same id, it acts once.
    pub command_id: CommandId,
    /// As typed; globs and `all` mean what lives.
    pub selectors: Vec<String>,
    /// The client's command line, for `jr why`.
    #[serde(default)]
    pub asker: Option<String>,
}

/// What a pause or a resume does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReply {
    /// Run and `held`, `paused`, `pausing`, `already_paused`, `stopping` or `already_ended`; of a
    /// resume `resumed`, `resuming`, `not_paused` or `already_ended`.
    pub runs: Vec<(RunId, String)>,
}

/// `jr queue set`, `pause` and `unpause`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueRequest {
    /// Sent again with the same id, it acts once.
    pub command_id: CommandId,
    /// Which.
    pub queue: QueueName,
    /// Slots, to be set; creates it.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Whether it gives no starts, to be changed.
    #[serde(default)]
    pub paused: Option<bool>,
    /// The client's command line.
    #[serde(default)]
    pub asker: Option<String>,
}

/// `jr prune`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneRequest {
    /// Sent again with the same id, it acts again, and finds nothing left to do.
    pub command_id: CommandId,
    /// Keep what ended in the last so many days.
    pub keep_days: Option<u32>,
    /// Keep the newest so many runs.
    pub keep_runs: Option<u64>,
    /// Only say what would go.
    pub dry_run: bool,
}

/// One line of the answer to a prune.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PruneLine {
    /// So many records of so many have been looked at.
    Progress {
        /// Done.
        done: u64,
        /// Of.
        total: u64,
    },
    /// It is over, and that is durable.
    Done(PruneReply),
}

/// What is gone, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneReply {
    /// The first record of the history that is kept.
    pub kept_from: u64,
    /// Runs.
    pub runs: u64,
    /// Records.
    pub events: u64,
    /// Bytes.
    pub bytes: u64,
    /// What could not be done.
    pub error: Option<String>,
}

/// `jr pin`, `jr unpin`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRequest {
    /// Sent again with the same id, it acts once.
    pub command_id: CommandId,
    /// As typed; one run.
    pub selector: String,
    /// Keep it, or no longer.
    pub pinned: bool,
}

/// The run that is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinReply {
    /// Its id.
    pub run_id: RunId,
    /// Its name.
    pub name: String,
    /// Whether it is pinned now.
    pub pinned: bool,
}

/// `jr wait`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitRequest {
    /// As typed; globs and `all` mean what lives.
    pub selectors: Vec<String>,
    /// The first end is enough.
    pub any: bool,
    /// At most so long.
    pub timeout_ms: Option<u64>,
}

/// `jr daemon stop`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStopRequest {
    /// A newer jr takes over.
    pub upgrade: bool,
}

/// `jr log verify`: nothing was wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogVerified {
    /// Files.
    pub segments: usize,
    /// Records whose digest, chain and payload were checked.
    pub records: u64,
    /// Of those, records without payload.
    pub pruned: u64,
    /// The last one.
    pub seq: u64,
    /// The chain's hash there.
    pub hash: String,
    /// Whether the page structure of the files was checked too; not while a daemon writes them.
    pub pages_checked: bool,
    /// What records name by digest.
    #[serde(default)]
    pub blobs: BlobFacts,
}

/// `jr log stat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStat {
    /// Files.
    pub segments: usize,
    /// Their bytes.
    pub file_bytes: u64,
    /// The first record that is kept.
    pub first_seq: u64,
    /// The last record.
    pub seq: u64,
    /// The chain's hash there.
    pub hash: String,
    /// Bytes of all records.
    pub record_bytes: u64,
    /// Records without payload.
    pub pruned: u64,
    /// The least time, in Unix milliseconds.
    pub first_time: Option<i64>,
    /// The greatest time, in Unix milliseconds.
    pub last_time: Option<i64>,
    /// By the name of their kind.
    pub items: Vec<LogKindStat>,
}

/// Records of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogKindStat {
    /// Such as `run_ended`.
    pub kind: String,
    /// How many.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// `jr log rebuild`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRebuilt {
    /// The views hold everything up to here.
    pub seq: u64,
}

impl PruneReply {
    /// In the words of the socket.
    pub fn of(pruned: Pruned) -> Self {
        let Pruned { before, runs, events, bytes, error } = pruned;
        Self { kept_from: before, runs, events, bytes, error }
    }
}

impl LogVerified {
    /// In the words of the socket.
    pub fn of(verified: &Verified, pages_checked: bool, blobs: BlobFacts) -> Self {
        let Verified { segments, records, pruned, head } = *verified;
        let (seq, hash) = (head.seq, head.hash.to_string());
        Self { segments, records, pruned, seq, hash, pages_checked, blobs }
    }
}

impl LogStat {
    /// In the words of the socket.
    pub fn of(stat: &Stat) -> Self {
        let kinds = stat.kinds.iter().map(|(kind, figures)| LogKindStat {
            kind: (*kind).to_owned(),
            records: figures.records,
            bytes: figures.bytes,
        });
        Self {
            segments: stat.segments,
            file_bytes: stat.file_bytes,
            first_seq: stat.first_seq,
            seq: stat.head.seq,
            hash: stat.head.hash.to_string(),
            record_bytes: stat.record_bytes,
            pruned: stat.pruned,
            first_time: stat.first_time.map(|time| time.0),
            last_time: stat.last_time.map(|time| time.0),
            items: kinds.collect(),
        }
    }
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// The error of `--json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// A word, e.g. `no_such_run`.
    pub code: String,
    /// What, where, why.
    pub message: String,
    /// The next command.
    pub hint: Option<String>,
    /// The exit code that the command line ends with.
    pub exit_code: i32,
}
