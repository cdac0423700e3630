//! `[environments.ID]`: a place of its own for runs, and what holds there.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::job::Job;
use super::limits::{Limits, Queue, Retention};
use super::service::Service;
use super::test::Test;
use super::values::Words;

/// A place of its own for runs, and what holds there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Environment {
    /// Where its runs run.
    #[serde(rename = "type")]
    #[schemars(extend("x-aliases" = ["kind"]))]
    pub kind: Option<EnvironmentType>,
    /// Whether it is the one that is meant where none is named.
    pub default: Option<bool>,
    /// Where its files lie.
    pub layout: Option<Layout>,
    /// Its log.
    pub persistence: Option<Persistence>,
    /// How much history is kept.
    pub retention: Option<Retention>,
    /// The queue of detached runs (default `default`).
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._-]{0,62}$"))]
    pub default_queue: Option<String>,
    /// Its queues.
    #[schemars(extend("x-aliases" = ["queue"]))]
    pub queues: Option<BTreeMap<String, Queue>>,
    /// What the processes of each run may use together, unless the run says otherwise.
    pub limits: Option<Limits>,
    /// Labels of all its runs.
    pub labels: Option<BTreeMap<String, String>>,
    /// Whether interrupted work goes on by itself after a reboot.
    pub resume_on_start: Option<bool>,
    /// Services that differ here from those of all environments.
    #[schemars(extend("x-aliases" = ["service"]))]
    pub services: Option<BTreeMap<String, Service>>,
    /// Jobs that differ here.
    #[schemars(extend("x-aliases" = ["job"]))]
    pub jobs: Option<BTreeMap<String, Job>>,
    /// Tests that differ here.
    #[schemars(extend("x-aliases" = ["test"]))]
    pub tests: Option<BTreeMap<String, Test>>,
    /// Of experiments: where their files lie.
    pub file_root: Option<String>,
    /// Of `slurm`: the host that jobs are submitted from.
    #[schemars(extend("x-aliases" = ["host"]))]
    pub gateway: Option<String>,
    /// Of `slurm`: the user there.
    pub user: Option<String>,
    /// Of `slurm`: the key for `ssh -i`.
    pub ssh_key: Option<String>,
    /// Of `slurm`: `sbatch --partition`.
    pub partition: Option<String>,
    /// Of `slurm`: `sbatch --time`.
    pub time: Option<String>,
    /// Of `slurm`: `sbatch --mem`.
    pub memory: Option<String>,
    /// Of `slurm`: `sbatch --cpus-per-task`.
    #[schemars(range(min = 1))]
    pub cpus: Option<u32>,
    /// Of `slurm`: `sbatch --gres=gpu:N`.
    pub gpus: Option<u32>,
    /// Of `slurm`: `sbatch --account`.
    pub account: Option<String>,
    /// Of `slurm`: modules that are loaded first.
    pub modules: Option<Vec<String>>,
    /// Of `slurm`: the conda environment that is activated first.
    pub conda_env: Option<String>,
    /// Of `slurm`: shell commands before each job.
    pub setup: Option<Words>,
    /// Of `slurm`: how many tasks of an array run at one time.
    #[schemars(range(min = 1))]
    pub max_concurrent: Option<u32>,
}

/// Where the runs of an environment run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(extend("x-word-aliases" = { "in_process": "isolated" }))]
pub enum EnvironmentType {
    /// On this machine.
    Local,
    /// Within one process: nothing of it outlives the command.
    Isolated,
    /// On a cluster that Slurm manages.
    Slurm,
}

/// Where the files of an environment lie.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Layout {
    /// Instead of `$JR_HOME`: the directory of its sockets and of its state.
    pub root_dir: Option<String>,
}

/// The log of an environment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Persistence {
    /// The embedded store; `sqlite` is another word for it.
    #[serde(rename = "type")]
    pub kind: Option<PersistenceType>,
    /// Whether it outlives the daemon (default true).
    pub enabled: Option<bool>,
    /// A path beside which its state lies.
    pub database: Option<String>,
    /// For other tools; jr reads none of them.
    pub params: Option<BTreeMap<String, serde_json::Value>>,
}

/// What keeps a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersistenceType {
    /// The embedded store.
    Redb,
    /// The embedded store too.
    Sqlite,
}
