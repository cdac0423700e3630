//! What is asked, and why not.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bytestring::ByteString;
use super::config::Resolution;
use super::event::{Asker, Cause, Outcome, StopReason};
use super::id::{QueueName, RunId, ServiceName};
use super::service::plan::Wish;
use super::signal::Signal;
use super::spec::RunSpec;

/// One command of a client, with what the shell looked up for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Who asked; the command's id makes sending it again harmless.
    pub cause: Cause,
    /// The seq at which the shell read the facts inside `command`.
    pub facts_seq: u64,
    /// What is asked.
    pub command: Command,
}

/// Imperative. Everything random or looked up stands in it already.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Admit one run.
    Run {
        /// Its fresh id.
        run: RunId,
        /// What it is.
        spec: Arc<RunSpec>,
        /// An older run, known to the views only, that holds the same key.
        key_holder: Option<KeyHolder>,
        /// How those of its dependencies ended that had when the shell looked.
        ended: Vec<(RunId, Outcome)>,
    },
    /// Admit a batch and all its lines in one commit.
    Batch {
        /// Its fresh id.
        run: RunId,
        /// What it is; its queue is where the lines go, else one of its own.
        spec: Arc<RunSpec>,
        /// Slots of the queue of its own.
        jobs: u32,
        /// Its lines, each with a fresh id.
        lines: Vec<BatchLine>,
    },
    /// End runs with their whole trees.
    Stop {
        /// Which.
        runs: Vec<RunId>,
        /// Why.
        reason: StopReason,
        /// Until SIGKILL, in milliseconds; `None` takes the run's own.
        grace_ms: Option<u64>,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// Send a signal to running runs.
    Signal {
        /// Which.
        runs: Vec<RunId>,
        /// What.
        signal: Signal,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// Hold runs.
    Pause {
        /// Which.
        runs: Vec<RunId>,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// Let runs go on that are held or delayed.
    Resume {
        /// Which.
        runs: Vec<RunId>,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// Let all go on that was interrupted and waits to be asked for.
    ResumeInterrupted {
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// A queue gives starts, or none.
    PauseQueue {
        /// Which.
        queue: QueueName,
        /// Whether it gives none.
        paused: bool,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// Prune what lies wholly before a place of the log.
    Prune {
        /// The first record of the history that is kept.
        before: u64,
        /// What was asked: days.
        keep_days: Option<u32>,
        /// What was asked: runs.
        keep_runs: Option<u64>,
    },
    /// Keep a run whatever is pruned, or no longer.
    Pin {
        /// Which.
        run: RunId,
        /// Keep it.
        pinned: bool,
    },
    /// Put a configuration in force.
    Configure {
        /// What the client's files say.
        resolution: Arc<Resolution>,
    },
    /// Declare services, and bring some of them up.
    Up {
        /// What is wished.
        wish: Wish,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// Bring services down.
    Down {
        /// Which; `None` is all.
        services: Option<Vec<ServiceName>>,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// Set the slots of a queue; creates it.
    SetQueue {
        /// Which.
        queue: QueueName,
        /// Slots.
        limit: u32,
    },
}

/// Who holds a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHolder {
    /// The run.
    pub run: RunId,
    /// What it runs: another command under the same key is an error.
    pub command: Vec<ByteString>,
}

/// One line of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchLine {
    /// Fresh id.
    pub run: RunId,
    /// Its name.
    pub name: String,
    /// argv.
    pub command: Vec<ByteString>,
    /// As it was written.
    pub line: ByteString,
}

/// Why not. Each is a full answer for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The shell's facts are too old; it looks again and asks again. Clients never see it.
    #[error("what was looked up at seq {read_at} is too old at seq {head}")]
    StaleFacts {
        /// Where the shell read.
        read_at: u64,
        /// Where the log is.
        head: u64,
    },
    /// The fresh id is not fresh; the shell draws another. Clients never see it.
    #[error("run id {0} is taken")]
    IdTaken(RunId),
    /// The key stands for another command.
    #[error("key {key:?} belongs to run {holder}, which runs another command")]
    KeyConflict {
        /// The key.
        key: String,
        /// Who holds it.
        holder: RunId,
    },
    /// More waits than one environment may hold.
    #[error("{live} runs are waiting or running; the limit is {limit}")]
    TooManyRuns {
        /// Now.
        live: usize,
        /// `limits::LIVE_RUNS`.
        limit: usize,
    },
    /// A queue has at least one slot.
    #[error("a queue needs at least one slot")]
    NoSlots,
    /// There is no such service.
    #[error("there is no service {0}")]
    NoSuchService(ServiceName),
    /// There is no such queue.
    #[error("there is no queue {0}")]
    NoSuchQueue(QueueName),
    /// A prune is under way, and what is asked would have to know what it leaves.
    #[error("a prune is under way")]
    PruneUnderWay,
    /// Pins are kept in memory.
    #[error("{limit} runs are pinned, which is the limit")]
    TooManyPins {
        /// `limits::PINS`.
        limit: usize,
    },
    /// A batch has at least one line.
    #[error("the batch has no lines")]
    EmptyBatch,
}
