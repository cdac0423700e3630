//! Values below secret names in JSON, and in what is written like it: on one line or several,
//! nested, in any quotes, and in JSON that is a string of another one. Pure.

use std::ops::Range;

use super::spans::{is_name_byte, is_secret_name};

/// Quotes as they stand there: `"`, `'`, or `\"` inside a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quote {
    byte: u8,
    /// Backslashes before it: 0, 1, 3, 7, and so on, by how many strings it stands in.
    escapes: usize,
}

impl Quote {
    /// The one that opens at `at`, and where the string begins.
    fn opening(text: &[u8], at: usize) -> Option<(Self, usize)> {
        let escapes = text[at..].iter().take_while(|byte| **byte == b'\\').count();
        let place = at + escapes;
        let byte = text.get(place).copied().filter(|byte| is_quote(*byte))?;
        Some((Self { byte, escapes }, place + 1))
    }

    /// The end of the string that begins at `start`, and what comes after its quote. A string of
    /// JSON has no line break; one that is not closed ends there.
    fn close(self, text: &[u8], start: usize) -> (usize, usize) {
        let period = 2 * (self.escapes + 1);
        let mut escapes = 0;
        for (place, byte) in text.iter().enumerate().skip(start) {
            match *byte {
                b'\\' => escapes += 1,
                b'\n' | b'\r' => return (place, place),
                byte if byte == self.byte && escapes % period == self.escapes => {
                    return (place - self.escapes, place + 1);
                }
                _ => escapes = 0,
            }
        }
        (text.len(), text.len())
    }
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'')
}

/// `"password": "value"`, values without quotes, and all that a list or a table below such a name
/// has. Ascending.
pub(super) fn json_values(text: &[u8]) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut at = 0;
    while let Some(colon) = text[at..].iter().position(|byte| *byte == b':') {
        let colon = at + colon;
        at = colon + 1;
        let Some(name) = name_before(&text[..colon]) else { continue };
        if is_secret_name(&text[name]) {
            at = take_value(text, skip_blanks(text, at), &mut spans).max(at);
        }
    }
    spans
}

/// The name that ends, quoted, before a colon.
fn name_before(text: &[u8]) -> Option<Range<usize>> {
    let text = text.trim_ascii_end();
    let (quote, before) = text.split_last().filter(|(quote, _)| is_quote(**quote))?;
    let escapes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
    let end = before.len() - escapes;
    let length = before[..end].iter().rev().take_while(|byte| is_name_byte(**byte)).count();
    let start = end - length;
    let open = before[..start].split_last().filter(|(open, _)| *open == quote);
    let open = open.map(|(_, rest)| rest.iter().rev().take_while(|byte| **byte == b'\\').count());
    (open == Some(escapes) && length > 0).then_some(start..end)
}

fn skip_blanks(text: &[u8], at: usize) -> usize {
    at + text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Takes the value at `at`; where it ends.
fn take_value(text: &[u8], at: usize, spans: &mut Vec<Range<usize>>) -> usize {
    match text.get(at) {
        None => return at,
        Some(b'[' | b'{') => return take_nested(text, at, spans),
        Some(_) => {}
    }
    if let Some((quote, start)) = Quote::opening(text, at) {
        let (end, after) = quote.close(text, start);
        if !is_expansion(&text[start..end]) {
            spans.push(start..end);
        }
        return after;
    }
    let end = end_of_bare(text, at);
    spans.push(at..end);
    end
}

/// `'$NAME'`, or `'"$NAME"'`: a script ends its quotes there and lets the shell write the value.
fn is_expansion(value: &[u8]) -> bool {
    let inside = |text: &[u8], quote: &[u8]| {
        let inner = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
        inner.map(<[u8]>::to_vec)
    };
    let Some(inner) = inside(value, b"'") else { return false };
    let inner = inside(&inner, b"\"").unwrap_or(inner);
    let Some(name) = inner.strip_prefix(b"$") else { return false };
    let name = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}")).unwrap_or(name);
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// Takes all texts and numbers of a list or table; where it ends, or is none any more.
fn take_nested(text: &[u8], mut at: usize, spans: &mut Vec<Range<usize>>) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = text.get(at) {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b':' => {}
            byte if byte.is_ascii_whitespace() => {}
            byte if is_quote(*byte) || *byte == b'\\' => {
                let Some((quote, start)) = Quote::opening(text, at) else { return at };
                let (end, after) = quote.close(text, start);
                if text.get(skip_blanks(text, after)) != Some(&b':') {
                    spans.push(start..end);
                }
                at = after;
                continue;
            }
            byte if byte.is_ascii_alphanumeric() || *byte == b'-' => {
                let end = end_of_bare(text, at);
                if !matches!(&text[at..end], b"true" | b"false" | b"null") {
                    spans.push(at..end);
                }
                at = end;
                continue;
            }
            _ => return at,
        }
        at += 1;
    }
    at
}

/// Of a number, or of a word without quotes.
fn end_of_bare(text: &[u8], at: usize) -> usize {
    let ends = |byte: &u8| b",]}\\\"' \n\r\t".contains(byte);
    at + text[at..].iter().position(ends).unwrap_or(text.len() - at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_found_nested_on_several_lines_and_in_strings() {
        let table: [(&str, &[&str]); 16] = [
            (r#"{"user": "ada", "password": "hun\"ter2", "n": 1}"#, &[r#"hun\"ter2"#]),
            (r#"{"password":"a\\","n":"b"}"#, &[r"a\\"]),
            (r#"{"api_key":12345678,"n":1}"#, &["12345678"]),
            (r#"{"a":{"secrets":["one", "two", 3, true]},"b":["no"]}"#, &["one", "two", "3"]),
            (r#"{"auth": {"user": "u1", "more": [{"x": "y1"}]}, "b": "no"}"#, &["u1", "y1"]),
            ("{\n  \"client_secret\":\n    \"hunter2\"\n}", &["hunter2"]),
            ("{\"token\"\r\n  : 'abc def'}", &["abc def"]),
            (r#"{"body": "{\"password\":\"hunter2\",\"n\":\"x\"}"}"#, &["hunter2"]),
            (r#""{\"a\":\"{\\\"token\\\":\\\"hun\\\\\\\"ter\\\"}\"}""#, &[r#"hun\\\\\\\"ter"#]),
            (r#"{"keys": [], "key": {}}"#, &[]),
            (r#"{"secrets": ["open"#, &["open"]),
            (r#"{"password": "open"#, &["open"]),
            ("{\"password\": \"open\nnext \"x\": 1", &["open"]),
            (r#"{"keyboard": "qwerty", "a": ":"}"#, &[]),
            (r#"curl -d '{"token": "'${TOKEN}'", "a": 1}'"#, &[]),
            (r#"{"token": "$TOKEN", "key": "'$a b'"}"#, &["$TOKEN", "'$a b'"]),
        ];
        for (text, wanted) in table {
            let spans = json_values(text.as_bytes());
            let found: Vec<&str> = spans.iter().map(|span| &text[span.clone()]).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn spans_ascend_and_lie_within(
            before in "[\\[\\]{}\"'\\\\:, \n0a-]{0,30}",
            after in "[\\[\\]{}\"'\\\\:, \n0a-]{0,30}",
        ) {
            let text = format!("{before}\"key\":{after}");
            let mut before = 0;
            for span in json_values(text.as_bytes()) {
                prop_assert!(before <= span.start && span.start <= span.end);
                prop_assert!(span.end <= text.len());
                before = span.end;
            }
        }
    }
}
