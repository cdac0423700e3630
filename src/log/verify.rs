//! Checking a whole log: every record, every row, every page; the first bad place is the error.

use std::collections::BTreeSet;
use std::path::Path;

use super::chain::Head;
use super::error::{Damage, LogError};
use super::overlay::{Base, Overlay};
use super::reader::{self, Reader};
use super::segment::Segment;

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
    let verified = verify_records(&reader)?;
    for (_, file) in reader.files() {
        Segment::open(file, Overlay::open(file)?)?.check_structure()?;
    }
    Ok(verified)
}

/// Checks that seqs are dense, that digests and the chain fit across segments, that payloads
/// decode, and that the rows of each segment agree with its records.
pub fn verify_records(reader: &Reader) -> Result<Verified, LogError> {
    for (first_seq, _) in reader.files() {
        reader.snapshot_before(first_seq)?;
    }
    let mut cursor = reader.cursor(reader.first_seq())?;
    let (mut records, mut pruned) = (0, 0);
    let mut open = (usize::MAX, BTreeSet::new());
    let mut file = reader.file(0).to_owned();
    while let Some(record) = cursor.next_record()? {
        let place = reader.place_of(record.seq);
        if open.0 != place {
            open = (place, reader.segment(place)?.view()?.kinds()?);
            reader.file(place).clone_into(&mut file);
        }
        if !open.1.contains(&record.shape) {
            let damage = Damage::ShapeUnlisted(record.shape);
            return Err(LogError::damaged_at(&file, record.seq, damage));
        }
        match record.content {
            Some(_) => drop(reader::envelope(&file, &record)?),
            None => pruned += 1,
        }
        records += 1;
    }
    let head = cursor.position();
    Ok(Verified { segments: reader.count(), records, pruned, head })
}

/// Checks one segment's structure from any bytes.
pub fn verify_structure(file: &Path, base: impl Base) -> Result<(), LogError> {
    let overlay = Overlay::new(base).map_err(|error| LogError::io(file, "measure", error))?;
    Segment::open(file, overlay)?.check_structure()
}
