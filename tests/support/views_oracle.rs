//! The same answers from a plain list of records: no index, no state, no file.
#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};

use jr::model::{Event, Kind, Now, Outcome, Phase, QueueName, Run, RunId, UnixMillis};
use jr::projections::brief_view::BriefView;
use jr::projections::progress::estimate;
use jr::projections::query::{
    At, EventsQuery, FollowQuery, HistoryQuery, PsQuery, Query, Question, Scope, StatsQuery,
};
use jr::projections::view::{BatchView, List, ProgressView, RunView, ShowView, StatsView};
use jr::projections::{Stored, run_view};

/// Every run that was admitted by `seq`, oldest first.
pub(crate) fn runs(records: &[Stored], seq: u64) -> Vec<Run> {
    let mut runs: BTreeMap<RunId, Run> = BTreeMap::new();
    for stored in records.iter().filter(|one| one.envelope.seq <= seq) {
        let Some(id) = stored.envelope.event.run() else { continue };
        match Run::admitted(&stored.envelope) {
            Some(run) => assert!(runs.insert(id, run).is_none(), "admitted twice"),
            None => runs.get_mut(&id).expect("admitted").apply(&stored.envelope).expect("legal"),
        }
    }
    let mut runs: Vec<Run> = runs.into_values().collect();
    runs.sort_by_key(|run| run.first_seq);
    runs
}

fn tally(runs: &[Run], batch: &Run) -> Option<BatchView> {
    if batch.spec.kind != Kind::Batch {
        return None;
    }
    let mut view = BatchView::default();
    let of_batch = |run: &&Run| run.spec.parent == Some(batch.id) && run.spec.kind == Kind::Job;
    for line in runs.iter().filter(of_batch) {
        view.lines += 1;
        let waits = line.shown_state() == "queued" || line.phase == Phase::Delayed;
        *match line.outcome {
            None if waits => &mut view.queued,
            None if line.phase == Phase::Paused => &mut view.paused,
            None => &mut view.running,
            Some(Outcome::Succeeded) => &mut view.succeeded,
            Some(Outcome::Cancelled(_)) => &mut view.cancelled,
            Some(_) => &mut view.failed,
        } += 1;
    }
    Some(view)
}

/// Of a batch by what was said of its queue last, and by its lines.
fn state(records: &[Stored], runs: &[Run], run: &Run) -> &'static str {
    let queue = QueueName::of_batch(run.id);
    let held = records.iter().rev().find_map(|one| match &one.envelope.event {
        Event::QueuePaused { queue: of, .. } if *of == queue => Some(true),
        Event::QueueUnpaused { queue: of, .. } if *of == queue => Some(false),
        _ => None,
    });
    let stands = |line: &&Run| match line.phase {
        Phase::Paused => true,
        Phase::Queued | Phase::Delayed => held == Some(true),
        Phase::Starting | Phase::Running | Phase::Stopping | Phase::Ended => false,
    };
    let is_line = |line: &&Run| line.spec.parent == Some(run.id) && line.spec.kind == Kind::Job;
    let mut open = runs.iter().filter(is_line).filter(|line| line.outcome.is_none()).peekable();
    let is_held = run.spec.kind == Kind::Batch && run.phase == Phase::Running;
    if is_held && open.peek().is_some() && open.all(|line| stands(&line)) {
        "paused"
    } else {
        run.shown_state()
    }
}

fn time_at(records: &[Stored], at: Option<u64>, now: Now) -> UnixMillis {
    match at {
        None => now.wall,
        Some(0) => UnixMillis(0),
        Some(seq) => records[usize::try_from(seq).expect("fits") - 1].envelope.time,
    }
}

