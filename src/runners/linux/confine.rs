//! Holding an attempt to its limits, each by the strongest means that this machine has:
//!
//! ```text
//! a controller of its cgroup v2 leaf ▶ a group of its own in a v1 hierarchy ▶ setrlimit ▶ nothing
//! ```
//!
//! Files of the kernel: `Documentation/admin-guide/cgroup-v2.rst` and `cgroup-v1/`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::cgroup::{self, Leaf};
use crate::model::{LimitBy, LimitsBy, ResourceLimits};

/// Where v1 hierarchies are mounted, each under the name of its controller.
const V1_MOUNTS: &str = "/sys/fs/cgroup";
/// `CGROUP_SUPER_MAGIC` of statfs(2).
const CGROUP_SUPER_MAGIC: u64 = 0x0027_e0eb;
/// Microseconds over which CPU time is counted out: the kernel's own default.
const CPU_PERIOD_US: u64 = 100_000;
/// The longest that the kernel takes, for limits so small that their share of the default would be
/// below its smallest quota of 1 ms.
const CPU_PERIOD_MAX_US: u64 = 1_000_000;
/// Thousandths of a core whose share of the default period is that smallest quota.
const CPU_MILLIS_FINE: u32 = 10;

/// What was set up for one attempt.
#[derive(Debug, Default)]
pub struct Confinement {
    by: LimitsBy,
    /// `cgroup.procs` of v1 groups that the child enters before its exec.
    joins: Vec<File>,
    address_space: Option<u64>,
    groups: Vec<PathBuf>,
    /// Counts what the kernel killed for memory.
    oom_counter: Option<PathBuf>,
}

/// A file of a group and what is written to it.
struct Setting {
    file: &'static str,
    value: String,
    /// Without it there is no limit.
    is_needed: bool,
}

impl Setting {
    fn needed(file: &'static str, value: String) -> Self {
        Self { file, value, is_needed: true }
    }

    fn wished(file: &'static str, value: String) -> Self {
        Self { file, value, is_needed: false }
    }
}

impl Confinement {
    /// Sets up what the next child is to be held by. `name` is that of v1 groups; without one no
    /// cgroup is used.
    pub fn set_up(limits: &ResourceLimits, leaf: Option<&Leaf>, name: Option<&str>) -> Self {
        let mut made = Self::default();
        made.by.cpu = limits.cpu_millis.map(|millis| {
            let (quota, period) = cpu_quota(millis);
            let unified = [Setting::needed("cpu.max", format!("{quota} {period}"))];
            let grouped = [
                Setting::needed("cpu.cfs_period_us", period.to_string()),
                Setting::needed("cpu.cfs_quota_us", quota.to_string()),
            ];
            made.group("cpu", leaf, name, &unified, &grouped).unwrap_or(LimitBy::Nothing)
        });
        made.by.memory = limits.memory_bytes.map(|bytes| made.hold_memory(bytes, leaf, name));
        made.by.pids = limits.pids.map(|count| {
            let setting = [Setting::needed("pids.max", count.to_string())];
            // RLIMIT_NPROC counts all processes of the user, not those of one run.
            made.group("pids", leaf, name, &setting, &setting).unwrap_or(LimitBy::Nothing)
        });
        made
    }

    /// Swap would turn a limit of memory into a slow machine: what is beyond ends, here as on a
    /// machine without swap. All of the tree ends together where the kernel can do that, since
    /// half of it is seldom of use.
    fn hold_memory(&mut self, bytes: u64, leaf: Option<&Leaf>, name: Option<&str>) -> LimitBy {
        let unified = [
            Setting::needed("memory.max", bytes.to_string()),
            Setting::wished("memory.swap.max", "0".to_owned()),
            Setting::wished("memory.oom.group", "1".to_owned()),
        ];
        let grouped = [
            Setting::needed("memory.limit_in_bytes", bytes.to_string()),
            // Memory and swap together; to be set after the other.
            Setting::wished("memory.memsw.limit_in_bytes", bytes.to_string()),
        ];
        let by = self.group("memory", leaf, name, &unified, &grouped);
        let by = by.unwrap_or_else(|| {
            self.address_space = Some(bytes);
            LimitBy::Rlimit
        });
        self.oom_counter = match by {
            LimitBy::Cgroup2 => leaf.map(|leaf| leaf.path().join("memory.events")),
            LimitBy::Cgroup1 => self.groups.last().map(|group| group.join("memory.oom_control")),
            LimitBy::Rlimit | LimitBy::Nothing => None,
        };
        by
    }

