//! What must hold after every step, whatever broke.

use std::collections::{BTreeMap, BTreeSet};

use jr::model::action::{Answer, PauseAnswer, StopAnswer};
use jr::model::command::KeyHolder;
use jr::model::event::{LostReason, QueuedReason};
use jr::model::{
    Action, Checker, Command, CommandId, Condition, Digest, Engine, Envelope, Event, ExitStatus,
    GitCommit, Kind, Outcome, Pruning, QueueName, Reply, Request, Run, RunId, RunSpec, State,
};

use jr::model::service::plan::{Step, Verb};

use super::disk::Held;
use super::machine::{Key, Machine, Running};
use super::services;

/// The laws, checked from outside: against the disk, the processes and the answers.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    pub(crate) log: Vec<Envelope>,
    checker: Checker,
    /// Attempts whose intent is durable.
    intents: BTreeSet<Key>,
    /// Attempts whose end was decided by the daemon that lives, or is durable.
    ended: BTreeSet<Key>,
    intent_boot: BTreeMap<Key, u8>,
    admitted: BTreeMap<RunId, Option<CommandId>>,
    over: BTreeMap<RunId, Outcome>,
    paused: BTreeSet<RunId>,
    unpaused: BTreeSet<RunId>,
    /// What was interrupted, and was asked for.
    resumed: BTreeSet<RunId>,
    /// What waited to be asked for when a client asked for services.
    awaited: BTreeMap<CommandId, BTreeSet<RunId>>,
    /// Wishes for queues that may have changed nothing.
    idle_wishes: BTreeSet<CommandId>,
    stops: BTreeSet<(RunId, CommandId)>,
    stopped: BTreeSet<RunId>,
    /// Attempts of services that are ended so that others can follow.
    restarted: BTreeSet<Key>,
    signalled: BTreeSet<RunId>,
    queues_set: BTreeSet<CommandId>,
    /// Where runs were admitted, and where they ended.
    places: BTreeMap<RunId, u64>,
    ends: BTreeMap<RunId, u64>,
    parents: BTreeMap<RunId, RunId>,
    /// Pruned: nobody can name them any more.
    gone: BTreeSet<RunId>,
    /// The history begins there at least.
    pruned_before: u64,
    pinned_by: BTreeSet<CommandId>,
    /// Configurations that clients brought.
    brought: BTreeMap<CommandId, Option<Digest>>,
    /// What was checked out where clients asked; of services, by their names.
    checked_out: BTreeMap<CommandId, Command>,
    /// What the log says of each run.
    commits: BTreeMap<RunId, Option<GitCommit>>,
    /// Stops of what nobody knew.
    unknown: BTreeSet<(RunId, CommandId)>,
    acknowledged: BTreeSet<RunId>,
    batches: BTreeSet<RunId>,
    pub(crate) by_command: BTreeMap<CommandId, RunId>,
    pub(crate) key_holders: BTreeMap<String, KeyHolder>,
    secrets_dropped: BTreeSet<RunId>,
    peaks: BTreeMap<QueueName, u32>,
    pub(crate) lost: u32,
    /// Interrupted runs that `jr up` let go on.
    pub(crate) brought_back: u32,
}

type Verdict = Result<(), String>;

impl Judge {
    pub(crate) fn state(&self) -> &State {
        self.checker.state()
    }

    /// What the views say of a cut: the named runs and the lines of batches among them.
    pub(crate) fn kept_before(&self, named: &BTreeSet<RunId>, before: u64) -> BTreeSet<RunId> {
        let lies_before = |run: &RunId| self.places.get(run).is_some_and(|place| *place < before);
        let lines = self.parents.iter().filter(|(_, parent)| named.contains(parent));
        let lines = lines.map(|(line, _)| *line);
        let all = named.iter().copied().chain(lines).filter(lies_before);
        all.filter(|run| !self.gone.contains(run)).collect()
    }

    pub(crate) fn is_gone(&self, run: RunId) -> bool {
        self.gone.contains(&run)
    }

