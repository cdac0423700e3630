//! Writing: one durable commit per append, and nothing any more after the first error.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use super::atomic;
use super::chain::Head;
use super::directory::{Boxed, Directory, Folder};
use super::error::{Damage, LogError, Newer, Place, Refusal};
use super::reader::{self, Reader};
use super::record;
use super::segment::{META, RECORDS, Segment};
use super::segments::{self, SegmentHeader};
use super::upcast::Shape;
use super::versions;
use crate::limits;
use crate::model::{Digest, Envelope};

/// The one writer of a log. The caller holds the environment's lock, exclusively.
#[derive(Debug)]
pub struct Store {
    segment: Arc<Segment>,
    reader: Reader,
    head: Head,
    kinds: BTreeSet<Shape>,
    poisoned: bool,
}

/// Events encoded for a head, ready to be committed; made off the storage thread if one likes.
#[derive(Debug)]
pub struct Batch {
    previous: Head,
    head: Head,
    bytes: Vec<u8>,
    /// Where each record ends in `bytes`.
    ends: Vec<usize>,
    hashes: Vec<Digest>,
    kinds: BTreeSet<Shape>,
}

impl Batch {
    /// Encodes events that follow `previous` without a gap.
    pub fn encode(previous: Head, envelopes: &[Envelope]) -> Result<Self, Refusal> {
        let mut batch = Self {
            previous,
            head: previous,
            bytes: Vec::with_capacity(envelopes.len() * 192),
            ends: Vec::with_capacity(envelopes.len()),
            hashes: Vec::with_capacity(envelopes.len()),
            kinds: BTreeSet::new(),
        };
        for envelope in envelopes {
            let (expected, seq) = (batch.head.seq + 1, envelope.seq);
            if seq != expected {
                return Err(Refusal::SeqGap { expected, found: seq });
            }
            let (hash, shape, bytes) = record::write(envelope, batch.head.hash, &mut batch.bytes);
            if bytes > limits::PAYLOAD_BYTES {
                return Err(Refusal::PayloadTooLarge { seq, bytes });
            }
            batch.head = Head { seq, hash };
            batch.ends.push(batch.bytes.len());
            batch.hashes.push(hash);
            batch.kinds.insert(shape);
        }
        Ok(batch)
    }

    /// The head after it.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The chain's hash at each event.
    pub fn hashes(&self) -> &[Digest] {
        &self.hashes
    }

    /// Seq and bytes of each record.
    fn records(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut start = 0;
        let cut = move |end: &usize| {
            let record = &self.bytes[start..*end];
            start = *end;
            record
        };
        (self.previous.seq + 1..).zip(self.ends.iter().map(cut))
    }
}

impl Store {
    /// Makes the log of a new environment, or the segment after the hot one, with the state
    /// before it. Whole and durable when it returns; not there at all after a crash before that.
    pub fn create(
        directory: &Path,
        header: &SegmentHeader,
        snapshot: &[u8],
    ) -> Result<Self, LogError> {
        atomic::create_directory(directory)?;
        Self::create_in(Arc::new(Folder::new(directory)), header, snapshot)
    }

    /// As [`Self::create`], wherever the files lie.
    pub fn create_in(
        directory: Arc<dyn Directory>,
        header: &SegmentHeader,
        snapshot: &[u8],
    ) -> Result<Self, LogError> {
        let name = segments::segment_name(header.first_seq);
        let file = segments::segment_path(directory.path(), header.first_seq);
        if directory.size(&name).is_ok() {
            return Err(LogError::Busy { path: file });
        }
        let segment = make(&*directory, header, snapshot)?;
        publish(&*directory, &name)?;
        let segment = Arc::new(segment);
        let mut sealed = segments::list_in(&*directory)?;
        sealed.retain(|first| *first < header.first_seq);
        let reader = Reader::of(directory, &sealed, Arc::clone(&segment))?;
        Ok(Self::new(segment, reader, header.head_before(), BTreeSet::new()))
    }

    /// As [`Self::create`] on any empty backend; `file` is for messages. Unlike there, a crash
    /// before it returns can leave anything on the backend.
    pub fn create_on(
        file: &Path,
        backend: impl StorageBackend,
        header: &SegmentHeader,
        snapshot: &[u8],
    ) -> Result<Self, LogError> {
        let segment = Arc::new(Segment::create(file, backend, header, snapshot)?);
        let reader = Reader::of_segment(Arc::clone(&segment));
        Ok(Self::new(segment, reader, header.head_before(), BTreeSet::new()))
    }

    /// A log that lives as long as the process.
    pub fn in_memory(header: &SegmentHeader) -> Result<Self, LogError> {
        Self::create_on(Path::new("<memory>"), InMemoryBackend::new(), header, &[])
    }

