//! Sealing and pruning on a disk that forgets: whatever dies between any two steps, what was told
//! is there, the chain is whole, and the next start goes on.

#[path = "support/faulty.rs"]
mod faulty;
#[path = "support/faulty_directory.rs"]
mod faulty_directory;
#[path = "support/log_events.rs"]
mod log_events;

use std::collections::BTreeSet;

use faulty::Fault;
use faulty_directory::Shelf;
use jr::log::prune::{self, Cut};
use jr::log::verify::verify_records;
use jr::log::{LogError, Reader, Store, snapshot};
use jr::model::{Envelope, RunId, State};
use log_events::{header, lives, run};

/// Events of each segment of the workload.
const SEGMENT: usize = 15;
/// The cut of the workload, in the middle of its second segment, and the run that stays.
const CUT: u64 = 24;
const KEPT: u64 = 1;

fn state_at(events: &[Envelope]) -> Vec<u8> {
    let mut state = State::default();
    for event in events {
        state.apply(event).expect("legal");
    }
    snapshot::encode(&state)
}

/// What is told after each step that succeeded.
#[derive(Debug, Default)]
struct Told {
    events: usize,
    floor: u64,
    pruned: bool,
}

/// Appends, seals, prunes; gives up at the first error, as a daemon does.
fn work(shelf: &Shelf, events: &[Envelope], told: &mut Told) -> Result<(), LogError> {
    let mut store = Store::open_in(shelf.directory(), 1)?;
    let done = usize::try_from(store.head().seq).expect("fits");
    for (place, event) in events.iter().enumerate().skip(done) {
        store.append(std::slice::from_ref(event))?;
        told.events = place + 1;
        if store.hot_records() >= SEGMENT as u64 {
            store.seal(&state_at(&events[..=place]))?;
        }
    }
    prune_all(&store.reader(), events, told)
}

fn cut(reader: &Reader) -> Cut {
    let kept = BTreeSet::from([run(KEPT)]);
    Cut { before: CUT, kept, hidden: reader.floor() }
}

fn prune_all(reader: &Reader, events: &[Envelope], told: &mut Told) -> Result<(), LogError> {
    let cut = cut(reader);
    if reader.floor().is_none() {
        let before = usize::try_from(CUT - 1).expect("fits");
        prune::lower(reader, cut.floor(reader, 7, state_at(&events[..before]))?)?;
    }
    told.floor = CUT;
    for first_seq in prune::segments_before(reader, CUT) {
        if !prune::is_hot(reader, first_seq) {
            prune::rewrite(reader, first_seq, &cut, &mut |_| {}, &mut || true)?;
        }
    }
    told.pruned = true;
    Ok(())
}

fn empty() -> Shelf {
    let shelf = Shelf::default();
    drop(Store::create_in(shelf.directory(), &header(), &[]).expect("makes a log"));
    shelf.reset();
    shelf
}

/// Every law that the log alone can break.
fn assert_holds(shelf: &Shelf, events: &[Envelope], told: &Told, what: &str) {
    let reader = Reader::open_in(shelf.directory());
    let reader = reader.unwrap_or_else(|error| panic!("{what}: {error}"));
    let verified = verify_records(&reader).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(verified.head.seq >= told.events as u64, "{what}: told {told:?}, found {verified:?}");
    let from = reader.kept_from();
    assert!(from == 1 || from == CUT, "{what}: {from}");
    assert!(from >= told.floor, "{what}: what was pruned came back");
    let read: Result<Vec<_>, _> = reader.events(from).expect("opens").collect();
    let first = usize::try_from(from - 1).expect("fits");
    let last = usize::try_from(verified.head.seq).expect("fits");
    assert_eq!(read.expect(what), events[first..last], "{what}");
    let saved = reader.snapshot_before(from).expect(what);
    assert_eq!(saved.bytes, if from == 1 { vec![] } else { state_at(&events[..first]) }, "{what}");
    let mut kept = Vec::new();
    prune::each_whole(&reader, CUT, &mut |_, envelope| {
        kept.extend(envelope.event.run().filter(|of| *of == run(KEPT)).map(|_| envelope));
        true
    })
    .expect(what);
    let of_kept = |event: &&Envelope| event.seq < CUT && event.event.run() == Some(run(KEPT));
    let expected: Vec<_> = events[..last].iter().filter(of_kept).cloned().collect();
    assert_eq!(kept, expected, "{what}");
    if told.pruned {
        let gone = prune::survey(&reader, &cut(&reader), None, || true).expect(what);
        assert_eq!((gone.runs, gone.attempts.len()), (0, 0), "{what}: something is left");
    }
}

