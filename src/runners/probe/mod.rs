//! Questions to live services: is it ready, is it well?
//!
//! ```text
//! Judge (pure) ──who next, when──▶ watch ──▶ Question ──▶ http, tcp, exec, output, unix, notify
//!       ▲                            │ answer, time
//!       └────────────────────────────┘ ──▶ Ready, Healthy, Unhealthy, Overdue
//! ```
//!
//! docs/probes.md has the ways, the rules of the judge, and what each failure says. All of it runs
//! on one thread; nothing is left behind by a question that is given up in the middle.

mod connect;
mod exec;
mod http;
pub mod judge;
pub mod notices;
mod output;
mod text;
mod unix;
mod watch;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use judge::{Change, Judge, Kind, Next};
pub use notices::{Notices, NotifyError, NotifySocket};
pub use watch::{Watched, watch};

use crate::model::ByteString;
use crate::model::service::probe::{ProbePort, ProbeWay};

/// What is asked: one attempt of one replica.
pub struct Target {
    /// The service's own ports by name.
    pub ports: BTreeMap<String, u16>,
    /// Its working directory, absolute.
    pub directory: ByteString,
    /// Its environment.
    pub variables: Vec<(ByteString, ByteString)>,
    /// Where its output lies: this and `.out`, `.err`.
    pub output: PathBuf,
    /// What it says by `sd_notify(3)`, where it was given a socket for that.
    pub notify: Option<Arc<Notices>>,
    /// Whether its own processes listen on a port.
    pub owns: Arc<dyn Fn(u16) -> bool + Send + Sync>,
}

impl fmt::Debug for Target {
    /// Without the variables: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("ports", &self.ports)
            .field("directory", &self.directory)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

impl Target {
    /// The number of a port.
    fn port(&self, port: &ProbePort) -> Result<u16, String> {
        match port {
            ProbePort::Number(number) => Ok(*number),
            ProbePort::Own(name) => {
                let known = self.ports.get(name).copied();
                known.ok_or_else(|| format!("it has no port {name}"))
            }
        }
    }

    /// Refuses an answer from its port that somebody else gave.
    fn check_owner(&self, port: &ProbePort, number: u16) -> Result<(), String> {
        match port {
            ProbePort::Own(_) if !(self.owns)(number) => {
                Err(format!("port {number} is held by a process that is not its own"))
            }
            ProbePort::Own(_) | ProbePort::Number(_) => Ok(()),
        }
    }
}

/// A question that is asked again and again, with what it remembers of the last time.
#[derive(Debug)]
pub struct Question {
    way: ProbeWay,
    /// How far the output has been read.
    output: Option<output::Search>,
}

impl Question {
    /// A question that was not asked yet.
    pub fn new(way: &ProbeWay) -> Self {
        let output = match way {
            ProbeWay::Output { pattern } => Some(output::Search::new(pattern)),
            ProbeWay::Http(_)
            | ProbeWay::Tcp { .. }
            | ProbeWay::Exec { .. }
            | ProbeWay::Unix { .. }
            | ProbeWay::Notify => None,
        };
        Self { way: way.clone(), output }
    }

    /// Asks once. May be dropped at any time.
    ///
    /// # Errors
    /// A line for people: what was expected and what came.
    pub async fn ask(&mut self, target: &Target, timeout: Duration) -> Result<(), String> {
        let answer = match (&self.way, &mut self.output) {
            (ProbeWay::Http(probe), _) => http::ask(probe, target, timeout).await,
            (ProbeWay::Tcp { host, port }, _) => connect::ask(host, port, target, timeout).await,
            (ProbeWay::Exec { command }, _) => exec::ask(command, target, timeout).await,
            (ProbeWay::Unix { path }, _) => unix::ask(path, timeout).await,
            (ProbeWay::Notify, _) => notices::ask(target.notify.as_deref(), timeout).await,
            (ProbeWay::Output { .. }, Some(search)) => search.ask(&target.output, timeout).await,
            (ProbeWay::Output { .. }, None) => Err("nothing to look for".to_owned()),
        };
        answer.map_err(|text| text::line(&text))
    }
}

/// Asks once, without a memory of before.
///
/// # Errors
/// As [`Question::ask`].
pub async fn ask(way: &ProbeWay, target: &Target, timeout: Duration) -> Result<(), String> {
    Question::new(way).ask(target, timeout).await
}
