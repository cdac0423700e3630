//! `--at`: what was true at a place of the log.
//!
//! A moment is the views as they were then. Who asks them through it needs not know when that is:
//! a place beyond it does not exist, and a run that changed since is the fold of its own records up
//! to there.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::error::ViewsError;
use super::lookup::CHUNK_FIRST;
use super::query::{At, QueryError};
use super::rows::{Child, Row};
use super::source::{LogSource, SourceError};
use super::views::Views;
use crate::model::{Kind, Run, RunId, State, UnixMillis};

/// A place of the log, with the state there when somebody needs it.
pub(super) struct Moment<'a> {
    pub(super) views: &'a Views,
    pub(super) source: &'a dyn LogSource,
    /// The last record that counts; `None` is everything that the views have.
    at: Option<u64>,
    now: UnixMillis,
    folded: OnceCell<State>,
}

impl<'a> Moment<'a> {
    /// The moment that `at` means; without it, now.
    pub(super) fn new(
        views: &'a Views,
        source: &'a dyn LogSource,
        at: Option<At>,
        now: UnixMillis,
    ) -> Result<Self, QueryError> {
        let folded = OnceCell::new();
        let Some(at) = at else { return Ok(Self { views, source, at: None, now, folded }) };
        let first = source.first_seq();
        let seq = match at {
            At::Seq(seq) => seq,
            At::Time(time) => seq_at(views, source, time)?,
        };
        if seq > views.applied() {
            return Err(QueryError::Beyond { head: views.applied() });
        }
        // Before the first record of all there was nothing; before the first kept one, who knows.
        if seq < first && first > 1 {
            return Err(QueryError::Pruned { first });
        }
        let now = match source.get(seq)? {
            Some(stored) => stored.envelope.time,
            None => UnixMillis::default(),
        };
        Ok(Self { views, source, at: Some(seq), now, folded })
    }

    /// The last record that counts.
    pub(super) fn seq(&self) -> u64 {
        self.at.unwrap_or(self.views.applied())
    }

    /// Whether it is not the present.
    pub(super) fn is_past(&self) -> bool {
        self.at.is_some()
    }

    /// What derived times are measured against.
    pub(super) fn now(&self) -> UnixMillis {
        self.now
    }

    /// What lived then.
    pub(super) fn state(&self) -> Result<&State, ViewsError> {
        let Some(seq) = self.at else { return Ok(self.views.state()) };
        if let Some(state) = self.folded.get() {
            return Ok(state);
        }
        let state = state_at(self.views, self.source, seq)?;
        Ok(self.folded.get_or_init(|| state))
    }

