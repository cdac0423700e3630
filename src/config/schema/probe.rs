//! How a service is asked whether it is well.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Millis, Port, Words};

/// A question to a service, asked again and again. It has exactly one of `http`, `tcp`, `exec`,
/// `output`, `unix` and `notify`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend(
    "x-alternatives" = [["http"], ["tcp"], ["exec"], ["output"], ["unix"], ["notify"]]
))]
pub struct Probe {
    /// A request over HTTP.
    pub http: Option<HttpWish>,
    /// A connection over TCP.
    pub tcp: Option<TcpWish>,
    /// A command that exits with 0.
    #[schemars(extend("x-aliases" = ["command"]))]
    pub exec: Option<ExecWish>,
    /// A line of its output.
    #[schemars(extend("x-aliases" = ["log", "output_line"]))]
    pub output: Option<OutputWish>,
    /// A connection over a Unix socket.
    pub unix: Option<UnixWish>,
    /// It says so itself, by `sd_notify(3)`.
    pub notify: Option<bool>,
    /// Before the first question.
    #[schemars(extend("x-aliases" = ["initial_delay_secs:s", "initial_delay_millis:ms"]))]
    pub initial_delay: Option<Millis>,
    /// Between two questions.
    #[schemars(extend("x-aliases" = ["interval_secs:s", "interval_millis:ms"]))]
    pub interval: Option<Millis>,
    /// For an answer.
    #[schemars(extend("x-aliases" = ["timeout_secs:s", "timeout_millis:ms"]))]
    pub timeout: Option<Millis>,
    /// So many wrong answers in a row make it unhealthy.
    #[schemars(range(min = 1))]
    pub failure_threshold: Option<u32>,
    /// So many right answers in a row make it healthy.
    #[schemars(range(min = 1))]
    pub success_threshold: Option<u32>,
}

/// Where a request goes, or a table with it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HttpWish {
    /// A URL, or a path on its own port.
    Target(String),
    /// The same.
    Table(HttpProbe),
}

impl HttpWish {
    /// As a table.
    pub fn table(&self) -> HttpProbe {
        match self {
            Self::Target(path) if path.starts_with('/') => {
                HttpProbe { path: Some(path.clone()), ..HttpProbe::default() }
            }
            Self::Target(url) => HttpProbe { url: Some(url.clone()), ..HttpProbe::default() },
            Self::Table(table) => table.clone(),
        }
    }
}

/// A port, or a table with it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TcpWish {
    /// The port.
    Port(Port),
    /// The same.
    Table(TcpProbe),
}

impl TcpWish {
    /// As a table.
    pub fn table(&self) -> TcpProbe {
        match self {
            Self::Port(port) => TcpProbe { port: Some(port.clone()), ..TcpProbe::default() },
            Self::Table(table) => table.clone(),
        }
    }
}

/// The path of a socket, or a table with it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum UnixWish {
    /// The path.
    Path(String),
    /// The same.
    Table(UnixProbe),
}

impl UnixWish {
    /// The path.
    pub fn path(&self) -> &str {
        match self {
            Self::Path(path) => path,
            Self::Table(table) => table.path.as_deref().unwrap_or_default(),
        }
    }
}

/// A request over HTTP/1.1.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpProbe {
    /// Where to; `{port}` is its own port.
    pub url: Option<String>,
    /// Instead of a URL: the path on its own port (default `/`).
    pub path: Option<String>,
    /// The port, where it is not its own.
    pub port: Option<Port>,
    /// Statuses that are well (default 200 to 399).
    #[schemars(extend("x-aliases" = ["success_codes", "statuses"]))]
    pub status: Option<Statuses>,
    /// What the body has to contain.
    pub body: Option<String>,
    /// Headers of the request.
    pub headers: Option<BTreeMap<String, String>>,
    /// For an answer.
    #[schemars(extend("x-aliases" = ["timeout_secs:s", "timeout_millis:ms"]))]
    pub timeout: Option<Millis>,
}

/// One HTTP status, or several.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Statuses {
    /// That one.
    One(u16),
    /// Any of them.
    Many(Vec<u16>),
}

/// A connection over TCP.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TcpProbe {
    /// Where to (default 127.0.0.1).
    pub host: Option<String>,
    /// The port (default: its own).
    pub port: Option<Port>,
    /// For an answer.
    #[schemars(extend("x-aliases" = ["timeout_secs:s", "timeout_millis:ms"]))]
    pub timeout: Option<Millis>,
}

/// A command, or a table with it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ExecWish {
    /// The command.
    Command(Words),
    /// The same.
    Table(ExecProbe),
}

/// A regular expression that a line has to match, or a table with it.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OutputWish {
    /// The expression.
    Pattern(String),
    /// The same.
    Table(OutputProbe),
}

impl OutputWish {
    /// The expression.
    pub fn pattern(&self) -> &str {
        match self {
            Self::Pattern(pattern) => pattern,
            Self::Table(table) => table.pattern.as_deref().unwrap_or_default(),
        }
    }
}

/// A command that exits with 0.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExecProbe {
    /// The command.
    pub command: Option<Words>,
    /// Words after it.
    pub args: Option<Vec<String>>,
}

/// A line of its output.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutputProbe {
    /// A regular expression that the line has to match.
    #[schemars(extend("x-aliases" = ["regex", "line"]))]
    pub pattern: Option<String>,
}

/// A connection over a Unix socket.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UnixProbe {
    /// The socket, relative to the service's directory.
    pub path: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_may_be_said_in_one_word() {
        let read = |text: &str| toml::from_str::<Probe>(text).expect("a probe");
        let http = |text: &str| read(text).http.expect("a request").table();
        assert_eq!(http("http = '/healthz'").path.as_deref(), Some("/healthz"));
        assert_eq!(http("http = 'http://a:1/'").url.as_deref(), Some("http://a:1/"));
        assert_eq!(http("http.path = '/b'").path.as_deref(), Some("/b"));
        let tcp = read("tcp = 8199").tcp.expect("a connection").table();
        assert_eq!(tcp.port, Some(Port::Fixed(8199)));
        assert_eq!(read("unix = 'run/s'").unix.expect("a connection").path(), "run/s");
    }
}
