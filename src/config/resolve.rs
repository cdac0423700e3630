//! One environment as it holds: what is shared, what it says itself on top, and `runtime.toml`'s
//! host names and ports above everything.

use std::path::{Path, PathBuf};

use super::check;
use super::load::Loaded;
use super::merge::merge;
use super::problem::{Problem, has_errors};
use super::schema::environment::{Environment, EnvironmentType};
use super::schema::{SHARED, Settings};
use super::select::{DEFAULT, Selection};
use super::source::Source;
use super::tree::{Node, Table, Value, find, table_to_json};

/// An environment, complete.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Its id.
    pub id: String,
    /// Its keys, each with its origin.
    pub tree: Table,
    /// What is about the project rather than an environment.
    pub settings: Table,
    /// The same in types; what could not be read is left out.
    pub environment: Environment,
}

/// Puts an environment together; the problems are those of this environment alone.
pub fn resolve(loaded: &Loaded, selection: &Selection) -> (Resolved, Vec<Problem>) {
    let id = selection.id.as_str();
    let mut tree = Table::new();
    for key in SHARED {
        if let Some(node) = loaded.merged.get(key) {
            tree.insert(key.to_owned(), node.clone());
        }
    }
    let own = find(&loaded.merged, &["environments", id]);
    let fallback = || find(&loaded.trees[0], &["environments", DEFAULT]);
    let node = own.or_else(|| fallback().filter(|_| !selection.is_declared));
    merge(&mut tree, node.and_then(Node::table).cloned().unwrap_or_default());
    let mut problems = lay_runtime(loaded, &mut tree);
    // Of the others nothing is copied: each of thousands of environments is resolved by itself.
    let is_setting = |key: &str| key != "environments" && !SHARED.contains(&key);
    let settings = loaded.merged.iter().filter(|(key, _)| is_setting(key));
    let settings = settings.map(|(key, node)| (key.clone(), node.clone())).collect();
    let environment = typed(id, &mut tree, &mut problems);
    let resolved = Resolved { id: id.to_owned(), tree, settings, environment };
    if !has_errors(&problems) {
        problems.extend(check::environment(&resolved, node, &loaded.left_out));
    }
    (resolved, problems)
}

/// The environment in types. What cannot be read is taken out and told: each file by itself was
/// well, so this is about what several of them say together.
fn typed(id: &str, tree: &mut Table, problems: &mut Vec<Problem>) -> Environment {
    // Each look takes out one place at least.
    loop {
        match serde_json::from_value(table_to_json(tree)) {
            Ok(environment) => return environment,
            Err(error) => {
                let message = format!("in environment {id:?}, {error}");
                let Some((path, node)) = take_bad(tree, &[]) else {
                    problems.push(Problem::error("bad_value", message));
                    return Environment::default();
                };
                let message = format!("{message}, at {}", path.join("."));
                let problem = Problem::error("bad_value", message);
                problems.push(problem.at(node.origin.source, node.origin.key));
            }
        }
    }
}

/// Takes out the deepest place that cannot be read even where nothing else is said.
fn take_bad(tree: &mut Table, above: &[String]) -> Option<(Vec<String>, Node)> {
    let is_bad = |key: &String, node: &Node| {
        let mut json = node.to_json();
        for step in above.iter().chain([key]).rev() {
            json = serde_json::Value::Object([(step.clone(), json)].into_iter().collect());
        }
        serde_json::from_value::<Environment>(json).is_err()
    };
    let key = tree.iter().find(|(key, node)| is_bad(key, node)).map(|(key, _)| key.clone())?;
    let path = [above, std::slice::from_ref(&key)].concat();
    if let Some(Node { value: Value::Table(inner), .. }) = tree.get_mut(&key)
        && let Some(found) = take_bad(inner, &path)
    {
        return Some(found);
    }
    tree.remove(&key).map(|node| (path, node))
}

/// Host names and ports of known services.
fn lay_runtime(loaded: &Loaded, tree: &mut Table) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut known = Table::new();
    for (name, node) in &loaded.runtime {
        if find(tree, &["services", name]).is_some() {
            known.insert(name.clone(), node.clone());
            continue;
        }
        let message = format!("service {name:?} is not declared, so its line has no effect");
        let problem = Problem::warning("unknown_service", message);
        problems.push(problem.at(node.origin.source, node.origin.key.clone()));
    }
    if let Some(Node { value: Value::Table(services), .. }) = tree.get_mut("services") {
        merge(services, known);
    }
    problems
}

impl Resolved {
    /// What kind it is; an environment that nobody declared is local.
    pub fn kind(&self) -> EnvironmentType {
        self.environment.kind.unwrap_or(EnvironmentType::Local)
    }

    /// What is about the project, in types.
    pub fn settings(&self) -> Settings {
        serde_json::from_value(table_to_json(&self.settings)).unwrap_or_default()
    }

    /// A path of the configuration: `~` is the home directory, and what is relative is so to the
    /// directory of the file that says it.
    pub fn path(&self, keys: &[&str], sources: &[Source], home: Option<&Path>) -> Option<PathBuf> {
        let node = find(&self.tree, keys)?;
        Some(absolute(node.text()?, base(sources, node), home))
    }
}

/// All that holds: what is said for all environments, and one of them with that applied.
pub fn effective(loaded: &Loaded, resolved: &Resolved) -> Table {
    let mut tree = loaded.merged.clone();
    if let Some(Node { value: Value::Table(environments), .. }) = tree.get_mut("environments")
        && let Some(node) = environments.get_mut(&resolved.id)
    {
        node.value = Value::Table(resolved.tree.clone());
    }
    tree
}

/// The directory that relative paths of a value start from.
pub fn base<'a>(sources: &'a [Source], node: &Node) -> &'a Path {
    let source = sources.get(node.origin.source);
    source.and_then(|source| source.path.as_deref()).map_or(Path::new("/"), base_of)
}

/// As [`base`], for what a file says.
pub(super) fn base_of(file: &Path) -> &Path {
    // Files of a project's own directory of configuration speak of the project.
    match file.parent() {
        Some(path) if path.ends_with(".jr/config") => path.ancestors().nth(2).unwrap_or(path),
        Some(path) => path,
        None => Path::new("/"),
    }
}

/// `~` and relative paths.
pub fn absolute(text: &str, base: &Path, home: Option<&Path>) -> PathBuf {
    match (text.strip_prefix('~'), home) {
        (Some(""), Some(home)) => home.to_owned(),
        (Some(rest), Some(home)) if rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        _ => base.join(text),
    }
}
