//! What a prune lets go: where its cut lies, and which older runs stay.

use std::collections::BTreeSet;

use super::error::ViewsError;
use super::moment;
use super::rows::{Table, last_number, one};
use super::source::LogSource;
use super::store::Order;
use super::views::Views;
use crate::model::{Kind, RunId, UnixMillis};

/// Keys read from the file at once.
const CHUNK: usize = 4_096;
const DAY_MS: i64 = 86_400_000;

/// What is to be kept; what either keeps stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// What ended in the last so many days.
    pub days: Option<u32>,
    /// The newest so many runs.
    pub runs: Option<u64>,
}

impl Views {
    /// The first record of the history that the policy keeps.
    pub fn prune_before(
        &self,
        source: &dyn LogSource,
        policy: Policy,
        now: UnixMillis,
    ) -> Result<u64, ViewsError> {
        let first = source.first_seq();
        let mut before = self.applied() + 1;
        if let Some(count) = policy.runs {
            before = before.min(self.newest_from(count)?.unwrap_or(first));
        }
        if let Some(days) = policy.days {
            let until = now.0.saturating_sub(i64::from(days) * DAY_MS);
            before = before.min(moment::seq_at(self, source, until)? + 1);
        }
        Ok(before.max(first))
    }

    /// Where the `count` newest runs begin; `None` if there are fewer.
    fn newest_from(&self, count: u64) -> Result<Option<u64>, ViewsError> {
        if count == 0 {
            return Ok(Some(self.applied() + 1));
        }
        let mut held: Vec<u64> = self.live.keys().chain(self.delta.ended.keys()).copied().collect();
        held.sort_unstable();
        let (mut left, mut to) = (count, u64::MAX);
        loop {
            let range = (&*one(0), &*one(to));
            let rows = self.store.scan(Table::Runs, range, Order::Descending, CHUNK)?;
            let whole = rows.len() < CHUNK;
            for (key, _) in &rows {
                let place = last_number(Table::Runs, key)?;
                while held.last().is_some_and(|held| *held > place) {
                    let newest = held.pop();
                    left -= 1;
                    if left == 0 {
                        return Ok(newest);
                    }
                }
                left -= 1;
                if left == 0 {
                    return Ok(Some(place));
                }
                to = place.saturating_sub(1);
            }
            if whole {
                break;
            }
        }
        let rest = usize::try_from(left).ok().and_then(|left| held.len().checked_sub(left));
        Ok(rest.and_then(|rest| held.get(rest).copied()))
    }

    /// Of what lies before a cut: the named runs, and the lines of those that are batches.
    pub fn kept_before(
        &self,
        named: &BTreeSet<RunId>,
        before: u64,
    ) -> Result<BTreeSet<RunId>, ViewsError> {
        let mut kept = BTreeSet::new();
        for run in named {
            let Some(place) = self.first_seq_of(*run)?.filter(|place| *place < before) else {
                continue;
            };
            kept.insert(*run);
            if self.row(place)?.run.spec.kind == Kind::Batch {
                let children = self.children(place)?.into_iter();
                let lines = children.filter(|(at, child)| *at < before && !child.is_batch);
                kept.extend(lines.map(|(_, child)| RunId::from_chance(child.id)));
            }
        }
        Ok(kept)
    }
}
