//! The attempt that runs: from the claim to the end of its tree.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;

use super::journal::{Claim, Entry, Journal};
use super::ladder::Ladder;
use super::passed::{self, Passed};
use super::pause::Pause;
use super::terminal::{self, Halt, Terminal};
use crate::model::event::{Final, Process, SpawnError};
use crate::model::{
    AttemptEnd, ByteString, Capture, ExitStatus, Now, ResourceLimits, Signal, Strays, Usage,
};
use crate::runners::capture::recorder::Recorder;
use crate::runners::linux::account::Account;
use crate::runners::linux::pidfd::signal_group_of_child;
use crate::runners::linux::spawn::{self, Conditions, Program, Report, Spawned, Stdio};
use crate::runners::linux::tree::Tree;
use crate::runners::linux::wait::{self, JobControl, Reaped};
use crate::runners::linux::{clock, procfs};
use crate::runners::protocol::{AttemptId, FromShim, Hello, Holding, Start};

/// SIGCONT, Linux numbering.
const CONT: i32 = 18;

/// What a start needs from its shim.
pub(super) struct Ground<'a> {
    pub(super) tree: &'a mut Tree,
    pub(super) journal: &'a mut Journal,
    pub(super) hello: &'a Hello,
    pub(super) watcher: &'a OwnedFd,
    pub(super) passed: &'a Passed,
    pub(super) stdin: BorrowedFd<'a>,
}

impl Ground<'_> {
    /// Sets limits up, and writes down which groups have to go once they are over.
    fn confine(&mut self, limits: &ResourceLimits) {
        self.tree.confine(limits);
        let groups = self.tree.confinement().groups().iter();
        let groups: Vec<ByteString> =
            groups.map(|path| ByteString::from(path.as_os_str().to_owned())).collect();
        if !groups.is_empty() {
            self.journal.record(&Entry::Groups(groups));
        }
    }
}

/// An attempt with a process.
#[derive(Debug)]
pub(super) struct Running {
    start: Start,
    process: Process,
    /// Open until the child is the program or has failed to become it.
    report: Option<OwnedFd>,
    spawn_error: Option<SpawnError>,
    began_ms: u64,
    main_end: Option<(Final, Now)>,
    user_us: u64,
    system_us: u64,
    max_rss_bytes: u64,
    ladder: Ladder,
    strays: BTreeSet<u32>,
    stop_signal: Signal,
    /// Who got the stop signal. What was being forked then gets it later.
    told: BTreeSet<u32>,
    pause: Option<Pause>,
    /// A pause came before the program ran: a child that is frozen before its exec tells nothing.
    is_pause_due: bool,
    /// For how long it was paused before, in milliseconds.
    paused_ms: u64,
    /// What is to be told of pauses.
    pause_news: Vec<FromShim>,
    pub(super) recorder: Recorder,
    pub(super) terminal: Option<Terminal>,
}

impl Running {
    /// Claims and starts it. An end instead means that no process was made.
    pub(super) fn begin(start: Start, mut ground: Ground<'_>) -> Result<Self, Box<AttemptEnd>> {
        Self::try_begin(start, &mut ground).map_err(|error| {
            let status = ExitStatus::NotStarted(error);
            Box::new(AttemptEnd::unmeasured(status, clock::now().wall))
        })
    }

