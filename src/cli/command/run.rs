//! `jr run`.

use std::ffi::OsString;

use super::argument::ProcessArgs;
use super::{Runnable, attach, policy};
use crate::cli::context::{Context, command_id, parse};
use crate::cli::declared::{Declared, DeclaredJob};
use crate::cli::error::CommandError;
use crate::cli::foreground::{End, FORWARDED, Foreground};
use crate::cli::keys::{DETACH_DEFAULT, DetachKeys};
use crate::cli::session::View;
use crate::cli::{exit, terminal, text};
use crate::config::problem::did_you_mean;
use crate::daemon::client::{self, Start};
use crate::daemon::protocol::{After, RunLine, RunRequest};
use crate::limits;
use crate::model::id::check_run_name;
use crate::model::spec::WindowSize;
use crate::model::{ByteString, Capture, LockWish, QueueName, RunId};
use crate::projections::view::RunView;
use crate::runners::linux::signals::Blocked;

/// Below the options.
const HELP: &str = "\
Examples:
  jr run -- make -j8                         # as make, and recorded
  jr run --timeout 10m --label ci=1 -- npm test
  jr run -d --name train -- ./train.sh       # prints the id; jr logs -f train
  jr run -d --key nightly-11-21 -- ./backup  # at most once, ever

Exit codes:
  the command's own; 128+n ended by signal n; 124 time limit; 125 not started or
  lost; 126 not executable; 127 not found; 1 cancelled; with -d 0";

/// `TERM` for a command whose client has none, as docker gives it.
const TERM_DEFAULT: &str = "xterm";

/// Run a command and record it
///
/// In the foreground it behaves as the bare command does: input, output, signals, exit code. If jr
/// is killed, the run goes on.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct RunArgs {
    /// Print the run id once it is durable, and leave
    #[arg(short, long)]
    detach: bool,
    /// Its name [default: the command's file name]
    #[arg(long, value_parser = run_name)]
    name: Option<String>,
    /// What runs it
    #[arg(long, value_enum, value_name = "process", default_value = "process")]
    runner: Runner,
    #[command(flatten)]
    common: ProcessArgs,
    /// Wait in this queue [default: with -d the queue `default`, else none]
    #[arg(long, value_name = "QUEUE")]
    queue: Option<QueueName>,
    /// The same key never starts a second run
    #[arg(long)]
    key: Option<String>,
    /// Begin when this run has succeeded, or with :any ended
    #[arg(long, value_name = "SEL[:ok|any]", value_parser = policy::after)]
    after: Vec<After>,
    /// Hold this lock from its start to its end; if another run has it: wait, fail or skip
    #[arg(long, value_name = "LOCK[:wait|fail|skip]", value_parser = crate::model::notation::lock)]
    lock: Option<LockWish>,
    #[command(flatten)]
    terminal: TerminalArgs,
    /// The command; everything from its first word on
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// How a run really runs.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Runner {
    /// As a process of this machine, below a shim.
    Process,
}

/// A terminal for the command.
#[derive(clap::Args, Debug)]
struct TerminalArgs {
    /// Give it a terminal [default: in the foreground, if jr has one]
    #[arg(long, overrides_with = "no_tty")]
    tty: bool,
    /// Give it files and pipes
    #[arg(long, overrides_with = "tty")]
    no_tty: bool,
    /// Keys that leave it running: ctrl-], ctrl-p,ctrl-q, none
    #[arg(long, value_name = "KEYS", default_value = DETACH_DEFAULT)]
    detach_keys: DetachKeys,
}

impl TerminalArgs {
    /// The size of the terminal that it gets. Standard error that goes elsewhere could not do so
    /// from a terminal.
    fn size(&self, may_default: bool) -> Option<WindowSize> {
        let wanted = self.tty || (may_default && !self.no_tty && terminal::is_interactive());
        let nobody = WindowSize { rows: limits::TERMINAL_ROWS, columns: limits::TERMINAL_COLUMNS };
        wanted.then(|| terminal::own_size().unwrap_or(nobody))
    }
}

