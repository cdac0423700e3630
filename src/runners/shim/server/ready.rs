//! What a shim waits for, and what of it is ready.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{NEWS_WAIT_MS, Running, Server, viewers};

/// As long as news may wait.
const NEWS_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 * NEWS_WAIT_MS.cast_signed() };
/// Nothing for so long, and a shim gets by with less memory.
const SETTLE_WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// What poll has found.
#[expect(clippy::struct_excessive_bools, reason = "one for each descriptor that is polled")]
#[derive(Clone, Debug, Default)]
pub(super) struct Ready {
    /// Nothing happened for as long as news may wait.
    pub(super) quiet: bool,
    pub(super) children: bool,
    pub(super) timer: bool,
    pub(super) watcher: bool,
    pub(super) listener: bool,
    pub(super) connections: Vec<bool>,
}

impl Server {
    /// Waits until something has happened, or has not for as long as it may.
    pub(super) fn wait(&self) -> io::Result<Ready> {
        let mut fds = vec![
            PollFd::new(&self.children, PollFlags::IN),
            PollFd::new(&self.timer, PollFlags::IN),
            PollFd::new(&self.watcher, PollFlags::IN),
            PollFd::new(&self.parts.listener, PollFlags::IN),
        ];
        for connection in &self.connections {
            let write = if connection.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
            fds.push(PollFd::new(connection, PollFlags::IN | write));
        }
        let first_other = fds.len();
        if let Some(report) = self.running.as_ref().and_then(Running::report) {
            fds.push(PollFd::new(report, PollFlags::IN));
        }
        if let Some(pipes) = self.running.as_ref().and_then(|running| running.recorder.pipes()) {
            fds.push(PollFd::from_borrowed_fd(pipes, PollFlags::IN));
        }
        let terminal = self.running.as_ref().and_then(|running| running.terminal.as_ref());
        if let Some(terminal) = terminal.filter(|terminal| terminal.is_open()) {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, viewers::wants_write(&self.connections));
            fds.push(PollFd::new(terminal, flags));
        }
        let awaits_tree = match &self.running {
            Some(running) => running.awaits_tree(),
            None => !self.book.holds_nothing(),
        };
        let events = self.parts.tree.events().filter(|_| awaits_tree);
        if let Some(events) = &events {
            fds.push(PollFd::from_borrowed_fd(*events, PollFlags::PRI));
        }
        let patience = match self.news {
            Some(_) => Some(NEWS_WAIT),
            None => (!self.is_settled).then_some(SETTLE_WAIT),
        };
        let quiet = match poll(&mut fds, patience.as_ref()) {
            Ok(ready) => ready == 0,
            Err(rustix::io::Errno::INTR) => false,
            Err(errno) => return Err(errno.into()),
        };
        let mut is_ready = fds[..first_other].iter().map(|fd| !fd.revents().is_empty());
        let mut next = || is_ready.next().unwrap_or(false);
        Ok(Ready {
            quiet,
            children: next(),
            timer: next(),
            watcher: next(),
            listener: next(),
            connections: is_ready.collect(),
        })
    }
}
