//! The failures that a bundle shows, each with its probable cause.

use super::cause::{Cause, probable};
use super::gather::Gathered;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::run_output::tail;
use crate::model::RunId;
use crate::projections::query::Query;
use crate::projections::view::{List, OutputView, RunView, ShowView, WhyView};

/// Outcomes that are no failures.
const UNTOLD: [&str; 2] = ["succeeded", "cancelled"];
/// The last bytes of each stream that are searched for a cause.
const TAIL_BYTES: u64 = 16 << 10;

/// A run that failed.
#[derive(Debug, serde::Serialize)]
pub struct Failure {
    /// Which.
    pub run_id: String,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// What it exited with.
    pub exit_code: Option<i32>,
    /// What ended it.
    pub signal: Option<i32>,
    /// Why, probably.
    pub cause: Cause,
}

/// What failed: the run that it is about, or the last few to end, the last one first.
///
/// # Errors
/// The log cannot be read.
pub fn failures(
    run: Option<&RunView>,
    gathered: &Gathered,
    context: &Context,
) -> Result<Vec<Failure>, CommandError> {
    let Some(run) = run else {
        let last = gathered.failed.last.iter().rev();
        return last.map(|run| failure(shown(*run, context)?, context)).collect();
    };
    let failed = run.outcome.as_deref().is_some_and(|word| !UNTOLD.contains(&word));
    let run = failed.then(|| failure(run.clone(), context));
    run.into_iter().collect()
}

fn shown(run: RunId, context: &Context) -> Result<RunView, CommandError> {
    let query = Query::Show { selector: run.to_string() };
    context.read::<ShowView>(&query).map(|view| view.run)
}

fn failure(run: RunView, context: &Context) -> Result<Failure, CommandError> {
    let selector = run.run_id.clone();
    let why: WhyView = context.read(&Query::Why { selector: selector.clone() })?;
    let shown: ShowView = context.read(&Query::Show { selector: selector.clone() })?;
    let oom_kills = shown.attempts.last().and_then(|attempt| attempt.oom_kills);
    let query = Query::Outputs { selectors: vec![selector], attempt: None };
    let mut outputs = context.read::<List<OutputView>>(&query)?.items;
    outputs.retain(|view| view.run_id == run.run_id);
    let tail = outputs.last().map(|view| tail(view, TAIL_BYTES)).unwrap_or_default();
    let cause = probable(&why, oom_kills, &tail);
    let RunView { run_id, name, outcome, exit_code, signal, .. } = run;
    Ok(Failure { run_id, name, outcome, exit_code, signal, cause })
}
