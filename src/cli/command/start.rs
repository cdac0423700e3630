//! `jr start`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;

use super::Runnable;
use super::up::{finish, known, plan};
use crate::cli::context::{Context, asker, command_id};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::config::tree::{Node, Table, Value};
use crate::daemon::protocol::{PlanReply, UpRequest};
use crate::model::ServiceName;
use crate::model::service::plan::Override;

/// Below the options.
const HELP: &str = "\
Examples:
  jr start --config runtime.toml
  jr start --config runtime.toml --yes  # also stops what is not listed

Exit codes:
  0; 1 not agreed to; 2 no file, or something would be stopped and nobody says yes";

/// Start the services that a runtime file lists, and stop and forget all others
///
/// The file has a table for each service, with its hostname and its port. What runs stays as it
/// is. What is declared and not listed is stopped and forgotten: it is shown first.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct StartArgs {
    /// Do not ask before something is stopped and forgotten
    #[arg(long)]
    yes: bool,
    /// Wait until all are ready
    #[arg(long)]
    wait: bool,
    /// With --wait, at most so long
    #[arg(long, value_name = "DURATION", value_parser = crate::model::notation::duration)]
    timeout: Option<u64>,
}

impl Runnable for StartArgs {
    const NAME: &'static str = "start";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let listed = overrides(&context.configuration.loaded().runtime);
        if listed.is_empty() {
            let message = "no runtime file lists a service";
            let hint = "give one: jr start --config runtime.toml; to start services: jr up";
            return Err(CommandError::new("no_runtime", exit::USAGE, message).hint(hint));
        }
        let known: BTreeSet<ServiceName> = known(context, |_| true)?.into_iter().collect();
        let mut names = Vec::new();
        for name in listed.keys() {
            match name.parse::<ServiceName>().ok().filter(|name| known.contains(name)) {
                Some(name) => names.push(name),
                None => context.ui.warn(&format!(
                    "service {name} is not declared; skipped (declare it: jr up --config …)"
                )),
            }
        }
        let overrides = names
            .iter()
            .filter_map(|name| Some((name.clone(), listed.get(name.as_str())?.clone())));
        let request = UpRequest {
            command_id: command_id()?,
            overrides: overrides.collect(),
            names,
            even_completed: true,
            forget_others: true,
            leave_running: true,
            asker: Some(asker()),
            ..UpRequest::default()
        };
        let going: Vec<String> = plan(context, &request)?
            .into_iter()
            .filter(|step| step.action == "forget")
            .map(|step| step.service)
            .collect();
        if !going.is_empty() && !self.yes {
            agree(context, &going)?;
        }
        let reply: PlanReply = context.post("/v1/up", &request)?;
        finish(context, "jr.start/1", &reply.items, self.wait.then_some(self.timeout))
    }
}

/// Host names and ports as a runtime file has them.
fn overrides(runtime: &Table) -> BTreeMap<String, Override> {
    let over = |node: &Node| {
        let Value::Table(table) = &node.value else { return Override::default() };
        let text = |key: &str| table.get(key).and_then(Node::text).map(str::to_owned);
        let number = table.get("port").map(|node| node.to_json().to_string());
        let port = text("port").or(number).and_then(|port| port.parse().ok());
        Override { hostname: text("hostname"), port }
    };
    runtime.iter().map(|(name, node)| (name.clone(), over(node))).collect()
}

/// Asks whether services may go.
fn agree(context: &Context, going: &[String]) -> Result<(), CommandError> {
    let what = going.join(", ");
    let question = format!("stop and forget {what}? [y/N] ");
    let refuse = |exit, message: String| {
        CommandError::new("not_agreed", exit, message).hint("say yes beforehand: --yes")
    };
    if !std::io::stdin().is_terminal() {
        let message = format!("{what} would be stopped and forgotten, since it is not listed");
        return Err(refuse(exit::USAGE, message));
    }
    let answer =
        context.ui.ask(&question).map_err(|error| CommandError::io("the terminal", &error))?;
    match answer.as_deref().map(str::trim) {
        Some("y" | "Y" | "yes") => Ok(()),
        Some(_) | None => Err(refuse(exit::FAILED, "nothing was changed".to_owned())),
    }
}
