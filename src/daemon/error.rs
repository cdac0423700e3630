//! Why a daemon cannot go on.

use std::path::PathBuf;

use super::machine::Elsewhere;
use super::place::PlaceError;
use crate::log::LogError;
use crate::model::IllegalEvent;
use crate::projections::ViewsError;

/// Each ends the daemon; jobs go on under their shims.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The log cannot be read or written.
    #[error("log: {0}")]
    Log(#[from] LogError),
    /// The environment was used, and its log is not there.
    #[error(
        "{} is empty, but {} shows that there was a log: put it back, or move both away",
        .log.display(),
        .trace.display()
    )]
    LogGone {
        /// Where it lay.
        log: PathBuf,
        /// What shows it.
        trace: PathBuf,
    },
    /// The views can be neither read nor made anew.
    #[error("views: {0}")]
    Views(#[from] ViewsError),
    /// There is no place for the environment.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The engine decided what the lifecycle forbids, or the log holds it.
    #[error("the log does not fold: {0}")]
    Bug(IllegalEvent),
    /// The system refused.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Something that is not ours lies where the socket belongs.
    #[error("{} is not a socket of ours: {why}", .path.display())]
    ForeignSocket {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What lives by its log are not its processes (law 7).
    #[error("{} {why}", .root.display())]
    Elsewhere {
        /// The environment.
        root: PathBuf,
        /// Whose they are.
        why: Elsewhere,
    },
    /// What an isolated environment leaves, against its promise.
    #[error(
        "{} is left: something that ran there does not end, or cannot be removed; \
         the next command of an isolated environment tries again",
        .root.display()
    )]
    Left {
        /// Its directory.
        root: PathBuf,
    },
    /// State must lie on a local disk.
    #[error(
        "{} lies on {kind}, whose locks cannot be trusted; set JR_HOME (TMPDIR where an \
         environment is isolated) to a local disk, or JR_UNSAFE_FILESYSTEM=1",
        .path.display()
    )]
    RemoteFilesystem {
        /// Where.
        path: PathBuf,
        /// Which file system.
        kind: String,
    },
}

impl DaemonError {
    /// Names what was tried on what.
    pub fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
