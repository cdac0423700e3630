//! `jr logs`.

use std::collections::{BTreeMap, BTreeSet};

use regex::bytes::{Regex, RegexBuilder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::read::ReadArgs;
use super::{Runnable, argument};
use crate::cli::attach::begun_attempts;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::output::{Look, Printer};
use crate::cli::run_output::{RunOutput, Wanted};
use crate::cli::{exit, text, time_arg, ui};
use crate::daemon::client::monotonic_ms;
use crate::daemon::offline::nobody_serves;
use crate::projections::query::{FollowQuery, Query};
use crate::projections::select::is_open_ended;
use crate::projections::view::{FollowView, List, OutputView};
use crate::runners::capture::StreamName;
use crate::runners::protocol::AttemptId;

/// Lines of each run on a terminal where none are asked for.
const TERMINAL_LINES: usize = 50;
/// Between two looks at the files.
const LOOK_MS: u64 = 50;
/// Between two questions whether the runs have ended, and which ones have come.
const ASK_MS: u64 = 250;
/// With thousands of runs looks take long: so many times that long is between two of them.
const IDLE_SHARE: u64 = 4;
/// When no daemon has run for so long, none is on its way.
const UNSERVED_MS: u64 = 3_000;
/// Colours of names (SGR), one run after the other; red is for failures.
const COLORS: [u8; 8] = [36, 33, 35, 32, 34, 96, 93, 95];

/// Below the options.
const HELP: &str = "\
Examples:
  jr logs last               # its bytes, as they were printed
  jr logs -f web
  jr logs -n 100 -t 'api-*'  # each line with name and time
  jr logs 'api-*' -f --grep 'error|panic'
  jr logs web --at '2026-11-20 14:00'

Exit codes:
  0; 1 with --grep: no line matches; 3 no such run or attempt";

/// Print what runs printed
///
/// Every attempt's output is kept. One run prints its raw bytes; several get their name before
/// each line. Following all, a glob or a label also takes the runs that come.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct LogsArgs {
    /// Run ids, names, globs, last, all, label:k=v [default: all]
    #[arg(value_name = "SEL")]
    selectors: Vec<String>,
    /// Go on until the runs have ended
    #[arg(short, long, conflicts_with_all = ["at", "bundle"])]
    follow: bool,
    /// As --follow, but wait for runs to come where none lives
    #[arg(short = 'F', long, conflicts_with_all = ["at", "bundle"])]
    forever: bool,
    /// Only the last N lines of each run, or all [default: all, on a terminal 50]
    #[arg(short = 'n', long, value_name = "N|all", value_parser = lines)]
    lines: Option<Lines>,
    /// Only lines that match; -n counts these, and the exit code is 1 if there is none
    #[arg(short, long, value_name = "REGEX")]
    grep: Option<String>,
    /// Upper and lower case match each other
    #[arg(short, long, requires = "grep")]
    ignore_case: bool,
    /// Put the time before each line
    #[arg(short, long)]
    timestamps: bool,
    /// Only standard output
    #[arg(long)]
    stdout: bool,
    /// Only standard error
    #[arg(long, conflicts_with = "stdout")]
    stderr: bool,
    /// Only this attempt
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Only what was printed since
    #[arg(long, value_name = "TIME", value_parser = argument::time, allow_hyphen_values = true)]
    since: Option<i64>,
    /// Control characters as they are, also on a terminal
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    read: ReadArgs,
}

#[derive(Clone, Copy, Debug)]
enum Lines {
    All,
    Last(usize),
}

fn lines(text: &str) -> Result<Lines, String> {
    match text {
        "all" => Ok(Lines::All),
        number => number.parse().map(Lines::Last).map_err(|_| "a number, or all".to_owned()),
    }
}

