//! One open segment: its database, its rows, and a look at its records.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use redb::{
    AccessGuard, Database, Durability, Range, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable, StorageBackend, TableDefinition, TableError, WriteTransaction,
};

use super::chain::Head;
use super::error::{Damage, LogError};
use super::guard::{Guard, Kept};
use super::segments::{self, SegmentHeader};
use super::span;
use super::upcast::Shape;
use crate::limits;

pub(crate) const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
/// Pruned records, several in a row; only in segments that were pruned.
pub(crate) const SPANS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("spans");
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// A segment's open database. Shared by the writer and all readers of a process.
#[derive(Debug)]
pub(crate) struct Segment {
    database: Kept<Database>,
    guard: Arc<Guard>,
    pub(crate) header: SegmentHeader,
}

impl Segment {
    /// Opens what is there.
    pub(crate) fn open(file: &Path, backend: impl StorageBackend) -> Result<Self, LogError> {
        Self::open_with(file, backend, limits::CACHE_BYTES)
    }

    /// As [`Self::open`], with another size of cache.
    pub(crate) fn open_with(
        file: &Path,
        backend: impl StorageBackend,
        cache_bytes: usize,
    ) -> Result<Self, LogError> {
        let guard = Guard::new(file);
        // redb would make a new database of it, and jr never starts empty instead.
        if backend.len().map_err(|error| LogError::io(file, "measure", error))? == 0 {
            return Err(LogError::damaged(file, Damage::EmptyFile));
        }
        let database = open_database(&guard, "open", backend, cache_bytes)?;
        let view = View::new(&guard, &database)?;
        let row = view.row("header")?;
        drop(view);
        let header = SegmentHeader::decode(file, &row)?;
        if segments::first_seq_of(file).is_some_and(|first| first != header.first_seq) {
            return Err(LogError::damaged(file, Damage::WrongFirstSeq(header.first_seq)));
        }
        Ok(Self { database, guard, header })
    }

    /// Makes an empty segment on an empty backend; durable when it returns.
    pub(crate) fn create(
        file: &Path,
        backend: impl StorageBackend,
        header: &SegmentHeader,
        snapshot: &[u8],
    ) -> Result<Self, LogError> {
        let segment = Self::empty(file, backend, header)?;
        let row = header.encode();
        let (head, kinds) = (header.head_before(), BTreeSet::new());
        segment.commit("create", |transaction| {
            drop(transaction.open_table(RECORDS)?);
            let mut meta = transaction.open_table(META)?;
            meta.insert("header", row.as_slice())?;
            meta.insert("snapshot", snapshot)?;
            meta.insert("head", segments::encode_head(head).as_slice())?;
            meta.insert("kinds", segments::encode_kinds(&kinds).as_slice())?;
            Ok(())
        })?;
        Ok(segment)
    }

    /// A database without tables.
    pub(crate) fn empty(
        file: &Path,
        backend: impl StorageBackend,
        header: &SegmentHeader,
    ) -> Result<Self, LogError> {
        let guard = Guard::new(file);
        let database = open_database(&guard, "create", backend, limits::CACHE_BYTES)?;
        Ok(Self { database, guard, header: header.clone() })
    }

    /// Gives back what the file does not need.
    pub(crate) fn compact(&mut self) -> Result<(), LogError> {
        let guard = Arc::clone(&self.guard);
        let database = &mut *self.database;
        guard.call("compact", || {
            database.compact().map_err(redb::Error::from)?;
            Ok(())
        })
    }

    pub(crate) fn file(&self) -> &Path {
        self.guard.file()
    }

    /// Whether any call into this database panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        self.guard.has_panicked()
    }

    /// One durable transaction: data synced, then the flip to it synced, with the allocator's
    /// state beside it, so that no damage drops it silently and opening after a crash is quick.
    pub(crate) fn commit(
        &self,
        operation: &'static str,
        fill: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), LogError> {
        let transaction = self.guard.call(operation, || {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            transaction.set_two_phase_commit(true);
            transaction.set_quick_repair(true);
            Ok(transaction)
        })?;
        let transaction = Kept::new(transaction, &self.guard);
        self.guard.call(operation, || fill(&transaction))?;
        let transaction = transaction.into_inner();
        self.guard.call(operation, || Ok(transaction.commit()?))
    }

    /// A look at what is durable now.
    pub(crate) fn view(self: &Arc<Self>) -> Result<View, LogError> {
        let mut view = View::new(&self.guard, &self.database)?;
        view.owner = Some(Arc::clone(self));
        Ok(view)
    }

    /// redb's own check of every page. Writes, so only for an overlay.
    pub(crate) fn check_structure(mut self) -> Result<(), LogError> {
        let (guard, file) = (Arc::clone(&self.guard), self.guard.file().to_owned());
        let database = &mut *self.database;
        if guard.call("check", || Ok(database.check_integrity()?))? {
            return Ok(());
        }
        let text = "redb found and mended damage in its copy".to_owned();
        Err(LogError::damaged(&file, Damage::Structure(text)))
    }
}

