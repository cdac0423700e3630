//! What the world says: shims, clocks and the process table report, the engine decides.

use std::sync::Arc;

use super::config::Resolution;
use super::event::{AttemptEnd, DaemonStopReason, LostReason, OutputLossReason, PausedBy, Process};
use super::id::{EnvironmentId, RunId, ServiceName};
use super::service::spec::{Health, PortHolder};
use super::signal::Signal;
use super::time::BootId;

/// Past tense, with the world as subject. All of it may come late, twice, or never.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// The environment was just made.
    EnvironmentMade {
        /// Its name.
        id: EnvironmentId,
    },
    /// This daemon begins.
    DaemonBegan {
        /// Its process.
        pid: u32,
        /// Version of jr.
        version: String,
        /// The boot that it lives in.
        boot: BootId,
        /// Usable cores.
        cores: u32,
    },
    /// This daemon is about to end.
    DaemonEnds {
        /// Why.
        reason: DaemonStopReason,
    },
    /// Configuration files changed and can be used.
    ConfigChanged {
        /// What they say now.
        resolution: Arc<Resolution>,
    },
    /// Configuration files changed and cannot be used.
    ConfigRefused {
        /// Which.
        source: String,
        /// Why.
        reason: String,
    },
    /// The wall clock moved against `CLOCK_BOOTTIME`.
    ClockJumped {
        /// How far, in milliseconds.
        by_ms: i64,
    },
    /// A shim made the process.
    ProcessStarted {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// The process.
        process: Process,
    },
    /// A shim saw the end, or that nothing could begin.
    ProcessEnded {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How.
        end: AttemptEnd,
    },
    /// A shim gave the start back and will refuse it for ever.
    StartWithdrawn {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
    },
    /// The shim is gone and its tree was proven empty.
    ShimLost {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How.
        reason: LostReason,
    },
    /// A shim sent a signal.
    SignalDelivered {
        /// To which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// Which.
        signal: Signal,
        /// `errno` if it failed.
        errno: Option<i32>,
    },
    /// A shim holds the tree still.
    TreePaused {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How.
        by: PausedBy,
    },
    /// A shim lets the tree go on.
    TreeResumed {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
    },
    /// Ports that were free when the shell looked: name and number. None, where there are none.
    PortsFound {
        /// For which run.
        run: RunId,
        /// By name.
        ports: Vec<(String, u16)>,
    },
    /// Somebody else holds a port that an attempt was to get.
    PortHeld {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// The port.
        number: u16,
        /// Who, where that can be seen.
        holder: Option<PortHolder>,
    },
    /// A service answers otherwise than before.
    HealthSeen {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How.
        health: Health,
        /// What it answered, where it is not well.
        detail: Option<String>,
    },
    /// A service was not ready in time.
    StartupOverdue {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// What it answered last.
        detail: Option<String>,
    },
    /// Files that a service watches have changed.
    FilesChanged {
        /// Which service.
        service: ServiceName,
        /// One of them.
        path: String,
    },
    /// A prune is over.
    Pruned {
        /// The record that asked for it.
        request: u64,
        /// What came of it.
        pruned: Pruned,
    },
    /// A shim lost output.
    OutputMissing {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How much.
        bytes: Option<u64>,
        /// Why.
        reason: OutputLossReason,
    },
}

/// What came of a prune.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// As in its request.
    pub before: u64,
    /// Runs that are gone.
    pub runs: u64,
    /// Records that lost their payloads, or are hidden until they do.
    pub events: u64,
    /// Bytes that the disk has back.
    pub bytes: u64,
    /// What could not be done.
    pub error: Option<String>,
}

/// What the shell found of one intended attempt when the daemon started (docs/recovery.md).
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// A whole exit record in a shim's journal, of any boot.
    Exited(AttemptEnd),
    /// Its shim answers: running.
    Running {
        /// What.
        process: Process,
        /// Whether it holds the tree still, and how.
        paused: Option<PausedBy>,
    },
    /// Its shim answers: held, not begun.
    Held,
    /// Claimed in this boot; the shim was gone or mute and has been fenced.
    Fenced(LostReason),
    /// No shim claimed it in this boot.
    Unclaimed,
    /// It was intended in another boot and there is no exit record.
    OtherBoot,
}
