//! The imperative shell around the engine, as the daemon has it: each of its small steps can be
//! the last one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jr::model::action::Answer as Said;
use jr::model::event::{DaemonStopReason, LostReason};
use jr::model::{
    Action, BootId, Digest, Engine, Envelope, Finding, Input, Now, Observation, Phase, Pruning,
    Release, Resolution, RunId, Slots,
};

use super::World;
use super::machine::{Answer, FromShim, Health, Key, Start, ToShim};
use super::services::Watched;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    Finding,
    Serving,
    Ending,
}

/// The memory of one daemon: gone when it dies.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) engine: Engine,
    stage: Stage,
    pub(crate) mailbox: Vec<Input>,
    given_back: Vec<(u32, Start)>,
    says: VecDeque<Said>,
    acts: VecDeque<Action>,
    appended: Vec<Envelope>,
    committing: Option<Vec<Envelope>>,
    given: BTreeMap<Key, u32>,
    /// Attempts whose end this daemon reported for a dead shim: a stop has nothing to add.
    reported: BTreeSet<Key>,
    /// Who gave which start back: it refuses that one for ever.
    refusals: BTreeSet<(u32, Key)>,
    to_find: VecDeque<Key>,
    watched: Watched,
    /// Starts ahead of their slots.
    slots: Slots<Start>,
}

#[derive(Clone, Copy, Debug)]
enum Work {
    Say,
    Act,
    Take,
    Wake,
    TakeBack,
    Begin,
    Finish,
    Find,
    Watch,
    Probe,
    Leave,
}

impl World {
    pub(crate) fn now(&self) -> Now {
        Now { wall: self.machine.wall(), boottime_ms: self.machine.boottime_ms }
    }

    fn daemon(&mut self) -> &mut Daemon {
        self.daemon.as_mut().expect("a step of a daemon that lives")
    }

    /// One step of the daemon, or its birth. `false`: it had nothing to do.
    pub(crate) fn daemon_step(&mut self) -> Result<bool, String> {
        if self.daemon.is_none() {
            self.begin_daemon()?;
            return Ok(true);
        }
        let watched = self.shim_to_watch();
        let now = self.now();
        let probes = self.chance.one_in(12);
        let daemon = self.daemon();
        let probes = probes && !daemon.watched.is_empty() && daemon.stage == Stage::Serving;
        let is_due = daemon.engine.next_due_ms(now) == Some(0);
        let ending = daemon.stage == Stage::Ending;
        let quiet = daemon.appended.is_empty() && daemon.committing.is_none();
        let can = [
            (Work::Say, !daemon.says.is_empty()),
            (Work::Act, !daemon.acts.is_empty() && daemon.stage != Stage::Finding),
            (Work::Take, !daemon.mailbox.is_empty()),
            (Work::Wake, daemon.stage == Stage::Serving && is_due),
            (Work::TakeBack, !daemon.given_back.is_empty()),
            (Work::Begin, daemon.committing.is_none() && !daemon.appended.is_empty()),
            (Work::Finish, daemon.committing.is_some()),
            (Work::Find, daemon.stage == Stage::Finding),
            (Work::Watch, watched.is_some()),
            (Work::Probe, probes),
            (Work::Leave, ending && quiet && daemon.says.is_empty() && daemon.acts.is_empty()),
        ];
        // Somebody is always asked: that is no work which keeps others from their rest.
        let can: Vec<Work> =
            can.into_iter().filter(|(_, can)| *can).map(|(work, _)| work).collect();
        let Some(work) = self.chance.pick(&can) else { return Ok(false) };
        match work {
            Work::Say => {
                let said = self.daemon().says.pop_front().expect("there is one");
                self.trace(|| format!("  says {said:?}"));
                self.judge.say(&said)?;
                self.clients.hear(&said);
            }
            Work::Act => {
                let action = self.daemon().acts.pop_front().expect("there is one");
                self.trace(|| format!("  does {action:?}"));
                self.judge.act(&action)?;
                self.act(action);
            }
            Work::Take => self.take()?,
            Work::Wake => self.feed(Input::TimePassed)?,
            Work::TakeBack => {
                let (shim, start) = self.daemon().given_back.remove(0);
                self.take_back(shim, start);
            }
            Work::Begin => {
                let group = std::mem::take(&mut self.daemon().appended);
                self.disk.begin(group.clone());
                self.daemon().committing = Some(group);
            }
            Work::Finish => self.finish()?,
            Work::Find => self.find_next()?,
            Work::Watch => self.watch(watched.expect("it was seen"))?,
            Work::Probe => {
                let seen = self.daemon().watched.clone().seen(&mut self.chance);
                self.daemon().mailbox.extend(seen);
                if self.chance.one_in(10) {
                    let seen = self.files_changed_of_service();
                    self.daemon().mailbox.push(seen);
                }
            }
            Work::Leave => self.daemon_gone(false),
        }
        Ok(true)
    }