fn open_database(
    guard: &Arc<Guard>,
    operation: &'static str,
    backend: impl StorageBackend,
    cache_bytes: usize,
) -> Result<Kept<Database>, LogError> {
    let database = guard.call(operation, || {
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        Ok(builder.create_with_backend(backend)?)
    })?;
    Ok(Kept::new(database, guard))
}

/// A consistent look at one segment.
pub(crate) struct View {
    // Dropped in this order: what was lent before what lent it.
    records: Kept<ReadOnlyTable<u64, &'static [u8]>>,
    spans: Option<Kept<ReadOnlyTable<u64, &'static [u8]>>>,
    meta: Kept<ReadOnlyTable<&'static str, &'static [u8]>>,
    _transaction: Kept<ReadTransaction>,
    guard: Arc<Guard>,
    /// Others may close it meanwhile; it is open as long as it is looked at.
    owner: Option<Arc<Segment>>,
}

type Lent = Kept<AccessGuard<'static, &'static [u8]>>;

/// A record: held in redb's cache, or made from a span.
pub(crate) enum Stored {
    Lent(Lent),
    Made(Vec<u8>),
}

impl View {
    fn new(guard: &Arc<Guard>, database: &Database) -> Result<Self, LogError> {
        let transaction = guard.call("begin to read", || Ok(database.begin_read()?))?;
        let transaction = Kept::new(transaction, guard);
        let records = guard.call("open the records", || Ok(transaction.open_table(RECORDS)?))?;
        let records = Kept::new(records, guard);
        let spans = guard.call("open the spans", || match transaction.open_table(SPANS) {
            Ok(spans) => Ok(Some(spans)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })?;
        let spans = spans.map(|spans| Kept::new(spans, guard));
        let meta = guard.call("open the rows", || Ok(transaction.open_table(META)?))?;
        let meta = Kept::new(meta, guard);
        let guard = Arc::clone(guard);
        Ok(Self { records, spans, meta, _transaction: transaction, guard, owner: None })
    }

    pub(crate) fn file(&self) -> &Path {
        self.guard.file()
    }

    /// A row of the `meta` table.
    pub(crate) fn row(&self, name: &'static str) -> Result<Vec<u8>, LogError> {
        let row = self.optional_row(name)?;
        row.ok_or_else(|| LogError::damaged(self.file(), Damage::RowMissing(name)))
    }

    /// A row that not every segment has.
    pub(crate) fn optional_row(&self, name: &'static str) -> Result<Option<Vec<u8>>, LogError> {
        self.guard.call("read a row", || {
            Ok(ReadableTable::get(&*self.meta, name)?.map(|row| row.value().to_vec()))
        })
    }

    /// Where the segment after it begins, if it is sealed.
    pub(crate) fn sealed(&self) -> Result<Option<u64>, LogError> {
        let Some(row) = self.optional_row("sealed")? else { return Ok(None) };
        let next = <[u8; 8]>::try_from(row.as_slice()).map(u64::from_le_bytes);
        let next = next.ok().filter(|next| self.head().is_ok_and(|head| head.seq + 1 == *next));
        let malformed = || LogError::damaged(self.file(), Damage::RowMalformed("sealed"));
        next.ok_or_else(malformed).map(Some)
    }

    /// The last record, by the `head` row.
    pub(crate) fn head(&self) -> Result<Head, LogError> {
        let malformed = || LogError::damaged(self.file(), Damage::RowMalformed("head"));
        segments::decode_head(&self.row("head")?).ok_or_else(malformed)
    }

    /// Kinds and versions of all records.
    pub(crate) fn kinds(&self) -> Result<BTreeSet<Shape>, LogError> {
        let malformed = || LogError::damaged(self.file(), Damage::RowMalformed("kinds"));
        segments::decode_kinds(&self.row("kinds")?).ok_or_else(malformed)
    }

    /// The bytes of one record.
    pub(crate) fn record(&self, seq: u64) -> Result<Option<Stored>, LogError> {
        let stored = self.guard.call("read a record", || Ok(self.records.get(seq)?))?;
        if let Some(stored) = stored {
            return Ok(Some(Stored::Lent(Kept::new(stored, &self.guard))));
        }
        let Some(mut span) = self.span_before(seq + 1)? else { return Ok(None) };
        while let Some((found, bytes)) = span.next() {
            if found == seq {
                return Ok(Some(Stored::Made(bytes)));
            }
        }
        Ok(None)
    }

    /// The span that begins last before `seq`.
    fn span_before(&self, seq: u64) -> Result<Option<span::Records>, LogError> {
        let Some(spans) = &self.spans else { return Ok(None) };
        let found = self.guard.call("read a span", || {
            let Some(found) = spans.range(..seq)?.next_back() else { return Ok(None) };
            let (key, value) = found?;
            Ok(Some((key.value(), value.value().to_vec())))
        })?;
        found.map(|(first, value)| span::Records::parse(self.file(), first, &value)).transpose()
    }

    /// The bytes that a stored value holds.
    pub(crate) fn bytes<'a>(&self, stored: &'a Stored) -> Result<&'a [u8], LogError> {
        match stored {
            Stored::Lent(stored) => self.guard.call("read a record", || Ok(stored.value())),
            Stored::Made(bytes) => Ok(bytes),
        }
    }

    /// The records from a seq on, ascending.
    pub(crate) fn scan(&self, from: u64) -> Result<Scan, LogError> {
        let range = self.guard.call("scan", || Ok(self.records.range(from..)?))?;
        let mut scan = Scan {
            whole: None,
            range: Kept::new(range, &self.guard),
            spans: None,
            span: None,
            guard: Arc::clone(&self.guard),
        };
        if let Some(spans) = &self.spans {
            let range = self.guard.call("scan", || Ok(spans.range(from..)?))?;
            scan.spans = Some(Kept::new(range, &self.guard));
            scan.span = self.span_before(from)?;
            scan.skip_to(from);
        }
        Ok(scan)
    }

    /// The records that were never pruned, from a seq on, ascending.
    pub(crate) fn scan_whole(&self, from: u64) -> Result<Scan, LogError> {
        let range = self.guard.call("scan", || Ok(self.records.range(from..)?))?;
        let (whole, range, guard) = (None, Kept::new(range, &self.guard), Arc::clone(&self.guard));
        Ok(Scan { whole, range, spans: None, span: None, guard })
    }
}

