//! `jr debug`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::Runnable;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit;

/// Below the options.
const HELP: &str = "\
Examples:
  jr debug last
  jr debug last --json

Exit codes:
  0; 3 no bundle was made here, or it is gone";

/// Find debug bundles
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct DebugArgs {
    #[command(subcommand)]
    action: Action,
}

/// Below the options of that subcommand.
const LAST_HELP: &str = "\
Examples:
  jr debug last
  jr debug last --json  # its path in a document

Exit codes:
  0; 3 no bundle was made here, or it is gone";

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Print the path of the newest one
    #[command(after_help = LAST_HELP)]
    Last,
}

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    path: String,
}

impl Runnable for DebugArgs {
    const NAME: &'static str = "debug";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let Action::Last = self.action;
        let path = std::fs::read(context.place.newest_bundle())
            .map(|bytes| PathBuf::from(OsString::from_vec(bytes)));
        let Some(path) = path.ok() else {
            let message = format!("no bundle was made of environment {} yet", context.place.id);
            return Err(
                CommandError::new("no_bundle", exit::NOT_FOUND, message).hint("jr debug-report")
            );
        };
        if !path.is_file() {
            let message = format!("{} is gone", path.display());
            return Err(
                CommandError::new("no_bundle", exit::NOT_FOUND, message).hint("jr debug-report")
            );
        }
        let path = path.display().to_string();
        if context.ui.json {
            context.ui.json(&Document { schema: "jr.debug_last/1", path });
        } else {
            context.ui.line(&path);
        }
        Ok(exit::OK)
    }
}
