//! One path: what lies there, whose it is, and what may be done with it.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

/// What lies there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PathKind {
    /// Nothing.
    #[default]
    Missing,
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A socket.
    Socket,
    /// A link that leads nowhere.
    DeadLink,
    /// A FIFO or a device.
    Other,
    /// It cannot be seen: see the problem.
    Hidden,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathFacts {
    /// Where.
    pub path: String,
    /// What lies there; of a link, what it leads to.
    pub kind: PathKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Its size.
    pub bytes: u64,
    /// It may be read, and entered if it is a directory.
    pub readable: bool,
    /// It may be written. Of what is missing: it can be made.
    pub writable: bool,
    /// What the system said.
    pub problem: Option<String>,
    /// The nearest path above that can be seen: it bars the way.
    pub barred_by: Option<String>,
    /// Which is no directory.
    pub barred_by_file: bool,
}

impl PathFacts {
    /// Looks at it.
    pub fn of(path: &Path) -> Self {
        let mut facts = Self { path: path.display().to_string(), ..Self::default() };
        match std::fs::metadata(path) {
            Ok(data) => {
                let kind = data.file_type();
                facts.kind = if kind.is_dir() {
                    PathKind::Directory
                } else if kind.is_file() {
                    PathKind::File
                } else if kind.is_socket() {
                    PathKind::Socket
                } else {
                    PathKind::Other
                };
                facts.mode = data.mode() & 0o7777;
                facts.uid = data.uid();
                facts.bytes = data.len();
                let enter = if kind.is_dir() { Access::EXEC_OK } else { Access::empty() };
                facts.readable = access(path, Access::READ_OK | enter).is_ok();
                facts.writable = access(path, Access::WRITE_OK | enter).is_ok();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_link = std::fs::symlink_metadata(path).is_ok();
                facts.kind = if is_link { PathKind::DeadLink } else { PathKind::Missing };
                facts.writable = !is_link && can_be_made(path);
            }
            Err(error) => {
                facts.kind = PathKind::Hidden;
                facts.problem = Some(error.to_string());
                let seen = |path: &&Path| std::fs::metadata(path).is_ok();
                if let Some(above) = path.ancestors().skip(1).find(seen) {
                    facts.barred_by = Some(above.display().to_string());
                    facts.barred_by_file = !above.is_dir();
                }
            }
        }
        facts
    }

    /// Whether anything lies there.
    pub fn exists(&self) -> bool {
        self.kind != PathKind::Missing
    }

    /// Whether others than its owner may write it.
    pub fn is_open_to_writers(&self) -> bool {
        self.mode & 0o022 != 0
    }

    /// Whether others than its owner may do anything with it.
    pub fn is_open(&self) -> bool {
        self.mode & 0o077 != 0
    }
}

/// Whether the nearest directory above, if it is one, may be written.
fn can_be_made(path: &Path) -> bool {
    let above = path.ancestors().skip(1).find(|path| path.symlink_metadata().is_ok());
    above.is_some_and(|path| {
        path.is_dir() && access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_lies_there_is_told_apart() {
        let top = tempfile::tempdir().expect("a directory");
        let at = |name: &str| top.path().join(name);
        std::fs::write(at("file"), "xyz").expect("written");
        std::os::unix::fs::symlink("nowhere", at("link")).expect("linked");
        let listener = std::os::unix::net::UnixListener::bind(at("socket")).expect("bound");
        let kind = |name: &str| PathFacts::of(&at(name)).kind;
        assert_eq!(kind("file"), PathKind::File);
        assert_eq!(kind("link"), PathKind::DeadLink);
        assert_eq!(kind("socket"), PathKind::Socket);
        assert_eq!(kind(""), PathKind::Directory);
        let below = PathFacts::of(&at("file/below/it"));
        assert_eq!((below.kind, below.barred_by_file), (PathKind::Hidden, true));
        assert_eq!(below.barred_by, Some(at("file").display().to_string()));
        assert_eq!(PathFacts::of(Path::new("/dev/null")).kind, PathKind::Other);
        let missing = PathFacts::of(&at("a/b/c"));
        assert!(!missing.exists() && missing.writable, "{missing:?}");
        assert_eq!(PathFacts::of(&at("file")).bytes, 3);
        drop(listener);
    }
}
