//! What a configuration file may say, in types. The JSON schema, the checks, the spellings that are
//! accepted and the table in `docs/configuration.md` come from them.
//!
//! Four notes of ours stand in the schema beside the standard's words:
//! - `x-aliases`: other names of a key; `name:s` holds seconds, `name:ms` milliseconds.
//! - `x-word-aliases`: other words for a choice.
//! - `x-alternatives`: lists of keys; those of one list exclude those of the others, so that in a
//!   later file one list takes the place of another (`config::merge`).
//! - `format`: one of [`values::FORMATS`].

pub mod environment;
pub mod job;
pub mod limits;
pub mod probe;
pub mod published;
pub mod service;
pub mod test;
pub mod values;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::Deserialize;

use environment::Environment;
use job::Job;
use limits::{Limits, Queue, Retention};
use service::Service;
use test::Test;

use crate::limits::PORTS;

/// Configuration of jr.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The project that the file belongs to.
    pub project: Option<Project>,
    /// What commands about projects work on: `main` or `trees`.
    pub default_mode: Option<Mode>,
    /// Where things of the project lie.
    pub directories: Option<Directories>,
    /// Ports that are given to services which ask for any.
    pub ports: Option<PortRange>,
    /// Environments by id.
    #[schemars(extend("x-aliases" = ["environment"]))]
    pub environments: Option<BTreeMap<String, Environment>>,
    /// Services of all environments.
    #[schemars(extend("x-aliases" = ["service"]))]
    pub services: Option<BTreeMap<String, Service>>,
    /// Jobs of all environments.
    #[schemars(extend("x-aliases" = ["job"]))]
    pub jobs: Option<BTreeMap<String, Job>>,
    /// Tests of all environments.
    #[schemars(extend("x-aliases" = ["test"]))]
    pub tests: Option<BTreeMap<String, Test>>,
    /// Queues of all environments.
    #[schemars(extend("x-aliases" = ["queue"]))]
    pub queues: Option<BTreeMap<String, Queue>>,
    /// The queue of detached runs in all environments.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._-]{0,62}$"))]
    pub default_queue: Option<String>,
    /// What the processes of each run may use together, in all environments.
    pub limits: Option<Limits>,
    /// Labels of all runs.
    pub labels: Option<BTreeMap<String, String>>,
    /// How much history is kept, in all environments.
    pub retention: Option<Retention>,
}

/// A project.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Project {
    /// Its name.
    pub name: Option<String>,
    /// The environment that is meant where none is named.
    #[schemars(extend("x-aliases" = ["default_environment"]))]
    pub default_env: Option<String>,
}

/// What commands about projects work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The repository's root, as one environment.
    Main,
    /// Its worktrees.
    Trees,
}

/// Where things of a project lie, relative to its root.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Directories {
    /// Git worktrees (default `trees`).
    pub trees: Option<String>,
    /// Plans of worktrees (default `todo/plans`).
    pub plans: Option<String>,
}

/// Ports that are given to services which ask for any.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PortRange {
    /// The first one (default 20000).
    #[schemars(extend("x-aliases" = ["base"]), range(min = 1))]
    pub first: Option<u16>,
    /// The last one (default 31999, or 65535 if the first is above that).
    #[schemars(range(min = 1))]
    pub last: Option<u16>,
    /// Between two worktrees (default 20).
    #[schemars(range(min = 1))]
    pub spacing: Option<u16>,
}

impl PortRange {
    /// From the first to the last; `None` where it says neither, or none is between them.
    pub fn bounds(&self) -> Option<(u16, u16)> {
        let (low, high) = PORTS.into_inner();
        if self.first.is_none() && self.last.is_none() {
            return None;
        }
        let first = self.first.unwrap_or(low.min(self.last.unwrap_or(low)));
        let last = self.last.unwrap_or(if first <= high { high } else { u16::MAX });
        (first <= last).then_some((first, last))
    }
}

/// Keys of [`Settings`] that hold in all environments and that an environment may override.
pub const SHARED: [&str; 8] =
    ["services", "jobs", "tests", "queues", "default_queue", "limits", "labels", "retention"];

/// The JSON Schema (draft 2020-12) of a file.
pub fn json_schema() -> &'static serde_json::Value {
    static SCHEMA: OnceLock<serde_json::Value> = OnceLock::new();
    SCHEMA.get_or_init(|| schemars::schema_for!(Settings).to_value())
}
