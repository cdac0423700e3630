//! What a bundle says of the machine and the moment that it was made on, beside what the doctor
//! finds.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::cli::time_arg;

/// `facts/host.json`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Host {
    /// When the bundle was made.
    made_at: Option<String>,
    /// uname(2).
    name: String,
    /// os-release(5) and uname(2).
    pub system: String,
    /// First line of /proc/loadavg.
    load: Option<String>,
    time_zone: Option<String>,
}

impl Host {
    /// The name of its file among the facts.
    pub const FILE: &str = "host.json";

    /// This one, now.
    pub fn here() -> Self {
        let names = rustix::system::uname();
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let os = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let os = os.map_or("Linux", |os| os.trim_matches('"'));
        let (kernel, machine) = (names.release(), names.machine());
        let now = time_arg::now();
        Self {
            made_at: time_arg::rfc3339(now.timestamp().as_millisecond()),
            name: names.nodename().to_string_lossy().into_owned(),
            system: format!("{os}, {}, {}", kernel.to_string_lossy(), machine.to_string_lossy()),
            load: fs::read_to_string("/proc/loadavg").ok().map(|load| load.trim().to_owned()),
            time_zone: now.time_zone().iana_name().map(str::to_owned),
        }
    }
}
