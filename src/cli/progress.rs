//! How far runs are, for people: their newest output is read here, so that it works with the
//! daemon dead and costs the daemon nothing.

use crate::daemon::place::Place;
use crate::limits;
use crate::model::{RunId, UnixMillis};
use crate::projections::progress::{Printed, Tracker, estimate};
use crate::projections::view::{ProgressView, RunView};
use crate::runners::capture::StreamName;
use crate::runners::capture::tail;

use super::{text, time_arg};

/// Runs that a line of `jr wait` names.
const WAITED: usize = 3;
/// Characters of an event or a result in a table.
const MESSAGE_CHARS: usize = 40;

/// As [`read`], of some runs.
pub fn read_all(place: Option<&Place>, runs: &mut [RunView]) {
    for run in runs {
        read(place, run);
    }
}

/// Adds what runs printed to what the log says of their progress. What has nothing to tell has no
/// progress.
pub fn read(place: Option<&Place>, run: &mut RunView) {
    let Some(view) = &mut run.progress else { return };
    // A batch prints nothing of its own.
    if run.batch.is_none()
        && let Some(place) = place
        && let Ok(id) = run.run_id.parse::<RunId>()
        && let Some(printed) = printed(place, id, run.attempt)
    {
        let share = view.take(printed);
        estimate(view, share, run.state == "paused", now());
    }
    if view.is_empty() {
        run.progress = None;
    }
}

/// What an estimate is made against.
pub fn now() -> UnixMillis {
    UnixMillis(time_arg::now().timestamp().as_millisecond())
}

/// What an attempt said last. Output that cannot be read says nothing.
fn printed(place: &Place, run: RunId, attempt: u32) -> Option<Printed> {
    let base = place.output(run, attempt);
    let read = |stream| tail::read(&base, stream, limits::PROGRESS_BYTES).ok().flatten();
    let mut tails: Vec<_> = StreamName::BOTH.into_iter().filter_map(read).collect();
    // What was written last counts.
    tails.sort_by_key(|tail| tail.modified);
    let mut tracker = Tracker::default();
    for tail in &tails {
        tracker.read(&tail.bytes, tail.is_cut);
    }
    tracker.printed()
}

/// How much of it people have room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// `42% 3/10 files load, ~1m left`.
    Whole,
    /// `42% ~1m left`.
    Short,
    /// `42%`.
    Least,
}

/// How far it is; empty where there is nothing to say.
pub fn words(view: &ProgressView, detail: Detail) -> String {
    let percent = view.percent.map(percent_words);
    let left = left_words(view, detail);
    let (parts, gap) = match detail {
        Detail::Whole => ([done_words(view), left], ", "),
        Detail::Short => ([percent.or_else(|| count_words(view)), left], " "),
        Detail::Least => ([percent.or(left), None], ""),
    };
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(gap)
}

/// What it says of itself: a result, else what it is doing, else what it said last.
fn done_words(view: &ProgressView) -> Option<String> {
    let message = |text: &str| text::shorten(&text::line(text), MESSAGE_CHARS).into_owned();
    if let Some(result) = &view.result {
        let result = message(result);
        return Some(if view.failed { format!("failed: {result}") } else { result });
    }
    let bar = match view.state.as_deref() {
        Some("error") => Some("error".to_owned()),
        Some("paused") => Some("paused".to_owned()),
        Some("indeterminate") if view.operation.is_none() => Some("working".to_owned()),
        _ => None,
    };
    let operation = view.operation.as_deref().map(message);
    let parts = [view.percent.map(percent_words), count_words(view), operation, bar];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { view.event.as_deref().map(message) } else { Some(parts.join(" ")) }
}

/// Never more than there is: 99.9 % is not all.
fn percent_words(percent: f64) -> String {
    format!("{}%", percent.floor())
}

/// `3/10 files`.
fn count_words(view: &ProgressView) -> Option<String> {
    let number = |number: f64| ((number * 100.0).round() / 100.0).to_string();
    let mut words = match (view.completed, view.total) {
        (Some(completed), Some(total)) => format!("{}/{}", number(completed), number(total)),
        (Some(completed), None) => number(completed),
        (None, Some(total)) => format!("?/{}", number(total)),
        (None, None) => return None,
    };
    if let Some(unit) = &view.unit {
        words.push(' ');
        words.push_str(&text::line(unit));
    }
    Some(words)
}

/// `~1m left`, or how much it is beyond what is usual.
pub fn left_words(view: &ProgressView, detail: Detail) -> Option<String> {
    match (view.eta_ms, view.overdue_ms.zip(view.usual_ms)) {
        (Some(left), _) => {
            Some(format!("~{} left", about(left.div_ceil(1_000).max(1).saturating_mul(1_000))))
        }
        (None, Some((over, usual))) if detail == Detail::Whole => {
            Some(format!("{} over the usual {}", about(over), about(usual)))
        }
        (None, Some((over, _))) => Some(format!("{} over", about(over))),
        (None, None) => None,
    }
}

