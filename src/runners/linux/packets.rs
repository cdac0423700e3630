//! Pipes that keep the writes to them apart and tell in which order they came.
//!
//! A pipe alone does not say whether it was written to before or after another one. Here each write
//! queues a real-time signal that names its pipe (`F_SETSIG` of fcntl(2)), and in packet mode
//! (`O_DIRECT` of pipe(2)) a read gives one write, or a page of a longer one.
//!
//! The order is exact for writes of less than a page, while nobody writes to a full pipe:
//!
//! - Where a longer write ends is guessed, so that what follows it may seem to belong to it.
//! - A writer that waits for room is told of too, and that looks like a write. Where it cannot be
//!   told apart, a few writes to one pipe may seem to come before those to the other, until the
//!   pipe has been seen empty.
//!
//! No byte is lost, and none leaves the order of its own pipe.
#![expect(unsafe_code, reason = "F_SETSIG and signalfd are not in rustix")]

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

/// `signalfd_siginfo` of signalfd(2).
const SIGINFO_BYTES: usize = 128;
/// Where its number and its descriptor stand.
const SIGINFO_SIGNAL: usize = 0;
const SIGINFO_FD: usize = 20;
/// fcntl(2): which signal tells of a descriptor.
const F_SETSIG: libc::c_int = 10;
/// Signals read at once.
const SIGNALS: usize = 64;
/// Room of a pipe, where the kernel gives so much: so far may a process be ahead of its reader
/// before it waits, and the order of what it writes to both is known for sure.
const PIPE_BYTES: libc::c_int = 1 << 20;

/// The reading ends of two pipes.
#[derive(Debug)]
pub struct PacketPipes {
    signals: OwnedFd,
    readers: [Option<OwnedFd>; 2],
    numbers: [RawFd; 2],
    /// Which pipe was written to, in order, and whether all of it is to be read.
    told: VecDeque<Told>,
    /// How many of these name each pipe.
    waiting: [usize; 2],
    /// How many writes each pipe has room for.
    slots: [usize; 2],
    page: usize,
}

/// News of one pipe.
#[derive(Clone, Copy, Debug)]
struct Told {
    place: usize,
    /// Some writes could not be told: order is lost, bytes are not.
    is_all: bool,
    /// It has given something, so that what the pipe says next is no news of it.
    has_given: bool,
    /// No more pieces are read for it, so that a flood leaves the other pipe its turn.
    left: usize,
}

