//! One connection of a shim: a daemon's or a client's. Never waits for its reader.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::terminal_viewers::Viewer;
use crate::runners::linux::fds;
use crate::runners::protocol::{AttemptId, FromShim, ToShim};
use crate::runners::wire::FrameBuffer;

/// A reader that is so far behind is dropped; it asks again on a new connection.
const BACKLOG_BYTES_MAX: usize = 1 << 20;
const READ_BYTES: usize = 16 << 10;

/// Whom a connection serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Hears everything.
    Daemon,
    /// Hears of its own attempt.
    Client(AttemptId),
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    fd: OwnedFd,
    pub(super) role: Role,
    /// It was there from the beginning: whoever started the shim.
    pub(super) is_first: bool,
    /// It looks at the terminal of its attempt.
    pub(super) viewer: Option<Viewer>,
    input: FrameBuffer,
    output: Vec<u8>,
    passed: Option<OwnedFd>,
    is_closed: bool,
}

impl Connection {
    pub(super) fn new(fd: OwnedFd) -> Self {
        let (input, output) = (FrameBuffer::default(), Vec::new());
        let (role, viewer, passed) = (Role::Daemon, None, None);
        let (is_first, is_closed) = (false, false);
        Self { fd, role, is_first, viewer, input, output, passed, is_closed }
    }

    /// Nobody is there any more, or nobody who keeps to the protocol.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn wants_write(&self) -> bool {
        !self.output.is_empty()
    }

    /// Bytes that its reader has not taken yet.
    pub(super) fn backlog(&self) -> usize {
        self.output.len()
    }

    /// It does not keep to the protocol.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// The descriptor that came with the last message.
    pub(super) fn take_passed(&mut self) -> Option<OwnedFd> {
        self.passed.take()
    }

    /// All messages that have arrived.
    pub(super) fn receive(&mut self) -> Vec<ToShim> {
        let mut messages = Vec::new();
        let mut buffer = [0_u8; READ_BYTES];
        while !self.is_closed {
            match fds::receive(&self.fd, &mut buffer, &mut self.passed) {
                Ok(0) => self.is_closed = true,
                Ok(length) => self.read(&buffer[..length], &mut messages),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.is_closed = true,
            }
        }
        messages
    }

    fn read(&mut self, bytes: &[u8], messages: &mut Vec<ToShim>) {
        self.input.push(bytes);
        loop {
            match self
                .input
                .next_frame()
                .and_then(|frame| frame.map(|frame| ToShim::from_frame(&frame)).transpose())
            {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return,
                Err(_) => {
                    self.is_closed = true;
                    return;
                }
            }
        }
    }

    /// Sends, or keeps for later, or gives the connection up.
    pub(super) fn send(&mut self, message: &FromShim) {
        self.append(message);
        self.flush();
    }

    /// Takes it along with what is sent next.
    pub(super) fn append(&mut self, message: &FromShim) {
        let is_meant = match (self.role, message.attempt()) {
            (Role::Client(own), Some(id)) => own == id,
            (Role::Client(_) | Role::Daemon, _) => true,
        };
        if self.is_closed || !is_meant {
            return;
        }
        self.output.extend_from_slice(&message.to_frame().to_bytes());
        if self.output.len() > BACKLOG_BYTES_MAX {
            self.is_closed = true;
        }
    }

    /// Writes what the socket takes.
    pub(super) fn flush(&mut self) {
        while !self.output.is_empty() && !self.is_closed {
            match fds::send(&self.fd, &self.output, None) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    // What it said before it went still counts: the reading side finds the end.
                    self.output.clear();
                }
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
