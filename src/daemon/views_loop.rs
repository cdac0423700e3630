//! The one owner of the views: takes durable records, answers questions, tells who waits.
//!
//! Questions come through the same mailbox as records, after them: whoever was told of an event
//! finds it in what is asked next.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::error::DaemonError;
use super::mailbox::Mailbox;
use super::offline;
use super::place::Place;
use crate::limits;
use crate::log::Reader;

use crate::model::command::KeyHolder;
use crate::model::{BootId, Event, Outcome, Run, RunId};
use crate::projections::query::{Document, Query, QueryError};
use crate::projections::view::RunView;
use crate::projections::{BatchLineState, Scope, Stored, Views, ViewsError, answer};
use crate::runners::linux::clock;

/// What is true of older runs at `seq`.
#[derive(Debug)]
pub struct Facts {
    /// The place of the log that this was read at.
    pub seq: u64,
    /// Who holds the key that was asked for.
    pub key_holder: Option<KeyHolder>,
    /// How those that were asked for ended, of which that is known.
    pub ended: Vec<(RunId, Outcome)>,
}

/// To the views thread.
pub enum ToViews {
    /// These are durable now.
    Applied(Vec<Stored>),
    /// A question.
    Ask(Box<Query>, oneshot::Sender<Result<Document, QueryError>>),
    /// Runs as they are.
    Runs(Vec<RunId>, oneshot::Sender<Result<Vec<Run>, QueryError>>),
    /// What an admission needs to know of older runs.
    Facts(Option<String>, Vec<RunId>, oneshot::Sender<Result<Facts, QueryError>>),
    /// What became of the lines of a batch and of those that it continues.
    BatchLines(RunId, oneshot::Sender<Result<Option<Vec<BatchLineState>>, QueryError>>),
    /// Make them anew from the log; the seq that they then have.
    Rebuild(oneshot::Sender<Result<u64, QueryError>>),
    /// Tell when they have ended.
    Ended(Waiter),
    /// Write what is in memory and end.
    End,
}

/// Somebody waits for the end of runs.
pub struct Waiter {
    runs: Vec<RunId>,
    open: BTreeSet<RunId>,
    any: bool,
    reply: oneshot::Sender<Result<Vec<RunView>, QueryError>>,
}

/// The way to ask.
#[derive(Clone)]
pub struct Questions(pub Mailbox<ToViews>);

impl Questions {
    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn ask(&self, query: Query) -> Result<Document, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::Ask(Box::new(query), reply));
        answer.await.unwrap_or_else(|_| Err(ending()))
    }

    /// Runs as they are; what is not known is left out.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn runs(&self, runs: Vec<RunId>) -> Result<Vec<Run>, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::Runs(runs, reply));
        answer.await.unwrap_or_else(|_| Err(ending()))
    }

    /// What an admission needs to know of older runs: who holds its key, and how these ended.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn facts(&self, key: Option<String>, runs: Vec<RunId>) -> Result<Facts, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::Facts(key, runs, reply));
        answer.await.unwrap_or_else(|_| Err(ending()))
    }

    /// What became of the lines of a batch.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn batch_lines(
        &self,
        batch: RunId,
    ) -> Result<Option<Vec<BatchLineState>>, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::BatchLines(batch, reply));
        answer.await.unwrap_or_else(|_| Err(ending()))
    }

    /// Makes the views anew from the log; the seq that they then have.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn rebuild(&self) -> Result<u64, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::Rebuild(reply));
        answer.await.unwrap_or_else(|_| Err(ending()))
    }

    /// The runs once all of them (or any) have ended.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn ended(&self, runs: Vec<RunId>, any: bool) -> Result<Vec<RunView>, QueryError> {
        let (reply, answer) = oneshot::channel();
        let open = runs.iter().copied().collect();
        self.0.post(ToViews::Ended(Waiter { runs, open, any, reply }));
        answer.await.unwrap_or_else(|_| Err(ending()))
    }
}

fn ending() -> QueryError {
    QueryError::Log { message: "the daemon is ending".to_owned() }
}

/// The views thread.
pub struct ViewsLoop {
    /// The read models.
    pub views: Views,
    /// The log that they are folded from.
    pub source: Reader,
    /// The environment.
    pub place: Place,
    /// This boot.
    pub boot: BootId,
    /// Messages.
    pub inbox: Mailbox<ToViews>,
    /// The seq that the views have, for followers.
    pub applied: watch::Sender<u64>,
    /// Who waits.
    pub waiters: Vec<Waiter>,
}

