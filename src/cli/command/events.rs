//! `jr events`.

use std::time::Duration;

use super::Runnable;
use super::read::ReadArgs;
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::{exit, render, time_arg};
use crate::daemon::client::{self, Lines, Start};
use crate::projections::query::{EventsQuery, Query, Scope};
use crate::projections::view::{EventView, List};

/// Records of one question: an answer stays far below what a reply may hold.
const PAGE: usize = 5_000;
/// Without a daemon the files are looked at anew after this.
const LOOK_MS: u64 = 500;

/// Below the options.
const HELP: &str = "\
Examples:
  jr events --run last
  jr events -f --json  # one record a line, as they come
  jr events --kind run_ended --from 4711

Exit codes:
  0; 3 no such run";

/// Print the log's records, one a line
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct EventsArgs {
    /// Go on with what comes
    #[arg(short, long, conflicts_with_all = ["at", "bundle"])]
    follow: bool,
    /// From this place of the log on
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// Only of this run
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// Only of this kind, such as `run_ended`
    #[arg(long)]
    kind: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
}

impl EventsArgs {
    /// All that is there, for `jr log export`.
    pub fn everything() -> Self {
        Self { follow: false, from: None, run: None, kind: None, read: ReadArgs::default() }
    }
}

impl Runnable for EventsArgs {
    const NAME: &'static str = "events";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.look(&self.read)?;
        let run = match &self.run {
            Some(selector) => {
                let runs = context.resolve(std::slice::from_ref(selector), Scope::One)?;
                runs.into_iter().next().map(|run| run.run_id)
            }
            None => None,
        };
        let mut query = EventsQuery { from: self.from, run, kind: self.kind, limit: None };
        loop {
            print_all(context, &mut query)?;
            if !self.follow {
                return Ok(exit::OK);
            }
            query.limit = None;
            match client::open(&context.place, Start::Never, "/v1/events", &query)? {
                Some(lines) => follow(context, lines, &mut query)?,
                None => std::thread::sleep(Duration::from_millis(LOOK_MS)),
            }
        }
    }
}

/// Prints what is there, page by page; `query` then begins behind it.
fn print_all(context: &mut Context, query: &mut EventsQuery) -> Result<(), CommandError> {
    query.limit = Some(PAGE);
    query.from.get_or_insert(0);
    loop {
        let list: List<EventView> = context.read(&Query::Events(query.clone()))?;
        let is_last = list.items.len() < PAGE;
        for event in &list.items {
            print(context, event, query);
        }
        context.ui.flush()?;
        if is_last {
            return Ok(());
        }
    }
}

/// Prints what comes until the daemon ends; another one, or the files, go on from there.
fn follow(
    context: &mut Context,
    mut lines: Lines,
    query: &mut EventsQuery,
) -> Result<(), CommandError> {
    while let Ok(Some(line)) = lines.next_line() {
        if !line.is_empty() {
            print(context, &parse(&line)?, query);
            context.ui.flush()?;
        }
    }
    std::thread::sleep(Duration::from_millis(LOOK_MS));
    Ok(())
}

fn print(context: &mut Context, event: &EventView, query: &mut EventsQuery) {
    query.from = Some(event.seq + 1);
    if context.ui.json {
        context.ui.json(event);
    } else {
        let line = render::event(event, &time_arg::now());
        context.ui.line(&line);
    }
}
