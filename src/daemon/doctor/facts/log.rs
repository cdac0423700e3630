//! The log as it lies there or as its daemon tells of it, and the views beside it.
//!
//! Of a long log the newest segment is read and verified, from the state with which it opens; all
//! of it only if that is asked for. While a daemon writes, its files are left alone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Depth;
use super::paths::{PathFacts, PathKind};
use crate::daemon::blobs::{self, BlobFacts};
use crate::daemon::client;
use crate::daemon::place::Place;
use crate::daemon::protocol::{LogVerified, PROTOCOL, VersionReply};
use crate::daemon::start;
use crate::limits;
use crate::log::{Blobs, Lock, LogError, Reader, Sharing, floor, segments, snapshot, verify};
use crate::model::{Digest, Event, Phase, RunId, State};
use crate::projections::query::{EventsQuery, PsQuery, Query, Question};
use crate::projections::stamp::{self, Stamp};
use crate::projections::view::{List, RunView};
use crate::runners::linux::clock;

/// Records of a daemon's log in which jumps of the clock are looked for.
const RECENT: u64 = 10_000;
/// Blobs that are looked for where not all of the log is verified.
const LOOKED_FOR: usize = 1_000;

/// Whence it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// There is no log.
    #[default]
    Absent,
    /// The files.
    Files,
    /// The daemon.
    Daemon,
    /// Somebody holds it and does not answer.
    Held,
}

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// Bytes are not what was written.
    #[default]
    Damaged,
    /// A newer jr wrote it.
    Newer,
    /// The system refuses.
    System,
    /// The environment was used, and its log is gone.
    Gone,
}

/// Why it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// Of which kind.
    pub kind: TroubleKind,
    /// What and where.
    pub message: String,
    /// The record.
    pub seq: Option<u64>,
    /// Something that is no file lies there.
    pub no_file: Option<String>,
}

/// The views' file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewsFacts {
    /// It was not looked at.
    #[default]
    Unseen,
    /// There is none.
    Missing,
    /// It cannot be read.
    Damaged(String),
    /// It says so.
    Stamp {
        /// The last record that it has.
        applied: u64,
        /// It was written by this version.
        is_current: bool,
        /// It was written since the machine started.
        is_of_this_boot: bool,
    },
}

/// An attempt that the log has as not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAttempt {
    /// Of which run.
    pub run: RunId,
    /// Which.
    pub attempt: u32,
    /// It was intended before the machine started.
    pub of_older_boot: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFacts {
    /// Whence it is known.
    pub source: Source,
    /// Why it cannot be read.
    pub trouble: Option<Trouble>,
    /// Files.
    pub segments: usize,
    /// Their bytes.
    pub file_bytes: u64,
    /// The first record that is there, pruned or not.
    pub first_seq: u64,
    /// The first record of the kept history.
    pub kept_from: u64,
    /// The last record.
    pub head: u64,
    /// Records from here on were verified.
    pub verified_from: Option<u64>,
    /// The pages of the files were verified too.
    pub pages_verified: bool,
    /// Highest time of any record.
    pub time_max_ms: Option<i64>,
    /// Jumps of the clock in the records that were read, in milliseconds.
    pub jumps_ms: Vec<i64>,
    /// The boot of the last daemon.
    pub boot: Option<String>,
    /// The last daemon did not end in good order.
    pub daemon_lives: bool,
    /// Runs that have not ended.
    pub live: usize,
    /// Of those, runs that have no process and wait for a daemon.
    pub waiting: usize,
    /// Attempts that have not ended.
    pub open: Vec<OpenAttempt>,
    /// A prune is under way.
    pub pruning: bool,
    /// What the records that were read name by digest; only whether it is there, unless all of the
    /// log was verified.
    #[serde(default)]
    pub blobs: BlobFacts,
    /// The views.
    pub views: ViewsFacts,
}

/// Runs that the log knows, for looking who is left; too many to be facts.
#[derive(Debug, Default)]
pub struct KnownRuns {
    /// Those that have not ended.
    pub live: BTreeSet<RunId>,
    /// All of the kept history, where all of that was read.
    pub all: Option<BTreeSet<RunId>>,
    /// Whose secrets are still needed, where that is known.
    pub secret_owners: Option<BTreeSet<RunId>>,
}

/// Looks.
pub fn gather(place: &Place, answers: bool, depth: Depth) -> (LogFacts, Option<KnownRuns>) {
    if answers {
        match of_daemon(place, depth) {
            Ok((facts, known)) => return (facts, Some(known)),
            Err(message) => {
                let kind = TroubleKind::System;
                let trouble = Trouble { kind, message, ..Trouble::default() };
                let (source, trouble) = (Source::Daemon, Some(trouble));
                return (LogFacts { source, trouble, ..LogFacts::default() }, None);
            }
        }
    }
    of_files(place, depth)
}

