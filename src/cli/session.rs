//! A client at the terminal of a run: keys go there, the screen comes from there.
//!
//! ```text
//!  keyboard ──▶ detach keys ──▶ credit ──▶ shim      shim ──▶ screen, bounded ──▶ stdout
//! ```

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio::stdin;

use super::attach::ShimLine;
use super::keys::{DetachKeys, KeyMatcher};
use super::terminal::LocalTerminal;
use crate::limits;
use crate::model::{RunId, Signal};
use crate::runners::linux::signals::Blocked;
use crate::runners::protocol::{AttemptId, FromShim, ViewerRequest};
use crate::runners::shim::terminal_modes::TerminalModes;

/// Bytes that wait for the screen; the shim is not listened to while there are more.
const SCREEN_BYTES: usize = 64 << 10;
/// One write: it must not keep the loop from signals for long.
const WRITE_BYTES: usize = 4 << 10;
const READ_BYTES: usize = 4 << 10;
/// A terminal that another job has the foreground of is looked at again after this.
const BACKGROUND_TICK_MS: u64 = 500;

/// How a client looks at a terminal.
#[derive(Clone, Debug)]
pub struct View {
    /// What leaves it.
    pub keys: DetachKeys,
    /// Nothing is typed.
    pub read_only: bool,
    /// It is the client that asked for the run: the start waits for it, and the end of its input
    /// is that of the run's.
    pub is_owner: bool,
    /// The run's terminal is shown here.
    pub screen: BorrowedFd<'static>,
    /// What is printed comes another way.
    pub follows_files: bool,
}

/// What has become of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It goes on.
    Open,
    /// The keys were typed, or the keyboard is gone.
    Detached,
    /// The shim has told the end, and all of it is on the screen.
    Ended,
    /// The shim hung up without a word.
    Gone,
}

/// An open session. Dropping it detaches and restores the terminal.
#[expect(clippy::struct_excessive_bools, reason = "each is over and done by itself")]
#[derive(Debug)]
pub struct Session {
    line: ShimLine,
    view: View,
    local: LocalTerminal,
    matcher: KeyMatcher,
    modes: TerminalModes,
    /// For the screen.
    shown: Vec<u8>,
    /// For the shim.
    typed: Vec<u8>,
    credit: usize,
    keyboard_is_over: bool,
    input_has_ended: bool,
    has_terminal: Option<bool>,
    /// The shim may have said more than was read.
    has_more: bool,
    is_detached: bool,
    is_gone: bool,
    /// The screen is as it was before.
    has_left: bool,
    /// The run was stopped by a key that was typed here.
    is_suspended: bool,
}

impl Session {
    /// Connects to the shim; the terminal here is changed once there is one to be shown.
    ///
    /// # Errors
    /// Nobody serves the socket, or another user does.
    pub fn connect(socket: &Path, run: RunId, attempt: u32, view: View) -> io::Result<Self> {
        let local = LocalTerminal::new(view.screen);
        let request = request(&view, &local);
        let line = ShimLine::view(socket, AttemptId { run, attempt }, request)?;
        Ok(Self {
            line,
            matcher: view.keys.matcher(),
            local,
            modes: TerminalModes::default(),
            shown: Vec::new(),
            typed: Vec::new(),
            credit: limits::TYPED_BYTES,
            // It goes on to be read for the keys that detach.
            keyboard_is_over: false,
            input_has_ended: false,
            has_terminal: None,
            has_more: false,
            is_detached: false,
            is_gone: false,
            has_left: false,
            is_suspended: false,
            view,
        })
    }

    /// The line below, for signals and the end.
    pub fn line(&mut self) -> &mut ShimLine {
        &mut self.line
    }

    /// Whether the run has a terminal; `None` until it has begun.
    pub fn has_terminal(&self) -> Option<bool> {
        self.has_terminal
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        match () {
            () if self.is_detached => Standing::Detached,
            () if !self.shown.is_empty() => Standing::Open,
            () if self.line.has_ended() => Standing::Ended,
            () if self.is_gone => Standing::Gone,
            () => Standing::Open,
        }
    }