    fn begin_daemon(&mut self) -> Result<(), String> {
        let held = self.disk.read()?;
        let state = self.judge.read_again(&held)?;
        self.generation += 1;
        let generation = self.generation;
        self.trace(|| format!("DAEMON {generation} begins at {}", state.seq));
        let fresh = state.environment.is_none();
        let engine = Engine::new(state);
        let to_find = engine.to_find().into();
        self.daemon = Some(Daemon {
            engine,
            stage: Stage::Finding,
            mailbox: Vec::new(),
            given_back: Vec::new(),
            says: VecDeque::new(),
            acts: VecDeque::new(),
            appended: Vec::new(),
            committing: None,
            given: BTreeMap::new(),
            reported: BTreeSet::new(),
            refusals: BTreeSet::new(),
            to_find,
            watched: Watched::default(),
            slots: Slots::new(),
        });
        if fresh {
            let id = "local".parse().expect("a name");
            self.feed(Input::Observed(Observation::EnvironmentMade { id }))?;
        }
        let (pid, version) = (self.generation, "0.1.0".to_owned());
        let boot = BootId([self.machine.boot; 16]);
        let began = Observation::DaemonBegan { pid, version, boot, cores: 2 };
        self.feed(Input::Observed(began))?;
        for shim in self.machine.living_shims() {
            if self.chance.one_in(2) {
                self.settle(shim)?;
                self.connect(shim);
            }
        }
        Ok(())
    }

    fn connect(&mut self, shim: u32) {
        self.machine.read_old_letters(shim, self.generation);
        let repeated = self.machine.connect(shim, self.generation);
        self.deliver(shim, repeated);
    }

    /// What a shim says reaches the daemon that it is connected to, if that one lives.
    pub(crate) fn deliver(&mut self, from: u32, messages: Vec<FromShim>) {
        let connected = self.machine.shims[&from].connected;
        let generation = self.generation;
        let twice = self.chance.hits(self.rates.duplicate);
        let Some(daemon) = self.daemon.as_mut().filter(|_| connected == generation) else { return };
        for message in messages {
            match message {
                FromShim::Saw(seen) => {
                    if let Some(key) = over(&seen) {
                        daemon.slots.free(key);
                    }
                    if let Observation::StartWithdrawn { run, attempt } = seen {
                        // Whatever becomes of that shim, nobody else gets this start (seed 277).
                        daemon.given.remove(&(run, attempt));
                    }
                    if twice {
                        daemon.mailbox.push(Input::Observed(seen.clone()));
                    }
                    daemon.mailbox.push(Input::Observed(seen));
                }
                FromShim::GaveBack(start) => daemon.given_back.push((from, start)),
            }
        }
        self.fill_slots();
    }

    /// What has a slot begins, before the engine has heard of the end that left it.
    fn fill_slots(&mut self) {
        while let Some(start) = self.daemon.as_mut().and_then(|daemon| daemon.slots.take_next()) {
            self.give(start);
        }
    }

