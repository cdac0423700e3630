//! Reading in order, across segments.

use std::sync::Arc;

use super::chain::Head;
use super::error::{Damage, LogError, Place};
use super::reader::{self, Reader, Segments};
use super::record::Record;
use super::segment::{Scan, Segment, Stored, View};
use super::upcast::Shape;
use crate::model::Envelope;

/// Verified records, borrowed one after the other; ends at the head of when it was made.
pub struct Cursor {
    // Dropped in this order: what was lent before what lent it.
    current: Option<Stored>,
    scan: Scan,
    view: View,
    segment: Arc<Segment>,
    place: usize,
    segments: Segments,
    reader: Reader,
    /// The record before the next one.
    previous: Head,
    /// The last record of the open segment.
    end: Head,
    finished: bool,
}

impl Cursor {
    pub(super) fn new(reader: Reader, from: u64) -> Result<Self, LogError> {
        let from = from.max(1);
        let segments = reader.segments();
        if from < segments[0].first_seq {
            let place = Place::of_record(&segments[0].file, from);
            return Err(LogError::Pruned { place });
        }
        let place = reader::place_of(&segments, from);
        let segment = reader.segment(&segments[place])?;
        let view = segment.view()?;
        let end = view.head()?;
        let before = segment.header.head_before();
        if end.seq < before.seq {
            return Err(LogError::damaged(view.file(), Damage::RowMalformed("head")));
        }
        // Beyond the head there is nothing to verify against and nothing to read.
        let from = from.min(end.seq + 1);
        let previous = if from == segment.header.first_seq {
            before
        } else {
            let stored = view.record(from - 1)?;
            let absent = || LogError::damaged_at(view.file(), from - 1, Damage::RecordMissing);
            let stored = stored.ok_or_else(absent)?;
            let record = reader::parse(view.file(), from - 1, view.bytes(&stored)?)?;
            Head { seq: from - 1, hash: record.hash }
        };
        let scan = view.scan(from)?;
        let (current, finished) = (None, false);
        Ok(Self { current, scan, view, segment, place, segments, reader, previous, end, finished })
    }

    /// The last record that was read, or the one before the first.
    pub fn position(&self) -> Head {
        self.previous
    }

    /// Kinds and versions in that segment.
    pub(crate) fn kinds(&self) -> Result<std::collections::BTreeSet<Shape>, LogError> {
        self.view.kinds()
    }

    /// The file that the next record lies in.
    pub fn file(&self) -> &std::path::Path {
        self.view.file()
    }

    /// The next record; `None` at the head. After an error there is no next.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, LogError> {
        if self.finished {
            return Ok(None);
        }
        self.finished = true;
        self.current = None;
        loop {
            let expected = self.previous.seq + 1;
            if let Some((seq, stored)) = self.scan.next()? {
                self.expect(expected, seq)?;
                let stored = self.current.insert(stored);
                let bytes = self.view.bytes(stored)?;
                let record = reader::parse(self.view.file(), seq, bytes)?;
                reader::verify(self.view.file(), &record, self.previous.hash)?;
                self.previous = Head { seq, hash: record.hash };
                self.finished = false;
                return Ok(Some(record));
            }
            if self.previous.seq != self.end.seq {
                let damage = Damage::RecordMissing;
                return Err(LogError::damaged_at(self.view.file(), expected, damage));
            }
            if self.previous.hash != self.end.hash {
                let seq = self.end.seq;
                return Err(LogError::damaged_at(self.view.file(), seq, Damage::Head));
            }
            if self.place + 1 == self.segments.len() {
                return Ok(None);
            }
            self.enter(self.place + 1)?;
        }
    }

    /// Seqs are dense and end at the head row.
    fn expect(&self, expected: u64, found: u64) -> Result<(), LogError> {
        if found == expected && found <= self.end.seq {
            return Ok(());
        }
        let damage =
            if expected > self.end.seq { Damage::RecordAfterHead } else { Damage::RecordMissing };
        Err(LogError::damaged_at(self.view.file(), expected, damage))
    }

    fn enter(&mut self, place: usize) -> Result<(), LogError> {
        let segment = self.reader.segment(&self.segments[place])?;
        if segment.header.head_before() != self.previous {
            return Err(LogError::damaged(segment.file(), Damage::SegmentGap));
        }
        if segment.header.environment != self.segment.header.environment {
            let id = segment.header.environment.as_str().to_owned();
            return Err(LogError::damaged(segment.file(), Damage::WrongEnvironment(id)));
        }
        let view = segment.view()?;
        self.end = view.head()?;
        self.scan = view.scan(segment.header.first_seq)?;
        self.view = view;
        self.segment = segment;
        self.place = place;
        Ok(())
    }
}

/// Verified and decoded events. A pruned record is an error after which it goes on; any other
/// error is the last item.
pub struct Events {
    cursor: Cursor,
    finished: bool,
}

impl Events {
    pub(super) fn new(cursor: Cursor) -> Self {
        Self { cursor, finished: false }
    }

    fn read(&mut self) -> Result<Option<Envelope>, LogError> {
        // The record borrows the cursor, so the path for an error is made only there.
        match self.cursor.next_record()? {
            None => Ok(None),
            Some(record) => {
                let envelope = reader::envelope(std::path::Path::new(""), &record);
                match envelope {
                    Ok(envelope) => Ok(Some(envelope)),
                    Err(error) => Err(error.in_file(self.cursor.file())),
                }
            }
        }
    }
}

impl Iterator for Events {
    type Item = Result<Envelope, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let item = self.read().transpose();
        let goes_on = matches!(item, Some(Ok(_) | Err(LogError::Pruned { .. })));
        self.finished = !goes_on;
        item
    }
}
