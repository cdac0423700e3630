//! `jr ps`: what lives, newest first; with `-a` also what ended.

use super::answer::{Where, view_at};
use super::moment::Moment;
use super::query::{PsQuery, QueryError};
use super::view::{List, RunView};

pub(super) fn ps(
    query: &PsQuery,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Result<List<RunView>, QueryError> {
    let limit = query.limit.unwrap_or(usize::MAX);
    let schema = "jr.ps/1".to_owned();
    let mut items = Vec::new();
    if query.all {
        moment.each_row((0, u64::MAX), &mut |row| {
            if items.len() < limit {
                items.push(view_at(&row, moment, place));
            }
            items.len() < limit
        })?;
    } else {
        let live = moment.live()?.into_iter().take(limit);
        items.extend(live.map(|row| view_at(&row, moment, place)));
    }
    Ok(List { schema, items })
}
