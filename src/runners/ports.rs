//! Ports of services: which are free, who holds them, and whether what listens is the service.
//!
//! A port is one for all addresses under which this machine is reached as `localhost`: whoever
//! listens on `[::]` alone has it, even though 127.0.0.1 could still be bound.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

pub use super::linux::listeners::{Listener, all as listeners};
use super::linux::{carriers, listeners as sockets};
use crate::model::service::spec::PortHolder;

/// Where `ip_unprivileged_port_start` is without the file that says so (`ip(7)`).
const PRIVILEGED_BELOW: u16 = 1_024;

/// Why a port cannot be bound.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Somebody listens on it, or has bound it.
    #[error("port {0} is taken")]
    Taken(u16),
    /// It is kept for those who may.
    #[error(
        "port {port} needs a privilege: those below {from} are for root \
         (net.ipv4.ip_unprivileged_port_start)"
    )]
    Privileged {
        /// The port.
        port: u16,
        /// The first that is for everybody.
        from: u16,
    },
    /// The host is neither `localhost` nor an address of this machine.
    #[error("{0} is neither localhost nor an address of this machine")]
    NoAddress(String),
    /// Something else.
    #[error("port {0} cannot be bound: {1}")]
    System(u16, Errno),
}

/// Where a service is to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On all addresses, or on any.
    Anywhere,
    /// On one of the two that are `localhost`.
    Loopback,
    /// On that one.
    At(IpAddr),
}

impl Place {
    fn of(host: Option<&str>) -> Result<Self, Busy> {
        let Some(host) = host.filter(|host| !host.is_empty() && *host != "*") else {
            return Ok(Self::Anywhere);
        };
        let address = address_of(host).ok_or_else(|| Busy::NoAddress(host.to_owned()))?;
        Ok(match address {
            address if address.is_unspecified() => Self::Anywhere,
            address if is_localhost(address) => Self::Loopback,
            address => Self::At(address),
        })
    }

    /// Whether whoever listens at `address` is in the way.
    fn meets(self, address: IpAddr) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Loopback => address.is_unspecified() || is_localhost(address),
            Self::At(wanted) => address.is_unspecified() || address == wanted,
        }
    }

    /// What is tried, and whether it has to exist: IPv6 may be off.
    fn addresses(self) -> Vec<(IpAddr, bool)> {
        match self {
            Self::Anywhere => {
                vec![(Ipv4Addr::UNSPECIFIED.into(), true), (Ipv6Addr::UNSPECIFIED.into(), false)]
            }
            Self::Loopback => {
                vec![(Ipv4Addr::LOCALHOST.into(), true), (Ipv6Addr::LOCALHOST.into(), false)]
            }
            Self::At(address) => vec![(address, true)],
        }
    }
}

/// What `localhost` stands for; 127.0.0.2 is another place.
fn is_localhost(address: IpAddr) -> bool {
    address == Ipv4Addr::LOCALHOST || address == Ipv6Addr::LOCALHOST
}

/// An address as people write it. Names are not looked up: that can take as long as the network
/// likes.
pub fn address_of(host: &str) -> Option<IpAddr> {
    if host.eq_ignore_ascii_case("localhost") {
        return Some(Ipv4Addr::LOCALHOST.into());
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// Whether a service can listen on a port, at an address where it wants one. What is left of ended
/// connections (`TIME_WAIT`) does not count.
///
/// # Errors
/// [`Busy`]: why not.
pub fn is_free(host: Option<&str>, port: u16) -> Result<(), Busy> {
    try_place(Place::of(host)?, port, &listeners())
}

/// Looks at who listens first: with `SO_REUSEADDR` a bind tells less than that.
fn try_place(place: Place, port: u16, listeners: &[Listener]) -> Result<(), Busy> {
    if port == 0 {
        return Err(Busy::System(port, Errno::INVAL));
    }
    if listeners.iter().any(|one| one.port == port && place.meets(one.address)) {
        return Err(Busy::Taken(port));
    }
    for (address, has_to_exist) in place.addresses() {
        match bound(SocketAddr::new(address, port), false) {
            Ok(_closed) => {}
            Err(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) if !has_to_exist => {}
            Err(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT) => {
                return Err(Busy::NoAddress(address.to_string()));
            }
            Err(Errno::ADDRINUSE) => return Err(Busy::Taken(port)),
            Err(Errno::ACCESS) => return Err(Busy::Privileged { port, from: unprivileged() }),
            Err(errno) => return Err(Busy::System(port, errno)),
        }
    }
    Ok(())
}

/// A socket that is bound and does not listen yet. At `[::]` it can be for IPv4 as well.
///
/// # Errors
/// What socket(2) or bind(2) said.
pub fn bound(address: SocketAddr, takes_both: bool) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !takes_both)?;
    }
    bind(&socket, &address)?;
    Ok(socket)
}

