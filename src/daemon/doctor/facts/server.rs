//! Who holds the environment, and who answers on its socket.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::paths::{PathFacts, PathKind};
use crate::daemon::client::{self, ClientError, monotonic_ms};
use crate::daemon::place::Place;
use crate::daemon::protocol::VersionReply;
use crate::limits;
use crate::log::{Lock, LogError, Sharing};
use crate::runners::linux::{carriers, locks, procfs};

/// A daemon that ends has no socket any more and still holds the lock: it gets so long.
const HANDOVER_MS: u64 = 1_000;
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(50);

/// A lock, as seen by trying it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockState {
    /// There is no such file.
    #[default]
    Missing,
    /// Nobody holds it.
    Free,
    /// Somebody does.
    Held,
    /// It cannot be tried.
    Failed(String),
}

/// A lock and who has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockFacts {
    /// Its file.
    pub path: String,
    /// As it was found.
    pub state: LockState,
    /// Something else than a file lies there.
    pub is_no_file: bool,
    /// By whom it is held, where the kernel says so.
    pub holder: Option<Process>,
}

impl LockFacts {
    /// Whether somebody has it.
    pub fn is_held(&self) -> bool {
        self.state == LockState::Held
    }
}

/// A process, for messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// What it runs.
    pub command: String,
    /// It is stopped by a signal or a debugger.
    pub stopped: bool,
    /// Its program's file was replaced or deleted.
    pub program_gone: bool,
}

impl Process {
    /// Looks at it.
    pub fn of(pid: u32) -> Self {
        let stat = procfs::stat(pid).ok().flatten();
        let program = std::fs::read_link(format!("/proc/{pid}/exe"));
        Self {
            pid,
            command: carriers::command(pid),
            stopped: stat.is_some_and(|stat| matches!(stat.state, b'T' | b't')),
            program_gone: program.is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)")),
        }
    }
}

/// What came of asking.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Nobody listens.
    #[default]
    Nobody,
    /// Somebody listens and says nothing.
    Mute,
    /// Somebody else listens.
    Foreign {
        /// That user.
        uid: u32,
    },
    /// It cannot be asked, or answers rubbish.
    Failed(String),
    /// A daemon.
    Version(VersionReply),
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// Held by a daemon for life.
    pub lock: LockFacts,
    /// Held by a daemon that starts.
    pub starting: LockFacts,
    /// Its socket.
    pub socket: PathFacts,
    /// Length of that path.
    pub socket_path_bytes: usize,
    /// Who answers there.
    pub answer: Answer,
    /// The process that says it is the daemon.
    pub daemon: Option<Process>,
}

impl ServerFacts {
    /// Whether a daemon answers.
    pub fn answers(&self) -> bool {
        self.version().is_some()
    }

    /// What it says of itself.
    pub fn version(&self) -> Option<&VersionReply> {
        match &self.answer {
            Answer::Version(version) => Some(version),
            Answer::Nobody | Answer::Mute | Answer::Foreign { .. } | Answer::Failed(_) => None,
        }
    }

    /// The daemon's process, as far as it is known.
    pub fn daemon_pid(&self) -> Option<u32> {
        let holder = self.lock.holder.as_ref().filter(|_| self.lock.is_held());
        self.daemon.as_ref().or(holder).map(|process| process.pid)
    }
}

/// Looks. Who has just taken or let go of the lock gets a second look.
pub fn gather(place: &Place) -> ServerFacts {
    let deadline_ms = monotonic_ms() + HANDOVER_MS;
    loop {
        let facts = look(place);
        let is_between = match facts.answer {
            Answer::Nobody => facts.lock.is_held() && !facts.starting.is_held(),
            // It was there a moment ago.
            Answer::Version(_) => !facts.lock.is_held(),
            Answer::Mute | Answer::Foreign { .. } | Answer::Failed(_) => false,
        };
        if !is_between || monotonic_ms() >= deadline_ms {
            return facts;
        }
        std::thread::sleep(LOOK);
    }
}

fn look(place: &Place) -> ServerFacts {
    let path = place.daemon_socket();
    let socket = PathFacts::of(&path);
    // Nothing else is connected to.
    let answer = if socket.kind == PathKind::Socket { ask(place) } else { Answer::Nobody };
    let daemon = match &answer {
        Answer::Version(version) => Some(Process::of(version.pid)),
        Answer::Nobody | Answer::Mute | Answer::Foreign { .. } | Answer::Failed(_) => None,
    };
    ServerFacts {
        lock: try_lock(&place.lock()),
        starting: try_lock(&place.starting()),
        socket,
        socket_path_bytes: path.as_os_str().len(),
        answer,
        daemon,
    }
}

fn ask(place: &Place) -> Answer {
    let limit = Some(limits::DOCTOR_ANSWER_MS);
    match client::ask_any_version_within(place, "GET", "/v1/version", b"", limit) {
        Ok(None) => Answer::Nobody,
        Ok(Some(bytes)) => match serde_json::from_slice(&bytes) {
            Ok(version) => Answer::Version(version),
            Err(error) => Answer::Failed(error.to_string()),
        },
        Err(ClientError::NotYours { uid, .. }) => Answer::Foreign { uid },
        Err(ClientError::Busy { .. } | ClientError::Mute { .. }) => Answer::Mute,
        Err(ClientError::Io { source, .. })
            if matches!(
                source.kind(),
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
            ) =>
        {
            Answer::Mute
        }
        Err(error) => Answer::Failed(error.to_string()),
    }
}

/// Tries a lock for a moment, as every reader of the files does; only a file is opened.
pub(super) fn try_lock(path: &Path) -> LockFacts {
    let found = PathFacts::of(path);
    let state = match found.kind {
        PathKind::Missing => LockState::Missing,
        PathKind::File => match Lock::attempt(path, Sharing::Shared) {
            Ok(_let_go) => LockState::Free,
            Err(LogError::Busy { .. }) => LockState::Held,
            Err(LogError::NotFound { .. }) => LockState::Missing,
            Err(error) => LockState::Failed(error.to_string()),
        },
        PathKind::Hidden => LockState::Failed(found.problem.unwrap_or_default()),
        PathKind::Directory | PathKind::Socket | PathKind::DeadLink | PathKind::Other => {
            LockState::Failed(format!("{} is no file", found.path))
        }
    };
    let is_held = state == LockState::Held;
    let holder = is_held.then(|| locks::holder(path)).flatten().map(Process::of);
    let is_no_file = !matches!(found.kind, PathKind::File | PathKind::Missing | PathKind::Hidden);
    LockFacts { path: found.path, state, is_no_file, holder }
}
