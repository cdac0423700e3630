//! What every command that only reads can be told: of which moment, and of which log.

use std::path::PathBuf;

use super::argument;
use crate::projections::query::At;

/// Which state is looked at.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ReadArgs {
    /// As it was at a place or time of the log
    #[arg(long, value_name = "SEQ|TIME", value_parser = argument::at, allow_hyphen_values = true)]
    pub at: Option<At>,
    /// Read a debug bundle instead of an environment
    #[arg(long, value_name = "FILE.jrb")]
    pub bundle: Option<PathBuf>,
}

impl ReadArgs {
    /// Whether it is not the environment as it is now.
    pub fn is_of_the_past(&self) -> bool {
        self.at.is_some() || self.bundle.is_some()
    }
}
