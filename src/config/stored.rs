//! A tree as it is shown and stored: its values as JSON has them, and beside them what JSON does
//! not tell. What is printed of the present and of the past is printed from this alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::mask::mask;
use super::print;
use super::source::{Source, place_of};
use super::tree::{Node, Table, each_leaf, table_to_json};

/// Values, where they are from, and how they were written. The fields are names of `--json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredTree {
    /// Secrets are markers.
    pub values: Json,
    /// Dotted key and `file:line`.
    pub origins: BTreeMap<String, String>,
    /// Its keys as they were written, values before tables. Empty in what jr stored before it knew
    /// them: by name then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<Ordered>,
    /// By dotted key, the TOML of values that JSON has no word for: times, and numbers without end.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub literals: BTreeMap<String, String>,
}

/// A key in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ordered {
    /// Of a value.
    Value(String),
    /// Of a table, with its keys.
    Table(String, Vec<Self>),
}

impl Ordered {
    /// The key.
    pub fn key(&self) -> &str {
        match self {
            Self::Value(key) | Self::Table(key, _) => key,
        }
    }

    /// What is below it.
    pub fn below(&self) -> &[Self] {
        match self {
            Self::Value(_) => &[],
            Self::Table(_, below) => below,
        }
    }
}

impl StoredTree {
    /// Of a tree; what is secret in it is left behind.
    pub fn of(tree: &Table, sources: &[Source]) -> Self {
        let tree = mask(tree);
        let (mut origins, mut literals) = (BTreeMap::new(), BTreeMap::new());
        each_leaf(&tree, &mut Vec::new(), &mut |path, node| {
            let path = path.join(".");
            if let Some(literal) = print::literal(node) {
                literals.insert(path.clone(), literal);
            }
            origins.insert(path, place_of(sources, &node.origin));
        });
        Self { values: table_to_json(&tree), origins, order: order_of(&tree), literals }
    }

    /// With paths as they are from everywhere: what is relative to its file is absolute.
    #[must_use]
    pub fn with_absolute_paths(mut self) -> Self {
        for pattern in PATHS {
            make_absolute(&mut self.values, pattern, "", &self.origins);
        }
        self
    }

    /// Puts what `from` has at `of` to `at`, where the table above it is there; an empty path is
    /// all of it.
    pub fn graft(&mut self, at: &[&str], from: &Self, of: &[&str]) {
        let Some(value) = find(&from.values, of) else { return };
        let Some((key, above)) = at.split_last() else { return };
        let Some(Json::Object(fields)) = find_mut(&mut self.values, above) else { return };
        fields.insert((*key).to_owned(), value.clone());
        move_keys(&mut self.origins, at, &from.origins, of);
        move_keys(&mut self.literals, at, &from.literals, of);
        let below = find_order(&from.order, of).to_vec();
        put_order(&mut self.order, at, below);
    }
}

/// Values before tables, as what stands below a header is part of that table; else as written.
fn order_of(tree: &Table) -> Vec<Ordered> {
    let mut entries: Vec<(&String, &Node)> = tree.iter().collect();
    entries.sort_by_key(|(_, node)| {
        (node.table().is_some(), node.origin.source, node.origin.key.start)
    });
    let ordered = |(key, node): (&String, &Node)| match node.table() {
        Some(table) => Ordered::Table(key.clone(), order_of(table)),
        None => Ordered::Value(key.clone()),
    };
    entries.into_iter().map(ordered).collect()
}

fn find<'a>(mut value: &'a Json, path: &[&str]) -> Option<&'a Json> {
    for step in path {
        value = value.as_object()?.get(*step)?;
    }
    Some(value)
}

fn find_mut<'a>(mut value: &'a mut Json, path: &[&str]) -> Option<&'a mut Json> {
    for step in path {
        value = value.as_object_mut()?.get_mut(*step)?;
    }
    Some(value)
}

