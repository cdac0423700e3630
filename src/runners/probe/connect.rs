//! Connections over TCP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;

use super::{Target, text};
use crate::model::service::probe::ProbePort;

/// What went wrong at the addresses of a host. Whoever answered says more than who was not there.
#[derive(Debug, Default)]
pub(super) struct Wrongs {
    answer: Option<String>,
    refusal: Option<String>,
}

impl Wrongs {
    /// It connected, and then.
    pub(super) fn answered(&mut self, what: String) {
        self.answer.get_or_insert(what);
    }

    /// It did not connect.
    pub(super) fn refused(&mut self, what: String) {
        self.refusal.get_or_insert(what);
    }

    /// The one to tell.
    pub(super) fn into_text(self) -> String {
        self.answer.or(self.refusal).unwrap_or_else(|| "no address to ask".to_owned())
    }
}

/// Is right once a connection stands.
pub(super) async fn ask(
    host: &str,
    port: &ProbePort,
    target: &Target,
    timeout: Duration,
) -> Result<(), String> {
    let number = target.port(port)?;
    let place = place(host, number);
    let connect = async {
        let mut wrongs = Wrongs::default();
        for address in addresses(host, number).await? {
            match open(address).await {
                Ok(_stream) => return target.check_owner(port, number),
                Err(error) => wrongs.refused(refusal(&place, &error)),
            }
        }
        Err(wrongs.into_text())
    };
    match tokio::time::timeout(timeout, connect).await {
        Ok(answer) => answer,
        Err(_) => Err(text::late(&format!("connection to {place}"), timeout)),
    }
}

/// Without what an older declaration kept before an `@`: user information is no part of a host
/// (RFC 3986, 3.2), and may be a secret.
fn without_user(host: &str) -> &str {
    host.rsplit_once('@').map_or(host, |(_, host)| host)
}

/// As people write it, with brackets around an IPv6 address (RFC 3986).
pub(super) fn place(host: &str, port: u16) -> String {
    let host = without_user(host);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Nobody is there.
pub(super) fn refusal(place: &str, error: &io::Error) -> String {
    format!("cannot connect to {place}: {}", text::reason(error))
}

/// Every address of a host. `localhost` is both families whatever the resolver knows: a service
/// that binds only one of them is there all the same.
pub(super) async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let host = without_user(host);
    if host.eq_ignore_ascii_case("localhost") {
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(both.map(|address| SocketAddr::new(address, port)).to_vec());
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    match tokio::net::lookup_host((host, port)).await {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(format!("cannot resolve {host}: {}", text::reason(&error))),
    }
}

/// Connects.
pub(super) async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Where nobody listens on a port of the ephemeral range, a socket can get that very port and
    // connect to itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_has_no_user_information() {
        assert_eq!(place("u:hunter2@::1", 80), "[::1]:80");
        let found = addresses("u:hunter2@127.0.0.1", 80).await.expect("an address");
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 80))]);
        let told = addresses("u:hunter2@no host", 80).await.expect_err("there is none");
        assert!(!told.contains("hunter2"), "{told}");
    }
}
