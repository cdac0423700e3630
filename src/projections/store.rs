//! `views.redb`: checked rows in a file that redb keeps whole.
//!
//! A row that is found is believed only with its check. A row that is not found is believed to be
//! absent only if its neighbours have theirs and lie on the right sides of it: a changed byte in a
//! key would otherwise make a row silently disappear.

use std::mem::ManuallyDrop;
use std::ops::Bound;

use redb::{Builder, Database, ReadOnlyTable, ReadableDatabase, StorageBackend, TableDefinition};

use super::error::ViewsError;
use super::guard::Guarded;
use super::rows::{Table, seal, unseal};

type Bytes = &'static [u8];
type Found = redb::Range<'static, Bytes, Bytes>;

/// Rows of one table: key and value, not yet sealed.
pub(super) type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// Cache of the file. The page cache behind it serves as well; a larger one buys nothing.
const CACHE_BYTES: usize = 4 << 20;

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
}

#[derive(Debug)]
pub(super) struct Store {
    database: Guarded<Database>,
}

impl Store {
    /// Opens what the backend holds; makes it where it is empty.
    pub(super) fn open(backend: impl StorageBackend) -> Result<Self, ViewsError> {
        let open = || {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE_BYTES);
            builder.create_with_backend(backend).map_err(redb::Error::from)
        };
        Ok(Self { database: Guarded::make("open", open)? })
    }

    /// Whether nothing was ever written to it.
    pub(super) fn is_new(&self) -> Result<bool, ViewsError> {
        self.database.call("read", |database| {
            let transaction = database.begin_read().map_err(|error| failed(error.into()))?;
            let transaction = ManuallyDrop::new(transaction);
            let tables = transaction.list_tables().map_err(|error| failed(error.into()))?.count();
            drop(ManuallyDrop::into_inner(transaction));
            Ok(tables == 0)
        })
    }

    /// Writes rows of several tables in one commit, after which a killed process opens quickly.
    pub(super) fn commit(&self, tables: Vec<(Table, Rows)>) -> Result<(), ViewsError> {
        let operation = "commit";
        let fail = |error: redb::Error| ViewsError::redb(operation, error);
        self.database.call(operation, |database| {
            let transaction = database.begin_write().map_err(|error| fail(error.into()))?;
            let mut transaction = ManuallyDrop::new(transaction);
            transaction.set_quick_repair(true);
            for (table, rows) in tables {
                let open = transaction.open_table(definition(table));
                let mut open = ManuallyDrop::new(open.map_err(|error| fail(error.into()))?);
                for (key, value) in rows {
                    let value = seal(table, &key, value);
                    let before = open.insert(key.as_slice(), value.as_slice());
                    drop(before.map_err(|error| fail(error.into()))?);
                }
                drop(ManuallyDrop::into_inner(open));
            }
            ManuallyDrop::into_inner(transaction).commit().map_err(|error| fail(error.into()))
        })
    }

    /// One row.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ViewsError> {
        self.read(table, |open| {
            let found = open.get(key).map_err(|error| failed(error.into()))?;
            if let Some(found) = found {
                return Ok(Some(unseal(table, key, found.value())?.to_vec()));
            }
            let mut below = range(open, Bound::Unbounded, Bound::Excluded(key))?;
            Self::neighbour(table, below.next_back(), |found| found < key)?;
            let mut above = range(open, Bound::Included(key), Bound::Unbounded)?;
            Self::neighbour(table, above.next(), |found| found > key)?;
            Ok(None)
        })
    }

    /// At most `limit` rows with keys from `from` to `to`, both included.
    pub(super) fn scan(
        &self,
        table: Table,
        (from, to): (&[u8], &[u8]),
        order: Order,
        limit: usize,
    ) -> Result<Rows, ViewsError> {
        self.read(table, |open| {
            let (mut near, far) = match order {
                Order::Ascending => (
                    range(open, Bound::Unbounded, Bound::Excluded(from))?,
                    range(open, Bound::Included(from), Bound::Unbounded)?,
                ),
                Order::Descending => (
                    range(open, Bound::Excluded(to), Bound::Unbounded)?,
                    range(open, Bound::Unbounded, Bound::Included(to))?,
                ),
            };
            match order {
                Order::Ascending => {
                    Self::neighbour(table, near.next_back(), |found| found < from)?;
                    collect(table, far, limit, |key| key > to, |last, key| last < key, from)
                }
                Order::Descending => {
                    Self::neighbour(table, near.next(), |found| found > to)?;
                    collect(table, far.rev(), limit, |key| key < from, |last, key| last > key, to)
                }
            }
        })
    }

    /// A row beside what was asked for must be sound and on its side.
    fn neighbour(
        table: Table,
        row: Option<Result<Guards, redb::StorageError>>,
        in_order: impl Fn(&[u8]) -> bool,
    ) -> Result<(), ViewsError> {
        let Some(row) = row else { return Ok(()) };
        let (key, value) = row.map_err(|error| failed(error.into()))?;
        unseal(table, key.value(), value.value())?;
        if in_order(key.value()) { Ok(()) } else { Err(disorder(table)) }
    }

    fn read<R>(
        &self,
        table: Table,
        read: impl FnOnce(&ReadOnlyTable<Bytes, Bytes>) -> Result<R, ViewsError>,
    ) -> Result<R, ViewsError> {
        self.database.call("read", |database| {
            let transaction = database.begin_read().map_err(|error| failed(error.into()))?;
            let transaction = ManuallyDrop::new(transaction);
            let open = transaction.open_table(definition(table));
            let open = ManuallyDrop::new(open.map_err(|error| failed(error.into()))?);
            let result = read(&open);
            drop(ManuallyDrop::into_inner(open));
            drop(ManuallyDrop::into_inner(transaction));
            result
        })
    }
}

type Guards = (redb::AccessGuard<'static, Bytes>, redb::AccessGuard<'static, Bytes>);

fn definition(table: Table) -> TableDefinition<'static, Bytes, Bytes> {
    TableDefinition::new(table.name())
}

fn range(
    open: &ReadOnlyTable<Bytes, Bytes>,
    from: Bound<&[u8]>,
    to: Bound<&[u8]>,
) -> Result<Found, ViewsError> {
    open.range::<&[u8]>((from, to)).map_err(|error| failed(error.into()))
}

/// Takes rows until one is past the end; each must follow the one before.
fn collect(
    table: Table,
    found: impl Iterator<Item = Result<Guards, redb::StorageError>>,
    limit: usize,
    is_past: impl Fn(&[u8]) -> bool,
    follows: impl Fn(&[u8], &[u8]) -> bool,
    start: &[u8],
) -> Result<Rows, ViewsError> {
    let mut rows: Rows = Vec::new();
    // Nothing is fetched beyond: the next row may lie in a page of its own.
    for row in found.take(limit) {
        let (key, value) = row.map_err(|error| failed(error.into()))?;
        let (key, value) = (key.value(), value.value());
        let value = unseal(table, key, value)?;
        let in_order = match rows.last() {
            Some((last, _)) => follows(last, key),
            None => key == start || follows(start, key),
        };
        if !in_order {
            return Err(disorder(table));
        }
        if is_past(key) {
            break;
        }
        rows.push((key.to_vec(), value.to_vec()));
    }
    Ok(rows)
}

fn failed(error: redb::Error) -> ViewsError {
    ViewsError::redb("read", error)
}

fn disorder(table: Table) -> ViewsError {
    ViewsError::damaged(format!("rows of {} are out of order", table.name()))
}
