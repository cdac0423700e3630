//! What statistics need of each run that ended, small enough to read a million of them.
//!
//! A row has the runs of one name, kind and set of labels that ended within one block of the log.
//! Blocks follow from seqs alone, so the rows are the same however the log was cut and folded. A
//! filter by name, kind or label then looks at rows, never at runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::ViewsError;
use super::rows::{Table, decode, encode};
use super::run_view::{between, kind_word};
use super::store::Order;
use super::view::OUTCOMES;
use super::views::Views;
use crate::model::{Kind, Outcome, Run};

/// Rows read from the file at once.
const CHUNK: usize = 64;
/// After the name: 0, kind, labels, block.
const KEY_TAIL: usize = 1 + 1 + LABELS_BYTES + 8;
/// Of the blake3 of the labels.
const LABELS_BYTES: usize = 16;

/// A run that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// Its admission.
    pub(super) first_seq: u64,
    /// Its end.
    pub(super) ended_seq: u64,
    /// When it was admitted, in Unix milliseconds.
    pub(super) created_at: i64,
    /// When it ended.
    pub(super) ended_at: i64,
    /// From its first process to its end, where that was seen.
    pub(super) ran_ms: Option<u64>,
    /// Its place in [`OUTCOMES`].
    pub(super) outcome: u8,
}

/// Some of one series: its labels, and runs in the order of their ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Block {
    pub(super) labels: BTreeMap<String, String>,
    steps: Vec<Step>,
    /// Seq and time of the last end.
    last: (u64, i64),
}

/// A sample as the difference to the one before: small numbers are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Step {
    /// Since the end before; the first counts from 0.
    seqs: u64,
    /// Since the end before; the first counts from 0.
    ended_ms: i64,
    /// From admission to end, in records.
    life_seqs: u64,
    /// The same by the wall clock.
    life_ms: i64,
    ran_ms: Option<u64>,
    outcome: u8,
}

impl Sample {
    /// Of a run; `None` while it lives.
    fn of(run: &Run) -> Option<Self> {
        let (outcome, ended) = (run.outcome?, run.ended_at?);
        // Of what was lost nobody knows how long it ran.
        let was_seen = !matches!(outcome, Outcome::Lost(_));
        let started = run.started_at.filter(|_| was_seen);
        let ran_ms = started.and_then(|start| u64::try_from(between(start, ended)).ok());
        let word = outcome.word();
        let place = OUTCOMES.iter().position(|known| *known == word);
        Some(Self {
            first_seq: run.first_seq,
            ended_seq: run.last_seq,
            created_at: run.created_at.0,
            ended_at: ended.0,
            ran_ms,
            outcome: place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX),
        })
    }

    /// Its word.
    pub(super) fn outcome(&self) -> Option<&'static str> {
        OUTCOMES.get(usize::from(self.outcome)).copied()
    }
}

impl Block {
    fn push(&mut self, sample: &Sample) {
        let (seq, ended_at) = self.last;
        self.steps.push(Step {
            seqs: sample.ended_seq.saturating_sub(seq),
            ended_ms: sample.ended_at.wrapping_sub(ended_at),
            life_seqs: sample.ended_seq.saturating_sub(sample.first_seq),
            life_ms: sample.ended_at.wrapping_sub(sample.created_at),
            ran_ms: sample.ran_ms,
            outcome: sample.outcome,
        });
        self.last = (sample.ended_seq, sample.ended_at);
    }

    /// Its runs, in the order of their ends.
    pub(super) fn samples(&self) -> impl Iterator<Item = Sample> + '_ {
        let (mut ended_seq, mut ended_at) = (0_u64, 0_i64);
        self.steps.iter().map(move |step| {
            ended_seq = ended_seq.saturating_add(step.seqs);
            ended_at = ended_at.wrapping_add(step.ended_ms);
            Sample {
                first_seq: ended_seq.saturating_sub(step.life_seqs),
                ended_seq,
                created_at: ended_at.wrapping_sub(step.life_ms),
                ended_at,
                ran_ms: step.ran_ms,
                outcome: step.outcome,
            }
        })
    }
}

/// name, 0, kind, labels, block.
fn key(run: &Run, block: u64) -> Vec<u8> {
    let labels = blake3::hash(&encode(&run.spec.labels));
    let labels = &labels.as_bytes()[..LABELS_BYTES];
    let name = run.spec.name.as_bytes();
    [name, &[0, kind_byte(run.spec.kind)], labels, &block.to_be_bytes()].concat()
}

fn kind_byte(kind: Kind) -> u8 {
    match kind {
        Kind::Job => 1,
        Kind::Batch => 2,
        Kind::Service => 3,
    }
}

fn kind_of(byte: u8) -> Option<Kind> {
    [Kind::Job, Kind::Batch, Kind::Service].into_iter().find(|kind| kind_byte(*kind) == byte)
}

