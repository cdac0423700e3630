//! Whether whole trees can be tracked, and held to limits.

use crate::daemon::doctor::facts::Facts;
use crate::daemon::doctor::facts::cgroups::CgroupFacts;
use crate::daemon::doctor::finding::{Finding, count, quoted};
use crate::runners::linux::hierarchy::{CONTROLLERS, Mode};

/// Whether a leaf can be made, from which nothing escapes.
pub(super) fn leaf(facts: &Facts) -> Vec<Finding> {
    let Some(found) = facts.cgroups.known() else { return Vec::new() };
    let hierarchy = &found.hierarchy;
    let mode = match hierarchy.mode {
        Mode::None => "no cgroups",
        Mode::Unified => "cgroup v2",
        Mode::Hybrid => "cgroup v2 beside v1",
        Mode::Legacy => "cgroup v1 alone",
    };
    let finding = if let Some(group) = hierarchy.place() {
        let message = format!("{mode}; each run gets a leaf of its own in {}", group.path);
        Finding::ok("cgroup", message).with("path", group.path.as_str())
    } else {
        let why = if hierarchy.outside {
            "this process lies outside what can be seen of it"
        } else if hierarchy.groups.iter().any(|group| group.writable) {
            "the kernel cannot end a whole group (Linux 5.14 can)"
        } else if hierarchy.groups.is_empty() {
            "there is no v2 hierarchy"
        } else {
            "no group can be made"
        };
        let message = format!(
            "{mode}, {why}: a run is tracked by its session and parents, and what leaves both \
             while jr's shim is killed is not found"
        );
        Finding::warning("cgroup", message).fix_if(delegation(facts, found))
    };
    vec![finding.with("mode", mode).with("of_daemon", found.of_daemon)]
}

/// A daemon that begins in a scope of its own may do there what it wants.
fn delegation(facts: &Facts, found: &CgroupFacts) -> Option<String> {
    let host = facts.host.known()?;
    let jr = facts.jr();
    if !host.machine.has_systemd {
        let is_v2 = matches!(found.hierarchy.mode, Mode::Unified);
        let is_root = host.machine.uid == 0;
        return (is_v2 && is_root).then(|| "mount -o remount,rw /sys/fs/cgroup".to_owned());
    }
    let user = if host.machine.uid == 0 { "" } else { "--user " };
    let stop = if found.of_daemon { format!("{jr} daemon stop; ") } else { String::new() };
    Some(format!("{stop}systemd-run {user}--scope -p Delegate=yes {jr} daemon start"))
}

/// Which limits hold a whole tree.
pub(super) fn controllers(facts: &Facts) -> Vec<Finding> {
    let Some(found) = facts.cgroups.known() else { return Vec::new() };
    let hierarchy = &found.hierarchy;
    let (mut held, mut missing) = (Vec::new(), Vec::new());
    for controller in CONTROLLERS {
        if hierarchy.can_confine(controller) {
            held.push(controller.to_owned());
        } else if hierarchy.can_confine_legacy(controller) {
            held.push(format!("{controller} (v1)"));
        } else {
            missing.push(controller);
        }
    }
    let finding = if missing.is_empty() {
        Finding::ok("cgroup_limits", format!("limits of a whole run hold: {}", held.join(", ")))
    } else {
        let words = missing.iter().map(|controller| match *controller {
            "memory" => "memory (each process by itself)",
            other => other,
        });
        let words: Vec<&str> = words.collect();
        let message = format!("limits that do not hold a whole run: {}", words.join(", "));
        Finding::info("cgroup_limits", message).fix_if(service(facts))
    };
    vec![finding.with("held", held).with("missing", missing)]
}

/// Where processes live beside the leaves nothing is delegated; a service manager can put the
/// daemon into a group below its own.
fn service(facts: &Facts) -> Option<String> {
    let machine = &facts.host.known()?.machine;
    let user = if machine.uid == 0 { "" } else { "--user " };
    let subgroup = "-p Delegate=yes -p DelegateSubgroup=daemon";
    machine
        .has_systemd
        .then(|| format!("systemd-run {user}{subgroup} {} daemon run --idle-exit 0", facts.jr()))
}

