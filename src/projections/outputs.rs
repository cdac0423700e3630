//! Where `jr logs` finds what was printed.

use std::collections::BTreeMap;

use super::answer::Where;
use super::query::{QueryError, Scope};
use super::rows::Row;
use super::select::select_rows;
use super::view::{List, OutputView};
use super::views::Views;
use crate::model::{ExitStatus, Kind, Run};

/// Oldest first. A batch stands for its lines.
pub(super) fn outputs(
    selectors: &[String],
    attempt: Option<u32>,
    views: &Views,
    place: &Where<'_>,
) -> Result<List<OutputView>, QueryError> {
    let mut runs: BTreeMap<u64, Run> = BTreeMap::new();
    let mut take = |row: Row| runs.insert(row.run.first_seq, row.run);
    if selectors.is_empty() {
        views.each_row((0, u64::MAX), &mut |row| {
            take(row);
            true
        })?;
    }
    for selector in selectors {
        for row in select_rows(views, selector, Scope::Any)? {
            if row.run.spec.kind == Kind::Batch {
                for (line, _) in views.children(row.run.first_seq)?.iter().filter(|c| !c.1.is_batch)
                {
                    take(views.row(*line)?);
                }
            }
            take(row);
        }
    }
    let mut items = Vec::new();
    for run in runs.values() {
        let attempts = (1..=run.attempt).filter(|number| has_output(run, *number));
        let attempts = attempts.filter(|number| attempt.is_none_or(|only| only == *number));
        items.extend(attempts.map(|number| view(run, number, place)));
    }
    Ok(List { schema: "jr.logs/1".to_owned(), items })
}

/// The latest attempt has none if it is known that nothing began; earlier ones may have none too.
fn has_output(run: &Run, attempt: u32) -> bool {
    let never = run.last_end.as_ref().is_some_and(|end| end.status == ExitStatus::NeverStarted);
    attempt < run.attempt || run.attempt_lives || !never
}

fn view(run: &Run, attempt: u32, place: &Where<'_>) -> OutputView {
    OutputView {
        run_id: run.id.to_string(),
        name: run.spec.name.clone(),
        attempt,
        base: (place.output)(run.id, attempt).to_string_lossy().into_owned(),
        open: run.attempt_lives && attempt == run.attempt,
        run_open: run.outcome.is_none(),
    }
}
