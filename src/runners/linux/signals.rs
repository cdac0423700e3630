//! Signals that are blocked and read from a descriptor.
//!
//! A shim blocks all, with default dispositions, so that a child only has to unblock them. A client
//! in the foreground blocks those that it sends on.
#![expect(unsafe_code, reason = "dispositions, masks and signalfd are not in rustix")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::model::Signal;

/// Highest signal number.
const SIGNAL_MAX: libc::c_int = 64;
/// `signalfd_siginfo` of signalfd(2); its first word is the number.
const SIGINFO_BYTES: usize = 128;

/// Gives every signal its default disposition and blocks all that can be blocked.
pub fn default_and_block_all() {
    for signal in 1..=SIGNAL_MAX {
        // The bare call: the library keeps two real-time signals for itself, but a parent may
        // have left those ignored too. All zeroes is SIG_DFL without flags (32 bytes of it).
        let default = [0_u64; 4];
        // SAFETY: SIG_DFL runs no code of ours; KILL, STOP and unknown numbers are refused.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                std::mem::size_of::<u64>(),
            )
        };
    }
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set; the shim has one thread.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
    }
}

/// Empties the mask. Made of one system call: it runs in a child between clone and exec.
pub(super) fn unblock_all() {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// A descriptor that is readable while SIGCHLD is pending. It must be blocked.
pub fn child_signal_fd() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is initialised before use; a fresh descriptor is ours alone.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Some signals, blocked while this lives and collected. To be made before any thread.
pub struct Blocked {
    fd: OwnedFd,
    before: libc::sigset_t,
    own: libc::sigset_t,
}

impl std::fmt::Debug for Blocked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocked").field("fd", &self.fd).finish_non_exhaustive()
    }
}

impl Blocked {
    /// Blocks `signals` and collects them.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new(signals: &[Signal]) -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset and sigprocmask initialise the sets before they are read; a fresh
        // descriptor is ours alone.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal.number());
            }
            let fd = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            let fd = OwnedFd::from_raw_fd(fd);
            libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
            Ok(Self { fd, before: before.assume_init(), own: set.assume_init() })
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
    pub fn lifted<T>(&self, act: impl FnOnce() -> T) -> T {
        set_mask(&self.before, libc::SIG_SETMASK);
        let result = act();
        set_mask(&self.own, libc::SIG_BLOCK);
        result
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        set_mask(&self.before, libc::SIG_SETMASK);
    }
}

impl AsFd for Blocked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Does something with all signals blocked: a thread that is started there gets none of those that
/// are sent to the process.
pub fn all_blocked<T>(act: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset and sigprocmask initialise the sets before they are read.
    let before = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    };
    let result = act();
    set_mask(&before, libc::SIG_SETMASK);
    result
}

fn set_mask(set: &libc::sigset_t, how: libc::c_int) {
    // SAFETY: a reference to a set is a set.
    unsafe { libc::sigprocmask(how, set, std::ptr::null_mut()) };
}
