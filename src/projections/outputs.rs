//! Where `jr logs` finds what was printed.

use std::collections::BTreeMap;

use super::answer::Where;
use super::moment::Moment;
use super::query::{FollowQuery, QueryError, Scope};
use super::rows::Row;
use super::select::{is_open_ended, open_ended, select_rows};
use super::view::{FollowView, List, OutputView};
use crate::model::{ExitStatus, Kind, Run};

/// Oldest first. A batch stands for its lines.
pub(super) fn outputs(
    selectors: &[String],
    attempt: Option<u32>,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Result<List<OutputView>, QueryError> {
    let runs = selected(selectors, Scope::Any, moment)?;
    let items = runs.values().flat_map(|run| of_run(run, attempt, moment, place)).collect();
    Ok(List { schema: "jr.logs/1".to_owned(), items })
}

/// As [`outputs`], with runs that have printed nowhere yet, as attempt 0; or only those that were
/// admitted after a place of the log.
pub(super) fn follow(
    query: &FollowQuery,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Result<FollowView, QueryError> {
    let mut runs = match query.after {
        Some(after) => admitted_after(&query.selectors, after, moment)?,
        None if query.live => selected(&query.selectors, Scope::Live, moment)?,
        None => selected(&query.selectors, Scope::Any, moment)?,
    };
    runs.retain(|_, run| !query.live || run.outcome.is_none());
    let mut items = Vec::new();
    for run in runs.values() {
        let outputs = of_run(run, query.attempt, moment, place);
        if outputs.is_empty() && run.spec.kind != Kind::Batch {
            let mut none = view(run, run.attempt, query.attempt, moment, place);
            (none.attempt, none.open) = (0, false);
            items.push(none);
        }
        items.extend(outputs);
    }
    Ok(FollowView { schema: "jr.logs/1".to_owned(), seq: moment.seq(), items })
}

fn selected(
    selectors: &[String],
    scope: Scope,
    moment: &Moment<'_>,
) -> Result<BTreeMap<u64, Run>, QueryError> {
    let mut runs = BTreeMap::new();
    let is_all = selectors.is_empty();
    if is_all && scope == Scope::Live {
        runs.extend(moment.live()?.into_iter().map(|row| (row.run.first_seq, row.run)));
    } else if is_all {
        moment.each_row((0, u64::MAX), &mut |row| {
            runs.insert(row.run.first_seq, row.run);
            true
        })?;
    }
    for selector in selectors {
        let rows = match select_rows(moment, selector, scope) {
            // Of what may still come nothing need live now.
            Err(QueryError::NoSuchRun { .. } | QueryError::NoneLives { .. })
                if scope == Scope::Live && is_open_ended(selector) =>
            {
                Vec::new()
            }
            rows => rows?,
        };
        for row in rows {
            take(&mut runs, row, moment)?;
        }
    }
    Ok(runs)
}

/// What came after `after` and is meant by a selector that can mean runs to come.
fn admitted_after(
    selectors: &[String],
    after: u64,
    moment: &Moment<'_>,
) -> Result<BTreeMap<u64, Run>, QueryError> {
    let all = ["all".to_owned()];
    let selectors = if selectors.is_empty() { &all[..] } else { selectors };
    let fits: Vec<_> = selectors.iter().filter_map(|selector| open_ended(selector)).collect();
    let mut rows = Vec::new();
    if !fits.is_empty() {
        moment.each_row((after.saturating_add(1), u64::MAX), &mut |row| {
            if fits.iter().any(|fits| fits(&row.run)) {
                rows.push(row);
            }
            true
        })?;
    }
    let mut runs = BTreeMap::new();
    for row in rows {
        take(&mut runs, row, moment)?;
    }
    Ok(runs)
}

fn take(runs: &mut BTreeMap<u64, Run>, row: Row, moment: &Moment<'_>) -> Result<(), QueryError> {
    if row.run.spec.kind == Kind::Batch {
        for (line, _) in moment.children(row.run.first_seq)?.iter().filter(|c| !c.1.is_batch) {
            runs.insert(*line, moment.row_of(*line)?.run);
        }
    }
    runs.insert(row.run.first_seq, row.run);
    Ok(())
}

fn of_run(
    run: &Run,
    attempt: Option<u32>,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Vec<OutputView> {
    let attempts = (1..=run.attempt).filter(|number| has_output(run, *number));
    let attempts = attempts.filter(|number| attempt.is_none_or(|only| only == *number));
    attempts.map(|number| view(run, number, attempt, moment, place)).collect()
}

/// The latest attempt has none if it is known that nothing began; earlier ones may have none too.
fn has_output(run: &Run, attempt: u32) -> bool {
    let never = run.last_end.as_ref().is_some_and(|end| end.status == ExitStatus::NeverStarted);
    attempt < run.attempt || run.attempt_lives || !never
}

fn view(
    run: &Run,
    attempt: u32,
    only: Option<u32>,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> OutputView {
    let open = run.attempt_lives && attempt == run.attempt;
    // Of one attempt more comes while it lives, or until its turn has come.
    let may_come = only.is_none_or(|only| only > run.attempt || (only == run.attempt && open));
    let end = run.last_end.as_ref().filter(|_| attempt == run.attempt && !run.attempt_lives);
    let printed = end.and_then(|end| end.output);
    OutputView {
        run_id: run.id.to_string(),
        name: run.spec.name.clone(),
        attempt,
        base: Some((place.output)(run.id, attempt).to_string_lossy().into_owned()),
        until_ms: (open && moment.is_past()).then_some(moment.now().0),
        open,
        run_open: run.outcome.is_none() && may_come,
        stdout_bytes: printed.map(|output| output.stdout_bytes),
        stderr_bytes: printed.map(|output| output.stderr_bytes),
        stdout_left_out: 0,
        stderr_left_out: 0,
        absent: None,
    }
}