impl Runnable for LogsArgs {
    const NAME: &'static str = "logs";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.look(&self.read)?;
        let look = self.look(context)?;
        if context.ui.json {
            return self.print_places(context);
        }
        let follows = self.follow || self.forever;
        let (views, seq) = if follows { self.followed(context)? } else { (self.kept(context)?, 0) };
        if let Some(attempt) = self.attempt.filter(|_| views.is_empty() && !follows) {
            let message = format!("nothing of what is meant has an attempt {attempt} with output");
            let error = CommandError::new("no_such_attempt", exit::NOT_FOUND, message);
            return Err(error.hint("see which there are: jr show RUN"));
        }
        let mut logs = Logs::new(&look, context, follows && self.is_open_ended());
        logs.add(views);
        let mut matched = 0;
        let wanted = self.wanted(context);
        for mut run in std::mem::take(&mut logs.runs) {
            let is_cut = run.print_kept(&wanted, context)?;
            if is_cut && self.lines.is_none() {
                let name = text::line(&run.name).into_owned();
                let words = format!("{name}: the last {TERMINAL_LINES} lines; -n all shows all");
                context.ui.status(&words);
            }
            if follows && run.is_open() {
                run.go_on(context);
                logs.runs.push(run);
            } else {
                matched += run.finish(context);
            }
        }
        if follows {
            matched += self.follow(&mut logs, seq, context)?;
        }
        Ok(if self.grep.is_some() && matched == 0 { exit::FAILED } else { exit::OK })
    }
}

impl LogsArgs {
    fn look(&self, context: &Context) -> Result<Look, CommandError> {
        Ok(Look {
            timestamps: self.timestamps.then(time_arg::zone),
            escape: context.ui.stdout_is_terminal() && !self.raw,
            pattern: self.pattern()?,
        })
    }

    fn pattern(&self) -> Result<Option<Regex>, CommandError> {
        let Some(pattern) = &self.grep else { return Ok(None) };
        let built = RegexBuilder::new(pattern).case_insensitive(self.ignore_case).build();
        let built = built.map_err(|error| {
            let hint = "the syntax: https://docs.rs/regex/latest/regex/#syntax";
            CommandError::usage(format!("--grep: {error}")).hint(hint)
        })?;
        Ok(Some(built))
    }

    fn wanted(&self, context: &Context) -> Wanted {
        let streams: &[StreamName] = match (self.stdout, self.stderr) {
            (true, _) => &[StreamName::Stdout],
            (_, true) => &[StreamName::Stderr],
            _ => &StreamName::BOTH,
        };
        let lines = match self.lines {
            Some(Lines::All) => None,
            Some(Lines::Last(lines)) => Some(lines),
            None => {
                let is_long = context.ui.stdout_is_terminal() && self.grep.is_none();
                is_long.then_some(TERMINAL_LINES)
            }
        };
        Wanted { streams, since: self.since, lines, has_pattern: self.grep.is_some() }
    }

    /// `--json`: where the files lie.
    fn print_places(&self, context: &mut Context) -> Result<u8, CommandError> {
        if self.grep.is_some() {
            let error = CommandError::usage("--grep prints lines, --json where the files lie");
            return Err(error.hint("give one of them"));
        }
        if self.read.bundle.is_none() {
            let document = context.read_bytes(&self.query())?;
            context.ui.document(&document);
            return Ok(exit::OK);
        }
        let mut outputs: List<OutputView> = context.read(&self.query())?;
        for view in &mut outputs.items {
            // Where it was unpacked to is gone with this command.
            view.base = None;
        }
        context.ui.json(&outputs);
        Ok(exit::OK)
    }

    fn query(&self) -> Query {
        Query::Outputs { selectors: self.selectors.clone(), attempt: self.attempt }
    }

    fn kept(&self, context: &Context) -> Result<Vec<OutputView>, CommandError> {
        context.read::<List<OutputView>>(&self.query()).map(|list| list.items)
    }

    /// Also runs that have printed nowhere yet, and the place of the log at which that was so.
    fn followed(&self, context: &Context) -> Result<(Vec<OutputView>, u64), CommandError> {
        let (selectors, attempt) = (self.selectors.clone(), self.attempt);
        // Of what has ended nothing is wanted then; there may be much of it.
        let live = matches!(self.lines, Some(Lines::Last(0)));
        let query = Query::Follow(FollowQuery { selectors, attempt, live, after: None });
        match context.read::<FollowView>(&query) {
            Ok(view) => Ok((view.items, view.seq)),
            Err(error) if self.forever && self.is_open_ended() && is_absent(&error) => {
                Ok((Vec::new(), 0))
            }
            Err(error) => Err(error),
        }
    }

    fn ask(
        &self,
        selectors: Vec<String>,
        after: Option<u64>,
        context: &Context,
    ) -> Result<FollowView, CommandError> {
        let (attempt, live) = (self.attempt, false);
        context.read(&Query::Follow(FollowQuery { selectors, attempt, live, after }))
    }

