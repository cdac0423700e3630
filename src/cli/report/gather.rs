//! Reads a part of the log, record by record, and notes what it refers to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::bundle::Writer;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::log::part::{FRAMES_BYTES, Frames, Origin, Part};
use crate::log::record::Record;
use crate::model::secret::is_marked;
use crate::model::{ByteString, Digest, Envelope, Event, Outcome, Run, RunId, UnixMillis};
use crate::projections::Stored;
use crate::projections::digest::Folding;

/// The first and the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

/// What the records come to, and what belongs to them.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The chain's hash at the last record.
    pub head_hash: Digest,
    /// What each projection comes to.
    pub projections: BTreeMap<String, Digest>,
    /// Variables of its runs.
    pub blobs: BTreeSet<Digest>,
    /// Its runs: attempts, and the run that each came from.
    pub runs: BTreeMap<RunId, Seen>,
    /// What ended otherwise than it should.
    pub failed: Failed,
}

/// So many failures are named.
pub const FAILURES: usize = 5;

/// Runs that ended otherwise than they should; what was cancelled never began.
#[derive(Debug, Default)]
pub struct Failed {
    /// How many.
    pub count: u64,
    /// The last [`FAILURES`] of them to end, in that order.
    pub last: VecDeque<RunId>,
}

impl Failed {
    fn note(&mut self, run: RunId, outcome: Outcome) {
        if outcome.is_success() || matches!(outcome, Outcome::Cancelled(_)) {
            return;
        }
        self.count += 1;
        if self.last.len() == FAILURES {
            self.last.pop_front();
        }
        self.last.push_back(run);
    }
}

/// A run that records tell of.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its latest attempt.
    pub attempts: u32,
    /// What it came from.
    pub parent: Option<RunId>,
    /// Under whose id its secrets were kept.
    pub secrets: Option<RunId>,
    /// Whether one of them stood in its command.
    pub is_marked: bool,
    /// Its variables.
    pub variables: Option<Digest>,
    /// Files that its secrets were read from.
    pub files: Vec<ByteString>,
    /// Since when.
    pub since: UnixMillis,
}

/// The records that there are.
///
/// # Errors
/// There is no log, or it cannot be read.
pub fn extent(context: &Context) -> Result<Extent, CommandError> {
    let bytes = context.part(Part::Extent)?;
    let number = |at: usize| bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok());
    match (number(0), number(8)) {
        (Some(first), Some(last)) => {
            Ok(Extent { first: u64::from_le_bytes(first), last: u64::from_le_bytes(last) })
        }
        _ => Err(malformed("the extent of the log")),
    }
}

/// Copies the records of `extent` and what comes before them; `first_kept` is where the history
/// begins.
///
/// # Errors
/// The log cannot be read, or the bundle not be written.
pub fn gather(
    extent: Extent,
    first_kept: u64,
    writer: &mut Writer,
    context: &Context,
) -> Result<Gathered, CommandError> {
    let path = context.place.log();
    let failed = |error| CommandError::of_bundle(&path, &error);
    let origin = context.part(Part::Origin { first: extent.first })?;
    let origin = Origin::decode(&path, extent.first - 1, &origin)
        .map_err(|error| CommandError::new("log", exit::FAILED, error.to_string()))?;
    writer.origin(&origin).map_err(failed)?;
    let mut gathered = Gathered::default();
    let mut folding = Folding::new();
    if extent.first == first_kept {
        let kept = context.part(Part::Kept { first: first_kept })?;
        for piece in pieces(&kept) {
            each(piece, &mut |stored| {
                gathered.note(&stored.envelope);
                folding.take_kept(&stored)
            })?;
            writer.kept(piece).map_err(failed)?;
        }
    }
    origin.state.runs.values().for_each(|run| gathered.note_run(run));
    gathered.blobs.extend(origin.state.config.config);
    let mut head = origin.head;
    folding.begin(origin.state);
    while head.seq < extent.last {
        let part = Part::Records { from: head.seq + 1, to: extent.last };
        let frames = context.part(part)?;
        let before = head.seq;
        each(&frames, &mut |stored| {
            head.seq = stored.envelope.seq;
            head.hash = stored.hash;
            gathered.note(&stored.envelope);
            folding.take(&stored)
        })?;
        if head.seq == before {
            return Err(malformed("a part of the log"));
        }
        writer.records(&frames).map_err(failed)?;
        if context.ui.shows_progress() {
            let done = head.seq - extent.first + 1;
            let all = extent.last - extent.first + 1;
            context.ui.progress(&format!("{done} of {all} records"));
        }
    }
    if context.ui.shows_progress() {
        context.ui.progress("");
    }
    gathered.head_hash = head.hash;
    gathered.projections = folding.digests();
    Ok(gathered)
}

