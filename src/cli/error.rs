//! What a command says when it cannot do what was asked.

use std::borrow::Cow;
use std::path::Path;

use crate::bundle::BundleError;
use crate::daemon::client::ClientError;
use crate::daemon::machine::Elsewhere;
use crate::daemon::place::PlaceError;
use crate::daemon::protocol::ErrorDetail;
use crate::model::id::BadName;
use crate::projections::query::QueryError;

use super::exit;

/// A failure with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// A word for scripts.
    pub code: Cow<'static, str>,
    /// What, where, why.
    pub message: String,
    /// The next command.
    pub hint: Option<String>,
    /// What jr ends with.
    pub exit: u8,
}

impl CommandError {
    /// A failure without a hint.
    pub fn new(code: &'static str, exit: u8, message: impl Into<String>) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into(), hint: None, exit }
    }

    /// Words that jr cannot make sense of.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", exit::USAGE, message)
    }

    /// The system refused.
    pub fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::new("io", exit::FAILED, format!("{what}: {error}"))
    }

    /// A bundle that cannot be believed, read or made.
    pub fn of_bundle(path: &Path, error: &BundleError) -> Self {
        let message = match error {
            // It names the file itself.
            BundleError::Io { .. } => error.to_string(),
            error => format!("{}: {error}", path.display()),
        };
        let hint = match error {
            BundleError::Io { .. } => return Self::new("bundle", exit::FAILED, message),
            BundleError::Newer(_) => "use the jr that made it, or a newer one",
            BundleError::Projection { .. } => {
                "this jr folds the same records differently: report it"
            }
            _ => "fetch it again, or make a new one where it came from: jr debug-report",
        };
        Self::new("bundle", exit::FAILED, message).hint(hint)
    }

    /// An environment whose processes are not its own.
    pub fn elsewhere(root: &Path, why: Elsewhere) -> Self {
        let message = format!("{} {why}", root.display());
        let hint = match why {
            Elsewhere::OtherMachine => {
                "if it was moved here: jr resume --take-over; what lived there is then lost, as \
                 after a reboot"
            }
            Elsewhere::Copy => {
                "if it is to go on beside it: jr resume --take-over; what lives is then lost here, \
                 and stays the original's"
            }
        };
        Self::new(why.code(), exit::UNAVAILABLE, message).hint(hint)
    }

    /// Adds the next command.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::NotYours { .. } => {
                Self::new("not_permitted", exit::NOT_PERMITTED, message)
                    .hint("remove that socket, or set JR_HOME to a directory of your own")
            }
            ClientError::Busy { .. } => {
                Self::new("busy", exit::BUSY, message).hint("try again in a moment")
            }
            ClientError::Mute { pid, is_stopped, .. } => {
                let hint = if is_stopped {
                    format!("let it go on: kill -CONT {pid}")
                } else {
                    format!("see: jr doctor; or end it, what runs goes on: kill -9 {pid}")
                };
                Self::new("daemon_mute", exit::BUSY, message).hint(hint)
            }
            ClientError::Elsewhere { root, why } => Self::elsewhere(&root, why),
            ClientError::Newer { .. } => Self::new("daemon_newer", exit::UNAVAILABLE, message)
                .hint("use the newer jr that started it, or end it: jr daemon stop"),
            ClientError::Start { .. } => Self::new("daemon_start", exit::UNAVAILABLE, message)
                .hint("see it fail in the foreground: jr daemon run"),
            ClientError::Io { ref source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Self::new("not_permitted", exit::NOT_PERMITTED, message)
            }
            ClientError::Io { ref source, .. } if is_timeout(source) => {
                Self::new("busy", exit::BUSY, message).hint("try again in a moment")
            }
            ClientError::Io { .. } | ClientError::Http { .. } => {
                Self::new("daemon_unavailable", exit::UNAVAILABLE, message).hint("jr daemon status")
            }
            ClientError::Isolated { .. } => Self::new("isolated", exit::USAGE, message)
                .hint("run something in it: jr run, jr batch; or use another: -e local"),
            ClientError::Refused(detail) => Self::from(detail),
        }
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

impl From<ErrorDetail> for CommandError {
    fn from(detail: ErrorDetail) -> Self {
        let exit = u8::try_from(detail.exit_code).unwrap_or(exit::FAILED);
        Self {
            code: Cow::Owned(detail.code),
            message: detail.message,
            hint: detail.hint,
            exit: if exit == exit::OK { exit::FAILED } else { exit },
        }
    }
}

impl From<QueryError> for CommandError {
    fn from(error: QueryError) -> Self {
        let (code, exit) = match error {
            QueryError::NoSuchRun { .. } | QueryError::MaybePruned { .. } => {
                ("no_such_run", exit::NOT_FOUND)
            }
            QueryError::NoneLives { .. } => ("none_lives", exit::NOT_FOUND),
            QueryError::NoSuchService { .. } => ("no_such_service", exit::NOT_FOUND),
            QueryError::Ambiguous { .. } => ("ambiguous", exit::USAGE),
            QueryError::BadKind { .. } => ("bad_kind", exit::USAGE),
            QueryError::BadSelector { .. } => ("bad_selector", exit::USAGE),
            QueryError::Pruned { .. } => ("pruned", exit::USAGE),
            QueryError::Beyond { .. } => ("beyond", exit::USAGE),
            QueryError::Backwards { .. } => ("usage", exit::USAGE),
            QueryError::Damaged { .. } | QueryError::Log { .. } => ("log", exit::FAILED),
            QueryError::Ending => ("daemon_ending", exit::UNAVAILABLE),
        };
        Self::new(code, exit, error.to_string()).hint(error.hint())
    }
}

impl From<PlaceError> for CommandError {
    fn from(error: PlaceError) -> Self {
        Self::new("place", exit::USAGE, error.to_string())
    }
}

impl From<BadName> for CommandError {
    fn from(error: BadName) -> Self {
        Self::usage(error.to_string())
    }
}
