//! Unix sockets at paths of any length. `sun_path` holds 108 bytes (unix(7)); a longer path is
//! reached through a descriptor of its directory, as `/proc/self/fd/<n>/<name>`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// A path has at most so many bytes (`sun_path` less its NUL).
const PATH_BYTES: usize = 107;

/// A path that fits, for as long as it is kept.
#[derive(Debug)]
pub struct Reachable {
    path: PathBuf,
    _directory: Option<OwnedFd>,
}

impl Reachable {
    /// Opens the directory of a path that is too long.
    pub fn new(path: &Path) -> io::Result<Self> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if path.as_os_str().len() <= PATH_BYTES {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _directory: Some(directory) })
    }

    /// What the kernel is given.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Listens at a path where nothing is yet.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    UnixListener::bind(Reachable::new(path)?.path())
}

/// Connects to whoever listens at a path.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(Reachable::new(path)?.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_of_path_can_be_bound_and_reached() {
        let top = tempfile::tempdir().expect("a directory");
        for length in [1, 90, 107, 108, 250] {
            let directory = top.path().join("d".repeat(length));
            std::fs::create_dir(&directory).expect("made");
            let path = directory.join("daemon.sock");
            assert_eq!(
                connect(&path).map_err(|error| error.kind()).err(),
                Some(io::ErrorKind::NotFound)
            );
            let listener = bind(&path).expect("binds");
            let _stream = connect(&path).expect("connects");
            let (_peer, _) = listener.accept().expect("accepts");
        }
    }
}
