//! Where the events are: what survives a death of the daemon, and what may not.

use std::collections::BTreeSet;

use jr::model::{Envelope, Pruned, Pruning, RunId, State};

use super::chance::Chance;

/// What was being done failed. Whether it is there, only reading tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unknown;

/// What a new daemon finds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held {
    /// The state before the history that is kept.
    pub(crate) state: State,
    /// That history.
    pub(crate) events: Vec<Envelope>,
    /// Runs that keep their records before it.
    pub(crate) runs: BTreeSet<RunId>,
    /// Those records.
    pub(crate) kept: Vec<Envelope>,
}

/// The durable log as the daemon sees it.
pub(crate) trait Disk {
    /// Begins to write a group of events.
    fn begin(&mut self, group: Vec<Envelope>);
    /// The group is durable, or its outcome is unknown and the daemon has to read again.
    fn finish(&mut self, fails: bool, chance: &mut Chance) -> Result<(), Unknown>;
    /// Whether a segment has grown long enough.
    fn is_long(&self) -> bool {
        false
    }
    /// Begins the next segment; with `dies` the daemon does so somewhere in between.
    fn seal(&mut self, state: &State, dies: bool, chance: &mut Chance) -> Result<(), Unknown> {
        let (_state, _dies, _chance) = (state, dies, chance);
        Ok(())
    }
    /// Prunes; `kept` of what was named there stays. With `dies` somewhere in between.
    fn prune(
        &mut self,
        pruning: &Pruning,
        head: &State,
        kept: &dyn Fn(&BTreeSet<RunId>, u64) -> BTreeSet<RunId>,
        dies: bool,
        chance: &mut Chance,
    ) -> Result<Pruned, Unknown>;
    /// The daemon is gone, in the middle of whatever it did; `power`: the machine with it.
    fn crash(&mut self, power: bool, chance: &mut Chance);
    /// Opens and reads everything.
    fn read(&mut self) -> Result<Held, String>;
}

/// The simplest thing that can be true: groups are atomic, finished ones stay.
#[derive(Debug, Default)]
pub(crate) struct MemoryDisk {
    durable: Vec<Envelope>,
    in_flight: Option<Vec<Envelope>>,
}

impl Disk for MemoryDisk {
    fn begin(&mut self, group: Vec<Envelope>) {
        self.in_flight = Some(group);
    }

    fn finish(&mut self, fails: bool, _: &mut Chance) -> Result<(), Unknown> {
        if fails {
            return Err(Unknown);
        }
        self.durable.extend(self.in_flight.take().into_iter().flatten());
        Ok(())
    }

    fn prune(
        &mut self,
        pruning: &Pruning,
        _: &State,
        _: &dyn Fn(&BTreeSet<RunId>, u64) -> BTreeSet<RunId>,
        dies: bool,
        _: &mut Chance,
    ) -> Result<Pruned, Unknown> {
        let before = pruning.before;
        if dies { Err(Unknown) } else { Ok(Pruned { before, ..Pruned::default() }) }
    }

    fn crash(&mut self, _: bool, chance: &mut Chance) {
        let in_flight = self.in_flight.take();
        if chance.one_in(2) {
            self.durable.extend(in_flight.into_iter().flatten());
        }
    }

    fn read(&mut self) -> Result<Held, String> {
        Ok(Held { events: self.durable.clone(), ..Held::default() })
    }
}
