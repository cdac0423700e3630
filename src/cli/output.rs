//! What runs printed, on its way to a reader: raw, or line by line with name and time.

use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::runners::capture::StreamName;
use crate::runners::capture::reader::{Output, Piece};

use super::text;

/// Read from a file at once.
pub const BLOCK_BYTES: usize = 64 << 10;
/// A line without end is printed in parts of this length.
const LINE_BYTES: usize = 1 << 20;

/// Turns the bytes of one run into what is printed of them.
#[derive(Debug)]
pub struct Printer {
    prefix: String,
    timestamps: Option<TimeZone>,
    escape: bool,
    /// Of each stream: the beginning of a line, or of a character, whose rest has not come.
    begun: [Vec<u8>; 2],
}

impl Printer {
    /// With `prefix` before each line; without one and without times the bytes stay as they are.
    /// `escape` is for terminals.
    pub fn new(prefix: String, timestamps: Option<TimeZone>, escape: bool) -> Self {
        Self { prefix, timestamps, escape, begun: [Vec::new(), Vec::new()] }
    }

    /// Takes bytes of one stream, seen at `at` (Unix milliseconds).
    pub fn push(&mut self, stream: StreamName, bytes: &[u8], at: Option<i64>, out: &mut Vec<u8>) {
        if self.prefix.is_empty() && self.timestamps.is_none() {
            return self.push_raw(stream, bytes, out);
        }
        let mut begun = std::mem::take(&mut self.begun[number(stream)]);
        begun.extend_from_slice(bytes);
        let mut rest = begun.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line(&rest[..end], at, out);
            rest = &rest[end + 1..];
        }
        if rest.len() > LINE_BYTES {
            self.line(rest, at, out);
            rest = &[];
        }
        self.begun[number(stream)] = rest.to_vec();
    }

    /// Prints what has no line end, after all has come.
    pub fn finish(&mut self, at: Option<i64>, out: &mut Vec<u8>) {
        let raw = self.prefix.is_empty() && self.timestamps.is_none();
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
        if !self.escape {
            return out.extend_from_slice(bytes);
        }
        let begun = &mut self.begun[number(stream)];
        begun.extend_from_slice(bytes);
        let (text, left) = text::output(begun);
        out.extend_from_slice(text.as_bytes());
        begun.drain(..begun.len() - left);
    }

    fn line(&self, line: &[u8], at: Option<i64>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_bytes());
        if let Some(zone) = &self.timestamps {
            let at = at.and_then(|at| Timestamp::from_millisecond(at).ok());
            let words = at.map_or_else(
                || format!("{:<23}", "-"),
                |at| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
            );
            out.extend_from_slice(words.as_bytes());
            out.push(b' ');
        }
        if self.escape {
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

/// Leaves the last `lines` lines of `pieces`, which index `outputs`.
///
/// # Errors
/// A file cannot be read.
pub fn keep_last_lines(
    outputs: &[Output],
    pieces: &mut Vec<(usize, Piece)>,
    lines: usize,
) -> io::Result<()> {
    if lines == 0 {
        pieces.clear();
        return Ok(());
    }
    let mut left = lines;
    let mut buffer = vec![0_u8; BLOCK_BYTES];
    // The end of the last line is not the beginning of another.
    let mut is_last_byte = true;
    for place in (0..pieces.len()).rev() {
        let (output, piece) = &pieces[place];
        if piece.is_pruned {
            continue;
        }
        let mut end = piece.range.end;
        while end > piece.range.start {
            let start = end.saturating_sub(BLOCK_BYTES as u64).max(piece.range.start);
            let length = usize::try_from(end - start).unwrap_or(BLOCK_BYTES);
            let count = outputs[*output].read_at(piece.stream, start, &mut buffer[..length])?;
            for (offset, byte) in buffer[..count].iter().enumerate().rev() {
                let ends_line = *byte == b'\n' && !is_last_byte;
                is_last_byte = false;
                if ends_line {
                    left -= 1;
                }
                if left == 0 {
                    let from = start + offset as u64 + 1;
                    pieces[place].1.range.start = from;
                    pieces.drain(..place);
                    return Ok(());
                }
            }
            end = start;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(mut printer: Printer, parts: &[(StreamName, &[u8])]) -> String {
        let mut out = Vec::new();
        for (stream, bytes) in parts {
            printer.push(*stream, bytes, Some(0), &mut out);
        }
        printer.finish(Some(0), &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn one_run_keeps_its_bytes() {
        let printer = Printer::new(String::new(), None, false);
        let parts: [(StreamName, &[u8]); 2] =
            [(StreamName::Stdout, b"a\x1b[1m"), (StreamName::Stderr, b"b")];
        assert_eq!(printed(printer, &parts), "a\u{1b}[1mb");
    }

    #[test]
    fn a_terminal_is_not_steered() {
        let printer = Printer::new(String::new(), None, true);
        let parts: [(StreamName, &[u8]); 3] = [
            (StreamName::Stdout, b"a\x1b[2J\xe2\x82"),
            (StreamName::Stdout, b"\xac\n"),
            (StreamName::Stderr, b"\xe2"),
        ];
        assert_eq!(printed(printer, &parts), "a\\x1b[2J\u{20ac}\n\\xe2");
    }

    #[test]
    fn lines_of_two_streams_are_never_mixed() {
        let printer = Printer::new("web │ ".to_owned(), None, false);
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
        let printer = Printer::new(String::new(), Some(TimeZone::UTC), false);
        let parts: [(StreamName, &[u8]); 1] = [(StreamName::Stdout, b"x\n")];
        assert_eq!(printed(printer, &parts), "1970-01-01 00:00:00.000 x\n");
    }

    fn last(text: &str, lines: usize) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let base = directory.path().join("x.1");
        std::fs::write(StreamName::Stdout.path(&base), text).expect("a file");
        let mut output = Output::open(&base, u64::MAX).expect("files");
        let mut pieces: Vec<(usize, Piece)> =
            output.pieces(None).expect("pieces").into_iter().map(|piece| (0, piece)).collect();
        let outputs = [output];
        keep_last_lines(&outputs, &mut pieces, lines).expect("read");
        let bytes = pieces.iter().flat_map(|(_, piece)| outputs[0].bytes(piece).expect("bytes"));
        String::from_utf8(bytes.collect()).expect("text")
    }

    #[test]
    fn the_last_lines_are_the_last_lines() {
        assert_eq!(last("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(last("a\nb\nc", 2), "b\nc");
        assert_eq!(last("a\nb\n\n", 2), "b\n\n");
        assert_eq!(last("a\n", 5), "a\n");
        assert_eq!(last("a\nb\n", 0), "");
        let lines: Vec<String> = (0..30_000).map(|n| n.to_string()).collect();
        let long = lines.join("\n") + "\n";
        assert_eq!(last(&long, 20_000).lines().count(), 20_000);
        assert!(last(&long, 20_000).starts_with("10000\n"));
    }
}
