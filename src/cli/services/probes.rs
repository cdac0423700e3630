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
use crate::model::secret::mask_line;
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
    let Url { user, host, port, path } = if let Some(url) = &wish.url {
        parse_url(url, ports)?
    } else {
        let (host, port) = target(wish.port.as_ref(), None, ports)?;
        Url { user: None, host, port, path: wish.path.clone().unwrap_or_else(|| "/".to_owned()) }
    };
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    let statuses = match &wish.status {
        Some(Statuses::One(status)) => vec![*status],
        Some(Statuses::Many(statuses)) => statuses.clone(),
        None => Vec::new(),
    };
    let headers = wish.headers.iter().flatten();
    let mut headers: Vec<(String, String)> =
        headers.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(user) = user
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    {
        headers.push(("Authorization".to_owned(), basic(&user)));
    }
    Ok(HttpProbe { host, port, path, statuses, body: wish.body.clone(), headers })
}

/// The parts of a URL that a question needs.
struct Url {
    /// `user:password`, as written.
    user: Option<String>,
    host: String,
    port: ProbePort,
    path: String,
}

/// `http://[USER:PASSWORD@]HOST[:PORT][/PATH]`; `{port}` is the main port.
fn parse_url(url: &str, ports: &[PortWish]) -> Result<Url, String> {
    let rest = url.strip_prefix("http://");
    let rest = rest.ok_or_else(|| {
        let shown = mask_line(ByteString::from(url)).values.to_text();
        format!("{shown:?} does not begin with http://")
    })?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, authority) = match authority.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, authority),
    };
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
    Ok(Url { user, host: host.to_owned(), port, path: path.to_owned() })
}

/// Without the user information, which is no part of a host (RFC 3986, 3.2).
fn without_user(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, rest)| rest)
}

/// The user information of a URL as a header has it (RFC 7617).
fn basic(user: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut decoded = Vec::with_capacity(user.len());
    let mut rest = user.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *byte == b'%');
        let escaped = escaped.and_then(|two| std::str::from_utf8(two).ok());
        let value = escaped.and_then(|two| u8::from_str_radix(two, 16).ok());
        decoded.push(value.unwrap_or(*byte));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    let mut header = "Basic ".to_owned();
    for three in decoded.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            let is_there = place <= three.len();
            header.push(if is_there { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
    header
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
    let not_a_port = |text: &str| format!("{:?} is no port", without_user(text));
    let (said, port) = match port {
        Some(Port::Fixed(wish)) => (None, number(*wish, ports)),
        Some(Port::Text(text)) => match without_user(text).rsplit_once(':') {
            Some((host, wish)) => {
                let wish = wish.parse().map_err(|_| not_a_port(text))?;
                (Some(host.to_owned()), number(wish, ports))
            }
            None if text == "auto" => (None, own(MAIN_PORT, ports)?),
            None => {
                let wish = text.parse().map_err(|_| not_a_port(text))?;
                (None, number(wish, ports))
            }
        },
        None => (None, own(MAIN_PORT, ports)?),
    };
    let bound = ports.first().and_then(|wish| wish.host.clone());
    let bound = bound.filter(|host| !matches!(host.as_str(), "0.0.0.0" | "::" | "*"));
    let host = host.map(|host| without_user(host).to_owned()).or(said).or(bound);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_sent_as_a_header_and_is_no_part_of_the_host() {
        let of = |url: &str, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            let wish = HttpWish {
                url: Some(url.to_owned()),
                headers: Some(headers),
                ..HttpWish::default()
            };
            http_probe(&wish, &[])
        };
        let probe = of("http://u:p%40ss@127.0.0.1:80/x", &[]).expect("reads");
        assert_eq!((probe.host.as_str(), probe.path.as_str()), ("127.0.0.1", "/x"));
        let wanted = ("Authorization".to_owned(), "Basic dTpwQHNz".to_owned());
        assert_eq!(probe.headers, [wanted]);
        let probe = of("http://ada:pw@h", &[("authorization", "Bearer x")]).expect("reads");
        assert_eq!((probe.host.as_str(), probe.headers.len()), ("h", 1));
        for (text, wanted) in
            [("a", "Basic YQ=="), ("ab", "Basic YWI="), ("a%zz", "Basic YSV6eg==")]
        {
            assert_eq!(basic(text), wanted);
        }
        for url in ["http://u:hunter2@h:x/", "https://u:hunter2@h/"] {
            let told = of(url, &[]).expect_err("is refused");
            assert!(!told.contains("hunter2"), "{told}");
        }
        let port = Port::Text("u:hunter2@h:80".to_owned());
        let (host, port) = target(Some(&port), None, &[]).expect("reads");
        assert_eq!((host.as_str(), port), ("h", ProbePort::Number(80)));
        let told = target(Some(&Port::Text("u:hunter2@h".to_owned())), None, &[]);
        assert!(!told.expect_err("is refused").contains("hunter2"));
    }
}
