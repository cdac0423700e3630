//! `jr explain`.

use super::Runnable;
use super::up::{NO_SERVICES, declared, plan};
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
  0, also where nothing is declared; 2 a file cannot be used";

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
        let items = match declared(context, Vec::new()) {
            Ok(mut request) => {
                request.with_dependencies = true;
                plan(context, &request)?
            }
            // Nothing to do is an answer too.
            Err(error) if error.code == NO_SERVICES => {
                let hint = error.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                context.ui.status(&format!("{}{hint}", error.message));
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let resume: List<RunView> = parse(&context.read_bytes(&Query::Interrupted)?)?;
        let resume = resume.items;
        if context.ui.json {
            context.ui.json(&Document { schema: "jr.explain/1", items, resume });
            return Ok(exit::OK);
        }
        if !items.is_empty() {
            let text = table::steps(&items, context.ui.medium());
            context.ui.data(&text);
        }
        for run in &resume {
            let line =
                format!("jr resume lets {} ({}) go on: it was interrupted", run.name, run.run_id);
            context.ui.line(&line);
        }
        Ok(exit::OK)
    }
}
