//! The real log, in segments that are sealed and pruned, on a disk that fails and forgets
//! (`support/faulty_directory.rs`).

use std::collections::BTreeSet;
use std::path::Path;

use jr::daemon::prune::{PruneError, plan};
use jr::log::verify::verify_records;
use jr::log::{LogError, Reader, SegmentHeader, Store, prune, snapshot};
use jr::model::{Envelope, Pruned, Pruning, RunId, State};

use super::chance::Chance;
use super::disk::{Disk, Held, Unknown};
use super::faulty::Fault;
use super::faulty_directory::Shelf;

/// Events of a segment: sealing happens often.
const SEGMENT_EVENTS: u64 = 24;
/// A commit makes about so many calls to the backend.
const CALLS: u64 = 24;
/// Sealing makes about so many, and pruning.
const SEAL_CALLS: u64 = 60;
const PRUNE_CALLS: u64 = 400;

/// [`Store`] on a shelf. Every death is in the middle of a commit if one had begun.
#[derive(Debug)]
pub(crate) struct StoreDisk {
    shelf: Shelf,
    store: Option<Store>,
    in_flight: Option<Vec<Envelope>>,
}

impl StoreDisk {
    /// A new log, durable.
    pub(crate) fn new() -> Self {
        let shelf = Shelf::default();
        let header = SegmentHeader::first("local".parse().expect("a name"));
        let store = Store::create_in(shelf.directory(), &header, &[]);
        drop(store.expect("an empty disk takes a log"));
        Self { shelf, store: None, in_flight: None }
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().expect("a daemon that lives has opened it")
    }

    fn append(&mut self, group: &[Envelope]) -> Result<(), Unknown> {
        self.store().append(group).map(|_| ()).map_err(|_| Unknown)
    }

    /// From one of the next calls on nothing works any more; or from none of these.
    fn die_soon(&self, calls: u64, chance: &mut Chance) {
        self.shelf.reset();
        self.shelf.down_at(chance.below(calls));
    }

    fn open(&mut self) -> Result<Store, String> {
        Store::open_in(self.shelf.directory(), 1)
            .map_err(|error| format!("law 1: the log does not open: {error}"))
    }

    fn seal_now(&mut self, state: &State) -> Result<(), Unknown> {
        let bytes = snapshot::encode(state);
        let sealed = self.store().seal(&bytes);
        // Without a new segment the old one goes on.
        if sealed.is_err() && self.store().is_poisoned() { Err(Unknown) } else { Ok(()) }
    }

    fn prune_log(
        reader: &Reader,
        pruning: &Pruning,
        kept: &dyn Fn(&BTreeSet<RunId>, u64) -> BTreeSet<RunId>,
    ) -> Result<Pruned, PruneError> {
        let cut = match reader.floor() {
            Some(floor) if floor.request == pruning.request => {
                prune::Cut { before: floor.seq, kept: floor.kept.clone(), hidden: None }
            }
            _ => {
                let (cut, state) = plan(reader, pruning, |named, before| Ok(kept(named, before)))?;
                prune::lower(reader, cut.floor(reader, pruning.request, state)?)?;
                cut
            }
        };
        let mut pruned = Pruned { before: pruning.before, ..Pruned::default() };
        for first_seq in prune::segments_before(reader, cut.before) {
            if prune::is_hot(reader, first_seq) {
                continue;
            }
            let taken = prune::rewrite(reader, first_seq, &cut, &mut |_| {}, &mut || true)?;
            pruned.runs += taken.map_or(0, |taken| taken.runs);
        }
        Ok(pruned)
    }
}

impl Disk for StoreDisk {
    fn begin(&mut self, group: Vec<Envelope>) {
        self.in_flight = Some(group);
    }

    fn finish(&mut self, fails: bool, chance: &mut Chance) -> Result<(), Unknown> {
        let group = self.in_flight.take().expect("it was begun");
        self.shelf.reset();
        if fails {
            let faults = [Fault::Eio, Fault::Enospc, Fault::ShortWrite];
            let fault = chance.pick(&faults).expect("one of three");
            self.shelf.fail_at(chance.below(CALLS), fault);
        }
        let result = self.append(&group);
        self.shelf.reset();
        result
    }

    fn is_long(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.hot_records() >= SEGMENT_EVENTS)
    }

    fn seal(&mut self, state: &State, dies: bool, chance: &mut Chance) -> Result<(), Unknown> {
        if dies {
            self.die_soon(SEAL_CALLS, chance);
        }
        let sealed = self.seal_now(state);
        if dies { Err(Unknown) } else { sealed }
    }

    fn prune(
        &mut self,
        pruning: &Pruning,
        head: &State,
        kept: &dyn Fn(&BTreeSet<RunId>, u64) -> BTreeSet<RunId>,
        dies: bool,
        chance: &mut Chance,
    ) -> Result<Pruned, Unknown> {
        if dies {
            self.die_soon(PRUNE_CALLS, chance);
        }
        if chance.one_in(2) {
            self.seal_now(head)?;
        }
        let reader = self.store().reader();
        match Self::prune_log(&reader, pruning, kept) {
            _ if dies => Err(Unknown),
            Ok(pruned) => Ok(pruned),
            Err(error) => {
                let (before, error) = (pruning.before, Some(error.to_string()));
                Ok(Pruned { before, error, ..Pruned::default() })
            }
        }
    }

    fn crash(&mut self, power: bool, chance: &mut Chance) {
        if let Some(group) = self.in_flight.take() {
            self.die_soon(CALLS, chance);
            // Nobody is told, whatever comes of it.
            let (Ok(()) | Err(Unknown)) = self.append(&group);
        }
        if power {
            self.shelf.crash(chance.next());
        } else {
            self.shelf.kill();
        }
        drop(self.store.take());
        if power && chance.one_in(3) {
            // The power fails again while the next one opens.
            self.die_soon(SEAL_CALLS, chance);
            drop(self.open());
            self.shelf.crash(chance.next());
        }
    }

    fn read(&mut self) -> Result<Held, String> {
        let law_8 = |error: LogError| format!("law 8: {error}");
        let reader = Reader::open_in(self.shelf.directory()).map_err(law_8)?;
        verify_records(&reader).map_err(law_8)?;
        drop(reader);
        let store = self.open()?;
        let reader = store.reader();
        let first = reader.kept_from();
        let saved = reader.snapshot_before(first).map_err(law_8)?;
        let mut held = Held {
            state: snapshot::decode(Path::new("shelf"), &saved.bytes).map_err(law_8)?,
            runs: reader.floor().map(|floor| floor.kept.clone()).unwrap_or_default(),
            ..Held::default()
        };
        let events = reader.events(first).map_err(law_8)?;
        held.events = events.collect::<Result<Vec<_>, _>>().map_err(law_8)?;
        prune::each_whole(&reader, first, &mut |_, envelope| {
            if envelope.event.run().is_some_and(|run| held.runs.contains(&run)) {
                held.kept.push(envelope);
            }
            true
        })
        .map_err(law_8)?;
        self.store = Some(store);
        Ok(held)
    }
}
