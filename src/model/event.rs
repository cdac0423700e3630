//! Facts: what was accepted or seen, in today's shape. The stored shapes are in `log::versions`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use super::attempt::{
    AttemptEnd, ExitStatus, Final, LostReason, OutputEnd, PausedBy, Process, SpawnError, Tracking,
    Usage,
};
use super::config::Resolution;
use super::id::{CommandId, EnvironmentId, QueueName, RunId, ServiceName};
pub use super::outcome::{Outcome, RejectReason, RunReason, SkipReason, StopReason};
pub use super::reason::{DaemonStopReason, OutputLossReason, QueuedReason};
use super::service::spec::{
    AssignedPort, Health, PortHolder, PortRelease, RestartReason, ServiceSpec, UnwantedReason,
};
use super::signal::Signal;
use super::spec::RunSpec;
use super::time::{BootId, UnixMillis};

/// One fact at its place in the log. Never edited; a correction is a further event.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Place in the environment's log: from 1, without gaps. The only order that counts.
    pub seq: u64,
    /// Wall clock at the append. For people, not for logic.
    pub time: UnixMillis,
    /// The command behind it; `None` for what the daemon saw by itself.
    pub cause: Option<Cause>,
    /// The fact.
    pub event: Event,
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The client's command; repeated when the client sends it again.
    pub command: CommandId,
    /// The user of the client, by the socket's peer credentials.
    pub uid: u32,
}

/// The client that a request came from, so that `jr why` can tell people who did it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// Its process, by the socket's peer credentials.
    pub pid: u32,
    /// Its command line as it tells it, `limits::ASKER_BYTES` at most.
    pub command: String,
}

