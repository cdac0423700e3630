//! Signals of a client in the foreground: blocked, and read from a descriptor in its poll loop.
#![expect(unsafe_code, reason = "masks and signalfd are not in rustix")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::model::Signal;

/// `signalfd_siginfo` of signalfd(2); its first word is the number.
const SIGINFO_BYTES: usize = 128;

/// What a terminal or a supervisor sends to the foreground.
pub const FORWARDED: [libc::c_int; 7] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGTSTP,
    libc::SIGCONT,
    libc::SIGWINCH,
];

/// Some signals, blocked while this lives. Before any thread is made.
pub struct Signals {
    fd: OwnedFd,
    before: libc::sigset_t,
    blocked: libc::sigset_t,
}

impl Signals {
    /// Blocks `signals` and collects them.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn block(signals: &[libc::c_int]) -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset and sigprocmask initialise the sets before they are read; a fresh
        // descriptor is ours alone.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in signals {
                libc::sigaddset(set.as_mut_ptr(), *signal);
            }
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            let fd = libc::signalfd(-1, set.as_ptr(), flags);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = OwnedFd::from_raw_fd(fd);
            libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
            Ok(Self { fd, before: before.assume_init(), blocked: set.assume_init() })
        }
    }

    /// The next one that came.
    pub fn next(&self) -> Option<Signal> {
        let mut info = [0_u8; SIGINFO_BYTES];
        match rustix::io::read(&self.fd, &mut info) {
            Ok(SIGINFO_BYTES) => {
                let number = u32::from_le_bytes([info[0], info[1], info[2], info[3]]);
                i32::try_from(number).ok().and_then(Signal::new)
            }
            _ => None,
        }
    }

    /// Does something under the mask of before: a process started there does not inherit ours.
    pub fn unblocked<T>(&self, act: impl FnOnce() -> T) -> T {
        // SAFETY: both sets were initialised by `block`.
        unsafe {
            libc::sigprocmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut())
        };
        let result = act();
        // SAFETY: as above.
        unsafe {
            libc::sigprocmask(libc::SIG_BLOCK, &raw const self.blocked, std::ptr::null_mut())
        };
        result
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: the set was initialised by `block`.
        unsafe {
            libc::sigprocmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut())
        };
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
