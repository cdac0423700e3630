//! The laws of the log as one executable check: the simulator, the crash tests and
//! `jr log verify` feed it every record in order. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Envelope, Event, ExitStatus, Outcome, RunReason};
use super::id::RunId;
use super::phase::IllegalEvent;
use super::run::Run;
use super::signal::Signal;
use super::spec::Kind;
use super::state::State;

/// A record that breaks a law.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} breaks law {law}: {what}")]
pub struct Violation {
    /// Which record.
    pub seq: u64,
    /// Which law of docs/laws.md.
    pub law: u8,
    /// How.
    pub what: String,
}

/// Reads a log from its beginning, or from a snapshot, and finds what cannot be.
///
/// It keeps the id of every run that it saw end: about 20 bytes a run.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    state: State,
    ended: BTreeSet<RunId>,
    keys: BTreeMap<String, RunId>,
    /// Where who holds a key ended.
    key_ends: BTreeMap<RunId, u64>,
    signals: BTreeMap<RunId, BTreeSet<Signal>>,
    began_at: u64,
    daemon_stopped: bool,
}

impl Checker {
    /// Goes on from the state that a snapshot holds.
    pub fn from_snapshot(state: State) -> Self {
        let ended = state.ended_ids.clone();
        let (keys, began_at) = (state.keys.clone(), state.seq);
        let key_ends = state.ended.iter().filter(|ended| ended.key.is_some());
        let key_ends = key_ends.map(|ended| (ended.id, ended.seq)).collect();
        Self { state, ended, keys, key_ends, began_at, ..Self::default() }
    }

    /// The fold so far.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`Violation`]; after one, nothing more is to be fed.
    pub fn feed(&mut self, envelope: &Envelope) -> Result<(), Violation> {
        let seq = envelope.seq;
        let broken = |(law, what): (u8, String)| Violation { seq, law, what };
        self.before(&envelope.event).map_err(broken)?;
        let event = &envelope.event;
        let before = match event {
            Event::RunEnded { run, .. } => self.state.runs.get(run).cloned(),
            _ => None,
        };
        self.state
            .apply(envelope)
            .map_err(|illegal| broken((law_of(&illegal, event), illegal.to_string())))?;
        self.after(event, before.as_ref()).map_err(broken)
    }