impl ViewsLoop {
    /// Runs until the end.
    ///
    /// # Errors
    /// [`DaemonError::Views`]: they can be neither read nor made anew.
    pub fn run(mut self) -> Result<(), DaemonError> {
        let idle = Duration::from_millis(limits::VIEWS_IDLE_MS);
        loop {
            let dirty = self.views.dirty() > 0;
            let messages = if dirty { self.inbox.take_within(idle) } else { self.inbox.take() };
            if messages.is_empty() {
                self.views.flush()?;
            }
            for message in messages {
                if matches!(message, ToViews::End) {
                    self.views.flush()?;
                    return Ok(());
                }
                self.take(message)?;
            }
            if self.views.dirty() > limits::VIEWS_DIRTY {
                self.views.flush()?;
            }
        }
    }

    fn take(&mut self, message: ToViews) -> Result<(), DaemonError> {
        match message {
            ToViews::Applied(records) => self.apply(&records)?,
            ToViews::Ask(query, reply) => {
                let answered = self.answer(&query);
                let _gone = reply.send(answered);
            }
            ToViews::Runs(runs, reply) => {
                let found = runs.iter().filter_map(|run| self.views.run(*run).transpose());
                let found: Result<Vec<Run>, ViewsError> = found.collect();
                let _gone = reply.send(found.map_err(QueryError::from));
            }
            ToViews::Facts(key, runs, reply) => {
                let _gone = reply.send(self.facts(key, &runs).map_err(QueryError::from));
            }
            ToViews::BatchLines(batch, reply) => {
                let lines = self.views.batch_lines(batch).map_err(QueryError::from);
                let _gone = reply.send(lines);
            }
            ToViews::Rebuild(reply) => {
                let rebuilt = self.rebuild();
                let _gone = reply.send(rebuilt.map(|()| self.views.applied()));
            }
            ToViews::Ended(mut waiter) => {
                let state = self.views.state();
                waiter.open.retain(|run| state.runs.contains_key(run));
                self.waiters.push(waiter);
                self.tell_waiters();
            }
            ToViews::End => {}
        }
        Ok(())
    }

    fn facts(&mut self, key: Option<String>, runs: &[RunId]) -> Result<Facts, ViewsError> {
        let seq = self.views.applied();
        let key_holder = key.map(|key| self.views.key_holder(&key)).transpose()?.flatten();
        let mut ended = Vec::new();
        for run in runs {
            let outcome = self.views.run(*run)?.and_then(|run| run.outcome);
            ended.extend(outcome.map(|outcome| (*run, outcome)));
        }
        Ok(Facts { seq, key_holder, ended })
    }

    fn apply(&mut self, records: &[Stored]) -> Result<(), DaemonError> {
        let known = self.views.applied();
        let fresh = records.partition_point(|record| record.envelope.seq <= known);
        self.views.apply(&records[fresh..])?;
        for record in records {
            if let Event::RunEnded { run, .. } = &record.envelope.event {
                for waiter in &mut self.waiters {
                    waiter.open.remove(run);
                }
            }
        }
        self.applied.send_replace(self.views.applied());
        self.tell_waiters();
        Ok(())
    }

    /// Views that turn out to be damaged are made anew from the log, and asked once more.
    fn answer(&mut self, query: &Query) -> Result<Document, QueryError> {
        let answered = self.answer_once(query);
        if !matches!(answered, Err(QueryError::Damaged { .. })) {
            return answered;
        }
        self.rebuild()?;
        self.answer_once(query)
    }

    /// What the log has beyond the last `Applied` may be in them already then: `apply` takes
    /// each record once.
    fn rebuild(&mut self) -> Result<(), QueryError> {
        let path = self.place.views();
        // Where it cannot be deleted, opening it says why.
        let _refused = std::fs::remove_file(&path);
        self.views = Views::open(&path, self.boot, &self.source)?;
        Ok(())
    }

    fn answer_once(&self, query: &Query) -> Result<Document, QueryError> {
        offline::with_world(&self.place, |world| {
            answer(query, &self.views, &self.source, world, clock::now())
        })
    }

    /// Answers those whose wait is over, and forgets those who went away.
    fn tell_waiters(&mut self) {
        let waiters = std::mem::take(&mut self.waiters);
        for waiter in waiters {
            let ended = waiter.runs.len() - waiter.open.len();
            let over = waiter.open.is_empty() || (waiter.any && ended > 0);
            if waiter.reply.is_closed() {
                continue;
            }
            if over {
                let answered = self.views_of(&waiter);
                let _gone = waiter.reply.send(answered);
            } else {
                self.waiters.push(waiter);
            }
        }
    }

    fn views_of(&mut self, waiter: &Waiter) -> Result<Vec<RunView>, QueryError> {
        let done = waiter.runs.iter().filter(|run| !waiter.open.contains(run));
        let selectors: Vec<String> = done.map(ToString::to_string).collect();
        if selectors.is_empty() {
            return Ok(Vec::new());
        }
        match self.answer(&Query::Resolve { selectors, scope: Scope::Any })? {
            Document::Runs(runs) => Ok(runs.items),
            _ => Ok(Vec::new()),
        }
    }
}
