//! A question that is asked of a live service again and again.

use serde::{Deserialize, Serialize};

use crate::model::bytestring::ByteString;

/// How a service is asked, and what its answers come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// How.
    pub way: ProbeWay,
    /// Before the first question, in milliseconds from the start of the process.
    pub initial_delay_ms: u64,
    /// Between the end of a question and the next, in milliseconds.
    pub interval_ms: u64,
    /// For an answer, in milliseconds.
    pub timeout_ms: u64,
    /// So many wrong answers in a row make it unhealthy, from 1.
    pub failure_threshold: u32,
    /// So many right answers in a row make it ready or healthy, from 1.
    pub success_threshold: u32,
}

/// Ways to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeWay {
    /// A request over HTTP/1.1 (RFC 9112).
    Http(HttpProbe),
    /// A connection over TCP.
    Tcp {
        /// Where to.
        host: String,
        /// Which port.
        port: ProbePort,
    },
    /// A command that exits with 0, in the service's directory and environment.
    Exec {
        /// argv.
        command: Vec<ByteString>,
    },
    /// A line of its output, since its start.
    Output {
        /// A regular expression that matches somewhere in the line.
        pattern: String,
    },
    /// A connection over a Unix socket.
    Unix {
        /// Its absolute path.
        path: ByteString,
    },
    /// It says so itself: `READY=1` by `sd_notify(3)`.
    Notify,
}

/// A request over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// Host name or address, without brackets.
    pub host: String,
    /// Which port.
    pub port: ProbePort,
    /// Path and query, from `/`.
    pub path: String,
    /// Statuses that are right; empty: 200 to 399.
    pub statuses: Vec<u16>,
    /// What the body has to contain.
    pub body: Option<String>,
    /// Headers of the request.
    pub headers: Vec<(String, String)>,
}

/// The port of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbePort {
    /// The service's own of that name: whoever listens there must be of its own processes.
    Own(String),
    /// That one, whoever has it.
    Number(u16),
}
