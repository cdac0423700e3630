//! Where the files of a log lie: a directory, or what a test puts in its place.
//!
//! What is written here is durable only after its own sync; that a name exists, is renamed or is
//! gone only after [`Directory::sync`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::atomic;
use super::overlay::Base;
use crate::sys::regular;

/// The files of a log, by name.
pub trait Directory: Send + Sync + std::fmt::Debug + 'static {
    /// What messages call it.
    fn path(&self) -> &Path;
    /// All names, in any order.
    fn names(&self) -> io::Result<Vec<String>>;
    /// A file's bytes, for reading only.
    fn base(&self, name: &str) -> io::Result<Box<dyn Base>>;
    /// A file, for writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>>;
    /// A new empty file, in place of a left-over one.
    fn create(&self, name: &str) -> io::Result<Box<dyn StorageBackend>>;
    /// All of a small file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Writes a small file and syncs it.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Bytes of a file.
    fn size(&self, name: &str) -> io::Result<u64>;
    /// Gives a file another name, in place of what has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the bytes of a file durable.
    fn sync_file(&self, name: &str) -> io::Result<()>;
    /// Makes all names durable.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the file system.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// That one.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Directory for Folder {
    fn path(&self) -> &Path {
        &self.0
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn base(&self, name: &str) -> io::Result<Box<dyn Base>> {
        Ok(Box::new(regular::open(&self.at(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        backend(regular::open_with(OpenOptions::new().read(true).write(true), &self.at(name))?)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        backend(atomic::create_private(&self.at(name))?)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        regular::open(&self.at(name))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = atomic::create_private(&self.at(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.at(name))?.len())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name))
    }

    fn sync_file(&self, name: &str) -> io::Result<()> {
        File::open(self.at(name))?.sync_all()
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

fn backend(file: File) -> io::Result<Box<dyn StorageBackend>> {
    match FileBackend::new(file) {
        Ok(backend) => Ok(Box::new(backend)),
        Err(redb::DatabaseError::DatabaseAlreadyOpen) => Err(io::ErrorKind::ResourceBusy.into()),
        Err(error) => Err(match redb::Error::from(error) {
            redb::Error::Io(error) => error,
            other => io::Error::other(other.to_string()),
        }),
    }
}

/// redb takes a type, not a box.
#[derive(Debug)]
pub(crate) struct Boxed(pub(crate) Box<dyn StorageBackend>);

impl StorageBackend for Boxed {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}