    /// What the fold alone would accept.
    fn before(&mut self, event: &Event) -> Result<(), (u8, String)> {
        if self.daemon_stopped && !matches!(event, Event::DaemonStarted { .. }) {
            return Err((8, format!("{} comes after daemon_stopped", event.kind_name())));
        }
        self.daemon_stopped = matches!(event, Event::DaemonStopped { .. });
        match event {
            Event::RunAdmitted { run, spec } => {
                if self.ended.contains(run) {
                    return Err((4, format!("run {run} has ended and is admitted again")));
                }
                let Some(key) = &spec.key else { return Ok(()) };
                match self.keys.insert(key.clone(), *run) {
                    Some(holder) => Err((4, format!("key {key:?} of run {holder} starts {run}"))),
                    None => Ok(()),
                }
            }
            Event::RunsPruned { error: None, .. } => {
                let Some(done) = self.state.pruning.clone() else { return Ok(()) };
                // The key of a run that is gone is free.
                let ends = &self.key_ends;
                self.keys.retain(|_, run| {
                    let ended = ends.get(run).is_some_and(|seq| *seq < done.before);
                    !ended || done.keep.contains(run)
                });
                Ok(())
            }
            Event::QueueSet { queue, limit: 0 } => Err((5, format!("queue {queue} has no slots"))),
            Event::AttemptIntended { run, .. } => self.may_begin(*run),
            Event::AttemptStarted { run, attempt, .. } if self.process_of(*run, *attempt) => {
                Err((5, format!("attempt {attempt} of run {run} starts twice")))
            }
            Event::AttemptEnded { run, attempt, end } => {
                let invented = end.status == ExitStatus::NeverStarted;
                if invented && self.process_of(*run, *attempt) {
                    return Err((4, format!("run {run} never started, but had a process")));
                }
                Ok(())
            }
            Event::OutputLost { run, attempt, .. } => {
                let known = self.state.runs.get(run).is_none_or(|live| live.attempt >= *attempt);
                if known { Ok(()) } else { Err((2, format!("run {run} has no attempt {attempt}"))) }
            }
            Event::SignalSent { run, signal, .. } => self.signal_sent(*run, *signal),
            Event::RunEnded { run, .. } => {
                let open = self.state.batches.get(run).and_then(|batch| batch.open.values().next());
                match open {
                    Some(line) => Err((4, format!("batch {run} ends before its line {line}"))),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Nothing that holds the run back is in force.
    fn may_begin(&self, run: RunId) -> Result<(), (u8, String)> {
        let waits = &self.state.waits;
        let Some(live) = self.state.runs.get(&run) else { return Ok(()) };
        if let Some(open) = waits.dependencies.get(&run).and_then(BTreeSet::first) {
            return Err((5, format!("run {run} begins before {open}, which it comes after")));
        }
        if let Some((_, replica)) =
            live.spec.role.as_ref().and_then(|role| self.state.services.replica(role))
            && let Some(other) = replica.runs.iter().find(|other| {
                other.run != run
                    && self.state.runs.get(&other.run).is_some_and(|other| other.attempt_lives)
            })
        {
            return Err((5, format!("run {run} begins beside {}, of the same replica", other.run)));
        }
        let lock = live.spec.lock.as_ref().and_then(|wish| waits.locks.get(&wish.name));
        if let Some(holder) = lock.and_then(|lock| lock.holder).filter(|holder| *holder != run) {
            return Err((5, format!("run {run} begins while run {holder} holds its lock")));
        }
        let queue = live.spec.queue.as_ref().and_then(|queue| waits.queues.get(queue));
        if queue.is_some_and(|queue| queue.paused.is_some()) {
            return Err((5, format!("run {run} begins in a paused queue")));
        }
        Ok(())
    }

    fn process_of(&self, run: RunId, attempt: u32) -> bool {
        let live = self.state.runs.get(&run);
        live.is_some_and(|live| live.attempt == attempt && live.process.is_some())
    }

    /// A signal was asked for, or is part of a stop or of a time limit.
    fn signal_sent(&self, run: RunId, signal: Signal) -> Result<(), (u8, String)> {
        let Some(live) = self.state.runs.get(&run) else { return Ok(()) };
        let asked = self.signals.get(&run).is_some_and(|signals| signals.contains(&signal));
        let known = live.stop.is_some() || live.restart.is_some();
        let known = known || live.spec.timeout_ms.is_some();
        let unseen = live.first_seq <= self.began_at;
        if asked || known || unseen {
            return Ok(());
        }
        Err((2, format!("{signal} was sent to run {run} and nobody asked for it")))
    }

    /// What only the fold can tell.
    fn after(&mut self, event: &Event, before: Option<&Run>) -> Result<(), (u8, String)> {
        match event {
            Event::SignalRequested { run, signal, .. } => {
                self.signals.entry(*run).or_default().insert(*signal);
            }
            Event::RunEnded { run, outcome } => {
                self.signals.remove(run);
                self.ended.insert(*run);
                let Some(ended) = before else { return Ok(()) };
                if ended.spec.key.is_some() {
                    self.key_ends.insert(*run, self.state.seq);
                }
                match ended.spec.kind {
                    Kind::Job | Kind::Service => job_end(ended, *outcome)?,
                    Kind::Batch => batch_end(ended, *outcome)?,
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn batch_end(batch: &Run, outcome: Outcome) -> Result<(), (u8, String)> {
    let id = batch.id;
    let fits = match outcome {
        Outcome::Succeeded | Outcome::Failed(RunReason::Lines(1..)) => batch.stop.is_none(),
        Outcome::Cancelled(_) => true,
        Outcome::Failed(_)
        | Outcome::Signalled(_)
        | Outcome::TimedOut
        | Outcome::Stopped(_)
        | Outcome::Lost(_)
        | Outcome::Skipped(_)
        | Outcome::Rejected(_) => false,
    };
    if fits { Ok(()) } else { Err((4, format!("batch {id} cannot end as {}", outcome.word()))) }
}

/// An outcome is what was observed, never invented.
fn job_end(run: &Run, outcome: Outcome) -> Result<(), (u8, String)> {
    let last = run.last_end.as_ref().map(|end| end.status);
    let fits = match outcome {
        Outcome::Succeeded => {
            matches!(last, Some(ExitStatus::Exited(code)) if run.spec.is_ok(code))
        }
        Outcome::Failed(RunReason::Code(code)) => {
            !run.spec.is_ok(code) && last == Some(ExitStatus::Exited(code))
        }
        Outcome::Failed(RunReason::NotStarted(error)) => {
            last == Some(ExitStatus::NotStarted(error))
        }
        Outcome::Failed(RunReason::Lines(_)) => false,
        Outcome::Failed(RunReason::Hook(_)) => run.spec.role.is_some(),
        Outcome::Failed(RunReason::Unwell(reason)) => run.restart == Some(reason),
        Outcome::Signalled(signal) => last == Some(ExitStatus::Signalled(signal)),
        Outcome::TimedOut => matches!(last, Some(ExitStatus::TimedOut(_))),
        Outcome::Stopped(_) => {
            let seen = matches!(last, Some(ExitStatus::Exited(_) | ExitStatus::Signalled(_)));
            run.stop.is_some() && (seen || run.started_at.is_some())
        }
        Outcome::Cancelled(_) => run.stop.is_some() && run.started_at.is_none(),
        Outcome::Skipped(_) | Outcome::Rejected(_) => run.attempt == 0 || run.started_at.is_none(),
        Outcome::Lost(reason) => last == Some(ExitStatus::Lost(reason)),
    };
    if fits {
        return Ok(());
    }
    let (id, word) = (run.id, outcome.word());
    Err((4, format!("run {id} ends as {word}, but its last attempt ended as {last:?}")))
}

fn law_of(illegal: &IllegalEvent, event: &Event) -> u8 {
    match (illegal, event) {
        (IllegalEvent::Seq { .. }, _) => 1,
        (IllegalEvent::OutOfPlace { .. }, _) => 3,
        (_, Event::AttemptIntended { .. }) => 5,
        (
            _,
            Event::AttemptStarted { .. } | Event::SignalRequested { .. } | Event::SignalSent { .. },
        ) => 2,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{AttemptEnd, Process, StopReason, Tracking};
    use crate::model::time::UnixMillis;
    use crate::model::{BootId, RunSpec};
    use std::sync::Arc;

    fn id(number: u64) -> RunId {
        RunId::from_chance(number)
    }

    fn admitted(run: u64, kind: Kind, parent: Option<u64>, key: Option<&str>) -> Event {
        let spec = RunSpec {
            name: "x".to_owned(),
            kind,
            grace_ms: 1,
            output_bytes_max: 1,
            key: key.map(str::to_owned),
            parent: parent.map(id),
            ..RunSpec::default()
        };
        Event::RunAdmitted { run: id(run), spec: Arc::new(spec) }
    }

    fn intended(run: u64, attempt: u32) -> Event {
        Event::AttemptIntended { run: id(run), attempt, ports: Vec::new() }
    }

    fn started(run: u64, attempt: u32) -> Event {
        let tracking = Tracking::Cgroup;
        let process = Process {
            pid: 9,
            start_ticks: 1,
            at: UnixMillis(0),
            tracking,
            limits_by: crate::model::LimitsBy::default(),
            shim: 1,
        };
        Event::AttemptStarted { run: id(run), attempt, process }
    }

    fn ended(run: u64, attempt: u32, status: ExitStatus) -> Event {
        let end = AttemptEnd::unmeasured(status, UnixMillis(0));
        Event::AttemptEnded { run: id(run), attempt, end }
    }

    fn over(run: u64, outcome: Outcome) -> Event {
        Event::RunEnded { run: id(run), outcome }
    }

    fn check(checker: &mut Checker, events: Vec<Event>) -> Result<(), Violation> {
        for event in events {
            let seq = checker.state().seq + 1;
            checker.feed(&Envelope { seq, time: UnixMillis(0), cause: None, event })?;
        }
        Ok(())
    }

    #[test]
    fn a_lawful_log_passes_from_its_beginning_and_from_a_snapshot() {
        let job = |run: u64| {
            vec![
                admitted(run, Kind::Job, None, Some(&run.to_string())),
                intended(run, 1),
                started(run, 1),
                ended(run, 1, ExitStatus::Exited(0)),
                over(run, Outcome::Succeeded),
            ]
        };
        let mut checker = Checker::default();
        check(&mut checker, job(1)).expect("lawful");
        let mut checker = Checker::from_snapshot(checker.state().clone());
        check(&mut checker, job(2)).expect("lawful");
        let broken = check(&mut checker, job(1)).expect_err("it ended before the snapshot");
        assert_eq!((broken.seq, broken.law), (11, 4));
    }

    #[test]
    fn each_broken_law_is_named() {
        let job = || admitted(1, Kind::Job, None, None);
        let zero = ExitStatus::Exited(0);
        let usr1 = Signal::new(10).expect("a signal");
        let stopped = Event::DaemonStopped { reason: crate::model::event::DaemonStopReason::Idle };
        let sent = Event::SignalSent { run: id(1), attempt: 1, signal: usr1, errno: None };
        let queue = "q".parse().expect("a name");
        let cases: Vec<(u8, Vec<Event>)> = vec![
            (4, vec![job(), job()]),
            (2, vec![job(), started(1, 1)]),
            (5, vec![job(), intended(1, 2)]),
            (5, vec![job(), intended(1, 1), intended(1, 2)]),
            (5, vec![job(), intended(1, 1), started(1, 1), intended(1, 2)]),
            (5, vec![job(), intended(1, 1), started(1, 1), started(1, 1)]),
            (4, vec![job(), ended(1, 1, zero)]),
            (4, vec![job(), intended(1, 1), ended(1, 1, zero), ended(1, 1, zero)]),
            (4, vec![job(), intended(1, 1), over(1, Outcome::Succeeded)]),
            (4, vec![job(), intended(1, 1), ended(1, 1, zero), over(1, Outcome::TimedOut)]),
            (4, vec![job(), intended(1, 1), started(1, 1), ended(1, 1, ExitStatus::NeverStarted)]),
            (4, vec![over(7, Outcome::Succeeded)]),
            (
                4,
                vec![
                    admitted(1, Kind::Job, None, Some("k")),
                    admitted(2, Kind::Job, None, Some("k")),
                ],
            ),
            (
                4,
                vec![
                    admitted(1, Kind::Batch, None, None),
                    admitted(2, Kind::Job, Some(1), None),
                    over(1, Outcome::Succeeded),
                ],
            ),
            (2, vec![job(), intended(1, 1), started(1, 1), sent]),
            (5, vec![Event::QueueSet { queue, limit: 0 }]),
            (8, vec![stopped, job()]),
        ];
        for (law, events) in cases {
            let text = format!("{events:?}");
            let last = events.len() as u64;
            let broken = check(&mut Checker::default(), events).expect_err(&text);
            assert_eq!((broken.law, broken.seq), (law, last), "{broken}\n{text}");
        }
        let late = Envelope { seq: 2, time: UnixMillis(0), cause: None, event: job() };
        assert_eq!(Checker::default().feed(&late).expect_err("a gap").law, 1);
    }

    #[test]
    fn a_requested_signal_and_a_stop_are_lawful() {
        let signal = Signal::HUP;
        let stop = Event::StopRequested {
            run: id(1),
            reason: StopReason::Asked,
            signal: Signal::TERM,
            grace_ms: 1,
            asker: None,
        };
        let events = vec![
            Event::DaemonStarted {
                pid: 1,
                version: String::new(),
                boot: BootId([1; 16]),
                cores: 2,
            },
            admitted(1, Kind::Job, None, None),
            intended(1, 1),
            started(1, 1),
            Event::SignalRequested { run: id(1), attempt: 1, signal, asker: None },
            Event::SignalSent { run: id(1), attempt: 1, signal, errno: None },
            stop,
            Event::SignalSent { run: id(1), attempt: 1, signal: Signal::KILL, errno: None },
            ended(1, 1, ExitStatus::Signalled(Signal::KILL)),
            over(1, Outcome::Stopped(StopReason::Asked)),
        ];
        check(&mut Checker::default(), events).expect("lawful");
    }
}
