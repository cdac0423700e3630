//! Which machine the processes of an environment are on.
//!
//! A copy of an environment's directory looks like the environment, down to boots and pids that
//! mean nothing here. So the machine is noted beside the log, as a digest: machine-id(5) asks not
//! to give the id itself away. Where a machine has none, nothing is checked.

use std::fs;

use super::error::DaemonError;
use super::place::Place;
use crate::log::atomic;

/// As systemd and D-Bus keep it.
const FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
/// Of the digest.
const CONTEXT: &str = "jr 2026-11-21 machine of an environment";

/// This machine; `None` if it has no id.
fn this() -> Option<String> {
    let id = FILES.iter().find_map(|file| fs::read_to_string(file).ok())?;
    let id = id.trim();
    let is_known = !id.is_empty() && id != "uninitialized";
    is_known
        .then(|| blake3::Hasher::new_derive_key(CONTEXT).update(id.as_bytes()).finalize())
        .map(|digest| digest.to_hex().to_string())
}

/// Whether the environment was last used on another machine than this.
pub fn is_another(place: &Place) -> bool {
    let noted = fs::read_to_string(place.machine()).ok();
    noted.zip(this()).is_some_and(|(noted, this)| noted.trim() != this)
}

/// Refuses an environment of another machine; notes this one where none is noted. The caller holds
/// the environment's lock.
///
/// # Errors
/// [`DaemonError::OtherMachine`], or the note cannot be written.
pub fn check(place: &Place) -> Result<(), DaemonError> {
    if is_another(place) {
        return Err(DaemonError::OtherMachine { root: place.root.clone() });
    }
    if place.machine().exists() { Ok(()) } else { take_over(place) }
}

/// From now on it is an environment of this machine. The caller holds the environment's lock.
///
/// # Errors
/// The note cannot be written.
pub fn take_over(place: &Place) -> Result<(), DaemonError> {
    let Some(this) = this() else { return Ok(()) };
    Ok(atomic::atomic_write(&place.machine(), format!("{this}\n").as_bytes())?)
}
