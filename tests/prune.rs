//! Pruning a real log of legal histories: what is kept answers as before, and views made anew are
//! those that were pruned.

#[path = "support/views_world.rs"]
mod world;

#[path = "support/views_oracle.rs"]
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jr::daemon::prune::plan;
use jr::log::verify::verify;
use jr::log::{Reader, SegmentHeader, Store, prune, snapshot};
use jr::model::{BootId, Checker, Envelope, Now, Pruning, RunId, State, UnixMillis};
use jr::projections::query::{At, Document, HistoryQuery, PsQuery, Query, QueryError, Question};
use jr::projections::view::{ProgressView, RunView};
use jr::projections::{LogSource, Policy, Views, Where, answer};
use proptest::prelude::*;
use world::World;

const BOOT: BootId = BootId([7; 16]);

fn now() -> Now {
    Now { wall: UnixMillis(10_000_000), boottime_ms: 0 }
}

fn ask(
    question: impl Into<Question>,
    views: &Views,
    log: &dyn LogSource,
) -> Result<Document, QueryError> {
    let output = |run, attempt| PathBuf::from(format!("/output/{run}.{attempt}"));
    let variables = |_| Ok(vec![("A".into(), "1".into())]);
    let text = |_: jr::model::Digest| Err("gone".to_owned());
    let place = Where { environment: "local", output: &output, variables: &variables, text: &text };
    answer(&question.into(), views, log, &place, now())
}

/// What is usual is told by the runs that stay.
fn but_usual(mut document: Document) -> Document {
    if let Document::Show(show) = &mut document
        && let Some(progress) = &mut show.run.progress
        && progress.usual_ms.is_some()
    {
        let elapsed_ms = progress.elapsed_ms;
        **progress = ProgressView { elapsed_ms, ..ProgressView::default() };
    }
    document
}

fn history(views: &Views, log: &dyn LogSource, at: Option<u64>) -> Vec<RunView> {
    let query = Query::History(HistoryQuery::default());
    match ask(Question { query, at: at.map(At::Seq) }, views, log) {
        Ok(Document::Runs(runs)) => runs.items,
        other => panic!("{other:?}"),
    }
}

fn fold(events: &[Envelope]) -> State {
    let mut state = State::default();
    for event in events {
        state.apply(event).expect("legal");
    }
    state
}

/// A log in segments of about `size` events.
fn write(directory: &std::path::Path, events: &[Envelope], size: usize) -> Store {
    let header = SegmentHeader::first("local".parse().expect("a name"));
    let mut store = Store::create(directory, &header, &[]).expect("makes");
    let mut state = State::default();
    for piece in events.chunks(size) {
        store.append(piece).expect("appends");
        for event in piece {
            state.apply(event).expect("legal");
        }
        store.seal(&snapshot::encode(&state)).expect("seals");
    }
    store
}

/// Prunes as the daemon does; what stays before the cut.
fn prune_log(store: &Store, pruning: &Pruning, views: &Views) -> BTreeSet<RunId> {
    let reader = store.reader();
    let kept = |named: &BTreeSet<RunId>, before: u64| {
        views.kept_before(named, before).map_err(QueryError::from)
    };
    let (cut, state) = plan(&reader, pruning, kept).expect("plans");
    let floor = cut.floor(&reader, pruning.request, state).expect("is there");
    prune::lower(&reader, floor).expect("lowers");
    for first_seq in prune::segments_before(&reader, cut.before) {
        prune::rewrite(&reader, first_seq, &cut, &mut |_| {}, &mut || true).expect("rewrites");
    }
    cut.kept
}

/// What is shown of a run when these others are gone.
fn without(
    shown: Result<Document, QueryError>,
    gone: &BTreeSet<&str>,
) -> Result<Document, QueryError> {
    let mut document = shown?;
    if let Document::Show(view) = &mut document {
        for children in [&mut view.lines, &mut view.continuations, &mut view.reruns] {
            children.retain(|child| !gone.contains(child.as_str()));
        }
    }
    Ok(document)
}

fn script() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(any::<u64>(), 20..160)
}

