//! `jr completions`: the scripts with which a shell asks jr what fits at the cursor.

use clap::ValueEnum;

use super::Runnable;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit;

/// Below the options.
const HELP: &str = "\
Examples:
  jr completions bash > ~/.local/share/bash-completion/completions/jr
  jr completions zsh > ~/.zfunc/_jr     # a directory of $fpath
  jr completions fish > ~/.config/fish/completions/jr.fish

In this shell only: source <(jr completions bash)

Exit codes:
  0; 2 no such shell";

/// Print the script with which a shell completes jr
///
/// Commands and options, and what is there now: runs, names, queues, labels, environments. The
/// script asks jr at every TAB, so it stays right when jr is replaced. Completing starts no daemon,
/// and works without one.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    script: &'static str,
}

impl Runnable for CompletionsArgs {
    const NAME: &'static str = "completions";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let script = match self.shell {
            Shell::Bash => include_str!("../complete/jr.bash"),
            Shell::Zsh => include_str!("../complete/jr.zsh"),
            Shell::Fish => include_str!("../complete/jr.fish"),
        };
        if context.ui.json {
            context.ui.json(&Document { schema: "jr.completions/1", script });
        } else {
            context.ui.data(script);
        }
        Ok(exit::OK)
    }
}
