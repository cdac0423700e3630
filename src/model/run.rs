//! One run as the fold of its own records: the same fold for live state, history and `--at`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{
    AttemptEnd, Cause, Due, Envelope, Event, ExitStatus, Outcome, PausedBy, Process, RunReason,
    StopReason,
};
use super::id::RunId;
use super::phase::{self, IllegalEvent, Phase};
use super::service::spec::{Health, RestartReason};
use super::spec::{Kind, RunSpec};
use super::time::UnixMillis;

/// A run at some seq.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its name for ever.
    pub id: RunId,
    /// Who asked for it.
    pub cause: Option<Cause>,
    /// What was asked.
    pub spec: Arc<RunSpec>,
    /// Where it stands.
    pub phase: Phase,
    /// The latest attempt; 0 before the first.
    pub attempt: u32,
    /// Whether that attempt was intended and has not ended.
    pub attempt_lives: bool,
    /// The process of the latest attempt that had one.
    pub process: Option<Process>,
    /// How the latest ended attempt ended.
    pub last_end: Option<AttemptEnd>,
    /// Further attempts that were scheduled.
    pub retries: u32,
    /// Attempts that nobody saw end.
    pub interruptions: u32,
    /// When it goes on, while it is delayed and nobody has to resume it.
    pub due: Option<Due>,
    /// Starts in a row that did not last.
    pub streak: u32,
    /// Ports of the latest attempt, the main one first.
    pub ports: Vec<(String, u16)>,
    /// How the latest attempt answers; `None`: nothing is known, or nobody asks.
    pub health: Option<Health>,
    /// The record that made the latest attempt ready for others, where it was asked.
    pub ready_seq: Option<u64>,
    /// Why the latest attempt is ended so that another can follow.
    pub restart: Option<RestartReason>,
    /// Somebody wants it held.
    pub pause_wanted: bool,
    /// Its processes are held.
    pub paused_by: Option<PausedBy>,
    /// Who asked it to stop.
    pub stop: Option<StopReason>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Its admission.
    pub first_seq: u64,
    /// Its latest record.
    pub last_seq: u64,
    /// When it was admitted.
    pub created_at: UnixMillis,
    /// When its first process was made.
    pub started_at: Option<UnixMillis>,
    /// When it was over.
    pub ended_at: Option<UnixMillis>,
}

impl Run {
    /// The run that `envelope` admits; `None` if it admits none.
    pub fn admitted(envelope: &Envelope) -> Option<Self> {
        let Event::RunAdmitted { run, spec } = &envelope.event else { return None };
        let phase = match spec.kind {
            Kind::Job | Kind::Service => Phase::Queued,
            Kind::Batch => Phase::Running,
        };
        Some(Self {
            id: *run,
            cause: envelope.cause,
            spec: Arc::clone(spec),
            phase,
            attempt: 0,
            attempt_lives: false,
            process: None,
            last_end: None,
            retries: 0,
            interruptions: 0,
            due: None,
            streak: 0,
            ports: Vec::new(),
            health: None,
            ready_seq: None,
            restart: None,
            pause_wanted: false,
            paused_by: None,
            stop: None,
            outcome: None,
            first_seq: envelope.seq,
            last_seq: envelope.seq,
            created_at: envelope.time,
            started_at: (spec.kind == Kind::Batch).then_some(envelope.time),
            ended_at: None,
        })
    }

    /// Takes one more of its records.
    ///
    /// # Errors
    /// [`IllegalEvent`]: the record cannot follow; nothing is changed.
    pub fn apply(&mut self, envelope: &Envelope) -> Result<(), IllegalEvent> {
        let phase = phase::next(self.phase, &envelope.event)?;
        self.check_attempt(&envelope.event)?;
        self.phase = phase;
        self.last_seq = envelope.seq;
        match &envelope.event {
            Event::AttemptIntended { attempt, ports, .. } => self.begin_attempt(*attempt, ports),
            Event::AttemptStarted { process, .. } => {
                self.started_at = self.started_at.or(Some(process.at));
                self.process = Some(process.clone());
            }
            Event::AttemptEnded { end, .. } => self.end_attempt(end),
            Event::RestartScheduled { due, streak, .. } => {
                self.retries += 1;
                self.streak = *streak;
                self.due = Some(*due);
            }
            Event::HealthChanged { health, .. } => {
                self.health = Some(*health);
                let first = health.is_ready().then_some(envelope.seq);
                self.ready_seq = self.ready_seq.or(first);
            }
            Event::RestartRequested { reason, .. } => self.restart = Some(*reason),
            Event::RunQueued { .. } => self.due = None,
            Event::PauseRequested { .. } => {
                self.pause_wanted = true;
                self.due = None;
            }
            Event::UnpauseRequested { .. } => self.let_go_on(),
            Event::RunPaused { by, .. } => self.paused_by = Some(*by),
            Event::RunUnpaused { .. } => self.paused_by = None,
            Event::StopRequested { reason, .. } => {
                self.stop = self.stop.or(Some(*reason));
                self.due = None;
            }
            Event::RunEnded { outcome, .. } => {
                self.outcome = Some(*outcome);
                let seen = self.last_end.as_ref().filter(|_| self.started_at.is_some());
                self.ended_at = Some(seen.map_or(envelope.time, |end| end.at));
            }
            Event::SignalRequested { .. }
            | Event::SignalSent { .. }
            | Event::OutputLost { .. }
            | Event::RunAdmitted { .. }
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
            | Event::PortConflict { .. }
            | Event::ServiceDeclared { .. }
            | Event::ServiceForgotten { .. }
            | Event::ServiceWanted { .. }
            | Event::ServiceUnwanted { .. }
            | Event::PortAssigned { .. }
            | Event::PortReleased { .. }
            | Event::QueueUnpaused { .. } => {}
        }
        Ok(())
    }

