//! Notices that configuration files may have changed.
//!
//! Directories are watched, not files: editors write another file and rename it. What is told is
//! only that something happened; whoever is told waits until it is quiet and reads everything anew.

use std::collections::BTreeSet;
use std::path::PathBuf;

use notify::event::{AccessKind, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Watches directories.
#[derive(Debug)]
pub struct Watch {
    watcher: RecommendedWatcher,
    followed: BTreeSet<PathBuf>,
}

impl Watch {
    /// Nothing yet; `changed` is called from a thread of its own.
    ///
    /// # Errors
    /// The system has no watch left (inotify(7), `max_user_instances`).
    pub fn new(changed: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let handler = move |event: notify::Result<Event>| {
            // Lost events may have been of anything.
            if event.map_or(true, |event| concerns(&event)) {
                changed();
            }
        };
        let watcher = notify::recommended_watcher(handler).map_err(std::io::Error::other)?;
        Ok(Self { watcher, followed: BTreeSet::new() })
    }

    /// From now on these directories, as far as they are there.
    pub fn follow(&mut self, directories: Vec<PathBuf>) {
        let wanted: BTreeSet<PathBuf> =
            directories.into_iter().filter(|directory| directory.is_dir()).collect();
        for gone in self.followed.difference(&wanted) {
            // It may be gone altogether.
            let _unwatched = self.watcher.unwatch(gone);
        }
        for new in wanted.difference(&self.followed) {
            // Where it cannot be watched, the next command brings what it finds.
            let _unwatched = self.watcher.watch(new, RecursiveMode::NonRecursive);
        }
        self.followed = wanted;
    }
}

/// Whether it may be about a configuration file: reading one is nothing.
fn concerns(event: &Event) -> bool {
    let is_read = match event.kind {
        EventKind::Access(AccessKind::Close(mode)) => mode != notify::event::AccessMode::Write,
        EventKind::Access(_) => true,
        _ => false,
    };
    let is_toml = |path: &PathBuf| {
        let is_directory = path.file_name().is_some_and(|name| name == ".jr" || name == "config");
        is_directory || path.extension() == Some("toml".as_ref())
    };
    !is_read && (event.need_rescan() || event.paths.iter().any(is_toml))
}
