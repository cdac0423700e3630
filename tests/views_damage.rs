//! One damaged place anywhere in the files of an environment: the same answers as before, or an
//! error that names the file or the record. Never another history, never a panic.
//!
//! `JR_FLIPS` sets how many random places are tried (80 by default), with several questions each.

#[path = "support/views_world.rs"]
mod world;

#[path = "support/views_oracle.rs"]
mod oracle;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use jr::daemon::offline::{self, OfflineError};
use jr::daemon::place::{Place, PlaceVariables};
use jr::log::{SegmentHeader, Store};
use jr::model::Envelope;
use jr::projections::query::{EventsQuery, Query, QueryError, Question, Scope};
use jr::projections::{MemoryLog, Views};
use jr::runners::linux::clock;
use serde_json::Value;
use world::World;

const PAGE: u64 = 4_096;
/// The file header and both commit slots of redb (its design document, "Header").
const SUPERHEADER: u64 = 320;
/// Questions asked with each random place damaged; the next place gets the next ones.
const ASKED: usize = 3;
/// Questions asked of a file that is damaged as a whole.
const ASKED_WHOLE: usize = 15;

type Answer = Result<Value, Refusal>;

/// What an error says, as far as a caller acts on it.
#[derive(Clone, Debug, PartialEq)]
enum Refusal {
    /// The question itself is at fault.
    Question(QueryError),
    /// The files are; the text.
    Files(String),
    NoState,
    DaemonLives,
}

struct Environment {
    _home: tempfile::TempDir,
    place: Place,
    questions: Vec<Question>,
    expected: Vec<Answer>,
    /// Where the next copy's questions begin.
    next: usize,
    chance: u64,
}

