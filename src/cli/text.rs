//! Text that is safe to show: nothing that a job printed may steer the reader's terminal.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Makes one picture of the characters around it.
const JOINER: char = '\u{200d}';
/// Digits and separators of a colour; more are none.
const PARAMETERS_MAX: usize = 64;

/// Whether it is printable ASCII alone: safe to show, and a column a byte. Most texts are.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte))
}

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
    if is_plain(text) || !text.chars().any(|c| is_unsafe(c) && !keep(c)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) && !keep(c) { push_escaped(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Bytes as people say them: three digits or more, in the unit of 1,024 that fits.
pub fn size(bytes: u64) -> String {
    let mut unit = "bytes";
    let mut count = bytes;
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if count < 10_240 {
            break;
        }
        (count, unit) = (count / 1_024, larger);
    }
    format!("{count} {unit}")
}

/// Output of a job for a terminal; bytes that are not UTF-8 show as `\x..`. What a program says to
/// a terminal only about colours and ends of lines is left out.
///
/// What `bytes` ends with may be the beginning of a character or of a colour: so many bytes are
/// left over.
pub fn output(bytes: &[u8]) -> (String, usize) {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    let mut from = 0;
    while let Some(place) = rest[from..].iter().position(|byte| b"\r\x1b".contains(byte)) {
        let (text, sequence) = rest.split_at(from + place);
        let length = match decoration(sequence) {
            Decoration::None => {
                from = text.len() + 1;
                continue;
            }
            Decoration::Whole(length) => length,
            Decoration::Begun => 0,
        };
        push_whole(&mut out, text);
        if length == 0 {
            return (out, sequence.len());
        }
        (rest, from) = (&sequence[length..], 0);
    }
    let (text, left) = escaped(rest);
    out.push_str(&text);
    (out, left)
}

/// Nothing that follows can complete what it ends with.
fn push_whole(out: &mut String, bytes: &[u8]) {
    let (text, left) = escaped(bytes);
    out.push_str(&text);
    for byte in &bytes[bytes.len() - left..] {
        write!(out, "\\x{byte:02x}").expect("a String takes everything");
    }
}

/// What a carriage return or an ESC begins.
enum Decoration {
    /// Something else.
    None,
    /// So many bytes of a colour, of an erased rest of a line, or before a line end.
    Whole(usize),
    /// Perhaps one of them.
    Begun,
}

fn decoration(bytes: &[u8]) -> Decoration {
    match bytes {
        [b'\r' | 0x1b] => Decoration::Begun,
        [b'\r', b'\n', ..] => Decoration::Whole(1),
        [0x1b, b'[', rest @ ..] => {
            let is_parameter = |byte: &u8| byte.is_ascii_digit() || b";:".contains(byte);
            let length = rest.iter().take_while(|byte| is_parameter(byte)).count();
            match rest.get(length) {
                Some(b'm' | b'K') => Decoration::Whole(2 + length + 1),
                None if length < PARAMETERS_MAX => Decoration::Begun,
                Some(_) | None => Decoration::None,
            }
        }
        _ => Decoration::None,
    }
}

fn escaped(bytes: &[u8]) -> (String, usize) {
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

/// How many columns a text takes on a terminal. It must be safe to show: see [`line()`].
pub fn width(text: &str) -> usize {
    if is_plain(text) { text.len() } else { text.width() }
}

/// At most `columns` columns, with `…` where something is missing.
pub fn shorten(text: &str, columns: usize) -> Cow<'_, str> {
    match columns {
        _ if width(text) <= columns => Cow::Borrowed(text),
        0 => Cow::Borrowed(""),
        _ => Cow::Owned(format!("{}…", prefix(text, columns - 1))),
    }
}

/// The text in lines of at most `columns` columns, broken behind a blank where there is one.
pub fn wrap(text: &str, columns: usize) -> Vec<&str> {
    let (mut out, mut rest) = (Vec::new(), text);
    while width(rest) > columns {
        let mut end = prefix(rest, columns).len();
        if let Some(blank) = rest[..end].trim_end().rfind(' ').filter(|_| !is_at_blank(rest, end)) {
            end = blank + 1;
        }
        // One character that is too wide by itself has to stand somewhere.
        end = end.max(rest.chars().next().map_or(0, char::len_utf8));
        out.push(rest[..end].trim_end());
        rest = rest[end..].trim_start_matches(' ');
    }
    if !rest.is_empty() || out.is_empty() {
        out.push(rest);
    }
    out
}

fn is_at_blank(text: &str, end: usize) -> bool {
    text[end..].starts_with(' ')
}

/// The longest beginning of at most `columns` columns that cuts no character apart.
fn prefix(text: &str, columns: usize) -> &str {
    let mut end = 0;
    for (place, c) in text.char_indices() {
        // What a sequence takes is known only of the whole of it, so it is measured from the start.
        if !continues(text, place, c) {
            if width(&text[..place]) > columns {
                break;
            }
            end = place;
        }
    }
    if width(text) <= columns { text } else { &text[..end] }
}

/// Whether `c` belongs to the character before it: a mark, or what a joiner joins.
fn continues(text: &str, place: usize, c: char) -> bool {
    let joined = text[..place].ends_with(JOINER);
    // A flag is two of the letters from 🇦 on, the second one on an odd place.
    let is_letter = |c: char| ('\u{1f1e6}'..='\u{1f1ff}').contains(&c);
    let letters = text[..place].chars().rev().take_while(|c| is_letter(*c)).count();
    let is_modifier = ('\u{1f3fb}'..='\u{1f3ff}').contains(&c);
    place > 0
        && (joined || c.width() == Some(0) || is_modifier || (is_letter(c) && letters % 2 == 1))
}

/// A command as a shell would read it.
pub fn command(words: &[String]) -> String {
    let mut line = String::new();
    for (place, word) in words.iter().enumerate() {
        if place > 0 {
            line.push(' ');
        }
        line.push_str(&shlex::try_quote(word).unwrap_or(Cow::Borrowed(word)));
    }
    line
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
    fn sizes_have_a_unit_that_fits() {
        let texts = [0, 10_239, 10_240, 5 << 20, 40 << 30].map(size);
        assert_eq!(texts, ["0 bytes", "10239 bytes", "10 KiB", "5120 KiB", "40 GiB"]);
    }

    #[test]
    fn output_of_any_bytes_is_shown_and_a_cut_character_waits() {
        assert_eq!(output(b"ok\n\x1b]0;x\x07"), ("ok\n\\x1b]0;x\\x07".to_owned(), 0));
        assert_eq!(output(b"a\xffb"), ("a\\xffb".to_owned(), 0));
        assert_eq!(output(b"a\xe2\x82"), ("a".to_owned(), 2));
        assert_eq!(output("a\u{20ac}".as_bytes()), ("a\u{20ac}".to_owned(), 0));
        assert_eq!(output(b"\x1b[1;31mred\x1b[0m\x1b[K\r\nx\ry"), ("red\nx\\ry".to_owned(), 0));
        assert_eq!(output(b"a\xe2\x82\x1b[1;3"), ("a\\xe2\\x82".to_owned(), 5));
        assert_eq!(output(b"a\r"), ("a".to_owned(), 1));
        assert_eq!(output(b"\x1b[2J\x1b[8;1H"), ("\\x1b[2J\\x1b[8;1H".to_owned(), 0));
        // C1 as UTF-8 and as a bare byte.
        assert_eq!(output(b"\xc2\x9b1m\x9b1m"), ("\\x9b1m\\x9b1m".to_owned(), 0));
    }

    #[test]
    fn wide_joined_and_combining_text_measures_as_a_terminal_shows_it() {
        for (text, columns) in [
            ("plain", 5),
            ("漢字", 4),
            ("한글", 4),
            ("e\u{301}", 1),
            ("ก\u{e34}", 1),
            ("🚀✅", 4),
            ("👩\u{200d}👩\u{200d}👧", 2),
            ("❤\u{fe0f}", 2),
            ("🇩🇪", 2),
            ("👍🏽", 2),
            ("ﾊﾝ", 2),
        ] {
            assert_eq!(width(text), columns, "{text}");
        }
    }

    #[test]
    fn shortened_text_fits() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(shorten("漢字漢字", 5), "漢字…");
        assert_eq!(shorten("漢字漢字", 4), "漢…");
        assert_eq!(shorten("ab", 0), "");
        assert_eq!(shorten("ab", 1), "…");
        let hostile = "e\u{301}漢👩\u{200d}👩\u{200d}👧🇩🇪🇫🇷👍🏽❤\u{fe0f}ก\u{e34}x";
        for columns in 0..=width(hostile) {
            let short = shorten(hostile, columns);
            assert!(width(&short) <= columns, "{columns}: {short}");
        }
    }

    #[test]
    fn what_belongs_together_is_not_cut() {
        assert_eq!(shorten("e\u{301}abc", 2), "e\u{301}…");
        assert_eq!(shorten("👩\u{200d}👩\u{200d}👧abc", 4), "👩\u{200d}👩\u{200d}👧a…");
        assert_eq!(shorten("👩\u{200d}👩\u{200d}👧abc", 2), "…");
        assert_eq!(shorten("🇩🇪🇫🇷x", 4), "🇩🇪…");
        assert_eq!(shorten("👍🏽abc", 3), "👍🏽…");
        assert_eq!(shorten("❤\u{fe0f}abc", 3), "❤\u{fe0f}…");
    }

    #[test]
    fn wrapped_text_fits_and_nothing_is_lost() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aa bbbbbbb", 5), ["aa", "bbbbb", "bb"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("漢字漢字", 5), ["漢字", "漢字"]);
        let text =
            "one 漢字e\u{301} 👩\u{200d}👩\u{200d}👧👩\u{200d}👩\u{200d}👧 🇩🇪🇫🇷 xxxxxxxxxxxxxxxxx";
        for columns in 2..30 {
            let lines = wrap(text, columns);
            assert!(lines.iter().all(|line| width(line) <= columns), "{columns}: {lines:?}");
            assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""), "{columns}");
        }
    }

    #[test]
    fn a_command_is_quoted_as_a_shell_reads_it() {
        let words = ["echo", "a b", "it's", ""].map(str::to_owned);
        assert_eq!(shlex::split(&command(&words)).expect("shell words"), words);
    }
}
