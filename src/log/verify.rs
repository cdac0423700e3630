//! Checking a whole log: every record, every row, every page; the first bad place is the error.

use std::path::{Path, PathBuf};

use super::chain::Head;
use super::directory::Folder;
use super::error::{Damage, LogError};
use super::floor::{self, Floor};
use super::overlay::{Base, Overlay};
use super::parallel;
use super::reader::{self, Reader};
use super::segment::Segment;
use super::segments;
use crate::model::Envelope;

/// What was found to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Segments read.
    pub segments: usize,
    /// Records read.
    pub records: u64,
    /// Of those, records without payload.
    pub pruned: u64,
    /// The last one.
    pub head: Head,
}

/// Checks the log in a directory, without changing it: what [`verify_records`] does, then the
/// structure of each file.
pub fn verify(directory: &Path) -> Result<Verified, LogError> {
    let reader = Reader::open(directory)?;
    let (verified, _) = verify_noting(&reader, all_cores(), |(): &mut (), _| ())?;
    verify_files(directory, &reader)?;
    Ok(verified)
}

/// Checks the structure of each file of the log in a directory.
pub fn verify_files(directory: &Path, reader: &Reader) -> Result<(), LogError> {
    let folder = Folder::new(directory);
    let each = |(first_seq, file): &(u64, PathBuf)| {
        let overlay = Overlay::open(&folder, &segments::segment_name(*first_seq))?;
        Segment::open(file, overlay)?.check_structure()
    };
    parallel::map(&reader.files(), all_cores(), each).map(drop)
}

/// As many as this process may use.
pub fn all_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Checks that seqs are dense, that digests and the chain fit across segments, that payloads
/// decode, that the rows of each segment agree with its records, and that from the floor on
/// nothing is pruned.
pub fn verify_records(reader: &Reader) -> Result<Verified, LogError> {
    verify_noting(reader, 1, |(): &mut (), _| ()).map(|(verified, _)| verified)
}

/// As [`verify_records`], on so many threads: a segment says what it continues, so that each can
/// be checked alone. `note` sees each whole event of a segment, in order; the notes of the segments
/// come in theirs.
pub fn verify_noting<N: Default + Send>(
    reader: &Reader,
    threads: usize,
    note: impl Fn(&mut N, &Envelope) + Sync,
) -> Result<(Verified, Vec<N>), LogError> {
    let kept_from = reader.kept_from();
    let files = reader.files();
    for (first_seq, _) in &files {
        if *first_seq >= kept_from {
            reader.snapshot_before(*first_seq)?;
        }
    }
    // The head may move on meanwhile.
    let head = reader.head()?;
    let last = |place: usize| files.get(place + 1).map_or(head.seq, |(first, _)| first - 1);
    let parts: Vec<(u64, u64)> =
        files.iter().enumerate().map(|(place, (first, _))| (*first, last(place))).collect();
    let checked = parallel::map(&parts, threads, |part| verify_segment(reader, *part, &note))?;
    let mut verified = Verified { segments: files.len(), records: 0, pruned: 0, head };
    let mut notes = Vec::with_capacity(checked.len());
    for (records, pruned, noted) in checked {
        verified.records += records;
        verified.pruned += pruned;
        notes.push(noted);
    }
    Ok((verified, notes))
}

/// How many records there are, how many of them pruned, and what was noted.
fn verify_segment<N: Default>(
    reader: &Reader,
    (first, last): (u64, u64),
    note: &impl Fn(&mut N, &Envelope),
) -> Result<(u64, u64, N), LogError> {
    let (kept_from, floor) = (reader.kept_from(), reader.floor());
    let mut cursor = reader.cursor(first)?;
    let (file, kinds) = (cursor.file().to_owned(), cursor.kinds()?);
    check_floor(reader, floor.as_deref(), cursor.position())?;
    let (mut records, mut pruned, mut noted) = (0, 0, N::default());
    while cursor.position().seq < last {
        let Some(record) = cursor.next_record()? else { break };
        let (seq, shape) = (record.seq, record.shape);
        if !kinds.contains(&shape) {
            return Err(LogError::damaged_at(&file, seq, Damage::ShapeUnlisted(shape)));
        }
        match reader::envelope(&file, &record) {
            Ok(envelope) => note(&mut noted, &envelope),
            Err(LogError::Pruned { .. }) if seq < kept_from || floor.is_none() => pruned += 1,
            Err(error) => return Err(error),
        }
        records += 1;
        check_floor(reader, floor.as_deref(), cursor.position())?;
    }
    // Its rows agree with its last record, and what comes next continues it: whoever asks for the
    // next record has to see that first.
    cursor.next_record()?;
    Ok((records, pruned, noted))
}

/// The floor continues the record before it.
fn check_floor(reader: &Reader, floor: Option<&Floor>, at: Head) -> Result<(), LogError> {
    match (floor, reader.directory()) {
        (Some(floor), Some(directory)) if floor.seq == at.seq + 1 && floor.hash != at.hash => {
            Err(LogError::damaged(&floor::path(&**directory), Damage::FloorMisplaced))
        }
        _ => Ok(()),
    }
}

/// Checks one segment's structure from any bytes.
pub fn verify_structure(file: &Path, base: impl Base) -> Result<(), LogError> {
    let overlay = Overlay::new(base).map_err(|error| LogError::io(file, "measure", error))?;
    Segment::open(file, overlay)?.check_structure()
}
