//! What became of the lines of a batch.

use super::view::BatchView;
use crate::model::state::Batch;
use crate::model::{Phase, RunId, State};

/// Counts the lines of a batch that lives in `state`.
pub(super) fn of_live(state: &State, batch: RunId) -> Option<BatchView> {
    state.batches.get(&batch).map(|batch| count(state, batch))
}

fn count(state: &State, batch: &Batch) -> BatchView {
    let (lines, failed, cancelled) = (batch.lines, batch.failed, batch.cancelled);
    let (mut queued, mut running, mut paused) = (0, 0, 0);
    for line in batch.open.values().filter_map(|line| state.runs.get(line)) {
        let waits = line.shown_state() == Phase::Queued.word() || line.phase == Phase::Delayed;
        if waits {
            queued += 1;
        } else if line.phase == Phase::Paused {
            paused += 1;
        } else {
            running += 1;
        }
    }
    let succeeded = lines.saturating_sub(queued + running + paused + failed + cancelled);
    BatchView { lines, queued, running, paused, succeeded, failed, cancelled }
}
