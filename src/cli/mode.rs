//! The options that say the mode.

use super::error::CommandError;

/// What `default_mode` may be.
const MODES: [&str; 2] = ["main", "trees"];

/// A line says one mode, once, before or after its command.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ModeArgs {
    /// Work on a project's `main` or on its `trees`; also --main, --trees
    #[arg(long, value_name = "MODE", value_parser = MODES, global = true)]
    #[arg(hide_possible_values = true)]
    mode: Option<String>,
    /// As --mode main
    #[arg(long, hide = true, global = true)]
    main: bool,
    /// As --mode trees
    #[arg(long, hide = true, global = true)]
    trees: bool,
}

impl ModeArgs {
    /// The mode that is said.
    ///
    /// # Errors
    /// It is said several times.
    pub fn said(&self) -> Result<Option<&str>, CommandError> {
        let [main, trees] = MODES;
        let short = [self.main.then_some(main), self.trees.then_some(trees)];
        let said: Vec<&str> =
            self.mode.as_deref().into_iter().chain(short.into_iter().flatten()).collect();
        match said.as_slice() {
            [] => Ok(None),
            [mode] => Ok(Some(mode)),
            several => {
                let message = format!("several modes: {}", several.join(", "));
                Err(CommandError::usage(message).hint("keep one of --mode, --main and --trees"))
            }
        }
    }
}
