//! Reading: every record is believed only after its digest and its place in the chain fit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::atomic::TEMPORARY;
use super::chain::Head;
use super::cursor::{Cursor, Events};
use super::directory::{Directory, Folder};
use super::error::{Damage, LogError, Newer, Place};
use super::floor::{self, Floor};
use super::overlay::{Base, Overlay};
use super::record::{Distrust, ParseError, Record};
use super::segment::{Segment, View};
use super::segments;
use super::upcast::UpcastError;
use crate::limits;
use crate::model::{Envelope, EnvironmentId};

/// Reads a log: of an open [`super::Store`], or, without a daemon, files as they lie there.
///
/// Cheap to clone; all clones see what the store seals and what a prune replaces. Each call looks
/// at what is durable when it is made; over files, at what was there when they were opened.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// Segments at one moment, ascending; the last is hot.
pub(crate) type Segments = Arc<Vec<Arc<Entry>>>;

#[derive(Debug)]
struct Shared {
    /// `None`: one segment without a directory.
    directory: Option<Arc<dyn Directory>>,
    segments: RwLock<Segments>,
    floor: RwLock<Option<Arc<Floor>>>,
    /// Sealed ones that are open, the one used last at the end.
    open: Mutex<Vec<(Arc<Entry>, Arc<Segment>)>>,
}

