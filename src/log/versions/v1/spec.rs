//! Version 1 of what a run is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reason::twins;
use super::service::{HookMoment, Role};
use super::{run_id, signal, signal_byte};
use crate::log::codec::DecodeReason;
use crate::log::versions::Bytes;
use crate::model::{ByteString, Digest, spec};

/// Twin of [`spec::RunSpec`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RunSpec {
    pub name: String,
    pub kind: Kind,
    pub command: Vec<Bytes>,
    pub cwd: Bytes,
    pub umask: u32,
    pub variables: Option<[u8; 32]>,
    pub secrets: Option<u64>,
    pub labels: BTreeMap<String, String>,
    pub queue: Option<String>,
    pub attached: bool,
    pub timeout_ms: Option<u64>,
    pub stop_signal: u8,
    pub grace_ms: u64,
    pub strays: Strays,
    pub output_bytes_max: u64,
    pub key: Option<String>,
    pub parent: Option<u64>,
    pub line: Option<Bytes>,
    pub fail_fast: bool,
    pub retry: Option<Retry>,
    pub ok_codes: Vec<u8>,
    pub after: Vec<Dependency>,
    pub lock: Option<LockWish>,
    pub on_interrupt: OnInterrupt,
    pub tty: Option<WindowSize>,
    pub capture: Capture,
    pub limits: ResourceLimits,
    pub variable_files: Vec<(Bytes, Bytes)>,
    pub config: Option<[u8; 32]>,
    pub role: Option<Role>,
    pub hook: Option<HookMoment>,
    pub user: Option<String>,
}

/// Twin of [`spec::Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum Kind {
    Job,
    Batch,
    Service,
}

/// Twin of [`spec::Strays`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum Strays {
    Kill,
    Keep,
}

/// Twin of [`spec::Retry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct Retry {
    pub times: u32,
    pub backoff: Backoff,
}

/// Twin of [`spec::Backoff`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct Backoff {
    pub first_ms: u64,
    pub max_ms: u64,
    pub factor_percent: u32,
    pub jitter_percent: u8,
}

/// Twin of [`spec::Dependency`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct Dependency {
    pub run: u64,
    pub condition: Condition,
}

/// Twin of [`spec::Condition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum Condition {
    Ok,
    Any,
}

/// Twin of [`spec::LockWish`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct LockWish {
    pub name: String,
    pub otherwise: LockBusy,
}

/// Twin of [`spec::LockBusy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum LockBusy {
    Wait,
    Fail,
    Skip,
}

/// Twin of [`spec::OnInterrupt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum OnInterrupt {
    Fail,
    Requeue,
    Ask,
}

/// Twin of [`spec::Capture`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum Capture {
    File,
    Pipe,
}

/// Twin of [`spec::WindowSize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct WindowSize {
    pub rows: u16,
    pub columns: u16,
}

/// Twin of [`spec::ResourceLimits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct ResourceLimits {
    pub cpu_millis: Option<u32>,
    pub memory_bytes: Option<u64>,
    pub pids: Option<u32>,
}

twins!(Kind, spec::Kind, [Job, Batch, Service]);
twins!(Strays, spec::Strays, [Kill, Keep]);
twins!(Condition, spec::Condition, [Ok, Any]);
twins!(LockBusy, spec::LockBusy, [Wait, Fail, Skip]);
twins!(OnInterrupt, spec::OnInterrupt, [Fail, Requeue, Ask]);
twins!(Capture, spec::Capture, [File, Pipe]);

/// Conversions both ways between structs whose fields have the same names and convert.
macro_rules! twin_structs {
    ($twin:ident, [$($field:ident),+]) => {
        impl From<spec::$twin> for $twin {
            fn from(model: spec::$twin) -> Self {
                Self { $($field: model.$field.into(),)+ }
            }
        }

        impl From<$twin> for spec::$twin {
            fn from(stored: $twin) -> Self {
                Self { $($field: stored.$field.into(),)+ }
            }
        }
    };
}

twin_structs!(Retry, [times, backoff]);
twin_structs!(Backoff, [first_ms, max_ms, factor_percent, jitter_percent]);
twin_structs!(WindowSize, [rows, columns]);
twin_structs!(ResourceLimits, [cpu_millis, memory_bytes, pids]);

pub(super) fn bytes(text: &ByteString) -> Bytes {
    Bytes(text.as_bytes().to_vec())
}

pub(super) fn byte_string(bytes: Bytes) -> ByteString {
    ByteString::from(bytes.0)
}

fn pairs(pairs: &[(ByteString, ByteString)]) -> Vec<(Bytes, Bytes)> {
    pairs.iter().map(|(name, path)| (bytes(name), bytes(path))).collect()
}

