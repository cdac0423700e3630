//! What a daemon does about shims that it did not start or that do not answer: find them, prove
//! who they are, and leave nothing of a dead one alive.
//!
//! A shim lives exactly while it holds the lock in its directory. Its journal says who it was and
//! which leaf holds its tree; nothing else is believed, least of all a bare pid.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FlockOperation;

use super::linux::cgroup::{self, Leaf};
use super::linux::pidfd::{Identity, ProcessFd};
use super::linux::procfs::{self, Stat};
use super::linux::{clock, tree};
use super::protocol::AttemptId;
use super::shim::journal::{self, Entry, Opened};
use crate::limits;
use crate::model::event::Process;

/// Held by a living shim; never unlinked while it might be.
pub const LOCK_FILE: &str = "lock";
/// Says to a shim that comes too late that it must not begin.
pub const FENCED_FILE: &str = "fenced";
/// SIGKILL.
const KILL: i32 = 9;
/// Between two looks at a tree that is ending.
const LOOK_MS: u64 = 10;

/// A shim's directory as a new daemon finds it.
#[derive(Clone, Debug, PartialEq)]
pub struct ShimFound {
    /// The directory's name.
    pub id: String,
    /// The directory.
    pub dir: PathBuf,
    /// Where it listens, if it came so far.
    pub socket: Option<PathBuf>,
    /// All whole records of its journal.
    pub entries: Vec<Entry>,
    /// It lives.
    pub lock_held: bool,
}

/// What a fence has reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// The shim is dead, will not come back, and nothing that it started lives.
    Empty,
    /// The shim is dead; these hang in the kernel after SIGKILL.
    Survivors(Vec<u32>),
}

/// Looks at every shim's directory, in the order of their names.
pub fn scan(shims: &Path) -> io::Result<Vec<ShimFound>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(shims) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(look(&entry.path())?);
        }
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(found)
}

/// Looks at one. The lock is tested before the journal is read, so that the journal of a dead
/// shim is complete.
fn look(dir: &Path) -> io::Result<ShimFound> {
    let lock_held = try_lock(dir, FlockOperation::NonBlockingLockShared)?.is_none();
    let entries = journal::read(&dir.join(journal::FILE))?;
    let socket = journal::opened(&entries).map(|opened| PathBuf::from(opened.socket.as_os_str()));
    let id = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(ShimFound { id, dir: dir.to_owned(), socket, entries, lock_held })
}

