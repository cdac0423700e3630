//! `POST /v1/up` and `/v1/down`: what is to be up.

use hyper::body::Incoming;
use hyper::{Request, StatusCode};

use super::body::{Refusal, read, whole};
use super::routes::{Answered, ask};
use super::run::configure;
use super::{Peer, Shared};
use crate::daemon::protocol::{DownRequest, PlanReply, UpRequest};
use crate::model::{Command, Reply, ServiceName};
use crate::projections::services::step_view;

/// `POST /v1/up`.
pub(super) async fn up(shared: &Shared, peer: Peer, request: Request<Incoming>) -> Answered {
    let mut asked: UpRequest = read(request).await?;
    let cause = peer.cause(asked.command_id);
    let asker = Some(peer.asker(asked.asker.take()));
    let held = shared.admission.hold();
    if asked.config.is_some() {
        configure(shared, cause, asked.config.as_ref()).await?;
    }
    let declared = shared.admission.services(&asked).await?;
    let mut wish = asked.wish(declared);
    // Of what was declared before, the client does not know where it runs.
    let is_declared = |name: &ServiceName| asked.services.iter().any(|one| one.service == *name);
    let others: Vec<_> = wish.names.iter().filter(|name| !is_declared(name)).cloned().collect();
    if !others.is_empty() {
        let directories = shared.questions.directories(others).await;
        wish.commits.extend(shared.admission.commits(directories).await?);
    }
    let command = Command::Up { wish, asker };
    let reply = ask(shared, cause, command).await;
    drop(held);
    planned(reply?)
}

/// `POST /v1/down`.
pub(super) async fn down(shared: &Shared, peer: Peer, request: Request<Incoming>) -> Answered {
    let asked: DownRequest = read(request).await?;
    let cause = peer.cause(asked.command_id);
    let asker = Some(peer.asker(asked.asker));
    planned(ask(shared, cause, Command::Down { services: asked.services, asker }).await?)
}

fn planned(reply: Reply) -> Answered {
    let Reply::Planned(steps) = reply else { return Err(Refusal::ending()) };
    let items = steps.iter().map(step_view).collect();
    Ok(whole(StatusCode::OK, &PlanReply { items }))
}
