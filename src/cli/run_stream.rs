//! One stream of a run from its first attempt to its last, read as one file.

use std::io::{self, BufRead, BufReader, Read};

use super::run_output::open_output;
use crate::projections::view::OutputView;
use crate::runners::capture::StreamName;
use crate::runners::capture::reader::Output;

/// A longer line is compared in parts.
const LINE_BYTES: u64 = 1 << 20;

/// Reads one attempt after the other; one file is open at a time.
#[derive(Debug)]
pub struct RunStream<'a> {
    attempts: std::slice::Iter<'a, OutputView>,
    stream: StreamName,
    /// What is read now, from where.
    current: Option<(Output, u64)>,
}

impl<'a> RunStream<'a> {
    /// Of the attempts of one run, in their order.
    pub fn new(views: &'a [OutputView], stream: StreamName) -> Self {
        Self { attempts: views.iter(), stream, current: None }
    }
}

impl Read for RunStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some((output, from)) = &mut self.current {
                let count = output.read_at(self.stream, *from, buffer)?;
                if count > 0 {
                    *from += count as u64;
                    return Ok(count);
                }
            }
            let Some(view) = self.attempts.next() else { return Ok(0) };
            let output = open_output(view)?;
            let from = output.kept(self.stream).start;
            self.current = Some((output, from));
        }
    }
}

/// Where two streams first differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstDifference {
    /// From 1.
    pub line: u64,
    /// Without the end of the line; `None` where it has ended.
    pub old: Option<Vec<u8>>,
    /// The same of the other.
    pub new: Option<Vec<u8>>,
}

/// The first line that is not the same; `None` if there is none.
///
/// # Errors
/// A file cannot be read.
pub fn first_difference(old: impl Read, new: impl Read) -> io::Result<Option<FirstDifference>> {
    let (mut old, mut new) = (BufReader::new(old), BufReader::new(new));
    let mut line = 1;
    loop {
        let (one, other) = (next_line(&mut old)?, next_line(&mut new)?);
        if one != other {
            let text = |line: Vec<u8>| {
                (!line.is_empty()).then(|| line.strip_suffix(b"\n").unwrap_or(&line).to_vec())
            };
            return Ok(Some(FirstDifference { line, old: text(one), new: text(other) }));
        }
        if one.is_empty() {
            return Ok(None);
        }
        line += u64::from(one.last() == Some(&b'\n'));
    }
}

/// With its end; empty at the end of all.
fn next_line(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take(LINE_BYTES).read_until(b'\n', &mut line)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_found() {
        let of = |old: &[u8], new: &[u8]| {
            let found = first_difference(old, new).expect("reads");
            found.map(|found| (found.line, found.old, found.new))
        };
        assert_eq!(of(b"a\nb\n", b"a\nb\n"), None);
        assert_eq!(of(b"", b""), None);
        assert_eq!(of(b"a\nb\n", b"a\nc\n"), Some((2, Some(b"b".to_vec()), Some(b"c".to_vec()))));
        assert_eq!(of(b"a\n", b"a\n\n"), Some((2, None, Some(Vec::new()))));
        assert_eq!(of(b"a", b"a\n"), Some((1, Some(b"a".to_vec()), Some(b"a".to_vec()))));
        let long = vec![b'x'; 3 << 20];
        let other = [&long[..], b"y"].concat();
        assert_eq!(of(&long, &other), Some((1, None, Some(b"y".to_vec()))));
    }
}
