//! `POST /v1/rerun`: runs and batches once more.

use hyper::Request;
use hyper::StatusCode;
use hyper::body::Incoming;

use super::body::{Refusal, read, whole};
use super::routes::{Answered, ask, refuse_query};
use super::{Peer, Shared};
use crate::daemon::protocol::{RerunItem, RerunReply, RerunRequest};
use crate::daemon::rerun::{self, RerunError, Variables};
use crate::log::{Blobs, codec};
use crate::model::event::Outcome;
use crate::model::{CommandId, Kind, Reply, Run, RunId};
use crate::projections::query::{Document, Query, Scope};
use crate::projections::view::RunView;

pub(super) async fn rerun(shared: &Shared, peer: Peer, request: Request<Incoming>) -> Answered {
    let asked: RerunRequest = read(request).await?;
    let selected = selected(shared, &asked).await?;
    let mut items = Vec::with_capacity(selected.len());
    for (place, run) in selected.into_iter().enumerate() {
        let command_id = derived(asked.command_id, place);
        if let Some(again) = once_more(shared, peer, &run, &asked, command_id).await? {
            items.push(RerunItem { parent: run.id, run_id: again });
        }
    }
    if items.is_empty() {
        let message = "nothing of what is named has failed".to_owned();
        let refusal = Refusal::new(StatusCode::CONFLICT, 4, "nothing_to_do", message);
        return Err(refusal.hint("without --failed it is done again whatever it came to"));
    }
    Ok(whole(StatusCode::OK, &RerunReply { items }))
}

/// What is to be done again: each selector means one run, or with `--failed` all that failed.
async fn selected(shared: &Shared, asked: &RerunRequest) -> Result<Vec<Run>, Refusal> {
    let scope = if asked.failed { Scope::Any } else { Scope::One };
    let mut ids: Vec<RunId> = Vec::new();
    for selector in &asked.selectors {
        let query = Query::Resolve { selectors: vec![selector.clone()], scope };
        let document = shared.questions.ask(query).await.map_err(|error| refuse_query(&error))?;
        let Document::Runs(found) = document else { return Err(Refusal::ending()) };
        let wanted = found.items.iter().filter(|run| !asked.failed || has_failed(run));
        for id in wanted.filter_map(|run| run.run_id.parse().ok()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    // In the order in which they were done.
    ids.reverse();
    let runs = shared.questions.runs(ids).await;
    let mut runs = runs.map_err(|error| refuse_query(&error))?;
    // A batch stands for its lines.
    let batches: Vec<RunId> =
        runs.iter().filter(|run| run.spec.kind == Kind::Batch).map(|run| run.id).collect();
    let alone = |run: &Run| run.spec.parent.is_none_or(|parent| !batches.contains(&parent));
    runs.retain(alone);
    if !asked.failed {
        return Ok(runs);
    }
    // What was done again counts as it came out the last time.
    let newest = shared.questions.newest_generations(runs).await;
    let mut newest = newest.map_err(|error| refuse_query(&error))?;
    newest
        .retain(|run| run.spec.kind == Kind::Batch || run.outcome.is_some_and(Outcome::is_failure));
    Ok(newest)
}

/// As [`Outcome::is_failure`], before what is not wanted is fetched.
fn has_failed(run: &RunView) -> bool {
    run.outcome.as_deref().is_some_and(|outcome| !matches!(outcome, "succeeded" | "cancelled"))
}

async fn once_more(
    shared: &Shared,
    peer: Peer,
    run: &Run,
    asked: &RerunRequest,
    command_id: CommandId,
) -> Result<Option<RunId>, Refusal> {
    let cause = peer.cause(command_id);
    let command = if run.spec.kind == Kind::Batch {
        let lines = shared.questions.batch_lines(run.id).await;
        let lines = lines.map_err(|error| refuse_query(&error))?.unwrap_or_default();
        let wanted = lines
            .into_iter()
            .filter(|line| !asked.failed || line.outcome.is_some_and(Outcome::is_failure));
        let lines: Vec<_> = wanted.map(|line| line.line).collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let captured = captured(shared, run)?;
        let request = rerun::batch(&run.spec, captured, lines, asked, command_id);
        let request = request.map_err(|error| refuse(&error))?;
        shared.admission.batch_again(request, run.id).await?
    } else {
        let request = rerun::run(&run.spec, captured(shared, run)?, asked, command_id);
        let request = request.map_err(|error| refuse(&error))?;
        shared.admission.run_again(request, run.id).await?
    };
    match ask(shared, cause, command).await? {
        Reply::Admitted { run, .. } => Ok(Some(run)),
        _ => Err(Refusal::ending()),
    }
}

/// The variables that it had, masked.
fn captured(shared: &Shared, run: &Run) -> Result<Variables, Refusal> {
    let Some(digest) = run.spec.variables else { return Ok(Vec::new()) };
    let bytes = Blobs::new(&shared.place.blobs()).get(digest).ok();
    let decoded = bytes.and_then(|bytes| codec::decode(&bytes).ok());
    decoded.ok_or_else(|| {
        let message = format!("the variables of {:?} cannot be read", run.spec.name);
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, 1, "blob", message)
            .hint("give the command anew: jr repro RUN")
    })
}

fn refuse(error: &RerunError) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, 2, "secrets_gone", error.to_string()).hint(error.hint())
}

/// An id for each run of one command: sent again, each acts once.
fn derived(command: CommandId, place: usize) -> CommandId {
    let bits = u128::from_be_bytes(command.to_bytes());
    CommandId::from_chance(bits.wrapping_add(place as u128))
}
