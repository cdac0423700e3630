//! Finding the daemon's socket, and starting a daemon where nobody serves it.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use super::{ClientError, monotonic_ms};
use crate::daemon::machine;
use crate::daemon::place::Place;
use crate::limits;
use crate::log::{Lock, LogError, Sharing};
use crate::runners::linux::sockets::Reachable;
use crate::sys::regular;

/// A socket whose queue of connections is full for so long belongs to a busy daemon.
const BUSY_MS: u64 = 5_000;
/// What of the daemon's own words is repeated when it does not start.
const LOG_TAIL_BYTES: u64 = 2_048;

/// Connects to the daemon; `None` if none runs.
///
/// # Errors
/// [`ClientError::NotYours`], [`ClientError::Busy`] or [`ClientError::Io`].
pub fn connect(place: &Place) -> Result<Option<UnixStream>, ClientError> {
    let path = place.daemon_socket();
    if let Some(door) = &place.door {
        let connected = door.connect();
        return connected.map_err(|source| ClientError::Io { operation: "reach", path, source });
    }
    let fail = |operation: &'static str| {
        let path = path.clone();
        move |errno: rustix::io::Errno| ClientError::Io { operation, path, source: errno.into() }
    };
    let reachable = match Reachable::new(&path) {
        Ok(reachable) => reachable,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ClientError::Io { operation: "connect to", path, source }),
    };
    let address = SocketAddrUnix::new(reachable.path()).map_err(fail("connect to"))?;
    let mut deadline = None;
    let socket = loop {
        // Not blocking: a full queue is then EAGAIN instead of a wait without end (unix(7)).
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .map_err(fail("make a socket for"))?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) => break socket,
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => return Ok(None),
            Err(rustix::io::Errno::AGAIN) => {
                let now = monotonic_ms();
                if now >= *deadline.get_or_insert(now + BUSY_MS) {
                    return Err(ClientError::Busy { path });
                }
                std::thread::sleep(Duration::from_millis(5 + u64::from(random_byte()) / 8));
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(fail("connect to")(errno)),
        }
    };
    check_peer(place, &socket)?;
    rustix::io::ioctl_fionbio(&socket, false).map_err(fail("connect to"))?;
    Ok(Some(UnixStream::from(socket)))
}

/// A name in a directory proves nothing: the kernel says who serves the socket.
fn check_peer(place: &Place, socket: &OwnedFd) -> Result<(), ClientError> {
    let path = place.daemon_socket();
    match sockopt::socket_peercred(socket) {
        Ok(peer) if peer.uid == rustix::process::geteuid() => Ok(()),
        Ok(peer) => Err(ClientError::NotYours { path, uid: peer.uid.as_raw() }),
        Err(errno) => Err(ClientError::Io { operation: "check", path, source: errno.into() }),
    }
}

fn random_byte() -> u8 {
    let mut bytes = [0_u8; 1];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).ok();
    bytes[0]
}

/// A daemon that another client started has so long to answer before we start one too.
const TURN_MS: u64 = 250;

/// Connects to the daemon, starting one if none runs.
///
/// # Errors
/// [`ClientError::Start`] with the daemon's last words, or as [`connect`].
pub fn connect_or_start(place: &Place) -> Result<UnixStream, ClientError> {
    if let Some(stream) = connect(place)? {
        return Ok(stream);
    }
    if let Some(why) = machine::elsewhere(place) {
        return Err(ClientError::Elsewhere { root: place.root.clone(), why });
    }
    let (mut starting, mut spawned) = (spawn(place)?, monotonic_ms());
    let began = spawned;
    let mut pause_ms = 1;
    loop {
        if let Some(stream) = connect(place)? {
            return Ok(stream);
        }
        let failed = match starting.child.try_wait() {
            // It has found another one starting; if that one dies, it is our turn again.
            Ok(Some(status)) if status.success() => {
                if monotonic_ms() >= spawned + TURN_MS {
                    (starting, spawned) = (spawn(place)?, monotonic_ms());
                }
                None
            }
            Ok(Some(status)) => Some(format!("it ended with {status}")),
            Ok(None) => None,
            Err(error) => Some(error.to_string()),
        };
        // Whoever holds `starting` is at work, on a long log perhaps.
        let is_starting =
            matches!(Lock::attempt(&place.starting(), Sharing::Shared), Err(LogError::Busy { .. }));
        let limit = if is_starting { limits::DAEMON_OPEN_MS } else { limits::DAEMON_START_MS };
        if failed.is_some() || monotonic_ms() >= began + limit {
            let seconds = limit / 1_000;
            let otherwise = failed.unwrap_or_else(|| format!("nothing answers after {seconds} s"));
            return Err(ClientError::Start { why: starting.last_words().unwrap_or(otherwise) });
        }
        std::thread::sleep(Duration::from_millis(pause_ms));
        pause_ms = (pause_ms + 1).min(20);
    }
}

