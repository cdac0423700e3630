//! `jr diff --from --to`: what became different between two moments.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::answer::{Where, view_at};
use super::moment::Moment;
use super::query::QueryError;
use super::queues;
use super::run_view::rfc3339;
use super::view::{ChangesView, MomentView, QueueChange, QueueView, RunChange};
use crate::model::RunId;

/// The runs that records between the two are about, oldest first, and the queues that differ.
/// What was and ended so in both did not change.
pub(super) fn changes(
    from: &Moment<'_>,
    to: &Moment<'_>,
    place: &Where<'_>,
) -> Result<ChangesView, QueryError> {
    if from.seq() > to.seq() {
        return Err(QueryError::Backwards { from: from.seq(), to: to.seq() });
    }
    let mut items = Vec::new();
    for run in touched(from, to)? {
        let row = |moment: &Moment<'_>| match moment.first_seq_of(run)? {
            Some(first_seq) => moment.row_of(first_seq).map(Some),
            None => Ok(None),
        };
        let (was, is) = (row(from)?, row(to)?);
        let Some(is) = is else { continue };
        let b = view_at(&is, to, place);
        let a = was.map(|row| view_at(&row, from, place));
        items.push((is.run.first_seq, RunChange { a, b }));
    }
    items.sort_by_key(|(first_seq, _)| *first_seq);
    let queues =
        queue_changes(queues::queues(from.state()?).items, queues::queues(to.state()?).items);
    Ok(ChangesView {
        schema: "jr.diff/1".to_owned(),
        same: items.is_empty() && queues.is_empty(),
        from: moment_view(from)?,
        to: moment_view(to)?,
        items: items.into_iter().map(|(_, change)| change).collect(),
        queues,
    })
}

/// With the time of its last record, also if that is the present.
fn moment_view(moment: &Moment<'_>) -> Result<MomentView, QueryError> {
    let seq = moment.seq();
    let last = moment.source.get(seq)?;
    Ok(MomentView { seq, time: last.map(|stored| rfc3339(stored.envelope.time)) })
}

/// The runs that records after the one and up to the other are about.
fn touched(from: &Moment<'_>, to: &Moment<'_>) -> Result<BTreeSet<RunId>, QueryError> {
    let mut runs = BTreeSet::new();
    to.source.scan(from.seq() + 1..=to.seq(), &mut |stored| {
        if let Some(run) = stored.envelope.event.run() {
            runs.insert(run);
        }
        ControlFlow::Continue(())
    })?;
    Ok(runs)
}

/// Queues in the order of their names; one that is not there has nothing.
fn queue_changes(old: Vec<QueueView>, new: Vec<QueueView>) -> Vec<QueueChange> {
    let by_name = |queues: Vec<QueueView>| -> BTreeMap<String, QueueView> {
        queues.into_iter().map(|queue| (queue.name.clone(), queue)).collect()
    };
    let (mut old, mut new) = (by_name(old), by_name(new));
    let names: BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
    let both = names.into_iter().map(|name| {
        let (a, b) = (old.remove(&name), new.remove(&name));
        QueueChange { name, a, b }
    });
    both.filter(|queue| {
        let (a, b) = (queue.a.as_ref(), queue.b.as_ref());
        // What nobody set follows the machine.
        let limit = b.filter(|b| !b.limit_set).map(|b| b.limit);
        let a = a.map(|a| QueueView {
            limit: limit.filter(|_| !a.limit_set).unwrap_or(a.limit),
            ..a.clone()
        });
        a.as_ref() != b
    })
    .collect()
}
