//! Clients: they ask, ask again with the same id, ask twice, and never hear some answers.

use std::sync::Arc;

use jr::model::action::Answer;
use jr::model::command::BatchLine;
use jr::model::event::StopReason;
use jr::model::{
    Backoff, ByteString, Cause, Command, CommandId, Condition, ConfigSource, Dependency, Digest,
    GitCommit, Input, Kind, LockBusy, LockWish, OnInterrupt, QueueName, Request, Resolution, Retry,
    RunId, RunSpec, Signal,
};

use super::chance::Chance;
use super::{World, services};

/// A command that was asked at least once.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    id: CommandId,
    command: Command,
    /// The daemon that it was sent to last.
    sent_to: u32,
    answered: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Clients {
    pub(crate) asked: Vec<Asked>,
    pub(crate) runs: Vec<RunId>,
    pub(crate) budget: u32,
}

impl Clients {
    pub(crate) fn hear(&mut self, answer: &Answer) {
        for asked in self.asked.iter_mut().filter(|asked| asked.id == answer.to) {
            asked.answered = true;
        }
    }

    fn new_run(&mut self, chance: &mut Chance) -> RunId {
        let run = RunId::from_chance(chance.next());
        self.runs.push(run);
        run
    }

    fn command(&mut self, chance: &mut Chance) -> Command {
        if chance.one_in(3) {
            return services::command(chance);
        }
        match chance.below(15) {
            0..=3 => {
                let run = self.new_run(chance);
                let after = self.dependencies(chance);
                let spec = Arc::new(RunSpec { after, ..spec(run, chance) });
                Command::Run { run, spec, key_holder: None, ended: Vec::new() }
            }
            4 | 5 => self.batch(chance),
            6 | 7 => {
                let count = 1 + chance.index(3);
                let mut runs: Vec<_> = (0..count).filter_map(|_| chance.pick(&self.runs)).collect();
                if chance.one_in(8) {
                    runs.clone_from(&self.runs);
                }
                let reason = StopReason::Asked;
                let grace_ms = chance.one_in(2).then(|| chance.below(2_000));
                Command::Stop { runs, reason, grace_ms, asker: None }
            }
            8 => {
                let runs = chance.pick(&self.runs).into_iter().collect();
                let signal = chance.pick(&[Signal::HUP, Signal::INT, Signal::KILL]);
                Command::Signal { runs, signal: signal.expect("one of three"), asker: None }
            }
            9 | 10 => {
                let runs = chance.pick(&self.runs).into_iter().collect();
                Command::Pause { runs, asker: None }
            }
            11 => {
                let mut runs: Vec<_> = chance.pick(&self.runs).into_iter().collect();
                if chance.one_in(3) {
                    runs.clone_from(&self.runs);
                }
                if chance.one_in(4) {
                    Command::ResumeInterrupted { asker: None }
                } else {
                    Command::Resume { runs, asker: None }
                }
            }
            _ if chance.one_in(2) => {
                Command::PauseQueue { queue: queue(chance), paused: chance.one_in(2), asker: None }
            }
            12 => {
                // A share of what there is when it is asked.
                let (before, keep_days) = (chance.below(100), None);
                Command::Prune { before, keep_days, keep_runs: Some(1) }
            }
            13 if !self.runs.is_empty() => {
                let run = chance.pick(&self.runs).expect("there is one");
                Command::Pin { run, pinned: !chance.one_in(3) }
            }
            _ if chance.one_in(3) => Command::Configure { resolution: resolution(chance).into() },
            _ => {
                let queue = queue(chance);
                Command::SetQueue {
                    queue,
                    limit: 1 + u32::try_from(chance.below(4)).expect("small"),
                }
            }
        }
    }

