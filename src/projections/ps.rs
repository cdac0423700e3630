//! `jr ps`: what lives, newest first; with `-a` also what ended.

use std::collections::BTreeSet;

use super::answer::{Where, view_at};
use super::moment::Moment;
use super::progress::begun::Begun;
use super::query::{PsQuery, QueryError};
use super::rows::Row;
use super::view::{List, RunView};

pub(super) fn ps(
    query: &PsQuery,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Result<List<RunView>, QueryError> {
    let limit = query.limit.unwrap_or(usize::MAX);
    let schema = "jr.ps/1".to_owned();
    let mut items = Vec::new();
    let mut begun = Begun::new(moment);
    if query.all {
        let mut result = Ok(());
        moment.each_row((0, u64::MAX), &mut |row| {
            if items.len() < limit {
                match begun.of(&row) {
                    Ok(progress) => {
                        items.push(RunView { progress, ..view_at(&row, moment, place) });
                    }
                    Err(error) => result = Err(error),
                }
            }
            items.len() < limit && result.is_ok()
        })?;
        result?;
    } else {
        let only: BTreeSet<&str> = query.only.iter().map(String::as_str).collect();
        let is_asked =
            |row: &Row| only.is_empty() || only.contains(row.run.id.to_string().as_str());
        for row in moment.live()?.into_iter().filter(is_asked).take(limit) {
            let progress = begun.of(&row)?;
            items.push(RunView { progress, ..view_at(&row, moment, place) });
        }
    }
    Ok(List { schema, items })
}