/// Which rows are asked for.
pub(super) struct Series<'a> {
    /// All names start so.
    pub(super) prefix: &'a str,
    /// Whether a name fits.
    pub(super) name: &'a dyn Fn(&str) -> bool,
    /// Only this kind, by its word.
    pub(super) kind: Option<&'a str>,
    /// Only ends from this place of the log on.
    pub(super) from: u64,
}

impl Series<'_> {
    /// The name in a key, if the row is asked for.
    fn fits<'k>(&self, key: &'k [u8], records: u64) -> Result<Option<&'k str>, ViewsError> {
        let damaged = || ViewsError::damaged("a key of samples is no series");
        let end = key.len().checked_sub(KEY_TAIL).ok_or_else(damaged)?;
        let name = std::str::from_utf8(&key[..end]).map_err(|_| damaged())?;
        let kind = kind_of(key[end + 1]).ok_or_else(damaged)?;
        let block = key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes)).ok_or_else(damaged)?;
        let is_over = block.saturating_add(1).saturating_mul(records) <= self.from;
        let is_kind = self.kind.is_none_or(|word| kind_word(kind) == word);
        Ok(Some(name).filter(|name| is_kind && !is_over && (self.name)(name)))
    }
}

impl Views {
    /// Takes a run that has just ended.
    pub(super) fn sample(&mut self, run: &Run) -> Result<(), ViewsError> {
        let Some(sample) = Sample::of(run) else { return Ok(()) };
        let block = sample.ended_seq / self.pace.sample_records;
        let key = key(run, block);
        if !self.delta.samples.contains_key(&key) {
            // Of a block that began after the last flush the file has nothing.
            let may_be_kept = block * self.pace.sample_records <= self.flushed;
            let kept = if may_be_kept { self.store.get(Table::Samples, &key)? } else { None };
            let block = match kept {
                Some(row) => decode(Table::Samples, &row)?,
                None => Block { labels: run.spec.labels.clone(), ..Block::default() },
            };
            self.delta.samples.insert(key.clone(), block);
        }
        if let Some(block) = self.delta.samples.get_mut(&key) {
            block.push(&sample);
        }
        Ok(())
    }

    /// Hands over each row of some series, of each series in the order of the log.
    pub(super) fn each_block(
        &self,
        series: &Series<'_>,
        take: &mut dyn FnMut(&str, &Block),
    ) -> Result<(), ViewsError> {
        let records = self.pace.sample_records;
        // No name holds the byte 255: it is UTF-8.
        let end = [series.prefix.as_bytes(), &[0xff]].concat();
        let mut from = series.prefix.as_bytes().to_vec();
        loop {
            let rows = self.store.scan(Table::Samples, (&from, &end), Order::Ascending, CHUNK)?;
            for (key, row) in &rows {
                // What changed since the last flush is in memory as a whole.
                if self.delta.samples.contains_key(key) {
                    continue;
                }
                if let Some(name) = series.fits(key, records)? {
                    take(name, &decode(Table::Samples, row)?);
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == CHUNK => from = [key, &[0][..]].concat(),
                _ => break,
            }
        }
        let held = self.delta.samples.range(series.prefix.as_bytes().to_vec()..=end);
        for (key, block) in held {
            if let Some(name) = series.fits(key, records)? {
                take(name, block);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_whatever_the_clock_did() {
        let sample = |first_seq, ended_seq, created_at, ended_at| Sample {
            first_seq,
            ended_seq,
            created_at,
            ended_at,
            ran_ms: Some(7).filter(|_| ended_seq % 2 == 0),
            outcome: 1,
        };
        let samples = [
            sample(1, 9, 1_700_000_000_000, 1_700_000_000_500),
            sample(4, 10, 1_700_000_000_400, 1_699_000_000_000),
            sample(11, u64::MAX, i64::MIN, i64::MAX),
            sample(u64::MAX, u64::MAX, i64::MAX, i64::MIN),
        ];
        let mut block = Block::default();
        for sample in &samples {
            block.push(sample);
        }
        let again: Block = decode(Table::Samples, &encode(&block)).expect("decodes");
        assert_eq!(again.samples().collect::<Vec<_>>(), samples);
    }

    #[test]
    fn a_sample_is_small() {
        let mut block = Block::default();
        for n in 0..1_000_u64 {
            let ended_at = 1_700_000_000_000 + i64::try_from(n).expect("fits") * 900;
            let (first_seq, ended_seq, created_at) = (n * 5, n * 5 + 400, ended_at - 3_000);
            let ran_ms = Some(n % 1_900);
            block.push(&Sample { first_seq, ended_seq, created_at, ended_at, ran_ms, outcome: 0 });
        }
        let bytes = encode(&block).len();
        assert!(bytes < 16_000, "{bytes} bytes for 1,000 runs");
    }
}
