//! Which blobs the kept records name, and whether they are there.
//!
//! The log says by digest what a run was given: its variables, its configuration. A run whose blob
//! is gone can be read, and not be started again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::log::prune::{Cut, each_whole};
use crate::log::verify::{Verified, verify_noting};
use crate::log::{Blobs, LogError, Reader, snapshot};
use crate::model::{Digest, Envelope, Event, RunId, State};
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

impl Named {
    /// What is in force may have been said by a record that is gone.
    fn in_force(log: &Reader) -> Result<Self, LogError> {
        let saved = log.snapshot_before(log.kept_from())?;
        Ok(Self::of(&snapshot::decode(Path::new("snapshot"), &saved.bytes)?))
    }

    /// The same of a state.
    fn of(state: &State) -> Self {
        Self { blobs: state.config.config.into_iter().collect(), ..Self::default() }
    }

    /// What one record names.
    fn note(&mut self, event: &Event) {
        if let Event::RunAdmitted { spec, .. } = event {
            self.owners.extend(spec.secrets);
        }
        self.blobs.extend(named_by(event));
    }
}

/// What the kept records name.
///
/// # Errors
/// The log cannot be read.
pub fn named(log: &Reader) -> Result<Named, SourceError> {
    let mut named = Named::in_force(log)?;
    let mut take = |stored: Stored| {
        named.note(&stored.envelope.event);
        ControlFlow::Continue(())
    };
    log.scan_kept(&mut take)?;
    log.scan(log.kept_from()..=u64::MAX, &mut take)?;
    Ok(named)
}

/// What records would name that a cut leaves; `state` is that before it.
///
/// # Errors
/// The log cannot be read.
pub fn named_after(log: &Reader, cut: &Cut, state: &State) -> Result<Named, SourceError> {
    let mut named = Named::of(state);
    each_whole(log, cut.before, &mut |record, envelope| {
        if !cut.takes(record.seq, &envelope.event) {
            named.note(&envelope.event);
        }
        true
    })?;
    log.scan(cut.before..=u64::MAX, &mut |stored| {
        named.note(&stored.envelope.event);
        ControlFlow::Continue(())
    })?;
    Ok(named)
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

/// Verifies every record on so many threads, and reads each blob that the kept ones name.
///
/// # Errors
/// The first record that is damaged, or why the log cannot be read.
pub fn verify(
    log: &Reader,
    blobs: &Path,
    threads: usize,
) -> Result<(Verified, BlobFacts), LogError> {
    let (kept_from, floor) = (log.kept_from(), log.floor());
    let keeps = |run: RunId| floor.as_ref().is_some_and(|floor| floor.kept.contains(&run));
    let note = |named: &mut Named, envelope: &Envelope| {
        let event = &envelope.event;
        if envelope.seq >= kept_from || event.run().is_some_and(keeps) {
            named.note(event);
        }
    };
    let (verified, notes) = verify_noting(log, threads, note)?;
    let mut digests = Named::in_force(log)?.blobs;
    digests.extend(notes.into_iter().flat_map(|named| named.blobs));
    Ok((verified, read_each(&digests, blobs)))
}

/// Reads each one that records name, and compares it with its digest.
///
/// # Errors
/// The log cannot be read.
pub fn examine(log: &Reader, blobs: &Path) -> Result<BlobFacts, SourceError> {
    Ok(read_each(&named(log)?.blobs, blobs))
}

fn read_each(digests: &BTreeSet<Digest>, blobs: &Path) -> BlobFacts {
    let blobs = Blobs::new(blobs);
    let mut facts = BlobFacts::default();
    for &digest in digests {
        let found = match blobs.get(digest) {
            Ok(_) => Ok(()),
            Err(LogError::NotFound { .. }) => Err("is missing"),
            Err(LogError::Damaged { .. }) => Err("is damaged"),
            Err(_) => Err("cannot be read"),
        };
        facts.note(digest, found);
    }
    facts
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
