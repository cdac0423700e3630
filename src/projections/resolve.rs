//! Which runs some selectors mean.

use std::collections::BTreeSet;

use super::answer::{Where, view_at};
use super::moment::Moment;
use super::query::{QueryError, Scope};
use super::select::select_rows;
use super::view::{List, RunView};

/// Newest first per selector; a run that several mean stands where the first one put it.
pub(super) fn resolve(
    selectors: &[String],
    scope: Scope,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Result<List<RunView>, QueryError> {
    let mut seen = BTreeSet::new();
    let mut items = Vec::new();
    for selector in selectors {
        for row in select_rows(moment, selector, scope)? {
            if seen.insert(row.run.id) {
                items.push(view_at(&row, moment, place));
            }
        }
    }
    Ok(List { schema: "jr.resolve/1".to_owned(), items })
}

/// Runs that were interrupted and wait to be asked for, oldest first.
pub(super) fn interrupted(
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Result<List<RunView>, QueryError> {
    let mut rows = moment.live()?;
    rows.retain(|row| row.run.awaits_answer());
    let items = rows.iter().rev().map(|row| view_at(row, moment, place)).collect();
    Ok(List { schema: "jr.interrupted/1".to_owned(), items })
}

/// Runs that no prune takes, newest first.
pub(super) fn pinned(moment: &Moment<'_>, place: &Where<'_>) -> Result<List<RunView>, QueryError> {
    let mut places = Vec::new();
    for run in &moment.state()?.pins {
        places.extend(moment.first_seq_of(*run)?);
    }
    places.sort_unstable_by(|a, b| b.cmp(a));
    let mut items = Vec::with_capacity(places.len());
    for at in places {
        let row = moment.row_of(at)?;
        items.push(view_at(&row, moment, place));
    }
    Ok(List { schema: "jr.pin/1".to_owned(), items })
}
