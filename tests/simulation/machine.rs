//! The world under the daemon: one computer with processes, shims and their journals.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jr::model::event::{Final, PausedBy, Process, Tracking};
use jr::model::{
    AttemptEnd, ExitStatus, Observation, RunId, RunSpec, Signal, SpawnError, UnixMillis,
};

use super::chance::Chance;

pub(crate) type Key = (RunId, u32);

/// What really happened to an attempt, whoever saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    pub(crate) claimed_by: Option<u32>,
    pub(crate) forked: bool,
    pub(crate) spawn_failed: bool,
    pub(crate) last_word: Option<Final>,
    pub(crate) fenced: bool,
}

/// A live process.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) key: Key,
    pub(crate) spec: Arc<RunSpec>,
    pub(crate) pid: u32,
    shim: u32,
    pub(crate) ends_at: Option<u64>,
    pub(crate) paused_at: Option<u64>,
    pub(crate) last_word: Final,
    /// How long it takes to obey a signal; `None`: it does not.
    obeys_after: Option<u64>,
    says_on_signal: Option<i32>,
}

#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) key: Key,
    pub(crate) spec: Arc<RunSpec>,
}

#[derive(Clone, Debug)]
pub(crate) enum ToShim {
    Start(Start),
    Stop {
        key: Key,
        signal: Signal,
        grace_ms: u64,
    },
    /// Give a start back that has not begun; another shim has a free slot.
    Withdraw(Key),
    Signal {
        key: Key,
        signal: Signal,
    },
    Forget(Key),
    Pause(Key),
    Unpause(Key),
}

#[derive(Clone, Debug)]
pub(crate) enum FromShim {
    Saw(Observation),
    GaveBack(Start),
}

/// A line of a shim's journal: appended, not synced.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Claim(Key),
    Started(Key, Process),
    Exit(Key, AttemptEnd),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Alive,
    /// It does nothing until then.
    Mute {
        since: u64,
        until: u64,
    },
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Claimed,
    Forked,
    Announced,
    Recorded,
}

/// The attempt that a shim runs.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) start: Start,
    pub(crate) step: Step,
    pub(crate) ticks: u64,
    pub(crate) paused_at: Option<u64>,
    process: Option<Process>,
    began_at: u64,
    pub(crate) status: Option<Final>,
    end: Option<AttemptEnd>,
    pub(crate) stop: Option<Signal>,
    kill_at: Option<u64>,
    pub(crate) timeout_at: Option<u64>,
    pub(crate) timed_out: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Shim {
    pub(crate) health: Health,
    pub(crate) boot: u8,
    pub(crate) was_mute: bool,
    /// The daemon that it talks with.
    pub(crate) connected: u32,
    /// One socket for each daemon; what a dead one sent can still be read.
    inbox: BTreeMap<u32, VecDeque<ToShim>>,
    pub(crate) held: VecDeque<Start>,
    pub(crate) current: Option<Current>,
    pub(crate) refused: BTreeSet<Key>,
    pub(crate) ended: BTreeMap<Key, AttemptEnd>,
    journal: Vec<Record>,
}

/// What a step of a shim did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    pub(crate) worked: bool,
    pub(crate) forked: Option<Key>,
    pub(crate) sent: Vec<FromShim>,
}

/// What a shim answers when a daemon looks for an attempt.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Running(Process, Option<PausedBy>),
    Held,
    Unknown,
    Silence,
}

#[derive(Debug, Default)]
pub(crate) struct Machine {
    pub(crate) boot: u8,
    pub(crate) boottime_ms: u64,
    pub(crate) wall_ms: i64,
    pub(crate) shims: BTreeMap<u32, Shim>,
    pub(crate) processes: BTreeMap<u64, Running>,
    pub(crate) truth: BTreeMap<Key, Truth>,
    pub(crate) bug: Option<&'static str>,
    pub(crate) last_ticks: u64,
    pub(crate) last_shim: u32,
}

