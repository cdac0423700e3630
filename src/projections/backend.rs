//! Backends of `views.redb`: one that never syncs, and bytes that stay as they are.

use std::fs::File;
use std::io;

use redb::StorageBackend;

use crate::log::overlay::Base;

/// Views are worth nothing that the log does not hold, so none of their writes waits for a disk.
///
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

/// What a reader finds where the views should lie; it never writes there.
#[derive(Debug)]
pub(super) enum Lying {
    /// Nothing, or nothing of use.
    Nothing,
    /// A file, opened for reading only.
    File(File),
}

impl Base for Lying {
    fn len(&self) -> io::Result<u64> {
        match self {
            Self::Nothing => Ok(0),
            Self::File(file) => Base::len(file),
        }
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Nothing => Err(io::ErrorKind::UnexpectedEof.into()),
            Self::File(file) => Base::read_at(file, offset, out),
        }
    }
}
