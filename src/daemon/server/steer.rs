//! What people do to runs and queues that are there: stop, signal, pause, resume.

use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};

use super::body::{Refusal, read, whole};
use super::routes::{Answered, ask, refuse_query, resolve};
use super::{Peer, Shared};
use crate::daemon::protocol::{
    HoldReply, HoldRequest, QueueRequest, SignalReply, SignalRequest, StopReply, StopRequest,
};
use crate::limits;
use crate::model::action::{PauseAnswer, ResumeAnswer, SignalAnswer, StopAnswer};
use crate::model::event::{Asker, Cause, StopReason};
use crate::model::{Command, CommandId, Phase, Reply, RunId};
use crate::projections::query::{Document, Query, Scope};
use crate::projections::view::RunView;

/// `POST /v1/stop`.
pub(super) async fn stop(shared: &Shared, peer: Peer, request: Request<Incoming>) -> Answered {
    let asked: StopRequest = read(request).await?;
    let runs = resolve(shared, asked.selectors).await?;
    let reason = if asked.interrupted { StopReason::Interrupted } else { StopReason::Asked };
    let asker = Some(peer.asker(asked.asker));
    let command = Command::Stop { runs, reason, grace_ms: asked.grace_ms, asker };
    let cause = peer.cause(asked.command_id);
    let Reply::Stopping(answers) = ask(shared, cause, command).await? else {
        return Err(Refusal::ending());
    };
    let word = |answer| match answer {
        StopAnswer::Cancelled => "cancelled".to_owned(),
        StopAnswer::Stopping => "stopping".to_owned(),
        StopAnswer::AlreadyEnded => "already_ended".to_owned(),
    };
    let runs = answers.into_iter().map(|(run, answer)| (run, word(answer))).collect();
    Ok(whole(StatusCode::OK, &StopReply { runs }))
}

/// Stops all that lives, and waits until nothing does.
pub(in crate::daemon) async fn stop_all(shared: &Shared) {
    let uid = rustix::process::geteuid().as_raw();
    loop {
        let runs = resolve(shared, vec!["all".to_owned()]).await.unwrap_or_default();
        if runs.is_empty() {
            return;
        }
        let mut command_id = [0_u8; 16];
        let flags = rustix::rand::GetRandomFlags::empty();
        // Nobody repeats it, so that it need not be unique.
        let _unfilled = rustix::rand::getrandom(&mut command_id, flags);
        let cause = Cause { command: CommandId::from_bytes(command_id), uid };
        let asker = Some(Asker { pid: std::process::id(), command: "jr daemon".to_owned() });
        let (reason, grace_ms) = (StopReason::Asked, None);
        let command = Command::Stop { runs: runs.clone(), reason, grace_ms, asker };
        let asked = ask(shared, cause, command).await.is_ok();
        if !asked || shared.questions.ended(runs, false).await.is_err() {
            return;
        }
    }
}

/// `POST /v1/signal`.
pub(super) async fn signal(shared: &Shared, peer: Peer, request: Request<Incoming>) -> Answered {
    let asked: SignalRequest = read(request).await?;
    let runs = resolve(shared, asked.selectors).await?;
    let asker = Some(peer.asker(asked.asker));
    let command = Command::Signal { runs, signal: asked.signal, asker };
    let cause = peer.cause(asked.command_id);
    let Reply::Signalling(answers) = ask(shared, cause, command).await? else {
        return Err(Refusal::ending());
    };
    let word = |answer| match answer {
        SignalAnswer::Sending => "sending".to_owned(),
        SignalAnswer::NotRunning => "not_running".to_owned(),
    };
    let runs = answers.into_iter().map(|(run, answer)| (run, word(answer))).collect();
    Ok(whole(StatusCode::OK, &SignalReply { runs }))
}

