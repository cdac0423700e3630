//! Which request goes where.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::oneshot;

use super::body::{Out, Refusal, read, whole};
use super::{EndWish, Peer, Shared, follow, log, prune, rerun, run, services, steer};
use crate::daemon::message::ToEngine;
use crate::daemon::protocol::{DaemonStopRequest, PROTOCOL, VersionReply, WaitRequest};
use crate::model::event::Cause;
use crate::model::{Command, Rejection, Reply, RunId};
use crate::projections::query::{Document, Query, QueryError, Question, Scope};
use crate::projections::view::List;

pub(super) type Answered = Result<Response<Out>, Refusal>;

/// Answers one request.
pub(super) async fn answer(
    shared: Arc<Shared>,
    peer: Peer,
    request: Request<Incoming>,
) -> Result<Response<Out>, Infallible> {
    let route = (request.method().clone(), request.uri().path().to_owned());
    let answered = match (&route.0, route.1.as_str()) {
        (&Method::GET, "/v1/version") => Ok(version(&shared)),
        (&Method::POST, "/v1/run") => run::run(shared, peer, request).await,
        (&Method::POST, "/v1/batch") => run::batch(shared, peer, request).await,
        (&Method::POST, "/v1/rerun") => rerun::rerun(&shared, peer, request).await,
        (&Method::POST, "/v1/stop") => steer::stop(&shared, peer, request).await,
        (&Method::POST, "/v1/signal") => steer::signal(&shared, peer, request).await,
        (&Method::POST, "/v1/pause") => steer::pause(&shared, peer, request).await,
        (&Method::POST, "/v1/resume") => steer::resume(&shared, peer, request).await,
        (&Method::POST, "/v1/up") => services::up(&shared, peer, request).await,
        (&Method::POST, "/v1/down") => services::down(&shared, peer, request).await,
        (&Method::POST, "/v1/queue") => steer::queue(&shared, peer, request).await,
        (&Method::POST, "/v1/prune") => prune::prune(shared, peer, request).await,
        (&Method::POST, "/v1/pin") => prune::pin(&shared, peer, request).await,
        (&Method::POST, "/v1/read") => read_views(&shared, request).await,
        (&Method::POST, "/v1/wait") => wait(&shared, request).await,
        (&Method::POST, "/v1/events") => follow::events(shared, request).await,
        (&Method::POST, "/v1/log/verify") => log::verify(&shared).await,
        (&Method::POST, "/v1/log/stat") => log::figures(&shared).await,
        (&Method::POST, "/v1/log/part") => log::part(&shared, request).await,
        (&Method::POST, "/v1/log/rebuild") => log::rebuild(&shared).await,
        (&Method::POST, "/v1/daemon/stop") => daemon_stop(&shared, request).await,
        (method, path) => {
            let message = format!("there is no {method} {path} in protocol {PROTOCOL}");
            Err(Refusal::new(StatusCode::NOT_FOUND, 69, "no_such_route", message))
        }
    };
    Ok(answered.unwrap_or_else(Refusal::into_response))
}

fn version(shared: &Shared) -> Response<Out> {
    let reply = VersionReply {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        pid: std::process::id(),
        environment: shared.place.id.to_string(),
        seq: *shared.applied.borrow(),
        live: *shared.live.borrow(),
        uptime_ms: shared.uptime_ms(),
    };
    whole(StatusCode::OK, &reply)
}

/// Sends a command to the engine and waits until its answer is durable. Facts that grew old
/// while it waited are looked up again.
pub(in crate::daemon) async fn ask(
    shared: &Shared,
    cause: Cause,
    mut command: Command,
) -> Result<Reply, Refusal> {
    let Ok(_permit) = shared.asks.acquire().await else { return Err(Refusal::ending()) };
    loop {
        let facts_seq = shared.look_up(&mut command).await?;
        let request = crate::model::Request { cause, facts_seq, command: command.clone() };
        let (reply, answer) = oneshot::channel();
        shared.engine.post(ToEngine::Ask { request: Box::new(request), reply });
        match answer.await {
            Ok(Reply::Rejected(Rejection::StaleFacts { .. })) => {}
            Ok(Reply::Rejected(rejection)) => return Err(refuse(&rejection)),
            Ok(reply) => return Ok(reply),
            Err(_) => return Err(Refusal::ending()),
        }
    }
}

