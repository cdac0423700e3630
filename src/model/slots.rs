//! The slots of queues beside the shims: what is given ahead begins as soon as another has ended,
//! without a word to the engine between them.
//!
//! The engine gives the attempts of a queue in order, a few more than it has slots. Who begins
//! when is decided here, by the limit that came with the latest of them. Memory of one daemon:
//! what waits here when it dies was never claimed, and goes back to its queue.

use std::collections::{BTreeMap, BTreeSet};

use super::id::{QueueName, RunId};

/// A run and its attempt.
type Key = (RunId, u32);

/// Where an attempt gets its slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The queue.
    pub queue: QueueName,
    /// How many slots it has.
    pub limit: u32,
    /// Its place in the queue: the seq of its admission.
    pub place: u64,
}

/// Starts that wait for a slot, and who has one.
#[derive(Clone, Debug)]
pub struct Slots<T> {
    lines: BTreeMap<QueueName, Line<T>>,
    queues: BTreeMap<Key, QueueName>,
}

#[derive(Clone, Debug)]
struct Line<T> {
    limit: u32,
    taken: BTreeSet<Key>,
    /// By their places: what comes back to its queue passes who came later.
    waiting: BTreeMap<u64, (Key, T)>,
}

impl<T> Slots<T> {
    /// None taken.
    pub fn new() -> Self {
        Self { lines: BTreeMap::new(), queues: BTreeMap::new() }
    }

    /// An attempt that an earlier daemon gave to a shim.
    pub fn occupy(&mut self, key: Key, queue: QueueName) {
        self.line(&queue).taken.insert(key);
        self.queues.insert(key, queue);
    }

    /// A start that is to begin with the next slot. Idempotent.
    pub fn offer(&mut self, key: Key, slot: Slot, start: T) {
        let is_new = !self.queues.contains_key(&key);
        let line = self.line(&slot.queue);
        line.limit = slot.limit;
        if is_new {
            line.waiting.insert(slot.place, (key, start));
            self.queues.insert(key, slot.queue);
        }
    }

    /// The queue has so many slots from now on; 0 while it is paused.
    pub fn resize(&mut self, queue: &QueueName, limit: u32) {
        if let Some(line) = self.lines.get_mut(queue) {
            line.limit = limit;
        }
    }

    /// The attempt is over, or is not to begin. Idempotent.
    pub fn free(&mut self, key: Key) {
        let Some(queue) = self.queues.remove(&key) else { return };
        let Some(line) = self.lines.get_mut(&queue) else { return };
        if !line.taken.remove(&key) {
            line.waiting.retain(|_, (waiting, _)| *waiting != key);
        }
        if line.taken.is_empty() && line.waiting.is_empty() {
            self.lines.remove(&queue);
        }
    }

    /// Whether it was given and has no slot yet.
    pub fn holds_back(&self, key: Key) -> bool {
        let line = self.queues.get(&key).and_then(|queue| self.lines.get(queue));
        line.is_some_and(|line| !line.taken.contains(&key))
    }

    /// The next start that has a slot; from here on it is its own.
    pub fn take_next(&mut self) -> Option<T> {
        let has_room = |line: &&mut Line<T>| (line.taken.len() as u64) < u64::from(line.limit);
        let mut lines = self.lines.values_mut().filter(has_room);
        lines.find_map(|line| {
            let (_, (key, start)) = line.waiting.pop_first()?;
            line.taken.insert(key);
            Some(start)
        })
    }

    /// The line of a queue; a new one has no slots yet.
    fn line(&mut self, queue: &QueueName) -> &mut Line<T> {
        let empty = || Line { limit: 0, taken: BTreeSet::new(), waiting: BTreeMap::new() };
        self.lines.entry(queue.clone()).or_insert_with(empty)
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        (RunId::from_chance(u64::from(number)), 1)
    }

    fn queue(name: &str) -> QueueName {
        name.parse().expect("a name")
    }

    fn offer(slots: &mut Slots<u8>, name: &str, limit: u32, number: u8) {
        let slot = Slot { queue: queue(name), limit, place: u64::from(number) };
        slots.offer(key(number), slot, number);
    }

    fn begun(slots: &mut Slots<u8>) -> Vec<u8> {
        std::iter::from_fn(|| slots.take_next()).collect()
    }

    fn filled() -> Slots<u8> {
        let mut slots = Slots::new();
        for number in 1..=5 {
            offer(&mut slots, "a", 2, number);
        }
        slots
    }

    #[test]
    fn what_waits_begins_in_order_as_others_end() {
        let mut slots = filled();
        assert_eq!(begun(&mut slots), [1, 2]);
        slots.free(key(2));
        assert_eq!(begun(&mut slots), [3]);
        slots.free(key(2));
        assert_eq!(begun(&mut slots), [0_u8; 0], "an end counts once");
        slots.free(key(1));
        slots.free(key(3));
        assert_eq!(begun(&mut slots), [4, 5]);
    }

    #[test]
    fn queues_do_not_wait_for_each_other() {
        let mut slots = filled();
        offer(&mut slots, "b", 1, 9);
        assert_eq!(begun(&mut slots), [1, 2, 9]);
    }

    #[test]
    fn what_comes_back_passes_who_came_later() {
        let mut slots = Slots::new();
        for number in 2..=4 {
            offer(&mut slots, "a", 1, number);
        }
        assert_eq!(begun(&mut slots), [2]);
        offer(&mut slots, "a", 1, 1);
        slots.free(key(2));
        assert_eq!(begun(&mut slots), [1]);
    }

    #[test]
    fn what_is_withdrawn_never_begins() {
        let mut slots = filled();
        assert_eq!(begun(&mut slots), [1, 2]);
        assert!(slots.holds_back(key(3)) && !slots.holds_back(key(1)));
        slots.free(key(3));
        slots.free(key(1));
        assert_eq!(begun(&mut slots), [4]);
    }

    #[test]
    fn a_start_that_comes_twice_begins_once() {
        let mut slots = filled();
        offer(&mut slots, "a", 2, 1);
        assert_eq!(begun(&mut slots), [1, 2]);
        offer(&mut slots, "a", 3, 2);
        assert_eq!(begun(&mut slots), [3], "but its limit is the newest");
    }

    #[test]
    fn a_lower_limit_holds_back_and_a_higher_one_lets_go() {
        let mut slots = filled();
        assert_eq!(begun(&mut slots), [1, 2]);
        slots.resize(&queue("a"), 1);
        slots.free(key(1));
        assert_eq!(begun(&mut slots), [0_u8; 0]);
        slots.resize(&queue("a"), 0);
        slots.free(key(2));
        assert_eq!(begun(&mut slots), [0_u8; 0], "it is paused");
        slots.resize(&queue("a"), 8);
        assert_eq!(begun(&mut slots), [3, 4, 5]);
    }

    #[test]
    fn what_an_earlier_daemon_started_has_its_slot() {
        let mut slots = Slots::new();
        slots.occupy(key(7), queue("a"));
        offer(&mut slots, "a", 1, 1);
        assert_eq!(begun(&mut slots), [0_u8; 0]);
        slots.free(key(7));
        assert_eq!(begun(&mut slots), [1]);
    }

    #[test]
    fn nothing_is_kept_of_what_is_over() {
        let mut slots = filled();
        while slots.take_next().is_some() {}
        for number in 1..=5 {
            slots.free(key(number));
            slots.take_next();
        }
        assert!(slots.lines.is_empty() && slots.queues.is_empty());
    }
}
