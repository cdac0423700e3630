//! What events refer to by digest: `blobs/<2 hex>/<62 hex>`, each stored once.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::atomic;
use super::chain;
use super::error::{Damage, LogError};
use crate::model::Digest;
use crate::sys::regular;

/// Digests remembered as durable; more only cost a sync that was not needed.
const REMEMBERED: usize = 4_096;

/// The blobs of an environment.
#[derive(Debug)]
pub struct Blobs {
    directory: PathBuf,
    /// Known to be durable since this process looked.
    durable: BTreeSet<Digest>,
}

impl Blobs {
    /// In that directory, which is made when it is needed.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), durable: BTreeSet::new() }
    }

    /// Stores bytes; durable when it returns. The caller holds the environment's lock.
    pub fn put(&mut self, bytes: &[u8]) -> Result<Digest, LogError> {
        let digest = chain::digest(bytes);
        if self.durable.contains(&digest) {
            return Ok(digest);
        }
        let path = self.path(digest);
        if path.is_file() && self.get(digest).is_ok() {
            // Whoever wrote it may have died before its directories were synced.
            atomic::sync_parent(&path)?;
            atomic::sync_parent(path.parent().unwrap_or(&self.directory))?;
        } else {
            atomic::create_directory(path.parent().unwrap_or(&self.directory))?;
            atomic::atomic_write(&path, bytes)?;
        }
        if self.durable.len() >= REMEMBERED {
            self.durable.clear();
        }
        self.durable.insert(digest);
        Ok(digest)
    }

    /// The bytes of a digest, verified.
    pub fn get(&self, digest: Digest) -> Result<Vec<u8>, LogError> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        let read = regular::open(&path).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|error| LogError::io(&path, "read", error))?;
        if chain::digest(&bytes) == digest {
            Ok(bytes)
        } else {
            Err(LogError::damaged(&path, Damage::Blob(digest)))
        }
    }

    /// Whether something is there under this digest; its bytes may be others.
    pub fn has(&self, digest: Digest) -> bool {
        self.path(digest).is_file()
    }

    /// All that are there, with their sizes.
    pub fn list(&self) -> Result<Vec<(Digest, u64)>, LogError> {
        let mut found = Vec::new();
        for first in entries(&self.directory)? {
            let Some(start) = first.file_name().and_then(|name| name.to_str()) else { continue };
            for blob in entries(&first)? {
                let rest = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if let Ok(digest) = format!("{start}{rest}").parse() {
                    found.push((digest, fs::metadata(&blob).map_or(0, |data| data.len())));
                }
            }
        }
        Ok(found)
    }

    /// Removes what nothing names any more; whether it was there. A power cut may bring it back.
    pub fn remove(&mut self, digest: Digest) -> Result<bool, LogError> {
        self.durable.remove(&digest);
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(LogError::io(&path, "remove", error)),
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        let text = digest.to_string();
        let (first, rest) = text.split_at(2);
        self.directory.join(first).join(rest)
    }
}

/// Of a directory; none of one that is not there, nor of a file.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, LogError> {
    let failed = |error| LogError::io(directory, "list", error);
    match fs::read_dir(directory) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect()
        }
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_stored_once_and_checked_on_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut blobs = Blobs::new(&directory.path().join("blobs"));
        let digest = blobs.put(b"PATH=/bin\0").expect("stores");
        assert_eq!(blobs.put(b"PATH=/bin\0").expect("is there"), digest);
        assert_eq!(blobs.get(digest).expect("reads"), b"PATH=/bin\0");
        let path = blobs.path(digest);
        fs::write(&path, b"PATH=/evil").expect("damages");
        let error = blobs.get(digest).expect_err("damaged");
        let damaged =
            matches!(&error, LogError::Damaged { damage: Damage::Blob(of), .. } if *of == digest);
        assert!(damaged, "{error}");
        let mut blobs = Blobs::new(&directory.path().join("blobs"));
        blobs.put(b"PATH=/bin\0").expect("mends what it has the bytes of");
        assert_eq!(blobs.get(digest).expect("reads"), b"PATH=/bin\0");
    }

    #[test]
    fn an_absent_blob_is_not_found() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = Blobs::new(directory.path()).get(Digest([1; 32])).expect_err("absent");
        assert!(matches!(error, LogError::NotFound { .. }), "{error}");
    }
}
