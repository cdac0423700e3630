//! A configuration file is written whole or not at all, and only over what was read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::load::read_file;

/// Who may read a new file; nobody else may write it.
const MODE: u32 = 0o644;
/// Names of temporary files that are tried.
const NAMES: u32 = 16;

/// Why a file is not written. What was there is there.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Where it leads is not what was meant, perhaps.
    #[error("{path} is a symbolic link to {target}")]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// It cannot be read, or is not to be trusted.
    #[error("{path}: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
        /// What would help.
        suggestion: Option<String>,
    },
    /// Somebody else was faster.
    #[error("{0} was changed by somebody else meanwhile")]
    Changed(PathBuf),
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a file holds; `None` where there is none.
///
/// # Errors
/// [`SaveError`].
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, SaveError> {
    let data = match fs::symlink_metadata(path) {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(SaveError::Io { path: path.to_owned(), source }),
    };
    if data.is_symlink() {
        let target = fs::read_link(path).unwrap_or_default();
        return Err(SaveError::Link { path: path.to_owned(), target });
    }
    read_file(path).map(Some).map_err(|problem| SaveError::Unreadable {
        path: path.to_owned(),
        why: problem.message,
        suggestion: problem.suggestion,
    })
}

/// Writes `bytes` where `before` was read; durable when it returns. Mode and owner stay.
///
/// # Errors
/// [`SaveError`].
pub fn save(path: &Path, before: Option<&[u8]>, bytes: &[u8]) -> Result<(), SaveError> {
    let failed = |source| SaveError::Io { path: path.to_owned(), source };
    let (temporary, mut file) = create_beside(path).map_err(failed)?;
    let written =
        file.write_all(bytes).and_then(|()| take_after(&file, path)).and_then(|()| file.sync_all());
    let published = written.map_err(failed).and_then(|()| {
        if read(path)?.as_deref() != before {
            return Err(SaveError::Changed(path.to_owned()));
        }
        fs::rename(&temporary, path).map_err(failed)
    });
    if let Err(error) = published {
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    File::open(directory_of(path)).and_then(|directory| directory.sync_all()).map_err(failed)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new file beside it; whatever has its name stays.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for number in 0..NAMES {
        let temporary = path.with_file_name(format!(".{name}.{}-{number}.tmp", std::process::id()));
        let mut options = OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Mode and owner as of the file that is there.
fn take_after(file: &File, path: &Path) -> io::Result<()> {
    let Ok(old) = fs::symlink_metadata(path) else {
        return file.set_permissions(fs::Permissions::from_mode(MODE));
    };
    let new = file.metadata()?;
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        // Only root can give files away; who may write it may not be its owner.
        std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid())).ok();
    }
    file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("jr.toml");
        assert_eq!(read(&path).expect("nothing there"), None);
        save(&path, None, b"a = 1\n").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        let before = read(&path).expect("read").expect("there");
        save(&path, Some(&before), b"a = 2\n").expect("written");
        assert_eq!(fs::read(&path).expect("read"), b"a = 2\n");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        let error = save(&path, Some(&before), b"a = 3\n").expect_err("it was changed");
        assert!(matches!(error, SaveError::Changed(_)), "{error}");
        assert_eq!(
            fs::read_dir(directory.path()).expect("read").count(),
            1,
            "nothing else is left"
        );
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, other) = (directory.path().join("jr.toml"), directory.path().join("other"));
        std::os::unix::fs::symlink(&other, &path).expect("linked");
        assert!(matches!(read(&path), Err(SaveError::Link { .. })));
        assert!(save(&path, None, b"a = 1\n").is_err());
        assert!(!other.exists());
    }
}
