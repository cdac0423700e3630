//! What can be wrong with a bundle.

use std::io;
use std::path::PathBuf;

use crate::log::LogError;

/// Nothing of a bundle is believed before all of it was checked.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The system refused.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It does not end with a seal.
    #[error("it is no bundle, or its end is missing")]
    NoSeal,
    /// The bytes are not those that were sealed.
    #[error("it is damaged: its bytes do not match its seal")]
    Seal,
    /// The archive is not laid out as one.
    #[error("{member}: {what}")]
    Layout {
        /// Where.
        member: String,
        /// What is wrong.
        what: String,
    },
    /// A newer jr made it.
    #[error("its format is {0}, which this jr does not know: a newer one made it")]
    Newer(u64),
    /// It asks for more than any bundle needs.
    #[error("it is too large: more than {limit} {of}")]
    TooLarge {
        /// Bytes, members, …
        of: &'static str,
        /// How many are taken.
        limit: u64,
    },
    /// A record is not what its digest was made of, or does not continue the one before it.
    #[error("record {seq}: {what}")]
    Record {
        /// Which.
        seq: u64,
        /// What is wrong.
        what: String,
    },
    /// A projection comes to something else here.
    #[error("projection {name}: {found} here, {expected} where it was made")]
    Projection {
        /// Which.
        name: String,
        /// What was sealed.
        expected: String,
        /// What was folded.
        found: String,
    },
    /// The state before the first record cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl BundleError {
    pub(super) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    pub(super) fn layout(member: &str, what: impl Into<String>) -> Self {
        Self::Layout { member: member.to_owned(), what: what.into() }
    }
}
