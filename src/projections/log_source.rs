//! The log on disk as a [`LogSource`].

use std::ops::{ControlFlow, RangeInclusive};

use super::source::{LogSource, SourceError, Stored};
use crate::log::prune::each_whole;
use crate::log::record::Record;
use crate::log::{LogError, Reader, snapshot};
use crate::model::{Digest, Envelope, State};

impl LogSource for Reader {
    fn head(&self) -> Result<(u64, Digest), SourceError> {
        let head = Self::head(self)?;
        Ok((head.seq, head.hash))
    }

    fn first_seq(&self) -> u64 {
        self.kept_from()
    }

    fn floor(&self) -> Digest {
        Self::floor(self).map_or_else(Digest::default, |floor| floor.digest())
    }

    fn scan_kept(
        &self,
        take: &mut dyn FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let Some(floor) = Self::floor(self).filter(|floor| !floor.kept.is_empty()) else {
            return Ok(());
        };
        each_whole(self, floor.seq, &mut |record, envelope| {
            let kept = envelope.event.run().is_some_and(|run| floor.kept.contains(&run));
            !kept || take(Stored { envelope, hash: record.hash }).is_continue()
        })?;
        Ok(())
    }

    fn start(&self) -> Result<(State, Digest), SourceError> {
        let first = self.kept_from();
        let saved = self.snapshot_before(first)?;
        let file = self.files().into_iter().next().map(|(_, file)| file).unwrap_or_default();
        Ok((snapshot::decode(&file, &saved.bytes)?, saved.head.hash))
    }

    fn get(&self, seq: u64) -> Result<Option<Stored>, SourceError> {
        let Some(bytes) = self.raw(seq)? else { return Ok(None) };
        let record = Record::parse(&bytes).map_err(|error| SourceError::Log {
            message: format!("record {seq} is no record: {error:?}"),
        })?;
        stored(&record).map(Some)
    }

    fn scan(
        &self,
        range: RangeInclusive<u64>,
        take: &mut dyn FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let mut cursor = self.cursor(*range.start())?;
        while cursor.position().seq < *range.end() {
            let Some(record) = cursor.next_record()? else { break };
            // Beyond the head the cursor begins there.
            if record.seq >= *range.start() && take(stored(&record)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn hash_at(&self, seq: u64) -> Result<Option<Digest>, SourceError> {
        let first = self.kept_from();
        if seq + 1 == first {
            return Ok(Some(self.snapshot_before(first)?.head.hash));
        }
        if seq < first {
            return Ok(None);
        }
        let bytes = self.raw(seq)?;
        Ok(bytes.and_then(|bytes| Record::parse(&bytes).ok().map(|record| record.hash)))
    }
}

/// The event of a verified record.
fn stored(record: &Record<'_>) -> Result<Stored, SourceError> {
    let seq = record.seq;
    let content = record.content.ok_or(SourceError::Pruned { seq })?;
    let event = record.event().map_err(|error| SourceError::Log {
        message: format!("record {seq} cannot be read: {error:?}"),
    })?;
    let event = event.ok_or(SourceError::Pruned { seq })?;
    let envelope = Envelope { seq, time: content.time, cause: content.cause, event };
    Ok(Stored { envelope, hash: record.hash })
}

impl From<LogError> for SourceError {
    fn from(error: LogError) -> Self {
        match (&error, error.seq()) {
            (LogError::Pruned { .. }, Some(seq)) => Self::Pruned { seq },
            _ => Self::Log { message: error.to_string() },
        }
    }
}
