//! `jr batch`.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};

use super::Runnable;
use super::common::CommonArgs;
use super::run::Ended;
use crate::cli::context::{Context, command_id, parse};
use crate::cli::error::CommandError;
use crate::cli::signals::Signals;
use crate::cli::{exit, render, text};
use crate::daemon::client::Lines;
use crate::daemon::protocol::{BatchRequest, Continue, RunLine, StopReply, StopRequest};
use crate::limits;
use crate::model::{ByteString, QueueName, RunId};
use crate::projections::query::{HistoryQuery, Query};
use crate::projections::view::{BatchView, List, RunView};

/// SIGINT.
const INTERRUPT: i32 = 2;
/// Failed lines that are named at the end; `jr history` has the rest.
const NAMED_FAILURES: usize = 20;

/// Run each line of a file as a command
///
/// A line with shell syntax runs in sh, any other directly. Blank lines and those that begin with
/// # are skipped. The daemon owns the batch: if jr is killed it goes on; Ctrl-C stops it.
#[derive(clap::Args, Debug)]
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
    #[arg(long, value_name = "NAME")]
    queue: Option<QueueName>,
    #[command(flatten)]
    common: CommonArgs,
}

impl Runnable for BatchArgs {
    const NAME: &'static str = "batch";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let lines = match self.continued {
            true => Vec::new(),
            false => commands(&read_source(self.source.as_deref(), context)?)?,
        };
        let request = self.into_request(lines)?;
        let answer = context.open("/v1/batch", &request)?;
        let signals =
            Signals::block(&[INTERRUPT]).map_err(|error| CommandError::io("signals", &error))?;
        let run = watch(context, answer, &signals)?;
        drop(signals);
        let Some(run) = run else { return Ok(exit::INTERRUPTED) };
        report(context, &run)?;
        Ok(exit::of_run(&run))
    }
}

impl BatchArgs {
    fn into_request(self, lines: Vec<ByteString>) -> Result<BatchRequest, CommandError> {
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
            common: self.common.to_common()?,
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

/// Follows it to its end; `None` after a second Ctrl-C.
fn watch(
    context: &Context,
    mut answer: Lines,
    signals: &Signals,
) -> Result<Option<RunView>, CommandError> {
    let mut batch = None;
    let mut interrupted = false;
    loop {
        while let Some(line) = answer.take() {
            match parse(&line)? {
                RunLine::Admitted { run_id, lines, .. } => {
                    batch = Some(run_id);
                    let counts = BatchView { lines, queued: lines, ..BatchView::default() };
                    context.ui.progress(&bar(&counts, context));
                    if context.ui.verbose {
                        context.ui.status(&format!("batch {run_id}: {lines} lines"));
                    }
                }
                RunLine::Progress(run) => {
                    context.ui.progress(&bar(&run.batch.unwrap_or_default(), context));
                }
                RunLine::Ended(run) => {
                    context.ui.progress("");
                    return Ok(Some(*run));
                }
                RunLine::Attach { .. } => {}
            }
        }
        if answer.is_done() {
            return Err(gone(batch));
        }
        let mut fds = [
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(answer.as_fd(), PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(CommandError::io("waiting", &errno.into())),
        }
        let [signal, more] = fds.map(|fd| !fd.revents().is_empty());
        if signal && signals.next().is_some() {
            if interrupted {
                context.ui.progress("");
                return Ok(None);
            }
            interrupted = true;
            context.ui.progress("");
            context.ui.status("stopping; Ctrl-C again leaves it to the daemon");
            stop(context, batch);
        }
        if more && answer.fill().is_err() {
            return Err(gone(batch));
        }
    }
}

fn gone(batch: Option<RunId>) -> CommandError {
    let message = "the daemon ended; the batch goes on with the next one";
    let error = CommandError::new("daemon_unavailable", exit::UNAVAILABLE, message);
    match batch {
        Some(run) => error.hint(format!("jr wait {run}")),
        None => error.hint("jr history -n 1"),
    }
}

fn stop(context: &Context, batch: Option<RunId>) {
    let (Some(run), Ok(command_id)) = (batch, command_id()) else { return };
    let selectors = vec![run.to_string()];
    let request = StopRequest { command_id, selectors, grace_ms: None, interrupted: true };
    if let Err(error) = context.post::<StopReply>("/v1/stop", &request) {
        context.ui.warn(&error.message);
    }
}

/// `[=====>     ] 12/100, 2 running, 1 failed`, fitting the terminal.
fn bar(counts: &BatchView, context: &Context) -> String {
    let width = context.ui.status_medium().width.unwrap_or(80);
    draw(counts, width)
}

fn draw(counts: &BatchView, width: usize) -> String {
    let ended = counts.succeeded + counts.failed + counts.cancelled;
    let mut words = format!(" {ended}/{}, {} running", counts.lines, counts.running);
    if counts.failed > 0 {
        words.push_str(&format!(", {} failed", counts.failed));
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
    if run.outcome.as_deref() == Some("cancelled") {
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
            assert!(draw(&counts, width).len() < width.max(11) + 3, "{width}");
        }
        let bar = draw(&counts, 80);
        assert!(bar.contains("50/100, 2 running, 10 failed"), "{bar}");
        let all = BatchView { lines: 2, succeeded: 2, ..BatchView::default() };
        assert!(draw(&all, 80).starts_with("[====") && !draw(&all, 80).contains('>'));
        assert!(!draw(&BatchView::default(), 80).is_empty());
    }
}
