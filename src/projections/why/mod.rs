//! `jr why`: why a run waits, runs, was started again, or ended, and the records that say so.
//!
//! Nothing is kept for it: each reason is read from the run's own records, from the state at the
//! head, and from the records of the runs that stand in its way.

mod ended;
mod evidence;
mod living;
mod past;
mod service;

use super::answer::{Where, view_at};
use super::moment::Moment;
use super::query::QueryError;
use super::select::select_one;
use super::view::{WhyItem, WhyView};
use crate::model::{Kind, Phase};
use evidence::Evidence;
pub(super) use evidence::end_words;

pub(super) fn why(
    selector: &str,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Result<WhyView, QueryError> {
    let row = select_one(moment, selector)?;
    let evidence = Evidence::new(&row.run, moment)?;
    let run = view_at(&row, moment, place);
    let mut items = past::items(&evidence);
    match row.run.phase {
        Phase::Queued | Phase::Starting if row.run.spec.kind == Kind::Job => {
            items.extend(living::waits(&evidence)?);
        }
        Phase::Queued if row.run.spec.kind == Kind::Service => {
            items.extend(service::waits(&evidence)?);
        }
        Phase::Running if row.run.spec.kind == Kind::Service => {
            items.extend(living::runs(&evidence));
            items.extend(service::health(&evidence));
        }
        Phase::Queued | Phase::Starting | Phase::Running => {
            items.extend(living::runs(&evidence));
            items.extend(living::held_batch(&evidence)?);
        }
        Phase::Delayed if row.run.spec.kind == Kind::Service => {
            items.extend(service::delayed(&evidence, moment.now()));
        }
        Phase::Paused => items.extend(living::paused(&evidence)),
        Phase::Delayed => items.extend(living::delayed(&evidence, moment.now())),
        Phase::Stopping => items.extend(living::stopping(&evidence)?),
        Phase::Ended => {
            items.insert(0, living::asked(&evidence));
            items.extend(ended::ended(&evidence)?);
        }
    }
    for item in &mut items {
        without_pruned(item, &evidence);
    }
    Ok(WhyView { schema: "jr.why/1".to_owned(), run, items })
}

/// Records that are not there any more cannot be looked at.
fn without_pruned(item: &mut WhyItem, evidence: &Evidence<'_>) {
    let cited = item.events.len();
    item.events.retain(|seq| evidence.is_kept(*seq));
    if item.events.len() < cited {
        item.message.push_str(" (records that it rests on were pruned)");
    }
}
