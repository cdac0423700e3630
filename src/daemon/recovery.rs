//! What an earlier daemon left: shims that live, journals of those that do not, and for every
//! attempt that the log does not see ended, what became of it (docs/recovery.md).
//!
//! Runs before anything else is started, under the environment's lock, so that nobody else
//! gives a start to a shim. Killed anywhere, it is done again.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::error::DaemonError;
use super::ledger::Ledger;
use super::place::Place;
use crate::limits;
use crate::model::event::LostReason;
use crate::model::{Finding, RunId};
use crate::runners::linux::clock;
use crate::runners::process::{self, Fenced, ShimFound, ShimHandle};
use crate::runners::protocol::{AttemptId, FromShim, Holding, ToShim};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Shims that live, and what each holds.
    pub adopted: Vec<(u32, ShimHandle, Vec<AttemptId>)>,
    /// What became of each attempt that was asked for.
    pub findings: Vec<(RunId, Finding)>,
    /// The number for the next shim.
    pub next_shim: u32,
}

/// As [`find`], for who only looks: of shims that live it is not asked what they hold, and no shim
/// is ended.
///
/// # Errors
/// [`DaemonError::Io`]: the directory of shims cannot be read, so that nothing is known.
pub fn survey(
    place: &Place,
    attempts: &[(RunId, u32)],
) -> Result<Vec<(RunId, Finding)>, DaemonError> {
    let shims = process::scan(&place.shims());
    let shims = shims.map_err(DaemonError::io("read", place.shims()))?;
    let (mut living, mut dead) = (Ledger::default(), Ledger::default());
    for shim in shims {
        let ledger = if shim.lock_held { &mut living } else { &mut dead };
        ledger.fenced(&shim.dir, LostReason::ShimDied);
    }
    let findings = attempts.iter().map(|(run, attempt)| {
        let id = AttemptId { run: *run, attempt: *attempt };
        let holds = living.end_of(id).is_none() && living.lost(id).is_some();
        let ended = living.end_of(id).cloned().map(Finding::Exited);
        let holds = holds.then_some(Finding::Held);
        (*run, ended.or(holds).unwrap_or_else(|| finding(None, id, &dead)))
    });
    Ok(findings.collect())
}

/// A shim that answers.
struct Living {
    id: u32,
    handle: ShimHandle,
    holdings: Option<Vec<(AttemptId, Holding)>>,
}

/// Looks for the attempts. It ends shims that are mute or dead together with their trees.
///
/// # Errors
/// [`DaemonError::Io`]: the directory of shims cannot be read, so that nothing is known.
pub fn find(place: &Place, attempts: &[(RunId, u32)]) -> Result<Found, DaemonError> {
    let shims = process::scan(&place.shims());
    let shims = shims.map_err(DaemonError::io("read", place.shims()))?;
    let mut found = Found { next_shim: 1, ..Found::default() };
    let mut ledger = Ledger::default();
    let mut living = Vec::new();
    for shim in shims {
        let Some(id) = Place::shim_number(&shim.id) else { continue };
        found.next_shim = found.next_shim.max(id + 1);
        match connect(place, id, &shim) {
            Some(handle) => living.push(Living { id, handle, holdings: None }),
            None => bury(&shim.dir, LostReason::ShimDied, &mut ledger)?,
        }
    }
    ask(&mut living);
    let mut answers = BTreeMap::new();
    for shim in living {
        let Some(holdings) = shim.holdings else {
            bury(&place.shim(shim.id), LostReason::ShimUnresponsive, &mut ledger)?;
            continue;
        };
        let holds = holdings.iter().map(|(attempt, _)| *attempt).collect();
        answers.extend(holdings);
        found.adopted.push((shim.id, shim.handle, holds));
    }
    for (run, attempt) in attempts {
        let id = AttemptId { run: *run, attempt: *attempt };
        found.findings.push((*run, finding(answers.remove(&id), id, &ledger)));
    }
    Ok(found)
}