impl Machine {
    pub(crate) fn wall(&self) -> UnixMillis {
        UnixMillis(self.wall_ms)
    }

    fn bug(&self, name: &str) -> bool {
        self.bug == Some(name)
    }

    pub(crate) fn new_shim(&mut self) -> u32 {
        self.last_shim += 1;
        let shim = Shim {
            health: Health::Alive,
            boot: self.boot,
            was_mute: false,
            connected: 0,
            inbox: BTreeMap::new(),
            held: VecDeque::new(),
            current: None,
            refused: BTreeSet::new(),
            ended: BTreeMap::new(),
            journal: Vec::new(),
        };
        self.shims.insert(self.last_shim, shim);
        self.last_shim
    }

    pub(crate) fn shim(&mut self, id: u32) -> &mut Shim {
        self.shims.get_mut(&id).expect("shims are never removed")
    }

    pub(crate) fn send(&mut self, to: u32, from: u32, message: ToShim) {
        let shim = self.shim(to);
        if shim.health != Health::Dead {
            shim.inbox.entry(from).or_default().push_back(message);
        }
    }

    pub(crate) fn living_shims(&self) -> Vec<u32> {
        let lives = |(id, shim): (&u32, &Shim)| (shim.health != Health::Dead).then_some(*id);
        self.shims.iter().filter_map(lives).collect()
    }

    /// The sockets of a dead daemon: what arrived is still read, the rest never comes.
    pub(crate) fn daemon_died(&mut self, generation: u32, chance: &mut Chance) {
        for shim in self.shims.values_mut() {
            if let Some(inbox) = shim.inbox.get_mut(&generation) {
                inbox.truncate(chance.index(inbox.len() + 1));
            }
        }
    }

    /// The shim learns of a daemon and repeats what was not forgotten.
    pub(crate) fn connect(&mut self, id: u32, generation: u32) -> Vec<FromShim> {
        let shim = self.shim(id);
        if shim.connected == generation || shim.health != Health::Alive {
            return Vec::new();
        }
        shim.connected = generation;
        let ended = shim.ended.iter().map(|((run, attempt), end)| {
            let (run, attempt, end) = (*run, *attempt, end.clone());
            Observation::ProcessEnded { run, attempt, end }
        });
        let running = shim.current.iter().filter(|current| current.step != Step::Claimed);
        let running = running.filter_map(|current| {
            let ((run, attempt), process) = (current.start.key, current.process.clone()?);
            Some(Observation::ProcessStarted { run, attempt, process })
        });
        running.chain(ended).map(FromShim::Saw).collect()
    }

    /// One thing that a shim does.
    pub(crate) fn shim_step(&mut self, id: u32, chance: &mut Chance) -> Done {
        let shim = self.shim(id);
        if shim.health != Health::Alive {
            return Done::default();
        }
        let readable: Vec<u32> =
            shim.inbox.iter().filter(|(_, box_)| !box_.is_empty()).map(|(from, _)| *from).collect();
        let can_progress = match &shim.current {
            None => !shim.held.is_empty(),
            Some(current) => current.step != Step::Announced || current.status.is_some(),
        };
        // The oldest socket first.
        match readable.first() {
            Some(&from) if !can_progress || chance.one_in(2) => self.accept_and_read(id, from),
            _ if can_progress => self.progress(id, chance),
            _ => Done::default(),
        }
    }

    /// A daemon that connected while the shim stalled is accepted when the shim wakes.
    fn accept_and_read(&mut self, id: u32, from: u32) -> Done {
        let is_new = self.shims[&id].connected < from;
        let mut sent = if is_new { self.connect(id, from) } else { Vec::new() };
        let done = self.read(id, from);
        sent.extend(done.sent);
        Done { sent, ..done }
    }

