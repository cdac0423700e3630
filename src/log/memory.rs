//! A directory in memory, for a log that lives as long as its process.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::StorageBackend;

use super::directory::Directory;
use super::overlay::Base;

/// What messages call it.
const PATH: &str = "<memory>";

/// Files that are gone with the last hold on them.
#[derive(Debug, Default)]
pub struct MemoryFolder(Mutex<BTreeMap<String, Bytes>>);

/// A file. Clones are the same one: who has it open keeps it when its name is gone or goes over to
/// another.
#[derive(Clone, Debug, Default)]
struct Bytes(Arc<RwLock<Vec<u8>>>);

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        Self(Arc::new(RwLock::new(bytes.to_vec())))
    }

    fn copy(&self) -> Vec<u8> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self) -> u64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn take(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let there = from.checked_add(out.len()).and_then(|to| bytes.get(from..to));
        out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Base for Bytes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.count())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.take(offset, out)
    }
}

impl StorageBackend for Bytes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.count())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.take(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(more) = len.checked_sub(bytes.len()) {
            bytes.try_reserve(more).map_err(io::Error::other)?;
        }
        bytes.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let there = from.checked_add(data.len()).and_then(|to| bytes.get_mut(from..to));
        there.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}

impl MemoryFolder {
    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, name: &str) -> io::Result<Bytes> {
        Ok(self.files().get(name).cloned().ok_or(io::ErrorKind::NotFound)?)
    }
}

impl Directory for MemoryFolder {
    fn path(&self) -> &Path {
        Path::new(PATH)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.files().keys().cloned().collect())
    }

    fn base(&self, name: &str) -> io::Result<Box<dyn Base>> {
        Ok(Box::new(self.file(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.file(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        let file = Bytes::default();
        self.files().insert(name.to_owned(), file.clone());
        Ok(Box::new(file))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.file(name)?.copy())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.files().insert(name.to_owned(), Bytes::of(bytes));
        Ok(())
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(self.file(name)?.count())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(self.files().remove(name).map(drop).ok_or(io::ErrorKind::NotFound)?)
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        self.file(name).map(drop)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{SegmentHeader, Store, verify};
    use super::*;
    use crate::model::event::DaemonStopReason;
    use crate::model::{Envelope, Event, UnixMillis};

    fn event(seq: u64) -> Envelope {
        let event = Event::DaemonStopped { reason: DaemonStopReason::Asked };
        Envelope { seq, time: UnixMillis(0), cause: None, event }
    }

    #[test]
    fn a_log_in_memory_is_sealed_and_read_like_one_on_disk() {
        let folder: Arc<dyn Directory> = Arc::new(MemoryFolder::default());
        let header = SegmentHeader::first("local".parse().expect("a name"));
        let mut store = Store::create_in(Arc::clone(&folder), &header, &[]).expect("made");
        for seq in 1..=20 {
            store.append(&[event(seq)]).expect("appended");
            if seq % 5 == 0 {
                store.seal(b"the state").expect("sealed");
            }
        }
        let reader = store.reader();
        let seqs: Vec<u64> = reader.events(1).expect("readable").flatten().map(|e| e.seq).collect();
        assert_eq!(seqs, (1..=20).collect::<Vec<u64>>());
        assert_eq!(verify::verify_records(&reader).expect("whole").records, 20);
        drop(store);
        drop(reader);
        let again = Store::open_in(folder, 1).expect("opens");
        assert_eq!(again.head().seq, 20);
    }

    #[test]
    fn what_is_open_stays_when_its_name_goes() {
        let folder = MemoryFolder::default();
        folder.write("a", b"old").expect("written");
        let open = folder.base("a").expect("there");
        folder.write("b", b"new").expect("written");
        folder.rename("b", "a").expect("renamed");
        let mut bytes = [0; 3];
        open.read_at(0, &mut bytes).expect("kept");
        assert_eq!((&bytes, folder.read("a").expect("there").as_slice()), (b"old", &b"new"[..]));
        assert!(open.read_at(1, &mut bytes).is_err());
        folder.remove("a").expect("there");
        assert_eq!(folder.remove("a").map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    }
}
