//! The daemon's side of a shim: start one or find one again, and talk to it without waiting.
//!
//! No runtime is needed: register [`ShimHandle::as_fd`] for reading, and for writing while
//! [`ShimHandle::wants_write`], and call the matching method.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

pub use super::fence::{Fenced, ShimFound, fence, remove, scan};
use super::linux::{fds, sockets};
use super::protocol::{FromShim, Hello, ToShim};
use super::shim::args::Args;
use super::wire::{FrameBuffer, WireError};

/// What a shim may be behind with reading before it counts as broken.
const BACKLOG_BYTES_MAX: usize = 64 << 20;
const READ_BYTES: usize = 16 << 10;

/// Why a shim cannot be talked to any more. What it holds goes on; connect again or fence it.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It is gone, or has dropped this connection.
    #[error("the shim has closed the connection")]
    Closed,
    /// It said what this build does not understand.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// It does not read.
    #[error("the shim is {0} bytes behind")]
    Behind(usize),
    /// The socket failed.
    #[error(transparent)]
    Socket(#[from] io::Error),
}

/// A connection to a shim.
#[derive(Debug)]
pub struct ShimHandle {
    socket: OwnedFd,
    input: FrameBuffer,
    output: Vec<u8>,
    hello: Option<Hello>,
    child: Option<Child>,
}

/// How a shim is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program: `/proc/self/exe`, or a descriptor of it that outlives an upgrade.
    pub exe: PathBuf,
    /// Its arguments. The directory must exist.
    pub args: Args,
    /// Its environment variables, `JR_HOME` among them.
    pub variables: Vec<(OsString, OsString)>,
}

impl ShimHandle {
    /// Starts a shim whose first connection is this one. posix_spawn, never fork: the size of
    /// this process does not matter.
    #[expect(clippy::doc_markdown, reason = "the name of a function of POSIX")]
    pub fn spawn(setup: &Setup) -> io::Result<Self> {
        let (own, its) = UnixStream::pair()?;
        own.set_nonblocking(true)?;
        let errors = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(setup.args.dir.join("shim.err"))?;
        let child = Command::new(&setup.exe)
            .arg0("jr")
            .arg("shim")
            .args(setup.args.to_words())
            .env_clear()
            .envs(setup.variables.iter().map(|(name, value)| (name, value)))
            .stdin(OwnedFd::from(its))
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()?;
        Ok(Self::new(own.into(), Some(child)))
    }

    /// Connects to a shim that was there before. Its first message is its [`Hello`], to be
    /// compared with its journal; until it comes, nothing is known.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let stream = sockets::connect(socket)?;
        fds::check_peer(&stream)?;
        stream.set_nonblocking(true)?;
        Ok(Self::new(stream.into(), None))
    }

    fn new(socket: OwnedFd, child: Option<Child>) -> Self {
        let (input, output) = (FrameBuffer::default(), Vec::new());
        Self { socket, input, output, hello: None, child }
    }

    /// Who it said it is.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// The process number where this process started it.
    pub fn child_pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Closes the connection; what is left is the process, where this one started it.
    pub fn leave(self) -> Option<Child> {
        self.child
    }

    /// Reaps it if it was started here and has ended; true when it is gone.
    pub fn try_reap(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))))
    }

    /// All that it has said since the last call. After an error nothing more will come; what
    /// came before it is given first.
    pub fn on_readable(&mut self) -> Result<Vec<FromShim>, LinkError> {
        let mut messages = Vec::new();
        let mut buffer = [0_u8; READ_BYTES];
        loop {
            let outcome = match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) | Err(rustix::io::Errno::CONNRESET) => Err(LinkError::Closed),
                Ok(length) => {
                    self.input.push(&buffer[..length]);
                    self.take_messages(&mut messages)
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(messages),
                Err(rustix::io::Errno::INTR) => Ok(()),
                Err(errno) => Err(LinkError::Socket(errno.into())),
            };
            match outcome {
                Ok(()) => {}
                // The next call meets the same error.
                Err(_) if !messages.is_empty() => return Ok(messages),
                Err(error) => return Err(error),
            }
        }
    }

    fn take_messages(&mut self, messages: &mut Vec<FromShim>) -> Result<(), LinkError> {
        while let Some(frame) = self.input.next_frame()? {
            let message = FromShim::from_frame(&frame)?;
            if let FromShim::Hello(hello) = &message {
                self.hello = Some(*hello);
            }
            messages.push(message);
        }
        Ok(())
    }

    /// Sends, keeping for [`Self::on_writable`] what the socket does not take now.
    pub fn send(&mut self, message: &ToShim) -> Result<(), LinkError> {
        self.output.extend_from_slice(&message.to_frame().to_bytes());
        self.on_writable()?;
        match self.output.len() {
            behind if behind > BACKLOG_BYTES_MAX => Err(LinkError::Behind(behind)),
            _ => Ok(()),
        }
    }

    /// Whether something waits to be written.
    pub fn wants_write(&self) -> bool {
        !self.output.is_empty()
    }

    /// Writes what waits, as far as the socket takes it.
    pub fn on_writable(&mut self) -> Result<(), LinkError> {
        while !self.output.is_empty() {
            match fds::send(&self.socket, &self.output, None) {
                Ok(length) => drop(self.output.drain(..length)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                        return Err(LinkError::Closed);
                    }
                    _ => return Err(error.into()),
                },
            }
        }
        Ok(())
    }
}

impl AsFd for ShimHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