    fn progress(&mut self, id: u32, chance: &mut Chance) -> Done {
        let (now, wall) = (self.boottime_ms, self.wall());
        let shim = self.shim(id);
        let mut done = Done { worked: true, ..Done::default() };
        let Some(current) = &mut shim.current else {
            let Some(start) = shim.held.pop_front() else { return Done::default() };
            let key = start.key;
            shim.journal.push(Record::Claim(key));
            let timeout_at = start.spec.timeout_ms.map(|timeout_ms| now + timeout_ms);
            shim.current = Some(Current {
                start,
                step: Step::Claimed,
                ticks: 0,
                process: None,
                began_at: now,
                status: None,
                end: None,
                stop: None,
                kill_at: None,
                timeout_at,
                paused_at: None,
                timed_out: false,
            });
            self.truth.entry(key).or_default().claimed_by = Some(id);
            return done;
        };
        let key = current.start.key;
        let (run, attempt) = key;
        match current.step {
            Step::Claimed if current.start.spec.name == "missing" => {
                let status = ExitStatus::NotStarted(SpawnError::NotFound);
                let end = AttemptEnd::unmeasured(status, wall);
                shim.journal.push(Record::Exit(key, end.clone()));
                (current.step, current.end) = (Step::Recorded, Some(end));
                self.truth.entry(key).or_default().spawn_failed = true;
            }
            Step::Claimed => {
                self.fork(id, chance);
                done.forked = Some(key);
            }
            Step::Forked => {
                current.step = Step::Announced;
                let process = current.process.clone().expect("it was forked");
                let seen = Observation::ProcessStarted { run, attempt, process };
                done.sent.push(FromShim::Saw(seen));
            }
            Step::Announced => {
                let Some(last) = current.status else { return Done::default() };
                let status = match last {
                    last if current.timed_out => ExitStatus::TimedOut(last),
                    Final::Exited(code) => ExitStatus::Exited(code),
                    Final::Signalled(signal) => ExitStatus::Signalled(signal),
                };
                let mut end = AttemptEnd::unmeasured(status, wall);
                end.duration_ms = Some(now - current.began_at);
                shim.journal.push(Record::Exit(key, end.clone()));
                (current.step, current.end) = (Step::Recorded, Some(end));
            }
            Step::Recorded => {
                let end = current.end.clone().expect("it was recorded");
                shim.ended.insert(key, end.clone());
                shim.current = None;
                done.sent.push(FromShim::Saw(Observation::ProcessEnded { run, attempt, end }));
            }
        }
        done
    }

    fn fork(&mut self, id: u32, chance: &mut Chance) {
        let now = self.boottime_ms;
        self.last_ticks += 1;
        let ticks = self.last_ticks;
        // Pids are scarce here, so that each is used again and again.
        let taken: BTreeSet<u32> = self.processes.values().map(|process| process.pid).collect();
        let pid = (100..=u32::MAX).find(|pid| !taken.contains(pid)).expect("there are more pids");
        let at = self.wall();
        let tracking = Tracking::Cgroup;
        let process = Process {
            pid,
            start_ticks: ticks,
            at,
            tracking,
            limits_by: jr::model::LimitsBy::default(),
            shim: id,
        };
        let shim = self.shim(id);
        let current = shim.current.as_mut().expect("it was claimed");
        let (key, spec) = (current.start.key, Arc::clone(&current.start.spec));
        (current.step, current.ticks) = (Step::Forked, ticks);
        current.process = Some(process.clone());
        shim.journal.push(Record::Started(key, process));
        let stop = current.stop;
        let code =
            if chance.one_in(3) { 1 + i32::try_from(chance.below(9)).expect("small") } else { 0 };
        let lasts = if chance.one_in(8) { None } else { Some(now + chance.below(3_000)) };
        let obeys = !chance.one_in(4);
        let running = Running {
            key,
            spec,
            pid,
            shim: id,
            ends_at: lasts,
            paused_at: None,
            last_word: Final::Exited(code),
            obeys_after: obeys.then(|| chance.below(500)),
            says_on_signal: chance.one_in(3).then_some(7),
        };
        self.processes.insert(ticks, running);
        self.truth.entry(key).or_default().forked = true;
        if let Some(signal) = stop {
            self.signal(ticks, signal);
        }
    }

