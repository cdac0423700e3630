//! `jr queue list`: queues that were set or used, and the default one.

use std::collections::BTreeSet;

use super::view::{List, QueueView};
use crate::model::{Phase, QueueName, State};

pub(super) fn queues(state: &State) -> List<QueueView> {
    let mut names: BTreeSet<&QueueName> = state.waits.queues.keys().collect();
    let default = QueueName::default_queue();
    names.insert(&default);
    let items = names.into_iter().map(|name| view(state, name)).collect();
    List { schema: "jr.queue/1".to_owned(), items }
}

fn view(state: &State, name: &QueueName) -> QueueView {
    let (mut running, mut queued, mut limit_set, mut paused) = (0, 0, false, false);
    if let Some(queue) = state.waits.queues.get(name) {
        limit_set = queue.limit.is_some();
        paused = queue.paused.is_some();
        queued = u32::try_from(queue.waiting.len()).unwrap_or(u32::MAX);
        // What is intended and has not begun still waits, for those who look.
        for run in queue.attempts.values().filter_map(|run| state.runs.get(run)) {
            let waits = run.shown_state() == Phase::Queued.word();
            *(if waits { &mut queued } else { &mut running }) += 1;
        }
    }
    QueueView {
        name: name.to_string(),
        limit: state.limit(name),
        limit_set,
        paused,
        running,
        queued,
    }
}