    /// The end of an attempt that no shim tells.
    fn report_over(&mut self, key: Key, seen: Observation) {
        let daemon = self.daemon();
        daemon.slots.free(key);
        daemon.reported.insert(key);
        daemon.mailbox.push(Input::Observed(seen));
        self.fill_slots();
    }

    /// A start that no shim has is not to be.
    fn withdraw(&mut self, (run, attempt): Key) {
        let seen = Observation::StartWithdrawn { run, attempt };
        self.daemon().slots.free((run, attempt));
        self.daemon().mailbox.push(Input::Observed(seen));
        self.fill_slots();
    }

    /// One input into the engine; what it decides is appended, what it releases is queued.
    fn feed(&mut self, input: Input) -> Result<(), String> {
        let now = self.now();
        self.trace(|| format!("  takes {input:?}"));
        let daemon = self.daemon.as_mut().expect("it lives");
        if let Input::Command(request) = &input {
            self.judge.asked(request, daemon.engine.state());
        }
        let decided = daemon.engine.step(input, now).map_err(|illegal| format!("{illegal}"))?;
        let releases = daemon.engine.released();
        daemon.appended.extend(decided.iter().cloned());
        for envelope in &decided {
            self.trace(|| format!("    {} {:?}", envelope.seq, envelope.event));
        }
        self.judge.decided(&decided, &self.machine)?;
        self.queue(releases);
        Ok(())
    }

    fn queue(&mut self, releases: Vec<Release>) {
        let daemon = self.daemon();
        for release in releases {
            match release {
                Release::Act(action) => daemon.acts.push_back(action),
                Release::Say(answer) => daemon.says.push_back(answer),
            }
        }
    }

    fn take(&mut self) -> Result<(), String> {
        let length = self.daemon().mailbox.len();
        let place =
            if self.chance.hits(self.rates.reorder) { self.chance.index(length) } else { 0 };
        let input = self.daemon().mailbox.remove(place);
        if self.daemon().stage == Stage::Ending && matches!(input, Input::Command(_)) {
            // The client sees a closed socket and asks the next daemon.
            return Ok(());
        }
        self.feed(input)
    }

