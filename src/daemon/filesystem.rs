//! Which disks hold state: local ones, whose locks and syncs mean what they say.

use std::path::Path;

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

/// Refuses to keep state where another host or a user process keeps it.
///
/// # Errors
/// [`DaemonError::RemoteFilesystem`], unless `JR_UNSAFE_FILESYSTEM` is set.
pub fn check_local(path: &Path) -> Result<(), DaemonError> {
    let stat = rustix::fs::statfs(path);
    let stat = stat.map_err(|error| DaemonError::io("look at", path)(error.into()))?;
    match remote_kind(u64::from_le_bytes(stat.f_type.to_le_bytes())) {
        Some(kind) if std::env::var_os("JR_UNSAFE_FILESYSTEM").is_none() => {
            Err(DaemonError::RemoteFilesystem { path: path.to_owned(), kind })
        }
        _ => Ok(()),
    }
}

fn remote_kind(magic: u64) -> Option<&'static str> {
    // The field is signed on some architectures; the magics are 32 bits.
    let magic = magic & 0xFFFF_FFFF;
    REMOTE.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_disks_are_named_and_local_ones_are_not() {
        assert_eq!(remote_kind(0x6969), Some("NFS"));
        assert_eq!(remote_kind(0xFFFF_FFFF_FF53_4D42), Some("CIFS"));
        assert_eq!(remote_kind(0xEF53), None, "ext4");
        assert_eq!(remote_kind(0x0102_1994), None, "tmpfs");
        assert!(check_local(Path::new("/")).is_ok());
    }
}
