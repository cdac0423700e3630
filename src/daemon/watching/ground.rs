//! One look at all that a service watches: which files count, and which directories have to be
//! followed so that nothing of it is missed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::Metadata;
use std::path::{Component, Path, PathBuf};

use super::contents::Stamp;
use super::rules::{Rules, is_apart};
use crate::limits;

/// What there is. Directories are known by their real paths: as such they are followed.
#[derive(Debug, Default)]
pub(super) struct Ground {
    /// The files that count.
    pub(super) files: BTreeMap<PathBuf, Stamp>,
    /// Directories that are looked through, as they were come upon, with what holds there.
    inner: BTreeMap<PathBuf, (PathBuf, Rules)>,
    /// Single paths outside of these, and what they stand for: what is watched itself, its nearest
    /// parent, and where links to files lead.
    awaited: BTreeMap<PathBuf, PathBuf>,
    /// All that is to be followed.
    pub(super) followed: BTreeSet<PathBuf>,
    /// Not all of it fits.
    pub(super) is_cut: bool,
}

/// A look that is under way.
struct Look<'a, F> {
    ground: Ground,
    apart: &'a Path,
    follow: F,
    real: VecDeque<(PathBuf, Rules)>,
    /// They come last, so that what can be reached without a link is known without it.
    linked: VecDeque<(PathBuf, Rules)>,
}

impl Ground {
    /// Looks; `follow` is called for each directory before it is read. What lies in `apart` never
    /// counts.
    pub(super) fn look(roots: &[PathBuf], apart: &Path, follow: impl FnMut(&Path)) -> Self {
        let (ground, real, linked) = (Self::default(), VecDeque::new(), VecDeque::new());
        let mut look = Look { ground, apart, follow, real, linked };
        for root in roots {
            look.root(&plain(root));
        }
        while let Some((directory, above)) =
            look.real.pop_front().or_else(|| look.linked.pop_front())
        {
            look.directory(&directory, &above);
        }
        look.ground
    }

    /// What it is about if something happened at a path; `None` if that does not count.
    pub(super) fn place(&self, path: &Path) -> Option<PathBuf> {
        if let Some(place) = self.awaited.get(path) {
            return Some(place.clone());
        }
        if let Some((place, _)) = self.inner.get(path) {
            return Some(place.clone());
        }
        let (parent, name) = (path.parent()?, path.file_name()?);
        let (place, rules) = self.inner.get(parent)?;
        let place = place.join(name);
        let is_ignored = is_apart(name) || rules.ignore(&place, place.is_dir());
        (!is_ignored || is_rule(&place)).then_some(place)
    }
}

impl<F: FnMut(&Path)> Look<'_, F> {
    /// What is asked for counts whatever rules say; they say what of it.
    fn root(&mut self, root: &Path) {
        self.expect(root);
        let Ok(found) = root.metadata() else { return };
        if found.is_dir() {
            self.real.push_back((root.to_owned(), Rules::above(root)));
        } else {
            self.file(root.to_owned(), &found);
            self.target(root);
        }
    }

    /// It may come, go, or become another one.
    fn expect(&mut self, root: &Path) {
        let mut next = root;
        for parent in root.ancestors().skip(1) {
            if parent.is_dir()
                && let Ok(real) = parent.canonicalize()
            {
                if let Some(name) = next.file_name() {
                    self.ground.awaited.insert(real.join(name), root.to_owned());
                }
                self.ground.awaited.insert(real.clone(), root.to_owned());
                self.follow(real);
                return;
            }
            next = parent;
        }
    }

    fn follow(&mut self, directory: PathBuf) {
        (self.follow)(&directory);
        self.ground.followed.insert(directory);
    }

    /// The file that a link leads to.
    fn target(&mut self, link: &Path) {
        let Ok(real) = link.canonicalize() else { return };
        if let Some(parent) = real.parent().filter(|_| real != link) {
            self.follow(parent.to_owned());
            self.ground.awaited.insert(real, link.to_owned());
        }
    }

    fn file(&mut self, path: PathBuf, found: &Metadata) {
        if !found.is_file() {
            return;
        }
        if self.ground.files.len() < limits::WATCHED_FILES {
            self.ground.files.insert(path, Stamp::from(found));
        } else {
            self.ground.is_cut = true;
        }
    }

    /// Once, whatever leads there.
    fn directory(&mut self, directory: &Path, above: &Rules) {
        let Ok(real) = directory.canonicalize() else { return };
        if real.starts_with(self.apart) || self.ground.inner.contains_key(&real) {
            return;
        }
        if self.ground.inner.len() >= limits::WATCHED_FILES {
            self.ground.is_cut = true;
            return;
        }
        let rules = above.within(directory);
        self.follow(real.clone());
        self.ground.inner.insert(real, (directory.to_owned(), rules.clone()));
        let Ok(entries) = directory.read_dir() else { return };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names.into_iter().filter(|name| !is_apart(name)) {
            self.entry(directory.join(name), &rules);
        }
    }

    fn entry(&mut self, path: PathBuf, rules: &Rules) {
        let Ok(mut found) = path.symlink_metadata() else { return };
        let is_link = found.is_symlink();
        if is_link {
            let Ok(target) = path.metadata() else { return };
            found = target;
        }
        if rules.ignore(&path, found.is_dir()) {
            return;
        }
        match (found.is_dir(), is_link) {
            (true, false) => self.real.push_back((path, rules.clone())),
            (true, true) => self.linked.push_back((path, rules.clone())),
            (false, true) => {
                self.target(&path);
                self.file(path, &found);
            }
            (false, false) => self.file(path, &found),
        }
    }
}

