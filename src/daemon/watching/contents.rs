//! What watched files hold, and what is different from before. Who touches a file, or writes into
//! it what it holds already, changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::limits;
use crate::sys::regular::open;

/// Clocks of file systems stand still for some milliseconds: what changed shortly before it was
/// read may have changed once more since, under the same time.
const SETTLED_MS: i64 = 2_000;

/// What tells without reading that a file is as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(found: &Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl Stamp {
    fn is_settled(&self, now_ms: i64) -> bool {
        let changed_ms = self.changed.0.saturating_mul(1_000);
        changed_ms.saturating_add(SETTLED_MS) < now_ms
    }
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Print {
    /// blake3 of all of it.
    Digest([u8; 32]),
    /// It is too big to be read for every change.
    Rough {
        /// In bytes.
        size: u64,
        /// Seconds and nanoseconds.
        modified: (i64, i64),
    },
    /// It may not be read: nothing is known.
    Unread,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    stamp: Stamp,
    print: Print,
    is_settled: bool,
}

/// What all files of a service held when they were last looked at.
#[derive(Debug, Default)]
pub(super) struct Contents(BTreeMap<PathBuf, Known>);

impl Contents {
    /// Takes what is there now; the paths where it differs. `read` gives nothing for a file that is
    /// gone meanwhile.
    pub(super) fn update(
        &mut self,
        files: &BTreeMap<PathBuf, Stamp>,
        now_ms: i64,
        mut read: impl FnMut(&Path, &Stamp) -> Option<Print>,
    ) -> BTreeSet<PathBuf> {
        let mut changed = BTreeSet::new();
        let mut before = std::mem::take(&mut self.0);
        for (path, stamp) in files {
            let known = before.remove(path);
            if let Some(known) = known.filter(|known| known.is_settled && known.stamp == *stamp) {
                self.0.insert(path.clone(), known);
                continue;
            }
            let Some(print) = read(path, stamp) else {
                changed.extend(known.map(|_| path.clone()));
                continue;
            };
            if known.is_none_or(|known| differ(known.print, print)) {
                changed.insert(path.clone());
            }
            let print = match (print, known) {
                (Print::Unread, Some(known)) => known.print,
                (Print::Unread | Print::Digest(_) | Print::Rough { .. }, _) => print,
            };
            let known = Known { stamp: *stamp, print, is_settled: stamp.is_settled(now_ms) };
            self.0.insert(path.clone(), known);
        }
        changed.extend(before.into_keys());
        changed
    }
}

fn differ(before: Print, now: Print) -> bool {
    before != now && before != Print::Unread && now != Print::Unread
}

/// What a file holds; `None` if there is none.
pub(super) fn print_of(path: &Path, stamp: &Stamp) -> Option<Print> {
    let rough = Print::Rough { size: stamp.size, modified: stamp.modified };
    if stamp.size > limits::WATCHED_BYTES {
        return Some(rough);
    }
    let opened = open(path);
    let is_gone = opened.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound);
    if is_gone {
        return None;
    }
    let Ok(file) = opened else { return Some(Print::Unread) };
    let mut hasher = blake3::Hasher::new();
    if hasher.update_reader(file.take(limits::WATCHED_BYTES + 1)).is_err() {
        return Some(Print::Unread);
    }
    let has_grown = hasher.count() > limits::WATCHED_BYTES;
    Some(if has_grown { rough } else { Print::Digest(*hasher.finalize().as_bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by name, with a time and what they hold: `!` may not be read, `-` is gone when it is
    /// read. Long after all of it, unless said otherwise.
    fn look(contents: &mut Contents, files: &[(&str, i64, &str)], now_ms: i64) -> Vec<String> {
        let stamp = |time: i64| Stamp { changed: (time, 0), ..Stamp::default() };
        let stamps = files.iter().map(|(name, time, _)| (PathBuf::from(name), stamp(*time)));
        let read = |path: &Path, _: &Stamp| {
            let (_, _, text) = files.iter().find(|(name, ..)| path == Path::new(name))?;
            match *text {
                "!" => Some(Print::Unread),
                "-" => None,
                text => Some(Print::Digest(*blake3::hash(text.as_bytes()).as_bytes())),
            }
        };
        let changed = contents.update(&stamps.collect(), now_ms, read);
        changed.iter().map(|path| path.display().to_string()).collect()
    }

    const LATE: i64 = 1_000_000;

    #[test]
    fn only_what_files_hold_counts() {
        let mut contents = Contents::default();
        assert_eq!(look(&mut contents, &[("a", 1, "x"), ("b", 1, "y")], LATE), ["a", "b"]);
        let same: [&str; 0] = [];
        assert_eq!(look(&mut contents, &[("a", 1, "x"), ("b", 1, "y")], LATE), same);
        // Touched, or written anew.
        assert_eq!(look(&mut contents, &[("a", 2, "x"), ("b", 3, "y")], LATE), same);
        assert_eq!(look(&mut contents, &[("a", 3, "z"), ("b", 3, "y")], LATE), ["a"]);
        assert_eq!(look(&mut contents, &[("b", 3, "y"), ("c", 3, "")], LATE), ["a", "c"]);
        // Renamed.
        assert_eq!(look(&mut contents, &[("b", 3, "y"), ("d", 3, "")], LATE), ["c", "d"]);
        assert_eq!(look(&mut contents, &[], LATE), ["b", "d"]);
    }

    #[test]
    fn what_cannot_be_read_is_no_change() {
        let mut contents = Contents::default();
        let none: [&str; 0] = [];
        look(&mut contents, &[("a", 1, "x"), ("b", 1, "!")], LATE);
        assert_eq!(look(&mut contents, &[("a", 2, "!"), ("b", 2, "y")], LATE), none);
        assert_eq!(look(&mut contents, &[("a", 3, "x"), ("b", 3, "y")], LATE), none);
        look(&mut contents, &[("a", 4, "!"), ("b", 3, "y")], LATE);
        assert_eq!(look(&mut contents, &[("a", 5, "z"), ("b", 3, "y")], LATE), ["a"]);
        assert_eq!(look(&mut contents, &[("a", 6, "-"), ("b", 3, "y")], LATE), ["a"]);
    }

    #[test]
    fn equal_times_are_believed_only_of_old_files() {
        let mut contents = Contents::default();
        let none: [&str; 0] = [];
        look(&mut contents, &[("a", 10, "x")], 11_000);
        assert_eq!(look(&mut contents, &[("a", 10, "y")], 11_001), ["a"]);
        assert_eq!(look(&mut contents, &[("a", 10, "y")], LATE), none);
        // Not even read any more.
        assert_eq!(look(&mut contents, &[("a", 10, "-")], LATE), none);
    }

    #[test]
    fn big_files_are_told_apart_by_size_and_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("big");
        let file = std::fs::File::create(&path).unwrap();
        let print = |size: u64| {
            file.set_len(size).unwrap();
            print_of(&path, &Stamp::from(&file.metadata().unwrap())).unwrap()
        };
        assert!(matches!(print(limits::WATCHED_BYTES), Print::Digest(_)));
        let big = print(limits::WATCHED_BYTES + 1);
        assert!(matches!(big, Print::Rough { .. }));
        assert_ne!(big, print(limits::WATCHED_BYTES + 2));
        assert_eq!(print_of(&directory.path().join("none"), &Stamp::default()), None);
        assert_eq!(print_of(directory.path(), &Stamp::default()), Some(Print::Unread));
    }
}
