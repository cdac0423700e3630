//! Version 1 of what a service is, and of what is said of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::reason::twins;
use super::run::Asker;
use super::spec::{Backoff, RunSpec, byte_string, bytes};
use super::{probe::Probe, run_id};
use crate::log::codec::DecodeReason;
use crate::log::versions::Bytes;
use crate::model::event::Event;
use crate::model::service::spec as model;
use crate::model::{ByteString, Digest, RunId, ServiceName};

/// Kind 42.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct ServiceDeclared {
    pub service: String,
    pub spec: ServiceSpec,
}

/// Kind 43.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct ServiceForgotten {
    pub service: String,
}

/// Kind 22.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct ServiceWanted {
    pub service: String,
    pub asker: Option<Asker>,
}

/// Kind 23.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct ServiceUnwanted {
    pub service: String,
    pub reason: UnwantedReason,
    pub asker: Option<Asker>,
}

/// Kind 20.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct PortAssigned {
    pub service: String,
    pub replica: u32,
    pub name: String,
    pub requested: Option<u16>,
    pub number: u16,
    pub retries: u32,
}

/// Kind 21.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct PortReleased {
    pub service: String,
    pub replica: u32,
    pub name: String,
    pub number: u16,
    pub reason: PortRelease,
}

/// Kind 44.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct PortConflict {
    pub run: u64,
    pub attempt: u32,
    pub number: u16,
    pub holder: Option<PortHolder>,
}

/// Kind 24.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct HealthChanged {
    pub run: u64,
    pub attempt: u32,
    pub health: Health,
    pub detail: Option<String>,
}

/// Kind 45.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RestartRequested {
    pub run: u64,
    pub attempt: u32,
    pub reason: RestartReason,
    pub detail: Option<String>,
}

/// Twin of [`model::ServiceSpec`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    pub title: Option<String>,
    pub hostname: Option<String>,
    pub run: RunSpec,
    pub replicas: u32,
    pub supervision: Supervision,
    pub digest: [u8; 32],
}

/// Twin of [`model::Supervision`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Supervision {
    pub ports: Vec<PortWish>,
    pub depends_on: Vec<ServiceDependency>,
    pub oneshot: bool,
    pub restart: RestartPolicy,
    pub max_restarts: Option<u32>,
    pub backoff: Backoff,
    pub stable_ms: u64,
    pub readiness: Option<Probe>,
    pub health: Option<Probe>,
    pub startup_timeout_ms: u64,
    pub hooks: BTreeMap<HookMoment, Vec<Bytes>>,
    pub watch: Vec<Bytes>,
}

/// Twin of [`model::PortWish`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortWish {
    pub name: String,
    pub number: Option<u16>,
    pub host: Option<String>,
    pub pass_socket: bool,
    pub range: Option<(u16, u16)>,
}

/// Twin of [`model::ServiceDependency`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceDependency {
    pub service: String,
    pub condition: ServiceCondition,
}

/// Twin of [`model::PortHolder`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortHolder {
    pub pid: Option<u32>,
    pub command: String,
    pub run: Option<u64>,
}

/// Twin of [`model::Role`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub service: String,
    pub replica: u32,
}

/// Twin of [`model::ServiceCondition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceCondition {
    Started,
    Ready,
    Completed,
    Failed,
    Ended,
}

/// Twin of [`model::RestartPolicy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
    UnlessStopped,
}

/// Twin of [`model::HookMoment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HookMoment {
    BeforeStart,
    AfterReady,
    BeforeStop,
    Stop,
    AfterStop,
}

/// Twin of [`model::Health`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    Ready,
    Healthy,
    Unhealthy,
}

/// Twin of [`model::RestartReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartReason {
    Unhealthy,
    StartupTimeout,
    FilesChanged,
}

/// Twin of [`model::UnwantedReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnwantedReason {
    Down,
    Removed,
    Stopped,
}

/// Twin of [`model::PortRelease`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortRelease {
    Taken,
    Unwanted,
}

twins!(ServiceCondition, model::ServiceCondition, [Started, Ready, Completed, Failed, Ended]);
twins!(RestartPolicy, model::RestartPolicy, [Always, OnFailure, Never, UnlessStopped]);
twins!(HookMoment, model::HookMoment, [BeforeStart, AfterReady, BeforeStop, Stop, AfterStop]);
twins!(Health, model::Health, [Ready, Healthy, Unhealthy]);
twins!(RestartReason, model::RestartReason, [Unhealthy, StartupTimeout, FilesChanged]);
twins!(UnwantedReason, model::UnwantedReason, [Down, Removed, Stopped]);
twins!(PortRelease, model::PortRelease, [Taken, Unwanted]);