    /// What it comes after: runs that were asked for before, whatever became of them.
    fn dependencies(&self, chance: &mut Chance) -> Vec<Dependency> {
        let count = if chance.one_in(3) { 1 + chance.index(2) } else { 0 };
        let known = &self.runs[..self.runs.len() - 1];
        let runs = (0..count).filter_map(|_| chance.pick(known));
        let runs: Vec<RunId> = runs.collect();
        let condition = if chance.one_in(2) { Condition::Ok } else { Condition::Any };
        runs.into_iter().map(|run| Dependency { run, condition }).collect()
    }

    fn batch(&mut self, chance: &mut Chance) -> Command {
        let run = self.new_run(chance);
        let queue = chance.one_in(3).then(|| queue(chance));
        let base = spec(run, chance);
        let fail_fast = chance.one_in(3);
        let (kind, command, key) = (Kind::Batch, Vec::new(), None);
        let parent = chance.pick(&self.runs).filter(|older| *older != run && chance.one_in(3));
        let spec = RunSpec { kind, command, key, queue, fail_fast, parent, ..base };
        let lines = (0..=chance.below(7)).map(|_| BatchLine {
            run: self.new_run(chance),
            name: name(chance),
            command: vec![ByteString::from("true")],
            line: ByteString::from("true"),
        });
        let lines = lines.collect();
        let jobs = 1 + u32::try_from(chance.below(3)).expect("small");
        Command::Batch { run, spec: Arc::new(spec), jobs, lines }
    }
}

fn queue(chance: &mut Chance) -> QueueName {
    if chance.one_in(2) { QueueName::default_queue() } else { "slow".parse().expect("a name") }
}

fn name(chance: &mut Chance) -> String {
    if chance.one_in(12) { "missing".to_owned() } else { "job".to_owned() }
}

fn retry(chance: &mut Chance) -> Retry {
    let backoff = Backoff { first_ms: chance.below(400), ..Backoff::DEFAULT };
    Retry { times: 1 + u32::try_from(chance.below(3)).expect("small"), backoff }
}

fn lock(chance: &mut Chance) -> LockWish {
    let name = if chance.one_in(2) { "a" } else { "b" };
    let otherwise = match chance.below(4) {
        0 => LockBusy::Fail,
        1 => LockBusy::Skip,
        _ => LockBusy::Wait,
    };
    LockWish { name: name.parse().expect("a name"), otherwise }
}

fn on_interrupt(chance: &mut Chance) -> OnInterrupt {
    match chance.below(4) {
        0 => OnInterrupt::Requeue,
        1 => OnInterrupt::Ask,
        _ => OnInterrupt::Fail,
    }
}

fn spec(run: RunId, chance: &mut Chance) -> RunSpec {
    let key = chance.one_in(4).then(|| format!("key{}", chance.below(3)));
    let word = if chance.one_in(8) { "other" } else { "true" };
    RunSpec {
        name: name(chance),
        command: vec![ByteString::from(word)],
        secrets: chance.one_in(3).then_some(run),
        queue: (!chance.one_in(4)).then(|| queue(chance)),
        timeout_ms: chance.one_in(4).then(|| chance.below(1_000)),
        stop_signal: if chance.one_in(4) { Signal::INT } else { Signal::TERM },
        grace_ms: chance.below(2_000),
        output_bytes_max: 1,
        retry: chance.one_in(3).then(|| retry(chance)),
        ok_codes: if chance.one_in(4) { vec![1, 2, 3] } else { Vec::new() },
        lock: chance.one_in(4).then(|| lock(chance)),
        on_interrupt: on_interrupt(chance),
        key,
        commit: commit(run.to_u64()),
        ..RunSpec::default()
    }
}

/// What is checked out where somebody asks, if anything is.
pub(crate) fn commit(number: u64) -> Option<GitCommit> {
    let byte = u8::try_from(1 + number % 250).expect("small");
    let length = if number.is_multiple_of(8) { 32 } else { 20 };
    let commit = GitCommit::from_bytes(&[byte; 32][..length]);
    commit.filter(|_| !number.is_multiple_of(3))
}

