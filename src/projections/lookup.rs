//! Single rows and ranges of them, from memory and file together.
//!
//! A run that lives is in the state, one that ended in the delta or in the file, never in two.

use std::collections::BTreeMap;

use super::delta::unsteps;
use super::error::ViewsError;
use super::rows::{Child, LATEST, Row, Table, decode, last_number, name_key, name_of, one, pair};
use super::store::Order;
use super::views::Views;
use crate::model::command::KeyHolder;
use crate::model::{Digest, Run, RunId, State};

/// Rows read from the file at once, and at first where nobody knows how many will do.
const CHUNK: usize = 256;
pub(super) const CHUNK_FIRST: usize = 8;

impl Views {
    /// Where a run was admitted.
    pub(super) fn first_seq_of(&self, run: RunId) -> Result<Option<u64>, ViewsError> {
        if let Some(run) = self.state.runs.get(&run) {
            return Ok(Some(run.first_seq));
        }
        self.first_seq_of_row(run)
    }

    /// The same by the index alone.
    pub(super) fn first_seq_of_row(&self, run: RunId) -> Result<Option<u64>, ViewsError> {
        if let Some(seq) = self.delta.ids.get(&run) {
            return Ok(Some(*seq));
        }
        let row = self.store.get(Table::RunIds, &one(run.to_u64()))?;
        row.map(|row| decode(Table::RunIds, &row)).transpose()
    }

    /// A run by its id.
    pub fn run(&self, run: RunId) -> Result<Option<Run>, ViewsError> {
        match self.first_seq_of(run)? {
            Some(seq) => self.row(seq).map(|row| Some(row.run)),
            None => Ok(None),
        }
    }

    /// The run that was admitted at `first_seq`.
    pub(super) fn row(&self, first_seq: u64) -> Result<Row, ViewsError> {
        if let Some(run) = self.live.get(&first_seq).and_then(|id| self.state.runs.get(id)) {
            return Ok(self.live_row(run));
        }
        if let Some(row) = self.delta.ended.get(&first_seq) {
            return Ok(row.clone());
        }
        match self.store.get(Table::Runs, &one(first_seq))? {
            Some(row) => decode(Table::Runs, &row),
            None => Err(ViewsError::damaged(format!("the run of seq {first_seq} is missing"))),
        }
    }

    pub(super) fn live_row(&self, run: &Run) -> Row {
        Row::living(&self.state, run.clone())
    }

    /// Runs admitted from `from` to `to`, newest first, until `take` says stop; `first` of them are
    /// read first.
    pub(super) fn each_row_by(
        &self,
        first: usize,
        (from, to): (u64, u64),
        take: &mut dyn FnMut(Row) -> bool,
    ) -> Result<(), ViewsError> {
        if from > to {
            // Asked for what comes after the moment that is looked at.
            return Ok(());
        }
        let (mut to, mut chunk) = (to, first.clamp(1, CHUNK));
        // Nothing was admitted since a moment that has not come.
        while from <= to {
            let range = (&*one(from), &*one(to));
            let stored = self.store.scan(Table::Runs, range, Order::Descending, chunk)?;
            // Below the last row of a full chunk the file has not been read yet.
            let low = match stored.last() {
                Some((key, _)) if stored.len() == chunk => last_number(Table::Runs, key)?,
                _ => from,
            };
            let live = self.live.range(low..=to).rev().map(|(seq, _)| *seq);
            let ended = self.delta.ended.range(low..=to).rev().map(|(seq, _)| *seq);
            let mut memory = merge(live, ended).peekable();
            let mut stored = stored.into_iter().peekable();
            loop {
                let key = stored.peek().map(|(key, _)| last_number(Table::Runs, key));
                let in_file = key.transpose()?;
                let row = match memory.peek() {
                    Some(held) if Some(*held) > in_file => memory.next().map(|seq| self.row(seq)),
                    _ => stored.next().map(|(_, row)| decode(Table::Runs, &row)),
                };
                let Some(row) = row else { break };
                if !take(row?) {
                    return Ok(());
                }
            }
            if low <= from {
                return Ok(());
            }
            (to, chunk) = (low - 1, CHUNK.min(chunk * 4));
        }
        Ok(())
    }

