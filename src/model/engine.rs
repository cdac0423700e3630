//! The synchronous machine: input in, events out; effects and replies come out when their
//! events are durable. It knows no clock, no disk and no runtime.
//!
//! ```text
//! step(input, now) ─▶ events, applied in memory (head) ─▶ the shell commits them (durable)
//! durable(seq)     ─▶ the actions and replies that rest on seq or less
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::action::{Action, Answer, Reply};
use super::command::{Command, Request};
use super::decide;
use super::event::{Cause, Envelope, Event};
use super::id::{CommandId, RunId};
use super::observation::{Finding, Observation};
use super::phase::IllegalEvent;
use super::react;
use super::recover;
use super::run::Run;
use super::schedule::{self, Dispatched};
use super::service::sockets::{self, KeptEnds};
use super::service::{ending, gate, ports};
use super::spec::Kind;
use super::state::State;
use super::time::Now;
use crate::mutants;

/// Anything that the engine takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Somebody asks.
    Command(Request),
    /// The world reports.
    Observed(Observation),
    /// What was found of an attempt that an earlier daemon left.
    Found {
        /// Of which run.
        run: RunId,
        /// What.
        finding: Finding,
    },
    /// Time has passed: what was delayed until now goes on.
    TimePassed,
    /// Every attempt of [`Engine::to_find`] was found.
    RecoveryDone,
}

/// What may leave the engine once its seq is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Release {
    /// To be done.
    Act(Action),
    /// To be said.
    Say(Answer),
}

/// Counts of a recovery, for its closing event.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tally {
    adopted: u32,
    ended: u32,
    lost: u32,
    requeued: u32,
}

/// State, what rests on events that are not durable yet, and who has a slot.
#[derive(Debug)]
pub struct Engine {
    state: State,
    durable: u64,
    held: BTreeMap<u64, Vec<Release>>,
    /// The latest end of a run that a client waits for.
    awaited: u64,
    dispatched: Dispatched,
    kept_ends: KeptEnds,
    unqueued: Vec<RunId>,
    /// Something about services has changed since the last look at them.
    services_touched: bool,
    /// Runs of services that the shell looks for ports for.
    finding_ports: BTreeSet<RunId>,
    recovering: Option<Tally>,
    /// An earlier daemon died in the middle of a prune.
    resumes_prune: bool,
    /// This daemon's last event is decided: what comes now is for the next one.
    over: bool,
}

impl Engine {
    /// An engine over the state that a durable log folds to. It starts nothing before
    /// [`Input::RecoveryDone`].
    pub fn new(state: State) -> Self {
        let durable = state.seq;
        let recovering = Some(Tally::default());
        let (held, awaited, dispatched) = (BTreeMap::new(), 0, Dispatched::default());
        let (unqueued, over, resumes_prune) = (Vec::new(), false, state.pruning.is_some());
        Self {
            state,
            durable,
            held,
            awaited,
            dispatched,
            kept_ends: KeptEnds::default(),
            unqueued,
            services_touched: true,
            finding_ports: BTreeSet::new(),
            recovering,
            resumes_prune,
            over,
        }
    }

    /// The state at head.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The latest event, durable or not.
    pub fn head(&self) -> u64 {
        self.state.seq
    }

    /// The latest event known to be durable.
    pub fn durable_seq(&self) -> u64 {
        self.durable
    }

    /// How long until [`Input::TimePassed`] is needed next, in milliseconds.
    pub fn next_due_ms(&self, now: Now) -> Option<u64> {
        if self.recovering.is_some() || self.over {
            None
        } else {
            self.state.waits.next_due_ms(now)
        }
    }

    /// Attempts that the shell has to look for before anything else: (run, attempt).
    pub fn to_find(&self) -> Vec<(RunId, u32)> {
        let lives = self.state.runs.values().filter(|run| run.attempt_lives);
        lives.map(|run| (run.id, run.attempt)).collect()
    }

