//! The shim's signals: all blocked with default dispositions, so that a child only has to
//! unblock them; SIGCHLD is read from a descriptor.
#![expect(unsafe_code, reason = "dispositions, masks and signalfd are not in rustix")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};

/// Highest signal number.
const SIGNAL_MAX: libc::c_int = 64;

/// Gives every signal its default disposition and blocks all that can be blocked.
pub fn default_and_block_all() {
    for signal in 1..=SIGNAL_MAX {
        // SAFETY: SIG_DFL runs no code of ours; KILL, STOP and unknown numbers are refused.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
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
