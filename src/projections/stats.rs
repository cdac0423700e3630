//! `jr stats`: how the runs of each name did, from samples alone.

use std::collections::{BTreeMap, VecDeque};

use super::history;
use super::moment::{self, Moment};
use super::query::{QueryError, StatsQuery};
use super::run_view::{kind_word, rfc3339};
use super::samples::{Sample, Series};
use super::select::{self, has_glob};
use super::view::{List, StatsView};
use super::views::Views;
use crate::model::UnixMillis;

/// Durations that a sparkline shows.
const LAST: usize = 20;
/// Fewer durations than these tell no trend.
const TREND_RUNS: usize = 4;

/// What became of the runs of one name.
#[derive(Debug, Default)]
struct Tally {
    live: u64,
    succeeded: u64,
    failed: u64,
    stopped: u64,
    /// Place of the end, and how long it ran.
    durations: Vec<(u64, u64)>,
    last: Option<Sample>,
}

/// Last end first; what never ended before all.
pub(super) fn stats(
    query: &StatsQuery,
    moment: &Moment<'_>,
) -> Result<List<StatsView>, QueryError> {
    history::known_kind(query.kind.as_ref())?;
    let glob = query.pattern.as_ref().filter(|pattern| has_glob(pattern));
    let glob = glob.map(|pattern| {
        let bad = |why| QueryError::BadSelector { selector: pattern.clone(), why };
        select::glob(pattern).map_err(bad)
    });
    let glob = glob.transpose()?;
    let fits_name = |name: &str| {
        query.name.as_ref().is_none_or(|only| only == name)
            && query.pattern.as_ref().is_none_or(|pattern| match &glob {
                Some(glob) => glob.is_match(name),
                None => name.contains(pattern.as_str()),
            })
    };
    // What was admitted at or after `since` ended after that as well.
    let from = match query.since.and_then(|since| since.checked_sub(1)) {
        Some(before) => moment::seq_at(moment.views, moment.source, before)?,
        None => 0,
    };
    let is_within = |created_at: i64| {
        query.since.is_none_or(|since| created_at >= since)
            && query.until.is_none_or(|until| created_at < until)
    };
    let fits_labels = |labels: &BTreeMap<String, String>| {
        query.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let prefix = prefix(query);
    let series = Series { prefix: &prefix, name: &fits_name, kind: query.kind.as_deref(), from };
    let mut names: BTreeMap<String, Tally> = BTreeMap::new();
    moment.views.each_block(&series, &mut |name, block| {
        if !fits_labels(&block.labels) {
            return;
        }
        let samples = block.samples().filter(|sample| sample.ended_seq <= moment.seq());
        for sample in samples.filter(|sample| is_within(sample.created_at)) {
            match names.get_mut(name) {
                Some(tally) => tally.take(&sample),
                None => names.entry(name.to_owned()).or_default().take(&sample),
            }
        }
    })?;
    for run in moment.state()?.runs.values() {
        let is_kind = query.kind.as_ref().is_none_or(|kind| kind == kind_word(run.spec.kind));
        let fits = fits_name(&run.spec.name) && fits_labels(&run.spec.labels);
        if fits && is_kind && is_within(run.created_at.0) {
            names.entry(run.spec.name.clone()).or_default().live += 1;
        }
    }
    let mut names: Vec<(String, Tally)> = names.into_iter().collect();
    names.sort_by_key(|(_, tally)| {
        std::cmp::Reverse(tally.last.map_or(u64::MAX, |last| last.ended_seq))
    });
    names.truncate(query.limit.unwrap_or(usize::MAX));
    let items = names.into_iter().map(|(name, tally)| tally.view(name, moment.views));
    let items = items.collect::<Result<_, QueryError>>()?;
    Ok(List { schema: "jr.stats/1".to_owned(), items })
}

/// What all names start with that can fit.
fn prefix(query: &StatsQuery) -> String {
    if let Some(name) = &query.name {
        return format!("{name}\0");
    }
    let Some(pattern) = query.pattern.as_ref().filter(|pattern| has_glob(pattern)) else {
        return String::new();
    };
    let end = pattern.find(['*', '?', '[', '{', '\\']).unwrap_or(pattern.len());
    pattern[..end].to_owned()
}

impl Tally {
    fn take(&mut self, sample: &Sample) {
        *match sample.outcome() {
            Some("succeeded") => &mut self.succeeded,
            // Somebody wanted it so; it says nothing about the command.
            Some("stopped" | "cancelled" | "skipped") => &mut self.stopped,
            Some(_) | None => &mut self.failed,
        } += 1;
        if let Some(ran_ms) = sample.ran_ms {
            self.durations.push((sample.ended_seq, ran_ms));
        }
        if self.last.is_none_or(|last| last.ended_seq < sample.ended_seq) {
            self.last = Some(*sample);
        }
    }

    fn view(mut self, name: String, views: &Views) -> Result<StatsView, QueryError> {
        // Series of other labels or kinds come one after the other.
        self.durations.sort_unstable();
        let in_order: Vec<u64> = self.durations.iter().map(|(_, ran_ms)| *ran_ms).collect();
        let judged = self.succeeded + self.failed;
        let last_run = match self.last {
            Some(last) => Some(views.row(last.first_seq)?.run.id.to_string()),
            None => None,
        };
        let mut durations = in_order.clone();
        Ok(StatsView {
            name,
            runs: judged + self.stopped,
            live: self.live,
            succeeded: self.succeeded,
            failed: self.failed,
            stopped: self.stopped,
            failure_percent: (judged > 0).then(|| percent(self.failed, judged)),
            p50_ms: percentile(&mut durations, 50),
            p95_ms: percentile(&mut durations, 95),
            max_ms: durations.iter().max().copied(),
            trend_percent: trend(&in_order),
            last_durations_ms: last_of(&in_order),
            last_run_id: last_run,
            last_outcome: self.last.and_then(|last| last.outcome()).map(str::to_owned),
            last_ended_at: self.last.map(|last| rfc3339(UnixMillis(last.ended_at))),
        })
    }
}

fn last_of(durations: &[u64]) -> Vec<u64> {
    let mut last: VecDeque<u64> = durations.iter().rev().take(LAST).copied().collect();
    last.make_contiguous().reverse();
    last.into()
}

/// The least value that is not exceeded by so many of a hundred (nearest rank).
pub(super) fn percentile(values: &mut [u64], percent: usize) -> Option<u64> {
    let rank = (values.len() * percent).div_ceil(100).checked_sub(1)?;
    Some(*values.select_nth_unstable(rank).1)
}

/// The median of the newer half against that of the older half.
fn trend(durations: &[u64]) -> Option<f64> {
    if durations.len() < TREND_RUNS {
        return None;
    }
    let (older, newer) = durations.split_at(durations.len() / 2);
    let older = percentile(&mut older.to_vec(), 50)?;
    let newer = percentile(&mut newer.to_vec(), 50)?;
    (older > 0).then(|| f64::from(thousandths(newer, older) - 1_000) / 10.0)
}

/// With one digit behind the point.
fn percent(part: u64, whole: u64) -> f64 {
    f64::from(thousandths(part, whole)) / 10.0
}

/// To the nearest one.
fn thousandths(part: u64, whole: u64) -> i32 {
    let doubled = u128::from(part) * 2_000 / u128::from(whole);
    i32::try_from(doubled.div_ceil(2)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_there() {
        let of = |values: &[u64], percent| percentile(&mut values.to_vec(), percent);
        assert_eq!(of(&[], 50), None);
        assert_eq!(of(&[5], 50), Some(5));
        assert_eq!(of(&[5], 95), Some(5));
        assert_eq!(of(&[4, 1, 3, 2], 50), Some(2));
        assert_eq!(of(&[9, 1, 5], 50), Some(5));
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(of(&hundred, 95), Some(95));
    }

    #[test]
    fn the_trend_sets_the_newer_half_against_the_older() {
        assert_eq!(trend(&[10, 10, 20]), None, "too few");
        assert_eq!(trend(&[10, 10, 15, 15]), Some(50.0));
        assert_eq!(trend(&[20, 20, 15, 15]), Some(-25.0));
        assert_eq!(trend(&[3, 3, 4, 4]), Some(33.3));
        assert_eq!(trend(&[0, 0, 4, 4]), None, "nothing to compare with");
        assert_eq!(trend(&[7, 7, 7, 7, 7]), Some(0.0));
    }

    #[test]
    fn the_last_durations_are_in_their_order() {
        let many: Vec<u64> = (0..50).collect();
        assert_eq!(last_of(&many), (30..50).collect::<Vec<u64>>());
        assert_eq!(last_of(&[3, 1]), [3, 1]);
    }
}
