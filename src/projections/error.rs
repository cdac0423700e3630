//! What can go wrong with the views; none of it is a loss, the log has everything.

use std::io;

use super::source::SourceError;
use crate::model::IllegalEvent;

/// Why the views cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum ViewsError {
    /// The file is not what jr wrote: delete it and open anew.
    #[error("the views are damaged: {what}")]
    Damaged {
        /// Where, and what is wrong there.
        what: String,
    },
    /// The system said no.
    #[error("{operation} the views: {source}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] SourceError),
    /// The log says something that cannot be.
    #[error("record {seq} cannot follow: {source}")]
    Illegal {
        /// Which.
        seq: u64,
        /// Why.
        source: IllegalEvent,
    },
}

impl ViewsError {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }

    pub(super) fn redb(operation: &'static str, error: redb::Error) -> Self {
        match error {
            redb::Error::Io(source) => match source.kind() {
                // Beyond the end of a cut file, and not redb's magic number.
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                    Self::damaged(format!("{operation}: {source}"))
                }
                _ => Self::Io { operation, source },
            },
            other => Self::damaged(format!("{operation}: {other}")),
        }
    }

    /// Whether deleting the file and folding the log again heals it.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }
}
