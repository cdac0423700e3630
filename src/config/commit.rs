//! Which git commit a directory stands at, read from the repository's files: no program is started.
//!
//! ```text
//! directory ─▶ .git (directory, or "gitdir: …") ─▶ HEAD ─▶ hexadecimal
//!                                                   └ "ref: refs/…" ─▶ loose file ─▶ packed-refs
//! ```
//! The files are described in gitrepository-layout(5). What is not as described there means that
//! nothing is known, and so does a repository whose refs lie elsewhere (`reftable`). Nothing read
//! here is ever executed, and nothing but a commit is told of it, so that it does not matter whose
//! repository it is. `GIT_DIR` and its like are not read: a run's directory alone decides. Whether
//! files differ from the commit cannot be told without reading all of them.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::locate::upwards;
use crate::limits;
use crate::model::GitCommit;
use crate::sys::regular;

/// Refs may name refs; git follows so many (`SYMREF_MAXDEPTH`).
const DEPTH: usize = 5;

/// What a file holds, where there may be none.
#[derive(Debug)]
enum Contents {
    /// There is none, or a directory in its place.
    Absent,
    /// Something that git does not make.
    Odd,
    /// It has bytes.
    Bytes(Vec<u8>),
}

/// What a HEAD or a ref says.
#[derive(Debug, PartialEq, Eq)]
enum Says {
    Commit(GitCommit),
    /// The full name of another ref.
    Ref(Vec<u8>),
}

/// A repository as seen from one of its worktrees.
#[derive(Debug)]
struct Repository {
    /// HEAD lies here.
    own: PathBuf,
    /// Refs lie here; another directory in a linked worktree.
    common: PathBuf,
}

/// The commit that HEAD stands for in the repository that `directory` is in. The walk upwards ends
/// as that for a project's file does.
pub fn commit_at(directory: &Path, home: Option<&Path>) -> Option<GitCommit> {
    // What is above it is meant as the kernel sees it, not as it was written.
    let directory = std::fs::canonicalize(directory).ok()?;
    for directory in upwards(&directory, home) {
        let git = directory.join(".git");
        if git.exists() {
            return Repository::open(directory, git)?.head();
        }
    }
    None
}

impl Repository {
    fn open(directory: &Path, git: PathBuf) -> Option<Self> {
        let own = match read(&git, limits::GIT_FILE_BYTES) {
            Contents::Absent => git,
            Contents::Odd => return None,
            Contents::Bytes(bytes) => directory.join(path(bytes.strip_prefix(b"gitdir: ")?)?),
        };
        let common = match read(&own.join("commondir"), limits::GIT_FILE_BYTES) {
            Contents::Absent => own.clone(),
            Contents::Odd => return None,
            Contents::Bytes(bytes) => own.join(path(&bytes)?),
        };
        Some(Self { own, common })
    }

    fn head(&self) -> Option<GitCommit> {
        let head = self.own.join("HEAD");
        let mut says = match read(&head, limits::GIT_FILE_BYTES) {
            Contents::Bytes(bytes) => said(&bytes)?,
            Contents::Odd => return None,
            // Old gits made a symbolic link, which leads nowhere once the ref is packed.
            Contents::Absent => {
                let target = std::fs::read_link(&head).ok()?;
                Says::Ref(valid(target.as_os_str().as_bytes())?)
            }
        };
        for _ in 0..=DEPTH {
            match says {
                Says::Commit(commit) => return Some(commit),
                Says::Ref(name) => says = self.look_up(&name)?,
            }
        }
        None
    }

    /// What a ref says; a branch without a commit has none.
    fn look_up(&self, name: &[u8]) -> Option<Says> {
        // The only ones that each worktree has of its own (git-worktree(1), "REFS").
        let is_own = [&b"refs/bisect/"[..], b"refs/worktree/", b"refs/rewritten/"]
            .iter()
            .any(|begin| name.starts_with(begin));
        let base = if is_own { &self.own } else { &self.common };
        match read(&base.join(OsStr::from_bytes(name)), limits::GIT_FILE_BYTES) {
            Contents::Bytes(bytes) => said(&bytes),
            Contents::Odd => None,
            Contents::Absent => self.packed(name).map(Says::Commit),
        }
    }

