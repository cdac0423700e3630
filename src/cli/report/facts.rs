//! What a bundle says of the machine and the moment that it was made on.

use std::collections::BTreeMap;
use std::fs;

use serde::Serialize;

use crate::cli::time_arg;

/// `facts/host.json`.
#[derive(Debug, Serialize)]
pub struct Host {
    /// When the bundle was made.
    made_at: Option<String>,
    /// Which jr made it.
    jr: &'static str,
    /// uname(2).
    kernel: BTreeMap<&'static str, String>,
    /// os-release(5).
    os: Option<String>,
    cores: Option<usize>,
    /// `MemTotal` and `MemAvailable` of proc(5).
    memory: BTreeMap<String, String>,
    /// First line of /proc/loadavg.
    load: Option<String>,
    time_zone: Option<String>,
}

impl Host {
    /// This one, now.
    pub fn here() -> Self {
        let name = rustix::system::uname();
        let kernel = BTreeMap::from([
            ("sysname", name.sysname().to_string_lossy().into_owned()),
            ("release", name.release().to_string_lossy().into_owned()),
            ("version", name.version().to_string_lossy().into_owned()),
            ("machine", name.machine().to_string_lossy().into_owned()),
            ("nodename", name.nodename().to_string_lossy().into_owned()),
        ]);
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let os = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = memory.lines().filter_map(|line| line.split_once(':'));
        let memory = memory.filter(|(name, _)| ["MemTotal", "MemAvailable"].contains(name));
        let now = time_arg::now();
        Self {
            made_at: time_arg::rfc3339(now.timestamp().as_millisecond()),
            jr: env!("CARGO_PKG_VERSION"),
            kernel,
            os: os.map(|os| os.trim_matches('"').to_owned()),
            cores: std::thread::available_parallelism().ok().map(std::num::NonZero::get),
            memory: memory
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            load: fs::read_to_string("/proc/loadavg").ok().map(|load| load.trim().to_owned()),
            time_zone: now.time_zone().iana_name().map(str::to_owned),
        }
    }
}
