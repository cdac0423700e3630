//! Given events, when this comes, then these events, actions and answers.

use std::sync::Arc;

use jr::model::command::BatchLine;
use jr::model::event::{Process, StopReason, Tracking};
use jr::model::{
    Action, AttemptEnd, BootId, ByteString, Cause, Command, CommandId, Engine, Envelope, Event,
    ExitStatus, Finding, Input, Kind, Now, Observation, Outcome, PausedBy, Phase, QueueName, Reply,
    Request, RunId, RunSpec, Signal, Slots, State, UnixMillis,
};
use jr::model::{Checker, Release};

pub(crate) const NOW: Now = Now { wall: UnixMillis(1_000), boottime_ms: 5 };
pub(crate) const BOOT: BootId = BootId([1; 16]);
pub(crate) const NEXT_BOOT: BootId = BootId([2; 16]);

/// A whole log under an engine; every event passes the law checker.
pub(crate) struct Fixture {
    engine: Engine,
    checker: Checker,
    commands: u64,
    actions: Vec<Action>,
    replies: Vec<Reply>,
    now: Now,
    slots: Slots<RunId>,
    begun: Vec<RunId>,
}

impl Fixture {
    /// A daemon with two cores that has nothing to recover.
    pub(crate) fn new() -> Self {
        let mut fixture = Self::over(State::default());
        fixture.see(Observation::EnvironmentMade { id: "local".parse().expect("a name") });
        fixture.begin(BOOT);
        fixture.recovered();
        fixture
    }

    fn over(state: State) -> Self {
        let checker = Checker::from_snapshot(state.clone());
        Self {
            engine: Engine::new(state),
            checker,
            commands: 0,
            actions: Vec::new(),
            replies: Vec::new(),
            now: NOW,
            slots: Slots::new(),
            begun: Vec::new(),
        }
    }

    fn begin(&mut self, boot: BootId) {
        self.see(Observation::DaemonBegan { pid: 7, version: "0".to_owned(), boot, cores: 2 });
    }

    /// The daemon dies and another one begins; nothing is found yet.
    pub(crate) fn restart(self, boot: BootId) -> Self {
        let state = self.engine.state().clone();
        let mut next = Self { commands: self.commands, now: self.now, ..Self::over(state) };
        if boot != next.state().boot {
            next.now.boottime_ms = 0;
        }
        next.begin(boot);
        next
    }

    pub(crate) fn state(&self) -> &State {
        self.engine.state()
    }

    /// One input, durable at once. What it brings, in short.
    pub(crate) fn feed(&mut self, input: Input) -> Vec<Event> {
        self.begun.clear();
        if let Input::Observed(seen) = &input {
            self.free(seen);
        }
        let envelopes: Vec<Envelope> = self.engine.step(input, self.now).expect("legal");
        for envelope in &envelopes {
            self.checker.feed(envelope).expect("lawful");
        }
        let mut releases = self.engine.durable(self.engine.head());
        releases.extend(self.engine.released());
        self.actions.clear();
        for release in releases {
            match release {
                Release::Act(action) => {
                    self.give(&action);
                    self.actions.push(action);
                }
                Release::Say(answer) => self.replies.push(answer.reply),
            }
        }
        self.begun.extend(std::iter::from_fn(|| self.slots.take_next()));
        assert_eq!(self.checker.state(), self.engine.state(), "replay equals live");
        envelopes.into_iter().map(|envelope| envelope.event).collect()
    }

    pub(crate) fn see(&mut self, seen: Observation) -> Vec<Event> {
        self.feed(Input::Observed(seen))
    }

    pub(crate) fn found(&mut self, run: RunId, finding: Finding) -> Vec<Event> {
        let live = self.state().runs.get(&run);
        let place = live.and_then(|live| Some((live.attempt, live.spec.queue.clone()?)));
        if let Finding::Running { .. } | Finding::Held = finding
            && let Some((attempt, queue)) = place
        {
            self.slots.occupy((run, attempt), queue);
        }
        self.feed(Input::Found { run, finding })
    }

    pub(crate) fn recovered(&mut self) -> Vec<Event> {
        self.feed(Input::RecoveryDone)
    }

