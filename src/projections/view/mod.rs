//! What a client sees: plain types whose JSON is the contract of `--json`.
//!
//! Keys are `snake_case`, enums lower-case words, times RFC 3339 in UTC with milliseconds,
//! durations integer `*_ms`; what is not known is `null`, never a missing key.

mod moment;
mod progress;
mod run;
mod service;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use moment::{ChangesView, MomentView, QueueChange, RunChange};
pub use progress::ProgressView;
pub use run::{
    AttemptView, BatchView, FollowView, LimitsByView, OUTCOMES, OutputView, RecordedView, RunView,
    STATES, ShowView,
};
pub use service::{PortView, ServiceView, StepView};

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

/// What a word of a command line may become.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    /// The whole word, without quotes.
    pub value: String,
    /// What it is; may be empty.
    pub about: String,
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

/// The configuration that was in force, as it was stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InForceView {
    /// `jr.in_force/1`.
    pub schema: String,
    /// The environment's id.
    pub environment: String,
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