/// Frames that are kept come all at once.
fn pieces(frames: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut start, mut end) = (Vec::new(), 0, 0);
    for frame in Frames::new(frames) {
        let length = 4 + frame.map_or(0, <[u8]>::len);
        if end > start && end - start + length > FRAMES_BYTES {
            pieces.push(&frames[start..end]);
            start = end;
        }
        end = (end + length).min(frames.len());
    }
    if end > start {
        pieces.push(&frames[start..end]);
    }
    pieces
}

/// Takes each record of these frames.
///
/// # Errors
/// One cannot be read, or was pruned.
pub fn each(
    frames: &[u8],
    take: &mut dyn FnMut(Stored) -> Result<(), crate::projections::ViewsError>,
) -> Result<(), CommandError> {
    for frame in Frames::new(frames) {
        let record = frame.and_then(|frame| Record::parse(frame).ok());
        let record = record.ok_or_else(|| malformed("a part of the log"))?;
        let event = record.event().map_err(|error| {
            let message = format!("record {} cannot be read: {error:?}", record.seq);
            CommandError::new("log", exit::FAILED, message).hint("jr log verify")
        })?;
        let Some((event, content)) = event.zip(record.content) else {
            let message = format!("record {} was pruned meanwhile", record.seq);
            return Err(CommandError::new("busy", exit::BUSY, message).hint("try again"));
        };
        let (seq, hash) = (record.seq, record.hash);
        let envelope = Envelope { seq, time: content.time, cause: content.cause, event };
        take(Stored { envelope, hash }).map_err(|error| {
            CommandError::new("log", exit::FAILED, error.to_string()).hint("jr log verify")
        })?;
    }
    Ok(())
}

impl Gathered {
    fn note(&mut self, envelope: &Envelope) {
        if let Some(run) = Run::admitted(envelope) {
            self.note_run(&run);
        }
        if let Event::AttemptIntended { run, attempt, .. } = &envelope.event {
            self.runs.entry(*run).or_default().attempts = *attempt;
        }
        if let Event::ConfigResolved { resolution } = &envelope.event {
            self.blobs.extend(resolution.config);
        }
        if let Event::RunEnded { run, outcome } = &envelope.event {
            self.failed.note(*run, *outcome);
        }
    }

    fn note_run(&mut self, run: &Run) {
        self.blobs.extend(run.spec.variables);
        self.blobs.extend(run.spec.config);
        let spec = &run.spec;
        let (parent, secrets, variables) = (spec.parent, spec.secrets, spec.variables);
        let is_marked = spec.command.iter().chain(&spec.line).any(is_marked);
        let files = spec.variable_files.iter().map(|(_, path)| path.clone()).collect();
        let (attempts, since) = (run.attempt, run.created_at);
        let seen = Seen { attempts, parent, secrets, is_marked, variables, files, since };
        self.runs.insert(run.id, seen);
    }

    /// A run and all that came from it.
    pub fn family(&self, of: RunId) -> BTreeSet<RunId> {
        let mut family = BTreeSet::from([of]);
        loop {
            let children = self
                .runs
                .iter()
                .filter(|(_, seen)| seen.parent.is_some_and(|parent| family.contains(&parent)));
            let children: Vec<RunId> = children.map(|(id, _)| *id).collect();
            let before = family.len();
            family.extend(children);
            if family.len() == before {
                return family;
            }
        }
    }
}

fn malformed(what: &str) -> CommandError {
    CommandError::new("protocol", exit::UNAVAILABLE, format!("{what} cannot be understood"))
        .hint("jr daemon status")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{RunReason, StopReason};

    #[test]
    fn the_last_failures_are_noted_whatever_was_cancelled_after_them() {
        let mut failed = Failed::default();
        for number in 0..7 {
            failed.note(RunId::from_chance(number), Outcome::Failed(RunReason::Code(3)));
        }
        for number in 7..40 {
            failed.note(RunId::from_chance(number), Outcome::Cancelled(StopReason::Asked));
            failed.note(RunId::from_chance(number + 100), Outcome::Succeeded);
        }
        assert_eq!(failed.count, 7);
        let last: Vec<_> = failed.last.into_iter().collect();
        let expected: Vec<_> = (2..7).map(RunId::from_chance).collect();
        assert_eq!(last, expected);
    }
}
