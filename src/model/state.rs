//! What decisions rest on: a function of the log alone, held in memory by the engine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::bytestring::ByteString;
use super::config::InForce;
use super::event::{Envelope, Event, Outcome};
use super::id::{CommandId, EnvironmentId, QueueName, RunId};
use super::phase::IllegalEvent;
use super::run::Run;
use super::service::hook;
use super::service::spec::{HookMoment, Role};
use super::service::state::{Ended, Services};
use super::spec::Kind;
use super::time::{BootId, UnixMillis};
use super::waits::Waits;
use crate::limits;

/// Everything that has not ended, and what ended within the last `limits::ENDED_WINDOW` events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The environment's name, once it was created.
    pub environment: Option<EnvironmentId>,
    /// The boot of the latest daemon.
    pub boot: BootId,
    /// The limit of a queue that nobody set.
    pub cores: u32,
    /// A daemon began and has not ended in good order.
    pub daemon_lives: bool,
    /// The latest record.
    pub seq: u64,
    /// Highest time of any record so far: what `--at TIME` compares with.
    pub time_max: UnixMillis,
    /// All that lives, by id.
    pub runs: BTreeMap<RunId, Run>,
    /// Who waits for what.
    pub waits: Waits,
    /// Batches that live.
    pub batches: BTreeMap<RunId, Batch>,
    /// Who holds which idempotency key, live or just ended.
    pub keys: BTreeMap<String, RunId>,
    /// What ended lately, oldest first.
    pub ended: VecDeque<EndedRun>,
    /// Ids in `ended`.
    pub ended_ids: BTreeSet<RunId>,
    /// Who has a live attempt that was intended in an earlier boot.
    pub older_boot: BTreeSet<RunId>,
    /// The run that a command's id admitted, live or just ended.
    pub commands: BTreeMap<CommandId, RunId>,
    /// Runs that no prune takes.
    pub pins: BTreeSet<RunId>,
    /// The configuration in force.
    pub config: InForce,
    /// What is to stay up.
    pub services: Services,
    /// A prune that is under way.
    pub pruning: Option<Pruning>,
    /// The record that says that the latest prune is done: older facts may name what is gone.
    pub pruned_at: u64,
}

/// A prune that was asked for and is not done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruning {
    /// The request.
    pub request: u64,
    /// The first record of the history that is kept.
    pub before: u64,
    /// What stays whatever its place: pinned, or named by what lived at the request.
    pub keep: BTreeSet<RunId>,
}

/// The lines of a batch that lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Lines that have not ended, by place.
    pub open: BTreeMap<u64, RunId>,
    /// Lines in all.
    pub lines: u32,
    /// Lines that ended otherwise than they should, and not by being cancelled.
    pub failed: u32,
    /// Lines that never began.
    pub cancelled: u32,
}

/// An ended run, while commands may still name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRun {
    /// The seq of its end.
    pub seq: u64,
    /// Which.
    pub id: RunId,
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: Option<String>,
    /// Its command, where it holds a key.
    pub command: Vec<ByteString>,
    /// The command that admitted it.
    pub admitted_by: Option<CommandId>,
    /// How it ended.
    pub outcome: Outcome,
}

impl State {
    /// Slots of a queue: as set, else the number of cores.
    pub fn limit(&self, queue: &QueueName) -> u32 {
        let set = self.waits.queues.get(queue).and_then(|queue| queue.limit);
        set.unwrap_or(self.cores).max(1)
    }

    /// What the window says of a run that ended lately.
    pub fn ended_lately(&self, run: RunId) -> Option<&EndedRun> {
        if !self.ended_ids.contains(&run) {
            return None;
        }
        self.ended.iter().rev().find(|ended| ended.id == run)
    }

    /// The live batch that `run` is an open line of. Its parent may also be what it repeats.
    pub fn batch_of(&self, run: &Run) -> Option<RunId> {
        let parent = run.spec.parent?;
        let open = &self.batches.get(&parent)?.open;
        open.contains_key(&run.first_seq).then_some(parent)
    }

