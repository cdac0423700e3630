//! An answer that comes line by line, and how long its reader waits for the next.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::sockopt;

use super::ClientError;
use crate::daemon::http::{Head, Response};
use crate::daemon::place::Place;
use crate::daemon::protocol::{ErrorBody, ErrorDetail, PROTOCOL};
use crate::runners::linux::procfs;

/// Between two looks whether a daemon that says nothing was stopped.
const LOOK_MS: u64 = 1_000;

/// An answer that comes line by line.
#[derive(Debug)]
pub struct Lines {
    stream: UnixStream,
    response: Response,
    path: PathBuf,
    patience: Option<Patience>,
}

/// How long a silence may be.
#[derive(Clone, Copy, Debug)]
struct Patience {
    limit_ms: u64,
    waited_ms: u64,
}

impl Lines {
    pub(super) fn send(
        place: &Place,
        stream: UnixStream,
        request: &[u8],
    ) -> Result<Self, ClientError> {
        let path = place.daemon_socket();
        let lines = Self { stream, response: Response::new(), path, patience: None };
        (&lines.stream).write_all(request).map_err(|source| lines.io("write to", source))?;
        Ok(lines)
    }

    /// Limits how long one read may take.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub fn set_read_timeout(&self, limit_ms: Option<u64>) -> Result<(), ClientError> {
        self.stream
            .set_read_timeout(limit_ms.map(|limit| Duration::from_millis(limit.max(1))))
            .map_err(|source| self.io("set up", source))
    }

    /// An answer that is due: a silence ends when the daemon turns out to be stopped, or after
    /// `limit_ms`; without one it may take as long as it wants.
    pub(super) fn be_patient(&mut self, limit_ms: Option<u64>) -> Result<(), ClientError> {
        self.set_read_timeout(limit_ms.map(|limit| limit.min(LOOK_MS)))?;
        self.patience = limit_ms.map(|limit_ms| Patience { limit_ms, waited_ms: 0 });
        Ok(())
    }

    /// Nothing came for [`LOOK_MS`].
    fn look_after(&mut self, error: io::Error) -> Result<(), ClientError> {
        let is_late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        let Some(patience) = self.patience.as_mut().filter(|_| is_late) else {
            return Err(self.io("read from", error));
        };
        patience.waited_ms += LOOK_MS.min(patience.limit_ms);
        let Patience { limit_ms, waited_ms } = *patience;
        // The kernel noted who listened there.
        let peer = sockopt::socket_peercred(&self.stream).map(|peer| peer.pid);
        let Ok(pid) = peer.map(|pid| pid.as_raw_nonzero().get()) else {
            return Err(self.io("read from", error));
        };
        let stat = u32::try_from(pid).ok().and_then(|pid| procfs::stat(pid).ok().flatten());
        let is_stopped = stat.is_some_and(|stat| stat.is_stopped());
        if is_stopped || waited_ms >= limit_ms {
            return Err(ClientError::Mute { pid, is_stopped, waited_ms });
        }
        Ok(())
    }

    /// Reads until something is there to take; `false` at the end of the answer.
    ///
    /// # Errors
    /// [`ClientError::Mute`]; [`ClientError::Io`]; [`ClientError::Http`] with
    /// [`HttpError::Cut`](crate::daemon::http::HttpError::Cut) if the daemon ended.
    pub fn fill(&mut self) -> Result<bool, ClientError> {
        if self.response.is_done() {
            return Ok(false);
        }
        let mut buffer = [0_u8; 16 << 10];
        let count = loop {
            match (&self.stream).read(&mut buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.look_after(error)?,
            }
        };
        if let Some(patience) = &mut self.patience {
            patience.waited_ms = 0;
        }
        let taken = match count {
            0 => self.response.end(),
            count => self.response.push(&buffer[..count]),
        };
        taken.map_err(|source| ClientError::Http { path: self.path.clone(), source })?;
        Ok(count > 0)
    }

    /// A line that has come, without reading.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.response.take_line()
    }

    /// The next line; `None` at the end of the answer.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            if !self.fill()? && self.response.is_done() {
                return Ok(self.take());
            }
        }
    }

    /// All the rest of it.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn body(&mut self) -> Result<Vec<u8>, ClientError> {
        while !self.response.is_done() {
            self.fill()?;
        }
        Ok(self.response.take_body())
    }

    /// Whether all of it has come.
    pub fn is_done(&self) -> bool {
        self.response.is_done()
    }

    /// The head, once it is there.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if it is a refusal; the rest of that is waited for.
    pub fn head(&mut self) -> Result<Option<Head>, ClientError> {
        match self.response.head() {
            Some(head) if head.status >= 400 => Err(self.refusal(head)),
            head => Ok(head),
        }
    }

    pub(super) fn wait_for_head(&mut self) -> Result<Head, ClientError> {
        loop {
            if let Some(head) = self.head()? {
                return Ok(head);
            }
            self.fill()?;
        }
    }

    fn refusal(&mut self, head: Head) -> ClientError {
        if let Some(theirs) = head.protocol.filter(|theirs| *theirs > PROTOCOL) {
            return ClientError::Newer { theirs };
        }
        let body = match self.body() {
            Ok(body) => body,
            Err(error) => return error,
        };
        let detail = serde_json::from_slice::<ErrorBody>(&body).map(|body| body.error);
        ClientError::Refused(detail.unwrap_or_else(|_| ErrorDetail {
            code: "http".to_owned(),
            message: format!("the daemon answered with HTTP status {}", head.status),
            hint: None,
            exit_code: 1,
        }))
    }

    fn io(&self, operation: &'static str, source: io::Error) -> ClientError {
        ClientError::Io { operation, path: self.path.clone(), source }
    }
}

/// For poll(2).
impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
