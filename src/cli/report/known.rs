//! Secrets that are known here: what they are is read only to find them in what is given away.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;

use super::configured::Configured;
use super::gather::Seen;
use crate::daemon::launch;
use crate::daemon::place::Place;
use crate::log::secrets::proof;
use crate::log::{Blobs, Secrets, codec};
use crate::model::secret::{self, is_marked};
use crate::model::{ByteString, Digest, RunId, UnixMillis};

/// What can be looked for.
#[derive(Debug)]
pub struct Known {
    /// Values behind markers of what may still start, and those of the asker's own environment and
    /// configuration.
    pub values: BTreeSet<Vec<u8>>,
    /// Whose secrets are still kept.
    owners: BTreeSet<RunId>,
    /// What variables are here: those of the asker, and what the configuration gives to others.
    variables: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of the blobs of variables that were looked at; `None` of one that cannot be read.
    marked: BTreeMap<Digest, Option<Marked>>,
    /// Whose variables can be proven to be the same here.
    proofs: BTreeMap<RunId, Digest>,
    /// Files that hold secrets, and since when they say what they say; `None` if they cannot be
    /// read.
    files: BTreeMap<ByteString, Option<UnixMillis>>,
}

/// Variables of which a blob has markers.
#[derive(Debug)]
struct Marked {
    names: Vec<ByteString>,
    /// Those that nobody has here.
    absent: Vec<ByteString>,
    /// What a run's proof is if it had what is here.
    now: Option<Digest>,
    /// What is here.
    values: secret::Variables,
}

