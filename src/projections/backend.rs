//! A backend that never syncs: views are worth nothing that the log does not hold.

use std::io;

use redb::StorageBackend;

/// Writes reach the kernel, so `kill -9` loses nothing; after a power cut the boot id differs and
/// the file is made anew.
#[derive(Debug)]
pub struct NoSync<B>(pub B);

impl<B: StorageBackend> StorageBackend for NoSync<B> {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.0.close()
    }
}
