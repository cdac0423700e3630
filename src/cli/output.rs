//! What runs printed, on its way to a reader: raw, or line by line with name and time, all lines
//! or those that match.

use std::collections::VecDeque;
use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use regex::bytes::Regex;

use crate::runners::capture::StreamName;
use crate::runners::capture::reader::{Output, Piece};

use super::text;

/// Read from a file at once.
pub const BLOCK_BYTES: usize = 64 << 10;
/// A line without end is printed, and matched, in parts of this length.
const LINE_BYTES: usize = 1 << 20;

/// How output is printed.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Times before each line, in this zone.
    pub timestamps: Option<TimeZone>,
    /// For terminals: nothing may steer them.
    pub escape: bool,
    /// Only lines that match.
    pub pattern: Option<Regex>,
}

/// Turns the bytes of one run into what is printed of them.
#[derive(Debug)]
pub struct Printer {
    prefix: String,
    look: Look,
    /// Lines that matched.
    matched: u64,
    /// Of each stream: the beginning of a line, or of a character, whose rest has not come.
    begun: [Vec<u8>; 2],
    /// The last lines so far, and how many are wanted, until [`Self::release`].
    held: Option<(usize, VecDeque<Vec<u8>>)>,
}

impl Printer {
    /// With `prefix` before each line; without one, times and pattern the bytes stay as they are.
    pub fn new(prefix: String, look: Look) -> Self {
        Self { prefix, look, matched: 0, begun: [Vec::new(), Vec::new()], held: None }
    }

    /// From now on another one.
    pub fn set_prefix(&mut self, prefix: String) {
        self.prefix = prefix;
    }

    /// Lines that matched so far.
    pub fn matched(&self) -> u64 {
        self.matched
    }

    /// Holds the last `lines` lines back until [`Self::release`], and drops those before.
    pub fn hold(&mut self, lines: usize) {
        self.held = Some((lines, VecDeque::new()));
    }

    /// Prints what was held back; from now on each line at once.
    pub fn release(&mut self, out: &mut Vec<u8>) {
        for line in self.held.take().map(|(_, lines)| lines).unwrap_or_default() {
            out.extend_from_slice(&line);
        }
    }

    fn is_raw(&self) -> bool {
        self.prefix.is_empty() && self.look.timestamps.is_none() && self.look.pattern.is_none()
    }

    /// Takes bytes of one stream, seen at `at` (Unix milliseconds).
    pub fn push(&mut self, stream: StreamName, bytes: &[u8], at: Option<i64>, out: &mut Vec<u8>) {
        if self.is_raw() {
            return self.push_raw(stream, bytes, out);
        }
        let mut begun = std::mem::take(&mut self.begun[number(stream)]);
        let searched = begun.len();
        begun.extend_from_slice(bytes);
        // What has come before holds no end of a line.
        let (mut from, mut search) = (0, searched);
        while let Some(length) = begun[search..].iter().position(|byte| *byte == b'\n') {
            self.line(&begun[from..search + length], at, out);
            from = search + length + 1;
            search = from;
        }
        if begun.len() - from > LINE_BYTES {
            self.line(&begun[from..], at, out);
            from = begun.len();
        }
        begun.drain(..from);
        self.begun[number(stream)] = begun;
    }

    /// Prints what has no line end, after all has come.
    pub fn finish(&mut self, at: Option<i64>, out: &mut Vec<u8>) {
        let raw = self.is_raw();
        for begun in std::mem::take(&mut self.begun) {
            if begun.is_empty() {
                continue;
            }
            if raw {
                for byte in begun {
                    out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
                }
            } else {
                self.line(&begun, at, out);
            }
        }
    }

    fn push_raw(&mut self, stream: StreamName, bytes: &[u8], out: &mut Vec<u8>) {
        if !self.look.escape {
            return out.extend_from_slice(bytes);
        }
        let begun = &mut self.begun[number(stream)];
        begun.extend_from_slice(bytes);
        let (text, left) = text::output(begun);
        out.extend_from_slice(text.as_bytes());
        begun.drain(..begun.len() - left);
    }

