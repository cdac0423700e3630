//! What processes may use, how many may run, and what is kept.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Bytes, Cores};

/// What the processes of one attempt may use together.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Cores.
    #[schemars(extend("x-aliases" = ["cpus"]))]
    pub cpu: Option<Cores>,
    /// Memory.
    #[schemars(extend("x-aliases" = ["memory_bytes"]))]
    pub memory: Option<Bytes>,
    /// Processes and threads.
    #[schemars(range(min = 1))]
    pub pids: Option<u32>,
}

/// Work that waits for one another.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// How many of it run at one time.
    #[schemars(extend("x-aliases" = ["jobs", "concurrency", "max_concurrent"]), range(min = 1))]
    pub limit: Option<u32>,
}

/// What `jr prune` keeps where it is told nothing else.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// What ended in the last so many days.
    pub keep_days: Option<u32>,
    /// The newest so many runs.
    #[schemars(extend("x-aliases" = ["max_runs_per_env", "max_runs"]))]
    pub keep_runs: Option<u64>,
}
