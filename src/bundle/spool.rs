//! Bytes of a bundle on disk for as long as it is read, in a file that has no name.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::error::BundleError;
use crate::log::atomic::unnamed_file;

/// Written from its beginning, read anywhere.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    length: u64,
}

impl Spool {
    /// In the directory for temporary files.
    pub(super) fn new() -> Result<Self, BundleError> {
        let directory = std::env::temp_dir();
        let file =
            unnamed_file(&directory).map_err(BundleError::io("make a file in", directory))?;
        Ok(Self { file, length: 0 })
    }

    /// How much is in it.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        let failed = BundleError::io("write to a file in", std::env::temp_dir());
        self.file.write_all(bytes).map_err(failed)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// A part of it, whole.
    pub(super) fn read(&self, range: &Range<u64>) -> Result<Vec<u8>, BundleError> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        let failed = BundleError::io("read a file in", std::env::temp_dir());
        self.file.read_exact_at(&mut bytes, range.start).map_err(failed)?;
        Ok(bytes)
    }
}
