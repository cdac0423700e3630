//! Standard input of a foreground run, as a file or through a pipe.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::model::RunId;

use super::attach::ShimLine;

/// Read from a terminal at one time.
const TYPED_BYTES: usize = 4_096;

/// What a terminal types, on its way to the command.
#[derive(Debug)]
pub struct Typing {
    to: Option<OwnedFd>,
    pending: Vec<u8>,
    is_over: bool,
}

/// A terminal is copied through a pipe, so that our death is the end of the command's input;
/// anything else is handed over as it is.
///
/// # Errors
/// No pipe, or nobody serves the socket.
pub fn attach(
    socket: &Path,
    run: RunId,
    attempt: u32,
) -> std::io::Result<(ShimLine, Option<Typing>)> {
    let stdin = rustix::stdio::stdin();
    if !rustix::termios::isatty(stdin) {
        return ShimLine::connect(socket, run, attempt, stdin).map(|line| (line, None));
    }
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&writer, true)?;
    let line = ShimLine::connect(socket, run, attempt, reader.as_fd())?;
    Ok((line, Some(Typing { to: Some(writer), pending: Vec::new(), is_over: false })))
}

impl Typing {
    /// Who reads a terminal from the background is stopped (SIGTTIN), so we do not.
    fn is_foreground() -> bool {
        let owner = rustix::termios::tcgetpgrp(rustix::stdio::stdin());
        owner.is_ok_and(|owner| owner == rustix::process::getpgrp())
    }

    fn wants_more(&self) -> bool {
        self.to.is_some() && self.pending.is_empty() && !self.is_over
    }

    /// What to wait for before [`Self::read`].
    pub fn reads_from(&self) -> Option<BorrowedFd<'static>> {
        (self.wants_more() && Self::is_foreground()).then(rustix::stdio::stdin)
    }

    /// Whether it reads again once jr is in the foreground.
    pub fn waits_for_foreground(&self) -> bool {
        self.wants_more() && !Self::is_foreground()
    }

    /// What to wait for before [`Self::write`].
    pub fn writes_to(&self) -> Option<BorrowedFd<'_>> {
        self.to.as_ref().filter(|_| !self.pending.is_empty()).map(AsFd::as_fd)
    }

    /// Takes what was typed.
    pub fn read(&mut self) {
        let mut buffer = [0_u8; TYPED_BYTES];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) => self.is_over = true,
            Ok(count) => self.pending.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // The terminal is gone.
            Err(_) => self.is_over = true,
        }
        self.write();
    }

    /// Gives the command what it takes.
    pub fn write(&mut self) {
        let Some(to) = &self.to else { return };
        while !self.pending.is_empty() {
            match rustix::io::write(to, &self.pending) {
                Ok(count) => drop(self.pending.drain(..count)),
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // The command closed its input: what is typed belongs to nobody.
                Err(_) => {
                    self.pending.clear();
                    self.to = None;
                    return;
                }
            }
        }
        if self.is_over {
            self.to = None;
        }
    }
}