    /// Opens the log in a directory: first read-only, and for writing only if this jr knows all
    /// that is in the hot segment and everything in it from `verify_from` on verifies. Finishes
    /// what a crash left half sealed, and removes what one left half made.
    pub fn open(directory: &Path, verify_from: u64) -> Result<Self, LogError> {
        Self::open_in(Arc::new(Folder::new(directory)), verify_from)
    }

    /// As [`Self::open`], wherever the files lie.
    pub fn open_in(directory: Arc<dyn Directory>, verify_from: u64) -> Result<Self, LogError> {
        let reader = Reader::open_in(Arc::clone(&directory))?;
        let (mut head, _) = check_tail(&reader, verify_from)?;
        drop(reader);
        let mut firsts = segments::list_in(&*directory)?;
        let mut hot = firsts.pop().unwrap_or(1);
        let mut segment = open_hot(&*directory, hot)?;
        if let Some(next) = segment.view()?.sealed()? {
            // Died between the seal and the new name; the reader saw that the file is there.
            drop(segment);
            publish(&*directory, &segments::segment_name(next))?;
            firsts.push(hot);
            hot = next;
            segment = open_hot(&*directory, hot)?;
            if segment.header.head_before() != head {
                return Err(LogError::damaged(segment.file(), Damage::SegmentGap));
            }
            head = segment.header.head_before();
        }
        let view = segment.view()?;
        let (now, kinds) = (view.head()?, view.kinds()?);
        drop(view);
        if now != head {
            return Err(LogError::damaged(segment.file(), Damage::Head));
        }
        remove_temporaries(&*directory)?;
        let reader = Reader::of(directory, &firsts, Arc::clone(&segment))?;
        Ok(Self::new(segment, reader, head, kinds))
    }

    /// Opens a backend for writing, then verifies as [`Self::open`] does.
    pub fn open_on(
        file: &Path,
        backend: impl StorageBackend,
        verify_from: u64,
    ) -> Result<Self, LogError> {
        let segment = Arc::new(Segment::open(file, backend)?);
        let reader = Reader::of_segment(Arc::clone(&segment));
        let (head, kinds) = check_tail(&reader, verify_from)?;
        Ok(Self::new(segment, reader, head, kinds))
    }

    fn new(segment: Arc<Segment>, reader: Reader, head: Head, kinds: BTreeSet<Shape>) -> Self {
        Self { segment, reader, head, kinds, poisoned: false }
    }

    /// The last durable record.
    pub fn head(&self) -> Head {
        self.head
    }

    /// What the hot segment says of itself.
    pub fn header(&self) -> &SegmentHeader {
        &self.segment.header
    }

    /// Reads what is durable, from any thread.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Appends events in one durable commit; returns the new head.
    ///
    /// After any error nothing is accepted any more: whether the commit became durable is
    /// unknown. The process ends and reads again.
    pub fn append(&mut self, envelopes: &[Envelope]) -> Result<Head, LogError> {
        let batch = self.encode(envelopes)?;
        self.append_batch(&batch)
    }

    /// Encodes events for the present head.
    pub fn encode(&mut self, envelopes: &[Envelope]) -> Result<Batch, LogError> {
        Batch::encode(self.head, envelopes).map_err(|refusal| self.refuse(refusal))
    }

