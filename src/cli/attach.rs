//! The line of a client to the shim that holds its run, and how to find that shim without a
//! daemon.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use crate::daemon::place::Place;
use crate::model::event::{ExitStatus, Final, SpawnError};
use crate::model::{AttemptEnd, RunId, Signal};
use crate::runners::process::{self, LinkError};
use crate::runners::protocol::{AttemptId, FromShim, ViewerRequest};
use crate::runners::shim::attach::Attachment;
use crate::runners::shim::journal::Entry;

use super::exit;

/// ESRCH.
const NO_PROCESS: i32 = 3;

/// A connection to a shim. Dropping it detaches; the run goes on.
#[derive(Debug)]
pub struct ShimLine {
    attachment: Attachment,
    id: AttemptId,
    has_begun: bool,
    missed: Option<Signal>,
    end: Option<AttemptEnd>,
}

impl ShimLine {
    /// Connects and hands standard input over.
    ///
    /// # Errors
    /// Nobody serves the socket, or another user does.
    pub fn connect(
        socket: &Path,
        run: RunId,
        attempt: u32,
        stdin: BorrowedFd<'_>,
    ) -> io::Result<Self> {
        let id = AttemptId { run, attempt };
        Self::new(id, Attachment::connect(socket, id, Some(stdin)))
    }

    /// Connects and looks at the terminal of the run.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub fn view(socket: &Path, id: AttemptId, request: ViewerRequest) -> io::Result<Self> {
        Self::new(id, Attachment::view(socket, id, request))
    }

    fn new(id: AttemptId, attachment: Result<Attachment, LinkError>) -> io::Result<Self> {
        let attachment = attachment.map_err(|error| match error {
            LinkError::Socket(error) => error,
            error => io::Error::other(error),
        })?;
        // It is read when poll(2) says so, and only as far as it goes.
        rustix::io::ioctl_fionbio(attachment.as_fd(), true)?;
        Ok(Self { attachment, id, has_begun: false, missed: None, end: None })
    }

    /// Which attempt it is about.
    pub fn id(&self) -> AttemptId {
        self.id
    }

    /// For what only a viewer says.
    pub fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Sends a signal to the process group of the run; a shim that is gone gets none.
    pub fn signal(&self, signal: Signal) {
        self.attachment.signal(signal).ok();
    }

    /// Takes what the shim has said; `false` if it hung up.
    pub fn receive(&mut self) -> bool {
        loop {
            match self.receive_one() {
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// The next that the shim has said; `None` if that is all for now.
    ///
    /// # Errors
    /// It hung up.
    pub fn receive_one(&mut self) -> Result<Option<FromShim>, LinkError> {
        let message = self.attachment.receive()?;
        if let Some(FromShim::Started(id, _) | FromShim::Terminal(id, _)) = &message {
            self.has_begun |= *id == self.id;
        }
        if let Some(FromShim::SignalSent(id, signal, Some(NO_PROCESS))) = &message {
            let is_early = *id == self.id && !self.has_begun;
            self.missed = is_early.then_some(*signal).or(self.missed);
        }
        if let Some(FromShim::Ended(id, end)) = &message
            && *id == self.id
        {
            self.end = Some(end.clone());
        }
        Ok(message)
    }

    /// A signal that came before there was a process, so that it met nobody.
    pub fn take_missed(&mut self) -> Option<Signal> {
        self.missed.take()
    }

    /// Whether the shim has told the end.
    pub fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Without a daemon: has the shim make its record of the end durable, and gives the exit
    /// code that it stands for. `None` if nobody can say.
    pub fn durable_end(&mut self, limit_ms: u64) -> Option<u8> {
        let status = self.end.as_ref()?.status;
        rustix::io::ioctl_fionbio(self.attachment.as_fd(), false).ok()?;
        self.attachment.set_timeout_ms(limit_ms).ok()?;
        self.attachment.sync().ok()?;
        loop {
            match self.attachment.receive() {
                Ok(Some(FromShim::Synced(None))) => return Some(code_of(status)),
                Ok(Some(FromShim::Synced(Some(_))) | None) | Err(_) => return None,
                Ok(Some(_)) => {}
            }
        }
    }
}

impl AsFd for ShimLine {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.attachment.as_fd()
    }
}

/// The shim that runs or holds an attempt of this run, as the journals have it; no daemon is
/// needed. `None` if there is none.
///
/// # Errors
/// The journals cannot be read.
pub fn find_shim(place: &Place, run: RunId) -> io::Result<Option<(PathBuf, AttemptId)>> {
    let mut found: Option<(PathBuf, AttemptId)> = None;
    for shim in process::scan(&place.shims())? {
        let Some(socket) = shim.socket.filter(|_| shim.lock_held) else { continue };
        let open = claimed(&shim.entries, run);
        if open.is_some_and(|id| found.as_ref().is_none_or(|(_, known)| *known < id)) {
            found = open.map(|id| (socket, id));
        }
    }
    Ok(found)
}

/// Attempts of which a shim has written down the beginning, with whether they still run, as the
/// journals have it; no daemon is needed.
///
/// # Errors
/// The journals cannot be read.
pub fn begun_attempts(place: &Place) -> io::Result<BTreeMap<AttemptId, bool>> {
    let mut begun = BTreeMap::new();
    for shim in process::scan(&place.shims())? {
        for entry in &shim.entries {
            match entry {
                Entry::Claim(claim) => begun.insert(claim.id, shim.lock_held),
                Entry::Ended(id, _) => begun.insert(*id, false),
                Entry::Opened(_)
                | Entry::Started(..)
                | Entry::Stopped(..)
                | Entry::Groups(_)
                | Entry::Refused(_) => None,
            };
        }
    }
    Ok(begun)
}

/// The attempt of a run that a shim has claimed and not ended.
fn claimed(entries: &[Entry], run: RunId) -> Option<AttemptId> {
    let mut open = None;
    for entry in entries {
        match entry {
            Entry::Claim(claim) if claim.id.run == run => open = Some(claim.id),
            Entry::Ended(id, _) if open == Some(*id) => open = None,
            Entry::Opened(_)
            | Entry::Claim(_)
            | Entry::Started(..)
            | Entry::Ended(..)
            | Entry::Stopped(..)
            | Entry::Groups(_)
            | Entry::Refused(_) => {}
        }
    }
    open
}

fn code_of(status: ExitStatus) -> u8 {
    match status {
        ExitStatus::Exited(code) => u8::try_from(code & 0xff).unwrap_or(exit::FAILED),
        ExitStatus::Signalled(signal) => exit::of_signal(signal.number()),
        ExitStatus::TimedOut(Final::Exited(_) | Final::Signalled(_)) => exit::TIMED_OUT,
        ExitStatus::NotStarted(SpawnError::NotFound) => exit::NOT_A_COMMAND,
        ExitStatus::NotStarted(SpawnError::NotExecutable) => exit::NOT_EXECUTABLE,
        ExitStatus::NotStarted(
            SpawnError::Errno(_)
            | SpawnError::SecretsGone
            | SpawnError::SecretUnreadable
            | SpawnError::NoSuchUser
            | SpawnError::PortTaken(_),
        )
        | ExitStatus::NeverStarted
        | ExitStatus::Lost(_) => exit::NOT_STARTED,
    }
}