    /// Takes one input; the events are to be committed together, in order. After the daemon's
    /// last event nothing is taken: no answer is given, and shims repeat what was not forgotten.
    ///
    /// # Errors
    /// [`IllegalEvent`]: a bug of jr; the engine must be dropped and the log read again.
    pub fn step(&mut self, input: Input, now: Now) -> Result<Vec<Envelope>, IllegalEvent> {
        if self.over {
            return Ok(Vec::new());
        }
        self.over = matches!(input, Input::Observed(Observation::DaemonEnds { .. }));
        let mut step = Step { now, cause: None, envelopes: Vec::new() };
        match input {
            Input::Command(request) => self.take_command(&mut step, &request)?,
            Input::Observed(seen) => self.take_observation(&mut step, &seen)?,
            Input::Found { run, finding } => self.take_finding(&mut step, run, finding)?,
            Input::TimePassed => {
                let due = decide::due(&self.state, now);
                self.append_all(&mut step, due)?;
            }
            Input::RecoveryDone => self.finish_recovery(&mut step)?,
        }
        step.cause = None;
        if self.recovering.is_none() && !self.over {
            self.schedule(&mut step)?;
        }
        Ok(step.envelopes)
    }

    /// Everything up to `seq` is durable: what rested on it may go out, in order.
    pub fn durable(&mut self, seq: u64) -> Vec<Release> {
        self.durable = self.durable.max(seq);
        let later = self.held.split_off(&(self.durable + 1));
        std::mem::replace(&mut self.held, later).into_values().flatten().collect()
    }

    /// Whether a client or an effect waits for events that are not durable yet. Others may gather:
    /// until they are durable, the journals of the shims have what they say.
    pub fn is_waited_for(&self) -> bool {
        let can_wait = |release: &Release| match release {
            Release::Act(Action::Forget { .. } | Action::DropSecrets { .. }) => true,
            Release::Act(_) | Release::Say(_) => false,
        };
        self.awaited > self.durable || !self.held.values().flatten().all(can_wait)
    }

    /// What rests on nothing that is not durable already.
    pub fn released(&mut self) -> Vec<Release> {
        self.durable(self.durable)
    }

    fn hold(&mut self, seq: u64, release: Release) {
        let early = matches!(release, Release::Say(_)) && mutants::is_on("ack_before_commit");
        let seq = if early { self.durable } else { seq };
        self.held.entry(seq).or_default().push(release);
    }

    fn take_command(&mut self, step: &mut Step, request: &Request) -> Result<(), IllegalEvent> {
        step.cause = Some(request.cause);
        let reply = match decide::command(&self.state, request, step.now) {
            Ok(decision) => {
                self.append_all(step, decision.events)?;
                decision.reply
            }
            Err(rejection) => Reply::Rejected(rejection),
        };
        if let Command::Up { wish, .. } = &request.command {
            // Of what was declared before, the secrets came along once more.
            for owner in wish.declared.iter().filter_map(|(_, spec)| spec.run.secrets) {
                self.drop_unused(owner);
            }
        }
        self.answer(request.cause.command, reply);
        Ok(())
    }

    /// Secrets of a declaration that nothing has any more.
    fn drop_unused(&mut self, owner: RunId) {
        if !self.state.services.uses(owner) {
            self.hold(self.state.seq, Release::Act(Action::DropSecrets { owner }));
        }
    }

    /// A reply rests on all that was decided before it, its own events included.
    fn answer(&mut self, to: CommandId, reply: Reply) {
        self.hold(self.state.seq, Release::Say(Answer { to, reply }));
    }

    fn take_observation(
        &mut self,
        step: &mut Step,
        seen: &Observation,
    ) -> Result<(), IllegalEvent> {
        let events = decide::observation(&self.state, seen, step.now);
        if let Observation::PortsFound { run, ports } = seen
            && !ports.is_empty()
        {
            // Of what is still missing it is asked for again.
            self.finding_ports.remove(run);
            self.services_touched = true;
        }
        if events.is_empty()
            && let Observation::ProcessEnded { run, attempt, .. } = seen
        {
            // It is in the log already; the shim repeats itself until it is told so.
            self.forget(self.state.seq, *run, *attempt);
        }
        self.append_all(step, events)
    }

    fn take_finding(
        &mut self,
        step: &mut Step,
        run: RunId,
        finding: Finding,
    ) -> Result<(), IllegalEvent> {
        let Some(live) = self.state.runs.get(&run).filter(|run| run.attempt_lives) else {
            return Ok(());
        };
        let older_boot = self.state.older_boot.contains(&run);
        let attempt = live.attempt;
        let verdict = recover::verdict(live, older_boot, finding, step.now);
        if let Some(tally) = &mut self.recovering {
            tally.count(&verdict);
        }
        if verdict.lives {
            self.dispatched.insert(run, attempt);
        }
        self.append_all(step, verdict.events)?;
        for action in verdict.actions {
            self.hold(self.state.seq, Release::Act(action));
        }
        let watch = self.state.runs.get(&run).and_then(|run| react::watch(&self.state, run));
        if let Some(action) = watch {
            self.hold(self.state.seq, Release::Act(action));
        }
        Ok(())
    }

