//! Fields of progress in a line of output: `key=[value]`, or a JSON object with the same keys.
//!
//! Keys are those of runtools: `operation`, `scope`, `completed`, `total`, `unit`, `result`,
//! `failed` and `event`, in any case, also behind `runtools.track.`. A value stands in `[…]`,
//! `(…)` or `<…>`: what else has the form `key=value` is a log line like any other.

use memchr::{memchr, memchr_iter, memmem};
use serde_json::Value;

/// Before each key in newer versions of runtools.
const PREFIX: &str = "runtools.track.";
/// A longer line of JSON is no progress.
const JSON_BYTES: usize = 8 << 10;
/// A longer key is none: how far one is looked for stays bounded, whatever a line is made of.
const KEY_BYTES: usize = 64;
/// The same of a value.
const VALUE_BYTES: usize = 1 << 10;
/// Digits of a number, sign and exponent included.
const NUMBER_BYTES: usize = 40;
/// No count is larger: up to here a float has every integer.
const COUNT_MAX: f64 = 9_007_199_254_740_991.0;
/// Characters of a name or unit.
const NAME_CHARS: usize = 100;
/// Characters of a message.
const MESSAGE_CHARS: usize = 200;

/// A count as a line says it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Count {
    /// So many.
    At(f64),
    /// So many more.
    More(f64),
}

/// What one line says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    pub(super) operation: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) completed: Option<Count>,
    pub(super) total: Option<f64>,
    pub(super) unit: Option<String>,
    pub(super) result: Option<String>,
    pub(super) failed: Option<String>,
    pub(super) event: Option<String>,
}

impl Fields {
    /// Of a line with `key=[value]` in it.
    pub(super) fn of_pairs(line: &[u8]) -> Self {
        let mut fields = Self::default();
        for place in memchr_iter(b'=', line) {
            if let Some(value) = bracketed(&line[place + 1..]) {
                let before = &line[place.saturating_sub(KEY_BYTES)..place];
                let start = before.iter().rposition(|byte| is_gap(*byte)).map_or(0, |gap| gap + 1);
                fields.set(&before[start..], &String::from_utf8_lossy(value));
            }
        }
        fields
    }

    /// Of a line that is one JSON object with a count: other objects are log lines.
    pub(super) fn of_json(line: &[u8]) -> Option<Self> {
        let line = line.trim_ascii();
        let has = |key: &[u8]| memmem::find(line, key).is_some();
        let may_count = line.len() <= JSON_BYTES && line.ends_with(b"}");
        if !may_count || !(has(b"\"completed\"") || has(b"\"total\"")) {
            return None;
        }
        let Ok(Value::Object(object)) = serde_json::from_slice(line) else { return None };
        let mut fields = Self::default();
        for (key, value) in &object {
            match value {
                Value::String(value) => fields.set(key.as_bytes(), value),
                Value::Number(value) => fields.set(key.as_bytes(), &value.to_string()),
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {}
            }
        }
        (fields.completed.is_some() || fields.total.is_some()).then_some(fields)
    }

    fn set(&mut self, key: &[u8], value: &str) {
        let value = value.trim();
        let Ok(key) = std::str::from_utf8(key) else { return };
        let key = key.to_ascii_lowercase();
        let name = || Some(cut(value, NAME_CHARS)).filter(|value| !value.is_empty());
        let message = || Some(cut(value, MESSAGE_CHARS)).filter(|value| !value.is_empty());
        match key.strip_prefix(PREFIX).unwrap_or(&key) {
            "operation" => self.operation = name().or(self.operation.take()),
            "scope" => self.scope = name().or(self.scope.take()),
            "unit" => self.unit = name().or(self.unit.take()),
            "completed" => self.completed = count(value).or(self.completed),
            "total" => self.total = number(value).or(self.total),
            "result" => self.result = message().or(self.result.take()),
            "failed" => self.failed = message().or(self.failed.take()),
            "event" => self.event = message().or(self.event.take()),
            _ => {}
        }
    }
}

/// What stands before a key: blanks, control characters and what ends a control sequence (ST).
fn is_gap(byte: u8) -> bool {
    byte.is_ascii_control() || b" ,;\\".contains(&byte)
}

