//! What of a watched directory does not count: what `.gitignore` and `.ignore` name, and what
//! version control, jr and editors leave beside the files.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::limits;
use crate::sys::regular::open;

/// What nobody means who watches a directory.
const APART: [&[u8]; 5] = [b".git", b".hg", b".jj", b".svn", b".jr"];

/// The rules that hold in one directory, the outermost first. An `.ignore` of any directory wins
/// over every `.gitignore`.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    git: Vec<Arc<Gitignore>>,
    own: Vec<Arc<Gitignore>>,
}

impl Rules {
    /// Those of the parents of a directory, up to the root of its repository; outside of one, none.
    pub(super) fn above(directory: &Path) -> Self {
        if is_repository(directory) {
            return Self::default();
        }
        let parents: Vec<&Path> = directory.ancestors().skip(1).collect();
        let Some(top) = parents.iter().position(|parent| is_repository(parent)) else {
            return Self::default();
        };
        let within = |rules: Self, parent: &&Path| rules.within(parent);
        parents[..=top].iter().rev().fold(Self::default(), within)
    }

    /// These and what the directory itself says.
    pub(super) fn within(&self, directory: &Path) -> Self {
        let mut rules = self.clone();
        if is_repository(directory) {
            rules.git.clear();
        }
        rules.git.extend(read(directory, ".gitignore"));
        rules.own.extend(read(directory, ".ignore"));
        rules
    }

    /// Whether a path of that directory does not count.
    pub(super) fn ignore(&self, path: &Path, is_directory: bool) -> bool {
        let innermost_first = self.own.iter().rev().chain(self.git.iter().rev());
        let mut matches = innermost_first.map(|rules| rules.matched(path, is_directory));
        matches
            .find(|found| !found.is_none())
            .is_some_and(|found| matches!(found, Match::Ignore(_)))
    }
}

fn is_repository(directory: &Path) -> bool {
    directory.join(".git").symlink_metadata().is_ok()
}

fn read(directory: &Path, name: &str) -> Option<Arc<Gitignore>> {
    let file = open(&directory.join(name)).ok()?;
    let mut text = Vec::new();
    file.take(limits::IGNORE_BYTES).read_to_end(&mut text).ok()?;
    let mut builder = GitignoreBuilder::new(directory);
    for line in String::from_utf8_lossy(&text).lines() {
        // A line that is no pattern excludes nothing, as with git.
        let _kept = builder.add_line(None, line);
    }
    builder.build().ok().map(Arc::new)
}

/// Whether a file or directory of this name is something else than what is worked on.
pub(super) fn is_apart(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let is_swap = match name {
        [b'.', .., b'.', b's', b'w', last] | [b'.', b's', b'w', last] => last.is_ascii_lowercase(),
        _ => false,
    };
    let is_autosave = matches!(name, [b'#', .., b'#'] | [b'.', b'#', ..]);
    // vim tries with a file of this name whether it may write into a directory.
    APART.contains(&name) || name == b"4913" || name.ends_with(b"~") || is_swap || is_autosave
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        directory
    }

    #[test]
    fn what_editors_and_version_control_leave_is_apart() {
        for name in [
            ".git",
            ".jr",
            ".hg",
            "main.rs~",
            ".main.rs.swp",
            ".main.rs.swo",
            ".main.rs.swx",
            ".swp",
            "4913",
            ".#main.rs",
            "#main.rs#",
        ] {
            assert!(is_apart(name.as_ref()), "{name}");
        }
        for name in ["main.rs", ".env", ".gitignore", "swp", "a.swp", "4914", "#", "jr", ".sw"] {
            assert!(!is_apart(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn rules_hold_as_git_has_them() {
        let tree = tree(&[
            (".gitignore", "*.log\n/build/\n!keep.log\n"),
            (".git/HEAD", ""),
            ("src/.gitignore", "!wanted.log\n*.tmp\n"),
            ("src/deep/.ignore", "!all.tmp\nsecret\n"),
        ]);
        let root = tree.path();
        let rules = Rules::above(&root.join("src/deep")).within(&root.join("src/deep"));
        let ignored = |path: &str| rules.ignore(&root.join(path), false);
        for path in ["src/deep/a.log", "src/deep/a.tmp", "src/deep/secret"] {
            assert!(ignored(path), "{path}");
        }
        for path in
            ["src/deep/a.rs", "src/deep/keep.log", "src/deep/wanted.log", "src/deep/all.tmp"]
        {
            assert!(!ignored(path), "{path}");
        }
        let top = Rules::above(root).within(root);
        assert!(top.ignore(&root.join("build"), true));
        assert!(!top.ignore(&root.join("build"), false), "a file of that name is none");
        assert!(!top.within(&root.join("src")).ignore(&root.join("src/build"), true));
    }

    #[test]
    fn what_lies_above_the_repository_or_outside_of_one_says_nothing() {
        let nested = tree(&[(".gitignore", "*\n"), ("repo/.git/HEAD", ""), ("repo/src/a.rs", "")]);
        let src = nested.path().join("repo/src");
        assert!(!Rules::above(&src).within(&src).ignore(&src.join("a.rs"), false));
        let outside = tree(&[(".gitignore", "*\n"), ("src/.gitignore", "b.rs\n")]);
        let src = outside.path().join("src");
        let rules = Rules::above(&src).within(&src);
        assert!(!rules.ignore(&src.join("a.rs"), false));
        assert!(rules.ignore(&src.join("b.rs"), false));
        // A repository within another: the outer rules end there.
        let outer = tree(&[(".git/HEAD", ""), (".gitignore", "*.rs\n"), ("sub/.git", "gitdir: x")]);
        let sub = outer.path().join("sub");
        let rules = Rules::above(outer.path()).within(outer.path());
        assert!(!rules.within(&sub).ignore(&sub.join("a.rs"), false));
    }

    #[test]
    fn hostile_rules_hold_nobody_up() {
        let tree =
            tree(&[(".gitignore/not", "a file"), ("a/.gitignore", "[\n\u{0}\n**/x[!\n\\\n!\n/\n")]);
        let root = tree.path();
        assert!(!Rules::default().within(root).ignore(&root.join("b"), false));
        let rules = Rules::default().within(&root.join("a"));
        assert!(!rules.ignore(&root.join("a/b"), true), "the lines that are patterns name files");
    }
}
