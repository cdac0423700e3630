//! `jr batch`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Runnable;
use super::argument::ProcessArgs;
use super::run::Ended;
use crate::cli::context::{Context, asker, command_id, parse};
use crate::cli::declared::Declared;
use crate::cli::error::CommandError;
use crate::cli::progress::{self, Detail};
use crate::cli::{exit, render, text};
use crate::daemon::client::{self, Lines};
use crate::daemon::protocol::{BatchRequest, Common, Continue, RunLine, StopReply, StopRequest};
use crate::limits;
use crate::model::{ByteString, QueueName, RunId, Signal};
use crate::projections::progress::estimate;
use crate::projections::query::{HistoryQuery, Query, Scope};
use crate::projections::view::{BatchView, List, ProgressView, RunView};
use crate::runners::linux::signals::Blocked;

/// Between two looks at a batch whose daemon died.
const LOOK_MS: i64 = 200;
/// A bar of fewer columns has no room for the time that is left.
const LEAST: usize = 13;
/// Failed lines that are named at the end; `jr history` has the rest.
const NAMED_FAILURES: usize = 20;

/// What ends a batch that lives within this process.
const ENDING: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];

/// Below the options.
const HELP: &str = "\
Examples:
  jr batch -j4 jobs.txt                 # four lines at a time
  jr batch -j1 --fail-fast -            # lines of standard input
  jr batch --continue                   # what the last one left
  jr batch --continue nightly --failed  # and what failed in it

Exit codes:
  0 all lines succeeded; 1 any failed; 2 no such file; 3 nothing to continue;
  130 left by a second Ctrl-C";

/// Run each line of a file as a command
///
/// A line with shell syntax runs in sh, any other directly. Blank lines and those that begin with
/// # are skipped. The daemon owns the batch: if jr is killed it goes on; Ctrl-C stops it.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct BatchArgs {
    /// A file of commands, or - for standard input; with --continue a batch [default: - or last]
    #[arg(value_name = "FILE|BATCH")]
    source: Option<String>,
    /// At most N lines at a time [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Its name [default: batch]
    #[arg(long)]
    name: Option<String>,
    /// Go on after a failure [default]
    #[arg(long, conflicts_with = "fail_fast")]
    keep_going: bool,
    /// The first failure cancels the rest
    #[arg(long)]
    fail_fast: bool,
    /// Run what an older batch did not finish
    #[arg(long = "continue")]
    continued: bool,
    /// With --continue: also what failed
    #[arg(long, requires = "continued")]
    failed: bool,
    /// Let the lines wait in this queue [default: one of its own]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    #[command(flatten)]
    common: ProcessArgs,
}

impl Runnable for BatchArgs {
    const NAME: &'static str = "batch";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let lines = if self.continued {
            Vec::new()
        } else {
            commands(&read_source(self.source.as_deref(), context)?)?
        };
        let declared = Declared::of(&context.configuration, &context.place)?;
        let common = declared.as_ref().map(Declared::common).unwrap_or_default();
        let mut request = self.into_request(lines, common)?;
        request.common.config = declared.as_ref().and_then(Declared::config);
        let secret = declared.iter().flat_map(Declared::secret_variables);
        request.common.secret_names.extend(secret);
        request.common.commit = context.configuration.commit_at(&request.common.cwd);
        context.bring_up()?;
        let answer = context.open("/v1/batch", &request)?;
        let heeded: &[Signal] = if context.place.is_isolated() { &ENDING } else { &[Signal::INT] };
        let signals = Blocked::new(heeded).map_err(|error| CommandError::io("signals", &error))?;
        let run = Watch {
            context,
            signals: &signals,
            batch: None,
            interrupts: 0,
            pauses: Pauses::default(),
        };
        let run = run.follow(answer)?;
        drop(signals);
        let Some(run) = run else { return Ok(exit::INTERRUPTED) };
        report(context, &run)?;
        Ok(exit::of_run(&run))
    }
}

impl BatchArgs {
    fn into_request(
        self,
        lines: Vec<ByteString>,
        declared: Common,
    ) -> Result<BatchRequest, CommandError> {
        let continued =
            self.continued.then(|| Continue { selector: self.source.clone(), failed: self.failed });
        Ok(BatchRequest {
            command_id: command_id()?,
            name: self.name,
            lines,
            jobs: self.jobs,
            queue: self.queue,
            fail_fast: self.fail_fast,
            continued,
            common: self.common.to_common(declared)?,
            wait: true,
        })
    }
}

