//! Checking a whole log: every record, every row, every page; the first bad place is the error.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::chain::Head;
use super::cursor::Cursor;
use super::directory::Folder;
use super::error::{Damage, LogError};
use super::floor::{self, Floor};
use super::overlay::{Base, Overlay};
use super::reader::{self, Reader};
use super::segment::Segment;
use super::segments;
use super::upcast::Shape;
use crate::model::{Digest, Envelope};

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
    let folder = Folder::new(directory);
    let reader = Reader::open(directory)?;
    let verified = verify_records(&reader)?;
    for (first_seq, file) in reader.files() {
        let overlay = Overlay::open(&folder, &segments::segment_name(first_seq))?;
        Segment::open(&file, overlay)?.check_structure()?;
    }
    Ok(verified)
}

/// Checks that seqs are dense, that digests and the chain fit across segments, that payloads
/// decode, that the rows of each segment agree with its records, and that from the floor on
/// nothing is pruned.
pub fn verify_records(reader: &Reader) -> Result<Verified, LogError> {
    let kept_from = reader.kept_from();
    for (first_seq, _) in reader.files() {
        if first_seq >= kept_from {
            reader.snapshot_before(first_seq)?;
        }
    }
    let mut cursor = reader.cursor(reader.first_seq())?;
    let (mut records, mut pruned) = (0, 0);
    let mut open: Option<(PathBuf, BTreeSet<Shape>)> = None;
    let floor = reader.floor();
    check_floor(reader, floor.as_deref(), cursor.position())?;
    while let Some((shape, seq, hash, envelope)) = read(&mut cursor)? {
        let (file, kinds) = match open.take() {
            Some((file, kinds)) if file == cursor.file() => (file, kinds),
            _ => (cursor.file().to_owned(), cursor.kinds()?),
        };
        if !kinds.contains(&shape) {
            return Err(LogError::damaged_at(&file, seq, Damage::ShapeUnlisted(shape)));
        }
        match envelope {
            Ok(_) => {}
            Err(LogError::Pruned { .. }) if seq < kept_from || floor.is_none() => pruned += 1,
            Err(error) => return Err(error.in_file(&file)),
        }
        open = Some((file, kinds));
        check_floor(reader, floor.as_deref(), Head { seq, hash })?;
        records += 1;
    }
    let head = cursor.position();
    Ok(Verified { segments: reader.files().len(), records, pruned, head })
}

type Read = (Shape, u64, Digest, Result<Envelope, LogError>);

fn read(cursor: &mut Cursor) -> Result<Option<Read>, LogError> {
    let record = cursor.next_record()?;
    Ok(record.map(|record| {
        (record.shape, record.seq, record.hash, reader::envelope(Path::new(""), &record))
    }))
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
