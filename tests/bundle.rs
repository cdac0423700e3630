//! Debug bundles: what is written reads back and folds to the same; nothing else is believed.

#[path = "support/views_world.rs"]
mod world;

#[path = "support/views_oracle.rs"]
mod oracle;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use jr::bundle::layout::{FORMAT, Header, OutputName, OutputPart, Redactions};
use jr::bundle::{Bundle, BundleError, Writer};
use jr::log::part::{Frames, Origin, Part, take};
use jr::log::record::Record;
use jr::log::{Reader, SegmentHeader, Store};
use jr::model::{BootId, Digest, Envelope, Now, RunId, UnixMillis};
use jr::projections::digest::Folding;
use jr::projections::query::{Document, QueryError, Question};
use jr::projections::{LogSource, Stored, Views, Where, answer};
use proptest::prelude::*;
use world::World;

const BOOT: BootId = BootId([7; 16]);
const SEAL: usize = 48;

fn script(seed: u64, steps: u64) -> Vec<u64> {
    (1..steps).map(|n| (n ^ (seed << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
}

/// A log on disk with the events of a script.
fn log_of(script: &[u64], directory: &Path) -> (Store, Vec<Envelope>) {
    let envelopes = World::play(script);
    let header = SegmentHeader::first("local".parse().expect("a name"));
    let mut store = Store::create(&directory.join("log"), &header, &[]).expect("makes a log");
    for piece in envelopes.chunks(50) {
        store.append(piece).expect("appends");
    }
    (store, envelopes)
}

fn header(first_seq: u64, head_seq: u64) -> Header {
    Header {
        format: FORMAT,
        jr: "0.0.0".to_owned(),
        environment: "local".to_owned(),
        first_seq,
        head_seq,
        run_id: None,
        has_output: true,
    }
}

/// Records of a log as a bundle, with one of everything.
fn bundle(reader: &Reader, first: u64, path: &Path) {
    let last = reader.head().expect("a head").seq;
    let mut writer = Writer::create(path, &header(first, last)).expect("begins");
    let origin = take(reader, Part::Origin { first }).expect("reads");
    let origin = Origin::decode(path, first - 1, &origin).expect("decodes");
    writer.origin(&origin).expect("writes");
    let mut folding = Folding::new();
    let (mut seq, mut hash) = (origin.head.seq, origin.head.hash);
    folding.begin(origin.state);
    while seq < last {
        // A few in each member.
        let to = last.min(seq + 20);
        let frames = take(reader, Part::Records { from: seq + 1, to }).expect("reads");
        for frame in Frames::new(&frames) {
            let record = Record::parse(frame.expect("whole")).expect("a record");
            let stored = reader.get(record.seq).expect("reads").expect("is there");
            folding.take(&Stored { envelope: stored, hash: record.hash }).expect("folds");
            (seq, hash) = (record.seq, record.hash);
        }
        writer.records(&frames).expect("writes");
    }
    writer.blob(digest(b"A=1"), b"A=1").expect("writes");
    writer.blob(digest(b""), b"").expect("writes");
    let name = OutputName { run: RunId::from_chance(1), attempt: 1, part: OutputPart::Out };
    writer.output(name, b"printed\n").expect("writes");
    writer.redactions(&Redactions::default()).expect("writes");
    writer.facts("host.json", b"{}\n").expect("writes");
    writer.finish(hash, &folding.digests()).expect("seals");
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

fn ask(question: &Question, views: &Views, log: &dyn LogSource) -> Result<Document, QueryError> {
    let output = |run, attempt| PathBuf::from(format!("/output/{run}.{attempt}"));
    let variables = |_| Ok(Vec::new());
    let text = |_: jr::model::Digest| Err("gone".to_owned());
    let place = Where { environment: "local", output: &output, variables: &variables, text: &text };
    answer(question, views, log, &place, Now { wall: UnixMillis(10_000_000), boottime_ms: 0 })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// From any record on, a bundle answers as the log does, and is the same whenever it is made.
    #[test]
    fn a_bundle_answers_as_the_log_does(
        script in proptest::collection::vec(any::<u64>(), 1..120),
        cut in any::<u16>(),
    ) {
        let directory = tempfile::tempdir().expect("makes");
        let (store, envelopes) = log_of(&script, directory.path());
        let reader = store.reader();
        let first = 1 + u64::from(cut) % envelopes.len() as u64;
        let (one, other) = (directory.path().join("one.jrb"), directory.path().join("other.jrb"));
        bundle(&reader, first, &one);
        bundle(&reader, first, &other);
        let bytes = std::fs::read(&one).expect("reads");
        prop_assert!(bytes == std::fs::read(&other).expect("reads"), "not the same bytes");
        let opened = Bundle::open(&one).expect("opens");
        prop_assert_eq!(opened.check_projections().expect("folds to the same").len(), 2);
        prop_assert_eq!(opened.len(), envelopes.len() as u64 - first + 1);
        for seq in 0..=envelopes.len() as u64 + 1 {
            let found = LogSource::get(&opened, seq);
            if (1..first).contains(&seq) {
                prop_assert!(found.is_err());
            } else {
                prop_assert_eq!(found, LogSource::get(&reader, seq), "{}", seq);
            }
        }
        let here = Views::in_memory(BOOT, &opened).expect("folds");
        let there = Views::in_memory(BOOT, &reader).expect("folds");
        prop_assert_eq!(here.state(), there.state());
        if first == 1 {
            let records: Vec<Stored> = (1..=envelopes.len() as u64)
                .map(|seq| LogSource::get(&reader, seq).expect("reads").expect("is there"))
                .collect();
            for question in oracle::questions(&records) {
                prop_assert_eq!(
                    ask(&question, &here, &opened),
                    ask(&question, &there, &reader),
                    "{:?}", question
                );
            }
        }
    }
}

#[test]
fn everything_in_it_reads_back() {
    let directory = tempfile::tempdir().expect("makes");
    let (store, _) = log_of(&script(3, 60), directory.path());
    let path = directory.path().join("x.jrb");
    bundle(&store.reader(), 1, &path);
    assert!(!directory.path().join("x.jrb.tmp").exists());
    let opened = Bundle::open(&path).expect("opens");
    assert_eq!(opened.blob(digest(b"A=1")).expect("reads"), Some(b"A=1".to_vec()));
    assert_eq!(opened.blob(digest(b"")).expect("reads"), Some(Vec::new()));
    assert_eq!(opened.blob(digest(b"B")).expect("reads"), None);
    let run = RunId::from_chance(1);
    let out = OutputName { run, attempt: 1, part: OutputPart::Out };
    assert_eq!(opened.output(out).expect("reads"), Some(b"printed\n".to_vec()));
    let err = OutputName { part: OutputPart::Err, ..out };
    assert_eq!(opened.output(err).expect("reads"), None);
    assert_eq!(opened.fact("host.json").expect("reads"), Some(b"{}\n".to_vec()));
}

#[test]
fn no_flipped_byte_and_no_cut_is_believed() {
    let directory = tempfile::tempdir().expect("makes");
    let (store, _) = log_of(&script(5, 25), directory.path());
    let path = directory.path().join("x.jrb");
    bundle(&store.reader(), 1, &path);
    let good = std::fs::read(&path).expect("reads");
    let bad = directory.path().join("bad.jrb");
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&bad, bytes).expect("writes");
        let opened = catch_unwind(AssertUnwindSafe(|| Bundle::open(&bad).map(drop)));
        assert!(opened.expect("no panic").is_err(), "{what}");
    };
    for at in 0..good.len() {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        refused(&bytes, &format!("byte {at}"));
    }
    for cut in (0..good.len()).step_by(7).chain([good.len() - 1, good.len() - SEAL]) {
        refused(&good[..cut], &format!("cut at {cut}"));
    }
    refused(&[&good[..], b"x"].concat(), "a byte more");
    refused(&[&good[..], &good[..]].concat(), "twice");
}

/// The archive of a bundle, decompressed.
fn archive(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).expect("reads");
    zstd::stream::decode_all(&bytes[..bytes.len() - SEAL]).expect("decompresses")
}

/// What somebody else might compress and seal.
fn sealed(archive: &[u8]) -> Vec<u8> {
    sealed_body(zstd::stream::encode_all(archive, 1).expect("compresses"))
}

fn sealed_body(mut bytes: Vec<u8>) -> Vec<u8> {
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(&0x184D_2A5A_u32.to_le_bytes());
    bytes.extend_from_slice(&40_u32.to_le_bytes());
    bytes.extend_from_slice(b"jrbseal1");
    bytes.extend_from_slice(hash.as_bytes());
    bytes
}

fn opened(bytes: &[u8], directory: &Path) -> Result<Bundle, BundleError> {
    let path = directory.join("hostile.jrb");
    std::fs::write(&path, bytes).expect("writes");
    Bundle::open(&path)
}

#[test]
fn a_resealed_change_is_found_in_members_manifest_or_chain() {
    let directory = tempfile::tempdir().expect("makes");
    let (store, _) = log_of(&script(9, 30), directory.path());
    let path = directory.path().join("x.jrb");
    bundle(&store.reader(), 1, &path);
    let good = archive(&path);
    assert!(opened(&sealed(&good), directory.path()).is_ok(), "the control");
    for at in (0..good.len()).step_by(11) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        let found = catch_unwind(AssertUnwindSafe(|| opened(&sealed(&bytes), directory.path())));
        let found = found.expect("no panic");
        // What the manifest says of itself, and how its text is laid out, vouches for nothing.
        let manifest = good.windows(13).rposition(|part| part == b"manifest.json").expect("there");
        assert!(found.is_err() || at > manifest, "byte {at}");
    }
    for cut in (0..good.len()).step_by(509) {
        assert!(opened(&sealed(&good[..cut]), directory.path()).is_err(), "cut at {cut}");
    }
}

