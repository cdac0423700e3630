//! Secrets whose values are known, wherever else they stand: `API_TOKEN=x` and then `--with x`.
//! Pure.

use std::ops::Range;

use super::MARKER;
use super::spans::{looks_random, positions};

/// A shorter value is too likely to be found where it means something else.
pub const LEAST_BYTES: usize = 6;

/// Values to be found in texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The longest first: what is contained in another one is not left over.
    values: Vec<Vec<u8>>,
}

impl Known {
    /// Of those that can be told from anything else: not the short ones, and no paths, which stand
    /// in `HOME` and `PATH` as well.
    pub fn new(values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let fits = |value: &Vec<u8>| {
            value.len() >= LEAST_BYTES
                && !is_path(value)
                && positions(MARKER.as_bytes(), value).is_empty()
        };
        let mut values: Vec<Vec<u8>> = values.into_iter().filter(fits).collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values }
    }

    /// These and those.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self::new(self.values.iter().chain(&other.values).cloned())
    }

    /// Where they stand.
    pub fn spans(&self, text: &[u8]) -> Vec<Range<usize>> {
        let mut spans: Vec<Range<usize>> = Vec::new();
        for value in &self.values {
            let found = positions(text, value).into_iter().map(|at| at..at + value.len());
            spans.extend(found.filter(|span| !is_word(value) || stands_alone(text, span)));
        }
        if !spans.is_empty() {
            let markers = positions(text, MARKER.as_bytes());
            let is_within = |span: &Range<usize>| {
                let holds = |at: &usize| *at <= span.start && span.end <= at + MARKER.len();
                markers.iter().any(holds)
            };
            spans.retain(|span| !is_within(span));
        }
        spans
    }

    /// The text with a marker for each of them.
    pub fn mask_text(&self, text: String) -> String {
        let spans = self.spans(text.as_bytes());
        if spans.is_empty() {
            return text;
        }
        super::with_markers(text.as_bytes(), spans).to_text()
    }
}

/// Letters alone, or digits alone, are a part of many a word and number.
fn is_word(value: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_alphabetic) || value.iter().all(u8::is_ascii_digit)
}

fn stands_alone(text: &[u8], span: &Range<usize>) -> bool {
    let before = span.start.checked_sub(1).and_then(|place| text.get(place));
    let after = text.get(span.end);
    ![before, after].into_iter().flatten().any(u8::is_ascii_alphanumeric)
}

fn is_path(value: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    value.first() == Some(&b'/')
        && value.iter().all(plain)
        && !value.split(|byte| *byte == b'/').any(looks_random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_value_is_masked_wherever_it_can_be_told_from_a_word() {
        let values = ["hunter2xyz", "hunter2xyz-long", "postgres", "secret", "short", "/home/ada"];
        let known = Known::new(values.map(|value| value.as_bytes().to_vec()));
        for (text, wanted) in [
            ("-phunter2xyz", "-p[secret]"),
            ("/a/hunter2xyz-long/b", "/a/[secret]/b"),
            ("hunter2xyzhunter2xyz", "[secret]"),
            ("-U postgres", "-U [secret]"),
            ("/usr/lib/postgresql", "/usr/lib/postgresql"),
            ("a [secret] secret, short", "a [secret] secret, short"),
            ("/home/ada/bin", "/home/ada/bin"),
        ] {
            assert_eq!(known.mask_text(text.to_owned()), wanted);
            assert_eq!(known.mask_text(wanted.to_owned()), wanted);
        }
        assert!(Known::new([b"/0aB1cD2eF3gH4iJ5kL6m".to_vec()]) != Known::default());
    }
}