fn finish(shelf: &Shelf, events: &[Envelope], what: &str) {
    let mut told = Told::default();
    work(shelf, events, &mut told).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(told.pruned, "{what}");
    assert_holds(shelf, events, &told, what);
    let left: Vec<_> = shelf.names().into_iter().filter(|name| name.contains(".tmp")).collect();
    assert_eq!(left, Vec::<String>::new(), "{what}");
}

/// Each call of the whole workload is the last one, once with the power and once without.
#[test]
fn death_between_any_two_steps_loses_nothing() {
    let events = lives(50);
    let shelf = empty();
    finish(&shelf, &events, "undisturbed");
    let calls = shelf.calls();
    assert!(calls > 500, "{calls}");
    let step = if std::env::var_os("JR_SIM_SEEDS").is_some() { 1 } else { 43 };
    for call in (0..calls).step_by(step) {
        for power in [true, false] {
            let what = format!("call {call} of {calls}, power {power}");
            let shelf = empty();
            shelf.down_at(call);
            let mut told = Told::default();
            let ended = work(&shelf, &events, &mut told);
            assert!(ended.is_err() || told.pruned, "{what}: an error was swallowed");
            if power {
                shelf.crash(call);
            } else {
                shelf.kill();
            }
            assert_holds(&shelf, &events, &told, &what);
            finish(&shelf, &events, &what);
        }
    }
}

/// One call fails: what follows is an error or is right, and never told as done if it is not.
#[test]
fn a_failing_call_is_never_told_as_done() {
    let events = lives(50);
    let shelf = empty();
    finish(&shelf, &events, "undisturbed");
    for call in (0..shelf.calls()).step_by(61) {
        let what = format!("a fault at call {call}");
        let shelf = empty();
        let faults = [Fault::Eio, Fault::Enospc, Fault::ShortWrite];
        shelf.fail_at(call, faults[usize::try_from(call % 3).expect("fits")]);
        let mut told = Told::default();
        let (Ok(()) | Err(_)) = work(&shelf, &events, &mut told);
        shelf.crash(call);
        assert_holds(&shelf, &events, &told, &what);
        finish(&shelf, &events, &what);
    }
}

#[test]
fn a_disk_without_room_for_a_segment_has_some_for_the_old_one() {
    let events = lives(40);
    let shelf = empty();
    let mut store = Store::open_in(shelf.directory(), 1).expect("opens");
    store.append(&events[..20]).expect("appends");
    let state = state_at(&events[..20]);
    shelf.reset();
    shelf.fail_at(0, Fault::Eio);
    assert!(store.seal(&state).is_err(), "the file could not be made");
    assert!(!store.is_poisoned());
    store.append(&events[20..30]).expect("goes on");
    shelf.reset();
    store.seal(&state_at(&events[..30])).expect("there is room");
    store.append(&events[30..]).expect("goes on");
    drop(store);
    let reader = Reader::open_in(shelf.directory()).expect("opens");
    let firsts: Vec<u64> = reader.files().into_iter().map(|(first, _)| first).collect();
    assert_eq!(firsts, [1, 31]);
    assert_eq!(verify_records(&reader).expect("whole").records, 40);
}

#[test]
fn a_missing_newest_segment_is_told() {
    let events = lives(40);
    let directory = tempfile::tempdir().expect("a directory");
    let mut store = Store::create(directory.path(), &header(), &[]).expect("makes");
    store.append(&events[..30]).expect("appends");
    store.seal(&state_at(&events[..30])).expect("seals");
    store.append(&events[30..]).expect("appends");
    drop(store);
    let newest = jr::log::segments::segment_path(directory.path(), 31);
    std::fs::remove_file(&newest).expect("removes");
    for error in
        [Reader::open(directory.path()).err(), Store::open(directory.path(), u64::MAX).err()]
    {
        let error = error.expect("acknowledged events are gone");
        assert!(error.to_string().contains("from record 31 on, is missing"), "{error}");
    }
}

