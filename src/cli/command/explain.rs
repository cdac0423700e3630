//! `jr explain`.

use super::Runnable;
use super::up::{declared, plan};
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::services::table;
use crate::projections::query::Query;
use crate::projections::view::{List, RunView, StepView};

/// Below the options.
const HELP: &str = "\
Examples:
  jr explain
  jr explain --json

Exit codes:
  0; 2 nothing is declared, or not so";

/// Say what jr up and jr resume would do, and why
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct ExplainArgs {}

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    /// What `jr up` would do.
    items: Vec<StepView>,
    /// What `jr resume` would let go on.
    resume: Vec<RunView>,
}

impl Runnable for ExplainArgs {
    const NAME: &'static str = "explain";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let mut request = declared(context, Vec::new())?;
        request.with_dependencies = true;
        let items = plan(context, &request)?;
        let resume: List<RunView> = parse(&context.read_bytes(&Query::Interrupted)?)?;
        let resume = resume.items;
        if context.ui.json {
            context.ui.json(&Document { schema: "jr.explain/1", items, resume });
            return Ok(exit::OK);
        }
        let text = table::steps(&items, context.ui.medium());
        context.ui.data(&text);
        for run in &resume {
            let line =
                format!("jr resume lets {} ({}) go on: it was interrupted", run.name, run.run_id);
            context.ui.line(&line);
        }
        Ok(exit::OK)
    }
}
