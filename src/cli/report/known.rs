//! Secrets that are known here: what they are is read only to find them in what is given away.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStringExt as _;

use super::gather::Seen;
use crate::daemon::place::Place;
use crate::log::{Blobs, Secrets, codec};
use crate::model::secret::{self, is_marked};
use crate::model::{ByteString, Digest, RunId};

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
}

impl Known {
    /// What this process and the environment's directory know.
    pub fn here(place: &Place) -> Self {
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
        Self { values, owners, names, marked: BTreeMap::new() }
    }

    /// The secrets of a run that nobody here knows any more; none if all can be looked for. A
    /// variable of the same name here is taken for the same.
    pub fn unknown(&mut self, seen: &Seen, blobs: &Blobs) -> Vec<String> {
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

fn marked_names(digest: Digest, blobs: &Blobs) -> Option<Vec<ByteString>> {
    let variables: secret::Variables = codec::decode(&blobs.get(digest).ok()?).ok()?;
    let marked = variables.into_iter().filter(|(_, value)| is_marked(value));
    Some(marked.map(|(name, _)| name).collect())
}