fn views(
    records: &[Stored],
    at: Option<u64>,
    now: Now,
    fits: &dyn Fn(&Run) -> bool,
) -> Vec<RunView> {
    let runs = runs(records, at.unwrap_or(u64::MAX));
    let now = time_at(records, at, now);
    let some = records.partition_point(|one| one.envelope.seq <= at.unwrap_or(u64::MAX));
    let fitting = runs.iter().rev().filter(|run| fits(run));
    let view = |run| {
        let state = state(&records[..some], &runs, run);
        run_view(run, state, tally(&runs, run), "local", now)
    };
    fitting.map(view).collect()
}

pub(crate) fn ps(records: &[Stored], all: bool, at: Option<u64>, now: Now) -> List<RunView> {
    let mut items = views(records, at, now, &|run| all || run.outcome.is_none());
    let runs = runs(records, at.unwrap_or(u64::MAX));
    let some = records.partition_point(|one| one.envelope.seq <= at.unwrap_or(u64::MAX));
    let then = time_at(records, at, now);
    let mut left = jr::limits::PROGRESS_RUNS;
    for view in &mut items {
        let of = runs.iter().find(|run| run.id.to_string() == view.run_id).expect("a run");
        // Of the past only what lines say is known.
        let is_known = at.is_none() || of.spec.kind == Kind::Batch;
        if left > 0 && is_known {
            view.progress = progress(&records[..some], &runs, of, then);
        }
        left -= usize::from(view.progress.is_some());
    }
    List { schema: "jr.ps/1".to_owned(), items }
}

/// For how long the queue of a batch gave no starts.
fn held_ms(records: &[Stored], batch: &Run, now: UnixMillis) -> u64 {
    let (mut held_ms, mut began) = (0, None::<i64>);
    let queue = QueueName::of_batch(batch.id);
    for stored in records {
        let time = stored.envelope.time.0;
        match &stored.envelope.event {
            Event::QueuePaused { queue: of, .. } if *of == queue => began = Some(time),
            Event::QueueUnpaused { queue: of, .. } if *of == queue => {
                held_ms += began.take().map_or(0, |began| (time - began).max(0));
            }
            _ => {}
        }
    }
    held_ms += began.map_or(0, |began| (now.0 - began).max(0));
    u64::try_from(held_ms).expect("positive")
}

/// Since when it runs, without its pauses, and how long the last successes of its name took.
pub(crate) fn progress(
    records: &[Stored],
    runs: &[Run],
    run: &Run,
    now: UnixMillis,
) -> Option<Box<ProgressView>> {
    // What is to stay up comes no nearer to an end.
    if run.outcome.is_some() || run.spec.kind == Kind::Service {
        return None;
    }
    let since = |begun: UnixMillis| u64::try_from(now.0 - begun.0).unwrap_or(0);
    if let Some(counts) = tally(runs, run) {
        let elapsed_ms = since(run.started_at?).saturating_sub(held_ms(records, run, now));
        let (mut view, share) = ProgressView::of_batch(&counts, elapsed_ms);
        estimate(&mut view, share, state(records, runs, run) == "paused", now);
        return Some(Box::new(view));
    }
    let process = run.process.as_ref().filter(|_| run.attempt_lives)?;
    let (mut paused_ms, mut began) = (0, None);
    for stored in records.iter().filter(|one| one.envelope.event.run() == Some(run.id)) {
        let time = stored.envelope.time.0;
        match stored.envelope.event.kind_name() {
            // A pause may be seen before the start that it belongs to.
            "attempt_intended" => (paused_ms, began) = (0, None),
            "run_paused" => began = Some(time),
            "run_unpaused" => paused_ms += (time - began.take().expect("paused")).max(0),
            _ => {}
        }
    }
    paused_ms += began.map_or(0, |began| now.0 - began);
    let mut ended: Vec<&Run> = runs
        .iter()
        .filter(|one| one.spec.name == run.spec.name && one.spec.kind == Kind::Job)
        .filter(|one| one.outcome == Some(Outcome::Succeeded))
        .collect();
    ended.sort_by_key(|one| std::cmp::Reverse(one.last_seq));
    let ran_ms = |one: &&Run| one.last_end.as_ref().expect("it ended").duration_ms;
    let mut usual: Vec<u64> =
        ended.iter().filter_map(ran_ms).take(jr::limits::USUAL_RUNS).collect();
    usual.sort_unstable();
    let elapsed_ms = since(process.at).saturating_sub(u64::try_from(paused_ms).expect("positive"));
    let usual_ms = usual.get(usual.len().saturating_sub(1) / 2).copied();
    let mut view = ProgressView { elapsed_ms, usual_ms, ..ProgressView::default() };
    estimate(&mut view, None, run.phase == Phase::Paused, now);
    Some(Box::new(view))
}

