//! Version 2 of what is asked for: it knows what was checked out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::log::codec::DecodeReason;
use crate::log::versions::v1;
use crate::model::event::Event;
use crate::model::service::spec::ServiceSpec;
use crate::model::{GitCommit, RunId, RunSpec, ServiceName};

/// Kind 7.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct RunAdmitted {
    pub first: v1::RunAdmitted,
    pub commit: Option<Commit>,
}

/// Kind 42; the commit is that of its runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub struct ServiceDeclared {
    pub first: v1::ServiceDeclared,
    pub commit: Option<Commit>,
}

/// Twin of [`GitCommit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "a frozen twin: the model has the meaning")]
pub enum Commit {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl Commit {
    fn of(model: GitCommit) -> Option<Self> {
        let bytes = model.as_bytes();
        let sha1 = bytes.try_into().map(Self::Sha1);
        sha1.or_else(|_| bytes.try_into().map(Self::Sha256)).ok()
    }
}

impl TryFrom<Commit> for GitCommit {
    type Error = DecodeReason;

    fn try_from(stored: Commit) -> Result<Self, DecodeReason> {
        let commit = match &stored {
            Commit::Sha1(bytes) => Self::from_bytes(bytes),
            Commit::Sha256(bytes) => Self::from_bytes(bytes),
        };
        commit.ok_or(DecodeReason::BadField("commit"))
    }
}

impl RunAdmitted {
    /// The twin.
    pub fn of(run: RunId, spec: &RunSpec) -> Self {
        let first = v1::RunAdmitted { run: run.to_u64(), spec: spec.into() };
        Self { first, commit: spec.commit.and_then(Commit::of) }
    }
}

impl ServiceDeclared {
    /// The twin.
    pub fn of(service: &ServiceName, spec: &ServiceSpec) -> Self {
        let first = v1::ServiceDeclared::of(service, spec);
        Self { first, commit: spec.run.commit.and_then(Commit::of) }
    }
}

impl TryFrom<RunAdmitted> for Event {
    type Error = DecodeReason;

    fn try_from(stored: RunAdmitted) -> Result<Self, DecodeReason> {
        let mut event: Self = stored.first.try_into()?;
        if let Self::RunAdmitted { spec, .. } = &mut event {
            Arc::make_mut(spec).commit = stored.commit.map(TryInto::try_into).transpose()?;
        }
        Ok(event)
    }
}

impl TryFrom<ServiceDeclared> for Event {
    type Error = DecodeReason;

    fn try_from(stored: ServiceDeclared) -> Result<Self, DecodeReason> {
        let mut event: Self = stored.first.try_into()?;
        if let Self::ServiceDeclared { spec, .. } = &mut event {
            let run = &mut Arc::make_mut(spec).run;
            Arc::make_mut(run).commit = stored.commit.map(TryInto::try_into).transpose()?;
        }
        Ok(event)
    }
}