fn find_order<'a>(mut order: &'a [Ordered], path: &[&str]) -> &'a [Ordered] {
    for step in path {
        let found = order.iter().find(|one| one.key() == *step);
        order = found.map_or(&[], Ordered::below);
    }
    order
}

fn put_order(order: &mut Vec<Ordered>, at: &[&str], below: Vec<Ordered>) {
    let Some((first, rest)) = at.split_first() else {
        *order = below;
        return;
    };
    let place = order.iter().position(|one| one.key() == *first).unwrap_or_else(|| {
        order.push(Ordered::Table((*first).to_owned(), Vec::new()));
        order.len() - 1
    });
    if let Some(Ordered::Table(_, inner)) = order.get_mut(place) {
        put_order(inner, rest, below);
    }
}

/// What `from` says below `of`, below `at`: instead of what is said there, and of the empty tables
/// above it.
fn move_keys(
    keys: &mut BTreeMap<String, String>,
    at: &[&str],
    from: &BTreeMap<String, String>,
    of: &[&str],
) {
    for above in 1..=at.len() {
        keys.remove(&at[..above].join("."));
    }
    let (at, of) = (at.join("."), of.join("."));
    keys.retain(|key, _| below(key, &at).is_none());
    for (key, value) in from {
        match below(key, &of) {
            Some("") => drop(keys.insert(at.clone(), value.clone())),
            Some(rest) => drop(keys.insert(format!("{at}.{rest}"), value.clone())),
            None => {}
        }
    }
}

/// The part of a dotted key below another one.
fn below<'a>(key: &'a str, above: &str) -> Option<&'a str> {
    if above.is_empty() || key == above {
        return Some(&key[above.len()..]);
    }
    key.strip_prefix(above)?.strip_prefix('.')
}

/// The keys that hold paths relative to their file; `*` is any.
const PATHS: [&[&str]; 13] = [
    &["layout", "root_dir"],
    &["persistence", "database"],
    &["ssh_key"],
    &["jobs", "*", "directory"],
    &["jobs", "*", "env_file"],
    &["jobs", "*", "environment", "*", "file"],
    &["services", "*", "directory"],
    &["services", "*", "env_file"],
    &["services", "*", "data_dir"],
    &["services", "*", "environment", "*", "file"],
    &["tests", "*", "directory"],
    &["tests", "*", "env_file"],
    &["tests", "*", "environment", "*", "file"],
];

fn make_absolute(
    value: &mut Json,
    pattern: &[&str],
    path: &str,
    origins: &BTreeMap<String, String>,
) {
    let Some((first, rest)) = pattern.split_first() else {
        let Some(base) = origins.get(path).and_then(|place| base_of(place)) else { return };
        match value {
            Json::String(text) => make_text_absolute(text, &base),
            Json::Array(items) => {
                for item in items {
                    if let Json::String(text) = item {
                        make_text_absolute(text, &base);
                    }
                }
            }
            _ => {}
        }
        return;
    };
    let Json::Object(fields) = value else { return };
    for (key, below) in matching(fields, first) {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        make_absolute(below, rest, &path, origins);
    }
}

fn matching<'a>(
    fields: &'a mut Map<String, Json>,
    wanted: &'a str,
) -> impl Iterator<Item = (&'a String, &'a mut Json)> {
    fields.iter_mut().filter(move |(key, _)| wanted == "*" || key.as_str() == wanted)
}

fn make_text_absolute(text: &mut String, base: &Path) {
    // `~` is home to whoever reads it.
    let is_of_home = text == "~" || text.starts_with("~/");
    if !is_of_home && let Some(path) = base.join(&*text).to_str() {
        path.clone_into(text);
    }
}

/// The directory that relative paths of what stands at `file:line` start from; `None` of what is in
/// no file.
fn base_of(place: &str) -> Option<PathBuf> {
    let (file, line) = place.rsplit_once(':')?;
    line.parse::<usize>().ok()?;
    Some(super::resolve::base_of(Path::new(file)).to_owned())
}
