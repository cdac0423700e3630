//! `jr status`.

use super::Runnable;
use super::read::ReadArgs;
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::services::table;
use crate::projections::query::Query;
use crate::projections::view::{List, ServiceView};

/// Below the options.
const HELP: &str = "\
Examples:
  jr status
  jr status --at yesterday
  jr status --json | jq '.items[] | select(.state != \"ready\")'

Exit codes:
  0, whatever their states are; 2 a bad moment";

/// Show services: what they are to be, and what they are
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct StatusArgs {
    #[command(flatten)]
    read: ReadArgs,
}

impl Runnable for StatusArgs {
    const NAME: &'static str = "status";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.look(&self.read)?;
        let document = context.read_bytes(&Query::Services)?;
        if context.ui.json {
            context.ui.document(&document);
            return Ok(exit::OK);
        }
        let list: List<ServiceView> = parse(&document)?;
        if list.items.is_empty() {
            context.ui.status("no service is known here; declare some and: jr up");
        } else {
            let text = table::services(&list.items, context.ui.medium());
            context.ui.data(&text);
        }
        Ok(exit::OK)
    }
}
