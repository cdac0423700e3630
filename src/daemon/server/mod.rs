//! The daemon's socket: HTTP/1.1, a connection a task, all of them on one thread.

mod body;
mod follow;
mod log;
mod prune;
mod rerun;
mod routes;
mod run;
mod services;
mod steer;

pub(super) use body::Refusal;
pub(super) use routes::{ask, refuse_query};
pub(super) use steer::stop_all;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};

use super::admission::Admission;
use super::configuring::{InForce, ToConfiguring};
use super::mailbox::Mailbox;
use super::message::ToEngine;
use super::place::Place;
use super::prune::News;
use super::views_loop::Questions;
use crate::limits;
use crate::log::Reader;
use crate::model::CommandId;
use crate::model::event::{Asker, Cause};
use crate::runners::linux::clock;

/// What every request needs.
pub struct Shared {
    /// The environment.
    pub place: Place,
    /// Commands.
    pub engine: Mailbox<ToEngine>,
    /// Reads.
    pub questions: Questions,
    /// The seq that the views have.
    pub applied: watch::Receiver<u64>,
    /// How much lives.
    pub live: watch::Receiver<usize>,
    /// Turns asks into commands.
    pub admission: Admission,
    /// What is known to be in force.
    pub in_force: InForce,
    /// Follows configuration files.
    pub configuring: Mailbox<ToConfiguring>,
    /// How far a prune is.
    pub news: watch::Receiver<News>,
    /// Who is connected.
    pub connections: AtomicUsize,
    /// `CLOCK_BOOTTIME` at the start.
    pub began_ms: u64,
    /// Raised when the daemon is to end.
    pub end: watch::Sender<Option<EndWish>>,
    /// The log beside its writer.
    pub log: Reader,
    /// Readings of the whole log at one time.
    pub scans: Semaphore,
    /// Commands at one time.
    pub asks: Semaphore,
}

/// Somebody wants the daemon to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndWish {
    /// `jr daemon stop` or a signal.
    Asked,
    /// A newer jr.
    Upgraded,
}

/// Where clients come in.
#[derive(Debug)]
pub enum Entrance {
    /// From anywhere.
    Socket(UnixListener),
    /// From within this process.
    Door(mpsc::Receiver<std::os::unix::net::UnixStream>),
}

impl Entrance {
    /// The next one; `None` if nobody can come any more.
    async fn next(&mut self) -> Option<io::Result<UnixStream>> {
        match self {
            Self::Socket(listener) => Some(listener.accept().await.map(|(stream, _)| stream)),
            Self::Door(guests) => guests.recv().await.map(UnixStream::from_std),
        }
    }
}

/// Takes connections until `over`, or until nobody can come any more.
pub async fn serve(mut entrance: Entrance, shared: Arc<Shared>, over: impl Future<Output = ()>) {
    let mut over = pin!(over);
    let room = Arc::new(Semaphore::new(limits::CONNECTIONS));
    loop {
        let permit = tokio::select! {
            () = &mut over => return,
            permit = Arc::clone(&room).acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = &mut over => return,
            accepted = entrance.next() => accepted,
        };
        let Some(accepted) = accepted else { return };
        let Ok(stream) = accepted else {
            // EMFILE and its like: leave descriptors to running jobs and try again, unhurried.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if !is_ours(&stream) {
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let _permit = permit;
            shared.connections.fetch_add(1, Ordering::Relaxed);
            connection(stream, &shared).await;
            shared.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Only the owner of the environment may speak to it.
fn is_ours(stream: &UnixStream) -> bool {
    let uid = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == uid)
}

/// Who is at the other end of a connection (unix(7), `SO_PEERCRED`).
#[derive(Clone, Copy, Debug)]
struct Peer {
    uid: u32,
    pid: u32,
}

impl Peer {
    fn of(stream: &UnixStream) -> Self {
        let known = stream.peer_cred().ok();
        let uid = known.map_or(u32::MAX, |known| known.uid());
        let pid = known.and_then(|known| u32::try_from(known.pid()?).ok()).unwrap_or(0);
        Self { uid, pid }
    }

    fn cause(self, command: CommandId) -> Cause {
        Cause { command, uid: self.uid }
    }

    /// Who asks, as far as it tells.
    fn asker(self, command: Option<String>) -> Asker {
        let mut command = command.unwrap_or_default();
        let end = command.floor_char_boundary(limits::ASKER_BYTES);
        command.truncate(end);
        Asker { pid: self.pid, command }
    }
}

async fn connection(stream: UnixStream, shared: &Arc<Shared>) {
    let peer = Peer::of(&stream);
    let service = service_fn(|request| routes::answer(Arc::clone(shared), peer, request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits::REQUEST_MS))
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // A client that went away in the middle is its own affair.
    drop(served);
}

impl Shared {
    /// How long this daemon has been up.
    pub fn uptime_ms(&self) -> u64 {
        clock::boottime_ms().saturating_sub(self.began_ms)
    }
}