    fn try_begin(mut start: Start, ground: &mut Ground<'_>) -> Result<Self, SpawnError> {
        let sockets = ground.passed.of(&start)?;
        passed::announce(&start.sockets, &mut start.variables);
        let program = Program::new(&start.command, &start.variables, &start.cwd)?;
        let account = account_of(&start)?;
        let base = Path::new(start.output.as_os_str());
        // What comes from a terminal is copied as it is.
        let capture = if start.tty.is_some() { Capture::File } else { start.capture };
        let mut recorder = Recorder::create(base, start.output_bytes_max, capture)
            .map_err(|error| errno(&error))?;
        let terminal = start.tty.map(Terminal::open).transpose().map_err(|error| errno(&error))?;
        let Hello { pid, start_ticks, boot, .. } = *ground.hello;
        let claim = Claim { id: start.id, boot, shim_pid: pid, shim_start_ticks: start_ticks };
        ground.journal.append(&Entry::Claim(claim)).map_err(|error| errno(&error))?;
        ground.confine(&start.limits);
        let now = clock::now();
        recorder.arm(ground.watcher.as_fd(), now);
        let umask = Mode::from_raw_mode(start.umask & 0o777);
        let stdio = match (&terminal, recorder.fds()) {
            (Some(terminal), _) => Stdio::Terminal(terminal.peer()),
            (None, [stdout, stderr]) => Stdio::Files([ground.stdin, stdout, stderr]),
        };
        let conditions = Conditions { stdio, umask, account: account.as_ref(), sockets: &sockets };
        let spawned = make(&program, &conditions, ground.tree, &start.limits);
        let Spawned { pid: child, pidfd, report } = spawned.map_err(|error| {
            recorder.finish(ground.watcher.as_fd(), now);
            errno(&error)
        })?;
        drop(pidfd);
        recorder.close_child_ends();
        // It is our unreaped child, so the number is its own.
        let stat = procfs::stat(child).ok().flatten();
        let process = Process {
            pid: child,
            start_ticks: stat.map_or(0, |stat| stat.start_ticks),
            at: now.wall,
            tracking: ground.tree.tracking(),
            limits_by: ground.tree.confinement().by(),
            shim: pid,
        };
        // What only the start needed: a service may run for months.
        let stop_signal = start.stop_signal;
        start.command = Vec::new();
        start.variables = Vec::new();
        Ok(Self {
            start,
            process,
            report: Some(report),
            spawn_error: None,
            began_ms: now.boottime_ms,
            main_end: None,
            user_us: 0,
            system_us: 0,
            max_rss_bytes: 0,
            ladder: Ladder::default(),
            strays: BTreeSet::new(),
            stop_signal,
            told: BTreeSet::new(),
            pause: None,
            is_pause_due: false,
            paused_ms: 0,
            pause_news: Vec::new(),
            recorder,
            terminal,
        })
    }

    pub(super) fn id(&self) -> AttemptId {
        self.start.id
    }

    pub(super) fn output_bytes_max(&self) -> u64 {
        self.start.output_bytes_max
    }

    /// Readable when the child has something to say about its beginning.
    pub(super) fn report(&self) -> Option<&OwnedFd> {
        self.report.as_ref()
    }

    /// Whether the tree only has to become empty.
    pub(super) fn awaits_tree(&self) -> bool {
        self.main_end.is_some()
    }

    pub(super) fn holding(&self) -> Holding {
        if self.report.is_some() || self.spawn_error.is_some() {
            return Holding::Claimed;
        }
        match &self.pause {
            Some(pause) if pause.is_still() => Holding::Paused(self.process.clone(), pause.by()),
            Some(_) | None => Holding::Running(self.process.clone()),
        }
    }

    /// Reads the child's report. A process is given back once: when it has begun.
    pub(super) fn hear_report(&mut self) -> Option<Process> {
        match spawn::read_report(self.report.as_ref()?) {
            Report::Pending => None,
            Report::Executed => {
                self.report = None;
                Some(self.process.clone())
            }
            Report::Failed(error) => {
                self.report = None;
                self.spawn_error = Some(error);
                None
            }
        }
    }

    /// A child of the shim was reaped: the main process, or a stray that came to it.
    pub(super) fn reaped(&mut self, reaped: &Reaped, now: Now) {
        self.user_us += reaped.user_us;
        self.system_us += reaped.system_us;
        self.max_rss_bytes = self.max_rss_bytes.max(reaped.max_rss_bytes);
        if reaped.pid == self.process.pid && self.main_end.is_none() {
            self.main_end = Some((reaped.last, now));
        }
    }

    /// Job control may have stopped the main process or let it go on. A pause does that too, and is
    /// told in its own way.
    pub(super) fn note_job_control(&mut self) {
        let Some(terminal) = self.terminal.as_mut().filter(|_| self.main_end.is_none()) else {
            return;
        };
        match wait::job_control(self.process.pid) {
            Some(JobControl::Stopped(signal)) if self.pause.is_none() => {
                terminal.halt = Some(Halt::By(signal));
            }
            Some(JobControl::Continued) => terminal.halt = None,
            Some(JobControl::Stopped(_)) | None => {}
        }
    }

    /// Begins or shortens a stop.
    pub(super) fn stop(&mut self, tree: &Tree, signal: Signal, grace_ms: u64, now: Now) {
        let is_first = !self.ladder.is_stopping();
        self.ladder.stop(now.boottime_ms, grace_ms);
        if is_first {
            self.stop_signal = signal;
            self.signal_tree(tree);
        }
        // What is held still has the signal now and meets it before anything else.
        self.unpause(tree, now.boottime_ms);
    }

