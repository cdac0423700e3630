//! The one owner of the engine: takes messages, hands events to the disk, and lets replies and
//! actions go when their events are durable.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::clock_watch::ClockWatch;
use super::error::DaemonError;
use super::mailbox::Mailbox;
use super::message::{Order, ToEngine, ToStorage};
use super::orders::Orders;
use super::prune::{News, ToPruner};
use crate::log::snapshot;
use crate::model::event::DaemonStopReason;
use crate::model::{Action, CommandId, Engine, Envelope, Input, Now, Observation, Release, Reply};
use crate::runners::linux::clock;

/// Between two looks at the clock while something is delayed: the wait of a condition variable
/// does not count the time in which the machine sleeps, and the wall clock may be set.
const DUE_LOOK_MS: u64 = 10_000;

/// What the engine thread works with.
pub struct EngineLoop {
    engine: Engine,
    inbox: Mailbox<ToEngine>,
    storage: Mailbox<ToStorage>,
    orders: Orders,
    live: watch::Sender<usize>,
    replies: BTreeMap<CommandId, Vec<oneshot::Sender<Reply>>>,
    ending: Option<(u64, oneshot::Sender<bool>)>,
    /// On its way to the disk.
    decided: Vec<Envelope>,
    /// Who prunes, and who hears of it.
    pruner: Mailbox<ToPruner>,
    news: watch::Sender<News>,
    /// The seq from which on the hot segment is to be sealed; `None` while it is.
    seal_at: Option<u64>,
    clocks: ClockWatch,
}

/// Where the engine meets sealing and pruning.
pub struct Keeping {
    /// Who prunes.
    pub pruner: Mailbox<ToPruner>,
    /// Who hears of it.
    pub news: watch::Sender<News>,
    /// The seq from which on the hot segment is to be sealed.
    pub seal_at: u64,
}

impl EngineLoop {
    /// Ready to run; `engine` has been through its recovery inputs or is about to.
    pub fn new(
        engine: Engine,
        inbox: Mailbox<ToEngine>,
        storage: Mailbox<ToStorage>,
        orders: Orders,
        live: watch::Sender<usize>,
        keeping: Keeping,
    ) -> Self {
        let Keeping { pruner, news, seal_at } = keeping;
        Self {
            engine,
            inbox,
            storage,
            orders,
            live,
            replies: BTreeMap::new(),
            ending: None,
            decided: Vec::new(),
            pruner,
            news,
            seal_at: Some(seal_at),
            clocks: ClockWatch::new(clock::now()),
        }
    }

    /// Takes the inputs of a recovery, then runs.
    ///
    /// # Errors
    /// [`DaemonError`]: the log cannot be written, or what is in it does not fold.
    pub fn begin_and_run(mut self, inputs: Vec<Input>) -> Result<(), DaemonError> {
        for input in inputs {
            self.feed(input)?;
        }
        self.hand_over();
        self.run()
    }

    /// Runs until the end is durable or the disk fails.
    ///
    /// # Errors
    /// [`DaemonError::Log`]: the outcome of a commit is unknown. [`DaemonError::Bug`]: the engine
    /// decided what the lifecycle forbids. Either way nothing more was told to anyone.
    fn run(mut self) -> Result<(), DaemonError> {
        loop {
            let due_ms = self.engine.next_due_ms(clock::now());
            let messages = match due_ms {
                Some(due_ms) => {
                    self.inbox.take_within(Duration::from_millis(due_ms.min(DUE_LOOK_MS)))
                }
                None => self.inbox.take(),
            };
            for message in messages {
                if self.take(message)? {
                    return Ok(());
                }
            }
            if due_ms.is_some() && self.engine.next_due_ms(clock::now()) == Some(0) {
                self.feed(Input::TimePassed)?;
            }
            self.hand_over();
            if self.seal_at.is_some_and(|seq| self.engine.head() >= seq) {
                self.seal(None);
            }
            self.live.send_replace(self.engine.state().runs.len());
        }
    }

    /// Feeds an input whose reply nobody waits for.
    fn feed(&mut self, input: Input) -> Result<(), DaemonError> {
        let now = clock::now();
        self.look_at_clocks(now)?;
        let events = self.engine.step(input, now).map_err(DaemonError::Bug)?;
        self.decided.extend(events);
        let released = self.engine.released();
        self.let_go(released);
        Ok(())
    }

