//! A directory on disks that forget and fail (`faulty.rs`): names, too, are durable only after a
//! sync of the directory.
//!
//! ```text
//! create, rename, remove ──▶ now ──sync──▶ durable
//!                              └──▶ pending: of it any part survives a power cut, in order
//! ```
//! * [`Shelf::down_at`] lets the power fail at one call of any file or of the directory; all that
//!   follows fails until [`Shelf::crash`] or [`Shelf::kill`].
//! * [`Shelf::fail_at`] lets one call fail; where the fault is about room, only a write or growth.
#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jr::log::Directory;
use jr::log::overlay::Base;
use redb::StorageBackend;

use super::faulty::{Backend, Chance, Disk, Fault};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// The directory. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    now: BTreeMap<String, Disk>,
    durable: BTreeMap<String, Disk>,
    pending: Vec<Change>,
    generation: u64,
    calls: u64,
    down_at: Option<u64>,
    fail_at: Option<(u64, Fault)>,
    down: bool,
}

#[derive(Clone, Debug)]
enum Change {
    Made(String, Disk),
    Renamed(String, String),
    Removed(String),
}

impl Shelf {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a store or reader is given.
    pub(crate) fn directory(&self) -> Arc<dyn Directory> {
        let generation = self.state().generation;
        Arc::new(View { shelf: self.clone(), generation })
    }

    /// Calls since the last reset.
    pub(crate) fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Counts calls anew; no fault is set.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        (state.calls, state.down_at, state.fail_at) = (0, None, None);
    }

    /// The power fails at that call, from 0.
    pub(crate) fn down_at(&self, call: u64) {
        self.state().down_at = Some(call);
    }

    /// That call fails, and no other.
    pub(crate) fn fail_at(&self, call: u64, fault: Fault) {
        self.state().fail_at = Some((call, fault));
    }

    /// The process dies; all that it wrote is there.
    pub(crate) fn kill(&self) {
        let mut state = self.state();
        state.generation += 1;
        (state.down, state.calls, state.down_at, state.fail_at) = (false, 0, None, None);
        state.now.values().for_each(Disk::kill);
    }

    /// A power cut, and power again.
    pub(crate) fn crash(&self, seed: u64) {
        let mut chance = Chance::new(seed);
        let mut state = self.state();
        let survives = [0, 30, 60, 100][usize::try_from(chance.below(4)).expect("fits")];
        let mut names = std::mem::take(&mut state.durable);
        for change in std::mem::take(&mut state.pending) {
            if chance.hits(survives) {
                change.apply(&mut names);
            }
        }
        for disk in names.values() {
            disk.crash(chance.next());
        }
        state.now.clone_from(&names);
        state.durable = names;
        state.generation += 1;
        (state.down, state.calls, state.down_at, state.fail_at) = (false, 0, None, None);
    }

    /// The names that are there.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().now.keys().cloned().collect()
    }

    /// The bytes of a file.
    pub(crate) fn image(&self, name: &str) -> Vec<u8> {
        self.state().now[name].image().to_vec()
    }

    /// Puts other bytes into a file, durably.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let disk = Disk::holding(bytes);
        let mut state = self.state();
        state.now.insert(name.to_owned(), disk.clone());
        state.durable.insert(name.to_owned(), disk);
    }
}

impl Change {
    fn apply(self, names: &mut BTreeMap<String, Disk>) {
        match self {
            Self::Made(name, disk) => drop(names.insert(name, disk)),
            Self::Removed(name) => drop(names.remove(&name)),
            Self::Renamed(from, to) => {
                if let Some(disk) = names.remove(&from) {
                    names.insert(to, disk);
                }
            }
        }
    }
}

impl State {
    fn call(&mut self, generation: u64) -> io::Result<Option<Fault>> {
        let call = self.calls;
        self.calls += 1;
        self.down |= self.down_at == Some(call);
        let fault = self.fail_at.filter(|(at, _)| *at == call).map(|(_, fault)| fault);
        if self.down || generation != self.generation || fault == Some(Fault::Eio) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        Ok(fault)
    }

    fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.now);
        self.pending.push(change);
    }
}

#[derive(Debug)]
struct View {
    shelf: Shelf,
    generation: u64,
}

impl View {
    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.shelf.state();
        state.call(self.generation)?;
        Ok(state)
    }

    fn disk(&self, name: &str) -> io::Result<Disk> {
        let state = self.call()?;
        state.now.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn backend(&self, disk: &Disk) -> Box<dyn StorageBackend> {
        let (shelf, generation, inner) = (self.shelf.clone(), self.generation, disk.backend());
        Box::new(File { shelf, generation, inner })
    }
}

impl Directory for View {
    fn path(&self) -> &Path {
        Path::new("shelf")
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.call()?.now.keys().cloned().collect())
    }

    fn base(&self, name: &str) -> io::Result<Box<dyn Base>> {
        Ok(Box::new(self.disk(name)?.image()))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        Ok(self.backend(&self.disk(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let disk = Disk::new();
        self.call()?.change(Change::Made(name.to_owned(), disk.clone()));
        Ok(self.backend(&disk))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.disk(name)?.image().to_vec())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let backend = self.create(name)?;
        backend.set_len(bytes.len() as u64)?;
        backend.write(0, bytes)?;
        backend.sync_data()
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(self.disk(name)?.image().to_vec().len() as u64)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.call()?;
        if !state.now.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.change(Change::Renamed(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call()?.change(Change::Removed(name.to_owned()));
        Ok(())
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        self.disk(name)?.backend().sync_data()
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.call()?;
        for change in std::mem::take(&mut state.pending) {
            change.apply(&mut state.durable);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct File {
    shelf: Shelf,
    generation: u64,
    inner: Backend,
}

impl File {
    fn call(&self) -> io::Result<Option<Fault>> {
        self.shelf.state().call(self.generation)
    }
}

impl StorageBackend for File {
    fn len(&self) -> io::Result<u64> {
        self.call()?;
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.call()?;
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.call()?.is_some() && len > self.inner.len()? {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.call()?;
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match self.call()? {
            None => return self.inner.write(offset, data),
            Some(Fault::ShortWrite) => self.inner.write(offset, &data[..data.len() / 2])?,
            Some(Fault::Enospc | Fault::Eio) => {}
        }
        Err(io::Error::from_raw_os_error(ENOSPC))
    }
}