/// Ends a shim that is dead or mute, and all that it started, and waits until nothing lives.
///
/// Blocks for twice `limits::KILL_WAIT_MS` at most. Afterwards the shim's start requests are void,
/// even those that still lie in a socket: a shim that begins later finds the mark and ends.
///
/// # Errors
/// The shim holds its lock and cannot be proven to be the one of its journal: nothing was touched.
pub fn fence(dir: &Path) -> io::Result<Fenced> {
    let deadline_ms = clock::boottime_ms() + limits::KILL_WAIT_MS;
    let mut lock = try_lock(dir, FlockOperation::NonBlockingLockExclusive)?;
    while lock.is_none() {
        end_shim(dir)?;
        lock = try_lock(dir, FlockOperation::NonBlockingLockExclusive)?;
        if lock.is_none() {
            if clock::boottime_ms() >= deadline_ms {
                let text = "the shim holds its lock and cannot be proven";
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            // A child that was being made holds it until its exec.
            pause(LOOK_MS);
        }
    }
    File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(dir.join(FENCED_FILE))?;
    let fenced = end_tree(&journal::read(&dir.join(journal::FILE))?)?;
    drop(lock);
    Ok(fenced)
}

/// Removes the directory and leaf of a shim that is dead and whose tree is empty; false if it is
/// not, and then nothing was removed.
pub fn remove(dir: &Path) -> io::Result<bool> {
    let Some(lock) = try_lock(dir, FlockOperation::NonBlockingLockExclusive)? else {
        return Ok(false);
    };
    let entries = journal::read(&dir.join(journal::FILE))?;
    let boot = clock::boot_id()?;
    if let Some(opened) = journal::opened(&entries).filter(|opened| opened.boot == boot) {
        if let Some(leaf) = leaf_of(opened)?
            && leaf.remove().is_err()
        {
            return Ok(false);
        }
        if !remnants(opened, &entries).is_empty() {
            return Ok(false);
        }
        remove_groups(&entries);
        std::fs::remove_file(opened.socket.as_os_str()).ok();
    }
    std::fs::remove_dir_all(dir)?;
    drop(lock);
    Ok(true)
}

/// Kills the shim itself, if it is proven to be the one that wrote the journal.
fn end_shim(dir: &Path) -> io::Result<()> {
    let entries = journal::read(&dir.join(journal::FILE))?;
    let Some(opened) = journal::opened(&entries) else { return Ok(()) };
    if opened.boot != clock::boot_id()? {
        return Ok(());
    }
    let identity = Identity { pid: opened.pid, start_ticks: opened.start_ticks };
    if let Some(process) = ProcessFd::prove(identity)? {
        process.send(KILL).ok();
        process.wait(u32::try_from(limits::KILL_WAIT_MS).unwrap_or(u32::MAX));
    }
    Ok(())
}

/// Kills what a dead shim has left, and waits.
fn end_tree(entries: &[Entry]) -> io::Result<Fenced> {
    let Some(opened) = journal::opened(entries) else { return Ok(Fenced::Empty) };
    if opened.boot != clock::boot_id()? || tree::fence_is_skipped() {
        return Ok(Fenced::Empty);
    }
    let leaf = leaf_of(opened)?;
    let deadline_ms = clock::boottime_ms() + limits::KILL_WAIT_MS;
    loop {
        if let Some(leaf) = &leaf
            && leaf.is_populated()?
        {
            leaf.kill()?;
            wait_for_change(leaf);
        }
        let outside = remnants(opened, entries);
        if !outside.is_empty() {
            tree::send_to_proven(|| remnants(opened, entries), KILL);
        }
        let inside = leaf.as_ref().map_or(Ok(false), Leaf::is_populated)?;
        if !inside && outside.is_empty() {
            break;
        }
        if clock::boottime_ms() >= deadline_ms {
            let mut pids = remnants(opened, entries);
            pids.extend(leaf.iter().flat_map(Leaf::processes));
            return Ok(Fenced::Survivors(pids.into_iter().collect()));
        }
        pause(LOOK_MS);
    }
    if let Some(leaf) = &leaf {
        leaf.remove().ok();
    }
    remove_groups(entries);
    Ok(Fenced::Empty)
}

/// The groups of a tree that is gone; the kernel keeps those in which anything lives.
fn remove_groups(entries: &[Entry]) {
    for entry in entries {
        if let Entry::Groups(paths) = entry {
            for path in paths {
                cgroup::remove(Path::new(path.as_os_str())).ok();
            }
        }
    }
}

fn leaf_of(opened: &Opened) -> io::Result<Option<Leaf>> {
    match &opened.leaf {
        Some(path) => Leaf::open(Path::new(path.as_os_str())),
        None => Ok(None),
    }
}

/// What lives of a dead shim's attempts outside any leaf: the main processes and those of a
/// stopped tree by their identity, the members of the shim's session, and all that descends from
/// any of them.
///
/// A session's number is not given to a new process while one member lives. It could be ours no
/// more only if all members had ended and the number had come round; then somebody else leads it,
/// and no member is taken for ours.
fn remnants(opened: &Opened, entries: &[Entry]) -> BTreeSet<u32> {
    let Ok(stats) = procfs::all() else { return BTreeSet::new() };
    let is_ours_to_claim =
        !stats.iter().any(|stat| stat.pid == opened.pid && stat.start_ticks != opened.start_ticks);
    let known = known_without_end(entries);
    let is_known =
        |stat: &Stat| known.contains(&Identity { pid: stat.pid, start_ticks: stat.start_ticks });
    let in_session = |stat: &Stat| {
        stat.session == opened.pid && stat.start_ticks >= opened.start_ticks && is_ours_to_claim
    };
    let roots = stats.iter().filter(|stat| in_session(stat) || is_known(stat));
    let mut roots: BTreeSet<u32> = roots.map(|stat| stat.pid).collect();
    // The shim itself is dead or dying; it is proven and ended elsewhere.
    roots.remove(&opened.pid);
    let below = procfs::descendants(&stats, &roots);
    let is_zombie: BTreeSet<u32> =
        stats.iter().filter(|stat| stat.is_zombie()).map(|stat| stat.pid).collect();
    roots.extend(below.iter().map(|stat| stat.pid));
    roots.retain(|pid| !is_zombie.contains(pid));
    roots
}

/// Main processes of what has not ended, and all of a tree that was stopped by signals: when its
/// shim dies, the kernel sends SIGHUP to what is stopped in its session, and the main process
/// would take the way to those that have left the session with it.
fn known_without_end(entries: &[Entry]) -> BTreeSet<Identity> {
    let mut open: BTreeMap<AttemptId, Vec<Identity>> = BTreeMap::new();
    for entry in entries {
        match entry {
            Entry::Started(id, process) => {
                let Process { pid, start_ticks, .. } = *process;
                open.entry(*id).or_default().push(Identity { pid, start_ticks });
            }
            Entry::Stopped(id, members) => open.entry(*id).or_default().extend(members),
            Entry::Ended(id, _) => {
                open.remove(id);
            }
            Entry::Opened(_) | Entry::Claim(_) | Entry::Refused(_) | Entry::Groups(_) => {}
        }
    }
    open.into_values().flatten().collect()
}

fn try_lock(dir: &Path, operation: FlockOperation) -> io::Result<Option<File>> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let lock = options.open(dir.join(LOCK_FILE))?;
    match rustix::fs::flock(&lock, operation) {
        Ok(()) => Ok(Some(lock)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn wait_for_change(leaf: &Leaf) {
    let events = leaf.events();
    let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    poll(&mut [PollFd::from_borrowed_fd(events, PollFlags::PRI)], Some(&timeout)).ok();
}

fn pause(millis: u64) {
    std::thread::sleep(std::time::Duration::from_millis(millis));
}