    fn line(&mut self, line: &[u8], at: Option<i64>, out: &mut Vec<u8>) {
        if let Some(pattern) = &self.look.pattern {
            if !pattern.is_match(line) {
                return;
            }
            self.matched += 1;
        }
        let Some((wanted, mut held)) = self.held.take() else { return self.render(line, at, out) };
        if wanted > 0 {
            if held.len() == wanted {
                held.pop_front();
            }
            let mut rendered = Vec::with_capacity(line.len() + 32);
            self.render(line, at, &mut rendered);
            held.push_back(rendered);
        }
        self.held = Some((wanted, held));
    }

    fn render(&self, line: &[u8], at: Option<i64>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        if let Some(zone) = &self.look.timestamps {
            let at = at.and_then(|at| Timestamp::from_millisecond(at).ok());
            let words = at.map_or_else(
                || format!("{:<23}", "-"),
                |at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
            );
            out.extend_from_slice(words.as_bytes());
            out.push(b' ');
        }
        if self.look.escape {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let (text, left) = text::output(line);
            out.extend_from_slice(text.as_bytes());
            for byte in &line[line.len() - left..] {
                out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
            }
        } else {
            out.extend_from_slice(line);
        }
        out.push(b'\n');
    }
}

fn number(stream: StreamName) -> usize {
    match stream {
        StreamName::Stdout => 0,
        StreamName::Stderr => 1,
    }
}

/// Looks for the last lines, from the end on, over one file after the other.
#[derive(Debug)]
pub struct LastLines {
    left: usize,
    /// The end of the last line is not the beginning of another.
    is_last_byte: bool,
}

impl LastLines {
    /// So many.
    pub fn new(lines: usize) -> Self {
        Self { left: lines, is_last_byte: true }
    }

    /// Whether they are found: what is before them is of no interest.
    pub fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Leaves of `pieces` what belongs to the last lines.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn keep(&mut self, output: &Output, pieces: &mut Vec<Piece>) -> io::Result<()> {
        if self.is_done() {
            pieces.clear();
            return Ok(());
        }
        let mut buffer = vec![0_u8; BLOCK_BYTES];
        for place in (0..pieces.len()).rev() {
            let piece = &pieces[place];
            if piece.is_pruned {
                continue;
            }
            let mut end = piece.range.end;
            while end > piece.range.start {
                let start = end.saturating_sub(BLOCK_BYTES as u64).max(piece.range.start);
                let length = usize::try_from(end - start).unwrap_or(BLOCK_BYTES);
                let count = output.read_at(piece.stream, start, &mut buffer[..length])?;
                if let Some(offset) = self.scan(&buffer[..count]) {
                    pieces[place].range.start = start + offset as u64;
                    pieces.drain(..place);
                    return Ok(());
                }
                end = start;
            }
        }
        Ok(())
    }