fn byte_strings(pairs: Vec<(Bytes, Bytes)>) -> Vec<(ByteString, ByteString)> {
    pairs.into_iter().map(|(name, path)| (byte_string(name), byte_string(path))).collect()
}

impl From<&spec::RunSpec> for RunSpec {
    fn from(model: &spec::RunSpec) -> Self {
        Self {
            name: model.name.clone(),
            kind: model.kind.into(),
            command: model.command.iter().map(bytes).collect(),
            cwd: bytes(&model.cwd),
            umask: model.umask,
            variables: model.variables.map(|digest| digest.0),
            secrets: model.secrets.map(crate::model::RunId::to_u64),
            labels: model.labels.clone(),
            queue: model.queue.as_ref().map(|queue| queue.as_str().to_owned()),
            attached: model.attached,
            timeout_ms: model.timeout_ms,
            stop_signal: signal_byte(model.stop_signal),
            grace_ms: model.grace_ms,
            strays: model.strays.into(),
            output_bytes_max: model.output_bytes_max,
            key: model.key.clone(),
            parent: model.parent.map(crate::model::RunId::to_u64),
            line: model.line.as_ref().map(bytes),
            fail_fast: model.fail_fast,
            retry: model.retry.map(Into::into),
            ok_codes: model.ok_codes.clone(),
            after: model.after.iter().map(|after| (*after).into()).collect(),
            lock: model.lock.as_ref().map(Into::into),
            on_interrupt: model.on_interrupt.into(),
            tty: model.tty.map(Into::into),
            capture: model.capture.into(),
            limits: model.limits.into(),
            variable_files: pairs(&model.variable_files),
            config: model.config.map(|digest| digest.0),
            role: model.role.as_ref().map(Into::into),
            hook: model.hook.map(Into::into),
            user: model.user.clone(),
        }
    }
}

impl TryFrom<RunSpec> for spec::RunSpec {
    type Error = DecodeReason;

    fn try_from(stored: RunSpec) -> Result<Self, DecodeReason> {
        let queue = stored.queue.map(|queue| queue.parse()).transpose();
        Ok(Self {
            name: stored.name,
            kind: stored.kind.into(),
            command: stored.command.into_iter().map(byte_string).collect(),
            cwd: byte_string(stored.cwd),
            umask: stored.umask,
            variables: stored.variables.map(Digest),
            secrets: stored.secrets.map(run_id).transpose()?,
            labels: stored.labels,
            queue: queue.map_err(|_| DecodeReason::BadField("queue"))?,
            attached: stored.attached,
            timeout_ms: stored.timeout_ms,
            stop_signal: signal(stored.stop_signal)?,
            grace_ms: stored.grace_ms,
            strays: stored.strays.into(),
            output_bytes_max: stored.output_bytes_max,
            key: stored.key,
            parent: stored.parent.map(run_id).transpose()?,
            line: stored.line.map(byte_string),
            fail_fast: stored.fail_fast,
            retry: stored.retry.map(Into::into),
            ok_codes: stored.ok_codes,
            after: stored.after.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            lock: stored.lock.map(TryInto::try_into).transpose()?,
            on_interrupt: stored.on_interrupt.into(),
            tty: stored.tty.map(Into::into),
            capture: stored.capture.into(),
            limits: stored.limits.into(),
            variable_files: byte_strings(stored.variable_files),
            config: stored.config.map(Digest),
            commit: None,
            role: stored.role.map(TryInto::try_into).transpose()?,
            hook: stored.hook.map(Into::into),
            user: stored.user,
        })
    }
}

impl From<spec::Dependency> for Dependency {
    fn from(model: spec::Dependency) -> Self {
        Self { run: model.run.to_u64(), condition: model.condition.into() }
    }
}

impl TryFrom<Dependency> for spec::Dependency {
    type Error = DecodeReason;

    fn try_from(stored: Dependency) -> Result<Self, DecodeReason> {
        Ok(Self { run: run_id(stored.run)?, condition: stored.condition.into() })
    }
}

impl From<&spec::LockWish> for LockWish {
    fn from(model: &spec::LockWish) -> Self {
        Self { name: model.name.as_str().to_owned(), otherwise: model.otherwise.into() }
    }
}

impl TryFrom<LockWish> for spec::LockWish {
    type Error = DecodeReason;

    fn try_from(stored: LockWish) -> Result<Self, DecodeReason> {
        let name = stored.name.parse().map_err(|_| DecodeReason::BadField("lock"))?;
        Ok(Self { name, otherwise: stored.otherwise.into() })
    }
}