fn run_name(text: &str) -> Result<String, String> {
    check_run_name(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// Of a detached run.
#[derive(serde::Serialize)]
struct Admitted {
    schema: &'static str,
    run_id: RunId,
    existing: bool,
}

/// Of a run in the foreground.
#[derive(serde::Serialize)]
pub(super) struct Ended<'a> {
    pub schema: &'static str,
    #[serde(flatten)]
    pub run: &'a RunView,
}

impl Runnable for RunArgs {
    const NAME: &'static str = "run";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let (detach, mut keys) = (self.detach, self.terminal.detach_keys.clone());
        if context.place.is_isolated() {
            refuse_detach(detach, context)?;
            // It cannot be left: it ends with this command.
            keys = DetachKeys::none();
        }
        let declared = Declared::of(&context.configuration, &context.place)?;
        let mut request = self.into_request(context.ui.json, declared.as_ref())?;
        request.common.config = declared.as_ref().and_then(Declared::config);
        let secret = declared.iter().flat_map(Declared::secret_variables);
        request.common.secret_names.extend(secret);
        request.common.commit = context.configuration.commit_at(&request.common.cwd);
        if detach { detached(context, &request) } else { foreground(context, &request, keys) }
    }
}

impl RunArgs {
    fn into_request(
        self,
        json: bool,
        declared: Option<&Declared<'_>>,
    ) -> Result<RunRequest, CommandError> {
        // There is no other one yet: nothing of it is asked for.
        let Runner::Process = self.runner;
        let (name, job) = self.job(declared)?;
        let detached_queue =
            || declared.and_then(Declared::default_queue).unwrap_or(QueueName::default_queue());
        let DeclaredJob { command, queue, lock, common } = job;
        let mut common = self.common.to_common(common)?;
        let is_copied = common.capture == Capture::Pipe;
        if is_copied && self.terminal.tty {
            let message = "--tty and --capture pipe exclude each other: a terminal is one stream";
            return Err(CommandError::usage(message).hint("leave one of them out"));
        }
        let tty = self.terminal.size(!self.detach && !json && !is_copied);
        let has_term = common.variables.iter().any(|(name, _)| name.as_bytes() == b"TERM");
        if tty.is_some() && !has_term {
            common.variables.push(("TERM".into(), TERM_DEFAULT.into()));
        }
        let queue = self.queue.or(queue).or_else(|| self.detach.then(detached_queue));
        Ok(RunRequest {
            command_id: command_id()?,
            name: self.name.or(name),
            command,
            common,
            queue,
            attached: !self.detach,
            tty,
            key: self.key,
            after: self.after,
            lock: self.lock.or(lock),
            wait: !self.detach,
        })
    }
}

impl RunArgs {
    /// The declared job that the first word names, with its name, unless it stands after `--`; else
    /// the command as it is.
    fn job(
        &self,
        declared: Option<&Declared<'_>>,
    ) -> Result<(Option<String>, DeclaredJob), CommandError> {
        let words: Vec<ByteString> = self.command.iter().cloned().map(Into::into).collect();
        let first = self.command.first().and_then(|word| word.to_str()).unwrap_or_default();
        if let Some(declared) = declared
            && !is_escaped(&self.command)
            && let Some(job) = declared.job(first)
        {
            let job = declared.ready(first, job, words[1..].to_vec(), &self.common.set_names())?;
            return Ok((Some(first.to_owned()), job));
        }
        let common = declared.map(Declared::common).unwrap_or_default();
        Ok((None, DeclaredJob { command: words, queue: None, lock: None, common }))
    }
}

/// Whether the command stands after `--`, which makes it one whatever is declared.
fn is_escaped(command: &[OsString]) -> bool {
    let mut words = std::env::args_os();
    words.any(|word| word == "--") && words.eq(command.iter().cloned())
}

/// A run must not outlive the environment that it is in.
fn refuse_detach(detach: bool, context: &Context) -> Result<(), CommandError> {
    if !detach {
        return Ok(());
    }
    let id = &context.place.id;
    let message = format!(
        "environment {id} is isolated: all that runs in it ends with this command, so -d has \
         nothing to leave it to"
    );
    Err(CommandError::new("isolated", exit::USAGE, message)
        .hint("leave -d out, or use an environment that stays: jr run -d -e ID -- CMD"))
}

fn detached(context: &mut Context, request: &RunRequest) -> Result<u8, CommandError> {
    let answer = client::ask(&context.place, Start::Allowed, "/v1/run", request)?;
    let answer = answer.unwrap_or_default();
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let RunLine::Admitted { run_id, existing, .. } = parse(line)? else {
        let message = "the daemon answered something else than the run's id";
        return Err(CommandError::new("protocol", exit::UNAVAILABLE, message));
    };
    if context.ui.json {
        context.ui.json(&Admitted { schema: "jr.run/1", run_id, existing });
    } else {
        context.ui.line(&run_id.to_string());
    }
    Ok(exit::OK)
}