fn of_files(place: &Place, depth: Depth) -> (LogFacts, Option<KnownRuns>) {
    let mut facts = LogFacts::default();
    let lock = place.lock();
    let _held = match Lock::attempt(&lock, Sharing::Shared) {
        Ok(lock) => Some(lock),
        Err(LogError::Busy { .. }) => {
            facts.source = Source::Held;
            return (facts, None);
        }
        // Who is to check the lock says so; whoever holds a file that is not there harms nobody.
        Err(_) => None,
    };
    facts.views = views(place);
    let read = look_for(place).and_then(|is_there| {
        if is_there { read(place, depth, &mut facts).map(Some) } else { Ok(None) }
    });
    match read {
        Ok(known) => {
            facts.source = if known.is_some() { Source::Files } else { Source::Absent };
            // Without a log nothing lives.
            (facts, Some(known.unwrap_or_default()))
        }
        Err(trouble) => {
            facts.source = Source::Files;
            facts.trouble = Some(trouble);
            (facts, None)
        }
    }
}

/// Whether there is a log; `Err` if there should be one.
fn look_for(place: &Place) -> Result<bool, Trouble> {
    let directory = place.log();
    let of = |kind, message| Trouble { kind, message, ..Trouble::default() };
    let found = segments::list(&directory);
    let floor = directory.join(floor::NAME);
    for path in found.iter().flatten().map(|(_, path)| path).chain([&floor]) {
        // A FIFO would wait for its other end.
        let found = PathFacts::of(path);
        match found.kind {
            PathKind::File | PathKind::Missing => {}
            PathKind::Hidden => {
                let why = found.problem.unwrap_or_default();
                return Err(of(TroubleKind::System, format!("{}: {why}", found.path)));
            }
            PathKind::Directory | PathKind::Socket | PathKind::DeadLink | PathKind::Other => {
                let trouble = of(TroubleKind::System, format!("{} is no file", found.path));
                return Err(Trouble { no_file: Some(found.path), ..trouble });
            }
        }
    }
    match found {
        Ok(found) if !found.is_empty() => Ok(true),
        Err(LogError::NotFound { .. }) | Ok(_) => match start::trace_of_log(place) {
            Some(trace) => {
                let (log, trace) = (directory.display(), trace.display());
                let message = format!("{log} is empty, but {trace} shows that there was a log");
                Err(of(TroubleKind::Gone, message))
            }
            None => Ok(false),
        },
        Err(error) => Err(error.into()),
    }
}

impl Trouble {
    fn of(message: String) -> Self {
        Self { kind: TroubleKind::Damaged, message, seq: None, no_file: None }
    }
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        let kind = match &error {
            LogError::Damaged { .. } | LogError::Panicked { .. } | LogError::Pruned { .. } => {
                TroubleKind::Damaged
            }
            LogError::Newer { .. } => TroubleKind::Newer,
            LogError::Io { .. }
            | LogError::OutOfSpace { .. }
            | LogError::Busy { .. }
            | LogError::NotFound { .. }
            | LogError::Poisoned { .. }
            | LogError::Refused { .. } => TroubleKind::System,
        };
        Self { kind, message: error.to_string(), seq: error.seq(), no_file: None }
    }
}

/// Reads and verifies; what was found before an error stays in the facts.
fn read(place: &Place, depth: Depth, facts: &mut LogFacts) -> Result<KnownRuns, Trouble> {
    let reader = Reader::open(&place.log())?;
    let files = reader.files();
    facts.segments = files.len();
    facts.file_bytes = reader.file_bytes();
    facts.first_seq = reader.first_seq();
    facts.kept_from = reader.kept_from();
    facts.head = reader.head()?.seq;
    if depth.whole_log {
        verify::verify(&place.log())?;
        facts.pages_verified = true;
    }
    let newest = files.last().map_or(1, |(first, _)| *first);
    let from = if depth.whole_log { facts.kept_from } else { newest.max(facts.kept_from) };
    let saved = reader.snapshot_before(from)?;
    let mut state = snapshot::decode(&place.log(), &saved.bytes)?;
    let mut all: BTreeSet<RunId> = state.runs.keys().copied().collect();
    all.extend(reader.floor().iter().flat_map(|floor| floor.kept.iter().copied()));
    let mut named: BTreeSet<Digest> = BTreeSet::new();
    let begin = saved.head.seq + 1;
    let mut last = saved.head.seq;
    for envelope in reader.events(begin)? {
        let envelope = envelope?;
        state.apply(&envelope).map_err(|error| Trouble {
            kind: TroubleKind::Damaged,
            message: format!("record {}: {error}", envelope.seq),
            seq: Some(envelope.seq),
            no_file: None,
        })?;
        named.extend(blobs::named_by(&envelope.event));
        match &envelope.event {
            Event::RunAdmitted { run, .. } => {
                all.insert(*run);
            }
            Event::ClockJumped { by_ms } => facts.jumps_ms.push(*by_ms),
            _ => {}
        }
        last = envelope.seq;
    }
    if depth.whole_log {
        let examined = blobs::examine(&reader, &place.blobs());
        facts.blobs = examined.map_err(|error| Trouble::of(error.to_string()))?;
    } else {
        named.extend(state.config.config);
        named.extend(state.runs.values().filter_map(|run| run.spec.variables));
        let kept = Blobs::new(&place.blobs());
        for digest in named.into_iter().take(LOOKED_FOR) {
            facts.blobs.note(digest, if kept.has(digest) { Ok(()) } else { Err("is missing") });
        }
    }
    facts.verified_from = (last >= begin).then_some(if depth.whole_log { 1 } else { begin });
    note(facts, &state);
    let owners = state.runs.values().filter_map(|run| run.spec.secrets);
    let owners = owners.chain(state.services.secret_owners()).collect();
    Ok(KnownRuns {
        live: state.runs.keys().copied().collect(),
        all: (begin <= facts.kept_from).then_some(all),
        secret_owners: Some(owners),
    })
}

