//! The way into an isolated environment, which has no socket (docs/decisions/0015).

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::model::bytestring::to_hex;

/// Requests that may wait at a door: a command makes a few, one after the other.
const GUESTS: usize = 64;
/// The directories of isolated environments begin with it.
pub const PREFIX: &str = "jr-isolated-";

/// The way to the server of an isolated environment: what a socket is elsewhere. Clones are the
/// same one.
#[derive(Clone, Debug)]
pub struct Door(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    guests: Mutex<Option<mpsc::Sender<UnixStream>>>,
}

impl Door {
    /// A closed one. It has a directory of its own by name; nothing is made yet.
    pub fn new() -> Self {
        let mut chance = [0_u8; 8];
        // Too little of it is noticed when the directory is made: it is there then.
        let _short = rustix::rand::getrandom(&mut chance, rustix::rand::GetRandomFlags::empty());
        let root = temporary().join(format!("{PREFIX}{}", to_hex(&chance)));
        Self(Arc::new(Shared { root, guests: Mutex::new(None) }))
    }

    /// The directory of this environment.
    pub fn root(&self) -> &Path {
        &self.0.root
    }

    fn guests(&self) -> MutexGuard<'_, Option<mpsc::Sender<UnixStream>>> {
        self.0.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on guests come to this server.
    pub fn open(&self) -> mpsc::Receiver<UnixStream> {
        let (sender, guests) = mpsc::channel(GUESTS);
        *self.guests() = Some(sender);
        guests
    }

    /// Nobody comes any more.
    pub fn close(&self) {
        *self.guests() = None;
    }

    /// A connection to the server; `None` if there is none.
    ///
    /// # Errors
    /// No descriptor is left, or the server takes nobody.
    pub fn connect(&self) -> io::Result<Option<UnixStream>> {
        let Some(guests) = self.guests().clone() else { return Ok(None) };
        let (own, its) = UnixStream::pair()?;
        its.set_nonblocking(true)?;
        match guests.try_send(its) {
            Ok(()) => Ok(Some(own)),
            Err(TrySendError::Closed(_)) => Ok(None),
            Err(TrySendError::Full(_)) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Default for Door {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Door {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Door {}

/// Where this user's temporary files go.
fn temporary() -> PathBuf {
    let wished = std::env::var_os("TMPDIR").map(PathBuf::from);
    wished.filter(|path| path.is_absolute()).unwrap_or_else(|| PathBuf::from("/tmp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_leads_somewhere_only_while_it_is_open() {
        let door = Door::new();
        assert!(door.connect().expect("asked").is_none());
        let mut guests = door.open();
        let mut own = door.connect().expect("asked").expect("open");
        let mut its = guests.try_recv().expect("a guest");
        its.set_nonblocking(false).expect("set");
        io::Write::write_all(&mut own, b"x").expect("written");
        io::Read::read_exact(&mut its, &mut [0]).expect("read");
        door.close();
        assert!(door.connect().expect("asked").is_none());
        assert!(guests.blocking_recv().is_none());
    }

    #[test]
    fn two_doors_are_two_environments() {
        let (one, other) = (Door::new(), Door::new());
        assert_ne!(one.root(), other.root());
        assert_ne!(one, other);
        assert_eq!(one, one.clone());
    }
}