    /// Whether any run or queue would make a daemon useful.
    pub fn is_idle(&self) -> bool {
        self.runs.is_empty() && self.pruning.is_none()
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`IllegalEvent`]: it cannot follow; nothing is changed. From a log it means damage.
    pub fn apply(&mut self, envelope: &Envelope) -> Result<(), IllegalEvent> {
        let expected = self.seq + 1;
        if envelope.seq != expected {
            return Err(IllegalEvent::Seq { expected, found: envelope.seq });
        }
        self.apply_event(envelope)?;
        self.pass(envelope);
        Ok(())
    }

    /// Takes the next record of a run that keeps its records while those around it are gone: also
    /// the declaration of the service that it is a run of.
    ///
    /// # Errors
    /// [`IllegalEvent`]: it cannot follow what is kept of that run.
    pub fn apply_kept(&mut self, envelope: &Envelope) -> Result<(), IllegalEvent> {
        if matches!(envelope.event, Event::RunAdmitted { .. }) {
            let run = self.admitted(envelope)?;
            self.take_in(run, envelope);
        } else {
            self.apply_event(envelope)?;
        }
        self.pass(envelope);
        Ok(())
    }

    /// It was taken.
    fn pass(&mut self, envelope: &Envelope) {
        self.seq = envelope.seq;
        self.time_max = self.time_max.max(envelope.time);
        self.forget_old();
    }

    fn apply_event(&mut self, envelope: &Envelope) -> Result<(), IllegalEvent> {
        let event = envelope.event.kind_name();
        match &envelope.event {
            Event::EnvironmentCreated { id } => {
                if self.environment.is_some() || self.seq != 0 {
                    return Err(IllegalEvent::OutOfPlace { event });
                }
                self.environment = Some(id.clone());
            }
            Event::DaemonStarted { boot, cores, .. } => self.begin_daemon(*boot, *cores),
            Event::DaemonStopped { .. } => self.daemon_lives = false,
            Event::RecoveryFinished { .. } | Event::ClockJumped { .. } => {}
            Event::ConfigResolved { resolution } => self.config = InForce::of(resolution),
            Event::ConfigRejected { source, reason } => self.config.note(source, reason),
            Event::QueueSet { queue, limit } => {
                self.waits.queues.entry(queue.clone()).or_default().limit = Some(*limit);
            }
            Event::QueuePaused { queue, .. } => {
                self.waits.queues.entry(queue.clone()).or_default().paused = Some(envelope.seq);
            }
            Event::QueueUnpaused { queue, .. } => {
                self.waits.queues.entry(queue.clone()).or_default().paused = None;
            }
            Event::PruneRequested { before, .. } => {
                if self.pruning.is_some() || *before > envelope.seq {
                    return Err(IllegalEvent::OutOfPlace { event });
                }
                let (request, before, keep) = (envelope.seq, *before, self.to_keep());
                self.pruning = Some(Pruning { request, before, keep });
            }
            Event::RunsPruned { error, .. } => {
                let done = self.pruning.take().ok_or(IllegalEvent::OutOfPlace { event })?;
                self.pruned_at = envelope.seq;
                if error.is_none() {
                    self.free_keys(&done);
                }
            }
            Event::RunPinned { run, pinned: true } => drop(self.pins.insert(*run)),
            Event::RunPinned { run, pinned: false } => drop(self.pins.remove(run)),
            Event::RunAdmitted { .. } => self.admit(envelope)?,
            Event::ServiceDeclared { .. }
            | Event::ServiceForgotten { .. }
            | Event::ServiceWanted { .. }
            | Event::ServiceUnwanted { .. }
            | Event::PortAssigned { .. }
            | Event::PortReleased { .. } => self.services.apply(envelope)?,
            Event::AttemptIntended { run, .. }
            | Event::AttemptStarted { run, .. }
            | Event::AttemptEnded { run, .. }
            | Event::StopRequested { run, .. }
            | Event::SignalRequested { run, .. }
            | Event::SignalSent { run, .. }
            | Event::RestartScheduled { run, .. }
            | Event::RunQueued { run, .. }
            | Event::PauseRequested { run, .. }
            | Event::RunPaused { run, .. }
            | Event::UnpauseRequested { run, .. }
            | Event::RunUnpaused { run, .. }
            | Event::PortConflict { run, .. }
            | Event::HealthChanged { run, .. }
            | Event::RestartRequested { run, .. }
            | Event::OutputLost { run, .. } => self.step_run(*run, envelope)?,
            Event::RunEnded { run, .. } => {
                self.step_run(*run, envelope)?;
                self.end(*run);
            }
        }
        Ok(())
    }

