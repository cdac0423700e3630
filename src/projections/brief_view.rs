//! A run as a line of a table shows it: a third of the run object, for who prints no document.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::rows::Row;
use super::run_view::{between, exit_code, kind_word, last_word, signal};
use super::view::BatchView;
use crate::model::{ByteString, Outcome, UnixMillis};

/// What `history` says of a run where it is asked to be brief. Sent between processes of one
/// version, so what is not there is left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BriefView<'a> {
    /// 12 characters.
    #[serde(borrow)]
    pub run_id: Cow<'a, str>,
    /// Its name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// `job` or `batch`.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// As in the run object.
    #[serde(borrow)]
    pub state: Cow<'a, str>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Cow<'a, str>>,
    /// What its main process returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The number of the signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Why, where a word says more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// argv, masked.
    pub command: Vec<String>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// First process, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<i64>,
    /// From the first process to the end, or to now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// Of a batch: what became of its lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchView>,
}

/// The line of a row, with times measured against `now`.
pub(super) fn brief_view(row: &Row, now: UnixMillis) -> BriefView<'static> {
    let (run, spec) = (&row.run, &row.run.spec);
    let last = last_word(run);
    BriefView {
        run_id: run.id.to_string().into(),
        name: spec.name.clone().into(),
        kind: kind_word(spec.kind).into(),
        state: row.shown_state().into(),
        outcome: run.outcome.map(|outcome| outcome.word().into()),
        exit_code: last.and_then(exit_code),
        signal: last.and_then(signal),
        reason: run.outcome.and_then(Outcome::reason),
        command: spec.command.iter().map(ByteString::to_text).collect(),
        labels: spec.labels.clone(),
        started_ms: run.started_at.map(|start| start.0),
        duration_ms: run.started_at.map(|start| between(start, run.ended_at.unwrap_or(now))),
        batch: row.tally,
    }
}
