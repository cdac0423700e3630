//! A process held by a pidfd: what is sent to it reaches that process or nobody.
#![expect(
    unsafe_code,
    reason = "rustix's Signal has no safe constructor for real-time signals; tokio takes a promise \
              that a descriptor stays open"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::procfs;

/// A handle that stays with one process, whatever becomes of its number.
#[derive(Debug)]
pub struct ProcessFd {
    pid: u32,
    fd: OwnedFd,
}

/// What tells a process apart from a later one with the same number, within one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Field 22 of its stat.
    pub start_ticks: u64,
}

impl ProcessFd {
    /// Opens whatever has that number now; `None` if nothing has. Proves nothing about who it is.
    pub fn open(pid: u32) -> io::Result<Option<Self>> {
        let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(fd) => Ok(Some(Self { pid, fd })),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes a pidfd that clone3 gave for a child.
    pub fn of_child(pid: u32, fd: OwnedFd) -> Self {
        Self { pid, fd }
    }

    /// Opens the process only if it is the one of `identity`.
    ///
    /// The stat is read while the pidfd is open, and the process is seen to be there afterwards:
    /// as long as it is not reaped its number is not reused, so the stat was its own.
    pub fn prove(identity: Identity) -> io::Result<Option<Self>> {
        let Some(process) = Self::open(identity.pid)? else { return Ok(None) };
        let Some(stat) = procfs::stat(identity.pid)? else { return Ok(None) };
        let is_same = stat.start_ticks == identity.start_ticks || reused_pid_is_taken_for_ours();
        if !is_same || process.send(0).is_err() {
            return Ok(None);
        }
        Ok(Some(process))
    }

    /// The number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; 0 only looks. `ESRCH` once it was reaped; a zombie takes anything.
    pub fn send(&self, signal: i32) -> io::Result<()> {
        // SAFETY: a system call on a descriptor that we own; it takes no pointer but NULL.
        let done = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.fd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Whether it has ended, reaped or not.
    pub fn has_ended(&self) -> bool {
        self.wait(0)
    }

    /// For a task of a runtime: readable once it has ended.
    pub fn into_async(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the descriptor is ours, always the same one, and closed with `self` only.
        let registered = unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) };
        registered.map_err(io::Error::from)
    }

    /// Waits until it has ended; false if it has not after `timeout_ms`.
    pub fn wait(&self, timeout_ms: u32) -> bool {
        let seconds = Timespec {
            tv_sec: i64::from(timeout_ms / 1_000),
            tv_nsec: i64::from(timeout_ms % 1_000) * 1_000_000,
        };
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&seconds)), Ok(1))
    }
}

impl AsFd for ProcessFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for ProcessFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Sends a signal to the process group that an unreaped child of ours leads.
///
/// The caller must be the child's parent and must not have reaped it: only then does the number
/// belong to it for certain.
pub fn signal_group_of_child(child: u32, signal: i32) -> io::Result<()> {
    let Ok(group) = i32::try_from(child) else { return Err(io::ErrorKind::InvalidInput.into()) };
    if group <= 1 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: a system call without pointers.
    let done = unsafe { libc::kill(-group, signal) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A deliberate bug for the mutation suite.
fn reused_pid_is_taken_for_ours() -> bool {
    crate::mutants::is_on("reused_pid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ours_only_with_its_start_time() {
        let pid = std::process::id();
        let own = procfs::stat(pid).expect("readable").expect("alive");
        let identity = Identity { pid, start_ticks: own.start_ticks };
        let proven = ProcessFd::prove(identity).expect("no error").expect("it is me");
        assert!(!proven.has_ended());
        let other = Identity { pid, start_ticks: own.start_ticks + 1 };
        assert!(ProcessFd::prove(other).expect("no error").is_none());
        assert!(ProcessFd::open(0).expect("no error").is_none());
    }

    #[test]
    fn what_has_ended_is_seen_and_never_taken_for_its_successor() {
        let mut child = std::process::Command::new("/bin/true").spawn().expect("spawns");
        let held = ProcessFd::open(child.id()).expect("no error").expect("unreaped");
        let stat = procfs::stat(child.id()).expect("readable").expect("unreaped");
        assert!(held.wait(10_000));
        child.wait().expect("ours");
        assert!(held.send(0).is_err());
        let identity = Identity { pid: child.id(), start_ticks: stat.start_ticks };
        assert!(ProcessFd::prove(identity).expect("no error").is_none());
    }
}
