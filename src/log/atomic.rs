//! Files that are there whole or not at all, also after a power cut.
//!
//! Written as `<name>.tmp`, synced, renamed over the name, and the directory synced.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::error::LogError;

/// Ending of files that are not yet whole; whoever holds the environment's lock may delete them.
pub const TEMPORARY: &str = "tmp";

/// Writes `bytes` to `path` (mode 0600), replacing what is there; durable when it returns.
pub fn atomic_write(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let temporary = temporary_path(path);
    let written = create_private(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    if let Err(error) = written {
        drop(fs::remove_file(&temporary));
        return Err(LogError::io(&temporary, "write", error));
    }
    publish(&temporary, path)
}

/// Renames a synced temporary file to its name and makes that durable.
pub(crate) fn publish(temporary: &Path, path: &Path) -> Result<(), LogError> {
    fs::rename(temporary, path).map_err(|error| LogError::io(path, "rename to", error))?;
    sync_parent(path)
}

/// The name under which `path` is written first.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(".");
    name.push(TEMPORARY);
    path.with_file_name(name)
}

/// A new empty file of mode 0600, in place of a left-over one.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Makes the directory entry of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<(), LogError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| LogError::io(directory, "sync", error))
}

/// Makes a directory (mode 0700) with its parents, and makes its entry durable if it is new.
pub fn create_directory(path: &Path) -> Result<(), LogError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_directory(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(LogError::io(path, "create", error)),
    }
}

/// A file that is gone when it is closed.
pub fn unnamed_file(directory: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let flags = i32::try_from(OFlags::TMPFILE.bits()).unwrap_or(0);
    if let Ok(file) = options.clone().custom_flags(flags).open(directory) {
        return Ok(file);
    }
    // Not every file system can.
    let name = directory.join(format!(".jr-{}-{:p}", std::process::id(), &raw const options));
    let file = options.create_new(true).open(&name)?;
    fs::remove_file(&name)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_private() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a/b/file");
        create_directory(path.parent().expect("has one")).expect("makes both");
        for bytes in [b"first, longer".as_slice(), b"second"] {
            atomic_write(&path, bytes).expect("writes");
            assert_eq!(fs::read(&path).expect("reads"), bytes);
        }
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&directory.path().join("a"))), (0o600, 0o700));
        assert!(!temporary_path(&path).exists());
    }

    #[test]
    fn a_refused_write_leaves_nothing_and_says_where() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("absent/file");
        let error = atomic_write(&path, b"x").expect_err("no such directory");
        assert!(matches!(error, LogError::NotFound { .. }), "{error}");
    }
}
