//! Notices that configuration files may have changed.
//!
//! Directories are watched, not files: editors write another file and rename it. What is told is
//! only that something happened; whoever is told waits until it is quiet and reads everything anew.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Links that lead from one to the next; a path with more is a circle (`ELOOP`, as in
/// `path_resolution(7)`).
const LINKS: usize = 40;

/// Watches directories.
#[derive(Debug)]
pub struct Watch {
    watcher: RecommendedWatcher,
    followed: BTreeMap<PathBuf, Identity>,
    concern: Arc<Mutex<Concern>>,
}

/// Which directory it is, since another one may take its place: device, inode, and when it was
/// made, since a new one may get the inode of one that is gone.
type Identity = (u64, u64, Option<SystemTime>);

/// What events are about, by paths without links.
#[derive(Debug, Default)]
struct Concern {
    /// Any `*.toml` in these.
    directories: BTreeSet<PathBuf>,
    /// Files of any name; links on the way to a file or directory; what is not there yet.
    named: BTreeSet<PathBuf>,
}

impl Watch {
    /// Nothing yet; `changed` is called from a thread of its own.
    ///
    /// # Errors
    /// The system has no watch left (inotify(7), `max_user_instances`).
    pub fn new(changed: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let concern = Arc::new(Mutex::new(Concern::default()));
        let of_events = Arc::clone(&concern);
        let handler = move |event: notify::Result<Event>| {
            let concern = of_events.lock().unwrap_or_else(PoisonError::into_inner);
            // Lost events may have been of anything.
            let is_ours = event.map_or(true, |event| concern.is_about(&event));
            drop(concern);
            if is_ours {
                changed();
            }
        };
        let watcher = notify::recommended_watcher(handler).map_err(std::io::Error::other)?;
        Ok(Self { watcher, followed: BTreeMap::new(), concern })
    }

    /// From now on these directories, and these files wherever links lead to them; also what of
    /// them is not there yet.
    pub fn follow(&mut self, directories: &[PathBuf], files: &[PathBuf]) {
        let mut concern = Concern::default();
        for directory in directories {
            let end = trail(directory, &mut concern.named);
            concern.directories.extend(end.filter(|end| end.is_dir()));
        }
        for file in files {
            let end = trail(file, &mut concern.named);
            concern.named.extend(end);
        }
        let above = concern.named.iter().filter_map(|path| path.parent().map(Path::to_owned));
        let wanted = concern.directories.iter().cloned().chain(above);
        let identity = |path: PathBuf| {
            let data = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_dir)?;
            Some((path, (data.dev(), data.ino(), data.created().ok())))
        };
        let wanted: BTreeMap<PathBuf, Identity> = wanted.filter_map(identity).collect();
        // Before the directories: what happens in them from now on is about something.
        *self.concern.lock().unwrap_or_else(PoisonError::into_inner) = concern;
        for (gone, _) in self.followed.iter().filter(|(path, id)| wanted.get(*path) != Some(id)) {
            // It may be gone altogether.
            let _unwatched = self.watcher.unwatch(gone);
        }
        for (new, _) in wanted.iter().filter(|(path, id)| self.followed.get(*path) != Some(id)) {
            // Where it cannot be watched, the next command brings what it finds.
            let _unwatched = self.watcher.watch(new, RecursiveMode::NonRecursive);
        }
        self.followed = wanted;
    }
}

impl Concern {
    /// Whether it may be about a configuration file: reading one is nothing.
    fn is_about(&self, event: &Event) -> bool {
        let is_read = match event.kind {
            EventKind::Access(AccessKind::Close(mode)) => mode != AccessMode::Write,
            EventKind::Access(_) => true,
            _ => false,
        };
        let is_in_use = |path: &PathBuf| {
            let is_toml = path.extension() == Some("toml".as_ref());
            let is_in = |directory: &Path| self.directories.contains(directory);
            // A directory itself that is gone.
            is_in(path) || self.named.contains(path) || is_toml && path.parent().is_some_and(is_in)
        };
        !is_read && (event.need_rescan() || event.paths.iter().any(is_in_use))
    }
}

