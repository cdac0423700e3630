//! `jr restart`.

use super::Runnable;
use super::up::{finish, known};
use crate::cli::context::{Context, asker, command_id};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::daemon::protocol::{PlanReply, UpRequest};
use crate::model::ServiceName;

/// Below the options.
const HELP: &str = "\
Examples:
  jr restart web
  jr restart --wait  # all that are up

Exit codes:
  0; with --wait 1 if one is not ready in the end; 3 no such service";

/// Stop services and start them anew, as they were declared last
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct RestartArgs {
    /// Services; all that are to be up if none is named
    #[arg(value_name = "SVC")]
    services: Vec<ServiceName>,
    /// Wait until all are ready
    #[arg(long)]
    wait: bool,
    /// With --wait, at most so long
    #[arg(long, value_name = "DURATION", value_parser = crate::model::notation::duration)]
    timeout: Option<u64>,
}

impl Runnable for RestartArgs {
    const NAME: &'static str = "restart";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let mut names = self.services;
        if names.is_empty() {
            names = known(context, |view| view.wanted)?;
        }
        if names.is_empty() {
            let error = CommandError::new("not_running", exit::NOT_FOUND, "no service is up");
            return Err(error.hint("bring them up: jr up"));
        }
        if context.is_unused() {
            let service = names.swap_remove(0);
            return Err(crate::projections::query::QueryError::NoSuchService { service }.into());
        }
        let request = UpRequest {
            command_id: command_id()?,
            names,
            anew: true,
            asker: Some(asker()),
            ..UpRequest::default()
        };
        let reply: PlanReply = context.post("/v1/up", &request)?;
        finish(context, "jr.restart/1", &reply.items, self.wait.then_some(self.timeout))
    }
}
