//! Takes out of output and facts what looks secret, and values that are known to be.
//!
//! What is taken out is replaced by as many bytes: places in a stream mean what they meant.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

use super::layout::Redaction;
use crate::model::secret::spans::{self, is_secret_name};
use crate::model::secret::{LEAST_BYTES as LEAST, MARKER};

/// Letters mixed with digits are no word: down to this length they are looked for as they are,
/// where neither letter nor digit is beside them.
const LEAST_MIXED: usize = 4;
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
    /// Values and forms of them that are always the same bytes.
    fixed: Vec<Regex>,
    /// Values of which some characters may be escaped.
    escaped: Vec<Regex>,
    /// Forms that programs break into lines.
    wrapped: Vec<Regex>,
    /// Short values, found where they stand alone.
    short: Vec<Regex>,
    too_short: u64,
}

impl Redactor {
    /// For these values, in every form that a program might print them in.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values: Vec<&[u8]> = values.into_iter().filter(|it| !it.is_empty()).collect();
        // The longest first: what is contained in another value is not left over.
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        let long = values.iter().copied().filter(|value| value.len() >= LEAST);
        let short = values.iter().copied().filter(|value| value.len() < LEAST);
        let (mixed, too_short): (Vec<&[u8]>, Vec<&[u8]>) = short.partition(|it| is_mixed(it));
        let wrapped: Vec<Vec<u8>> = long.clone().flat_map(wrapped_forms).collect();
        let fixed = long.clone().flat_map(fixed_forms);
        let fixed = sorted(fixed.chain(wrapped.iter().cloned()));
        let plain = |value: &&[u8]| value.iter().all(u8::is_ascii_alphanumeric);
        let escaped: Vec<String> = long.filter(|value| !plain(value)).map(escaped_form).collect();
        let literals = |needles: &[Vec<u8>]| -> Vec<String> {
            needles.iter().map(|needle| literal(needle)).collect()
        };
        Self {
            fixed: searches(&literals(&fixed)),
            escaped: searches(&escaped),
            wrapped: searches(&literals(&sorted(wrapped))),
            short: searches(&mixed.iter().map(|value| literal(value)).collect::<Vec<_>>()),
            too_short: too_short.len() as u64,
        }
    }

    /// How many of the values are too short to be told from anything else.
    pub fn too_short(&self) -> u64 {
        self.too_short
    }

    /// Overwrites what is found; says what, for the report on `member`.
    pub fn redact(&self, member: &str, bytes: &mut [u8]) -> Vec<Redaction> {
        let by_value = overwrite(member, "value", self.values(bytes), bytes);
        let by_pattern = overwrite(member, "pattern", spans::of_output(bytes), bytes);
        by_value.into_iter().chain(by_pattern).collect()
    }

    /// Where the values are, ascending.
    fn values(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let mut spans = found(&self.fixed, bytes);
        spans.extend(found(&self.escaped, bytes));
        let short = found(&self.short, bytes);
        spans.extend(short.into_iter().filter(|span| stands_alone(bytes, span)));
        if !self.wrapped.is_empty() && bytes.contains(&b'\n') {
            let folded = Folded::of(bytes);
            let places = found(&self.wrapped, &folded.bytes);
            spans.extend(places.into_iter().map(|span| folded.original(&span)));
        }
        spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
        spans
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
        // The ends of lines stay.
        for line in bytes[span].split_mut(|byte| matches!(byte, b'\n' | b'\r')) {
            taken += line.len() as u64;
            fill(line);
        }
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

/// Letters and digits both, and long enough.
fn is_mixed(value: &[u8]) -> bool {
    value.len() >= LEAST_MIXED
        && value.iter().any(u8::is_ascii_alphabetic)
        && value.iter().any(u8::is_ascii_digit)
}

fn stands_alone(bytes: &[u8], span: &Range<usize>) -> bool {
    let before = span.start.checked_sub(1).and_then(|place| bytes.get(place));
    let after = bytes.get(span.end);
    ![before, after].into_iter().flatten().any(u8::is_ascii_alphanumeric)
}

/// The longest first, each once.
fn sorted(needles: impl IntoIterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let mut needles: Vec<Vec<u8>> = needles.into_iter().collect();
    needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    needles.dedup();
    needles
}

/// Automata that find these patterns: one, unless that became too large.
fn searches(patterns: &[String]) -> Vec<Regex> {
    if patterns.is_empty() {
        return Vec::new();
    }
    let mut builder = RegexBuilder::new(&patterns.join("|"));
    match builder.unicode(false).size_limit(AUTOMATON_BYTES).build() {
        Ok(search) => vec![search],
        Err(_) if patterns.len() > 1 => {
            let (these, those) = patterns.split_at(patterns.len() / 2);
            [searches(these), searches(those)].concat()
        }
        // A value is at most a few thousand bytes long, and its automaton some hundred times that.
        Err(_) => Vec::new(),
    }
}

fn found(searches: &[Regex], bytes: &[u8]) -> Vec<Range<usize>> {
    searches.iter().flat_map(|search| search.find_iter(bytes).map(|at| at.range())).collect()
}

/// A text without its line ends and what indents the next line.
struct Folded {
    bytes: Vec<u8>,
    /// Where something was left out, and how many bytes were up to there.
    breaks: Vec<(u32, u32)>,
}

impl Folded {
    /// `text` is at most some MiB long.
    fn of(text: &[u8]) -> Self {
        let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (mut bytes, mut breaks) = (Vec::with_capacity(text.len()), Vec::<(u32, u32)>::new());
        let mut is_indent = false;
        for (place, byte) in text.iter().enumerate() {
            is_indent = matches!(byte, b'\n' | b'\r') || is_indent && matches!(byte, b' ' | b'\t');
            if !is_indent {
                bytes.push(*byte);
                continue;
            }
            let (at, out) = (number(bytes.len()), number(place + 1 - bytes.len()));
            match breaks.last_mut().filter(|last| last.0 == at) {
                Some(last) => last.1 = out,
                None => breaks.push((at, out)),
            }
        }
        Self { bytes, breaks }
    }

    fn original(&self, span: &Range<usize>) -> Range<usize> {
        let place = |at: usize| {
            let after = self.breaks.partition_point(|(place, _)| *place as usize <= at);
            at + after.checked_sub(1).map_or(0, |last| self.breaks[last].1 as usize)
        };
        place(span.start)..place(span.end - 1) + 1
    }
}

/// A value as it is, and in UTF-16.
fn fixed_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec()];
    if let Ok(text) = std::str::from_utf8(value) {
        forms.push(text.encode_utf16().flat_map(u16::to_le_bytes).collect());
        forms.push(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
    forms
}

/// In hexadecimal, and in base64 at any offset: programs print them in lines of 60 or 76 bytes.
fn wrapped_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for digits in [b"0123456789abcdef", b"0123456789ABCDEF"] {
        let hex = |byte: &u8| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]];
        forms.push(value.iter().flat_map(hex).collect());
    }
    for alphabet in [b"+/", b"-_"] {
        forms.extend((0..3).map(|offset| base64(value, offset, *alphabet)));
    }
    forms.retain(|form| form.len() >= LEAST);
    forms
}