fn foreground(
    context: &mut Context,
    request: &RunRequest,
    keys: DetachKeys,
) -> Result<u8, CommandError> {
    context.bring_up()?;
    let lines = context.open("/v1/run", request)?;
    let signals = Blocked::new(&FORWARDED).map_err(|error| CommandError::io("signals", &error))?;
    // With --json stdout is the document's.
    let stdout = if context.ui.json { rustix::stdio::stderr() } else { rustix::stdio::stdout() };
    let view = request.tty.map(|_| View {
        keys,
        read_only: false,
        is_owner: true,
        screen: stdout,
        follows_files: !rustix::termios::isatty(stdout),
    });
    let end = Foreground::new(context, &signals, lines, stdout, view).run()?;
    drop(signals);
    match end {
        End::Run(run) => {
            if context.ui.json {
                context.ui.json(&Ended { schema: "jr.run/1", run: &run });
            } else if let Some(words) = unusual(&run) {
                let near = near_job(context, &run).unwrap_or_default();
                context.ui.status(&format!("{words}{near}"));
            }
            Ok(exit::of_run(&run))
        }
        End::Shim(code) => {
            context.ui.warn("no daemon answers; the end is in the shim's journal");
            Ok(code)
        }
        End::Detached(run, code) => {
            if context.ui.json {
                let document = Admitted { schema: "jr.run/1", run_id: run, existing: false };
                context.ui.json(&document);
            }
            if context.place.is_isolated() {
                context.ui.status(&format!("run {run} is stopped: its environment is isolated"));
            } else {
                context.ui.status(&attach::left_running(run));
            }
            Ok(code)
        }
    }
}

/// What the exit code alone does not tell.
fn unusual(run: &RunView) -> Option<String> {
    let command = run.command.first().map(String::as_str).unwrap_or_default();
    let command = text::line(command);
    let reason = run.reason.as_deref().unwrap_or("no reason was recorded");
    let words = match (run.outcome.as_deref()?, run.exit_code) {
        ("failed", None) if reason == "not_found" => format!("{command}: command not found"),
        ("failed", None) if reason == "not_executable" => format!("{command}: not executable"),
        ("failed", None) => {
            let cwd = text::line(&run.cwd);
            format!("{command}: could not be started in {cwd}: {reason}")
        }
        ("timed_out", _) => format!("run {} reached its time limit", run.run_id),
        ("lost", _) => format!("run {} was lost: {reason}", run.run_id),
        ("rejected", _) => format!("run {} was rejected: {reason}", run.run_id),
        ("skipped", _) => format!("run {} was skipped: {reason}", run.run_id),
        ("cancelled", _) => format!("run {} was cancelled", run.run_id),
        _ => return None,
    };
    Some(format!("jr: {words}"))
}

/// The job that was probably meant by the name of a program that is not there.
fn near_job(context: &Context, run: &RunView) -> Option<String> {
    if run.reason.as_deref() != Some("not_found") {
        return None;
    }
    let declared = Declared::of(&context.configuration, &context.place).ok()??;
    let near = did_you_mean(run.command.first()?, declared.jobs().map(|(name, _)| name))?;
    Some(format!("; did you mean the job {near:?}? jr run {near}"))
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn parse_line(line: &str) -> Result<RunArgs, clap::Error> {
        let command = RunArgs::augment_args(clap::Command::new("run"));
        let words = std::iter::once("run").chain(line.split(' '));
        RunArgs::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    #[test]
    fn the_command_is_never_parsed() {
        let args = parse_line("-d --name x -- ls -d --name y").expect("valid");
        assert!(args.detach);
        assert_eq!(args.name.as_deref(), Some("x"));
        assert_eq!(args.command, ["ls", "-d", "--name", "y"]);
        let args = parse_line("ls -d -- x").expect("valid");
        assert!(!args.detach);
        assert_eq!(args.command, ["ls", "-d", "--", "x"]);
        assert!(parse_line("--name x").is_err());
        assert!(parse_line("--runner process true").is_ok());
        let other = parse_line("--runner slurm true").expect_err("there is one").to_string();
        assert!(other.contains("possible values: process"), "{other}");
    }

    #[test]
    fn a_detached_run_waits_in_a_queue_and_an_attached_one_does_not() {
        let request =
            |line| parse_line(line).expect("valid").into_request(true, None).expect("a request");
        assert_eq!(request("-d true").queue, Some(QueueName::default_queue()));
        assert_eq!(request("true").queue, None);
        assert!(request("true").attached && !request("-d true").attached);
        let limits = request("--timeout 1m30s --kill-after 500ms --signal int true").common;
        assert_eq!((limits.timeout_ms, limits.grace_ms), (Some(90_000), Some(500)));
        let set = request("--set A=b=c --label k=v true").common;
        assert!(set.variables.contains(&("A".into(), "b=c".into())));
        assert_eq!(set.labels["k"], "v");
    }
}