/// Records of a [`View`] in order. Must not outlive it.
pub(crate) struct Scan {
    /// Read ahead, while a span may come before it.
    whole: Option<(u64, Lent)>,
    range: Kept<Range<'static, u64, &'static [u8]>>,
    spans: Option<Kept<Range<'static, u64, &'static [u8]>>>,
    /// What is left of the span that was met last, and its next record.
    span: Option<span::Records>,
    guard: Arc<Guard>,
}

impl Scan {
    /// The next key and value.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Stored)>, LogError> {
        if self.spans.is_none() {
            return Ok(self.next_whole()?.map(|(seq, stored)| (seq, Stored::Lent(stored))));
        }
        if self.whole.is_none() {
            self.whole = self.next_whole()?;
        }
        if self.span.as_ref().is_none_or(|span| span.count() == 0) {
            self.span = self.next_span()?;
        }
        let from_span = match (&self.whole, &self.span) {
            (Some((whole, _)), Some(span)) => span.seq() < *whole,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if from_span {
            let next = self.span.as_mut().and_then(span::Records::next);
            return Ok(next.map(|(seq, bytes)| (seq, Stored::Made(bytes))));
        }
        Ok(self.whole.take().map(|(seq, stored)| (seq, Stored::Lent(stored))))
    }

    fn next_whole(&mut self) -> Result<Option<(u64, Lent)>, LogError> {
        let range = &mut *self.range;
        let next = self.guard.call("scan", || {
            let Some(next) = range.next() else { return Ok(None) };
            let (key, value) = next?;
            Ok(Some((key.value(), value)))
        })?;
        Ok(next.map(|(key, value)| (key, Kept::new(value, &self.guard))))
    }

    fn next_span(&mut self) -> Result<Option<span::Records>, LogError> {
        let Some(spans) = &mut self.spans else { return Ok(None) };
        let next = self.guard.call("scan", || {
            let Some(next) = spans.next() else { return Ok(None) };
            let (key, value) = next?;
            Ok(Some((key.value(), value.value().to_vec())))
        })?;
        let parse =
            |(first, value): (u64, Vec<u8>)| span::Records::parse(self.guard.file(), first, &value);
        next.map(parse).transpose()
    }

    /// Leaves out what the first span has before `from`.
    fn skip_to(&mut self, from: u64) {
        while let Some(span) = self.span.as_mut().filter(|span| span.seq() < from) {
            if span.next().is_none() {
                self.span = None;
            }
        }
    }
}
