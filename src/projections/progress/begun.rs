//! What the log says of the progress of what runs: since when, without pauses, and how long that
//! usually takes. What it printed is added by whoever can read its output.

use std::collections::BTreeMap;

use super::estimate::estimate;
use super::paused::Paused;
use crate::limits;
use crate::model::{Kind, Phase, Run, UnixMillis};
use crate::projections::moment::Moment;
use crate::projections::query::QueryError;
use crate::projections::rows::Row;
use crate::projections::run_view::between;
use crate::projections::source::SourceError;
use crate::projections::view::ProgressView;

/// Its admission, its intent and its start: a run with no more records was never paused.
const RECORDS_WITHOUT_PAUSE: usize = 3;

/// Looks at some runs, no more than `limits::PROGRESS_RUNS`.
pub(in crate::projections) struct Begun<'a> {
    moment: &'a Moment<'a>,
    usual: BTreeMap<String, Option<u64>>,
    left: usize,
}

impl<'a> Begun<'a> {
    pub(in crate::projections) fn new(moment: &'a Moment<'a>) -> Self {
        Self { moment, usual: BTreeMap::new(), left: limits::PROGRESS_RUNS }
    }

    /// Of what runs; `None` of all else, and of what is too much.
    pub(in crate::projections) fn of(
        &mut self,
        row: &Row,
    ) -> Result<Option<Box<ProgressView>>, QueryError> {
        let run = &row.run;
        if run.outcome.is_some() || self.left == 0 {
            return Ok(None);
        }
        let (mut view, share) = match run.spec.kind {
            Kind::Batch => {
                let Some((counts, begun)) = row.tally.zip(run.started_at) else { return Ok(None) };
                ProgressView::of_batch(&counts, self.since(begun, self.paused_ms(run)?))
            }
            // It is not to end.
            Kind::Service => return Ok(None),
            // What it had printed at another moment is not known, nor how long it usually took.
            Kind::Job if self.moment.is_past() => return Ok(None),
            Kind::Job => {
                let process = run.process.as_ref().filter(|_| run.attempt_lives);
                let Some(process) = process else { return Ok(None) };
                let elapsed_ms = self.since(process.at, self.paused_ms(run)?);
                let usual_ms = self.usual_ms(&run.spec.name)?;
                (ProgressView { elapsed_ms, usual_ms, ..ProgressView::default() }, None)
            }
        };
        self.left -= 1;
        let is_held = row.is_held || run.phase == Phase::Paused;
        estimate(&mut view, share, is_held, self.moment.now());
        Ok(Some(Box::new(view)))
    }

    fn since(&self, begun: UnixMillis, paused_ms: i64) -> u64 {
        u64::try_from(between(begun, self.moment.now()).saturating_sub(paused_ms)).unwrap_or(0)
    }

    /// Each name is looked up once.
    fn usual_ms(&mut self, name: &str) -> Result<Option<u64>, QueryError> {
        if let Some(usual) = self.usual.get(name) {
            return Ok(*usual);
        }
        let usual = self.moment.views.usual_ms(name)?;
        self.usual.insert(name.to_owned(), usual);
        Ok(usual)
    }

    /// For how long it was held, of a job this attempt. Of a run that is older than the views'
    /// memory its newest records say that.
    fn paused_ms(&self, run: &Run) -> Result<i64, QueryError> {
        let length_ms = |paused: &Paused| match run.spec.kind {
            Kind::Batch => paused.batch_length_ms(run.id, self.moment.now()),
            Kind::Job | Kind::Service => paused.length_ms(run, self.moment.now()),
        };
        if run.first_seq > self.moment.views.paused.since && !self.moment.is_past() {
            return Ok(length_ms(&self.moment.views.paused));
        }
        let seqs = self.moment.seqs_of(run.first_seq)?;
        let without = match run.spec.kind {
            Kind::Batch => 1,
            Kind::Job | Kind::Service => RECORDS_WITHOUT_PAUSE,
        };
        if seqs.len() <= without {
            return Ok(0);
        }
        let newest = &seqs[seqs.len().saturating_sub(limits::PROGRESS_RECORDS)..];
        let records = match self.moment.source.get_many(newest) {
            Ok(records) => records,
            // In the middle of a prune.
            Err(SourceError::Pruned { .. }) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let mut paused = Paused::default();
        for stored in &records {
            paused.take(&stored.envelope);
        }
        Ok(length_ms(&paused))
    }
}
