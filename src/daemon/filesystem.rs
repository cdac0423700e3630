//! Which disks hold state: local ones, whose locks and syncs mean what they say.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::DaemonError;

/// `f_type` of statfs(2) for file systems whose locks are not to be trusted
/// (`linux/magic.h`; Lustre, GPFS and `BeeGFS` from their own sources).
const REMOTE: [(u64, &str); 11] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0BD0_0BD0, "Lustre"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x5346_414F, "AFS"),
    (0x00C3_6400, "Ceph"),
];

/// The same for others, with whether a reboot empties them.
const LOCAL: [(u64, &str, bool); 11] = [
    (0xEF53, "ext4", false),
    (0x5846_5342, "XFS", false),
    (0x9123_683E, "Btrfs", false),
    (0x2FC1_2FC1, "ZFS", false),
    (0xF2F5_2010, "F2FS", false),
    (0xCA45_1A4E, "bcachefs", false),
    (0x794C_7630, "overlay", false),
    (0x0102_1994, "tmpfs", true),
    (0x8584_58F6, "ramfs", true),
    (0x4D44, "FAT", false),
    (0x2011_BAB0, "exFAT", false),
];

/// A file system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kind {
    /// Its name, or its number where it is not known.
    pub name: String,
    /// Another host, or a process of a user, keeps it: its locks and syncs cannot be trusted.
    pub remote: bool,
    /// What lies there is gone after a reboot.
    pub volatile: bool,
}

/// On which kind of file system a path lies.
///
/// # Errors
/// What the system says.
pub fn kind(path: &Path) -> std::io::Result<Kind> {
    let stat = rustix::fs::statfs(path)?;
    Ok(kind_of(u64::from_le_bytes(stat.f_type.to_le_bytes())))
}

fn kind_of(magic: u64) -> Kind {
    // The field is signed on some architectures; the magics are 32 bits.
    let magic = magic & 0xFFFF_FFFF;
    if let Some((_, name)) = REMOTE.iter().find(|(known, _)| *known == magic) {
        return Kind { name: (*name).to_owned(), remote: true, volatile: false };
    }
    match LOCAL.iter().find(|(known, ..)| *known == magic) {
        Some((_, name, volatile)) => {
            Kind { name: (*name).to_owned(), remote: false, volatile: *volatile }
        }
        None => Kind { name: format!("{magic:#x}"), remote: false, volatile: false },
    }
}

/// Refuses to keep state where another host or a user process keeps it.
///
/// # Errors
/// [`DaemonError::RemoteFilesystem`], unless `JR_UNSAFE_FILESYSTEM` is set.
pub fn check_local(path: &Path) -> Result<(), DaemonError> {
    let kind = kind(path).map_err(DaemonError::io("look at", path))?;
    if kind.remote && std::env::var_os("JR_UNSAFE_FILESYSTEM").is_none() {
        return Err(DaemonError::RemoteFilesystem { path: path.to_owned(), kind: kind.name });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_disks_are_named_and_local_ones_are_not() {
        let of = |magic| {
            let Kind { name, remote, volatile } = kind_of(magic);
            (name, remote, volatile)
        };
        assert_eq!(of(0x6969), ("NFS".to_owned(), true, false));
        assert_eq!(of(0xFFFF_FFFF_FF53_4D42), ("CIFS".to_owned(), true, false));
        assert_eq!(of(0xEF53), ("ext4".to_owned(), false, false));
        assert_eq!(of(0x0102_1994), ("tmpfs".to_owned(), false, true));
        assert_eq!(of(0x1234), ("0x1234".to_owned(), false, false));
        assert!(check_local(Path::new("/")).is_ok());
    }
}
