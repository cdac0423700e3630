//! The records of a bundle as a log that views are folded from.

use std::ops::{ControlFlow, RangeInclusive};

use super::error::BundleError;
use super::reader::Bundle;
use crate::log::record::Record;
use crate::model::{Digest, Envelope, State};
use crate::projections::{LogSource, SourceError, Stored};

/// Records read at once.
const PIECE: usize = 4_096;

impl Bundle {
    /// Hands over each record from before the history.
    pub(super) fn each_kept(
        &self,
        take: &mut dyn FnMut(Stored) -> Result<(), BundleError>,
    ) -> Result<(), BundleError> {
        self.kept.iter().try_for_each(|place| take(self.record_at(*place)?))
    }

    /// Hands over each record from a place on, until told to stop.
    pub(super) fn each_from(
        &self,
        from: u64,
        take: &mut dyn FnMut(Stored) -> Result<bool, BundleError>,
    ) -> Result<(), BundleError> {
        let first = from.saturating_sub(self.header.first_seq);
        let mut at = usize::try_from(first).unwrap_or(usize::MAX).min(self.records.len());
        while at < self.records.len() {
            let piece = &self.records[at..self.records.len().min(at + PIECE)];
            let (start, last) = (piece[0], piece[piece.len() - 1]);
            let end = last + self.frame_length(last)?;
            // Members lie one behind the other, so what is between two frames is small.
            let bytes = self.spool.read(&(start..end))?;
            for place in piece {
                let offset = usize::try_from(place - start).unwrap_or(usize::MAX);
                let frame = bytes.get(offset..).unwrap_or_default();
                let length = frame.first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four));
                let end = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(4);
                if !take(stored(frame.get(4..end).unwrap_or_default())?)? {
                    return Ok(());
                }
            }
            at += piece.len();
        }
        Ok(())
    }

    /// Hands over each record of the history up to a place, until told to stop.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn each_until(
        &self,
        until: u64,
        take: &mut dyn FnMut(Stored) -> bool,
    ) -> Result<(), BundleError> {
        self.each_from(self.header.first_seq, &mut |stored| {
            Ok(stored.envelope.seq <= until && take(stored))
        })
    }

    fn frame_length(&self, place: u64) -> Result<u64, BundleError> {
        let bytes = self.spool.read(&(place..place + 4))?;
        let length = bytes.first_chunk::<4>().map_or(0, |four| u32::from_le_bytes(*four));
        Ok(4 + u64::from(length))
    }

    fn record_at(&self, place: u64) -> Result<Stored, BundleError> {
        let end = place + self.frame_length(place)?;
        stored(&self.spool.read(&(place + 4..end))?)
    }
}

/// The event of a record that was checked when the bundle was opened.
fn stored(bytes: &[u8]) -> Result<Stored, BundleError> {
    let record = Record::parse(bytes)
        .map_err(|error| BundleError::layout("records", format!("{error:?}")))?;
    let seq = record.seq;
    let wrong = |what: String| BundleError::Record { seq, what };
    let event = record.event().map_err(|error| wrong(format!("it cannot be read: {error:?}")))?;
    let pruned = || wrong("its content was pruned".to_owned());
    let (event, content) = event.zip(record.content).ok_or_else(pruned)?;
    let envelope = Envelope { seq, time: content.time, cause: content.cause, event };
    Ok(Stored { envelope, hash: record.hash })
}

impl From<BundleError> for SourceError {
    fn from(error: BundleError) -> Self {
        Self::Log { message: error.to_string() }
    }
}

impl LogSource for Bundle {
    fn head(&self) -> Result<(u64, Digest), SourceError> {
        Ok((self.head.seq, self.head.hash))
    }

    fn first_seq(&self) -> u64 {
        self.header.first_seq
    }

    fn scan_kept(
        &self,
        take: &mut dyn FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        for place in &self.kept {
            if take(self.record_at(*place)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn start(&self) -> Result<(State, Digest), SourceError> {
        Ok((self.origin.state.clone(), self.origin.head.hash))
    }

    fn get(&self, seq: u64) -> Result<Option<Stored>, SourceError> {
        let place = seq.checked_sub(self.header.first_seq);
        let place = place.and_then(|place| self.records.get(usize::try_from(place).ok()?));
        if let Some(place) = place {
            return Ok(Some(self.record_at(*place)?));
        }
        // Those from before are few.
        for place in &self.kept {
            let stored = self.record_at(*place)?;
            if stored.envelope.seq == seq {
                return Ok(Some(stored));
            }
        }
        if seq > 0 && seq < self.header.first_seq {
            return Err(SourceError::Pruned { seq });
        }
        Ok(None)
    }

    fn scan(
        &self,
        range: RangeInclusive<u64>,
        take: &mut dyn FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        self.each_from(*range.start(), &mut |stored| {
            Ok(stored.envelope.seq <= *range.end() && take(stored).is_continue())
        })?;
        Ok(())
    }
}