/// A daemon on its way.
#[derive(Debug)]
pub struct Starting {
    child: Child,
    log: File,
    log_from: u64,
}

impl Starting {
    fn last_words(&mut self) -> Option<String> {
        let length = self.log.metadata().ok()?.len();
        let from = self.log_from.max(length.saturating_sub(LOG_TAIL_BYTES));
        self.log.seek(SeekFrom::Start(from)).ok()?;
        let mut bytes = Vec::new();
        (&self.log).take(LOG_TAIL_BYTES).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }
}

/// Starts a daemon and waits for nothing. It leaves this session by itself.
///
/// # Errors
/// [`ClientError::Io`].
pub fn spawn(place: &Place) -> Result<Starting, ClientError> {
    if place.is_isolated() {
        return Err(ClientError::Isolated { environment: place.id.to_string() });
    }
    let fail = |operation: &'static str, path: PathBuf| {
        move |source: io::Error| ClientError::Io { operation, path, source }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&place.root)
        .map_err(fail("create", place.root.clone()))?;
    let path = place.daemon_log();
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true).mode(0o600);
    let log = regular::open_with(&mut options, &path).map_err(fail("open", path.clone()))?;
    let log_from = log.metadata().map_err(fail("read", path.clone()))?.len();
    let errors = log.try_clone().map_err(fail("open", path))?;
    let program = std::env::current_exe().ok().filter(|path| path.exists());
    // The file may have been replaced by an update; the kernel still has the one that runs.
    let program = program.unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
    let child = Command::new(&program)
        .arg0("jr")
        .args(["-e", place.id.as_str(), "daemon", "run"])
        .current_dir("/")
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| is_for_daemon(name)))
        .env("JR_HOME", &place.home)
        .envs(place.hand_over().map(|place| (Place::VARIABLE, place)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .map_err(fail("start", program))?;
    Ok(Starting { child, log, log_from })
}

/// A daemon outlives who started it and keeps nothing of that one's secrets.
fn is_for_daemon(name: &OsString) -> bool {
    const NAMES: [&str; 9] =
        ["HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TMPDIR", "TZ", "RUST_BACKTRACE"];
    // What configures a client is the client's.
    const OF_A_RUN: [&str; 9] = [
        "JR_RUN_ID",
        "JR_NAME",
        "JR_ATTEMPT",
        "JR_ENV",
        "JR_SOCKET",
        "JR_TOKEN",
        "JR_CONFIG",
        "JR_DEFAULT_MODE",
        Place::VARIABLE,
    ];
    let Some(name) = name.to_str() else { return false };
    let kept = ["LC_", "XDG_", "DBUS_", "JR_"].iter().any(|prefix| name.starts_with(prefix));
    NAMES.contains(&name) || kept && !OF_A_RUN.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_keeps_nothing_of_a_run_or_of_secrets() {
        for kept in ["PATH", "LC_ALL", "XDG_RUNTIME_DIR", "JR_HOME"] {
            assert!(is_for_daemon(&kept.into()), "{kept}");
        }
        for dropped in ["AWS_SECRET_ACCESS_KEY", "JR_RUN_ID", "JR_TOKEN", "LD_PRELOAD"] {
            assert!(!is_for_daemon(&dropped.into()), "{dropped}");
        }
    }
}
