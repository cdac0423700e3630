//! Where a run stands, and which event may move it where: one total function.
//!
//! ```text
//!                    never_started
//!              ┌───────────────────────┐
//!              ▼                       │
//! admitted ─▶ queued ──intended──▶ starting ──started──▶ running      (batch: admitted ─▶ running)
//!              │                       │ └─────ended──────┐ │ ended
//!              │ stop_requested        │ stop_requested   ▼ ▼
//!              └──────────▶ stopping ◀─┴─────────────── delayed
//!                              │                           │
//!                              └────────▶ ended ◀──────────┘ run_ended
//! ```
//! `delayed` lies between the end of an attempt and what follows from it; without retries the
//! run's end follows in the same commit.

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
    /// Between attempts.
    Delayed,
    /// Over.
    Ended,
}

impl Phase {
    /// All phases, for tables.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Starting, Self::Running, Self::Stopping, Self::Delayed, Self::Ended];

    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
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
    use Phase::{Delayed, Ended, Queued, Running, Starting, Stopping};
    let illegal = Err(IllegalEvent::Phase { phase, event: event.kind_name() });
    match event {
        Event::AttemptIntended { .. } => match phase {
            Queued => Ok(Starting),
            Starting | Running | Stopping | Delayed | Ended => illegal,
        },
        Event::AttemptStarted { .. } => match phase {
            Starting => Ok(Running),
            Stopping => Ok(Stopping),
            Queued | Running | Delayed | Ended => illegal,
        },
        Event::AttemptEnded { end, .. } => match (phase, end.status) {
            (Starting, ExitStatus::NeverStarted) => Ok(Queued),
            (Running, ExitStatus::NeverStarted) | (Queued | Delayed | Ended, _) => illegal,
            (Starting | Running, _) => Ok(Delayed),
            (Stopping, _) => Ok(Stopping),
        },
        Event::StopRequested { .. } => match phase {
            Queued | Starting | Running | Stopping | Delayed => Ok(Stopping),
            Ended => illegal,
        },
        Event::SignalRequested { .. } | Event::SignalSent { .. } => match phase {
            Running | Stopping => Ok(phase),
            Queued | Starting | Delayed | Ended => illegal,
        },
        Event::OutputLost { .. } => match phase {
            Starting | Running | Stopping | Delayed => Ok(phase),
            Queued | Ended => illegal,
        },
        // A batch has no attempt and ends from `running`; `Run::apply` tells the two apart.
        Event::RunEnded { .. } => match phase {
            Stopping | Delayed | Running => Ok(Ended),
            Queued | Starting | Ended => illegal,
        },
        Event::RunAdmitted { .. }
        | Event::EnvironmentCreated { .. }
        | Event::DaemonStarted { .. }
        | Event::DaemonStopped { .. }
        | Event::RecoveryFinished { .. }
        | Event::ClockJumped { .. }
        | Event::QueueSet { .. } => illegal,
    }
}
