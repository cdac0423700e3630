//! Stored bytes: every event survives them, no bytes break decoding, and a second reader agrees.

#[path = "support/log_events.rs"]
mod log_events;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jr::log::record::{Record, write};
use jr::log::upcast::{Shape, decode_payload, encode_payload};
use jr::log::{codec, versions};
use jr::model::bytestring::{from_hex, to_hex};
use jr::model::{Backoff, Digest, Envelope, GitCommit, RunId};
use log_events::{any_envelope, any_event, sample, spec};
use proptest::prelude::*;

proptest! {
    #[test]
    fn an_event_survives_its_payload(event in any_event()) {
        let mut bytes = Vec::new();
        let shape = encode_payload(&event, &mut bytes);
        prop_assert_eq!(decode_payload(shape, &bytes), Ok(event));
    }

    #[test]
    fn an_envelope_survives_its_record(envelope in any_envelope(), before in any::<[u8; 32]>()) {
        let mut bytes = Vec::new();
        write(&envelope, Digest(before), &mut bytes);
        let record = Record::parse(&bytes).expect("parses");
        prop_assert_eq!(record.verify(Digest(before)), Ok(()));
        let content = record.content.expect("whole");
        let event = record.event().expect("decodes").expect("whole");
        let (seq, time, cause) = (record.seq, content.time, content.cause);
        prop_assert_eq!(Envelope { seq, time, cause, event }, envelope);
    }

    #[test]
    fn no_bytes_break_decoding(
        kind in 0..46_u16,
        version in 1..3_u16,
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        drop(decode_payload(Shape { kind, version }, &bytes));
        drop(Record::parse(&bytes).map(|record| record.event()));
    }

    #[test]
    fn damaged_payloads_break_nothing(event in any_event(), at in any::<usize>(), byte: u8) {
        let mut bytes = Vec::new();
        let shape = encode_payload(&event, &mut bytes);
        let longer = [bytes.as_slice(), &[0]].concat();
        prop_assert!(decode_payload(shape, &longer).is_err(), "nothing is left over");
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Err(jr::log::upcast::UpcastError::Malformed(error)) = decode_payload(shape, &bytes) {
            prop_assert!(error.offset <= bytes.len());
        }
        prop_assert!(decode_payload(shape, &bytes[..at]).is_err(), "a prefix is no event");
    }
}

/// Today's frozen shape of an admission, told to another implementation of the same format.
#[derive(wincode::SchemaWrite, wincode::SchemaRead, Debug, PartialEq)]
struct Admitted {
    run: u64,
    name: String,
    kind: Kind,
    command: Vec<Vec<u8>>,
    cwd: Vec<u8>,
    umask: u32,
    variables: Option<[u8; 32]>,
    secrets: Option<u64>,
    labels: BTreeMap<String, String>,
    queue: Option<String>,
    attached: bool,
    timeout_ms: Option<u64>,
    stop_signal: u8,
    grace_ms: u64,
    strays: Strays,
    output_bytes_max: u64,
    key: Option<String>,
    parent: Option<u64>,
    line: Option<Vec<u8>>,
    fail_fast: bool,
    retry: Option<(u32, (u64, u64, u32, u8))>,
    ok_codes: Vec<u8>,
    after: Vec<(u64, Condition)>,
    lock: Option<(String, LockBusy)>,
    on_interrupt: OnInterrupt,
    tty: Option<(u16, u16)>,
    capture: Capture,
    limits: (Option<u32>, Option<u64>, Option<u32>),
    variable_files: Vec<(Vec<u8>, Vec<u8>)>,
    config: Option<[u8; 32]>,
    of_service: (Option<(String, u32)>, Option<u8>, Option<String>),
    commit: Option<Commit>,
}

