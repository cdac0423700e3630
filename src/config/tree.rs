//! A file's values, each with the place where it was written.

use std::collections::BTreeMap;

use super::source::Origin;

/// Keys and values. Sorted: equal trees have equal bytes, whatever order they were written in.
pub type Table = BTreeMap<String, Node>;

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// What TOML has.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `true`.
    Boolean(bool),
    /// `1`.
    Integer(i64),
    /// `1.5`.
    Float(f64),
    /// `"text"`.
    Text(String),
    /// A date or a time, as written.
    Time(String),
    /// `[ … ]`.
    List(Vec<Node>),
    /// `{ … }`, `[table]`.
    Table(Table),
}

impl Value {
    /// What it is, for people.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::Time(_) => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Node {
    /// Its table.
    pub fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Its text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As JSON has it: times are text there.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Boolean(boolean) => (*boolean).into(),
            Value::Integer(integer) => (*integer).into(),
            Value::Float(float) => (*float).into(),
            Value::Text(text) | Value::Time(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect::<Vec<_>>().into(),
            Value::Table(table) => table_to_json(table),
        }
    }
}

/// As JSON has it.
pub fn table_to_json(table: &Table) -> serde_json::Value {
    let entries = table.iter().map(|(key, node)| (key.clone(), node.to_json()));
    serde_json::Value::Object(entries.collect())
}

/// The node behind a path of keys; a number is a place in a list.
pub fn find<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Node> {
    let (first, rest) = path.split_first()?;
    let mut node = table.get(*first)?;
    for step in rest {
        node = match &node.value {
            Value::Table(table) => table.get(*step)?,
            Value::List(items) => items.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(node)
}

/// Visits every value that is no table, with its path.
pub fn each_leaf<'a>(
    table: &'a Table,
    path: &mut Vec<String>,
    f: &mut impl FnMut(&[String], &'a Node),
) {
    for (key, node) in table {
        path.push(key.clone());
        match &node.value {
            Value::Table(table) if !table.is_empty() => each_leaf(table, path, f),
            _ => f(path, node),
        }
        path.pop();
    }
}
