//! The one owner of the views: takes durable records, answers questions, tells who waits.
//!
//! Questions come through the same mailbox as records, after them: whoever was told of an event
//! finds it in what is asked next.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::error::DaemonError;
use super::mailbox::Mailbox;
use super::offline;
use super::place::Place;
use super::shortlist;
use super::start;
use crate::limits;
use crate::log::Reader;

use crate::model::command::KeyHolder;
use crate::model::{BootId, ByteString, Event, Outcome, Run, RunId, ServiceName};
use crate::projections::query::{Document, Query, QueryError, Question};
use crate::projections::view::RunView;
use crate::projections::{BatchLineState, Policy, Scope, Stored, Views, ViewsError, answer};
use crate::runners::linux::clock;

/// Between two looks of a thread for an answer.
const LOOK: Duration = Duration::from_millis(1);

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
    Ask(Box<Question>, oneshot::Sender<Result<Document, QueryError>>),
    /// Runs as they are.
    Runs(Vec<RunId>, oneshot::Sender<Result<Vec<Run>, QueryError>>),
    /// What an admission needs to know of older runs.
    Facts(Option<String>, Vec<RunId>, oneshot::Sender<Result<Facts, QueryError>>),
    /// What became of the lines of a batch and of those that it continues.
    BatchLines(RunId, oneshot::Sender<Result<Option<Vec<BatchLineState>>, QueryError>>),
    /// What these runs were repeated by last.
    NewestGenerations(Vec<Run>, oneshot::Sender<Result<Vec<Run>, QueryError>>),
    /// Where services run.
    Directories(Vec<ServiceName>, oneshot::Sender<BTreeMap<ServiceName, ByteString>>),
    /// Where a prune by this policy cuts, and what is to be kept before that now.
    PruneCut(Policy, oneshot::Sender<Result<PruneCut, QueryError>>),
    /// Of what lies before a place: these, and the lines of those that are batches.
    KeptBefore(BTreeSet<RunId>, u64, oneshot::Sender<Result<BTreeSet<RunId>, QueryError>>),
    /// These were made anew, in that file if in any: they take the place of the others.
    Renew(Box<Views>, Option<PathBuf>, oneshot::Sender<Result<(), QueryError>>),
    /// Make them anew from the log; the seq that they then have.
    Rebuild(oneshot::Sender<Result<u64, QueryError>>),
    /// Tell when they have ended.
    Ended(Waiter),
    /// Write what is in memory and end.
    End,
}

/// What a prune by some policy would be now.
#[derive(Clone, Debug)]
pub struct PruneCut {
    /// The first record of the history that it keeps.
    pub before: u64,
    /// What it must keep besides.
    pub keep: BTreeSet<RunId>,
    /// Another one is under way.
    pub under_way: bool,
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
    pub async fn ask(&self, question: impl Into<Question>) -> Result<Document, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::Ask(Box::new(question.into()), reply));
        answer.await.unwrap_or(Err(QueryError::Ending))
    }

    /// Runs as they are; what is not known is left out.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn runs(&self, runs: Vec<RunId>) -> Result<Vec<Run>, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::Runs(runs, reply));
        answer.await.unwrap_or(Err(QueryError::Ending))
    }

    /// What an admission needs to know of older runs: who holds its key, and how these ended.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn facts(&self, key: Option<String>, runs: Vec<RunId>) -> Result<Facts, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::Facts(key, runs, reply));
        answer.await.unwrap_or(Err(QueryError::Ending))
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
        answer.await.unwrap_or(Err(QueryError::Ending))
    }

    /// The newest generation of each of these runs, each once, in their order.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn newest_generations(&self, runs: Vec<Run>) -> Result<Vec<Run>, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::NewestGenerations(runs, reply));
        answer.await.unwrap_or(Err(QueryError::Ending))
    }

    /// Where services run; those that nobody knows are left out.
    pub async fn directories(&self, names: Vec<ServiceName>) -> BTreeMap<ServiceName, ByteString> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::Directories(names, reply));
        answer.await.unwrap_or_default()
    }

    /// Where a prune by this policy cuts, and what is to be kept before that now.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn prune_cut(&self, policy: Policy) -> Result<PruneCut, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::PruneCut(policy, reply));
        answer.await.unwrap_or(Err(QueryError::Ending))
    }

    /// Of what lies before a place: these, and the lines of those that are batches. Blocks until
    /// it is answered or `over`.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn kept_before_now(
        &self,
        named: BTreeSet<RunId>,
        before: u64,
        over: &AtomicBool,
    ) -> Result<BTreeSet<RunId>, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::KeptBefore(named, before, reply));
        block_on(answer, over)
    }

    /// As [`Self::kept_before_now`], for a task.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn kept_before(
        &self,
        named: BTreeSet<RunId>,
        before: u64,
    ) -> Result<BTreeSet<RunId>, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::KeptBefore(named, before, reply));
        answer.await.unwrap_or(Err(QueryError::Ending))
    }

    /// Lets new views, made in that file if in any, take the place of the others. Blocks until
    /// they have, or `over`.
    ///
    /// # Errors
    /// [`QueryError`].
    pub fn renew_now(
        &self,
        views: Box<Views>,
        path: Option<PathBuf>,
        over: &AtomicBool,
    ) -> Result<(), QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::Renew(views, path, reply));
        block_on(answer, over)
    }

    /// Makes the views anew from the log; the seq that they then have.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn rebuild(&self) -> Result<u64, QueryError> {
        let (reply, answer) = oneshot::channel();
        self.0.post(ToViews::Rebuild(reply));
        answer.await.unwrap_or(Err(QueryError::Ending))
    }

    /// The runs once all of them (or any) have ended.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn ended(&self, runs: Vec<RunId>, any: bool) -> Result<Vec<RunView>, QueryError> {
        let (reply, answer) = oneshot::channel();
        let open = runs.iter().copied().collect();
        self.0.post(ToViews::Ended(Waiter { runs, open, any, reply }));
        answer.await.unwrap_or(Err(QueryError::Ending))
    }
}

