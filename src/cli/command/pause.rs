//! `jr pause` and `jr resume`.

use super::Runnable;
use crate::cli::context::{Context, asker, command_id};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::daemon::protocol::{HoldReply, HoldRequest};
use crate::model::RunId;

/// Below the options of `pause`.
const PAUSE_HELP: &str = "\
Examples:
  jr pause train
  jr pause 'worker-*'
  jr pause label:team=web

Exit codes:
  0; 3 no such run; 4 nothing of it could be held";

/// Hold runs: what runs stands still, what waits gets no start
///
/// The whole process tree is frozen, by its cgroup where it has one, else by SIGSTOP. Paused time
/// does not count against a time limit. Of a batch, its queue and its running lines are held.
#[derive(clap::Args, Debug)]
#[command(after_help = PAUSE_HELP)]
pub struct PauseArgs {
    /// Run ids, names, globs, last, all, label:k=v
    #[arg(value_name = "SEL", required = true)]
    selectors: Vec<String>,
}

/// Runs of which nothing comes are named up to here, and else counted.
const TOLD_IDLE: usize = 5;

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    items: Vec<Item>,
}

#[derive(serde::Serialize)]
struct Item {
    run_id: RunId,
    result: String,
}

impl Runnable for PauseArgs {
    const NAME: &'static str = "pause";
    const LIVING: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        hold(context, "/v1/pause", "jr.pause/1", self.selectors)
    }
}

/// Sends it and tells what came of each run.
pub(super) fn hold(
    context: &mut Context,
    route: &str,
    schema: &'static str,
    selectors: Vec<String>,
) -> Result<u8, CommandError> {
    context.must_have_runs(&selectors)?;
    let request = HoldRequest { command_id: command_id()?, selectors, asker: Some(asker()) };
    let reply: HoldReply = context.post(route, &request)?;
    let code = exit_code(&reply.runs);
    let ended = reply.runs.iter().find(|(_, result)| result == "already_ended");
    let ended = ended.map(|(run, _)| *run).filter(|_| code == exit::NOTHING_TO_DO);
    if context.ui.json {
        let items = reply.runs.into_iter().map(|(run_id, result)| Item { run_id, result });
        context.ui.json(&Document { schema, items: items.collect() });
    } else {
        let idle = reply.runs.iter().filter(|(_, result)| is_idle(result)).count();
        for (run, result) in &reply.runs {
            // Of `all` and globs, hundreds may have nothing to be let go of.
            if !is_idle(result) || idle <= TOLD_IDLE {
                context.ui.status(&format!("{run}  {}", words(result)));
            }
        }
        if idle > TOLD_IDLE {
            context.ui.status(&format!("{idle} others: nothing to do"));
        }
    }
    if let Some(run) = ended {
        context.ui.status(&format!("to do it again: jr rerun {run}"));
    }
    Ok(code)
}

/// Nothing of what was named could be held, or go on.
fn exit_code(runs: &[(RunId, String)]) -> u8 {
    let any = runs.iter().any(|(_, result)| !is_idle(result));
    if any || runs.is_empty() { exit::OK } else { exit::NOTHING_TO_DO }
}

/// Nothing came of it.
fn is_idle(result: &str) -> bool {
    matches!(result, "already_ended" | "not_paused" | "stopping")
}

fn words(result: &str) -> &str {
    match result {
        "held" => "held: it gets no start",
        "paused" => "paused",
        "pausing" => "is about to stand still",
        "already_paused" => "was paused before",
        "stopping" => "is being stopped",
        "already_ended" => "has ended",
        "resumed" => "goes on",
        "resuming" => "was told to go on, but its shim has not said that it does: see jr doctor",
        "not_paused" => "is neither paused nor delayed",
        other => other,
    }
}
