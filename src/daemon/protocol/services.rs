//! What is said of services.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Common;
use crate::model::service::plan::{Override, Wish};
use crate::model::service::spec::{ServiceSpec, Supervision};
use crate::model::{ByteString, CommandId, ServiceName};
use crate::projections::view::StepView;

/// A service as a client declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceRequest {
    /// Its name.
    pub service: ServiceName,
    /// Its name for people.
    pub title: Option<String>,
    /// Its name at the reverse proxy.
    pub hostname: Option<String>,
    /// argv, not empty.
    pub command: Vec<ByteString>,
    /// What all kinds of runs need; of the variables only what is configured.
    pub common: Common,
    /// The Unix user that runs it.
    pub user: Option<String>,
    /// How many of it.
    pub replicas: u32,
    /// How its runs are watched over.
    pub supervision: Supervision,
}

/// `jr up`, `jr start`, `jr restart`, and what declares services.
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpRequest {
    /// Sent again with the same id, it acts once.
    pub command_id: CommandId,
    /// What services are from now on.
    pub services: Vec<ServiceRequest>,
    /// Variables of the client's that they get below their own.
    pub surroundings: Vec<(ByteString, ByteString)>,
    /// The client's configuration, where it has files.
    pub config: Option<String>,
    /// As in [`Wish`].
    pub overrides: BTreeMap<ServiceName, Override>,
    /// As in [`Wish`].
    pub names: Vec<ServiceName>,
    /// As in [`Wish`].
    pub with_dependencies: bool,
    /// As in [`Wish`].
    pub even_completed: bool,
    /// As in [`Wish`].
    pub anew: bool,
    /// As in [`Wish`].
    pub forget_others: bool,
    /// As in [`Wish`].
    pub leave_running: bool,
    /// The client's command line, for `jr why`.
    pub asker: Option<String>,
}

/// `jr down`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DownRequest {
    /// Sent again with the same id, it acts once.
    pub command_id: CommandId,
    /// Which; `None` is all.
    pub services: Option<Vec<ServiceName>>,
    /// The client's command line, for `jr why`.
    pub asker: Option<String>,
}

/// What is done about services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReply {
    /// In the order of dependencies.
    pub items: Vec<StepView>,
}

impl UpRequest {
    /// What is wished, over what was declared.
    pub fn wish(&self, declared: Vec<(ServiceName, Arc<ServiceSpec>)>) -> Wish {
        let commit = |one: &ServiceRequest| Some((one.service.clone(), one.common.commit?));
        Wish {
            declared,
            commits: self.services.iter().filter_map(commit).collect(),
            overrides: self.overrides.clone(),
            names: self.names.clone(),
            with_dependencies: self.with_dependencies,
            even_completed: self.even_completed,
            anew: self.anew,
            forget_others: self.forget_others,
            leave_running: self.leave_running,
        }
    }
}