fn read_source(source: Option<&str>, context: &Context) -> Result<Vec<u8>, CommandError> {
    let mut bytes = Vec::new();
    match source {
        None | Some("-") => {
            if rustix::termios::isatty(rustix::stdio::stdin()) {
                context.ui.status("one command a line; Ctrl-D ends the list");
            }
            let read = io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| CommandError::io("standard input", &error))?;
        }
        Some(path) => {
            let path = PathBuf::from(path);
            let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes));
            read.map_err(|error| {
                let message = format!("{}: {error}", path.display());
                CommandError::new("file", exit::USAGE, message)
            })?;
        }
    }
    Ok(bytes)
}

/// The lines that are commands, as they are written.
fn commands(bytes: &[u8]) -> Result<Vec<ByteString>, CommandError> {
    let mut lines = Vec::new();
    for (place, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let content = line.trim_ascii();
        if content.is_empty() || content.starts_with(b"#") {
            continue;
        }
        if line.contains(&0) {
            let message = format!("line {} contains a NUL byte", place + 1);
            return Err(CommandError::usage(message));
        }
        lines.push(ByteString::from(line.to_vec()));
    }
    if lines.is_empty() {
        return Err(CommandError::usage("there is no command in it"));
    }
    if lines.len() > limits::BATCH_LINES {
        let message = format!("{} lines; a batch has at most {}", lines.len(), limits::BATCH_LINES);
        return Err(CommandError::usage(message).hint("split -l 100000 FILE"));
    }
    Ok(lines)
}

/// A client that looks on while the daemon works.
struct Watch<'a> {
    context: &'a Context,
    signals: &'a Blocked,
    batch: Option<RunId>,
    /// How often somebody wanted the end.
    interrupts: u32,
    pauses: Pauses,
}

/// For how long a batch stood still, as far as this client saw it.
#[derive(Debug, Default)]
struct Pauses {
    over_ms: i64,
    /// How long it had lasted at the begin of the one that is not over.
    began_ms: Option<i64>,
}

impl Pauses {
    /// How long it went on, of so long that it has lasted.
    fn without(&mut self, is_paused: bool, lasted_ms: i64) -> u64 {
        match self.began_ms {
            None if is_paused => self.began_ms = Some(lasted_ms),
            Some(began_ms) if !is_paused => {
                self.over_ms = self.over_ms.saturating_add(lasted_ms.saturating_sub(began_ms));
                self.began_ms = None;
            }
            None | Some(_) => {}
        }
        let went_on = self.began_ms.unwrap_or(lasted_ms).saturating_sub(self.over_ms);
        u64::try_from(went_on).unwrap_or(0)
    }
}

