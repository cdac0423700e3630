//! This jr, and the machine that it runs on.

use serde::{Deserialize, Serialize};

use crate::daemon::protocol::PROTOCOL;
use crate::runners::linux::machine::{self, Machine};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Version of this jr.
    pub version: String,
    /// What it speaks.
    pub protocol: u32,
    /// Its file.
    pub program: Option<String>,
    /// `release`, or `debug`, which is slow.
    pub build: String,
    /// The machine.
    pub machine: Machine,
    /// `JR_HOME`, if it is set.
    pub jr_home: Option<String>,
    /// `XDG_STATE_HOME`, if it is set.
    pub state_home: Option<String>,
    /// `XDG_RUNTIME_DIR`, if it is set; jr keeps nothing there.
    pub runtime_dir: Option<String>,
    /// `JR_UNSAFE_FILESYSTEM` is set.
    pub unsafe_filesystem: bool,
}

/// Looks.
pub fn gather() -> HostFacts {
    let set = |name| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some(value.to_string_lossy().into_owned())
    };
    HostFacts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol: PROTOCOL,
        program: std::env::current_exe().ok().map(|path| path.display().to_string()),
        build: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        machine: machine::read(),
        jr_home: set("JR_HOME"),
        state_home: set("XDG_STATE_HOME"),
        runtime_dir: set("XDG_RUNTIME_DIR"),
        unsafe_filesystem: std::env::var_os("JR_UNSAFE_FILESYSTEM").is_some(),
    }
}