impl Environment {
    /// Files as a daemon leaves them that was killed: the views are behind the log by `behind`.
    fn new(seed: u64, behind: usize) -> Self {
        let home = tempfile::tempdir().expect("makes");
        let jr_home = Some(home.path().into());
        let variables = PlaceVariables { jr_home, ..PlaceVariables::default() };
        let place = Place::of("local".parse().expect("a name"), &variables).expect("a place");
        let script = (1..260_u64).map(|n| (n ^ (seed << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let envelopes = World::play(&script.collect::<Vec<_>>());
        let header = SegmentHeader::first(place.id.clone());
        let mut store = Store::create(&place.log(), &header, &[]).expect("makes a log");
        let kept = envelopes.len() - behind;
        let mut views = None;
        for piece in pieces(&envelopes, kept) {
            store.append(piece).expect("appends");
            if store.head().seq <= kept as u64 {
                let boot = clock::boot_id().expect("reads");
                let reader = store.reader();
                let views = views.get_or_insert_with(|| {
                    Views::open(&place.views(), boot, &reader).expect("opens")
                });
                views.catch_up(&reader).expect("catches up");
                views.flush().expect("flushes");
            }
        }
        // As kill -9 does: nothing closes the files.
        std::mem::forget((views, store));
        for lock in [place.lock(), place.starting()] {
            File::create(lock).expect("makes");
        }
        let mut log = MemoryLog::default();
        log.append(&envelopes);
        let mut questions = oracle::questions(log.records());
        let histories = oracle::history_queries(&[9, 700, 3]).into_iter().map(Query::History);
        questions.extend(histories.map(Question::from));
        for kind in ["run_ended", "attempt_started"] {
            let kind = Some(kind.to_owned());
            let query = Query::Events(EventsQuery { kind, ..EventsQuery::default() });
            questions.push(query.into());
        }
        questions.push(Query::Show { selector: "absent".to_owned() }.into());
        let selectors = vec!["state:failed".to_owned(), "label:team=a".to_owned()];
        questions.push(Query::Resolve { selectors, scope: Scope::Any }.into());
        let expected: Vec<Answer> = questions.iter().map(|query| ask(&place, query)).collect();
        let asked = |answer: &&Answer| answer.is_ok();
        assert!(expected.iter().filter(asked).count() > 60, "most questions have an answer");
        Self { _home: home, place, questions, expected, next: 0, chance: seed }
    }

    fn log_file(&self) -> PathBuf {
        self.place.log().join("00000000000000000001.redb")
    }

    fn chance(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    /// Asks some of the questions, all in the end; `what` was done to the files.
    fn compare(&mut self, asked: usize, what: &str) {
        for _ in 0..asked {
            let at = self.next % self.questions.len();
            self.next += 1;
            let (query, expected) = (&self.questions[at], &self.expected[at]);
            let found = catch_unwind(AssertUnwindSafe(|| ask(&self.place, query)));
            let found = found.unwrap_or_else(|_| panic!("{what}: {query:?} panicked"));
            match &found {
                Err(Refusal::Files(text)) => {
                    let named = ["views", ".redb", "record"].iter().any(|word| text.contains(word));
                    assert!(named, "{what}: {query:?}: no place in {text:?}");
                }
                found => assert_eq!(found, expected, "{what}: {query:?}"),
            }
        }
    }

    /// Changes some bytes for the time of a few questions.
    fn with_bytes(&mut self, file: &Path, offset: u64, bytes: &[u8], asked: usize, what: &str) {
        let open = OpenOptions::new().read(true).write(true).open(file).expect("opens");
        let mut before = vec![0; bytes.len()];
        open.read_exact_at(&mut before, offset).expect("reads");
        if before == bytes {
            return;
        }
        open.write_all_at(bytes, offset).expect("writes");
        self.compare(asked, what);
        let mut after = vec![0; bytes.len()];
        open.read_exact_at(&mut after, offset).expect("reads");
        assert_eq!(after, bytes, "{what}: a reader wrote");
        open.write_all_at(&before, offset).expect("writes");
    }

    fn with_flip(&mut self, file: &Path, offset: u64, bit: u32, asked: usize) {
        let mut byte = [0];
        let open = File::open(file).expect("opens");
        open.read_exact_at(&mut byte, offset).expect("reads");
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let what = format!("bit {bit} of byte {offset} of {name}");
        self.with_bytes(file, offset, &[byte[0] ^ (1 << bit)], asked, &what);
    }

    fn with_whole(&mut self, file: &Path, bytes: &[u8], what: &str) {
        let before = fs::read(file).expect("reads");
        fs::write(file, bytes).expect("writes");
        self.compare(ASKED_WHOLE, what);
        assert!(fs::read(file).expect("reads") == bytes, "{what}: a reader wrote");
        fs::write(file, before).expect("writes");
    }
}

/// Commits of a few records, one of which ends at `kept`.
fn pieces(envelopes: &[Envelope], kept: usize) -> impl Iterator<Item = &[Envelope]> {
    let (first, second) = envelopes.split_at(kept);
    first.chunks(61).chain(second.chunks(17))
}

fn ask(place: &Place, question: &Question) -> Answer {
    let answer = offline::ask(place, question).map_err(|error| match error {
        OfflineError::Query(QueryError::Damaged { message } | QueryError::Log { message }) => {
            Refusal::Files(message)
        }
        OfflineError::Query(error) => Refusal::Question(error),
        OfflineError::Files(error) => Refusal::Files(error.to_string()),
        OfflineError::NoState(_) => Refusal::NoState,
        OfflineError::DaemonLives => Refusal::DaemonLives,
    })?;
    let mut value = serde_json::to_value(answer.document).expect("is JSON");
    hide_age(&mut value);
    Ok(value)
}

/// How long what lives has lived is another number in each answer.
fn hide_age(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let is_open = fields.get("ended_at").is_some_and(Value::is_null);
            if is_open || fields.get("state").is_some_and(|state| state != "ended") {
                fields.remove("duration_ms");
            }
            if fields.contains_key("elapsed_ms") {
                for age in ["elapsed_ms", "eta_ms", "eta_at", "eta_by", "overdue_ms"] {
                    fields.remove(age);
                }
            }
            // The present is another moment in each answer.
            if fields.get("schema").is_some_and(|schema| schema == "jr.diff/1") {
                fields.remove("to");
            }
            fields.values_mut().for_each(hide_age);
        }
        Value::Array(items) => items.iter_mut().for_each(hide_age),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn flips() -> u64 {
    std::env::var("JR_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(80)
}

/// Bytes of a file that are not zero: most of a small file is free.
fn used(file: &Path) -> Vec<u64> {
    let bytes = fs::read(file).expect("reads");
    (0..).zip(bytes).filter(|(_, byte)| *byte != 0).map(|(offset, _)| offset).collect()
}

fn flip_everywhere(environment: &mut Environment, file: &Path) {
    let bytes = fs::read(file).expect("reads");
    let in_use = |page: &u64| bytes[usize::try_from(page * PAGE).expect("fits")] != 0;
    let header = (0..SUPERHEADER).map(|offset| (offset, offset % 8));
    // The kind of a page, its number of entries, the ends of its first keys.
    let pages = (1..bytes.len() as u64 / PAGE).filter(in_use);
    let pages = pages.flat_map(|page| [0, 2, 4, 8].map(|at| (page * PAGE + at, at / 2)));
    let structural: Vec<(u64, u64)> = header.chain(pages).collect();
    for (offset, bit) in structural {
        environment.with_flip(file, offset, u32::try_from(bit).expect("small"), 1);
    }
    let used = used(file);
    for _ in 0..flips() {
        let place = usize::try_from(environment.chance(used.len() as u64)).expect("fits");
        let bit = u32::try_from(environment.chance(8)).expect("fits");
        environment.with_flip(file, used[place], bit, ASKED);
    }
}

fn break_whole(environment: &mut Environment, file: &Path) {
    let bytes = fs::read(file).expect("reads");
    environment.with_whole(file, &[], "empty");
    let garbage: Vec<u8> =
        (0..bytes.len()).map(|_| environment.chance(256).to_le_bytes()[0]).collect();
    environment.with_whole(file, &garbage, "garbage");
    fs::remove_file(file).expect("removes");
    environment.compare(ASKED_WHOLE, "gone");
    fs::write(file, &bytes).expect("writes");
    environment.with_whole(file, b"not a database\n", "text");
    for part in [1, 3, 5, 7] {
        let cut = bytes.len() * part / 8 + part;
        environment.with_whole(file, &bytes[..cut], &format!("cut to {cut} bytes"));
    }
    let zeros = [0; 4_096];
    for page in 0..bytes.len() as u64 / PAGE {
        environment.with_bytes(file, page * PAGE, &zeros, 2, &format!("page {page} zeroed"));
    }
}

#[test]
fn a_damaged_log_is_told_or_does_not_matter() {
    let mut environment = Environment::new(3, 60);
    let file = environment.log_file();
    flip_everywhere(&mut environment, &file);
}

#[test]
fn damaged_views_are_told_or_do_not_matter() {
    let mut environment = Environment::new(4, 25);
    let file = environment.place.views();
    flip_everywhere(&mut environment, &file);
}

#[test]
fn cut_zeroed_and_foreign_files_are_told_or_do_not_matter() {
    for behind in [0, 40] {
        let mut environment = Environment::new(5, behind);
        for file in [environment.log_file(), environment.place.views()] {
            break_whole(&mut environment, &file);
        }
        environment.compare(environment.questions.len(), "whole again");
    }
}
