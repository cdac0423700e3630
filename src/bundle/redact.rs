//! Takes out of output and facts what looks secret, and values that are known to be.
//!
//! What is taken out is replaced by as many bytes: places in a stream mean what they meant.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::layout::Redaction;
use crate::model::secret::MARKER;
use crate::model::secret::spans::{self, is_secret_name};

/// A shorter value is too likely to be found where it means something else.
const LEAST: usize = 6;
/// Of the automaton that searches for all values at once.
const AUTOMATON_BYTES: usize = 256 << 20;

const HEX: [&str; 16] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"];

/// Takes what was found of one kind into a report.
fn count(report: &mut Vec<Redaction>, found: Vec<Redaction>) {
    for item in found {
        let same = |known: &&mut Redaction| known.found_by == item.found_by;
        match report.iter_mut().find(same) {
            Some(known) => {
                known.count += item.count;
                known.bytes += item.bytes;
            }
            None => report.push(item),
        }
    }
}

/// Looks for what must not be shown.
#[derive(Debug)]
pub struct Redactor {
    values: Option<Regex>,
}

impl Redactor {
    /// For these values, in every form that a program might print them in.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut needles: Vec<Vec<u8>> = values.into_iter().flat_map(forms).collect();
        // The longest first: what is contained in another value is not left over.
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        let words: Vec<String> = needles.iter().map(|needle| literal(needle)).collect();
        let pattern = words.join("|");
        let values = (!pattern.is_empty()).then(|| {
            RegexBuilder::new(&pattern).unicode(false).size_limit(AUTOMATON_BYTES).build()
        });
        Self { values: values.and_then(Result::ok) }
    }

    /// Overwrites what is found; says what, for the report on `member`.
    pub fn redact(&self, member: &str, bytes: &mut [u8]) -> Vec<Redaction> {
        let by_value = match &self.values {
            Some(values) => values.find_iter(bytes).map(|found| found.range()).collect(),
            None => Vec::new(),
        };
        let by_value = overwrite(member, "value", by_value, bytes);
        let by_pattern = overwrite(member, "pattern", spans::of_output(bytes), bytes);
        by_value.into_iter().chain(by_pattern).collect()
    }

    /// The same in a document: texts below a secret's name, and what is found in any other text.
    pub fn redact_document(&self, member: &str, document: &mut Value) -> Vec<Redaction> {
        let mut report = Vec::new();
        self.walk(member, false, document, &mut report);
        report
    }

    fn walk(&self, member: &str, is_secret: bool, value: &mut Value, report: &mut Vec<Redaction>) {
        match value {
            Value::String(text) if is_secret && !text.is_empty() && text != MARKER => {
                let (member, found_by) = (member.to_owned(), "pattern".to_owned());
                let bytes = text.len() as u64;
                count(report, vec![Redaction { member, found_by, count: 1, bytes }]);
                MARKER.clone_into(text);
            }
            Value::String(text) => {
                let mut bytes = std::mem::take(text).into_bytes();
                count(report, self.redact(member, &mut bytes));
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            Value::Array(items) => {
                for item in items {
                    self.walk(member, is_secret, item, report);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let is_secret = is_secret || is_secret_name(name.as_bytes());
                    self.walk(member, is_secret, field, report);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn overwrite(
    member: &str,
    found_by: &str,
    spans: Vec<Range<usize>>,
    bytes: &mut [u8],
) -> Option<Redaction> {
    let (mut count, mut taken, mut end) = (0, 0, 0);
    for span in spans {
        let span = span.start.max(end)..span.end;
        if span.is_empty() || is_marker(&bytes[span.clone()]) {
            continue;
        }
        end = span.end;
        count += 1;
        taken += span.len() as u64;
        fill(&mut bytes[span]);
    }
    let (member, found_by) = (member.to_owned(), found_by.to_owned());
    (count > 0).then_some(Redaction { member, found_by, count, bytes: taken })
}

/// A pattern that matches these bytes and nothing else.
fn literal(bytes: &[u8]) -> String {
    let mut pattern = String::with_capacity(bytes.len() * 4);
    for byte in bytes {
        for part in ["\\x", HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]] {
            pattern.push_str(part);
        }
    }
    pattern
}

/// Whether there is nothing to take out any more.
fn is_marker(bytes: &[u8]) -> bool {
    let rest = bytes.strip_prefix(MARKER.as_bytes()).unwrap_or(bytes);
    rest.iter().all(|byte| *byte == b'*')
}

/// The marker, and stars for the rest.
fn fill(bytes: &mut [u8]) {
    bytes.fill(b'*');
    if let Some(begin) = bytes.get_mut(..MARKER.len()) {
        begin.copy_from_slice(MARKER.as_bytes());
    }
}

/// A value as it is, in base64 at any offset, in hexadecimal, escaped for URLs, in UTF-16.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    if value.len() < LEAST {
        return Vec::new();
    }
    let mut forms = vec![value.to_vec()];
    for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
        let hex = |byte: &u8| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]];
        forms.push(value.iter().flat_map(hex).collect());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    for upper in [true, false] {
        let escape = |byte: &u8| match byte {
            byte if is_plain(*byte) => vec![*byte],
            byte if upper => format!("%{byte:02X}").into_bytes(),
            byte => format!("%{byte:02x}").into_bytes(),
        };
        forms.push(value.iter().flat_map(escape).collect());
    }
    if let Ok(text) = std::str::from_utf8(value) {
        forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        forms.push(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
    for alphabet in [b"+/", b"-_"] {
        forms.extend((0..3).map(|offset| base64(value, offset, *alphabet)));
    }
    forms.retain(|form| form.len() >= LEAST);
    forms
}

/// Those characters of a base64 text that follow from `value` alone, where it begins `offset` bytes
/// after a multiple of three (RFC 4648).
fn base64(value: &[u8], offset: usize, last_two: [u8; 2]) -> Vec<u8> {
    let digit = |number: u8| match number {
        0..=25 => b'A' + number,
        26..=51 => b'a' + (number - 26),
        52..=61 => b'0' + (number - 52),
        62 => last_two[0],
        _ => last_two[1],
    };
    let bit = |place: usize| (value[place / 8] >> (7 - place % 8)) & 1;
    // The first digit that has no bit of what is before the value.
    let first = (6 - offset * 8 % 6) % 6;
    let digits = (value.len() * 8 - first) / 6;
    let number = |at: usize| (0..6).fold(0, |sum, place| sum << 1 | bit(first + at * 6 + place));
    (0..digits).map(|at| digit(number(at))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &[u8] = b"c4nary/+value~42";

    fn redacted(text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        Redactor::new([CANARY]).redact("x", &mut bytes);
        assert_eq!(bytes.len(), text.len());
        bytes
    }

    #[test]
    fn a_value_is_found_in_every_form() {
        let hex = literal(CANARY).replace("\\x", "");
        let utf16: Vec<u8> = "c4nary/+value~42".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for form in
            [CANARY, hex.as_bytes(), hex.to_uppercase().as_bytes(), &utf16, b"c4nary%2F%2Bvalue~42"]
        {
            let text = [b"before ", form, b" after"].concat();
            let found = redacted(&text);
            assert!(!found.windows(form.len()).any(|part| part == form), "{found:?}");
            assert!(found.starts_with(b"before ") && found.ends_with(b" after"));
        }
        // As `printf xc4nary… | base64` prints it, with nothing, one and two bytes before.
        for (text, kept) in [
            ("YzRuYXJ5Lyt2YWx1ZX40Mg==", "YzRuYXJ5Lyt2YWx1ZX40M"),
            ("eGM0bmFyeS8rdmFsdWV+NDI=", "M0bmFyeS8rdmFsdWV+NDI"),
            ("eHhjNG5hcnkvK3ZhbHVlfjQy", "jNG5hcnkvK3ZhbHVlfjQy"),
        ] {
            let found = redacted(text.as_bytes());
            assert!(
                !String::from_utf8_lossy(&found).contains(kept),
                "{}",
                String::from_utf8_lossy(&found)
            );
        }
    }

    #[test]
    fn a_document_stays_one_and_has_no_secret_however_deep() {
        let mut document = serde_json::json!({
            "secrets": {"a": ["x1", {"b": "y2"}], "count": 3},
            "note": "DB_PASSWORD=hunter22 and c4nary/+value~42",
            "plain": "monkey=banana",
        });
        let report = Redactor::new([CANARY]).redact_document("facts/x", &mut document);
        let expected = serde_json::json!({
            "secrets": {"a": ["[secret]", {"b": "[secret]"}], "count": 3},
            "note": "DB_PASSWORD=[secret] and [secret]********",
            "plain": "monkey=banana",
        });
        assert_eq!(document, expected);
        let counts: Vec<_> = report.iter().map(|item| (&*item.found_by, item.count)).collect();
        assert_eq!(counts, [("value", 1), ("pattern", 3)]);
    }

    #[test]
    fn nothing_else_is_altered_and_it_is_reported() {
        let text = b"monkey=banana\nPASSWORD=hunter22 c4nary/+value~42\n";
        let mut bytes = text.to_vec();
        let report = Redactor::new([CANARY, &b"short"[..]]).redact("output/x", &mut bytes);
        assert_eq!(bytes, b"monkey=banana\nPASSWORD=[secret] [secret]********\n");
        let counts: Vec<_> =
            report.iter().map(|item| (&*item.found_by, item.count, item.bytes)).collect();
        assert_eq!(counts, [("value", 1, 16), ("pattern", 1, 8)]);
        assert_eq!(Redactor::new([CANARY]).redact("x", &mut bytes), [], "twice changes nothing");
        assert_eq!(Redactor::new([]).redact("x", &mut b"plain".to_vec()), []);
    }
}
