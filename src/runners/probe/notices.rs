//! What a service says of itself by `sd_notify(3)`: `READY=1`, `STATUS=…`, `STOPPING=1`,
//! `WATCHDOG=1`. Anything else is passed over.
//!
//! Whoever can reach the socket could speak for the service, so that a datagram counts only if the
//! kernel says that a process sent it that descends from the shim, and lives still.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::text;
use crate::limits::NOTICE_BYTES;
use crate::runners::linux::datagrams::Datagram;
use crate::runners::linux::{clock, datagrams, procfs};

/// A service is given the path as it is, so that it has to fit `sun_path` (unix(7)) less its NUL.
const PATH_BYTES: usize = 107;
/// Datagrams in a row, then others have their turn.
const IN_A_ROW: usize = 32;
/// Steps from a process to its shim; more is no chain of parents.
const CHAIN: usize = 1_024;
/// Looks at a chain that changes under the eye.
const LOOKS: usize = 4;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// No process could connect to it.
    #[error("{} is longer than the {PATH_BYTES} bytes of a socket's path", .0.display())]
    PathTooLong(PathBuf),
    /// The file cannot be made.
    #[error("cannot make the socket {}: {}", .0.display(), text::reason(.1))]
    Socket(PathBuf, io::Error),
}

/// A socket for one attempt: its path is the attempt's `NOTIFY_SOCKET`. What is sent before
/// [`Self::listen`] waits in it.
#[derive(Debug)]
pub struct NotifySocket {
    socket: OwnedFd,
}

/// What a service has said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `READY=1`, and no `STOPPING=1` since.
    pub is_ready: bool,
    /// `STOPPING=1`, and no `READY=1` since.
    pub is_stopping: bool,
    /// `STATUS=`, as a line for people.
    pub status: Option<String>,
    /// The last `WATCHDOG=1`, on `CLOCK_BOOTTIME`.
    pub watchdog_ms: Option<u64>,
    /// The last process that spoke and is none of the service's; 0 if it cannot be seen.
    pub refused: Option<u32>,
}

/// Listens to a service until it is dropped, whether or not anybody asks: a socket that nobody
/// reads would make the service wait.
#[derive(Debug)]
pub struct Notices {
    said: watch::Sender<Said>,
    task: JoinHandle<()>,
}

impl NotifySocket {
    /// Makes the socket, and its directory if need be, for the owner alone. A socket that is there
    /// already is replaced: a daemon that adopts a service binds where the last one did. A name
    /// that begins with `@` is in no directory, as `sd_notify(3)` writes it: all may send there.
    ///
    /// # Errors
    /// [`NotifyError`].
    pub fn bind(path: &Path) -> Result<Self, NotifyError> {
        if path.as_os_str().len() > PATH_BYTES {
            return Err(NotifyError::PathTooLong(path.to_owned()));
        }
        let make = || {
            if let Some(name) = path.to_str().and_then(|path| path.strip_prefix('@')) {
                return datagrams::bind_abstract(name.as_bytes());
            }
            if let Some(directory) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            }
            datagrams::bind(path)
        };
        match make() {
            Ok(socket) => Ok(Self { socket }),
            Err(error) => Err(NotifyError::Socket(path.to_owned(), error)),
        }
    }

    /// Listens from now on to what descends from a shim, in a task of the runtime.
    ///
    /// # Errors
    /// The runtime takes no more sockets.
    pub fn listen(self, shim: u32) -> io::Result<Notices> {
        let socket = UnixDatagram::from_std(self.socket.into())?;
        let (said, _) = watch::channel(Said::default());
        let task = tokio::spawn(hear(socket, shim, said.clone()));
        Ok(Notices { said, task })
    }
}

impl Notices {
    /// What it has said so far, and a way to wait for more.
    pub fn said(&self) -> watch::Receiver<Said> {
        self.said.subscribe()
    }

