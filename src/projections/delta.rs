//! What the views know beyond their file: written to it in one commit, or folded again.

use std::collections::{BTreeMap, BTreeSet};

use super::progress::usual::Usual;
use super::rows::{Child, Row, Table, encode, name_key, one, pair};
use super::samples::Block;
use super::store::Rows;
use crate::model::{Run, RunId};

/// Rows that are not in the file yet. Runs that live are in no row: the state has them.
#[derive(Debug, Default)]
pub(super) struct Delta {
    /// Records taken since the last flush.
    pub(super) records: usize,
    /// Runs that ended, by first seq.
    pub(super) ended: BTreeMap<u64, Row>,
    pub(super) ids: BTreeMap<RunId, u64>,
    pub(super) names: BTreeSet<(String, u64)>,
    /// Seqs of each run's records, by first seq.
    pub(super) events: BTreeMap<u64, Vec<u64>>,
    pub(super) keys: BTreeMap<String, u64>,
    pub(super) children: BTreeMap<(u64, u64), Child>,
    pub(super) checkpoints: BTreeMap<u64, Vec<u8>>,
    pub(super) times: BTreeMap<u64, i64>,
    /// Outcomes other than success, with the places of those who had them.
    pub(super) outcomes: BTreeSet<(String, u64)>,
    /// Rows of [`Table::Samples`] that changed, each as a whole.
    pub(super) samples: BTreeMap<Vec<u8>, Block>,
    /// Rows of [`Table::Usual`] that changed, each as a whole, by name.
    pub(super) usual: BTreeMap<String, Usual>,
}

impl Delta {
    /// Takes what the indexes say of a run from its admission on.
    pub(super) fn admit(&mut self, run: &Run, parent_seq: Option<u64>) {
        let first_seq = run.first_seq;
        self.ids.insert(run.id, first_seq);
        self.names.insert((run.spec.name.clone(), first_seq));
        if let Some(key) = &run.spec.key {
            self.keys.insert(key.clone(), first_seq);
        }
        if let Some(parent) = parent_seq {
            let is_batch = run.spec.kind == crate::model::Kind::Batch;
            let child = Child { id: run.id.to_u64(), is_batch };
            self.children.insert((parent, first_seq), child);
        }
    }

    /// Takes a run that ended.
    pub(super) fn end(&mut self, row: Row) {
        let first_seq = row.run.first_seq;
        if let Some(outcome) = row.run.outcome.filter(|outcome| !outcome.is_success()) {
            self.outcomes.insert((outcome.word().to_owned(), first_seq));
        }
        self.ended.insert(first_seq, row);
    }

    /// Its rows, in the order of their keys.
    pub(super) fn tables(&self) -> Vec<(Table, Rows)> {
        let runs = self.ended.iter().map(|(seq, row)| (one(*seq), encode(row)));
        let ids = self.ids.iter().map(|(id, seq)| (one(id.to_u64()), encode(seq)));
        let names = self.names.iter().map(|(name, seq)| (name_key(name, *seq), Vec::new()));
        let outcomes = self.outcomes.iter();
        let outcomes = outcomes.map(|(word, seq)| (name_key(word, *seq), Vec::new()));
        let events = self.events.iter().filter_map(|(run, seqs)| {
            let first = *seqs.first()?;
            Some((pair(*run, first), encode(&steps(seqs))))
        });
        let keys = self.keys.iter().map(|(key, seq)| (key.clone().into_bytes(), encode(seq)));
        let children = self.children.iter();
        let children = children.map(|((parent, seq), child)| (pair(*parent, *seq), encode(child)));
        let checkpoints = self.checkpoints.iter().map(|(seq, state)| (one(*seq), state.clone()));
        let times = self.times.iter().map(|(seq, time)| (one(*seq), encode(time)));
        let samples = self.samples.iter().map(|(key, block)| (key.clone(), encode(block)));
        let usual = self.usual.iter().map(|(name, usual)| (Usual::key(name), encode(usual)));
        vec![
            (Table::Runs, runs.collect()),
            (Table::RunIds, ids.collect()),
            (Table::Names, names.collect()),
            (Table::RunEvents, events.collect()),
            (Table::Keys, keys.collect()),
            (Table::Children, children.collect()),
            (Table::Checkpoints, checkpoints.collect()),
            (Table::Times, times.collect()),
            (Table::Outcomes, outcomes.collect()),
            (Table::Samples, samples.collect()),
            (Table::Usual, usual.collect()),
        ]
    }
}

/// Ascending seqs as the differences to the ones before: small numbers are short.
pub(super) fn steps(seqs: &[u64]) -> Vec<u64> {
    let mut last = 0;
    let step = |seq: &u64| {
        let step = seq - last;
        last = *seq;
        step
    };
    seqs.iter().map(step).collect()
}

/// The inverse of [`steps`].
pub(super) fn unsteps(steps: &[u64]) -> impl Iterator<Item = u64> + '_ {
    steps.iter().scan(0_u64, |last, step| {
        *last = last.checked_add(*step)?;
        Some(*last)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_add_up() {
        let seqs = [3, 4, 90, 91, 4_000_000_000];
        assert_eq!(unsteps(&steps(&seqs)).collect::<Vec<_>>(), seqs);
        assert_eq!(steps(&seqs)[..3], [3, 1, 86]);
    }
}
