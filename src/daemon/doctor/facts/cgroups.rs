//! Where trees could be tracked and held to limits, and leaves that are there already.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::runners::linux::hierarchy::{self, Hierarchy};

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupFacts {
    /// Hierarchies, as the daemon has them, else as this process does.
    pub hierarchy: Hierarchy,
    /// It is the daemon's.
    pub of_daemon: bool,
    /// Leaves without a process where new ones would be made, of whatever environment.
    pub empty_leaves: usize,
    /// Shims that live on this machine, as far as they can be seen.
    pub shims: usize,
}

/// Looks.
pub fn gather(daemon: Option<u32>) -> CgroupFacts {
    let hierarchy = hierarchy::survey(daemon.unwrap_or_else(std::process::id));
    let place = hierarchy.place().map(|group| group.path.clone());
    let empty_leaves = place.map_or(0, |place| empty_leaves(Path::new(&place)));
    CgroupFacts { hierarchy, of_daemon: daemon.is_some(), empty_leaves, shims: shims() }
}

fn empty_leaves(place: &Path) -> usize {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let leaves = entries.filter(|entry| is_leaf(&entry.file_name().to_string_lossy()));
    let is_empty = |path: &Path| {
        let events = std::fs::read_to_string(path.join("cgroup.events"));
        events.is_ok_and(|text| text.lines().any(|line| line == "populated 0"))
    };
    leaves.filter(|entry| is_empty(&entry.path())).count()
}

/// `jr-<16 digits>-<8 digits>`, as shims name them.
fn is_leaf(name: &str) -> bool {
    let is_hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let parts = name.strip_prefix("jr-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(digest, number)| is_hex(digest, 16) && is_hex(number, 8))
}

/// Processes that call themselves so.
fn shims() -> usize {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| std::fs::read(entry.path().join("comm")).ok());
    names.filter(|name| name.trim_ascii_end() == b"jr shim").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_shims_give_are_leaves() {
        assert!(is_leaf("jr-015b6370747673c0-00000005"));
        for name in ["jr-00009216", "jr-x-00000005", "user.slice", "jr-015b6370747673c0-5"] {
            assert!(!is_leaf(name), "{name}");
        }
    }
}
