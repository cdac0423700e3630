//! How far a run is.

use serde::{Deserialize, Serialize};

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
