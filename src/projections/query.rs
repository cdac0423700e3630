//! What can be asked of an environment: the same question goes to a daemon or to the files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::brief_view::BriefView;
use super::view::{
    CandidateView, ChangesView, EventView, FollowView, InForceView, List, OutputView, PortView,
    QueueView, RecordedView, RunView, ServiceView, ShowView, StatsView, StepView, WhyView,
};
use crate::model::ServiceName;
use crate::model::service::plan::Wish;

/// A moment of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// A place.
    Seq(u64),
    /// The greatest place whose running maximum of time is at most this, in Unix milliseconds.
    Time(i64),
}

/// What is asked, and of which moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// What is asked.
    pub query: Query,
    /// As it was then; without it, as it is.
    #[serde(default)]
    pub at: Option<At>,
}

impl From<Query> for Question {
    fn from(query: Query) -> Self {
        Self { query, at: None }
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    /// `jr ps`.
    Ps(PsQuery),
    /// `jr history`.
    History(HistoryQuery),
    /// `jr stats`.
    Stats(StatsQuery),
    /// `jr show`.
    Show {
        /// One run.
        selector: String,
    },
    /// `jr why`.
    Why {
        /// One run.
        selector: String,
    },
    /// `jr repro` and `jr diff`: what a run was started with.
    Recorded {
        /// One run.
        selector: String,
    },
    /// `jr env --at`: the configuration in force.
    InForce,
    /// `jr diff --from`: what became different since then.
    Changes {
        /// The earlier moment.
        from: At,
    },
    /// Which runs some selectors mean, newest first per selector.
    Resolve {
        /// As typed.
        selectors: Vec<String>,
        /// Which runs count.
        scope: Scope,
    },
    /// `jr logs`: the outputs of the selected runs, oldest first.
    Outputs {
        /// As typed; empty is all.
        selectors: Vec<String>,
        /// Only this attempt.
        attempt: Option<u32>,
    },
    /// `jr logs -f`.
    Follow(FollowQuery),
    /// `jr events`.
    Events(EventsQuery),
    /// `jr pin` without a run.
    Pinned,
    /// `jr resume`: what was interrupted and waits to be asked for.
    Interrupted,
    /// `jr queue list`.
    Queues,
    /// `jr status`.
    Services,
    /// `jr ports`.
    Ports,
    /// `jr up --plan`, `jr explain`: what a wish would come to.
    Plan(Box<Wish>),
    /// What a shell may complete.
    Candidates(CandidatesQuery),
}

/// What a word of a command line is to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidates {
    /// A run that lives.
    Living,
    /// Any run.
    Runs,
    /// A name of runs, as it is.
    Names,
    /// `key=value` of runs.
    Labels,
    /// A queue.
    Queues,
    /// A service.
    Services,
}

/// What may a word become that has begun so? The answer is bounded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidatesQuery {
    /// What it is to name.
    pub what: Candidates,
    /// What is typed of it, without quotes.
    pub begun: String,
}

/// What a selector may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Exactly one run; several are an error that names them.
    One,
    /// Globs and `all` mean live runs.
    Live,
    /// Globs and `all` mean every run.
    Any,
}

/// `jr ps`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PsQuery {
    /// Also what ended.
    pub all: bool,
    /// At most so many rows.
    pub limit: Option<usize>,
    /// Only these of what lives, by their whole ids; empty is all.
    pub only: Vec<String>,
}

/// `jr history`.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryQuery {
    /// Name glob, or part of the command line.
    pub pattern: Option<String>,
    /// Ended otherwise than succeeded.
    pub failed: bool,
    /// Succeeded.
    pub ok: bool,
    /// This outcome.
    pub outcome: Option<String>,
    /// Exactly this name.
    pub name: Option<String>,
    /// This kind.
    pub kind: Option<String>,
    /// All of these labels.
    pub labels: BTreeMap<String, String>,
    /// Lines and continuations of this run.
    pub parent: Option<String>,
    /// Admitted at or after, in Unix milliseconds.
    pub since: Option<i64>,
    /// Admitted before, in Unix milliseconds.
    pub until: Option<i64>,
    /// Longest first.
    pub slowest: bool,
    /// With what they came from and what came from them, in the order of a tree.
    pub tree: bool,
    /// Only what a table shows of each: [`Document::Lines`].
    pub brief: bool,
    /// At most so many rows.
    pub limit: Option<usize>,
}

/// `jr stats`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatsQuery {
    /// Name glob, or part of a name.
    pub pattern: Option<String>,
    /// Exactly this name.
    pub name: Option<String>,
    /// This kind.
    pub kind: Option<String>,
    /// All of these labels.
    pub labels: BTreeMap<String, String>,
    /// Admitted at or after, in Unix milliseconds.
    pub since: Option<i64>,
    /// Admitted before, in Unix milliseconds.
    pub until: Option<i64>,
    /// At most so many names.
    pub limit: Option<usize>,
}

