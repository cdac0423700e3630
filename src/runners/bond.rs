//! A directory whose processes live and end together: who leaves last ends what a dead one has left
//! and removes it.
//!
//! ```text
//! <root>/             flock, shared, by each; who gets it exclusively is alone
//!        namespace    which numbers of processes mean something
//!        shims/       a directory for each shim
//! ```
//! The kernel lets go of the lock when a process ends, however it ends. It is on the directory
//! itself, where tmpfiles.d(5) looks for it before it takes old files away.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::{Errno, retry_on_intr};

use super::fence::{self, Fenced};
use super::linux::clock;

/// Where shims have their directories.
pub const SHIMS: &str = "shims";
const NAMESPACE_FILE: &str = "namespace";
/// The namespace of process numbers that this process is in (namespaces(7)).
const OWN_NAMESPACE: &str = "/proc/self/ns/pid";
/// Between two looks whether others are there.
const LOOK: Duration = Duration::from_millis(5);
/// Times that a directory is made again after somebody took it for one that was left.
const MAKE_TRIES: u32 = 8;

/// A hold on such a directory.
#[derive(Debug)]
pub struct Bond {
    root: PathBuf,
    lock: File,
}

impl Bond {
    /// Makes the directory, for this user alone, and holds it.
    ///
    /// # Errors
    /// It cannot be made, or is there.
    pub fn make(root: &Path) -> io::Result<Self> {
        for _ in 0..MAKE_TRIES {
            DirBuilder::new().mode(0o700).create(root)?;
            let lock = match open(root) {
                // Between two steps it looked as if nobody were there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                lock => lock?,
            };
            retry_on_intr(|| flock(&lock, FlockOperation::LockShared))?;
            if is_in_place(root, &lock)? {
                let namespace = std::fs::read_link(OWN_NAMESPACE)?;
                let file = root.join(NAMESPACE_FILE);
                std::fs::write(file, namespace.as_os_str().as_encoded_bytes())?;
                return Ok(Self { root: root.to_owned(), lock });
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    /// Holds a directory that another process holds.
    ///
    /// # Errors
    /// It is gone, or is going.
    pub fn join(root: &Path) -> io::Result<Self> {
        let lock = open(root)?;
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) if is_in_place(root, &lock)? => Ok(Self { root: root.to_owned(), lock }),
            Ok(()) | Err(Errno::WOULDBLOCK) => Err(io::ErrorKind::NotFound.into()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Lets go; the last one removes the directory. Whether it is gone. A process that is killed
    /// lets go of its locks a moment after its sockets, so others may be waited for.
    ///
    /// # Errors
    /// Something in it cannot be ended or removed.
    pub fn leave(self, patience: Duration) -> io::Result<bool> {
        flock(&self.lock, FlockOperation::Unlock)?;
        let patience_ms = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = clock::boottime_ms().saturating_add(patience_ms);
        loop {
            let is_gone = clear_if_alone(&self.root, &self.lock)?;
            if is_gone
                || clock::boottime_ms() >= deadline_ms
                || !is_in_place(&self.root, &self.lock)?
            {
                return Ok(is_gone);
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn open(root: &Path) -> io::Result<File> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    File::options().read(true).custom_flags(flags).open(root)
}

fn is_in_place(root: &Path, lock: &File) -> io::Result<bool> {
    match std::fs::symlink_metadata(root) {
        Ok(found) => Ok(found.ino() == lock.metadata()?.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Clears those directories of this user, beginning with this name, that nobody holds: their last
/// process was killed together with all others. What cannot be cleared stays.
pub fn sweep(parent: &Path, prefix: &str) {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        let root = entry.path();
        let Ok(lock) = open(&root) else { continue };
        if is_ours(&root, &lock).unwrap_or(false) {
            let _stays = clear_if_alone(&root, &lock);
        }
    }
}

/// Of this user, and with processes that have the numbers here that they have there.
fn is_ours(root: &Path, lock: &File) -> io::Result<bool> {
    if lock.metadata()?.uid() != rustix::process::geteuid().as_raw() {
        return Ok(false);
    }
    match std::fs::read(root.join(NAMESPACE_FILE)) {
        Ok(namespace) => {
            let own = std::fs::read_link(OWN_NAMESPACE)?;
            Ok(namespace == own.as_os_str().as_encoded_bytes())
        }
        // It was only just made, and had no process yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Ends what shims that are dead have left, and removes it all, unless somebody is there yet or
/// clears it.
fn clear_if_alone(root: &Path, lock: &File) -> io::Result<bool> {
    match flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(false),
        Err(errno) => return Err(errno.into()),
    }
    if !is_in_place(root, lock)? {
        return Ok(false);
    }
    let shims = match std::fs::read_dir(root.join(SHIMS)) {
        Ok(shims) => Some(shims),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    for shim in shims.into_iter().flatten() {
        if fence::fence(&shim?.path())? != Fenced::Empty {
            return Ok(false);
        }
    }
    std::fs::remove_dir_all(root)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_to_leave_removes_it() {
        let top = tempfile::tempdir().expect("a directory");
        let root = top.path().join("b-1");
        let first = Bond::make(&root).expect("made");
        assert!(Bond::make(&root).is_err(), "it is there");
        let second = Bond::join(&root).expect("held");
        std::fs::create_dir_all(root.join("output/aa")).expect("made");
        assert!(!first.leave(Duration::ZERO).expect("let go"));
        assert!(root.exists());
        assert!(second.leave(Duration::ZERO).expect("let go"));
        assert!(!root.exists());
        assert!(Bond::join(&root).is_err());
    }

    #[test]
    fn only_what_nobody_holds_is_swept() {
        let top = tempfile::tempdir().expect("a directory");
        let held = Bond::make(&top.path().join("b-held")).expect("made");
        drop(Bond::make(&top.path().join("b-left")).expect("made"));
        let foreign = top.path().join("b-foreign");
        drop(Bond::make(&foreign).expect("made"));
        std::fs::write(foreign.join(NAMESPACE_FILE), "pid:[1]").expect("written");
        for other in ["b-new", "c-other"] {
            std::fs::create_dir(top.path().join(other)).expect("made");
        }
        sweep(top.path(), "b-");
        let there = |name: &str| top.path().join(name).exists();
        assert!(there("b-held") && there("b-foreign") && there("c-other"));
        assert!(!there("b-left") && !there("b-new"));
        assert!(held.leave(Duration::ZERO).expect("let go"));
    }
}