pub(crate) fn history(
    records: &[Stored],
    query: &HistoryQuery,
    at: Option<u64>,
    now: Now,
) -> List<RunView> {
    let word = |run: &Run| run.outcome.map(Outcome::word);
    let fits = |run: &Run| {
        let kind = match run.spec.kind {
            Kind::Job => "job",
            Kind::Batch => "batch",
            Kind::Service => "service",
        };
        (!query.failed || word(run).is_some_and(|word| word != "succeeded"))
            && (!query.ok || word(run) == Some("succeeded"))
            && query.outcome.as_deref().is_none_or(|asked| word(run) == Some(asked))
            && query.name.as_deref().is_none_or(|name| name == run.spec.name)
            && query.kind.as_deref().is_none_or(|asked| asked == kind)
            && query.labels.iter().all(|(key, value)| run.spec.labels.get(key) == Some(value))
            && query.since.is_none_or(|since| run.created_at.0 >= since)
            && query.until.is_none_or(|until| run.created_at.0 < until)
            && query.pattern.as_deref().is_none_or(|pattern| match pattern {
                "api-*" => run.spec.name.starts_with("api-"),
                part => run.spec.command.iter().any(|word| word.to_text().contains(part)),
            })
    };
    let mut items = views(records, at, now, &fits);
    if query.slowest {
        items.retain(|view| view.duration_ms.is_some());
        items.sort_by_key(|view| std::cmp::Reverse((view.duration_ms, view.first_seq)));
    }
    items.truncate(query.limit.unwrap_or(usize::MAX));
    List { schema: "jr.history/1".to_owned(), items }
}

/// The same runs as a table shows them.
pub(crate) fn briefly(list: &List<RunView>) -> List<BriefView<'static>> {
    let millis = |time: &String| time.parse::<jiff::Timestamp>().expect("a time").as_millisecond();
    let line = |run: &RunView| BriefView {
        run_id: run.run_id.clone().into(),
        name: run.name.clone().into(),
        kind: run.kind.clone().into(),
        state: run.state.clone().into(),
        outcome: run.outcome.clone().map(Into::into),
        exit_code: run.exit_code,
        signal: run.signal,
        reason: run.reason.clone(),
        command: run.command.clone(),
        labels: run.labels.clone(),
        started_ms: run.started_at.as_ref().map(millis),
        duration_ms: run.duration_ms,
        batch: run.batch,
    };
    List { schema: list.schema.clone(), items: list.items.iter().map(line).collect() }
}

/// One query for each filter.
pub(crate) fn history_queries(chance: &[u16]) -> Vec<HistoryQuery> {
    let plain = HistoryQuery::default();
    let time = super::world::EPOCH + i64::from(chance[1] % 3_000);
    let labels = BTreeMap::from([("team".to_owned(), "b".to_owned())]);
    vec![
        HistoryQuery { limit: Some(usize::from(chance[0] % 20)), ..plain.clone() },
        HistoryQuery { failed: true, ..plain.clone() },
        HistoryQuery { ok: true, limit: Some(3), ..plain.clone() },
        HistoryQuery { outcome: Some("cancelled".to_owned()), ..plain.clone() },
        HistoryQuery { name: Some("make".to_owned()), limit: Some(4), ..plain.clone() },
        HistoryQuery { name: Some("make".to_owned()), failed: true, ..plain.clone() },
        HistoryQuery { failed: true, limit: Some(2), since: Some(time), ..plain.clone() },
        HistoryQuery { kind: Some("batch".to_owned()), ..plain.clone() },
        HistoryQuery { labels, ..plain.clone() },
        HistoryQuery { since: Some(time), ..plain.clone() },
        HistoryQuery { until: Some(time), ..plain.clone() },
        HistoryQuery { slowest: true, limit: Some(3), ..plain.clone() },
        HistoryQuery { pattern: Some("api-*".to_owned()), ..plain.clone() },
        HistoryQuery { pattern: Some("keyed".to_owned()), ..plain },
    ]
}