fn unprivileged() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(PRIVILEGED_BELOW)
}

/// The first port of a range, from `first` on and round, that is free and not in `taken`.
pub fn find(first: u16, range: RangeInclusive<u16>, taken: &BTreeSet<u16>) -> Option<u16> {
    let (low, high) = range.into_inner();
    let first = if (low..=high).contains(&first) { first } else { low };
    let listeners = listeners();
    (first..=high)
        .chain(low..first)
        .filter(|port| !taken.contains(port))
        .find(|port| try_place(Place::Anywhere, *port, &listeners).is_ok())
}

/// Where in a range to look first: for the same words always at the same place, so that a service
/// finds its port again.
pub fn start(key: &str, range: &RangeInclusive<u16>) -> u16 {
    let length = u64::from(range.end().saturating_sub(*range.start())) + 1;
    let digest = blake3::hash(key.as_bytes());
    let head = digest.as_bytes().first_chunk().copied().unwrap_or_default();
    let offset = u16::try_from(u64::from_le_bytes(head) % length).unwrap_or(0);
    range.start().saturating_add(offset)
}

/// Who listens on a port. Of several it is who is reached as `localhost`, and of several processes
/// with the same socket one that says it is a run's, or the oldest.
pub fn holder(port: u16) -> Option<PortHolder> {
    let found = listeners().into_iter().filter(|one| one.port == port);
    let listener = found.max_by_key(Listener::accepts_loopback)?;
    let holders = sockets::holders(listener.inode).into_iter();
    let known = holders.map(|stat| (stat, carriers::run_of(stat.pid)));
    let known = known.min_by_key(|(stat, run)| (run.is_none(), stat.start_ticks, stat.pid));
    Some(match known {
        Some((stat, run)) => {
            PortHolder { pid: Some(stat.pid), command: carriers::masked_command(stat.pid), run }
        }
        None => PortHolder { pid: None, command: String::new(), run: None },
    })
}

/// Whose a port is, seen from a shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody listens there.
    Nobody,
    /// What the shim has started, and nobody else.
    Tree,
    /// Somebody else, alone or as well.
    Foreign,
    /// It cannot be told: in the tree there are processes that may not be looked into.
    Unproven,
}

/// Whose a port is. What the shim itself keeps open for its next attempt is not its tree's: nobody
/// would answer there.
pub fn owner(port: u16, shim: u32) -> Owner {
    let found: Vec<Listener> = listeners().into_iter().filter(|one| one.port == port).collect();
    if found.is_empty() {
        return Owner::Nobody;
    }
    let held = sockets::held_below(shim, &inodes(&found));
    let is_ours = |one: &&Listener| held.inodes.contains(&one.inode);
    let is_in_the_way = |one: &Listener| one.accepts_loopback() && !is_ours(&one);
    match (found.iter().any(is_in_the_way), found.iter().any(|one| is_ours(&one))) {
        (false, true) => Owner::Tree,
        _ if held.is_partial => Owner::Unproven,
        _ => Owner::Foreign,
    }
}

/// Whether what a shim has started listens on a port, and nobody else does where `localhost` leads.
pub fn listens_in_tree(port: u16, shim: u32) -> bool {
    owner(port, shim) == Owner::Tree
}

/// What the processes below a shim listen on.
pub fn listening(shim: u32) -> Vec<Listener> {
    let mut found = listeners();
    let held = sockets::held_below(shim, &inodes(&found));
    found.retain(|one| held.inodes.contains(&one.inode));
    found.sort_by_key(|one| (one.port, one.address));
    found
}