/// Whether it says what counts.
fn is_rule(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == ".gitignore" || name == ".ignore")
}

/// Without what leads nowhere or back.
fn plain(path: &Path) -> PathBuf {
    let goes_back = path.components().any(|part| part == Component::ParentDir);
    let real = goes_back.then(|| path.canonicalize().ok()).flatten();
    real.unwrap_or_else(|| path.components().collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[&str]) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            for file in files {
                let path = tree.path(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, "").unwrap();
            }
            tree
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().canonicalize().unwrap().join(name)
        }

        fn look(&self, roots: &[&str]) -> Ground {
            let roots: Vec<PathBuf> = roots.iter().map(|root| self.path(root)).collect();
            Ground::look(&roots, Path::new("/nonexistent"), |_| {})
        }

        fn names<'a>(&self, paths: impl Iterator<Item = &'a PathBuf>) -> Vec<String> {
            let top = self.path("");
            let name = |path: &PathBuf| path.strip_prefix(&top).unwrap().display().to_string();
            paths.map(name).collect()
        }

        fn files(&self, roots: &[&str]) -> Vec<String> {
            self.names(self.look(roots).files.keys())
        }
    }

    #[test]
    fn files_below_count_unless_a_rule_says_otherwise() {
        let tree = Tree::new(&["p/.git/HEAD", "p/src/a.rs", "p/src/.a.rs.swp", "p/src/x/b.rs"]);
        std::fs::write(tree.path("p/.gitignore"), "*.log\ntarget/\n").unwrap();
        std::fs::create_dir_all(tree.path("p/src/target/debug")).unwrap();
        for name in ["p/src/target/debug/jr", "p/src/a.log", "p/src/a.rs~"] {
            std::fs::write(tree.path(name), "").unwrap();
        }
        assert_eq!(tree.files(&["p/src"]), ["p/src/a.rs", "p/src/x/b.rs"]);
        let ground = tree.look(&["p/src"]);
        assert_eq!(tree.names(ground.followed.iter()), ["p", "p/src", "p/src/x"]);
        let counts = |name: &str| ground.place(&tree.path(name)).is_some();
        assert!(counts("p/src/new.rs") && counts("p/src/x/b.rs") && counts("p/src"));
        assert!(!counts("p/src/a.log") && !counts("p/src/4913") && !counts("p/src/target"));
        assert!(!counts("p/other") && counts("p/src/.gitignore"));
        // What is asked for by name counts.
        assert_eq!(tree.files(&["p/src/a.log", "p/src/target"]).len(), 2);
    }

    #[test]
    fn what_is_not_there_is_awaited_where_it_will_come() {
        let tree = Tree::new(&["p/readme"]);
        let ground = tree.look(&["p/a/b/c.rs"]);
        assert_eq!(tree.names(ground.followed.iter()), ["p"]);
        assert_eq!(ground.place(&tree.path("p/a")), Some(tree.path("p/a/b/c.rs")));
        assert_eq!(ground.place(&tree.path("p/readme")), None);
        std::fs::create_dir_all(tree.path("p/a/b")).unwrap();
        assert_eq!(tree.names(tree.look(&["p/a/b/c.rs"]).followed.iter()), ["p/a/b"]);
    }

    #[test]
    fn links_are_followed_once_and_cycles_end() {
        let tree = Tree::new(&["p/src/a.rs", "q/lib/b.rs", "q/one.toml"]);
        symlink(tree.path("q/lib"), tree.path("p/src/lib")).unwrap();
        symlink(tree.path("p/src"), tree.path("p/src/aaa")).unwrap();
        symlink(tree.path("p/src"), tree.path("q/lib/back")).unwrap();
        symlink(tree.path("q/one.toml"), tree.path("p/src/one.toml")).unwrap();
        symlink("loop", tree.path("p/src/loop")).unwrap();
        symlink("nowhere", tree.path("p/src/broken")).unwrap();
        let ground = tree.look(&["p/src", "p/src/lib"]);
        let files = tree.names(ground.files.keys());
        assert_eq!(files, ["p/src/a.rs", "p/src/lib/b.rs", "p/src/one.toml"]);
        assert_eq!(tree.names(ground.followed.iter()), ["p", "p/src", "q", "q/lib"]);
        let place = |name: &str| ground.place(&tree.path(name));
        assert_eq!(place("q/lib/b.rs"), Some(tree.path("p/src/lib/b.rs")));
        assert_eq!(place("q/one.toml"), Some(tree.path("p/src/one.toml")));
        assert_eq!(place("q/two.toml"), None);
    }

    #[test]
    fn what_is_no_file_or_apart_does_not_count() {
        let tree = Tree::new(&["p/state/log", "p/a"]);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            tree.path("p/fifo"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let ground = Ground::look(&[tree.path("p/../p")], &tree.path("p/state"), |_| {});
        assert_eq!(tree.names(ground.files.keys()), ["p/a"]);
        assert_eq!(ground.place(&tree.path("p/state/log")), None);
    }
}
