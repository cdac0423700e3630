//! Taking away what a prune lets go: docs/decisions/0010 has the order of the steps.
//!
//! ```text
//! Plan::new ─▶ lower the floor (the history begins there) ─▶ rewrite each sealed segment before it
//! ```
//! Every step can be the last one and can be done again. A segment is read and verified as it
//! lies, written under a temporary name, read back and verified, and only then takes the old
//! one's place.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::chain::Head;
use super::directory::{Boxed, Directory};
use super::error::{Damage, LogError};
use super::floor::Floor;
use super::memory::MemoryFolder;
use super::overlay::Overlay;
use super::reader::{self, Entry, Reader};
use super::record::Record;
use super::segment::{META, RECORDS, SPANS, Segment};
use super::segments::{self, SegmentHeader};
use super::span::Builder;
use super::store::publish;
use super::upcast::Shape;
use crate::model::{Envelope, Event, RunId};

/// What goes and what stays before a place of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first record of the history that is kept.
    pub before: u64,
    /// Runs that keep their records before it.
    pub kept: BTreeSet<RunId>,
    /// The floor until now: what it hides was counted when that was lowered.
    pub hidden: Option<Arc<Floor>>,
}

/// What was taken away, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Runs whose admission is among the records.
    pub runs: u64,
    /// Records.
    pub events: u64,
    /// Bytes of their payloads and what belongs to them.
    pub bytes: u64,
    /// Attempts that were intended there: whose output goes.
    pub attempts: Vec<(RunId, u32)>,
}

impl Taken {
    fn count(&mut self, cut: &Cut, record: &Record<'_>, event: &Event) {
        if let Event::AttemptIntended { run, attempt, .. } = event {
            self.attempts.push((*run, *attempt));
        }
        if cut.hides(record.seq, event) {
            return;
        }
        self.events += 1;
        self.runs += u64::from(matches!(event, Event::RunAdmitted { .. }));
        self.bytes += record.bytes.len() as u64;
    }
}

impl Cut {
    /// Whether a whole record goes. What is about no run goes: the state at the cut has it.
    pub fn takes(&self, seq: u64, event: &Event) -> bool {
        seq < self.before && event.run().is_none_or(|run| !self.kept.contains(&run))
    }

    /// Whether it went, for everybody who asks, with an earlier prune.
    fn hides(&self, seq: u64, event: &Event) -> bool {
        let Some(floor) = &self.hidden else { return false };
        seq < floor.seq && event.run().is_none_or(|run| !floor.kept.contains(&run))
    }

    /// The floor that makes it so.
    ///
    /// # Errors
    /// [`LogError::Pruned`] if the record before it is not kept any more.
    pub fn floor(&self, reader: &Reader, request: u64, state: Vec<u8>) -> Result<Floor, LogError> {
        let seq = self.before;
        let hash = match seq - 1 {
            0 => Head::GENESIS.hash,
            last => {
                let cursor = reader.cursor(last + 1)?;
                cursor.position().hash
            }
        };
        Ok(Floor { seq, request, hash, kept: self.kept.clone(), state })
    }
}

/// Lets the history begin at the floor; durable when it returns, and at one moment.
///
/// # Errors
/// [`LogError`]: it may be there or not.
pub fn lower(reader: &Reader, floor: Floor) -> Result<(), LogError> {
    if let Some(directory) = reader.directory() {
        floor.write(&**directory)?;
    }
    reader.set_floor(Arc::new(floor));
    Ok(())
}

/// The segments that lie before the cut, in whole or in part, oldest first. The hot one, which is
/// not rewritten, is named last if some of it does.
pub fn segments_before(reader: &Reader, before: u64) -> Vec<u64> {
    let all = reader.segments();
    all.iter().map(|entry| entry.first_seq).filter(|first| *first < before).collect()
}

/// Whether a segment is hot.
pub fn is_hot(reader: &Reader, first_seq: u64) -> bool {
    reader.segments().last().is_none_or(|hot| hot.first_seq == first_seq)
}

