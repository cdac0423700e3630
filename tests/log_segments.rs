//! Logs of several segments, pruned ones, and ones that a newer jr wrote.

#[path = "support/log_events.rs"]
mod log_events;

use std::collections::BTreeSet;
use std::path::Path;

use jr::log::error::{Damage, Newer, Refusal};
use jr::log::record::Record;
use jr::log::stat::stat;
use jr::log::upcast::Shape;
use jr::log::verify::verify;
use jr::log::{Batch, Head, LogError, Reader, SegmentHeader, Snapshot, Store, segments};
use jr::model::{Digest, Event};
use log_events::{header, lives, sample};
use redb::{Database, ReadableTable, TableDefinition};

const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Three segments of 10, 10 and 5 events.
fn three_segments(directory: &Path) -> Head {
    let events = lives(25);
    let mut store = Store::create(directory, &header(), &[]).expect("makes");
    store.append(&events[..10]).expect("appends");
    let after = |head: Head, snapshot: &[u8]| {
        SegmentHeader::after(head, snapshot, "local".parse().expect("a name"))
    };
    for (from, to) in [(10, 20), (20, 25)] {
        let head = store.head();
        drop(store);
        let snapshot = format!("state at {from}");
        let header = after(head, snapshot.as_bytes());
        store = Store::create(directory, &header, snapshot.as_bytes()).expect("makes the next");
        store.append(&events[from..to]).expect("appends");
    }
    store.head()
}

#[test]
fn reading_crosses_segments() {
    let directory = tempfile::tempdir().expect("a directory");
    let head = three_segments(directory.path());
    let events = lives(30);
    let reader = Reader::open(directory.path()).expect("opens");
    assert_eq!(reader.head().expect("reads"), head);
    for from in 1..=26 {
        let read: Result<Vec<_>, _> = reader.events(from).expect("opens").collect();
        let skipped = usize::try_from(from - 1).expect("fits");
        assert_eq!(read.expect("whole"), events[skipped..25], "from {from}");
    }
    let mut look = reader.look();
    for event in events[..25].iter().rev() {
        assert_eq!(look.get(event.seq).expect("reads").as_ref(), Some(event));
    }
    assert_eq!(look.get(26).expect("reads"), None);
    let snapshot = reader.snapshot_before(20).expect("reads");
    assert_eq!((snapshot.head.seq, snapshot.bytes.as_slice()), (10, b"state at 10".as_slice()));
    let first = Snapshot { head: Head::GENESIS, bytes: vec![] };
    assert_eq!(reader.snapshot_before(10).expect("reads"), first);
    let verified = verify(directory.path()).expect("whole");
    assert_eq!((verified.segments, verified.records, verified.head), (3, 25, head));
    let mut store = Store::open(directory.path(), 22).expect("opens the hot one");
    store.append(&events[25..]).expect("goes on");
    let read: Result<Vec<_>, _> = store.reader().events(1).expect("opens").collect();
    assert_eq!(read.expect("whole"), events);
    let stat = stat(&store.reader()).expect("counts");
    assert_eq!((stat.segments, stat.first_seq, stat.head.seq), (3, 1, 30));
    assert_eq!(stat.kinds.values().map(|kind| kind.records).sum::<u64>(), 30);
    assert_eq!(stat.kinds["run_admitted"].records, 6);
    assert_eq!(stat.record_bytes, stat.kinds.values().map(|kind| kind.bytes).sum::<u64>());
}

#[test]
fn a_deleted_first_segment_is_pruned_and_a_deleted_middle_one_is_damage() {
    let directory = tempfile::tempdir().expect("a directory");
    three_segments(directory.path());
    let middle = segments::segment_path(directory.path(), 11);
    std::fs::remove_file(segments::segment_path(directory.path(), 1)).expect("removes");
    let reader = Reader::open(directory.path()).expect("opens");
    assert_eq!(reader.events(11).expect("opens").count(), 15);
    for error in [reader.get(10).err(), reader.events(1).err(), reader.snapshot_before(3).err()] {
        assert!(matches!(error, Some(LogError::Pruned { .. })), "{error:?}");
    }
    verify(directory.path()).expect("what is kept is whole");
    three_segments(&directory.path().join("again"));
    let directory = directory.path().join("again");
    std::fs::remove_file(segments::segment_path(&directory, 11)).expect("removes");
    let error = verify(&directory).expect_err("a gap");
    assert!(matches!(error, LogError::Damaged { damage: Damage::SegmentGap, .. }), "{error}");
    std::fs::copy(&middle, segments::segment_path(&directory, 12)).expect("copies");
    let error = verify(&directory).expect_err("misnamed");
    let expected = matches!(error, LogError::Damaged { damage: Damage::WrongFirstSeq(11), .. });
    assert!(expected, "{error}");
}

