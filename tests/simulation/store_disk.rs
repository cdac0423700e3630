//! The real log on a disk that fails and forgets (`support/faulty.rs`).

use std::path::Path;

use jr::log::verify::verify_records;
use jr::log::{Reader, SegmentHeader, Store};
use jr::model::Envelope;

use super::chance::Chance;
use super::disk::{Disk, Unknown};
use super::faulty::{Disk as Platter, Fault};

const FILE: &str = "00000000000000000001.redb";
/// A commit makes about so many calls to the backend, and at most so many syncs.
const CALLS: u64 = 24;
const SYNCS: u64 = 3;
/// Later than any call: no fault.
const NEVER: u64 = u64::MAX;

/// [`Store`] on a platter. Every death is in the middle of a commit if one had begun.
#[derive(Debug)]
pub(crate) struct StoreDisk {
    platter: Platter,
    store: Option<Store>,
    in_flight: Option<Vec<Envelope>>,
}

impl StoreDisk {
    /// A new log, durable.
    pub(crate) fn new() -> Self {
        let platter = Platter::new();
        let header = SegmentHeader::first("local".parse().expect("a name"));
        let store = Store::create_on(Path::new(FILE), platter.backend(), &header, &[]);
        drop(store.expect("an empty disk takes a log"));
        Self { platter, store: None, in_flight: None }
    }

    fn append(&mut self, group: &[Envelope]) -> Result<(), Unknown> {
        let store = self.store.as_mut().expect("a daemon that lives has opened it");
        store.append(group).map(|_| ()).map_err(|_| Unknown)
    }

    /// Lets one of the next calls fail; or none, if the commit makes fewer.
    fn fail_soon(&self, chance: &mut Chance) {
        let faults = [Fault::Eio, Fault::Enospc, Fault::ShortWrite];
        let fault = chance.pick(&faults).expect("one of three");
        self.platter.reset_calls();
        self.platter.fail_at(chance.below(CALLS), fault);
    }

    fn open(&mut self) -> Result<Store, String> {
        Store::open_on(Path::new(FILE), self.platter.backend(), 1)
            .map_err(|error| format!("law 1: the log does not open: {error}"))
    }
}

impl Disk for StoreDisk {
    fn begin(&mut self, group: Vec<Envelope>) {
        self.in_flight = Some(group);
    }

    fn finish(&mut self, fails: bool, chance: &mut Chance) -> Result<(), Unknown> {
        let group = self.in_flight.take().expect("it was begun");
        if fails {
            self.fail_soon(chance);
        }
        let result = self.append(&group);
        self.platter.fail_at(NEVER, Fault::Eio);
        result
    }

    fn crash(&mut self, power: bool, chance: &mut Chance) {
        if let Some(group) = self.in_flight.take() {
            self.platter.reset_calls();
            if power {
                self.platter.down_at_sync(chance.below(SYNCS));
            } else {
                self.platter.fail_at(chance.below(CALLS), Fault::Eio);
            }
            // Nobody is told, whatever comes of it.
            let (Ok(()) | Err(Unknown)) = self.append(&group);
        }
        self.platter.kill();
        drop(self.store.take());
        if power {
            self.platter.crash(chance.next());
            if chance.one_in(3) {
                // The power fails again while the next one opens.
                self.platter.reset_calls();
                self.platter.down_at_sync(chance.below(SYNCS));
                drop(self.open());
                self.platter.crash(chance.next());
            }
        }
    }

    fn read(&mut self) -> Result<Vec<Envelope>, String> {
        let image = self.platter.image();
        let reader = Reader::over(Path::new(FILE), image).map_err(|error| error.to_string())?;
        verify_records(&reader).map_err(|error| format!("law 8: {error}"))?;
        let store = self.open()?;
        let events = store.reader().events(1).map_err(|error| error.to_string())?;
        let events = events.collect::<Result<Vec<_>, _>>();
        self.store = Some(store);
        events.map_err(|error| format!("law 8: {error}"))
    }
}
