//! A configuration as it may be shown and stored: secrets are markers (law 9).

use super::tree::{Node, Table, Value};
use crate::model::ByteString;
use crate::model::secret::{self, MARKER};

/// A tree without the values that are, or look, secret.
#[must_use]
pub fn mask(table: &Table) -> Table {
    table.iter().map(|(key, node)| (key.clone(), node_of(key, node))).collect()
}

fn node_of(key: &str, node: &Node) -> Node {
    let value = match &node.value {
        Value::Table(table) => Value::Table(table_of(key, table)),
        Value::List(items) => Value::List(list_of(items)),
        Value::Text(text) => Value::Text(text_of(key, text)),
        Value::Integer(_) | Value::Float(_) if secret::is_secret_name(key.as_bytes()) => {
            Value::Text(MARKER.to_owned())
        }
        other => other.clone(),
    };
    Node { value, origin: node.origin.clone() }
}

/// `{ value = "…", secret = true }`, or the same under a name that says so.
fn table_of(key: &str, table: &Table) -> Table {
    let mut out = mask(table);
    let says = table.get("secret").is_some_and(|node| node.value == Value::Boolean(true));
    if (says || secret::is_secret_name(key.as_bytes()))
        && let Some(Node { value: Value::Text(value), .. }) = out.get_mut("value")
    {
        MARKER.clone_into(value);
    }
    out
}

/// Words of a command tell what the next one is.
fn list_of(items: &[Node]) -> Vec<Node> {
    let all: Option<Vec<ByteString>> = items.iter().map(|item| Some(item.text()?.into())).collect();
    let Some(words) = all else { return items.iter().map(|item| node_of("", item)).collect() };
    let masked = secret::mask_command(words).values;
    let text = |(item, word): (&Node, ByteString)| Node {
        value: Value::Text(word.to_text()),
        origin: item.origin.clone(),
    };
    items.iter().zip(masked).map(text).collect()
}

/// Keys whose name sounds like a secret, and whose value is none: a path.
const NO_SECRETS: [&str; 1] = ["ssh_key"];

fn text_of(key: &str, text: &str) -> String {
    if NO_SECRETS.contains(&key) {
        return text.to_owned();
    }
    let pair = vec![(ByteString::from(key), ByteString::from(text))];
    let by_name = secret::mask_variables(pair).values.remove(0).1;
    let line = secret::mask_line(by_name).values;
    line.to_text()
}
