//! `jr ps`.

use jiff::{Timestamp, Zoned};

use super::Runnable;
use super::read::ReadArgs;
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::shown::Shown;
use crate::cli::{exit, progress, render, time_arg};
use crate::projections::progress::is_told_in;
use crate::projections::query::{PsQuery, Query};
use crate::projections::view::{List, RunView};

/// Below the options.
const HELP: &str = "\
Examples:
  jr ps                          # what is queued or running
  jr ps -a -n 20                 # also what ended
  jr ps --at '2026-11-20 14:00'  # as it was then
  jr ps -q                       # ids only, for scripts

Exit codes:
  0; 2 a moment that the log does not have";

/// List what is queued or running
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct PsArgs {
    /// Also what ended, newest first
    #[arg(short, long)]
    all: bool,
    /// At most N rows
    #[arg(short = 'n', long = "limit", value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    read: ReadArgs,
}

impl Runnable for PsArgs {
    const NAME: &'static str = "ps";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.look(&self.read)?;
        let query = Query::Ps(PsQuery { all: self.all, limit: self.limit, only: Vec::new() });
        let document = context.read_bytes(&query)?;
        if context.ui.json && !is_told_in(&document) {
            context.ui.document(&document);
            return Ok(exit::OK);
        }
        let mut list: List<RunView> = parse(&document)?;
        if context.ui.json || !context.ui.quiet {
            progress::read_all(context.printing(), &mut list.items);
        }
        if context.ui.json {
            context.ui.json(&list);
            return Ok(exit::OK);
        }
        let now = if context.ui.quiet { time_arg::now() } else { now(&list.items, context)? };
        print_runs(context, &list.items, |runs, medium| render::ps(runs, &now, medium));
        Ok(exit::OK)
    }
}

/// What ages are measured against: of a moment of the past, its record's time.
fn now(runs: &[RunView], context: &Context) -> Result<Zoned, CommandError> {
    match context.then(time_of(runs))? {
        Some(then) => Ok(then.to_zoned(time_arg::zone())),
        None => Ok(time_arg::now()),
    }
}

/// The moment that durations of what lives were measured at, in Unix milliseconds: so it need not
/// be asked for. Of what has lasted no time the clock may have gone back.
fn time_of(runs: &[RunView]) -> Option<i64> {
    runs.iter().filter(|run| run.outcome.is_none()).find_map(|run| {
        let started: Timestamp = run.started_at.as_ref()?.parse().ok()?;
        let duration_ms = run.duration_ms.filter(|duration_ms| *duration_ms > 0)?;
        started.as_millisecond().checked_add(duration_ms)
    })
}

/// A table of runs, or with `-q` their ids.
pub fn print_runs<R: Shown>(
    context: &mut Context,
    runs: &[R],
    table: impl Fn(&[R], crate::cli::table::Medium) -> String,
) {
    if context.ui.quiet {
        for run in runs {
            context.ui.line(run.id());
        }
    } else {
        let text = table(runs, context.ui.medium());
        context.ui.data(&text);
    }
}