    /// The runs that lived then, newest first.
    pub(super) fn live(&self) -> Result<Vec<Row>, ViewsError> {
        let state = self.state()?;
        let mut runs: Vec<&Run> = state.runs.values().collect();
        runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.first_seq));
        Ok(runs.into_iter().map(|run| Row::living(state, run.clone())).collect())
    }

    /// The row of a run that was admitted by then, as it was then.
    pub(super) fn row(&self, row: Row) -> Result<Row, ViewsError> {
        let Some(at) = self.at else { return Ok(row) };
        if row.run.last_seq <= at && row.run.outcome.is_some() {
            return Ok(row);
        }
        let run = if row.run.last_seq <= at { row.run } else { self.fold_run(&row.run, at)? };
        // Only a batch is more than its own records say.
        Ok(match run.spec.kind {
            Kind::Batch if run.outcome.is_none() => Row::living(self.state()?, run),
            Kind::Batch => Row::ended(run, row.tally),
            Kind::Job | Kind::Service => Row { run, tally: None, is_held: false },
        })
    }

    /// The row of the run that was admitted at `place`, which is not later.
    pub(super) fn row_of(&self, place: u64) -> Result<Row, ViewsError> {
        self.row(self.views.row(place)?)
    }

    /// Runs admitted from one place to another, newest first, until `take` says stop.
    pub(super) fn each_row(
        &self,
        range: (u64, u64),
        take: &mut dyn FnMut(Row) -> bool,
    ) -> Result<(), ViewsError> {
        self.each_row_by(CHUNK_FIRST, range, take)
    }

    /// As [`Self::each_row`], for who knows how many will do: so many are read first.
    pub(super) fn each_row_by(
        &self,
        first: usize,
        (from, to): (u64, u64),
        take: &mut dyn FnMut(Row) -> bool,
    ) -> Result<(), ViewsError> {
        let mut result = Ok(());
        let range = (from, to.min(self.seq()));
        self.views.each_row_by(first, range, &mut |row| match self.row(row) {
            Ok(row) => take(row),
            Err(error) => {
                result = Err(error);
                false
            }
        })?;
        result
    }

    /// A run by its id.
    pub(super) fn run(&self, run: RunId) -> Result<Option<Run>, ViewsError> {
        match self.first_seq_of(run)? {
            Some(place) => self.row_of(place).map(|row| Some(row.run)),
            None => Ok(None),
        }
    }

    /// Where a run was admitted.
    pub(super) fn first_seq_of(&self, run: RunId) -> Result<Option<u64>, ViewsError> {
        let place = self.views.first_seq_of(run)?;
        Ok(place.filter(|place| *place <= self.seq()))
    }

    /// The seqs of the records of a run, ascending.
    pub(super) fn seqs_of(&self, first_seq: u64) -> Result<Vec<u64>, ViewsError> {
        let mut seqs = self.views.seqs_of(first_seq)?;
        seqs.retain(|seq| *seq <= self.seq());
        Ok(seqs)
    }

    /// Children of the run that was admitted at `first_seq`, oldest first, with their places.
    pub(super) fn children(&self, first_seq: u64) -> Result<Vec<(u64, Child)>, ViewsError> {
        let mut children = self.views.children(first_seq)?;
        children.retain(|(place, _)| *place <= self.seq());
        Ok(children)
    }

    /// The newest run with exactly this name.
    pub(super) fn named(&self, name: &str) -> Result<Option<u64>, ViewsError> {
        Ok(self.views.named(name, self.seq(), 1)?.first().copied())
    }

    /// Places of all runs whose name starts with `prefix` and fits, newest first.
    pub(super) fn names_like(
        &self,
        prefix: &str,
        fits: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<u64>, ViewsError> {
        let mut places = self.views.names_like(prefix, fits)?;
        places.retain(|place| *place <= self.seq());
        Ok(places)
    }

    /// Runs whose ids lie in a range, by id: some, if there are more than `limit`.
    pub(super) fn ids_in(
        &self,
        range: (RunId, RunId),
        limit: usize,
    ) -> Result<BTreeMap<u64, u64>, ViewsError> {
        // Those that came later may stand before those that were there.
        let limit = if self.is_past() { usize::MAX } else { limit };
        let mut found = self.views.ids_in(range, limit)?;
        found.retain(|_, place| *place <= self.seq());
        Ok(found)
    }

    /// The fold of the run's own records up to `at`.
    fn fold_run(&self, run: &Run, at: u64) -> Result<Run, ViewsError> {
        let mut seqs = self.views.seqs_of(run.first_seq)?;
        seqs.retain(|seq| *seq <= at);
        let mut folded = None;
        // Its admission is not kept: it lived where the history begins.
        if seqs.first() != Some(&run.first_seq) {
            folded = self.source.start()?.0.runs.remove(&run.id);
        }
        for stored in self.source.get_many(&seqs)? {
            let envelope = &stored.envelope;
            // What is done to the queue of a batch is no record of the run.
            if envelope.event.run() != Some(run.id) {
                continue;
            }
            let illegal = |source| ViewsError::Illegal { seq: envelope.seq, source };
            match &mut folded {
                None => folded = Run::admitted(envelope),
                Some(run) => run.apply(envelope).map_err(illegal)?,
            }
        }
        folded.ok_or_else(|| {
            ViewsError::damaged(format!("run {} has no admission at {}", run.id, run.first_seq))
        })
    }
}

/// Newest kept state, then the records up to `seq`.
fn state_at(views: &Views, source: &dyn LogSource, seq: u64) -> Result<State, ViewsError> {
    let mut state = match views.newest_checkpoint(seq)? {
        Some(state) => state,
        None => source.start()?.0,
    };
    let mut result = Ok(());
    if state.seq < seq {
        source.scan(state.seq + 1..=seq, &mut |stored| {
            let envelope = &stored.envelope;
            let applied = state.apply(envelope);
            result = applied.map_err(|source| ViewsError::Illegal { seq: envelope.seq, source });
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    result?;
    if state.seq == seq {
        Ok(state)
    } else {
        Err(SourceError::Missing { seq: state.seq + 1 }.into())
    }
}

/// The greatest place whose running maximum of time is at most `time`.
pub(super) fn seq_at(views: &Views, source: &dyn LogSource, time: i64) -> Result<u64, ViewsError> {
    if views.time_max().0 <= time {
        return Ok(views.applied());
    }
    // The marks rise with the seqs: the last one that is not later is found by halving.
    let start = source.first_seq() - 1;
    let (mut seq, mut low, mut high) = (start, start, views.applied());
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match views.time_mark(middle)?.filter(|(mark, _)| *mark > start) {
            Some((mark, max)) if max <= time => {
                seq = seq.max(mark);
                low = middle;
            }
            Some((mark, _)) => high = mark - 1,
            None => low = middle,
        }
    }
    source.scan(seq + 1..=views.applied(), &mut |stored| {
        if stored.envelope.time.0 <= time {
            seq = stored.envelope.seq;
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(seq)
}