#[derive(wincode::SchemaWrite, wincode::SchemaRead, Debug, PartialEq)]
enum Commit {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl Commit {
    fn of(commit: GitCommit) -> Self {
        match commit.as_bytes() {
            bytes if bytes.len() == 20 => Self::Sha1(bytes.try_into().expect("20")),
            bytes => Self::Sha256(bytes.try_into().expect("32")),
        }
    }
}

#[derive(wincode::SchemaWrite, wincode::SchemaRead, Debug, PartialEq)]
enum Condition {
    Ok,
    Any,
}

#[derive(wincode::SchemaWrite, wincode::SchemaRead, Debug, PartialEq)]
enum LockBusy {
    Wait,
    Fail,
    Skip,
}

#[derive(wincode::SchemaWrite, wincode::SchemaRead, Debug, PartialEq)]
enum OnInterrupt {
    Fail,
    Requeue,
    Ask,
}

#[derive(wincode::SchemaWrite, wincode::SchemaRead, Debug, PartialEq)]
enum Capture {
    File,
    Pipe,
}

#[derive(wincode::SchemaWrite, wincode::SchemaRead, Debug, PartialEq)]
enum Kind {
    Job,
    Batch,
    Service,
}

#[derive(wincode::SchemaWrite, wincode::SchemaRead, Debug, PartialEq)]
enum Strays {
    Kill,
    Keep,
}

/// As above for an attempt's end: nested enums with fields, negative numbers, many options.
#[derive(wincode::SchemaWrite, wincode::SchemaRead, Debug, PartialEq)]
struct Ended {
    run: u64,
    attempt: u32,
    status: Status,
    at_ms: i64,
    duration_ms: Option<u64>,
    usage: Option<(u64, u64, u64)>,
    strays: u32,
    survivors: Vec<u32>,
    output: Option<Output>,
}

type Output = (u64, u64, Option<[u8; 32]>, Option<[u8; 32]>);

#[derive(wincode::SchemaWrite, wincode::SchemaRead, Debug, PartialEq)]
enum Status {
    Exited(i32),
    Signalled(u8),
    TimedOut(Last),
}

#[derive(wincode::SchemaWrite, wincode::SchemaRead, Debug, PartialEq)]
enum Last {
    Exited(i32),
    Signalled(u8),
}

#[test]
fn a_second_implementation_writes_and_reads_the_same_bytes() {
    let config = wincode::config::Configuration::default().with_varint_encoding();
    for number in 0..40_u64 {
        let spec = spec(number);
        let run = RunId::from_chance(number << 50);
        let ours = codec::encode(&versions::v2::RunAdmitted::of(run, &spec));
        let bytes = |text: &jr::model::ByteString| text.as_bytes().to_vec();
        let theirs = Admitted {
            run: run.to_u64(),
            name: spec.name.clone(),
            kind: Kind::Job,
            command: spec.command.iter().map(bytes).collect(),
            cwd: bytes(&spec.cwd),
            variables: spec.variables.map(|digest| digest.0),
            secrets: spec.secrets.map(jr::model::RunId::to_u64),
            labels: spec.labels.clone(),
            queue: spec.queue.as_ref().map(ToString::to_string),
            attached: spec.attached,
            timeout_ms: spec.timeout_ms,
            stop_signal: 15,
            grace_ms: spec.grace_ms,
            strays: Strays::Kill,
            umask: spec.umask,
            output_bytes_max: spec.output_bytes_max,
            key: spec.key.clone(),
            parent: spec.parent.map(jr::model::RunId::to_u64),
            line: spec.line.as_ref().map(bytes),
            fail_fast: spec.fail_fast,
            retry: spec.retry.map(|retry| {
                let Backoff { first_ms, max_ms, factor_percent, jitter_percent } = retry.backoff;
                (retry.times, (first_ms, max_ms, factor_percent, jitter_percent))
            }),
            ok_codes: spec.ok_codes.clone(),
            after: spec.after.iter().map(|after| (after.run.to_u64(), Condition::Any)).collect(),
            lock: spec.lock.as_ref().map(|lock| (lock.name.to_string(), LockBusy::Skip)),
            on_interrupt: OnInterrupt::Fail,
            tty: spec.tty.map(|size| (size.rows, size.columns)),
            capture: Capture::File,
            limits: (spec.limits.cpu_millis, spec.limits.memory_bytes, spec.limits.pids),
            variable_files: spec.variable_files.iter().map(|(n, p)| (bytes(n), bytes(p))).collect(),
            config: spec.config.map(|digest| digest.0),
            of_service: (None, None, spec.user.clone()),
            commit: spec.commit.map(Commit::of),
        };
        let written = wincode::config::serialize(&theirs, config).expect("writes");
        assert_eq!(to_hex(&written), to_hex(&ours), "{number}");
        let read: Admitted = wincode::config::deserialize(&ours, config).expect("reads");
        assert_eq!(read, theirs);
    }
    for (number, status) in [
        (0_u8, Status::Exited(-70_000)),
        (1, Status::Signalled(9)),
        (2, Status::TimedOut(Last::Exited(1))),
        (3, Status::TimedOut(Last::Signalled(15))),
    ] {
        let theirs = Ended {
            run: u64::MAX >> 4,
            attempt: 300,
            status,
            at_ms: -5_000_000_000,
            duration_ms: Some(250),
            usage: number.is_multiple_of(2).then_some((251, 65_535, 65_536)),
            strays: 0,
            survivors: vec![1, 4_000_000],
            output: Some((u64::MAX, 0, Some([number; 32]), None)),
        };
        let written = wincode::config::serialize(&theirs, config).expect("writes");
        let ours: versions::v1::AttemptEnded = codec::decode(&written).expect("reads");
        assert_eq!(to_hex(&codec::encode(&ours)), to_hex(&written));
        assert_eq!((ours.end.at_ms, ours.attempt), (-5_000_000_000, 300));
    }
}

/// Bytes of released versions read as they always did. `JR_BLESS=1` writes them, once, for a new
/// version; files that are there are only ever replaced before a release.
#[test]
fn golden_records_of_format_1_read_as_ever() {
    let mut stored = String::new();
    let mut meaning = String::new();
    let mut previous = jr::log::chain::GENESIS;
    for envelope in sample() {
        let mut bytes = Vec::new();
        previous = write(&envelope, previous, &mut bytes).0;
        writeln!(stored, "{}", to_hex(&bytes)).expect("a String takes all");
        writeln!(meaning, "{envelope:?}").expect("a String takes all");
    }
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let files = ["v1-records.hex", "v1-events.txt"].map(|name| format!("{directory}/{name}"));
    if std::env::var_os("JR_BLESS").is_some() {
        std::fs::write(&files[0], &stored).expect("writes");
        std::fs::write(&files[1], &meaning).expect("writes");
    }
    let [golden, golden_meaning] = files.map(|file| std::fs::read_to_string(file).expect("reads"));
    let mut previous = jr::log::chain::GENESIS;
    let mut read = String::new();
    for line in golden.lines() {
        let bytes = from_hex(line).expect("hexadecimal");
        let record = Record::parse(&bytes).expect("parses");
        record.verify(previous).expect("verifies");
        previous = record.hash;
        let content = record.content.expect("whole");
        let event = record.event().expect("decodes").expect("whole");
        let (seq, time, cause) = (record.seq, content.time, content.cause);
        writeln!(read, "{:?}", Envelope { seq, time, cause, event }).expect("a String takes all");
    }
    assert_eq!(read, golden_meaning);
    assert_eq!(stored, golden, "what is written is what always was");
}

/// What nothing writes any more: of each, the chain's hash before it and the record.
#[test]
fn what_was_of_version_1_is_lifted() {
    for name in ["v1-admissions", "v1-holds"] {
        let file =
            |kind: &str| format!("{}/tests/golden/{name}.{kind}", env!("CARGO_MANIFEST_DIR"));
        let golden = std::fs::read_to_string(file("hex")).expect("reads");
        let mut read = String::new();
        for line in golden.lines() {
            let (before, bytes) = line.split_once(' ').expect("two words");
            let bytes = from_hex(bytes).expect("hexadecimal");
            let record = Record::parse(&bytes).expect("parses");
            record.verify(before.parse().expect("a digest")).expect("verifies");
            assert_eq!(record.shape.version, 1);
            let event = record.event().expect("decodes").expect("whole");
            writeln!(read, "{event:?}").expect("a String takes all");
        }
        if std::env::var_os("JR_BLESS").is_some() {
            std::fs::write(file("txt"), &read).expect("writes");
        }
        assert_eq!(read, std::fs::read_to_string(file("txt")).expect("reads"));
    }
}

#[test]
fn the_documentation_lists_the_kinds_of_the_code() {
    let text = include_str!("../docs/log-format.md");
    let rows = text.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| ")?.split(" | ").collect();
        let [number, name, versions] = cells[..] else { return None };
        Some((number.parse::<u16>().ok()?, name.to_owned(), versions.trim_end_matches(" |")))
    });
    let listed: Vec<_> = rows.map(|(number, name, text)| (number, name, text.to_owned())).collect();
    let known = versions::KINDS.iter().map(|line| {
        let versions: Vec<_> = line.versions.iter().map(ToString::to_string).collect();
        let versions =
            if versions.is_empty() { "reserved".to_owned() } else { versions.join(", ") };
        (line.number, format!("`{}`", line.name), versions)
    });
    assert_eq!(listed, known.collect::<Vec<_>>());
}
