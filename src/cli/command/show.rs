//! `jr show`.

use super::Runnable;
use super::read::ReadArgs;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::{exit, progress, render, time_arg};
use crate::projections::query::Query;
use crate::projections::view::ShowView;

/// Below the options.
const HELP: &str = "\
Examples:
  jr show last
  jr show web         # the newest run of that name
  jr --json show @-1  # the one before the newest
  jr show web --at -1h

Exit codes:
  0; 2 the word could mean several runs; 3 no such run";

/// Show everything about a run, with its timeline
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct ShowArgs {
    /// Run id, unique prefix, name, last, @-1
    #[arg(value_name = "RUN")]
    selector: String,
    #[command(flatten)]
    read: ReadArgs,
}

impl Runnable for ShowArgs {
    const NAME: &'static str = "show";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.look(&self.read)?;
        let mut view: ShowView = context.read(&Query::Show { selector: self.selector })?;
        progress::read(context.printing(), &mut view.run);
        if context.ui.json {
            context.ui.json(&view);
            return Ok(exit::OK);
        }
        let medium = context.ui.medium();
        let text = render::show(&view, &time_arg::now(), medium, context.ui.verbose);
        context.ui.data(&text);
        Ok(exit::OK)
    }
}
