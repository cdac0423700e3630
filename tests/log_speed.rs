//! Prints how fast the log is; asserts only that it is right. `cargo test --release --test
//! log_speed -- --nocapture`, with `JR_SPEED_EVENTS=1000000` for figures that mean something.

#[path = "support/log_events.rs"]
mod log_events;

use std::time::{Duration, Instant};

use jr::log::{LogError, Reader, Store};
use log_events::{header, life, lives};
use rustix::time::{ClockId, clock_gettime};

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn timed<R>(what: impl FnOnce() -> R) -> (R, Duration) {
    let start = Instant::now();
    let result = what();
    (result, start.elapsed())
}

/// As [`timed`] in processor time of this thread: the machine may be busy with other things.
fn computed<R>(what: impl FnOnce() -> R) -> (R, Duration) {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("is positive");
    let start = now();
    let result = what();
    (result, now().saturating_sub(start))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn append_and_replay() {
    let count = std::env::var("JR_SPEED_EVENTS").ok().and_then(|text| text.parse().ok());
    let count: u64 = count.unwrap_or(10_000);
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let mut store = Store::create(directory.path(), &header(), &[]).expect("makes");
    let mut number = 0;
    let ((), took) = timed(|| {
        while number < count / 5 {
            let batch: Vec<_> = (number..(number + 800).min(count / 5)).flat_map(life).collect();
            store.append(&batch).expect("appends");
            number += 800;
        }
    });
    let written = store.head().seq;
    println!("{written} events in batches of 4000: {took:?}");
    for size in [1, 64] {
        let mut times = Vec::new();
        for _ in 0..60 {
            let from = store.head().seq;
            let mut batch = lives(size);
            for (seq, event) in (from + 1..).zip(&mut batch) {
                event.seq = seq;
            }
            times.push(timed(|| store.append(&batch).expect("appends")).1);
        }
        println!("one append of {size}: median {:?}", median(times));
    }
    let head = store.head();
    let killed = directory.path().join("00000000000000000001.redb");
    let copy = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    std::fs::copy(&killed, copy.path().join(killed.file_name().expect("has one"))).expect("copies");
    for (what, path) in [("killed", copy.path()), ("closed", directory.path())] {
        if what == "closed" {
            drop(store);
            store = Store::in_memory(&header()).expect("opens");
        }
        let file = path.join(killed.file_name().expect("has one"));
        std::fs::File::open(file).and_then(|file| file.sync_all()).expect("syncs");
        let (reader, took) = timed(|| Reader::open(path).expect("opens"));
        println!("{what} file of {} events: read-only opening {took:?}", head.seq);
        let (found, took) = timed(|| reader.head().expect("reads"));
        println!("  head {took:?}");
        assert_eq!(found, head);
        for _ in 0..2 {
            let (verified, decoded) = replay(&reader, head.seq);
            println!(
                "  verified {verified:.2} M/s, verified and decoded {decoded:.2} M/s of CPU time"
            );
        }
        let (opened, took) = timed(|| Store::open(path, head.seq).expect("opens"));
        println!("  opening for writing {took:?}");
        assert_eq!(opened.head(), head);
    }
}

/// Millions of records a second, verified, and then decoded as well.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn replay(reader: &Reader, events: u64) -> (f64, f64) {
    let rate = |took: Duration| events as f64 / took.as_secs_f64() / 1e6;
    let (read, verified) = computed(|| {
        let mut cursor = reader.cursor(1).expect("opens");
        let mut read = 0;
        while cursor.next_record().expect("whole").is_some() {
            read += 1;
        }
        read
    });
    assert_eq!(read, events);
    let last = |reader: &Reader| reader.events(1)?.try_fold(0, |_, event| Ok(event?.seq));
    let (read, decoded): (Result<u64, LogError>, _) = computed(|| last(reader));
    assert_eq!(read.expect("whole"), events);
    (rate(verified), rate(decoded))
}
