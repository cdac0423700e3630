//! `jr config`.

mod check;
mod init;
mod schema;
mod show;
mod wizard;

pub(super) use init::ask_for;
pub(super) use show::in_force;

use std::path::PathBuf;

use super::Runnable;
use super::read::ReadArgs;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit;

/// Below the options.
const HELP: &str = "\
Examples:
  jr config show --origin    # every value, and the file and line it is from
  jr config show --run last  # what a run was asked for under
  jr config check services.toml
  jr config schema > jr.schema.json
  jr config init --set services.web.command='npm start'

Exit codes:
  0; 1 nothing was written; 2 a file cannot be used, or could not be";

/// Show, check and write configuration files
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Print what holds, as TOML
    Show {
        /// Behind each value, the file and line that it is from
        #[arg(long)]
        origin: bool,
        /// Print what a run was asked for under instead
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Tell all mistakes at once, each with its place
    ///
    /// Without FILE: all files in use, and every environment that they declare.
    Check {
        /// That file alone, or `-` for standard input
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// What it is, where its content does not say so
        #[arg(long, value_enum, value_name = "KIND", requires = "file")]
        kind: Option<check::Kind>,
    },
    /// Print the JSON Schema of configuration files
    ///
    /// With `#:schema ./jr.schema.json` as the first line of a file, editors that know Taplo or
    /// Tombi complete keys and underline mistakes: jr config schema > jr.schema.json
    Schema,
    /// Write jr.toml: by questions at a terminal, else by --stdin-json or --set
    ///
    /// Comments and what is not asked for stay. The result is checked before it is saved, and saved
    /// whole or not at all.
    Init(init::InitArgs),
}

impl Runnable for ConfigArgs {
    const NAME: &'static str = "config";
    const APART: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        match self.action {
            Action::Show { origin, run: Some(run), read } => {
                show::recorded(context, &read, &run, origin)
            }
            Action::Show { origin, run: None, read } if read.is_of_the_past() => {
                show::then(context, &read, origin)
            }
            Action::Show { origin, run: None, .. } => Ok(show::now(context, origin)),
            Action::Check { file, kind } => check::check(context, file.as_deref(), kind),
            Action::Schema => {
                schema::schema(context);
                Ok(exit::OK)
            }
            Action::Init(args) => init::init(context, &args),
        }
    }
}
