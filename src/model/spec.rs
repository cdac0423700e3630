//! What is asked for: one run, completely described.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::bytestring::ByteString;
use super::digest::Digest;
use super::id::{QueueName, RunId};
use super::signal::Signal;

/// What sort of thing a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A command that ends.
    Job,
    /// The parent of many jobs, without a process of its own.
    Batch,
}

/// What happens to processes that outlive the main one of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strays {
    /// They are killed when the main process ends.
    #[default]
    Kill,
    /// They live on; the attempt ends with the main process.
    Keep,
}

/// Everything that an attempt of a run needs, fixed at admission.
///
/// Arguments and variables are stored masked (law 9): where [`RunSpec::secrets`] is set, the
/// values behind the markers lie in that file until no run of it can start any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// For people and selectors; 1 to 200 bytes without control characters.
    pub name: String,
    /// Job or batch.
    pub kind: Kind,
    /// argv; empty for a batch.
    pub command: Vec<ByteString>,
    /// Working directory of the process.
    pub cwd: ByteString,
    /// Permission bits that its new files do not get (umask(2)).
    pub umask: u32,
    /// The blob of the environment variables; `None` for a batch.
    pub variables: Option<Digest>,
    /// Whose secrets file holds the values behind the markers.
    pub secrets: Option<RunId>,
    /// Free words to select by.
    pub labels: BTreeMap<String, String>,
    /// Where it waits; `None` starts at once.
    pub queue: Option<QueueName>,
    /// The start waits for a client to hand over its standard input.
    pub attached: bool,
    /// Running time after which it is stopped, in milliseconds of `CLOCK_BOOTTIME`.
    pub timeout_ms: Option<u64>,
    /// The first signal of a stop or a timeout.
    pub stop_signal: Signal,
    /// Time between that signal and SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// What outlives the main process.
    pub strays: Strays,
    /// Newest bytes kept of each output stream.
    pub output_bytes_max: u64,
    /// The same key never starts a second run while the first is kept.
    pub key: Option<String>,
    /// The batch that it is a line of, the batch that it continues, the run that it repeats.
    pub parent: Option<RunId>,
    /// The line of a batch as it was written, masked.
    pub line: Option<ByteString>,
    /// Of a batch: the first failure cancels the rest.
    pub fail_fast: bool,
}
