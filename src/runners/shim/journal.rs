//! A shim's journal: what it claimed before each fork and what came of it. Appended without a
//! sync: a power cut ends the boot, and all attempts of another boot are `lost: reboot` anyway.
//!
//! ```text
//! record: u32 length of payload │ u16 kind │ payload │ first 8 bytes of blake3(all before)
//! kinds:  1 Opened · 2 Claim · 3 Started · 4 Ended · 5 Refused · 6 Stopped
//!         7 Groups                                                            (little-endian)
//! ```

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::FallocateFlags;
use serde::{Deserialize, Serialize};

use crate::model::event::Process;
use crate::model::{AttemptEnd, BootId, ByteString};
use crate::runners::linux::pidfd::Identity;
use crate::runners::protocol::AttemptId;
use crate::runners::wire::{decode, encode};

/// The journal's name in a shim's directory.
pub const FILE: &str = "journal";
/// A shim that runs nothing drops what was forgotten from a journal above this size.
pub const TRUNCATE_ABOVE_BYTES: u64 = 64 << 10;
/// Space taken in advance, so that a full disk stops neither a claim nor an exit record.
const RESERVED_BYTES: u64 = 128 << 10;
const HEAD_BYTES: usize = 6;
const CHECK_BYTES: usize = 8;

/// Who the shim is and what fences its tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Its boot.
    pub boot: BootId,
    /// Its process id, and the session that its children are born in.
    pub pid: u32,
    /// Its start, as in [`Process`].
    pub start_ticks: u64,
    /// The cgroup leaf of its attempts, where it has one.
    pub leaf: Option<ByteString>,
    /// Where it listens.
    pub socket: ByteString,
}

/// An attempt is about to be forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Which.
    pub id: AttemptId,
    /// In which boot.
    pub boot: BootId,
    /// By which shim.
    pub shim_pid: u32,
    /// The start of that shim.
    pub shim_start_ticks: u64,
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A shim began to write here, or has emptied the journal.
    Opened(Opened),
    /// Written before the fork: without it nothing has begun.
    Claim(Claim),
    /// The program runs.
    Started(AttemptId, Process),
    /// The exit record.
    Ended(AttemptId, AttemptEnd),
    /// Given back and refused for ever.
    Refused(AttemptId),
    /// Its processes, when all of them had been stopped by signals.
    Stopped(AttemptId, Vec<Identity>),
    /// Paths of the cgroup v1 groups that hold the next attempt to its limits.
    Groups(Vec<ByteString>),
}

impl Entry {
    fn to_bytes(&self) -> Vec<u8> {
        let (kind, payload): (u16, Vec<u8>) = match self {
            Self::Opened(opened) => (1, encode(opened)),
            Self::Claim(claim) => (2, encode(claim)),
            Self::Started(id, process) => (3, encode(&(id, process))),
            Self::Ended(id, end) => (4, encode(&(id, end))),
            Self::Refused(id) => (5, encode(id)),
            Self::Stopped(id, members) => (6, encode(&(id, members))),
            Self::Groups(paths) => (7, encode(paths)),
        };
        let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len() + CHECK_BYTES);
        bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&payload);
        let check = blake3::hash(&bytes);
        bytes.extend_from_slice(&check.as_bytes()[..CHECK_BYTES]);
        bytes
    }

    /// The entry at the beginning of `bytes` and its length; `None` at a torn or damaged one.
    fn from_bytes(bytes: &[u8]) -> Option<(Self, usize)> {
        let (head, _) = bytes.split_first_chunk::<HEAD_BYTES>()?;
        let [l0, l1, l2, l3, k0, k1] = *head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let checked = bytes.get(..HEAD_BYTES.checked_add(length)?)?;
        let check = bytes.get(checked.len()..checked.len() + CHECK_BYTES)?;
        if blake3::hash(checked).as_bytes()[..CHECK_BYTES] != *check {
            return None;
        }
        let payload = &checked[HEAD_BYTES..];
        let entry = match u16::from_le_bytes([k0, k1]) {
            1 => Self::Opened(decode(payload).ok()?),
            2 => Self::Claim(decode(payload).ok()?),
            3 => decode(payload).map(|(id, process)| Self::Started(id, process)).ok()?,
            4 => decode(payload).map(|(id, end)| Self::Ended(id, end)).ok()?,
            5 => Self::Refused(decode(payload).ok()?),
            7 => Self::Groups(decode(payload).ok()?),
            6 => decode(payload).map(|(id, members)| Self::Stopped(id, members)).ok()?,
            _ => return None,
        };
        Some((entry, checked.len() + CHECK_BYTES))
    }
}

