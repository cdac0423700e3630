//! `jr env`.

use super::Runnable;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit;

/// Below the options.
const HELP: &str = "\
Examples:
  jr env                  # the environment that is meant here
  jr env -e ci --origin   # another one, and where each value is from
  jr env --all > env.toml";

/// Print environments as they hold, as TOML
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct EnvArgs {
    /// All that are declared
    #[arg(short, long)]
    all: bool,
    /// Behind each value, the file and line that it is from
    #[arg(long)]
    origin: bool,
}

impl Runnable for EnvArgs {
    const NAME: &'static str = "env";
    const APART: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let _later = (self.all, self.origin, &context.ui);
        Ok(exit::OK)
    }
}