/// A pattern for a value as it stands in URLs, JSON, HTML, shell and source code: which of its
/// characters are escaped differs from program to program.
fn escaped_form(value: &[u8]) -> String {
    let mut pattern = String::new();
    for chunk in value.utf8_chunks() {
        chunk.valid().chars().for_each(|char| pattern.push_str(&escaped_char(char)));
        for byte in chunk.invalid() {
            let escaped = format!("(?:{}|{})", literal(&[*byte]), escaped_bytes(&[*byte]));
            pattern.push_str(&escaped);
        }
    }
    pattern
}

/// `%2f`, `\x2f`, of each byte.
fn escaped_bytes(bytes: &[u8]) -> String {
    let of = |before: &str| {
        let each = bytes.iter().map(|byte| format!("{before}(?i:{byte:02x})"));
        each.collect::<Vec<_>>().concat()
    };
    format!("{}|{}", of("%"), of(r"\\{1,3}x"))
}

fn escaped_char(char: char) -> String {
    let mut buffer = [0; 4];
    let bytes = char.encode_utf8(&mut buffer).as_bytes();
    if char.is_ascii_alphanumeric() {
        return literal(bytes);
    }
    let plain = literal(bytes);
    let mut ways = vec![plain.clone(), escaped_bytes(bytes)];
    let mut units = [0; 2];
    let units = char.encode_utf16(&mut units).iter();
    let units = units.map(|unit| format!(r"\\{{1,7}}u(?i:{unit:04x})"));
    ways.push(units.collect::<Vec<_>>().concat());
    ways.push(format!(r"\\{{1,3}}u\{{0{{0,4}}(?i:{:x})\}}", u32::from(char)));
    if char.is_ascii_punctuation() {
        ways.push(format!(r"\\{{1,8}}{plain}"));
    }
    // As JSON, HTML and POSIX shells have them.
    let own: &[&str] = match char {
        '\n' => &[r"\r?\n[ \t]*", r"\\{1,7}n", r"\\{1,7}r\\{1,7}n"],
        '\r' => &[r"\\{1,7}r"],
        '\t' => &[r"\\{1,7}t"],
        ' ' => &[r"\+"],
        '&' => &["&amp;"],
        '<' => &["&lt;"],
        '>' => &["&gt;"],
        '"' => &["&quot;", "&#34;", "(?i:&#x22;)"],
        '\'' => &["&#39;", "&apos;", "(?i:&#x27;)", r"'\\''", "'\"'\"'"],
        _ => &[],
    };
    ways.extend(own.iter().map(|way| (*way).to_owned()));
    format!("(?:{})", ways.join("|"))
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
    fn a_value_is_found_however_its_characters_are_escaped() {
        let value = "zQ/ab+cd \"e\\f\ng!hü'k";
        for form in [
            value,
            r#"zQ/ab+cd \"e\\f\ng!hü'k"#,
            r#"zQ\/ab+cd \"e\\f\ng!h\u00fc'k"#,
            r#"zQ/ab\u002Bcd \\\"e\\\\f\\ng!h\\u00FC'k"#,
            "zQ/ab%2Bcd%20%22e%5Cf%0Ag%21h%C3%BC%27k",
            "zQ%2fab%2bcd+%22e%5cf%0ag!h%c3%bc'k",
            "zQ/ab+cd &quot;e\\f\ng!hü&#x27;k",
            r#"zQ/ab+cd "e\\f\ng!h\xc3\xbc\'k"#,
            r#"zQ/ab+cd "e\\f\ng!h\u{fc}'k"#,
            "zQ/ab+cd \"e\\f\r\n  g!hü'\\''k",
        ] {
            let text = format!("before {form} after");
            let mut bytes = text.clone().into_bytes();
            let report = Redactor::new([value.as_bytes()]).redact("x", &mut bytes);
            let shown = String::from_utf8_lossy(&bytes);
            assert!(shown.starts_with("before [secret]") && shown.ends_with(" after"), "{shown}");
            assert!(!shown.contains("zQ") && !shown.contains("g!h"), "{shown}");
            assert_eq!((bytes.len(), report.len()), (text.len(), 1));
        }
    }

    #[test]
    fn a_value_is_found_across_the_lines_of_an_encoding() {
        // `printf 'p%.0s' …; printf c4nary… | base64` and `xxd -p`, which break lines.
        for text in [
            "cHBwcHBwcHBwcHBwcHBwcHBwYzRuYXJ5Ly\nt2YWx1ZX40Mg==\n",
            "YzRu\r\n  YXJ5Lyt2YW\r\n  x1ZX40Mg==",
            "70706334\n6e6172792f2b76\n616c75657e3432\n70\n",
        ] {
            let found = redacted(text.as_bytes());
            let found = String::from_utf8_lossy(&found);
            assert!(!found.contains("YXJ5") && !found.contains("ZX40") && !found.contains("6e61"));
            assert_eq!(found.matches('\n').count(), text.matches('\n').count());
            assert!(found.ends_with(&text[text.len() - 2..]));
        }
    }

    #[test]
    fn a_short_value_is_found_alone_or_told_to_be_too_short() {
        let redactor = Redactor::new([&b"z9Q7v"[..], b"1234", b"abcde", b"a1", b""]);
        assert_eq!(redactor.too_short(), 3);
        let mut bytes = b"pin z9Q7v, z9Q7vx 1234 abcde".to_vec();
        redactor.redact("x", &mut bytes);
        assert_eq!(bytes, b"pin *****, z9Q7vx 1234 abcde");
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
