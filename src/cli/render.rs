//! Runs, queues and records as people read them: pure.
#![expect(clippy::format_push_string, reason = "short lines for people, not a hot path")]

use jiff::Zoned;

use crate::projections::view::{
    AttemptView, EventView, ProgressView, QueueView, RunView, ShowView,
};

use super::progress::{self, Detail};
use super::shown::Shown;
use super::table::{Cell, Medium, Style, Table};
use super::{limits, text, time_arg};

/// How a run looks by its state and outcome.
pub fn style_of(run: &impl Shown) -> Style {
    match run.outcome() {
        Some("succeeded") => Style::Good,
        Some("cancelled" | "skipped") => Style::Dim,
        Some(_) => Style::Bad,
        None => Style::Busy,
    }
}

/// The state of what lives, the outcome of what ended.
fn state_cell(run: &impl Shown) -> Cell<'_> {
    Cell::styled(run.outcome().unwrap_or(run.state()), style_of(run))
}

/// `7`, `SIGKILL(9)`, a reason, or `-`.
pub fn exit_words(run: &impl Shown) -> String {
    match run.end() {
        (Some(code), None, _) => code.to_string(),
        (_, Some(signal), _) => {
            let name = crate::model::Signal::new(signal).map(|signal| signal.to_string());
            name.map_or_else(|| signal.to_string(), |name| format!("{name}({signal})"))
        }
        (None, None, Some(reason)) => reason.to_owned(),
        (None, None, None) => "-".to_owned(),
    }
}

fn duration_words(run: &impl Shown) -> String {
    let millis = run.duration_ms().and_then(|millis| u64::try_from(millis).ok());
    millis.map_or_else(|| "-".to_owned(), time_arg::show_duration)
}

fn labels_cell(run: &impl Shown) -> Cell<'static> {
    if run.labels().is_empty() {
        return "-".into();
    }
    let labels: Vec<String> =
        run.labels().iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.join(",").into()
}

/// What it runs; of a batch, how far it is.
fn command_words(run: &impl Shown) -> String {
    match run.batch() {
        Some(batch) => {
            let ended = batch.succeeded + batch.failed + batch.cancelled;
            format!("{ended}/{} lines, {} failed", batch.lines, batch.failed)
        }
        None => text::command(run.command()),
    }
}

/// `jr ps`. How far runs are has a column where some run tells of it, with as much as there is room
/// for.
pub fn ps(runs: &[RunView], now: &Zoned, medium: Medium) -> String {
    if runs.iter().all(|run| told(run, Detail::Whole).is_empty()) {
        return ps_table(runs, None, now).render(medium);
    }
    let details = [Detail::Whole, Detail::Short, Detail::Least];
    let mut tables = details.map(|detail| ps_table(runs, Some(detail), now)).into_iter();
    let fitting = tables.find(|table| table.fits(medium));
    fitting.unwrap_or_else(|| ps_table(runs, Some(Detail::Least), now)).render(medium)
}

fn told(run: &RunView, detail: Detail) -> String {
    run.progress.as_deref().map(|view| progress::words(view, detail)).unwrap_or_default()
}

fn ps_table<'a>(runs: &'a [RunView], detail: Option<Detail>, now: &Zoned) -> Table<'a> {
    let mut table = match detail {
        Some(_) => {
            Table::new(&["ID", "NAME", "STATE", "AGE", "PROGRESS", "PID", "QUEUE", "COMMAND"])
                .optional(&[6, 5, 3])
        }
        None => Table::new(&["ID", "NAME", "STATE", "AGE", "PID", "QUEUE", "COMMAND"])
            .optional(&[5, 4, 3]),
    };
    for run in runs {
        let age = time_arg::age_ms(run.started_at.as_deref().unwrap_or(&run.created_at), now);
        let age = if run.outcome.is_some() {
            duration_words(run)
        } else {
            age.map_or_else(|| "-".to_owned(), time_arg::show_duration)
        };
        let mut cells =
            vec![run.run_id.as_str().into(), run.name.as_str().into(), state_cell(run), age.into()];
        if let Some(detail) = detail {
            let told = told(run, detail);
            cells.push(if told.is_empty() { "-".into() } else { told.into() });
        }
        cells.extend([
            run.pid.map_or_else(|| "-".into(), |pid| pid.to_string().into()),
            run.queue.as_deref().unwrap_or("-").into(),
            command_words(run).into(),
        ]);
        table.row(cells);
    }
    table
}

