//! Output of an attempt: two files that the child writes itself, and an index beside them that
//! says what was there when.
//!
//! ```text
//! <base>.out  <base>.err   O_APPEND, given to the child; old bytes become holes above the bound
//! <base>.idx               32-byte entries: wall ms i64 │ boottime ms u64 │ out len │ err len
//! ```

pub mod index;
pub mod reader;
pub mod recorder;
pub mod stream;
pub mod tail;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StreamName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl StreamName {
    /// Both, in the order of an index entry.
    pub const BOTH: [Self; 2] = [Self::Stdout, Self::Stderr];

    fn ending(self) -> &'static str {
        match self {
            Self::Stdout => ".out",
            Self::Stderr => ".err",
        }
    }

    /// Its file.
    pub fn path(self, base: &Path) -> PathBuf {
        with_ending(base, self.ending())
    }
}

/// The index beside the two files.
pub fn index_path(base: &Path) -> PathBuf {
    with_ending(base, ".idx")
}

fn with_ending(base: &Path, ending: &str) -> PathBuf {
    let mut path = OsString::from(base);
    path.push(ending);
    path.into()
}
