//! Reading: every record is believed only after its digest and its place in the chain fit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::chain::Head;
use super::cursor::{Cursor, Events};
use super::error::{Damage, LogError, Newer, Place};
use super::overlay::{Base, Overlay};
use super::record::{Distrust, ParseError, Record};
use super::segment::{Segment, View};
use super::segments;
use super::upcast::UpcastError;
use crate::model::{Envelope, EnvironmentId};

/// Reads a log: of an open [`super::Store`], or, without a daemon, files as they lie there.
///
/// Cheap to clone. Each call looks at what is durable when it is made; over files, at what was
/// there when they were opened.
#[derive(Clone, Debug)]
pub struct Reader {
    segments: Arc<Vec<Entry>>,
}

/// A segment that is opened when it is needed.
#[derive(Debug)]
struct Entry {
    first_seq: u64,
    file: PathBuf,
    opened: OnceLock<Arc<Segment>>,
}

/// The state with which a segment opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record that is in it.
    pub head: Head,
    /// Its bytes; empty before the first record.
    pub bytes: Vec<u8>,
}

impl Reader {
    /// Opens the log in a directory for reading only; no byte of it changes.
    ///
    /// The caller holds the environment's lock, shared at least, until it is done.
    pub fn open(directory: &Path) -> Result<Self, LogError> {
        let entry = |(first_seq, file)| Entry { first_seq, file, opened: OnceLock::new() };
        let segments: Vec<_> = segments::list(directory)?.into_iter().map(entry).collect();
        let reader = Self { segments: Arc::new(segments) };
        reader.segment(reader.segments.len() - 1)?;
        Ok(reader)
    }

    /// Reads one segment from any bytes, such as an image in memory.
    pub fn over(file: &Path, base: impl Base) -> Result<Self, LogError> {
        let overlay = Overlay::new(base).map_err(|error| LogError::io(file, "measure", error))?;
        Ok(Self::of_segment(Arc::new(Segment::open(file, overlay)?)))
    }

    /// Reads an open segment alone.
    pub(crate) fn of_segment(segment: Arc<Segment>) -> Self {
        let (first_seq, file) = (segment.header.first_seq, segment.file().to_owned());
        let entry = Entry { first_seq, file, opened: OnceLock::from(segment) };
        Self { segments: Arc::new(vec![entry]) }
    }

    /// The same files, with the hot one open for writing.
    pub(crate) fn with_hot(directory: &Path, hot: Arc<Segment>) -> Result<Self, LogError> {
        let hot_first = hot.header.first_seq;
        let entry = |(first_seq, file)| Entry { first_seq, file, opened: OnceLock::new() };
        let mut segments: Vec<_> = segments::list(directory)?.into_iter().map(entry).collect();
        segments.retain(|entry| entry.first_seq < hot_first);
        let file = hot.file().to_owned();
        segments.push(Entry { first_seq: hot_first, file, opened: OnceLock::from(hot) });
        Ok(Self { segments: Arc::new(segments) })
    }

    pub(crate) fn segment(&self, place: usize) -> Result<&Arc<Segment>, LogError> {
        let entry = &self.segments[place];
        if let Some(segment) = entry.opened.get() {
            return Ok(segment);
        }
        let segment = Segment::open(&entry.file, Overlay::open(&entry.file)?)?;
        Ok(entry.opened.get_or_init(|| Arc::new(segment)))
    }

    pub(crate) fn count(&self) -> usize {
        self.segments.len()
    }

    pub(crate) fn file(&self, place: usize) -> &Path {
        &self.segments[place].file
    }

    fn hot(&self) -> Result<&Arc<Segment>, LogError> {
        self.segment(self.count() - 1)
    }

    /// Which segment holds `seq`; the first for what lies before it.
    pub(crate) fn place_of(&self, seq: u64) -> usize {
        self.segments.partition_point(|entry| entry.first_seq <= seq).saturating_sub(1)
    }

    /// Whose log it is.
    pub fn environment(&self) -> Result<EnvironmentId, LogError> {
        Ok(self.hot()?.header.environment.clone())
    }

    /// The last durable record.
    pub fn head(&self) -> Result<Head, LogError> {
        self.hot()?.view()?.head()
    }

    /// The first record that is kept.
    pub fn first_seq(&self) -> u64 {
        self.segments[0].first_seq
    }

    /// The files, ascending, with their first seqs; the last is hot.
    pub fn files(&self) -> impl Iterator<Item = (u64, &Path)> {
        self.segments.iter().map(|entry| (entry.first_seq, entry.file.as_path()))
    }

    /// The latest snapshot that holds nothing from `seq` on: folding to `seq` starts there.
    pub fn snapshot_before(&self, seq: u64) -> Result<Snapshot, LogError> {
        if seq < self.first_seq() {
            return Err(LogError::Pruned { place: Place::of_record(self.file(0), seq) });
        }
        let segment = self.segment(self.place_of(seq))?;
        let bytes = segment.view()?.row("snapshot")?;
        if super::chain::digest(&bytes) != segment.header.snapshot_digest {
            return Err(LogError::damaged(segment.file(), Damage::Snapshot));
        }
        Ok(Snapshot { head: segment.header.head_before(), bytes })
    }