    /// Unless the shim died meanwhile and its start was given to another already.
    fn take_back(&mut self, shim: u32, start: Start) {
        if self.daemon().given.get(&start.key) == Some(&shim) {
            self.daemon().given.remove(&start.key);
            self.daemon().refusals.insert((shim, start.key));
            self.give(start);
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        let fails = self.chance.hits(self.rates.commit_fails);
        let Ok(()) = self.disk.finish(fails, &mut self.chance) else {
            // What is on the disk, only the next one knows.
            self.trace(|| "COMMIT fails".to_owned());
            self.daemon_gone(false);
            return Ok(());
        };
        let group = self.daemon().committing.take().expect("it was begun");
        self.judge.durable(&group)?;
        let seq = group.last().map_or(0, |envelope| envelope.seq);
        let releases = self.daemon().engine.durable(seq);
        self.queue(releases);
        let engine = &self.daemon.as_ref().expect("it lives").engine;
        self.judge.compare(engine)?;
        if self.disk.is_long() {
            let dies = self.rates.commit_fails > 0 && self.chance.one_in(4);
            if self.disk.seal(self.judge.state(), dies, &mut self.chance).is_err() {
                self.dies_in_between();
            }
        }
        Ok(())
    }

    /// The daemon's memory is gone; its letters may still arrive.
    pub(crate) fn daemon_gone(&mut self, power: bool) {
        if self.daemon.take().is_some() || power {
            let generation = self.generation;
            self.trace(|| format!("DAEMON {generation} is gone"));
            self.disk.crash(power, &mut self.chance);
            self.machine.daemon_died(self.generation, &mut self.chance);
        }
    }

    pub(crate) fn leave_in_order(&mut self) -> Result<(), String> {
        let serving = self.daemon.as_ref().is_some_and(|daemon| daemon.stage == Stage::Serving);
        if serving {
            let reason = DaemonStopReason::Upgraded;
            self.feed(Input::Observed(Observation::DaemonEnds { reason }))?;
            self.daemon().stage = Stage::Ending;
        }
        Ok(())
    }

    pub(crate) fn clock_jumped(&mut self, by_ms: i64) -> Result<(), String> {
        if self.daemon.is_some() {
            self.feed(Input::Observed(Observation::ClockJumped { by_ms }))?;
            // Files change as often as clocks.
            self.feed(Input::Observed(files_changed(by_ms)))?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action) {
        let generation = self.generation;
        let run_key = |run, attempt| (run, attempt);
        match action {
            Action::FindPorts { run, wishes, avoid, .. } => {
                let found = self.find_ports(run, &wishes, &avoid);
                self.daemon().mailbox.push(found);
            }
            Action::Watch(watch) => self.daemon().watched.watch(&watch),
            Action::Resize { queue, limit } => self.daemon().slots.resize(&queue, limit),
            Action::Start { run, attempt, spec, ports, slot, .. } => {
                let key = run_key(run, attempt);
                let given = self.daemon().given.contains_key(&key);
                if !given && let Some(seen) = self.port_is_stolen(key, &spec, &ports) {
                    self.daemon().reported.insert(key);
                    self.daemon().mailbox.extend(seen);
                    return;
                }
                let start = Start { key, spec };
                match slot {
                    None => self.give(start),
                    Some(slot) => self.daemon().slots.offer(key, slot, start),
                }
                self.fill_slots();
            }
            Action::Stop { run, attempt, signal, grace_ms } => {
                let key = (run, attempt);
                match self.daemon().given.get(&key).copied() {
                    Some(shim) => {
                        self.machine.send(shim, generation, ToShim::Stop { key, signal, grace_ms });
                    }
                    None if self.daemon().reported.contains(&key) => {}
                    None => self.withdraw(key),
                }
            }
            Action::Signal { run, attempt, signal } => {
                let key = (run, attempt);
                if let Some(shim) = self.daemon().given.get(&key).copied() {
                    self.machine.send(shim, generation, ToShim::Signal { key, signal });
                }
            }
            Action::Pause { run, attempt } => {
                let key = (run, attempt);
                match self.daemon().given.get(&key).copied() {
                    Some(shim) => self.machine.send(shim, generation, ToShim::Pause(key)),
                    None if self.daemon().reported.contains(&key) => {}
                    None => self.withdraw(key),
                }
            }
            Action::Unpause { run, attempt } => {
                let key = (run, attempt);
                if let Some(shim) = self.daemon().given.get(&key).copied() {
                    self.machine.send(shim, generation, ToShim::Unpause(key));
                }
            }
            Action::Forget { run, attempt } => {
                let key = (run, attempt);
                self.daemon().slots.free(key);
                self.daemon().watched.forget(key);
                match self.daemon().given.remove(&key) {
                    Some(shim) => self.machine.send(shim, generation, ToShim::Forget(key)),
                    None => self.machine.forget(key),
                }
            }
            Action::DropSecrets { .. } | Action::TellPruned(_) => {}
            Action::Prune(pruning) => self.prune(&pruning),
        }
    }

    /// What the thread that prunes does; it may be the last thing that this daemon does.
    fn prune(&mut self, pruning: &Pruning) {
        let dies = self.rates.commit_fails > 0 && self.chance.one_in(3);
        let judge = &self.judge;
        let kept = |named: &BTreeSet<RunId>, before: u64| judge.kept_before(named, before);
        let pruned = self.disk.prune(pruning, judge.state(), &kept, dies, &mut self.chance);
        match pruned {
            Ok(pruned) => {
                let request = pruning.request;
                let seen = Observation::Pruned { request, pruned };
                self.daemon().mailbox.push(Input::Observed(seen));
            }
            Err(_) => self.dies_in_between(),
        }
    }

    /// The daemon is gone in the middle of something, perhaps with the machine.
    fn dies_in_between(&mut self) {
        let power = self.rates.reboot > 0 && self.chance.one_in(3);
        self.trace(|| format!("  DIES in between, power {power}"));
        self.daemon_gone(power);
        if power {
            self.machine.reboot(&mut self.chance);
        }
    }

    /// To an idle shim, to a busy one ahead, or to a new one. Idempotent.
    fn give(&mut self, start: Start) {
        let key = start.key;
        let daemon = self.daemon.as_ref().expect("it lives");
        let wanted = daemon.engine.state().runs.get(&key.0).is_some_and(|run| {
            run.attempt_lives
                && run.attempt == key.1
                && run.phase == Phase::Starting
                && !run.pause_wanted
        });
        if daemon.given.contains_key(&key) {
            return;
        }
        if !wanted {
            // It was to be stopped or held meanwhile, and no shim has it.
            self.withdraw(key);
            return;
        }
        let mut loads: BTreeMap<u32, usize> = BTreeMap::new();
        for shim in self.machine.living_shims() {
            loads.insert(shim, 0);
        }
        for shim in daemon.given.values() {
            *loads.entry(*shim).or_default() += 1;
        }
        let ahead = self.chance.hits(self.rates.ahead);
        let load_max = if ahead { 2 } else { 0 };
        let fits =
            |shim: u32, load: usize| load <= load_max && !daemon.refusals.contains(&(shim, key));
        let fitting: Vec<u32> = loads
            .into_iter()
            .filter(|(shim, load)| fits(*shim, *load))
            .map(|(shim, _)| shim)
            .collect();
        let chosen = self.chance.pick(&fitting).filter(|_| !self.chance.clone().one_in(4));
        let shim = chosen.unwrap_or_else(|| self.machine.new_shim());
        self.connect(shim);
        self.daemon().given.insert(key, shim);
        self.machine.send(shim, self.generation, ToShim::Start(start));
        if ahead && self.chance.one_in(2) {
            // A slot is free after all: take it back; another shim gets it.
            self.machine.send(shim, self.generation, ToShim::Withdraw(key));
        }
    }

    /// A shim that has something of ours and is dead, or mute for too long.
    fn shim_to_watch(&self) -> Option<u32> {
        let daemon = self.daemon.as_ref().filter(|daemon| daemon.stage != Stage::Finding)?;
        let now = self.machine.boottime_ms;
        let bad = |shim: &&u32| match self.machine.shims[*shim].health {
            Health::Alive => false,
            Health::Mute { since, .. } => since + jr::limits::SHIM_MUTE_MS <= now,
            Health::Dead => true,
        };
        daemon.given.values().find(bad).copied()
    }

    fn watch(&mut self, shim: u32) -> Result<(), String> {
        let mute = self.machine.shims[&shim].health != Health::Dead;
        if mute {
            self.kill_mute(shim);
        }
        let has = |(key, of): (&Key, &u32)| (*of == shim).then_some(*key);
        let keys: Vec<Key> = self.daemon().given.iter().filter_map(has).collect();
        let Some(key) = self.chance.pick(&keys) else { return Ok(()) };
        self.daemon().given.remove(&key);
        let (run, attempt) = key;
        if let Some(end) = self.machine.exit_record(key) {
            self.report_over(key, Observation::ProcessEnded { run, attempt, end });
        } else if self.machine.claimer(key).is_some() {
            self.fence(key)?;
            let reason = self.loss(shim);
            self.report_over(key, Observation::ShimLost { run, attempt, reason });
        } else {
            let live = self.daemon().engine.state().runs.get(&run);
            if let Some(live) = live.filter(|live| live.attempt_lives && live.attempt == attempt) {
                let spec = live.spec.clone();
                self.give(Start { key, spec });
            }
        }
        Ok(())
    }

    fn kill_mute(&mut self, shim: u32) {
        self.trace(|| format!("  kills the mute shim {shim}"));
        self.machine.kill_shim(shim);
        self.killed_mute.insert(shim);
    }

    fn loss(&self, shim: u32) -> LostReason {
        let mute = self.killed_mute.contains(&shim);
        if mute { LostReason::ShimUnresponsive } else { LostReason::ShimDied }
    }

    fn fence(&mut self, key: Key) -> Result<(), String> {
        let others = self.machine.fence(key);
        if others.is_empty() {
            return Ok(());
        }
        Err(format!("law 7: the fence of {key:?} killed {others:?}"))
    }

    /// The recovery table, one row of one attempt at a time.
    fn find_next(&mut self) -> Result<(), String> {
        let Some(key) = self.daemon().to_find.pop_front() else {
            self.feed(Input::RecoveryDone)?;
            self.daemon().stage = Stage::Serving;
            return Ok(());
        };
        let finding = self.find(key)?;
        self.feed(Input::Found { run: key.0, finding })
    }

    fn find(&mut self, key: Key) -> Result<Finding, String> {
        if let Some(end) = self.machine.exit_record(key) {
            return Ok(Finding::Exited(end));
        }
        let Some(shim) = self.machine.claimer(key) else { return self.find_unclaimed(key) };
        if self.machine.shims[&shim].boot != self.machine.boot {
            return Ok(Finding::OtherBoot);
        }
        self.settle(shim)?;
        if let Some(end) = self.machine.exit_record(key) {
            return Ok(Finding::Exited(end));
        }
        self.connect(shim);
        match self.machine.ask(shim, key) {
            Answer::Running(process, paused) => {
                self.adopt(key, shim);
                return Ok(Finding::Running { process, paused });
            }
            Answer::Held | Answer::Unknown => return Err(format!("{key:?} is claimed twice")),
            Answer::Silence => {}
        }
        if self.machine.shims[&shim].health != Health::Dead {
            self.kill_mute(shim);
        }
        self.fence(key)?;
        Ok(Finding::Fenced(self.loss(shim)))
    }

    /// Nobody has claimed it: every shim answers, and refuses it from then on, or is ended.
    fn find_unclaimed(&mut self, key: Key) -> Result<Finding, String> {
        for shim in self.machine.living_shims() {
            self.settle(shim)?;
            self.connect(shim);
            match self.machine.ask(shim, key) {
                Answer::Held => {
                    self.adopt(key, shim);
                    return Ok(Finding::Held);
                }
                Answer::Running(..) => return Err(format!("{key:?} runs without a claim")),
                Answer::Unknown => {}
                Answer::Silence => self.kill_mute(shim),
            }
        }
        Ok(Finding::Unclaimed)
    }

    /// What an earlier daemon gave to a shim has its slot.
    fn adopt(&mut self, key: Key, shim: u32) {
        let daemon = self.daemon();
        daemon.given.insert(key, shim);
        let live = daemon.engine.state().runs.get(&key.0);
        if let Some(queue) = live.and_then(|run| run.spec.queue.clone()) {
            daemon.slots.occupy(key, queue);
        }
    }

    fn settle(&mut self, shim: u32) -> Result<(), String> {
        let done = self.machine.settle(shim, &mut self.chance);
        self.after_shim(shim, done)
    }
}

/// The attempt that gives its slot back with what was seen.
fn over(seen: &Observation) -> Option<Key> {
    match seen {
        Observation::ProcessEnded { run, attempt, .. }
        | Observation::StartWithdrawn { run, attempt }
        | Observation::ShimLost { run, attempt, .. } => Some((*run, *attempt)),
        _ => None,
    }
}

/// What a look at the configuration files may come to.
fn files_changed(by_ms: i64) -> Observation {
    let number = u8::try_from(by_ms.unsigned_abs() % 4).expect("small");
    if number == 0 {
        let (source, reason) = ("/p/jr.toml:1:1".to_owned(), "unknown key".to_owned());
        return Observation::ConfigRefused { source, reason };
    }
    let config = Some(Digest([number; 32]));
    let resolution = Resolution { config, ..Resolution::default() };
    Observation::ConfigChanged { resolution: resolution.into() }
}
