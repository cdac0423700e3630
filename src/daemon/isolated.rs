//! An isolated environment: a daemon's threads within the process of one command, the log in
//! memory, a door in place of a socket, shims that end with it (docs/decisions/0015).

use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{mpsc, oneshot};

use super::door::{Door, PREFIX};
use super::error::DaemonError;
use super::filesystem;
use super::lifecycle::{self, RunOptions};
use super::message::ToEngine;
use super::place::Place;
use super::server::{self, Entrance};
use super::start;
use super::upkeep;
use crate::model::Signal;
use crate::model::event::DaemonStopReason;
use crate::runners::bond::{self, Bond};
use crate::runners::linux::signals::{self, Blocked};

/// What ends a process that does nothing about it: not before its directory is removed.
const ENDING: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
/// A signal cuts the end short, but not within this.
const END_AT_LEAST: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// An isolated environment that is up.
#[derive(Debug)]
pub struct Isolated {
    door: Door,
    bond: Bond,
    signals: Blocked,
    server: JoinHandle<Result<(), DaemonError>>,
    /// Its other end is gone when all threads are.
    over: UnixStream,
}

/// Brings an environment up within this process; `None` if it is not isolated. The signals that
/// end a process are blocked until [`Isolated::end`].
///
/// # Errors
/// [`DaemonError`]: nothing was started, and nothing is left.
pub fn start(place: &Place) -> Result<Option<Isolated>, DaemonError> {
    let Some(door) = &place.door else { return Ok(None) };
    let failed = |what| DaemonError::io(what, &place.root);
    if let Some(parent) = place.root.parent() {
        filesystem::check_local(parent)?;
        bond::sweep(parent, PREFIX);
    }
    let signals = Blocked::new(&ENDING).map_err(failed("block signals for"))?;
    let bond = Bond::make(&place.root).map_err(failed("create"))?;
    let (over, ends_with_threads) = UnixStream::pair().map_err(failed("make a socket for"))?;
    let (ready, is_ready) = sync_channel(1);
    let (within, entrance) = (place.clone(), door.open());
    let body = move || {
        let served = serve(&within, entrance, &ready);
        drop(ends_with_threads);
        served
    };
    let thread = std::thread::Builder::new().name("jr-server".to_owned());
    // What is sent to this process is for the thread that has the terminal.
    let server = signals::all_blocked(|| thread.spawn(body)).map_err(failed("start a thread for"));
    let started = server.and_then(|server| match is_ready.recv() {
        Ok(()) => Ok(server),
        // It has ended, and says why.
        Err(_) => Err(match server.join() {
            Ok(ended) => ended.err().unwrap_or_else(|| {
                failed("start the threads of")(std::io::Error::other("they ended at once"))
            }),
            Err(panic) => std::panic::resume_unwind(panic),
        }),
    });
    match started {
        Ok(server) => Ok(Some(Isolated { door: door.clone(), bond, signals, server, over })),
        Err(error) => {
            door.close();
            let _swept_later = bond.leave(Duration::ZERO);
            Err(error)
        }
    }
}

/// The server's thread: everything a daemon has, until the door is closed.
fn serve(
    place: &Place,
    guests: mpsc::Receiver<UnixStream>,
    ready: &SyncSender<()>,
) -> Result<(), DaemonError> {
    for directory in [&place.run, &place.shims(), &place.outputs()] {
        let made = std::fs::DirBuilder::new().mode(0o700).create(directory);
        made.map_err(DaemonError::io("create", directory))?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(DaemonError::io("start the runtime of", &place.root))?;
    let started = start::start(place, RunOptions::default())?;
    let (shared, threads, _) = lifecycle::share(place, started);
    let (engine, mut failed) = (shared.engine.clone(), threads.failed.clone());
    let upkeep = upkeep::run(Arc::clone(&shared));
    runtime.block_on(async {
        // Whoever waits has perhaps gone already.
        let _gone = ready.send(());
        tokio::select! {
            () = server::serve(Entrance::Door(guests), shared, std::future::pending()) => {}
            () = upkeep => {}
            _ = failed.changed() => return,
        }
        let (done, ended) = oneshot::channel();
        engine.post(ToEngine::End { reason: DaemonStopReason::Asked, done });
        tokio::select! {
            _ = ended => {}
            _ = failed.changed() => {}
        }
    });
    drop(runtime);
    threads.end()
}

impl Isolated {
    /// Stops all that runs, waits for that, and leaves nothing. A signal that came since the start,
    /// or comes now, ends this process; its shims go on with what they are at.
    ///
    /// # Errors
    /// A thread failed, or something is left: it says what.
    pub fn end(self) -> Result<(), DaemonError> {
        let Self { door, bond, signals, server, over } = self;
        door.close();
        if !is_over(&over, &signals) {
            drop(signals);
        }
        let served = match server.join() {
            Ok(served) => served,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let root = door.root();
        let is_gone = bond.leave(Duration::ZERO).map_err(DaemonError::io("remove", root))?;
        if !is_gone && root.exists() {
            return served.and(Err(DaemonError::Left { root: root.to_owned() }));
        }
        served
    }
}

/// Waits until all threads have ended; `false` if a signal is there before that.
fn is_over(over: &UnixStream, signals: &Blocked) -> bool {
    let wait = |with_signals: bool, limit: Option<&Timespec>| {
        let mut fds = vec![PollFd::new(over, PollFlags::IN)];
        if with_signals {
            fds.push(PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN));
        }
        // Interrupted by a signal that is not blocked: it looks again.
        while poll(&mut fds, limit) == Err(rustix::io::Errno::INTR) {}
        !fds[0].revents().is_empty()
    };
    wait(true, None) || wait(false, Some(&END_AT_LEAST))
}
