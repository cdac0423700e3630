//! `jr ps`: what lives, newest first; with `-a` also what ended.

use super::answer::{Where, view_at};
use super::moment::Moment;
use super::query::{PsQuery, QueryError};
use super::rows::Row;
use super::tally;
use super::view::{List, RunView};
use super::views::Views;

pub(super) fn ps(
    query: &PsQuery,
    views: &Views,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Result<List<RunView>, QueryError> {
    let limit = query.limit.unwrap_or(usize::MAX);
    let schema = "jr.ps/1".to_owned();
    let mut items = Vec::new();
    if query.all {
        let mut result = Ok(());
        views.each_row((0, moment.seq()), &mut |row| {
            if items.len() < limit {
                match moment.row(row) {
                    Ok(row) => items.push(view_at(&row, moment, place)),
                    Err(error) => result = Err(error),
                }
            }
            items.len() < limit && result.is_ok()
        })?;
        result?;
        return Ok(List { schema, items });
    }
    let state = moment.state()?;
    let mut live: Vec<_> = state.runs.values().collect();
    live.sort_unstable_by_key(|run| std::cmp::Reverse(run.first_seq));
    for run in live.into_iter().take(limit) {
        let row = Row { run: run.clone(), tally: tally::of_live(state, run.id) };
        items.push(view_at(&row, moment, place));
    }
    Ok(List { schema, items })
}
