//! Neighbouring pruned records in one value: what stays of them fills a page of redb.
//!
//! ```text
//! key: seq of the first
//! value: hash before 32 │ hash after 32 │ (kind 2 │ version 2 │ digest 32) × n │ check 8
//! ```
//! Each record's hash follows from the one before it and its digest; the last must be the hash
//! after. `check` is the beginning of blake3 of the key and all before it, so that a flipped bit in
//! a label is seen as well.

use std::path::Path;

use super::chain;
use super::error::{Damage, LogError};
use super::record::{self, take};
use super::upcast::Shape;
use crate::model::Digest;

/// Records of one span, at most: redb keeps a leaf of 4,096 bytes for it.
pub(super) const RECORDS_MAX: usize = 110;
const ENDS: usize = 64;
const ITEM: usize = 36;
const CHECK: usize = 8;

/// One span being made.
#[derive(Debug)]
pub(crate) struct Builder {
    first: u64,
    before: Digest,
    after: Digest,
    items: Vec<u8>,
}

impl Builder {
    /// For records from `first` on, which continue `before`.
    pub(crate) fn new(first: u64, before: Digest) -> Self {
        Self { first, before, after: before, items: Vec::with_capacity(RECORDS_MAX * ITEM) }
    }

    pub(crate) fn push(&mut self, shape: Shape, digest: Digest, hash: Digest) {
        self.items.extend_from_slice(&shape.kind.to_le_bytes());
        self.items.extend_from_slice(&shape.version.to_le_bytes());
        self.items.extend_from_slice(&digest.0);
        self.after = hash;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= RECORDS_MAX * ITEM
    }

    /// Key and value.
    pub(crate) fn finish(self) -> (u64, Vec<u8>) {
        let mut value = Vec::with_capacity(ENDS + self.items.len() + CHECK);
        value.extend_from_slice(&self.before.0);
        value.extend_from_slice(&self.after.0);
        value.extend_from_slice(&self.items);
        let check = check(self.first, &value);
        value.extend_from_slice(&check);
        (self.first, value)
    }
}

fn check(first: u64, body: &[u8]) -> [u8; CHECK] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&first.to_le_bytes()).update(body);
    let mut check = [0; CHECK];
    check.copy_from_slice(&hasher.finalize().as_bytes()[..CHECK]);
    check
}

/// The records of a stored span, one after the other, as they would lie there singly.
#[derive(Debug)]
pub(crate) struct Records {
    items: Vec<u8>,
    read: usize,
    next: u64,
    hash: Digest,
}

impl Records {
    /// Of a value that is what was stored.
    pub(crate) fn parse(file: &Path, first: u64, value: &[u8]) -> Result<Self, LogError> {
        Self::checked(first, value).ok_or_else(|| LogError::damaged_at(file, first, Damage::Span))
    }

    fn checked(first: u64, value: &[u8]) -> Option<Self> {
        let (body, found) = value.split_last_chunk::<CHECK>()?;
        if check(first, body) != *found && !crate::mutants::is_on("ignore_digest") {
            return None;
        }
        let mut items = body;
        let before = Digest(take(&mut items)?);
        let after = Digest(take(&mut items)?);
        if items.is_empty() || !items.len().is_multiple_of(ITEM) {
            return None;
        }
        let digests = items.chunks(ITEM).filter_map(|item| item.last_chunk::<32>());
        let end = digests.fold(before, |hash, digest| chain::extend(hash, Digest(*digest)));
        let (items, read) = (items.to_vec(), 0);
        (end == after).then_some(Self { items, read, next: first, hash: before })
    }

    /// Where the next one lies.
    pub(crate) fn seq(&self) -> u64 {
        self.next
    }

    /// How many are left.
    pub(crate) fn count(&self) -> u64 {
        ((self.items.len() - self.read) / ITEM) as u64
    }

    /// The next: its seq and bytes.
    pub(crate) fn next(&mut self) -> Option<(u64, Vec<u8>)> {
        let mut item = self.items.get(self.read..self.read + ITEM)?;
        let kind = u16::from_le_bytes(take(&mut item)?);
        let version = u16::from_le_bytes(take(&mut item)?);
        let digest = Digest(take(&mut item)?);
        self.hash = chain::extend(self.hash, digest);
        let seq = self.next;
        self.next += 1;
        self.read += ITEM;
        Some((seq, record::pruned_bytes(Shape { kind, version }, seq, digest, self.hash)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::Record;

    #[test]
    fn records_come_back_as_they_were_and_no_flipped_bit_is_believed() {
        let before = Digest([5; 32]);
        let mut builder = Builder::new(40, before);
        let mut hash = before;
        for number in 0..3 {
            let digest = Digest([number; 32]);
            hash = chain::extend(hash, digest);
            builder.push(Shape { kind: 7, version: u16::from(number) }, digest, hash);
        }
        let (first, value) = builder.finish();
        let mut records = Records::parse(Path::new("x"), first, &value).expect("whole");
        assert_eq!(records.count(), 3);
        let mut previous = before;
        for number in 0..3_u8 {
            let (seq, bytes) = records.next().expect("three");
            let record = Record::parse(&bytes).expect("parses");
            assert_eq!((seq, record.seq), (40 + u64::from(number), 40 + u64::from(number)));
            assert_eq!(record.shape, Shape { kind: 7, version: u16::from(number) });
            assert_eq!(record.verify(previous), Ok(()));
            previous = record.hash;
        }
        assert!(records.next().is_none());
        for bit in 0..value.len() * 8 {
            let mut bad = value.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Records::parse(Path::new("x"), first, &bad).is_err(), "bit {bit}");
        }
        assert!(Records::parse(Path::new("x"), first + 1, &value).is_err());
    }

    #[test]
    fn a_full_one_fills_a_page() {
        // Leaf header, key, end of the value.
        let page = 4_096 - 4 - 8 - 4;
        let full = ENDS + RECORDS_MAX * ITEM + CHECK;
        assert!(full <= page && full + 2 * ITEM > page, "{full}");
    }
}
