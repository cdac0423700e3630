//! TOML bytes become a tree; all that is wrong with them is told at once.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::source::Origin;
use super::tree::{Node, Table, Value};
use crate::limits;

/// UTF-8's byte order mark.
const BOM: &str = "\u{feff}";

/// The text of a file, without a byte order mark.
///
/// # Errors
/// It is too large, or not UTF-8: where.
pub fn text(source: usize, bytes: &[u8]) -> Result<String, Problem> {
    if bytes.len() > limits::CONFIG_BYTES {
        let message = format!("more than {} bytes", limits::CONFIG_BYTES);
        return Err(Problem::error("too_large", message).at(source, 0..0));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix(BOM).unwrap_or(text).to_owned()),
        Err(error) => {
            let good = error.valid_up_to();
            let message = format!("not UTF-8: {:#04x}, byte {good} of the file", bytes[good]);
            // As in the text that is shown of it.
            let place = good - if bytes.starts_with(BOM.as_bytes()) { BOM.len() } else { 0 };
            Err(Problem::error("not_utf8", message).at(source, place..place))
        }
    }
}

/// What can be shown of bytes that are no text; nothing of what is too large.
pub fn lossy(bytes: &[u8]) -> String {
    if bytes.len() > limits::CONFIG_BYTES {
        return String::new();
    }
    let text = String::from_utf8_lossy(bytes);
    text.strip_prefix(BOM).unwrap_or(&text).to_owned()
}

/// The tree of a text. Where it has mistakes of syntax, they are told and the tree is empty.
pub fn parse(source: usize, text: &str, problems: &mut Vec<Problem>) -> Table {
    let (table, errors) = DeTable::parse_recoverable(text);
    let before = problems.len();
    // A text may have a mistake a byte, of a few kinds: each kind is put into words once.
    let mut kinds: BTreeMap<&str, Problem> = BTreeMap::new();
    problems.extend(errors.iter().map(|error| {
        let kind = kinds.entry(error.message());
        let kind = kind
            .or_insert_with_key(|message| Problem::error("syntax", message.replace('\n', ", ")));
        kind.clone().at(source, error.span().unwrap_or(0..0))
    }));
    let mut builder = Builder { source, problems };
    let tree = builder.table(table.get_ref(), 1);
    if problems.len() > before { Table::new() } else { tree }
}

struct Builder<'a> {
    source: usize,
    problems: &'a mut Vec<Problem>,
}

impl Builder<'_> {
    fn table(&mut self, table: &DeTable<'_>, depth: usize) -> Table {
        let mut out = Table::new();
        for (key, value) in table {
            let node = self.node(key.span(), value, depth);
            if let Some(node) = node {
                out.insert(key.get_ref().to_string(), node);
            }
        }
        out
    }

    fn node(
        &mut self,
        key: Range<usize>,
        value: &Spanned<DeValue<'_>>,
        depth: usize,
    ) -> Option<Node> {
        let span = value.span();
        let origin = Origin::new(self.source, key.clone(), span.clone());
        if depth > limits::CONFIG_DEPTH {
            let message = format!("nested deeper than {} levels", limits::CONFIG_DEPTH);
            self.problems.push(Problem::error("too_deep", message).at(self.source, key));
            return None;
        }
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Datetime(time) => Value::Time(time.to_string()),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(integer.as_str(), integer.radix()) {
                    Ok(integer) => Value::Integer(integer),
                    Err(_) => return self.bad_number(span, "an integer of 64 bits"),
                }
            }
            DeValue::Float(float) => match float.as_str().parse() {
                Ok(float) => Value::Float(float),
                Err(_) => return self.bad_number(span, "a number"),
            },
            DeValue::Array(items) => {
                let nodes = items.iter().filter_map(|item| self.node(item.span(), item, depth + 1));
                Value::List(nodes.collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table, depth + 1)),
        };
        Some(Node { value, origin })
    }

    fn bad_number(&mut self, span: Range<usize>, wanted: &str) -> Option<Node> {
        let problem = Problem::error("bad_number", format!("this is not {wanted}"));
        self.problems.push(problem.at(self.source, span));
        None
    }
}
