//! `--at`: what was true at a place of the log.

use std::cell::OnceCell;
use std::ops::ControlFlow;

use super::error::ViewsError;
use super::query::{At, QueryError};
use super::rows::Row;
use super::source::{LogSource, SourceError};
use super::tally;
use super::views::Views;
use crate::model::{Kind, Run, State, UnixMillis};

/// A place of the log, with the state there when somebody needs it.
pub(super) struct Moment<'a> {
    views: &'a Views,
    source: &'a dyn LogSource,
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

    /// The row of a run that was admitted by then, as it was then.
    pub(super) fn row(&self, row: Row) -> Result<Row, ViewsError> {
        let Some(at) = self.at else { return Ok(row) };
        if row.run.last_seq <= at && row.run.outcome.is_some() {
            return Ok(row);
        }
        let run = if row.run.last_seq <= at { row.run } else { self.fold_run(&row.run, at)? };
        let tally = match run.spec.kind {
            Kind::Batch if run.outcome.is_some() => row.tally,
            Kind::Batch => tally::of_live(self.state()?, run.id),
            Kind::Job => None,
        };
        Ok(Row { run, tally })
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
        source.scan(state.seq + 1, &mut |stored| {
            let envelope = &stored.envelope;
            if envelope.seq > seq {
                return ControlFlow::Break(());
            }
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
    source.scan(seq + 1, &mut |stored| {
        let fits = stored.envelope.time.0 <= time && stored.envelope.seq <= views.applied();
        if fits {
            seq = stored.envelope.seq;
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(seq)
}
