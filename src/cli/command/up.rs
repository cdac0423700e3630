//! `jr up`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, poll};

use super::Runnable;
use super::config::ask_for;
use crate::cli::context::{Context, asker, command_id, parse};
use crate::cli::declared::Declared;
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::services::settle::{self, Standing, settle, standing};
use crate::cli::services::{declare, table};
use crate::daemon::declaration::{Key, sketch};
use crate::daemon::protocol::{PlanReply, UpRequest};
use crate::log::Secrets;
use crate::model::{ServiceName, Signal};
use crate::projections::query::Query;
use crate::projections::view::{List, ServiceView, StepView};
use crate::runners::linux::signals::Blocked;

/// What ends a command that stays in the foreground.
const ENDING: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// Of those that are not ready, so many are named.
const SHOWN: usize = 4;
/// The error where nothing is declared.
pub const NO_SERVICES: &str = "no_services";
/// Below the options.
const HELP: &str = "\
Examples:
  jr up                     # all that are declared
  jr up web --wait          # web and what it depends on, until ready
  jr up --plan              # what would be done, and why
  jr up --config services.toml --runtime-config runtime.toml

Exit codes:
  0; with --wait 1 if one is not ready in the end, 124 the time is over;
  2 nothing is declared, or not so; 3 no such service";

/// Bring services up, with all that they depend on
///
/// Starts what is declared and not up, and starts anew what is declared otherwise than what runs.
/// What is up as it is declared stays as it is. What a reboot interrupted goes on. Where nothing is
/// declared and somebody sits at a terminal, it asks what is to be, as `jr config init` does.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct UpArgs {
    /// Services; all that are declared if none is named
    #[arg(value_name = "SVC")]
    services: Vec<ServiceName>,
    /// Only say what would be done
    #[arg(long)]
    plan: bool,
    /// Wait until all are ready
    #[arg(long)]
    wait: bool,
    /// With --wait, at most so long
    #[arg(long, value_name = "DURATION", value_parser = crate::model::notation::duration)]
    timeout: Option<u64>,
    /// Host names and ports on top of what is declared
    #[arg(long, value_name = "FILE")]
    runtime_config: Vec<PathBuf>,
    /// Stop and forget what is not declared any more
    #[arg(long)]
    prune: bool,
}

#[derive(serde::Serialize)]
struct Document<'a> {
    schema: &'static str,
    /// What was done.
    items: &'a [StepView],
    /// How all are in the end, with `--wait`.
    services: Option<&'a [ServiceView]>,
}

impl Runnable for UpArgs {
    const NAME: &'static str = "up";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.configuration.add(&self.runtime_config)?;
        let mut request = match declared(context, self.services.clone()) {
            Err(error) if error.code == NO_SERVICES && ask_for(context)? => {
                declared(context, self.services)?
            }
            found => found?,
        };
        request.with_dependencies = true;
        request.forget_others = self.prune;
        if self.plan {
            let items = plan(context, &request)?;
            print_plan(context, "jr.plan/1", &items);
            return Ok(exit::OK);
        }
        context.bring_up()?;
        let reply: PlanReply = context.post("/v1/up", &request)?;
        let stays = context.place.is_isolated();
        let signals = stays.then(|| Blocked::new(&ENDING)).transpose();
        let signals = signals.map_err(|error| CommandError::io("signals", &error))?;
        let wait = (self.wait || stays).then_some(self.timeout);
        let code = finish(context, "jr.up/1", &reply.items, wait)?;
        match signals {
            // Who asks for readiness wants to hear that there is none.
            Some(_) if self.wait && code != exit::OK => Ok(code),
            Some(signals) => stay(context, &signals).map(|()| exit::OK),
            None => Ok(code),
        }
    }
}

/// Stays in the foreground: all that an isolated environment has ends with this process.
fn stay(context: &mut Context, signals: &Blocked) -> Result<(), CommandError> {
    context.ui.flush()?;
    context.ui.status("up until Ctrl-C: the environment is isolated");
    let mut fds = [PollFd::new(signals, PollFlags::IN)];
    while signals.next().is_none() {
        // EINTR and its like: it looks again.
        let _again = poll(&mut fds, None);
    }
    Ok(())
}

/// What the configuration declares, and those that are named, or all.
///
/// # Errors
/// Nothing is declared, here or before.
pub fn declared(context: &Context, names: Vec<ServiceName>) -> Result<UpRequest, CommandError> {
    let mut request = declaration(context)?;
    request.even_completed = !names.is_empty();
    request.names = names;
    if request.names.is_empty() {
        request.names = request.services.iter().map(|one| one.service.clone()).collect();
    }
    if request.names.is_empty() {
        request.names = known(context, |_| true)?;
    }
    if request.names.is_empty() {
        let message = "no service is declared";
        let hint = "declare one: [services.web] in jr.toml, or: jr config init";
        return Err(CommandError::new(NO_SERVICES, exit::USAGE, message).hint(hint));
    }
    Ok(request)
}

