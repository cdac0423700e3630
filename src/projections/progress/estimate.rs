//! How long a run may still take: pure.
//!
//! What a run says of itself wins over what its earlier runs took as soon as it has done
//! `TRUSTED` of it: it knows today's input and machine. Before that the time that it took to
//! begin counts too much, being multiplied by more than 20; so history wins if there is any. A run
//! that is beyond what is usual, and far from done by its own word, is believed.

use super::tracker::Printed;
use crate::model::UnixMillis;
use crate::projections::run_view::rfc3339;
use crate::projections::view::{BatchView, ProgressView};

/// A share done from which on it tells more than history.
const TRUSTED: f64 = 0.05;
/// A smaller share tells nothing at all.
const LEAST: f64 = 0.01;
/// What is farther away than this is no estimate: ten years.
const LEFT_MS_MAX: f64 = 3.2e11;

impl ProgressView {
    /// Takes what the run printed; how much of all of it is done, where that says so.
    pub fn take(&mut self, printed: Printed) -> Option<f64> {
        let Printed { operation, completed, total, unit, percent, .. } = printed;
        self.percent = percent.map(tenths);
        (self.operation, self.unit) = (operation, unit);
        (self.completed, self.total) = (completed, total);
        self.state = printed.bar.map(|bar| bar.word().to_owned());
        (self.event, self.result) = (printed.event, printed.result);
        self.failed = printed.failed;
        printed.fraction
    }

    /// Of a batch: its lines are what is counted.
    pub fn of_batch(counts: &BatchView, elapsed_ms: u64) -> (Self, Option<f64>) {
        let ended = counts.succeeded + counts.failed + counts.cancelled;
        let share = (counts.lines > 0).then(|| f64::from(ended) / f64::from(counts.lines));
        let view = Self {
            percent: share.map(|share| tenths(share * 100.0)),
            completed: Some(f64::from(ended)),
            total: Some(f64::from(counts.lines)),
            unit: Some("lines".to_owned()),
            elapsed_ms,
            ..Self::default()
        };
        // One that has just begun a line has done nothing of it: fewer ends than slots tell little.
        (view, share.filter(|_| ended >= counts.running))
    }

    /// Whether there is anything to be told.
    pub fn is_empty(&self) -> bool {
        *self == Self { elapsed_ms: self.elapsed_ms, ..Self::default() }
    }
}

/// With one digit behind the point; never more than there is.
fn tenths(percent: f64) -> f64 {
    (percent * 10.0).floor() / 10.0
}

/// Sets what is left of a run of which so much is done.
pub fn estimate(view: &mut ProgressView, share: Option<f64>, is_held: bool, now: UnixMillis) {
    let left = match (share, view.usual_ms) {
        (Some(share), _) if share >= 1.0 => None,
        (Some(share), Some(usual)) if share < TRUSTED && view.elapsed_ms <= usual => {
            Some(Left::Usual(usual))
        }
        (Some(share), _) if share >= LEAST => by_share(share, view.elapsed_ms).map(Left::Share),
        (_, usual) => usual.map(Left::Usual),
    };
    (view.eta_ms, view.eta_by, view.overdue_ms) = match left {
        Some(Left::Share(left)) => (Some(left), Some("progress".to_owned()), None),
        Some(Left::Usual(usual)) if view.elapsed_ms <= usual => {
            (Some(usual - view.elapsed_ms), Some("history".to_owned()), None)
        }
        Some(Left::Usual(usual)) => (None, None, Some(view.elapsed_ms - usual)),
        None => (None, None, None),
    };
    let left = view.eta_ms.filter(|_| !is_held).and_then(|left| i64::try_from(left).ok());
    view.eta_at = left.map(|left| rfc3339(UnixMillis(now.0.saturating_add(left))));
}

enum Left {
    /// So long, by what it has done.
    Share(u64),
    /// It usually takes so long in all.
    Usual(u64),
}

