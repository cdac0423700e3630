//! Secrets that are known here: what they are is read only to find them in what is given away.

use std::os::unix::ffi::OsStringExt as _;

use crate::daemon::place::Place;
use crate::log::{Secrets, codec};
use crate::model::secret::{self, is_secret_name};

/// The values behind markers of what may still start, and those of the asker's own environment.
pub fn values(place: &Place) -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = std::env::vars_os()
        .map(|(name, value)| (name.into_vec(), value.into_vec()))
        .filter(|(name, _)| is_secret_name(name))
        .map(|(_, value)| value)
        .collect();
    let kept = Secrets::new(&place.secrets());
    for run in kept.list().unwrap_or_default() {
        let bytes = kept.read(run).ok();
        let secrets = bytes.and_then(|bytes| codec::decode::<secret::Secrets>(&bytes).ok());
        let Some(secrets) = secrets else { continue };
        values.extend(secrets.values().map(|value| value.as_bytes().to_vec()));
    }
    values.sort();
    values.dedup();
    values
}