/// Who wrote it: the shim that opened it last.
pub fn opened(entries: &[Entry]) -> Option<&Opened> {
    entries.iter().rev().find_map(|entry| match entry {
        Entry::Opened(opened) => Some(opened),
        Entry::Claim(_)
        | Entry::Started(..)
        | Entry::Ended(..)
        | Entry::Refused(_)
        | Entry::Stopped(..)
        | Entry::Groups(_) => None,
    })
}

/// Reads a journal up to its end or the first record that is torn; a missing one is empty.
pub fn read(path: &Path) -> io::Result<Vec<Entry>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(entries(&bytes).0)
}

fn entries(bytes: &[u8]) -> (Vec<Entry>, usize) {
    let mut found = Vec::new();
    let mut offset = 0;
    while let Some((entry, length)) = Entry::from_bytes(&bytes[offset..]) {
        found.push(entry);
        offset += length;
    }
    (found, offset)
}

/// The writing end.
#[derive(Debug)]
pub struct Journal {
    file: File,
    bytes: u64,
    /// Records that a full disk has refused so far.
    waiting: Vec<u8>,
}

impl Journal {
    /// Opens or makes the journal; a torn tail is cut off.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).append(true).create(true).mode(0o600).open(path)?;
        let (_, whole) = entries(&std::fs::read(path)?);
        let bytes = whole as u64;
        if file.metadata()?.len() != bytes {
            file.set_len(bytes)?;
        }
        let journal = Self { file, bytes, waiting: Vec::new() };
        journal.reserve();
        Ok(journal)
    }

    /// Appends. After an error nothing of the entry is in the file.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        self.flush()?;
        self.write(&entry.to_bytes())
    }

    /// Appends, or keeps it in memory until [`Self::flush`] succeeds: for what has happened.
    pub fn record(&mut self, entry: &Entry) {
        let bytes = entry.to_bytes();
        if self.flush().is_err() || self.write(&bytes).is_err() {
            self.waiting.extend_from_slice(&bytes);
        }
    }

    /// Writes what a full disk has refused.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            if let Err(error) = self.write(&waiting) {
                self.waiting = waiting;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes all of it survive a power cut.
    pub fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file.sync_data()
    }

    /// Whether an idle shim should empty it.
    pub fn is_long(&self) -> bool {
        self.bytes > TRUNCATE_ABOVE_BYTES
    }

    /// Begins anew with what still counts, for a shim that runs nothing. The new file replaces
    /// the old one whole: no exit record is ever missing from both.
    pub fn restart(&mut self, path: &Path, kept: &[Entry]) -> io::Result<()> {
        let fresh = path.with_extension("tmp");
        match std::fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut journal = Self::open(&fresh)?;
        for entry in kept {
            journal.append(entry)?;
        }
        std::fs::rename(&fresh, path)?;
        *self = journal;
        Ok(())
    }

    fn reserve(&self) {
        // A filesystem without fallocate only loses the reserve.
        let flags = FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, flags, 0, RESERVED_BYTES).ok();
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // A part of a record would hide all that follow it.
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExitStatus, RunId, UnixMillis};

    fn sample() -> Vec<Entry> {
        let id = AttemptId { run: RunId::from_chance(5), attempt: 1 };
        let claim = Claim { id, boot: BootId([1; 16]), shim_pid: 77, shim_start_ticks: 1_000_000 };
        vec![
            Entry::Claim(claim),
            Entry::Ended(id, AttemptEnd::unmeasured(ExitStatus::Exited(3), UnixMillis(1))),
            Entry::Refused(AttemptId { attempt: 2, ..id }),
        ]
    }

    #[test]
    fn a_torn_or_damaged_tail_hides_nothing_before_it() {
        let entries_in = sample();
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(FILE);
        assert_eq!(read(&path).expect("missing is empty"), []);
        let mut ends = vec![0];
        let mut bytes = Vec::new();
        for entry in &entries_in {
            bytes.extend(entry.to_bytes());
            ends.push(bytes.len());
        }
        for cut in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end > 0 && **end <= cut).count();
            std::fs::write(&path, &bytes[..cut]).expect("writes");
            assert_eq!(read(&path).expect("reads"), entries_in[..whole], "cut at {cut}");
        }
        for place in ends[1]..ends[2] {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            std::fs::write(&path, &damaged).expect("writes");
            assert_eq!(read(&path).expect("reads"), entries_in[..1], "flip at {place}");
        }
    }

    #[test]
    fn opening_cuts_a_torn_tail_so_that_what_follows_is_read() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(FILE);
        let entries_in = sample();
        let mut bytes = entries_in[0].to_bytes();
        bytes.extend_from_slice(&entries_in[1].to_bytes()[..9]);
        std::fs::write(&path, bytes).expect("writes");
        let mut journal = Journal::open(&path).expect("opens");
        journal.append(&entries_in[2]).expect("appends");
        journal.sync().expect("syncs");
        assert_eq!(read(&path).expect("reads"), [entries_in[0].clone(), entries_in[2].clone()]);
    }
}
