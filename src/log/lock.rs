//! Who may work on an environment: advisory locks (flock(2)) on files that are never deleted.
//!
//! `lock` is held exclusively by the daemon and shared, for one look, by whoever reads without
//! one. `starting` is held by a daemon from its first breath until it serves. The kernel lets go
//! of both when the process ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::{Errno, retry_on_intr};

use super::error::LogError;
use crate::sys::regular;

/// Name of the file that guards the log, in an environment's directory.
pub const LOCK: &str = "lock";
/// Name of the file that a starting daemon holds.
pub const STARTING: &str = "starting";

/// How a lock is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// With other readers. The file must be there: a reader makes nothing.
    Shared,
    /// With nobody.
    Exclusive,
}

/// A held lock; dropping it lets go.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Waits until it can be had.
    pub fn wait(path: &Path, sharing: Sharing) -> Result<Self, LogError> {
        let operation = match sharing {
            Sharing::Shared => FlockOperation::LockShared,
            Sharing::Exclusive => FlockOperation::LockExclusive,
        };
        Self::take(path, sharing, operation)
    }

    /// Takes it at once, or says [`LogError::Busy`].
    pub fn attempt(path: &Path, sharing: Sharing) -> Result<Self, LogError> {
        let operation = match sharing {
            Sharing::Shared => FlockOperation::NonBlockingLockShared,
            Sharing::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        Self::take(path, sharing, operation)
    }

    fn take(path: &Path, sharing: Sharing, operation: FlockOperation) -> Result<Self, LogError> {
        loop {
            let exclusive = sharing == Sharing::Exclusive;
            let mut options = OpenOptions::new();
            options.read(true).write(exclusive).create(exclusive).mode(0o600);
            let file = regular::open_with(&mut options, path);
            let file = file.map_err(|error| LogError::io(path, "open", error))?;
            match retry_on_intr(|| rustix::fs::flock(&file, operation)) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(LogError::Busy { path: path.to_owned() }),
                Err(error) => return Err(LogError::io(path, "lock", error.into())),
            }
            let still = is_at(&file, path).map_err(|error| LogError::io(path, "stat", error))?;
            if still {
                return Ok(Self { _file: file });
            }
            // Somebody put another file there while this one was waited for.
        }
    }
}

/// Whether the open file is the one that the path names.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok((held.dev(), held.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn one_writer_or_many_readers() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(LOCK);
        let absent = Lock::attempt(&path, Sharing::Shared).expect_err("a reader makes nothing");
        assert!(matches!(absent, LogError::NotFound { .. }) && !path.exists());
        let writer = Lock::attempt(&path, Sharing::Exclusive).expect("free");
        for sharing in [Sharing::Shared, Sharing::Exclusive] {
            let busy = Lock::attempt(&path, sharing).expect_err("held");
            assert!(matches!(busy, LogError::Busy { .. }));
        }
        drop(writer);
        let readers = [Sharing::Shared; 2].map(|sharing| Lock::attempt(&path, sharing));
        assert!(readers.iter().all(Result::is_ok));
        assert!(Lock::attempt(&path, Sharing::Exclusive).is_err());
        drop(readers);
        assert!(Lock::attempt(&path, Sharing::Exclusive).is_ok());
    }

    #[test]
    fn a_lock_on_a_replaced_file_is_taken_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(LOCK);
        let first = Lock::attempt(&path, Sharing::Exclusive).expect("free");
        let (tell, told) = mpsc::channel();
        let waiting = path.clone();
        let thread = std::thread::spawn(move || {
            let lock = Lock::wait(&waiting, Sharing::Exclusive);
            tell.send(()).expect("is listened to");
            lock
        });
        std::fs::remove_file(&path).expect("removes");
        std::fs::write(&path, "").expect("replaces");
        drop(first);
        told.recv().expect("gets it");
        let lock = thread.join().expect("no panic").expect("locked");
        assert!(Lock::attempt(&path, Sharing::Exclusive).is_err(), "the new file is the held one");
        drop(lock);
    }
}
