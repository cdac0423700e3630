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
        Value::Integer(integer) if is_secret(key, &integer.to_string()) => {
            Value::Text(MARKER.to_owned())
        }
        Value::Float(float) if is_secret(key, &float.to_string()) => Value::Text(MARKER.to_owned()),
        other => other.clone(),
    };
    Node { value, origin: node.origin.clone() }
}

/// `{ value = "…", secret = true }`, or the same under a name that says so.
fn table_of(key: &str, table: &Table) -> Table {
    let mut out = mask(table);
    let says = table.get("secret").is_some_and(|node| node.value == Value::Boolean(true));
    if let Some(Node { value: Value::Text(value), .. }) = out.get_mut("value")
        && (says || is_secret(key, value))
    {
        MARKER.clone_into(value);
    }
    out
}

/// Words of a command tell what the next one is.
fn list_of(items: &[Node]) -> Vec<Node> {
    let all: Option<Vec<ByteString>> = items.iter().map(|item| Some(item.text()?.into())).collect();
    let Some(words) = all else { return items.iter().map(|item| node_of("", item)).collect() };
    let (_, masked) = mask_words(words);
    let text = |(item, word): (&Node, ByteString)| Node {
        value: Value::Text(word.to_text()),
        origin: item.origin.clone(),
    };
    items.iter().zip(masked).map(text).collect()
}

/// Words, and as they may be shown. They may be the arguments of a command without its name.
pub(super) fn mask_words(words: Vec<ByteString>) -> (Vec<ByteString>, Vec<ByteString>) {
    let is_without = words.first().is_some_and(|word| word.as_bytes().first() == Some(&b'-'));
    let name = is_without.then(ByteString::default);
    let command = name.into_iter().chain(words.iter().cloned()).collect();
    let mut masked = secret::mask_command(command).values;
    masked.drain(..usize::from(is_without));
    (words, masked)
}

/// Keys of ours whose name sounds like a secret, and whose value is none: a path, and the name of a
/// method.
const NO_SECRETS: [&str; 2] = ["ssh_key", "auth_method"];

/// Whether a value of that key is one whatever it looks like.
pub(super) fn is_secret(key: &str, value: &str) -> bool {
    !NO_SECRETS.contains(&key) && secret::is_secret(key.as_bytes(), value.as_bytes())
}

/// A text as it may be shown: a marker stands for what the key's name or the form tells to be
/// secret.
pub fn text_of(key: &str, text: &str) -> String {
    if NO_SECRETS.contains(&key) {
        return secret::mask_line(text.into()).values.to_text();
    }
    let pair = vec![(ByteString::from(key), ByteString::from(text))];
    let by_name = secret::mask_variables(pair).values.remove(0).1;
    let line = secret::mask_line(by_name).values;
    line.to_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_and_a_count_are_no_secrets() {
        for (key, text) in [
            ("auth_method", "scram-sha-256"),
            ("ssh_key", "~/.ssh/id"),
            ("MAX_TOKENS", "4096"),
            ("LLM_MAX_TOKENS", "4096"),
        ] {
            assert_eq!(text_of(key, text), text);
        }
        for (key, text) in [
            ("MAX_TOKENS", "hunter2"),
            ("MAX_TOKENS", "12345678"),
            ("TOKENS", "4096"),
            ("MAX_TOKEN", "4096"),
            ("MAX_TOKENS_KEY", "4096"),
            ("auth", "scram-sha-256"),
        ] {
            assert_eq!(text_of(key, text), MARKER, "{key}");
        }
        assert_eq!(text_of("auth_method", "password=hunter2"), "password=[secret]");
    }

    #[test]
    fn arguments_alone_are_masked_as_those_of_a_command() {
        let shown = |words: &[&str]| {
            let words = words.iter().map(|word| ByteString::from(*word)).collect();
            mask_words(words).1.iter().map(ByteString::to_text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(&["--password", "hunter2", "x"]), "--password [secret] x");
        assert_eq!(shown(&["a", "--password", "hunter2"]), "a --password [secret]");
        assert_eq!(shown(&["sh", "-c", "TOKEN=x y"]), "sh -c TOKEN=[secret] y");
        assert_eq!(shown(&[]), "");
    }
}