fn refuse(rejection: &Rejection) -> Refusal {
    let (status, exit_code, code) = match rejection {
        Rejection::KeyConflict { .. } => (StatusCode::CONFLICT, 2, "key_conflict"),
        Rejection::TooManyRuns { .. } => (StatusCode::TOO_MANY_REQUESTS, 75, "too_many_runs"),
        Rejection::NoSuchQueue(_) => (StatusCode::NOT_FOUND, 3, "no_such_queue"),
        Rejection::NoSuchService(_) => (StatusCode::NOT_FOUND, 3, "no_such_service"),
        Rejection::NoSlots => (StatusCode::BAD_REQUEST, 2, "no_slots"),
        Rejection::EmptyBatch => (StatusCode::BAD_REQUEST, 4, "empty_batch"),
        Rejection::PruneUnderWay => (StatusCode::SERVICE_UNAVAILABLE, 75, "prune_under_way"),
        Rejection::TooManyPins { .. } => (StatusCode::BAD_REQUEST, 1, "too_many_pins"),
        Rejection::StaleFacts { .. } | Rejection::IdTaken(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, 75, "busy")
        }
    };
    let refusal = Refusal::new(status, exit_code, code, rejection.to_string());
    match rejection {
        Rejection::TooManyRuns { .. } => refusal.hint("wait for some to end: jr ps"),
        Rejection::KeyConflict { .. } => refusal.hint("take another --key"),
        Rejection::NoSuchQueue(_) => refusal.hint("see what there is: jr queue list"),
        Rejection::NoSuchService(_) => refusal.hint("see what there is: jr status"),
        Rejection::PruneUnderWay => refusal.hint("try again in a moment"),
        Rejection::TooManyPins { .. } => refusal.hint("let some go: jr unpin RUN"),
        _ => refusal,
    }
}

/// The answer to a question that the views refuse.
pub(in crate::daemon) fn refuse_query(error: &QueryError) -> Refusal {
    let (status, exit_code, code) = match error {
        QueryError::Ending => return Refusal::ending(),
        QueryError::NoSuchRun { .. } | QueryError::MaybePruned { .. } => {
            (StatusCode::NOT_FOUND, 3, "no_such_run")
        }
        QueryError::NoneLives { .. } => (StatusCode::NOT_FOUND, 3, "none_lives"),
        QueryError::NoSuchService { .. } => (StatusCode::NOT_FOUND, 3, "no_such_service"),
        QueryError::Ambiguous { .. } => (StatusCode::CONFLICT, 2, "ambiguous"),
        QueryError::BadKind { .. } => (StatusCode::BAD_REQUEST, 2, "bad_kind"),
        QueryError::BadSelector { .. } => (StatusCode::BAD_REQUEST, 2, "bad_selector"),
        QueryError::Pruned { .. } => (StatusCode::GONE, 2, "pruned"),
        QueryError::Beyond { .. } => (StatusCode::BAD_REQUEST, 2, "beyond"),
        QueryError::Backwards { .. } => (StatusCode::BAD_REQUEST, 2, "usage"),
        QueryError::Log { .. } | QueryError::Damaged { .. } => {
            (StatusCode::INTERNAL_SERVER_ERROR, 1, "log")
        }
    };
    Refusal::new(status, exit_code, code, error.to_string()).hint(&error.hint())
}

