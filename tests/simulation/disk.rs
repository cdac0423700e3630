//! Where the events are: what survives a death of the daemon, and what may not.

use jr::model::Envelope;

use super::chance::Chance;

/// A commit failed. Whether its events are there, only reading tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unknown;

/// The durable log as the daemon sees it.
pub(crate) trait Disk {
    /// Begins to write a group of events.
    fn begin(&mut self, group: Vec<Envelope>);
    /// The group is durable, or its outcome is unknown and the daemon has to read again.
    fn finish(&mut self, fails: bool, chance: &mut Chance) -> Result<(), Unknown>;
    /// The daemon is gone, in the middle of whatever it did; `power`: the machine with it.
    fn crash(&mut self, power: bool, chance: &mut Chance);
    /// Opens and reads everything.
    fn read(&mut self) -> Result<Vec<Envelope>, String>;
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

    fn crash(&mut self, _: bool, chance: &mut Chance) {
        let in_flight = self.in_flight.take();
        if chance.one_in(2) {
            self.durable.extend(in_flight.into_iter().flatten());
        }
    }

    fn read(&mut self) -> Result<Vec<Envelope>, String> {
        Ok(self.durable.clone())
    }
}
