//! `jr attach`.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::Runnable;
use crate::cli::attach::{begun_attempts, find_shim};
use crate::cli::context::{Context, parse};
use crate::cli::copy::{Growth, Step, Tail};
use crate::cli::error::CommandError;
use crate::cli::foreground::FORWARDED;
use crate::cli::keys::{DETACH_DEFAULT, DetachKeys};
use crate::cli::session::{Session, Standing, View};
use crate::cli::{exit, text, ui};
use crate::daemon::client::{self, Start, monotonic_ms};
use crate::daemon::offline::nobody_serves;
use crate::daemon::protocol::WaitRequest;
use crate::limits;
use crate::model::{RunId, Signal};
use crate::projections::query::Scope;
use crate::projections::view::{List, RunView};
use crate::runners::capture::StreamName;
use crate::runners::linux::signals::Blocked;
use crate::runners::protocol::AttemptId;

/// Of a run without a terminal, so much of what it has printed is shown first.
const RECENT_BYTES: u64 = 64 << 10;
/// A line that was cut in two is left out if it ends within this.
const CUT_LINE_BYTES: usize = 4 << 10;
/// A run that was only just asked for begins within this, or waits for something.
const BEGIN_MS: u64 = 2_000;
/// Between two looks.
const BEGIN_TICK_MS: u64 = 10;
/// A daemon tells what came of an ended attempt within this, or the shim does.
const VERDICT_MS: u64 = 2_000;

/// Below the options.
const HELP: &str = "\
Examples:
  jr run -d --tty --name dev -- bash  # a shell to come back to
  jr attach dev                       # Ctrl-] leaves it running
  jr attach -r dev                    # only look

Exit codes:
  the run's own when it ends; 0 detached; 2 the word could mean several runs;
  3 no such run, or it has no process; 125 lost; 128+n by signal n";

/// Sit down at the terminal of a run
///
/// Shows its recent output, then what it prints, and types what you type. Several can be attached
/// at once; the smallest window counts. A run without a terminal is only followed. Ends with the
/// run's own code, or with 0 when detached.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct AttachArgs {
    /// Run id, unique prefix, name, last, @-1
    #[arg(value_name = "RUN")]
    selector: String,
    /// Keys that leave it running: ctrl-], ctrl-p,ctrl-q, none
    #[arg(long, value_name = "KEYS", default_value = DETACH_DEFAULT)]
    detach_keys: DetachKeys,
    /// Only look: type nothing, and let the size of this window not count
    #[arg(short, long)]
    read_only: bool,
}

/// How it ended.
#[derive(serde::Serialize)]
struct Left {
    schema: &'static str,
    run_id: RunId,
    detached: bool,
    /// Its end, where a daemon knows it.
    run: Option<RunView>,
    #[serde(skip)]
    code: u8,
}

impl Runnable for AttachArgs {
    const NAME: &'static str = "attach";
    const LIVING: bool = true;
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let (run_id, _) = self.find(context)?;
        let left = self.sit(context, run_id)?;
        if left.detached {
            context.ui.status(&left_running(run_id));
        }
        if context.ui.json {
            context.ui.json(&left);
        }
        Ok(left.code)
    }
}

/// What is said to somebody who leaves.
pub(super) fn left_running(run: RunId) -> String {
    format!("run {run} goes on; come back: jr attach {run}")
}

impl AttachArgs {
    /// The run, if it lives, and its state.
    fn find(&self, context: &Context) -> Result<(RunId, String), CommandError> {
        let runs = context.resolve(std::slice::from_ref(&self.selector), Scope::One)?;
        let protocol = || CommandError::new("protocol", exit::UNAVAILABLE, "the run has no id");
        let run = runs.first().ok_or_else(protocol)?;
        let (id, name) = (&run.run_id, text::line(&run.name));
        if run.state == "ended" {
            let outcome = run.outcome.as_deref().unwrap_or("ended");
            let message = format!("run {id} ({name}) has ended: {outcome}");
            let error = CommandError::new("ended", exit::NOT_FOUND, message);
            return Err(error.hint(format!("jr logs {id}")));
        }
        if run.kind == "batch" {
            let message = format!("run {id} ({name}) is a batch, which has no process of its own");
            let error = CommandError::new("not_running", exit::NOT_FOUND, message);
            return Err(error.hint(format!("jr logs -f {id}")));
        }
        // Each byte shown there would be printed once more, without end.
        if std::env::var("JR_RUN_ID").is_ok_and(|own| own == run.run_id) {
            let message = format!("this is run {id} ({name}) itself");
            return Err(CommandError::usage(message).hint("attach to it from another terminal"));
        }
        let run_id = run.run_id.parse().map_err(|_| protocol())?;
        Ok((run_id, run.state.clone()))
    }

