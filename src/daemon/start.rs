//! Opens what a daemon needs, finds what an earlier one left, and starts the threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

use tokio::sync::watch;

use super::admission::Admission;
use super::clock_watch;
use super::configuring::{Configuring, InForce, ToConfiguring};
use super::engine_loop::{EngineLoop, Keeping};
use super::error::DaemonError;
use super::lifecycle::{RunOptions, Threads};
use super::machine;
use super::mailbox::Mailbox;
use super::message::{Order, ToEngine, ToStorage};
use super::orders::Orders;
use super::place::Place;
use super::pool::Pool;
use super::prune::{News, Pruner, ToPruner};
use super::recovery;
use super::storage::Storage;
use super::views_loop::{Questions, ToViews, ViewsLoop};
use crate::config::document::Document;
use crate::log::{Blobs, LogError, MemoryFolder, Reader, SegmentHeader, Store, segments};
use crate::model::{BootId, Engine, Finding, Input, Observation, QueueName, RunId, State};
use crate::projections::{Views, ViewsError};
use crate::runners::linux::clock;
use crate::runners::process::ShimHandle;
use crate::runners::protocol::AttemptId;

/// Stack of a thread; only what is touched takes memory.
const STACK_BYTES: usize = 2 << 20;

/// A daemon that is ready to serve.
pub struct Started {
    /// Commands.
    pub engine: Mailbox<ToEngine>,
    /// The log beside its writer.
    pub log: Reader,
    /// Reads.
    pub questions: Questions,
    /// The seq that the views have.
    pub applied: watch::Receiver<u64>,
    /// How much lives.
    pub live: watch::Receiver<usize>,
    /// Turns asks into commands.
    pub admission: Admission,
    /// Follows configuration files.
    pub configuring: Mailbox<ToConfiguring>,
    /// What is known to be in force.
    pub in_force: InForce,
    /// How far a prune is.
    pub news: watch::Receiver<News>,
    /// To be joined.
    pub threads: Threads,
}

/// Starts everything. The caller holds the environment's lock.
///
/// # Errors
/// [`DaemonError`]: nothing was started.
pub fn start(place: &Place, options: RunOptions) -> Result<Started, DaemonError> {
    let boot = clock::boot_id().map_err(DaemonError::io("read the boot id for", &place.root))?;
    let store = open_log(place)?;
    let reader = store.reader();
    let segment_events = options.segment_events.max(1);
    let seal_at = store.header().first_seq - 1 + segment_events;
    let views = open_views(place, boot, &reader)?;
    let engine = Engine::new(views.state().clone());
    let inbox: Mailbox<ToEngine> = Mailbox::new();
    let (to_storage, to_views) = (Mailbox::new(), Mailbox::new());
    let orders = Orders::new().map_err(DaemonError::io("make an eventfd for", &place.root))?;
    // Before any thread: what is found now is what the table is applied to.
    let attempts = engine.to_find();
    let found = recovery::find(place, &attempts)?;

    let (applied_sender, applied) = watch::channel(views.applied());
    let (live_sender, live) = watch::channel(0);
    let (failed_sender, failed) = watch::channel(false);
    let questions = Questions(to_views.clone());
    let log = reader.clone();
    let storage = Storage {
        store,
        inbox: to_storage.clone(),
        engine: inbox.clone(),
        views: to_views.clone(),
        segment_events,
    };
    let inbox_of_views = to_views.clone();
    let views_loop =
        ViewsLoop::new(views, reader, place.clone(), boot, inbox_of_views, applied_sender);
    let (adopted, next_shim) = (found.adopted, found.next_shim);
    let taken = occupied(engine.state(), &adopted);
    let pool = Pool::new(place.clone(), inbox.clone(), orders.clone(), adopted, next_shim, taken);
    let begin = beginning(place, boot, jump_since_last(&engine, &log, boot)?, found.findings);
    let admission = Admission::new(place.clone());
    let (engine_of, asked, stores) = (inbox.clone(), questions.clone(), admission.clone());
    let pruner = Pruner::new(place.clone(), boot, log.clone(), engine_of, asked, stores);
    let to_pruner = pruner.inbox.clone();
    let (news_sender, news) = (pruner.news.clone(), pruner.news.subscribe());
    let configuring = Configuring::new(inbox.clone(), admission.clone());
    let (to_configuring, in_force) = (configuring.inbox.clone(), configuring.in_force.clone());
    follow_in_force(place, engine.state(), &configuring);
    let keeping = Keeping { pruner: to_pruner, news: news_sender, seal_at };
    let engine_loop = EngineLoop::new(
        engine,
        inbox.clone(),
        to_storage.clone(),
        orders.clone(),
        live_sender,
        keeping,
    );

    let bodies = Bodies { storage, views: views_loop, pruner, configuring, pool };
    let beside = bodies.spawn(&place.root, to_views, orders)?;
    let engine = spawn("jr-engine", &place.root, move || {
        let ended = engine_loop.begin_and_run(begin);
        failed_sender.send_replace(true);
        ended
    })?;
    let finish = Box::new(move || beside.end());
    let threads = Threads { failed, engine, finish };
    let (engine, configuring) = (inbox, to_configuring);
    Ok(Started {
        engine,
        log,
        questions,
        applied,
        live,
        admission,
        configuring,
        in_force,
        news,
        threads,
    })
}

