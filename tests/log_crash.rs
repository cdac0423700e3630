//! What was told is there after any crash, and nothing is written after an error.

#[path = "support/faulty.rs"]
mod faulty;
#[path = "support/log_events.rs"]
mod log_events;

use std::path::Path;

use faulty::{Chance, Disk, Fault};
use jr::log::verify::verify_records;
use jr::log::{LogError, Reader, Store};
use jr::model::Envelope;
use log_events::{header, lives};

const FILE: &str = "00000000000000000001.redb";

fn seeds() -> u64 {
    std::env::var("JR_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

/// A disk with an empty log on it, all of it durable.
fn empty_log() -> Disk {
    let disk = Disk::new();
    let store = Store::create_on(Path::new(FILE), disk.backend(), &header(), &[]);
    drop(store.expect("an empty disk takes a log"));
    disk.reset_calls();
    disk
}

/// Appends in batches of changing size until the first error; how many events were told, and how
/// many were tried.
fn append_all(store: &mut Store, events: &[Envelope], chance: &mut Chance) -> (usize, usize) {
    let mut told = usize::try_from(store.head().seq).expect("fits");
    while told < events.len() {
        let size = usize::try_from(1 + chance.below(9)).expect("fits");
        let tried = events.len().min(told + size);
        if store.append(&events[told..tried]).is_err() {
            assert!(store.is_poisoned());
            let error = store.append(&events[told..tried]).expect_err("refused for ever");
            assert!(matches!(error, LogError::Poisoned { .. }), "{error}");
            return (told, tried);
        }
        told = tried;
    }
    (told, told)
}

fn open(disk: &Disk) -> Result<Store, LogError> {
    Store::open_on(Path::new(FILE), disk.backend(), 1)
}

/// The log is a prefix of `events` with at least `told` and at most `tried` of them.
fn assert_holds(disk: &Disk, events: &[Envelope], told: usize, tried: usize, what: &str) {
    let before = disk.image();
    let reader = Reader::over(Path::new(FILE), disk.image()).unwrap_or_else(|error| {
        panic!("{what}: {error}");
    });
    let verified = verify_records(&reader).unwrap_or_else(|error| panic!("{what}: {error}"));
    let kept = usize::try_from(verified.head.seq).expect("fits");
    assert!((told..=tried).contains(&kept), "{what}: {kept} of {told}..={tried}");
    let read: Vec<_> =
        reader.events(1).expect("opens").map(|event| event.expect("whole")).collect();
    assert_eq!(read, events[..kept], "{what}");
    drop(reader);
    assert_eq!(before, disk.image(), "{what}: reading changes nothing");
}

/// Opens again, crashes inside that as well, opens, goes on, and checks after each.
fn recover(disk: &Disk, events: &[Envelope], told: usize, tried: usize, seed: u64) {
    let mut chance = Chance::new(seed);
    assert_holds(disk, events, told, tried, &format!("seed {seed}, crashed"));
    if chance.hits(50) {
        disk.reset_calls();
        disk.down_at_sync(chance.below(3));
        drop(open(disk));
        disk.crash(chance.next());
        assert_holds(disk, events, told, tried, &format!("seed {seed}, crashed twice"));
    }
    let mut store = open(disk).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let (told, tried) = append_all(&mut store, events, &mut chance);
    assert_eq!((told, tried), (events.len(), events.len()), "seed {seed}");
    drop(store);
    assert_holds(disk, events, told, told, &format!("seed {seed}, went on"));
}

#[test]
fn a_power_cut_at_every_sync_loses_nothing_told() {
    let events = lives(30);
    let disk = empty_log();
    let (told, _) = append_all(&mut open(&disk).expect("opens"), &events, &mut Chance::new(1));
    assert_eq!(told, events.len());
    let syncs = disk.syncs();
    assert!(syncs > 10, "{syncs}");
    for sync in 0..syncs {
        for seed in 0..3 {
            let disk = empty_log();
            disk.down_at_sync(sync);
            let (mut told, mut tried) = (0, 0);
            if let Ok(mut store) = open(&disk) {
                (told, tried) = append_all(&mut store, &events, &mut Chance::new(1));
            }
            disk.crash(seed * 1_000 + sync);
            recover(&disk, &events, told, tried, seed * 1_000 + sync);
        }
    }
}

#[test]
fn a_power_cut_at_any_time_loses_nothing_told() {
    let events = lives(30);
    for seed in 0..seeds() {
        let mut chance = Chance::new(seed);
        let disk = empty_log();
        disk.down_at_sync(chance.below(24));
        let (mut told, mut tried) = (0, 0);
        if let Ok(mut store) = open(&disk) {
            (told, tried) = append_all(&mut store, &events, &mut chance);
        }
        disk.crash(chance.next());
        recover(&disk, &events, told, tried, seed);
    }
}

#[test]
fn kill_leaves_all_that_was_told_and_perhaps_what_was_tried() {
    let events = lives(30);
    let disk = empty_log();
    let mut store = open(&disk).expect("opens");
    for (place, event) in events.iter().enumerate() {
        store.append(std::slice::from_ref(event)).expect("works");
        let image = Disk::holding(&disk.image());
        assert_holds(&image, &events, place + 1, place + 1, "killed");
        let again = open(&image).expect("opens at once");
        assert_eq!(again.head(), store.head());
    }
}

/// Every number of a call that fails, with every way to fail.
#[test]
fn a_failing_call_is_never_told_as_done() {
    let events = lives(12);
    let disk = empty_log();
    append_all(&mut open(&disk).expect("opens"), &events, &mut Chance::new(2));
    let calls = disk.calls();
    for fault in [Fault::Eio, Fault::Enospc, Fault::ShortWrite] {
        for call in 0..calls {
            let what = format!("{fault:?} at call {call}");
            let disk = empty_log();
            disk.fail_at(call, fault);
            let (mut told, mut tried) = (0, 0);
            if let Ok(mut store) = open(&disk) {
                (told, tried) = append_all(&mut store, &events, &mut Chance::new(2));
                // The process ends: at once, or after dropping what it has.
                if call % 2 == 0 {
                    disk.kill();
                }
            }
            assert_eq!(disk.syncs_after_failure(), 0, "{what}");
            assert_holds(&disk, &events, told, tried, &what);
            disk.crash(call);
            recover(&disk, &events, told, tried, call);
        }
    }
}

#[test]
fn a_full_disk_says_so() {
    let events = lives(18);
    let disk = empty_log();
    let mut store = open(&disk).expect("opens");
    let error = (0..).map(|call| disk.fail_at(disk.calls() + call % 7, Fault::Enospc));
    let found =
        error.zip(&events).find_map(|((), event)| store.append(std::slice::from_ref(event)).err());
    let found = found.expect("some write was refused");
    assert!(matches!(found, LogError::OutOfSpace { .. }), "{found}");
    assert!(found.to_string().contains(FILE), "{found}");
}

#[test]
fn creation_is_all_or_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let error = Store::open(&log, 1).expect_err("nothing there");
    assert!(matches!(error, LogError::NotFound { .. }), "{error}");
    // Died before the rename: only a temporary file, which the next one replaces.
    std::fs::create_dir_all(&log).expect("makes");
    std::fs::write(log.join(format!("{FILE}.tmp")), b"half").expect("writes");
    let error = Store::open(&log, 1).expect_err("nothing there yet");
    assert!(matches!(error, LogError::NotFound { .. }), "{error}");
    let mut store = Store::create(&log, &header(), &[]).expect("makes it");
    let events = lives(10);
    store.append(&events).expect("works");
    let error = Store::create(&log, &header(), &[]).expect_err("is there");
    assert!(matches!(error, LogError::Busy { .. }), "{error}");
    drop(store);
    let store = Store::open(&log, 1).expect("opens");
    assert_eq!(store.head().seq, 10);
}
