//! The terminal that a client sits at, while it shows another one: raw, and as it was before on
//! every way out.

use std::os::fd::BorrowedFd;

use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr};

use crate::model::spec::WindowSize;
use crate::runners::linux::pty;

/// Standard input, and where the screen is. Dropping it restores the terminal, also in a panic.
#[derive(Debug)]
pub struct LocalTerminal {
    screen: BorrowedFd<'static>,
    has_keyboard: bool,
    before: Option<Termios>,
}

impl LocalTerminal {
    /// Looks at the descriptors and changes nothing yet.
    pub fn new(screen: BorrowedFd<'static>) -> Self {
        Self { screen, has_keyboard: isatty(stdin()), before: None }
    }

    /// Whether somebody types.
    pub fn has_keyboard(&self) -> bool {
        self.has_keyboard
    }

    /// Where output goes.
    pub fn screen(&self) -> BorrowedFd<'static> {
        self.screen
    }

    /// Whether somebody looks.
    pub fn has_screen(&self) -> bool {
        isatty(self.screen)
    }

    /// Its size, if it has one.
    pub fn size(&self) -> Option<WindowSize> {
        pty::size_of(self.screen)
    }

    /// Whether it is ours to read and to change: who does that from the background is stopped
    /// (SIGTTIN, SIGTTOU).
    pub fn is_foreground(&self) -> bool {
        !self.has_keyboard
            || tcgetpgrp(stdin()).is_ok_and(|owner| owner == rustix::process::getpgrp())
    }

    /// Every key is a byte from now on, Ctrl-C too.
    pub fn enter_raw(&mut self) {
        if self.before.is_some() || !self.has_keyboard || !self.is_foreground() {
            return;
        }
        let Ok(before) = tcgetattr(stdin()) else { return };
        let mut raw = before.clone();
        raw.make_raw();
        if tcsetattr(stdin(), OptionalActions::Now, &raw).is_ok() {
            self.before = Some(before);
        }
    }

    /// As it was before.
    pub fn restore(&mut self) {
        if let Some(before) = self.before.take() {
            // A terminal that is gone needs nothing.
            tcsetattr(stdin(), OptionalActions::Now, &before).ok();
        }
    }
}

impl Drop for LocalTerminal {
    fn drop(&mut self) {
        self.restore();
    }
}

/// The size of the terminal that a command would have had, if there is one.
pub fn own_size() -> Option<WindowSize> {
    pty::size_of(stdout()).or_else(|| pty::size_of(stdin()))
}

/// Whether all three are terminals: elsewhere standard output and error go their own ways.
pub fn is_interactive() -> bool {
    isatty(stdin()) && isatty(stdout()) && isatty(rustix::stdio::stderr())
}