    fn signal(&mut self, ticks: u64, signal: Signal) {
        let now = self.boottime_ms;
        let Some(process) = self.processes.get_mut(&ticks) else { return };
        let after = if signal == Signal::KILL { Some(0) } else { process.obeys_after };
        let Some(after) = after else { return };
        if process.ends_at.is_none_or(|at| at > now + after) {
            process.ends_at = Some(now + after);
            process.last_word = match process.says_on_signal {
                Some(code) if signal != Signal::KILL => Final::Exited(code),
                _ => Final::Signalled(signal),
            };
        }
    }

    fn read(&mut self, id: u32, from: u32) -> Done {
        let start_withdrawn = self.bug("start_withdrawn");
        let now = self.boottime_ms;
        let shim = self.shim(id);
        let message = shim.inbox.get_mut(&from).and_then(VecDeque::pop_front);
        let mut done = Done { worked: true, ..Done::default() };
        let withdrawn =
            |(run, attempt): Key| FromShim::Saw(Observation::StartWithdrawn { run, attempt });
        let (runs, knows) = {
            let current = shim.current.as_ref().map(|current| current.start.key);
            let ended: BTreeSet<Key> = shim.ended.keys().copied().collect();
            (current, ended)
        };
        match message {
            None => {}
            Some(ToShim::Start(start)) => {
                let held = shim.held.iter().any(|held| held.key == start.key);
                if shim.refused.contains(&start.key) {
                    done.sent.push(withdrawn(start.key));
                } else if !held && runs != Some(start.key) && !knows.contains(&start.key) {
                    shim.held.push_back(start);
                }
            }
            Some(ToShim::Withdraw(key)) => {
                if let Some(place) = shim.held.iter().position(|held| held.key == key) {
                    let start = shim.held.remove(place).expect("it was found");
                    shim.refused.insert(key);
                    done.sent.push(FromShim::GaveBack(start));
                }
            }
            Some(ToShim::Pause(key)) => {
                if let Some(sent) = self.pause(id, key) {
                    done.sent = sent;
                } else {
                    let inbox = self.shim(id).inbox.entry(from).or_default();
                    inbox.push_front(ToShim::Pause(key));
                }
            }
            Some(ToShim::Unpause(key)) => done.sent = self.unpause(id, key),
            Some(ToShim::Stop { key, signal, grace_ms }) => {
                done.sent = self.unpause(id, key);
                let shim = self.shim(id);
                if let Some(current) = shim.current.as_mut().filter(|_| runs == Some(key)) {
                    let kill_at = now + grace_ms;
                    current.kill_at = Some(current.kill_at.map_or(kill_at, |at| at.min(kill_at)));
                    current.stop = Some(signal);
                    let ticks = current.ticks;
                    self.signal(ticks, signal);
                } else if let Some(end) = shim.ended.get(&key).cloned() {
                    let (run, attempt) = key;
                    done.sent.push(FromShim::Saw(Observation::ProcessEnded { run, attempt, end }));
                } else {
                    if !start_withdrawn {
                        shim.held.retain(|held| held.key != key);
                        shim.refused.insert(key);
                    }
                    done.sent.push(withdrawn(key));
                }
            }
            Some(ToShim::Signal { key, signal }) => done.sent.push(self.deliver(id, key, signal)),
            Some(ToShim::Forget(key)) => {
                shim.ended.remove(&key);
                self.forget(key);
            }
        }
        done
    }

    fn deliver(&mut self, id: u32, key: Key, signal: Signal) -> FromShim {
        let (run, attempt) = key;
        let current = self.shim(id).current.as_ref().filter(|now| now.start.key == key);
        let ticks = current.filter(|now| now.status.is_none()).map(|now| now.ticks);
        if let Some(ticks) = ticks {
            self.signal(ticks, signal);
        }
        let errno = ticks.is_none().then_some(3);
        FromShim::Saw(Observation::SignalDelivered { run, attempt, signal, errno })
    }

