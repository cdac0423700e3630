//! A tree as TOML: what is printed can be read back and gives the same.

use serde_json::{Map, Value as Json};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Key, Table as TomlTable};

use super::edit;
use super::stored::{Ordered, StoredTree};
use super::tree::{Node, Value};

/// One environment: `[[environment]]`, its id first. With `origins`, behind each value where it was
/// written.
pub fn environment(id: &str, tree: &StoredTree, origins: bool) -> String {
    let mut table = TomlTable::new();
    table.insert("id", toml_edit::value(id));
    Printer { tree, origins }.fill(&mut table, &tree.values, &tree.order, "");
    let mut list = ArrayOfTables::new();
    list.push(table);
    let mut document = DocumentMut::new();
    document.insert("environment", Item::ArrayOfTables(list));
    document.to_string()
}

/// A whole file, as [`environment`].
pub fn file(tree: &StoredTree, origins: bool) -> String {
    let mut document = DocumentMut::new();
    let printer = Printer { tree, origins };
    printer.fill(document.as_table_mut(), &tree.values, &tree.order, "");
    document.to_string()
}

struct Printer<'a> {
    tree: &'a StoredTree,
    origins: bool,
}

impl Printer<'_> {
    fn fill(&self, table: &mut TomlTable, values: &Json, order: &[Ordered], path: &str) {
        let Some(fields) = values.as_object() else { return };
        for (key, value, below) in in_order(fields, order) {
            let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            if let Some(inner) = value.as_object() {
                let mut nested = TomlTable::new();
                // Only tables in it: its own header says nothing.
                nested.set_implicit(!inner.is_empty() && inner.values().all(Json::is_object));
                self.fill(&mut nested, value, below, &path);
                table.insert(key, Item::Table(nested));
            } else if let Some(mut value) = self.value(value, &path) {
                if let Some(place) = self.tree.origins.get(&path).filter(|_| self.origins) {
                    let place = place.replace(char::is_control, "?");
                    value.decor_mut().set_suffix(format!("  # {place}"));
                }
                table.insert_formatted(&Key::new(key), Item::Value(value));
            }
        }
    }

    /// TOML has no null, so none was read.
    fn value(&self, json: &Json, path: &str) -> Option<toml_edit::Value> {
        let literal = self.tree.literals.get(path).and_then(|literal| literal.parse().ok());
        literal.or_else(|| edit::value_of(json).ok())
    }
}

/// As they were written; what nobody knows that of, by name after it, values before tables.
fn in_order<'a>(
    fields: &'a Map<String, Json>,
    order: &'a [Ordered],
) -> Vec<(&'a str, &'a Json, &'a [Ordered])> {
    let known = order.iter().filter_map(|one| {
        let (key, value) = fields.get_key_value(one.key())?;
        Some((key.as_str(), value, one.below()))
    });
    let mut entries: Vec<_> = known.collect();
    if entries.len() < fields.len() {
        let is_known = |key: &str| order.iter().any(|one| one.key() == key);
        let mut others: Vec<_> = fields.iter().filter(|(key, _)| !is_known(key)).collect();
        others.sort_by_key(|(_, value)| value.is_object());
        entries.extend(others.into_iter().map(|(key, value)| (key.as_str(), value, [].as_slice())));
    }
    entries
}

/// The TOML of a value that JSON has no word for; `None` of others.
pub(super) fn literal(node: &Node) -> Option<String> {
    is_beyond_json(node).then(|| value_of(node).to_string())
}

fn is_beyond_json(node: &Node) -> bool {
    match &node.value {
        Value::Time(_) => true,
        Value::Float(float) => !float.is_finite(),
        Value::List(items) => items.iter().any(is_beyond_json),
        Value::Table(table) => table.values().any(is_beyond_json),
        Value::Boolean(_) | Value::Integer(_) | Value::Text(_) => false,
    }
}

fn value_of(node: &Node) -> toml_edit::Value {
    match &node.value {
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Integer(integer) => (*integer).into(),
        Value::Float(float) => (*float).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Time(time) => {
            time.parse::<toml_edit::Datetime>().map_or_else(|_| time.as_str().into(), Into::into)
        }
        Value::List(items) => items.iter().map(value_of).collect::<Array>().into(),
        Value::Table(table) => {
            let entries = table.iter().map(|(key, node)| (key.as_str(), value_of(node)));
            entries.collect::<InlineTable>().into()
        }
    }
}