/// `jr history`.
pub fn history<R: Shown>(runs: &[R], now: &Zoned, medium: Medium) -> String {
    let mut table =
        Table::new(&["ID", "NAME", "RESULT", "EXIT", "STARTED", "DURATION", "LABELS", "COMMAND"])
            .optional(&[6, 4, 5]);
    for run in runs {
        table.row(vec![
            run.id().into(),
            run.name().into(),
            state_cell(run),
            exit_words(run).into(),
            run.started(now).map_or_else(|| "-".into(), Into::into),
            duration_words(run).into(),
            labels_cell(run),
            command_words(run).into(),
        ]);
    }
    table.render(medium)
}

/// `jr queue list`.
pub fn queues(queues: &[QueueView], medium: Medium) -> String {
    let mut table = Table::new(&["NAME", "SLOTS", "RUNNING", "QUEUED"]).flexible(0);
    for queue in queues {
        let limit = if queue.limit_set {
            queue.limit.to_string()
        } else {
            format!("{} (cores)", queue.limit)
        };
        let limit = if queue.paused { format!("{limit}, paused") } else { limit };
        table.row(vec![
            queue.name.as_str().into(),
            limit.into(),
            queue.running.to_string().into(),
            queue.queued.to_string().into(),
        ]);
    }
    table.render(medium)
}

/// One record as a line: place, time, kind, run and what else it says.
pub fn event(event: &EventView, now: &Zoned) -> String {
    let mut line =
        format!("{:>6}  {}  {:<20}", event.seq, time_arg::show_exact(&event.time, now), event.kind);
    if let Some(run) = &event.run_id {
        line.push_str(&format!("  {run}"));
    }
    line.push_str(&fields(event));
    text::line(&line).trim_end().to_owned()
}

/// ` name=value` of what a record says beyond its kind; what is null or long is left out.
fn fields(event: &EventView) -> String {
    let mut out = String::new();
    for (name, value) in &event.fields {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::String(value) => {
                let quoted = shlex::try_quote(value).unwrap_or_default();
                out.push_str(&format!("  {name}={quoted}"));
            }
            value => out.push_str(&format!("  {name}={value}")),
        }
    }
    out
}

/// Where the values of `jr show` begin.
const FACT_COLUMN: usize = 12;