/// `show` tells of the run's own records, all of them, and of what was done to a batch's queue.
pub(crate) fn check_show(records: &[Stored], run: &Run, show: &ShowView, now: Now) {
    assert_eq!(show.run.progress, progress(records, &runs(records, u64::MAX), run, now.wall));
    let queue = QueueName::of_batch(run.id);
    let is_own = |event: &Event| match event {
        Event::QueuePaused { queue: of, .. } | Event::QueueUnpaused { queue: of, .. } => {
            *of == queue
        }
        event => event.run() == Some(run.id),
    };
    let own: Vec<&Stored> = records.iter().filter(|one| is_own(&one.envelope.event)).collect();
    let seqs: Vec<u64> = show.timeline.iter().map(|event| event.seq).collect();
    assert_eq!(seqs, own.iter().map(|one| one.envelope.seq).collect::<Vec<_>>());
    assert_eq!(show.run.first_seq, run.first_seq);
    let last = own.iter().rev().find(|one| one.envelope.event.run().is_some());
    assert_eq!(show.run.last_seq, last.expect("its admission").envelope.seq);
    let count = |kind| own.iter().filter(|one| one.envelope.event.kind_name() == kind).count();
    assert_eq!(show.attempts.len(), count("attempt_intended"));
    let ended = show.attempts.iter().filter(|attempt| attempt.state == "ended").count();
    assert_eq!(ended, count("attempt_ended"));
    assert_eq!(show.attempts.len(), run.attempt as usize);
    let lines: Vec<String> = runs(records, u64::MAX)
        .iter()
        .filter(|line| line.spec.parent == Some(run.id) && line.spec.kind == Kind::Job)
        .map(|line| line.id.to_string())
        .collect();
    assert_eq!(show.lines, lines);
}

/// The greatest seq whose running maximum of time is at most `time`.
pub(crate) fn seq_at(records: &[Stored], time: i64) -> u64 {
    let early = records.iter().take_while(|one| one.envelope.time.0 <= time);
    early.last().map_or(0, |one| one.envelope.seq)
}

/// One of everything, of the present and of the past.
pub(crate) fn questions(records: &[Stored]) -> Vec<Question> {
    let head = records.len() as u64;
    let time = At::Time(super::world::EPOCH + 900);
    let moments = [At::Seq(head / 2), At::Seq(head / 3), At::Seq(head * 2 / 3), time];
    let past = queries(records, head / 3).into_iter().zip(moments.into_iter().cycle());
    let past = past.map(|(query, at)| Question { query, at: Some(at) });
    queries(records, head).into_iter().map(Question::from).chain(past).collect()
}

