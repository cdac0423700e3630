//! Views are a function of the log: however they were folded, cut, written and read again.

#[path = "support/views_world.rs"]
mod world;

#[path = "support/views_oracle.rs"]
mod oracle;

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use jr::model::{BootId, Now, State, UnixMillis};
use jr::projections::candidates::shortlist;
use jr::projections::query::{
    At, Candidates, CandidatesQuery, Document, EventsQuery, HistoryQuery, PsQuery, Query,
    QueryError, Question,
};
use jr::projections::view::{CandidateView, List, RunChange};
use jr::projections::{LogSource, MemoryLog, Pace, Start, Views, Where, answer};
use proptest::prelude::*;
use world::{Disk, World};

const BOOT: BootId = BootId([7; 16]);
/// Everything happens often enough to be met in a few hundred records.
const PACE: Pace = Pace {
    checkpoint_records: 16,
    time_records: 8,
    flush_records: 32,
    sample_records: 24,
    latest_live_max: 4,
};

fn now() -> Now {
    Now { wall: UnixMillis(world::EPOCH + 10_000_000), boottime_ms: 0 }
}

fn ask(
    question: impl Into<Question>,
    views: &Views,
    log: &dyn LogSource,
) -> Result<Document, QueryError> {
    ask_when(&question.into(), views, log, now())
}

fn ask_when(
    question: &Question,
    views: &Views,
    log: &dyn LogSource,
    now: Now,
) -> Result<Document, QueryError> {
    let output = |run, attempt| PathBuf::from(format!("/output/{run}.{attempt}"));
    let variables = |_| Ok(vec![("A".into(), "1".into())]);
    let text = |_: jr::model::Digest| Err("gone".to_owned());
    let place = Where { environment: "local", output: &output, variables: &variables, text: &text };
    answer(question, views, log, &place, now)
}

fn past(query: Query, at: Option<u64>) -> Question {
    Question { query, at: at.map(At::Seq) }
}

/// Only the files of output go on after a moment: how far they count is told of the past alone, how
/// far a run is by its output of the present alone.
fn as_of_present(mut document: Document) -> Document {
    match &mut document {
        Document::Runs(list) => list.items.iter_mut().for_each(|run| run.progress = None),
        Document::Show(show) => show.run.progress = None,
        _ => {}
    }
    let outputs = match &mut document {
        Document::Outputs(list) => &mut list.items,
        Document::Follow(view) => &mut view.items,
        _ => return document,
    };
    for view in outputs {
        view.until_ms = None;
    }
    document
}

fn open(disk: &Disk, log: &dyn LogSource) -> Views {
    let make = |start| {
        if start == Start::Anew {
            disk.clear();
        }
        Ok::<_, io::Error>(disk.clone())
    };
    Views::open_with(make, BOOT, PACE, log).expect("opens")
}

fn log_of(script: &[u64]) -> MemoryLog {
    let mut log = MemoryLog::default();
    log.append(&World::play(script));
    log
}

fn script() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(any::<u64>(), 1..160)
}

/// So many that the file takes seconds in a debug build; `PROPTEST_CASES` asks for more.
fn cases(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig { cases: asked.unwrap_or(cases), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(24))]

    /// Any cut into pieces, with writing, forgetting and opening again between them, comes to the
    /// same as one straight pass.
    #[test]
    fn pieces_come_to_the_same_as_one_pass(script in script(), cuts in any::<[u8; 24]>()) {
        let log = log_of(&script);
        let mut straight = open(&Disk::default(), &log);
        let disk = Disk::default();
        let (mut partial, mut at) = (MemoryLog::default(), 0);
        let mut views = open(&disk, &partial);
        for cut in cuts {
            let end = (at + usize::from(cut % 32)).min(log.records().len());
            let piece = &log.records()[at..end];
            partial.append(&piece.iter().map(|one| one.envelope.clone()).collect::<Vec<_>>());
            views.apply(piece).expect("applies");
            at = end;
            match cut / 64 {
                0 => views.flush().expect("flushes"),
                1 => { drop(views); views = open(&disk, &partial); }
                2 => {
                    views.flush().expect("flushes");
                    drop(views);
                    views = open(&disk, &partial);
                }
                _ => {}
            }
        }
        views.apply(&log.records()[at..]).expect("applies");
        prop_assert_eq!(views.state(), straight.state());
        let (pieces, pass) = (views.fingerprint(), straight.fingerprint());
        prop_assert_eq!(pieces.expect("reads"), pass.expect("reads"));
    }

}

