//! Which runs some selectors mean.

use std::collections::BTreeSet;

use super::answer::Where;
use super::query::{QueryError, Scope};
use super::run_view::run_view;
use super::select::select_rows;
use super::view::{List, RunView};
use super::views::Views;
use crate::model::UnixMillis;

/// Newest first per selector; a run that several mean stands where the first one put it.
pub(super) fn resolve(
    selectors: &[String],
    scope: Scope,
    views: &Views,
    place: &Where<'_>,
    now: UnixMillis,
) -> Result<List<RunView>, QueryError> {
    let mut seen = BTreeSet::new();
    let mut items = Vec::new();
    for selector in selectors {
        for row in select_rows(views, selector, scope)? {
            if seen.insert(row.run.id) {
                items.push(run_view(&row.run, row.tally, place.environment, now));
            }
        }
    }
    Ok(List { schema: "jr.resolve/1".to_owned(), items })
}

/// Runs that no prune takes, newest first.
pub(super) fn pinned(
    views: &Views,
    place: &Where<'_>,
    now: UnixMillis,
) -> Result<List<RunView>, QueryError> {
    let mut places = Vec::new();
    for run in &views.state().pins {
        places.extend(views.first_seq_of(*run)?);
    }
    places.sort_unstable_by(|a, b| b.cmp(a));
    let mut items = Vec::with_capacity(places.len());
    for at in places {
        let row = views.row(at)?;
        items.push(run_view(&row.run, row.tally, place.environment, now));
    }
    Ok(List { schema: "jr.pin/1".to_owned(), items })
}
