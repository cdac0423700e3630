//! Reads the files that were found: who may write them, what they say, and all that is wrong.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::conform::conform;
use super::locate::{Located, Search};
use super::merge::merge;
use super::parse;
use super::problem::{Problem, did_you_mean, has_errors};
use super::schema;
use super::shape::Shape;
use super::source::{Layer, Origin, Source};
use super::tree::{Node, Table, Value};
use crate::limits;
use crate::model::Digest;
use crate::sys::regular;

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
    /// The paths of keys whose values could not be used, in any file.
    pub left_out: BTreeSet<Vec<String>>,
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
    load_instead(search, located, None)
}

/// As [`load_located`], with a text in the place of what one of the files holds: what would be if
/// it were saved.
pub fn load_instead(search: &Search, located: Located, instead: Option<(&Path, &str)>) -> Loaded {
    let mut loaded = Loaded::packaged(located.project);
    if located.files.len() > limits::CONFIG_FILES {
        let (found, most) = (located.files.len(), limits::CONFIG_FILES);
        let message = format!("{found} configuration files; one command takes {most}");
        loaded.problems.push(Problem::error("too_many_files", message));
    }
    for found in located.files.into_iter().take(limits::CONFIG_FILES) {
        let text = instead.filter(|(path, _)| *path == found.path).map(|(_, text)| text);
        let bytes = match text {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => read_file(&found.path),
        };
        let name = found.path.display().to_string();
        loaded.add_bytes(found.layer, Some(found.path), &name, bytes, None);
    }
    if let Some(mode) = &search.default_mode {
        loaded.add_value(Layer::Variable, "$JR_DEFAULT_MODE", &["default_mode"], mode);
    }
    if let Some(mode) = &search.mode {
        loaded.add_value(Layer::Flag, "--mode", &["default_mode"], mode);
    }
    loaded
}

/// One file alone, on top of what jr brings along; its kind is seen from its content unless it is
/// known.
pub fn load_file(path: &Path, kind: Option<FileKind>) -> Loaded {
    let mut loaded = Loaded::packaged(None);
    let name = path.display().to_string();
    loaded.add_bytes(Layer::Extra, Some(path.to_owned()), &name, read_file(path), kind);
    loaded
}