/// `jr show`: everything, one fact a line, then attempts and timeline.
pub fn show(view: &ShowView, now: &Zoned, medium: Medium, verbose: bool) -> String {
    let run = &view.run;
    let style = style_of(run);
    let mut out = String::new();
    let mut fact = |name: &str, value: &str, style: Style| {
        let name = Style::Dim.paint(&format!("{name:<11}"), medium.color);
        for (place, value) in folded(value, FACT_COLUMN, medium).iter().enumerate() {
            let name = if place == 0 { &name } else { "           " };
            out.push_str(&format!("{name} {}\n", style.paint(value, medium.color)));
        }
    };
    fact("run", &run.run_id, Style::Plain);
    fact("name", &run.name, Style::Plain);
    fact("kind", &run.kind, Style::Plain);
    fact("state", run.outcome.as_deref().unwrap_or(&run.state), style);
    if run.outcome.is_some() {
        fact("exit", &exit_words(run), style);
    }
    if let Some(reason) = &run.reason {
        fact("reason", reason, Style::Plain);
    }
    match &run.batch {
        Some(batch) => fact("lines", &batch_words(batch), Style::Plain),
        None => fact("command", &text::command(&run.command), Style::Plain),
    }
    fact("cwd", &run.cwd, Style::Plain);
    if let Some(queue) = &run.queue {
        fact("queue", queue, Style::Plain);
    }
    for (key, value) in &run.labels {
        fact("label", &format!("{key}={value}"), Style::Plain);
    }
    let config = config_words(run);
    for (name, value) in
        [("config", &config), ("commit", &run.commit), ("parent", &run.parent), ("key", &view.key)]
    {
        if let Some(value) = value {
            fact(name, value, Style::Plain);
        }
    }
    if let Some(words) = children_words(view) {
        fact("children", &words, Style::Plain);
    }
    fact("created", &time_arg::show_exact(&run.created_at, now), Style::Plain);
    for (name, at) in [("started", &run.started_at), ("ended", &run.ended_at)] {
        if let Some(at) = at {
            fact(name, &time_arg::show_exact(at, now), Style::Plain);
        }
    }
    if run.duration_ms.is_some() {
        fact("duration", &duration_words(run), Style::Plain);
    }
    for (name, words) in [
        ("progress", run.progress.as_deref().and_then(progress_words)),
        ("stop", Some(stop_words(view))),
        ("limits", limits::limit_words(&view.limits)),
    ] {
        if let Some(words) = words {
            fact(name, &words, Style::Plain);
        }
    }
    if verbose {
        for (name, value) in &view.variables {
            fact("variable", &format!("{name}={value}"), Style::Plain);
        }
    }
    for attempt in &view.attempts {
        out.push_str(&self::attempt(attempt, now, medium));
    }
    out + &timeline(view, now, medium)
}

fn timeline(view: &ShowView, now: &Zoned, medium: Medium) -> String {
    let mut out = "\ntimeline\n".to_owned();
    for record in &view.timeline {
        let line = event(record, now);
        out.push_str(
            medium.width.map_or(line.as_str().into(), |w| text::shorten(&line, w)).as_ref(),
        );
        out.push('\n');
    }
    out
}

/// The configuration that it was asked for under, and how to see it.
fn config_words(run: &RunView) -> Option<String> {
    let config = run.config.as_ref()?;
    let start = config.get(..12).unwrap_or(config);
    Some(format!("{start}  (jr config show --run {})", run.run_id))
}

