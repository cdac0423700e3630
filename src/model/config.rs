//! The configuration that an environment works under, as far as decisions rest on it. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::action::Reply;
use super::decide::Decision;
use super::digest::Digest;
use super::event::Event;
use super::id::QueueName;
use super::state::State;

/// What the files of a command, or of the environment, said together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// The blob with all of it; `None` is what jr brings along.
    pub config: Option<Digest>,
    /// The files, from low to high priority.
    pub sources: Vec<ConfigSource>,
    /// Slots of the queues that it declares.
    pub queues: BTreeMap<QueueName, u32>,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSource {
    /// Its path.
    pub name: String,
    /// blake3 of its bytes.
    pub digest: Digest,
}

/// What is in force of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The blob.
    pub config: Option<Digest>,
    /// What it declares: a limit that somebody set since stays until the file says another.
    pub queues: BTreeMap<QueueName, u32>,
    /// The latest rejection since, so that the same is not told twice.
    pub rejected: Option<(String, String)>,
}

impl InForce {
    /// What it says is in force.
    pub(super) fn of(resolution: &Resolution) -> Self {
        let Resolution { config, queues, .. } = resolution.clone();
        Self { config, queues, rejected: None }
    }

    /// The files say something else by now, which cannot be used.
    pub(super) fn note(&mut self, source: &str, reason: &str) {
        self.rejected = Some((source.to_owned(), reason.to_owned()));
    }
}

/// Puts a resolution in force; the same once more changes nothing.
pub(super) fn configure(state: &State, resolution: &Resolution) -> Decision {
    let before = &state.config;
    let mut events = Vec::new();
    if before.config != resolution.config || before.rejected.is_some() {
        events.push(Event::ConfigResolved { resolution: resolution.clone() });
    }
    for (queue, limit) in &resolution.queues {
        let declares_another = before.queues.get(queue) != Some(limit);
        let limit = (*limit).max(1);
        if !events.is_empty() && declares_another && state.limit(queue) != limit {
            events.push(Event::QueueSet { queue: queue.clone(), limit });
        }
    }
    Decision { events, reply: Reply::Done }
}

/// Files that changed and cannot be used: what was in force stays.
pub(super) fn reject(state: &State, source: &str, reason: &str) -> Vec<Event> {
    let rejected = (source.to_owned(), reason.to_owned());
    if state.config.rejected.as_ref() == Some(&rejected) {
        return Vec::new();
    }
    let (source, reason) = rejected;
    vec![Event::ConfigRejected { source, reason }]
}