/// Hands over every record that was never pruned and lies before `before`, one segment after the
/// other, with its digest checked; goes on while it is told to.
///
/// # Errors
/// [`LogError`] of the first bad place.
pub fn each_whole(
    reader: &Reader,
    before: u64,
    take: &mut dyn FnMut(&Record<'_>, Envelope) -> bool,
) -> Result<(), LogError> {
    let all = reader.segments();
    for entry in all.iter().filter(|entry| entry.first_seq < before) {
        if !each_of(reader, entry, before, take)? {
            break;
        }
    }
    Ok(())
}

fn each_of(
    reader: &Reader,
    entry: &Arc<Entry>,
    before: u64,
    take: &mut dyn FnMut(&Record<'_>, Envelope) -> bool,
) -> Result<bool, LogError> {
    let segment = reader.segment(entry)?;
    let view = segment.view()?;
    let mut scan = view.scan_whole(entry.first_seq)?;
    while let Some((seq, stored)) = scan.next()? {
        if seq >= before {
            return Ok(true);
        }
        let record = reader::parse(&entry.file, seq, view.bytes(&stored)?)?;
        if record.content.is_none() {
            continue;
        }
        if !record.is_intact() {
            return Err(LogError::damaged_at(&entry.file, seq, Damage::Digest));
        }
        let envelope = reader::envelope(&entry.file, &record)?;
        if !take(&record, envelope) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What a cut takes of one segment, nothing being changed; `None` takes it of all.
///
/// # Errors
/// [`LogError`] of the first bad place.
pub fn survey(
    reader: &Reader,
    cut: &Cut,
    first_seq: Option<u64>,
    mut goes_on: impl FnMut() -> bool,
) -> Result<Taken, LogError> {
    let mut taken = Taken::default();
    let mut take = |record: &Record<'_>, envelope: Envelope| {
        if cut.takes(record.seq, &envelope.event) {
            taken.count(cut, record, &envelope.event);
        }
        goes_on()
    };
    match first_seq {
        None => each_whole(reader, cut.before, &mut take)?,
        Some(first_seq) => {
            let all = reader.segments();
            if let Some(entry) = all.iter().find(|entry| entry.first_seq == first_seq) {
                each_of(reader, entry, cut.before, &mut take)?;
            }
        }
    }
    Ok(taken)
}

/// Rewrites a sealed segment without what the cut takes of it. `gone` is told what that is before
/// the new file takes the place of the old one, so that what is named there only goes first.
/// `None`: there is nothing to take, or it was told to end.
///
/// # Errors
/// [`LogError`]: the segment is as it was.
pub fn rewrite(
    reader: &Reader,
    first_seq: u64,
    cut: &Cut,
    gone: &mut dyn FnMut(&Taken),
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Option<Taken>, LogError> {
    let Some(directory) = reader.directory() else { return Ok(None) };
    let Some(entry) = affected(reader, first_seq, cut)? else { return Ok(None) };
    let name = segments::segment_name(first_seq);
    let temporary = reader::temporary_name(&name);
    let written = write(reader, &entry, &**directory, &temporary, cut, goes_on);
    let Ok(Some((taken, head))) = written else {
        // It means nothing; if it stays, the next start removes it.
        let _stays = directory.remove(&temporary);
        return written.map(|_| None);
    };
    check(&**directory, &temporary, &entry, head)?;
    gone(&taken);
    publish(&**directory, &name)?;
    reader.replace(first_seq);
    Ok(Some(taken))
}

/// The segment, if the cut takes something of it.
fn affected(reader: &Reader, first_seq: u64, cut: &Cut) -> Result<Option<Arc<Entry>>, LogError> {
    let all = reader.segments();
    let Some(entry) = all.iter().find(|entry| entry.first_seq == first_seq) else {
        return Ok(None);
    };
    Ok(needs(reader, entry, cut)?.then(|| Arc::clone(entry)))
}

/// The first whole record that the cut takes says yes.
fn needs(reader: &Reader, entry: &Arc<Entry>, cut: &Cut) -> Result<bool, LogError> {
    let mut found = false;
    let view = reader.segment(entry)?.view()?;
    let has_snapshot = entry.first_seq < cut.before && view.optional_row("snapshot")?.is_some();
    drop(view);
    each_of(reader, entry, cut.before, &mut |record, envelope| {
        found = cut.takes(record.seq, &envelope.event);
        !found
    })?;
    Ok(found || has_snapshot)
}

/// Copies what stays, and what must, into a new file.
fn write(
    reader: &Reader,
    entry: &Arc<Entry>,
    directory: &dyn Directory,
    temporary: &str,
    cut: &Cut,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Option<(Taken, Head)>, LogError> {
    let made = directory.create(temporary);
    let made = made.map_err(|error| LogError::io(&entry.file, "create", error))?;
    let old = reader.segment(entry)?;
    let view = old.view()?;
    let head = view.head()?;
    let mut segment = Segment::empty(&entry.file, Boxed(made), &old.header)?;
    let mut rows = Vec::new();
    for name in ["header", "head", "kinds", "sealed"] {
        rows.extend(view.optional_row(name)?.map(|row| (name, row)));
    }
    if entry.first_seq >= cut.before {
        rows.push(("snapshot", view.row("snapshot")?));
    }
    let mut failed = None;
    let mut taken = Taken::default();
    segment.commit("rewrite", |transaction| {
        let mut meta = transaction.open_table(META)?;
        for (name, row) in &rows {
            meta.insert(*name, row.as_slice())?;
        }
        let mut records = transaction.open_table(RECORDS)?;
        let mut spans = transaction.open_table(SPANS)?;
        let copied = copy(reader, entry, head, cut, &mut taken, goes_on, &mut |piece| {
            match piece {
                Piece::Whole(seq, bytes) => drop(records.insert(seq, bytes)?),
                Piece::Span(first, value) => drop(spans.insert(first, value.as_slice())?),
            }
            Ok(())
        });
        failed = Some(copied);
        Ok(())
    })?;
    if !failed.unwrap_or(Ok(false))? {
        return Ok(None);
    }
    segment.compact()?;
    drop(segment);
    let synced = directory.sync_file(temporary);
    synced.map_err(|error| LogError::io(&entry.file, "sync", error))?;
    Ok(Some((taken, head)))
}

/// What [`rewrite`] would take of a segment and by how many bytes its file would be smaller (or
/// larger, if negative), nothing being changed: it is made once in memory. The hot one is looked at
/// as if it were sealed. `None`: there is nothing to take, or no file.
///
/// # Errors
/// [`LogError`] of the first bad place.
pub fn foresee(
    reader: &Reader,
    first_seq: u64,
    cut: &Cut,
) -> Result<Option<(Taken, i64)>, LogError> {
    let Some(directory) = reader.directory() else { return Ok(None) };
    let Some(entry) = affected(reader, first_seq, cut)? else { return Ok(None) };
    let (name, scratch) = (segments::segment_name(first_seq), MemoryFolder::default());
    let written = write(reader, &entry, &scratch, &name, cut, &mut || true)?;
    let Some((taken, _)) = written else { return Ok(None) };
    let smaller = size_of(&**directory, &name, &entry)? - size_of(&scratch, &name, &entry)?;
    Ok(Some((taken, smaller)))
}

/// The size of the file of a segment that begins behind `head` with this snapshot.
///
/// # Errors
/// [`LogError`].
pub fn size_of_next(reader: &Reader, head: Head, snapshot: &[u8]) -> Result<i64, LogError> {
    let all = reader.segments();
    let Some(hot) = all.last() else { return Ok(0) };
    let environment = reader.segment(hot)?.header.environment.clone();
    let header = SegmentHeader::after(head, snapshot, environment);
    let (name, scratch) = (segments::segment_name(header.first_seq), MemoryFolder::default());
    let made = scratch.create(&name).map_err(|error| LogError::io(&hot.file, "create", error))?;
    drop(Segment::create(&hot.file, Boxed(made), &header, snapshot)?);
    size_of(&scratch, &name, hot)
}

fn size_of(directory: &dyn Directory, name: &str, entry: &Entry) -> Result<i64, LogError> {
    let size = directory.size(name);
    size.map(u64::cast_signed).map_err(|error| LogError::io(&entry.file, "measure", error))
}

enum Piece<'a> {
    Whole(u64, &'a [u8]),
    Span(u64, Vec<u8>),
}

type Put<'a> = dyn FnMut(Piece<'_>) -> Result<(), redb::Error> + 'a;

/// Reads a segment from its beginning to its head, verified; whether it came to the end.
fn copy(
    reader: &Reader,
    entry: &Arc<Entry>,
    head: Head,
    cut: &Cut,
    taken: &mut Taken,
    goes_on: &mut dyn FnMut() -> bool,
    put: &mut Put<'_>,
) -> Result<bool, LogError> {
    let failed = |error| LogError::redb(&entry.file, "rewrite", error);
    let mut cursor = reader.cursor(entry.first_seq)?;
    let mut span: Option<Builder> = None;
    while cursor.position().seq < head.seq {
        if !goes_on() {
            return Ok(false);
        }
        let before = cursor.position().hash;
        let missing = || LogError::damaged_at(&entry.file, head.seq, Damage::RecordMissing);
        let record = cursor.next_record()?.ok_or_else(missing)?;
        let event = if record.content.is_some() && record.seq < cut.before {
            Some(reader::envelope(&entry.file, &record)?.event)
        } else {
            None
        };
        let goes = event.as_ref().filter(|event| cut.takes(record.seq, event));
        if let Some(event) = goes {
            taken.count(cut, &record, event);
        }
        if record.content.is_some() && goes.is_none() {
            if let Some(full) = span.take() {
                let (first, value) = full.finish();
                put(Piece::Span(first, value)).map_err(failed)?;
            }
            put(Piece::Whole(record.seq, record.bytes)).map_err(failed)?;
            continue;
        }
        let open = span.get_or_insert_with(|| Builder::new(record.seq, before));
        open.push(record.shape, record.digest, record.hash);
        if let Some(full) = span.take_if(|span| span.is_full()) {
            let (first, value) = full.finish();
            put(Piece::Span(first, value)).map_err(failed)?;
        }
    }
    if let Some(full) = span.take() {
        let (first, value) = full.finish();
        put(Piece::Span(first, value)).map_err(failed)?;
    }
    Ok(true)
}

/// Law 8: nothing takes the place of a segment before it was read back whole.
fn check(
    directory: &dyn Directory,
    temporary: &str,
    entry: &Entry,
    head: Head,
) -> Result<(), LogError> {
    let overlay = Overlay::open(directory, temporary)?;
    let segment = Arc::new(Segment::open(&entry.file, overlay)?);
    let known: BTreeSet<Shape> = segment.view()?.kinds()?;
    let mut cursor = Reader::of_segment(segment).cursor(entry.first_seq)?;
    while let Some(record) = cursor.next_record()? {
        if !known.contains(&record.shape) {
            let damage = Damage::ShapeUnlisted(record.shape);
            return Err(LogError::damaged_at(&entry.file, record.seq, damage));
        }
    }
    if cursor.position() == head {
        return Ok(());
    }
    Err(LogError::damaged(Path::new(temporary), Damage::Head))
}