/// `500 lines, 1 continuation 4fj2kq9x3m7a`; what is one of many is only counted.
fn children_words(view: &ShowView) -> Option<String> {
    let counted = |word: &str, ids: &[String]| match ids {
        [] => None,
        [id] => Some(format!("1 {word} {id}")),
        ids => Some(format!("{} {word}s", ids.len())),
    };
    let words = [
        counted("line", &view.lines),
        counted("continuation", &view.continuations),
        counted("rerun", &view.reruns),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// How many lines stand where; nothing of what there is none of.
pub fn batch_words(batch: &crate::projections::view::BatchView) -> String {
    let counts = [
        (batch.succeeded, "succeeded"),
        (batch.failed, "failed"),
        (batch.cancelled, "cancelled"),
        (batch.running, "running"),
        (batch.paused, "paused"),
        (batch.queued, "queued"),
    ];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    let lines = if batch.lines == 1 { "line" } else { "lines" };
    format!("{} {lines}, {}", batch.lines, words.join(", "))
}

/// `42% 3/10 load, ~1m left; usually 5m`.
fn progress_words(view: &ProgressView) -> Option<String> {
    let words = progress::words(view, Detail::Whole);
    let usual = view.usual_ms.filter(|_| view.overdue_ms.is_none());
    let usual = usual.map(|usual| format!("usually {}", time_arg::show_duration(usual)));
    let words = [Some(words).filter(|words| !words.is_empty()), usual];
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join("; "))
}

fn stop_words(view: &ShowView) -> String {
    let grace = time_arg::show_duration(view.grace_ms);
    let mut words = format!("{}, after {grace} SIGKILL; strays: {}", view.stop_signal, view.strays);
    if let Some(timeout) = view.timeout_ms {
        words.push_str(&format!("; time limit {}", time_arg::show_duration(timeout)));
    }
    words
}

/// A value in as many lines as it takes beside `column` others; in one, where nothing is narrow.
fn folded(value: &str, column: usize, medium: Medium) -> Vec<String> {
    let value = text::line(value);
    let lines = match medium.width {
        Some(width) => text::wrap(&value, width.saturating_sub(column).max(1)),
        None => vec![value.as_ref()],
    };
    lines.into_iter().map(str::to_owned).collect()
}

fn attempt(attempt: &AttemptView, now: &Zoned, medium: Medium) -> String {
    let mut out = format!("\nattempt {}   ", attempt.attempt);
    out.push_str(attempt.status.as_deref().unwrap_or(&attempt.state));
    if let Some(code) = attempt.exit_code {
        out.push_str(&format!(", exit code {code}"));
    }
    if let Some(signal) = attempt.signal.and_then(crate::model::Signal::new) {
        out.push_str(&format!(", {signal}"));
    }
    if let Some(reason) = &attempt.reason {
        out.push_str(&format!(", {reason}"));
    }
    let head = folded(&out[1..], 2, medium).join("\n  ");
    out.replace_range(1.., &head);
    out.push('\n');
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let value = folded(&value, FACT_COLUMN, medium).join("\n            ");
            out.push_str(&format!("  {name:<9} {value}\n"));
        }
    };
    fact("pid", attempt.pid.map(|pid| pid.to_string()));
    fact("tracking", attempt.tracking.clone());
    fact("limits", limits::limits_by_words(&attempt.limits_by));
    fact("started", attempt.started_at.as_deref().map(|at| time_arg::show_exact(at, now)));
    fact("ended", attempt.ended_at.as_deref().map(|at| time_arg::show_exact(at, now)));
    fact("duration", attempt.duration_ms.map(time_arg::show_duration));
    let cpu = attempt.user_ms.zip(attempt.system_ms);
    fact("cpu", cpu.map(|(user, system)| format!("{user} ms user, {system} ms system")));
    fact("memory", attempt.max_rss_bytes.map(|bytes| format!("{} KiB at most", bytes / 1_024)));
    let killed = attempt.oom_kills.filter(|count| *count > 0);
    fact("oom kills", killed.map(|count| format!("{count}: it used up its memory")));
    let printed = attempt.stdout_bytes.zip(attempt.stderr_bytes);
    fact("output", printed.map(|(out, err)| format!("{out} bytes stdout, {err} bytes stderr")));
    fact("strays", (attempt.strays > 0).then(|| attempt.strays.to_string()));
    fact("survivors", survivors(&attempt.survivors));
    out
}

