//! The line of a client in the foreground to the shim that holds its run.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use crate::model::event::{ExitStatus, Final, SpawnError};
use crate::model::{AttemptEnd, RunId, Signal};
use crate::runners::process::LinkError;
use crate::runners::protocol::{AttemptId, FromShim};
use crate::runners::shim::attach::Attachment;

use super::exit;

/// A connection to a shim. Dropping it detaches; the run goes on.
#[derive(Debug)]
pub struct ShimLine {
    attachment: Attachment,
    id: AttemptId,
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
        let attachment =
            Attachment::connect(socket, id, Some(stdin)).map_err(|error| match error {
                LinkError::Socket(error) => error,
                error => io::Error::other(error),
            })?;
        // It is read when poll(2) says so, and only as far as it goes.
        rustix::io::ioctl_fionbio(attachment.as_fd(), true)?;
        Ok(Self { attachment, id, end: None })
    }

    /// Sends a signal to the process group of the run; a shim that is gone gets none.
    pub fn signal(&self, signal: Signal) {
        self.attachment.signal(signal).ok();
    }

    /// Takes what the shim has said; `false` if it hung up.
    pub fn receive(&mut self) -> bool {
        loop {
            match self.attachment.receive() {
                Ok(Some(FromShim::Ended(id, end))) if id == self.id => self.end = Some(end),
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
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

fn code_of(status: ExitStatus) -> u8 {
    match status {
        ExitStatus::Exited(code) => u8::try_from(code & 0xff).unwrap_or(exit::FAILED),
        ExitStatus::Signalled(signal) => exit::of_signal(signal.number()),
        ExitStatus::TimedOut(Final::Exited(_) | Final::Signalled(_)) => exit::TIMED_OUT,
        ExitStatus::NotStarted(SpawnError::NotFound) => exit::NOT_A_COMMAND,
        ExitStatus::NotStarted(SpawnError::NotExecutable) => exit::NOT_EXECUTABLE,
        ExitStatus::NotStarted(SpawnError::Errno(_) | SpawnError::SecretsGone)
        | ExitStatus::NeverStarted
        | ExitStatus::Lost(_) => exit::NOT_STARTED,
    }
}
