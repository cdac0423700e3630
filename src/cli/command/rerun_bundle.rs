//! `jr rerun --bundle`: a recorded command, done on this machine.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::cli::bundled::{Bundled, Description};
use crate::cli::context::{Context, command_id};
use crate::cli::error::CommandError;
use crate::cli::report::facts::Host;
use crate::cli::{exit, text};
use crate::daemon::protocol::{
    BatchRequest, Common, RerunItem, RerunReply, RerunRequest, RunLine, RunRequest,
};
use crate::daemon::rerun::{self, RerunError};
use crate::model::event::Outcome;
use crate::model::secret::is_marked;
use crate::model::{ByteString, Kind, RunId};

/// Admits each run that is asked for; what differs from where it was recorded is told.
///
/// # Errors
/// The bundle cannot be believed, has no such run, or a secret is missing.
pub fn from_bundle(
    path: &Path,
    asked: &RerunRequest,
    context: &Context,
) -> Result<RerunReply, CommandError> {
    let bundled = Bundled::open(path)?;
    tell_machine(&bundled, context);
    let mut items = Vec::new();
    for selector in &asked.selectors {
        let description = bundled.description(selector)?;
        let parent = description.run.id;
        if let Some(run_id) = admit(description, asked, context)? {
            items.push(RerunItem { parent, run_id });
        }
    }
    if items.is_empty() {
        let message = "nothing of what is named has failed";
        let error = CommandError::new("nothing_to_do", exit::NOTHING_TO_DO, message);
        return Err(error.hint("without --failed it is done again whatever it came to"));
    }
    Ok(RerunReply { items })
}

fn admit(
    description: Description,
    asked: &RerunRequest,
    context: &Context,
) -> Result<Option<RunId>, CommandError> {
    let Description { run, variables, lines } = description;
    let spec = &run.spec;
    let variables = without_absent(variables, asked, context);
    let refused = |error: RerunError| {
        CommandError::new("secrets_gone", exit::USAGE, error.to_string()).hint(error.hint())
    };
    if spec.kind == Kind::Batch {
        let wanted = lines
            .into_iter()
            .filter(|line| !asked.failed || line.outcome.is_some_and(Outcome::is_failure));
        let lines: Vec<ByteString> = wanted.map(|line| line.line).collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let mut request: BatchRequest =
            rerun::batch(spec, variables, lines, asked, command_id()?).map_err(refused)?;
        put_in_directory(&mut request.common, context)?;
        return first_line(context, "/v1/batch", &request).map(Some);
    }
    if asked.failed && !run.outcome.is_some_and(Outcome::is_failure) {
        return Ok(None);
    }
    let mut request: RunRequest =
        rerun::run(spec, variables, asked, command_id()?).map_err(refused)?;
    put_in_directory(&mut request.common, context)?;
    first_line(context, "/v1/run", &request).map(Some)
}

/// The id, which comes when the run is durable.
fn first_line(
    context: &Context,
    route: &str,
    request: &impl serde::Serialize,
) -> Result<RunId, CommandError> {
    let reply: RunLine = context.post(route, request)?;
    match reply {
        RunLine::Admitted { run_id, .. } => Ok(run_id),
        _ => Err(CommandError::new("protocol", exit::UNAVAILABLE, "the daemon admitted nothing")),
    }
}

/// Where it runs here, and what is checked out there.
fn put_in_directory(common: &mut Common, context: &Context) -> Result<(), CommandError> {
    common.cwd = directory(std::mem::take(&mut common.cwd), context)?;
    common.commit = context.configuration.commit_at(&common.cwd);
    Ok(())
}

/// The same directory, or this one.
fn directory(recorded: ByteString, context: &Context) -> Result<ByteString, CommandError> {
    if Path::new(std::ffi::OsStr::from_bytes(recorded.as_bytes())).is_dir() {
        return Ok(recorded);
    }
    let here = std::env::current_dir();
    let here = here.map_err(|error| CommandError::io("the working directory", &error))?;
    let (recorded, shown) = (recorded.to_text(), here.display().to_string());
    let (recorded, shown) = (text::line(&recorded), text::line(&shown));
    context.ui.status(&format!("its directory {recorded} is not here: it runs in {shown}"));
    Ok(here.into_os_string().into())
}

/// What may make a difference that no command shows.
fn tell_machine(bundled: &Bundled, context: &Context) {
    let fact = bundled.bundle.fact(Host::FILE).ok().flatten();
    let there = fact.and_then(|bytes| serde_json::from_slice::<Host>(&bytes).ok());
    let here = Host::here().system;
    if let Some(there) = there.filter(|there| there.system != here) {
        let there = text::line(&there.system).into_owned();
        context.ui.status(&format!("recorded on {there}; this is {}", text::line(&here)));
    }
}

/// Of another machine's whole environment much is nowhere else: what is neither here nor given
/// with `--set` is left out and told.
fn without_absent(
    variables: Vec<(ByteString, ByteString)>,
    asked: &RerunRequest,
    context: &Context,
) -> Vec<(ByteString, ByteString)> {
    let has = |list: &[(ByteString, ByteString)], name: &ByteString| {
        list.iter().any(|(other, _)| other == name)
    };
    let (mut taken, mut absent, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for (name, value) in variables {
        if is_marked(&value) && !has(&asked.set, &name) {
            if !has(&asked.variables, &name) {
                absent.push(name.to_text());
                continue;
            }
            taken.push(name.to_text());
        }
        kept.push((name, value));
    }
    if !taken.is_empty() {
        let names = taken.join(", ");
        context.ui.status(&format!("taken from this environment: {}", text::line(&names)));
    }
    if !absent.is_empty() {
        let names = absent.join(", ");
        let names = text::line(&names);
        context.ui.status(&format!("secrets that are not here, so it runs without: {names}"));
        context.ui.status("give one with --set NAME=VALUE, or in the environment of this command");
    }
    kept
}