/// A stored name of a service.
fn name(text: &str) -> Result<ServiceName, DecodeReason> {
    text.parse().map_err(|_| DecodeReason::BadField("service"))
}

impl From<&model::ServiceSpec> for ServiceSpec {
    fn from(model: &model::ServiceSpec) -> Self {
        Self {
            title: model.title.clone(),
            hostname: model.hostname.clone(),
            run: model.run.as_ref().into(),
            replicas: model.replicas,
            supervision: model.supervision.as_ref().into(),
            digest: model.digest.0,
        }
    }
}

impl TryFrom<ServiceSpec> for model::ServiceSpec {
    type Error = DecodeReason;

    fn try_from(stored: ServiceSpec) -> Result<Self, DecodeReason> {
        Ok(Self {
            title: stored.title,
            hostname: stored.hostname,
            run: Arc::new(stored.run.try_into()?),
            replicas: stored.replicas,
            supervision: Arc::new(stored.supervision.try_into()?),
            digest: Digest(stored.digest),
        })
    }
}

impl From<&model::Supervision> for Supervision {
    fn from(model: &model::Supervision) -> Self {
        let words = |words: &Vec<ByteString>| words.iter().map(bytes).collect();
        let hook = |(moment, command): (&model::HookMoment, &Vec<ByteString>)| {
            ((*moment).into(), words(command))
        };
        Self {
            ports: model.ports.iter().map(Into::into).collect(),
            depends_on: model.depends_on.iter().map(Into::into).collect(),
            oneshot: model.oneshot,
            restart: model.restart.into(),
            max_restarts: model.max_restarts,
            backoff: model.backoff.into(),
            stable_ms: model.stable_ms,
            readiness: model.readiness.as_ref().map(Into::into),
            health: model.health.as_ref().map(Into::into),
            startup_timeout_ms: model.startup_timeout_ms,
            hooks: model.hooks.iter().map(hook).collect(),
            watch: words(&model.watch),
        }
    }
}

impl TryFrom<Supervision> for model::Supervision {
    type Error = DecodeReason;

    fn try_from(stored: Supervision) -> Result<Self, DecodeReason> {
        let words = |words: Vec<Bytes>| words.into_iter().map(byte_string).collect();
        let hook = |(moment, command): (HookMoment, Vec<Bytes>)| (moment.into(), words(command));
        let on = stored.depends_on.into_iter().map(TryInto::try_into);
        Ok(Self {
            ports: stored.ports.into_iter().map(Into::into).collect(),
            depends_on: on.collect::<Result<_, _>>()?,
            oneshot: stored.oneshot,
            restart: stored.restart.into(),
            max_restarts: stored.max_restarts,
            backoff: stored.backoff.into(),
            stable_ms: stored.stable_ms,
            readiness: stored.readiness.map(Into::into),
            health: stored.health.map(Into::into),
            startup_timeout_ms: stored.startup_timeout_ms,
            hooks: stored.hooks.into_iter().map(hook).collect(),
            watch: words(stored.watch),
        })
    }
}

impl From<&model::PortWish> for PortWish {
    fn from(model: &model::PortWish) -> Self {
        let model::PortWish { name, number, host, pass_socket, range } = model.clone();
        Self { name, number, host, pass_socket, range }
    }
}

impl From<PortWish> for model::PortWish {
    fn from(stored: PortWish) -> Self {
        let PortWish { name, number, host, pass_socket, range } = stored;
        Self { name, number, host, pass_socket, range }
    }
}

impl From<&model::ServiceDependency> for ServiceDependency {
    fn from(model: &model::ServiceDependency) -> Self {
        Self { service: model.service.as_str().to_owned(), condition: model.condition.into() }
    }
}

impl TryFrom<ServiceDependency> for model::ServiceDependency {
    type Error = DecodeReason;

    fn try_from(stored: ServiceDependency) -> Result<Self, DecodeReason> {
        Ok(Self { service: name(&stored.service)?, condition: stored.condition.into() })
    }
}

impl From<&model::Role> for Role {
    fn from(model: &model::Role) -> Self {
        Self { service: model.service.as_str().to_owned(), replica: model.replica }
    }
}