/// A duration that is not known to the second: one unit, two where the first is small.
fn about(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}s"),
        60..600 if seconds % 60 >= 10 => format!("{}m{:02}s", seconds / 60, seconds % 60 / 10 * 10),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..36_000 if seconds % 3_600 >= 60 => {
            format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60)
        }
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// `jr wait`: what is waited for, in a line.
pub fn waiting(runs: &[RunView], asked: usize) -> String {
    let told = runs.iter().map(|run| {
        let words = run.progress.as_deref().map(|view| words(view, Detail::Whole));
        let words = match words.filter(|words| !words.is_empty()) {
            // How far it is says nothing of whether it goes on.
            Some(words) if run.state == "paused" => format!("paused, {words}"),
            Some(words) => words,
            None => run.state.clone(),
        };
        format!("{}: {words}", text::shorten(&text::line(&run.name), MESSAGE_CHARS))
    });
    let told: Vec<String> = told.take(WAITED).collect();
    let more = runs.len().saturating_sub(WAITED);
    let more = if more > 0 { format!("; {more} more") } else { String::new() };
    let ended = asked.saturating_sub(runs.len());
    let ended = if asked > 1 { format!("{ended} of {asked} ended; ") } else { String::new() };
    format!("waiting: {ended}{}{more}", told.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::tests::view as run;

    fn view() -> ProgressView {
        ProgressView {
            percent: Some(42.9),
            completed: Some(3.0),
            total: Some(7.0),
            operation: Some("load".to_owned()),
            eta_ms: Some(61_000),
            ..ProgressView::default()
        }
    }

    #[test]
    fn there_is_a_form_for_each_width() {
        assert_eq!(words(&view(), Detail::Whole), "42% 3/7 load, ~1m left");
        assert_eq!(words(&view(), Detail::Short), "42% ~1m left");
        assert_eq!(words(&view(), Detail::Least), "42%");
        let late = ProgressView {
            usual_ms: Some(300_000),
            overdue_ms: Some(125_000),
            ..ProgressView::default()
        };
        assert_eq!(words(&late, Detail::Whole), "2m over the usual 5m");
        assert_eq!(words(&late, Detail::Short), "2m over");
        assert_eq!(words(&late, Detail::Least), "2m over");
        let count = ProgressView {
            completed: Some(2.5),
            unit: Some("GB".to_owned()),
            ..ProgressView::default()
        };
        assert_eq!(words(&count, Detail::Whole), "2.5 GB");
        assert_eq!(words(&count, Detail::Least), "");
        assert_eq!(words(&ProgressView::default(), Detail::Whole), "");
    }

    #[test]
    fn what_it_says_of_itself_comes_first() {
        let said = |change: fn(&mut ProgressView)| {
            let mut view = ProgressView { eta_ms: None, ..view() };
            change(&mut view);
            words(&view, Detail::Whole)
        };
        assert_eq!(said(|view| view.state = Some("error".to_owned())), "42% 3/7 load error");
        assert_eq!(said(|view| view.result = Some("12 files".to_owned())), "12 files");
        let failed = said(|view| (view.result, view.failed) = (Some("no disk".to_owned()), true));
        assert_eq!(failed, "failed: no disk");
        let event = ProgressView { event: Some("connected".to_owned()), ..Default::default() };
        assert_eq!(words(&event, Detail::Whole), "connected");
        let bar = ProgressView { state: Some("indeterminate".to_owned()), ..Default::default() };
        assert_eq!(words(&bar, Detail::Whole), "working");
    }

    #[test]
    fn nothing_that_a_run_printed_steers_a_terminal() {
        let evil = Some("\u{1b}]0;owned\u{7}\n".to_owned());
        let view = ProgressView {
            operation: evil.clone(),
            unit: evil.clone(),
            completed: Some(1.0),
            ..ProgressView::default()
        };
        let event = ProgressView { event: evil.clone(), ..ProgressView::default() };
        let result = ProgressView { result: evil, ..ProgressView::default() };
        for view in [view, event, result] {
            let words = words(&view, Detail::Whole);
            assert!(words.contains("owned") && !words.contains(char::is_control), "{words:?}");
        }
    }

    #[test]
    fn durations_are_as_exact_as_they_can_be() {
        let of = |durations: &[u64]| -> Vec<String> {
            durations.iter().map(|millis| about(*millis)).collect()
        };
        assert_eq!(of(&[0, 900, 1_006, 59_999]), ["0ms", "900ms", "1s", "59s"]);
        assert_eq!(of(&[60_000, 69_000, 95_000, 599_000]), ["1m", "1m", "1m30s", "9m50s"]);
        assert_eq!(of(&[600_001, 3_599_999, 3_600_000, 5_400_000]), ["10m", "59m", "1h", "1h30m"]);
        assert_eq!(of(&[40_000_000, 90_000_000]), ["11h", "1d01h"]);
        assert!(!about(u64::MAX).is_empty());
        let left = |left| {
            let view = ProgressView { eta_ms: Some(left), ..ProgressView::default() };
            words(&view, Detail::Whole)
        };
        assert_eq!([left(0), left(1_001)], ["~1s left", "~2s left"]);
        assert!(!left(u64::MAX).is_empty());
    }

    #[test]
    fn a_wait_tells_of_a_few() {
        let mut first = run("aaaaaaaaaaaa", "web");
        first.progress = Some(Box::new(view()));
        let one = waiting(std::slice::from_ref(&first), 1);
        assert_eq!(one, "waiting: web: 42% 3/7 load, ~1m left");
        first.state = "paused".to_owned();
        let held = waiting(std::slice::from_ref(&first), 1);
        assert_eq!(held, "waiting: web: paused, 42% 3/7 load, ~1m left");
        let many: Vec<_> = std::iter::repeat_n(run("bbbbbbbbbbbb", "x"), 4).collect();
        let line = waiting(&many, 9);
        assert_eq!(line, "waiting: 5 of 9 ended; x: running; x: running; x: running; 1 more");
    }
}
