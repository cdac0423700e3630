//! `jr history`.

use std::collections::BTreeMap;

use super::ps::print_runs;
use super::read::ReadArgs;
use super::{Runnable, argument};
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::shown::Shown;
use crate::cli::{exit, render, time_arg, tree};
use crate::projections::brief_view::BriefView;
use crate::projections::query::{HistoryQuery, Query};
use crate::projections::view::{List, OUTCOMES, RunView};

/// Rows on a terminal where none are asked for.
const TERMINAL_ROWS: usize = 100;

/// Below the options.
const HELP: &str = "\
Examples:
  jr history --failed --today
  jr history 'test-*' -n 20
  jr history --label team=web --since -2h
  jr history --slowest -n 5
  jr history --tree -n 10

Exit codes:
  0; 2 a filter that means nothing; 3 no such parent";

/// List what ran, newest first
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct HistoryArgs {
    /// Name glob, or part of the command line
    pattern: Option<String>,
    /// Only what ended otherwise than succeeded
    #[arg(long, conflicts_with_all = ["ok", "outcome"])]
    failed: bool,
    /// Only what succeeded
    #[arg(long, conflicts_with = "outcome")]
    ok: bool,
    /// Only this outcome
    #[arg(long, value_parser = OUTCOMES)]
    outcome: Option<String>,
    /// Exactly this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only this kind
    #[arg(long, value_parser = ["job", "batch", "service"])]
    kind: Option<String>,
    /// Only with this label; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = argument::label)]
    label: Vec<(String, String)>,
    /// Only lines and continuations of this batch
    #[arg(long, value_name = "RUN")]
    parent: Option<String>,
    /// Admitted at or after
    #[arg(long, value_name = "TIME", value_parser = argument::time, allow_hyphen_values = true)]
    since: Option<i64>,
    /// Admitted before
    #[arg(long, value_name = "TIME", value_parser = argument::time, allow_hyphen_values = true)]
    until: Option<i64>,
    /// Admitted today
    #[arg(long, conflicts_with = "since")]
    today: bool,
    /// Longest first
    #[arg(long)]
    slowest: bool,
    /// Also what they came from and what came from them, as a tree
    #[arg(long)]
    tree: bool,
    /// At most N rows [default on a terminal: 100]
    #[arg(short = 'n', long = "limit", value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    read: ReadArgs,
}

impl Runnable for HistoryArgs {
    const NAME: &'static str = "history";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.look(&self.read)?;
        let since = if self.today { Some(today()?) } else { self.since };
        let for_terminal = context.ui.stdout_is_terminal() && !context.ui.json;
        let limit = self.limit.or(for_terminal.then_some(TERMINAL_ROWS));
        let query = Query::History(HistoryQuery {
            pattern: self.pattern,
            failed: self.failed,
            ok: self.ok,
            outcome: self.outcome,
            name: self.name,
            kind: self.kind,
            labels: self.label.into_iter().collect(),
            parent: self.parent,
            since,
            until: self.until,
            slowest: self.slowest,
            tree: self.tree,
            brief: !context.ui.json && !self.tree,
            limit,
        });
        let document = context.read_bytes(&query)?;
        if context.ui.json {
            context.ui.document(&document);
            return Ok(exit::OK);
        }
        if self.tree {
            let mut list: List<RunView> = parse(&document)?;
            print_tree(context, &mut list.items);
            return Ok(exit::OK);
        }
        let list: List<BriefView<'_>> = parse(&document)?;
        print_table(context, &list.items);
        if self.limit.is_none() && list.items.len() == TERMINAL_ROWS && for_terminal {
            context.ui.status("the newest 100; -n N shows more");
        }
        Ok(exit::OK)
    }
}

fn print_table<R: Shown>(context: &mut Context, runs: &[R]) {
    print_runs(context, runs, |runs, medium| render::history(runs, &time_arg::now(), medium));
}

fn print_tree(context: &mut Context, runs: &mut [RunView]) {
    if !context.ui.quiet {
        tree::draw(runs, context.ui.is_utf8());
        if has_left_out(runs) {
            context.ui.status("not all lines of batches: jr history --parent RUN has them");
        }
    }
    print_table(context, runs);
}

/// Whether a batch has more lines than are there.
fn has_left_out(runs: &[RunView]) -> bool {
    let mut lines: BTreeMap<&str, u32> = BTreeMap::new();
    for parent in
        runs.iter().filter(|run| run.kind != "batch").filter_map(|run| run.parent.as_ref())
    {
        *lines.entry(parent).or_default() += 1;
    }
    let shown = |run: &RunView| lines.get(run.run_id.as_str()).copied().unwrap_or(0);
    runs.iter().any(|run| run.batch.is_some_and(|batch| shown(run) < batch.lines))
}

fn today() -> Result<i64, CommandError> {
    argument::time("today").map_err(CommandError::usage)
}
