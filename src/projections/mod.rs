//! L2. What people ask: read models folded from the log, deletable and rebuildable at any time.
//!
//! ```text
//! log ──Stored──▶ Views::apply ──▶ State at `applied` + Delta ──flush──▶ views.redb
//!                                        └───────┬───────┘                  │
//! Query ──answer──▶ one file per question ◀──────┴──────────────────────────┘──▶ Document
//! ```
//! [`views`] keeps them, [`store`](self) holds the checked rows, [`answer`](fn@answer::answer)
//! takes the questions. docs/projections.md has the tables and the laws.

pub mod answer;
mod backend;
pub mod brief_view;
pub mod candidates;
mod changes;
mod delta;
pub mod digest;
mod error;
mod event_view;
mod events;
mod guard;
mod history;
mod keep;
mod lineage;
mod log_source;
mod lookup;
mod moment;
mod outputs;
mod places;
pub mod progress;
mod ps;
pub mod query;
mod queues;
mod recorded;
mod resolve;
mod resumption;
mod rows;

pub mod run_view;
mod samples;
pub mod select;
pub mod services;
mod show;
pub mod source;
pub mod stamp;
mod stats;
mod store;
mod tally;
pub mod view;
pub mod views;
mod why;

pub use answer::{Where, answer};
pub use backend::NoSync;
pub use error::ViewsError;
pub use event_view::event_view;
pub use keep::Policy;
pub use lineage::BatchLineState;
pub use query::{At, Document, Query, QueryError, Question, Scope};
pub use resumption::{RESUMED, decisions};
pub use run_view::run_view;
pub use source::{LogSource, MemoryLog, SourceError, Stored};
pub use views::{Pace, Start, Views};
