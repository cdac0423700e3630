//! A disk in memory that forgets, tears and fails: what the log must survive.
//!
//! ```text
//! write ──▶ now (page cache: what reads see) ──sync──▶ durable (what a crash leaves)
//!              └──▶ pending (writes since the last sync)
//! ```
//!
//! * [`Disk::backend`] gives redb a backend. Any number can be open one after the other; a crash
//!   cuts off those from before it.
//! * [`Disk::crash`] is a power cut: of the pending writes any subset survives, in any order, each
//!   in pieces of 512 bytes. The same seed leaves the same bytes. Then the disk works again.
//! * [`Disk::kill`] is `kill -9`: the page cache survives as it is, synced or not.
//! * [`Disk::fail_at`] makes one call fail, counted over all calls to the backend from the last
//!   [`Disk::reset_calls`] on. With [`Fault::Eio`] on a sync, the pending writes count as clean
//!   afterwards: reads still see them, no later sync brings them to the disk (fsync(2) on Linux).
//! * [`Disk::down_at_sync`] lets the power fail inside the n-th sync: it and all that follows
//!   fail until [`Disk::crash`].
#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

/// What survives or is lost as one; disks promise no more.
const SECTOR: usize = 512;

/// A deterministic stream of numbers (splitmix64).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is above 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True `per_cent` times in a hundred.
    pub(crate) fn hits(&mut self, per_cent: u64) -> bool {
        self.below(100) < per_cent
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `EIO`.
    Eio,
    /// `ENOSPC`; only writes and growth can meet it, other calls work.
    Enospc,
    /// A write that stores its first half and then says `ENOSPC`; other calls work.
    ShortWrite,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    durable: Vec<u8>,
    now: Vec<u8>,
    pending: Vec<Change>,
    generation: u64,
    calls: u64,
    syncs: u64,
    fault: Option<(u64, Fault)>,
    down_at_sync: Option<u64>,
    down: bool,
    /// Syncs asked for after a sync failed: there must be none on one backend.
    syncs_after_failure: u64,
    sync_failed: bool,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl Disk {
    /// An empty disk.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A disk that holds those bytes, all of them durable.
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        let disk = Self::new();
        let mut state = disk.state();
        state.durable = bytes.to_vec();
        state.now = bytes.to_vec();
        drop(state);
        disk
    }

    /// What redb opens.
    pub(crate) fn backend(&self) -> Backend {
        let mut state = self.state();
        state.sync_failed = false;
        Backend { generation: state.generation, disk: self.clone() }
    }

    /// The page cache: what a reader beside the writer sees, and what `kill -9` leaves.
    pub(crate) fn image(&self) -> Arc<[u8]> {
        self.state().now.clone().into()
    }

    /// Calls since the last reset.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Syncs since the last reset.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Syncs asked for after one had failed; fsync must never be tried again.
    pub(crate) fn syncs_after_failure(&self) -> u64 {
        self.state().syncs_after_failure
    }

    /// Counts calls and syncs anew.
    pub(crate) fn reset_calls(&self) {
        let mut state = self.state();
        (state.calls, state.syncs) = (0, 0);
    }

    /// Lets the call with that number, from 0, fail.
    pub(crate) fn fail_at(&self, call: u64, fault: Fault) {
        self.state().fault = Some((call, fault));
    }

    /// Lets the power fail inside the sync with that number, from 0.
    pub(crate) fn down_at_sync(&self, sync: u64) {
        self.state().down_at_sync = Some(sync);
    }

    /// A power cut, and power again.
    pub(crate) fn crash(&self, seed: u64) {
        let mut state = self.state();
        let mut chance = Chance::new(seed);
        // How much survives differs from crash to crash: nothing, all, and anything between.
        let survives = [0, 20, 50, 80, 100][usize::try_from(chance.below(5)).expect("fits")];
        let mut pending = std::mem::take(&mut state.pending);
        for place in (1..pending.len()).rev() {
            let other = usize::try_from(chance.below(place as u64 + 1)).expect("fits");
            pending.swap(place, other);
        }
        for change in pending {
            match change {
                Change::Resize(len) if chance.hits(survives) => resize(&mut state.durable, len),
                Change::Resize(_) => {}
                Change::Write(offset, bytes) => {
                    state.tear(offset, &bytes, survives, &mut chance);
                }
            }
        }
        let State { now, durable, .. } = &mut *state;
        now.clone_from(durable);
        state.reboot();
    }

    /// The process dies; what it wrote stays in the page cache and is synced at leisure.
    pub(crate) fn kill(&self) {
        let mut state = self.state();
        state.generation += 1;
        state.fault = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tear(&mut self, offset: usize, bytes: &[u8], survives: u64, chance: &mut Chance) {
        for (place, sector) in bytes.chunks(SECTOR).enumerate() {
            if !chance.hits(survives) {
                continue;
            }
            let start = offset + place * SECTOR;
            let end = start + sector.len();
            if self.durable.len() < end {
                resize(&mut self.durable, end);
            }
            self.durable[start..end].copy_from_slice(sector);
        }
    }

    fn reboot(&mut self) {
        self.generation += 1;
        self.fault = None;
        self.down_at_sync = None;
        self.down = false;
        self.sync_failed = false;
    }

    /// Counts a call; what it is to fail with.
    fn call(&mut self, generation: u64) -> io::Result<Option<Fault>> {
        if self.down || generation != self.generation {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let call = self.calls;
        self.calls += 1;
        Ok(self.fault.filter(|(at, _)| *at == call).map(|(_, fault)| fault))
    }

    fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if self.now.len() < end {
            resize(&mut self.now, end);
        }
        self.now[offset..end].copy_from_slice(data);
        self.pending.push(Change::Write(offset, data.to_vec()));
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Resize(len) => resize(&mut self.durable, len),
                Change::Write(offset, bytes) => {
                    let end = offset + bytes.len();
                    if self.durable.len() < end {
                        resize(&mut self.durable, end);
                    }
                    self.durable[offset..end].copy_from_slice(&bytes);
                }
            }
        }
    }
}

