//! Which cgroup hierarchies there are, and where groups could be made. Nothing is made.
//!
//! It looks where [`super::cgroup::Leaf::make`] and [`super::confine`] would, in their order.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

use super::cgroup;
use super::confine;

/// Controllers that hold a run to its limits.
pub const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// How cgroups are mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Not at all.
    #[default]
    None,
    /// Version 2 alone.
    Unified,
    /// Version 1, and version 2 beside it.
    Hybrid,
    /// Version 1 alone.
    Legacy,
}

/// A group above which, or beside which, a leaf could lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its directory.
    pub path: String,
    /// Groups can be made in it.
    pub writable: bool,
    /// The kernel can end a whole group (Linux 5.14).
    pub can_kill: bool,
    /// Controllers that it has.
    pub controllers: Vec<String>,
    /// Those that groups in it get.
    pub delegated: Vec<String>,
    /// Processes live in it, so that it can delegate none.
    pub populated: bool,
}

/// A hierarchy of version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Legacy {
    /// Its controller.
    pub controller: String,
    /// Groups can be made where the process is.
    pub writable: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// How they are mounted.
    pub mode: Mode,
    /// The process that was asked about.
    pub pid: u32,
    /// Where it is in version 2, from there up to the mount.
    pub groups: Vec<Group>,
    /// Its place lies outside what can be seen (a cgroup namespace).
    pub outside: bool,
    /// Version 1.
    pub legacy: Vec<Legacy>,
}

impl Hierarchy {
    /// Where a leaf would be made.
    pub fn place(&self) -> Option<&Group> {
        self.groups.iter().find(|group| group.writable && group.can_kill)
    }

    /// Whether a leaf there could be held to limits by that controller.
    pub fn can_confine(&self, controller: &str) -> bool {
        let has = |list: &[String]| list.iter().any(|name| name == controller);
        self.place().is_some_and(|group| {
            has(&group.delegated) || has(&group.controllers) && !group.populated
        })
    }

    /// The same for a group of version 1.
    pub fn can_confine_legacy(&self, controller: &str) -> bool {
        self.legacy.iter().any(|legacy| legacy.controller == controller && legacy.writable)
    }
}

/// Looks at where a process is.
pub fn survey(pid: u32) -> Hierarchy {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mount = cgroup::mount();
    let legacy: Vec<Legacy> = CONTROLLERS
        .iter()
        .filter_map(|controller| {
            let mount = confine::mount_v1(controller)?;
            let own = cgroup::path_in(&text, controller);
            let place = own.and_then(|own| below(&mount, &own));
            let writable = place.is_some_and(|place| can_make(&place));
            Some(Legacy { controller: (*controller).to_owned(), writable })
        })
        .collect();
    let mode = match (&mount, legacy.is_empty()) {
        (None, true) => Mode::None,
        (None, false) => Mode::Legacy,
        (Some(_), false) => Mode::Hybrid,
        (Some(_), true) => Mode::Unified,
    };
    let own = cgroup::path_in(&text, "");
    let outside = mount.is_some() && own.is_none();
    let groups = mount.zip(own).map(|(mount, own)| groups(&mount, &own)).unwrap_or_default();
    Hierarchy { mode, pid, groups, outside, legacy }
}

fn groups(mount: &Path, own: &Path) -> Vec<Group> {
    let Some(own) = below(mount, own) else { return Vec::new() };
    own.ancestors().take_while(|path| path.starts_with(mount)).map(group).collect()
}

fn below(mount: &Path, own: &Path) -> Option<PathBuf> {
    let own = own.strip_prefix("/").ok()?;
    let is_mount = own.as_os_str().is_empty();
    Some(if is_mount { mount.to_owned() } else { mount.join(own) })
}

fn group(path: &Path) -> Group {
    let words = |name: &str| -> Vec<String> {
        let text = std::fs::read_to_string(path.join(name)).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    };
    // The true root has no such file, no `cgroup.kill`, and may delegate with processes in it;
    // groups in it have one.
    let is_root = !path.join("cgroup.events").exists();
    Group {
        path: path.display().to_string(),
        writable: can_make(path),
        can_kill: path.join("cgroup.kill").exists() || is_root && has_kill_below(path),
        controllers: words("cgroup.controllers"),
        delegated: words("cgroup.subtree_control"),
        populated: !is_root && !words("cgroup.procs").is_empty(),
    }
}

/// A root without groups says nothing about the kernel: it is as new as most are.
fn has_kill_below(path: &Path) -> bool {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut groups = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    groups.next().is_none_or(|group| group.path().join("cgroup.kill").exists())
}

fn can_make(path: &Path) -> bool {
    access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(path: &str, writable: bool) -> Group {
        Group { path: path.to_owned(), writable, can_kill: true, ..Group::default() }
    }

    #[test]
    fn the_nearest_group_that_can_be_written_is_taken() {
        let groups = vec![group("/a/b", false), group("/a", true), group("/", true)];
        let found = Hierarchy { groups, ..Hierarchy::default() };
        assert_eq!(found.place().map(|group| group.path.as_str()), Some("/a"));
        assert_eq!(Hierarchy::default().place(), None);
    }

    #[test]
    fn a_controller_is_of_use_where_it_is_or_can_be_delegated() {
        let own = |delegated: &[&str], populated| {
            let names = |list: &[&str]| list.iter().map(ToString::to_string).collect();
            let controllers = names(&["cpu", "pids"]);
            let delegated = names(delegated);
            let place = Group { controllers, delegated, populated, ..group("/a", true) };
            Hierarchy { groups: vec![place], ..Hierarchy::default() }
        };
        assert!(own(&["cpu"], true).can_confine("cpu"));
        assert!(!own(&["cpu"], true).can_confine("pids"), "processes live beside the leaf");
        assert!(own(&[], false).can_confine("pids"));
        assert!(!own(&["cpu"], false).can_confine("memory"));
    }

    #[test]
    fn this_process_is_somewhere_and_a_missing_one_is_nowhere() {
        let found = survey(std::process::id());
        assert!(found.mode == Mode::None || !found.legacy.is_empty() || !found.groups.is_empty());
        assert!(survey(0).groups.is_empty());
    }
}
