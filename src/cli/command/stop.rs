//! `jr stop`.

use std::collections::BTreeMap;

use super::Runnable;
use crate::cli::context::{Context, asker, command_id};
use crate::cli::error::CommandError;
use crate::cli::{exit, render};
use crate::daemon::protocol::{StopReply, StopRequest, WaitRequest};
use crate::model::RunId;
use crate::projections::query::Query;
use crate::projections::view::{List, RunView, ShowView};

/// Below the options.
const HELP: &str = "\
Examples:
  jr stop web
  jr stop 'api-*' --kill-after 2s
  jr stop all  # all that lives here

Exit codes:
  0 all are gone; 1 something survived KILL; 3 no such run";

/// End runs with their whole process trees
///
/// Sends TERM, after a grace time KILL, waits until they are gone and says what survived. To stop
/// what has ended changes nothing and succeeds.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct StopArgs {
    /// Run ids, names, globs, last, all, label:k=v
    #[arg(value_name = "SEL", required = true)]
    selectors: Vec<String>,
    /// Time until KILL [default: the run's own, 10s]
    #[arg(long, value_name = "DURATION", value_parser = crate::model::notation::duration)]
    kill_after: Option<u64>,
}

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    items: Vec<Item>,
}

#[derive(serde::Serialize)]
struct Item {
    #[serde(flatten)]
    run: RunView,
    /// `cancelled`, `stopping` or `already_ended`.
    result: String,
    /// Processes that could not be ended.
    survivors: Vec<u32>,
}

impl Runnable for StopArgs {
    const NAME: &'static str = "stop";
    const LIVING: bool = true;
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.must_have_runs(&self.selectors)?;
        let request = StopRequest {
            command_id: command_id()?,
            selectors: self.selectors,
            grace_ms: self.kill_after,
            interrupted: false,
            asker: Some(asker()),
        };
        let reply: StopReply = context.post("/v1/stop", &request)?;
        let items = wait_for_ends(context, reply.runs)?;
        let survived = items.iter().any(|item| !item.survivors.is_empty());
        if context.ui.json {
            context.ui.json(&Document { schema: "jr.stop/1", items });
        } else {
            for item in &items {
                print(context, item);
            }
        }
        Ok(if survived { exit::FAILED } else { exit::OK })
    }
}

fn wait_for_ends(
    context: &Context,
    stopped: Vec<(RunId, String)>,
) -> Result<Vec<Item>, CommandError> {
    if stopped.is_empty() {
        return Ok(Vec::new());
    }
    let selectors = stopped.iter().map(|(run, _)| run.to_string()).collect();
    let request = WaitRequest { selectors, any: false, timeout_ms: None };
    let body = context.open("/v1/wait", &request)?.body()?;
    let list: List<RunView> = crate::cli::context::parse(&body)?;
    let mut results: BTreeMap<String, String> =
        stopped.into_iter().map(|(run, result)| (run.to_string(), result)).collect();
    let mut items = Vec::with_capacity(list.items.len());
    for run in list.items {
        let result = results.remove(&run.run_id).unwrap_or_default();
        // Only what was running can have left something behind.
        let survivors = match result.as_str() {
            "stopping" => survivors(context, &run)?,
            _ => Vec::new(),
        };
        items.push(Item { run, result, survivors });
    }
    Ok(items)
}

fn survivors(context: &Context, run: &RunView) -> Result<Vec<u32>, CommandError> {
    let view: ShowView = context.read(&Query::Show { selector: run.run_id.clone() })?;
    Ok(view.attempts.last().map(|attempt| attempt.survivors.clone()).unwrap_or_default())
}

fn print(context: &Context, item: &Item) {
    let words = render::ended_words(&item.run);
    match item.result.as_str() {
        "already_ended" => context.ui.status(&format!("{words}; it had ended before")),
        _ => context.ui.status(&words),
    }
    if let Some(pids) = render::survivors(&item.survivors) {
        context.ui.warn(&format!("{}: still there after KILL: {pids}", item.run.run_id));
    }
}