    /// One record's event; `None` beyond the head and for seq 0.
    pub fn get(&self, seq: u64) -> Result<Option<Envelope>, LogError> {
        self.look().get(seq)
    }

    /// The stored bytes of one record, verified; [`Record::parse`] takes them apart.
    pub fn raw(&self, seq: u64) -> Result<Option<Vec<u8>>, LogError> {
        self.look().with(seq, |_, record| Ok(record.bytes.to_vec()))
    }

    /// Many single records with one transaction per segment.
    pub fn look(&self) -> Look {
        Look { reader: self.clone(), open: None }
    }

    /// All records from `from` on, verified, borrowed from the cache one after the other.
    pub fn cursor(&self, from: u64) -> Result<Cursor, LogError> {
        Cursor::new(self.clone(), from)
    }

    /// All events from `from` on, verified and decoded.
    pub fn events(&self, from: u64) -> Result<Events, LogError> {
        Ok(Events::new(self.cursor(from)?))
    }
}

/// A consistent look at the segment last asked for.
pub struct Look {
    // Dropped first: it borrows from a segment of the reader.
    open: Option<(usize, View)>,
    reader: Reader,
}

impl Look {
    /// One record's event; `None` beyond the head and for seq 0.
    pub fn get(&mut self, seq: u64) -> Result<Option<Envelope>, LogError> {
        self.with(seq, envelope)
    }

    fn with<R>(
        &mut self,
        seq: u64,
        read: impl FnOnce(&Path, &Record<'_>) -> Result<R, LogError>,
    ) -> Result<Option<R>, LogError> {
        if seq == 0 {
            return Ok(None);
        }
        if seq < self.reader.first_seq() {
            let place = Place::of_record(self.reader.file(0), seq);
            return Err(LogError::Pruned { place });
        }
        let place = self.reader.place_of(seq);
        let segment = Arc::clone(self.reader.segment(place)?);
        let view = match self.open.take() {
            Some((open, view)) if open == place => view,
            _ => segment.view()?,
        };
        let view = &self.open.insert((place, view)).1;
        let previous = match seq - 1 {
            before if before < segment.header.first_seq => Some(segment.header.head_before().hash),
            before => match view.record(before)? {
                Some(stored) => Some(parse(view.file(), before, view.bytes(&stored)?)?.hash),
                None => None,
            },
        };
        let (Some(previous), Some(stored)) = (previous, view.record(seq)?) else {
            return missing(view, seq);
        };
        let record = parse(view.file(), seq, view.bytes(&stored)?)?;
        verify(view.file(), &record, previous)?;
        read(view.file(), &record).map(Some)
    }
}

/// Nothing beyond the head, damage before it.
fn missing<R>(view: &View, seq: u64) -> Result<Option<R>, LogError> {
    if seq > view.head()?.seq {
        return Ok(None);
    }
    Err(LogError::damaged_at(view.file(), seq, Damage::RecordMissing))
}

/// Takes a stored record apart and checks that it is the one that it lies there as.
pub(crate) fn parse<'a>(file: &Path, seq: u64, bytes: &'a [u8]) -> Result<Record<'a>, LogError> {
    match Record::parse(bytes) {
        Ok(record) if record.seq == seq => Ok(record),
        Ok(record) => {
            let fault = super::error::RecordFault::Seq(record.seq);
            Err(LogError::damaged_at(file, seq, Damage::Record(fault)))
        }
        Err(ParseError::Fault(fault)) => {
            Err(LogError::damaged_at(file, seq, Damage::Record(fault)))
        }
        Err(ParseError::Newer(format)) => {
            let (place, newer) = (Place::of_record(file, seq), Newer::RecordFormat(format));
            Err(LogError::Newer { place, newer })
        }
    }
}

/// Checks digest and chain.
pub(crate) fn verify(
    file: &Path,
    record: &Record<'_>,
    previous: crate::model::Digest,
) -> Result<(), LogError> {
    record.verify(previous).map_err(|distrust| {
        let damage = match distrust {
            Distrust::Digest => Damage::Digest,
            Distrust::Chain => Damage::Chain,
        };
        LogError::damaged_at(file, record.seq, damage)
    })
}

/// The event of a verified record.
pub(crate) fn envelope(file: &Path, record: &Record<'_>) -> Result<Envelope, LogError> {
    let Some(content) = record.content else {
        return Err(LogError::Pruned { place: Place::of_record(file, record.seq) });
    };
    let event = super::upcast::decode_payload(record.shape, content.payload);
    let event = event.map_err(|error| match error {
        UpcastError::Newer(shape) => {
            let (place, newer) = (Place::of_record(file, record.seq), Newer::Shape(shape));
            LogError::Newer { place, newer }
        }
        UpcastError::Malformed(error) => {
            LogError::damaged_at(file, record.seq, Damage::Payload(error))
        }
    })?;
    Ok(Envelope { seq: record.seq, time: content.time, cause: content.cause, event })
}
