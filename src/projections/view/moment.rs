//! What became different between two moments.

use serde::{Deserialize, Serialize};

use super::{QueueView, RunView};

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
    /// The time of that; `None` before the first.
    pub time: Option<String>,
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