fn cases(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(cases), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(16))]

    /// Law 3, for every prefix of what is kept.
    #[test]
    fn what_is_kept_answers_as_before(
        script in script(),
        size in 8_usize..60,
        share in 0_u64..101,
        pins in any::<[u8; 2]>(),
    ) {
        let events = World::play(&script);
        let directory = tempfile::tempdir().expect("a directory");
        let store = write(directory.path(), &events, size);
        let reader = store.reader();
        let before = Views::in_memory(BOOT, &reader).expect("folds");
        let head = before.applied();
        let all = history(&before, &reader, None);
        let cut = 1 + head * share / 100;
        let mut pruning = Pruning { request: head, before: cut, keep: before.state().to_keep() };
        for pin in pins {
            let run = all.get(usize::from(pin)).map(|run| run.run_id.parse::<RunId>());
            pruning.keep.extend(run.map(|id| id.expect("an id")));
        }
        let shows: BTreeMap<String, _> = all
            .iter()
            .map(|run| {
                let query = Query::Show { selector: run.run_id.clone() };
                (run.run_id.clone(), ask(query, &before, &reader))
            })
            .collect();
        let ats: Vec<u64> = (cut..=head).step_by(7).collect();
        let told: Vec<_> = ats.iter().map(|at| history(&before, &reader, Some(*at))).collect();
        let ps = |at: u64| {
            let query = Query::Ps(PsQuery::default());
            Question { query, at: Some(At::Seq(at)) }
        };
        let lived: Vec<_> = ats.iter().map(|at| ask(ps(*at), &before, &reader)).collect();
        let digest = verify(directory.path()).expect("whole").head;

        let kept = prune_log(&store, &pruning, &before);
        drop(before);
        let verified = verify(directory.path()).expect("whole after the prune");
        prop_assert_eq!(verified.head, digest, "the chain is the same");
        let mut after = Views::in_memory(BOOT, &reader).expect("folds what is kept");
        prop_assert_eq!(after.state(), &fold(&events));
        let stays = |run: &RunView| {
            run.first_seq >= cut || kept.contains(&run.run_id.parse::<RunId>().expect("an id"))
        };
        let expected: Vec<_> = all.iter().filter(|run| stays(run)).cloned().collect();
        prop_assert_eq!(history(&after, &reader, None), expected);
        for run in &all {
            let query = Query::Show { selector: run.run_id.clone() };
            let found = ask(query, &after, &reader);
            if stays(run) {
                // What came from it is told as far as it stays.
                let gone: BTreeSet<&str> =
                    all.iter().filter(|run| !stays(run)).map(|run| run.run_id.as_str()).collect();
                let expected = without(shows[&run.run_id].clone(), &gone);
                let [found, expected] = [found, expected].map(|told| told.map(but_usual));
                prop_assert_eq!(format!("{found:?}"), format!("{expected:?}"));
            } else {
                let selector = run.run_id.clone();
                prop_assert_eq!(found, Err(QueryError::MaybePruned { selector }));
            }
        }
        for ((at, told), lived) in ats.iter().zip(told).zip(lived) {
            let told: Vec<_> = told.into_iter().filter(|run| stays(run)).collect();
            prop_assert_eq!(history(&after, &reader, Some(*at)), told, "at {}", at);
            prop_assert_eq!(ask(ps(*at), &after, &reader), lived, "at {}", at);
        }
        if cut > 1 {
            let early = ask(ps(cut - 1), &after, &reader);
            prop_assert_eq!(early, Err(QueryError::Pruned { first: cut }));
        }
        // Views that were folded before and are opened again, by whoever opens them.
        let again = Reader::open(directory.path()).expect("opens");
        let mut anew = Views::in_memory(BOOT, &again).expect("folds");
        prop_assert_eq!(anew.fingerprint().expect("reads"), after.fingerprint().expect("reads"));
        // The laws of the log hold from the floor on.
        let (start, _) = again.start().expect("a state");
        let mut checker = Checker::from_snapshot(start);
        for event in again.events(again.kept_from()).expect("opens") {
            checker.feed(&event.expect("whole")).expect("lawful");
        }
    }
}

proptest! {
    #![proptest_config(cases(12))]

    /// A second prune of the same log, further on, comes to the same as one.
    #[test]
    fn two_prunes_come_to_the_same_as_one(
        script in script(),
        size in 8_usize..60,
        shares in any::<[u8; 2]>(),
    ) {
        let events = World::play(&script);
        let head = events.len() as u64;
        let cuts = shares.map(|share| 1 + head * u64::from(share) / 256);
        let pruned = |cuts: &[u64]| {
            let directory = tempfile::tempdir().expect("a directory");
            let store = write(directory.path(), &events, size);
            for before in cuts {
                let views = Views::in_memory(BOOT, &store.reader()).expect("folds");
                let keep = views.state().to_keep();
                let pruning = Pruning { request: *before, before: *before, keep };
                prune_log(&store, &pruning, &views);
            }
            let pruned = verify(directory.path()).expect("whole").pruned;
            let mut views = Views::in_memory(BOOT, &store.reader()).expect("folds");
            (pruned, views.fingerprint().expect("reads"), store.reader().kept_from())
        };
        let last = *cuts.iter().max().expect("two");
        prop_assert_eq!(pruned(&[cuts[0], cuts[1].max(cuts[0])]), pruned(&[last]));
    }

    /// What a policy keeps, by a naive count.
    #[test]
    fn a_policy_cuts_where_a_list_says(script in script(), runs in 0_u64..60, flush: bool) {
        let events = World::play(&script);
        let mut log = jr::projections::MemoryLog::default();
        log.append(&events);
        let mut views = Views::in_memory(BOOT, &log).expect("folds");
        if flush { views.flush().expect("flushes"); }
        let places = history(&views, &log, None).into_iter().map(|run| run.first_seq);
        let places: Vec<u64> = places.collect();
        let policy = Policy { runs: Some(runs), days: None };
        let found = views.prune_before(&log, policy, UnixMillis(0)).expect("reads");
        let expected = match usize::try_from(runs).expect("small") {
            0 => events.len() as u64 + 1,
            count if count > places.len() => 1,
            count => places[count - 1],
        };
        prop_assert_eq!(found, expected);
        let day = 86_400_000;
        let late = views.time_max().0 - 2;
        let policy = Policy { runs: None, days: Some(1) };
        let found = views.prune_before(&log, policy, UnixMillis(late + day)).expect("reads");
        prop_assert_eq!(found, oracle::seq_at(log.records(), late) + 1);
    }
}

/// A store's files are opened as they are needed, and no more than a few of them stay open.
#[test]
fn a_long_log_keeps_few_files_open() {
    let script: Vec<u64> = (1..400_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let events = World::play(&script);
    let directory = tempfile::tempdir().expect("a directory");
    let store = write(directory.path(), &events, 20);
    let open = || {
        let files = std::fs::read_dir("/proc/self/fd").expect("procfs").flatten();
        let targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        targets.filter(|target| target.starts_with(directory.path())).count()
    };
    let reader = store.reader();
    assert!(reader.files().len() > 20, "{}", reader.files().len());
    for event in events.iter().rev().step_by(3) {
        assert_eq!(reader.get(event.seq).expect("reads").as_ref(), Some(event));
    }
    assert!(open() <= jr::limits::SEGMENTS_OPEN + 1, "{} files are open", open());
}
