//! Legal logs from chance: the real engine, in a world where everything is durable at once.
#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};

use jr::model::command::{BatchLine, KeyHolder};
use jr::model::event::{DaemonStopReason, Final, OutputLossReason, Process, StopReason, Tracking};
use jr::model::service::plan::Wish;
use jr::model::service::spec::{ServiceSpec, Supervision};
use jr::model::*;

/// When a world begins, in Unix milliseconds.
pub(crate) const EPOCH: i64 = 1_700_000_000_000;

/// Bytes that several handles share, as a file is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Vec<u8>>>);

impl Disk {
    pub(crate) fn clear(&self) {
        self.0.lock().expect("not poisoned").clear();
    }

    pub(crate) fn damage(&self, flips: &[(u32, u8)]) {
        let mut bytes = self.0.lock().expect("not poisoned");
        for (place, bits) in flips {
            let place = *place as usize % bytes.len();
            bytes[place] ^= (*bits).max(1);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().expect("not poisoned").len()
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let bytes = self.0.lock().expect("not poisoned");
        let start = usize::try_from(offset).expect("fits");
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.lock().expect("not poisoned").resize(usize::try_from(len).expect("fits"), 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut bytes = self.0.lock().expect("not poisoned");
        let start = usize::try_from(offset).expect("fits");
        bytes[start..start + data.len()].copy_from_slice(data);
        Ok(())
    }
}

/// An environment whose world does what chance says.
pub(crate) struct World {
    engine: Engine,
    envelopes: Vec<Envelope>,
    /// Attempts that shims have.
    held: BTreeSet<(RunId, u32)>,
    wall: i64,
    chance: u64,
    boot: u8,
}

impl World {
    /// The log of a world in which each number is one step.
    pub(crate) fn play(script: &[u64]) -> Vec<Envelope> {
        let seed = script.iter().fold(1, |seed: u64, step| seed.rotate_left(5) ^ step);
        let mut world = Self {
            engine: Engine::new(State::default()),
            envelopes: Vec::new(),
            held: BTreeSet::new(),
            wall: EPOCH,
            chance: seed,
            boot: 1,
        };
        world.step(Input::Observed(Observation::EnvironmentMade {
            id: "local".parse().expect("a name"),
        }));
        world.begin_daemon();
        for step in script {
            world.wall += i64::try_from(step >> 56).expect("fits") % 50;
            world.act(step % 30, step >> 8);
            world.step(Input::TimePassed);
        }
        world.envelopes
    }

    fn next(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn step(&mut self, input: Input) {
        let since = u64::try_from(self.wall - EPOCH).unwrap_or(0);
        let now = Now { wall: UnixMillis(self.wall), boottime_ms: since };
        let envelopes = self.engine.step(input, now).expect("the engine is legal");
        self.envelopes.extend(envelopes);
        let head = self.engine.head();
        let mut withdrawn = Vec::new();
        for release in self.engine.durable(head) {
            match release {
                Release::Act(Action::Start { run, attempt, .. }) => {
                    self.held.insert((run, attempt));
                }
                Release::Act(Action::Stop { run, attempt, .. }) => {
                    let live = self.engine.state().runs.get(&run);
                    let live = live.filter(|run| run.attempt_lives && run.attempt == attempt);
                    if live.is_some_and(|run| run.process.is_none()) && attempt % 2 == 1 {
                        withdrawn.push((run, attempt));
                    } else if live.is_some() {
                        self.held.insert((run, attempt));
                    }
                }
                Release::Act(Action::Pause { run, attempt }) => {
                    let live = self.engine.state().runs.get(&run);
                    if live.is_some_and(|run| run.process.is_none()) && attempt % 2 == 0 {
                        withdrawn.push((run, attempt));
                    }
                }
                _ => {}
            }
        }
        for (run, attempt) in withdrawn {
            self.held.remove(&(run, attempt));
            self.step(Input::Observed(Observation::StartWithdrawn { run, attempt }));
        }
    }

    fn begin_daemon(&mut self) {
        let version = "0.1.0".to_owned();
        let boot = BootId([self.boot; 16]);
        self.step(Input::Observed(Observation::DaemonBegan { pid: 7, version, boot, cores: 2 }));
        for (run, attempt) in self.engine.to_find() {
            // What was found before it may have ended it: a batch that fails fast.
            let Some(live) = self.engine.state().runs.get(&run) else { continue };
            let (began, paused_by) = (live.process.is_some(), live.paused_by);
            let finding = match self.next() % 5 {
                // Also of one that began: somebody may have cleared the shims' directory.
                0 => Finding::Unclaimed,
                1 => Finding::Fenced(LostReason::ShimDied),
                2 => Finding::Exited(end(self.wall, ExitStatus::Exited(0))),
                _ if began => {
                    let paused = paused_by.filter(|_| self.wall % 2 == 0);
                    Finding::Running { process: process(self.wall), paused }
                }
                _ => Finding::Held,
            };
            self.held.remove(&(run, attempt));
            if matches!(finding, Finding::Held | Finding::Running { .. }) {
                self.held.insert((run, attempt));
            }
            self.step(Input::Found { run, finding });
        }
        self.step(Input::RecoveryDone);
    }

    fn act(&mut self, what: u64, with: u64) {
        match what {
            0..=4 => self.run(with),
            5 => self.batch(with),
            6..=15 => self.progress(with),
            16 | 17 => self.stop(with),
            18 => self.signal(with),
            19 => {
                let queue = if with.is_multiple_of(2) { "default" } else { "slow" };
                let limit = u32::try_from(with % 4 + 1).expect("fits");
                self.command(Command::SetQueue { queue: queue.parse().expect("a name"), limit });
            }
            20 => {
                if with.is_multiple_of(2) {
                    let reason = DaemonStopReason::Upgraded;
                    self.step(Input::Observed(Observation::DaemonEnds { reason }));
                }
                self.boot = self.boot.wrapping_add(u8::from(with.is_multiple_of(3)));
                self.engine = Engine::new(self.engine.state().clone());
                self.begin_daemon();
            }
            21 => {
                if let Some((run, attempt)) = self.one_held(with) {
                    let (bytes, reason) = (Some(with), OutputLossReason::NoSpace);
                    let missing = Observation::OutputMissing { run, attempt, bytes, reason };
                    self.step(Input::Observed(missing));
                }
            }
            24 => self.pause(with),
            25 => self.resume(with),
            26 => {
                let queue = if with.is_multiple_of(2) { "default" } else { "slow" };
                let (queue, paused) = (queue.parse().expect("a name"), with % 3 == 1);
                self.command(Command::PauseQueue { queue, paused, asker: None });
            }
            27 => {
                let digest = Digest([u8::try_from(with % 5).expect("small"); 32]);
                let queues = [("slow".parse().expect("a name"), 1 + u32::from(digest.0[0]))];
                let (config, queues) = (Some(digest), queues.into_iter().collect());
                let resolution = Resolution { config, sources: Vec::new(), queues };
                self.command(Command::Configure { resolution: resolution.into() });
            }
            28 | 29 => self.services(with),
            _ => {
                let by_ms = -i64::try_from(with % 300).expect("fits");
                self.wall += by_ms;
                self.step(Input::Observed(Observation::ClockJumped { by_ms }));
            }
        }
    }

    fn command(&mut self, command: Command) {
        let id = u128::from(self.next()) << 64 | u128::from(self.next());
        let cause = Cause { command: CommandId::from_chance(id), uid: 1_000 };
        let facts_seq = self.engine.head();
        self.step(Input::Command(Request { cause, facts_seq, command }));
    }

    fn run(&mut self, with: u64) {
        let run = RunId::from_chance(self.next());
        let mut spec = spec(["make", "test", "api-1", "api-2"][(with % 4) as usize]);
        spec.queue = match with >> 2 & 3 {
            0 => None,
            1 => Some("slow".parse().expect("a name")),
            _ => Some(QueueName::default_queue()),
        };
        spec.key = ((with >> 4).is_multiple_of(8)).then(|| format!("key-{}", with >> 7 & 1));
        let team = if with >> 8 & 1 == 0 { "a" } else { "b" };
        spec.labels = BTreeMap::from([("team".to_owned(), team.to_owned())]);
        if spec.key.is_some() {
            spec.command = vec![ByteString::from("keyed")];
        }
        let holder = self.envelopes.iter().find_map(|envelope| match &envelope.event {
            Event::RunAdmitted { run, spec: held }
                if spec.key.is_some() && held.key == spec.key =>
            {
                Some(KeyHolder { run: *run, command: held.command.clone() })
            }
            _ => None,
        });
        self.policies(&mut spec, with >> 9);
        let (spec, ended) = (Arc::new(spec), Vec::new());
        self.command(Command::Run { run, spec, key_holder: holder, ended });
    }

    /// Retries, a lock, what it comes after: each of some runs.
    fn policies(&mut self, spec: &mut RunSpec, with: u64) {
        if with.is_multiple_of(4) {
            let backoff = Backoff { first_ms: with % 60, ..Backoff::DEFAULT };
            spec.retry = Some(Retry { times: 2, backoff });
        }
        if with.is_multiple_of(5) {
            let otherwise = [LockBusy::Wait, LockBusy::Fail, LockBusy::Skip][(with % 3) as usize];
            spec.lock = Some(LockWish { name: "disk".parse().expect("a name"), otherwise });
        }
        spec.on_interrupt =
            [OnInterrupt::Fail, OnInterrupt::Requeue, OnInterrupt::Ask][(with >> 3) as usize % 3];
        if with.is_multiple_of(6)
            && let Some(run) = self.engine.state().runs.keys().next().copied()
        {
            let condition = if with & 8 == 0 { Condition::Ok } else { Condition::Any };
            spec.after = vec![Dependency { run, condition }];
        }
    }

    fn pause(&mut self, with: u64) {
        let runs: Vec<RunId> = self.engine.state().runs.keys().copied().collect();
        let Some(place) = usize::try_from(with).expect("fits").checked_rem(runs.len()) else {
            return;
        };
        self.command(Command::Pause { runs: vec![runs[place]], asker: None });
        if let Some((run, attempt)) = self.one_held(with) {
            let by = if with.is_multiple_of(2) { PausedBy::Freezer } else { PausedBy::Signal };
            self.step(Input::Observed(Observation::TreePaused { run, attempt, by }));
        }
    }

    fn resume(&mut self, with: u64) {
        let runs = self.engine.state().runs.keys().copied().collect();
        self.command(Command::Resume { runs, asker: None });
        if let Some((run, attempt)) = self.one_held(with) {
            self.step(Input::Observed(Observation::TreeResumed { run, attempt }));
        }
    }

    fn batch(&mut self, with: u64) {
        let run = RunId::from_chance(self.next());
        let mut spec = spec("batch");
        spec.kind = Kind::Batch;
        spec.command = Vec::new();
        spec.fail_fast = with.is_multiple_of(3);
        let older = self.envelopes.iter().rev().find_map(|envelope| match &envelope.event {
            Event::RunAdmitted { run, spec } if spec.kind == Kind::Batch => Some(*run),
            _ => None,
        });
        spec.parent = older.filter(|_| with.is_multiple_of(2));
        let lines = (0..=with % 5).map(|number| {
            let text = format!("echo {}", number / 2);
            let line = ByteString::from(text.clone());
            let (run, name) = (RunId::from_chance(self.next()), format!("echo-{number}"));
            BatchLine { run, name, command: vec![ByteString::from(text)], line }
        });
        let lines = lines.collect();
        self.command(Command::Batch { run, spec: Arc::new(spec), jobs: 2, lines });
    }

    /// Two services, without ports: up, up anew, down, forgotten.
    fn services(&mut self, with: u64) {
        let names: [ServiceName; 2] = ["db", "web"].map(|name| name.parse().expect("a name"));
        if with.is_multiple_of(4) {
            let services = with.is_multiple_of(8).then(|| names[..1].to_vec());
            return self.command(Command::Down { services, asker: None });
        }
        let declared = names[..=(with >> 3) as usize % 2].iter().map(|name| {
            let version = u8::try_from(with >> 4 & 1).expect("a bit");
            (name.clone(), Arc::new(service(version)))
        });
        let declared: Vec<_> = declared.collect();
        let names = declared.iter().map(|(name, _)| name.clone()).collect();
        let (anew, forget_others) = (with & 32 != 0, with & 64 != 0);
        let wish = Wish { declared, names, anew, forget_others, ..Wish::default() };
        self.command(Command::Up { wish, asker: None });
    }

    fn one_held(&mut self, with: u64) -> Option<(RunId, u32)> {
        let state = self.engine.state();
        self.held.retain(|(run, attempt)| {
            state.runs.get(run).is_some_and(|run| run.attempt_lives && run.attempt == *attempt)
        });
        let place = usize::try_from(with).expect("fits").checked_rem(self.held.len())?;
        self.held.iter().nth(place).copied()
    }

    fn progress(&mut self, with: u64) {
        let Some((run, attempt)) = self.one_held(with >> 8) else { return };
        let at = self.wall;
        let began = self.engine.state().runs[&run].process.is_some();
        let observed = if !began && !with.is_multiple_of(16) {
            Observation::ProcessStarted { run, attempt, process: process(at) }
        } else if with % 16 == 1 {
            Observation::ShimLost { run, attempt, reason: LostReason::ShimUnresponsive }
        } else {
            let status = match (began, with % 9) {
                (false, _) => ExitStatus::NotStarted(SpawnError::NotFound),
                (true, 0) => ExitStatus::Exited(3),
                (true, 1) => ExitStatus::Signalled(Signal::KILL),
                (true, 2) => ExitStatus::TimedOut(Final::Signalled(Signal::TERM)),
                (true, _) => ExitStatus::Exited(0),
            };
            Observation::ProcessEnded { run, attempt, end: end(at, status) }
        };
        self.step(Input::Observed(observed));
    }

    fn stop(&mut self, with: u64) {
        let runs: Vec<RunId> = self.engine.state().runs.keys().copied().collect();
        let Some(place) = usize::try_from(with).expect("fits").checked_rem(runs.len()) else {
            return;
        };
        let (runs, reason) = (vec![runs[place]], StopReason::Asked);
        self.command(Command::Stop { runs, reason, grace_ms: None, asker: None });
    }

    fn signal(&mut self, with: u64) {
        let Some((run, attempt)) = self.one_held(with) else { return };
        let (runs, asker) = (vec![run], None);
        self.command(Command::Signal { runs, signal: Signal::HUP, asker });
        let (signal, errno) = (Signal::HUP, None);
        let sent = Observation::SignalDelivered { run, attempt, signal, errno };
        self.step(Input::Observed(sent));
    }
}

fn service(version: u8) -> ServiceSpec {
    let run = RunSpec {
        kind: Kind::Service,
        on_interrupt: OnInterrupt::Requeue,
        ..spec(["serve", "serve-on"][usize::from(version)])
    };
    let backoff = Backoff { first_ms: 10, max_ms: 40, ..Backoff::DEFAULT };
    ServiceSpec {
        title: None,
        hostname: None,
        run: Arc::new(run),
        replicas: 1,
        supervision: Arc::new(Supervision { backoff, ..Supervision::default() }),
        digest: Digest([version; 32]),
    }
}

pub(crate) fn process(at: i64) -> Process {
    let (pid, start_ticks, at) = (4_242, 99, UnixMillis(at));
    Process {
        pid,
        start_ticks,
        at,
        tracking: Tracking::Cgroup,
        limits_by: LimitsBy::default(),
        shim: 1,
    }
}

pub(crate) fn end(at: i64, status: ExitStatus) -> AttemptEnd {
    let usage = Some(Usage { user_ms: 3, system_ms: 2, max_rss_bytes: 4_096, oom_kills: None });
    let output = Some(OutputEnd { stdout_bytes: 5, ..OutputEnd::default() });
    let (strays, survivors) = (0, Vec::new());
    AttemptEnd {
        status,
        at: UnixMillis(at),
        duration_ms: u64::try_from(at % 97).ok(),
        usage,
        strays,
        survivors,
        output,
    }
}

pub(crate) fn spec(name: &str) -> RunSpec {
    RunSpec {
        name: name.to_owned(),
        command: vec![ByteString::from("/bin/echo"), ByteString::from(name)],
        cwd: ByteString::from("/home/user"),
        variables: Some(Digest([3; 32])),
        ..RunSpec::default()
    }
}