fn note(facts: &mut LogFacts, state: &State) {
    facts.time_max_ms = (state.seq > 0).then_some(state.time_max.0);
    facts.boot = (state.seq > 0).then(|| state.boot.to_string());
    facts.daemon_lives = state.daemon_lives;
    facts.live = state.runs.len();
    facts.waiting = state
        .runs
        .values()
        .filter(|run| !run.attempt_lives && matches!(run.phase, Phase::Queued | Phase::Delayed))
        .count();
    let open = state.runs.values().filter(|run| run.attempt_lives);
    facts.open = open
        .map(|run| OpenAttempt {
            run: run.id,
            attempt: run.attempt,
            of_older_boot: state.older_boot.contains(&run.id),
        })
        .collect();
    facts.pruning = state.pruning.is_some();
}

fn views(place: &Place) -> ViewsFacts {
    let path = place.views();
    match PathFacts::of(&path).kind {
        PathKind::Missing => ViewsFacts::Missing,
        PathKind::File => match (stamp::read(&path), clock::boot_id().ok()) {
            (Ok(Some(Stamp { applied, is_current, boot })), own) => {
                let is_of_this_boot = own == Some(boot);
                ViewsFacts::Stamp { applied, is_current, is_of_this_boot }
            }
            (Ok(None), _) => ViewsFacts::Missing,
            (Err(error), _) => ViewsFacts::Damaged(error.to_string()),
        },
        PathKind::Directory
        | PathKind::Socket
        | PathKind::DeadLink
        | PathKind::Other
        | PathKind::Hidden => ViewsFacts::Damaged(format!("{} is no file", path.display())),
    }
}

/// What a daemon tells of its log. It is asked nothing that would replace it, as other commands do
/// with an older one.
fn of_daemon(place: &Place, depth: Depth) -> Result<(LogFacts, KnownRuns), String> {
    let limit = |whole: bool| (!whole).then_some(limits::DOCTOR_LOG_MS);
    let ask = |path: &str, body: &Value, limit_ms| -> Result<Vec<u8>, String> {
        let method = if body.is_null() { "GET" } else { "POST" };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = client::ask_any_version_within(place, method, path, &body, limit_ms);
        let answer = answer.map_err(|error| error.to_string())?;
        answer.ok_or_else(|| "the daemon ended meanwhile".to_owned())
    };
    let version: VersionReply = parse(&ask("/v1/version", &Value::Null, limit(false))?)?;
    let mut facts = LogFacts { source: Source::Daemon, head: version.seq, ..LogFacts::default() };
    facts.daemon_lives = true;
    facts.live = version.live;
    if version.protocol != PROTOCOL {
        return Err(format!("the daemon speaks protocol {}", version.protocol));
    }
    let question = |query: Query| {
        serde_json::to_value(Question::from(query)).map_err(|error| error.to_string())
    };
    let events = Query::Events(EventsQuery {
        from: Some(version.seq.saturating_sub(RECENT).max(1)),
        kind: Some("clock_jumped".to_owned()),
        ..EventsQuery::default()
    });
    // A place that was pruned is no trouble: then nothing recent jumped.
    if let Ok(bytes) = ask("/v1/read", &question(events)?, limit(false)) {
        let found: Value = parse(&bytes)?;
        let items = found["items"].as_array().into_iter().flatten();
        facts.jumps_ms = items.filter_map(|item| item["by_ms"].as_i64()).collect();
    }
    let runs = ask("/v1/read", &question(Query::Ps(PsQuery::default()))?, limit(false))?;
    let runs: List<RunView> = parse(&runs)?;
    facts.live = runs.items.len();
    if depth.whole_log {
        let empty = Value::Object(serde_json::Map::new());
        let verified: LogVerified = parse(&ask("/v1/log/verify", &empty, limit(true))?)?;
        // All that is there, whatever the first one is.
        (facts.first_seq, facts.verified_from) = (1, Some(1));
        (facts.segments, facts.head) = (verified.segments, verified.seq);
        facts.pages_verified = verified.pages_checked;
        facts.blobs = verified.blobs;
    }
    let live = runs.items.iter().filter_map(|run| run.run_id.parse().ok()).collect();
    Ok((facts, KnownRuns { live, all: None, secret_owners: None }))
}

fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}