    /// A command under an id of its own; the events and the answer.
    pub(crate) fn ask(&mut self, command: Command) -> (Vec<Event>, Reply) {
        self.commands += 1;
        self.ask_as(self.commands, self.state().seq, command)
    }

    pub(crate) fn ask_as(
        &mut self,
        id: u64,
        facts_seq: u64,
        command: Command,
    ) -> (Vec<Event>, Reply) {
        let cause = Cause { command: CommandId::from_chance(u128::from(id)), uid: 1 };
        let events = self.feed(Input::Command(Request { cause, facts_seq, command }));
        (events, self.replies.pop().expect("an answer"))
    }

    /// What the last input lets out.
    pub(crate) fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Runs that the last input starts, those given ahead when they get a slot.
    pub(crate) fn starts(&self) -> Vec<RunId> {
        self.begun.clone()
    }

    /// As the runners' side does before the engine hears of it.
    fn free(&mut self, seen: &Observation) {
        if let Observation::ProcessEnded { run, attempt, .. }
        | Observation::StartWithdrawn { run, attempt }
        | Observation::ShimLost { run, attempt, .. } = seen
        {
            self.slots.free((*run, *attempt));
        }
        self.begun.extend(std::iter::from_fn(|| self.slots.take_next()));
    }

    fn give(&mut self, action: &Action) {
        match action {
            Action::Start { run, slot: None, .. } => self.begun.push(*run),
            Action::Start { run, attempt, slot: Some(slot), .. } => {
                self.slots.offer((*run, *attempt), slot.clone(), *run);
            }
            Action::Resize { queue, limit } => self.slots.resize(queue, *limit),
            Action::Stop { run, attempt, .. } | Action::Pause { run, attempt }
                if self.slots.holds_back((*run, *attempt)) =>
            {
                self.slots.free((*run, *attempt));
            }
            Action::Forget { run, attempt } => self.slots.free((*run, *attempt)),
            _ => {}
        }
    }

    /// Runs that the last input stops in the world.
    pub(crate) fn stops(&self) -> Vec<RunId> {
        let stop = |action: &Action| match action {
            Action::Stop { run, .. } => Some(*run),
            _ => None,
        };
        self.actions.iter().filter_map(stop).collect()
    }

    pub(crate) fn run(&mut self, number: u64, spec: RunSpec) -> (Vec<Event>, Reply) {
        self.ask(Command::Run {
            run: id(number),
            spec: Arc::new(spec),
            key_holder: None,
            ended: Vec::new(),
        })
    }

    /// So many milliseconds pass.
    pub(crate) fn pass(&mut self, ms: u64) -> Vec<Event> {
        self.now.boottime_ms += ms;
        self.now.wall.0 += i64::try_from(ms).expect("small");
        self.feed(Input::TimePassed)
    }

    pub(crate) fn pause(&mut self, runs: &[u64]) -> (Vec<Event>, Reply) {
        let runs = runs.iter().map(|run| id(*run)).collect();
        self.ask(Command::Pause { runs, asker: None })
    }

    pub(crate) fn resume(&mut self, runs: &[u64]) -> (Vec<Event>, Reply) {
        let runs = runs.iter().map(|run| id(*run)).collect();
        self.ask(Command::Resume { runs, asker: None })
    }

    pub(crate) fn held_still(&mut self, number: u64) -> Vec<Event> {
        let (run, attempt) = self.at(number);
        self.see(Observation::TreePaused { run, attempt, by: PausedBy::Freezer })
    }

    pub(crate) fn goes_on(&mut self, number: u64) -> Vec<Event> {
        let (run, attempt) = self.at(number);
        self.see(Observation::TreeResumed { run, attempt })
    }

    pub(crate) fn phase(&self, number: u64) -> Phase {
        self.state().runs.get(&id(number)).map_or(Phase::Ended, |run| run.phase)
    }

