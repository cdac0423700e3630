//! Text that is safe to show: nothing that a job printed may steer the reader's terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// Control characters of C0, DEL and C1, and those that turn the direction of text.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}

fn push_escaped(out: &mut String, c: char) {
    let number = u32::from(c);
    let written = match c {
        '\n' => write!(out, "\\n"),
        '\t' => write!(out, "\\t"),
        '\r' => write!(out, "\\r"),
        _ if number < 0x100 => write!(out, "\\x{number:02x}"),
        _ => write!(out, "\\u{{{number:x}}}"),
    };
    written.expect("a String takes everything");
}

/// One line for people: names, commands, messages.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Several lines for people: line ends and tabs stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| c == '\n' || c == '\t')
}

fn escape(text: &str, keep: fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| is_unsafe(c) && !keep(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) && !keep(c) { push_escaped(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Output of a job for a terminal; bytes that are not UTF-8 show as `\x..`.
///
/// What `bytes` ends with may be the beginning of a character: so many bytes are left over.
pub fn output(bytes: &[u8]) -> (String, usize) {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&lines(chunk.valid()));
        let invalid = chunk.invalid();
        let at_end = std::ptr::eq(invalid.as_ptr_range().end, bytes.as_ptr_range().end);
        let begun = at_end && std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
        if begun && !invalid.is_empty() {
            return (out, invalid.len());
        }
        for byte in invalid {
            write!(out, "\\x{byte:02x}").expect("a String takes everything");
        }
    }
    (out, 0)
}

/// How many columns a text takes, near enough: one each, two for the wide blocks, none for marks.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1_f300..=0x1_f64f
        | 0x1_f900..=0x1_f9ff
        | 0x2_0000..=0x3_fffd => 2,
        _ => 1,
    }
}

/// At most `columns` columns, with `…` where something is missing.
pub fn shorten(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += char_width(c);
        if used + 1 > columns {
            break;
        }
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    Cow::Owned(out)
}

/// A command as a shell would read it.
pub fn command(words: &[String]) -> String {
    let quoted = words
        .iter()
        .map(|word| shlex::try_quote(word).unwrap_or(Cow::Borrowed(word.as_str())).into_owned());
    quoted.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unsafe_gets_through() {
        assert_eq!(line("plain ünï 漢"), "plain ünï 漢");
        assert_eq!(line("a\u{1b}[2Jb\nc\u{7f}"), "a\\x1b[2Jb\\nc\\x7f");
        assert_eq!(line("\u{9b}31m\u{202e}x\u{2066}"), "\\x9b31m\\u{202e}x\\u{2066}");
        assert_eq!(lines("a\n\tb\r\u{7}"), "a\n\tb\\r\\x07");
    }

    #[test]
    fn output_of_any_bytes_is_shown_and_a_cut_character_waits() {
        assert_eq!(output(b"ok\n\x1b]0;x\x07"), ("ok\n\\x1b]0;x\\x07".to_owned(), 0));
        assert_eq!(output(b"a\xffb"), ("a\\xffb".to_owned(), 0));
        assert_eq!(output(b"a\xe2\x82"), ("a".to_owned(), 2));
        assert_eq!(output("a\u{20ac}".as_bytes()), ("a\u{20ac}".to_owned(), 0));
        // C1 as UTF-8 and as a bare byte.
        assert_eq!(output(b"\xc2\x9b1m\x9b1m"), ("\\x9b1m\\x9b1m".to_owned(), 0));
    }

    #[test]
    fn shortened_text_fits() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("漢字漢字", 5), "漢字…");
        assert_eq!(shorten("ab", 0), "");
    }

    #[test]
    fn a_command_is_quoted_as_a_shell_reads_it() {
        let words = ["echo", "a b", "it's", ""].map(str::to_owned);
        assert_eq!(shlex::split(&command(&words)).expect("shell words"), words);
    }
}
