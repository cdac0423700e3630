//! Secrets that the configuration in force writes out.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStringExt as _;

use crate::cli::configuration::Configuration;
use crate::config::mask::mask;
use crate::config::tree::{Node, Table, Value};
use crate::model::secret::pieces;

/// What its files say.
#[derive(Debug, Default)]
pub struct Configured {
    /// Everything that is masked where the configuration is shown.
    pub values: BTreeSet<Vec<u8>>,
    /// What variables get from it, by the name; of several with one name the first.
    pub variables: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Configured {
    /// Of these files; what cannot be read says nothing.
    pub fn of(configuration: &Configuration) -> Self {
        let loaded = configuration.loaded();
        let mut all = Self::default();
        for table in loaded.trees.iter().chain([&loaded.merged]) {
            all.take_table(table, &mask(table));
        }
        all
    }

    fn take_table(&mut self, table: &Table, masked: &Table) {
        for (key, node) in table {
            if let Some(shown) = masked.get(key) {
                self.take(key, node, shown);
            }
        }
    }

    fn take(&mut self, key: &str, node: &Node, shown: &Node) {
        match (&node.value, &shown.value) {
            (Value::Table(table), Value::Table(masked)) => {
                let text = |name: &str| table.get(name).and_then(Node::text);
                let literal = text("value").map(|value| value.as_bytes().to_vec());
                let source = || std::env::var_os(text("env")?).map(std::ffi::OsString::into_vec);
                if let Some(value) = literal.or_else(source) {
                    self.variables.entry(key.as_bytes().to_vec()).or_insert(value);
                }
                self.take_table(table, masked);
            }
            (Value::List(items), Value::List(masked)) => {
                for (item, shown) in items.iter().zip(masked) {
                    self.take("", item, shown);
                }
            }
            (Value::Text(text), Value::Text(shown)) => {
                let variable = self.variables.entry(key.as_bytes().to_vec());
                variable.or_insert_with(|| text.as_bytes().to_vec());
                self.values.extend(pieces(shown.as_bytes(), text.as_bytes()));
            }
            // A number under the name of a secret.
            (Value::Integer(_) | Value::Float(_), Value::Text(_)) => {
                let text = node.to_json().to_string().into_bytes();
                self.variables.entry(key.as_bytes().to_vec()).or_insert_with(|| text.clone());
                self.values.insert(text);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::load_bytes;

    #[test]
    fn what_is_masked_is_known_with_the_variable_that_gets_it() {
        let text = "[jobs.a]\ncommand = [\"x\", \"--token\", \"t1\"]\n[jobs.a.environment]\n\
             NOTE = { value = \"n1\", secret = true }\nPASSWORD = 12345678\n\
             URL = \"https://u:p1@h\"\nPLAIN = \"x\"\n";
        let table = load_bytes("jr.toml", text.into(), None).merged;
        let mut found = Configured::default();
        found.take_table(&table, &mask(&table));
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let values: Vec<String> = found.values.iter().map(text).collect();
        assert_eq!(values, ["12345678", "n1", "p1", "t1"]);
        let of = |name: &str| found.variables.get(name.as_bytes()).map(text);
        assert_eq!(of("NOTE").as_deref(), Some("n1"));
        assert_eq!(of("URL").as_deref(), Some("https://u:p1@h"));
        assert_eq!(of("PLAIN").as_deref(), Some("x"));
    }
}
