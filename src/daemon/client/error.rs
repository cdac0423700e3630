//! Why there is no answer.

use std::io;
use std::path::PathBuf;

use crate::daemon::http::HttpError;
use crate::daemon::machine::Elsewhere;
use crate::daemon::protocol::{ErrorDetail, PROTOCOL};

/// What a daemon on its way out answers.
const ENDING: &str = "daemon_ending";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket belongs to somebody else.
    #[error("{} is served by user {uid}, not by you", .path.display())]
    NotYours {
        /// The socket.
        path: PathBuf,
        /// Who serves it.
        uid: u32,
    },
    /// Its queue of connections stayed full.
    #[error("the daemon at {} is busy", .path.display())]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// It holds the environment and says nothing.
    #[error("the daemon (pid {pid}) {}", why_mute(*.is_stopped, *.waited_ms))]
    Mute {
        /// Its process.
        pid: i32,
        /// Somebody stopped it (SIGSTOP, a debugger).
        is_stopped: bool,
        /// How long it was waited for.
        waited_ms: u64,
    },
    /// No daemon is started on it: it would refuse it.
    #[error("{} {why}", .root.display())]
    Elsewhere {
        /// The environment.
        root: PathBuf,
        /// Whose processes its log tells of.
        why: Elsewhere,
    },
    /// A newer jr runs there.
    #[error("the daemon speaks protocol {theirs}; this jr speaks {PROTOCOL}")]
    Newer {
        /// Its protocol.
        theirs: u32,
    },
    /// It did not come up.
    #[error("the daemon did not start: {why}")]
    Start {
        /// The last that it said, or what the system said.
        why: String,
    },
    /// The system refused.
    #[error("{operation} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What came was no answer.
    #[error("the daemon at {}: {source}", .path.display())]
    Http {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// There is none, and there will be none.
    #[error(
        "environment {environment} is isolated: what is in it ends with the command that uses it"
    )]
    Isolated {
        /// Its name.
        environment: String,
    },
    /// It said no.
    #[error("{}", .0.message)]
    Refused(ErrorDetail),
}

fn why_mute(is_stopped: bool, waited_ms: u64) -> String {
    if is_stopped {
        "was stopped by a signal, so it does not answer".to_owned()
    } else {
        format!("has not answered for {} s", waited_ms / 1_000)
    }
}

impl ClientError {
    /// The daemon ended before it answered; what was asked can be asked again, under the same
    /// command id.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Http { source: HttpError::Cut, .. } => true,
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
            ),
            Self::Refused(detail) => detail.code == ENDING,
            _ => false,
        }
    }
}
