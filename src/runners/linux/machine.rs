//! What this machine grants: kernel, clocks, memory, limits. Only read.

use rustix::process::{Resource, Rlimit, getrlimit};
use serde::{Deserialize, Serialize};

use super::clock;

/// A resource limit; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// In force.
    pub soft: Option<u64>,
    /// What the other can be raised to.
    pub hard: Option<u64>,
}

impl From<Rlimit> for Limit {
    fn from(limit: Rlimit) -> Self {
        Self { soft: limit.current, hard: limit.maximum }
    }
}

/// One reading of it. What cannot be read is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Release of the kernel.
    pub kernel: String,
    /// Its architecture.
    pub architecture: String,
    /// Effective user.
    pub uid: u32,
    /// Usable cores.
    pub cores: usize,
    /// Whether systemd manages it (`sd_booted(3)`).
    pub has_systemd: bool,
    /// Which boot, as 32 digits.
    pub boot: Option<String>,
    /// Since boot, suspend included.
    pub boottime_ms: u64,
    /// The wall clock, since 1970.
    pub wall_ms: i64,
    /// `RLIMIT_NOFILE`.
    pub open_files: Limit,
    /// `RLIMIT_NPROC`: of the user, over all sessions.
    pub processes: Limit,
    /// `kernel.pid_max`.
    pub pid_max: Option<u64>,
    /// `fs.inotify.max_user_watches`.
    pub inotify_watches: Option<u64>,
    /// `fs.inotify.max_user_instances`.
    pub inotify_instances: Option<u64>,
    /// `MemTotal`.
    pub memory_bytes: Option<u64>,
    /// `MemAvailable`.
    pub memory_available_bytes: Option<u64>,
}

/// Reads it.
pub fn read() -> Machine {
    let names = rustix::system::uname();
    let now = clock::now();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    Machine {
        kernel: names.release().to_string_lossy().into_owned(),
        architecture: names.machine().to_string_lossy().into_owned(),
        uid: rustix::process::geteuid().as_raw(),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        has_systemd: std::path::Path::new("/run/systemd/system").is_dir(),
        boot: clock::boot_id().ok().map(|boot| boot.to_string()),
        boottime_ms: now.boottime_ms,
        wall_ms: now.wall.0,
        open_files: getrlimit(Resource::Nofile).into(),
        processes: getrlimit(Resource::Nproc).into(),
        pid_max: setting("kernel/pid_max"),
        inotify_watches: setting("fs/inotify/max_user_watches"),
        inotify_instances: setting("fs/inotify/max_user_instances"),
        memory_bytes: kibibytes(&memory, "MemTotal:"),
        memory_available_bytes: kibibytes(&memory, "MemAvailable:"),
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    text.trim().parse().ok()
}

/// A line of `proc_meminfo(5)`, which counts in KiB.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_says_what_it_grants() {
        let machine = read();
        assert!(!machine.kernel.is_empty() && machine.cores > 0 && machine.boottime_ms > 0);
        assert_eq!(machine.boot, clock::boot_id().ok().map(|boot| boot.to_string()));
        assert!(machine.memory_bytes >= machine.memory_available_bytes);
    }

    #[test]
    fn memory_is_read_in_kib_and_rubbish_is_nothing() {
        let text = "MemTotal:       16 kB\nMemAvailable:   x kB\nMemFree: 3\n";
        assert_eq!(kibibytes(text, "MemTotal:"), Some(16_384));
        assert_eq!(kibibytes(text, "MemAvailable:"), None);
        assert_eq!(kibibytes(text, "MemFree:"), None);
        assert_eq!(kibibytes(text, "Swap:"), None);
    }
}