    /// What `packed-refs` has of it: lines of a commit, a blank and a name.
    fn packed(&self, name: &[u8]) -> Option<GitCommit> {
        let Contents::Bytes(bytes) =
            read(&self.common.join("packed-refs"), limits::GIT_PACKED_REFS_BYTES)
        else {
            return None;
        };
        bytes.split(|byte| *byte == b'\n').find_map(|line| {
            let digits = line.strip_suffix(name)?.strip_suffix(b" ")?;
            commit(digits)
        })
    }
}

/// A file of at most `limit` bytes.
fn read(path: &Path, limit: u64) -> Contents {
    let opened = regular::open(path).and_then(|file| Ok((file.metadata()?, file)));
    let (data, file) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            use std::io::ErrorKind::{InvalidInput, NotADirectory, NotFound};
            let is_absent = match error.kind() {
                NotFound | NotADirectory => true,
                // A directory may stand where a ref of that name was, or will be.
                InvalidInput => path.is_dir(),
                _ => false,
            };
            return if is_absent { Contents::Absent } else { Contents::Odd };
        }
    };
    let mut bytes = Vec::new();
    let is_read = data.len() <= limit && file.take(limit + 1).read_to_end(&mut bytes).is_ok();
    if is_read && bytes.len() as u64 <= limit { Contents::Bytes(bytes) } else { Contents::Odd }
}

/// `ref: NAME`, or a commit.
fn said(bytes: &[u8]) -> Option<Says> {
    let text = bytes.trim_ascii_end();
    match text.strip_prefix(b"ref:") {
        Some(name) => valid(name.trim_ascii_start()).map(Says::Ref),
        None => commit(text).map(Says::Commit),
    }
}

fn commit(digits: &[u8]) -> Option<GitCommit> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A name that is a path below the repository (git-check-ref-format(1)). `refs/heads/.invalid` is
/// what HEAD says where the refs lie elsewhere.
fn valid(name: &[u8]) -> Option<Vec<u8>> {
    let is_good = |part: &[u8]| !part.is_empty() && part[0] != b'.' && !part.contains(&0);
    let is_valid = name.starts_with(b"refs/") && name.split(|byte| *byte == b'/').all(is_good);
    is_valid.then(|| name.to_vec())
}

