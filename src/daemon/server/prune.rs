//! `POST /v1/prune` and `/v1/pin`: what is kept.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::sync::mpsc;

use super::body::{LINES, Out, Refusal, line, lines, read, whole};
use super::routes::{ask, refuse_query};
use super::{Peer, Shared};
use crate::daemon::protocol::{PinReply, PinRequest, PruneLine, PruneReply, PruneRequest};
use crate::daemon::prune;
use crate::daemon::views_loop::PruneCut;
use crate::model::{Command, Pruned, Pruning, Reply};
use crate::projections::Policy;
use crate::projections::query::{Document, Query, Scope};

/// `POST /v1/prune`.
pub(super) async fn prune(
    shared: Arc<Shared>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Out>, Refusal> {
    let asked: PruneRequest = read(request).await?;
    let (keep_days, keep_runs) = (asked.keep_days, asked.keep_runs);
    if keep_days.is_none() && keep_runs.is_none() {
        let message = "a prune needs to know what to keep".to_owned();
        return Err(Refusal::new(StatusCode::BAD_REQUEST, 2, "usage", message));
    }
    let policy = Policy { days: keep_days, runs: keep_runs };
    let cut = shared.questions.prune_cut(policy).await;
    let PruneCut { before, keep, under_way } = cut.map_err(|error| refuse_query(&error))?;
    let (sender, receiver) = mpsc::channel(LINES);
    if asked.dry_run {
        let pruned = survey(&shared, Pruning { request: 0, before, keep }).await?;
        tell(&sender, PruneLine::Done(PruneReply::of(pruned))).await;
        return Ok(lines(receiver));
    }
    if !under_way && prune::is_done(&shared.log, before) {
        let reply = PruneReply { kept_from: before, ..PruneReply::default() };
        tell(&sender, PruneLine::Done(reply)).await;
        return Ok(lines(receiver));
    }
    let command = Command::Prune { before, keep_days, keep_runs };
    let cause = peer.cause(asked.command_id);
    let Reply::Pruning { request } = ask(&shared, cause, command).await? else {
        return Err(Refusal::ending());
    };
    tokio::spawn(follow(shared, request, sender));
    Ok(lines(receiver))
}

async fn survey(shared: &Shared, pruning: Pruning) -> Result<Pruned, Refusal> {
    let Ok(_permit) = shared.scans.acquire().await else { return Err(Refusal::ending()) };
    let (place, log) = (shared.place.clone(), shared.log.clone());
    let (questions, over) = (shared.questions.clone(), std::sync::atomic::AtomicBool::new(false));
    let surveyed = tokio::task::spawn_blocking(move || {
        prune::survey(&place, &log, &pruning, |named, before| {
            questions.kept_before_now(named.clone(), before, &over)
        })
    });
    let surveyed = surveyed.await.map_err(|_| Refusal::ending())?;
    surveyed.map_err(|error| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, 1, "log", error.to_string())
    })
}

async fn tell(sender: &mpsc::Sender<Bytes>, said: PruneLine) {
    // Nobody listens any more, perhaps.
    let _gone = sender.send(line(&said)).await;
}

/// Says how far it is until it is over, or until the client is gone: the prune goes on.
async fn follow(shared: Arc<Shared>, request: u64, sender: mpsc::Sender<Bytes>) {
    let mut news = shared.news.clone();
    loop {
        let now = news.borrow_and_update().clone();
        if now.request == request {
            if let Some(pruned) = now.outcome {
                return tell(&sender, PruneLine::Done(PruneReply::of(pruned))).await;
            }
            let (done, total) = (now.done, now.total);
            tell(&sender, PruneLine::Progress { done, total }).await;
        } else if now.request > request {
            // Another one began since; this one is over.
            return;
        }
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
    }
}

/// `POST /v1/pin`.
pub(super) async fn pin(
    shared: &Shared,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Out>, Refusal> {
    let asked: PinRequest = read(request).await?;
    let query = Query::Resolve { selectors: vec![asked.selector], scope: Scope::One };
    let found = shared.questions.ask(query).await.map_err(|error| refuse_query(&error))?;
    let Document::Runs(mut found) = found else { return Err(Refusal::ending()) };
    let Some(view) = found.items.pop() else { return Err(Refusal::ending()) };
    let Ok(run) = view.run_id.parse() else { return Err(Refusal::ending()) };
    let cause = peer.cause(asked.command_id);
    let pinned = asked.pinned;
    ask(shared, cause, Command::Pin { run, pinned }).await?;
    Ok(whole(StatusCode::OK, &PinReply { run_id: run, name: view.name, pinned }))
}
