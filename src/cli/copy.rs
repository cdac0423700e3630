//! Copies what a run prints, as its files grow, to the standard output and error of its client.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

use crate::daemon::client::monotonic_ms;

/// One splice; a pipe takes 64 KiB at most unless somebody enlarged it.
const SPLICE_BYTES: usize = 256 << 10;
/// One write to something that is not a pipe.
const WRITE_BYTES: usize = 16 << 10;
/// One write to a terminal: it must not keep the loop from signals for long.
const TERMINAL_BYTES: usize = 4 << 10;

/// How far a look at one file came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All that is there is copied; whether anything was.
    Drained(bool),
    /// The reader is slow: wait until it takes more.
    Blocked,
    /// Nobody reads any more, and there was something to read.
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    Pipe,
    Terminal,
    Other,
    Closed,
}

/// One output file and where it goes.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: Option<File>,
    offset: u64,
    limit: u64,
    to: BorrowedFd<'static>,
    sink: Sink,
}

impl Tail {
    /// From the beginning of the file at `path`, which need not be there yet.
    pub fn new(path: PathBuf, to: BorrowedFd<'static>) -> Self {
        let kind = fstat(to).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let sink = match kind {
            Ok(FileType::Fifo) => Sink::Pipe,
            Ok(FileType::CharacterDevice) => Sink::Terminal,
            _ => Sink::Other,
        };
        Self { path, file: None, offset: 0, limit: u64::MAX, to, sink }
    }

    /// As it is, from another place on.
    #[must_use]
    pub fn starting_at(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    /// Whether the file is there.
    pub fn is_open(&self) -> bool {
        self.file.is_some()
    }

    /// Where it goes.
    pub fn to(&self) -> BorrowedFd<'static> {
        self.to
    }

    /// The file's path.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Copies no further than to where the file ends now: what outlives the run may go on
    /// writing.
    pub fn finish(&mut self) {
        if let Ok(metadata) = std::fs::metadata(&self.path) {
            self.limit = metadata.len();
        }
    }

    /// Copies what is there, without waiting for the reader.
    ///
    /// # Errors
    /// The file or the reader fails in another way than by being closed.
    pub fn copy(&mut self) -> io::Result<Step> {
        if self.file.is_none() {
            match File::open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Step::Drained(false));
                }
                Err(error) => return Err(error),
            }
        }
        let mut copied = false;
        loop {
            if self.sink == Sink::Closed {
                return Ok(self.discard());
            }
            match self.copy_some() {
                Ok(0) if self.was_truncated() => (self.offset, self.limit) = (0, u64::MAX),
                Ok(0) => return Ok(Step::Drained(copied)),
                Ok(_) => copied = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Step::Blocked),
                Err(Errno::PIPE) => self.sink = Sink::Closed,
                // Not everything that looks like a pipe can be spliced into.
                Err(Errno::INVAL) if self.sink == Sink::Pipe => self.sink = Sink::Terminal,
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// An empty pipe without a reader is no news: only who writes into it gets SIGPIPE.
    fn discard(&mut self) -> Step {
        let length =
            self.file.as_ref().and_then(|file| file.metadata().ok()).map(|data| data.len());
        let length = length.unwrap_or(0).min(self.limit);
        let has_grown = length > self.offset;
        self.offset = length;
        if has_grown { Step::Closed } else { Step::Drained(false) }
    }

    fn copy_some(&mut self) -> Result<usize, Errno> {
        let Some(file) = &self.file else { return Ok(0) };
        let left = usize::try_from(self.limit.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(0);
        }
        let length = match self.sink {
            Sink::Pipe => {
                let flags = SpliceFlags::NONBLOCK;
                let length = SPLICE_BYTES.min(left);
                return splice(file, Some(&mut self.offset), self.to, None, length, flags);
            }
            Sink::Terminal => TERMINAL_BYTES,
            Sink::Other => WRITE_BYTES,
            Sink::Closed => return Ok(0),
        };
        let mut buffer = [0_u8; WRITE_BYTES];
        let count = file.read_at(&mut buffer[..length.min(left)], self.offset);
        let count = count.map_err(|error| to_errno(&error))?;
        if count == 0 {
            return Ok(0);
        }
        let mut ready = [PollFd::from_borrowed_fd(self.to, PollFlags::OUT)];
        if poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? == 0 {
            return Err(Errno::AGAIN);
        }
        let written = rustix::io::write(self.to, &buffer[..count])?;
        self.offset += written as u64;
        Ok(written)
    }

    /// A child may shorten its own output; what comes then is new.
    fn was_truncated(&self) -> bool {
        let length =
            self.file.as_ref().and_then(|file| file.metadata().ok()).map(|meta| meta.len());
        length.is_some_and(|length| length < self.offset)
    }
}

fn to_errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

/// Wakes of one burst; more, and a tick is cheaper for the child, whose every write pays for an
/// armed watch.
const BUDGET: u32 = 32;
/// The tick.
const TICK_MS: u64 = 50;
/// The tick while the files are not there yet.
const MISSING_TICK_MS: u64 = 5;
/// So long there is the tick alone: giving a watch back takes the kernel milliseconds, up to 15
/// measured, which would be most of the time of a short command.
const WATCH_AFTER_MS: u64 = 100;

