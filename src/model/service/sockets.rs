//! Listening sockets that one attempt leaves to the next. A shim keeps those of a run for as long
//! as it has an attempt of that run that is not forgotten; so the end of one is forgotten only
//! behind the start of the next, or with the run.
//!
//! Memory of this daemon only: after its death the shims tell the ends again.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::action::Action;
use crate::model::id::RunId;
use crate::model::run::Run;
use crate::model::state::State;

/// Ended attempts whose shims are not to forget them yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeptEnds(BTreeMap<RunId, BTreeSet<u32>>);

impl KeptEnds {
    /// It is not to be forgotten yet.
    pub fn insert(&mut self, run: RunId, attempt: u32) {
        self.0.entry(run).or_default().insert(attempt);
    }

    /// All of a run may be forgotten.
    pub fn release(&mut self, run: RunId) -> Vec<Action> {
        let attempts = self.0.remove(&run).unwrap_or_default();
        attempts.into_iter().map(|attempt| Action::Forget { run, attempt }).collect()
    }
}

/// Whether the processes of a run find sockets open.
pub fn passes(state: &State, run: &Run) -> bool {
    let standing = state.services.standing(run);
    standing
        .is_some_and(|standing| standing.spec.supervision.ports.iter().any(|wish| wish.pass_socket))
}