/// Attempts that shims hold and the log sees alive, each with the queue whose slot it has. Those
/// that turn out to be over give it back as soon as the engine has said so.
fn occupied(
    state: &State,
    adopted: &[(u32, ShimHandle, Vec<AttemptId>)],
) -> Vec<(AttemptId, QueueName)> {
    let held = adopted.iter().flat_map(|(_, _, holds)| holds);
    let of_queue = held.filter_map(|id| {
        let run = state.runs.get(&id.run)?;
        let lives = run.attempt_lives && run.attempt == id.attempt;
        let queue = run.spec.queue.as_ref().filter(|_| lives)?;
        Some((*id, queue.clone()))
    });
    of_queue.collect()
}

/// What the threads beside the engine's do.
struct Bodies {
    storage: Storage,
    views: ViewsLoop,
    pruner: Pruner,
    configuring: Configuring,
    pool: Pool,
}

impl Bodies {
    fn spawn(
        self,
        root: &Path,
        to_views: Mailbox<ToViews>,
        orders: Orders,
    ) -> Result<Beside, DaemonError> {
        let Self { storage, views, pruner, configuring, pool } = self;
        let to_storage = storage.inbox.clone();
        let (to_pruner, pruner_ends) = (pruner.inbox.clone(), Arc::clone(&pruner.ending));
        let to_configuring = configuring.inbox.clone();
        Ok(Beside {
            storage: spawn("jr-storage", root, move || storage.run())?,
            views: spawn("jr-views", root, move || views.run())?,
            pruner: spawn("jr-prune", root, move || pruner.run())?,
            configuring: spawn("jr-config", root, move || configuring.run())?,
            pool: spawn("jr-shims", root, move || pool.run())?,
            to_configuring,
            to_pruner,
            pruner_ends,
            to_storage,
            to_views,
            orders,
        })
    }
}

/// The threads beside the engine's, and how each is told to end.
struct Beside {
    to_configuring: Mailbox<ToConfiguring>,
    configuring: JoinHandle<()>,
    to_pruner: Mailbox<ToPruner>,
    pruner_ends: Arc<AtomicBool>,
    pruner: JoinHandle<()>,
    to_storage: Mailbox<ToStorage>,
    storage: JoinHandle<()>,
    to_views: Mailbox<ToViews>,
    views: JoinHandle<Result<(), DaemonError>>,
    orders: Orders,
    pool: JoinHandle<()>,
}