    fn begin_daemon(&mut self, boot: BootId, cores: u32) {
        if boot != self.boot {
            let lives = self.runs.values().filter(|run| run.attempt_lives);
            self.older_boot.extend(lives.map(|run| run.id));
            self.waits.new_boot(&self.runs);
        }
        (self.boot, self.cores, self.daemon_lives) = (boot, cores, true);
    }

    /// One more record of a live run; its place in the lines follows.
    fn step_run(&mut self, id: RunId, envelope: &Envelope) -> Result<(), IllegalEvent> {
        let event = envelope.event.kind_name();
        let Some(run) = self.runs.get_mut(&id) else {
            return Err(IllegalEvent::NoSuchRun { run: id, event });
        };
        self.waits.remove(run);
        let applied = run.apply(envelope);
        let begins = applied.is_ok() && matches!(envelope.event, Event::AttemptIntended { .. });
        let lock = run.spec.lock.as_ref().filter(|_| begins).map(|wish| wish.name.clone());
        if !run.attempt_lives {
            self.older_boot.remove(&id);
        }
        // A run that stays in its line is put back before anybody else can be.
        let rivals = lock.map(|name| self.waits.take_lock(&name, id)).unwrap_or_default();
        self.waits.insert(run);
        let started = applied.is_ok() && matches!(envelope.event, Event::AttemptStarted { .. });
        if let Some(role) = run.spec.role.as_ref().filter(|_| started) {
            self.services.started(role);
        }
        for rival in rivals.iter().filter_map(|rival| self.runs.get(rival)) {
            self.waits.remove(rival);
            self.waits.insert(rival);
        }
        applied
    }

    fn admit(&mut self, envelope: &Envelope) -> Result<(), IllegalEvent> {
        let run = self.admitted(envelope)?;
        if !self.services.admit(&run) {
            return Err(IllegalEvent::OutOfPlace { event: envelope.event.kind_name() });
        }
        self.take_in(run, envelope);
        Ok(())
    }

    /// The run that a record admits.
    fn admitted(&self, envelope: &Envelope) -> Result<Run, IllegalEvent> {
        let event = envelope.event.kind_name();
        let run = Run::admitted(envelope).ok_or(IllegalEvent::OutOfPlace { event })?;
        if self.runs.contains_key(&run.id) || self.ended_ids.contains(&run.id) {
            return Err(IllegalEvent::AdmittedTwice { run: run.id });
        }
        Ok(run)
    }

    /// One more lives.
    fn take_in(&mut self, run: Run, envelope: &Envelope) {
        if let Some((moment, role, parent)) = self.hook_of(&run)
            && let Some(standing) = self.services.standing_mut(&role, parent)
        {
            standing.hooks.insert(run.id, moment);
        }
        if let Some(key) = &run.spec.key {
            self.keys.insert(key.clone(), run.id);
        }
        if let Some(cause) = envelope.cause {
            // The first run of a command stands for it: of a batch, the batch.
            self.commands.entry(cause.command).or_insert(run.id);
        }
        if run.spec.kind == Kind::Batch {
            self.batches.insert(run.id, Batch::default());
        } else if let Some(batch) = run.spec.parent.and_then(|id| self.batches.get_mut(&id)) {
            batch.open.insert(run.first_seq, run.id);
            batch.lines += 1;
        }
        self.waits.depend(&run, |other| self.runs.contains_key(&other));
        self.waits.insert(&run);
        self.runs.insert(run.id, run);
    }