/// What the selectors mean, each run once.
pub(super) async fn resolve(
    shared: &Shared,
    selectors: Vec<String>,
) -> Result<Vec<RunId>, Refusal> {
    let query = Query::Resolve { selectors, scope: Scope::Live };
    let document = shared.questions.ask(query).await.map_err(|error| refuse_query(&error))?;
    let Document::Runs(List { items, .. }) = document else { return Ok(Vec::new()) };
    let mut runs: Vec<RunId> = Vec::with_capacity(items.len());
    for id in items.iter().filter_map(|run| run.run_id.parse().ok()) {
        if !runs.contains(&id) {
            runs.push(id);
        }
    }
    Ok(runs)
}

async fn read_views(shared: &Shared, request: Request<Incoming>) -> Answered {
    let question: Question = read(request).await?;
    let document = shared.questions.ask(question).await.map_err(|error| refuse_query(&error))?;
    Ok(whole(StatusCode::OK, &document))
}

async fn wait(shared: &Shared, request: Request<Incoming>) -> Answered {
    let asked: WaitRequest = read(request).await?;
    let runs = resolve(shared, asked.selectors).await?;
    let ended = shared.questions.ended(runs, asked.any);
    let waited = match asked.timeout_ms {
        Some(limit) => tokio::time::timeout(Duration::from_millis(limit), ended).await,
        None => Ok(ended.await),
    };
    match waited {
        Ok(Ok(items)) => Ok(whole(StatusCode::OK, &List { schema: "jr.wait/1".to_owned(), items })),
        Ok(Err(error)) => Err(refuse_query(&error)),
        Err(_) => {
            let message = "the time is over and not all have ended".to_owned();
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, 124, "timeout", message))
        }
    }
}

async fn daemon_stop(shared: &Shared, request: Request<Incoming>) -> Answered {
    let asked: DaemonStopRequest = read(request).await?;
    let wish = if asked.upgrade { EndWish::Upgraded } else { EndWish::Asked };
    shared.end.send_replace(Some(wish));
    Ok(whole(StatusCode::OK, &serde_json::json!({})))
}

impl Shared {
    /// Fills in what the command needs to know of older runs; the seq at which it was read.
    async fn look_up(&self, command: &mut Command) -> Result<u64, Refusal> {
        let named = self.look_up_named(command).await?;
        let Command::Run { spec, key_holder, ended, .. } = command else {
            return Ok(named);
        };
        let key = spec.key.clone();
        let runs: Vec<RunId> = spec.after.iter().map(|after| after.run).collect();
        if key.is_none() && runs.is_empty() {
            return Ok(named);
        }
        let facts = self.questions.facts(key, runs).await;
        let facts = facts.map_err(|error| refuse_query(&error))?;
        (*key_holder, *ended) = (facts.key_holder, facts.ended);
        Ok(facts.seq.min(named))
    }

    /// The older runs that a command names are there yet; the seq at which they were.
    async fn look_up_named(&self, command: &Command) -> Result<u64, Refusal> {
        let named: Vec<RunId> = match command {
            Command::Run { spec, .. } | Command::Batch { spec, .. } => spec.names().collect(),
            Command::Pin { run, .. } => vec![*run],
            Command::Stop { .. }
            | Command::Signal { .. }
            | Command::Pause { .. }
            | Command::Resume { .. }
            | Command::ResumeInterrupted { .. }
            | Command::PauseQueue { .. }
            | Command::Prune { .. }
            | Command::Configure { .. }
            | Command::Up { .. }
            | Command::Down { .. }
            | Command::SetQueue { .. } => Vec::new(),
        };
        let seq = *self.applied.borrow();
        for run in &named {
            let query = Query::Resolve { selectors: vec![run.to_string()], scope: Scope::One };
            self.questions.ask(query).await.map_err(|error| refuse_query(&error))?;
        }
        Ok(if named.is_empty() { u64::MAX } else { seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::client::ClientError;

    #[test]
    fn who_asks_views_that_are_ending_asks_the_next_daemon() {
        let refusal = refuse_query(&QueryError::Ending);
        assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(ClientError::Refused(refusal.detail).is_gone());
        let damaged = QueryError::Damaged { message: "a row".to_owned() };
        assert!(!ClientError::Refused(refuse_query(&damaged).detail).is_gone());
    }
}
