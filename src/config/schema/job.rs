//! `[jobs.NAME]`: a command that ends, with everything `jr run` could be told about it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::limits::Limits;
use super::values::{ExitCodes, Lock, Millis, SignalName, Umask, Variable, Words};

/// A command that ends, run with `jr run NAME`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Job {
    /// What it is for, for people.
    #[schemars(extend("x-aliases" = ["name", "title"]))]
    pub description: Option<String>,
    /// The command: a line as for a shell, or a list of words.
    #[schemars(extend("x-aliases" = ["cmd", "run"]))]
    pub command: Option<Words>,
    /// Words after the command.
    pub args: Option<Vec<String>>,
    /// Working directory, relative to this file.
    #[schemars(extend("x-aliases" = ["working_directory", "working_dir", "cwd", "dir"]))]
    pub directory: Option<String>,
    /// Environment variables on top of those of the command that asks.
    #[schemars(extend("x-aliases" = ["env", "variables"]))]
    pub environment: Option<BTreeMap<String, Variable>>,
    /// Files of NAME=value lines, relative to this file, below `environment`.
    pub env_file: Option<Words>,
    /// It is stopped after this running time.
    #[schemars(extend("x-aliases" = ["timeout_secs:s", "timeout_millis:ms"]))]
    pub timeout: Option<Millis>,
    /// First signal of a stop or timeout.
    #[schemars(extend("x-aliases" = ["signal"]))]
    pub stop_signal: Option<SignalName>,
    /// Time between that signal and KILL.
    #[schemars(extend("x-aliases" = ["graceful_timeout", "graceful_timeout_secs:s"]))]
    pub kill_after: Option<Millis>,
    /// It is tried so many times more if it does not succeed.
    pub retries: Option<u32>,
    /// Time before a retry.
    #[schemars(extend("x-aliases" = ["backoff_config"]))]
    pub backoff: Option<Backoff>,
    /// Exit codes that are a success besides 0.
    #[schemars(extend("x-aliases" = ["success_exit_codes", "ok_codes"]))]
    pub ok: Option<ExitCodes>,
    /// The queue it waits in.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._-]{0,62}$"))]
    pub queue: Option<String>,
    /// Held from its start to its end.
    pub lock: Option<Lock>,
    /// What becomes of it if jr loses sight of an attempt.
    pub on_interrupt: Option<OnInterrupt>,
    /// What happens to processes that outlive the main one.
    pub strays: Option<Strays>,
    /// How output reaches its files.
    pub capture: Option<Capture>,
    /// Labels to select by.
    pub labels: Option<BTreeMap<String, String>>,
    /// What its processes may use together.
    pub limits: Option<Limits>,
    /// Permission bits that new files do not get.
    pub umask: Option<Umask>,
}

/// Waiting times that grow with each attempt.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Backoff {
    /// `FIRST[,max=DURATION][,factor=N][,jitter=N%]`.
    #[schemars(schema_with = "backoff_text")]
    Text(String),
    /// Key by key.
    Table(BackoffTable),
}

fn backoff_text(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "format": "backoff" })
}

/// Waiting times, key by key.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackoffTable {
    /// Before the first retry (default 1s).
    #[schemars(extend("x-aliases" =
        ["first", "initial_millis:ms", "base_delay", "base_delay_secs:s", "base_delay_millis:ms"]))]
    pub initial: Option<Millis>,
    /// No wait is longer (default 5m).
    #[schemars(extend("x-aliases" = ["max_millis:ms", "max_delay", "max_delay_secs:s"]))]
    pub max: Option<Millis>,
    /// Each wait is so many times the one before (default 2).
    #[schemars(extend("x-aliases" = ["factor"]), range(min = 1.0, max = 100.0))]
    pub multiplier: Option<f64>,
    /// Each wait is shortened or lengthened by up to this part of it (default 0.1).
    #[schemars(range(min = 0.0, max = 1.0))]
    pub jitter: Option<f64>,
    /// Failures further apart than this do not add up.
    #[schemars(extend("x-aliases" = ["failure_window", "failure_window_secs:s"]))]
    pub window: Option<Millis>,
}

/// If an attempt is lost, at a reboot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnInterrupt {
    /// It ends as lost.
    Fail,
    /// It waits in its queue again.
    Requeue,
    /// It is delayed until somebody resumes it.
    Ask,
}

/// Processes that outlive the main one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Strays {
    /// They are killed.
    Kill,
    /// They live on.
    Keep,
}

/// How output reaches its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capture {
    /// The process writes to the files itself.
    File,
    /// It is copied from pipes: the order of the two streams is exact.
    Pipe,
}
