//! TCP sockets that listen, and which processes hold them (`proc_pid_net(5)`, `proc_pid_fd(5)`).

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::procfs;
use super::socket_diag::{self, Family};

/// `TCP_LISTEN` of `tcp_states.h`, as the kernel prints it.
const LISTEN: &str = "0A";

/// A TCP socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// Where; an IPv4 address that was bound through IPv6 is shown as what it is.
    pub address: IpAddr,
    /// On which port.
    pub port: u16,
    /// Tells the socket from all others of this network namespace.
    pub inode: u64,
    /// Who made it.
    pub uid: u32,
}

impl Listener {
    /// Whether a connection to this machine's own address (`localhost`) may come to it.
    pub fn accepts_loopback(&self) -> bool {
        self.address.is_unspecified() || self.address.is_loopback()
    }
}

/// All of this network namespace, from the tables where the kernel does not let itself be asked.
pub fn all() -> Vec<Listener> {
    let mut found = Vec::new();
    for family in [Family::Four, Family::Six] {
        found.extend(socket_diag::listeners(family).unwrap_or_else(|_| in_table(family)));
    }
    found
}

/// Where IPv6 is off, there is no table for it.
fn in_table(family: Family) -> Vec<Listener> {
    let table = match family {
        Family::Four => "/proc/net/tcp",
        Family::Six => "/proc/net/tcp6",
    };
    let text = std::fs::read_to_string(table).unwrap_or_default();
    text.lines().filter_map(parse).collect()
}

/// A row: number, local address, remote address, state, queues, timer, retransmits, uid, timeout,
/// inode.
fn parse(line: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let uid = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Listener { address: parse_address(address)?, port, inode, uid })
}

/// Words of 32 bits, each printed as a number of this machine, though its bytes are in the order of
/// the network.
fn parse_address(digits: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let word = u32::from_str_radix(digits.get(at..at + 8)?, 16).ok()?;
        Some(u32::from_be(word))
    };
    match digits.len() {
        8 => Some(Ipv4Addr::from_bits(word(0)?).into()),
        32 => {
            let mut bits = 0_u128;
            for at in [0, 8, 16, 24] {
                bits = bits << 32 | u128::from(word(at)?);
            }
            Some(IpAddr::from(Ipv6Addr::from_bits(bits)).to_canonical())
        }
        _ => None,
    }
}

/// Those of `wanted` that a process has open.
///
/// # Errors
/// It may not be looked into, or there is none.
pub fn held_by(pid: u32, wanted: &BTreeSet<u64>) -> io::Result<BTreeSet<u64>> {
    let mut held = BTreeSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        // One that was closed meanwhile is no longer there.
        let Ok(target) = entry.and_then(|entry| std::fs::read_link(entry.path())) else { continue };
        let inode = target.to_str().and_then(socket_inode);
        held.extend(inode.filter(|inode| wanted.contains(inode)));
    }
    Ok(held)
}

fn socket_inode(target: &str) -> Option<u64> {
    target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Sockets that the processes below another have open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Those that were asked for.
    pub inodes: BTreeSet<u64>,
    /// A process could not be looked into: it has other rights than this one.
    pub is_partial: bool,
}

/// Those of `wanted` that any process below `root` has open; `root` itself is left out.
pub fn held_below(root: u32, wanted: &BTreeSet<u64>) -> Held {
    let mut held = Held::default();
    for pid in procfs::below(root) {
        match held_by(pid, wanted) {
            Ok(inodes) => held.inodes.extend(inodes),
            Err(error) => held.is_partial |= error.kind() == io::ErrorKind::PermissionDenied,
        }
        if held.inodes.len() == wanted.len() {
            break;
        }
    }
    held
}

/// The processes that have a socket open, as far as they may be looked into.
pub fn holders(inode: u64) -> Vec<procfs::Stat> {
    let wanted = BTreeSet::from([inode]);
    let mut stats = procfs::all().unwrap_or_default();
    stats.retain(|stat| held_by(stat.pid, &wanted).is_ok_and(|held| !held.is_empty()));
    stats
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    #[cfg(target_endian = "little")]
    fn rows_of_both_tables_are_read_and_only_those_that_listen() {
        let row = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                   1000        0 52431 1 0000000000000000 100 0 0 10 0";
        let address = IpAddr::from(Ipv4Addr::LOCALHOST);
        let expected = Listener { address, port: 8080, inode: 52_431, uid: 1_000 };
        assert_eq!(parse(row), Some(expected));
        assert_eq!(parse(&row.replace(" 0A ", " 01 ")), None);
        assert_eq!(parse("  sl  local_address rem_address   st tx_queue"), None);
        assert_eq!(parse(""), None);
        let six = |digits| parse_address(digits).expect("an address").to_string();
        assert_eq!(six("00000000000000000000000001000000"), "::1");
        assert_eq!(six("00000000000000000000000000000000"), "::");
        assert_eq!(six("B80D0120000000000000000034120000"), "2001:db8::1234");
        assert_eq!(six("0000000000000000FFFF00000100007F"), "127.0.0.1");
        assert_eq!(parse_address("0100007"), None);
        assert_eq!(parse_address("0100007G"), None);
    }

    #[test]
    fn the_kernel_and_its_tables_say_the_same_of_what_is_ours() {
        for (family, address) in [(Family::Four, "0.0.0.0:0"), (Family::Six, "[::1]:0")] {
            let Ok(listener) = TcpListener::bind(address) else {
                println!("SKIPPED (no address {address} here)");
                continue;
            };
            let port = listener.local_addr().expect("bound").port();
            let ours = |found: Vec<Listener>| -> Vec<Listener> {
                found.into_iter().filter(|one| one.port == port).collect()
            };
            match socket_diag::listeners(family) {
                Ok(found) => assert_eq!(ours(found), ours(in_table(family))),
                Err(error) => println!("SKIPPED (no sock_diag here: {error})"),
            }
            assert_eq!(ours(in_table(family)).len(), 1);
        }
    }

    #[test]
    fn an_own_listener_is_found_with_its_process() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let found: Vec<Listener> =
            all().into_iter().filter(|listener| listener.port == port).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].uid, rustix::process::geteuid().as_raw());
        let own = std::process::id();
        assert!(holders(found[0].inode).iter().any(|stat| stat.pid == own));
        let wanted = BTreeSet::from([found[0].inode, 1]);
        assert_eq!(held_by(own, &wanted).expect("ours"), BTreeSet::from([found[0].inode]));
        drop(listener);
        assert!(!all().iter().any(|listener| listener.port == port));
    }
}
