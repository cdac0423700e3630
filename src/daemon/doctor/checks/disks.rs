//! Disks: of a kind that can be trusted, writable, with room.

use crate::daemon::doctor::facts::Facts;
use crate::daemon::doctor::facts::disks::DiskFacts;
use crate::daemon::doctor::finding::{Finding, bytes, quoted};
use crate::limits;

/// Its file system, and how it is mounted.
pub(super) fn kind(facts: &Facts) -> Vec<Finding> {
    let is_allowed = facts.host.known().is_some_and(|host| host.unsafe_filesystem);
    let judged = |disk: &DiskFacts| {
        let (name, path) = (&disk.kind.name, &disk.path);
        let holds = disk.holds.join(", ");
        let finding = if disk.read_only {
            let message = format!("{path} ({holds}) is mounted read-only");
            let fix = disk.mount_point.as_ref();
            let fix = fix.map(|point| format!("sudo mount -o remount,rw {}", quoted(point)));
            Finding::error("disk_kind", message).fix_if(fix)
        } else if disk.kind.remote && !is_allowed {
            let message = format!(
                "{path} ({holds}) lies on {name}, whose locks and syncs cannot be trusted; no \
                 daemon serves it"
            );
            let fix = "export JR_HOME=/var/tmp/jr-\"$(id -un)\"  # a local disk";
            Finding::error("disk_kind", message).fix(fix)
        } else if disk.kind.remote {
            let message =
                format!("{path} ({holds}) lies on {name}, and JR_UNSAFE_FILESYSTEM is set");
            Finding::warning("disk_kind", message).fix("unset JR_UNSAFE_FILESYSTEM")
        } else if disk.kind.volatile {
            let message =
                format!("{path} ({holds}) lies on {name}: a restart of the machine empties it");
            let fix = "export JR_HOME=\"$HOME\"/.local/state/jr";
            Finding::warning("disk_kind", message).fix(fix)
        } else if name == "overlay" {
            let message = format!("{path} ({holds}) lies on overlay: it may go with its container");
            Finding::info("disk_kind", message)
        } else {
            Finding::ok("disk_kind", format!("{path} ({holds}) lies on {name}"))
        };
        let finding = finding.with("path", path.as_str()).with("filesystem", name.as_str());
        finding.with("mount_point", disk.mount_point.clone())
    };
    facts.disks.known().into_iter().flatten().map(judged).collect()
}

/// Room for bytes and for files.
pub(super) fn space(facts: &Facts) -> Vec<Finding> {
    let prune = format!("{} prune --keep-days 7 --dry-run", facts.jr());
    let judged = |disk: &DiskFacts| {
        let path = &disk.path;
        let few_files = |bound| disk.inodes > 0 && disk.free_inodes < bound;
        let files = format!("{path}: {} more files can be made", disk.free_inodes);
        let room = format!("{path}: {} of {} free", bytes(disk.free_bytes), bytes(disk.bytes));
        let finding = if disk.free_bytes < limits::DISK_FREE_NEEDED {
            Finding::error("disk_space", format!("{room}, so nothing more can be recorded"))
                .fix(prune.clone())
        } else if few_files(limits::INODES_FREE_NEEDED) {
            Finding::error("disk_space", files).fix(format!("df -i {}", quoted(path)))
        } else if disk.free_bytes < limits::DISK_FREE_WISHED {
            Finding::warning("disk_space", room).fix(prune.clone())
        } else if few_files(limits::INODES_FREE_WISHED) {
            Finding::warning("disk_space", files).fix(format!("df -i {}", quoted(path)))
        } else {
            Finding::ok("disk_space", room)
        };
        let finding = finding.with("path", path.as_str()).with("free_bytes", disk.free_bytes);
        finding.with("free_inodes", disk.free_inodes)
    };
    facts.disks.known().into_iter().flatten().map(judged).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sound::{facts, is, known, only};
    use super::*;
    use crate::daemon::filesystem::Kind;

    fn with(change: impl Fn(&mut DiskFacts)) -> Facts {
        let mut facts = facts();
        change(&mut known(&mut facts.disks)[0]);
        facts
    }

    fn on(name: &str, remote: bool, volatile: bool) -> Facts {
        with(|disk| disk.kind = Kind { name: name.to_owned(), remote, volatile })
    }

    #[test]
    fn disks_that_cannot_be_trusted_are_told_apart() {
        assert_eq!(only(&kind(&facts())), is("disk_kind", "ok", None));
        let mut nfs = on("NFS", true, false);
        assert_eq!(only(&kind(&nfs)).1, "error");
        known(&mut nfs.host).unsafe_filesystem = true;
        let fix = Some("unset JR_UNSAFE_FILESYSTEM");
        assert_eq!(only(&kind(&nfs)), is("disk_kind", "warning", fix));
        assert_eq!(only(&kind(&on("tmpfs", false, true))).1, "warning");
        assert_eq!(only(&kind(&on("overlay", false, false))), is("disk_kind", "info", None));
    }

    #[test]
    fn a_read_only_disk_is_remounted_where_it_is_mounted() {
        let read_only = with(|disk| {
            disk.read_only = true;
            disk.mount_point = Some("/my disk".to_owned());
        });
        let fix = Some("sudo mount -o remount,rw '/my disk'");
        assert_eq!(only(&kind(&read_only)), is("disk_kind", "error", fix));
    }

    #[test]
    fn a_full_disk_is_an_error_and_a_filling_one_a_warning() {
        let prune = Some("jr prune --keep-days 7 --dry-run");
        let of = |free_bytes, free_inodes| {
            only(&space(&with(|disk| {
                (disk.free_bytes, disk.free_inodes) = (free_bytes, free_inodes);
            })))
        };
        assert_eq!(of(0, 0), is("disk_space", "error", prune));
        assert_eq!(of(limits::DISK_FREE_NEEDED, 90_000), is("disk_space", "warning", prune));
        assert_eq!(of(10 << 30, 3), is("disk_space", "error", Some("df -i /h")));
        assert_eq!(of(10 << 30, 300), is("disk_space", "warning", Some("df -i /h")));
        assert_eq!(of(10 << 30, 90_000), is("disk_space", "ok", None));
        let without_bound = with(|disk| (disk.inodes, disk.free_inodes) = (0, 0));
        assert_eq!(only(&space(&without_bound)), is("disk_space", "ok", None));
    }
}
