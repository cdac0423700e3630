//! A daemon's life: locks, log, recovery, socket, service, and the end in good order.
//!
//! ```text
//! starting (taken: exit 0) ─▶ lock ─▶ log ─▶ views ─▶ recovery ─▶ socket ─▶ serve
//!                                                                  starting is let go
//! idle | asked | upgraded ─▶ daemon_stopped durable ─▶ socket gone ─▶ views written ─▶ exit
//! ```
//! Killed anywhere, the next daemon begins at the top; nothing here is needed for a job to go on.

use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::clock_watch::ClockWatch;
use super::error::DaemonError;
use super::filesystem;
use super::known;
use super::message::ToEngine;
use super::place::Place;
use super::recovery;
use super::server::{self, EndWish, Entrance, Shared};
use super::shortlist;
use super::start::{self, Started};
use super::upkeep;
use crate::limits;
use crate::log::{Lock, LogError, Sharing};
use crate::model::event::DaemonStopReason;
use crate::runners::linux::arena::ARENA;
use crate::runners::linux::{clock, sockets, text};

/// How a daemon is to live.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// It exits after so long with nothing to do.
    pub idle_exit_ms: u64,
    /// Events of one segment of the log.
    pub segment_events: u64,
}

impl Default for RunOptions {
    fn default() -> Self {
        let (idle_exit_ms, segment_events) = (limits::IDLE_EXIT_MS, limits::SEGMENT_EVENTS);
        Self { idle_exit_ms, segment_events }
    }
}

/// Between two looks at a lock that another daemon holds.
const LOCK_LOOK: Duration = Duration::from_millis(10);
/// Looks after which whoever holds `starting` is another daemon.
const STARTING_LOOKS: u32 = 3;

