//! One open segment: its database, its rows, and a look at its records.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use redb::{
    AccessGuard, Database, Durability, Range, ReadOnlyTable, ReadTransaction, ReadableDatabase,
    ReadableTable, StorageBackend, TableDefinition, WriteTransaction,
};

use super::chain::Head;
use super::error::{Damage, LogError};
use super::guard::{Guard, Kept};
use super::segments::{self, SegmentHeader};
use super::upcast::Shape;
use crate::limits;

pub(crate) const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
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
        let guard = Guard::new(file);
        // redb would make a new database of it, and jr never starts empty instead.
        if backend.len().map_err(|error| LogError::io(file, "measure", error))? == 0 {
            return Err(LogError::damaged(file, Damage::EmptyFile));
        }
        let database = open_database(&guard, "open", backend)?;
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
        let guard = Guard::new(file);
        let database = open_database(&guard, "create", backend)?;
        let segment = Self { database, guard, header: header.clone() };
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
    pub(crate) fn view(&self) -> Result<View, LogError> {
        View::new(&self.guard, &self.database)
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
) -> Result<Kept<Database>, LogError> {
    let database = guard.call(operation, || {
        let mut builder = Database::builder();
        builder.set_cache_size(limits::CACHE_BYTES);
        Ok(builder.create_with_backend(backend)?)
    })?;
    Ok(Kept::new(database, guard))
}

/// A consistent look at one segment.
pub(crate) struct View {
    // Dropped in this order: what was lent before what lent it.
    records: Kept<ReadOnlyTable<u64, &'static [u8]>>,
    meta: Kept<ReadOnlyTable<&'static str, &'static [u8]>>,
    _transaction: Kept<ReadTransaction>,
    guard: Arc<Guard>,
}

/// A stored value, held in redb's cache.
pub(crate) type Stored = Kept<AccessGuard<'static, &'static [u8]>>;

impl View {
    fn new(guard: &Arc<Guard>, database: &Database) -> Result<Self, LogError> {
        let transaction = guard.call("begin to read", || Ok(database.begin_read()?))?;
        let transaction = Kept::new(transaction, guard);
        let records = guard.call("open the records", || Ok(transaction.open_table(RECORDS)?))?;
        let records = Kept::new(records, guard);
        let meta = guard.call("open the rows", || Ok(transaction.open_table(META)?))?;
        let meta = Kept::new(meta, guard);
        Ok(Self { records, meta, _transaction: transaction, guard: Arc::clone(guard) })
    }

    pub(crate) fn file(&self) -> &Path {
        self.guard.file()
    }

    /// A row of the `meta` table.
    pub(crate) fn row(&self, name: &'static str) -> Result<Vec<u8>, LogError> {
        let row = self.guard.call("read a row", || {
            Ok(ReadableTable::get(&*self.meta, name)?.map(|row| row.value().to_vec()))
        })?;
        row.ok_or_else(|| LogError::damaged(self.file(), Damage::RowMissing(name)))
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
        Ok(stored.map(|stored| Kept::new(stored, &self.guard)))
    }

    /// The bytes that a stored value holds.
    pub(crate) fn bytes<'a>(&self, stored: &'a Stored) -> Result<&'a [u8], LogError> {
        self.guard.call("read a record", || Ok(stored.value()))
    }

    /// The records from a seq on, ascending.
    pub(crate) fn scan(&self, from: u64) -> Result<Scan, LogError> {
        let range = self.guard.call("scan", || Ok(self.records.range(from..)?))?;
        Ok(Scan { range: Kept::new(range, &self.guard), guard: Arc::clone(&self.guard) })
    }
}

/// Records of a [`View`] in order. Must not outlive it.
pub(crate) struct Scan {
    range: Kept<Range<'static, u64, &'static [u8]>>,
    guard: Arc<Guard>,
}

impl Scan {
    /// The next key and value.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Stored)>, LogError> {
        let range = &mut *self.range;
        let next = self.guard.call("scan", || {
            let Some(next) = range.next() else { return Ok(None) };
            let (key, value) = next?;
            Ok(Some((key.value(), value)))
        })?;
        Ok(next.map(|(key, value)| (key, Kept::new(value, &self.guard))))
    }
}
