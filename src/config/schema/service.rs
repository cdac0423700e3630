//! `[services.NAME]`: what stays up. Declared and checked here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::job::Backoff;
use super::limits::Limits;
use super::probe::Probe;
use super::values::{ExitCodes, Millis, Port, SignalName, Umask, Variable, Words};

/// A process that stays up.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// Its name for people (default: its id).
    #[schemars(extend("x-aliases" = ["name"]))]
    pub title: Option<String>,
    /// Whether it is wanted at all (default true).
    pub enabled: Option<bool>,
    /// Instead of a command: a kind of service that jr knows how to start (default: its id, where
    /// that is one).
    pub preset: Option<Preset>,
    /// The command: a line as for a shell, or a list of words; with `args` the program alone.
    #[schemars(extend("x-aliases" = ["cmd"]))]
    pub command: Option<Words>,
    /// Words after the command.
    pub args: Option<Vec<String>>,
    /// Working directory, relative to this file.
    #[schemars(extend("x-aliases" = ["working_directory", "working_dir", "cwd", "dir"]))]
    pub directory: Option<String>,
    /// Environment variables.
    #[schemars(extend("x-aliases" = ["env", "variables"]))]
    pub environment: Option<BTreeMap<String, Variable>>,
    /// Files of NAME=value lines, relative to this file, below `environment`.
    pub env_file: Option<Words>,
    /// Its port; the service finds it as `PORT`.
    pub port: Option<Port>,
    /// Its ports by name; the service finds them as `JR_PORT_<NAME>`.
    pub ports: Option<Ports>,
    /// jr binds its ports and passes the sockets on, as `systemd.socket(5)` does.
    #[schemars(extend("x-aliases" = ["socket_activation"]))]
    pub pass_sockets: Option<bool>,
    /// The address that it binds.
    pub host: Option<String>,
    /// Its name at the reverse proxy.
    #[schemars(extend("x-aliases" = ["route"]))]
    pub hostname: Option<String>,
    /// What has to be up before it.
    pub depends_on: Option<Dependencies>,
    /// It is there to end, like a migration: it is ready once it has ended well (default false).
    pub oneshot: Option<bool>,
    /// When it is started again (default `always`; of a `oneshot` `never`).
    #[schemars(extend("x-aliases" = ["restart_policy"]))]
    pub restart: Option<Restart>,
    /// After so many starts in a row that did not last it is left alone (default: never).
    #[schemars(extend("x-aliases" = ["start_limit_burst", "startretries"]))]
    pub max_restarts: Option<u32>,
    /// Time before it is started again.
    #[schemars(extend("x-aliases" = ["backoff_config"]))]
    pub backoff: Option<Backoff>,
    /// Whether it is well.
    #[schemars(extend("x-aliases" = ["health_check", "healthcheck"]))]
    pub health: Option<Probe>,
    /// Whether it is ready for others.
    #[schemars(extend("x-aliases" = ["readiness_check", "ready"]))]
    pub readiness: Option<Probe>,
    /// It has to be ready within this (default 60s).
    #[schemars(extend("x-aliases" = ["startup_timeout_secs:s", "startup_timeout_millis:ms"]))]
    pub startup_timeout: Option<Millis>,
    /// Between the first signal of a stop and KILL (default 10s).
    #[schemars(extend("x-aliases" = ["graceful_timeout_secs:s", "kill_after", "stop_timeout"]))]
    pub graceful_timeout: Option<Millis>,
    /// First signal of a stop (default TERM).
    pub stop_signal: Option<SignalName>,
    /// Instead of a signal: a command that stops it.
    pub stop_command: Option<Words>,
    /// Exit codes that are a success besides 0.
    #[schemars(extend("x-aliases" = ["ok"]))]
    pub success_exit_codes: Option<ExitCodes>,
    /// Files and directories whose change starts it again, relative to its directory.
    pub watch: Option<Words>,
    /// How many of it (default 1).
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: Option<u32>,
    /// Commands at moments of its life; each is a run.
    pub hooks: Option<Hooks>,
    /// The Unix user that runs it; of a preset, the user that it makes.
    pub user: Option<String>,
    /// Permission bits that new files do not get.
    pub umask: Option<Umask>,
    /// What its processes may use together.
    pub limits: Option<Limits>,
    /// Labels to select by.
    pub labels: Option<BTreeMap<String, String>>,
    /// Of `postgres`: how clients prove who they are.
    pub auth_method: Option<String>,
    /// Of `postgres`: the database that it makes.
    pub database: Option<String>,
    /// Of presets: the password of `user`.
    pub password: Option<Variable>,
    /// Of presets: where its data lies.
    pub data_dir: Option<String>,
    /// Of `postgres`: addresses that it listens on.
    pub listen_addresses: Option<String>,
    /// Of `postgres`: how many clients at one time.
    pub max_connections: Option<u32>,
    /// Of `atlas`: the store that it shows.
    pub store: Option<String>,
}

/// Kinds of services that need no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// `PostgreSQL`.
    Postgres,
    /// Redis.
    Redis,
    /// n8n.
    N8n,
    /// Supabase.
    Supabase,
    /// metalab's Atlas.
    Atlas,
}

impl Preset {
    /// The preset of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Some(match name {
            "postgres" => Self::Postgres,
            "redis" => Self::Redis,
            "n8n" => Self::N8n,
            "supabase" => Self::Supabase,
            "atlas" => Self::Atlas,
            _ => return None,
        })
    }
}

/// Ports by name, or a list.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Ports {
    /// By name.
    Named(BTreeMap<String, Port>),
    /// In order.
    List(Vec<Port>),
}

/// What has to be up before.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Dependencies {
    /// Each has to be ready.
    Names(Vec<String>),
    /// Each as it says.
    Conditions(BTreeMap<String, DependencyCondition>),
}

impl Dependencies {
    /// The services.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Names(names) => names.iter().map(String::as_str).collect(),
            Self::Conditions(conditions) => conditions.keys().map(String::as_str).collect(),
        }
    }
}

/// What is asked of a service that another depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DependencyCondition {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// However it ended.
    Always,
    /// If it failed.
    OnFailure,
    /// Never.
    Never,
    /// However it ended, also after a reboot, unless somebody stopped it.
    UnlessStopped,
}

/// Commands at moments of a service's life.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hooks {
    /// Before each start; if it fails, nothing is started.
    pub before_start: Option<Words>,
    /// Once it is ready.
    pub after_ready: Option<Words>,
    /// Before it is stopped.
    pub before_stop: Option<Words>,
    /// After it has ended.
    pub after_stop: Option<Words>,
}
