//! How long the runs of a name usually take: the median of its newest successes.
//!
//! A row of its own for each name makes that one look, whatever labels the runs had and however
//! many there were. What counts is the attempt that succeeded: a later run is compared with that
//! from the start of its own attempt on.

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::model::{Kind, Outcome, Run};
use crate::projections::ViewsError;
use crate::projections::rows::{Table, decode};
use crate::projections::stats::percentile;
use crate::projections::views::Views;

/// The newest successes of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::projections) struct Usual {
    /// The newest last.
    ran_ms: Vec<u64>,
}

impl Usual {
    /// name, 0.
    pub(in crate::projections) fn key(name: &str) -> Vec<u8> {
        [name.as_bytes(), &[0]].concat()
    }

    fn push(&mut self, ran_ms: u64) {
        if self.ran_ms.len() >= limits::USUAL_RUNS {
            self.ran_ms.remove(0);
        }
        self.ran_ms.push(ran_ms);
    }
}

/// How long it ran in the attempt that succeeded.
fn succeeded_in(run: &Run) -> Option<u64> {
    let is_success = run.outcome == Some(Outcome::Succeeded) && run.spec.kind == Kind::Job;
    run.last_end.as_ref().filter(|_| is_success)?.duration_ms
}

impl Views {
    /// Takes a run that has just ended.
    pub(in crate::projections) fn note_usual(&mut self, run: &Run) -> Result<(), ViewsError> {
        let Some(ran_ms) = succeeded_in(run) else { return Ok(()) };
        if let Some(usual) = self.delta.usual.get_mut(&run.spec.name) {
            usual.push(ran_ms);
            return Ok(());
        }
        let mut usual = self.usual(&run.spec.name)?.unwrap_or_default();
        usual.push(ran_ms);
        self.delta.usual.insert(run.spec.name.clone(), usual);
        Ok(())
    }

    fn usual(&self, name: &str) -> Result<Option<Usual>, ViewsError> {
        if let Some(usual) = self.delta.usual.get(name) {
            return Ok(Some(usual.clone()));
        }
        let row = self.store.get(Table::Usual, &Usual::key(name))?;
        row.map(|row| decode(Table::Usual, &row)).transpose()
    }

    /// What a success of this name usually takes; `None` where there was none.
    pub(in crate::projections) fn usual_ms(&self, name: &str) -> Result<Option<u64>, ViewsError> {
        let usual = self.usual(name)?;
        Ok(usual.and_then(|mut usual| percentile(&mut usual.ran_ms, 50)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_count() {
        let mut usual = Usual::default();
        for ran_ms in 0..100 {
            usual.push(ran_ms);
        }
        assert_eq!(usual.ran_ms, (80..100).collect::<Vec<u64>>());
        assert_eq!(percentile(&mut usual.ran_ms, 50), Some(89));
    }
}
