//! Version 1 of the questions to services.

use serde::{Deserialize, Serialize};

use super::spec::{byte_string, bytes};
use crate::log::versions::Bytes;
use crate::model::service::probe as model;

/// Twin of [`model::Probe`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub way: ProbeWay,
    pub initial_delay_ms: u64,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub failure_threshold: u32,
    pub success_threshold: u32,
}

/// Twin of [`model::ProbeWay`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeWay {
    Http(HttpProbe),
    Tcp { host: String, port: ProbePort },
    Exec { command: Vec<Bytes> },
    Output { pattern: String },
    Unix { path: Bytes },
    Notify,
}

/// Twin of [`model::HttpProbe`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    pub host: String,
    pub port: ProbePort,
    pub path: String,
    pub statuses: Vec<u16>,
    pub body: Option<String>,
    pub headers: Vec<(String, String)>,
}

/// Twin of [`model::ProbePort`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbePort {
    Own(String),
    Number(u16),
}

impl From<&model::Probe> for Probe {
    fn from(model: &model::Probe) -> Self {
        Self {
            way: (&model.way).into(),
            initial_delay_ms: model.initial_delay_ms,
            interval_ms: model.interval_ms,
            timeout_ms: model.timeout_ms,
            failure_threshold: model.failure_threshold,
            success_threshold: model.success_threshold,
        }
    }
}

impl From<Probe> for model::Probe {
    fn from(stored: Probe) -> Self {
        Self {
            way: stored.way.into(),
            initial_delay_ms: stored.initial_delay_ms,
            interval_ms: stored.interval_ms,
            timeout_ms: stored.timeout_ms,
            failure_threshold: stored.failure_threshold,
            success_threshold: stored.success_threshold,
        }
    }
}

impl From<&model::ProbeWay> for ProbeWay {
    fn from(model: &model::ProbeWay) -> Self {
        match model {
            model::ProbeWay::Http(http) => Self::Http(http.into()),
            model::ProbeWay::Tcp { host, port } => {
                Self::Tcp { host: host.clone(), port: port.into() }
            }
            model::ProbeWay::Exec { command } => {
                Self::Exec { command: command.iter().map(bytes).collect() }
            }
            model::ProbeWay::Output { pattern } => Self::Output { pattern: pattern.clone() },
            model::ProbeWay::Unix { path } => Self::Unix { path: bytes(path) },
            model::ProbeWay::Notify => Self::Notify,
        }
    }
}

impl From<ProbeWay> for model::ProbeWay {
    fn from(stored: ProbeWay) -> Self {
        match stored {
            ProbeWay::Http(http) => Self::Http(http.into()),
            ProbeWay::Tcp { host, port } => Self::Tcp { host, port: port.into() },
            ProbeWay::Exec { command } => {
                Self::Exec { command: command.into_iter().map(byte_string).collect() }
            }
            ProbeWay::Output { pattern } => Self::Output { pattern },
            ProbeWay::Unix { path } => Self::Unix { path: byte_string(path) },
            ProbeWay::Notify => Self::Notify,
        }
    }
}

impl From<&model::HttpProbe> for HttpProbe {
    fn from(model: &model::HttpProbe) -> Self {
        Self {
            host: model.host.clone(),
            port: (&model.port).into(),
            path: model.path.clone(),
            statuses: model.statuses.clone(),
            body: model.body.clone(),
            headers: model.headers.clone(),
        }
    }
}

impl From<HttpProbe> for model::HttpProbe {
    fn from(stored: HttpProbe) -> Self {
        let HttpProbe { host, port, path, statuses, body, headers } = stored;
        Self { host, port: port.into(), path, statuses, body, headers }
    }
}

impl From<&model::ProbePort> for ProbePort {
    fn from(model: &model::ProbePort) -> Self {
        match model {
            model::ProbePort::Own(name) => Self::Own(name.clone()),
            model::ProbePort::Number(number) => Self::Number(*number),
        }
    }
}

impl From<ProbePort> for model::ProbePort {
    fn from(stored: ProbePort) -> Self {
        match stored {
            ProbePort::Own(name) => Self::Own(name),
            ProbePort::Number(number) => Self::Number(number),
        }
    }
}
