//! Which machine the processes of an environment are on, and which directory is theirs.
//!
//! A copy of an environment's directory looks like the environment, down to boots and pids. On
//! another machine they mean nothing; on this one they are those of the original, which must not be
//! touched (law 7). So a note beside the log says whose they are:
//!
//! ```text
//! digest of the machine's id, or - │ line end │ device:inode of the directory, boot │ line end
//! ```
//! machine-id(5) asks not to give the id itself away. A directory that was moved keeps its inode, a
//! copy never has it. After another boot nothing of the original is left that could be touched.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use super::error::DaemonError;
use super::place::Place;
use crate::log::atomic;
use crate::runners::linux::clock;

/// As systemd and D-Bus keep it.
const FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];
/// Of the digest.
const CONTEXT: &str = "jr 2026-11-21 machine of an environment";
/// Instead of a digest, where a machine has no id: nothing is compared then.
const NO_ID: &str = "-";

/// Where the processes are that the log tells of, if they are not this environment's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Elsewhere {
    /// On another machine.
    #[error("was used on another machine last, so its processes are not here")]
    OtherMachine,
    /// They are those of the environment that this is a copy of, and may live.
    #[error(
        "is a copy of an environment that was used since this machine started: \
         what runs is the original's"
    )]
    Copy,
}

impl Elsewhere {
    /// For programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::OtherMachine => "other_machine",
            Self::Copy => "copy",
        }
    }
}

/// This machine; `None` if it has no id.
fn this() -> Option<String> {
    let id = FILES.iter().find_map(|file| fs::read_to_string(file).ok())?;
    let id = id.trim();
    let is_known = !id.is_empty() && id != "uninitialized";
    is_known
        .then(|| blake3::Hasher::new_derive_key(CONTEXT).update(id.as_bytes()).finalize())
        .map(|digest| digest.to_hex().to_string())
}

/// This directory, in this boot; `None` where that cannot be told.
fn here(place: &Place) -> Option<(String, String)> {
    let root = fs::metadata(&place.root).ok()?;
    let boot = clock::boot_id().ok()?;
    Some((format!("{}:{}", root.dev(), root.ino()), boot.to_string()))
}

fn of(noted: &str, machine: Option<&str>, here: Option<&(String, String)>) -> Option<Elsewhere> {
    let mut lines = noted.lines();
    let digest = lines.next().map(str::trim).filter(|digest| !matches!(*digest, NO_ID | ""));
    if digest.zip(machine).is_some_and(|(noted, this)| noted != this) {
        return Some(Elsewhere::OtherMachine);
    }
    let directory = lines.next().and_then(|line| line.split_once(' '));
    let is_copy = |((noted, boot), (directory, this_boot)): &((&str, &str), &(String, String))| {
        boot == this_boot && noted != directory
    };
    directory.zip(here).is_some_and(|both| is_copy(&both)).then_some(Elsewhere::Copy)
}

/// Where the environment's processes are, if they are not its own. One in memory has no note.
pub fn elsewhere(place: &Place) -> Option<Elsewhere> {
    if place.is_in_memory() {
        return None;
    }
    let noted = fs::read_to_string(place.machine()).unwrap_or_default();
    of(&noted, this().as_deref(), here(place).as_ref())
}

/// Refuses an environment of another machine, and a copy of one of this; else notes whose it is.
/// The caller holds the environment's lock.
///
/// # Errors
/// [`DaemonError::Elsewhere`], or the note cannot be written.
pub fn check(place: &Place) -> Result<(), DaemonError> {
    match elsewhere(place) {
        Some(why) => Err(DaemonError::Elsewhere { root: place.root.clone(), why }),
        None => note(place),
    }
}

/// From now on it is an environment of this machine and of this directory. What runs for the
/// original of a copy is not its own: what shims have told there is forgotten, so that their
/// attempts are lost here and go on there. The caller holds the environment's lock.
///
/// # Errors
/// The note cannot be written, or what is to be forgotten cannot be removed.
pub fn take_over(place: &Place) -> Result<(), DaemonError> {
    if elsewhere(place) == Some(Elsewhere::Copy) {
        match fs::remove_dir_all(place.shims()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(DaemonError::io("remove", place.shims())(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    note(place)
}

/// Writes what is not noted yet.
fn note(place: &Place) -> Result<(), DaemonError> {
    let machine = this();
    let (directory, boot) = here(place).unwrap_or_default();
    let text = format!("{}\n{directory} {boot}\n", machine.as_deref().unwrap_or(NO_ID));
    if fs::read_to_string(place.machine()).is_ok_and(|noted| noted == text) {
        return Ok(());
    }
    Ok(atomic::atomic_write(&place.machine(), text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_from_what_was_moved_and_from_another_machine() {
        let here = |directory: &str, boot: &str| Some((directory.to_owned(), boot.to_owned()));
        for (noted, machine, directory, expected) in [
            ("m\n1:7 b\n", Some("m"), here("1:7", "b"), None),
            ("m\n1:7 b\n", Some("n"), here("1:7", "b"), Some(Elsewhere::OtherMachine)),
            ("m\n1:7 b\n", Some("m"), here("1:8", "b"), Some(Elsewhere::Copy)),
            ("-\n1:7 b\n", None, here("1:8", "b"), Some(Elsewhere::Copy)),
            // Of another boot nothing lives.
            ("m\n1:7 b\n", Some("m"), here("1:8", "c"), None),
            // Nothing is known.
            ("m\n", Some("m"), here("1:8", "b"), None),
            ("m", Some("n"), here("1:8", "b"), Some(Elsewhere::OtherMachine)),
            ("-\n1:7 b\n", Some("m"), here("1:7", "b"), None),
            ("m\n1:7 b\n", None, None, None),
            ("", Some("m"), here("1:8", "b"), None),
        ] {
            assert_eq!(of(noted, machine, directory.as_ref()), expected, "{noted:?}");
        }
    }
}
