//! Lines of an attempt's output. What was read once is not read again: a place in each stream is
//! all that is remembered, so that no line is too long.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::time::Duration;

use regex::bytes::Regex;
use rustix::fs::SeekFrom;

use super::text;
use crate::limits::{PROBE_LINE_BYTES, PROBE_OVERLAP_BYTES};
use crate::runners::capture::StreamName;

/// A search that goes on where it stopped.
#[derive(Debug)]
pub(super) struct Search {
    pattern: Result<Regex, String>,
    written: String,
    is_found: bool,
    places: [Place; 2],
}

/// How far a stream was read: up to a line that was not whole yet.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Device and inode.
    file: (u64, u64),
    offset: u64,
}

impl Search {
    /// From the start of the output.
    pub(super) fn new(pattern: &str) -> Self {
        let compiled = Regex::new(pattern).map_err(|error| {
            let all = error.to_string();
            let last = all.lines().last().unwrap_or_default();
            format!("/{pattern}/ is no regular expression: {last}")
        });
        let places = [Place::default(); 2];
        Self { pattern: compiled, written: pattern.to_owned(), is_found: false, places }
    }

    /// Is right once a line has matched, and stays so.
    pub(super) async fn ask(&mut self, base: &Path, timeout: Duration) -> Result<(), String> {
        let Self { pattern, written, is_found, places } = self;
        let pattern = pattern.as_ref().map_err(Clone::clone)?;
        if *is_found {
            return Ok(());
        }
        let search = async {
            for (place, stream) in places.iter_mut().zip(StreamName::BOTH) {
                if place.search(&stream.path(base), pattern).await? {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        // The places outlive a question that is given up: the next one goes on from there.
        match tokio::time::timeout(timeout, search).await {
            Ok(Ok(true)) => {
                *is_found = true;
                Ok(())
            }
            Ok(Ok(false)) => Err(format!("no line of its output matches /{written}/ yet")),
            Ok(Err(error)) => {
                let error: io::Error = error;
                Err(format!("its output cannot be read: {}", text::reason(&error)))
            }
            Err(_) => Err(text::late("search of its output", timeout)),
        }
    }
}

impl Place {
    async fn search(&mut self, path: &Path, pattern: &Regex) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        self.follow(&file)?;
        let mut buffer = vec![0; PROBE_LINE_BYTES];
        loop {
            let length = fill(&file, &mut buffer, self.offset)?;
            let (is_found, taken) = look(&buffer[..length], pattern);
            self.offset += taken as u64;
            if is_found || taken == 0 {
                return Ok(is_found);
            }
            // Others have their turn: there may be a gigabyte of it.
            tokio::task::yield_now().await;
        }
    }

    /// Another file in its place, or one that was cut, is read from its start; a hole, which is
    /// output that was pruned, is leapt over.
    fn follow(&mut self, file: &File) -> io::Result<()> {
        let found = file.metadata()?;
        let id = (found.dev(), found.ino());
        if self.file != id || found.len() < self.offset {
            *self = Self { file: id, offset: 0 };
        }
        match rustix::fs::seek(file, SeekFrom::Data(self.offset)) {
            Ok(offset) => self.offset = offset,
            // Nothing but a hole is left.
            Err(rustix::io::Errno::NXIO) => self.offset = found.len(),
            // The filesystem knows no holes.
            Err(rustix::io::Errno::INVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }
}

/// Reads until the buffer is full or the file at its end.
fn fill(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], offset + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Whether a line matches, and how many bytes are done with. A line without an end waits for it,
/// unless it is as long as a piece.
fn look(bytes: &[u8], pattern: &Regex) -> (bool, usize) {
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        if bytes.len() < PROBE_LINE_BYTES {
            return (false, 0);
        }
        return (pattern.is_match(bytes), bytes.len() - PROBE_OVERLAP_BYTES);
    };
    let mut lines = bytes[..end].split(|byte| *byte == b'\n');
    let is_found = lines.any(|line| pattern.is_match(line.strip_suffix(b"\r").unwrap_or(line)));
    (is_found, end + 1)
}