/// Tells when to look again: one-shot watches, and a tick where the output is dense.
#[derive(Debug)]
pub struct Growth {
    inotify: Option<OwnedFd>,
    /// On `CLOCK_MONOTONIC`; `None` once that was tried.
    watch_from_ms: Option<u64>,
    armed: [bool; 2],
    budget: u32,
}

impl Default for Growth {
    fn default() -> Self {
        Self::new()
    }
}

impl Growth {
    /// For a command that begins now.
    pub fn new() -> Self {
        Self::watching_from(monotonic_ms() + WATCH_AFTER_MS)
    }

    fn watching_from(at_ms: u64) -> Self {
        Self { inotify: None, watch_from_ms: Some(at_ms), armed: [false; 2], budget: BUDGET }
    }

    /// Before the files are looked at, so that nothing slips through. Gives the longest wait.
    pub fn arm(&mut self, tails: &[Tail; 2]) -> Option<u64> {
        if let Some(from_ms) = self.watch_from_ms {
            if monotonic_ms() < from_ms {
                return Some(MISSING_TICK_MS);
            }
            self.watch_from_ms = None;
            self.inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        }
        // Without inotify (a limit of the user) there is the tick.
        let Some(inotify) = &self.inotify else { return Some(TICK_MS) };
        if self.budget == 0 {
            return Some(TICK_MS);
        }
        let flags = WatchFlags::MODIFY | WatchFlags::ONESHOT;
        for (armed, tail) in self.armed.iter_mut().zip(tails) {
            if !*armed {
                *armed = inotify::add_watch(inotify, tail.path(), flags).is_ok();
            }
        }
        (!self.armed.iter().all(|armed| *armed)).then_some(MISSING_TICK_MS)
    }

    /// For poll(2).
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// After a wait: whether a watch fired, and whether anything had grown.
    pub fn note(&mut self, fired: bool, grew: bool) {
        if fired {
            // Which one does not matter: adding a watch that is there changes nothing.
            self.armed = [false; 2];
            self.budget = self.budget.saturating_sub(1);
            if let Some(inotify) = &self.inotify {
                let mut events = [0_u8; 1024];
                while rustix::io::read(inotify, &mut events).is_ok_and(|count| count > 0) {}
            }
        } else if !grew {
            self.budget = BUDGET;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn leak(fd: OwnedFd) -> BorrowedFd<'static> {
        let fd: &'static OwnedFd = Box::leak(Box::new(fd));
        fd.as_fd()
    }

    #[test]
    fn a_slow_reader_gets_every_byte_and_never_blocks_the_copy() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.out");
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        let mut tail = Tail::new(path.clone(), leak(writer));
        assert_eq!(tail.copy().expect("no file yet"), Step::Drained(false));
        let bytes: Vec<u8> = (0..400_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        std::fs::write(&path, &bytes).expect("a file");
        let mut reader = File::from(reader);
        let mut found = Vec::new();
        let mut buffer = vec![0_u8; 10_000];
        loop {
            match tail.copy().expect("a file") {
                Step::Blocked => {
                    let count = reader.read(&mut buffer).expect("bytes");
                    found.extend_from_slice(&buffer[..count]);
                }
                Step::Drained(_) => break,
                Step::Closed => panic!("the reader is there"),
            }
        }
        while found.len() < bytes.len() {
            let count = reader.read(&mut buffer).expect("bytes");
            found.extend_from_slice(&buffer[..count]);
        }
        assert!(found == bytes);
    }

    #[test]
    fn a_reader_that_left_is_noticed_with_each_new_byte() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.out");
        let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
        drop(reader);
        let mut tail = Tail::new(path.clone(), leak(writer));
        assert_eq!(tail.copy().expect("no file yet"), Step::Drained(false));
        std::fs::write(&path, b"").expect("a file");
        assert_eq!(tail.copy().expect("a file"), Step::Drained(false));
        for content in [b"hello".as_slice(), b"hello again"] {
            std::fs::write(&path, content).expect("a file");
            assert_eq!(tail.copy().expect("a file"), Step::Closed);
            assert_eq!(tail.copy().expect("a file"), Step::Drained(false));
        }
    }

    #[test]
    fn growth_wakes_a_wait() {
        let directory = tempfile::tempdir().expect("a directory");
        let target = File::create(directory.path().join("copy")).expect("a file");
        let to = leak(target.into());
        let tails = ["x.out", "x.err"].map(|name| Tail::new(directory.path().join(name), to));
        let mut growth = Growth::watching_from(0);
        assert_eq!(growth.arm(&tails), Some(MISSING_TICK_MS));
        let mut files = tails.each_ref().map(|tail| File::create(tail.path()).expect("a file"));
        assert_eq!(growth.arm(&tails), None);
        files[1].write_all(b"x").expect("a byte");
        let mut fds = [PollFd::new(growth.inotify.as_ref().expect("inotify"), PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&Timespec { tv_sec: 5, tv_nsec: 0 })), Ok(1));
        growth.note(true, true);
        assert_eq!(growth.arm(&tails), None);
    }
}
