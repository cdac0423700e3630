//! `jr queue`.

use super::Runnable;
use super::read::ReadArgs;
use crate::cli::context::{Context, asker, command_id, parse};
use crate::cli::error::CommandError;
use crate::cli::{exit, render};
use crate::daemon::protocol::QueueRequest;
use crate::model::QueueName;
use crate::projections::query::Query;
use crate::projections::view::{List, QueueView};

/// Below the options.
const HELP: &str = "\
Examples:
  jr queue list
  jr queue set gpu -j 2  # two at a time
  jr queue pause gpu     # what runs goes on
  jr run -d --queue gpu -- ./train.sh

Exit codes:
  0; 2 a bad name or number";

/// List queues, pause them, or set how many runs of one may run at a time
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct QueueArgs {
    #[command(subcommand)]
    action: Action,
}

/// Below the options of that subcommand.
const LIST_HELP: &str = "\
Examples:
  jr queue list
  jr queue list --json
  jr queue list --at '1h ago'

Exit codes:
  0; 2 no such moment";

/// Below the options of that subcommand.
const PAUSE_HELP: &str = "\
Examples:
  jr queue pause gpu
  jr queue pause default

Exit codes:
  0; 3 no such queue";

/// Below the options of that subcommand.
const UNPAUSE_HELP: &str = "\
Examples:
  jr queue unpause gpu
  jr queue unpause default

Exit codes:
  0; 3 no such queue";

/// Below the options of that subcommand.
const SET_HELP: &str = "\
Examples:
  jr queue set gpu -j 2
  jr queue set default --jobs 1  # one after the other

Exit codes:
  0; 2 a bad name or number";

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List queues with their slots
    #[command(after_help = LIST_HELP)]
    List(ReadArgs),
    /// Give no more starts from a queue; what runs goes on
    #[command(after_help = PAUSE_HELP)]
    Pause {
        /// Its name
        #[arg(value_name = "QUEUE")]
        queue: QueueName,
    },
    /// Give starts from a queue again
    #[command(after_help = UNPAUSE_HELP)]
    Unpause {
        /// Its name
        #[arg(value_name = "QUEUE")]
        queue: QueueName,
    },
    /// Set the slots of a queue; creates it
    #[command(after_help = SET_HELP)]
    Set {
        /// Its name
        #[arg(value_name = "QUEUE")]
        queue: QueueName,
        /// Slots
        #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        jobs: u32,
    },
}

#[derive(serde::Serialize)]
struct SetDocument {
    schema: &'static str,
    name: QueueName,
    limit: u32,
}

#[derive(serde::Serialize)]
struct PauseDocument {
    schema: &'static str,
    name: QueueName,
    paused: bool,
}

impl Runnable for QueueArgs {
    const NAME: &'static str = "queue";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        match self.action {
            Action::List(read) => {
                context.look(&read)?;
                let document = context.read_bytes(&Query::Queues)?;
                if context.ui.json {
                    context.ui.document(&document);
                } else {
                    let list: List<QueueView> = parse(&document)?;
                    let text = render::queues(&list.items, context.ui.medium());
                    context.ui.data(&text);
                }
            }
            Action::Pause { queue } => pause(context, queue, true)?,
            Action::Unpause { queue } => pause(context, queue, false)?,
            Action::Set { queue, jobs } => {
                let command_id = command_id()?;
                let (name, limit) = (queue.clone(), Some(jobs));
                let (paused, asker) = (None, Some(asker()));
                let request = QueueRequest { command_id, queue: name, limit, paused, asker };
                context.post::<serde_json::Value>("/v1/queue", &request).map(drop)?;
                if context.ui.json {
                    let schema = "jr.queue_set/1";
                    context.ui.json(&SetDocument { schema, name: queue, limit: jobs });
                } else {
                    let slots = if jobs == 1 { "slot" } else { "slots" };
                    context.ui.status(&format!("queue {queue} has {jobs} {slots}"));
                }
            }
        }
        Ok(exit::OK)
    }
}

fn pause(context: &mut Context, queue: QueueName, paused: bool) -> Result<(), CommandError> {
    let command_id = command_id()?;
    let name = queue.clone();
    let (limit, asker) = (None, Some(asker()));
    let request = QueueRequest { command_id, queue: name, limit, paused: Some(paused), asker };
    context.post::<serde_json::Value>("/v1/queue", &request).map(drop)?;
    if context.ui.json {
        context.ui.json(&PauseDocument { schema: "jr.queue_pause/1", name: queue, paused });
    } else {
        let words = if paused { "gives no more starts" } else { "gives starts again" };
        context.ui.status(&format!("queue {queue} {words}"));
    }
    Ok(())
}
