//! What a log comes to, as a digest of each projection: equal wherever the same log is folded.
//!
//! Nothing is stored, so this takes as long as reading the log and as much memory as what lives.

use std::collections::BTreeMap;

use super::error::ViewsError;
use super::rows::{self, Row};
use super::source::{Apply, Stored};
use super::tally;
use crate::log::snapshot;
use crate::model::{Digest, Event, State};

/// A fold under way.
#[derive(Debug)]
pub struct Folding {
    state: State,
    runs: blake3::Hasher,
}

impl Folding {
    /// Begins with no run; [`Self::take_kept`] what is kept from before, then [`Self::begin`].
    pub fn new() -> Self {
        Self { state: State::default(), runs: blake3::Hasher::new() }
    }

    /// Takes a record from before the history, of a run that keeps its records.
    ///
    /// # Errors
    /// [`ViewsError::Illegal`].
    pub fn take_kept(&mut self, stored: &Stored) -> Result<(), ViewsError> {
        self.take_by(stored, State::apply_kept)
    }

    /// The history begins, and this is the state before it.
    pub fn begin(&mut self, state: State) {
        self.state = state;
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`ViewsError::Illegal`].
    pub fn take(&mut self, stored: &Stored) -> Result<(), ViewsError> {
        self.take_by(stored, State::apply)
    }

    fn take_by(&mut self, stored: &Stored, apply: Apply) -> Result<(), ViewsError> {
        let illegal = |source| ViewsError::Illegal { seq: stored.envelope.seq, source };
        let ending = match &stored.envelope.event {
            Event::RunEnded { run, .. } => self.state.runs.get(run).cloned(),
            _ => None,
        };
        let tally = ending.as_ref().and_then(|run| tally::of_live(&self.state, run.id));
        apply(&mut self.state, &stored.envelope).map_err(illegal)?;
        if let Some(mut run) = ending {
            run.apply(&stored.envelope).map_err(illegal)?;
            self.runs.update(&rows::encode(&Row::ended(run, tally)));
        }
        Ok(())
    }

    /// The state at the last record.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The digests, by projection and the version of its shape: another jr that knows only others
    /// has nothing to compare.
    pub fn digests(&self) -> BTreeMap<String, Digest> {
        let state = Digest(*blake3::hash(&rows::encode(&self.state)).as_bytes());
        let runs = Digest(*self.runs.finalize().as_bytes());
        BTreeMap::from([
            (format!("state@{}", snapshot::VERSION), state),
            (format!("runs@{}", rows::VERSION), runs),
        ])
    }
}

impl Default for Folding {
    fn default() -> Self {
        Self::new()
    }
}
