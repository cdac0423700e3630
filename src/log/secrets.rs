//! Values behind the markers of a command: `secrets/<run id>`, mode 0600, never in the log.
//!
//! Written before the commit that admits the run, removed when no run of it can start any more;
//! whoever dies in between leaves a file of a run that the log does not know, to be removed then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::atomic;
use super::error::LogError;
use crate::model::secret::Variables;
use crate::model::{Digest, RunId};

/// The file of [`Secrets::key`]: no run has such an id.
const KEY: &str = "key";
/// The file of [`Secrets::prove`]: entries of [`PROOF_BYTES`].
const PROOFS: &str = "proofs";
/// The id of whose secrets it is a proof, little-endian, and the digest.
const PROOF_BYTES: usize = 8 + 32;

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
        let _one_at_a_time = one_at_a_time();
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        atomic::create_directory(&self.directory)?;
        atomic::atomic_write(&self.directory.join(KEY), &drawn)?;
        Ok(drawn)
    }

    /// Keeps a [`proof`], so that it can be told later what the secrets of `run` were, by who has
    /// the same. Not durable at once: without it nobody says anything of them.
    pub fn prove(&self, run: RunId, proof: Digest) -> Result<(), LogError> {
        let path = self.directory.join(PROOFS);
        let failed = |error| LogError::io(&path, "append to", error);
        let _one_at_a_time = one_at_a_time();
        let open = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let mut file = open.map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        // What a full disk or a crash left of an entry.
        let torn = length % PROOF_BYTES as u64;
        if torn > 0 {
            file.set_len(length - torn).map_err(failed)?;
        }
        let mut entry = [0; PROOF_BYTES];
        entry[..8].copy_from_slice(&run.to_u64().to_le_bytes());
        entry[8..].copy_from_slice(&proof.0);
        file.write_all(&entry).map_err(failed)
    }

    /// The proofs of these.
    pub fn proofs(&self, of: &BTreeSet<RunId>) -> Result<BTreeMap<RunId, Digest>, LogError> {
        let mut proofs = BTreeMap::new();
        self.each_proof(&mut |run, proof| {
            if of.contains(&run) {
                proofs.insert(run, proof);
            }
        })?;
        Ok(proofs)
    }

    /// Forgets the proofs of all others.
    pub fn retain_proofs(&self, of: &BTreeSet<RunId>) -> Result<(), LogError> {
        let _one_at_a_time = one_at_a_time();
        let (mut bytes, mut all) = (Vec::new(), 0_usize);
        self.each_proof(&mut |run, proof| {
            all += PROOF_BYTES;
            if of.contains(&run) {
                bytes.extend_from_slice(&run.to_u64().to_le_bytes());
                bytes.extend_from_slice(&proof.0);
            }
        })?;
        if bytes.len() == all {
            return Ok(());
        }
        atomic::atomic_write(&self.directory.join(PROOFS), &bytes)
    }

    fn each_proof(&self, visit: &mut dyn FnMut(RunId, Digest)) -> Result<(), LogError> {
        let path = self.directory.join(PROOFS);
        let file = match fs::File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(|error| LogError::io(&path, "read", error))?,
        };
        let mut file = BufReader::new(file);
        let (mut run, mut proof) = ([0; 8], [0; 32]);
        loop {
            match file.read_exact(&mut run).and_then(|()| file.read_exact(&mut proof)) {
                Ok(()) => visit(RunId::from_chance(u64::from_le_bytes(run)), Digest(proof)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                Err(error) => return Err(LogError::io(&path, "read", error)),
            }
        }
    }

    fn path(&self, run: RunId) -> PathBuf {
        self.directory.join(run.to_string())
    }
}

/// Of this process; of several only one has the environment's lock.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static STORES: Mutex<()> = Mutex::new(());
    STORES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What shows who has the same variables that they are the same, and nothing to anybody without
/// the [`Secrets::key`]: without it a short value could be found by trying.
pub fn proof(key: &[u8; 32], variables: &Variables) -> Digest {
    let mut sorted: Vec<_> = variables.iter().collect();
    sorted.sort();
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(b"jr variables of a run");
    for text in sorted.into_iter().flat_map(|(name, value)| [name, value]) {
        hasher.update(&(text.as_bytes().len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    Digest(*hasher.finalize().as_bytes())
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
    fn proofs_are_private_survive_a_torn_end_and_go_with_their_runs() {
        let directory = tempfile::tempdir().expect("a directory");
        let secrets = Secrets::new(directory.path());
        let runs = [1, 2, 3].map(RunId::from_chance);
        let all = BTreeSet::from(runs);
        assert!(secrets.proofs(&all).expect("none yet").is_empty());
        let of = |value: &str| proof(&[7; 32], &vec![("TOKEN".into(), value.into())]);
        assert!(of("a") != of("b") && of("a") != proof(&[8; 32], &vec![]));
        secrets.prove(runs[0], of("a")).expect("keeps");
        let path = directory.path().join(PROOFS);
        let mut file = OpenOptions::new().append(true).open(&path).expect("opens");
        file.write_all(b"torn").expect("writes");
        secrets.prove(runs[1], of("b")).expect("keeps");
        secrets.prove(runs[2], of("c")).expect("keeps");
        let mode = fs::metadata(&path).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = secrets.proofs(&all).expect("reads");
        assert_eq!(found.into_iter().collect::<Vec<_>>().len(), 3);
        secrets.retain_proofs(&BTreeSet::from([runs[1]])).expect("forgets");
        let found = secrets.proofs(&all).expect("reads");
        assert_eq!(found, BTreeMap::from([(runs[1], of("b"))]));
        assert_eq!(secrets.list().expect("lists"), []);
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