/// `POST /v1/pause`.
pub(super) async fn pause(shared: &Shared, peer: Peer, request: Request<Incoming>) -> Answered {
    let asked: HoldRequest = read(request).await?;
    let runs = resolve(shared, asked.selectors).await?;
    let command = Command::Pause { runs, asker: Some(peer.asker(asked.asker)) };
    let Reply::Pausing(answers) = ask(shared, peer.cause(asked.command_id), command).await? else {
        return Err(Refusal::ending());
    };
    let word = |answer| match answer {
        PauseAnswer::Held => "held".to_owned(),
        PauseAnswer::Pausing => "pausing".to_owned(),
        PauseAnswer::AlreadyPaused => "already_paused".to_owned(),
        PauseAnswer::Stopping => "stopping".to_owned(),
        PauseAnswer::AlreadyEnded => "already_ended".to_owned(),
    };
    let pausing = answers.iter().filter(|(_, answer)| *answer == PauseAnswer::Pausing);
    let pausing = pausing.map(|(run, _)| run.to_string()).collect();
    let is_still = wait_until_still(shared, pausing).await?;
    let done = |(run, answer)| match answer {
        PauseAnswer::Pausing if is_still => (run, "paused".to_owned()),
        answer => (run, word(answer)),
    };
    let runs = answers.into_iter().map(done).collect();
    Ok(whole(StatusCode::OK, &HoldReply { runs }))
}

/// Waits until the trees stand still, so that who asked finds them so; whether they do. A process
/// in an uninterruptible sleep (state D) does not stop before that is over.
async fn wait_until_still(shared: &Shared, runs: Vec<String>) -> Result<bool, Refusal> {
    let moves = |run: &RunView| matches!(run.state.as_str(), "running" | "starting");
    Ok(wait_while(shared, runs, moves).await?.is_empty())
}

/// Waits until the records say of runs what was asked for, at most [`limits::HOLD_WAIT_MS`]; those
/// of which they still do not.
async fn wait_while(
    shared: &Shared,
    runs: Vec<String>,
    is_open: impl Fn(&RunView) -> bool,
) -> Result<Vec<String>, Refusal> {
    let mut applied = shared.applied.clone();
    let mut open = runs;
    let wait = async {
        while !open.is_empty() {
            // What comes after this look is not missed.
            applied.mark_unchanged();
            let query = Query::Resolve { selectors: open.clone(), scope: Scope::Any };
            let document = shared.questions.ask(query).await;
            let document = document.map_err(|error| refuse_query(&error))?;
            let Document::Runs(found) = document else { return Ok(()) };
            let found = found.items.into_iter().filter(&is_open);
            open = found.map(|run| run.run_id).collect();
            if !open.is_empty() && applied.changed().await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    };
    let limit = Duration::from_millis(limits::HOLD_WAIT_MS);
    tokio::time::timeout(limit, wait).await.unwrap_or(Ok(()))?;
    Ok(open)
}

/// `POST /v1/resume`.
pub(super) async fn resume(shared: &Shared, peer: Peer, request: Request<Incoming>) -> Answered {
    let asked: HoldRequest = read(request).await?;
    let asker = Some(peer.asker(asked.asker));
    let command = if asked.selectors.is_empty() {
        Command::ResumeInterrupted { asker }
    } else {
        Command::Resume { runs: resolve(shared, asked.selectors).await?, asker }
    };
    let Reply::Resuming(answers) = ask(shared, peer.cause(asked.command_id), command).await? else {
        return Err(Refusal::ending());
    };
    let resumed = answers.iter().filter(|(_, answer)| *answer == ResumeAnswer::Resumed);
    let resumed = resumed.map(|(run, _)| run.to_string()).collect();
    let still = wait_while(shared, resumed, |run| run.state == Phase::Paused.word()).await?;
    let word = |run: RunId, answer| match answer {
        ResumeAnswer::Resumed if still.contains(&run.to_string()) => "resuming".to_owned(),
        ResumeAnswer::Resumed => "resumed".to_owned(),
        ResumeAnswer::NotPaused => "not_paused".to_owned(),
        ResumeAnswer::AlreadyEnded => "already_ended".to_owned(),
    };
    let runs = answers.into_iter().map(|(run, answer)| (run, word(run, answer))).collect();
    Ok(whole(StatusCode::OK, &HoldReply { runs }))
}

/// `POST /v1/queue`.
pub(super) async fn queue(shared: &Shared, peer: Peer, request: Request<Incoming>) -> Answered {
    let asked: QueueRequest = read(request).await?;
    let cause = peer.cause(asked.command_id);
    if let Some(limit) = asked.limit {
        let queue = asked.queue.clone();
        ask(shared, cause, Command::SetQueue { queue, limit }).await?;
    }
    if let Some(paused) = asked.paused {
        let (queue, asker) = (asked.queue, Some(peer.asker(asked.asker)));
        ask(shared, cause, Command::PauseQueue { queue, paused, asker }).await?;
    }
    Ok(whole(StatusCode::OK, &serde_json::json!({})))
}