impl Watch<'_> {
    /// Follows the batch to its end; `None` after a second Ctrl-C.
    fn follow(mut self, mut answer: Lines) -> Result<Option<RunView>, CommandError> {
        loop {
            while let Some(line) = answer.take() {
                if let Some(run) = self.take(parse(&line)?) {
                    return Ok(Some(run));
                }
            }
            if answer.is_done() {
                return self.look_until_ended();
            }
            let (signal, more) = self.wait(Some(answer.as_fd()), None)?;
            if signal && self.interrupt() {
                return Ok(None);
            }
            if more {
                match answer.fill() {
                    Ok(_) => {}
                    Err(error) if error.is_gone() => return self.look_until_ended(),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// Shows what the daemon says; gives the batch when it has ended.
    fn take(&mut self, line: RunLine) -> Option<RunView> {
        let ui = &self.context.ui;
        match line {
            RunLine::Admitted { run_id, lines, .. } => {
                self.batch = Some(run_id);
                let counts = BatchView { lines, queued: lines, ..BatchView::default() };
                self.show(&counts, false, 0);
                if ui.verbose {
                    ui.status(&format!("batch {run_id}: {lines} lines"));
                }
            }
            RunLine::Progress(run) => self.show_run(&run),
            RunLine::Ended(run) => {
                ui.end_progress();
                return Some(*run);
            }
            RunLine::Attach { .. } => {}
        }
        None
    }

    /// The daemon died. The next one goes on with the batch, and is asked how far it is.
    fn look_until_ended(&mut self) -> Result<Option<RunView>, CommandError> {
        let Some(batch) = self.batch else {
            let message = "the daemon ended before it answered; nobody knows whether it took it";
            return Err(CommandError::new("daemon_unavailable", exit::UNAVAILABLE, message)
                .hint("jr history -n 1"));
        };
        let selectors = vec![batch.to_string()];
        let pause = Timespec { tv_sec: 0, tv_nsec: LOOK_MS * 1_000_000 };
        loop {
            // Not ours to pass on: a daemon lives by its own signals.
            let place = &self.context.place;
            if place.is_in_memory() {
                let message = "the daemon ended, and with it the log that was in its memory";
                return Err(CommandError::new("lost", exit::NOT_STARTED, message)
                    .hint("the next command that runs something ends what is left of it"));
            }
            self.signals.lifted(|| client::connect_or_start(place).map(drop))?;
            let run = self.context.resolve(&selectors, Scope::One)?.pop();
            if let Some(run) = run {
                if run.outcome.is_some() {
                    self.context.ui.end_progress();
                    return Ok(Some(run));
                }
                self.show_run(&run);
            }
            let (signal, _) = self.wait(None, Some(&pause))?;
            if signal && self.interrupt() {
                return Ok(None);
            }
        }
    }

    /// Sleeps until a signal or an answer comes; which of them did.
    fn wait(
        &self,
        answer: Option<BorrowedFd<'_>>,
        limit: Option<&Timespec>,
    ) -> Result<(bool, bool), CommandError> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
        fds.extend(answer.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut fds, limit) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(CommandError::io("waiting", &errno.into())),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        Ok((ready.next() == Some(true), ready.next() == Some(true)))
    }

    /// The first Ctrl-C stops the batch; whether it was the last that is heeded, which only leaves.
    /// Where nobody is there to leave it to, the second stops it at once.
    fn interrupt(&mut self) -> bool {
        if self.signals.next().is_none() {
            return false;
        }
        let ui = &self.context.ui;
        ui.end_progress();
        self.interrupts += 1;
        let grace_ms = match (self.interrupts, self.context.place.is_isolated()) {
            (1, false) => {
                ui.status("stopping; Ctrl-C again leaves it to the daemon");
                None
            }
            (1, true) => {
                ui.status("stopping; Ctrl-C again kills what is left");
                None
            }
            (2, true) => Some(0),
            _ => return true,
        };
        self.stop(grace_ms);
        false
    }

    fn show_run(&mut self, run: &RunView) {
        let is_paused = run.state == "paused";
        let ran_ms = run.duration_ms.map(|lasted_ms| self.pauses.without(is_paused, lasted_ms));
        self.show(&run.batch.unwrap_or_default(), is_paused, ran_ms.unwrap_or(0));
    }

    /// Draws how far it is, and how long the rest may take while it goes on.
    fn show(&self, counts: &BatchView, is_paused: bool, ran_ms: u64) {
        let ui = &self.context.ui;
        if !ui.shows_progress() {
            return;
        }
        let (mut view, share) = ProgressView::of_batch(counts, ran_ms);
        estimate(&mut view, share, is_paused, progress::now());
        let left = progress::left_words(&view, Detail::Short).filter(|_| !is_paused);
        let width = ui.status_medium().width.unwrap_or(80);
        ui.progress(&draw(counts, is_paused, left.as_deref(), width));
        if self.interrupts == 0 {
            ui.tab(percent(counts), counts.failed > 0);
        }
    }

    fn stop(&self, grace_ms: Option<u64>) {
        let (Some(run), Ok(command_id)) = (self.batch, command_id()) else { return };
        let selectors = vec![run.to_string()];
        let asker = Some(asker());
        let request = StopRequest { command_id, selectors, grace_ms, interrupted: true, asker };
        if let Err(error) = self.context.post::<StopReply>("/v1/stop", &request) {
            self.context.ui.warn(&error.message);
        }
    }
}

fn ended(counts: &BatchView) -> u32 {
    counts.succeeded + counts.failed + counts.cancelled
}

fn percent(counts: &BatchView) -> u8 {
    let percent = u64::from(ended(counts)) * 100 / u64::from(counts.lines.max(1));
    u8::try_from(percent).unwrap_or(100)
}

/// `[=====>     ] 12/100, 2 running, 1 failed, ~3m left`, fitting the terminal.
fn draw(counts: &BatchView, is_paused: bool, left: Option<&str>, width: usize) -> String {
    let ended = ended(counts);
    let standing = match (is_paused, counts.paused) {
        (true, _) => "paused".to_owned(),
        (false, 0) => format!("{} running", counts.running),
        (false, paused) => format!("{} running, {paused} paused", counts.running),
    };
    let mut words = format!(" {ended}/{}, {standing}", counts.lines);
    if counts.failed > 0 {
        words = format!("{words}, {} failed", counts.failed);
    }
    if let Some(left) = left.filter(|left| words.len() + left.len() + 2 + LEAST < width) {
        words = format!("{words}, {left}");
    }
    let room = width.saturating_sub(words.len() + 3).min(40);
    if room < 5 {
        return text::shorten(words.trim_start(), width.saturating_sub(1)).into_owned();
    }
    let full = room * ended as usize / (counts.lines.max(1) as usize);
    let head = if full < room { ">" } else { "" };
    let blank = room - full - head.len();
    format!("[{}{head}{}]{words}", "=".repeat(full), " ".repeat(blank))
}

/// The end of the batch and the lines that failed.
fn report(context: &mut Context, run: &RunView) -> Result<(), CommandError> {
    if context.ui.json {
        context.ui.json(&Ended { schema: "jr.batch/1", run });
        return Ok(());
    }
    let counts = run.batch.unwrap_or_default();
    if counts.failed > 0 && !context.ui.quiet {
        let query = HistoryQuery {
            parent: Some(run.run_id.clone()),
            failed: true,
            limit: Some(NAMED_FAILURES),
            ..HistoryQuery::default()
        };
        let list: List<RunView> = context.read(&Query::History(query))?;
        for line in list.items.iter().rev() {
            let words = text::command(&line.command);
            let end = render::exit_words(line);
            let outcome = line.outcome.as_deref().unwrap_or(&line.state);
            context.ui.status(&format!(
                "{}  {outcome} ({end})  {}",
                line.run_id,
                text::line(&words)
            ));
        }
    }
    let took = run.duration_ms.and_then(|millis| u64::try_from(millis).ok());
    let took = took.map(|millis| format!(" in {}", crate::cli::time_arg::show_duration(millis)));
    let words = render::batch_words(&counts);
    context.ui.status(&format!("batch {}: {words}{}", run.run_id, took.unwrap_or_default()));
    if run.outcome.as_deref() == Some("cancelled") && !context.place.is_isolated() {
        context.ui.status(&format!("hint: jr batch --continue {}", run.run_id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_kept_as_written_and_comments_are_not_commands() {
        let bytes = b"echo a\n\n  # no\n  echo b  \n#no\necho '# yes'";
        let lines = commands(bytes).expect("commands");
        let expected: Vec<ByteString> =
            ["echo a", "  echo b  ", "echo '# yes'"].map(ByteString::from).into();
        assert_eq!(lines, expected);
        assert_eq!(commands(b"# only\n\n").expect_err("nothing").exit, 2);
        assert!(commands(b"a\nb\0c\n").expect_err("a NUL").message.contains("line 2"));
    }

    #[test]
    fn the_bar_fits() {
        let counts =
            BatchView { lines: 100, succeeded: 40, failed: 10, running: 2, ..BatchView::default() };
        for width in 10..120 {
            for left in [None, Some("~1h30m left")] {
                for is_paused in [false, true] {
                    let bar = draw(&counts, is_paused, left, width);
                    assert!(bar.len() < width.max(11) + 3, "{width}");
                }
            }
        }
        let bar = draw(&counts, false, Some("~3m left"), 80);
        assert!(bar.ends_with("50/100, 2 running, 10 failed, ~3m left"), "{bar}");
        assert!(!draw(&counts, false, Some("~3m left"), 40).contains("left"), "counts come first");
        let all = BatchView { lines: 2, succeeded: 2, ..BatchView::default() };
        let whole = draw(&all, false, None, 80);
        assert!(whole.starts_with("[====") && !whole.contains('>'));
        assert!(!draw(&BatchView::default(), false, None, 80).is_empty());
        assert_eq!((percent(&counts), percent(&all), percent(&BatchView::default())), (50, 100, 0));
    }

    #[test]
    fn pauses_do_not_count() {
        let mut pauses = Pauses::default();
        let mut went_on = |is_paused, lasted_ms| pauses.without(is_paused, lasted_ms);
        assert_eq!(went_on(false, 1_000), 1_000);
        assert_eq!((went_on(true, 2_000), went_on(true, 50_000)), (2_000, 2_000));
        assert_eq!((went_on(false, 60_000), went_on(false, 61_000)), (2_000, 3_000));
        assert_eq!((went_on(true, 62_000), went_on(false, 72_000)), (4_000, 4_000));
        assert_eq!(went_on(false, 0), 0, "its clock was set back");
    }

    #[test]
    fn the_bar_says_what_is_paused() {
        let counts =
            BatchView { lines: 9, queued: 4, succeeded: 2, failed: 1, ..Default::default() };
        let held = BatchView { paused: 2, ..counts };
        assert!(draw(&held, true, None, 80).ends_with(" 3/9, paused, 1 failed"));
        let one = BatchView { running: 1, paused: 1, ..counts };
        assert!(draw(&one, false, None, 80).ends_with(" 3/9, 1 running, 1 paused, 1 failed"));
    }
}
