//! Listening sockets of runs: made before the first attempt that asks for them, and open for as
//! long as an attempt of that run is here, running, held, or ended and not forgotten. So whoever
//! connects between two attempts waits in the queue of the socket for the next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;

use crate::limits;
use crate::model::event::SpawnError;
use crate::model::{ByteString, RunId};
use crate::runners::ports;
use crate::runners::protocol::{AttemptId, PassedSocket, Start};

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;
/// Between two tries to bind a port.
const LOOK_MS: u64 = 20;
/// What a child finds in its environment; `LISTEN_PID` only it can know.
const COUNT: &str = "LISTEN_FDS";
const NAMES: &str = "LISTEN_FDNAMES";
const PID: &str = "LISTEN_PID";

/// The sockets of all runs that are here.
#[derive(Debug, Default)]
pub(super) struct Passed {
    open: BTreeMap<RunId, Vec<(PassedSocket, OwnedFd)>>,
    waiting: Option<Waiting>,
    /// Why those of the next start could not be opened.
    refusal: Option<SpawnError>,
}

/// A start whose port somebody has: most likely the shim that had the run before and has just been
/// told to forget it.
#[derive(Debug)]
struct Waiting {
    id: AttemptId,
    since_ms: u64,
    next_ms: u64,
}

impl Passed {
    /// Opens what a start asks for and is not open yet. True if it is to be tried again later.
    pub(super) fn awaits(&mut self, start: &Start, now_ms: u64) -> bool {
        self.refusal = self.open(start).err();
        let since_ms = match &self.waiting {
            Some(waiting) if waiting.id == start.id => waiting.since_ms,
            Some(_) | None => now_ms,
        };
        let is_taken = matches!(self.refusal, Some(SpawnError::PortTaken(_)));
        let awaits = is_taken && now_ms < since_ms.saturating_add(limits::PORT_WAIT_MS);
        let next_ms = now_ms.saturating_add(LOOK_MS);
        self.waiting = awaits.then_some(Waiting { id: start.id, since_ms, next_ms });
        awaits
    }

    fn open(&mut self, start: &Start) -> Result<(), SpawnError> {
        let open = self.open.entry(start.id.run).or_default();
        open.retain(|(one, _)| start.sockets.contains(one));
        for wanted in &start.sockets {
            if !open.iter().any(|(one, _)| one == wanted) {
                open.push((wanted.clone(), listen(wanted)?));
            }
        }
        Ok(())
    }

    /// Those of a start, in its order.
    pub(super) fn of(&self, start: &Start) -> Result<Vec<BorrowedFd<'_>>, SpawnError> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let open = self.open.get(&start.id.run).map(Vec::as_slice).unwrap_or_default();
        let find = |wanted: &PassedSocket| open.iter().find(|(one, _)| one == wanted);
        let sockets = start.sockets.iter().filter_map(find);
        Ok(sockets
            .map(|(_, socket)| {
                // An attempt before may have changed that for all who share it.
                rustix::io::ioctl_fionbio(socket, false).ok();
                socket.as_fd()
            })
            .collect())
    }

    /// Closes those of runs of which nothing is here any more, and waits for no start but `first`.
    pub(super) fn settle(&mut self, first: Option<AttemptId>, is_here: impl Fn(RunId) -> bool) {
        self.open.retain(|run, _| is_here(*run));
        self.waiting.take_if(|waiting| Some(waiting.id) != first);
    }

    /// When [`Self::awaits`] wants to be asked again.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.waiting.as_ref().map(|waiting| waiting.next_ms)
    }
}

fn listen(wanted: &PassedSocket) -> Result<OwnedFd, SpawnError> {
    let host = match wanted.host.as_deref() {
        None | Some("") => "localhost",
        Some("*") => "::",
        Some(host) => host,
    };
    let address = ports::address_of(host).ok_or(Errno::ADDRNOTAVAIL);
    let bound = address.and_then(|address| {
        match ports::bound(SocketAddr::new(address, wanted.port), true) {
            // `*` where IPv6 is off.
            Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) if address.is_unspecified() => {
                ports::bound(SocketAddr::from(([0; 4], wanted.port)), true)
            }
            bound => bound,
        }
    });
    let listening = bound.and_then(|socket| rustix::net::listen(&socket, BACKLOG).map(|()| socket));
    listening.map_err(|errno| match errno {
        Errno::ADDRINUSE => SpawnError::PortTaken(wanted.port),
        errno => SpawnError::Errno(errno.raw_os_error()),
    })
}

/// Tells a child what it finds open; without sockets its environment is exactly what was asked.
pub(super) fn announce(sockets: &[PassedSocket], variables: &mut Vec<(ByteString, ByteString)>) {
    if sockets.is_empty() {
        return;
    }
    let is_ours =
        |name: &ByteString| [COUNT, NAMES, PID].iter().any(|own| own.as_bytes() == name.as_bytes());
    variables.retain(|(name, _)| !is_ours(name));
    let names: Vec<&str> = sockets.iter().map(|socket| socket.name.as_str()).collect();
    variables.push((COUNT.into(), sockets.len().to_string().as_str().into()));
    variables.push((NAMES.into(), names.join(":").as_str().into()));
}