/// Replaces records and rows behind jr's back.
fn rewrite(
    file: &Path,
    change: impl FnOnce(
        &mut redb::Table<'_, u64, &'static [u8]>,
        &mut redb::Table<'_, &'static str, &'static [u8]>,
    ),
) {
    let database = Database::open(file).expect("opens");
    let transaction = database.begin_write().expect("begins");
    {
        let mut records = transaction.open_table(RECORDS).expect("opens");
        let mut meta = transaction.open_table(META).expect("opens");
        change(&mut records, &mut meta);
    }
    transaction.commit().expect("commits");
}

/// The last record with other first bytes, digest and hash made anew.
fn forge(bytes: &[u8], previous: Digest, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let body = bytes.len() - 69;
    change(&mut bytes[..body]);
    let digest = blake3::hash(&bytes[..body]);
    let mut chain = blake3::Hasher::new();
    chain.update(&previous.0).update(digest.as_bytes());
    bytes[body..body + 32].copy_from_slice(digest.as_bytes());
    bytes[body + 32..body + 64].copy_from_slice(chain.finalize().as_bytes());
    bytes
}

fn log_with_forged_tail(directory: &Path, list_kind: bool, change: impl FnOnce(&mut [u8])) {
    let mut store = Store::create(directory, &header(), &[]).expect("makes");
    store.append(&sample()).expect("appends");
    let head = store.head();
    let last = store.reader().raw(head.seq).expect("reads").expect("is there");
    let before = store.reader().raw(head.seq - 1).expect("reads").expect("is there");
    let previous = Record::parse(&before).expect("parses").hash;
    drop(store);
    let forged = forge(&last, previous, change);
    rewrite(&segments::segment_path(directory, 1), |records, meta| {
        records.insert(head.seq, forged.as_slice()).expect("replaces");
        let mut row = head.seq.to_le_bytes().to_vec();
        row.extend_from_slice(&forged[forged.len() - 37..forged.len() - 5]);
        meta.insert("head", row.as_slice()).expect("replaces");
        if list_kind {
            let kinds = meta.get("kinds").expect("reads").expect("is there").value().to_vec();
            let mut row = kinds[..kinds.len() - 8].to_vec();
            row.extend_from_slice(&forged[1..5]);
            let check = blake3::hash(&row);
            row.extend_from_slice(&check.as_bytes()[..8]);
            meta.insert("kinds", row.as_slice()).expect("replaces");
        }
    });
}

#[test]
fn what_a_newer_jr_wrote_is_neither_guessed_nor_touched() {
    type Change = fn(&mut [u8]);
    let kind = |kind, version| Newer::Shape(Shape { kind, version });
    let cases: [(Newer, Change); 4] = [
        (kind(200, 1), |bytes| bytes[1] = 200),
        (kind(12, 2), |bytes| bytes[3] = 2),
        (kind(8, 1), |bytes| bytes[1] = 8),
        (Newer::RecordFormat(2), |bytes| bytes[0] = 2),
    ];
    for (expected, change) in cases {
        for list_kind in [true, false] {
            let directory = tempfile::tempdir().expect("a directory");
            log_with_forged_tail(directory.path(), list_kind, change);
            let file = segments::segment_path(directory.path(), 1);
            let before = std::fs::read(&file).expect("reads");
            let reader = Reader::open(directory.path()).expect("reading what is known works");
            let read: Vec<_> = reader.events(1).expect("opens").collect();
            let known = sample();
            assert_eq!(read.len(), known.len());
            for (read, written) in read.iter().zip(&known[..known.len() - 1]) {
                assert_eq!(read.as_ref().expect("known"), written);
            }
            let error = read.into_iter().next_back().expect("the last").expect_err("unknown");
            assert_eq!(error.seq(), Some(known.len() as u64));
            let newer = matches!(&error, LogError::Newer { newer, .. } if *newer == expected);
            assert!(newer, "{error}");
            let error = Store::open(directory.path(), 1).expect_err("is not written to");
            assert!(matches!(error, LogError::Newer { .. }), "{error}");
            assert!(before == std::fs::read(&file).expect("reads"), "{expected}: bytes changed");
        }
    }
}

#[test]
fn a_segment_of_a_newer_format_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(Store::create(directory.path(), &header(), &[]).expect("makes"));
    let file = segments::segment_path(directory.path(), 1);
    rewrite(&file, |_, meta| {
        let mut row = meta.get("header").expect("reads").expect("is there").value().to_vec();
        row[0] = 2;
        meta.insert("header", row.as_slice()).expect("replaces");
    });
    let before = std::fs::read(&file).expect("reads");
    for error in [Reader::open(directory.path()).err(), Store::open(directory.path(), 1).err()] {
        let newer = matches!(error, Some(LogError::Newer { newer: Newer::SegmentFormat(2), .. }));
        assert!(newer, "{error:?}");
    }
    assert!(before == std::fs::read(&file).expect("reads"));
}

