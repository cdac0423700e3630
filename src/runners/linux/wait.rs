//! Children that ended: reaped one by one, with what they used.
#![expect(unsafe_code, reason = "wait4 gives the usage of each child; rustix has no call for it")]

use std::mem::MaybeUninit;

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::model::Signal;
use crate::model::event::Final;

/// A child that is gone, and what it and the children that it waited for have used.
#[derive(Clone, Copy, Debug)]
pub struct Reaped {
    /// Its number, free from now on.
    pub pid: u32,
    /// Its last word.
    pub last: Final,
    /// User CPU time, microseconds.
    pub user_us: u64,
    /// System CPU time, microseconds.
    pub system_us: u64,
    /// Highest resident set of one process, bytes.
    pub max_rss_bytes: u64,
}

/// Reaps one ended child, if there is one.
pub fn reap() -> Option<Reaped> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to live locals of the right type.
    let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, usage.as_mut_ptr()) };
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    // SAFETY: all zeroes is a valid rusage, and wait4 has filled it.
    let usage = unsafe { usage.assume_init() };
    let last = if libc::WIFEXITED(status) {
        Final::Exited(libc::WEXITSTATUS(status))
    } else {
        Final::Signalled(Signal::new(libc::WTERMSIG(status)).unwrap_or(Signal::KILL))
    };
    let micros = |time: libc::timeval| {
        u64::try_from(time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_usec))
            .unwrap_or(0)
    };
    Some(Reaped {
        pid,
        last,
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
    })
}

/// A child between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobControl {
    /// This signal has stopped it.
    Stopped(Signal),
    /// SIGCONT has let it go on.
    Continued,
}

/// What job control has done to a child since the last call; of several changes the last.
pub fn job_control(child: u32) -> Option<JobControl> {
    let child = Pid::from_raw(i32::try_from(child).ok()?)?;
    let look = WaitIdOptions::STOPPED | WaitIdOptions::CONTINUED | WaitIdOptions::NOHANG;
    let status = waitid(WaitId::Pid(child), look).ok()??;
    if status.continued() {
        return Some(JobControl::Continued);
    }
    status.stopping_signal().and_then(Signal::new).map(JobControl::Stopped)
}

/// Whether there is any child, alive or not. A subreaper without one has no descendants.
pub fn has_children() -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, look), Err(Errno::CHILD))
}
