//! `jr signal`.

use super::Runnable;
use crate::cli::context::{Context, asker, command_id};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::daemon::protocol::{SignalReply, SignalRequest};
use crate::model::{RunId, Signal};

/// Below the options.
const HELP: &str = "\
Examples:
  jr signal HUP web  # read the configuration again
  jr signal USR1 'worker-*'

Exit codes:
  0 sent to at least one; 3 none runs";

/// Send a signal to running runs
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct SignalArgs {
    /// A name or number, such as HUP, SIGUSR1 or 15
    signal: Signal,
    /// Run ids, names, globs, last, all, label:k=v
    #[arg(value_name = "SEL", required = true)]
    selectors: Vec<String>,
}

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    items: Vec<Item>,
}

#[derive(serde::Serialize)]
struct Item {
    run_id: RunId,
    signal: Signal,
    result: String,
}

impl Runnable for SignalArgs {
    const NAME: &'static str = "signal";
    const LIVING: bool = true;
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.must_have_runs(&self.selectors)?;
        let command_id = command_id()?;
        let signal = self.signal;
        let request =
            SignalRequest { command_id, selectors: self.selectors, signal, asker: Some(asker()) };
        let reply: SignalReply = context.post("/v1/signal", &request)?;
        let sent = reply.runs.iter().any(|(_, result)| result == "sending");
        if context.ui.json {
            let items = reply.runs.into_iter();
            let items = items.map(|(run_id, result)| Item { run_id, signal, result }).collect();
            context.ui.json(&Document { schema: "jr.signal/1", items });
        } else {
            for (run, result) in &reply.runs {
                let words = if result == "sending" { "sent" } else { "not running" };
                context.ui.status(&format!("{run}  {signal}  {words}"));
            }
        }
        Ok(if sent { exit::OK } else { exit::NOT_FOUND })
    }
}