/// Waits as a thread does. The views thread may be gone, and then nobody answers or hangs up.
fn block_on<T>(
    mut answer: oneshot::Receiver<Result<T, QueryError>>,
    over: &AtomicBool,
) -> Result<T, QueryError> {
    loop {
        match answer.try_recv() {
            Ok(answered) => return answered,
            Err(oneshot::error::TryRecvError::Closed) => return Err(QueryError::Ending),
            Err(oneshot::error::TryRecvError::Empty) => {}
        }
        if over.load(Ordering::Relaxed) {
            return Err(QueryError::Ending);
        }
        std::thread::sleep(LOOK);
    }
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
    /// The seq of the shortlist.
    listed: u64,
}

impl ViewsLoop {
    /// One for whom nobody waits yet.
    pub fn new(
        views: Views,
        source: Reader,
        place: Place,
        boot: BootId,
        inbox: Mailbox<ToViews>,
        applied: watch::Sender<u64>,
    ) -> Self {
        Self { views, source, place, boot, inbox, applied, waiters: Vec::new(), listed: 0 }
    }

    /// Runs until the end.
    ///
    /// # Errors
    /// [`DaemonError::Views`]: they can be neither read nor made anew.
    pub fn run(mut self) -> Result<(), DaemonError> {
        let idle = Duration::from_millis(limits::VIEWS_IDLE_MS);
        loop {
            let is_behind = self.views.dirty() > 0 || self.listed < self.views.applied();
            let messages = if is_behind { self.inbox.take_within(idle) } else { self.inbox.take() };
            if messages.is_empty() {
                self.write_down()?;
            }
            for message in messages {
                if matches!(message, ToViews::End) {
                    self.write_down()?;
                    return Ok(());
                }
                self.take(message)?;
            }
            if self.views.dirty() > limits::VIEWS_DIRTY {
                self.views.flush()?;
            }
        }
    }

    fn write_down(&mut self) -> Result<(), DaemonError> {
        self.views.flush()?;
        self.listed = self.views.applied();
        if !self.place.is_in_memory() {
            shortlist::write(&self.place, self.boot, &self.views);
        }
        Ok(())
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
            ToViews::NewestGenerations(runs, reply) => {
                let _gone = reply.send(self.newest_generations(&runs).map_err(QueryError::from));
            }
            ToViews::Directories(names, reply) => {
                let known = &self.views.state().services.known;
                let directory = |name: ServiceName| {
                    let directory = known.get(&name)?.spec.run.cwd.clone();
                    Some((name, directory))
                };
                let _gone = reply.send(names.into_iter().filter_map(directory).collect());
            }
            ToViews::PruneCut(policy, reply) => {
                let now = clock::now().wall;
                let before = self.views.prune_before(&self.source, policy, now);
                let before = before.map_err(QueryError::from);
                let state = self.views.state();
                let (keep, under_way) = (state.to_keep(), state.pruning.is_some());
                let cut = before.map(|before| PruneCut { before, keep, under_way });
                let _gone = reply.send(cut);
            }
            ToViews::KeptBefore(named, before, reply) => {
                let kept = self.views.kept_before(&named, before).map_err(QueryError::from);
                let _gone = reply.send(kept);
            }
            ToViews::Renew(views, path, reply) => {
                let renewed = self.renew(*views, path.as_deref());
                let _gone = reply.send(renewed);
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

    fn newest_generations(&self, runs: &[Run]) -> Result<Vec<Run>, ViewsError> {
        let (mut newest, mut seen) = (Vec::with_capacity(runs.len()), BTreeSet::new());
        for run in runs {
            let run = self.views.newest_generation(run)?;
            if seen.insert(run.id) {
                newest.push(run);
            }
        }
        Ok(newest)
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
    fn answer(&mut self, question: &Question) -> Result<Document, QueryError> {
        let answered = self.answer_once(question);
        if !matches!(answered, Err(QueryError::Damaged { .. })) {
            return answered;
        }
        self.rebuild()?;
        self.answer_once(question)
    }

    /// What the log has beyond the last `Applied` may be in them already then: `apply` takes
    /// each record once.
    fn rebuild(&mut self) -> Result<(), QueryError> {
        // Where it cannot be deleted, opening it says why.
        let _refused = std::fs::remove_file(self.place.views());
        self.views = start::open_views(&self.place, self.boot, &self.source)?;
        Ok(())
    }

    /// What came since they were made is taken from the log; what is still in the mailbox may be
    /// in them already then.
    fn renew(&mut self, mut views: Views, path: Option<&Path>) -> Result<(), QueryError> {
        views.catch_up(&self.source)?;
        views.flush()?;
        if let Some(path) = path {
            let failed =
                |error| QueryError::Log { message: format!("{}: {error}", path.display()) };
            std::fs::rename(path, self.place.views()).map_err(failed)?;
        }
        self.views = views;
        self.applied.send_replace(self.views.applied());
        Ok(())
    }

    fn answer_once(&self, question: &Question) -> Result<Document, QueryError> {
        offline::with_world(&self.place, |world| {
            answer(question, &self.views, &self.source, world, clock::now())
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
        match self.answer(&Query::Resolve { selectors, scope: Scope::Any }.into())? {
            Document::Runs(runs) => Ok(runs.items),
            _ => Ok(Vec::new()),
        }
    }
}
