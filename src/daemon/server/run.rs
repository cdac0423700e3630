//! `POST /v1/run` and `/v1/batch`: admission, then lines until the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::sync::mpsc;

use super::body::{LINES, Out, Refusal, line, lines, read};
use super::routes::{ask, refuse_query, resolve};
use super::{Peer, Shared};
use crate::config::document::Document;
use crate::daemon::configuring::ToConfiguring;
use crate::daemon::message::ToEngine;
use crate::daemon::protocol::{After, BatchRequest, RunLine, RunRequest};
use crate::model::event::Cause;
use crate::model::{Command, Dependency, Digest, Reply, Resolution, RunId};
use crate::projections::query::{Document as Answer, Query, QueryError, Scope};

/// Attempts that a client may be told of and has not taken yet.
const ATTEMPTS: usize = 64;
/// Between two progress lines of a batch.
const PROGRESS: Duration = Duration::from_millis(200);

/// `POST /v1/run`.
pub(super) async fn run(
    shared: Arc<Shared>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Out>, Refusal> {
    let mut asked: RunRequest = read(request).await?;
    let (attached, waits) = (asked.attached, asked.wait);
    let cause = peer.cause(asked.command_id);
    let after = dependencies(&shared, std::mem::take(&mut asked.after)).await?;
    let held = shared.admission.hold();
    configure(&shared, cause, asked.common.config.as_ref()).await?;
    let (run, command) = shared.admission.run(asked, after).await?;
    let (attach, attaching) = mpsc::channel(ATTEMPTS);
    if attached {
        // It must lie there before the start can go out.
        shared.engine.post(ToEngine::AwaitAttach { run, lines: attach });
    } else {
        drop(attach);
    }
    let first = admitted(&ask(&shared, cause, command).await?, 0)?;
    drop(held);
    let (sender, receiver) = mpsc::channel(LINES);
    tokio::spawn(tell(shared, first, waits, attaching, sender));
    Ok(lines(receiver))
}

/// `POST /v1/batch`.
pub(super) async fn batch(
    shared: Arc<Shared>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Out>, Refusal> {
    let asked: BatchRequest = read(request).await?;
    let waits = asked.wait;
    let cause = peer.cause(asked.command_id);
    let held = shared.admission.hold();
    configure(&shared, cause, asked.common.config.as_ref()).await?;
    let command = shared.admission.batch(asked, &shared.questions).await?;
    let count = match &command {
        Command::Batch { lines, .. } => u32::try_from(lines.len()).unwrap_or(u32::MAX),
        _ => 0,
    };
    let first = admitted(&ask(&shared, cause, command).await?, count)?;
    drop(held);
    let (sender, receiver) = mpsc::channel(LINES);
    let (_, attaching) = mpsc::channel(1);
    tokio::spawn(tell(shared, first, waits, attaching, sender));
    Ok(lines(receiver))
}

/// Puts the client's configuration in force, if another one is.
pub(super) async fn configure(
    shared: &Shared,
    cause: Cause,
    text: Option<&String>,
) -> Result<(), Refusal> {
    let digest = text.map(|text| Digest(*blake3::hash(text.as_bytes()).as_bytes()));
    if shared.in_force.is(digest) {
        return Ok(());
    }
    let resolution = match text {
        Some(text) => shared.admission.configuration(text.clone()).await?,
        None => Resolution::default(),
    };
    ask(shared, cause, Command::Configure { resolution: Arc::new(resolution) }).await?;
    shared.in_force.told(digest);
    if let Some(Ok(document)) = text.map(|text| Document::parse(text)) {
        shared.configuring.post(ToConfiguring::Follow(Box::new(document)));
    } else {
        shared.in_force.take(None);
    }
    Ok(())
}

/// What the selectors of `--after` mean now.
async fn dependencies(shared: &Shared, wishes: Vec<After>) -> Result<Vec<Dependency>, Refusal> {
    let mut dependencies = Vec::new();
    for After { selector, condition } in wishes {
        let living = resolve(shared, vec![selector.clone()]).await;
        let runs = match living {
            Ok(runs) => runs,
            // What has ended can be meant as well, if it is one.
            Err(_) => vec![resolve_one(shared, &selector).await?],
        };
        dependencies.extend(runs.into_iter().map(|run| Dependency { run, condition }));
    }
    Ok(dependencies)
}

/// The one run that the selector of an `--after` means.
async fn resolve_one(shared: &Shared, selector: &str) -> Result<RunId, Refusal> {
    let query = Query::Resolve { selectors: vec![selector.to_owned()], scope: Scope::One };
    let found = match shared.questions.ask(query).await {
        Ok(Answer::Runs(runs)) => runs.items.into_iter().next(),
        Ok(_) => None,
        Err(error) => {
            let refusal = refuse_query(&error);
            let is_absent =
                matches!(error, QueryError::NoSuchRun { .. } | QueryError::MaybePruned { .. });
            // `--after build:failed`: no run is called so.
            return Err(match selector.rsplit_once(':') {
                Some((run, word)) if is_absent => refusal.hint(&format!(
                    "if {word:?} is to be a condition: there are {run}:ok and {run}:any"
                )),
                _ => refusal,
            });
        }
    };
    found.and_then(|run| run.run_id.parse().ok()).ok_or_else(Refusal::ending)
}

fn admitted(reply: &Reply, lines: u32) -> Result<RunLine, Refusal> {
    match reply {
        Reply::Admitted { run, existing } => {
            Ok(RunLine::Admitted { run_id: *run, existing: *existing, lines })
        }
        _ => Err(Refusal::ending()),
    }
}

/// Says all that is to be said of a run until it has ended, or until the client is gone.
async fn tell(
    shared: Arc<Shared>,
    first: RunLine,
    waits: bool,
    mut attaching: mpsc::Receiver<RunLine>,
    sender: mpsc::Sender<Bytes>,
) {
    let RunLine::Admitted { run_id, existing, lines } = first else { return };
    if sender.send(line(&first)).await.is_err() || !waits {
        return;
    }
    let mut ended = std::pin::pin!(shared.questions.ended(vec![run_id], false));
    let mut may_attach = !existing;
    let mut tick = tokio::time::interval(PROGRESS);
    loop {
        let next = tokio::select! {
            biased;
            attach = attaching.recv(), if may_attach => {
                // It comes again with each further attempt.
                may_attach = attach.is_some();
                attach
            }
            ended = &mut ended => {
                if let Ok(mut runs) = ended
                    && let Some(run) = runs.pop()
                {
                    let last = RunLine::Ended(Box::new(run));
                    // Nobody listens any more, perhaps.
                    let _gone = sender.send(line(&last)).await;
                }
                return;
            }
            _ = tick.tick(), if lines > 0 => progress(&shared, run_id).await,
            () = sender.closed() => return,
        };
        if let Some(next) = next
            && sender.send(line(&next)).await.is_err()
        {
            return;
        }
    }
}

async fn progress(shared: &Shared, run: RunId) -> Option<RunLine> {
    let selectors = vec![run.to_string()];
    let scope = Scope::One;
    match shared.questions.ask(Query::Resolve { selectors, scope }).await {
        Ok(Answer::Runs(mut runs)) => runs.items.pop().map(Box::new).map(RunLine::Progress),
        _ => None,
    }
}