/// What the configuration declares; nothing of it is to be up.
///
/// # Errors
/// Something in a file cannot be used.
pub fn declaration(context: &Context) -> Result<UpRequest, CommandError> {
    let declared = Declared::of(&context.configuration, &context.place)?;
    if declared.is_some() {
        let (_, problems) = context.configuration.resolve()?;
        let told = context.configuration.loaded().problems.iter().chain(&problems);
        for problem in told {
            context.ui.warn(&problem.line(&context.configuration.loaded().sources));
        }
    }
    let services = declared.as_ref().map(declare::services).transpose()?.unwrap_or_default();
    let config = declared.as_ref().and_then(Declared::config);
    Ok(UpRequest {
        command_id: command_id()?,
        services,
        surroundings: declare::surroundings(),
        config,
        asker: Some(asker()),
        ..UpRequest::default()
    })
}

/// Services of the environment that fit.
///
/// # Errors
/// There is no answer.
pub fn known(
    context: &Context,
    fits: impl Fn(&ServiceView) -> bool,
) -> Result<Vec<ServiceName>, CommandError> {
    let views = settle::look(context)?;
    let names: BTreeSet<&String> =
        views.iter().filter(|view| fits(view)).map(|view| &view.service).collect();
    names.into_iter().map(|name| Ok(name.parse()?)).collect()
}

/// What a request would come to.
///
/// # Errors
/// No such service.
pub fn plan(context: &Context, request: &UpRequest) -> Result<Vec<StepView>, CommandError> {
    // Where there is no key yet, nothing was declared with it.
    let key = Secrets::new(&context.place.secrets()).key().ok().flatten();
    let key: Key = key.unwrap_or_default();
    let declared = request.services.iter();
    let declared = declared.map(|one| (one.service.clone(), sketch(one, &key).into())).collect();
    let wish = Box::new(request.wish(declared));
    parse::<List<StepView>>(&context.read_bytes(&Query::Plan(wish))?).map(|list| list.items)
}

/// Shows what would be done.
pub fn print_plan(context: &mut Context, schema: &'static str, items: &[StepView]) {
    if context.ui.json {
        context.ui.json(&Document { schema, items, services: None });
    } else {
        let text = table::steps(items, context.ui.medium());
        context.ui.data(&text);
    }
}

/// Tells what was done, waits where that is wished, and tells what came of it.
///
/// # Errors
/// There is no answer.
pub fn finish(
    context: &mut Context,
    schema: &'static str,
    items: &[StepView],
    wait: Option<Option<u64>>,
) -> Result<u8, CommandError> {
    for item in items.iter().filter(|_| !context.ui.json) {
        let name = table::name_of_step(item, items);
        context.ui.status(&format!("{} {name}: {}", item.action, item.reason));
    }
    let up =
        items.iter().filter(|item| matches!(item.action.as_str(), "start" | "restart" | "keep"));
    let names: BTreeSet<String> = up.map(|item| item.service.clone()).collect();
    let Some(timeout) = wait else {
        if context.ui.json {
            context.ui.json(&Document { schema, items, services: None });
        }
        return Ok(exit::OK);
    };
    let shows = context.ui.shows_progress();
    let (views, is_late) = settle(context, &names, timeout, |views| {
        if shows {
            context.ui.progress(&progress(views));
        }
    })?;
    context.ui.end_progress();
    let bad: Vec<&ServiceView> =
        views.iter().filter(|view| standing(view) != Standing::Settled).collect();
    for view in bad.iter().filter(|_| !context.ui.json) {
        context.ui.warn(&format!("{} {}", table::name_of(view, &views), view.plight()));
    }
    let is_good = bad.is_empty();
    if context.ui.json {
        context.ui.json(&Document { schema, items, services: Some(&views) });
    } else if is_good {
        let text = table::services(&views, context.ui.medium());
        context.ui.data(&text);
    }
    Ok(match (is_good, is_late) {
        (true, _) => exit::OK,
        (false, true) => exit::TIMED_OUT,
        (false, false) => exit::FAILED,
    })
}

/// One line: how many are ready, and who is not.
fn progress(views: &[ServiceView]) -> String {
    let settled = views.iter().filter(|view| standing(view) == Standing::Settled).count();
    let open = views.iter().filter(|view| standing(view) != Standing::Settled);
    let open: Vec<String> =
        open.map(|view| format!("{} ({})", table::name_of(view, views), view.state)).collect();
    let more = if open.len() > SHOWN { ", …" } else { "" };
    let open = open.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    format!("{settled}/{} ready  {open}{more}", views.len())
}
