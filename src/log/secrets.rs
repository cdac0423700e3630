//! Values behind the markers of a command: `secrets/<run id>`, mode 0600, never in the log.
//!
//! Written before the commit that admits the run, removed when no run of it can start any more;
//! whoever dies in between leaves a file of a run that the log does not know, to be removed then.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::atomic;
use super::error::LogError;
use crate::model::RunId;

/// The file of [`Secrets::key`]: no run has such an id.
const KEY: &str = "key";

/// The secrets of an environment.
#[derive(Debug)]
pub struct Secrets {
    directory: PathBuf,
}

impl Secrets {
    /// In that directory, which is made when it is needed.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Stores what belongs to a run or a batch; durable when it returns.
    pub fn write(&self, run: RunId, bytes: &[u8]) -> Result<(), LogError> {
        atomic::create_directory(&self.directory)?;
        atomic::atomic_write(&self.path(run), bytes)
    }

    /// Reads it; [`LogError::NotFound`] once it is removed.
    pub fn read(&self, run: RunId) -> Result<Vec<u8>, LogError> {
        let path = self.path(run);
        fs::read(&path).map_err(|error| LogError::io(&path, "read", error))
    }

    /// Removes it durably; what is not there is fine.
    pub fn remove(&self, run: RunId) -> Result<(), LogError> {
        let path = self.path(run);
        match fs::remove_file(&path) {
            Ok(()) => atomic::sync_parent(&path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(LogError::io(&path, "remove", error)),
        }
    }

    /// Runs that have secrets here; also left-over ones.
    pub fn list(&self) -> Result<Vec<RunId>, LogError> {
        let failed = |error| LogError::io(&self.directory, "list", error);
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut runs = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            runs.extend(name.to_str().and_then(|name| name.parse::<RunId>().ok()));
        }
        runs.sort();
        Ok(runs)
    }

    /// Random bytes of the environment that are nobody else's business; `None` where there are
    /// none yet.
    pub fn key(&self) -> Result<Option<[u8; 32]>, LogError> {
        let path = self.directory.join(KEY);
        match fs::read(&path) {
            Ok(bytes) => Ok(bytes.try_into().ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LogError::io(&path, "read", error)),
        }
    }

    /// Those bytes; where there are none yet, `drawn` is stored. Of several that ask at once all
    /// get the same: only the process with the environment's lock may ask.
    pub fn key_or(&self, drawn: [u8; 32]) -> Result<[u8; 32], LogError> {
        static STORES: Mutex<()> = Mutex::new(());
        let _one_at_a_time = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        atomic::create_directory(&self.directory)?;
        atomic::atomic_write(&self.directory.join(KEY), &drawn)?;
        Ok(drawn)
    }

    fn path(&self, run: RunId) -> PathBuf {
        self.directory.join(run.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_private_and_goes_away() {
        let directory = tempfile::tempdir().expect("a directory");
        let secrets = Secrets::new(&directory.path().join("secrets"));
        let run = RunId::from_chance(5);
        assert_eq!(secrets.list().expect("nothing there"), []);
        secrets.write(run, b"TOKEN=x").expect("stores");
        assert_eq!(secrets.read(run).expect("reads"), b"TOKEN=x");
        assert_eq!(secrets.list().expect("lists"), [run]);
        let mode = fs::metadata(secrets.path(run)).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(secrets.key().expect("looks"), None);
        assert_eq!(secrets.key_or([7; 32]).expect("stores"), [7; 32]);
        assert_eq!(secrets.key().expect("reads"), Some([7; 32]));
        assert_eq!(secrets.list().expect("lists"), [run]);
        secrets.remove(run).expect("removes");
        secrets.remove(run).expect("is gone already");
        assert!(matches!(secrets.read(run), Err(LogError::NotFound { .. })));
    }

    #[test]
    fn all_that_ask_at_once_for_the_first_key_get_the_same() {
        let directory = tempfile::tempdir().expect("a directory");
        let secrets = &Secrets::new(&directory.path().join("secrets"));
        let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let ask = |drawn| scope.spawn(move || secrets.key_or([drawn; 32]).expect("stores"));
            let asking: Vec<_> = (1..=8).map(ask).collect();
            asking.into_iter().map(|asking| asking.join().expect("no panic")).collect()
        });
        let kept = secrets.key().expect("reads").expect("is there");
        assert!(keys.iter().all(|key| *key == kept), "{keys:?}");
    }
}