/// Ends what daemons have left whose log was in their memory: nobody knows what it was. The caller
/// holds the environment's lock.
///
/// # Errors
/// [`DaemonError::Io`]: something cannot be ended or removed.
pub fn begin_anew(place: &Place) -> Result<(), DaemonError> {
    let shims = process::scan(&place.shims());
    for shim in shims.map_err(DaemonError::io("read", place.shims()))? {
        bury(&shim.dir, LostReason::ShimDied, &mut Ledger::default())?;
        let removed = process::remove(&shim.dir);
        removed.map_err(DaemonError::io("remove", &shim.dir))?;
    }
    for directory in [place.outputs(), place.blobs(), place.secrets()] {
        match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(DaemonError::io("remove", directory)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn connect(place: &Place, id: u32, shim: &ShimFound) -> Option<ShimHandle> {
    if !shim.lock_held {
        return None;
    }
    let mut handle = ShimHandle::connect(&place.shim_socket(id)).ok()?;
    // Before it answers it reads all that the daemon before us sent.
    handle.send(&ToShim::Query).ok()?;
    Some(handle)
}

/// A shim without life or voice: ends what is left of its tree and keeps what its journal says.
/// A start that still lies in a socket to it is void from then on.
fn bury(directory: &Path, reason: LostReason, ledger: &mut Ledger) -> Result<(), DaemonError> {
    loop {
        let fenced = process::fence(directory);
        let fenced = fenced.map_err(DaemonError::io("end the shim of", directory))?;
        if fenced == Fenced::Empty {
            break;
        }
        // Law 5: nothing of it may live beside what follows. A process in state D ends one day.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    ledger.fenced(directory, reason);
    Ok(())
}

/// Asks all of them at once and waits for the answers, `limits::SHIM_MUTE_MS` at most.
fn ask(living: &mut [Living]) {
    let deadline = clock::boottime_ms() + limits::SHIM_MUTE_MS;
    loop {
        let left = deadline.saturating_sub(clock::boottime_ms());
        let open: Vec<&mut Living> =
            living.iter_mut().filter(|shim| shim.holdings.is_none()).collect();
        if open.is_empty() || left == 0 {
            return;
        }
        let mut fds: Vec<PollFd<'_>> = open
            .iter()
            .map(|shim| {
                let mut flags = PollFlags::IN;
                flags.set(PollFlags::OUT, shim.handle.wants_write());
                PollFd::from_borrowed_fd(shim.handle.as_fd(), flags)
            })
            .collect();
        let tv_sec = i64::try_from(left / 1_000).unwrap_or(i64::MAX);
        let tv_nsec = i64::try_from(left % 1_000).unwrap_or(0) * 1_000_000;
        let _again = poll(&mut fds, Some(&Timespec { tv_sec, tv_nsec }));
        drop(fds);
        let mut closed_any = false;
        for shim in open {
            let written = shim.handle.on_writable();
            let Ok(messages) = shim.handle.on_readable() else {
                closed_any = true;
                continue;
            };
            closed_any |= written.is_err();
            for message in messages {
                if let FromShim::State(holdings) = message {
                    shim.holdings = Some(holdings);
                }
            }
        }
        if closed_any {
            // One that closed says nothing more; the others get their time, without spinning.
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// The row of the table that an attempt falls into.
fn finding(answer: Option<Holding>, id: AttemptId, ledger: &Ledger) -> Finding {
    if let Some(end) = ledger.end_of(id) {
        return Finding::Exited(end.clone());
    }
    match answer {
        Some(Holding::Ended(end)) => Finding::Exited(end),
        Some(Holding::Running(process)) => Finding::Running { process, paused: None },
        Some(Holding::Paused(process, by)) => Finding::Running { process, paused: Some(by) },
        // Claimed: the process is being made; its start will be reported.
        Some(Holding::Held | Holding::Claimed) => Finding::Held,
        None => match ledger.lost(id) {
            Some(reason) => Finding::Fenced(reason),
            None => Finding::Unclaimed,
        },
    }
}
