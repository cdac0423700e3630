//! The terminal of the attempt that runs. The child writes to it, the shim records and shows what
//! comes, and nobody who looks on can hold that up.
//!
//! ```text
//! child ──▶ pty ──▶ read ──▶ <base>.out          clients ──▶ typed ──▶ pty ──▶ child
//!                     └────▶ clients (bounded)
//! ```

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::terminal_modes::TerminalModes;
use crate::model::Signal;
use crate::model::spec::WindowSize;
use crate::runners::capture::recorder::Recorder;
use crate::runners::linux::pty::Pty;
use crate::runners::linux::tree::{Tree, send_to_proven};
use crate::runners::linux::{clock, procfs};

/// Read in one turn of the loop, so that clients and clocks have theirs.
const TURN_BYTES: usize = 64 << 10;
/// Read at once.
const READ_BYTES: usize = 16 << 10;
/// Read when the attempt has ended, at most: strays that are kept may print for ever.
const LAST_BYTES: usize = 1 << 20;
/// A window that has another size for so long is drawn anew by what runs in it.
const NUDGE_MS: u64 = 40;
/// Between two looks whether somebody has opened a terminal again that was hung up.
const REOPENED_TICK_MS: u64 = 50;
/// Between two looks whether the end of the input was read, at first and at last.
const EOF_FIRST_MS: u64 = 10;
const EOF_LAST_MS: u64 = 1_000;

/// The terminal and what is known of its screen.
#[derive(Debug)]
pub(super) struct Terminal {
    pty: Pty,
    size: WindowSize,
    pub(super) modes: TerminalModes,
    fresh: Vec<u8>,
    /// Until then it has another size.
    nudged_until_ms: Option<u64>,
    input_end: Option<InputEnd>,
    /// poll(2) would say so without end.
    is_hung_up: bool,
    /// The main process is stopped.
    pub(super) halt: Option<Halt>,
    /// Times that somebody typed.
    turns: u64,
}

/// The main process was stopped, by a key or by itself, and not by a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// By this signal, and nobody was told.
    By(Signal),
    /// A client waits with it, in the shell that it was started from.
    Told,
}

/// A pipe at its end says so to each reader; a terminal says it once for each time it is told.
#[derive(Clone, Copy, Debug)]
struct InputEnd {
    look_at_ms: u64,
    wait_ms: u64,
}

impl Terminal {
    pub(super) fn open(size: WindowSize) -> io::Result<Self> {
        let (pty, modes) = (Pty::open(size)?, TerminalModes::default());
        pty.take()?;
        let (fresh, nudged_until_ms, input_end) = (Vec::new(), None, None);
        let (is_hung_up, halt, turns) = (false, None, 0);
        Ok(Self { pty, size, modes, fresh, nudged_until_ms, input_end, is_hung_up, halt, turns })
    }

    /// For the child.
    pub(super) fn peer(&self) -> BorrowedFd<'_> {
        self.pty.peer()
    }

    pub(super) fn size(&self) -> WindowSize {
        self.size
    }

    /// Takes the size that fits all who look on; nobody leaves it as it is.
    pub(super) fn fit(&mut self, size: Option<WindowSize>) {
        if let Some(size) = size.filter(|size| *size != self.size) {
            self.size = size;
            self.nudged_until_ms = None;
            self.pty.set_size(size).ok();
        }
    }

    /// Has what runs in it draw its screen anew, for somebody who has not seen it.
    pub(super) fn nudge(&mut self, now_ms: u64) {
        let WindowSize { rows, columns } = self.size;
        let rows = if rows > 1 { rows - 1 } else { rows + 1 };
        if self.pty.set_size(WindowSize { rows, columns }).is_ok() {
            self.nudged_until_ms = Some(now_ms + NUDGE_MS);
        }
    }

    /// Types; gives back how much of it the terminal took, and how often somebody has
    /// typed by now.
    pub(super) fn write(&mut self, bytes: &[u8]) -> (usize, u64) {
        self.input_end = None;
        self.turns += 1;
        (self.pty.write(bytes), self.turns)
    }

    /// Takes note that the main process is to go on after it was stopped; a job that was stopped
    /// since it read in the background (SIGTTIN) would be stopped again there.
    pub(super) fn go_on(&mut self, main: u32) {
        if self.halt.take().is_some() {
            self.pty.set_foreground(main);
        }
    }

    /// Nothing more is typed: from now on who reads all finds an end.
    pub(super) fn end_input(&mut self, now_ms: u64) {
        self.input_end = Some(InputEnd { look_at_ms: now_ms, wait_ms: EOF_FIRST_MS });
    }

    /// Somebody is there who may type.
    pub(super) fn resume_input(&mut self) {
        self.input_end = None;
    }

    /// Reads what was printed and records it.
    pub(super) fn read(&mut self, recorder: &mut Recorder) {
        self.read_some(recorder, TURN_BYTES);
    }

    /// Reads what the attempt has left when it ended.
    pub(super) fn read_last(&mut self, recorder: &mut Recorder) {
        self.read_some(recorder, LAST_BYTES);
    }

    fn read_some(&mut self, recorder: &mut Recorder, bytes_max: usize) {
        let begin = self.fresh.len();
        let mut buffer = [0_u8; READ_BYTES];
        while self.fresh.len() - begin < bytes_max {
            let read = self.pty.read(&mut buffer);
            self.is_hung_up = read.is_err();
            let Ok(Some(count)) = read else { break };
            self.fresh.extend_from_slice(&buffer[..count]);
        }
        let fresh = &self.fresh[begin..];
        if !fresh.is_empty() {
            recorder.record(fresh);
            self.modes.feed(fresh);
        }
    }

    /// What was read since the last call.
    pub(super) fn take_fresh(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.fresh)
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, now_ms: u64) {
        if self.nudged_until_ms.is_some_and(|until| until <= now_ms) {
            self.nudged_until_ms = None;
            self.pty.set_size(self.size).ok();
        }
        if let Some(end) = self.input_end.filter(|end| end.look_at_ms <= now_ms) {
            let has_input = self.pty.has_input();
            if !has_input {
                self.pty.write_eof();
            }
            let wait_ms = (end.wait_ms * 2).min(EOF_LAST_MS);
            self.input_end = Some(InputEnd { look_at_ms: now_ms + end.wait_ms, wait_ms });
        }
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<u64> {
        let looks = self.input_end.map(|end| end.look_at_ms);
        let reopened = self.is_hung_up.then(|| clock::boottime_ms() + REOPENED_TICK_MS);
        [looks, self.nudged_until_ms, reopened].into_iter().flatten().min()
    }

    /// Whether there is something to wait for.
    pub(super) fn is_open(&self) -> bool {
        !self.is_hung_up
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pty.as_fd()
    }
}

/// A stop also hangs up on those who ignore its signal: shells at a prompt do, and end when their
/// terminal goes. Who handles the signal gets the whole grace.
pub(super) fn hang_up(tree: &Tree, stop: Signal) {
    let mut deaf = tree.members();
    deaf.retain(|pid| procfs::ignores(*pid, stop.number()));
    if !deaf.is_empty() {
        let list = || tree.members().intersection(&deaf).copied().collect();
        send_to_proven(list, Signal::HUP.number());
    }
}