/// As [`load_file`], for what is in no file.
pub fn load_bytes(name: &str, bytes: Vec<u8>, kind: Option<FileKind>) -> Loaded {
    let mut loaded = Loaded::packaged(None);
    loaded.add_bytes(Layer::Extra, None, name, Ok(bytes), kind);
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

    /// What jr brings along.
    pub(super) fn packaged(project: Option<PathBuf>) -> Self {
        let mut loaded = Self { project, ..Self::default() };
        let bytes = Ok(PACKAGED.as_bytes().to_vec());
        loaded.add_bytes(Layer::Packaged, None, "packaged", bytes, None);
        loaded
    }

    /// What a file holds, or why it cannot be read.
    fn add_bytes(
        &mut self,
        layer: Layer,
        path: Option<PathBuf>,
        name: &str,
        bytes: Result<Vec<u8>, Problem>,
        kind: Option<FileKind>,
    ) {
        let source = self.sources.len();
        let read = bytes.map_err(|problem| (String::new(), Box::new(problem.at(source, 0..0))));
        let text = read.and_then(|bytes| match parse::text(source, &bytes) {
            Ok(text) => Ok((text, Digest(*blake3::hash(&bytes).as_bytes()))),
            Err(problem) => Err((parse::lossy(&bytes), Box::new(problem))),
        });
        match text {
            Ok((text, digest)) => self.add_text(layer, path, name, &text, digest, kind),
            Err((text, problem)) => {
                self.problems.push(*problem);
                self.add_source(layer, path, name, &text, blank(), Table::new(), false);
            }
        }
    }

    fn add_text(
        &mut self,
        layer: Layer,
        path: Option<PathBuf>,
        name: &str,
        text: &str,
        digest: Digest,
        kind: Option<FileKind>,
    ) {
        let source = self.sources.len();
        let mut problems = Vec::new();
        let tree = parse::parse(source, text, &mut problems);
        let kind = kind.unwrap_or_else(|| kind_of(layer, &tree));
        let tree = match kind {
            FileKind::Foreign if problems.is_empty() => {
                self.add_source(layer, path, name, text, digest, Table::new(), true);
                return;
            }
            FileKind::Runtime => wrap_runtime(tree, source, &mut problems),
            FileKind::Settings | FileKind::Foreign => tree,
        };
        let mut conformed = conform(source, tree, schema::json_schema());
        problems.append(&mut conformed.problems);
        self.left_out.append(&mut conformed.left_out);
        let mut tree = conformed.tree;
        if problems.len() > limits::CONFIG_PROBLEMS {
            let more = problems.len() - limits::CONFIG_PROBLEMS;
            problems.sort_by_key(|problem| (problem.severity, problem.span.start));
            problems.truncate(limits::CONFIG_PROBLEMS);
            let message = format!("{more} more mistakes in this file are left out");
            problems.push(Problem::error("too_many_problems", message).at(source, 0..0));
        }
        self.problems.append(&mut problems);
        let is_runtime = kind == FileKind::Runtime;
        if is_runtime
            && let Some(Node { value: Value::Table(services), .. }) = tree.remove("services")
        {
            merge(&mut self.runtime, services);
        }
        self.add_source(layer, path, name, text, digest, tree, false);
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

    /// One value that a variable of the process or an option sets.
    fn add_value(&mut self, layer: Layer, name: &str, path: &[&str], value: &str) {
        let source = self.sources.len();
        let origin = Origin::new(source, 0..0, 0..0);
        let mut node = Node { value: Value::Text(value.to_owned()), origin: origin.clone() };
        for step in path.iter().skip(1).rev() {
            let table = Table::from([((*step).to_owned(), node)]);
            node = Node { value: Value::Table(table), origin: origin.clone() };
        }
        let tree = Table::from([(path[0].to_owned(), node)]);
        let conformed = conform(source, tree, schema::json_schema());
        self.problems.extend(conformed.problems);
        self.add_source(layer, None, name, "", blank(), conformed.tree, false);
    }
}

/// Keys of a service in `runtime.toml`.
const RUNTIME_KEYS: [&str; 2] = ["hostname", "port"];

/// What a file is: `--config` takes any kind.
pub fn kind_of(layer: Layer, tree: &Table) -> FileKind {
    let shape = Shape::root(schema::json_schema());
    if tree.is_empty() || tree.keys().any(|key| shape.key(key).is_some()) {
        return FileKind::Settings;
    }
    // A misspelt key in it does not make it something else.
    let is_runtime = |node: &Node| {
        let is_ours = |key: &String| did_you_mean(key, RUNTIME_KEYS).is_some();
        node.table().is_some_and(|table| table.is_empty() || table.keys().any(is_ours))
    };
    match layer {
        Layer::Extra if tree.values().all(is_runtime) => FileKind::Runtime,
        // `*env*.toml` is a wide pattern: what knows none of our keys is another tool's.
        Layer::Directory => FileKind::Foreign,
        _ => FileKind::Settings,
    }
}

/// `[web] port = 1` says what `[services.web] port = 1` does; it says nothing else.
fn wrap_runtime(mut tree: Table, source: usize, problems: &mut Vec<Problem>) -> Table {
    for (name, node) in &mut tree {
        let Value::Table(service) = &mut node.value else { continue };
        let others: Vec<String> =
            service.keys().filter(|key| !RUNTIME_KEYS.contains(&key.as_str())).cloned().collect();
        for (key, node) in service.iter().filter(|(key, _)| RUNTIME_KEYS.contains(&key.as_str())) {
            let wrong = match &node.value {
                Value::Text(text) if text.trim().is_empty() => format!("{key} of {name} is empty"),
                Value::Integer(0) => format!("{key} of {name} is 0: no client reaches that"),
                _ => continue,
            };
            let problem = Problem::error("bad_value", wrong).suggest("what clients are to use");
            problems.push(problem.at(source, node.origin.value.clone()));
        }
        for key in others {
            let Some(other) = service.remove(&key) else { continue };
            let message = format!("unknown key {key:?} in {name} of a runtime file");
            let suggestion = match did_you_mean(&key, RUNTIME_KEYS) {
                Some(near) => format!("did you mean {near:?}?"),
                None => "it takes hostname and port; all else belongs to services".to_owned(),
            };
            let problem = Problem::error("unknown_key", message).suggest(suggestion);
            problems.push(problem.at(source, other.origin.key));
        }
    }
    let origin = Origin::new(source, 0..0, 0..0);
    Table::from([("services".to_owned(), Node { value: Value::Table(tree), origin })])
}

/// The bytes of a file that nobody else can have written.
///
/// # Errors
/// Why it is not read.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: &std::io::Error| Problem::error("unreadable", error.to_string());
    let file = regular::open(path).map_err(|error| unreadable(&error))?;
    check_trust(&file.metadata().map_err(|error| unreadable(&error))?)?;
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