    /// Holds it by a controller, of the leaf or of a v1 hierarchy.
    fn group(
        &mut self,
        controller: &str,
        leaf: Option<&Leaf>,
        name: Option<&str>,
        unified: &[Setting],
        grouped: &[Setting],
    ) -> Option<LimitBy> {
        if let Some(leaf) = leaf
            && leaf.enable(controller)
            && set(leaf.path(), unified).is_ok()
        {
            return Some(LimitBy::Cgroup2);
        }
        let group = make_v1(controller, name?)?;
        let join = set(&group, grouped)
            .and_then(|()| File::options().write(true).open(group.join("cgroup.procs")));
        if let Ok(join) = join {
            self.joins.push(join);
            self.groups.push(group);
            return Some(LimitBy::Cgroup1);
        }
        cgroup::remove(&group).ok();
        None
    }

    /// What holds it to each limit.
    pub fn by(&self) -> LimitsBy {
        self.by
    }

    /// Whether the leaf was given limits that the next attempt must not inherit.
    pub fn is_in_leaf(&self) -> bool {
        [self.by.cpu, self.by.memory, self.by.pids].contains(&Some(LimitBy::Cgroup2))
    }

    /// To be written to by the child: `0`, which is itself.
    pub(super) fn joins(&self) -> &[File] {
        &self.joins
    }

    /// `RLIMIT_AS` of the child.
    pub(super) fn address_space(&self) -> Option<u64> {
        self.address_space
    }

    /// The v1 groups that were made.
    pub fn groups(&self) -> &[PathBuf] {
        &self.groups
    }

    /// How many processes the kernel has killed for memory; `None` where it does not say.
    pub fn oom_kills(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.oom_counter.as_ref()?).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok())
    }

    /// Removes the groups, as far as nothing lives in them.
    pub fn remove(&mut self) {
        self.joins.clear();
        self.groups.retain(|group| cgroup::remove(group).is_err() && group.exists());
    }
}

/// Quota and period in microseconds.
fn cpu_quota(millis: u32) -> (u64, u64) {
    let period = if millis < CPU_MILLIS_FINE { CPU_PERIOD_MAX_US } else { CPU_PERIOD_US };
    (u64::from(millis) * period / 1_000, period)
}

fn set(group: &Path, settings: &[Setting]) -> io::Result<()> {
    for setting in settings {
        let file = File::options().write(true).open(group.join(setting.file));
        let written = file.and_then(|mut file| file.write_all(setting.value.as_bytes()));
        if setting.is_needed {
            written?;
        }
    }
    Ok(())
}

/// Where the v1 hierarchy of that controller is mounted.
pub(super) fn mount_v1(controller: &str) -> Option<PathBuf> {
    let mount = Path::new(V1_MOUNTS).join(controller);
    let is_v1 = rustix::fs::statfs(&mount)
        .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| kind == CGROUP_SUPER_MAGIC));
    is_v1.then_some(mount)
}

/// Makes a group beside or above where this process is in the hierarchy of that controller.
fn make_v1(controller: &str, name: &str) -> Option<PathBuf> {
    let mount = mount_v1(controller)?;
    let own = mount.join(cgroup::own_path(controller)?.strip_prefix("/").ok()?);
    let mut parents = own.ancestors().take_while(|parent| parent.starts_with(&mount));
    parents.find_map(|parent| {
        let path = parent.join(name);
        cgroup::make(&path).is_ok().then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_core_is_never_below_the_smallest_quota() {
        assert_eq!(cpu_quota(1_500), (150_000, 100_000));
        assert_eq!(cpu_quota(10), (1_000, 100_000));
        assert_eq!(cpu_quota(9), (9_000, 1_000_000));
        assert_eq!(cpu_quota(1), (1_000, 1_000_000));
    }

    #[test]
    fn without_any_group_memory_is_held_for_each_process_and_the_rest_by_nothing() {
        let limits = ResourceLimits { cpu_millis: Some(1), memory_bytes: Some(2), pids: Some(3) };
        let made = Confinement::set_up(&limits, None, None);
        let by = made.by();
        assert_eq!(by.cpu, Some(LimitBy::Nothing));
        assert_eq!(by.memory, Some(LimitBy::Rlimit));
        assert_eq!(by.pids, Some(LimitBy::Nothing));
        assert_eq!((made.address_space(), made.oom_kills()), (Some(2), None));
        let none = Confinement::set_up(&ResourceLimits::default(), None, None);
        assert_eq!(none.by(), LimitsBy::default());
    }
}