    fn finish_recovery(&mut self, step: &mut Step) -> Result<(), IllegalEvent> {
        let Some(tally) = self.recovering.take() else { return Ok(()) };
        let Tally { adopted, ended, lost, requeued } = tally;
        let event = Event::RecoveryFinished { adopted, ended, lost, requeued };
        self.append_all(step, vec![event])?;
        if let Some(pruning) = self.state.pruning.clone().filter(|_| self.resumes_prune) {
            self.hold(self.state.seq, Release::Act(Action::Prune(pruning)));
        }
        Ok(())
    }

    /// Applies events and all that follows from them, each directly after its reason.
    fn append_all(&mut self, step: &mut Step, events: Vec<Event>) -> Result<(), IllegalEvent> {
        let mut waiting = VecDeque::from(events);
        while let Some(event) = waiting.pop_front() {
            if let Event::StopRequested { run, .. } = &event
                && !self.state.runs.contains_key(run)
            {
                // The end of another line of a `--fail-fast` batch has ended it meanwhile.
                continue;
            }
            let ending = match &event {
                Event::RunEnded { run, .. } => self.state.runs.get(run).cloned(),
                _ => None,
            };
            let batch = ending.as_ref().and_then(|run| self.state.batch_of(run));
            let standing = ending.as_ref().and_then(|run| self.state.services.standing(run));
            let hooks: Vec<_> = standing
                .map(|standing| standing.hooks.iter().map(|(run, at)| (*run, *at)).collect())
                .unwrap_or_default();
            self.note_service(&event);
            let declared = event.service().and_then(|name| self.state.services.known.get(name));
            let before = declared.and_then(|service| service.spec.run.secrets);
            let has_client = ending
                .as_ref()
                .is_some_and(|run| run.spec.attached || run.spec.kind == Kind::Batch);
            let seq = self.state.seq + 1;
            let envelope = Envelope { seq, time: step.now.wall, cause: step.cause, event };
            self.state.apply(&envelope)?;
            if has_client {
                self.awaited = seq;
            }
            let mut following = react::consequences(&self.state, &envelope.event, step.now);
            for action in react::actions(&self.state, &envelope.event) {
                match action {
                    Action::Forget { run, attempt } => self.forget(seq, run, attempt),
                    action => self.hold(seq, Release::Act(action)),
                }
            }
            if let Some(owner) = before {
                self.drop_unused(owner);
            }
            match &envelope.event {
                Event::AttemptEnded { run, .. } => self.dispatched.remove(*run),
                Event::AttemptIntended { run, .. } => self.note_unqueued(*run),
                Event::PauseRequested { run, .. } => self.note_withdrawn(*run),
                Event::RunEnded { outcome, .. } => {
                    if let Some(ended) = ending {
                        let state = &self.state;
                        following
                            .extend(react::hook_consequences(state, &ended, *outcome, step.now));
                        let more = react::service_consequences(state, &ended, *outcome, &hooks);
                        following.extend(more);
                        let mut admitted = following.iter().chain(&waiting);
                        let has_heir = admitted.any(|event| match event {
                            Event::RunAdmitted { spec, .. } => spec.secrets == ended.spec.secrets,
                            _ => false,
                        });
                        self.let_go_of(&ended, seq, has_heir);
                    }
                    if let Some(batch) = batch {
                        let more = react::batch_consequences(&self.state, batch, *outcome);
                        following.extend(more);
                    }
                }
                _ => {}
            }
            step.envelopes.push(envelope);
            for event in following.into_iter().rev() {
                waiting.push_front(event);
            }
        }
        Ok(())
    }

    /// What was kept for a run that has ended; its secrets not where a command that comes after it
    /// has them too (seed 827).
    fn let_go_of(&mut self, ended: &Run, seq: u64, has_heir: bool) {
        self.finding_ports.remove(&ended.id);
        for forget in self.kept_ends.release(ended.id) {
            self.hold(seq, Release::Act(forget));
        }
        let drop = react::secrets_to_drop(&self.state, ended).filter(|_| !has_heir);
        if let Some(action) = drop {
            self.hold(seq, Release::Act(action));
        }
    }

    /// A pause of an attempt that was not given to a shim gives it back. Whatever is asked
    /// meanwhile, it must not go out: its end is on the way (seed 277).
    fn note_withdrawn(&mut self, run: RunId) {
        let live = self.state.runs.get(&run).filter(|live| live.attempt_lives);
        if let Some(live) = live.filter(|live| !self.dispatched.contains(live.id)) {
            self.dispatched.insert(run, live.attempt);
        }
    }

