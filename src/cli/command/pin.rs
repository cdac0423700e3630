//! `jr pin`, `jr unpin`.

use super::Runnable;
use super::ps::print_runs;
use super::read::ReadArgs;
use crate::cli::context::{Context, command_id, parse};
use crate::cli::error::CommandError;
use crate::cli::{exit, render, time_arg};
use crate::daemon::protocol::{PinReply, PinRequest};
use crate::projections::query::Query;
use crate::projections::view::{List, RunView};

/// Below the options.
const PIN_HELP: &str = "\
Examples:
  jr pin release       # it and its output stay
  jr pin               # what is kept so

Exit codes:
  0; 2 the word could mean several runs; 3 no such run";

/// Keep a run whatever is pruned; without RUN, list those that are kept so
///
/// The lines of a pinned batch stay with it.
#[derive(clap::Args, Debug)]
#[command(after_help = PIN_HELP)]
pub struct PinArgs {
    /// Run id, name, last
    #[arg(value_name = "RUN", conflicts_with_all = ["at", "bundle"])]
    selector: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
}

/// Below the options.
const UNPIN_HELP: &str = "\
Examples:
  jr unpin release
  jr unpin last

Exit codes:
  0; 2 the word could mean several runs; 3 no such run";

/// Let a pinned run go with the next prune
#[derive(clap::Args, Debug)]
#[command(after_help = UNPIN_HELP)]
pub struct UnpinArgs {
    /// Run id, name, last
    #[arg(value_name = "RUN")]
    selector: String,
}

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    #[serde(flatten)]
    reply: PinReply,
}

impl Runnable for PinArgs {
    const NAME: &'static str = "pin";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        if let Some(selector) = self.selector {
            return set(context, selector, true);
        }
        context.look(&self.read)?;
        list(context)
    }
}

impl Runnable for UnpinArgs {
    const NAME: &'static str = "unpin";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        set(context, self.selector, false)
    }
}

fn set(context: &mut Context, selector: String, pinned: bool) -> Result<u8, CommandError> {
    context.must_have_runs(std::slice::from_ref(&selector))?;
    let request = PinRequest { command_id: command_id()?, selector, pinned };
    let reply: PinReply = context.post("/v1/pin", &request)?;
    if context.ui.json {
        let schema = if pinned { "jr.pin/1" } else { "jr.unpin/1" };
        context.ui.json(&Document { schema, reply });
    } else {
        let word = if pinned { "stays whatever is pruned" } else { "may be pruned" };
        context.ui.status(&format!("{} ({}) {word}", reply.run_id, reply.name));
    }
    Ok(exit::OK)
}

fn list(context: &mut Context) -> Result<u8, CommandError> {
    let document = context.read_bytes(&Query::Pinned)?;
    if context.ui.json {
        context.ui.document(&document);
        return Ok(exit::OK);
    }
    let list: List<RunView> = parse(&document)?;
    print_runs(context, &list.items, |runs, medium| {
        render::history(runs, &time_arg::now(), medium)
    });
    Ok(exit::OK)
}