    /// Whether runs that are still to come can be meant as well.
    fn is_open_ended(&self) -> bool {
        self.selectors.is_empty() || self.selectors.iter().any(|selector| is_open_ended(selector))
    }

    /// Prints what comes, until no attempt is open and none can follow; the lines that matched.
    fn follow(
        &self,
        logs: &mut Logs<'_>,
        mut seq: u64,
        context: &mut Context,
    ) -> Result<u64, CommandError> {
        let wanted = self.wanted(context);
        let (mut ask_ms, mut matched, mut unserved_since_ms) = (0, 0, None);
        loop {
            let begun_ms = monotonic_ms();
            // What was open before the look has all been seen when it is closed after it.
            let mut open = Vec::new();
            for mut run in std::mem::take(&mut logs.runs) {
                let is_open = run.is_open();
                run.print_new(wanted.streams, context)?;
                if is_open {
                    open.push(run);
                } else {
                    matched += run.finish(context);
                }
            }
            logs.runs = open;
            context.ui.flush()?;
            let looked_ms = monotonic_ms();
            let is_over = logs.runs.is_empty() && !(self.forever && self.is_open_ended());
            if looked_ms >= ask_ms || is_over {
                self.look_again(logs, context)?;
                self.look_without_daemon(logs, &mut unserved_since_ms, context);
                if self.is_open_ended() {
                    seq = self.take_new(logs, seq, &wanted, context)?;
                }
                let asked_ms = monotonic_ms();
                ask_ms = asked_ms + ASK_MS.max(IDLE_SHARE * (asked_ms - looked_ms));
                if is_over && logs.runs.is_empty() {
                    return Ok(matched);
                }
            }
            wait(LOOK_MS.max(IDLE_SHARE * (looked_ms - begun_ms)))?;
        }
    }

    /// Asks which attempts there are now.
    fn look_again(&self, logs: &mut Logs<'_>, context: &Context) -> Result<(), CommandError> {
        let ids: Vec<String> = logs.runs.iter().map(|run| run.run_id.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let found = match self.ask(ids.clone(), None, context) {
            Ok(view) => view.items,
            // One of them is gone for good: which?
            Err(error) if is_absent(&error) => {
                let mut items = Vec::new();
                for id in ids {
                    match self.ask(vec![id], None, context) {
                        Ok(view) => items.extend(view.items),
                        Err(error) if is_absent(&error) => {}
                        Err(error) => return Err(error),
                    }
                }
                items
            }
            Err(error) => return Err(error),
        };
        let mut by_run: BTreeMap<String, Vec<OutputView>> = BTreeMap::new();
        for view in found {
            by_run.entry(view.run_id.clone()).or_default().push(view);
        }
        for run in &mut logs.runs {
            match by_run.remove(&run.run_id) {
                Some(views) => run.refresh(views),
                None => run.close(),
            }
        }
        Ok(())
    }

    /// While no daemon runs, no record says that a run has ended. The journals of the shims say
    /// which processes have: their output is all there, and following ends with it.
    fn look_without_daemon(
        &self,
        logs: &mut Logs<'_>,
        since_ms: &mut Option<u64>,
        context: &Context,
    ) {
        if logs.runs.is_empty() || !nobody_serves(&context.place) {
            *since_ms = None;
            return;
        }
        let now_ms = monotonic_ms();
        // Another daemon may be on its way.
        let is_new = now_ms.saturating_sub(*since_ms.get_or_insert(now_ms)) < UNSERVED_MS;
        if is_new || self.forever {
            return;
        }
        let Ok(begun) = begun_attempts(&context.place) else { return };
        for run in &mut logs.runs {
            let id = run.run_id.parse().ok().zip(run.open_attempt());
            let id = id.map(|(run, attempt)| AttemptId { run, attempt });
            let name = text::line(&run.name).into_owned();
            if id.is_some_and(|id| begun.get(&id) == Some(&false)) {
                let words = "its process has ended, and no daemon runs that would log it";
                context.ui.warn(&format!("{name} ({}): {words}; jr resume", run.run_id));
                run.close();
            } else if id.is_none_or(|id| !begun.contains_key(&id))
                && !logs.told.contains(&run.run_id)
            {
                let words = "no daemon runs that would start it";
                context.ui.warn(&format!("{name} ({}): {words}; jr resume", run.run_id));
                logs.told.insert(run.run_id.clone());
            }
        }
    }

    /// Takes the runs that have come since `seq`; gives the place up to which they are known.
    fn take_new(
        &self,
        logs: &mut Logs<'_>,
        seq: u64,
        wanted: &Wanted,
        context: &mut Context,
    ) -> Result<u64, CommandError> {
        let view = match self.ask(self.selectors.clone(), Some(seq), context) {
            Ok(view) => view,
            Err(error) if is_absent(&error) => return Ok(seq),
            Err(error) => return Err(error),
        };
        let all = Wanted { lines: None, ..wanted.clone() };
        let first_new = logs.runs.len();
        logs.add(view.items);
        for run in &mut logs.runs[first_new..] {
            run.print_kept(&all, context)?;
        }
        Ok(view.seq)
    }
}

fn is_absent(error: &CommandError) -> bool {
    error.exit == exit::NOT_FOUND
}

/// Waits; ends early where nobody reads on.
fn wait(millis: u64) -> Result<(), CommandError> {
    let seconds = i64::try_from(millis / 1_000).unwrap_or(i64::MAX);
    let nanos = i64::try_from(millis % 1_000).unwrap_or(0) * 1_000_000;
    let timeout = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let mut stdout = [PollFd::from_borrowed_fd(rustix::stdio::stdout(), PollFlags::empty())];
    match poll(&mut stdout, Some(&timeout)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(()),
        Ok(_) => Err(ui::closed()),
        Err(errno) => Err(CommandError::io("standard output", &errno.into())),
    }
}

/// The runs whose output is printed, with what tells them apart.
#[derive(Debug)]
struct Logs<'a> {
    look: &'a Look,
    color: bool,
    /// There may be others later: each line is told whose it is from the beginning.
    may_grow: bool,
    runs: Vec<RunOutput>,
    /// All that were ever there, by name.
    ids_of_name: BTreeMap<String, BTreeSet<String>>,
    colors: BTreeMap<String, u8>,
    /// Runs of which was said that nobody starts them.
    told: BTreeSet<String>,
}