    /// What may let a service begin, or end, is looked at with the next schedule.
    fn note_service(&mut self, event: &Event) {
        let run = event.run().and_then(|run| self.state.runs.get(&run));
        let of_run = run.is_some_and(|run| run.spec.role.is_some() || run.spec.hook.is_some());
        self.services_touched |= of_run || event.service().is_some();
    }

    /// What is due for services beside starts: stops, fixed ports, and commands that come first.
    fn tend_services(&mut self, step: &mut Step) -> Result<(), IllegalEvent> {
        loop {
            let refused = gate::refused(&self.state).map(|event| vec![event]);
            let events = refused.unwrap_or_else(|| {
                let mut events = ending::stops(&self.state);
                events.extend(ports::fixed(&self.state));
                events.extend(gate::preparations(&self.state));
                events
            });
            if events.is_empty() {
                return Ok(());
            }
            self.append_all(step, events)?;
        }
    }

    /// A run without a queue needs no slot: its attempt goes out with the next schedule.
    fn note_unqueued(&mut self, run: RunId) {
        if self.state.runs.get(&run).is_some_and(|live| live.spec.queue.is_none()) {
            self.unqueued.push(run);
        }
    }

    fn schedule(&mut self, step: &mut Step) -> Result<(), IllegalEvent> {
        loop {
            while let Some(ending) = schedule::ending(&self.state) {
                self.append_all(step, vec![ending])?;
            }
            let with_services = std::mem::take(&mut self.services_touched);
            if with_services {
                self.tend_services(step)?;
                self.services_touched = false;
                for action in ports::to_find(&self.state, &self.finding_ports) {
                    if let Action::FindPorts { run, .. } = &action {
                        self.finding_ports.insert(*run);
                    }
                    self.hold(self.state.seq, Release::Act(action));
                }
            }
            let intents = schedule::intents(&self.state, with_services);
            self.append_all(step, intents)?;
            // A start may take a lock that somebody else does not wait for.
            if schedule::ending(&self.state).is_none() {
                break;
            }
        }
        let unqueued = std::mem::take(&mut self.unqueued);
        let unqueued = unqueued.iter().filter_map(|run| self.state.runs.get(run));
        let unqueued = unqueued.filter(|run| run.attempt_lives);
        let queued = self.dispatched.next(&self.state);
        let starts: Vec<_> = unqueued
            .chain(queued)
            .map(|run| {
                (run.id, run.attempt, self.rests_on(run.last_seq), react::start(&self.state, run))
            })
            .collect();
        for (run, attempt, seq, start) in starts {
            self.dispatched.insert(run, attempt);
            self.hold(seq, Release::Act(start));
            // Behind it: the shim that has both goes on with the sockets.
            for forget in self.kept_ends.release(run) {
                self.hold(seq, Release::Act(forget));
            }
        }
        Ok(())
    }

    /// The shim may forget an end that is in the log; one that keeps sockets open for the next
    /// attempt only behind the start of that one, or once the run is over.
    fn forget(&mut self, seq: u64, run: RunId, attempt: u32) {
        let live = self.state.runs.get(&run).filter(|live| sockets::passes(&self.state, live));
        let is_followed = |live: &Run| {
            live.attempt > attempt && live.attempt_lives && self.dispatched.contains(run)
        };
        if live.is_some_and(|live| !is_followed(live)) {
            self.kept_ends.insert(run, attempt);
        } else {
            self.hold(seq, Release::Act(Action::Forget { run, attempt }));
        }
    }

    /// A start rests on its intent, the run's latest record.
    fn rests_on(&self, intent: u64) -> u64 {
        if mutants::is_on("forget_intent") { self.durable } else { intent }
    }
}

/// One input's worth of events.
struct Step {
    now: Now,
    cause: Option<Cause>,
    envelopes: Vec<Envelope>,
}

impl Tally {
    fn count(&mut self, verdict: &recover::Verdict) {
        use super::event::ExitStatus::{Lost, NeverStarted};
        if verdict.lives {
            self.adopted += 1;
        }
        for event in &verdict.events {
            if let Event::AttemptEnded { end, .. } = event {
                match end.status {
                    Lost(_) => self.lost += 1,
                    NeverStarted => self.requeued += 1,
                    _ => self.ended += 1,
                }
            }
        }
    }
}