    pub(crate) fn now(&self) -> Now {
        self.now
    }

    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.engine.next_due_ms(self.now)
    }

    pub(crate) fn stop(&mut self, runs: &[u64]) -> (Vec<Event>, Reply) {
        let runs = runs.iter().map(|run| id(*run)).collect();
        self.ask(Command::Stop { runs, reason: StopReason::Asked, grace_ms: Some(9), asker: None })
    }

    pub(crate) fn started(&mut self, number: u64) -> Vec<Event> {
        let (run, attempt) = self.at(number);
        self.see(Observation::ProcessStarted { run, attempt, process: process() })
    }

    pub(crate) fn ended(&mut self, number: u64, status: ExitStatus) -> Vec<Event> {
        let (run, attempt) = self.at(number);
        self.see(Observation::ProcessEnded { run, attempt, end: end(status) })
    }

    pub(crate) fn withdrawn(&mut self, number: u64) -> Vec<Event> {
        let (run, attempt) = self.at(number);
        self.see(Observation::StartWithdrawn { run, attempt })
    }

    fn at(&self, number: u64) -> (RunId, u32) {
        let run = id(number);
        (run, self.state().runs.get(&run).map_or(1, |live| live.attempt))
    }

    /// A batch of jobs 101, 102, …
    pub(crate) fn batch(&mut self, number: u64, lines: u64, jobs: u32, fail_fast: bool) -> Reply {
        let spec = RunSpec { fail_fast, queue: None, ..job() };
        self.batch_of(number, lines, jobs, spec)
    }

    /// As many at a time as a queue lets that is there for others as well.
    pub(crate) fn batch_in(&mut self, number: u64, lines: u64, queue: QueueName) -> Reply {
        self.batch_of(number, lines, 2, RunSpec { queue: Some(queue), ..job() })
    }

    fn batch_of(&mut self, number: u64, lines: u64, jobs: u32, spec: RunSpec) -> Reply {
        let line = |line: u64| BatchLine {
            run: id(number * 100 + line),
            name: "line".to_owned(),
            command: vec![ByteString::from("true")],
            line: ByteString::from("true"),
        };
        let lines = (1..=lines).map(line).collect();
        let spec = Arc::new(RunSpec { kind: Kind::Batch, command: Vec::new(), ..spec });
        self.ask(Command::Batch { run: id(number), spec, jobs, lines }).1
    }
}

pub(crate) fn id(number: u64) -> RunId {
    RunId::from_chance(number)
}

pub(crate) fn queue(name: &str) -> QueueName {
    name.parse().expect("a name")
}

/// A job of the queue `default`.
pub(crate) fn job() -> RunSpec {
    RunSpec {
        command: vec![ByteString::from("true")],
        queue: Some(QueueName::default_queue()),
        grace_ms: 4,
        output_bytes_max: 1,
        ..RunSpec::default()
    }
}

/// A job that waits in no queue.
pub(crate) fn at_once() -> RunSpec {
    RunSpec { queue: None, ..job() }
}

pub(crate) fn keyed(key: &str, word: &str) -> RunSpec {
    let command = vec![ByteString::from(word)];
    RunSpec { key: Some(key.to_owned()), command, ..job() }
}

pub(crate) fn process() -> Process {
    let tracking = Tracking::Cgroup;
    Process {
        pid: 9,
        start_ticks: 1,
        at: UnixMillis(0),
        tracking,
        limits_by: jr::model::LimitsBy::default(),
        shim: 1,
    }
}

pub(crate) fn end(status: ExitStatus) -> AttemptEnd {
    AttemptEnd::unmeasured(status, NOW.wall)
}

pub(crate) fn exited(code: i32) -> ExitStatus {
    ExitStatus::Exited(code)
}

pub(crate) fn intended(number: u64, attempt: u32) -> Event {
    Event::AttemptIntended { run: id(number), attempt, ports: Vec::new() }
}

pub(crate) fn over(number: u64, attempt: u32, status: ExitStatus) -> Event {
    Event::AttemptEnded { run: id(number), attempt, end: end(status) }
}

pub(crate) fn run_ended(number: u64, outcome: Outcome) -> Event {
    Event::RunEnded { run: id(number), outcome }
}

pub(crate) fn stop_requested(number: u64, reason: StopReason, grace_ms: u64) -> Event {
    let (run, signal, asker) = (id(number), Signal::TERM, None);
    Event::StopRequested { run, reason, signal, grace_ms, asker }
}

/// The kinds of events, where the rest of them is not the point.
pub(crate) fn kinds(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(Event::kind_name).collect()
}