    /// Records that the wall clock was set before anything else has a time of it.
    fn look_at_clocks(&mut self, now: Now) -> Result<(), DaemonError> {
        let Some(by_ms) = self.clocks.look(now, clock::now) else { return Ok(()) };
        let seen = Input::Observed(Observation::ClockJumped { by_ms });
        let events = self.engine.step(seen, now).map_err(DaemonError::Bug)?;
        self.decided.extend(events);
        Ok(())
    }

    /// Gives the disk what was decided.
    fn hand_over(&mut self) {
        if self.decided.is_empty() {
            return;
        }
        let events = std::mem::take(&mut self.decided);
        let waited_for = self.ending.is_some() || self.engine.is_waited_for();
        let batch = ToStorage::Batch { events, waited_for };
        if waited_for {
            self.storage.post(batch);
        } else {
            self.storage.post_lazily(batch);
        }
    }

    /// The state at the head goes after all that was decided up to there.
    fn seal(&mut self, tell: Option<std::sync::mpsc::Sender<()>>) {
        self.hand_over();
        self.seal_at = None;
        let (at, snapshot) = (self.engine.head(), snapshot::encode(self.engine.state()));
        self.storage.post(ToStorage::Seal { at, snapshot, tell });
    }

    fn take(&mut self, message: ToEngine) -> Result<bool, DaemonError> {
        match message {
            ToEngine::Ask { request, reply } => {
                if self.ending.is_some() {
                    return Ok(false); // the client sees a closed reply and asks the next daemon
                }
                self.replies.entry(request.cause.command).or_default().push(reply);
                self.feed(Input::Command(*request))?;
            }
            ToEngine::Observed(seen) => {
                self.look_at_clocks(clock::now())?;
                for observation in seen {
                    self.feed(Input::Observed(observation))?;
                }
            }
            ToEngine::AwaitAttach { run, lines } => {
                self.orders.post(Order::AwaitAttach { run, lines });
            }
            ToEngine::Durable(seq) => {
                let released = self.engine.durable(seq);
                self.let_go(released);
                return Ok(self.is_over());
            }
            ToEngine::Seal(tell) => self.seal(Some(tell)),
            ToEngine::SealOver { next_at } => self.seal_at = Some(next_at),
            ToEngine::StorageFailed(error) => return Err(DaemonError::Log(error)),
            ToEngine::End { reason, done } => self.end(reason, done)?,
        }
        Ok(false)
    }

    fn end(
        &mut self,
        reason: DaemonStopReason,
        done: oneshot::Sender<bool>,
    ) -> Result<(), DaemonError> {
        let refused = reason == DaemonStopReason::Idle && !self.engine.state().is_idle();
        if refused || self.ending.is_some() {
            let _gone = done.send(false);
            return Ok(());
        }
        self.feed(Input::Observed(Observation::DaemonEnds { reason }))?;
        self.ending = Some((self.engine.head(), done));
        Ok(())
    }

    fn is_over(&mut self) -> bool {
        let durable = self.engine.durable_seq();
        match self.ending.take() {
            Some((seq, done)) if seq <= durable => {
                let _gone = done.send(true);
                true
            }
            waiting => {
                self.ending = waiting;
                false
            }
        }
    }

    fn let_go(&mut self, released: Vec<Release>) {
        let mut orders = Vec::new();
        for release in released {
            match release {
                Release::Act(Action::Prune(pruning)) => {
                    self.pruner.post(ToPruner::Prune(pruning));
                }
                Release::Act(Action::TellPruned(pruned)) => {
                    self.news.send_modify(|news| news.outcome = Some(pruned));
                }
                Release::Act(action) => orders.push(Order::Act(action)),
                Release::Say(answer) => {
                    let Some(waiting) = self.replies.get_mut(&answer.to) else { continue };
                    if !waiting.is_empty() {
                        // A client that went away is no concern of ours.
                        let _gone = waiting.remove(0).send(answer.reply);
                    }
                    if waiting.is_empty() {
                        self.replies.remove(&answer.to);
                    }
                }
            }
        }
        self.orders.post_all(orders);
    }
}
