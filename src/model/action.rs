//! What is to be done in the world, and what is to be answered: data, released when durable.

use super::command::Rejection;
use super::event::{LostReason, Process};
use super::id::{CommandId, QueueName, RunId};
use super::observation::Pruned;
use super::service::plan::Step;
use super::service::spec::{Health, PortWish, Role, Supervision};
use super::signal::Signal;
use super::slots::Slot;
use super::spec::RunSpec;
use super::state::Pruning;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An effect. The shell performs it; what comes of it returns as an observation.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Give the attempt to a shim, once there is a slot for it. Idempotent by (run, attempt).
    Start {
        /// Which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// What to start.
        spec: Arc<RunSpec>,
        /// Ports that it gets, the main one first.
        ports: Vec<(String, u16)>,
        /// Names of those that jr binds for it, each with its address.
        passed: Vec<(String, Option<String>)>,
        /// It says by itself when it is ready.
        notifies: bool,
        /// Of a command beside a service: the service's own process, where it lives.
        main_pid: Option<u32>,
        /// Where it gets its slot; at once without one.
        slot: Option<Slot>,
    },
    /// A queue has another number of slots for what was given ahead of them.
    Resize {
        /// Which.
        queue: QueueName,
        /// 0 while it is paused.
        limit: u32,
    },
    /// Find free ports for a replica that is about to begin.
    FindPorts {
        /// Its run.
        run: RunId,
        /// The replica.
        role: Role,
        /// What it wants.
        wishes: Vec<PortWish>,
        /// Ports that others have, whether they use them now or not.
        avoid: BTreeSet<u16>,
    },
    /// Ask a live attempt of a service, until it is forgotten.
    Watch(Box<Watch>),
    /// Withdraw the start if nothing has begun, else end the tree. The shim answers which.
    Stop {
        /// Which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// First signal.
        signal: Signal,
        /// Until SIGKILL, in milliseconds.
        grace_ms: u64,
    },
    /// Send a signal to the attempt's process group.
    Signal {
        /// Which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// Which signal.
        signal: Signal,
    },
    /// Hold its tree still, or withdraw the start if nothing has begun. The shim answers which.
    Pause {
        /// Which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
    },
    /// Let its tree go on.
    Unpause {
        /// Which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
    },
    /// The end of the attempt is in the log: the shim may forget it.
    Forget {
        /// Which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
    },
    /// Take away what a prune lets go. Idempotent; goes on where an earlier daemon died.
    Prune(Pruning),
    /// A prune is over, and that is durable.
    TellPruned(Pruned),
    /// No run that needs these values can start any more.
    DropSecrets {
        /// The command that they came with.
        owner: RunId,
    },
}

/// Whom to ask, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    /// Which run.
    pub run: RunId,
    /// Which attempt.
    pub attempt: u32,
    /// What it is.
    pub spec: Arc<RunSpec>,
    /// How it is asked.
    pub supervision: Arc<Supervision>,
    /// Its ports, the main one first.
    pub ports: Vec<(String, u16)>,
    /// Its process.
    pub process: Process,
    /// What is known already.
    pub health: Option<Health>,
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The run is in the log.
    Admitted {
        /// Its id; an older one where the key or the command's id was known.
        run: RunId,
        /// It was there before.
        existing: bool,
    },
    /// Each run that was to be stopped.
    Stopping(Vec<(RunId, StopAnswer)>),
    /// Each run that was to get a signal.
    Signalling(Vec<(RunId, SignalAnswer)>),
    /// Each run that was to be held.
    Pausing(Vec<(RunId, PauseAnswer)>),
    /// Each run that was to go on.
    Resuming(Vec<(RunId, ResumeAnswer)>),
    /// What is done about services.
    Planned(Vec<Step>),
    /// A prune has begun.
    Pruning {
        /// The record that asks for it.
        request: u64,
    },
    /// It is done.
    Done,
    /// It is not done.
    Rejected(Rejection),
}

/// What a stop does to one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopAnswer {
    /// It had not begun and has ended now.
    Cancelled,
    /// It is being stopped.
    Stopping,
    /// It had ended before.
    AlreadyEnded,
}

/// What a signal does to one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAnswer {
    /// It is being sent.
    Sending,
    /// Nothing runs there.
    NotRunning,
}

/// What a pause does to one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseAnswer {
    /// It had no process; it keeps its place and gets no start.
    Held,
    /// Its processes are being held.
    Pausing,
    /// It was held before.
    AlreadyPaused,
    /// It is being stopped.
    Stopping,
    /// It had ended before.
    AlreadyEnded,
}

/// What a resume does to one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeAnswer {
    /// It goes on.
    Resumed,
    /// It was neither held nor delayed.
    NotPaused,
    /// It had ended before.
    AlreadyEnded,
}

/// A reply with its addressee.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The command.
    pub to: CommandId,
    /// What to say.
    pub reply: Reply,
}

/// A lost attempt, as the shell's fence reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Which run.
    pub run: RunId,
    /// Which attempt.
    pub attempt: u32,
    /// Why.
    pub reason: LostReason,
}
