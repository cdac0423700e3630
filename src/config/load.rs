//! Reads the files that were found: who may write them, what they say, and all that is wrong.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::conform::conform;
use super::locate::{Found, Located, Search};
use super::merge::merge;
use super::parse;
use super::problem::{Problem, has_errors};
use super::schema;
use super::shape::Shape;
use super::source::{Layer, Origin, Source};
use super::tree::{Node, Table, Value};
use crate::limits;
use crate::model::Digest;

/// The lowest priority.
const PACKAGED: &str = include_str!("packaged.toml");

/// What all files together say.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// In order of priority.
    pub sources: Vec<Source>,
    /// What each says, in its order.
    pub trees: Vec<Table>,
    /// All of them, merged.
    pub merged: Table,
    /// `runtime.toml`: host names and ports of services, above everything.
    pub runtime: Table,
    /// All that is wrong.
    pub problems: Vec<Problem>,
    /// The directory of the project's file.
    pub project: Option<PathBuf>,
}

/// What a file is, as seen from its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Settings, services among them.
    Settings,
    /// A table per service with nothing but `hostname` and `port`.
    Runtime,
    /// Somebody else's.
    Foreign,
}

/// Loads everything that is found.
pub fn load(search: &Search) -> Loaded {
    load_located(search, search.locate())
}

/// As [`load`], where it is known what is there.
pub fn load_located(search: &Search, located: Located) -> Loaded {
    let mut loaded = Loaded { project: located.project, ..Loaded::default() };
    loaded.add_text(Layer::Packaged, None, "packaged", PACKAGED.to_owned(), blank());
    if located.files.len() > limits::CONFIG_FILES {
        let (found, most) = (located.files.len(), limits::CONFIG_FILES);
        let message = format!("{found} configuration files; one command takes {most}");
        loaded.problems.push(Problem::error("too_many_files", message));
    }
    for found in located.files.into_iter().take(limits::CONFIG_FILES) {
        loaded.add_file(found);
    }
    if let Some(mode) = &search.default_mode {
        loaded.add_variable("JR_DEFAULT_MODE", &["default_mode"], mode);
    }
    loaded
}

/// Of what has no bytes.
fn blank() -> Digest {
    Digest(*blake3::hash(b"").as_bytes())
}

impl Loaded {
    /// Whether nothing but what jr brings along is in use.
    pub fn is_packaged_only(&self) -> bool {
        self.sources.len() == 1
    }

    /// Whether anything cannot be used.
    pub fn has_errors(&self) -> bool {
        has_errors(&self.problems)
    }

    fn add_file(&mut self, found: Found) {
        let Found { layer, path } = found;
        let name = path.display().to_string();
        let read = read_file(&path);
        let source = self.sources.len();
        let text = read.and_then(|bytes| {
            let digest = Digest(*blake3::hash(&bytes).as_bytes());
            Ok((parse::text(source, &bytes)?, digest))
        });
        match text {
            Ok((text, digest)) => self.add_text(layer, Some(path), &name, text, digest),
            Err(problem) => {
                let problem =
                    Problem { message: format!("{name}: {}", problem.message), ..problem };
                self.problems.push(problem.at(source, 0..0));
                self.add_source(layer, Some(path), &name, "", blank(), Table::new(), false);
            }
        }
    }

    /// A text as if it were a file's.
    pub fn add_text(
        &mut self,
        layer: Layer,
        path: Option<PathBuf>,
        name: &str,
        text: String,
        digest: Digest,
    ) {
        let source = self.sources.len();
        let mut problems = Vec::new();
        let tree = parse::parse(source, &text, &mut problems);
        let kind = kind_of(layer, &tree);
        let tree = match kind {
            FileKind::Foreign if problems.is_empty() => {
                self.add_source(layer, path, name, &text, digest, Table::new(), true);
                return;
            }
            FileKind::Runtime => wrap_runtime(tree, source),
            FileKind::Settings | FileKind::Foreign => tree,
        };
        let (mut tree, told) = conform(source, tree, schema::json_schema());
        problems.extend(told);
        self.problems.append(&mut problems);
        let is_runtime = kind == FileKind::Runtime;
        if is_runtime
            && let Some(Node { value: Value::Table(services), .. }) = tree.remove("services")
        {
            merge(&mut self.runtime, services);
        }
        self.add_source(layer, path, name, &text, digest, tree, false);
    }