    /// Journals let go of what the log has.
    pub(crate) fn forget(&mut self, key: Key) {
        for shim in self.shims.values_mut() {
            let running = shim.current.as_ref().is_some_and(|current| current.start.key == key);
            shim.journal.retain(|record| match record {
                Record::Claim(of) | Record::Started(of, _) | Record::Exit(of, _) => {
                    *of != key || running
                }
            });
        }
    }

    /// The next moment at which something happens by itself.
    pub(crate) fn next_moment(&self) -> Option<u64> {
        let moving = self.processes.values().filter(|process| process.paused_at.is_none());
        let processes = moving.filter_map(|process| process.ends_at);
        let shims = self.shims.values().flat_map(|shim| {
            let mute = match shim.health {
                Health::Mute { until, since } => Some(until.min(since + 5_000)),
                _ => None,
            };
            let current = shim.current.as_ref().filter(|_| shim.health == Health::Alive);
            let kill = current.and_then(|current| current.kill_at);
            let counting = current.filter(|current| current.paused_at.is_none());
            let timeout = counting.and_then(|current| current.timeout_at);
            [mute, kill, timeout]
        });
        let moments = processes.chain(shims.flatten());
        moments.filter(|moment| *moment > self.boottime_ms).min()
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.boottime_ms += ms;
        self.wall_ms += i64::try_from(ms).expect("small");
        let now = self.boottime_ms;
        let mut due = Vec::new();
        for shim in self.shims.values_mut() {
            if let Health::Mute { until, .. } = shim.health
                && until <= now
            {
                shim.health = Health::Alive;
            }
            if shim.health != Health::Alive {
                continue;
            }
            let Some(current) = &mut shim.current else { continue };
            let counts = current.ticks != 0 && current.paused_at.is_none();
            if current.timeout_at.is_some_and(|at| at <= now) && counts {
                current.timeout_at = None;
                if current.status.is_none() && current.stop.is_none() {
                    current.timed_out = true;
                    current.kill_at = Some(now + current.start.spec.grace_ms);
                    due.push((current.ticks, current.start.spec.stop_signal));
                }
            }
            if current.kill_at.is_some_and(|at| at <= now) && current.ticks != 0 {
                current.kill_at = None;
                due.push((current.ticks, Signal::KILL));
            }
        }
        self.end_processes();
        for (ticks, signal) in due {
            self.signal(ticks, signal);
        }
        self.end_processes();
    }

    fn end_processes(&mut self) {
        let now = self.boottime_ms;
        let over = self.processes.iter().filter(|(_, process)| process.is_over(now));
        let over: Vec<u64> = over.map(|(at, _)| *at).collect();
        for ticks in over {
            let Some(process) = self.processes.remove(&ticks) else { continue };
            self.truth.entry(process.key).or_default().last_word = Some(process.last_word);
            let shim = self.shim(process.shim);
            let current = shim.current.as_mut().filter(|current| current.ticks == ticks);
            if let Some(current) = current {
                current.status = Some(process.last_word);
            }
        }
    }

    pub(crate) fn kill_shim(&mut self, id: u32) {
        let shim = self.shim(id);
        shim.health = Health::Dead;
        shim.inbox.clear();
        shim.held.clear();
        shim.current = None;
        shim.ended.clear();
    }

    pub(crate) fn stall_shim(&mut self, id: u32, ms: u64) {
        let since = self.boottime_ms;
        let shim = self.shim(id);
        if shim.health == Health::Alive {
            shim.health = Health::Mute { since, until: since + ms };
            shim.was_mute = true;
        }
    }

    pub(crate) fn is_idle(&self, id: u32) -> bool {
        let shim = &self.shims[&id];
        shim.current.is_none() && shim.held.is_empty()
    }