/// Leaves of shims that were killed, and whose environment nobody served again.
pub(super) fn left_over(facts: &Facts) -> Vec<Finding> {
    let Some(found) = facts.cgroups.known().filter(|found| found.empty_leaves > found.shims) else {
        return Vec::new();
    };
    let Some(group) = found.hierarchy.place() else { return Vec::new() };
    let number = count(found.empty_leaves, "empty leaf").replace("leafs", "leaves");
    // A shim that waits for work has an empty one too, and nobody can see whose is whose.
    let fix = (found.shims == 0).then(|| {
        let path = quoted(&group.path);
        format!("find {path} -maxdepth 1 -type d -name 'jr-*-*' -exec rmdir {{}} +")
    });
    let message = format!(
        "{number} in {} and {} alive: some were left by shims that were killed",
        group.path,
        count(found.shims, "shim")
    );
    let finding = Finding::info("cgroup_left_over", message).fix_if(fix);
    vec![finding.with("leaves", found.empty_leaves).with("shims", found.shims)]
}

#[cfg(test)]
mod tests {
    use super::super::sound::{facts, is, known, only};
    use super::*;

    fn with(change: impl Fn(&mut CgroupFacts)) -> Facts {
        let mut facts = facts();
        change(known(&mut facts.cgroups));
        facts
    }

    #[test]
    fn without_a_place_for_a_leaf_systemd_can_give_one() {
        assert_eq!(only(&leaf(&facts())), is("cgroup", "ok", None));
        let mut refused = with(|found| found.hierarchy.groups[0].writable = false);
        let fix = "systemd-run --user --scope -p Delegate=yes jr daemon start";
        assert_eq!(only(&leaf(&refused)), is("cgroup", "warning", Some(fix)));
        known(&mut refused.cgroups).of_daemon = true;
        known(&mut refused.host).machine.uid = 0;
        let fix = "jr daemon stop; systemd-run --scope -p Delegate=yes jr daemon start";
        assert_eq!(only(&leaf(&refused)), is("cgroup", "warning", Some(fix)));
        known(&mut refused.host).machine.has_systemd = false;
        let fix = Some("mount -o remount,rw /sys/fs/cgroup");
        assert_eq!(only(&leaf(&refused)), is("cgroup", "warning", fix));
        known(&mut refused.host).machine.uid = 1000;
        assert_eq!(only(&leaf(&refused)), is("cgroup", "warning", None));
    }

    #[test]
    fn why_there_is_no_leaf_is_said() {
        let message = |facts: &Facts| leaf(facts)[0].message.clone();
        let old = with(|found| found.hierarchy.groups[0].can_kill = false);
        assert!(message(&old).contains("5.14"));
        let outside = with(|found| {
            found.hierarchy.groups.clear();
            found.hierarchy.outside = true;
        });
        assert!(message(&outside).contains("outside"));
        let none =
            with(|found| found.hierarchy = crate::runners::linux::hierarchy::Hierarchy::default());
        assert!(message(&none).starts_with("no cgroups, there is no v2 hierarchy"));
    }

    #[test]
    fn limits_that_nothing_holds_are_named() {
        assert_eq!(only(&controllers(&facts())), is("cgroup_limits", "ok", None));
        let none = with(|found| {
            found.hierarchy.groups[0].controllers.clear();
            found.hierarchy.groups[0].delegated.clear();
        });
        let judged = controllers(&none);
        assert_eq!(only(&judged).1, "info");
        assert!(judged[0].message.ends_with("cpu, memory (each process by itself), pids"));
    }

    #[test]
    fn empty_leaves_are_removed_only_where_no_shim_could_own_one() {
        assert!(left_over(&facts()).is_empty());
        let many = |shims| with(|found| (found.empty_leaves, found.shims) = (5, shims));
        assert!(only(&left_over(&many(0))).2.is_some_and(|fix| fix.contains("rmdir")));
        assert_eq!(only(&left_over(&many(1))), is("cgroup_left_over", "info", None));
        assert!(left_over(&many(5)).is_empty());
    }
}