impl World {
    /// Somebody asks something new, again, or once more.
    pub(crate) fn client_step(&mut self) {
        let generation = self.generation;
        let waits = |asked: &Asked| !asked.answered && asked.sent_to != generation;
        let waiting = self.clients.asked.iter().position(waits);
        let count = self.clients.asked.len();
        let place = match waiting {
            Some(place) if self.chance.one_in(2) => place,
            _ if count > 0 && self.chance.one_in(12) => self.chance.index(count),
            _ if self.clients.budget > 0 => {
                self.clients.budget -= 1;
                let id = u128::from(self.chance.next()) << 64 | u128::from(self.chance.next());
                let id = CommandId::from_chance(id);
                let mut command = self.clients.command(&mut self.chance);
                services::check_out(&mut command, id);
                self.clients.asked.push(Asked { id, command, sent_to: 0, answered: false });
                count
            }
            _ => match waiting {
                Some(place) => place,
                None => return,
            },
        };
        self.ask(place);
    }

    fn ask(&mut self, place: usize) {
        let Some(daemon) = &mut self.daemon else { return };
        let asked = &mut self.clients.asked[place];
        asked.sent_to = self.generation;
        let mut command = asked.command.clone();
        let head = self.judge.state().seq;
        match &mut command {
            Command::Prune { before, .. } => *before = 1 + head * *before / 100,
            Command::Run { spec, .. } | Command::Batch { spec, .. }
                if spec.names().any(|run| self.judge.is_gone(run)) =>
            {
                // There is no such run: the shell does not ask.
                asked.answered = true;
                return;
            }
            Command::Up { wish, .. } => services::renew_secrets(wish, &mut self.chance),
            Command::Pin { run, .. } if self.judge.is_gone(*run) => {
                asked.answered = true;
                return;
            }
            _ => {}
        }
        if let Command::Run { spec, key_holder, ended, .. } = &mut command {
            // The views hold durable records only. Of what they never heard of, the shell would
            // have told the client.
            *key_holder =
                spec.key.as_ref().and_then(|key| self.judge.key_holders.get(key).cloned());
            let runs = spec.after.iter().map(|after| after.run);
            if !runs.clone().all(|run| self.judge.knows(run)) {
                asked.answered = true;
                return;
            }
            *ended = runs.filter_map(|run| Some((run, self.judge.outcome(run)?))).collect();
        }
        let cause = Cause { command: asked.id, uid: 1_000 };
        let facts_seq = self.judge.state().seq;
        let request = Request { cause, facts_seq, command };
        daemon.mailbox.push(Input::Command(request));
    }

    /// `jr stop --all`
    pub(crate) fn stop_all(&mut self) {
        let mut runs = self.clients.runs.clone();
        runs.extend(
            self.judge
                .state()
                .runs
                .values()
                .filter(|run| run.spec.hook.is_some())
                .map(|run| run.id),
        );
        let services = Command::Down { services: None, asker: None };
        let id = CommandId::from_chance(u128::from(self.chance.next()));
        self.clients.asked.push(Asked { id, command: services, sent_to: 0, answered: false });
        let id = CommandId::from_chance(u128::from(self.chance.next()));
        let command =
            Command::Stop { runs, reason: StopReason::Asked, grace_ms: None, asker: None };
        self.clients.asked.push(Asked { id, command, sent_to: 0, answered: false });
    }

    /// Whether somebody still waits for an answer.
    pub(crate) fn is_asked(&self) -> bool {
        self.clients.asked.iter().any(|asked| !asked.answered)
    }
}

/// Files with few contents, so that the same come again.
pub(crate) fn resolution(chance: &mut Chance) -> Resolution {
    let number = u8::try_from(chance.below(4)).expect("small");
    let digest = Digest([number; 32]);
    let limit = 1 + u32::from(number);
    Resolution {
        config: (number > 0).then_some(digest),
        sources: vec![ConfigSource { name: "/p/jr.toml".to_owned(), digest }],
        queues: (0..number % 3).map(|_| (queue(chance), limit)).collect(),
    }
}
