//! For how long attempts were held: what `RunPaused` and `RunUnpaused` add up to; and batches, by
//! what was done to their queues.

use std::collections::BTreeMap;

use crate::model::{Envelope, Event, Run, RunId, UnixMillis};
use crate::projections::run_view::between;

/// Pauses of runs that live, as far as they came after a place of the log.
#[derive(Debug, Default)]
pub(in crate::projections) struct Paused {
    /// Of runs that were admitted later everything is known.
    pub(in crate::projections) since: u64,
    runs: BTreeMap<RunId, Held>,
}

/// The pauses of one attempt.
#[derive(Clone, Copy, Debug)]
struct Held {
    attempt: u32,
    /// Of those that are over.
    length_ms: i64,
    /// Of the one that is not.
    began: Option<UnixMillis>,
}

impl Held {
    fn length_until(&self, now: UnixMillis) -> i64 {
        self.length_ms.saturating_add(self.began.map_or(0, |began| between(began, now)))
    }
}

impl Paused {
    /// Takes the next record.
    pub(in crate::projections) fn take(&mut self, envelope: &Envelope) {
        if let Event::RunPaused { run, attempt, .. } = &envelope.event {
            let none = Held { attempt: *attempt, length_ms: 0, began: None };
            let held = self.runs.entry(*run).or_insert(none);
            if held.attempt != *attempt {
                *held = none;
            }
            held.began = Some(envelope.time);
        } else if let Event::RunUnpaused { run, .. } = &envelope.event {
            if let Some(held) = self.runs.get_mut(run)
                && let Some(began) = held.began.take()
            {
                let length_ms = between(began, envelope.time);
                held.length_ms = held.length_ms.saturating_add(length_ms);
            }
        } else if let Some(batch) = envelope.event.held_batch() {
            self.take_batch(batch, envelope);
        } else if let Event::RunEnded { run, .. } = &envelope.event {
            self.runs.remove(run);
        }
    }

    fn take_batch(&mut self, batch: RunId, envelope: &Envelope) {
        let none = Held { attempt: 0, length_ms: 0, began: None };
        let held = self.runs.entry(batch).or_insert(none);
        held.length_ms = held.length_until(envelope.time);
        let is_pause = matches!(envelope.event, Event::QueuePaused { .. });
        held.began = is_pause.then_some(envelope.time);
    }

    /// For how long a batch that lives was held until now.
    pub(in crate::projections) fn batch_length_ms(&self, batch: RunId, now: UnixMillis) -> i64 {
        self.runs.get(&batch).map_or(0, |held| held.length_until(now))
    }

    /// For how long the attempt of a run that lives was held until now.
    pub(in crate::projections) fn length_ms(&self, run: &Run, now: UnixMillis) -> i64 {
        let held = self.runs.get(&run.id).filter(|held| held.attempt == run.attempt);
        let Some(held) = held else { return 0 };
        let began = held.began.filter(|_| run.paused_by.is_some());
        held.length_ms.saturating_add(began.map_or(0, |began| between(began, now)))
    }
}