    /// Takes for granted what it has told an earlier daemon.
    pub fn assume_ready(&self) {
        self.said.send_modify(|said| said.is_ready = !said.is_stopping);
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Is right once it has said that it is ready; waits for that.
pub(super) async fn ask(notices: Option<&Notices>, timeout: Duration) -> Result<(), String> {
    let Some(notices) = notices else {
        return Err("it has no NOTIFY_SOCKET to say anything".to_owned());
    };
    let mut said = notices.said();
    let told = said.wait_for(|said| said.is_ready || said.is_stopping);
    // Told or not: what it has said by now is the answer.
    tokio::time::timeout(timeout, told).await.map(drop).ok();
    let said = said.borrow();
    if said.is_ready {
        return Ok(());
    }
    if said.is_stopping {
        return Err("it has said that it is stopping".to_owned());
    }
    let more = match (&said.status, said.refused) {
        (Some(status), _) => format!(", its status is: {status}"),
        (None, Some(pid)) => format!("; process {pid}, which spoke for it, is none of its own"),
        (None, None) => String::new(),
    };
    Err(format!("it has not said READY=1{more}"))
}

async fn hear(socket: UnixDatagram, shim: u32, said: watch::Sender<Said>) {
    let mut buffer = vec![0; NOTICE_BYTES];
    while let Ok(()) = socket.readable().await {
        for _ in 0..IN_A_ROW {
            let receive = || datagrams::receive(&socket, &mut buffer);
            match socket.try_io(Interest::READABLE, receive) {
                Ok(datagram) => take(&datagram, &buffer, shim, &said),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return,
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Descriptors that came along are closed afterwards: `BARRIER=1` waits for that, and so lives
/// while it is looked at.
fn take(datagram: &Datagram, buffer: &[u8], shim: u32, said: &watch::Sender<Said>) {
    let Some(sender) = datagram.sender.filter(|sender| descends(*sender, shim)) else {
        let refused = datagram.sender.unwrap_or(0);
        said.send_modify(|said| said.refused = Some(refused));
        return;
    };
    debug_assert_ne!(sender, shim);
    // What was cut off says something else than what was meant.
    if datagram.is_whole {
        let heard = &buffer[..datagram.bytes];
        said.send_modify(|said| said.hear(heard, clock::boottime_ms()));
    }
}

impl Said {
    fn hear(&mut self, datagram: &[u8], now_ms: u64) {
        for line in datagram.split(|byte| *byte == b'\n') {
            match line {
                b"READY=1" => (self.is_ready, self.is_stopping) = (true, false),
                b"STOPPING=1" => (self.is_ready, self.is_stopping) = (false, true),
                b"WATCHDOG=1" => self.watchdog_ms = Some(now_ms),
                _ => {
                    if let Some(status) = line.strip_prefix(b"STATUS=") {
                        self.status = Some(text::line(&String::from_utf8_lossy(status)));
                    }
                }
            }
        }
    }
}

/// Whether the chain of parents of a process leads to `root`.
fn descends(pid: u32, root: u32) -> bool {
    // A parent may end while it is climbed past; its children then have another.
    (0..LOOKS).find_map(|_| climb(pid, root)).unwrap_or(false)
}

fn climb(pid: u32, root: u32) -> Option<bool> {
    let mut at = pid;
    for _ in 0..CHAIN {
        let parent = procfs::stat(at).ok().flatten()?.parent;
        if parent == root || parent <= 1 {
            return Some(parent == root);
        }
        at = parent;
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_counts() {
        let mut said = Said::default();
        said.hear(b"STATUS=loading\nREADY=0\nX=READY=1\nMAINPID=1", 1);
        assert_eq!(said, Said { status: Some("loading".to_owned()), ..Said::default() });
        said.hear(b"READY=1\nSTATUS=\x1b[31mup\nWATCHDOG=1", 7);
        assert!(said.is_ready && said.watchdog_ms == Some(7));
        assert_eq!(said.status.as_deref(), Some("\\u{1b}[31mup"));
        said.hear(b"STOPPING=1", 8);
        assert!(said.is_stopping && !said.is_ready);
        said.hear(b"READY=1", 9);
        assert!(said.is_ready && !said.is_stopping);
        said.hear(b"", 9);
        said.hear(b"\n\n=\n\xff\xfe", 9);
        assert!(said.is_ready);
    }

    #[test]
    fn descent_is_by_parents_and_nobody_descends_from_himself() {
        let own = std::process::id();
        let parent = procfs::stat(own).expect("readable").expect("alive").parent;
        assert!(parent <= 1 || descends(own, parent));
        assert!(!descends(own, own) && !descends(u32::MAX, own));
    }
}