    /// As [`Self::stop`], the way that its start asks for. Once begun it is not begun again.
    pub(super) fn stop_as_asked(&mut self, tree: &Tree, now: Now) {
        if !self.ladder.is_stopping() {
            self.stop(tree, self.start.stop_signal, self.start.grace_ms, now);
        }
    }

    /// Holds the tree still, once the program runs. Always answered, see [`Self::take_pause_news`].
    pub(super) fn pause(&mut self) {
        if self.main_end.is_some() || self.ladder.is_stopping() {
            self.pause_news.push(FromShim::Unpaused(self.id()));
            return;
        }
        match &self.pause {
            Some(pause) if pause.is_still() => {
                self.pause_news.push(FromShim::Paused(self.id(), pause.by()));
            }
            Some(_) => {}
            None => self.is_pause_due = true,
        }
    }

    /// Lets the tree go on; says so even where it was not paused.
    pub(super) fn resume(&mut self, tree: &Tree, now: Now) {
        if !self.unpause(tree, now.boottime_ms) {
            self.pause_news.push(FromShim::Unpaused(self.id()));
        }
    }

    /// What came of pauses, to be told in this order.
    pub(super) fn take_pause_news(&mut self) -> Vec<FromShim> {
        std::mem::take(&mut self.pause_news)
    }

    /// Ends a pause, if there is one.
    fn unpause(&mut self, tree: &Tree, now_ms: u64) -> bool {
        let was_due = std::mem::take(&mut self.is_pause_due);
        let pause = self.pause.take();
        let was_paused = was_due || pause.is_some();
        if let Some(pause) = pause {
            self.paused_ms = self.paused_ms.saturating_add(pause.length_ms(now_ms));
            if let Some(signal) = pause.lift(tree).filter(|_| self.main_end.is_none()) {
                signal_group_of_child(self.process.pid, signal.number()).ok();
            }
        }
        if was_paused {
            self.pause_news.push(FromShim::Unpaused(self.id()));
        }
        was_paused
    }

    fn advance_pause(&mut self, tree: &Tree, now_ms: u64) {
        if self.is_pause_due && self.report.is_none() && self.spawn_error.is_none() {
            self.is_pause_due = false;
            self.pause = Some(Pause::begin(tree, now_ms));
        }
        if let Some(pause) = &mut self.pause
            && pause.advance(tree, now_ms)
        {
            let news = FromShim::Paused(self.start.id, pause.by());
            self.pause_news.push(news);
        }
    }

    /// To every process of the tree, once each; then SIGCONT, for one that was stopped.
    fn signal_tree(&mut self, tree: &Tree) {
        let told = tree.signal(self.stop_signal.number(), &self.told);
        if !told.is_empty() {
            tree.signal(CONT, &self.told);
            self.told.extend(told);
            if self.terminal.is_some() {
                terminal::hang_up(tree, self.stop_signal);
            }
        }
    }