    /// The shim that has it; what was only just asked for gets a moment to begin.
    fn find_process(
        &self,
        context: &Context,
        run: RunId,
    ) -> Result<(PathBuf, AttemptId), CommandError> {
        let shims = context.place.shims();
        let deadline_ms = monotonic_ms() + BEGIN_MS;
        loop {
            let found = find_shim(&context.place, run)
                .map_err(|error| CommandError::io(shims.display(), &error))?;
            if let Some(found) = found {
                return Ok(found);
            }
            // It may have ended since, which says more.
            let (_, state) = self.find(context)?;
            if monotonic_ms() >= deadline_ms && has_ended_unseen(context, run) {
                let message = format!("run {run} has ended, and no daemon runs that would log it");
                return Err(CommandError::new("ended", exit::NOT_FOUND, message)
                    .hint(format!("jr resume, then: jr show {run}")));
            }
            if monotonic_ms() >= deadline_ms {
                let message = format!("run {run} is {state}: it has no process now");
                return Err(CommandError::new("not_running", exit::NOT_FOUND, message)
                    .hint(format!("see why: jr show {run}")));
            }
            std::thread::sleep(Duration::from_millis(BEGIN_TICK_MS));
        }
    }

    fn sit(&self, context: &Context, run: RunId) -> Result<Left, CommandError> {
        let (socket, id) = self.find_process(context, run)?;
        // With --json stdout is the document's.
        let json = context.ui.json;
        let screen = if json { rustix::stdio::stderr() } else { rustix::stdio::stdout() };
        let view = View {
            keys: self.detach_keys.clone(),
            read_only: self.read_only,
            is_owner: false,
            screen,
            follows_files: false,
        };
        let signals =
            // None of these may end it before the terminal is restored.
            Blocked::new(&FORWARDED).map_err(|error| CommandError::io("signals", &error))?;
        let session = Session::connect(&socket, run, id.attempt, view).map_err(|error| {
            let message = format!("the shim of run {run} does not answer: {error}");
            CommandError::new("shim", exit::UNAVAILABLE, message).hint(format!("jr show {run}"))
        })?;
        let sitting =
            Sitting { context, run, session, screen, tails: None, growth: Growth::new(), code: 0 };
        sitting.run(&signals)
    }
}

/// Whether nobody has logged the end of its latest attempt yet.
fn has_ended_unseen(context: &Context, run: RunId) -> bool {
    let begun = begun_attempts(&context.place).unwrap_or_default();
    let latest = begun.iter().rfind(|(id, _)| id.run == run);
    latest.is_some_and(|(_, runs)| !runs) && nobody_serves(&context.place)
}

/// The loop's state.
struct Sitting<'a> {
    context: &'a Context,
    run: RunId,
    session: Session,
    screen: BorrowedFd<'static>,
    /// Of a run without a terminal.
    tails: Option<[Tail; 2]>,
    growth: Growth,
    /// The exit code of a detached client.
    code: u8,
}

/// What poll(2) has found.
#[derive(Default)]
struct Ready {
    keyboard: bool,
    growth: bool,
}

