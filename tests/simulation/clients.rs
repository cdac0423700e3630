//! Clients: they ask, ask again with the same id, ask twice, and never hear some answers.

use std::sync::Arc;

use jr::model::action::Answer;
use jr::model::command::BatchLine;
use jr::model::event::StopReason;
use jr::model::{
    ByteString, Cause, Command, CommandId, Input, Kind, QueueName, Request, RunId, RunSpec, Signal,
};

use super::World;
use super::chance::Chance;

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
        match chance.below(10) {
            0..=3 => {
                let run = self.new_run(chance);
                let spec = Arc::new(spec(run, chance));
                Command::Run { run, spec, key_holder: None }
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
                Command::Stop { runs, reason, grace_ms }
            }
            8 => {
                let runs = chance.pick(&self.runs).into_iter().collect();
                let signal = chance.pick(&[Signal::HUP, Signal::INT, Signal::KILL]);
                Command::Signal { runs, signal: signal.expect("one of three") }
            }
            _ => {
                let queue = queue(chance);
                Command::SetQueue {
                    queue,
                    limit: 1 + u32::try_from(chance.below(4)).expect("small"),
                }
            }
        }
    }

    fn batch(&mut self, chance: &mut Chance) -> Command {
        let run = self.new_run(chance);
        let queue = chance.one_in(3).then(|| queue(chance));
        let base = spec(run, chance);
        let fail_fast = chance.one_in(3);
        let (kind, command, key) = (Kind::Batch, Vec::new(), None);
        let spec = RunSpec { kind, command, key, queue, fail_fast, ..base };
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
        key,
        ..RunSpec::default()
    }
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
                let command = self.clients.command(&mut self.chance);
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
        if let Command::Run { spec, key_holder, .. } = &mut command
            && let Some(key) = &spec.key
        {
            // The views hold durable records only.
            *key_holder = self.judge.key_holders.get(key).cloned();
        }
        let cause = Cause { command: asked.id, uid: 1_000 };
        let facts_seq = self.judge.state().seq;
        let request = Request { cause, facts_seq, command };
        daemon.mailbox.push(Input::Command(request));
    }

    /// `jr stop --all`
    pub(crate) fn stop_all(&mut self) {
        let runs = self.clients.runs.clone();
        let id = CommandId::from_chance(u128::from(self.chance.next()));
        let command = Command::Stop { runs, reason: StopReason::Asked, grace_ms: None };
        self.clients.asked.push(Asked { id, command, sent_to: 0, answered: false });
    }

    /// Whether somebody still waits for an answer.
    pub(crate) fn is_asked(&self) -> bool {
        self.clients.asked.iter().any(|asked| !asked.answered)
    }
}