impl<'a> Logs<'a> {
    fn new(look: &'a Look, context: &Context, may_grow: bool) -> Self {
        let color = context.ui.medium().color;
        let (ids_of_name, colors) = (BTreeMap::new(), BTreeMap::new());
        let (runs, told) = (Vec::new(), BTreeSet::new());
        Self { look, color, may_grow, runs, ids_of_name, colors, told }
    }

    /// Adds runs, oldest first, each with its attempts.
    fn add(&mut self, views: Vec<OutputView>) {
        let mut order = Vec::new();
        let mut grouped: BTreeMap<String, Vec<OutputView>> = BTreeMap::new();
        for view in views {
            if !grouped.contains_key(&view.run_id) {
                order.push(view.run_id.clone());
            }
            grouped.entry(view.run_id.clone()).or_default().push(view);
        }
        for run_id in order {
            let Some(views) = grouped.remove(&run_id).filter(|_| !self.is_known(&run_id)) else {
                continue;
            };
            let name = views.first().map(|view| view.name.clone()).unwrap_or_default();
            self.ids_of_name.entry(name).or_default().insert(run_id.clone());
            let color = COLORS[self.colors.len() % COLORS.len()];
            self.colors.insert(run_id, color);
            let printer = Printer::new(String::new(), self.look.clone());
            self.runs.extend(RunOutput::new(views, printer));
        }
        let is_alone = self.colors.len() == 1 && !self.may_grow;
        for run in &mut self.runs {
            let prefix = if is_alone {
                String::new()
            } else {
                let is_one = self.ids_of_name[&run.name].len() == 1;
                prefix(run, is_one, self.color.then(|| self.colors[&run.run_id]))
            };
            run.printer.set_prefix(prefix);
        }
    }

    fn is_known(&self, run_id: &str) -> bool {
        self.colors.contains_key(run_id)
    }
}

/// `web │ `; of two runs of one name `web-4fj2kq9x3m7a │ `.
fn prefix(run: &RunOutput, is_one: bool, color: Option<u8>) -> String {
    let name = text::line(&run.name);
    let words = if is_one { name.into_owned() } else { format!("{name}-{}", run.run_id) };
    match color {
        Some(color) => format!("\x1b[{color}m{words} │\x1b[0m "),
        None => format!("{words} │ "),
    }
}
