//! The time index: which bytes were there when. Losing it loses times and order, never bytes.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::model::{Now, UnixMillis};
use crate::sys::regular;

/// Bytes of one entry.
pub const ENTRY_BYTES: usize = 32;
/// Above so many entries one a second is enough: a talkative service writes 2 MiB a day then.
const FINE_ENTRIES: u64 = 500_000;
const COARSE_MS: u64 = 1_000;
/// Entries read at once.
const CHUNK_ENTRIES: usize = 512;

/// How long both files were at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Now,
    /// Length of stdout and stderr, in bytes.
    pub lengths: [u64; 2],
}

impl Entry {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.at.wall.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.at.boottime_ms.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.lengths[0].to_le_bytes());
        bytes[24..].copy_from_slice(&self.lengths[1].to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let word = |place: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[place..place + 8]);
            word
        };
        let at = Now {
            wall: UnixMillis(i64::from_le_bytes(word(0))),
            boottime_ms: u64::from_le_bytes(word(8)),
        };
        Self { at, lengths: [u64::from_le_bytes(word(16)), u64::from_le_bytes(word(24))] }
    }
}

/// The writing end. The file appears with the first output.
#[derive(Debug)]
pub struct IndexWriter {
    path: PathBuf,
    file: Option<File>,
    entries: u64,
    last: Entry,
}

impl IndexWriter {
    /// For the index of `base`.
    pub fn new(base: &Path) -> Self {
        let path = super::index_path(base);
        Self { path, file: None, entries: 0, last: Entry::default() }
    }

    /// Adds an entry if it says anything new. A full disk costs the entry, nothing else.
    pub fn note(&mut self, entry: Entry, is_final: bool) {
        let since_ms = entry.at.boottime_ms.saturating_sub(self.last.at.boottime_ms);
        let is_too_fine = self.entries >= FINE_ENTRIES && since_ms < COARSE_MS && !is_final;
        if entry.lengths == self.last.lengths || is_too_fine {
            return;
        }
        if self.write(&entry).is_ok() {
            self.last = entry;
            self.entries += 1;
        }
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut options = File::options();
                options.append(true).create_new(true).mode(0o600);
                none.insert(options.open(&self.path)?)
            }
        };
        if let Err(error) = file.write_all(&entry.to_bytes()) {
            // A part of an entry would shift all that follow.
            file.set_len(self.entries * ENTRY_BYTES as u64)?;
            return Err(error);
        }
        Ok(())
    }
}

/// The reading end: entry after entry, as many as are whole.
#[derive(Debug)]
pub struct IndexReader {
    file: Option<File>,
    offset: u64,
    chunk: Vec<u8>,
    used: usize,
}

impl IndexReader {
    /// Opens the index of `base`; a missing one has no entries.
    pub fn open(base: &Path) -> io::Result<Self> {
        let file = match regular::open(&super::index_path(base)) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Self { file, offset: 0, chunk: Vec::new(), used: 0 })
    }

    /// The next entry.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        if self.chunk.len() - self.used < ENTRY_BYTES && !self.fill()? {
            return Ok(None);
        }
        let Some((bytes, _)) = self.chunk[self.used..].split_first_chunk::<ENTRY_BYTES>() else {
            return Ok(None);
        };
        self.used += ENTRY_BYTES;
        Ok(Some(Entry::from_bytes(bytes)))
    }

    fn fill(&mut self) -> io::Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        self.chunk.resize(CHUNK_ENTRIES * ENTRY_BYTES, 0);
        let length = file.read_at(&mut self.chunk, self.offset)?;
        let whole = length - length % ENTRY_BYTES;
        self.chunk.truncate(whole);
        self.offset += whole as u64;
        self.used = 0;
        Ok(whole > 0)
    }
}