#[test]
fn a_pruned_record_is_told_and_the_rest_is_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut store = Store::create(directory.path(), &header(), &[]).expect("makes");
    let events = lives(10);
    let head = store.append(&events).expect("appends");
    let stored = store.reader().raw(4).expect("reads").expect("is there");
    let pruned = Record::parse(&stored).expect("parses").pruned();
    drop(store);
    rewrite(&segments::segment_path(directory.path(), 1), |records, _| {
        records.insert(4, pruned.as_slice()).expect("replaces");
    });
    let reader = Reader::open(directory.path()).expect("opens");
    let read: Vec<_> = reader.events(1).expect("opens").collect();
    assert_eq!(read.len(), 10);
    for (read, written) in read.iter().zip(&events) {
        match read {
            Ok(read) => assert_eq!(read, written),
            Err(LogError::Pruned { place }) => assert_eq!((place.seq, written.seq), (Some(4), 4)),
            Err(error) => panic!("{error}"),
        }
    }
    let verified = verify(directory.path()).expect("the chain is whole");
    assert_eq!((verified.records, verified.pruned, verified.head), (10, 1, head));
    assert_eq!(stat(&reader).expect("counts").pruned, 1);
}

#[test]
fn only_what_continues_the_head_is_appended() {
    let events = lives(10);
    for (skipped, what) in [(1, "a gap"), (0, "nothing wrong")] {
        let mut store = Store::in_memory(&header()).expect("opens");
        let result = store.append(&events[skipped..]);
        match result {
            Ok(head) => assert_eq!((head.seq, skipped), (10, 0), "{what}"),
            Err(LogError::Refused { refusal, .. }) => {
                assert_eq!(refusal, Refusal::SeqGap { expected: 1, found: 2 }, "{what}");
                assert!(store.is_poisoned());
            }
            Err(error) => panic!("{what}: {error}"),
        }
    }
    let mut store = Store::in_memory(&header()).expect("opens");
    assert_eq!(store.append(&[]).expect("nothing to do"), Head::GENESIS);
    let first = Batch::encode(store.head(), &events[..4]).expect("encodes");
    let second = Batch::encode(first.head(), &events[4..]).expect("encodes ahead");
    store.append_batch(&first).expect("appends");
    assert_eq!(store.append_batch(&second).expect("appends"), second.head());
    let error = store.append_batch(&second).expect_err("twice");
    let refusal = Refusal::WrongHead { head: 10 };
    assert!(matches!(error, LogError::Refused { refusal: found, .. } if found == refusal));
}

#[test]
fn readers_beside_the_writer_see_whole_commits() {
    let mut store = Store::in_memory(&header()).expect("opens");
    let events = lives(300);
    let reader = store.reader();
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut seen = 0;
            while seen < 300 {
                let read: Result<Vec<_>, _> = reader.events(1).expect("opens").collect();
                let read = read.expect("whole");
                assert!(read.len() >= seen && read.len() % 10 == 0, "{} of {seen}", read.len());
                assert_eq!(read, events[..read.len()]);
                seen = read.len();
            }
        });
        for batch in events.chunks(10) {
            store.append(batch).expect("appends");
        }
        watch.join().expect("saw what was written");
    });
    assert!(!store.is_poisoned() && !store.has_panicked());
}

#[test]
fn a_payload_above_the_limit_is_refused_before_it_is_written() {
    let mut store = Store::in_memory(&header()).expect("opens");
    let mut event = lives(1).remove(0);
    if let Event::RunAdmitted { spec, .. } = &mut event.event {
        std::sync::Arc::make_mut(spec).command = vec![vec![b'x'; jr::limits::PAYLOAD_BYTES].into()];
    }
    let error = store.append(&[event]).expect_err("too large");
    let refused =
        matches!(error, LogError::Refused { refusal: Refusal::PayloadTooLarge { seq: 1, .. }, .. });
    assert!(refused, "{error}");
    assert_eq!(store.reader().head().expect("reads"), Head::GENESIS);
}

#[test]
fn the_sample_has_every_kind_that_is_written() {
    let written: BTreeSet<u16> =
        sample().iter().map(|event| jr::log::upcast::shape_of(&event.event).kind).collect();
    let known = jr::log::versions::KINDS.iter().filter(|line| !line.versions.is_empty());
    assert_eq!(written, known.map(|line| line.number).collect());
    for event in sample() {
        let shape = jr::log::upcast::shape_of(&event.event);
        let line = jr::log::versions::kind(shape.kind).expect("known");
        assert_eq!(line.name, event.event.kind_name());
        assert_eq!(line.versions.last(), Some(&shape.version), "the newest is written");
    }
}