    /// Of a command beside a service's run: its moment, and whose it is.
    fn hook_of(&self, run: &Run) -> Option<(HookMoment, Role, RunId)> {
        let (moment, parent) = hook::parent(self, run)?;
        Some((moment, parent.spec.role.clone()?, parent.id))
    }

    /// A command beside a service's run is over.
    fn end_hook(&mut self, run: &Run, outcome: Outcome) {
        let Some((moment, role, parent)) = self.hook_of(run) else { return };
        let next = self.runs.get(&parent).map_or(0, |parent| parent.attempt + 1);
        let Some(standing) = self.services.standing_mut(&role, parent) else { return };
        standing.hooks.remove(&run.id);
        match moment {
            HookMoment::BeforeStart if outcome.is_success() => standing.prepared = next,
            HookMoment::BeforeStop => standing.may_stop = true,
            HookMoment::BeforeStart
            | HookMoment::AfterReady
            | HookMoment::Stop
            | HookMoment::AfterStop => {}
        }
    }

    /// Whether no run has or had that id, as far as is known here.
    pub fn is_fresh(&self, run: RunId) -> bool {
        !self.runs.contains_key(&run) && self.ended_lately(run).is_none()
    }

    fn end(&mut self, id: RunId) {
        let Some(run) = self.runs.remove(&id) else { return };
        let Some(outcome) = run.outcome else { return };
        self.waits.remove(&run);
        if let Some(role) = &run.spec.role {
            self.services.end(role, Ended { run: id, outcome, restarts: run.retries });
        }
        self.services.hooks.remove(&id);
        self.end_hook(&run, outcome);
        if let Some(wish) = &run.spec.lock {
            self.waits.release_lock(&wish.name, id);
        }
        for free in self.waits.ended(id, outcome, &self.runs) {
            if let Some(free) = self.runs.get(&free) {
                self.waits.insert(free);
            }
        }
        let batch = run.spec.parent.and_then(|id| self.batches.get_mut(&id));
        if let Some(batch) = batch
            && batch.open.remove(&run.first_seq).is_some()
        {
            batch.failed += u32::from(outcome.is_failure());
            batch.cancelled += u32::from(matches!(outcome, Outcome::Cancelled(_)));
        }
        if self.batches.remove(&id).is_some() {
            self.waits.queues.remove(&QueueName::of_batch(id));
        }
        let admitted_by = run.cause.map(|cause| cause.command);
        let admitted_by = admitted_by.filter(|command| self.commands.get(command) == Some(&id));
        let command = if run.spec.key.is_some() { run.spec.command.clone() } else { Vec::new() };
        let (name, key) = (run.spec.name.clone(), run.spec.key.clone());
        let seq = run.last_seq;
        self.ended_ids.insert(id);
        self.ended.push_back(EndedRun { seq, id, name, key, command, admitted_by, outcome });
    }

    /// What no prune may take now: pinned, or named by what lives.
    pub fn to_keep(&self) -> BTreeSet<RunId> {
        let named = self.runs.values().flat_map(|run| run.spec.names());
        named.chain(self.pins.iter().copied()).collect()
    }

    /// The key of a run that is gone is free again.
    fn free_keys(&mut self, done: &Pruning) {
        let gone = |ended: &&EndedRun| ended.seq < done.before && !done.keep.contains(&ended.id);
        for ended in self.ended.iter().filter(gone) {
            if let Some(key) = &ended.key
                && self.keys.get(key) == Some(&ended.id)
            {
                self.keys.remove(key);
            }
        }
    }

    /// Lets go of what ended more than `limits::ENDED_WINDOW` events ago.
    fn forget_old(&mut self) {
        while let Some(oldest) = self.ended.front() {
            if oldest.seq + limits::ENDED_WINDOW > self.seq {
                return;
            }
            let Some(oldest) = self.ended.pop_front() else { return };
            self.ended_ids.remove(&oldest.id);
            if let Some(key) = &oldest.key
                && self.keys.get(key) == Some(&oldest.id)
            {
                self.keys.remove(key);
            }
            if let Some(command) = &oldest.admitted_by {
                self.commands.remove(command);
            }
        }
    }
}