    /// A prune is over: what it let go is gone for everybody.
    fn pruned(&mut self, done: &Pruning) {
        let kept = self.kept_before(&done.keep, done.before);
        let ended = self.ends.iter().filter(|(_, end)| **end < done.before);
        let gone = ended.map(|(run, _)| *run).filter(|run| {
            let batch = self.parents.get(run);
            // The lines of a batch that ends later stay with it.
            let stays = batch
                .is_some_and(|batch| self.ends.get(batch).is_none_or(|end| *end >= done.before));
            !kept.contains(run) && !stays
        });
        let gone: Vec<RunId> = gone.collect();
        self.key_holders.retain(|_, holder| !gone.contains(&holder.run));
        self.gone.extend(gone);
        self.pruned_before = self.pruned_before.max(done.before);
    }

    /// A client asks a daemon that is at `head`.
    pub(crate) fn asked(&mut self, request: &Request, head: &State) {
        if let Command::Configure { resolution } = &request.command {
            self.brought.insert(request.cause.command, resolution.config);
        }
        if let command @ (Command::Run { .. } | Command::Batch { .. } | Command::Up { .. }) =
            &request.command
        {
            self.checked_out.insert(request.cause.command, command.clone());
        }
        if matches!(request.command, Command::Up { .. }) {
            let waiting = head.runs.values().filter(|run| run.awaits_answer());
            let waiting = waiting.map(|run| run.id).collect();
            self.awaited.insert(request.cause.command, waiting);
        }
        if matches!(request.command, Command::Pin { .. }) {
            // To pin what is pinned changes nothing.
            self.pinned_by.insert(request.cause.command);
        }
        // Nothing may have been interrupted.
        if matches!(request.command, Command::PauseQueue { .. } | Command::ResumeInterrupted { .. })
        {
            self.idle_wishes.insert(request.cause.command);
        }
        let (Command::Stop { runs, .. }
        | Command::Pause { runs, .. }
        | Command::Resume { runs, .. }) = &request.command
        else {
            return;
        };
        let known = |run: &RunId| self.admitted.contains_key(run) || head.runs.contains_key(run);
        let unknown: Vec<_> = runs.iter().filter(|run| !known(run)).copied().collect();
        self.unknown.extend(unknown.into_iter().map(|run| (run, request.cause.command)));
    }