/// A member as tar writes it; what a header says can be anything.
fn member(name: &str, kind: u8, length: u64, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(b"0000600\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(format!("{length:011o}\0").as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].copy_from_slice(b"        ");
    header[156] = kind;
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = (512 - content.len() % 512) % 512;
    [&header[..], content, &vec![0; padding]].concat()
}

#[test]
fn hostile_archives_are_refused_and_nothing_is_written_beside_them() {
    let directory = tempfile::tempdir().expect("makes");
    let (store, _) = log_of(&script(2, 20), directory.path());
    let path = directory.path().join("x.jrb");
    bundle(&store.reader(), 1, &path);
    let good = archive(&path);
    let end = [0_u8; 1024];
    let with = |member: Vec<u8>| [&good[..good.len() - 1024], &member, &end].concat();
    let first = |member: Vec<u8>| [&member[..], &good].concat();
    let cases = [
        ("traversal", with(member("../../etc/cron.d/x", b'0', 1, b"x"))),
        ("an absolute name", with(member("/etc/passwd", b'0', 1, b"x"))),
        ("a symbolic link", with(member("facts/link", b'2', 0, b""))),
        ("a hard link", with(member("facts/link", b'1', 0, b""))),
        ("a device", with(member("facts/null", b'3', 0, b""))),
        ("a directory", with(member("facts/dir/", b'5', 0, b""))),
        ("a long name of GNU tar", with(member("././@LongLink", b'L', 4, b"name"))),
        ("a header of PAX", first(member("PaxHeaders/x", b'x', 11, b"11 size=99\n"))),
        ("a member twice", first(good[..512].to_vec())),
        ("another case", with(member("Facts/host.json", b'0', 2, b"{}"))),
        ("a member in another place", with(member("facts/aaa", b'0', 1, b"x"))),
        ("a huge length", first(member("bundle.json", b'0', 1 << 32, b"{}"))),
        ("something behind the end", [&good[..], b"x"].concat()),
        ("no end", good[..good.len() - 1024].to_vec()),
        ("nothing", end.to_vec()),
        ("no archive", b"hello".to_vec()),
    ];
    for (what, archive) in cases {
        let found = opened(&sealed(&archive), directory.path());
        assert!(found.is_err(), "{what}");
    }
    // Frames behind the archive.
    let two = [zstd::stream::encode_all(&good[..], 1).expect("compresses"), {
        zstd::stream::encode_all(&b"more"[..], 1).expect("compresses")
    }];
    assert!(opened(&sealed_body(two.concat()), directory.path()).is_err(), "two frames");
    assert!(opened(&sealed_body(Vec::new()), directory.path()).is_err(), "no frame");
    let mut names: Vec<_> = std::fs::read_dir(directory.path()).expect("reads").flatten().collect();
    names.retain(|entry| {
        !["log", "x.jrb", "hostile.jrb"].iter().any(|name| entry.file_name() == *name)
    });
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_bomb_is_defused_early() {
    let directory = tempfile::tempdir().expect("makes");
    let content = vec![0; 200 << 20];
    let bomb =
        [member("bundle.json", b'0', content.len() as u64, &content), vec![0; 1024]].concat();
    let bytes = sealed(&bomb);
    assert!(bytes.len() < 1 << 20, "it is small");
    let error = opened(&bytes, directory.path()).map(drop).expect_err("refused");
    assert!(matches!(error, BundleError::TooLarge { .. }), "{error}");
    // Many members, each of them empty.
    let mut many = Vec::new();
    for number in 0..120_000 {
        many.extend(member(&format!("records/{number:08}"), b'0', 0, b""));
    }
    let error = opened(&sealed(&many), directory.path()).map(drop).expect_err("refused");
    assert!(matches!(error, BundleError::TooLarge { of: "members", .. }), "{error}");
    // More memory than a decompressor may take.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("begins");
    encoder.window_log(30).expect("takes it");
    encoder.write_all(&[7; 4096]).expect("compresses");
    let wide = encoder.finish().expect("ends");
    assert!(opened(&sealed_body(wide), directory.path()).is_err(), "a wide window");
}

#[test]
fn what_a_newer_jr_made_is_told_as_such() {
    let directory = tempfile::tempdir().expect("makes");
    let path = directory.path().join("x.jrb");
    let newer = Header { format: FORMAT + 1, ..header(1, 0) };
    let mut writer = Writer::create(&path, &newer).expect("begins");
    writer.origin(&Origin::genesis()).expect("writes");
    writer.redactions(&Redactions::default()).expect("writes");
    let nothing = Folding::new().digests();
    writer.finish(Digest([0; 32]), &nothing).expect("seals");
    let error = Bundle::open(&path).map(drop).expect_err("refused");
    assert!(matches!(error, BundleError::Newer(2)), "{error}");
}

#[test]
fn another_fold_is_found() {
    let directory = tempfile::tempdir().expect("makes");
    let path = directory.path().join("x.jrb");
    let (store, _) = log_of(&script(4, 30), directory.path());
    bundle(&store.reader(), 1, &path);
    let good = archive(&path);
    let text = b"\"state@1\": \"";
    let at = good.windows(text.len()).position(|part| part == text).expect("is there") + text.len();
    let mut bytes = good;
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    let opened = opened(&sealed(&bytes), directory.path()).expect("its records are whole");
    let error = opened.check_projections().expect_err("differs");
    assert!(matches!(&error, BundleError::Projection { name, .. } if name == "state@1"), "{error}");
}