/// Goes along an absolute path; what may lead elsewhere one day is put down: links, and the first
/// thing that is not there. Its end, without links, if it is there.
fn trail(path: &Path, named: &mut BTreeSet<PathBuf>) -> Option<PathBuf> {
    let reversed = |path: &Path| {
        path.components().rev().map(|part| part.as_os_str().to_owned()).collect::<Vec<OsString>>()
    };
    let (mut at, mut ahead, mut links) = (PathBuf::from("/"), reversed(path), 0);
    while let Some(name) = ahead.pop() {
        match Path::new(&name).components().next() {
            Some(Component::RootDir) => at = PathBuf::from("/"),
            Some(Component::ParentDir) => drop(at.pop()),
            Some(Component::Normal(name)) => {
                let next = at.join(name);
                let Ok(data) = std::fs::symlink_metadata(&next) else {
                    named.insert(next);
                    return None;
                };
                if data.is_symlink() && links < LINKS {
                    links += 1;
                    ahead.extend(std::fs::read_link(&next).iter().flat_map(|to| reversed(to)));
                    named.insert(next);
                } else {
                    at = next;
                }
            }
            Some(Component::CurDir | Component::Prefix(_)) | None => {}
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;

    struct Follower {
        watch: Watch,
        told: Receiver<()>,
    }

    impl Follower {
        fn new() -> Self {
            let (tell, told) = channel();
            let watch = Watch::new(move || {
                let _gone = tell.send(());
            })
            .expect("a watch");
            Self { watch, told }
        }

        fn follow(&mut self, directories: &[PathBuf], files: &[PathBuf]) {
            self.watch.follow(directories, files);
            self.is_told();
        }

        /// Whether something was told, until it is quiet.
        fn is_told(&self) -> bool {
            let mut is_told = false;
            while self.told.recv_timeout(Duration::from_millis(200)).is_ok() {
                is_told = true;
            }
            is_told
        }
    }

    #[test]
    fn the_file_behind_links_is_followed() {
        let root = tempfile::tempdir().expect("a directory");
        let at = |name: &str| root.path().join(name);
        for directory in ["project", "dots", "far", "other"] {
            fs::create_dir(at(directory)).expect("made");
        }
        fs::write(at("far/file"), "1").expect("written");
        symlink("../far", at("dots/way")).expect("linked");
        symlink("../dots/way/file", at("project/jr.toml")).expect("linked");
        let mut follower = Follower::new();
        follower.follow(&[at("project")], &[at("project/jr.toml")]);
        fs::write(at("far/file"), "2").expect("written");
        assert!(follower.is_told(), "in place");
        fs::write(at("far/new"), "3").expect("written");
        assert!(!follower.is_told(), "another file");
        fs::rename(at("far/new"), at("far/file")).expect("renamed");
        assert!(follower.is_told(), "by rename");
        fs::write(at("other/file"), "4").expect("written");
        symlink("../other", at("dots/new")).expect("linked");
        fs::rename(at("dots/new"), at("dots/way")).expect("renamed");
        assert!(follower.is_told(), "a link on the way");
        follower.follow(&[at("project")], &[at("project/jr.toml")]);
        fs::write(at("other/file"), "5").expect("written");
        assert!(follower.is_told(), "where it leads now");
    }

    #[test]
    fn a_file_may_have_any_name_and_a_directory_may_come() {
        let root = tempfile::tempdir().expect("a directory");
        let at = |name: &str| root.path().join(name);
        fs::create_dir(at("project")).expect("made");
        fs::create_dir(at("x")).expect("made");
        fs::write(at("x/extra.conf"), "1").expect("written");
        let mut follower = Follower::new();
        let (directories, files) =
            ([at("project"), at("config/jr")], [at("project/../x/extra.conf")]);
        follower.follow(&directories, &files);
        fs::write(at("x/extra.conf"), "2").expect("written");
        assert!(follower.is_told(), "a name of any form");
        fs::write(at("x/other.toml"), "2").expect("written");
        fs::write(at("project/log"), "2").expect("written");
        assert!(!follower.is_told(), "others' files");
        fs::create_dir(at("config")).expect("made");
        assert!(follower.is_told(), "the directory above one");
        follower.follow(&directories, &files);
        fs::create_dir(at("config/jr")).expect("made");
        assert!(follower.is_told(), "the directory");
        follower.follow(&directories, &files);
        fs::write(at("config/jr/env.toml"), "").expect("written");
        assert!(follower.is_told(), "a file in it");
        fs::remove_dir_all(at("config")).expect("removed");
        assert!(follower.is_told(), "it is gone");
        fs::create_dir_all(at("config/jr")).expect("made");
        follower.follow(&directories, &files);
        fs::write(at("config/jr/env.toml"), "").expect("written");
        assert!(follower.is_told(), "another one in its place");
    }

    #[test]
    fn links_in_a_circle_end() {
        let root = tempfile::tempdir().expect("a directory");
        let at = |name: &str| root.path().join(name);
        symlink("b", at("a")).expect("linked");
        symlink("a", at("b")).expect("linked");
        let mut named = BTreeSet::new();
        trail(&at("a"), &mut named);
        assert!(named.contains(&at("a")) && named.contains(&at("b")));
    }
}
