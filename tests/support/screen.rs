//! A terminal with a program at it, as a person would have it: typed into, looked at, resized.
#![allow(clippy::allow_attributes, dead_code, reason = "not every test file uses every helper")]

use std::os::fd::AsFd as _;
use std::process::{Command, ExitStatus, Stdio};

use jr::model::spec::WindowSize;
use jr::runners::linux::pty::Pty;
use rustix::process::Signal;
use rustix::termios::{LocalModes, tcgetattr};

use super::home::{Client, Home, JR, until, until_so};

pub(crate) struct Screen {
    pty: Pty,
    client: Client,
    seen: Vec<u8>,
    taken: usize,
}

impl Screen {
    /// jr at a terminal of 24 × 80.
    pub(crate) fn jr(home: &Home, words: &[&str]) -> Self {
        Self::sized(home, words, 24, 80)
    }

    pub(crate) fn sized(home: &Home, words: &[&str], rows: u16, columns: u16) -> Self {
        Self::with(home, words, rows, columns, |_| {})
    }

    /// A shell with the prompt `outer> ` that knows jr as `$JR`.
    pub(crate) fn shell(home: &Home) -> Self {
        let words = ["bash", "--norc", "-i"];
        Self::program(home, &words, WindowSize { rows: 24, columns: 80 }, |command| {
            command.env("PS1", "outer> ").env("JR", JR);
        })
    }

    pub(crate) fn with(
        home: &Home,
        words: &[&str],
        rows: u16,
        columns: u16,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let words = [&[JR], words].concat();
        Self::program(home, &words, WindowSize { rows, columns }, change)
    }

    /// `setsid --ctty` gives it the terminal as its own and becomes the program.
    fn program(
        home: &Home,
        words: &[&str],
        size: WindowSize,
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let pty = Pty::open(size).expect("a terminal");
        let end = || Stdio::from(pty.peer().try_clone_to_owned().expect("a descriptor"));
        // Whoever runs the tests may ignore Ctrl-C, as shells let their background jobs do; a
        // person's shell does not.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT,QUIT", "setsid", "--ctty"]).args(words);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
        command.env("TERM", "xterm").env("TZ", "UTC").env("JR_HOME", home.path());
        command.current_dir("/").stdin(end()).stdout(end()).stderr(end());
        change(&mut command);
        let client = Client::new(command.spawn().expect("setsid of util-linux"));
        Self { pty, client, seen: Vec::new(), taken: 0 }
    }

    pub(crate) fn write(&mut self, keys: &str) {
        let mut bytes = keys.as_bytes();
        until_so("room for what is typed", || {
            bytes = &bytes[self.pty.write(bytes)..];
            self.look();
            bytes.is_empty()
        });
    }

    fn look(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(Some(count)) = self.pty.read(&mut buffer) {
            self.seen.extend_from_slice(&buffer[..count]);
        }
    }

    /// Waits for a text behind all that was waited for before.
    pub(crate) fn expect(&mut self, text: &str) {
        until(&format!("{text:?} on the screen"), || {
            self.look();
            let rest = String::from_utf8_lossy(&self.seen[self.taken..]).into_owned();
            match rest.find(text) {
                Some(_) => {
                    let bytes = text.as_bytes();
                    let rest = &self.seen[self.taken..];
                    let place = rest.windows(bytes.len()).position(|part| part == bytes);
                    self.taken += place.expect("found as text") + bytes.len();
                    Ok(())
                }
                None => Err(rest),
            }
        });
    }

    /// Everything that was ever on it.
    pub(crate) fn text(&mut self) -> String {
        self.look();
        String::from_utf8_lossy(&self.seen).into_owned()
    }

    pub(crate) fn resize(&mut self, rows: u16, columns: u16) {
        self.pty.set_size(WindowSize { rows, columns }).expect("a size");
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        self.client.signal(signal);
    }

    pub(crate) fn pid(&mut self) -> i32 {
        self.client.pid()
    }

    /// Whether each key is a byte: no line editing, no echo, no signals.
    pub(crate) fn is_raw(&self) -> bool {
        let modes = tcgetattr(self.pty.peer().as_fd()).expect("modes").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        until("the client to end", || {
            self.look();
            let status = self.client.child().try_wait().expect("ours");
            status.ok_or_else(|| String::from_utf8_lossy(&self.seen).into_owned())
        })
    }

    /// Waits for its end by itself, with its terminal as it was.
    pub(crate) fn end_code(&mut self) -> i32 {
        let status = self.end();
        self.look();
        assert!(!self.is_raw(), "the terminal is as it was");
        status.code().unwrap_or_else(|| panic!("{status}"))
    }
}
