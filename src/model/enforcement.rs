//! What holds an attempt to its limits: a fact about the machine that it ran on.

use serde::{Deserialize, Serialize};

/// What holds an attempt to one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitBy {
    /// A controller of its cgroup v2 leaf: all its processes together.
    Cgroup2,
    /// A group of its own in a cgroup v1 hierarchy: all its processes together.
    Cgroup1,
    /// A limit of each process by itself (setrlimit(2)).
    Rlimit,
    /// Nothing: this machine has no means for it.
    Nothing,
}

/// The same for each limit; `None` where none was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsBy {
    /// CPU time per wall time.
    pub cpu: Option<LimitBy>,
    /// Memory.
    pub memory: Option<LimitBy>,
    /// Processes and threads.
    pub pids: Option<LimitBy>,
}

impl LimitBy {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Cgroup2 => "cgroup2",
            Self::Cgroup1 => "cgroup1",
            Self::Rlimit => "rlimit",
            Self::Nothing => "none",
        }
    }
}