/// What stands in the brackets that the text begins with; not in several of a kind.
fn bracketed(text: &[u8]) -> Option<&[u8]> {
    let open = *text.first()?;
    let close = match open {
        b'[' => b']',
        b'(' => b')',
        b'<' => b'>',
        _ => return None,
    };
    let text = &text[1..text.len().min(VALUE_BYTES)];
    let value = &text[..memchr(close, text)?];
    (memchr(open, value).is_none()).then_some(value)
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

fn count(text: &str) -> Option<Count> {
    match text.strip_prefix('+') {
        Some(more) => number(more).map(Count::More),
        None => number(text).map(Count::At),
    }
}

/// Nothing that is negative, endless, no number or beyond counting.
fn number(text: &str) -> Option<f64> {
    let is_plain = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
    if text.starts_with('+') || text.len() > NUMBER_BYTES || !text.bytes().all(is_plain) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    // -0 is 0.
    (0.0..=COUNT_MAX).contains(&number).then_some(number + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(line: &str) -> Fields {
        Fields::of_pairs(line.as_bytes())
    }

    #[test]
    fn pairs_are_read_as_runtools_reads_them() {
        let fields = pairs("completed=[3] total=[10] operation=[load]");
        assert_eq!(fields.operation.as_deref(), Some("load"));
        assert_eq!((fields.completed, fields.total), (Some(Count::At(3.0)), Some(10.0)));
        let fields = pairs("12:00 INFO Unit=(files), OPERATION=<two words> result=[all is well]");
        assert_eq!(fields.operation.as_deref(), Some("two words"));
        assert_eq!(fields.unit.as_deref(), Some("files"));
        assert_eq!(fields.result.as_deref(), Some("all is well"));
        let fields = pairs("runtools.track.completed=[+2] runtools.track.scope=[db]");
        assert_eq!(
            (fields.completed, fields.scope.as_deref()),
            (Some(Count::More(2.0)), Some("db"))
        );
        assert_eq!(pairs("event=[a] event=[b]").event.as_deref(), Some("b"), "the last one counts");
    }

    #[test]
    fn what_is_no_pair_says_nothing() {
        for line in [
            "",
            "=",
            "=[3]",
            "completed=3 total=10 operation=load",
            "completed = [3]",
            "completed=[3",
            "completed=3]",
            "completed=[]",
            "completed=[ ]",
            "completed=[[3]]",
            "f(completed=[3])",
            "xcompleted=[3]",
            "completed=[3)",
            "completed=[three] total=[ten]",
            "operation=[]",
        ] {
            assert_eq!(pairs(line), Fields::default(), "{line}");
        }
    }

    #[test]
    fn only_what_can_be_counted_is_a_number() {
        for text in [
            "NaN",
            "nan",
            "inf",
            "-inf",
            "infinity",
            "-1",
            "1e400",
            "9007199254740993e9",
            "0x10",
            "1_000",
            "1 2",
            "1,5",
            "--1",
            "++1",
            "",
            ".",
            "e",
            "1e",
        ] {
            assert_eq!(count(text), None, "{text}");
        }
        assert_eq!(count(&"9".repeat(41)), None);
        assert_eq!(number("-0").map(f64::is_sign_positive), Some(true));
        for (text, value) in [("0", 0.0), ("3.5", 3.5), ("1e3", 1_000.0), ("007", 7.0)] {
            assert_eq!(number(text), Some(value), "{text}");
        }
        assert_eq!(count("+0.5"), Some(Count::More(0.5)));
    }

    #[test]
    fn json_counts_or_is_a_log_line() {
        let of = |line: &str| Fields::of_json(line.as_bytes());
        let fields = of(r#" {"Operation":"load","completed":3,"total":"10","unit":"rows"} "#);
        let fields = fields.expect("progress");
        assert_eq!(fields.operation.as_deref(), Some("load"));
        assert_eq!((fields.completed, fields.total), (Some(Count::At(3.0)), Some(10.0)));
        assert_eq!(
            of(r#"{"completed":"+1","operation":"x"}"#).expect("progress").completed,
            Some(Count::More(1.0))
        );
        for line in [
            r#"{"event":"request","operation":"GET /"}"#,
            r#"{"completed":true}"#,
            r#"{"completed":null,"total":[1]}"#,
            r#"{"completed":-3}"#,
            r#"{"completed":1e999}"#,
            r#"{"completed":3"#,
            r#"{"completed":3}}"#,
            r#"["completed"]"#,
            "{}",
            "}",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
        let deep = format!("{{\"completed\":{}3{}}}", "[".repeat(4_000), "]".repeat(4_000));
        assert_eq!(of(&deep), None);
        let long = format!("{{\"completed\":3,\"x\":\"{}\"}}", "x".repeat(JSON_BYTES));
        assert_eq!(of(&long), None);
    }

    #[test]
    fn texts_are_bounded() {
        let fields = pairs(&format!("operation=[{0}] event=[{0}]", "ä".repeat(400)));
        assert_eq!(fields.operation.map(|text| text.chars().count()), Some(NAME_CHARS));
        assert_eq!(fields.event.map(|text| text.chars().count()), Some(MESSAGE_CHARS));
    }
}
