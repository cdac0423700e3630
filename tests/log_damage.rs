//! Damage is told with its place; it never changes or hides a record, and reading changes no byte.

#[path = "support/faulty.rs"]
mod faulty;
#[path = "support/log_events.rs"]
mod log_events;

use std::path::Path;
use std::sync::Arc;

use faulty::{Chance, Disk};
use jr::log::verify::{verify, verify_records, verify_structure};
use jr::log::{LogError, Reader, Store};
use jr::model::Envelope;
use log_events::{header, lives};

const FILE: &str = "00000000000000000001.redb";
const PAGE: usize = 4096;

fn images() -> u64 {
    std::env::var("JR_SIM_IMAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(600)
}

/// A log of these events: closed in good order, or as `kill -9` leaves it.
fn image(events: &[Envelope], clean: bool) -> Arc<[u8]> {
    let disk = Disk::new();
    let store = Store::create_on(Path::new(FILE), disk.backend(), &header(), &[]);
    let mut store = store.expect("makes a log");
    for batch in events.chunks(7) {
        store.append(batch).expect("appends");
    }
    if !clean {
        return disk.image();
    }
    drop(store);
    disk.image()
}

/// Changes some bytes; says how.
fn mutate(bytes: &mut Vec<u8>, chance: &mut Chance) -> String {
    // Most of a small file is free; damage is to meet what is used.
    let mut at = usize::try_from(chance.below(bytes.len() as u64)).expect("fits");
    for _ in 0..20 {
        if bytes[at] != 0 {
            break;
        }
        at = usize::try_from(chance.below(bytes.len() as u64)).expect("fits");
    }
    let page = at / PAGE * PAGE;
    let end = (page + PAGE).min(bytes.len());
    match chance.below(6) {
        0 | 1 => {
            bytes[at] ^= 1 << chance.below(8);
            format!("bit at {at}")
        }
        2 => {
            bytes[page..end].fill(0);
            format!("zeroed page at {page}")
        }
        3 => {
            bytes[page..end].fill_with(|| chance.next().to_le_bytes()[0]);
            format!("random page at {page}")
        }
        4 => {
            let sector = at / 512 * 512;
            bytes[sector..(sector + 512).min(end)].fill(0);
            format!("zeroed sector at {sector}")
        }
        _ => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
    }
}

/// Reads all there is: whether it was all of `events`. What is read is what was written.
fn read_all(bytes: &Arc<[u8]>, events: &[Envelope], what: &str) -> Result<(), LogError> {
    let reader = Reader::over(Path::new(FILE), Arc::clone(bytes))?;
    let mut read = 0;
    for event in reader.events(1)? {
        assert_eq!(event?, events[read], "{what}: record {}", read + 1);
        read += 1;
    }
    assert_eq!(read, events.len(), "{what}: silently fewer records");
    verify_records(&reader)?;
    Ok(())
}

/// Single reads: right, or an error; nothing only beyond the end.
fn read_some(bytes: &Arc<[u8]>, events: &[Envelope], chance: &mut Chance, what: &str) {
    let Ok(reader) = Reader::over(Path::new(FILE), Arc::clone(bytes)) else { return };
    for _ in 0..5 {
        let seq = 1 + chance.below(events.len() as u64);
        if let Ok(found) = reader.get(seq) {
            let written = &events[usize::try_from(seq).expect("fits") - 1];
            assert_eq!(found.as_ref(), Some(written), "{what}: record {seq}");
        }
    }
}

/// Opening for writing and appending must be survived as well, and hide nothing.
fn write_some(bytes: &[u8], events: &[Envelope], what: &str) {
    let disk = Disk::holding(bytes);
    let Ok(mut store) = Store::open_on(Path::new(FILE), disk.backend(), 1) else { return };
    assert_eq!(store.head().seq, events.len() as u64, "{what}: opened with fewer records");
    let longer = lives(events.len() + 3);
    let appended = store.append(&longer[events.len()..]).is_ok();
    drop(store);
    if appended {
        drop(read_all(&disk.image(), &longer, what));
    }
}

#[test]
fn any_damage_is_told_and_never_hides_or_changes_a_record() {
    let events = lives(120);
    for clean in [true, false] {
        let good = image(&events, clean);
        read_all(&good, &events, "undamaged").expect("whole");
        verify_structure(Path::new(FILE), Arc::clone(&good)).expect("whole");
        let (mut told, mut harmless) = (0, 0);
        for seed in 0..images() / 2 {
            let mut chance = Chance::new(seed * 2 + u64::from(clean));
            let mut bytes = good.to_vec();
            let how = mutate(&mut bytes, &mut chance);
            let what = format!("seed {seed}, clean {clean}, {how}");
            let bytes: Arc<[u8]> = bytes.into();
            match read_all(&bytes, &events, &what) {
                Ok(()) => harmless += 1,
                Err(error) => {
                    told += 1;
                    assert!(error.to_string().contains(FILE), "{what}: {error}");
                    assert_is_of_damage(&error, &what);
                }
            }
            drop(verify_structure(Path::new(FILE), Arc::clone(&bytes)));
            read_some(&bytes, &events, &mut chance, &what);
            write_some(&bytes, &events, &what);
        }
        println!("clean {clean}: {told} told, {harmless} without effect on what is read");
        assert!(told > images() / 8, "the mutations reach what is read");
    }
}

fn assert_is_of_damage(error: &LogError, what: &str) {
    let expected = matches!(
        error,
        LogError::Damaged { .. } | LogError::Panicked { .. } | LogError::Newer { .. }
    );
    assert!(expected, "{what}: {error:?}");
}

#[test]
fn a_file_cut_anywhere_is_damaged_and_not_new() {
    let events = lives(40);
    let good = image(&events, false);
    for page in 0..good.len() / PAGE {
        for cut in [page * PAGE, page * PAGE + 1, page * PAGE + 700] {
            let bytes: Arc<[u8]> = good[..cut].to_vec().into();
            let what = format!("cut at {cut}");
            if let Err(error) = read_all(&bytes, &events, &what) {
                assert_is_of_damage(&error, &what);
            }
            if cut == 0 {
                let error = Store::open_on(Path::new(FILE), Disk::holding(&bytes).backend(), 1);
                let error = error.expect_err("an empty file is no new log");
                assert_is_of_damage(&error, "empty");
            }
        }
    }
}

#[test]
fn reading_changes_no_byte_of_a_file() {
    let events = lives(60);
    for (seed, clean) in (0..30).zip([true, false].into_iter().cycle()) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join(FILE);
        let mut bytes = image(&events, clean).to_vec();
        if seed > 1 {
            mutate(&mut bytes, &mut Chance::new(seed));
        }
        std::fs::write(&file, &bytes).expect("writes");
        let read = Reader::open(directory.path()).and_then(|reader| {
            reader.events(1)?.map(|event| event.map(drop)).collect::<Result<Vec<_>, _>>()
        });
        let verified = verify(directory.path());
        assert!(seed > 1 || (read.is_ok() && verified.is_ok()), "undamaged: {verified:?}");
        let refused = read.is_err();
        assert!(std::fs::read(&file).expect("reads") == bytes, "seed {seed}");
        // A damaged tail is not written to either.
        if refused && Store::open(directory.path(), 1).is_err() {
            assert!(std::fs::read(&file).expect("reads") == bytes, "seed {seed}, opening");
        }
    }
}

/// After every record the log is whole, and its chain is the one of the longer log.
#[test]
fn a_log_cut_after_any_record_is_a_log() {
    let events = lives(25);
    let whole = Reader::over(Path::new(FILE), image(&events, true)).expect("opens");
    let mut store = Store::in_memory(&header()).expect("opens");
    for (place, event) in events.iter().enumerate() {
        let head = store.append(std::slice::from_ref(event)).expect("appends");
        let reader = store.reader();
        let read: Result<Vec<_>, _> = reader.events(1).expect("opens").collect();
        assert_eq!(read.expect("whole"), events[..=place]);
        assert_eq!(verify_records(&reader).expect("whole").head, head);
        let stored = whole.raw(head.seq).expect("reads").expect("is there");
        assert_eq!(reader.raw(head.seq).expect("reads"), Some(stored));
    }
    assert_eq!(store.reader().get(0).expect("reads"), None);
    assert_eq!(store.reader().get(26).expect("reads"), None);
    assert_eq!(store.reader().events(26).expect("opens").count(), 0);
    assert_eq!(store.reader().events(99).expect("opens").count(), 0);
}