    /// Where the shim speaks, while there is room for what it says.
    pub fn shim_fd(&self) -> Option<BorrowedFd<'_>> {
        let listens = !self.is_gone && self.shown.len() < SCREEN_BYTES && !self.line.has_ended();
        listens.then(|| self.line.as_fd())
    }

    /// Where somebody types, while the run takes it.
    pub fn keyboard_fd(&self) -> Option<BorrowedFd<'static>> {
        (self.wants_keys() && self.local.is_foreground()).then(stdin)
    }

    /// A keyboard is read further than the run reads it: the keys that detach are among the rest.
    fn wants_keys(&self) -> bool {
        let is_up = self.has_terminal == Some(true) && !self.is_gone && !self.line.has_ended();
        let has_room = if self.local.has_keyboard() {
            self.typed.len() < limits::TYPED_BYTES
        } else {
            self.typed.is_empty() && !self.view.read_only
        };
        is_up && has_room && !self.keyboard_is_over
    }

    /// The screen, while something waits for it.
    pub fn screen_fd(&self) -> Option<BorrowedFd<'static>> {
        (!self.shown.is_empty()).then(|| self.local.screen())
    }

    /// Nothing may tell when to look again.
    pub fn timeout_ms(&self) -> Option<u64> {
        let waits_for_foreground = self.wants_keys() && !self.local.is_foreground();
        match (self.has_more && self.shim_fd().is_some(), waits_for_foreground) {
            (true, _) => Some(0),
            (false, true) => Some(BACKGROUND_TICK_MS),
            (false, false) => None,
        }
    }

    /// Goes on as far as it can: what was said and typed has arrived, or nothing has.
    ///
    /// # Errors
    /// The screen fails.
    pub fn turn(&mut self, keyboard_is_ready: bool) -> io::Result<()> {
        if self.has_terminal == Some(true) {
            self.local.enter_raw();
        }
        if self.shim_fd().is_some() {
            self.listen();
        }
        if keyboard_is_ready {
            self.read_keys();
        }
        self.send_typed();
        self.draw()?;
        if matches!(self.standing(), Standing::Ended | Standing::Gone) {
            // Another attempt may follow, and Ctrl-C be meant for jr meanwhile.
            self.leave();
        }
        Ok(())
    }

    fn listen(&mut self) {
        self.has_more = true;
        while self.shown.len() < SCREEN_BYTES {
            match self.line.receive_one() {
                Ok(Some(message)) => self.heard(message),
                Ok(None) => {
                    self.has_more = false;
                    return;
                }
                Err(_) => {
                    self.has_more = false;
                    self.is_gone = true;
                    return;
                }
            }
        }
    }

    fn heard(&mut self, message: FromShim) {
        match message {
            FromShim::Terminal(_, size) => {
                self.has_terminal = Some(size.is_some());
                if size.is_some() {
                    self.local.enter_raw();
                }
            }
            FromShim::Output(_, bytes) => {
                self.modes.feed(bytes.as_bytes());
                self.shown.extend_from_slice(bytes.as_bytes());
            }
            FromShim::Skipped(_, bytes) => {
                let words =
                    format!("\r\n[jr: this terminal was too slow: {bytes} bytes skipped]\r\n");
                self.shown.extend_from_slice(words.as_bytes());
            }
            FromShim::InputTaken(_, bytes) => self.credit += bytes as usize,
            FromShim::Halted(_) => self.is_suspended = true,
            // It is not here any more.
            FromShim::Withdrawn(_) => self.is_gone = true,
            FromShim::Hello(_)
            | FromShim::Held(_)
            | FromShim::Started(..)
            | FromShim::Ended(..)
            | FromShim::SignalSent(..)
            | FromShim::OutputMissing(..)
            | FromShim::State(_)
            | FromShim::Paused(..)
            | FromShim::Unpaused(_)
            | FromShim::Synced(_) => {}
        }
    }

    fn read_keys(&mut self) {
        let mut buffer = [0_u8; READ_BYTES];
        let count = match rustix::io::read(stdin(), &mut buffer) {
            Ok(count) => count,
            Err(Errno::INTR | Errno::AGAIN) => return,
            Err(_) => 0,
        };
        if count == 0 {
            self.keyboard_is_over = true;
            // A terminal at its end was hung up on: nobody is there any more.
            self.is_detached |= self.local.has_keyboard();
            return;
        }
        if !self.local.has_keyboard() {
            self.typed.extend_from_slice(&buffer[..count]);
            return;
        }
        let typed = self.matcher.push(&buffer[..count]);
        self.typed.extend_from_slice(&typed.bytes);
        self.is_detached |= typed.detach;
    }

    fn send_typed(&mut self) {
        if self.view.read_only {
            self.typed.clear();
            return;
        }
        let count = self.typed.len().min(self.credit);
        if count > 0 && self.line.attachment().input(&self.typed[..count]).is_ok() {
            self.credit -= count;
            self.typed.drain(..count);
        }
        let is_over = self.keyboard_is_over && self.typed.is_empty() && !self.is_detached;
        if is_over && self.view.is_owner && !self.input_has_ended {
            self.input_has_ended = true;
            // A shim that is gone is noticed where it is listened to.
            self.line.attachment().input_end().ok();
        }
    }

    /// Writes what the screen takes now.
    fn draw(&mut self) -> io::Result<()> {
        while !self.shown.is_empty() {
            let mut ready = [PollFd::from_borrowed_fd(self.view.screen, PollFlags::OUT)];
            if poll(&mut ready, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? == 0 {
                return Ok(());
            }
            let count = self.shown.len().min(WRITE_BYTES);
            match rustix::io::write(self.view.screen, &self.shown[..count]) {
                Ok(count) => drop(self.shown.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                // The terminal was hung up.
                Err(Errno::IO) => {
                    self.shown.clear();
                    self.is_detached = true;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Does what a signal to the client means for its terminal.
    pub fn on_signal(&mut self, signal: Signal) {
        match signal {
            Signal::WINCH => {
                if let Some(size) = self.local.size() {
                    self.line.attachment().resize(size).ok();
                }
            }
            Signal::TSTP => self.is_suspended = true,
            _ => {}
        }
    }

    /// Stops with the run, if that was stopped here, and goes on with it. Without a shell that
    /// could let us go on the kernel does not stop us.
    pub fn suspend(&mut self, signals: &Blocked) {
        if !std::mem::take(&mut self.is_suspended) {
            return;
        }
        self.leave();
        let own = rustix::process::getpid();
        signals.lifted(|| rustix::process::kill_process(own, rustix::process::Signal::TSTP).ok());
        self.has_left = false;
        self.line.signal(Signal::CONT);
        if self.modes.leave().is_empty() {
            self.on_signal(Signal::WINCH);
        } else {
            self.line.attachment().view_again(request(&self.view, &self.local)).ok();
        }
    }

    /// Goes away; the run goes on.
    pub fn detach(&mut self) {
        self.is_detached = true;
    }

    /// Leaves the terminal here as a program that ends well would.
    pub fn leave(&mut self) {
        let mut undo = self.modes.leave();
        if self.is_detached {
            // What is said next begins a line.
            undo.extend_from_slice(b"\r\n");
        }
        if !undo.is_empty() && !self.has_left && self.local.has_screen() {
            super::ui::write_all(self.view.screen, &undo).ok();
        }
        self.has_left = true;
        self.local.restore();
    }
}

fn request(view: &View, local: &LocalTerminal) -> ViewerRequest {
    let View { read_only, is_owner, follows_files, .. } = *view;
    let (size, output, awaits_start) = (local.size(), !follows_files, is_owner);
    ViewerRequest { size, read_only, output, awaits_start }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.leave();
    }
}
