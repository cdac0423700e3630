//! What goes wrong with a question, in a line for people.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use crate::limits::PROBE_TEXT_BYTES;

/// Ends a text that was cut.
const CUT: &str = "…";

/// One line of at most [`PROBE_TEXT_BYTES`]; what would steer a terminal is escaped.
pub(super) fn line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        let mut shown = String::new();
        if is_hidden(character) {
            // Writing into a string cannot fail.
            write!(shown, "{}", character.escape_default()).ok();
        } else {
            shown.push(character);
        }
        if line.len() + shown.len() > PROBE_TEXT_BYTES {
            let end = line.floor_char_boundary(PROBE_TEXT_BYTES - CUT.len());
            line.truncate(end);
            line.push_str(CUT);
            break;
        }
        line.push_str(&shown);
    }
    line
}

/// Controls, and what turns the direction of a text around (UAX 9).
fn is_hidden(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The system's words without its number.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Nobody answered in time.
pub(super) fn late(what: &str, timeout: Duration) -> String {
    format!("{what}: no answer within {timeout:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_short_line() {
        assert_eq!(line("plain ü"), "plain ü");
        assert_eq!(line("a\nb\x1b[2J\u{202e}c\u{9b}"), "a\\nb\\u{1b}[2J\\u{202e}c\\u{9b}");
        assert_eq!(line(&"x".repeat(200)), "x".repeat(200));
        for long in ["x".repeat(201), "ü".repeat(300), "\x07".repeat(300)] {
            let shown = line(&long);
            assert!(shown.len() <= PROBE_TEXT_BYTES && shown.ends_with(CUT), "{shown}");
        }
    }

    #[test]
    fn a_reason_has_no_number() {
        assert_eq!(reason(&io::Error::from_raw_os_error(2)), "No such file or directory");
        assert_eq!(reason(&io::Error::other("x")), "x");
    }
}