impl TryFrom<Role> for model::Role {
    type Error = DecodeReason;

    fn try_from(stored: Role) -> Result<Self, DecodeReason> {
        Ok(Self { service: name(&stored.service)?, replica: stored.replica })
    }
}

impl From<&model::PortHolder> for PortHolder {
    fn from(model: &model::PortHolder) -> Self {
        let run = model.run.map(RunId::to_u64);
        Self { pid: model.pid, command: model.command.clone(), run }
    }
}

impl TryFrom<PortHolder> for model::PortHolder {
    type Error = DecodeReason;

    fn try_from(stored: PortHolder) -> Result<Self, DecodeReason> {
        let run = stored.run.map(run_id).transpose()?;
        Ok(Self { pid: stored.pid, command: stored.command, run })
    }
}

impl ServiceDeclared {
    /// The twin.
    pub fn of(service: &ServiceName, spec: &model::ServiceSpec) -> Self {
        Self { service: service.as_str().to_owned(), spec: spec.into() }
    }
}

impl PortAssigned {
    /// The twin.
    pub fn of(service: &ServiceName, replica: u32, port: &model::AssignedPort) -> Self {
        let model::AssignedPort { name, requested, number, retries } = port.clone();
        Self { service: service.as_str().to_owned(), replica, name, requested, number, retries }
    }
}

impl TryFrom<ServiceDeclared> for Event {
    type Error = DecodeReason;

    fn try_from(stored: ServiceDeclared) -> Result<Self, DecodeReason> {
        let service = name(&stored.service)?;
        Ok(Self::ServiceDeclared { service, spec: Arc::new(stored.spec.try_into()?) })
    }
}

impl TryFrom<ServiceForgotten> for Event {
    type Error = DecodeReason;

    fn try_from(stored: ServiceForgotten) -> Result<Self, DecodeReason> {
        Ok(Self::ServiceForgotten { service: name(&stored.service)? })
    }
}

impl TryFrom<ServiceWanted> for Event {
    type Error = DecodeReason;

    fn try_from(stored: ServiceWanted) -> Result<Self, DecodeReason> {
        let asker = stored.asker.map(Into::into);
        Ok(Self::ServiceWanted { service: name(&stored.service)?, asker })
    }
}

impl TryFrom<ServiceUnwanted> for Event {
    type Error = DecodeReason;

    fn try_from(stored: ServiceUnwanted) -> Result<Self, DecodeReason> {
        let asker = stored.asker.map(Into::into);
        let reason = stored.reason.into();
        Ok(Self::ServiceUnwanted { service: name(&stored.service)?, reason, asker })
    }
}

impl TryFrom<PortAssigned> for Event {
    type Error = DecodeReason;

    fn try_from(stored: PortAssigned) -> Result<Self, DecodeReason> {
        let PortAssigned { service, replica, name: of, requested, number, retries } = stored;
        let port = model::AssignedPort { name: of, requested, number, retries };
        Ok(Self::PortAssigned { service: name(&service)?, replica, port })
    }
}

impl TryFrom<PortReleased> for Event {
    type Error = DecodeReason;

    fn try_from(stored: PortReleased) -> Result<Self, DecodeReason> {
        let PortReleased { service, replica, name: of, number, reason } = stored;
        let (service, reason) = (name(&service)?, reason.into());
        Ok(Self::PortReleased { service, replica, name: of, number, reason })
    }
}

impl TryFrom<PortConflict> for Event {
    type Error = DecodeReason;

    fn try_from(stored: PortConflict) -> Result<Self, DecodeReason> {
        let PortConflict { run, attempt, number, holder } = stored;
        let holder = holder.map(TryInto::try_into).transpose()?;
        Ok(Self::PortConflict { run: run_id(run)?, attempt, number, holder })
    }
}

impl TryFrom<HealthChanged> for Event {
    type Error = DecodeReason;

    fn try_from(stored: HealthChanged) -> Result<Self, DecodeReason> {
        let HealthChanged { run, attempt, health, detail } = stored;
        Ok(Self::HealthChanged { run: run_id(run)?, attempt, health: health.into(), detail })
    }
}

impl TryFrom<RestartRequested> for Event {
    type Error = DecodeReason;

    fn try_from(stored: RestartRequested) -> Result<Self, DecodeReason> {
        let RestartRequested { run, attempt, reason, detail } = stored;
        Ok(Self::RestartRequested { run: run_id(run)?, attempt, reason: reason.into(), detail })
    }
}