impl Beside {
    /// Ends them: whoever may wait for another before that one.
    fn end(self) -> Result<(), DaemonError> {
        self.to_configuring.post(ToConfiguring::End);
        join(self.configuring);
        // It may wait for any of the others.
        self.pruner_ends.store(true, Ordering::Relaxed);
        self.to_pruner.post(ToPruner::End);
        self.to_storage.post(ToStorage::End);
        join(self.storage);
        join(self.pruner);
        self.to_views.post(ToViews::End);
        let views = join(self.views);
        self.orders.post(Order::End);
        join(self.pool);
        views
    }
}

/// Opens the log for writing, or makes it. Everything from the last record on is verified here;
/// the views verify all that they fold.
fn open_log(place: &Place) -> Result<Store, DaemonError> {
    if place.is_in_memory() {
        let header = SegmentHeader::first(place.id.clone());
        return Ok(Store::create_in(Arc::new(MemoryFolder::default()), &header, &[])?);
    }
    machine::check(place)?;
    let directory = place.log();
    if segments::list(&directory).is_ok_and(|found| !found.is_empty()) {
        return Ok(Store::open(&directory, u64::MAX)?);
    }
    // Law 8: a log that is gone is never answered with an empty one.
    if let Some(trace) = trace_of_log(place) {
        return Err(DaemonError::LogGone { log: directory, trace });
    }
    Ok(Store::create(&directory, &SegmentHeader::first(place.id.clone()), &[])?)
}

/// The views of a log, where that is.
pub(super) fn open_views(place: &Place, boot: BootId, log: &Reader) -> Result<Views, ViewsError> {
    if place.is_in_memory() {
        Views::in_memory(boot, log)
    } else {
        Views::open(&place.views(), boot, log)
    }
}

/// The files of what is in force may have changed while no daemon was there.
fn follow_in_force(place: &Place, state: &State, configuring: &Configuring) {
    if let Some(document) = document_in_force(place, state) {
        configuring.in_force.take(Some(&document));
        configuring.inbox.post(ToConfiguring::Follow(Box::new(document)));
        configuring.inbox.post(ToConfiguring::Changed);
    }
}

/// The configuration in force, where there is one and it can be read.
pub(super) fn document_in_force(place: &Place, state: &State) -> Option<Document> {
    let bytes = Blobs::new(&place.blobs()).get(state.config.config?).ok()?;
    Document::parse(&String::from_utf8(bytes).ok()?).ok()
}

/// What shows that the environment was used.
pub(super) fn trace_of_log(place: &Place) -> Option<PathBuf> {
    if place.is_in_memory() {
        return None;
    }
    let traces = [place.views(), place.shims(), place.blobs()];
    traces.into_iter().find(|trace| has_something(trace))
}

/// A file with bytes, or a directory with entries.
fn has_something(path: &Path) -> bool {
    match std::fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() > 0),
    }
}

/// Whether the clock was set back since the last record.
pub(super) fn jump_since_last(
    engine: &Engine,
    log: &Reader,
    boot: BootId,
) -> Result<Option<Observation>, LogError> {
    let last = log.get(engine.state().seq)?.map(|envelope| envelope.time);
    Ok(clock_watch::jump_before(engine.state(), boot, last, clock::now().wall))
}

/// What the engine takes before any client.
pub(super) fn beginning(
    place: &Place,
    boot: BootId,
    jump: Option<Observation>,
    findings: Vec<(RunId, Finding)>,
) -> Vec<Input> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut inputs = vec![
        Input::Observed(Observation::EnvironmentMade { id: place.id.clone() }),
        Input::Observed(Observation::DaemonBegan {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot,
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
        }),
    ];
    inputs.extend(jump.map(Input::Observed));
    inputs.extend(findings.into_iter().map(|(run, finding)| Input::Found { run, finding }));
    inputs.push(Input::RecoveryDone);
    inputs
}

fn spawn<T: Send + 'static>(
    name: &str,
    root: &Path,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, DaemonError> {
    let thread = Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(body);
    thread.map_err(DaemonError::io("start a thread for", root))
}

/// A panic of a thread is a bug that ends the daemon, as loudly as it began.
fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