/// The path that a file of one line holds.
fn path(bytes: &[u8]) -> Option<&Path> {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let is_path = !line.is_empty() && !line.contains(&0);
    is_path.then(|| Path::new(OsStr::from_bytes(line)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const NONE: &str = "none";
    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const LONG: &str = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";

    /// Files of repositories, written by hand.
    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Self {
            let tree = Self(tempfile::tempdir().expect("a directory"));
            for (name, text) in files {
                tree.write(name, text.as_bytes());
            }
            tree
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            let path = self.path(name);
            std::fs::create_dir_all(path.parent().expect("one")).expect("makes");
            std::fs::write(path, bytes).expect("writes");
        }

        fn at(&self, directory: &str) -> String {
            std::fs::create_dir_all(self.path(directory)).expect("makes");
            shown(commit_at(&self.path(directory), None))
        }
    }

    fn shown(commit: Option<GitCommit>) -> String {
        commit.map_or_else(|| NONE.to_owned(), |commit| commit.to_string())
    }

    #[test]
    fn a_branch_is_a_loose_file_or_a_packed_line() {
        let tree = Tree::new(&[("p/.git/HEAD", "ref: refs/heads/main\n")]);
        assert_eq!(tree.at("p"), NONE, "nothing was committed yet");
        let packed = format!(
            "# pack-refs with: peeled fully-peeled sorted \n{A} refs/heads/a/main\n\
             {A} refs/heads/main2\n{B} refs/heads/main\n^{A}\n{A} refs/tags/v1\n"
        );
        tree.write("p/.git/packed-refs", packed.as_bytes());
        assert_eq!(tree.at("p"), B);
        tree.write("p/.git/refs/heads/main", format!("{A}\n").as_bytes());
        assert_eq!(tree.at("p"), A, "the loose one is newer");
        assert_eq!(tree.at("p/deep/er"), A);
        assert_eq!(tree.at("p/.git/refs"), A);
        assert_eq!(tree.at("q"), NONE);
    }

    #[test]
    fn a_detached_head_is_itself_in_both_hashes() {
        let tree = Tree::new(&[("p/.git/HEAD", A), ("q/.git/HEAD", &format!("{LONG}\r\n"))]);
        assert_eq!([tree.at("p"), tree.at("q")], [A, LONG]);
        tree.write("p/.git/HEAD", "0".repeat(40).as_bytes());
        assert_eq!(tree.at("p"), NONE);
    }

    #[test]
    fn names_of_refs_are_any_bytes_and_nest() {
        let tree = Tree::new(&[
            ("p/.git/HEAD", "ref: refs/heads/team/x/y\n"),
            ("p/.git/refs/heads/team/x/y", A),
        ]);
        assert_eq!(tree.at("p"), A);
        let name = b"refs/heads/\xff\xfe";
        tree.write("p/.git/HEAD", &[b"ref:", &name[..]].concat());
        tree.write("p/.git/packed-refs", &[B.as_bytes(), b" ", name].concat());
        assert_eq!(tree.at("p"), B);
        std::fs::create_dir_all(tree.path("p/.git").join(OsStr::from_bytes(name))).expect("makes");
        assert_eq!(tree.at("p"), B, "an empty directory stands in its place");
    }

    #[test]
    fn a_worktree_has_a_head_of_its_own_and_the_refs_of_all() {
        let tree = Tree::new(&[
            ("p/.git/HEAD", "ref: refs/heads/main"),
            ("p/.git/refs/heads/main", A),
            ("p/.git/refs/heads/side", B),
            ("p/.git/worktrees/w/HEAD", "ref: refs/heads/side"),
            ("p/.git/worktrees/w/commondir", "../..\n"),
            ("p/.git/worktrees/w/refs/bisect/bad", A),
            ("r/.git", "gitdir: ../p/.git/worktrees/w\n"),
        ]);
        let own = tree.path("p/.git/worktrees/w");
        tree.write("w/.git", format!("gitdir: {}\n", own.display()).as_bytes());
        assert_eq!([tree.at("p"), tree.at("w/sub"), tree.at("r")], [A, B, B]);
        tree.write("p/.git/worktrees/w/HEAD", b"ref: refs/bisect/bad");
        assert_eq!(tree.at("w"), A);
    }

    #[test]
    fn a_submodule_is_a_repository_of_its_own() {
        let tree = Tree::new(&[
            ("p/.git/HEAD", A),
            ("p/sub/.git", "gitdir: ../.git/modules/sub\n"),
            ("p/.git/modules/sub/HEAD", B),
        ]);
        assert_eq!([tree.at("p"), tree.at("p/sub/src")], [A, B]);
    }

    #[test]
    fn old_repositories_have_a_link_for_a_head() {
        let tree = Tree::new(&[("p/.git/refs/heads/master", A)]);
        symlink("refs/heads/master", tree.path("p/.git/HEAD")).expect("links");
        assert_eq!(tree.at("p"), A);
        std::fs::remove_file(tree.path("p/.git/refs/heads/master")).expect("removes");
        assert_eq!(tree.at("p"), NONE);
        tree.write("p/.git/packed-refs", format!("{B} refs/heads/master\n").as_bytes());
        assert_eq!(tree.at("p"), B);
        symlink("../outside", tree.path("p/link")).expect("links");
        tree.write("outside/.git/HEAD", A.as_bytes());
        assert_eq!(tree.at("p/link"), A, "where it leads to, not where it lies");
        assert_eq!(tree.at("p/link/../p"), B);
    }

    #[test]
    fn refs_that_name_refs_end() {
        let tree = Tree::new(&[
            ("p/.git/HEAD", "ref: refs/heads/a"),
            ("p/.git/refs/heads/a", "ref: refs/heads/b"),
            ("p/.git/refs/heads/b", "ref: refs/heads/c"),
            ("p/.git/refs/heads/c", A),
        ]);
        assert_eq!(tree.at("p"), A);
        tree.write("p/.git/refs/heads/c", b"ref: refs/heads/a");
        assert_eq!(tree.at("p"), NONE);
        symlink("HEAD", tree.path("p/.git/HEAD2")).expect("links");
        std::fs::remove_file(tree.path("p/.git/HEAD")).expect("removes");
        symlink("HEAD2", tree.path("p/.git/HEAD")).expect("links");
        assert_eq!(tree.at("p"), NONE);
    }

    #[test]
    fn what_git_does_not_write_says_nothing() {
        let garbage = [
            "",
            "\n",
            "ref:",
            "ref: main",
            "ref: refs/heads/.invalid",
            "ref: refs/../HEAD2",
            "ref: refs//a",
            "ref: /etc/passwd",
            "ref: refs/heads/a\0b",
            "xyz",
            &A[1..],
        ];
        let tree = Tree::new(&[("p/.git/HEAD2", A), ("p/.git/refs/a", A)]);
        for text in garbage {
            tree.write("p/.git/HEAD", text.as_bytes());
            assert_eq!(tree.at("p"), NONE, "{text:?}");
        }
        tree.write("p/.git/HEAD", b"ref: refs/heads/main");
        tree.write("p/.git/packed-refs", format!("{A} refs/heads/main\n").as_bytes());
        tree.write("p/.git/refs/heads/main", &[0xff; 40]);
        assert_eq!(tree.at("p"), NONE, "the packed one is older than what is broken");
        for text in ["", "x", "gitdir: ", "gitdir: gone", "gitdir: .", "gitdir: a\0b"] {
            tree.write("p/sub/.git", text.as_bytes());
            assert_eq!(tree.at("p/sub"), NONE, "{text:?}");
        }
        std::fs::create_dir_all(tree.path("p/empty/.git")).expect("makes");
        assert_eq!(tree.at("p/empty"), NONE);
        assert_eq!(commit_at(&tree.path("gone"), None), None);
    }

    #[test]
    fn nothing_in_the_place_of_a_file_holds_anybody_up() {
        let fifo = |path: PathBuf| {
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
            rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).expect("a FIFO");
        };
        let tree = Tree::new(&[("p/.git/refs/heads/main", A), ("q/x", "")]);
        fifo(tree.path("q/.git"));
        fifo(tree.path("p/.git/HEAD"));
        assert_eq!([tree.at("p"), tree.at("q")], [NONE, NONE]);
        std::fs::remove_file(tree.path("p/.git/HEAD")).expect("removes");
        tree.write("p/.git/HEAD", b"ref: refs/heads/side");
        assert_eq!(tree.at("p"), NONE);
        fifo(tree.path("p/.git/packed-refs"));
        assert_eq!(tree.at("p"), NONE);
        fifo(tree.path("p/.git/commondir"));
        tree.write("p/.git/HEAD", A.as_bytes());
        assert_eq!(tree.at("p"), NONE);
        let tree = Tree::new(&[("p/.git/x", "")]);
        symlink("/dev/zero", tree.path("p/.git/HEAD")).expect("links");
        assert_eq!(tree.at("p"), NONE);
    }

    #[test]
    fn no_more_is_read_than_is_allowed() {
        let tree = Tree::new(&[("p/.git/HEAD", A)]);
        let grow = |name: &str, bytes: u64| {
            let file = std::fs::OpenOptions::new().write(true).open(tree.path(name));
            file.expect("opens").set_len(bytes).expect("grows");
        };
        grow("p/.git/HEAD", 1 << 40);
        assert_eq!(tree.at("p"), NONE);
        tree.write("p/.git/HEAD", b"ref: refs/heads/main");
        tree.write("p/.git/packed-refs", format!("{A} refs/heads/main\n").as_bytes());
        grow("p/.git/packed-refs", limits::GIT_PACKED_REFS_BYTES);
        assert_eq!(tree.at("p"), A);
        grow("p/.git/packed-refs", limits::GIT_PACKED_REFS_BYTES + 1);
        assert_eq!(tree.at("p"), NONE);
    }

    #[test]
    fn the_walk_ends_at_home() {
        let tree = Tree::new(&[(".git/HEAD", A), ("home/x", ""), ("dots/.git/HEAD", B)]);
        let real = std::fs::canonicalize(tree.0.path()).expect("there");
        let from = |directory: &str, home: &str| {
            let (directory, home) = (real.join(directory), real.join(home));
            std::fs::create_dir_all(&directory).expect("makes");
            shown(commit_at(&directory, Some(&home)))
        };
        assert_eq!(from("home/deep", "home"), NONE);
        assert_eq!(from("home", "home"), NONE);
        assert_eq!(from("other", "home"), A);
        assert_eq!(from("dots/x", "dots"), B, "home itself counts");
    }
}
