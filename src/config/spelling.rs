//! What the files of the five systems write otherwise than a key for a key.

use super::problem::Problem;
use super::shape::Shape;
use super::source::Origin;
use super::tree::{Node, Table, Value};

/// Keys of a service that its writer meant, and that TOML puts into the table above them.
pub const HOISTED: [&str; 2] = ["graceful_timeout", "startup_timeout"];
/// Tables of a service whose headers stand above them.
const ABOVE: [&str; 3] = ["backoff", "health", "readiness"];

/// Brings keys of a service up that stand below the header of its backoff or of a check.
pub fn hoist(table: &mut Table, shape: Shape<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    if HOISTED.iter().any(|name| shape.key(name).is_none()) {
        return problems;
    }
    let is =
        |names: &[&str], key: &str| shape.key(key).is_some_and(|key| names.contains(&key.name));
    let mut moved: Vec<(String, String, Node)> = Vec::new();
    for (header, node) in table.iter_mut().filter(|(key, _)| is(&ABOVE, key)) {
        let Value::Table(below) = &mut node.value else { continue };
        let keys: Vec<String> = below.keys().filter(|key| is(&HOISTED, key)).cloned().collect();
        let found = keys.into_iter().filter_map(|key| below.remove_entry(&key));
        moved.extend(found.map(|(key, node)| (header.clone(), key, node)));
    }
    for (header, key, node) in moved {
        let message = format!(
            "{key} stands below the header of {header}, so TOML makes it a part of that; it is \
             taken as the service's"
        );
        let problem = Problem::warning("hoisted", message);
        let problem = problem.suggest(format!("write it above the header of {header}"));
        problems.push(problem.at(node.origin.source, node.origin.key.clone()));
        // What stands in its right place is meant.
        let name = shape.key(&key).map(|key| key.name);
        if !table.keys().any(|there| shape.key(there).map(|key| key.name) == name) {
            table.insert(key, node);
        }
    }
    problems
}

/// `type = { http = { … } }` and `checkType = { type = "tcp", port = 1 }` become `http = { … }`.
pub fn lift(node: Node, shape: Shape<'_>) -> Node {
    let is_probe = shape.choices().iter().any(|choice| choice.key("failure_threshold").is_some());
    let Node { value: Value::Table(mut table), origin } = node else { return node };
    for key in ["type", "checkType", "check_type"].into_iter().filter(|_| is_probe) {
        match table.remove(key) {
            Some(Node { value: Value::Table(mut kinds), origin: inner }) => {
                match kinds.remove("type") {
                    Some(Node { value: Value::Text(kind), origin: of }) => {
                        table.insert(kind, Node { value: Value::Table(kinds), origin: of });
                    }
                    Some(other) => drop(table.insert(key.to_owned(), other)),
                    None => {
                        for (kind, mut node) in kinds {
                            node.origin.source = inner.source;
                            table.entry(kind).or_insert(node);
                        }
                    }
                }
            }
            Some(other) => drop(table.insert(key.to_owned(), other)),
            None => {}
        }
    }
    Node { value: Value::Table(table), origin }
}

/// What is to be said of a word that is understood.
pub fn remark(name: &str, word: &str, source: usize, origin: &Origin) -> Option<Problem> {
    if (name, word) != ("type", "sqlite") {
        return None;
    }
    let message = "there is no SQLite: this is jr's embedded store, which is redb";
    let problem = Problem::warning("sqlite", message).suggest("write type = \"redb\"");
    Some(problem.at(source, origin.value.clone()))
}

impl Node {
    /// A number behind a name that says its unit becomes text with that unit.
    #[must_use]
    pub fn with_unit(mut self, unit: Option<&str>) -> Self {
        let Some(unit) = unit else { return self };
        self.value = match self.value {
            Value::Integer(number) => Value::Text(format!("{number}{unit}")),
            Value::Float(number) => Value::Text(format!("{number}{unit}")),
            other => other,
        };
        self
    }
}
