//! Which blobs the kept records name, and whether they are there.
//!
//! The log says by digest what a run was given: its variables, its configuration. A run whose blob
//! is gone can be read, and not be started again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::log::prune::{Cut, each_whole};
use crate::log::{Blobs, LogError, Reader, snapshot};
use crate::model::{Digest, Event, RunId, State};
use crate::projections::{LogSource, SourceError, Stored};

/// So many that are lost are named.
pub const LISTED: usize = 20;

/// What became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobFacts {
    /// How many records name.
    pub named: u64,
    /// Of those, how many are missing or damaged.
    pub lost: u64,
    /// The first [`LISTED`] of them: digest, and what is wrong.
    pub items: Vec<String>,
}

impl BlobFacts {
    /// Takes one that was looked for.
    pub fn note(&mut self, digest: Digest, found: Result<(), &'static str>) {
        self.named += 1;
        if let Err(wrong) = found {
            self.lost += 1;
            if self.items.len() < LISTED {
                self.items.push(format!("{digest} {wrong}"));
            }
        }
    }
}

/// What the kept records name that lies beside the log.
#[derive(Debug, Default)]
pub struct Named {
    /// Blobs.
    pub blobs: BTreeSet<Digest>,
    /// Whose secrets their runs had.
    pub owners: BTreeSet<RunId>,
}

/// What the kept records name.
///
/// # Errors
/// The log cannot be read.
pub fn named(log: &Reader) -> Result<Named, SourceError> {
    let mut named = Named::default();
    let saved = log.snapshot_before(log.kept_from())?;
    named.take_state(&snapshot::decode(Path::new("snapshot"), &saved.bytes)?);
    let mut take = |stored: Stored| {
        named.take(&stored.envelope.event);
        ControlFlow::Continue(())
    };
    log.scan_kept(&mut take)?;
    log.scan(log.kept_from(), &mut take)?;
    Ok(named)
}

/// What records would name that a cut leaves; `state` is that before it.
///
/// # Errors
/// The log cannot be read.
pub fn named_after(log: &Reader, cut: &Cut, state: &State) -> Result<Named, SourceError> {
    let mut named = Named::default();
    named.take_state(state);
    each_whole(log, cut.before, &mut |record, envelope| {
        if !cut.takes(record.seq, &envelope.event) {
            named.take(&envelope.event);
        }
        true
    })?;
    log.scan(cut.before, &mut |stored| {
        named.take(&stored.envelope.event);
        ControlFlow::Continue(())
    })?;
    Ok(named)
}

impl Named {
    /// What is in force may have been said by a record that is gone.
    fn take_state(&mut self, state: &State) {
        self.blobs.extend(state.config.config);
    }

    fn take(&mut self, event: &Event) {
        if let Event::RunAdmitted { spec, .. } = event {
            self.owners.extend(spec.secrets);
        }
        self.blobs.extend(named_by(event));
    }
}

/// Digests in one record.
pub fn named_by(event: &Event) -> impl Iterator<Item = Digest> {
    let of_run = match event {
        Event::RunAdmitted { spec, .. } => [spec.variables, spec.config],
        Event::ConfigResolved { resolution } => [resolution.config, None],
        _ => [None; 2],
    };
    of_run.into_iter().flatten()
}

/// Reads each one that records name, and compares it with its digest.
///
/// # Errors
/// The log cannot be read.
pub fn examine(log: &Reader, blobs: &Path) -> Result<BlobFacts, SourceError> {
    let blobs = Blobs::new(blobs);
    let mut facts = BlobFacts::default();
    for digest in named(log)?.blobs {
        let found = match blobs.get(digest) {
            Ok(_) => Ok(()),
            Err(LogError::NotFound { .. }) => Err("is missing"),
            Err(LogError::Damaged { .. }) => Err("is damaged"),
            Err(_) => Err("cannot be read"),
        };
        facts.note(digest, found);
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_counted_and_the_first_are_named() {
        let mut facts = BlobFacts::default();
        for number in 0..30 {
            facts.note(Digest([number; 32]), Err("is missing"));
            facts.note(Digest([number + 100; 32]), Ok(()));
        }
        assert_eq!((facts.named, facts.lost, facts.items.len()), (60, 30, LISTED));
        assert!(facts.items[0].ends_with("00 is missing"), "{}", facts.items[0]);
    }
}
