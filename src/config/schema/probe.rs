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
    pub http: Option<HttpProbe>,
    /// A connection over TCP.
    pub tcp: Option<TcpProbe>,
    /// A command that exits with 0.
    #[schemars(extend("x-aliases" = ["command"]))]
    pub exec: Option<ExecWish>,
    /// A line of its output.
    #[schemars(extend("x-aliases" = ["log", "output_line"]))]
    pub output: Option<OutputWish>,
    /// A connection over a Unix socket.
    pub unix: Option<UnixProbe>,
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