/// One of everything that an environment with these records can be asked.
pub(crate) fn queries(records: &[Stored], head: u64) -> Vec<Query> {
    let mut queries = vec![
        Query::Ps(PsQuery::default()),
        Query::Ps(PsQuery { all: true, ..PsQuery::default() }),
        Query::Ps(PsQuery {
            only: runs(records, head).iter().map(|run| run.id.to_string()).step_by(2).collect(),
            ..PsQuery::default()
        }),
        Query::History(HistoryQuery { limit: Some(5), ..HistoryQuery::default() }),
        Query::History(HistoryQuery { brief: true, ..HistoryQuery::default() }),
        Query::History(HistoryQuery { name: Some("make".to_owned()), ..HistoryQuery::default() }),
        Query::History(HistoryQuery::default()),
        Query::History(HistoryQuery { tree: true, limit: Some(4), ..HistoryQuery::default() }),
        Query::History(HistoryQuery { slowest: true, limit: Some(4), ..HistoryQuery::default() }),
        Query::History(HistoryQuery { failed: true, ..HistoryQuery::default() }),
        Query::Stats(StatsQuery::default()),
        Query::Outputs { selectors: Vec::new(), attempt: None },
        Query::Follow(FollowQuery::default()),
        Query::Follow(FollowQuery { live: true, ..FollowQuery::default() }),
        Query::Follow(FollowQuery { after: Some(head / 2), ..FollowQuery::default() }),
        Query::Events(EventsQuery { limit: Some(9), ..EventsQuery::default() }),
        Query::Queues,
        Query::InForce,
        Query::Pinned,
        Query::Changes { from: At::Seq(head / 2) },
    ];
    let runs = runs(records, head);
    let names: BTreeSet<&str> = runs.iter().map(|run| run.spec.name.as_str()).collect();
    let one = |text: &str, scope| Query::Resolve { selectors: vec![text.to_owned()], scope };
    queries.extend(names.iter().map(|name| one(name, Scope::One)));
    queries.extend(runs.iter().map(|run| Query::Show { selector: run.id.to_string() }));
    queries.extend(runs.iter().map(|run| Query::Why { selector: run.id.to_string() }));
    queries.extend(runs.iter().take(3).map(|run| Query::Recorded { selector: run.id.to_string() }));
    queries.extend(runs.iter().map(|run| one(&run.id.to_string()[..6], Scope::One)));
    if !runs.is_empty() {
        queries.push(one("last", Scope::One));
        queries.push(one("all", Scope::Any));
        queries.push(one("*", Scope::Any));
        queries.push(one("*", Scope::Live));
        queries.push(one("@-1", Scope::One));
        queries.push(one("state:failed", Scope::Any));
    }
    queries
}

/// How the runs of each name did, from nothing but the runs.
pub(crate) fn stats(
    records: &[Stored],
    query: &StatsQuery,
    at: Option<u64>,
    now: Now,
) -> List<StatsView> {
    let fitting = HistoryQuery {
        name: query.name.clone(),
        kind: query.kind.clone(),
        labels: query.labels.clone(),
        since: query.since,
        until: query.until,
        ..HistoryQuery::default()
    };
    let runs = runs(records, at.unwrap_or(u64::MAX));
    let views = history(records, &fitting, at, now).items;
    let mut names: BTreeMap<String, Vec<&Run>> = BTreeMap::new();
    for view in views {
        let run = runs.iter().find(|run| run.id.to_string() == view.run_id).expect("a run");
        let part = query.pattern.as_deref().unwrap_or_default();
        if run.spec.name.starts_with(part.trim_end_matches('*')) {
            names.entry(view.name).or_default().push(run);
        }
    }
    let mut items = Vec::new();
    for (name, runs) in names {
        let last = runs.iter().filter(|run| run.outcome.is_some()).map(|run| run.last_seq).max();
        items.push((last.unwrap_or(u64::MAX), stats_of(name, &runs)));
    }
    // A map's order is that of the names; ends are never equal.
    items.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
    let mut items: Vec<StatsView> = items.into_iter().map(|(_, view)| view).collect();
    items.truncate(query.limit.unwrap_or(usize::MAX));
    List { schema: "jr.stats/1".to_owned(), items }
}

