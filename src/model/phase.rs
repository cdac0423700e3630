//! Where a run stands, and which event may move it where: one total function.
//!
//! ```text
//!                    never_started                            paused
//!              ┌───────────────────────┐               ┌──────────────────┐
//!              ▼                       │               ▼                  │
//! admitted ─▶ queued ──intended──▶ starting ──started──▶ running ◀──▶ paused   (batch: ─▶ running)
//!              │  ▲ │                  │ └───ended────┐ │ ended │
//!              │  │ └─ pause_requested ─▶ paused      ▼ ▼       ▼
//!              │  └───────── run_queued ──────────── delayed ◀──┘
//!              │ stop_requested, from everywhere         │
//!              └──────────▶ stopping ─────▶ ended ◀──────┘ run_ended
//! ```
//! `delayed` lies between the end of an attempt and what follows from it: the run's end in the
//! same commit, or a wait for the time of a retry, or for somebody who resumes it.

use serde::{Deserialize, Serialize};

use super::event::{Event, ExitStatus};
use super::id::RunId;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It waits for a slot.
    Queued,
    /// An attempt is intended; nobody has seen a process yet.
    Starting,
    /// A process lives (of a batch: some line has not ended).
    Running,
    /// It was asked to end.
    Stopping,
    /// It is held: its processes stand still, or it keeps its place without a start.
    Paused,
    /// Between attempts.
    Delayed,
    /// Over.
    Ended,
}

impl Phase {
    /// All phases, for tables.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Paused,
        Self::Stopping,
        Self::Delayed,
        Self::Ended,
    ];

    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Delayed => "delayed",
            Self::Ended => "ended",
        }
    }
}

/// An event that the lifecycle has no place for. In a log it means damage; from `decide`, a bug.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEvent {
    /// The phase does not allow it.
    #[error("{event} does not fit a run that is {}", phase.word())]
    Phase {
        /// Where the run stood.
        phase: Phase,
        /// What came.
        event: &'static str,
    },
    /// There is no such live run.
    #[error("{event} names run {run}, which does not live")]
    NoSuchRun {
        /// The name.
        run: RunId,
        /// What came.
        event: &'static str,
    },
    /// The run was admitted before.
    #[error("run {run} is admitted twice")]
    AdmittedTwice {
        /// The name.
        run: RunId,
    },
    /// Attempts are numbered from 1 without gaps, one at a time.
    #[error("{event} names attempt {found} of run {run}, which is at attempt {at}")]
    Attempt {
        /// The run.
        run: RunId,
        /// Where it is.
        at: u32,
        /// What came.
        found: u32,
        /// With which event.
        event: &'static str,
    },
    /// A run ends only when its attempt has.
    #[error("run {run} ends while its attempt {attempt} lives")]
    AttemptLives {
        /// The run.
        run: RunId,
        /// The attempt.
        attempt: u32,
    },
    /// Seqs are dense.
    #[error("event {found} came where {expected} was due")]
    Seq {
        /// What was due.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A fact that can come only once, or only first, came again or late.
    #[error("{event} is out of place")]
    OutOfPlace {
        /// What came.
        event: &'static str,
    },
}