fn inodes(listeners: &[Listener]) -> BTreeSet<u64> {
    listeners.iter().map(|one| one.inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runners::linux::clock::boottime_ms;
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};

    /// A listener at an address, and its port; `None` where there is no such address.
    fn listen(address: &str) -> Option<(TcpListener, u16)> {
        let address: IpAddr = address.parse().expect("an address");
        let socket = bound(SocketAddr::new(address, 0), false).ok()?;
        rustix::net::listen(&socket, 1).expect("listens");
        let listener = TcpListener::from(socket);
        let port = listener.local_addr().expect("bound").port();
        Some((listener, port))
    }

    #[test]
    fn a_port_that_is_held_at_any_local_address_is_taken() {
        for address in ["0.0.0.0", "127.0.0.1", "::", "::1"] {
            let Some((listener, port)) = listen(address) else {
                println!("SKIPPED (no address {address} here)");
                continue;
            };
            for host in [None, Some("localhost"), Some("127.0.0.1"), Some("[::1]"), Some("::")] {
                assert_eq!(is_free(host, port), Err(Busy::Taken(port)), "{address} for {host:?}");
            }
            drop(listener);
            // Another test's child has it for a moment, between fork and exec.
            let deadline_ms = boottime_ms() + 30_000;
            while is_free(None, port).is_err() {
                assert!(boottime_ms() < deadline_ms, "{address}");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
    }

    #[test]
    fn a_port_of_another_address_is_free_for_who_wants_only_that() {
        let (_listener, port) = listen("127.0.0.53").expect("all of 127/8 is ours");
        assert_eq!(is_free(Some("127.0.0.1"), port), Ok(()));
        assert_eq!(is_free(Some("127.0.0.53"), port), Err(Busy::Taken(port)));
        assert_eq!(is_free(Some("0.0.0.0"), port), Err(Busy::Taken(port)));
        assert_eq!(is_free(None, port), Err(Busy::Taken(port)));
    }

    #[test]
    fn what_is_bound_without_listening_is_taken_and_an_ended_connection_is_not() {
        let address: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        let flags = SocketFlags::CLOEXEC;
        let held = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).expect("one");
        bind(&held, &address).expect("binds");
        let name = rustix::net::getsockname(&held).expect("bound");
        let port = SocketAddr::try_from(name).expect("an address").port();
        assert_eq!(is_free(None, port), Err(Busy::Taken(port)));
        drop(held);
        let (listener, port) = listen("127.0.0.1").expect("binds");
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("connects");
        // Who closes first has TIME_WAIT at its end.
        drop(listener.accept().expect("accepts"));
        assert_eq!(client.read(&mut [0]).expect("reads"), 0);
        drop((client, listener));
        assert_eq!(is_free(None, port), Ok(()));
    }

    #[test]
    fn a_host_that_is_not_here_is_named() {
        let nowhere = |host: &str| Err(Busy::NoAddress(host.to_owned()));
        for host in ["example.org", "192.0.2.1", "1.2.3", "[::1"] {
            assert_eq!(is_free(Some(host), 50_000), nowhere(host));
        }
        assert_eq!(is_free(Some("::ffff:192.0.2.1"), 50_000), nowhere("192.0.2.1"));
        assert_eq!(is_free(None, 0), Err(Busy::System(0, Errno::INVAL)));
        let privileged = Busy::Privileged { port: 80, from: 1_024 };
        assert!(privileged.to_string().starts_with("port 80 needs a privilege: those below 1024"));
    }

    #[test]
    fn the_next_free_port_is_found_round_the_range() {
        let (_listener, busy) = listen("127.0.0.1").expect("binds");
        let none = BTreeSet::new();
        assert_eq!(find(busy, busy..=busy, &none), None);
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is tried")]
        let empty = 9..=8;
        assert_eq!(find(9, empty, &none), None);
        let range = busy - 20..=busy;
        let found = find(busy, range.clone(), &none).expect("one of them is free");
        assert!(range.contains(&found) && found < busy);
        let next = find(busy, range.clone(), &BTreeSet::from([found])).expect("and another");
        assert!(next > found && next < busy);
        assert!(find(1, range.clone(), &none) >= Some(busy - 20));
        assert_eq!(find(busy, range.clone(), &range.collect()), None);
    }

    #[test]
    fn words_have_a_place_of_their_own_in_a_range() {
        let range = 8_000..=8_999;
        let place = start("local /src/shop web 0 http", &range);
        assert_eq!(place, start("local /src/shop web 0 http", &range));
        assert!(range.contains(&place));
        let places: BTreeSet<u16> = (0..50).map(|n| start(&n.to_string(), &range)).collect();
        assert!(places.len() > 40, "{places:?}");
        assert_eq!(start("x", &(7..=7)), 7);
        assert!(start("x", &(0..=u16::MAX)) > 0);
    }

    #[test]
    fn who_holds_a_port_is_told_with_what_it_runs() {
        let (listener, port) = listen("127.0.0.1").expect("binds");
        let holder = holder(port).expect("somebody holds it");
        assert_eq!(holder.pid, Some(std::process::id()));
        assert!(!holder.command.is_empty());
        drop(listener);
        assert_eq!(super::holder(port), None);
    }

    #[test]
    fn a_port_that_nobody_or_somebody_else_has_is_not_the_trees() {
        let (listener, port) = listen("127.0.0.1").expect("binds");
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().expect("spawns");
        assert_eq!(owner(port, child.id()), Owner::Foreign);
        // Our own is no descendant of ours.
        assert!(!listens_in_tree(port, std::process::id()));
        child.kill().expect("ours");
        child.wait().expect("ours");
        drop(listener);
        assert_eq!(owner(port, std::process::id()), Owner::Nobody);
    }
}