impl Sitting<'_> {
    fn run(mut self, signals: &Blocked) -> Result<Left, CommandError> {
        loop {
            let tick = self.tails.as_ref().and_then(|tails| self.growth.arm(tails));
            let (grew, blocked) = self.copy()?;
            match self.session.standing() {
                Standing::Detached => return Ok(self.left(true, None)),
                Standing::Ended | Standing::Gone if blocked.is_empty() => break,
                Standing::Ended | Standing::Gone | Standing::Open => {}
            }
            let ready = self.wait(signals, tick, &blocked)?;
            self.growth.note(ready.growth, grew);
            self.session
                .turn(ready.keyboard)
                .map_err(|error| CommandError::io("output", &error))?;
            while let Some(signal) = signals.next() {
                self.on_signal(signal);
            }
            self.session.suspend(signals);
            if self.session.has_terminal() == Some(false) && self.tails.is_none() {
                self.follow();
            }
        }
        self.verdict()
    }

    /// It has no terminal: what it prints is all that there is to see.
    fn follow(&mut self) {
        let run = self.run;
        let words = format!(
            "run {run} has no terminal: this is what it prints, Ctrl-C leaves it running \
             (a terminal comes with: jr run --tty)"
        );
        self.context.ui.status(&words);
        let base = self.context.place.output(run, self.session.line().id().attempt);
        let tail = |stream: StreamName, to| {
            let path = stream.path(&base);
            let from = recent(&path);
            Tail::new(path, to).starting_at(from)
        };
        let stderr = rustix::stdio::stderr();
        self.tails =
            Some([tail(StreamName::Stdout, self.screen), tail(StreamName::Stderr, stderr)]);
    }

    fn copy(&mut self) -> Result<(bool, Vec<BorrowedFd<'static>>), CommandError> {
        let (mut grew, mut blocked) = (false, Vec::new());
        let has_ended = self.session.line().has_ended();
        for tail in self.tails.iter_mut().flatten() {
            if has_ended {
                tail.finish();
            }
            match tail.copy().map_err(|error| CommandError::io("output", &error))? {
                Step::Drained(copied) => grew |= copied,
                Step::Blocked => blocked.push(tail.to()),
                Step::Closed => return Err(ui::closed()),
            }
        }
        Ok((grew, blocked))
    }

    fn wait(
        &self,
        signals: &Blocked,
        tick: Option<u64>,
        blocked: &[BorrowedFd<'static>],
    ) -> Result<Ready, CommandError> {
        let session = &self.session;
        let growth = self.growth.fd().filter(|_| self.tails.is_some());
        let keyboard = session.keyboard_fd();
        let first = [keyboard, growth];
        let reads = [Some(signals.as_fd()), session.shim_fd()];
        let input = first.into_iter().chain(reads).flatten();
        let mut fds: Vec<PollFd<'_>> =
            input.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let output = session.screen_fd().into_iter().chain(blocked.iter().copied());
        fds.extend(output.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
        let timeout = [tick, session.timeout_ms()].into_iter().flatten().min();
        let timeout = timeout.map(|limit| Timespec {
            tv_sec: i64::try_from(limit / 1_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(limit % 1_000).unwrap_or(0) * 1_000_000,
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(CommandError::io("waiting", &errno.into())),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut next = |is_polled: bool| is_polled && ready.next().unwrap_or(false);
        Ok(Ready { keyboard: next(keyboard.is_some()), growth: next(growth.is_some()) })
    }

    /// Signals are for the client here: a key for the run is a byte.
    fn on_signal(&mut self, signal: Signal) {
        match signal {
            Signal::WINCH | Signal::TSTP | Signal::CONT => self.session.on_signal(signal),
            signal => {
                let is_the_way_out = signal == Signal::INT && self.tails.is_some();
                self.code =
                    if is_the_way_out { exit::OK } else { exit::of_signal(signal.number()) };
                self.session.detach();
            }
        }
    }

    /// What came of it: the daemon knows all of it, the shim what the process said.
    fn verdict(mut self) -> Result<Left, CommandError> {
        self.session.leave();
        let selectors = vec![self.run.to_string()];
        let request = WaitRequest { selectors, any: false, timeout_ms: Some(VERDICT_MS) };
        let answer = client::open(&self.context.place, Start::Never, "/v1/wait", &request)
            .and_then(|lines| lines.map(|mut lines| lines.body()).transpose());
        let run = match answer {
            Ok(Some(body)) => parse::<List<RunView>>(&body)?.items.pop(),
            // Whatever is wrong with the daemon, the shim still knows the end.
            Ok(None) | Err(_) => None,
        };
        if let Some(run) = run.as_ref().filter(|run| run.outcome.is_some()) {
            self.code = exit::of_run(run);
        } else if let Some(code) = self.session.line().durable_end(limits::SHIM_MUTE_MS) {
            self.code = code;
            if let Some(run) = &run {
                let words = format!("this attempt has ended; run {} is {}", run.run_id, run.state);
                self.context.ui.status(&words);
            }
        } else {
            let message = format!("the shim of run {} is gone, and nobody saw its end", self.run);
            return Err(CommandError::new("lost", exit::NOT_STARTED, message)
                .hint(format!("jr show {}", self.run)));
        }
        Ok(self.left(false, run))
    }

    fn left(mut self, detached: bool, run: Option<RunView>) -> Left {
        self.session.leave();
        Left { schema: "jr.attach/1", run_id: self.run, detached, run, code: self.code }
    }
}

/// Where the newest of a file begins, at the start of a line.
fn recent(path: &Path) -> u64 {
    let Ok(file) = File::open(path) else { return 0 };
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let from = length.saturating_sub(RECENT_BYTES);
    let mut buffer = [0_u8; CUT_LINE_BYTES];
    let count = if from > 0 { file.read_at(&mut buffer, from).unwrap_or(0) } else { 0 };
    let cut = buffer[..count].iter().position(|byte| *byte == b'\n');
    from + cut.map_or(0, |end| end as u64 + 1)
}