impl Known {
    /// What this process, its configuration, the environment's directory and the files behind
    /// secrets know.
    pub fn here<'a>(
        place: &Place,
        configured: Configured,
        runs: impl Iterator<Item = &'a Seen>,
    ) -> Self {
        let own: Vec<(ByteString, ByteString)> = std::env::vars_os()
            .map(|(name, value)| (name.into_vec().into(), value.into_vec().into()))
            .collect();
        let mut values: BTreeSet<Vec<u8>> = secret::secrets_in(&own, &[]).into_iter().collect();
        values.extend(configured.values);
        let mut variables = configured.variables;
        let bytes = |(name, value): (ByteString, ByteString)| {
            (name.as_bytes().to_vec(), value.as_bytes().to_vec())
        };
        variables.extend(own.into_iter().map(bytes));
        let kept = Secrets::new(&place.secrets());
        let mut owners = BTreeSet::new();
        for run in kept.list().unwrap_or_default() {
            let bytes = kept.read(run).ok();
            let secrets = bytes.and_then(|bytes| codec::decode::<secret::Secrets>(&bytes).ok());
            let Some(secrets) = secrets else { continue };
            owners.insert(run);
            values.extend(secrets.pieces());
        }
        let mut files = BTreeMap::new();
        for path in runs.flat_map(|seen| &seen.files) {
            if files.contains_key(path) {
                continue;
            }
            let read = secret_since(path);
            files.insert(path.clone(), read.as_ref().map(|(_, since)| *since));
            values.extend(read.map(|(value, _)| value).filter(|value| !value.is_empty()));
        }
        let (marked, proofs) = (BTreeMap::new(), BTreeMap::new());
        Self { values, owners, variables, marked, proofs, files }
    }

    /// Finds out of which runs that have ended the variables are the same here, and takes these
    /// values too: a variable of the same name may have another value by now.
    pub fn prove<'a>(&mut self, place: &Place, runs: impl Iterator<Item = &'a Seen>) {
        let kept = Secrets::new(&place.secrets());
        let blobs = Blobs::new(&place.blobs());
        let of = |seen: &Seen| Some((seen.secrets?, seen.variables?));
        let gone: Vec<(RunId, Digest)> =
            runs.filter_map(of).filter(|(owner, _)| !self.owners.contains(owner)).collect();
        let owners = gone.iter().map(|(owner, _)| *owner).collect();
        // Without a proof nothing is said of them.
        self.proofs = kept.proofs(&owners).unwrap_or_default();
        let key = kept.key().ok().flatten();
        for (owner, digest) in gone {
            if !self.marked.contains_key(&digest) {
                let names = marked_names(digest, &blobs);
                let marked = names.map(|names| self.look_up(names, key.as_ref()));
                self.marked.insert(digest, marked);
            }
            let marked = self.marked.get_mut(&digest).and_then(Option::as_mut);
            let Some(marked) = marked.filter(|it| it.is_proven(self.proofs.get(&owner))) else {
                continue;
            };
            // Once is enough for all runs with them.
            let variables = std::mem::take(&mut marked.values);
            let secrets = secret::Secrets { variables, ..secret::Secrets::default() };
            self.values.extend(secrets.pieces());
        }
    }

    fn look_up(&self, names: Vec<ByteString>, key: Option<&[u8; 32]>) -> Marked {
        let is_here = |name: &&ByteString| self.variables.contains_key(name.as_bytes());
        let absent: Vec<ByteString> = names.iter().filter(|it| !is_here(it)).cloned().collect();
        let here = |name: &ByteString| {
            let value = self.variables.get(name.as_bytes())?;
            Some((name.clone(), ByteString::from(value.clone())))
        };
        let values: secret::Variables = names.iter().filter_map(here).collect();
        let now = key.filter(|_| absent.is_empty()).map(|key| proof(key, &values));
        Marked { names, absent, now, values }
    }

    /// The secrets of a run that nobody here knows any more; none if all can be looked for. Asked
    /// after [`Self::prove`].
    pub fn unknown(&self, seen: &Seen) -> Vec<String> {
        let as_then = |path: &&ByteString| {
            let since = self.files.get(*path).copied().flatten();
            since.is_some_and(|since| since < seen.since)
        };
        let changed = seen.files.iter().filter(|path| !as_then(path));
        let mut unknown: Vec<String> =
            changed.map(|path| format!("what {} said then", path.to_text())).collect();
        unknown.extend(self.unknown_values(seen));
        unknown
    }

    fn unknown_values(&self, seen: &Seen) -> Vec<String> {
        let Some(owner) = seen.secrets.filter(|owner| !self.owners.contains(owner)) else {
            return Vec::new();
        };
        let mut unknown = Vec::new();
        if seen.is_marked {
            unknown.push(format!("one in the command of {owner}"));
        }
        let Some(digest) = seen.variables else { return unknown };
        match self.marked.get(&digest) {
            Some(Some(marked)) if marked.is_proven(self.proofs.get(&owner)) => {}
            Some(Some(marked)) if marked.absent.is_empty() => {
                let names = marked.names.iter().map(ByteString::to_text).collect::<Vec<_>>();
                unknown.push(format!("{}: not what it was, or not proven", names.join(", ")));
            }
            Some(Some(marked)) => unknown.extend(marked.absent.iter().map(ByteString::to_text)),
            // Which ones it had, nobody knows either.
            Some(None) | None => unknown.push("its variables cannot be read".to_owned()),
        }
        unknown
    }
}

impl Marked {
    fn is_proven(&self, proof: Option<&Digest>) -> bool {
        self.names.is_empty() || self.now.is_some() && self.now.as_ref() == proof
    }
}

/// What a file says, and since when.
fn secret_since(path: &ByteString) -> Option<(Vec<u8>, UnixMillis)> {
    let file = std::path::Path::new(std::ffi::OsStr::from_bytes(path.as_bytes()));
    let data = std::fs::metadata(file).ok()?;
    let since = data.mtime().saturating_mul(1_000).saturating_add(data.mtime_nsec() / 1_000_000);
    let value = launch::secret_file(path)?;
    Some((value.as_bytes().to_vec(), UnixMillis(since)))
}

fn marked_names(digest: Digest, blobs: &Blobs) -> Option<Vec<ByteString>> {
    let variables: secret::Variables = codec::decode(&blobs.get(digest).ok()?).ok()?;
    let marked = variables.into_iter().filter(|(_, value)| is_marked(value));
    Some(marked.map(|(name, _)| name).collect())
}