    fn let_go_on(&mut self) {
        self.pause_wanted = false;
        if !self.attempt_lives {
            self.phase = Phase::Queued;
        }
    }

    fn begin_attempt(&mut self, attempt: u32, ports: &[(String, u16)]) {
        self.attempt = attempt;
        self.attempt_lives = true;
        self.process = None;
        self.ports = ports.to_vec();
        (self.health, self.ready_seq, self.restart) = (None, None, None);
    }

    fn end_attempt(&mut self, end: &AttemptEnd) {
        self.attempt_lives = false;
        self.paused_by = None;
        if end.status != ExitStatus::NeverStarted {
            self.pause_wanted = false;
        } else if self.pause_wanted && self.phase == Phase::Queued {
            self.phase = Phase::Paused;
        }
        if matches!(end.status, ExitStatus::Lost(_)) {
            self.interruptions += 1;
        }
        // No daemon was there to log the start; the shim measured from it to the end.
        self.started_at = self.started_at.or(end.started_at());
        self.last_end = Some(end.clone());
    }

    /// Attempts come one at a time, numbered from 1 without gaps; a run ends after its attempt.
    fn check_attempt(&self, event: &Event) -> Result<(), IllegalEvent> {
        let at = self.attempt;
        let clash = |found: u32| IllegalEvent::Attempt {
            run: self.id,
            at,
            found,
            event: event.kind_name(),
        };
        match event {
            Event::AttemptIntended { attempt, .. } if *attempt != at + 1 || self.attempt_lives => {
                Err(clash(*attempt))
            }
            Event::AttemptStarted { attempt, .. }
            | Event::AttemptEnded { attempt, .. }
            | Event::SignalRequested { attempt, .. }
            | Event::SignalSent { attempt, .. }
            | Event::RunPaused { attempt, .. }
            | Event::RunUnpaused { attempt, .. }
            | Event::PortConflict { attempt, .. }
            | Event::HealthChanged { attempt, .. }
            | Event::RestartRequested { attempt, .. }
                if *attempt != at || !self.attempt_lives =>
            {
                Err(clash(*attempt))
            }
            Event::RestartScheduled { attempt, .. } if *attempt != at || self.attempt_lives => {
                Err(clash(*attempt))
            }
            Event::RunEnded { .. } if self.attempt_lives => {
                Err(IllegalEvent::AttemptLives { run: self.id, attempt: at })
            }
            Event::RunEnded { outcome, .. } if !self.may_end(*outcome) => {
                Err(IllegalEvent::Phase { phase: self.phase, event: event.kind_name() })
            }
            _ => Ok(()),
        }
    }

    /// What never began ends only by a refusal; what runs without an attempt is a batch.
    fn may_end(&self, outcome: Outcome) -> bool {
        match self.phase {
            Phase::Queued | Phase::Paused => matches!(
                outcome,
                Outcome::Skipped(_) | Outcome::Rejected(_) | Outcome::Failed(RunReason::Hook(_))
            ),
            Phase::Running => self.spec.kind == Kind::Batch,
            Phase::Starting | Phase::Stopping | Phase::Delayed | Phase::Ended => true,
        }
    }

    /// It was interrupted, and waits to be asked for; a retry has a time instead.
    pub fn awaits_answer(&self) -> bool {
        self.phase == Phase::Delayed && self.due.is_none()
    }

    /// The state that its own records say, for people: an intended attempt that waits in a queue is
    /// still `queued`. Whether a batch is paused its lines say: [`super::State::shown_state`].
    pub fn shown_state(&self) -> &'static str {
        match self.phase {
            Phase::Starting if self.spec.queue.is_some() => Phase::Queued.word(),
            phase => phase.word(),
        }
    }
}