    /// Kills the whole tree of an attempt. Returns whom else it hit.
    pub(crate) fn fence(&mut self, key: Key) -> Vec<Key> {
        if self.bug("skip_fence") {
            return Vec::new();
        }
        let mut victims: Vec<u64> = self
            .processes
            .iter()
            .filter(|(_, at)| at.key == key)
            .map(|(ticks, _)| *ticks)
            .collect();
        if self.bug("reused_pid") {
            let records = self.shims.values().flat_map(|shim| &shim.journal);
            let started = records.filter_map(|record| match record {
                Record::Started(of, process) if *of == key => Some(process.pid),
                _ => None,
            });
            let pids: Vec<u32> = started.collect();
            let hit = self.processes.iter().filter(|(_, at)| pids.contains(&at.pid));
            victims.extend(hit.map(|(ticks, _)| *ticks));
        }
        let mut others = Vec::new();
        for ticks in victims {
            let Some(process) = self.processes.remove(&ticks) else { continue };
            if process.key != key {
                others.push(process.key);
            }
            let truth = self.truth.entry(process.key).or_default();
            truth.last_word = Some(Final::Signalled(Signal::KILL));
            truth.fenced = true;
        }
        others
    }

    pub(crate) fn reboot(&mut self, chance: &mut Chance) {
        for id in self.shims.keys().copied().collect::<Vec<_>>() {
            self.kill_shim(id);
            let journal = &mut self.shim(id).journal;
            journal.truncate(chance.index(journal.len() + 1));
        }
        self.processes.clear();
        self.boot += 1;
        self.boottime_ms = 0;
    }

    pub(crate) fn exit_record(&self, key: Key) -> Option<AttemptEnd> {
        let mut records = self.shims.values().flat_map(|shim| &shim.journal);
        records.find_map(|record| match record {
            Record::Exit(of, end) if *of == key => Some(end.clone()),
            _ => None,
        })
    }

    pub(crate) fn claimer(&self, key: Key) -> Option<u32> {
        let claims = |shim: &Shim| {
            shim.journal.iter().any(|record| matches!(record, Record::Claim(of) if *of == key))
        };
        self.shims.iter().find(|(_, shim)| claims(shim)).map(|(id, _)| *id)
    }

    /// A daemon looks for an attempt. A shim that does not know it refuses it from now on.
    pub(crate) fn ask(&mut self, id: u32, key: Key) -> Answer {
        let shim = self.shim(id);
        if shim.health != Health::Alive {
            return Answer::Silence;
        }
        if let Some(current) = &shim.current
            && current.start.key == key
            && let Some(process) = &current.process
        {
            let paused = current.paused_at.map(|_| PausedBy::Freezer);
            return Answer::Running(process.clone(), paused);
        }
        if shim.held.iter().any(|held| held.key == key) {
            return Answer::Held;
        }
        shim.refused.insert(key);
        Answer::Unknown
    }
}

impl Machine {
    /// A shim that has claimed an attempt forks before it answers anybody.
    pub(crate) fn settle(&mut self, id: u32, chance: &mut Chance) -> Done {
        let shim = &self.shims[&id];
        let claimed = shim.current.as_ref().is_some_and(|current| current.step == Step::Claimed);
        if claimed && shim.health == Health::Alive {
            return self.progress(id, chance);
        }
        Done::default()
    }

    /// What the sockets of dead daemons still hold is read before a new daemon gets an answer.
    pub(crate) fn read_old_letters(&mut self, id: u32, generation: u32) {
        while self.shims[&id].health == Health::Alive {
            let inbox = &self.shims[&id].inbox;
            let old = inbox.iter().find(|(from, box_)| **from < generation && !box_.is_empty());
            let Some((&from, _)) = old else { return };
            let waiting = inbox.values().map(VecDeque::len).sum::<usize>();
            // Whatever it says to them, nobody hears it.
            drop(self.read(id, from));
            // A pause of what is claimed waits for its fork (seed 379).
            if self.shims[&id].inbox.values().map(VecDeque::len).sum::<usize>() == waiting {
                return;
            }
        }
    }
}
