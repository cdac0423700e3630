//! Words of a shell's line: apart, without their quotes, and quoted again.

use super::super::text;

/// Which quote is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// None.
    None,
    /// `'`.
    Single,
    /// `"`.
    Double,
}

impl Quote {
    /// What closes it.
    pub fn sign(self) -> Option<char> {
        match self {
            Self::None => None,
            Self::Single => Some('\''),
            Self::Double => Some('"'),
        }
    }
}

/// A line up to the cursor, as bash reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The words before the one at the cursor, without quotes; the first is the command.
    pub words: Vec<String>,
    /// Where each of them begins, and the one at the cursor, in characters.
    pub starts: Vec<usize>,
    /// The word at the cursor as it is typed; empty behind a blank.
    pub current: String,
}

impl Line {
    /// Takes it apart. What cannot be known without running something (`$x`) stays as it is.
    pub fn read(line: &str) -> Self {
        let (mut words, mut starts) = (Vec::new(), Vec::new());
        let (mut current, mut quote, mut escaped) = (String::new(), Quote::None, false);
        for (place, c) in line.chars().enumerate() {
            if quote == Quote::None && !escaped && matches!(c, ' ' | '\t' | '\n') {
                if !current.is_empty() {
                    words.push(unquote(&current).0);
                    current.clear();
                }
                continue;
            }
            if current.is_empty() {
                starts.push(place);
            }
            current.push(c);
            (quote, escaped) = step(quote, escaped, c);
        }
        if current.is_empty() {
            starts.push(line.chars().count());
        }
        Self { words, starts, current }
    }
}

/// What is open behind `c`.
fn step(quote: Quote, escaped: bool, c: char) -> (Quote, bool) {
    match (quote, c) {
        _ if escaped => (quote, false),
        (Quote::None | Quote::Double, '\\') => (quote, true),
        (Quote::None, '\'') => (Quote::Single, false),
        (Quote::None, '"') => (Quote::Double, false),
        (Quote::Single, '\'') | (Quote::Double, '"') => (Quote::None, false),
        _ => (quote, false),
    }
}

/// A word without its quotes, and which one is still open at its end.
pub fn unquote(raw: &str) -> (String, Quote) {
    let (mut out, mut quote, mut escaped) = (String::new(), Quote::None, false);
    for c in raw.chars() {
        let before = quote;
        let was_escaped = escaped;
        (quote, escaped) = step(quote, escaped, c);
        if was_escaped {
            // Between " a backslash hides only what is special there.
            if before == Quote::Double && !matches!(c, '$' | '`' | '"' | '\\' | '\n') {
                out.push('\\');
            }
            out.push(c);
        } else if quote == before && !escaped {
            out.push(c);
        }
    }
    (out, quote)
}

/// `text` so that bash reads it as exactly that, where `quote` is open already.
pub fn quote(text: &str, quote: Quote) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match (quote, c) {
            (Quote::Single, '\'') => out.push_str("'\\''"),
            (Quote::Double, '$' | '`' | '"' | '\\') => out.extend(['\\', c]),
            // The history is looked through between these quotes too, and a backslash would stay.
            (Quote::Double, '!') => out.push_str("\"\\!\""),
            (Quote::None, c) if !is_harmless(c) => out.extend(['\\', c]),
            (Quote::None | Quote::Single | Quote::Double, c) => out.push(c),
        }
    }
    out
}

fn is_harmless(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c)
}

/// Whether it may be put on somebody's command line: nothing in it that cannot be seen.
pub fn is_showable(value: &str) -> bool {
    text::line(value) == value
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &[&str] = &[
        "a b",
        "it's",
        "say \"x\"",
        "$(touch x)",
        "`touch x`",
        "a;b|c&d>e<f(g)",
        "wow!!",
        "back\\slash",
        "~root",
        "{a,b}",
        "a*?[x]",
        "#no",
        "漢 字 é",
        "k=v:w@x",
    ];

    #[test]
    fn a_line_comes_apart_as_in_bash() {
        let line = Line::read("jr  stop 'a b' c\\ d \"e\\\"f\" --x='y z");
        assert_eq!(line.words, ["jr", "stop", "a b", "c d", "e\"f"]);
        assert_eq!(line.current, "--x='y z");
        assert_eq!(line.starts, [0, 4, 9, 15, 20, 27]);
        assert_eq!(unquote(&line.current), ("--x=y z".to_owned(), Quote::Single));
        let line = Line::read("jr stop ");
        assert_eq!((line.words.len(), line.current.as_str()), (2, ""));
        assert_eq!(line.starts, [0, 3, 8]);
    }

    #[test]
    fn what_is_quoted_reads_back() {
        for text in HOSTILE {
            assert_eq!(unquote(&quote(text, Quote::None)), ((*text).to_owned(), Quote::None));
            let single = format!("'{}'", quote(text, Quote::Single));
            assert_eq!(unquote(&single), ((*text).to_owned(), Quote::None), "{single}");
            let double = format!("\"{}\"", quote(text, Quote::Double));
            assert_eq!(unquote(&double), ((*text).to_owned(), Quote::None), "{double}");
        }
        assert_eq!(unquote("a\\"), ("a".to_owned(), Quote::None));
    }

    #[test]
    fn nothing_that_cannot_be_seen_is_offered() {
        assert!(is_showable("漢 $(x)"));
        for value in ["a\u{1b}[2J", "a\nb", "\u{202e}x", "a\tb"] {
            assert!(!is_showable(value), "{value:?}");
        }
    }
}