/// `1, 2, 3`, or nothing.
pub fn survivors(pids: &[u32]) -> Option<String> {
    let words: Vec<String> = pids.iter().map(ToString::to_string).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// One run's end in a line.
pub fn ended_words(run: &RunView) -> String {
    let outcome = run.outcome.as_deref().unwrap_or(&run.state);
    let detail = match (outcome, exit_words(run)) {
        ("succeeded" | "cancelled", _) => String::new(),
        (_, words) if words == "-" => String::new(),
        (_, words) => format!(" ({words})"),
    };
    format!("{}  {}  {outcome}{detail}", run.run_id, run.name)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::ResourceLimits;
    use crate::projections::view::BatchView;
    use crate::projections::view::LimitsByView;

    /// A run that lives.
    pub(in crate::cli) fn view(run_id: &str, name: &str) -> RunView {
        RunView {
            run_id: run_id.to_owned(),
            name: name.to_owned(),
            kind: "job".to_owned(),
            runner: "process".to_owned(),
            environment: "local".to_owned(),
            state: "running".to_owned(),
            outcome: None,
            exit_code: None,
            signal: None,
            reason: None,
            attempt: 1,
            command: vec!["echo".to_owned(), "a b".to_owned()],
            cwd: "/tmp".to_owned(),
            labels: BTreeMap::new(),
            parent: None,
            pid: Some(4711),
            ports: BTreeMap::new(),
            health: None,
            image: None,
            queue: None,
            config: None,
            commit: None,
            created_at: "2026-11-20T10:00:00.000Z".to_owned(),
            started_at: Some("2026-11-20T10:00:01.000Z".to_owned()),
            ended_at: None,
            duration_ms: Some(1_500),
            first_seq: 1,
            last_seq: 3,
            batch: None,
            progress: None,
        }
    }

    fn now() -> Zoned {
        "2026-11-20T11:00:01+00:00[UTC]".parse().expect("UTC")
    }

    const PLAIN: Medium = Medium { width: None, color: false };

    #[test]
    fn ps_shows_what_lives() {
        let mut evil = view("bbbbbbbbbbbb", "evil");
        evil.command = vec!["x\u{1b}]0;owned\u{7}".to_owned()];
        let text = ps(&[view("aaaaaaaaaaaa", "web"), evil], &now(), PLAIN);
        assert_eq!(
            text.lines().nth(1),
            Some("aaaaaaaaaaaa  web   running  1h00m  4711  -      echo 'a b'")
        );
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
    }

    #[test]
    fn history_shows_how_things_ended() {
        let mut failed = view("aaaaaaaaaaaa", "web");
        failed.outcome = Some("failed".to_owned());
        failed.exit_code = Some(7);
        failed.labels = BTreeMap::from([("team".to_owned(), "x".to_owned())]);
        let mut killed = view("bbbbbbbbbbbb", "db");
        killed.outcome = Some("signalled".to_owned());
        killed.signal = Some(9);
        let mut batch = view("cccccccccccc", "batch");
        batch.batch = Some(BatchView { lines: 9, succeeded: 3, failed: 1, ..BatchView::default() });
        let text = history(&[failed, killed, batch], &now(), PLAIN);
        for part in ["failed     7 ", "SIGKILL(9)", "team=x", "4/9 lines, 1 failed", "1.5s"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    /// Runs whose every text is long, wide, or hostile.
    fn hostile_runs() -> Vec<RunView> {
        let names =
            ["漢字".repeat(40), "🚀👩\u{200d}👩\u{200d}👧".repeat(9), "e\u{301}".repeat(60)];
        let mut runs: Vec<RunView> = names.iter().map(|name| view("aaaaaaaaaaaa", name)).collect();
        for (run, (outcome, exit_code)) in
            runs.iter_mut().zip([(None, None), (Some("failed"), Some(137)), (Some("lost"), None)])
        {
            run.outcome = outcome.map(str::to_owned);
            run.exit_code = exit_code;
            run.reason = Some("the shim died and \u{1b}[31mnobody\u{7} knows ".repeat(4));
            run.command = vec!["echo".to_owned(), "\u{202e}漢 字\n".repeat(30)];
            run.queue = Some("q".repeat(63));
            run.labels =
                [("k".repeat(50), "値\t".repeat(20)), ("b".to_owned(), String::new())].into();
            run.pid = Some(4_194_304);
            run.cwd = format!("/{}", "very/long/".repeat(20));
        }
        runs
    }

    fn widths() -> impl Iterator<Item = usize> {
        (40..200).filter(|width| [60, 80, 100, 160].contains(width) || width % 7 == 0)
    }

    fn fits(what: &str, table: &str, width: usize) {
        for line in table.lines() {
            assert!(text::width(line) <= width, "{what} at {width}: {line}");
            assert!(!line.chars().any(char::is_control), "{what}: {line:?}");
        }
    }

    #[test]
    fn every_table_fits_every_terminal() {
        let runs = hostile_runs();
        let queue = |name: &str, limit_set| QueueView {
            name: name.to_owned(),
            limit: 4_000_000_000,
            paused: true,
            limit_set,
            running: 200_000,
            queued: 200_000,
        };
        let queues_of = [queue(&"q".repeat(63), false), queue("漢字", true)];
        for width in widths() {
            let medium = Medium { width: Some(width), color: false };
            fits("ps", &ps(&runs, &now(), medium), width);
            fits("history", &history(&runs, &now(), medium), width);
            fits("queue list", &queues(&queues_of, medium), width);
            for run in &runs {
                let view = show_view(run.clone());
                fits("show", &show(&view, &now(), medium, true), width);
            }
        }
    }

    #[test]
    fn ids_and_states_stay_whole_where_texts_give_way() {
        let medium = Medium { width: Some(60), color: false };
        let (ps, history) =
            (ps(&hostile_runs(), &now(), medium), history(&hostile_runs(), &now(), medium));
        for word in ["aaaaaaaaaaaa", "running", "failed", "lost"] {
            assert!(ps.contains(word) && history.contains(word), "{word}\n{ps}\n{history}");
        }
        let queues = queues(
            &[QueueView {
                name: "q".repeat(63),
                limit: 2,
                paused: false,
                limit_set: false,
                running: 12,
                queued: 345,
            }],
            medium,
        );
        assert!(queues.contains("…  2 (cores)  12       345"), "{queues}");
    }

    #[test]
    fn nothing_is_shortened_where_there_is_no_terminal() {
        let run = hostile_runs().remove(1);
        let view = show_view(run.clone());
        for page in [
            ps(std::slice::from_ref(&run), &now(), PLAIN),
            history(std::slice::from_ref(&run), &now(), PLAIN),
            show(&view, &now(), PLAIN, true),
        ] {
            assert!(page.contains(&run.name) && !page.contains('…'), "{page}");
            assert!(page.contains(&text::line(&text::command(&run.command)).into_owned()));
        }
    }

    /// `show` of a run, with an attempt and a record that are as hostile.
    fn show_view(run: RunView) -> ShowView {
        let reason = run.reason.clone();
        let record = EventView {
            seq: 1_000_000,
            time: "2026-11-20T10:00:00.123Z".to_owned(),
            kind: "run_ended".to_owned(),
            run_id: Some("aaaaaaaaaaaa".to_owned()),
            command_id: None,
            uid: None,
            hash: String::new(),
            fields: BTreeMap::from([("text".to_owned(), reason.clone().into())]),
        };
        ShowView {
            schema: "jr.show/1".to_owned(),
            key: Some("鍵".repeat(90)),
            timeout_ms: Some(90_000),
            stop_signal: "SIGTERM".to_owned(),
            grace_ms: 10_000,
            strays: "kill".to_owned(),
            capture: "file".to_owned(),
            limits: ResourceLimits::default(),
            variables: BTreeMap::from([("PATH".to_owned(), "/usr/bin:".repeat(40))]),
            variables_error: None,
            attempts: vec![AttemptView {
                attempt: 1,
                state: "ended".to_owned(),
                status: Some("lost".to_owned()),
                exit_code: Some(1),
                signal: None,
                reason,
                pid: Some(4_194_304),
                tracking: Some("cgroup".to_owned()),
                limits_by: LimitsByView::default(),
                started_at: run.started_at.clone(),
                ended_at: None,
                duration_ms: Some(1_500),
                user_ms: Some(1),
                system_ms: Some(1),
                max_rss_bytes: Some(1 << 40),
                oom_kills: Some(1),
                strays: 3,
                survivors: (4_194_200..4_194_240).collect(),
                stdout_bytes: Some(u64::MAX),
                stderr_bytes: Some(u64::MAX),
            }],
            timeline: vec![record],
            lines: Vec::new(),
            continuations: Vec::new(),
            reruns: Vec::new(),
            run,
        }
    }

    #[test]
    fn a_record_is_one_line() {
        let record = EventView {
            seq: 12,
            time: "2026-11-20T10:00:00.123Z".to_owned(),
            kind: "run_ended".to_owned(),
            run_id: Some("aaaaaaaaaaaa".to_owned()),
            command_id: None,
            uid: None,
            hash: String::new(),
            fields: BTreeMap::from([
                ("outcome".to_owned(), "failed".into()),
                ("text".to_owned(), "a\nb".into()),
                ("none".to_owned(), serde_json::Value::Null),
            ]),
        };
        let line = event(&record, &now());
        assert!(line.starts_with("    12  2026-11-20 10:00:00.123  run_ended"), "{line}");
        assert!(line.contains("outcome=failed") && !line.contains('\n') && !line.contains("none"));
    }
}