    /// Sends a signal to the process group; the `errno` if that failed.
    pub(super) fn signal(&mut self, signal: Signal) -> Option<i32> {
        if self.main_end.is_some() {
            return Some(Errno::SRCH.raw_os_error());
        }
        if let Some(terminal) = self.terminal.as_mut().filter(|_| signal == Signal::CONT) {
            terminal.go_on(self.process.pid);
        }
        if self.pause.as_mut().is_some_and(|pause| pause.keeps_back(signal)) {
            return None;
        }
        let sent = signal_group_of_child(self.process.pid, signal.number());
        sent.err().map(|error| error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()))
    }

    /// When it wants [`Self::advance`] to be called, if nothing happens before.
    pub(super) fn deadline(&self) -> Option<u64> {
        let timeout = self
            .start
            .timeout_ms
            .filter(|_| self.main_end.is_none() && !self.ladder.is_stopping())
            .filter(|_| self.pause.is_none())
            .map(|timeout_ms| self.time_is_over_at(timeout_ms));
        let pause = self.pause.as_ref().filter(|_| self.main_end.is_none());
        let pause = pause.and_then(Pause::deadline);
        let tick = self.recorder.next_tick();
        let terminal = self.terminal.as_ref().and_then(Terminal::deadline);
        [timeout, pause, self.ladder.deadline(), tick, terminal].into_iter().flatten().min()
    }

    /// Time in which it was held still does not count.
    fn time_is_over_at(&self, timeout_ms: u64) -> u64 {
        self.began_ms.saturating_add(self.paused_ms).saturating_add(timeout_ms)
    }

    /// Goes on: timeout, grace, kill, end. Gives the end when there is one.
    pub(super) fn advance(
        &mut self,
        tree: &Tree,
        watcher: &OwnedFd,
        now: Now,
    ) -> Option<AttemptEnd> {
        self.recorder.on_time(watcher, now);
        let Some((last, ended)) = self.main_end else {
            self.advance_pause(tree, now.boottime_ms);
            self.advance_main(tree, now.boottime_ms);
            return None;
        };
        let survivors = if tree.is_empty() {
            BTreeSet::new()
        } else if self.start.strays == Strays::Keep && !self.ladder.is_stopping() {
            self.strays = tree.members();
            BTreeSet::new()
        } else if self.ladder.is_in_grace(now.boottime_ms) {
            self.signal_tree(tree);
            return None;
        } else if self.ladder.has_failed(now.boottime_ms) {
            tree.members()
        } else {
            // What was killed together with the main process has not outlived it.
            if !self.ladder.has_killed() {
                self.strays = tree.members();
            }
            if self.ladder.kill_is_due(now.boottime_ms) {
                tree.kill();
            }
            return None;
        };
        // What stays of it goes on, and what begins here next is not born frozen.
        self.unpause(tree, now.boottime_ms);
        Some(self.end(last, ended, survivors, tree, watcher))
    }

    fn advance_main(&mut self, tree: &Tree, now_ms: u64) {
        if !self.ladder.is_stopping() {
            let timeout_ms = self.start.timeout_ms.filter(|_| self.pause.is_none());
            if timeout_ms.is_some_and(|after| now_ms >= self.time_is_over_at(after)) {
                self.ladder.is_timed_out = true;
                self.ladder.stop(now_ms, self.start.grace_ms);
                self.signal_tree(tree);
            }
        } else if !self.ladder.is_in_grace(now_ms) && self.ladder.kill_is_due(now_ms) {
            tree.kill();
        }
    }

    fn end(
        &mut self,
        last: Final,
        ended: Now,
        survivors: BTreeSet<u32>,
        tree: &Tree,
        watcher: &OwnedFd,
    ) -> AttemptEnd {
        if let Some(terminal) = &mut self.terminal {
            terminal.read_last(&mut self.recorder);
        }
        let output = self.recorder.finish(watcher.as_fd(), clock::now());
        if let Some(error) = self.spawn_error {
            return AttemptEnd::unmeasured(ExitStatus::NotStarted(error), ended.wall);
        }
        let status = match last {
            last if self.ladder.is_timed_out => ExitStatus::TimedOut(last),
            Final::Exited(code) => ExitStatus::Exited(code),
            Final::Signalled(signal) => ExitStatus::Signalled(signal),
        };
        AttemptEnd {
            status,
            at: ended.wall,
            duration_ms: Some(ended.boottime_ms.saturating_sub(self.began_ms)),
            usage: Some(Usage {
                user_ms: self.user_us / 1_000,
                system_ms: self.system_us / 1_000,
                max_rss_bytes: self.max_rss_bytes,
                oom_kills: tree.confinement().oom_kills(),
            }),
            strays: u32::try_from(self.strays.len()).unwrap_or(u32::MAX),
            survivors: survivors.into_iter().collect(),
            output: Some(output),
        }
    }
}

/// Makes the child, in the leaf if the kernel lets us.
fn make(
    program: &Program,
    conditions: &Conditions<'_>,
    tree: &mut Tree,
    limits: &ResourceLimits,
) -> io::Result<Spawned> {
    let leaf = tree.leaf().map(|leaf| leaf.dir());
    match spawn::spawn(program, conditions, leaf, tree.confinement()) {
        Err(error) if leaf.is_some() && spawn::is_cgroup_refusal(&error) => {
            tree.give_up_leaf();
            tree.confine(limits);
            spawn::spawn(program, conditions, None, tree.confinement())
        }
        spawned => spawned,
    }
}

/// Who it is to be, where that is somebody else.
fn account_of(start: &Start) -> Result<Option<Account>, SpawnError> {
    let Some(user) = &start.user else { return Ok(None) };
    let account = Account::find(user).map_err(|error| errno(&error))?;
    let account = account.ok_or(SpawnError::NoSuchUser)?;
    Ok((!account.is_own()).then_some(account))
}

fn errno(error: &io::Error) -> SpawnError {
    SpawnError::Errno(error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()))
}
