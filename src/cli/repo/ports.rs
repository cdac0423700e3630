//! Whether the ports that services want are free.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use crate::config::resolve::Resolved;
use crate::config::schema::service::{Ports, Service};
use crate::config::schema::values::Port;
use crate::daemon::doctor::Finding;

/// Each port that two want or that somebody has.
pub(super) fn examine(resolved: &Resolved) -> Vec<Finding> {
    let services = resolved.environment.services.iter().flatten();
    let wanted: Vec<(&String, u16)> =
        services.flat_map(|(name, service)| ports_of(service).map(move |p| (name, p))).collect();
    let mut findings = Vec::new();
    for (place, (name, port)) in wanted.iter().enumerate() {
        if let Some((other, _)) = wanted[..place].iter().find(|(_, other)| other == port) {
            let message = format!("services {other} and {name} both want port {port}");
            findings.push(Finding::error("port", message).fix("jr config show --origin"));
        } else if let Some(family) = taken(*port) {
            let message = format!("port {port} of service {name} is taken ({family})");
            let fix = format!("ss -ltnp 'sport = :{port}'");
            findings.push(Finding::warning("port", message).fix(fix));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("ports", format!("{} wanted, all free", wanted.len())));
    }
    findings.into_iter().map(|finding| Finding { group: "ports", ..finding }).collect()
}
fn ports_of(service: &Service) -> impl Iterator<Item = u16> {
    let listed = service.ports.iter().flat_map(|ports| match ports {
        Ports::Named(named) => named.values().collect::<Vec<_>>(),
        Ports::List(list) => list.iter().collect(),
    });
    service.port.iter().chain(listed).filter_map(number).filter(|port| *port > 0)
}

fn number(port: &Port) -> Option<u16> {
    match port {
        Port::Fixed(port) => Some(*port),
        Port::Text(text) => text.rsplit(':').next()?.parse().ok(),
    }
}

/// The family in which somebody has the port.
fn taken(port: u16) -> Option<&'static str> {
    let is_taken = |result: std::io::Result<TcpListener>| {
        result.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    };
    if is_taken(TcpListener::bind((Ipv4Addr::LOCALHOST, port))) {
        return Some("IPv4");
    }
    is_taken(TcpListener::bind((Ipv6Addr::LOCALHOST, port))).then_some("IPv6")
}