/// A segment; a sealed one is opened when it is needed.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) first_seq: u64,
    pub(crate) file: PathBuf,
    /// Of the hot one, and of what was given open.
    held: Option<Arc<Segment>>,
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
        Self::open_in(Arc::new(Folder::new(directory)))
    }

    /// As [`Self::open`], wherever the files lie.
    pub fn open_in(directory: Arc<dyn Directory>) -> Result<Self, LogError> {
        let mut firsts = segments::list_in(&*directory)?;
        let hot = firsts.pop().unwrap_or(1);
        let file = segments::segment_path(directory.path(), hot);
        let overlay = Overlay::open(&*directory, &segments::segment_name(hot))?;
        let segment = Arc::new(Segment::open(&file, overlay)?);
        check_newest(&*directory, &segment)?;
        Self::of(directory, &firsts, segment)
    }

    /// Reads one segment from any bytes, such as an image in memory.
    pub fn over(file: &Path, base: impl Base) -> Result<Self, LogError> {
        let overlay = Overlay::new(base).map_err(|error| LogError::io(file, "measure", error))?;
        Ok(Self::of_segment(Arc::new(Segment::open(file, overlay)?)))
    }

    /// Reads an open segment alone.
    pub(crate) fn of_segment(segment: Arc<Segment>) -> Self {
        let segments = RwLock::new(Arc::new(vec![Arc::new(Entry::held(segment))]));
        let (floor, open) = (RwLock::new(None), Mutex::new(Vec::new()));
        Self { shared: Arc::new(Shared { directory: None, segments, floor, open }) }
    }

    /// The files of a directory, with the hot one open.
    pub(crate) fn of(
        directory: Arc<dyn Directory>,
        sealed: &[u64],
        hot: Arc<Segment>,
    ) -> Result<Self, LogError> {
        let entry = |first: &u64| Arc::new(Entry::of(&*directory, *first));
        let mut segments: Vec<_> = sealed.iter().map(entry).collect();
        let head = hot.view()?.head()?;
        segments.push(Arc::new(Entry::held(hot)));
        let floor = Floor::read(&*directory)?.map(Arc::new);
        if floor.as_ref().is_some_and(|floor| floor.seq > head.seq + 1) {
            let file = floor::path(&*directory);
            return Err(LogError::damaged(&file, Damage::FloorMisplaced));
        }
        let (segments, floor) = (RwLock::new(Arc::new(segments)), RwLock::new(floor));
        let (directory, open) = (Some(directory), Mutex::new(Vec::new()));
        Ok(Self { shared: Arc::new(Shared { directory, segments, floor, open }) })
    }

    /// The segments as they are now. What begins with them goes on with them: a segment that is
    /// sealed meanwhile then ends where it was looked at.
    pub(crate) fn segments(&self) -> Segments {
        Arc::clone(&self.shared.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn directory(&self) -> Option<&Arc<dyn Directory>> {
        self.shared.directory.as_ref()
    }

    fn open_ones(&self) -> MutexGuard<'_, Vec<(Arc<Entry>, Arc<Segment>)>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open segment of an entry; at most `limits::SEGMENTS_OPEN` sealed ones stay open.
    pub(crate) fn segment(&self, entry: &Arc<Entry>) -> Result<Arc<Segment>, LogError> {
        if let Some(segment) = &entry.held {
            return Ok(Arc::clone(segment));
        }
        let mut open = self.open_ones();
        if let Some(place) = open.iter().position(|(known, _)| Arc::ptr_eq(known, entry)) {
            let known = open.remove(place);
            let segment = Arc::clone(&known.1);
            open.push(known);
            return Ok(segment);
        }
        drop(open);
        let not_found = || LogError::NotFound { path: entry.file.clone() };
        let directory = self.directory().ok_or_else(not_found)?;
        let overlay = Overlay::open(&**directory, &segments::segment_name(entry.first_seq))?;
        let segment = Segment::open_with(&entry.file, overlay, limits::SEALED_CACHE_BYTES)?;
        let segment = Arc::new(segment);
        let mut open = self.open_ones();
        open.push((Arc::clone(entry), Arc::clone(&segment)));
        let old = (open.len() > limits::SEGMENTS_OPEN).then(|| open.remove(0));
        drop(open);
        // Closing takes its time; nobody waits for the lock meanwhile.
        drop(old);
        Ok(segment)
    }

    /// The hot segment was sealed, and this one follows it.
    pub(crate) fn push(&self, hot: Arc<Segment>) {
        let mut segments = self.shared.segments.write().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<Arc<Entry>> = (**segments).clone();
        if let Some(last) = list.last_mut() {
            let (first_seq, file) = (last.first_seq, last.file.clone());
            *last = Arc::new(Entry { first_seq, file, held: None });
        }
        list.push(Arc::new(Entry::held(hot)));
        *segments = Arc::new(list);
    }

    /// The file of a sealed segment was replaced: who looks from now on sees the new one.
    pub(crate) fn replace(&self, first_seq: u64) {
        let mut segments = self.shared.segments.write().unwrap_or_else(PoisonError::into_inner);
        let again = |entry: &Arc<Entry>| match &entry.held {
            None if entry.first_seq == first_seq => {
                let (first_seq, file) = (entry.first_seq, entry.file.clone());
                Arc::new(Entry { first_seq, file, held: None })
            }
            _ => Arc::clone(entry),
        };
        let list = segments.iter().map(again).collect();
        *segments = Arc::new(list);
        drop(segments);
        let mut open = self.open_ones();
        let place = open.iter().position(|(entry, _)| entry.first_seq == first_seq);
        let old = place.map(|place| open.remove(place));
        drop(open);
        drop(old);
    }

    pub(crate) fn set_floor(&self, floor: Arc<Floor>) {
        *self.shared.floor.write().unwrap_or_else(PoisonError::into_inner) = Some(floor);
    }

    /// Where the kept history begins, if anything was ever pruned.
    pub fn floor(&self) -> Option<Arc<Floor>> {
        self.shared.floor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The first record of the kept history: folding and `--at` begin there.
    pub fn kept_from(&self) -> u64 {
        self.floor().map_or_else(|| self.first_seq(), |floor| floor.seq)
    }

    fn hot(&self) -> Result<Arc<Segment>, LogError> {
        let segments = self.segments();
        self.segment(&segments[segments.len() - 1])
    }

    /// Whose log it is.
    pub fn environment(&self) -> Result<EnvironmentId, LogError> {
        Ok(self.hot()?.header.environment.clone())
    }

    /// The last durable record.
    pub fn head(&self) -> Result<Head, LogError> {
        self.hot()?.view()?.head()
    }

    /// The first record that is there, pruned or not.
    pub fn first_seq(&self) -> u64 {
        self.segments()[0].first_seq
    }

    /// The files, ascending, with their first seqs; the last is hot.
    pub fn files(&self) -> Vec<(u64, PathBuf)> {
        self.segments().iter().map(|entry| (entry.first_seq, entry.file.clone())).collect()
    }

    /// Bytes of all files.
    pub fn file_bytes(&self) -> u64 {
        let Some(directory) = self.directory() else { return 0 };
        let size = |entry: &Arc<Entry>| {
            directory.size(&segments::segment_name(entry.first_seq)).unwrap_or_default()
        };
        let floor = directory.size(floor::NAME).unwrap_or_default();
        self.segments().iter().map(size).sum::<u64>() + floor
    }

    /// The latest saved state that holds nothing from `seq` on: folding to `seq` starts there.
    pub fn snapshot_before(&self, seq: u64) -> Result<Snapshot, LogError> {
        let segments = self.segments();
        let pruned = |file: &Path| LogError::Pruned { place: Place::of_record(file, seq) };
        if seq < self.kept_from() {
            return Err(pruned(&segments[0].file));
        }
        let entry = &segments[place_of(&segments, seq)];
        if let Some(floor) = self.floor().filter(|floor| floor.seq >= entry.first_seq) {
            return Ok(Snapshot { head: floor.head_before(), bytes: floor.state.clone() });
        }
        let segment = self.segment(entry)?;
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
        Look { segments: self.segments(), reader: self.clone(), open: None }
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

impl Entry {
    fn of(directory: &dyn Directory, first_seq: u64) -> Self {
        let file = segments::segment_path(directory.path(), first_seq);
        Self { first_seq, file, held: None }
    }

    fn held(segment: Arc<Segment>) -> Self {
        let (first_seq, file) = (segment.header.first_seq, segment.file().to_owned());
        Self { first_seq, file, held: Some(segment) }
    }
}

/// Which segment holds `seq`; the first for what lies before it.
pub(crate) fn place_of(segments: &[Arc<Entry>], seq: u64) -> usize {
    segments.partition_point(|entry| entry.first_seq <= seq).saturating_sub(1)
}

/// A sealed segment has one after it, or one that only lacks its name.
fn check_newest(directory: &dyn Directory, newest: &Arc<Segment>) -> Result<(), LogError> {
    let Some(next) = newest.view()?.sealed()? else { return Ok(()) };
    if directory.size(&temporary_name(&segments::segment_name(next))).is_ok() {
        return Ok(());
    }
    Err(LogError::damaged(newest.file(), Damage::NextMissing(next)))
}

/// The name under which a file is made.
pub(crate) fn temporary_name(name: &str) -> String {
    format!("{name}.{TEMPORARY}")
}

/// A consistent look at the segment last asked for.
pub struct Look {
    // Dropped first: it borrows from a segment of the reader.
    open: Option<(usize, View)>,
    segments: Segments,
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
        if seq < self.segments[0].first_seq {
            let place = Place::of_record(&self.segments[0].file, seq);
            return Err(LogError::Pruned { place });
        }
        let place = place_of(&self.segments, seq);
        let segment = self.reader.segment(&self.segments[place])?;
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
