//! Pseudo-terminals (pty(7)): the end that a shim holds, and the end that its child lives on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, ioctl_tiocsctty};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Winsize, tcgetattr, tcgetwinsize,
    tcsetattr, tcsetpgrp, tcsetwinsize,
};

use crate::model::spec::WindowSize;

/// `VEOF` where the terminal does not say: Ctrl-D.
const EOF_DEFAULT: u8 = 4;

/// A terminal. It hangs up when this is dropped: what still lives on it gets SIGHUP.
#[derive(Debug)]
pub struct Pty {
    master: OwnedFd,
    /// Kept open, so that the other end does not hang up while the child has closed its own.
    peer: OwnedFd,
}

impl Pty {
    /// A fresh terminal of that size.
    ///
    /// # Errors
    /// No pseudo-terminal is left, or no `/dev/pts` is there.
    pub fn open(size: WindowSize) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let peer = ioctl_tiocgptpeer(&master, flags)?;
        rustix::io::ioctl_fionbio(&master, true)?;
        let mut modes = tcgetattr(&peer)?;
        // Erasing takes a whole character.
        modes.input_modes |= InputModes::IUTF8;
        tcsetattr(&peer, OptionalActions::Now, &modes)?;
        let pty = Self { master, peer };
        pty.set_size(size)?;
        Ok(pty)
    }

    /// Makes it the controlling terminal of our session, until it is dropped.
    ///
    /// # Errors
    /// We do not lead our session, or it has another one.
    pub fn take(&self) -> io::Result<()> {
        Ok(ioctl_tiocsctty(&self.peer)?)
    }

    /// Standard input, output and error of the child.
    pub fn peer(&self) -> BorrowedFd<'_> {
        self.peer.as_fd()
    }

    /// Changes the size; the processes in its foreground get SIGWINCH if it is another one.
    pub fn set_size(&self, size: WindowSize) -> io::Result<()> {
        let WindowSize { rows, columns } = size;
        Ok(tcsetwinsize(&self.master, winsize(rows, columns))?)
    }

    /// What the child has printed; `None` if that is all for now.
    ///
    /// # Errors
    /// Nobody has the other end open, not even we: somebody has hung it up (vhangup(2)). It may be
    /// opened again.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match rustix::io::read(&self.master, &mut *buffer) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(None),
                Ok(count) => return Ok(Some(count)),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Types; gives back how much of it the terminal took.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while written < bytes.len() {
            match rustix::io::write(&self.master, &bytes[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                // Nobody reads what was typed before.
                Err(_) => break,
            }
        }
        written
    }

    /// Whether a reader would find something that was typed and not read yet.
    pub fn has_input(&self) -> bool {
        let mut fds = [PollFd::new(&self.peer, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1))
    }

    /// Puts a process group of our session in the foreground, as a shell does that lets a job go
    /// on. One that is gone, or a terminal that is not ours any more, changes nothing.
    pub fn set_foreground(&self, group: u32) {
        if let Some(group) = i32::try_from(group).ok().and_then(Pid::from_raw) {
            tcsetpgrp(&self.peer, group).ok();
        }
    }

    /// Types what the terminal takes for the end of its input: a reader gets what is there, or
    /// nothing.
    pub fn write_eof(&self) {
        let eof = tcgetattr(&self.peer)
            .ok()
            .filter(|modes| modes.local_modes.contains(LocalModes::ICANON));
        let eof = eof.map_or(EOF_DEFAULT, |modes| modes.special_codes[SpecialCodeIndex::VEOF]);
        self.write(&[eof]);
    }
}

impl AsFd for Pty {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

/// The size of the terminal behind a descriptor; `None` if it is none or does not know.
pub fn size_of(terminal: impl AsFd) -> Option<WindowSize> {
    let size = tcgetwinsize(terminal).ok()?;
    let size = WindowSize { rows: size.ws_row, columns: size.ws_col };
    (size.rows > 0 && size.columns > 0).then_some(size)
}

fn winsize(ws_row: u16, ws_col: u16) -> Winsize {
    Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: WindowSize = WindowSize { rows: 7, columns: 33 };

    fn read_all(pty: &Pty) -> Vec<u8> {
        let mut buffer = [0; 64];
        let mut bytes = Vec::new();
        while let Some(count) = pty.read(&mut buffer).expect("it is open") {
            bytes.extend_from_slice(&buffer[..count]);
        }
        bytes
    }

    #[test]
    fn a_terminal_has_its_size_and_echoes_what_is_typed() {
        let pty = Pty::open(SIZE).expect("a terminal");
        assert_eq!(size_of(pty.peer()), Some(SIZE));
        let other = WindowSize { rows: 50, columns: 1 };
        pty.set_size(other).expect("another size");
        assert_eq!(size_of(&pty), Some(other));
        assert_eq!(pty.write(b"ab\n"), 3);
        assert!(pty.has_input(), "it has arrived, and so has its echo");
        assert_eq!(read_all(&pty), b"ab\r\n");
        rustix::io::write(pty.peer(), b"out\n").expect("written");
        assert_eq!(read_all(&pty), b"out\r\n");
        assert_eq!(pty.read(&mut [0; 8]).expect("it is open"), None);
    }

    #[test]
    fn the_end_of_input_flushes_a_line_and_then_is_an_end() {
        let pty = Pty::open(SIZE).expect("a terminal");
        pty.write(b"x");
        assert!(!pty.has_input(), "no line yet");
        pty.write_eof();
        assert!(pty.has_input());
        let mut buffer = [0; 8];
        assert_eq!(rustix::io::read(pty.peer(), &mut buffer), Ok(1));
        assert!(!pty.has_input());
        pty.write_eof();
        assert!(pty.has_input());
        assert_eq!(rustix::io::read(pty.peer(), &mut buffer), Ok(0));
    }

    #[test]
    fn who_reads_nothing_does_not_hold_up_who_types() {
        let pty = Pty::open(SIZE).expect("a terminal");
        let line = [b"y".repeat(99), b"\n".to_vec()].concat();
        let mut taken = 0;
        for _ in 0..10_000 {
            taken += pty.write(&line);
            read_all(&pty);
        }
        assert!(taken < 1_000_000, "{taken} bytes went somewhere");
    }
}
