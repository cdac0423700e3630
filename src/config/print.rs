//! A tree as TOML: what is printed can be read back and gives the same.

use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Key, Table as TomlTable};

use super::document::Document;
use super::edit;
use super::source::{Origin, Source, place_of};
use super::tree::{Node, Table, Value};

/// How it is printed.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// Behind each value, where it was written.
    pub origins: Option<&'a [Source]>,
}

/// One environment: `[[environment]]`, its id first.
pub fn environment(id: &str, tree: &Table, style: Style<'_>) -> String {
    let mut table = TomlTable::new();
    table.insert("id", toml_edit::value(id));
    fill(&mut table, tree, style);
    let mut list = ArrayOfTables::new();
    list.push(table);
    let mut document = DocumentMut::new();
    document.insert("environment", Item::ArrayOfTables(list));
    document.to_string()
}

/// A whole file.
pub fn file(tree: &Table, style: Style<'_>) -> String {
    let mut document = DocumentMut::new();
    fill(document.as_table_mut(), tree, style);
    document.to_string()
}

/// Values before tables: what stands below a header is part of that table.
fn fill(table: &mut TomlTable, tree: &Table, style: Style<'_>) {
    let mut entries: Vec<(&String, &Node)> = tree.iter().collect();
    entries.sort_by_key(|(_, node)| {
        (node.table().is_some(), node.origin.source, node.origin.key.start)
    });
    for (key, node) in entries {
        if let Value::Table(inner) = &node.value {
            let mut below = TomlTable::new();
            // Only tables in it: its own header says nothing.
            below.set_implicit(!inner.is_empty() && inner.values().all(|n| n.table().is_some()));
            fill(&mut below, inner, style);
            table.insert(key, Item::Table(below));
        } else {
            let mut value = value_of(node);
            if let Some(sources) = style.origins {
                value.decor_mut().set_suffix(comment(sources, &node.origin));
            }
            table.insert_formatted(&Key::new(key), Item::Value(value));
        }
    }
}

fn comment(sources: &[Source], origin: &Origin) -> String {
    let place = place_of(sources, origin).replace(char::is_control, "?");
    format!("  # {place}")
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

/// A resolution as it was stored.
pub fn stored(document: &Document, origins: bool) -> String {
    let mut table = TomlTable::new();
    table.insert("id", toml_edit::value(document.environment.as_str()));
    let place = |path: &str| document.origins.get(path).filter(|_| origins).cloned();
    fill_stored(&mut table, &document.values, "", &place);
    let mut list = ArrayOfTables::new();
    list.push(table);
    let mut out = DocumentMut::new();
    out.insert("environment", Item::ArrayOfTables(list));
    out.to_string()
}

fn fill_stored(
    table: &mut TomlTable,
    values: &serde_json::Value,
    path: &str,
    place: &impl Fn(&str) -> Option<String>,
) {
    let Some(fields) = values.as_object() else { return };
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(_, value)| value.is_object());
    for (key, value) in fields {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if value.is_object() {
            let mut below = TomlTable::new();
            fill_stored(&mut below, value, &path, place);
            table.insert(key, Item::Table(below));
            continue;
        }
        // TOML has no null, so none was read.
        let Ok(mut value) = edit::value_of(value) else { continue };
        if let Some(place) = place(&path) {
            value.decor_mut().set_suffix(format!("  # {}", place.replace(char::is_control, "?")));
        }
        table.insert_formatted(&Key::new(key), Item::Value(value));
    }
}
