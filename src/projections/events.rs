//! `jr events`: records as they are, ascending.

use std::ops::ControlFlow;

use super::event_view::{KINDS, event_view};
use super::moment::Moment;
use super::query::{EventsQuery, QueryError, Scope};
use super::select::select_rows;
use super::source::Stored;
use super::view::{EventView, List};

/// With a limit and a place to begin, the first ones from there; with a limit alone, the newest.
/// From place 0 on is from the first that is kept.
pub(super) fn events(
    query: &EventsQuery,
    moment: &Moment<'_>,
) -> Result<List<EventView>, QueryError> {
    if let Some(kind) = query.kind.as_ref().filter(|kind| !KINDS.contains(&kind.as_str())) {
        let known = KINDS.iter().map(|kind| (*kind).to_owned()).collect();
        return Err(QueryError::BadKind { kind: kind.clone(), known });
    }
    let first = moment.source.first_seq();
    let from = query.from.unwrap_or(0);
    // 0 is before every record: all that is kept.
    if from > 0 && query.run.is_none() && from < first {
        return Err(QueryError::Pruned { first });
    }
    let fits = |stored: &Stored| {
        query.kind.as_ref().is_none_or(|kind| kind == stored.envelope.event.kind_name())
    };
    // A run that is kept whatever is pruned keeps its records before that as well.
    let from_of_run = from;
    let from = from.max(first);
    let records = match &query.run {
        Some(run) => {
            let rows = select_rows(moment, run, Scope::One)?;
            let mut seqs = Vec::new();
            for row in rows {
                seqs.extend(moment.seqs_of(row.run.first_seq)?);
            }
            seqs.retain(|seq| *seq >= from_of_run);
            let mut records = moment.source.get_many(&seqs)?;
            // As who follows the run sees them.
            records.retain(|stored| fits(stored) && stored.envelope.event.run().is_some());
            limited(records, query)
        }
        None if query.from.is_none() && query.limit.is_some() => newest(query, moment, &fits)?,
        None => scanned(query, from, moment, &fits)?,
    };
    let items = records.iter().map(event_view).collect();
    Ok(List { schema: "jr.events/1".to_owned(), items })
}

fn limited(mut records: Vec<Stored>, query: &EventsQuery) -> Vec<Stored> {
    let limit = query.limit.unwrap_or(usize::MAX);
    if query.from.is_some() {
        records.truncate(limit);
    } else {
        records.drain(..records.len().saturating_sub(limit));
    }
    records
}

fn scanned(
    query: &EventsQuery,
    from: u64,
    moment: &Moment<'_>,
    fits: &dyn Fn(&Stored) -> bool,
) -> Result<Vec<Stored>, QueryError> {
    let limit = query.limit.unwrap_or(usize::MAX);
    let mut records = Vec::new();
    moment.source.scan(from..=moment.seq(), &mut |stored| {
        if records.len() >= limit {
            return ControlFlow::Break(());
        }
        if fits(&stored) {
            records.push(stored);
        }
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

/// From the end backwards, piece by piece, until there are enough.
fn newest(
    query: &EventsQuery,
    moment: &Moment<'_>,
    fits: &dyn Fn(&Stored) -> bool,
) -> Result<Vec<Stored>, QueryError> {
    let limit = query.limit.unwrap_or_default();
    let first = moment.source.first_seq();
    let (mut end, mut size) = (moment.seq() + 1, 256_u64.max(limit as u64));
    let mut pieces: Vec<Vec<Stored>> = Vec::new();
    let mut count = 0;
    while count < limit && end > first {
        let begin = end.saturating_sub(size).max(first);
        let mut piece = Vec::new();
        moment.source.scan(begin..=end - 1, &mut |stored| {
            if fits(&stored) {
                piece.push(stored);
            }
            ControlFlow::Continue(())
        })?;
        count += piece.len();
        pieces.push(piece);
        (end, size) = (begin, size.saturating_mul(2));
    }
    Ok(limited(pieces.into_iter().rev().flatten().collect(), query))
}
