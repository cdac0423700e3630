//! Shims: who lives, who answers, and what their journals say.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use super::paths::{PathFacts, PathKind};
use super::server::{LockState, try_lock};
use crate::daemon::doctor::isolated::begin;
use crate::daemon::place::Place;
use crate::limits;
use crate::runners::fence::{FENCED_FILE, LOCK_FILE};
use crate::runners::linux::cgroup::Leaf;
use crate::runners::linux::{clock, procfs};
use crate::runners::process::ShimHandle;
use crate::runners::protocol::AttemptId;
use crate::runners::shim::journal::{self, Entry};

/// What became of an attempt, by the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// It was about to begin.
    Claimed,
    /// It began.
    Started {
        /// Its main process.
        pid: u32,
        /// That process is there.
        lives: bool,
    },
    /// It is over.
    Ended,
}

/// One shim's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimFacts {
    /// Its number.
    pub id: String,
    /// Its directory.
    pub path: String,
    /// It lives exactly while it holds this.
    pub lock: LockState,
    /// Its process, by its journal.
    pub pid: Option<u32>,
    /// That process is there, and stopped by a signal or a debugger.
    pub stopped: bool,
    /// Its journal is of this boot.
    pub of_this_boot: bool,
    /// Whether it answered; `None` where nobody asked.
    pub answered: Option<bool>,
    /// Somebody gave it up.
    pub fenced: bool,
    /// Its leaf, if that is there, and whether anything lives in it.
    pub leaf: Option<(String, bool)>,
    /// Attempts of its journal, as texts `<run>.<attempt>`.
    pub attempts: BTreeMap<String, Course>,
    /// Why its journal could not be read.
    pub problem: Option<String>,
}

impl ShimFacts {
    /// Whether it lives.
    pub fn lives(&self) -> bool {
        self.lock == LockState::Held
    }
}

/// Looks at each directory; asks those that live who they are, which changes nothing for them.
pub fn gather(place: &Place) -> Vec<ShimFacts> {
    let entries = std::fs::read_dir(place.shims()).into_iter().flatten().flatten();
    let mut shims: Vec<ShimFacts> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| look(&entry.path()))
        .collect();
    shims.sort_by(|one, other| one.id.cmp(&other.id));
    let sockets: Vec<(String, PathBuf)> = shims
        .iter()
        .filter(|shim| shim.lives())
        .filter_map(|shim| {
            Some((shim.id.clone(), place.shim_socket(Place::shim_number(&shim.id)?)))
        })
        .collect();
    let asked: Vec<String> = sockets.iter().map(|(id, _)| id.clone()).collect();
    // One whose queue of connections is full would be waited for.
    let heard = begin(limits::DOCTOR_ANSWER_MS * 2, move || hear(sockets)).gathered();
    for shim in shims.iter_mut().filter(|shim| asked.contains(&shim.id)) {
        shim.answered = heard.known().map(|heard| heard.contains(&shim.id));
    }
    shims
}

fn look(directory: &Path) -> ShimFacts {
    let id = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Before the journal: that of a dead shim is complete.
    let lock = try_lock(&directory.join(LOCK_FILE)).state;
    let file = directory.join(journal::FILE);
    let (entries, problem) = match PathFacts::of(&file).kind {
        PathKind::File => match journal::read(&file) {
            Ok(entries) => (entries, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        },
        PathKind::Missing => (Vec::new(), None),
        PathKind::Directory
        | PathKind::Socket
        | PathKind::DeadLink
        | PathKind::Other
        | PathKind::Hidden => (Vec::new(), Some(format!("{} is no file", file.display()))),
    };
    let opened = journal::opened(&entries);
    let boot = clock::boot_id().ok();
    let of_this_boot = opened.is_some_and(|opened| Some(opened.boot) == boot);
    let process = opened.filter(|_| of_this_boot).and_then(|opened| {
        let stat = procfs::stat(opened.pid).ok().flatten()?;
        (stat.start_ticks == opened.start_ticks).then_some(stat)
    });
    let leaf = opened.filter(|_| of_this_boot).and_then(|opened| leaf(opened.leaf.as_ref()?));
    ShimFacts {
        id,
        path: directory.display().to_string(),
        lock,
        pid: opened.map(|opened| opened.pid),
        stopped: process.is_some_and(|stat| matches!(stat.state, b'T' | b't')),
        of_this_boot,
        answered: None,
        fenced: directory.join(FENCED_FILE).exists(),
        leaf,
        attempts: attempts(&entries, of_this_boot),
        problem,
    }
}

fn leaf(path: &crate::model::ByteString) -> Option<(String, bool)> {
    let leaf = Leaf::open(Path::new(path.as_os_str())).ok().flatten()?;
    Some((leaf.path().display().to_string(), leaf.is_populated().unwrap_or(true)))
}

fn attempts(entries: &[Entry], of_this_boot: bool) -> BTreeMap<String, Course> {
    let mut attempts = BTreeMap::new();
    for entry in entries {
        let (id, course) = match entry {
            Entry::Claim(claim) => (claim.id, Course::Claimed),
            Entry::Started(id, process) => {
                let stat = procfs::stat(process.pid).ok().flatten();
                let lives = of_this_boot
                    && stat.is_some_and(|stat| {
                        stat.start_ticks == process.start_ticks && !stat.is_zombie()
                    });
                (*id, Course::Started { pid: process.pid, lives })
            }
            Entry::Ended(id, _) => (*id, Course::Ended),
            Entry::Opened(_) | Entry::Refused(_) | Entry::Stopped(..) | Entry::Groups(_) => {
                continue;
            }
        };
        attempts.insert(name(id), course);
    }
    attempts
}

/// As files of output call it.
pub fn name(id: AttemptId) -> String {
    format!("{}.{}", id.run, id.attempt)
}

/// Who says hello, of all at once.
fn hear(sockets: Vec<(String, PathBuf)>) -> Vec<String> {
    let deadline_ms = clock::boottime_ms() + limits::DOCTOR_ANSWER_MS;
    let connect = |(id, path): (String, PathBuf)| Some((id, ShimHandle::connect(&path).ok()?));
    let mut open: Vec<(String, ShimHandle)> = sockets.into_iter().filter_map(connect).collect();
    let mut heard = Vec::new();
    loop {
        let left = deadline_ms.saturating_sub(clock::boottime_ms());
        if open.is_empty() || left == 0 {
            return heard;
        }
        let mut fds: Vec<PollFd<'_>> = open
            .iter()
            .map(|(_, handle)| PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN))
            .collect();
        let tv_sec = i64::try_from(left / 1_000).unwrap_or(0);
        let tv_nsec = i64::try_from(left % 1_000).unwrap_or(0) * 1_000_000;
        let _again = poll(&mut fds, Some(&Timespec { tv_sec, tv_nsec }));
        drop(fds);
        open.retain_mut(|(id, handle)| {
            let is_open = handle.on_readable().is_ok();
            if handle.hello().is_some() {
                heard.push(std::mem::take(id));
                return false;
            }
            is_open
        });
    }
}