proptest! {
    // Each case asks a hundred questions.
    #![proptest_config(cases(20))]

    /// `ps`, `history` and `show` agree with a list of all records, now and at any place.
    #[test]
    fn answers_agree_with_the_list_of_records(script in script(), places in any::<[u16; 6]>()) {
        let log = log_of(&script);
        let disk = Disk::default();
        let mut views = open(&disk, &log);
        if places[0] % 2 == 0 { views.flush().expect("flushes"); }
        if places[0] % 3 == 0 { views = open(&disk, &log); }
        let head = views.applied();
        let mut ats = vec![None];
        ats.extend(places.iter().map(|place| Some(u64::from(*place) % (head + 1))));
        for at in ats {
            for all in [false, true] {
                let query = Query::Ps(PsQuery { all, ..PsQuery::default() });
                let expected = oracle::ps(log.records(), all, at, now());
                let found = ask(past(query, at), &views, &log);
                prop_assert_eq!(found, Ok(Document::Runs(expected)), "{:?}", at);
            }
            for query in oracle::history_queries(&places) {
                let expected = oracle::history(log.records(), &query, at, now());
                let brief = HistoryQuery { brief: true, ..query.clone() };
                let found = ask(past(Query::History(brief), at), &views, &log);
                prop_assert_eq!(found, Ok(Document::Lines(oracle::briefly(&expected))));
                let found = ask(past(Query::History(query.clone()), at), &views, &log);
                prop_assert_eq!(found, Ok(Document::Runs(expected)), "{:?}", query);
            }
        }
        for at in [None, Some(u64::from(places[2]) % (head + 1))] {
            let flat = HistoryQuery { limit: Some(5), ..HistoryQuery::default() };
            let tree = HistoryQuery { tree: true, ..flat.clone() };
            let of = |query| match ask(past(Query::History(query), at), &views, &log) {
                Ok(Document::Runs(list)) => list.items,
                other => panic!("{other:?}"),
            };
            oracle::check_tree(log.records(), at, &of(flat), &of(tree));
            for query in oracle::stats_queries(&places) {
                let expected = oracle::stats(log.records(), &query, at, now());
                let found = ask(past(Query::Stats(query.clone()), at), &views, &log);
                prop_assert_eq!(found, Ok(Document::Stats(expected)), "{:?}", query);
            }
        }
        for run in oracle::runs(log.records(), head) {
            let query = Query::Show { selector: run.id.to_string() };
            let Document::Show(show) = ask(query, &views, &log).expect("shows") else {
                panic!("another document")
            };
            oracle::check_show(log.records(), &run, &show, now());
        }
    }

}