    /// As [`Self::append`] for what was encoded before.
    pub fn append_batch(&mut self, batch: &Batch) -> Result<Head, LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned { file: self.segment.file().to_owned() });
        }
        if batch.previous != self.head {
            return Err(self.refuse(Refusal::WrongHead { head: self.head.seq }));
        }
        if batch.ends.is_empty() {
            return Ok(self.head);
        }
        // Until the commit is known to have worked.
        self.poisoned = true;
        let fresh = batch.kinds.difference(&self.kinds).next().is_some();
        let kinds: BTreeSet<_> = self.kinds.union(&batch.kinds).copied().collect();
        self.segment.commit("append", |transaction| {
            let mut records = transaction.open_table(RECORDS)?;
            let mut cursor = records.upper_bound_mut(Bound::<u64>::Unbounded)?;
            for (seq, bytes) in batch.records() {
                cursor.insert_before(seq, bytes)?;
            }
            cursor.close()?;
            let mut meta = transaction.open_table(META)?;
            meta.insert("head", segments::encode_head(batch.head).as_slice())?;
            if fresh {
                meta.insert("kinds", segments::encode_kinds(&kinds).as_slice())?;
            }
            Ok(())
        })?;
        self.poisoned = false;
        self.head = batch.head;
        self.kinds = kinds;
        Ok(self.head)
    }

    /// Records of the hot segment.
    pub fn hot_records(&self) -> u64 {
        self.head.seq + 1 - self.segment.header.first_seq
    }

    /// Seals the hot segment and goes on in a new one, which opens with the state at the head.
    /// A log without a directory stays one segment.
    ///
    /// # Errors
    /// Unless [`Self::is_poisoned`], nothing has changed, and the log goes on in the old segment.
    pub fn seal(&mut self, snapshot: &[u8]) -> Result<(), LogError> {
        if self.poisoned {
            return Err(LogError::Poisoned { file: self.segment.file().to_owned() });
        }
        let Some(directory) = self.reader.directory().cloned() else { return Ok(()) };
        if self.hot_records() == 0 {
            return Ok(());
        }
        let environment = self.segment.header.environment.clone();
        let header = SegmentHeader::after(self.head, snapshot, environment);
        let next = make(&*directory, &header, snapshot)?;
        sync(&*directory)?;
        // From here on until the new name is durable, only a new start can tell what is there.
        self.poisoned = true;
        self.segment.commit("seal", |transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert("sealed", header.first_seq.to_le_bytes().as_slice())?;
            Ok(())
        })?;
        publish(&*directory, &segments::segment_name(header.first_seq))?;
        self.poisoned = false;
        self.segment = Arc::new(next);
        self.kinds = BTreeSet::new();
        self.reader.push(Arc::clone(&self.segment));
        Ok(())
    }

    /// Whether an error ended all writing.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Whether redb panicked in the hot segment, if only for a reader. Appends still work; but what
    /// redb lends from then on is leaked, so the process should end soon and open it anew.
    pub fn has_panicked(&self) -> bool {
        self.segment.has_panicked()
    }

    fn refuse(&mut self, refusal: Refusal) -> LogError {
        self.poisoned = true;
        LogError::Refused { file: self.segment.file().to_owned(), refusal }
    }
}

/// Makes a segment under its temporary name, durable but for that name.
fn make(
    directory: &dyn Directory,
    header: &SegmentHeader,
    snapshot: &[u8],
) -> Result<Segment, LogError> {
    let temporary = reader::temporary_name(&segments::segment_name(header.first_seq));
    let file = segments::segment_path(directory.path(), header.first_seq);
    let made = directory.create(&temporary);
    let made = made.map_err(|error| LogError::io(&file, "create", error))?;
    Segment::create(&file, Boxed(made), header, snapshot)
}

/// Gives a file its name, durably.
pub(super) fn publish(directory: &dyn Directory, name: &str) -> Result<(), LogError> {
    let file = directory.path().join(name);
    let renamed = directory.rename(&reader::temporary_name(name), name);
    renamed.map_err(|error| LogError::io(&file, "rename to", error))?;
    sync(directory)
}

fn sync(directory: &dyn Directory) -> Result<(), LogError> {
    directory.sync().map_err(|error| LogError::io(directory.path(), "sync", error))
}

fn open_hot(directory: &dyn Directory, first_seq: u64) -> Result<Arc<Segment>, LogError> {
    let file = segments::segment_path(directory.path(), first_seq);
    let opened = directory.open(&segments::segment_name(first_seq));
    let opened = opened.map_err(|error| LogError::io(&file, "open", error))?;
    Segment::open(&file, Boxed(opened)).map(Arc::new)
}

/// What a crash left half made means nothing.
fn remove_temporaries(directory: &dyn Directory) -> Result<(), LogError> {
    let failed = |error| LogError::io(directory.path(), "clean up", error);
    for name in directory.names().map_err(failed)? {
        if Path::new(&name).extension().is_some_and(|ending| ending == atomic::TEMPORARY) {
            directory.remove(&name).map_err(failed)?;
        }
    }
    Ok(())
}

/// Reads the tail of the hot segment, every record of it; returns the head and all kinds.
fn check_tail(reader: &Reader, verify_from: u64) -> Result<(Head, BTreeSet<Shape>), LogError> {
    let segments = reader.segments();
    let hot = reader.segment(&segments[segments.len() - 1])?;
    let view = hot.view()?;
    let (head, kinds) = (view.head()?, view.kinds()?);
    drop(view);
    if let Some(&shape) = kinds.iter().find(|shape| !versions::is_known(shape.kind, shape.version))
    {
        let (place, newer) = (Place::of_file(hot.file()), Newer::Shape(shape));
        return Err(LogError::Newer { place, newer });
    }
    let last = head.seq.max(hot.header.first_seq);
    let mut cursor = reader.cursor(verify_from.clamp(hot.header.first_seq, last))?;
    while let Some(record) = cursor.next_record()? {
        if record.content.is_some() {
            reader::envelope(hot.file(), &record)?;
        }
    }
    Ok((head, kinds))
}
