//! Secrets that are known here: what they are is read only to find them in what is given away.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;

use super::gather::Seen;
use crate::daemon::launch;
use crate::daemon::place::Place;
use crate::log::{Blobs, Secrets, codec};
use crate::model::secret::{self, is_marked};
use crate::model::{ByteString, Digest, RunId, UnixMillis};

/// What can be looked for.
#[derive(Debug)]
pub struct Known {
    /// Values behind markers of what may still start, and those of the asker's own environment.
    pub values: BTreeSet<Vec<u8>>,
    /// Whose secrets are still kept.
    owners: BTreeSet<RunId>,
    /// Of the asker's environment.
    names: BTreeSet<Vec<u8>>,
    /// Names of marked variables, by the blob that has them; `None` if it cannot be read.
    marked: BTreeMap<Digest, Option<Vec<ByteString>>>,
    /// Files that hold secrets, and since when they say what they say; `None` if they cannot be
    /// read.
    files: BTreeMap<ByteString, Option<UnixMillis>>,
}

impl Known {
    /// What this process, the environment's directory and the files behind secrets know.
    pub fn here<'a>(place: &Place, runs: impl Iterator<Item = &'a Seen>) -> Self {
        let own: Vec<(ByteString, ByteString)> = std::env::vars_os()
            .map(|(name, value)| (name.into_vec().into(), value.into_vec().into()))
            .collect();
        let names = own.iter().map(|(name, _)| name.as_bytes().to_vec()).collect();
        let mut values: BTreeSet<Vec<u8>> = secret::secrets_in(&own, &[]).into_iter().collect();
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
        Self { values, owners, names, marked: BTreeMap::new(), files }
    }

    /// The secrets of a run that nobody here knows any more; none if all can be looked for. A
    /// variable of the same name here is taken for the same.
    pub fn unknown(&mut self, seen: &Seen, blobs: &Blobs) -> Vec<String> {
        let as_then = |path: &&ByteString| {
            let since = self.files.get(*path).copied().flatten();
            since.is_some_and(|since| since < seen.since)
        };
        let changed = seen.files.iter().filter(|path| !as_then(path));
        let mut unknown: Vec<String> =
            changed.map(|path| format!("what {} said then", path.to_text())).collect();
        unknown.extend(self.unknown_values(seen, blobs));
        unknown
    }

    fn unknown_values(&mut self, seen: &Seen, blobs: &Blobs) -> Vec<String> {
        let Some(owner) = seen.secrets.filter(|owner| !self.owners.contains(owner)) else {
            return Vec::new();
        };
        let mut unknown = Vec::new();
        if seen.is_marked {
            unknown.push(format!("one in the command of {owner}"));
        }
        let Some(digest) = seen.variables else { return unknown };
        let marked = self.marked.entry(digest).or_insert_with(|| marked_names(digest, blobs));
        match marked {
            Some(marked) => {
                let absent = marked.iter().filter(|name| !self.names.contains(name.as_bytes()));
                unknown.extend(absent.map(ByteString::to_text));
            }
            // Which ones it had, nobody knows either.
            None => unknown.push("its variables cannot be read".to_owned()),
        }
        unknown
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