    /// A daemon decided these; nothing of it is durable yet.
    pub(crate) fn decided(&mut self, envelopes: &[Envelope], machine: &Machine) -> Verdict {
        for envelope in envelopes {
            match &envelope.event {
                Event::AttemptIntended { run, attempt, .. } => {
                    self.intent_boot.insert((*run, *attempt), machine.boot);
                }
                Event::AttemptEnded { run, attempt, end } => {
                    let key = (*run, *attempt);
                    self.attempt_ended(key, end.status, machine)?;
                    self.ended.insert(key);
                }
                Event::QueueSet { queue, limit } => {
                    // Before anybody set it, a queue has a slot for each of the two cores.
                    let before = if queue.as_str().starts_with("batch-") { *limit } else { 2 };
                    let peak = self.peaks.entry(queue.clone()).or_insert(before);
                    *peak = (*peak).max(*limit);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn attempt_ended(&self, key: Key, status: ExitStatus, machine: &Machine) -> Verdict {
        if machine.processes.values().any(|process| process.key == key) {
            return Err(format!("law 4: {key:?} ended as {status:?} while its process lives"));
        }
        let truth = machine.truth.get(&key).cloned().unwrap_or_default();
        let record = machine.exit_record(key);
        let shim = truth.claimed_by.and_then(|id| machine.shims.get(&id));
        let shim_gone = shim.is_some_and(|shim| shim.health == super::machine::Health::Dead);
        let fits = match status {
            ExitStatus::NeverStarted => !truth.forked && truth.claimed_by.is_none(),
            ExitStatus::NotStarted(_) => truth.spawn_failed,
            ExitStatus::Lost(_) if record.is_some() => false,
            ExitStatus::Lost(LostReason::Reboot) => {
                self.intent_boot.get(&key).is_some_and(|boot| *boot < machine.boot)
            }
            ExitStatus::Lost(LostReason::ShimDied) => shim_gone,
            ExitStatus::Lost(LostReason::ShimUnresponsive) => {
                shim_gone && shim.is_some_and(|shim| shim.was_mute)
            }
            ExitStatus::Exited(_) | ExitStatus::Signalled(_) | ExitStatus::TimedOut(_) => {
                truth.last_word.is_some() && truth.last_word == status.last_word() && !truth.fenced
            }
        };
        if fits {
            return Ok(());
        }
        Err(format!("law 4: {key:?} ended as {status:?}; in truth {truth:?}, record {record:?}"))
    }

    /// A run has the commit of the command that asked for it, and a hook that of its service's run.
    fn commit_arrived(&mut self, run: RunId, spec: &RunSpec, cause: Option<CommandId>) -> Verdict {
        let asked = cause.and_then(|cause| self.checked_out.get(&cause));
        let parent = spec.parent.and_then(|parent| self.commits.get(&parent));
        let expected = match (asked, &spec.role) {
            _ if spec.hook.is_some() => parent.copied().flatten(),
            (Some(Command::Run { spec, .. } | Command::Batch { spec, .. }), None) => spec.commit,
            (Some(Command::Up { wish, .. }), Some(role)) => {
                // What runs stays as it was declared.
                let is_taken = !wish.leave_running || spec.commit.is_some();
                wish.commits.get(&role.service).copied().filter(|_| is_taken)
            }
            _ => return Err(format!("{run} was admitted by no command: {spec:?}")),
        };
        self.commits.insert(run, spec.commit);
        if spec.commit == expected {
            return Ok(());
        }
        Err(format!("{run} was asked for at {expected:?}, and is recorded at {:?}", spec.commit))
    }

    /// A group is durable.
    pub(crate) fn durable(&mut self, group: &[Envelope]) -> Verdict {
        for envelope in group {
            if let Event::RunsPruned { error: None, .. } = &envelope.event
                && let Some(done) = self.state().pruning.clone()
            {
                self.pruned(&done);
            }
            services::may_begin(self.state(), &envelope.event)?;
            self.checker.feed(envelope).map_err(|violation| violation.to_string())?;
            let cause = envelope.cause.map(|cause| cause.command);
            match &envelope.event {
                Event::RunAdmitted { run, spec } => {
                    self.commit_arrived(*run, spec, cause)?;
                    self.admitted.insert(*run, cause);
                    if spec.kind == Kind::Batch {
                        self.batches.insert(*run);
                    }
                    self.places.insert(*run, envelope.seq);
                    if spec.line.is_some() {
                        self.parents.extend(spec.parent.map(|parent| (*run, parent)));
                    }
                    if let Some(key) = &spec.key {
                        let (run, command) = (*run, spec.command.clone());
                        self.key_holders.insert(key.clone(), KeyHolder { run, command });
                    }
                }
                Event::AttemptIntended { run, attempt, .. } => {
                    self.intents.insert((*run, *attempt));
                }
                Event::AttemptEnded { run, attempt, end } => {
                    self.ended.insert((*run, *attempt));
                    self.lost += u32::from(matches!(end.status, ExitStatus::Lost(_)));
                }
                Event::RunEnded { run, outcome } => {
                    self.over.insert(*run, *outcome);
                    self.ends.insert(*run, envelope.seq);
                }
                Event::PauseRequested { run, .. } => {
                    self.paused.insert(*run);
                }
                Event::UnpauseRequested { run, .. } => {
                    self.unpaused.insert(*run);
                }
                Event::RunQueued { run, reason: QueuedReason::Resumed, .. } => {
                    self.resumed.insert(*run);
                }
                Event::RestartRequested { run, attempt, .. } => {
                    self.restarted.insert((*run, *attempt));
                }
                Event::StopRequested { run, .. } => {
                    self.stopped.insert(*run);
                    self.stops.extend(cause.map(|cause| (*run, cause)));
                }
                Event::SignalRequested { run, .. } => {
                    self.signalled.insert(*run);
                }
                Event::QueueSet { .. } => self.queues_set.extend(cause),
                _ => {}
            }
        }
        self.log.extend_from_slice(group);
        Ok(())
    }

    /// Another configuration may be in force by now, but the one that a client brought was.
    fn was_in_force(&self, client: CommandId) -> Verdict {
        let brought = self.brought.get(&client).copied().flatten();
        let says = |envelope: &Envelope| match &envelope.event {
            Event::ConfigResolved { resolution } => resolution.config == brought,
            _ => false,
        };
        if brought.is_none() || self.log.iter().any(says) {
            return Ok(());
        }
        Err("law 1: a configuration was acknowledged and is not durable".to_owned())
    }

    /// At equal seq the live state is the fold of the log.
    pub(crate) fn compare(&self, engine: &Engine) -> Verdict {
        if engine.head() == self.state().seq && engine.state() != self.state() {
            return Err(format!(
                "law 3: the live state differs from the fold at {}:\n{:?}\n{:?}",
                engine.head(),
                engine.state(),
                self.state(),
            ));
        }
        Ok(())
    }

    /// A new daemon read the log: nothing that was told is gone, but what was pruned.
    pub(crate) fn read_again(&mut self, held: &Held) -> Result<State, String> {
        let (known, first) = (self.log.len(), held.state.seq);
        let skipped = usize::try_from(first).expect("fits");
        let end = skipped + held.events.len();
        if end < known || skipped > known || held.events[..known - skipped] != self.log[skipped..] {
            return Err(format!("law 1: {known} events were durable, {end} are left"));
        }
        self.check_floor(held)?;
        self.durable(&held.events[known - skipped..])?;
        let mut state = held.state.clone();
        for envelope in &held.events {
            state.apply(envelope).map_err(|illegal| format!("law 3: {illegal}"))?;
        }
        if state != *self.state() {
            return Err("law 3: two folds of one log differ".to_owned());
        }
        self.ended = self.ended.iter().filter(|key| !lives(&state, **key)).copied().collect();
        Ok(state)
    }

    /// What is kept begins at a place that was asked for, with the state that was there, and with
    /// all records of the runs that stay.
    fn check_floor(&self, held: &Held) -> Verdict {
        let first = held.state.seq + 1;
        let asked = |envelope: &Envelope| match envelope.event {
            Event::PruneRequested { before, .. } => before == first,
            _ => false,
        };
        if first > 1 && !self.log.iter().any(asked) {
            return Err(format!("law 2: the history begins at {first}, and nobody asked for it"));
        }
        let mut state = State::default();
        let (before, _) = self.log.split_at(usize::try_from(first - 1).expect("fits"));
        for envelope in before {
            state.apply(envelope).map_err(|illegal| format!("law 3: {illegal}"))?;
        }
        if state != held.state {
            return Err(format!("law 3: the state before {first} is another one"));
        }
        if let Some(run) = state.runs.keys().find(|run| first > 1 && !held.runs.contains(run)) {
            return Err(format!("{run} lived at {first} and is not kept"));
        }
        let of_kept =
            |envelope: &&Envelope| envelope.event.run().is_some_and(|run| held.runs.contains(&run));
        if !before.iter().filter(of_kept).eq(held.kept.iter()) {
            return Err(format!("records of runs that are kept before {first} are gone"));
        }
        let lives = self.state().runs.values();
        for run in lives.filter_map(|run| run.spec.parent) {
            let place = self.places.get(&run).copied().unwrap_or(u64::MAX);
            if place < first && !held.runs.contains(&run) {
                return Err(format!("{run} is named by what lives, and is gone"));
            }
        }
        Ok(())
    }

    /// A shim made a process.
    pub(crate) fn forked(&mut self, key: Key, machine: &Machine, head: Option<&State>) -> Verdict {
        if !self.intents.contains(&key) {
            return Err(format!("law 2: {key:?} has a process and no durable intent"));
        }
        if self.ended.contains(&key) {
            return Err(format!("law 4: {key:?} has ended and gets a process"));
        }
        let same = machine.processes.values().filter(|process| process.key.0 == key.0);
        if same.count() > 1 {
            return Err(format!("law 5: {key:?} is the second live process of its run"));
        }
        let made = machine.processes.values().find(|process| process.key == key);
        let spec = made.map(|process| process.spec.clone());
        if let Some(owner) = spec.and_then(|spec| spec.secrets)
            && self.secrets_dropped.contains(&owner)
        {
            return Err(format!("law 9: {key:?} starts after its secrets were dropped"));
        }
        services::one_each(machine.processes.values().map(|process| &*process.spec))?;
        if let Some(made) = made {
            self.order(made, machine)?;
        }
        self.queue_limits(machine, head)
    }

    /// Nobody else holds its lock, and what it comes after has ended as it should.
    fn order(&self, made: &Running, machine: &Machine) -> Verdict {
        let (key, spec) = (made.key, &made.spec);
        let name = spec.lock.as_ref().map(|lock| &lock.name);
        let rival = machine.processes.values().find(|other| {
            let its = other.spec.lock.as_ref().map(|lock| &lock.name);
            name.is_some() && its == name && other.key.0 != key.0
        });
        if let Some(rival) = rival {
            return Err(format!("{key:?} runs beside {:?}, which holds its lock", rival.key));
        }
        for after in &spec.after {
            let outcome = self.over.get(&after.run);
            let must_succeed = after.condition == Condition::Ok;
            if !outcome.is_some_and(|outcome| !must_succeed || outcome.is_success()) {
                return Err(format!("{key:?} runs before {after:?}, which is {outcome:?}"));
            }
        }
        Ok(())
    }

    pub(crate) fn knows(&self, run: RunId) -> bool {
        self.admitted.contains_key(&run)
    }

    pub(crate) fn outcome(&self, run: RunId) -> Option<Outcome> {
        self.over.get(&run).copied()
    }

    /// No queue has more processes than slots, except what had begun before a lower limit.
    fn queue_limits(&mut self, machine: &Machine, head: Option<&State>) -> Verdict {
        let state = head.unwrap_or(self.checker.state());
        let mut taken: BTreeMap<&QueueName, u32> = BTreeMap::new();
        for process in machine.processes.values() {
            if let Some(queue) = &process.spec.queue {
                *taken.entry(queue).or_default() += 1;
            }
        }
        for (queue, live) in taken {
            let limit = state.limit(queue);
            let peak = self.peaks.entry(queue.clone()).or_insert(limit);
            if live > (*peak).max(limit) {
                return Err(format!("queue {queue} has {live} processes and {limit} slots"));
            }
            let attempts = state.waits.queues.get(queue).map_or(0, |queue| queue.attempts.len());
            if attempts <= limit as usize {
                *peak = limit;
            }
        }
        Ok(())
    }

    /// An effect leaves the daemon.
    pub(crate) fn act(&mut self, action: &Action) -> Verdict {
        let fits = match action {
            Action::Start { run, attempt, .. } => self.intents.contains(&(*run, *attempt)),
            Action::Stop { run, attempt, .. } => {
                self.stopped.contains(run) || self.restarted.contains(&(*run, *attempt))
            }
            Action::Resize { queue: resized, .. } => self.log.iter().any(|envelope| {
                matches!(
                    &envelope.event,
                    Event::QueueSet { queue, .. }
                        | Event::QueuePaused { queue, .. }
                        | Event::QueueUnpaused { queue, .. } if queue == resized
                )
            }),
            Action::FindPorts { run, .. } => self.admitted.contains_key(run),
            Action::Watch(watch) => {
                let live = self.state().runs.get(&watch.run);
                self.intents.contains(&(watch.run, watch.attempt))
                    && live
                        .is_none_or(|live| live.process.is_some() || live.attempt > watch.attempt)
            }
            Action::Signal { run, .. } => self.signalled.contains(run),
            Action::Pause { run, .. } => self.paused.contains(run),
            Action::Unpause { run, .. } => self.unpaused.contains(run) || self.paused.contains(run),
            Action::Forget { run, attempt } => !lives(self.state(), (*run, *attempt)),
            Action::Prune(pruning) => self.state().pruning.as_ref() == Some(pruning),
            Action::TellPruned(told) => self.log.iter().any(|envelope| match &envelope.event {
                Event::RunsPruned { before, runs, .. } => {
                    (*before, *runs) == (told.before, told.runs)
                }
                _ => false,
            }),
            Action::DropSecrets { owner } => {
                self.secrets_dropped.insert(*owner);
                let of_run = |run: &Run| run.spec.secrets == Some(*owner);
                !self.state().runs.values().any(of_run) && !self.state().services.uses(*owner)
            }
        };
        if fits { Ok(()) } else { Err(format!("law 2: {action:?} rests on nothing durable")) }
    }

    /// An answer leaves the daemon: what it says is durable.
    pub(crate) fn say(&mut self, answer: &Answer) -> Verdict {
        let to = answer.to;
        match &answer.reply {
            Reply::Admitted { run, .. } => {
                let Some(by) = self.admitted.get(run) else {
                    return Err(format!("law 1: {run} was acknowledged and is not durable"));
                };
                let first = *self.by_command.entry(to).or_insert(*run);
                // Of a key that was free again, the same command makes a new run.
                if first != *run && !self.gone.contains(&first) {
                    return Err(format!("command {to} admitted {first} and {run}"));
                }
                if *by == Some(to) {
                    self.acknowledged.insert(*run);
                }
            }
            Reply::Stopping(runs) => {
                for (run, answer) in runs {
                    let fits = match answer {
                        StopAnswer::AlreadyEnded => {
                            self.over.contains_key(run) || self.unknown.contains(&(*run, to))
                        }
                        StopAnswer::Stopping => {
                            self.stops.contains(&(*run, to)) || self.over.contains_key(run)
                        }
                        StopAnswer::Cancelled => {
                            self.stopped.contains(run) && self.over.contains_key(run)
                        }
                    };
                    if !fits {
                        return Err(format!("law 1: {run} was said to be {answer:?}"));
                    }
                }
            }
            Reply::Pausing(runs) => {
                for (run, answer) in runs {
                    let fits = match answer {
                        PauseAnswer::AlreadyEnded => {
                            self.over.contains_key(run) || self.unknown.contains(&(*run, to))
                        }
                        PauseAnswer::Held | PauseAnswer::Pausing | PauseAnswer::AlreadyPaused => {
                            let is_batch = self.batches.contains(run);
                            is_batch || self.paused.contains(run) || self.over.contains_key(run)
                        }
                        PauseAnswer::Stopping => self.stopped.contains(run),
                    };
                    if !fits {
                        return Err(format!("law 1: {run} was said to be {answer:?}"));
                    }
                }
            }
            Reply::Planned(steps) => self.planned(to, steps)?,
            Reply::Done if self.idle_wishes.contains(&to) => {}
            Reply::Pruning { request } => {
                let place = usize::try_from(request - 1).expect("fits");
                let found = self.log.get(place).map(|envelope| &envelope.event);
                if !matches!(found, Some(Event::PruneRequested { .. })) {
                    return Err(format!("law 1: no prune is asked for at {request}"));
                }
            }
            Reply::Done if self.pinned_by.contains(&to) => {}
            Reply::Done if self.brought.contains_key(&to) => self.was_in_force(to)?,
            Reply::Done if !self.queues_set.contains(&to) => {
                return Err("law 1: a queue's limit was acknowledged and is not durable".to_owned());
            }
            Reply::Done | Reply::Signalling(_) | Reply::Resuming(_) | Reply::Rejected(_) => {}
        }
        Ok(())
    }

    /// What is said to begin is admitted, what is said to go on is queued again, and of what is to
    /// be up nothing is left waiting to be asked for.
    fn planned(&mut self, to: CommandId, steps: &[Step]) -> Verdict {
        let awaited = self.awaited.get(&to);
        let awaited = |run: RunId| awaited.is_some_and(|awaited| awaited.contains(&run));
        for step in steps {
            let is_good = match step.verb {
                Verb::Resume => step.run.is_some_and(|run| self.resumed.contains(&run)),
                Verb::Keep => !step.run.is_some_and(awaited),
                Verb::Start | Verb::Restart | Verb::Stop | Verb::Forget => true,
            };
            if !is_good {
                return Err(format!("law 1: {step:?} was acknowledged and is not durable"));
            }
        }
        let resumed = steps.iter().filter(|step| step.verb == Verb::Resume).count();
        self.brought_back += u32::try_from(resumed).expect("few");
        let begins = |step: &&Step| matches!(step.verb, Verb::Start | Verb::Restart);
        let admitted = |step: &&Step| step.run.is_none_or(|run| self.admitted.contains_key(&run));
        match steps.iter().filter(begins).find(|step| !admitted(step)) {
            Some(step) => Err(format!("law 1: {step:?} was acknowledged and is not durable")),
            None => Ok(()),
        }
    }

    /// At the end, with no more faults: all that was accepted has ended.
    pub(crate) fn finished(&self) -> Verdict {
        let open: Vec<_> =
            self.admitted.keys().filter(|run| !self.over.contains_key(run)).collect();
        if !open.is_empty() || !self.state().runs.is_empty() {
            return Err(format!("law 6: these never end: {open:?}"));
        }
        let gone = self.acknowledged.iter().find(|run| !self.over.contains_key(run));
        gone.map_or(Ok(()), |run| Err(format!("law 1: {run} was acknowledged and is gone")))
    }

    pub(crate) fn jobs(&self) -> usize {
        let is_job = |event: &Event| match event {
            Event::RunAdmitted { spec, .. } => spec.kind == Kind::Job,
            _ => false,
        };
        self.log.iter().filter(|envelope| is_job(&envelope.event)).count()
    }
}

fn lives(state: &State, (run, attempt): Key) -> bool {
    state.runs.get(&run).is_some_and(|live| live.attempt_lives && live.attempt == attempt)
}