/// As [`Vec::resize`] with zeros, which takes long without optimization.
fn resize(bytes: &mut Vec<u8>, len: usize) {
    match len.checked_sub(bytes.len()) {
        Some(more) => bytes.extend_from_slice(&vec![0; more]),
        None => bytes.truncate(len),
    }
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn fails(number: i32) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(number))
}

/// A file of the disk, as redb sees it.
#[derive(Debug)]
pub(crate) struct Backend {
    generation: u64,
    disk: Disk,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        match state.call(self.generation)? {
            Some(Fault::Eio) => fails(EIO).map(|()| 0),
            _ => Ok(state.now.len() as u64),
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.call(self.generation)? == Some(Fault::Eio) {
            return fails(EIO);
        }
        let start = usize::try_from(offset).expect("fits");
        let bytes = state.now.get(start..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let len = usize::try_from(len).expect("fits");
        match state.call(self.generation)? {
            Some(Fault::Eio) => return fails(EIO),
            Some(_) if len > state.now.len() => return fails(ENOSPC),
            _ => {}
        }
        resize(&mut state.now, len);
        state.pending.push(Change::Resize(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let fault = state.call(self.generation)?;
        let sync = state.syncs;
        state.syncs += 1;
        if state.sync_failed {
            state.syncs_after_failure += 1;
        }
        if state.down_at_sync == Some(sync) {
            state.down = true;
            return fails(EIO);
        }
        if fault == Some(Fault::Eio) {
            state.pending.clear();
            state.sync_failed = true;
            return fails(EIO);
        }
        state.sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        let offset = usize::try_from(offset).expect("fits");
        match state.call(self.generation)? {
            Some(Fault::Eio) => return fails(EIO),
            Some(Fault::Enospc) => return fails(ENOSPC),
            Some(Fault::ShortWrite) => {
                state.write(offset, &data[..data.len() / 2]);
                return fails(ENOSPC);
            }
            None => {}
        }
        state.write(offset, data);
        Ok(())
    }
}
