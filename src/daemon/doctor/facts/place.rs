//! The directories and files of an environment.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::paths::{PathFacts, PathKind};
use crate::daemon::machine::{self, Elsewhere};
use crate::daemon::place::Place;
use crate::limits;
use crate::log::atomic::TEMPORARY;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceFacts {
    /// `$JR_HOME`.
    pub home: PathFacts,
    /// The environment's directory.
    pub root: PathFacts,
    /// Where its sockets are.
    pub run: PathFacts,
    /// What belongs into the environment's directory, with what it should be.
    pub parts: Vec<PartFacts>,
    /// Files that somebody did not finish, but for those of the log.
    pub unfinished: Vec<String>,
    /// The same in the log: the next daemon finishes or removes them.
    pub unfinished_log: Vec<String>,
    /// What jr did not put there.
    pub foreign: Vec<String>,
    /// Files with secrets that others than the owner may touch.
    pub open_secrets: Vec<PathFacts>,
    /// The end of what daemons had to complain about.
    pub daemon_words: Option<String>,
    /// Where its processes are, if not here.
    #[serde(default)]
    pub elsewhere: Option<Elsewhere>,
}

/// A part of the layout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartFacts {
    /// Its name.
    pub name: String,
    /// What should be there.
    pub wanted: PathKind,
    /// What is.
    pub found: PathFacts,
}

/// The layout, as [`Place`] has it.
const PARTS: [(&str, PathKind); 12] = [
    ("starting", PathKind::File),
    ("lock", PathKind::File),
    ("log", PathKind::Directory),
    ("views.redb", PathKind::File),
    ("output", PathKind::Directory),
    ("blobs", PathKind::Directory),
    ("secrets", PathKind::Directory),
    ("shims", PathKind::Directory),
    ("daemon.log", PathKind::File),
    ("machine", PathKind::File),
    ("debug", PathKind::Directory),
    // Of the same environment, while its log was in memory.
    ("memory", PathKind::Directory),
];
/// What of the last words is shown.
const WORDS_BYTES: usize = 600;

/// Looks.
pub fn gather(place: &Place) -> PlaceFacts {
    let part = |(name, wanted): &(&str, PathKind)| PartFacts {
        name: (*name).to_owned(),
        wanted: *wanted,
        found: PathFacts::of(&place.root.join(name)),
    };
    let names = names(&place.root);
    let is_part = |name: &str| PARTS.iter().any(|(known, _)| *known == name);
    let foreign = names.iter().filter(|name| !is_part(name) && !is_unfinished(name));
    let mut unfinished = unfinished_in(&place.root);
    unfinished.extend(unfinished_in(&place.secrets()));
    unfinished.extend(unfinished_in(&place.run));
    unfinished.truncate(limits::DOCTOR_LISTED);
    PlaceFacts {
        home: PathFacts::of(&place.home),
        root: PathFacts::of(&place.root),
        run: PathFacts::of(&place.run),
        parts: PARTS.iter().map(part).collect(),
        unfinished,
        unfinished_log: unfinished_in(&place.log()),
        foreign: foreign.take(limits::DOCTOR_LISTED).cloned().collect(),
        open_secrets: open_secrets(&place.secrets()),
        daemon_words: last_words(&place.daemon_log()),
        elsewhere: (PathFacts::of(&place.machine()).kind == PathKind::File)
            .then(|| machine::elsewhere(place))
            .flatten(),
    }
}

/// Names in a directory, in order; none where it cannot be read, which its own facts say.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn is_unfinished(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == TEMPORARY)
}

fn unfinished_in(directory: &Path) -> Vec<String> {
    let names = names(directory).into_iter().filter(|name| is_unfinished(name));
    names.map(|name| directory.join(name).display().to_string()).collect()
}

fn open_secrets(directory: &Path) -> Vec<PathFacts> {
    let files = names(directory).into_iter().map(|name| PathFacts::of(&directory.join(name)));
    files.filter(PathFacts::is_open).take(limits::DOCTOR_LISTED).collect()
}

fn last_words(path: &Path) -> Option<String> {
    // Nothing but a file is opened: a FIFO would wait for its other end.
    let data = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let file = std::fs::File::open(path).ok()?;
    let from = data.len().saturating_sub(WORDS_BYTES as u64);
    let mut bytes = vec![0; WORDS_BYTES];
    let length = std::os::unix::fs::FileExt::read_at(&file, &mut bytes, from).ok()?;
    let text = String::from_utf8_lossy(&bytes[..length]);
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}
