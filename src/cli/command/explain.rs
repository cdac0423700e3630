//! `jr explain`.

use super::Runnable;
use super::resume::refuse_elsewhere;
use super::up::{NO_SERVICES, declared, plan};
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::services::table;
use crate::daemon::declaration::{Key, sketch};
use crate::daemon::foresee::{Foreseen, foresee};
use crate::daemon::offline::OfflineError;
use crate::daemon::protocol::UpRequest;
use crate::log::Secrets;
use crate::model::service::plan::Verb;
use crate::model::{Phase, Run, State};
use crate::projections::query::{Query, Scope};
use crate::projections::services;
use crate::projections::view::{List, RunView, StepView};
use crate::runners::linux::clock;

/// Below the options.
const HELP: &str = "\
Examples:
  jr explain
  jr explain --json

Exit codes:
  0, also where nothing is declared; 2 a file cannot be used";

/// Say what jr up and jr resume would do, and why
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct ExplainArgs {}

/// What becomes of what was interrupted, where the configuration says so.
const BY_ITSELF: &str =
    "was interrupted, and goes on as soon as a daemon starts (resume_on_start): jr up, jr resume";

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    /// What `jr up` would do.
    items: Vec<StepView>,
    /// What was interrupted and `jr resume` would let go on.
    resume: Vec<RunView>,
    /// Whether that goes on by itself as soon as a daemon starts.
    resume_on_start: bool,
}

impl Runnable for ExplainArgs {
    const NAME: &'static str = "explain";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let request = match declared(context, Vec::new()) {
            Ok(mut request) => {
                request.with_dependencies = true;
                Some(request)
            }
            // Nothing to do is an answer too.
            Err(error) if error.code == NO_SERVICES => {
                let hint = error.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                context.ui.status(&format!("{}{hint}", error.message));
                None
            }
            Err(error) => return Err(error),
        };
        refuse_elsewhere(context)?;
        let mut resumes = false;
        let (items, resume) = match foresee(&context.place) {
            Ok(foreseen) => {
                resumes = foreseen.resumes;
                after_recovery(&foreseen, request.as_ref(), context)?
            }
            // It has recovered, or there is nothing to recover.
            Err(OfflineError::DaemonLives | OfflineError::NoState(_)) => {
                let resume: List<RunView> = context.read(&Query::Interrupted)?;
                let items = request.map(|request| plan(context, &request)).transpose()?;
                (items.unwrap_or_default(), resume.items)
            }
            Err(error) => {
                let error = CommandError::new("log", exit::FAILED, error.to_string());
                return Err(error.hint("jr log verify"));
            }
        };
        if context.ui.json {
            let (schema, resume_on_start) = ("jr.explain/1", resumes);
            context.ui.json(&Document { schema, items, resume, resume_on_start });
            return Ok(exit::OK);
        }
        if !items.is_empty() {
            let text = table::steps(&items, context.ui.medium());
            context.ui.data(&text);
        }
        for run in &resume {
            let name = format!("{} ({})", run.name, run.run_id);
            context.ui.line(&if resumes {
                format!("{name} {BY_ITSELF}")
            } else {
                format!("jr resume lets {name} go on: it was interrupted")
            });
        }
        Ok(exit::OK)
    }
}

/// What would be done once the next daemon has found what is left.
fn after_recovery(
    foreseen: &Foreseen,
    request: Option<&UpRequest>,
    context: &Context,
) -> Result<(Vec<StepView>, Vec<RunView>), CommandError> {
    let items =
        request.map(|request| steps_after(&foreseen.after, request, context)).transpose()?;
    let mut items = items.unwrap_or_default();
    let is_resumed = |run: &Run| foreseen.resumed().any(|resumed| resumed == run.id);
    let runs = foreseen.after.runs.values();
    let mut waiting: Vec<&Run> =
        runs.filter(|run| run.awaits_answer() || is_resumed(run)).collect();
    waiting.sort_unstable_by_key(|run| run.first_seq);
    let ids: Vec<String> = waiting.iter().map(|run| run.id.to_string()).collect();
    let kept = items.iter_mut().filter(|item| item.action == Verb::Keep.word() && foreseen.resumes);
    for item in kept.filter(|item| item.run_id.as_ref().is_some_and(|run| ids.contains(run))) {
        item.reason = format!("it {BY_ITSELF}");
    }
    if ids.is_empty() {
        return Ok((items, Vec::new()));
    }
    let mut runs = context.resolve(&ids, Scope::Any)?;
    for run in &mut runs {
        // As it will be when the daemon has looked.
        let then = run.run_id.parse().ok().and_then(|id| foreseen.after.runs.get(&id));
        then.map_or(Phase::Delayed.word(), Run::shown_state).clone_into(&mut run.state);
        run.pid = None;
    }
    Ok((items, runs))
}

fn steps_after(
    state: &State,
    request: &UpRequest,
    context: &Context,
) -> Result<Vec<StepView>, CommandError> {
    // Where there is no key yet, nothing was declared with it.
    let key = Secrets::new(&context.place.secrets()).key().ok().flatten();
    let key: Key = key.unwrap_or_default();
    let declared = request.services.iter();
    let declared = declared.map(|one| (one.service.clone(), sketch(one, &key).into())).collect();
    Ok(services::plan(state, &request.wish(declared), clock::now().wall)?.items)
}