/// The phase after `event`.
///
/// # Errors
/// [`IllegalEvent::Phase`] with both sides of the clash.
pub fn next(phase: Phase, event: &Event) -> Result<Phase, IllegalEvent> {
    use Phase::{Delayed, Ended, Paused, Queued, Running, Starting, Stopping};
    let illegal = Err(IllegalEvent::Phase { phase, event: event.kind_name() });
    match event {
        Event::AttemptIntended { .. } => match phase {
            Queued => Ok(Starting),
            Starting | Running | Paused | Stopping | Delayed | Ended => illegal,
        },
        Event::AttemptStarted { .. } => match phase {
            Starting => Ok(Running),
            Stopping => Ok(Stopping),
            Queued | Running | Paused | Delayed | Ended => illegal,
        },
        // A start that was given back because of a pause makes the run `paused`: `Run::apply`.
        Event::AttemptEnded { end, .. } => match (phase, end.status) {
            (Starting, ExitStatus::NeverStarted) => Ok(Queued),
            (Running | Paused, ExitStatus::NeverStarted) | (Queued | Delayed | Ended, _) => illegal,
            (Starting | Running | Paused, _) => Ok(Delayed),
            (Stopping, _) => Ok(Stopping),
        },
        // What had to come first failed, so that it is not `delayed` yet.
        Event::RestartScheduled { .. } => match phase {
            Delayed | Queued => Ok(Delayed),
            Starting | Running | Paused | Stopping | Ended => illegal,
        },
        Event::RunQueued { .. } => match phase {
            Delayed => Ok(Queued),
            Queued | Starting | Running | Paused | Stopping | Ended => illegal,
        },
        Event::PauseRequested { .. }
        | Event::RunPaused { .. }
        | Event::UnpauseRequested { .. }
        | Event::RunUnpaused { .. } => hold(phase, event).map_or(illegal, Ok),
        Event::StopRequested { .. } => match phase {
            Queued | Starting | Running | Paused | Stopping | Delayed => Ok(Stopping),
            Ended => illegal,
        },
        Event::SignalRequested { .. } | Event::SignalSent { .. } => match phase {
            Running | Paused | Stopping => Ok(phase),
            Queued | Starting | Delayed | Ended => illegal,
        },
        Event::HealthChanged { .. }
        | Event::RestartRequested { .. }
        | Event::PortConflict { .. } => watched(phase, event).map_or(illegal, Ok),
        Event::OutputLost { .. } => match phase {
            Starting | Running | Paused | Stopping | Delayed => Ok(phase),
            Queued | Ended => illegal,
        },
        // A batch has no attempt and ends from `running`; what is skipped or rejected never began.
        // `Run::apply` tells them apart.
        Event::RunEnded { .. } => match phase {
            Queued | Paused | Stopping | Delayed | Running => Ok(Ended),
            Starting | Ended => illegal,
        },
        Event::RunAdmitted { .. }
        | Event::EnvironmentCreated { .. }
        | Event::DaemonStarted { .. }
        | Event::DaemonStopped { .. }
        | Event::RecoveryFinished { .. }
        | Event::ClockJumped { .. }
        | Event::ConfigResolved { .. }
        | Event::ConfigRejected { .. }
        | Event::PruneRequested { .. }
        | Event::RunsPruned { .. }
        | Event::RunPinned { .. }
        | Event::QueueSet { .. }
        | Event::QueuePaused { .. }
        | Event::ServiceDeclared { .. }
        | Event::ServiceForgotten { .. }
        | Event::ServiceWanted { .. }
        | Event::ServiceUnwanted { .. }
        | Event::PortAssigned { .. }
        | Event::PortReleased { .. }
        | Event::QueueUnpaused { .. } => illegal,
    }
}

/// The phase after what is seen of a service; `None` where it has no place.
fn watched(phase: Phase, event: &Event) -> Option<Phase> {
    use Phase::{Paused, Running, Starting, Stopping};
    let fits = match event {
        Event::PortConflict { .. } => matches!(phase, Starting | Stopping),
        _ => matches!(phase, Running | Paused),
    };
    fits.then_some(phase)
}

/// The phase after a hold, or after what was held goes on; `None` where it has no place.
fn hold(phase: Phase, event: &Event) -> Option<Phase> {
    use Phase::{Delayed, Paused, Queued, Running, Starting, Stopping};
    match (event, phase) {
        (Event::PauseRequested { .. }, Queued | Delayed | Paused)
        | (Event::RunPaused { .. }, Running) => Some(Paused),
        // What was paused without a live attempt is `queued` at once: `Run::apply`.
        (Event::PauseRequested { .. }, Starting | Running)
        | (Event::UnpauseRequested { .. }, Starting | Running | Paused) => Some(phase),
        (Event::RunUnpaused { .. }, Paused) => Some(Running),
        (Event::RunPaused { .. } | Event::RunUnpaused { .. }, Stopping) => Some(Stopping),
        _ => None,
    }
}
