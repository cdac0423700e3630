//! Asks the kernel for TCP sockets that listen (`sock_diag(7)`). The tables in `/proc/net` tell the
//! same, but each look at one goes through the places of all connections as well.
//!
//! ```text
//! request: nlmsghdr 16 │ inet_diag_req_v2 56        answers: (nlmsghdr 16 │ inet_diag_msg 72 …)…
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use super::listeners::Listener;

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`, `NLM_F_ROOT` and `NLM_F_MATCH`: all that there is.
const DUMP: u16 = 0x301;
/// `NLM_F_DUMP_INTR` in an answer: it may be torn.
const TORN: u16 = 0x10;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// Those in state `TCP_LISTEN`, which is 10.
const LISTENING: u32 = 1 << 10;
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: usize = HEADER_BYTES + 56;
/// What netlink(7) wants a reader to have room for.
const ANSWER_BYTES: usize = 32 << 10;

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Four,
    Six,
}

impl Family {
    /// `AF_INET`, `AF_INET6`.
    fn number(self) -> u8 {
        match self {
            Self::Four => 2,
            Self::Six => 10,
        }
    }
}

/// All of one family.
///
/// # Errors
/// The kernel cannot be asked so, or the answer may be torn.
pub(super) fn listeners(family: Family) -> io::Result<Vec<Listener>> {
    let flags = SocketFlags::CLOEXEC;
    let diag = Some(netlink::SOCK_DIAG);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, diag)?;
    send(&socket, &request(family), SendFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0; ANSWER_BYTES];
    loop {
        // The kernel has put the first part there already, and puts the next when one is taken.
        let (length, _) = recv(&socket, &mut buffer, RecvFlags::DONTWAIT)?;
        if read(&buffer[..length], &mut found).ok_or(io::ErrorKind::InvalidData)? {
            return Ok(found);
        }
    }
}

#[expect(clippy::host_endian_bytes, reason = "netlink speaks the byte order of the machine")]
fn request(family: Family) -> [u8; REQUEST_BYTES] {
    let mut bytes = [0; REQUEST_BYTES];
    let length = u32::try_from(REQUEST_BYTES).unwrap_or(0);
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    bytes[16] = family.number();
    bytes[17] = TCP;
    bytes[20..24].copy_from_slice(&LISTENING.to_ne_bytes());
    bytes
}

/// Reads a datagram of answers; true when it was the last, `None` if it cannot be trusted.
fn read(mut rest: &[u8], found: &mut Vec<Listener>) -> Option<bool> {
    while !rest.is_empty() {
        let length = usize::try_from(number(rest, 0)?).ok()?;
        let message = rest.get(..length)?;
        let body = message.get(HEADER_BYTES..)?;
        match half(message, 4)? {
            _ if half(message, 6)? & TORN != 0 => return None,
            DONE => return Some(true),
            ERROR => return None,
            BY_FAMILY => found.push(listener(body)?),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(false)
}

/// `struct inet_diag_msg`.
fn listener(body: &[u8]) -> Option<Listener> {
    let address: IpAddr = match body.first()? {
        2 => Ipv4Addr::from(*body.get(8..)?.first_chunk::<4>()?).into(),
        _ => Ipv6Addr::from(*body.get(8..)?.first_chunk::<16>()?).into(),
    };
    let port = u16::from_be_bytes(*body.get(4..)?.first_chunk()?);
    let (uid, inode) = (number(body, 64)?, u64::from(number(body, 68)?));
    Some(Listener { address: address.to_canonical(), port, inode, uid })
}

#[expect(clippy::host_endian_bytes, reason = "netlink speaks the byte order of the machine")]
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[expect(clippy::host_endian_bytes, reason = "netlink speaks the byte order of the machine")]
fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_cut_torn_or_an_error_is_not_trusted() {
        let message = |kind: u16, flags: u16, body: &[u8]| {
            let mut bytes = request(Family::Four)[..HEADER_BYTES].to_vec();
            let length = u32::try_from(HEADER_BYTES + body.len()).expect("short");
            for (at, byte) in length.to_le_bytes().into_iter().enumerate() {
                bytes[if cfg!(target_endian = "big") { 3 - at } else { at }] = byte;
            }
            for (at, value) in [(4, kind), (6, flags)] {
                for (place, byte) in value.to_le_bytes().into_iter().enumerate() {
                    bytes[at + if cfg!(target_endian = "big") { 1 - place } else { place }] = byte;
                }
            }
            [&bytes, body].concat()
        };
        let mut body = [0_u8; 72];
        body[0] = 2;
        body[4..6].copy_from_slice(&8_080_u16.to_be_bytes());
        body[8..12].copy_from_slice(&[127, 0, 0, 1]);
        let one = message(BY_FAMILY, 0, &body);
        let mut found = Vec::new();
        assert_eq!(read(&one, &mut found), Some(false));
        assert_eq!((found[0].address, found[0].port), (Ipv4Addr::LOCALHOST.into(), 8_080));
        assert_eq!(
            read(&[one.clone(), message(DONE, 0, &[0; 4])].concat(), &mut found),
            Some(true)
        );
        assert_eq!(found.len(), 2);
        assert_eq!(read(&message(ERROR, 0, &[0; 20]), &mut found), None);
        assert_eq!(read(&message(BY_FAMILY, TORN, &body), &mut found), None);
        for length in 1..one.len() {
            assert_eq!(read(&one[..length], &mut found), None, "{length}");
        }
        assert_eq!(read(&[0; 16], &mut found), None);
    }
}