impl PacketPipes {
    /// Makes both, and gives their writing ends. All signals must be blocked.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<(Self, [OwnedFd; 2])> {
        let flags = PipeFlags::CLOEXEC | PipeFlags::DIRECT;
        let [(first, first_end), (second, second_end)] = [pipe_with(flags)?, pipe_with(flags)?];
        let signals = signal_fd()?;
        let page = page_bytes();
        let slots = [tell_of_writes(&first)? / page, tell_of_writes(&second)? / page];
        let numbers = [first.as_raw_fd(), second.as_raw_fd()];
        let readers = [Some(first), Some(second)];
        let (told, waiting) = (VecDeque::new(), [0; 2]);
        let pipes = Self { signals, readers, numbers, told, waiting, slots, page };
        Ok((pipes, [first_end, second_end]))
    }

    /// The longest piece that [`Self::read`] gives.
    pub fn piece_bytes(&self) -> usize {
        self.page
    }

    /// The next piece in the order in which it was written: from which pipe, and how long it is.
    pub fn read(&mut self, buffer: &mut [u8]) -> Option<(usize, usize)> {
        let length = buffer.len().min(self.page);
        loop {
            // Before each read, since it lets a writer go on that had to wait: see `hear`.
            while self.hear() {}
            let told = *self.told.front()?;
            let reader = self.readers[told.place].as_ref();
            match reader.map(|reader| rustix::io::read(reader, &mut buffer[..length])) {
                Some(Ok(read @ 1..)) => {
                    self.has_read(told, read == length);
                    return Some((told.place, read));
                }
                Some(Err(Errno::INTR)) => {}
                Some(Err(Errno::AGAIN)) | None if told.has_given => self.drop_first(),
                Some(Err(Errno::AGAIN)) | None => self.drop_all_of(told.place),
                Some(Ok(0) | Err(_)) => self.readers[told.place] = None,
            }
        }
    }

    /// A write ends with its last piece. After a whole page it goes on, unless all that the pipe
    /// has is as many pages as there are other writes: then each page is a write.
    fn has_read(&mut self, told: Told, is_page: bool) {
        let goes_on = told.is_all || (is_page && !self.is_page_by_page(told.place));
        match self.told.front_mut() {
            Some(first) if goes_on && first.left > 1 => {
                first.left -= 1;
                first.has_given = true;
            }
            _ => self.drop_first(),
        }
    }

    /// Whether all that lies in the pipe of the first news is a page for each of the others.
    fn is_page_by_page(&mut self, place: usize) -> bool {
        let rest = self.rest_of(place);
        while self.hear() {}
        rest == (self.waiting[place] - 1) * self.page
    }

    /// Bytes that lie in a pipe.
    fn rest_of(&self, place: usize) -> usize {
        let reader = self.readers[place].as_ref();
        let bytes = reader.and_then(|reader| rustix::io::ioctl_fionread(reader).ok());
        usize::try_from(bytes.unwrap_or(0)).unwrap_or(usize::MAX)
    }

    /// Whether something lies there of which nothing was told, or not yet.
    pub fn has_rest(&self) -> bool {
        [0, 1].iter().any(|place| self.rest_of(*place) > 0)
    }

    /// Whether [`Self::read`] may give something.
    pub fn has_news(&mut self) -> bool {
        !self.told.is_empty() || self.hear()
    }

    /// Lets all that is in the pipes be read, told or not.
    pub fn read_all(&mut self) {
        let of = |place| Told { is_all: true, ..self.news_of(place) };
        let all = [0, 1].map(of);
        self.told.extend(all);
    }

    fn news_of(&self, place: usize) -> Told {
        Told { place, is_all: false, has_given: false, left: self.slots[place] }
    }

    fn drop_first(&mut self) {
        if let Some(told) = self.told.pop_front().filter(|told| !told.is_all) {
            self.waiting[told.place] -= 1;
        }
    }

    /// Nothing is left in it: what was told of it beyond that were not writes of their own.
    fn drop_all_of(&mut self, place: usize) {
        self.told.retain(|told| told.place != place);
        self.waiting[place] = 0;
    }

    /// Takes what the kernel has told; false if it has told nothing.
    ///
    /// It also tells of a writer that finds its pipe full and waits. Such news is known by being
    /// one more than the pipe has room for, as long as no more than one piece is read in between.
    fn hear(&mut self) -> bool {
        let mut infos = [0_u8; SIGINFO_BYTES * SIGNALS];
        let Ok(length @ 1..) = rustix::io::read(&self.signals, &mut infos) else { return false };
        for info in infos[..length].chunks_exact(SIGINFO_BYTES) {
            let word = |at: usize| {
                let mut word = [0; 4];
                word.copy_from_slice(&info[at..at + 4]);
                i32::from_le_bytes(word)
            };
            if word(SIGINFO_SIGNAL) == libc::SIGIO {
                self.read_all();
            } else if let Some(place) =
                self.numbers.iter().position(|number| *number == word(SIGINFO_FD))
                && self.waiting[place] < self.slots[place]
            {
                self.waiting[place] += 1;
                self.told.push_back(self.news_of(place));
            }
        }
        true
    }
}

impl AsFd for PacketPipes {
    /// Readable when something was written.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}

impl Drop for PacketPipes {
    /// What is still queued must not be taken for news of other pipes with the same numbers.
    fn drop(&mut self) {
        self.readers = [None, None];
        while self.hear() {}
    }
}

fn page_bytes() -> usize {
    // SAFETY: it reads a number of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4_096)
}

fn signal_fd() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised before use; a fresh descriptor is ours alone.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGRTMIN());
        // Instead of a signal for which there is no room in the queue.
        libc::sigaddset(set.as_mut_ptr(), libc::SIGIO);
        let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Gives its room in bytes.
fn tell_of_writes(reader: &OwnedFd) -> io::Result<usize> {
    let fd = reader.as_raw_fd();
    let set = |command: libc::c_int, value: libc::c_int| {
        // SAFETY: these commands take a number and touch nothing but our descriptor.
        let done = unsafe { libc::fcntl(fd, command, value) };
        usize::try_from(done).map_err(|_| io::Error::last_os_error())
    };
    // A user may be out of room for pipes: then the process waits for us sooner.
    set(libc::F_SETPIPE_SZ, PIPE_BYTES).ok();
    set(F_SETSIG, libc::SIGRTMIN())?;
    set(libc::F_SETOWN, rustix::process::getpid().as_raw_pid())?;
    set(libc::F_SETFL, libc::O_NONBLOCK | libc::O_ASYNC | libc::O_DIRECT)?;
    set(libc::F_GETPIPE_SZ, 0)
}