/// Readers that were there before see what is sealed and what is replaced.
#[test]
fn a_reader_beside_the_writer_follows_seals_and_prunes() {
    let events = lives(400);
    let directory = tempfile::tempdir().expect("a directory");
    let mut store = Store::create(directory.path(), &header(), &[]).expect("makes");
    let reader = store.reader();
    let mut cursor = reader.events(1).expect("opens");
    for (place, event) in events.iter().enumerate() {
        store.append(std::slice::from_ref(event)).expect("appends");
        if store.hot_records() >= 40 {
            store.seal(&state_at(&events[..=place])).expect("seals");
        }
        assert_eq!(reader.get(event.seq).expect("reads").as_ref(), Some(event));
    }
    assert!(cursor.next().is_none(), "it ends where it began");
    assert_eq!(reader.files().len(), 11);
    let read: Result<Vec<_>, _> = reader.events(1).expect("opens").collect();
    assert_eq!(read.expect("whole"), events);
    let before = reader.file_bytes();
    let mut look = reader.look();
    assert!(look.get(5).expect("reads").is_some());
    let cut = Cut { before: 390, kept: BTreeSet::from([run(3)]), hidden: None };
    let floor = cut.floor(&reader, 9, state_at(&events[..389])).expect("is there");
    prune::lower(&reader, floor).expect("lowers");
    for first_seq in prune::segments_before(&reader, 390) {
        prune::rewrite(&reader, first_seq, &cut, &mut |_| {}, &mut || true).expect("rewrites");
    }
    assert!(look.get(5).expect("it holds what it had").is_some());
    assert!(matches!(reader.get(5), Err(LogError::Pruned { .. })));
    assert_eq!(reader.get(16).expect("is kept").as_ref(), Some(&events[15]));
    assert!(matches!(reader.snapshot_before(389), Err(LogError::Pruned { .. })));
    assert!(reader.file_bytes() < before / 2, "{} of {before}", reader.file_bytes());
    let verified = jr::log::verify::verify(directory.path()).expect("whole, every page");
    assert_eq!((verified.records, verified.head), (400, store.head()));
    assert_eq!(verified.pruned, 389 - 5);
    store.append(&lives(405)[400..]).expect("goes on");
}

/// Every bit of what matters, and many others: found, or of no consequence.
#[test]
fn a_flipped_bit_in_a_sealed_segment_is_found() {
    let events = lives(50);
    let shelf = empty();
    finish(&shelf, &events, "undisturbed");
    let verified = verify_records(&Reader::open_in(shelf.directory()).expect("opens"));
    let verified = verified.expect("whole");
    let flips = std::env::var("JR_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    for name in shelf.names() {
        let image = shelf.image(&name);
        // What redb does not use is full of zeros; flips there have no consequence.
        let used: Vec<usize> = (0..image.len()).filter(|at| image[*at] != 0).collect();
        for flip in 0..flips {
            let at = used[flip * 7_919 % used.len()];
            let mut bad = image.clone();
            bad[at] ^= 1 << (flip % 8);
            shelf.put(&name, &bad);
            let what = format!("{name}, byte {at}, bit {}", flip % 8);
            let read = Reader::open_in(shelf.directory()).and_then(|reader| {
                let found = verify_records(&reader)?;
                Ok((found, reader.events(reader.kept_from())?.collect::<Result<Vec<_>, _>>()?))
            });
            if let Ok((found, read)) = read {
                assert_eq!(found, verified, "{what}");
                assert_eq!(read, events[23..], "{what}");
            }
        }
        shelf.put(&name, &image);
    }
}

/// A prune that finds damage replaces nothing.
#[test]
fn a_damaged_segment_is_left_as_it_is() {
    let events = lives(50);
    let directory = tempfile::tempdir().expect("a directory");
    let mut store = Store::create(directory.path(), &header(), &[]).expect("makes");
    for (place, event) in events.iter().enumerate() {
        store.append(std::slice::from_ref(event)).expect("appends");
        if store.hot_records() >= 20 {
            store.seal(&state_at(&events[..=place])).expect("seals");
        }
    }
    drop(store);
    let file = jr::log::segments::segment_path(directory.path(), 1);
    let mut bytes = std::fs::read(&file).expect("reads");
    let needle = b"/home/user/project";
    let at = bytes.windows(needle.len()).rposition(|found| found == needle).expect("a payload");
    bytes[at] ^= 1;
    std::fs::write(&file, &bytes).expect("writes");
    let reader = Reader::open(directory.path()).expect("opens");
    let cut = Cut { before: 41, kept: BTreeSet::<RunId>::new(), hidden: None };
    let error = prune::rewrite(&reader, 1, &cut, &mut |_| {}, &mut || true).expect_err("damaged");
    assert!(matches!(error, LogError::Damaged { .. }), "{error}");
    assert!(bytes == std::fs::read(&file).expect("reads"));
}