/// When something that waits for time goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Due {
    /// By the wall clock: for people, and after a reboot.
    pub at: UnixMillis,
    /// By `CLOCK_BOOTTIME` of the boot that the record was written in, in milliseconds.
    pub boottime_ms: u64,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The log begins.
    EnvironmentCreated {
        /// Its name.
        id: EnvironmentId,
    },
    /// A daemon took the environment.
    DaemonStarted {
        /// Its process.
        pid: u32,
        /// Version of jr.
        version: String,
        /// The boot that it lives in.
        boot: BootId,
        /// Usable cores: the limit of a queue that nobody set.
        cores: u32,
    },
    /// A daemon gave the environment up in good order.
    DaemonStopped {
        /// Why.
        reason: DaemonStopReason,
    },
    /// All that was found at the start of a daemon has been dealt with.
    RecoveryFinished {
        /// Attempts that live on.
        adopted: u32,
        /// Attempts that had ended, with their status.
        ended: u32,
        /// Attempts of which nobody knows the end.
        lost: u32,
        /// Attempts that never began; their runs wait again.
        requeued: u32,
    },
    /// The wall clock moved against `CLOCK_BOOTTIME`.
    ClockJumped {
        /// How far, in milliseconds; negative is back.
        by_ms: i64,
    },
    /// What the configuration files say is in force from now on.
    ConfigResolved {
        /// What they say.
        resolution: Resolution,
    },
    /// Configuration files changed and cannot be used: what was in force stays.
    ConfigRejected {
        /// Which file.
        source: String,
        /// Why.
        reason: String,
    },
    /// A run was accepted.
    RunAdmitted {
        /// Its name for ever.
        run: RunId,
        /// What it is.
        spec: Arc<RunSpec>,
    },
    /// An attempt will be started. Durable before anything is.
    AttemptIntended {
        /// Of which run.
        run: RunId,
        /// From 1; never used again.
        attempt: u32,
        /// Ports that it gets, the main one first.
        ports: Vec<(String, u16)>,
    },
    /// A process exists.
    AttemptStarted {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// What is known of the process.
        process: Process,
    },
    /// The attempt is over.
    AttemptEnded {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How.
        end: AttemptEnd,
    },
    /// The run is over; nothing of it lives again.
    RunEnded {
        /// Which.
        run: RunId,
        /// How.
        outcome: Outcome,
    },
    /// The run will be stopped. Durable before any signal.
    StopRequested {
        /// Which.
        run: RunId,
        /// Why.
        reason: StopReason,
        /// First signal.
        signal: Signal,
        /// Until SIGKILL, in milliseconds.
        grace_ms: u64,
        /// Whose wish it is; `None` where it follows from something else.
        asker: Option<Asker>,
    },
    /// A signal will be sent. Durable before it is.
    SignalRequested {
        /// To which run.
        run: RunId,
        /// To which attempt of it.
        attempt: u32,
        /// Which.
        signal: Signal,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// A signal was sent, or could not be.
    SignalSent {
        /// To which run.
        run: RunId,
        /// To which attempt of it.
        attempt: u32,
        /// Which.
        signal: Signal,
        /// `errno` if it failed.
        errno: Option<i32>,
    },
    /// The limit of a queue was set; creates the queue.
    QueueSet {
        /// Which.
        queue: QueueName,
        /// Slots.
        limit: u32,
    },
    /// A queue gives no more starts; what runs goes on.
    QueuePaused {
        /// Which.
        queue: QueueName,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// A queue gives starts again.
    QueueUnpaused {
        /// Which.
        queue: QueueName,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// The attempt did not succeed and another one follows later.
    RestartScheduled {
        /// Of which run.
        run: RunId,
        /// The attempt that ended.
        attempt: u32,
        /// When the next may begin.
        due: Due,
        /// So many starts in a row that did not last, the next included.
        streak: u32,
    },
    /// A delayed run waits for a start again.
    RunQueued {
        /// Which.
        run: RunId,
        /// Why now.
        reason: QueuedReason,
        /// Whose wish it is; `None` where it follows from something else.
        asker: Option<Asker>,
    },
    /// The run will be held: its processes, or its place in the queue. Durable before it is.
    PauseRequested {
        /// Which.
        run: RunId,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// Its processes are held still.
    RunPaused {
        /// Which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How.
        by: PausedBy,
    },
    /// The run will go on. Durable before it does.
    UnpauseRequested {
        /// Which.
        run: RunId,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// Its processes go on.
    RunUnpaused {
        /// Which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
    },
    /// Runs that lie wholly before a place of the log will be pruned. Durable before any byte goes.
    PruneRequested {
        /// The first record of the history that is kept.
        before: u64,
        /// What was asked: days.
        keep_days: Option<u32>,
        /// What was asked: runs.
        keep_runs: Option<u64>,
    },
    /// They are pruned, or as much of them as could be.
    RunsPruned {
        /// As in the request.
        before: u64,
        /// Runs that are gone.
        runs: u64,
        /// Records that lost their payloads, or are hidden until they do.
        events: u64,
        /// Bytes that the disk has back.
        bytes: u64,
        /// What it could not do.
        error: Option<String>,
    },
    /// A run is to be kept, or no longer. Not a record of the run's own: it may have ended.
    RunPinned {
        /// Which.
        run: RunId,
        /// Kept until further notice.
        pinned: bool,
    },
    /// A service is this from now on.
    ServiceDeclared {
        /// Which.
        service: ServiceName,
        /// What it is to be.
        spec: Arc<ServiceSpec>,
    },
    /// A service is not known any more, once its last run is over.
    ServiceForgotten {
        /// Which.
        service: ServiceName,
    },
    /// A service is to be up.
    ServiceWanted {
        /// Which.
        service: ServiceName,
        /// Whose wish it is.
        asker: Option<Asker>,
    },
    /// A service is not to be up.
    ServiceUnwanted {
        /// Which.
        service: ServiceName,
        /// Why.
        reason: UnwantedReason,
        /// Whose wish it is; `None` where it follows from something else.
        asker: Option<Asker>,
    },
    /// A replica has a port from now on.
    PortAssigned {
        /// Of which service.
        service: ServiceName,
        /// Which replica of it.
        replica: u32,
        /// The port.
        port: AssignedPort,
    },
    /// A replica has a port no longer.
    PortReleased {
        /// Of which service.
        service: ServiceName,
        /// Which replica of it.
        replica: u32,
        /// The port's name.
        name: String,
        /// Its number.
        number: u16,
        /// Why.
        reason: PortRelease,
    },
    /// Somebody else holds a port that an attempt was to get.
    PortConflict {
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
    HealthChanged {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How.
        health: Health,
        /// What it answered, where it is not well.
        detail: Option<String>,
    },
    /// An attempt will be ended so that another can follow. Durable before any signal.
    RestartRequested {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// Why.
        reason: RestartReason,
        /// What was seen.
        detail: Option<String>,
    },
    /// Some output is gone.
    OutputLost {
        /// Of which run.
        run: RunId,
        /// Which attempt.
        attempt: u32,
        /// How many bytes, where that is known.
        bytes: Option<u64>,
        /// Why.
        reason: OutputLossReason,
    },
}

impl Event {
    /// The name of its kind, as `jr events` prints it.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::EnvironmentCreated { .. } => "environment_created",
            Self::DaemonStarted { .. } => "daemon_started",
            Self::DaemonStopped { .. } => "daemon_stopped",
            Self::RecoveryFinished { .. } => "recovery_finished",
            Self::ClockJumped { .. } => "clock_jumped",
            Self::ConfigResolved { .. } => "config_resolved",
            Self::ConfigRejected { .. } => "config_rejected",
            Self::RunAdmitted { .. } => "run_admitted",
            Self::AttemptIntended { .. } => "attempt_intended",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptEnded { .. } => "attempt_ended",
            Self::RunEnded { .. } => "run_ended",
            Self::StopRequested { .. } => "stop_requested",
            Self::SignalRequested { .. } => "signal_requested",
            Self::SignalSent { .. } => "signal_sent",
            Self::QueueSet { .. } => "queue_set",
            Self::QueuePaused { .. } => "queue_paused",
            Self::QueueUnpaused { .. } => "queue_unpaused",
            Self::RestartScheduled { .. } => "restart_scheduled",
            Self::RunQueued { .. } => "run_queued",
            Self::PauseRequested { .. } => "pause_requested",
            Self::RunPaused { .. } => "run_paused",
            Self::UnpauseRequested { .. } => "unpause_requested",
            Self::RunUnpaused { .. } => "run_unpaused",
            Self::OutputLost { .. } => "output_lost",
            Self::PruneRequested { .. } => "prune_requested",
            Self::RunsPruned { .. } => "runs_pruned",
            Self::RunPinned { .. } => "run_pinned",
            Self::ServiceDeclared { .. } => "service_declared",
            Self::ServiceForgotten { .. } => "service_forgotten",
            Self::ServiceWanted { .. } => "service_wanted",
            Self::ServiceUnwanted { .. } => "service_unwanted",
            Self::PortAssigned { .. } => "port_assigned",
            Self::PortReleased { .. } => "port_released",
            Self::PortConflict { .. } => "port_conflict",
            Self::HealthChanged { .. } => "health_changed",
            Self::RestartRequested { .. } => "restart_requested",
        }
    }

    /// The run that it is about.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::RunAdmitted { run, .. }
            | Self::AttemptIntended { run, .. }
            | Self::AttemptStarted { run, .. }
            | Self::AttemptEnded { run, .. }
            | Self::RunEnded { run, .. }
            | Self::StopRequested { run, .. }
            | Self::SignalRequested { run, .. }
            | Self::SignalSent { run, .. }
            | Self::RestartScheduled { run, .. }
            | Self::RunQueued { run, .. }
            | Self::PauseRequested { run, .. }
            | Self::RunPaused { run, .. }
            | Self::UnpauseRequested { run, .. }
            | Self::RunUnpaused { run, .. }
            | Self::PortConflict { run, .. }
            | Self::HealthChanged { run, .. }
            | Self::RestartRequested { run, .. }
            | Self::OutputLost { run, .. } => Some(*run),
            Self::EnvironmentCreated { .. }
            | Self::DaemonStarted { .. }
            | Self::DaemonStopped { .. }
            | Self::RecoveryFinished { .. }
            | Self::ClockJumped { .. }
            | Self::ConfigResolved { .. }
            | Self::ConfigRejected { .. }
            | Self::PruneRequested { .. }
            | Self::RunsPruned { .. }
            | Self::RunPinned { .. }
            | Self::QueueSet { .. }
            | Self::QueuePaused { .. }
            | Self::QueueUnpaused { .. }
            | Self::ServiceDeclared { .. }
            | Self::ServiceForgotten { .. }
            | Self::ServiceWanted { .. }
            | Self::ServiceUnwanted { .. }
            | Self::PortAssigned { .. }
            | Self::PortReleased { .. } => None,
        }
    }

    /// The batch whose queue is paused, or gives starts again.
    pub fn held_batch(&self) -> Option<RunId> {
        let (Self::QueuePaused { queue, .. } | Self::QueueUnpaused { queue, .. }) = self else {
            return None;
        };
        queue.batch()
    }

    /// The service that it is about.
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::ServiceDeclared { service, .. }
            | Self::ServiceForgotten { service }
            | Self::ServiceWanted { service, .. }
            | Self::ServiceUnwanted { service, .. }
            | Self::PortAssigned { service, .. }
            | Self::PortReleased { service, .. } => Some(service),
            Self::RunAdmitted { spec, .. } => spec.role.as_ref().map(|role| &role.service),
            _ => None,
        }
    }
}
