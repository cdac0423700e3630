//! `jr services`: the commands about services under one word.

use super::Runnable;
use super::down::DownArgs;
use super::logs::LogsArgs;
use super::status::StatusArgs;
use super::up::UpArgs;
use crate::cli::context::Context;
use crate::cli::error::CommandError;

/// Below the options.
const HELP: &str = "\
Examples:
  jr services up
  jr services status

Exit codes:
  as jr up, jr down, jr status and jr logs";

/// The same as jr up, jr down, jr status and jr logs
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct ServicesArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    Up(UpArgs),
    Down(DownArgs),
    Status(StatusArgs),
    Logs(Box<LogsArgs>),
}

impl Runnable for ServicesArgs {
    const NAME: &'static str = "services";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        match self.action {
            Action::Up(args) => args.run(context),
            Action::Down(args) => args.run(context),
            Action::Status(args) => args.run(context),
            Action::Logs(args) => args.run(context),
        }
    }
}
