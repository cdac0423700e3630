//! What state, output and sockets lie on.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use serde::{Deserialize, Serialize};

use crate::daemon::filesystem::{self, Kind};
use crate::daemon::place::Place;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFacts {
    /// What lies on it.
    pub holds: Vec<String>,
    /// A directory there.
    pub path: String,
    /// Where it is mounted.
    pub mount_point: Option<String>,
    /// Its file system.
    pub kind: Kind,
    /// Nobody can write there.
    pub read_only: bool,
    /// Bytes that it can hold.
    pub bytes: u64,
    /// Bytes that this user can still write.
    pub free_bytes: u64,
    /// Files that it can hold; 0 where that has no bound.
    pub inodes: u64,
    /// Files that this user can still make.
    pub free_inodes: u64,
}

/// Looks; each disk once.
pub fn gather(place: &Place) -> Vec<DiskFacts> {
    let output = place.outputs();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut disks: Vec<(u64, DiskFacts)> = Vec::new();
    for (name, path) in [("state", &place.root), ("output", &output), ("sockets", &place.run)] {
        let Some(there) = existing(path) else { continue };
        let device = std::fs::metadata(&there).map_or(0, |data| data.dev());
        if let Some((_, disk)) = disks.iter_mut().find(|(known, _)| *known == device) {
            disk.holds.push(name.to_owned());
        } else if let Some(disk) = of(name, &there, &mounts) {
            disks.push((device, disk));
        }
    }
    disks.into_iter().map(|(_, disk)| disk).collect()
}

/// The path, or the nearest above it that is there.
fn existing(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|path| path.exists()).map(Path::to_owned)
}

fn of(name: &str, path: &Path, mounts: &str) -> Option<DiskFacts> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    Some(DiskFacts {
        holds: vec![name.to_owned()],
        path: path.display().to_string(),
        mount_point: mount_point(mounts, &real),
        kind: filesystem::kind(path).unwrap_or_default(),
        read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
        bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes: stat.f_files,
        free_inodes: stat.f_favail,
    })
}

/// The fifth field of `proc_pid_mountinfo(5)`, blanks and the like in octal; the longest that is
/// above the path, and of equal ones the last, which lies over the others.
fn mount_point(mounts: &str, path: &Path) -> Option<String> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(unescaped);
    let above = points.filter(|point| path.starts_with(point));
    above.max_by_key(String::len)
}

fn unescaped(field: &str) -> String {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(field.to_owned(), |text, (code, letter)| text.replace(code, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_above_a_path_is_its_own() {
        let mounts = "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /home rw - xfs b rw\n\
                      3 1 0:3 / /home/my\\040disk rw - nfs c rw\nrubbish\n";
        let at = |path: &str| mount_point(mounts, Path::new(path));
        assert_eq!(at("/home/ada/jr").as_deref(), Some("/home"));
        assert_eq!(at("/home/my disk/x").as_deref(), Some("/home/my disk"));
        assert_eq!(at("/homes").as_deref(), Some("/"));
        assert_eq!(mount_point("", Path::new("/")), None);
    }

    #[test]
    fn a_disk_is_found_for_what_is_not_there_yet() {
        let there = existing(Path::new("/proc/self/no/such/thing")).expect("there");
        assert_eq!(there, Path::new("/proc/self"));
        let disk = of("state", Path::new("/"), "").expect("there");
        assert!(disk.bytes > 0 && disk.free_bytes <= disk.bytes);
    }
}
