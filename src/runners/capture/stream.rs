//! One output file while it is written: how long it is, what is kept of it, what was lost.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::fs::inotify::{self, WatchFlags};
use rustix::io::Errno;

use crate::limits;
use crate::model::Digest;
use crate::model::event::OutputLossReason;

/// Holes are made of whole blocks.
const BLOCK_BYTES: u64 = 4_096;
const DIGEST_CHUNK_BYTES: usize = 64 << 10;

/// An output file that the shim has made, or what stands in for it.
#[derive(Debug)]
pub struct Stream {
    path: PathBuf,
    file: File,
    inode: u64,
    /// False for `/dev/null`, where no file could be made.
    is_file: bool,
    watch: Option<i32>,
    length: u64,
    /// Bytes in front of the current file: lost when somebody made it shorter.
    cut: u64,
    /// Bytes that were to be written here and could not be.
    dropped: u64,
    /// Everything before this offset is a hole.
    pruned: u64,
    is_gone: bool,
}

/// Some output is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// How much, where that is known.
    pub bytes: Option<u64>,
    /// Why.
    pub reason: OutputLossReason,
}

impl Stream {
    /// Makes the file. A full disk or a lost directory gives `/dev/null` and a loss; an existing
    /// file is an error: it was written by another start, and nothing is ever overwritten.
    pub fn create(path: &Path) -> io::Result<(Self, Option<Missing>)> {
        match create_file(path) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                Ok((Self::new(path, file, inode, true), None))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            Err(error) => {
                let reason = match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                        OutputLossReason::NoSpace
                    }
                    _ => OutputLossReason::FileGone,
                };
                let null = File::options().read(true).write(true).open("/dev/null")?;
                let missing = Missing { bytes: None, reason };
                Ok((Self::new(path, null, 0, false), Some(missing)))
            }
        }
    }

    fn new(path: &Path, file: File, inode: u64, is_file: bool) -> Self {
        let path = path.to_owned();
        let (watch, is_gone) = (None, false);
        let [length, cut, dropped, pruned] = [0; 4];
        Self { path, file, inode, is_file, watch, length, cut, dropped, pruned, is_gone }
    }

    /// For the child.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Length of the file when it was last looked at.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// All bytes ever written, as far as was seen.
    pub fn written(&self) -> u64 {
        self.cut + self.length + self.dropped
    }

    /// Bytes that could not be written here.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Writes for a process that writes into a pipe. What the disk does not take is lost.
    pub fn append(&mut self, bytes: &[u8]) -> Option<Missing> {
        let mut left = bytes;
        while !left.is_empty() {
            match rustix::io::write(&self.file, left) {
                Ok(written) => {
                    left = &left[written..];
                    // What stands in for a file keeps nothing.
                    let place = if self.is_file { &mut self.length } else { &mut self.dropped };
                    *place += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => {
                    self.dropped += left.len() as u64;
                    let reason = match errno {
                        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => OutputLossReason::NoSpace,
                        _ => OutputLossReason::FileGone,
                    };
                    return Some(Missing { bytes: Some(left.len() as u64), reason });
                }
            }
        }
        None
    }

    /// Bytes turned into holes.
    pub fn pruned(&self) -> u64 {
        self.pruned
    }

    /// Asks for one event at the next write.
    pub fn arm(&mut self, inotify: BorrowedFd<'_>) {
        if self.is_file && self.watch.is_none() {
            // The path may lead elsewhere by now; the descriptor cannot.
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            let flags = WatchFlags::MODIFY | WatchFlags::ONESHOT;
            self.watch = inotify::add_watch(inotify, path, flags).ok();
        }
    }

    /// Whether its next write is told; what is no file cannot be watched, and need not be.
    pub fn is_armed(&self) -> bool {
        !self.is_file || self.watch.is_some()
    }

    /// Takes note that a watch has fired; false if it is not this file's.
    pub fn fired(&mut self, watch: i32) -> bool {
        let is_own = self.watch == Some(watch);
        if is_own {
            self.watch = None;
        }
        is_own
    }

    /// Asks for no more events.
    pub fn disarm(&mut self, inotify: BorrowedFd<'_>) {
        if let Some(watch) = self.watch.take() {
            inotify::remove_watch(inotify, watch).ok();
        }
    }

    /// Looks at the file: whether it grew, and what has become of it.
    pub fn observe(&mut self) -> (bool, Option<Missing>) {
        if !self.is_file {
            return (false, None);
        }
        let Ok(stat) = rustix::fs::fstat(&self.file) else { return (false, None) };
        let length = u64::try_from(stat.st_size).unwrap_or(0);
        let mut missing = None;
        if length < self.length {
            missing = Some(Missing {
                bytes: Some(self.length - length),
                reason: OutputLossReason::Truncated,
            });
            self.cut += self.length - length;
            self.pruned = self.pruned.min(length);
        }
        let changed = length != self.length;
        self.length = length;
        if stat.st_nlink == 0 {
            missing = missing.or_else(|| self.gone());
        }
        (changed, missing)
    }

    /// Looks whether the path still leads to the file.
    pub fn check_path(&mut self) -> Option<Missing> {
        let is_there = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.ino() == self.inode);
        if is_there || !self.is_file { None } else { self.gone() }
    }

    fn gone(&mut self) -> Option<Missing> {
        let is_news = !self.is_gone;
        self.is_gone = true;
        is_news.then_some(Missing { bytes: Some(self.length), reason: OutputLossReason::FileGone })
    }

    /// Makes a hole of all but the newest `bytes_max`, where that frees at least `slack` bytes.
    pub fn prune(&mut self, bytes_max: u64, slack: u64) {
        let keep_from = self.length.saturating_sub(bytes_max);
        let keep_from = keep_from - keep_from % BLOCK_BYTES;
        if !self.is_file || keep_from <= self.pruned.saturating_add(slack) {
            return;
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // From zero: a truncated and regrown file may hold data where a hole was.
        if rustix::fs::fallocate(&self.file, flags, 0, keep_from).is_ok() {
            self.pruned = keep_from;
        }
    }

    /// blake3 of what is kept, if that is little enough.
    pub fn digest(&self) -> Option<Digest> {
        let mut left = self.length - self.pruned.min(self.length);
        if left > limits::OUTPUT_DIGEST_BYTES {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        let mut chunk = Vec::new();
        let mut offset = self.pruned;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(DIGEST_CHUNK_BYTES);
            chunk.resize(wanted, 0);
            let length = self.file.read_at(&mut chunk, offset).ok().filter(|read| *read > 0)?;
            hasher.update(&chunk[..length]);
            offset += length as u64;
            left -= length as u64;
        }
        Some(Digest(*hasher.finalize().as_bytes()))
    }
}

fn create_file(path: &Path) -> io::Result<File> {
    let open = || File::options().read(true).append(true).create_new(true).mode(0o600).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().ok_or(error)?;
            std::fs::create_dir_all(parent)?;
            open()
        }
        opened => opened,
    }
}
