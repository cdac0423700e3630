//! `jr down`.

use super::Runnable;
use crate::cli::context::{Context, asker, command_id};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::services::settle::wait_for_ends;
use crate::daemon::protocol::{DownRequest, PlanReply};
use crate::model::ServiceName;
use crate::projections::query::Query;
use crate::projections::view::{ShowView, StepView};

/// Below the options.
const HELP: &str = "\
Examples:
  jr down
  jr down web worker

Exit codes:
  0 all are gone; 1 something survived KILL; 3 no such service";

/// Stop services, those first that depend on others
///
/// Sends the stop signal, after a grace time KILL, to whole process trees, and waits until they
/// are gone. What is down stays down until the next jr up.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct DownArgs {
    /// Services; all if none is named
    #[arg(value_name = "SVC")]
    services: Vec<ServiceName>,
}

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    items: Vec<StepView>,
    /// Processes that could not be ended.
    survivors: Vec<u32>,
}

impl Runnable for DownArgs {
    const NAME: &'static str = "down";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let services = (!self.services.is_empty()).then_some(self.services);
        let mut items = Vec::new();
        if !context.is_unused() {
            let (command_id, asker) = (command_id()?, Some(asker()));
            let request = DownRequest { command_id, services, asker };
            items = context.post::<PlanReply>("/v1/down", &request)?.items;
        } else if let Some(name) = services.and_then(|names| names.into_iter().next()) {
            let error = crate::projections::query::QueryError::NoSuchService { service: name };
            return Err(error.into());
        }
        let stopped: Vec<String> = items
            .iter()
            .filter(|item| item.action == "stop")
            .filter_map(|item| item.run_id.clone())
            .collect();
        let mut survivors = Vec::new();
        for run in wait_for_ends(context, stopped, None)? {
            let view: ShowView = context.read(&Query::Show { selector: run.run_id.clone() })?;
            let last = view.attempts.last();
            survivors.extend(last.map(|attempt| attempt.survivors.clone()).unwrap_or_default());
            if !context.ui.json {
                context.ui.status(&crate::cli::render::ended_words(&run));
            }
        }
        if let Some(pids) = crate::cli::render::survivors(&survivors) {
            context.ui.warn(&format!("still there after KILL: {pids}"));
        }
        let code = if survivors.is_empty() { exit::OK } else { exit::FAILED };
        if context.ui.json {
            context.ui.json(&Document { schema: "jr.down/1", items, survivors });
        } else if items.iter().all(|item| item.action != "stop") {
            context.ui.status("no service is up");
        }
        Ok(code)
    }
}