/// Serves an environment until there is nothing to do. `Ok` also where another one does.
///
/// # Errors
/// [`DaemonError`].
pub fn run(place: &Place, options: RunOptions) -> Result<(), DaemonError> {
    ARENA.close();
    detach();
    prepare(place)?;
    let Some(starting) = take_starting(place)? else { return Ok(()) };
    let Some(lock) = take_lock(place)? else { return Ok(()) };
    known::note(place)?;
    if place.is_in_memory() {
        recovery::begin_anew(place)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(DaemonError::io("start the runtime of", &place.root))?;
    shortlist::forget(place);
    let started = start::start(place, options)?;
    let served = runtime.block_on(live(place, options, started, starting));
    // With it goes the last hold on the log, which is written to once more when it is closed.
    drop(runtime);
    if served.is_ok() {
        shortlist::complete(place);
    }
    drop(lock);
    served
}

/// Away from the terminal and the group of whoever asked for us.
fn detach() {
    // Fails where we lead a group already, as under a service manager: then it is done.
    let _leader = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

fn prepare(place: &Place) -> Result<(), DaemonError> {
    for directory in [&place.root, &place.run, &place.shims(), &place.outputs()] {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(DaemonError::io("create", directory))?;
        check_private(directory)?;
    }
    filesystem::check_local(&place.root)
}

/// Ours, and nobody else's to write.
fn check_private(directory: &Path) -> Result<(), DaemonError> {
    let data = std::fs::symlink_metadata(directory);
    let data = data.map_err(DaemonError::io("look at", directory))?;
    let ours = data.uid() == rustix::process::geteuid().as_raw();
    if data.is_dir() && ours && data.mode() & 0o022 == 0 {
        return Ok(());
    }
    let why = "it must be a directory that belongs to you and that only you can write";
    Err(DaemonError::ForeignSocket { path: directory.to_owned(), why })
}

/// The right to start; `None` if another daemon has it. Readers of the files hold it, shared, for
/// some microseconds to see whether it is free.
fn take_starting(place: &Place) -> Result<Option<Lock>, DaemonError> {
    for _ in 0..STARTING_LOOKS {
        match Lock::attempt(&place.starting(), Sharing::Exclusive) {
            Ok(lock) => return Ok(Some(lock)),
            Err(LogError::Busy { .. }) => std::thread::sleep(LOCK_LOOK),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// The environment's lock; `None` if another daemon serves. One that is ending is waited for.
fn take_lock(place: &Place) -> Result<Option<Lock>, DaemonError> {
    loop {
        match Lock::attempt(&place.lock(), Sharing::Exclusive) {
            Ok(lock) => return Ok(Some(lock)),
            Err(LogError::Busy { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if sockets::connect(&place.daemon_socket()).is_ok() {
            return Ok(None);
        }
        std::thread::sleep(LOCK_LOOK);
    }
}

/// Makes the socket under another name and renames it, so that it is never there half.
fn bind(place: &Place) -> Result<UnixListener, DaemonError> {
    let path = place.daemon_socket();
    if let Ok(there) = std::fs::symlink_metadata(&path) {
        let ours = there.uid() == rustix::process::geteuid().as_raw();
        if !there.file_type().is_socket() || !ours {
            let why = "something else lies there; move it away";
            return Err(DaemonError::ForeignSocket { path, why });
        }
    }
    let temporary = place.run.join(format!("d-{:08x}.tmp", std::process::id()));
    let _absent = std::fs::remove_file(&temporary);
    let listener = sockets::bind(&temporary).and_then(|listener| {
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    });
    let listener = listener.map_err(DaemonError::io("bind", &temporary))?;
    std::fs::rename(&temporary, &path).map_err(DaemonError::io("rename to", &path))?;
    Ok(listener)
}

/// What the server's tasks have together, the threads, and who wishes the end.
pub(super) fn share(
    place: &Place,
    started: Started,
) -> (Arc<Shared>, Threads, watch::Receiver<Option<EndWish>>) {
    let (configuring, in_force) = (started.configuring.clone(), started.in_force.clone());
    let Started { engine, log, questions, applied, live, admission, news, threads, .. } = started;
    let (end, end_wish) = watch::channel(None);
    let shared = Shared {
        place: place.clone(),
        engine,
        questions,
        applied,
        live,
        admission,
        in_force,
        configuring,
        news,
        connections: std::sync::atomic::AtomicUsize::new(0),
        began_ms: clock::boottime_ms(),
        end,
        log,
        scans: tokio::sync::Semaphore::new(1),
        asks: tokio::sync::Semaphore::new(limits::ASKS),
    };
    (Arc::new(shared), threads, end_wish)
}

async fn live(
    place: &Place,
    options: RunOptions,
    started: Started,
    starting: Lock,
) -> Result<(), DaemonError> {
    let (shared, threads, end_wish) = share(place, started);
    let entrance = Entrance::Socket(bind(place)?);
    drop(starting);
    let upkeep = tokio::spawn(upkeep::run(Arc::clone(&shared)));
    let over = watch_for_end(Arc::clone(&shared), options, end_wish, threads.failed.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server::serve(entrance, Arc::clone(&shared), async {
        let _closed = stopped.await;
    }));
    over.await;
    upkeep.abort();
    // Before the lock: the next daemon makes a socket of its own.
    let _gone = std::fs::remove_file(place.daemon_socket());
    drop(stop);
    let _served = serving.await;
    threads.end()
}

/// Waits until the daemon has ended in good order, or a thread of it failed.
async fn watch_for_end(
    shared: Arc<Shared>,
    options: RunOptions,
    mut wish: watch::Receiver<Option<EndWish>>,
    mut failed: watch::Receiver<bool>,
) {
    let engine = shared.engine.clone();
    let mut terminate = signal(SignalKind::terminate()).ok();
    let mut interrupt = signal(SignalKind::interrupt()).ok();
    let mut clocks = ClockWatch::new(clock::now());
    let look = Duration::from_millis((options.idle_exit_ms / 8).clamp(20, 5_000));
    let mut tick = tokio::time::interval(look);
    let mut idle_since = clock::boottime_ms();
    let mut settling = Settling::default();
    loop {
        let reason = tokio::select! {
            () = next(&mut terminate) => Some(DaemonStopReason::Asked),
            () = next(&mut interrupt) => Some(DaemonStopReason::Asked),
            _ = wish.changed() => Some(match *wish.borrow_and_update() {
                Some(EndWish::Upgraded) => DaemonStopReason::Upgraded,
                _ => DaemonStopReason::Asked,
            }),
            _ = failed.changed() => return,
            _ = tick.tick() => {
                // The engine, which may sleep, looks for itself and records it.
                if clocks.look(clock::now(), clock::now).is_some() {
                    engine.post(ToEngine::Observed(Vec::new()));
                }
                settling.look(*shared.applied.borrow());
                let now = clock::boottime_ms();
                // What only its memory has would be gone with it.
                let busy = shared.place.is_in_memory()
                    || *shared.live.borrow() > 0
                    || shared.connections.load(Ordering::Relaxed) > 0;
                if busy {
                    idle_since = now;
                }
                let idle = now.saturating_sub(idle_since) >= options.idle_exit_ms;
                idle.then_some(DaemonStopReason::Idle)
            }
        };
        let Some(reason) = reason else { continue };
        if shared.place.is_in_memory() {
            // Nobody will know of what runs. A second wish does not wait for it.
            tokio::select! {
                () = server::stop_all(&shared) => {}
                () = next(&mut terminate) => {}
                () = next(&mut interrupt) => {}
                _ = wish.changed() => {}
                _ = failed.changed() => return,
            }
        }
        let (done, ended) = oneshot::channel();
        engine.post(ToEngine::End { reason, done });
        tokio::select! {
            ended = ended => if ended != Ok(false) { return },
            _ = failed.changed() => return,
        }
    }
}

async fn next(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Gets by with less memory once nothing has happened between two looks.
#[derive(Default)]
struct Settling {
    seen: u64,
    is_settled: bool,
}

impl Settling {
    fn look(&mut self, head: u64) {
        let is_quiet = head == self.seen;
        if is_quiet && !self.is_settled {
            text::let_go();
        }
        self.is_settled = is_quiet;
        self.seen = head;
    }
}

/// The threads of a daemon.
pub struct Threads {
    /// Becomes true when the engine thread is over without having been asked.
    pub failed: watch::Receiver<bool>,
    /// Its result.
    pub engine: JoinHandle<Result<(), DaemonError>>,
    /// Ends the others and waits for them.
    pub finish: Box<dyn FnOnce() -> Result<(), DaemonError>>,
}

impl Threads {
    /// Waits for the engine, which was asked to end or failed, then for all others.
    ///
    /// # Errors
    /// The engine's, or that of the views.
    pub fn end(self) -> Result<(), DaemonError> {
        let engine = match self.engine.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        engine.and((self.finish)())
    }
}
