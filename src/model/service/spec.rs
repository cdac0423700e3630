//! What a service is: what its runs are, and how they are watched over.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::probe::{Probe, ProbeWay};
use crate::model::bytestring::ByteString;
use crate::model::digest::Digest;
use crate::model::id::ServiceName;
use crate::model::spec::{Backoff, RunSpec};

/// The name of a port that has none.
pub const MAIN_PORT: &str = "main";

/// A declared service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its name for people.
    pub title: Option<String>,
    /// Its name at the reverse proxy.
    pub hostname: Option<String>,
    /// What each of its runs is; [`RunSpec::role`] is filled in.
    pub run: Arc<RunSpec>,
    /// How many of it.
    pub replicas: u32,
    /// How its runs are watched over.
    pub supervision: Arc<Supervision>,
    /// Of what was declared, without the surroundings of the client that did: it is another service
    /// only where this differs.
    pub digest: Digest,
}

/// How the runs of a service are watched over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Supervision {
    /// Ports that it wants, the main one first.
    pub ports: Vec<PortWish>,
    /// What has to be up before it.
    pub depends_on: Vec<ServiceDependency>,
    /// It is there to end: until then it is not ready.
    pub oneshot: bool,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// After so many starts in a row that did not last it is left alone; `None`: never.
    pub max_restarts: Option<u32>,
    /// Time before that.
    pub backoff: Backoff,
    /// After so much running time an end is no longer one of a row, in milliseconds.
    pub stable_ms: u64,
    /// Whether it is ready for others.
    pub readiness: Option<Probe>,
    /// Whether it is well, once it is ready.
    pub health: Option<Probe>,
    /// It has to be ready within this, in milliseconds.
    pub startup_timeout_ms: u64,
    /// Commands at moments of its life.
    pub hooks: BTreeMap<HookMoment, Vec<ByteString>>,
    /// Files and directories whose change starts it again, absolute.
    pub watch: Vec<ByteString>,
}

/// A port that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortWish {
    /// Its name: the service finds it as `JR_PORT_<NAME>`, the first one also as `PORT`.
    pub name: String,
    /// That one; `None` is any. Replica `n` gets the `n`th after it.
    pub number: Option<u16>,
    /// The address that the service is to bind, where it says one.
    pub host: Option<String>,
    /// jr binds it and passes the socket on (`sd_listen_fds(3)`).
    pub pass_socket: bool,
    /// Any is one of these, from the first to the last; `None`: of `limits::PORTS`.
    pub range: Option<(u16, u16)>,
}

/// A port that a replica has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedPort {
    /// Its name.
    pub name: String,
    /// What was asked for; `None` is any.
    pub requested: Option<u16>,
    /// The number.
    pub number: u16,
    /// Ports that were tried before and taken.
    pub retries: u32,
}

/// What has to be up before a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDependency {
    /// Which.
    pub service: ServiceName,
    /// How.
    pub condition: ServiceCondition,
}

/// What is asked of a service that another depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceCondition {
    /// Its process runs.
    Started,
    /// It is ready.
    Ready,
    /// It has ended well.
    Completed,
    /// It has failed.
    Failed,
    /// It has ended by itself, well or not.
    Ended,
}

/// When a service is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartPolicy {
    /// However it ended.
    #[default]
    Always,
    /// If it failed.
    OnFailure,
    /// Never.
    Never,
    /// However it ended, unless somebody stopped it.
    UnlessStopped,
}

/// Moments of a service's life at which a command of its own is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookMoment {
    /// Before each start; if it fails, nothing is started.
    BeforeStart,
    /// Once it is ready.
    AfterReady,
    /// When it is to stop; in place of a signal, with [`HookMoment::Stop`].
    BeforeStop,
    /// In place of the first signal of a stop.
    Stop,
    /// After an attempt has ended.
    AfterStop,
}

/// Which replica of which service a run stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Role {
    /// The service.
    pub service: ServiceName,
    /// From 0.
    pub replica: u32,
}

/// How a live service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It is ready for others; of its health nothing is known yet, or it is not asked.
    Ready,
    /// It is ready and well.
    Healthy,
    /// It is not well.
    Unhealthy,
}

/// Why an attempt of a service is ended so that another can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartReason {
    /// It was not well.
    Unhealthy,
    /// It was not ready in time.
    StartupTimeout,
    /// Files that it watches have changed.
    FilesChanged,
}

/// Why a service is no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnwantedReason {
    /// `jr down`.
    Down,
    /// It is not listed any more.
    Removed,
    /// Its run was stopped by name.
    Stopped,
}

/// Why a port is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortRelease {
    /// Somebody else holds it.
    Taken,
    /// Nobody asks for it any more.
    Unwanted,
}

/// Who holds a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortHolder {
    /// Its process; `None` where another user's processes may not be looked into.
    pub pid: Option<u32>,
    /// Its command line, masked; empty if it is not known.
    pub command: String,
    /// The run of jr that it belongs to.
    pub run: Option<crate::model::id::RunId>,
}

impl ServiceSpec {
    /// Whether it is the same service as `other`, whoever declared it.
    pub fn is_same(&self, other: &Self) -> bool {
        let ports = self.supervision.ports == other.supervision.ports;
        self.digest == other.digest && self.hostname == other.hostname && ports
    }
}

impl Supervision {
    /// Whether the service tells by itself that it is ready.
    pub fn says_itself(&self) -> bool {
        let mut probes = self.readiness.iter().chain(&self.health);
        probes.any(|probe| probe.way == ProbeWay::Notify)
    }

    /// Whether somebody has to look after it while it runs.
    pub fn is_watched(&self) -> bool {
        self.is_asked() || !self.watch.is_empty()
    }

    /// Whether anything is asked before it counts as ready.
    pub fn is_asked(&self) -> bool {
        self.readiness.is_some() || self.health.is_some()
    }
}

impl RestartPolicy {
    /// Whether another attempt follows an end.
    pub fn restarts(self, success: bool) -> bool {
        match self {
            Self::Always | Self::UnlessStopped => true,
            Self::OnFailure => !success,
            Self::Never => false,
        }
    }

    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::OnFailure => "on_failure",
            Self::Never => "never",
            Self::UnlessStopped => "unless_stopped",
        }
    }
}

impl ServiceCondition {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Ended => "ended",
        }
    }
}

impl HookMoment {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::BeforeStart, Self::AfterReady, Self::BeforeStop, Self::Stop, Self::AfterStop];

    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::BeforeStart => "before_start",
            Self::AfterReady => "after_ready",
            Self::BeforeStop => "before_stop",
            Self::Stop => "stop",
            Self::AfterStop => "after_stop",
        }
    }
}

impl Health {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// Whether others may count on it.
    pub fn is_ready(self) -> bool {
        match self {
            Self::Ready | Self::Healthy => true,
            Self::Unhealthy => false,
        }
    }
}

impl RestartReason {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unhealthy => "unhealthy",
            Self::StartupTimeout => "startup_timeout",
            Self::FilesChanged => "files_changed",
        }
    }
}

impl UnwantedReason {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Removed => "removed",
            Self::Stopped => "stopped",
        }
    }
}

impl PortRelease {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unwanted => "unwanted",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.replica)
    }
}