    /// Where the last lines begin in a block that ends where the one before began.
    fn scan(&mut self, block: &[u8]) -> Option<usize> {
        for (offset, byte) in block.iter().enumerate().rev() {
            let ends_line = *byte == b'\n' && !self.is_last_byte;
            self.is_last_byte = false;
            if ends_line {
                self.left -= 1;
            }
            if self.left == 0 {
                return Some(offset + 1);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(timestamps: Option<TimeZone>, escape: bool, pattern: Option<&str>) -> Look {
        let pattern = pattern.map(|pattern| Regex::new(pattern).expect("a pattern"));
        Look { timestamps, escape, pattern }
    }

    fn printed(mut printer: Printer, parts: &[(StreamName, &[u8])]) -> String {
        let mut out = Vec::new();
        for (stream, bytes) in parts {
            printer.push(*stream, bytes, Some(0), &mut out);
        }
        printer.finish(Some(0), &mut out);
        printer.release(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn one_run_keeps_its_bytes() {
        let printer = Printer::new(String::new(), look(None, false, None));
        let parts: [(StreamName, &[u8]); 2] =
            [(StreamName::Stdout, b"a\x1b[1m"), (StreamName::Stderr, b"b")];
        assert_eq!(printed(printer, &parts), "a\u{1b}[1mb");
    }

    #[test]
    fn a_terminal_is_not_steered() {
        let printer = Printer::new(String::new(), look(None, true, None));
        let parts: [(StreamName, &[u8]); 3] = [
            (StreamName::Stdout, b"a\x1b[2J\xe2\x82"),
            (StreamName::Stdout, b"\xac\n"),
            (StreamName::Stderr, b"\xe2"),
        ];
        assert_eq!(printed(printer, &parts), "a\\x1b[2J\u{20ac}\n\\xe2");
    }

    #[test]
    fn lines_of_two_streams_are_never_mixed() {
        let printer = Printer::new("web │ ".to_owned(), look(None, false, None));
        let parts: [(StreamName, &[u8]); 4] = [
            (StreamName::Stdout, b"one\ntw"),
            (StreamName::Stderr, b"bad\n"),
            (StreamName::Stdout, b"o\n"),
            (StreamName::Stdout, b"end"),
        ];
        assert_eq!(printed(printer, &parts), "web │ one\nweb │ bad\nweb │ two\nweb │ end\n");
    }

    #[test]
    fn times_stand_before_each_line() {
        let printer = Printer::new(String::new(), look(Some(TimeZone::UTC), false, None));
        let parts: [(StreamName, &[u8]); 1] = [(StreamName::Stdout, b"x\n")];
        assert_eq!(printed(printer, &parts), "1970-01-01 00:00:00.000 x\n");
    }

    #[test]
    fn only_whole_lines_match_and_of_any_bytes() {
        let of = |pattern: &str, parts: &[(StreamName, &[u8])]| {
            let mut printer = Printer::new(String::new(), look(None, true, Some(pattern)));
            printer.hold(2);
            printed(printer, parts)
        };
        let parts: [(StreamName, &[u8]); 5] = [
            (StreamName::Stdout, b"an err"),
            (StreamName::Stderr, b"error 1\n"),
            (StreamName::Stdout, b"or 2\nfine\n"),
            (StreamName::Stdout, b"\xff\x00 error 3\n"),
            (StreamName::Stderr, b"error 4"),
        ];
        assert_eq!(of("error", &parts), "\\xff\\x00 error 3\nerror 4\n", "the last two");
        assert_eq!(of("^error$", &parts), "");
        assert_eq!(of("2$", &parts), "an error 2\n");
        assert_eq!(of(r"(?-u)^\xff", &parts), "\\xff\\x00 error 3\n");
        assert_eq!(of("", &[(StreamName::Stdout, b"\n\n\n")]), "\n\n");
    }

    fn last(texts: &[&str], lines: usize) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let (mut found, mut last) = (Vec::new(), LastLines::new(lines));
        for (number, text) in texts.iter().enumerate().rev() {
            let base = directory.path().join(format!("x.{number}"));
            std::fs::write(StreamName::Stdout.path(&base), text).expect("a file");
            let mut output = Output::open(&base, u64::MAX).expect("files");
            let mut pieces = output.pieces().expect("pieces");
            last.keep(&output, &mut pieces).expect("read");
            let bytes = pieces.iter().flat_map(|piece| output.bytes(piece).expect("bytes"));
            found.insert(0, String::from_utf8(bytes.collect()).expect("text"));
        }
        found.concat()
    }

    #[test]
    fn the_last_lines_are_the_last_lines() {
        assert_eq!(last(&["a\nb\nc\n"], 2), "b\nc\n");
        assert_eq!(last(&["a\nb\nc"], 2), "b\nc");
        assert_eq!(last(&["a\nb\n\n"], 2), "b\n\n");
        assert_eq!(last(&["a\n"], 5), "a\n");
        assert_eq!(last(&["a\nb\n"], 0), "");
        assert_eq!(last(&["a\nb\n", "c\n"], 2), "b\nc\n", "over two attempts");
        assert_eq!(last(&["a\nb\n", "", "c\n"], 1), "c\n");
        assert_eq!(last(&["a\nb", "c\n"], 1), "bc\n");
        let lines: Vec<String> = (0..30_000).map(|n| n.to_string()).collect();
        let long = lines.join("\n") + "\n";
        assert_eq!(last(&[&long], 20_000).lines().count(), 20_000);
        assert!(last(&[&long], 20_000).starts_with("10000\n"));
    }
}
