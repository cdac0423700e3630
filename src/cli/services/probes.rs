//! The questions to a service, as the configuration writes them.

use crate::cli::declared::{Declared, words};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::config::schema::probe::{
    ExecWish, HttpProbe as HttpWish, Probe as ProbeWish, Statuses, TcpProbe,
};
use crate::config::schema::values::{Millis, Port};
use crate::daemon::protocol::Common;
use crate::model::ByteString;
use crate::model::service::probe::{HttpProbe, Probe, ProbePort, ProbeWay};
use crate::model::service::spec::{MAIN_PORT, PortWish};

/// Between two questions about readiness: somebody waits for it.
const READINESS_INTERVAL_MS: u64 = 500;
/// Between two questions about health.
const HEALTH_INTERVAL_MS: u64 = 10_000;
/// For an answer.
const TIMEOUT_MS: u64 = 3_000;
/// Wrong answers in a row that make a service unhealthy.
const FAILURES: u32 = 3;

/// A question with all that was left open.
///
/// # Errors
/// It cannot be asked so.
pub fn probe(
    declared: &Declared<'_>,
    name: &str,
    key: &str,
    wish: &ProbeWish,
    ports: &[PortWish],
    common: &Common,
) -> Result<Probe, CommandError> {
    let fail = |why: String| {
        CommandError::new("bad_probe", exit::USAGE, format!("services.{name}.{key}: {why}"))
            .hint("see all of it: jr config check")
    };
    let mut timeout: Option<Millis> = wish.timeout;
    let way = if let Some(http) = &wish.http {
        let http = http.table();
        timeout = timeout.or(http.timeout);
        ProbeWay::Http(http_probe(&http, ports).map_err(fail)?)
    } else if let Some(tcp) = &wish.tcp {
        let tcp = tcp.table();
        timeout = timeout.or(tcp.timeout);
        tcp_probe(&tcp, ports).map_err(fail)?
    } else if let Some(exec) = &wish.exec {
        let command = match exec {
            ExecWish::Command(command) => words(Some(command), None),
            ExecWish::Table(exec) => words(exec.command.as_ref(), exec.args.as_deref()),
        };
        ProbeWay::Exec { command }
    } else if let Some(output) = &wish.output {
        let pattern = output.pattern().to_owned();
        regex::Regex::new(&pattern).map_err(|error| fail(format!("output: {error}")))?;
        ProbeWay::Output { pattern }
    } else if let Some(unix) = &wish.unix {
        let path = unix.path();
        let place = ["services", name, key, "unix", "path"];
        let path = if path.starts_with('~') {
            declared.path_of(&place, path)
        } else {
            std::path::PathBuf::from(common.cwd.to_text()).join(path)
        };
        ProbeWay::Unix { path: ByteString::from(path.into_os_string()) }
    } else if wish.notify == Some(true) {
        ProbeWay::Notify
    } else {
        return Err(fail("it says not how to ask".to_owned()));
    };
    let interval = if key == "readiness" { READINESS_INTERVAL_MS } else { HEALTH_INTERVAL_MS };
    Ok(Probe {
        way,
        initial_delay_ms: wish.initial_delay.map_or(0, |millis| millis.0),
        interval_ms: wish.interval.map_or(interval, |millis| millis.0).max(1),
        timeout_ms: timeout.map_or(TIMEOUT_MS, |millis| millis.0).max(1),
        failure_threshold: wish.failure_threshold.unwrap_or(FAILURES).max(1),
        success_threshold: wish.success_threshold.unwrap_or(1).max(1),
    })
}

fn http_probe(wish: &HttpWish, ports: &[PortWish]) -> Result<HttpProbe, String> {
    let (host, port, path) = if let Some(url) = &wish.url {
        parse_url(url, ports)?
    } else {
        let (host, port) = target(wish.port.as_ref(), None, ports)?;
        (host, port, wish.path.clone().unwrap_or_else(|| "/".to_owned()))
    };
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    let statuses = match &wish.status {
        Some(Statuses::One(status)) => vec![*status],
        Some(Statuses::Many(statuses)) => statuses.clone(),
        None => Vec::new(),
    };
    let headers = wish.headers.iter().flatten();
    let headers = headers.map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(HttpProbe { host, port, path, statuses, body: wish.body.clone(), headers })
}

/// `http://HOST[:PORT][/PATH]`; `{port}` is the main port.
fn parse_url(url: &str, ports: &[PortWish]) -> Result<(String, ProbePort, String), String> {
    let rest = url.strip_prefix("http://");
    let rest = rest.ok_or_else(|| format!("{url:?} does not begin with http://"))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let port = match port {
        Some("{port}") => own(MAIN_PORT, ports)?,
        Some(text) => match text.strip_prefix("{port.").and_then(|name| name.strip_suffix('}')) {
            Some(name) => own(name, ports)?,
            None => number(text.parse().map_err(|_| format!("{text:?} is no port"))?, ports),
        },
        None => number(80, ports),
    };
    let path = if path.is_empty() { "/" } else { path };
    Ok((host.to_owned(), port, path.to_owned()))
}

fn tcp_probe(wish: &TcpProbe, ports: &[PortWish]) -> Result<ProbeWay, String> {
    let (host, port) = target(wish.port.as_ref(), wish.host.as_deref(), ports)?;
    Ok(ProbeWay::Tcp { host, port })
}

/// Where to: by default its own main port, at the address that it binds.
fn target(
    port: Option<&Port>,
    host: Option<&str>,
    ports: &[PortWish],
) -> Result<(String, ProbePort), String> {
    let (said, port) = match port {
        Some(Port::Fixed(wish)) => (None, number(*wish, ports)),
        Some(Port::Text(text)) => match text.rsplit_once(':') {
            Some((host, wish)) => {
                let wish = wish.parse().map_err(|_| format!("{text:?} is no port"))?;
                (Some(host.to_owned()), number(wish, ports))
            }
            None if text == "auto" => (None, own(MAIN_PORT, ports)?),
            None => {
                let wish = text.parse().map_err(|_| format!("{text:?} is no port"))?;
                (None, number(wish, ports))
            }
        },
        None => (None, own(MAIN_PORT, ports)?),
    };
    let bound = ports.first().and_then(|wish| wish.host.clone());
    let bound = bound.filter(|host| !matches!(host.as_str(), "0.0.0.0" | "::" | "*"));
    let host = host.map(str::to_owned).or(said).or(bound);
    Ok((host.unwrap_or_else(|| "localhost".to_owned()), port))
}

/// Its own port of that name; the main one is the first, whatever its name.
fn own(name: &str, ports: &[PortWish]) -> Result<ProbePort, String> {
    let named = ports.iter().find(|wish| wish.name == name);
    let main = ports.first().filter(|_| name == MAIN_PORT);
    match named.or(main) {
        Some(wish) => Ok(ProbePort::Own(wish.name.clone())),
        None if name == MAIN_PORT => Err("the service has no port; give one: port = …".to_owned()),
        None => Err(format!("the service has no port {name:?}")),
    }
}

/// A number that the service asks for is its own.
fn number(number: u16, ports: &[PortWish]) -> ProbePort {
    let own = ports.iter().find(|wish| wish.number == Some(number));
    own.map_or(ProbePort::Number(number), |wish| ProbePort::Own(wish.name.clone()))
}