fn stats_of(name: String, runs: &[&Run]) -> StatsView {
    let mut ended: Vec<&Run> = runs.iter().copied().filter(|run| run.outcome.is_some()).collect();
    ended.sort_by_key(|run| run.last_seq);
    let count = |words: &[&str]| {
        let fits = |run: &&&Run| words.contains(&run.outcome.expect("ended").word());
        ended.iter().filter(fits).count() as u64
    };
    let stopped = count(&["stopped", "cancelled", "skipped"]);
    let succeeded = count(&["succeeded"]);
    let failed = ended.len() as u64 - stopped - succeeded;
    let durations: Vec<u64> = ended
        .iter()
        .filter(|run| !matches!(run.outcome, Some(Outcome::Lost(_))))
        .filter_map(|run| Some(run.ended_at?.0 - run.started_at?.0))
        .map(|millis| u64::try_from(millis).unwrap_or(0))
        .collect();
    let rank = |values: &[u64], percent: usize| {
        let mut values = values.to_vec();
        values.sort_unstable();
        let rank = (1..=values.len()).find(|rank| rank * 100 >= values.len() * percent)?;
        Some(values[rank - 1])
    };
    let tenths = |part: u64, whole: u64| {
        f64::from(u32::try_from((part * 2_000 / whole).div_ceil(2)).expect("fits")) / 10.0
    };
    let (older, newer) = durations.split_at(durations.len() / 2);
    let (older, newer) = (rank(older, 50).unwrap_or(0), rank(newer, 50).unwrap_or(0));
    let trend = (durations.len() >= 4 && older > 0).then(|| {
        let thousandths = i64::try_from((newer * 2_000 / older).div_ceil(2)).expect("fits");
        f64::from(i32::try_from(thousandths - 1_000).expect("fits")) / 10.0
    });
    let last = ended.last();
    StatsView {
        name,
        runs: ended.len() as u64,
        live: (runs.len() - ended.len()) as u64,
        succeeded,
        failed,
        stopped,
        failure_percent: (succeeded + failed > 0).then(|| tenths(failed, succeeded + failed)),
        p50_ms: rank(&durations, 50),
        p95_ms: rank(&durations, 95),
        max_ms: durations.iter().max().copied(),
        trend_percent: trend,
        last_durations_ms: durations[durations.len().saturating_sub(20)..].to_vec(),
        last_run_id: last.map(|run| run.id.to_string()),
        last_outcome: last.map(|run| run.outcome.expect("ended").word().to_owned()),
        last_ended_at: last.map(|run| run_view::rfc3339(run.ended_at.expect("ended"))),
    }
}

/// One query for each filter.
pub(crate) fn stats_queries(chance: &[u16]) -> Vec<StatsQuery> {
    let plain = StatsQuery::default();
    let time = super::world::EPOCH + i64::from(chance[1] % 3_000);
    let labels = BTreeMap::from([("team".to_owned(), "b".to_owned())]);
    vec![
        plain.clone(),
        StatsQuery { name: Some("make".to_owned()), ..plain.clone() },
        StatsQuery { pattern: Some("api-*".to_owned()), ..plain.clone() },
        StatsQuery { kind: Some("batch".to_owned()), ..plain.clone() },
        StatsQuery { labels, limit: Some(2), ..plain.clone() },
        StatsQuery { since: Some(time), ..plain.clone() },
        StatsQuery { until: Some(time), ..plain },
    ]
}

/// A tree has what was asked for, each run once and behind its parent, and all of each family but
/// lines.
pub(crate) fn check_tree(records: &[Stored], at: Option<u64>, asked: &[RunView], tree: &[RunView]) {
    let ids: Vec<&str> = tree.iter().map(|run| run.run_id.as_str()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each once");
    for run in asked {
        assert!(tree.contains(run), "{run:?}");
    }
    for (place, run) in tree.iter().enumerate() {
        if let Some(parent) = &run.parent {
            assert!(ids[..place].contains(&parent.as_str()), "behind its parent");
        }
    }
    for run in runs(records, at.unwrap_or(u64::MAX)) {
        let of_family = run.spec.parent.is_some_and(|id| ids.contains(&&*id.to_string()));
        let is_there = ids.contains(&&*run.id.to_string());
        assert!(is_there || !of_family || run.spec.line.is_some(), "{} is missing", run.id);
    }
}
