//! `jr run` in the foreground: one loop over signals, the daemon, the shim, output and input.
//!
//! ```text
//!  daemon ── Admitted, Attach, Ended ──▶ ┌────────┐ ──▶ stdout, stderr
//!  <base>.out, <base>.err ─────────────▶ │  loop  │
//!  terminal, signals ──────────────────▶ └────────┘ ──▶ shim ──▶ the command
//! ```
//! The loop ends when the end of the run is durable: the daemon says so, or, if none answers for
//! `limits::DAEMON_GONE_MS`, the shim whose journal is synced. With a terminal of its own the run
//! is shown through a session with the shim, which may also be left.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::daemon::client::{self, ClientError, Lines, monotonic_ms};
use crate::daemon::protocol::{RunLine, StopReply, StopRequest, WaitRequest};
use crate::limits;
use crate::model::{RunId, Signal};
use crate::projections::query::Query;
use crate::projections::view::{List, OutputView, RunView};
use crate::runners::linux::signals::Blocked;

use super::attach::{self, ShimLine};
use super::context::{Context, asker, command_id, parse};
use super::copy::{Growth, Step, Tail};
use super::error::CommandError;
use super::exit;
use super::session::{Session, Standing, View};
use super::typing::{self, Typing};

/// What a terminal or a supervisor sends to the foreground.
pub const FORWARDED: [Signal; 7] = [
    Signal::INT,
    Signal::TERM,
    Signal::HUP,
    Signal::QUIT,
    Signal::TSTP,
    Signal::CONT,
    Signal::WINCH,
];
/// Of these, what ends a command that does nothing about it.
const ENDING: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
/// Between two looks for another daemon.
const RETRY_MS: u64 = 50;
/// A terminal that another job has the foreground of is looked at again after this.
const BACKGROUND_TICK_MS: u64 = 500;

/// How it ended.
#[derive(Debug)]
pub enum End {
    /// In the log.
    Run(Box<RunView>),
    /// In the shim's journal; the next daemon takes it from there.
    Shim(u8),
    /// It goes on; jr was told to leave it.
    Detached(RunId, u8),
}

/// Who tells the end.
#[derive(Debug)]
enum Daemon {
    /// The one that admitted the run.
    Run(Lines),
    /// Another, asked to wait for it.
    Wait(Lines),
    /// Nobody, since then.
    Gone { since_ms: u64, next_ms: u64, started: bool },
}

/// The loop's state.
#[derive(Debug)]
pub struct Foreground<'a> {
    context: &'a Context,
    signals: &'a Blocked,
    daemon: Daemon,
    run: Option<RunId>,
    shim: Option<ShimLine>,
    shim_is_gone: bool,
    tails: Option<[Tail; 2]>,
    growth: Growth,
    typing: Option<Typing>,
    /// How a run with a terminal is shown.
    view: Option<View>,
    session: Option<Session>,
    /// Where the child's standard output goes.
    stdout: BorrowedFd<'static>,
    end: Option<End>,
    /// A signal came before the run had an id.
    is_unwanted: bool,
    /// The exit code of a detached client.
    left_with: u8,
    /// Where further attempts are held, and where their output lies.
    next_attempts: VecDeque<(PathBuf, u32, String)>,
}