/// `jr logs -f`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FollowQuery {
    /// As typed; empty is all.
    pub selectors: Vec<String>,
    /// Only this attempt.
    pub attempt: Option<u32>,
    /// Only what lives: nothing that was printed before is asked for.
    pub live: bool,
    /// Only runs admitted after this place, which a glob, `all` or a label means.
    pub after: Option<u64>,
}

/// `jr events`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventsQuery {
    /// From this place on, itself included.
    pub from: Option<u64>,
    /// Only of this run (an id).
    pub run: Option<String>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// An answer; its JSON is what `--json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Document {
    /// `jr show`.
    Show(Box<ShowView>),
    /// `jr why`.
    Why(Box<WhyView>),
    /// `jr repro` and `jr diff`.
    Recorded(Box<RecordedView>),
    /// `jr env --at`.
    InForce(Box<InForceView>),
    /// `jr diff --from`.
    Changes(Box<ChangesView>),
    /// Runs.
    Runs(List<RunView>),
    /// Runs, for a table.
    Lines(List<BriefView<'static>>),
    /// Statistics.
    Stats(List<StatsView>),
    /// Queues.
    Queues(List<QueueView>),
    /// Services.
    Services(List<ServiceView>),
    /// Ports.
    Ports(List<PortView>),
    /// What would be done.
    Plan(List<StepView>),
    /// What a shell may complete.
    Candidates(List<CandidateView>),
    /// Outputs.
    Outputs(List<OutputView>),
    /// Outputs, followed.
    Follow(FollowView),
    /// Records.
    Events(List<EventView>),
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryError {
    /// Exit 3.
    #[error("no run matches {selector:?}")]
    NoSuchRun {
        /// As typed.
        selector: String,
    },
    /// Exit 3.
    #[error("nothing that lives matches {selector:?}: all that do have ended")]
    NoneLives {
        /// As typed.
        selector: String,
    },
    /// Exit 3.
    #[error("there is no service {service}")]
    NoSuchService {
        /// As typed.
        service: ServiceName,
    },
    /// Exit 3: the same, where runs were pruned.
    #[error("no run matches {selector:?}")]
    MaybePruned {
        /// As typed.
        selector: String,
    },
    /// Exit 2.
    #[error("{selector:?} could mean {}", candidates.join(", "))]
    Ambiguous {
        /// As typed.
        selector: String,
        /// What it could mean.
        candidates: Vec<String>,
    },
    /// Exit 2.
    #[error("{kind:?} is not a kind of event; there are {}", known.join(", "))]
    BadKind {
        /// As typed.
        kind: String,
        /// All.
        known: Vec<String>,
    },
    /// Exit 2.
    #[error("{selector:?} is not a selector: {why}")]
    BadSelector {
        /// As typed.
        selector: String,
        /// What is wrong.
        why: String,
    },
    /// Exit 2.
    #[error("the log begins after that: what came before seq {first} was pruned")]
    Pruned {
        /// What is kept.
        first: u64,
    },
    /// Exit 2: `--at` beyond the log.
    #[error("the log ends at seq {head}")]
    Beyond {
        /// Its end.
        head: u64,
    },
    /// Exit 2: `diff --from` a later moment.
    #[error("seq {from} comes after seq {to}: what --from names has to be the earlier moment")]
    Backwards {
        /// The moment that was to be the earlier one.
        from: u64,
        /// The other one.
        to: u64,
    },
    /// Exit 1, unless the asker opens the views anew and asks again: nothing is lost.
    #[error("{message}")]
    Damaged {
        /// What was found.
        message: String,
    },
    /// Exit 1.
    #[error("{message}")]
    Log {
        /// What, where, why.
        message: String,
    },
    /// Who was asked is on its way out: the next one answers, or the files.
    #[error("the daemon is ending")]
    Ending,
}

impl QueryError {
    /// What to look at, or to type, next.
    pub fn hint(&self) -> String {
        let hint = match self {
            Self::NoSuchRun { .. } => "see what there is: jr history",
            Self::MaybePruned { .. } => "it may have been pruned; see what there is: jr history",
            Self::NoneLives { .. } => "see what there is: jr ps -a",
            Self::NoSuchService { .. } => "see what there is: jr status",
            Self::Ambiguous { .. } => "give more of the id",
            Self::BadKind { .. } => "see: jr events --help",
            Self::BadSelector { .. } => "see: jr show --help",
            Self::Pruned { .. } | Self::Beyond { .. } => "see: jr log stat",
            Self::Backwards { from, to } => return format!("jr diff --from {to} --to {from}"),
            Self::Log { .. } | Self::Damaged { .. } => "jr log verify",
            Self::Ending => "ask again",
        };
        hint.to_owned()
    }
}
