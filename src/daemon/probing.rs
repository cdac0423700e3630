//! Asks live services how they are, on a thread of its own that is made with the first of them: a
//! slow answer holds up nobody.
//!
//! ```text
//! engine ──Watch──▶ pool ──▶ Prober ──▶ one task for each attempt ──Change──▶ engine
//!        ──Forget─▶      ──▶        ──▶ the task ends
//! ```
//! Dead after any step: the next daemon finds the attempt and asks it again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::launch::Variables;
use super::mailbox::Mailbox;
use super::message::ToEngine;
use super::place::Place;
use crate::model::action::Watch;
use crate::model::service::spec::Health;
use crate::model::{ByteString, Observation, secret};
use crate::runners::linux::clock;
use crate::runners::ports;
use crate::runners::probe::{Change, NotifySocket, Target, Watched, watch};
use crate::runners::protocol::AttemptId;

/// To the thread.
enum ToAsker {
    Watch(Box<Asked>),
    Forget(AttemptId),
    End,
}

/// An attempt that is to be asked.
struct Asked {
    watch: Watch,
    variables: Variables,
    /// What no answer may bring into the log.
    hidden: Vec<ByteString>,
    output: PathBuf,
    notify: Option<NotifySocket>,
}

/// What waits for the thread: no more than there are attempts, so that it needs no bound.
#[derive(Clone, Default)]
struct Letters {
    waiting: Mailbox<ToAsker>,
    arrived: Arc<Notify>,
}

impl Letters {
    fn post(&self, message: ToAsker) {
        self.waiting.post(message);
        self.arrived.notify_one();
    }
}

/// The way to that thread.
pub(super) struct Prober {
    place: Place,
    engine: Mailbox<ToEngine>,
    asker: Option<(Letters, JoinHandle<()>)>,
    /// Made before the start, so that nothing that is said is missed.
    sockets: BTreeMap<AttemptId, NotifySocket>,
}

impl Prober {
    /// Nobody is asked yet.
    pub(super) fn new(place: Place, engine: Mailbox<ToEngine>) -> Self {
        Self { place, engine, asker: None, sockets: BTreeMap::new() }
    }

    /// Makes the socket on which an attempt says how it is; its path. What runs as another user
    /// cannot enter our directories: its socket has a name in no directory.
    pub(super) fn make_socket(&mut self, id: AttemptId, is_shared: bool) -> Option<PathBuf> {
        let path = self.socket_path(id, is_shared);
        // Without it the service is never ready, and the probe says why.
        let socket = NotifySocket::bind(&path).ok()?;
        self.sockets.insert(id, socket);
        Some(path)
    }

    fn socket_path(&self, id: AttemptId, is_shared: bool) -> PathBuf {
        if is_shared {
            PathBuf::from(format!("@jr/n-{}", id.run))
        } else {
            self.place.run.join(format!("n-{}", id.run))
        }
    }

    /// Asks an attempt from now on.
    pub(super) fn watch(&mut self, watch: Watch, variables: Variables, hidden: Vec<ByteString>) {
        let id = AttemptId { run: watch.run, attempt: watch.attempt };
        let mut notify = self.sockets.remove(&id);
        if notify.is_none() && watch.supervision.says_itself() {
            // An earlier daemon made it; this one takes its place.
            let is_shared = watch.spec.user.is_some();
            notify = NotifySocket::bind(&self.socket_path(id, is_shared)).ok();
        }
        let output = self.place.output(id.run, id.attempt);
        self.tell(ToAsker::Watch(Box::new(Asked { watch, variables, hidden, output, notify })));
    }

    /// The attempt is over.
    pub(super) fn forget(&mut self, id: AttemptId) {
        if self.sockets.remove(&id).is_some() || self.asker.is_some() {
            let _absent = std::fs::remove_file(self.socket_path(id, false));
        }
        if self.asker.is_some() {
            self.tell(ToAsker::Forget(id));
        }
    }

    fn tell(&mut self, message: ToAsker) {
        if self.asker.is_none() {
            let letters = Letters::default();
            let (inbox, engine) = (letters.clone(), self.engine.clone());
            let thread = std::thread::Builder::new().name("jr-probes".to_owned());
            // Without a thread nobody is asked: who waits for readiness is told that it is late.
            let thread = thread.spawn(move || serve(&inbox, &engine));
            self.asker = thread.ok().map(|thread| (letters, thread));
        }
        if let Some((letters, _)) = &self.asker {
            letters.post(message);
        }
    }

    /// Asks nobody any more.
    pub(super) fn end(self) {
        if let Some((letters, thread)) = self.asker {
            letters.post(ToAsker::End);
            let _panicked = thread.join();
        }
    }
}

/// The thread: one task for each attempt.
fn serve(inbox: &Letters, engine: &Mailbox<ToEngine>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let mut tasks: BTreeMap<AttemptId, AbortHandle> = BTreeMap::new();
        loop {
            inbox.arrived.notified().await;
            for message in inbox.waiting.take_now() {
                match message {
                    ToAsker::End => return,
                    ToAsker::Watch(asked) => {
                        let id = AttemptId { run: asked.watch.run, attempt: asked.watch.attempt };
                        let task = tokio::spawn(ask(*asked, engine.clone())).abort_handle();
                        if let Some(before) = tasks.insert(id, task) {
                            before.abort();
                        }
                    }
                    ToAsker::Forget(id) => {
                        if let Some(task) = tasks.remove(&id) {
                            task.abort();
                        }
                    }
                }
            }
        }
    });
}

async fn ask(asked: Asked, engine: Mailbox<ToEngine>) {
    let Asked { watch: wanted, variables, hidden, output, notify } = asked;
    let (run, attempt, shim) = (wanted.run, wanted.attempt, wanted.process.shim);
    let notify = notify.and_then(|socket| socket.listen(shim).ok()).map(Arc::new);
    let target = Target {
        ports: wanted.ports.iter().cloned().collect(),
        directory: wanted.spec.cwd.clone(),
        variables,
        output,
        notify,
        owns: Arc::new(move |port| ports::listens_in_tree(port, shim)),
    };
    let watched = Watched {
        run,
        supervision: Arc::clone(&wanted.supervision),
        started_ms: clock::boottime_of_ticks(wanted.process.start_ticks),
        state: wanted.health,
        target,
    };
    watch(watched, move |change| {
        let seen = |health, text: Option<String>| {
            let detail = text.map(|text| masked(text, &hidden));
            Observation::HealthSeen { run, attempt, health, detail }
        };
        let seen = match change {
            Change::Ready => seen(Health::Ready, None),
            Change::Healthy => seen(Health::Healthy, None),
            Change::Unhealthy(text) => seen(Health::Unhealthy, Some(text)),
            Change::Overdue(text) => {
                Observation::StartupOverdue { run, attempt, detail: Some(masked(text, &hidden)) }
            }
        };
        engine.post(ToEngine::Observed(vec![seen]));
    })
    .await;
}

/// What a service answers may hold what is nobody else's business.
fn masked(mut text: String, hidden: &[ByteString]) -> String {
    for value in hidden.iter().map(ByteString::to_text).filter(|value| value.len() > 3) {
        text = text.replace(&value, secret::MARKER);
    }
    secret::mask_line(ByteString::from(text)).values.to_text()
}
