//! What a doctor looks at, as plain values: gathered here, judged by the checks beside it.
//!
//! Gathering reads only: it makes no file, starts no daemon, sends no signal, and asks a daemon or
//! shim nothing that changes it. What is not there, may not be read or is rubbish is a fact too.

pub mod cgroups;
pub mod disks;
pub mod host;
pub mod left;
pub mod log;
pub mod paths;
pub mod place;
pub mod server;
pub mod services;
pub mod shims;
pub mod tools;

use serde::{Deserialize, Serialize};

use super::isolated::{Gathered, Pending, begin};
use crate::daemon::place::{Keeping, Place};
use crate::limits;
use crate::projections::view::ServiceView;

/// How far it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// All records and pages of the log, however long that takes.
    pub whole_log: bool,
}

/// Where the log of an environment is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// On disk.
    #[default]
    Disk,
    /// In the memory of its daemon.
    Memory,
    /// In the memory of the command that uses it.
    Command,
}

impl Kept {
    fn of(place: &Place) -> Self {
        match place.keeping {
            Keeping::Disk => Self::Disk,
            Keeping::Memory => Self::Memory,
            Keeping::Isolated => Self::Command,
        }
    }
}

/// Everything that the checks judge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The environment's name.
    pub environment: String,
    /// Where its log is.
    #[serde(default)]
    pub kept: Kept,
    /// This jr and this machine.
    pub host: Gathered<host::HostFacts>,
    /// Directories and files.
    pub place: Gathered<place::PlaceFacts>,
    /// What they lie on.
    pub disks: Gathered<Vec<disks::DiskFacts>>,
    /// Locks, socket, daemon.
    pub server: Gathered<server::ServerFacts>,
    /// The log and its views.
    pub log: Gathered<log::LogFacts>,
    /// Shims and what their journals say.
    pub shims: Gathered<Vec<shims::ShimFacts>>,
    /// What is left without an owner.
    pub left: Gathered<left::LeftFacts>,
    /// Services that are wanted.
    pub services: Gathered<Vec<ServiceView>>,
    /// Cgroups.
    pub cgroups: Gathered<cgroups::CgroupFacts>,
    /// Programs that runs or jr itself may need.
    pub tools: Gathered<Vec<tools::ToolFacts>>,
}

impl Facts {
    /// Looks at everything.
    pub fn gather(place: &Place, depth: Depth) -> Self {
        let look = limits::DOCTOR_LOOK_MS;
        let of = |place: &Place| place.clone();
        let host = begin(look, host::gather);
        let tools = begin(look + limits::DOCTOR_TOOL_MS, tools::gather);
        let here = of(place);
        let paths = begin(look, move || place::gather(&here));
        let here = of(place);
        let disks = begin(look, move || disks::gather(&here));
        let here = of(place);
        // Before the log: a run that is admitted meanwhile is then no stray.
        let carriers = begin(look, move || left::carriers(&here));
        let here = of(place);
        let server = begin(look, move || server::gather(&here)).gathered();
        let answers = server.known().is_some_and(server::ServerFacts::answers);
        let pid = server.known().and_then(server::ServerFacts::daemon_pid);
        let cgroups = begin(look, move || cgroups::gather(pid));
        let carriers = carriers.gathered();
        let here = of(place);
        let limit_ms = if depth.whole_log { u64::MAX } else { limits::DOCTOR_LOG_MS };
        let read = begin(limit_ms, move || log::gather(&here, answers, depth)).gathered();
        let (log, known) = match read {
            Gathered::Known((log, known)) => (Gathered::Known(log), known),
            Gathered::Unknown { why } => (Gathered::Unknown { why }, None),
        };
        let here = of(place);
        let shims = begin(look, move || shims::gather(&here));
        let here = of(place);
        let left = begin(look, move || left::gather(&here, carriers, known.as_ref()));
        let here = of(place);
        // They are in the log: where that holds a look up, another would be held up too.
        let services = match log.why() {
            None => begin(look, move || services::gather(&here)),
            Some(why) => Pending::unknown(why),
        };
        Self {
            environment: place.id.to_string(),
            kept: Kept::of(place),
            host: host.gathered(),
            place: paths.gathered(),
            disks: disks.gathered(),
            server,
            log,
            shims: shims.gathered(),
            left: left.gathered(),
            services: services.gathered(),
            cgroups: cgroups.gathered(),
            tools: tools.gathered(),
        }
    }

    /// The word that begins a command for this environment.
    pub fn jr(&self) -> String {
        match self.environment.as_str() {
            "local" => "jr".to_owned(),
            id => format!("jr -e {id}"),
        }
    }

    /// Whether a daemon serves.
    pub fn is_served(&self) -> bool {
        self.server.known().is_some_and(server::ServerFacts::answers)
    }

    /// Whether the lock is known to be free: what lies there is nobody's work in progress.
    pub fn is_unattended(&self) -> bool {
        self.server.known().is_some_and(|server| {
            !server.answers() && !server.lock.is_held() && !server.starting.is_held()
        })
    }
}