impl<'a> Foreground<'a> {
    /// For the answer to `POST /v1/run`.
    pub fn new(
        context: &'a Context,
        signals: &'a Blocked,
        lines: Lines,
        stdout: BorrowedFd<'static>,
        view: Option<View>,
    ) -> Self {
        Self {
            context,
            signals,
            daemon: Daemon::Run(lines),
            run: None,
            shim: None,
            shim_is_gone: false,
            tails: None,
            growth: Growth::new(),
            typing: None,
            view,
            session: None,
            stdout,
            end: None,
            is_unwanted: false,
            left_with: exit::OK,
            next_attempts: VecDeque::new(),
        }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// The daemon refused, or nobody is left who could tell the end.
    pub fn run(mut self) -> Result<End, CommandError> {
        loop {
            self.hear_daemon()?;
            let tick = match &self.tails {
                Some(tails) if self.end.is_none() => self.growth.arm(tails),
                _ => None,
            };
            let (grew, blocked) = self.copy_output()?;
            let standing = self.session.as_ref().map_or(Standing::Gone, Session::standing);
            if let (Standing::Detached, Some(run)) = (standing, self.run) {
                return Ok(End::Detached(run, self.left_with));
            }
            let is_shown = standing != Standing::Open && !blocked.iter().any(Option::is_some);
            if is_shown && let Some((socket, attempt, output)) = self.next_attempts.pop_front() {
                self.follow_attempt(&socket, attempt, &output);
                continue;
            }
            if self.end.is_some() && is_shown {
                break;
            }
            self.wait(tick, grew, blocked)?;
        }
        self.end.take().ok_or_else(|| unknown_end(self.run))
    }

    /// Takes the lines that have come; looks for another daemon if it is gone.
    fn hear_daemon(&mut self) -> Result<(), CommandError> {
        if self.end.is_some() {
            return Ok(());
        }
        match &mut self.daemon {
            Daemon::Run(lines) => {
                let come: Vec<Vec<u8>> = std::iter::from_fn(|| lines.take()).collect();
                let is_over = lines.is_done();
                for line in come {
                    self.take_line(parse(&line)?);
                }
                if is_over && self.end.is_none() {
                    self.lose_daemon();
                }
            }
            Daemon::Wait(lines) => {
                if lines.head()?.is_some() && lines.is_done() {
                    let list: List<RunView> = parse(&lines.body()?)?;
                    let ended = list.items.into_iter().find(|run| run.outcome.is_some());
                    match ended {
                        Some(run) => {
                            if let Some(run) = self.run {
                                self.look_for_output(run);
                            }
                            self.finish(End::Run(Box::new(run)));
                        }
                        None => self.lose_daemon(),
                    }
                }
            }
            Daemon::Gone { .. } => self.look_for_daemon()?,
        }
        Ok(())
    }

    fn take_line(&mut self, line: RunLine) {
        match line {
            RunLine::Admitted { run_id, existing, .. } => {
                self.run = Some(run_id);
                if self.is_unwanted {
                    self.cancel();
                }
                if existing {
                    let words = format!("run {run_id} has this key; waiting for its end");
                    self.context.ui.status(&words);
                }
            }
            RunLine::Attach { socket, attempt, output } => {
                // Of a further attempt, when all is shown of the one before.
                self.tails.iter_mut().flatten().for_each(Tail::finish);
                self.next_attempts.push_back((PathBuf::from(socket), attempt, output));
            }
            RunLine::Progress(_) => {}
            RunLine::Ended(run) => self.finish(End::Run(run)),
        }
    }

    /// Leaves the attempt before, and follows this one.
    fn follow_attempt(&mut self, socket: &Path, attempt: u32, output: &str) {
        (self.shim, self.shim_is_gone) = (None, false);
        (self.session, self.typing) = (None, None);
        if self.view.as_ref().is_none_or(|view| view.follows_files) {
            self.follow_output(Path::new(output));
        }
        if self.end.is_some() || !self.next_attempts.is_empty() {
            // It is over already: what it printed is all there is of it.
            return self.tails.iter_mut().flatten().for_each(Tail::finish);
        }
        if let Some(view) = self.view.clone() {
            self.open_session(socket, attempt, view);
        } else {
            self.hand_over_stdin(socket, attempt);
        }
    }

    fn follow_output(&mut self, base: &Path) {
        let path = |ending: &str| base.with_added_extension(ending);
        let stdout = Tail::new(path("out"), self.stdout);
        self.tails = Some([stdout, Tail::new(path("err"), rustix::stdio::stderr())]);
    }

    /// The daemon names a shim only once it listens.
    fn hand_over_stdin(&mut self, socket: &Path, attempt: u32) {
        let Some(run) = self.run else { return };
        match typing::attach(socket, run, attempt) {
            Ok((line, typing)) => (self.shim, self.typing) = (Some(line), typing),
            // The run starts without our input; its output and end still come.
            Err(error) => {
                self.context.ui.warn(&format!("cannot hand over standard input: {error}"));
            }
        }
    }

    /// As [`Self::hand_over_stdin`], for a run with a terminal.
    fn open_session(&mut self, socket: &Path, attempt: u32, view: View) {
        let Some(run) = self.run else { return };
        match Session::connect(socket, run, attempt, view) {
            Ok(session) => self.session = Some(session),
            Err(error) => self.context.ui.warn(&format!("cannot show its terminal: {error}")),
        }
    }

    /// The line to the shim, while there is one.
    fn shim(&mut self) -> Option<&mut ShimLine> {
        match &mut self.session {
            Some(session) => Some(session.line()),
            None => self.shim.as_mut().filter(|_| !self.shim_is_gone),
        }
    }

    /// What is printed from now on is not the run's any more.
    fn finish(&mut self, end: End) {
        self.tails.iter_mut().flatten().for_each(Tail::finish);
        self.end = Some(end);
    }

    fn lose_daemon(&mut self) {
        let now = monotonic_ms();
        self.daemon = Daemon::Gone { since_ms: now, next_ms: now, started: false };
    }

    fn look_for_daemon(&mut self) -> Result<(), CommandError> {
        let Daemon::Gone { since_ms, next_ms, started } = &mut self.daemon else { return Ok(()) };
        let Some(run) = self.run else {
            let message = "the daemon ended before it answered; nobody knows whether it runs";
            return Err(CommandError::new("daemon_unavailable", exit::UNAVAILABLE, message)
                .hint("jr history -n 1"));
        };
        let now = monotonic_ms();
        if now < *next_ms {
            return Ok(());
        }
        let is_late = now >= *since_ms + limits::DAEMON_GONE_MS;
        *next_ms = now + if is_late { 20 * RETRY_MS } else { RETRY_MS };
        let request =
            WaitRequest { selectors: vec![run.to_string()], any: false, timeout_ms: None };
        // The next daemon knows nothing of a log that was in memory, and ends what it finds.
        let is_known = !self.context.place.is_in_memory();
        // Whatever is wrong with the next daemon, the shim still knows the end.
        if is_known
            && let Ok(Some(lines)) = client::begin(&self.context.place, "/v1/wait", &request)
        {
            self.daemon = Daemon::Wait(lines);
            self.look_for_output(run);
            return Ok(());
        }
        if is_known && !*started {
            *started = true;
            self.signals.lifted(|| client::spawn(&self.context.place).ok());
        }
        if !is_late {
            return Ok(());
        }
        let is_gone = match &self.session {
            Some(session) => session.standing() == Standing::Gone,
            None => self.shim_is_gone,
        };
        let shim = self.session.as_mut().map(Session::line).or(self.shim.as_mut());
        let Some(shim) = shim else { return Err(unknown_end(Some(run))) };
        if shim.has_ended() {
            let code = shim.durable_end(limits::SHIM_MUTE_MS);
            let code = code.ok_or_else(|| unknown_end(Some(run)))?;
            self.finish(End::Shim(code));
        } else if is_gone {
            return Err(unknown_end(Some(run)));
        }
        Ok(())
    }

    /// The daemon died before it could tell where the output lies; the next one knows.
    fn look_for_output(&mut self, run: RunId) {
        if self.tails.is_some() || self.session.is_some() {
            return;
        }
        if let Some(view) = self.view.clone().filter(|view| !view.follows_files) {
            if let Ok(Some((socket, id))) = attach::find_shim(&self.context.place, run) {
                self.open_session(&socket, id.attempt, view);
            }
            return;
        }
        let query = Query::Outputs { selectors: vec![run.to_string()], attempt: None };
        let outputs = self.context.read::<List<OutputView>>(&query).map(|list| list.items);
        if let Some(output) = outputs.ok().and_then(|mut outputs| outputs.pop()) {
            self.follow_output(output.base());
        }
    }

    /// Copies what is there. Whether anything was, and which sinks are full.
    fn copy_output(&mut self) -> Result<(bool, [Option<BorrowedFd<'static>>; 2]), CommandError> {
        let mut blocked = [None, None];
        let (mut grew, mut is_closed) = (false, false);
        let Some(tails) = &mut self.tails else { return Ok((grew, blocked)) };
        for (tail, blocked) in tails.iter_mut().zip(&mut blocked) {
            let step = tail.copy().map_err(|error| CommandError::io("output", &error))?;
            match step {
                Step::Drained(copied) => grew |= copied,
                Step::Blocked => *blocked = Some(tail.to()),
                // The bare command would have got this signal from its own write.
                Step::Closed => is_closed = true,
            }
        }
        if let Some(shim) = self.shim().filter(|_| is_closed) {
            shim.signal(Signal::PIPE);
        }
        Ok((grew, blocked))
    }

    /// Sleeps until something happens, and deals with signals, the shim and the terminal.
    fn wait(
        &mut self,
        tick: Option<u64>,
        grew: bool,
        blocked: [Option<BorrowedFd<'static>>; 2],
    ) -> Result<(), CommandError> {
        let typing_from = self.typing.as_ref().and_then(Typing::reads_from);
        let in_background = self.typing.as_ref().is_some_and(Typing::waits_for_foreground);
        let mut timeout = tick;
        let mut at_most = |limit| timeout = Some(timeout.map_or(limit, |t: u64| t.min(limit)));
        if in_background {
            at_most(BACKGROUND_TICK_MS);
        }
        if let Some(limit) = self.session.as_ref().and_then(Session::timeout_ms) {
            at_most(limit);
        }
        if let Daemon::Gone { next_ms, .. } = self.daemon {
            at_most(next_ms.saturating_sub(monotonic_ms()));
        }
        let mut fds: Vec<(Source, BorrowedFd<'_>, PollFlags)> = Vec::with_capacity(8);
        fds.push((Source::Signals, self.signals.as_fd(), PollFlags::IN));
        if self.end.is_none() {
            if let Daemon::Run(lines) | Daemon::Wait(lines) = &self.daemon {
                fds.push((Source::Daemon, lines.as_fd(), PollFlags::IN));
            }
            if let Some(shim) = self.shim.as_ref().filter(|_| !self.shim_is_gone) {
                fds.push((Source::Shim, shim.as_fd(), PollFlags::IN));
            }
            if let Some(fd) = typing_from {
                fds.push((Source::Terminal, fd, PollFlags::IN));
            }
            if let Some(fd) = self.typing.as_ref().and_then(Typing::writes_to) {
                fds.push((Source::Stdin, fd, PollFlags::OUT));
            }
            if let Some(fd) = self.growth.fd().filter(|_| self.tails.is_some()) {
                fds.push((Source::Growth, fd, PollFlags::IN));
            }
        }
        if let Some(session) = &self.session {
            let fds_of = [
                (Source::Session, session.shim_fd(), PollFlags::IN),
                (Source::Keyboard, session.keyboard_fd(), PollFlags::IN),
                (Source::Session, session.screen_fd(), PollFlags::OUT),
            ];
            let fds_of = fds_of.into_iter();
            fds.extend(fds_of.filter_map(|(source, fd, flags)| Some((source, fd?, flags))));
        }
        fds.extend(blocked.into_iter().flatten().map(|fd| (Source::Sink, fd, PollFlags::OUT)));
        let ready = poll_sources(&fds, timeout)?;
        let fired = ready.contains(&Source::Growth);
        self.growth.note(fired, grew);
        if let Some(session) = &mut self.session {
            let keyboard_is_ready = ready.contains(&Source::Keyboard);
            session.turn(keyboard_is_ready).map_err(|error| CommandError::io("output", &error))?;
            session.suspend(self.signals);
        }
        for source in ready {
            match source {
                Source::Signals => self.forward_signals(),
                Source::Daemon => self.fill_from_daemon()?,
                Source::Shim => {
                    let is_there = self.shim.as_mut().is_some_and(ShimLine::receive);
                    self.shim_is_gone = !is_there;
                }
                Source::Terminal => self.typing.iter_mut().for_each(Typing::read),
                Source::Stdin => self.typing.iter_mut().for_each(Typing::write),
                Source::Growth | Source::Sink | Source::Session | Source::Keyboard => {}
            }
        }
        let missed = self.shim().and_then(ShimLine::take_missed);
        if missed.is_some_and(|signal| ENDING.contains(&signal)) {
            self.cancel();
        }
        Ok(())
    }

    fn fill_from_daemon(&mut self) -> Result<(), CommandError> {
        let (Daemon::Run(lines) | Daemon::Wait(lines)) = &mut self.daemon else { return Ok(()) };
        match lines.fill() {
            Ok(_) => Ok(()),
            Err(error @ ClientError::Refused(_)) => Err(error.into()),
            Err(_) => {
                self.lose_daemon();
                Ok(())
            }
        }
    }

    fn forward_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            let ends = ENDING.contains(&signal);
            if self.end.is_some() {
                // Only a slow reader is left to wait for.
                self.tails = self.tails.take().filter(|_| !ends);
                self.session = self.session.take().filter(|_| !ends);
            } else if let Some(session) =
                self.session.as_mut().filter(|session| session.standing() == Standing::Open)
            {
                let code = on_signal(session, signal);
                self.left_with = code.unwrap_or(self.left_with);
                continue;
            } else if let Some(shim) = self.shim.as_ref().filter(|_| !self.shim_is_gone) {
                shim.signal(signal);
            } else if ends {
                self.cancel();
            }
            if signal == Signal::TSTP {
                // Its own default, which the mask has put off. SIGCONT goes on from here.
                let own = rustix::process::getpid();
                rustix::process::kill_process(own, rustix::process::Signal::STOP).ok();
            }
        }
    }

    /// Interrupted before there is a process: the run ends where it waits.
    fn cancel(&mut self) {
        self.is_unwanted = true;
        let (Some(run), Ok(command_id)) = (self.run, command_id()) else { return };
        let selectors = vec![run.to_string()];
        let asker = Some(asker());
        let request =
            StopRequest { command_id, selectors, grace_ms: None, interrupted: true, asker };
        if let Err(error) = self.context.post::<StopReply>("/v1/stop", &request) {
            self.context.ui.warn(&error.message);
        }
    }
}

/// What the client of a terminal does itself, and what it passes on; an exit code if it leaves.
fn on_signal(session: &mut Session, signal: Signal) -> Option<u8> {
    match signal {
        // Its own terminal is gone. The run has another.
        Signal::HUP => {
            session.detach();
            return Some(exit::of_signal(signal.number()));
        }
        Signal::WINCH | Signal::TSTP | Signal::CONT => session.on_signal(signal),
        signal => session.line().signal(signal),
    }
    None
}

fn unknown_end(run: Option<RunId>) -> CommandError {
    let run = run.map_or_else(|| "it".to_owned(), |run| format!("run {run}"));
    let message = format!("neither a daemon nor the shim can tell how {run} ended");
    CommandError::new("lost", exit::NOT_STARTED, message).hint("jr history -n 1")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Signals,
    Daemon,
    Shim,
    Terminal,
    Stdin,
    Growth,
    Sink,
    Session,
    Keyboard,
}

fn poll_sources(
    sources: &[(Source, BorrowedFd<'_>, PollFlags)],
    timeout_ms: Option<u64>,
) -> Result<Vec<Source>, CommandError> {
    let mut fds: Vec<PollFd<'_>> =
        sources.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
    let timeout = timeout_ms.map(|limit| Timespec {
        tv_sec: i64::try_from(limit / 1_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(limit % 1_000).unwrap_or(0) * 1_000_000,
    });
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(errno) => return Err(CommandError::io("waiting", &errno.into())),
    }
    let ready = fds.iter().zip(sources).filter(|(fd, _)| !fd.revents().is_empty());
    Ok(ready.map(|(_, (source, ..))| *source).collect())
}