/// As long for the rest as for what is done.
fn by_share(share: f64, elapsed_ms: u64) -> Option<u64> {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let left = elapsed_ms as f64 * (1.0 - share) / share;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is bounded")]
    (0.0..=LEFT_MS_MAX).contains(&left).then_some(left as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    /// Left, by what, and beyond what is usual.
    fn of(
        elapsed_ms: u64,
        usual_ms: Option<u64>,
        share: Option<f64>,
    ) -> (Option<u64>, String, Option<u64>) {
        let mut view = ProgressView { elapsed_ms, usual_ms, ..ProgressView::default() };
        estimate(&mut view, share, false, NOW);
        assert_eq!(view.eta_at.is_some(), view.eta_ms.is_some());
        (view.eta_ms, view.eta_by.unwrap_or_default(), view.overdue_ms)
    }

    fn by(word: &str) -> String {
        word.to_owned()
    }

    #[test]
    fn without_progress_history_counts() {
        assert_eq!(of(40_000, Some(60_000), None), (Some(20_000), by("history"), None));
        assert_eq!(of(60_000, Some(60_000), None), (Some(0), by("history"), None));
        assert_eq!(of(90_000, Some(60_000), None), (None, by(""), Some(30_000)));
        assert_eq!(of(90_000, None, None), (None, by(""), None));
    }

    #[test]
    fn progress_wins_once_enough_is_done() {
        assert_eq!(of(10_000, None, Some(0.25)), (Some(30_000), by("progress"), None));
        assert_eq!(of(10_000, Some(1_000), Some(0.25)), (Some(30_000), by("progress"), None));
        assert_eq!(of(10_000, Some(60_000), Some(0.04)), (Some(50_000), by("history"), None));
        assert_eq!(of(10_000, Some(60_000), Some(0.05)), (Some(190_000), by("progress"), None));
        assert_eq!(of(10_000, None, Some(0.04)), (Some(240_000), by("progress"), None));
    }

    #[test]
    fn beyond_what_is_usual_a_small_share_is_believed() {
        assert_eq!(of(61_000, Some(60_000), Some(0.02)), (Some(2_989_000), by("progress"), None));
        assert_eq!(of(61_000, Some(60_000), Some(0.001)), (None, by(""), Some(1_000)));
    }

    #[test]
    fn what_is_done_or_has_not_begun_has_no_estimate_of_its_own() {
        assert_eq!(of(10_000, Some(60_000), Some(1.0)), (None, by(""), None));
        assert_eq!(of(10_000, None, Some(0.0)), (None, by(""), None));
        assert_eq!(of(10_000, None, Some(0.009)), (None, by(""), None));
        assert_eq!(of(10_000, Some(60_000), Some(0.0)), (Some(50_000), by("history"), None));
        assert_eq!(of(0, None, Some(0.5)), (Some(0), by("progress"), None));
        assert_eq!(of(u64::MAX, None, Some(0.01)), (None, by(""), None), "too far");
        assert_eq!(of(u64::MAX, Some(u64::MAX), None), (Some(0), by("history"), None));
    }

    #[test]
    fn what_is_paused_has_no_end() {
        let mut view = ProgressView { elapsed_ms: 10_000, ..ProgressView::default() };
        estimate(&mut view, Some(0.5), true, NOW);
        assert_eq!((view.eta_ms, view.eta_at), (Some(10_000), None));
        let mut view = ProgressView { elapsed_ms: 10_000, ..ProgressView::default() };
        estimate(&mut view, Some(0.5), false, NOW);
        assert_eq!(view.eta_at.as_deref(), Some("2023-11-14T22:13:30.000Z"));
    }

    #[test]
    fn a_batch_counts_its_lines() {
        let counts =
            BatchView { lines: 8, succeeded: 2, failed: 1, running: 2, ..Default::default() };
        let (view, share) = ProgressView::of_batch(&counts, 9_000);
        assert_eq!((view.percent, view.completed, view.total), (Some(37.5), Some(3.0), Some(8.0)));
        assert_eq!(share, Some(0.375));
        let begun = BatchView { lines: 8, succeeded: 1, running: 2, ..Default::default() };
        assert_eq!(ProgressView::of_batch(&begun, 9_000).1, None, "too early");
        assert_eq!(ProgressView::of_batch(&BatchView::default(), 0).1, None);
    }

    #[test]
    fn numbers_are_written_as_they_were_counted() {
        let view = ProgressView {
            percent: Some(37.5),
            completed: Some(3.0),
            total: Some(9e15),
            ..ProgressView::default()
        };
        let json = serde_json::to_value(&view).expect("text keys");
        assert_eq!((&json["percent"], &json["completed"]), (&37.5.into(), &3.into()));
        assert!(
            json["eta_ms"].is_null() && json.as_object().expect("one").contains_key("usual_ms")
        );
        let again: ProgressView = serde_json::from_value(json).expect("reads");
        assert_eq!(again, view);
        assert!(ProgressView { elapsed_ms: 7, ..ProgressView::default() }.is_empty());
    }
}
