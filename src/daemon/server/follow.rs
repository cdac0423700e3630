//! Answers that go on: events as they become durable.
//!
//! A follower keeps only its place. It reads the log again when there is more, so a slow one
//! costs nothing but its own connection.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::sync::mpsc;

use super::Shared;
use super::body::{LINES, Out, Refusal, line, lines, read};
use crate::projections::query::{Document, EventsQuery, Query};

/// Records read at one time for a follower.
const PAGE: usize = 512;

/// `POST /v1/events`: from a place on, without end.
pub(super) async fn events(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Out>, Refusal> {
    let asked: EventsQuery = read(request).await?;
    let from = asked.from.unwrap_or(*shared.applied.borrow() + 1);
    let (sender, receiver) = mpsc::channel(LINES);
    tokio::spawn(follow(shared, asked, from, sender));
    Ok(lines(receiver))
}

async fn follow(
    shared: Arc<Shared>,
    asked: EventsQuery,
    mut from: u64,
    sender: mpsc::Sender<Bytes>,
) {
    let mut applied = shared.applied.clone();
    loop {
        let head = *applied.borrow_and_update();
        while from <= head {
            let limit = Some(PAGE);
            let page = EventsQuery { from: Some(from), limit, ..asked.clone() };
            let Ok(Document::Events(page)) = shared.questions.ask(Query::Events(page)).await else {
                return;
            };
            let full = page.items.len() == PAGE;
            from = match page.items.last() {
                Some(last) if full => last.seq + 1,
                _ => head + 1,
            };
            for event in &page.items {
                if sender.send(line(event)).await.is_err() {
                    return;
                }
            }
        }
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
    }
}