    /// The seqs of the records of a run, ascending.
    pub(super) fn seqs_of(&self, first_seq: u64) -> Result<Vec<u64>, ViewsError> {
        let range = (&*pair(first_seq, 0), &*pair(first_seq, u64::MAX));
        let pieces = self.store.scan(Table::RunEvents, range, Order::Ascending, usize::MAX)?;
        let mut seqs = Vec::new();
        for (_, piece) in pieces {
            let steps: Vec<u64> = decode(Table::RunEvents, &piece)?;
            seqs.extend(unsteps(&steps));
        }
        seqs.extend(self.delta.events.get(&first_seq).into_iter().flatten());
        Ok(seqs)
    }

    /// Children of the run that was admitted at `first_seq`, oldest first, with their places.
    pub(super) fn children(&self, first_seq: u64) -> Result<Vec<(u64, Child)>, ViewsError> {
        let range = (&*pair(first_seq, 0), &*pair(first_seq, u64::MAX));
        let rows = self.store.scan(Table::Children, range, Order::Ascending, usize::MAX)?;
        let mut children = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            let child = decode(Table::Children, &row)?;
            children.push((last_number(Table::Children, &key)?, child));
        }
        let held = self.delta.children.range((first_seq, 0)..=(first_seq, u64::MAX));
        children.extend(held.map(|((_, seq), child)| (*seq, *child)));
        Ok(children)
    }

    /// Runs whose ids lie in a range, at most `limit` of each of memory and file.
    pub(super) fn ids_in(
        &self,
        (first, last): (RunId, RunId),
        limit: usize,
    ) -> Result<BTreeMap<u64, u64>, ViewsError> {
        let range = (&*one(first.to_u64()), &*one(last.to_u64()));
        let rows = self.store.scan(Table::RunIds, range, Order::Ascending, limit)?;
        let held = self.delta.ids.range(first..=last).take(limit);
        let mut found: BTreeMap<u64, u64> = held.map(|(id, seq)| (id.to_u64(), *seq)).collect();
        for (key, row) in rows {
            found.insert(last_number(Table::RunIds, &key)?, decode(Table::RunIds, &row)?);
        }
        Ok(found)
    }

    /// The newest places of runs with exactly this name, up to `to`, newest first.
    pub(super) fn named(&self, name: &str, to: u64, limit: usize) -> Result<Vec<u64>, ViewsError> {
        self.listed(Table::Names, name, to, limit)
    }

    /// The newest places that a table of texts lists under one of them, up to `to`, newest first.
    pub(super) fn listed(
        &self,
        table: Table,
        text: &str,
        to: u64,
        limit: usize,
    ) -> Result<Vec<u64>, ViewsError> {
        let delta = &self.delta;
        let held = if table == Table::Names { &delta.names } else { &delta.outcomes };
        let held = held.range((text.to_owned(), 0)..=(text.to_owned(), to)).rev();
        let range = (&*name_key(text, 0), &*name_key(text, to));
        let rows = self.store.scan(table, range, Order::Descending, limit)?;
        let stored = rows.iter().map(|(key, _)| last_number(table, key));
        let stored = stored.collect::<Result<Vec<u64>, _>>()?;
        // What ended last may have begun before what ended first.
        Ok(merge(held.map(|(_, seq)| *seq), stored.into_iter()).take(limit).collect())
    }

    /// Places of all runs whose name starts with `prefix` and fits, newest first.
    pub(super) fn names_like(
        &self,
        prefix: &str,
        fits: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<u64>, ViewsError> {
        let held = self.delta.names.range((prefix.to_owned(), 0)..);
        let held = held.take_while(|(name, _)| name.starts_with(prefix));
        let held = held.filter(|(name, _)| fits(name));
        let mut seqs: Vec<u64> = held.map(|(_, seq)| *seq).collect();
        // No name holds the byte 255: it is UTF-8.
        let end = [prefix.as_bytes(), &[0xff]].concat();
        let mut from = prefix.as_bytes().to_vec();
        loop {
            let rows = self.store.scan(Table::Names, (&from, &end), Order::Ascending, CHUNK)?;
            for (key, _) in &rows {
                if fits(name_of(key)?) {
                    seqs.push(last_number(Table::Names, key)?);
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == CHUNK => from = [key, &[0][..]].concat(),
                _ => break,
            }
        }
        seqs.sort_unstable_by(|a, b| b.cmp(a));
        Ok(seqs)
    }

    /// Who holds a key: what the daemon looks up before it admits a run with it.
    pub fn key_holder(&self, key: &str) -> Result<Option<KeyHolder>, ViewsError> {
        let seq = match self.delta.keys.get(key) {
            Some(seq) => Some(*seq),
            None => match self.store.get(Table::Keys, key.as_bytes())? {
                Some(row) => Some(decode(Table::Keys, &row)?),
                None => None,
            },
        };
        let Some(seq) = seq else { return Ok(None) };
        let run = self.row(seq)?.run;
        Ok(Some(KeyHolder { run: run.id, command: run.spec.command.clone() }))
    }

    pub(super) fn newest_checkpoint_seq(&self, seq: u64) -> Result<Option<u64>, ViewsError> {
        let held = self.delta.checkpoints.range(..=seq).next_back().map(|(seq, _)| *seq);
        if held.is_some() {
            return Ok(held);
        }
        let range = (&*one(0), &*one(seq));
        let rows = self.store.scan(Table::Checkpoints, range, Order::Descending, 1)?;
        rows.first().map(|(key, _)| last_number(Table::Checkpoints, key)).transpose()
    }

    /// The newest kept state that has nothing beyond `seq`: folding to `seq` starts there.
    pub fn newest_checkpoint(&self, seq: u64) -> Result<Option<State>, ViewsError> {
        let checkpoint = self.newest_checkpoint_seq(seq)?;
        if let Some(latest) = self.store.get(Table::Meta, LATEST)?.filter(|row| !row.is_empty()) {
            let latest: State = decode(Table::Meta, &latest)?;
            if latest.seq <= seq && checkpoint < Some(latest.seq) {
                return Ok(Some(latest));
            }
        }
        let Some(checkpoint) = checkpoint else { return Ok(None) };
        if let Some(state) = self.delta.checkpoints.get(&checkpoint) {
            return decode(Table::Checkpoints, state).map(Some);
        }
        let state = self.store.get(Table::Checkpoints, &one(checkpoint))?;
        state.map(|state| decode(Table::Checkpoints, &state)).transpose()
    }

    /// The highest time up to the last mark at or before `seq`.
    pub(super) fn time_mark(&self, seq: u64) -> Result<Option<(u64, i64)>, ViewsError> {
        if let Some((seq, time)) = self.delta.times.range(..=seq).next_back() {
            return Ok(Some((*seq, *time)));
        }
        let range = (&*one(0), &*one(seq));
        let rows = self.store.scan(Table::Times, range, Order::Descending, 1)?;
        let Some((key, row)) = rows.first() else { return Ok(None) };
        Ok(Some((last_number(Table::Times, key)?, decode(Table::Times, row)?)))
    }

    /// One digest of everything in them: equal wherever and however the same log was folded.
    pub fn fingerprint(&mut self) -> Result<Digest, ViewsError> {
        self.flush()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&super::rows::encode(&self.state));
        for table in Table::ALL {
            if table != Table::Meta {
                hasher.update(table.name().as_bytes());
                self.hash_table(table, &mut hasher)?;
            }
        }
        Ok(Digest(*hasher.finalize().as_bytes()))
    }

    /// Where one flush ended and the next began must not show: seqs are hashed one by one.
    fn hash_table(&self, table: Table, hasher: &mut blake3::Hasher) -> Result<(), ViewsError> {
        let (mut from, end) = (Vec::new(), [0xff; 9]);
        loop {
            let rows = self.store.scan(table, (&from, &end), Order::Ascending, CHUNK)?;
            for (key, value) in &rows {
                if table == Table::RunEvents {
                    let steps: Vec<u64> = decode(table, value)?;
                    for seq in unsteps(&steps) {
                        hasher.update(&key[..8]).update(&seq.to_be_bytes());
                    }
                } else {
                    hasher.update(key).update(value);
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == CHUNK => from = [key, &[0][..]].concat(),
                _ => return Ok(()),
            }
        }
    }
}

/// Two descending sequences without common members as one.
fn merge(
    first: impl Iterator<Item = u64>,
    second: impl Iterator<Item = u64>,
) -> impl Iterator<Item = u64> {
    let (mut first, mut second) = (first.peekable(), second.peekable());
    std::iter::from_fn(move || match (first.peek(), second.peek()) {
        (Some(one), Some(other)) if one < other => second.next(),
        (Some(_), _) => first.next(),
        (None, _) => second.next(),
    })
}