    #[expect(clippy::too_many_arguments, reason = "one for each of its fields")]
    fn add_source(
        &mut self,
        layer: Layer,
        path: Option<PathBuf>,
        name: &str,
        text: &str,
        digest: Digest,
        tree: Table,
        is_foreign: bool,
    ) {
        let (name, text) = (name.to_owned(), Arc::from(text));
        self.sources.push(Source { layer, path, name, text, digest, is_foreign });
        merge(&mut self.merged, tree.clone());
        self.trees.push(tree);
    }

    /// One value that a variable of the process sets.
    fn add_variable(&mut self, name: &str, path: &[&str], value: &str) {
        let source = self.sources.len();
        let origin = Origin { source, key: 0..0, value: 0..0 };
        let mut node = Node { value: Value::Text(value.to_owned()), origin: origin.clone() };
        for step in path.iter().skip(1).rev() {
            let table = Table::from([((*step).to_owned(), node)]);
            node = Node { value: Value::Table(table), origin: origin.clone() };
        }
        let tree = Table::from([(path[0].to_owned(), node)]);
        let (tree, problems) = conform(source, tree, schema::json_schema());
        self.problems.extend(problems);
        let name = format!("${name}");
        self.add_source(Layer::Variable, None, &name, "", blank(), tree, false);
    }
}

/// What a file is: `--config` takes any kind.
pub fn kind_of(layer: Layer, tree: &Table) -> FileKind {
    let shape = Shape::root(schema::json_schema());
    if tree.is_empty() || tree.keys().any(|key| shape.key(key).is_some()) {
        return FileKind::Settings;
    }
    let is_runtime = |node: &Node| {
        let keys = |table: &Table| table.keys().all(|key| key == "hostname" || key == "port");
        node.table().is_some_and(keys)
    };
    match layer {
        Layer::Extra if tree.values().all(is_runtime) => FileKind::Runtime,
        // `*env*.toml` is a wide pattern: what knows none of our keys is another tool's.
        Layer::Directory => FileKind::Foreign,
        _ => FileKind::Settings,
    }
}

/// `[web] port = 1` says what `[services.web] port = 1` does.
fn wrap_runtime(tree: Table, source: usize) -> Table {
    let origin = Origin { source, key: 0..0, value: 0..0 };
    Table::from([("services".to_owned(), Node { value: Value::Table(tree), origin })])
}

/// The bytes of a file that nobody else can have written.
fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: &std::io::Error| Problem::error("unreadable", error.to_string());
    // Not blocking: a FIFO in the place of a file must not hold anybody up.
    let flags =
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty());
    let file = std::fs::File::from(file.map_err(|errno| unreadable(&errno.into()))?);
    let data = file.metadata().map_err(|error| unreadable(&error))?;
    if !data.is_file() {
        return Err(Problem::error("unreadable", "not a regular file"));
    }
    check_trust(&data)?;
    let mut bytes = Vec::new();
    let limit = limits::CONFIG_BYTES as u64 + 1;
    let read = file.take(limit).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(&error))?;
    Ok(bytes)
}

/// A file says what is executed: whoever can write it can do what we can.
fn check_trust(data: &std::fs::Metadata) -> Result<(), Problem> {
    let own = rustix::process::geteuid().as_raw();
    let refused = |why: String, fix: &str| Err(Problem::error("untrusted", why).suggest(fix));
    if data.uid() != own && data.uid() != 0 {
        let why = format!("refused: it belongs to user {}, not to you or root", data.uid());
        return refused(why, "look at it, then make it yours: chown");
    }
    let writable = data.mode() & 0o022;
    // A group of one's own is usual (umask 002); a group of others is not.
    let by_group = writable & 0o020 != 0 && data.gid() != rustix::process::getegid().as_raw();
    if writable & 0o002 != 0 || by_group {
        let who = if writable & 0o002 != 0 { "everybody" } else { "another group" };
        let why = format!("refused: {who} can write it, and it says what is executed");
        return refused(why, "look at it, then: chmod go-w");
    }
    Ok(())
}
