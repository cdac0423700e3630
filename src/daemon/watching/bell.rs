//! Rings when something happens in a followed directory, and keeps the paths in order until they
//! are taken.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::limits;

/// One inotify instance.
#[derive(Debug)]
pub(super) struct Bell {
    watcher: RecommendedWatcher,
    /// By real path, and which directory it was: another of that name has to be followed anew.
    followed: BTreeMap<PathBuf, (u64, u64)>,
    rung: Arc<Mutex<Rung>>,
}

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Rung {
    /// Where, the first first.
    pub(super) paths: Vec<PathBuf>,
    seen: BTreeSet<PathBuf>,
    /// Directories may be others now.
    moved: BTreeSet<PathBuf>,
    /// And elsewhere: it was too much.
    pub(super) is_cut: bool,
    /// Whoever listens knows.
    is_told: bool,
}

impl Bell {
    /// Follows nothing yet; `ring` is called from a thread of its own, once until what happened is
    /// taken.
    pub(super) fn new(ring: impl Fn() + Send + 'static) -> notify::Result<Self> {
        let rung = Arc::<Mutex<Rung>>::default();
        let heard = Arc::clone(&rung);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if lock(&heard).note(event) {
                ring();
            }
        })?;
        Ok(Self { watcher, followed: BTreeMap::new(), rung })
    }

    /// From now on this directory too.
    pub(super) fn follow(&mut self, directory: &Path) -> notify::Result<()> {
        let Ok(found) = directory.metadata() else { return Ok(()) };
        let is = (found.dev(), found.ino());
        if self.followed.get(directory) == Some(&is) {
            return Ok(());
        }
        if self.followed.remove(directory).is_some() {
            // It may be gone altogether.
            let _unwatched = self.watcher.unwatch(directory);
        }
        self.watcher.watch(directory, RecursiveMode::NonRecursive)?;
        self.followed.insert(directory.to_owned(), is);
        Ok(())
    }

    /// Only these are needed any more.
    pub(super) fn keep(&mut self, needed: &BTreeSet<PathBuf>) {
        let needless = self.followed.keys().filter(|directory| !needed.contains(*directory));
        let needless: Vec<PathBuf> = needless.cloned().collect();
        for directory in needless {
            self.followed.remove(&directory);
            let _unwatched = self.watcher.unwatch(&directory);
        }
    }

    /// What has happened since the last time.
    pub(super) fn take(&mut self) -> Rung {
        let rung = std::mem::take(&mut *lock(&self.rung));
        if !rung.moved.is_empty() {
            let is_other = |path: &Path| path.ancestors().any(|part| rung.moved.contains(part));
            self.followed.retain(|path, _| !is_other(path));
        }
        rung
    }
}

fn lock(rung: &Mutex<Rung>) -> MutexGuard<'_, Rung> {
    rung.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rung {
    /// Whether somebody has to be told.
    fn note(&mut self, event: notify::Result<Event>) -> bool {
        match event {
            Ok(event) if is_read(event.kind) => return false,
            Ok(event) => {
                self.is_cut |= event.need_rescan();
                let moves = matches!(
                    event.kind,
                    EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
                );
                for path in event.paths {
                    self.note_path(path, moves);
                }
            }
            // Lost events may have been of anything.
            Err(_) => self.is_cut = true,
        }
        !std::mem::replace(&mut self.is_told, true)
    }

    fn note_path(&mut self, path: PathBuf, moves: bool) {
        if moves && self.moved.len() < limits::WATCHED_FILES {
            self.moved.insert(path.clone());
        }
        if self.seen.len() >= limits::WATCHED_PATHS {
            self.is_cut = true;
        } else if self.seen.insert(path.clone()) {
            self.paths.push(path);
        }
    }
}

/// Reading a file is nothing; jr itself does.
fn is_read(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(mode)) => mode != AccessMode::Write,
        EventKind::Access(_) => true,
        _ => false,
    }
}
