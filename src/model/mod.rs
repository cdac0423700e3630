//! L0. What is true, in words and types; pure: no clock, no disk, no chance.
//!
//! ```text
//! Input ──decide──▶ [Event] ──apply──▶ State ──react──▶ [Action]
//! ```
//!
//! [`Engine`] is the synchronous machine that joins the three; the daemon, an `isolated`
//! environment and the simulator are shells around it.

pub mod action;
pub mod attempt;
pub mod backoff;
pub mod batch_line;
pub mod bytestring;
pub mod check;
pub mod command;
pub mod commit;
pub mod config;
pub mod decide;
pub mod digest;
pub mod enforcement;
pub mod engine;
mod errno;
pub mod event;
mod hold;
pub mod id;
pub mod notation;
pub mod observation;
pub mod outcome;
pub mod phase;
mod prune;
pub mod react;
pub mod reason;
pub mod recover;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod service;
pub mod signal;
pub mod slots;
pub mod spec;
pub mod state;
pub mod time;
pub mod waits;

pub use action::{Action, Reply};
pub use bytestring::ByteString;
pub use check::{Checker, Violation};
pub use command::{Command, Rejection, Request};
pub use commit::GitCommit;
pub use config::{ConfigSource, Resolution};
pub use digest::Digest;
pub use enforcement::{LimitBy, LimitsBy};
pub use engine::{Engine, Input, Release};
pub use event::{
    AttemptEnd, Cause, Envelope, Event, ExitStatus, LostReason, Outcome, OutputEnd, PausedBy,
    RunReason, SpawnError, Usage,
};
pub use id::{BadName, CommandId, EnvironmentId, LockName, QueueName, RunId, ServiceName};
pub use observation::{Finding, Observation, Pruned};
pub use phase::{IllegalEvent, Phase};
pub use run::Run;
pub use signal::Signal;
pub use slots::{Slot, Slots};
pub use spec::{
    Backoff, Capture, Condition, Dependency, Kind, LockBusy, LockWish, OnInterrupt, ResourceLimits,
    Retry, RunSpec, Strays, WindowSize,
};
pub use state::{Pruning, State};
pub use time::{BootId, Now, UnixMillis};
