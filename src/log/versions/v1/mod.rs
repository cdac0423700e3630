//! Version 1 of each kind. Frozen: no field, order or type of these is ever edited.
//!
//! They share no type with the model, so that a change there cannot change stored bytes; each
//! file holds the shapes of its subject and their conversions both ways.

mod attempt;
mod config;
mod daemon;
mod hold;
mod probe;
mod prune;
mod reason;
mod run;
mod service;
mod spec;

pub use attempt::{
    AttemptEnd, AttemptEnded, AttemptIntended, AttemptStarted, ExitStatus, Final, LimitBy,
    LimitsBy, OutputEnd, OutputLost, Process, Tracking, Usage,
};
pub use config::{ConfigRejected, ConfigResolved};
pub use daemon::{
    ClockJumped, DaemonStarted, DaemonStopReason, DaemonStopped, EnvironmentCreated,
    RecoveryFinished,
};
pub use hold::{
    Due, PauseRequested, PausedBy, QueuePaused, QueueUnpaused, QueuedReason, RestartScheduled,
    RunPaused, RunQueued, RunUnpaused, UnpauseRequested,
};
pub use prune::{PruneRequested, RunPinned, RunsPruned};
pub use reason::{LostReason, OutputLossReason, SpawnError, StopReason};
pub use run::{
    Asker, Outcome, QueueSet, RejectReason, RunAdmitted, RunEnded, RunReason, SignalRequested,
    SignalSent, SkipReason, StopRequested,
};
pub use service::{
    HealthChanged, PortAssigned, PortConflict, PortReleased, RestartRequested, ServiceDeclared,
    ServiceForgotten, ServiceUnwanted, ServiceWanted,
};
pub use spec::{
    Backoff, Capture, Condition, Dependency, Kind, LockBusy, LockWish, OnInterrupt, ResourceLimits,
    Retry, RunSpec, Strays, WindowSize,
};

use crate::log::codec::DecodeReason;
use crate::model::{RunId, Signal};

/// A stored run id; 60 bits.
fn run_id(number: u64) -> Result<RunId, DecodeReason> {
    let id = RunId::from_chance(number);
    if id.to_u64() == number { Ok(id) } else { Err(DecodeReason::BadField("run")) }
}

/// A stored signal number; 1 to 64.
fn signal(number: u8) -> Result<Signal, DecodeReason> {
    Signal::new(i32::from(number)).ok_or(DecodeReason::BadField("signal"))
}

/// A signal as stored.
pub(in crate::log) fn signal_byte(signal: Signal) -> u8 {
    u8::try_from(signal.number()).expect("signals are 1 to 64")
}