proptest! {
    #![proptest_config(cases(48))]

    /// Whatever is asked of a moment of the past is what it would have been told then.
    #[test]
    fn the_past_is_told_as_it_was(script in script(), places in any::<[u16; 3]>()) {
        let log = log_of(&script);
        let mut views = open(&Disk::default(), &log);
        if places[0] % 2 == 0 { views.flush().expect("flushes"); }
        let head = views.applied();
        for place in places {
            let seq = u64::from(place) % (head + 1);
            let mut then = MemoryLog::default();
            let kept = log.records().iter().take(usize::try_from(seq).expect("fits"));
            then.append(&kept.map(|one| one.envelope.clone()).collect::<Vec<_>>());
            let last = then.records().last().map(|one| one.envelope.time);
            let at_that_time = Now { wall: last.unwrap_or_default(), boottime_ms: 0 };
            let views_then = open(&Disk::default(), &then);
            for query in oracle::queries(then.records(), seq) {
                let told_then = ask_when(&query.clone().into(), &views_then, &then, at_that_time);
                let told_then = told_then.map(as_of_present);
                let told = ask(past(query.clone(), Some(seq)), &views, &log).map(as_of_present);
                prop_assert_eq!(told, told_then, "{:?} at {} of {}", query, seq, head);
            }
        }
    }

    /// What changed between two moments is what is different in lists of all runs then.
    #[test]
    fn changes_are_the_difference_of_two_lists(script in script(), places in any::<[u16; 2]>()) {
        let log = log_of(&script);
        let views = open(&Disk::default(), &log);
        let head = views.applied();
        let mut seqs = places.map(|place| u64::from(place) % (head + 1));
        seqs.sort_unstable();
        let list = |at| {
            let query = Query::Ps(PsQuery { all: true, ..PsQuery::default() });
            match ask(past(query, Some(at)), &views, &log).map(as_of_present) {
                Ok(Document::Runs(list)) => list.items,
                other => panic!("{other:?}"),
            }
        };
        // What changed does not say how far it is.
        let (old, new) = (list(seqs[0]), list(seqs[1]));
        let mut expected = Vec::new();
        for b in new.into_iter().rev().filter(|run| run.last_seq > seqs[0]) {
            let a = old.iter().find(|run| run.run_id == b.run_id).cloned();
            expected.push(RunChange { a, b });
        }
        let query = Query::Changes { from: At::Seq(seqs[0]) };
        let Ok(Document::Changes(found)) = ask(past(query, Some(seqs[1])), &views, &log) else {
            panic!("another document")
        };
        prop_assert_eq!(&found.items, &expected);
        let later = past(Query::Changes { from: At::Seq(seqs[1]) }, Some(seqs[0]));
        prop_assert_eq!(ask(later, &views, &log).is_ok(), seqs[0] == seqs[1]);
    }

    /// A time means the greatest place whose running maximum of time is not later.
    #[test]
    fn a_time_is_a_place(script in script(), times in any::<[u16; 8]>()) {
        let log = log_of(&script);
        let mut views = open(&Disk::default(), &log);
        if times[0] % 2 == 0 { views.flush().expect("flushes"); }
        for time in times {
            let time = i64::from(time % 9_000) + world::EPOCH - 100;
            let seq = oracle::seq_at(log.records(), time);
            let by = |at| {
                let query = Query::Ps(PsQuery { all: true, ..PsQuery::default() });
                ask(Question { query, at: Some(at) }, &views, &log)
            };
            prop_assert_eq!(by(At::Time(time)), by(At::Seq(seq)));
        }
    }

    /// `events` are the records, from either end.
    #[test]
    fn events_are_the_records(script in script(), from in 1_u64..300, limit in 0_usize..40) {
        let log = log_of(&script);
        let views = open(&Disk::default(), &log);
        let seqs = |query: EventsQuery| match ask(Query::Events(query), &views, &log) {
            Ok(Document::Events(list)) => {
                list.items.iter().map(|event| event.seq).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        let head = views.applied();
        let all: Vec<u64> = (1..=head).collect();
        prop_assert_eq!(seqs(EventsQuery::default()), all.clone());
        let limited = EventsQuery { limit: Some(limit), ..EventsQuery::default() };
        prop_assert_eq!(seqs(limited.clone()), all[all.len().saturating_sub(limit)..].to_vec());
        let expected: Vec<u64> = (from..=head).take(limit).collect();
        prop_assert_eq!(seqs(EventsQuery { from: Some(from), ..limited }), expected);
        let kind = Some("run_ended".into());
        let ended = EventsQuery { kind, limit: Some(limit), ..EventsQuery::default() };
        let of_kind: Vec<u64> = log.records().iter()
            .filter(|one| one.envelope.event.kind_name() == "run_ended")
            .map(|one| one.envelope.seq).collect();
        prop_assert_eq!(seqs(ended), of_kind[of_kind.len().saturating_sub(limit)..].to_vec());
    }

    /// The state that a daemon starts from is the fold of the log, from any checkpoint.
    #[test]
    fn a_checkpoint_is_the_state_there(script in script(), place in any::<u16>()) {
        let log = log_of(&script);
        let mut views = open(&Disk::default(), &log);
        if place % 2 == 0 { views.flush().expect("flushes"); }
        let seq = u64::from(place) % (views.applied() + 1);
        let mut state = views.newest_checkpoint(seq).expect("reads").unwrap_or_default();
        prop_assert!(state.seq <= seq && seq - state.seq <= 16 + 2 * 160);
        let mut straight = State::default();
        for one in log.records() {
            if one.envelope.seq <= seq { straight.apply(&one.envelope).expect("legal"); }
        }
        log.scan(state.seq + 1..=seq, &mut |one| {
            state.apply(&one.envelope).expect("legal");
            ControlFlow::Continue(())
        }).expect("scans");
        prop_assert_eq!(state, straight);
    }

}

proptest! {
    // tests/views_damage.rs meets far more of it.
    #![proptest_config(cases(24))]

    /// Whatever becomes of the file's bytes: the same answers, or an error that says so. Opening
    /// heals it.
    #[test]
    fn damage_is_never_believed(
        script in script(),
        flips in proptest::collection::vec(any::<(u32, u8)>(), 1..4),
    ) {
        let log = log_of(&script);
        let disk = Disk::default();
        let mut views = open(&disk, &log);
        views.flush().expect("flushes");
        drop(views);
        let questions = oracle::questions(log.records());
        let fresh = open(&Disk::default(), &log);
        let told = questions.iter().map(|question| ask(question.clone(), &fresh, &log));
        let expected: Vec<_> = told.collect();
        disk.damage(&flips);
        let views = open(&disk, &log);
        for (query, expected) in questions.iter().zip(expected) {
            match ask(query.clone(), &views, &log) {
                Err(QueryError::Damaged { .. }) => {}
                found => prop_assert_eq!(found, expected, "{:?}", query),
            }
        }
    }
}

/// Sorted, for what offers them sorts them again.
fn sorted(list: List<CandidateView>) -> Vec<(String, String)> {
    let mut items: Vec<_> = list.items.into_iter().map(|item| (item.value, item.about)).collect();
    items.sort_unstable();
    items
}

const ALL_CANDIDATES: [Candidates; 6] = [
    Candidates::Living,
    Candidates::Runs,
    Candidates::Names,
    Candidates::Labels,
    Candidates::Queues,
    Candidates::Services,
];

proptest! {
    #![proptest_config(cases(24))]

    /// Where the shortlist answers, it answers as the views do.
    #[test]
    fn a_shortlist_offers_what_the_views_offer(script in script()) {
        let log = log_of(&script);
        let mut views = open(&Disk::default(), &log);
        views.flush().expect("flushes");
        let text = shortlist::write(&views, BOOT).expect("reads");
        let all = |views: &Views, what| {
            let begun = String::new();
            let query = CandidatesQuery { what, begun };
            ask(Query::Candidates(query), views, &log)
        };
        for what in ALL_CANDIDATES {
            let Document::Candidates(known) = all(&views, what).expect("answers") else { panic!() };
            let words = known.items.iter().map(|item| item.value.as_str());
            let beginnings = words.flat_map(|word| [0, 1, 2, 5].map(|at| word.get(..at)));
            let beginnings = beginnings.flatten().chain(["name:", "Z", "\u{202e}"]);
            for begun in beginnings {
                let query = CandidatesQuery { what, begun: begun.to_owned() };
                let listed = shortlist::answer(&text, BOOT, &query);
                prop_assert!(begun.is_empty() <= listed.is_some(), "{what:?}");
                prop_assert_eq!(shortlist::answer(&text, BootId([8; 16]), &query), None);
                let Some(listed) = listed else { continue };
                let asked = ask(Query::Candidates(query), &views, &log).expect("answers");
                let Document::Candidates(asked) = asked else { panic!() };
                prop_assert_eq!(sorted(listed), sorted(asked), "{:?} {:?}", what, begun);
            }
        }
    }
}

#[test]
fn another_boot_log_or_version_is_made_anew() {
    let script: Vec<u64> = (0..120_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let log = log_of(&script);
    let disk = Disk::default();
    let mut views = open(&disk, &log);
    views.flush().expect("flushes");
    let fingerprint = views.fingerprint().expect("reads");
    drop(views);
    // Cut short: what the file has beyond it never happened.
    let mut short = MemoryLog::default();
    let some = log.records().iter().take(40).map(|one| one.envelope.clone());
    short.append(&some.collect::<Vec<_>>());
    assert_eq!(open(&disk, &short).applied(), 40);
    // The other boot.
    let make = |start| {
        if start == Start::Anew {
            disk.clear();
        }
        Ok(disk.clone())
    };
    let mut views = Views::open_with(make, BootId([8; 16]), PACE, &log).expect("opens");
    assert_eq!(views.fingerprint().expect("reads"), fingerprint);
}

#[test]
fn reading_changes_no_byte_and_tells_the_same() {
    let script: Vec<u64> = (0..150_u64).map(|n| n.wrapping_mul(0xd134_2543_de82_ef95)).collect();
    let log = log_of(&script);
    let directory = tempfile::tempdir().expect("makes");
    let path = directory.path().join("views.redb");
    let mut behind = MemoryLog::default();
    let some = log.records().iter().take(50).map(|one| one.envelope.clone());
    behind.append(&some.collect::<Vec<_>>());
    let absent = Views::open_readonly(&path, BOOT, &log).expect("opens");
    assert!(!path.exists(), "a reader makes no file");
    let mut views = Views::open(&path, BOOT, &behind).expect("opens");
    views.flush().expect("flushes");
    // As after kill -9: nothing closes the file.
    std::mem::forget(views);
    let before = std::fs::read(&path).expect("reads");
    let views = Views::open_readonly(&path, BOOT, &log).expect("opens");
    for query in oracle::questions(log.records()) {
        let answer = ask(query.clone(), &views, &log);
        assert_eq!(answer, ask(query.clone(), &absent, &log));
        // Nothing may have failed yet at some moment.
        let is_known = matches!(answer, Ok(_) | Err(QueryError::NoSuchRun { .. }));
        assert!(is_known, "{query:?}: {answer:?}");
    }
    drop(views);
    assert!(std::fs::read(&path).expect("reads") == before, "a reader changed the file");
    let mut healed = Views::open(&path, BOOT, &log).expect("opens after a kill");
    assert_eq!(healed.applied(), log.records().len() as u64);
    healed.flush().expect("flushes");
}
