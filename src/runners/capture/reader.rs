//! Reads what an attempt printed, while it runs or afterwards: raw, or in the order of the index.
//! A missing index costs order and times; pruned bytes are reported, never shown as zeroes.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::SeekFrom;

use super::StreamName;
use super::index::IndexReader;
use crate::model::{Now, UnixMillis};
use crate::sys::regular;

/// The output files of one attempt, opened for reading.
#[derive(Debug)]
pub struct Output {
    files: [Option<File>; 2],
    kept: [Range<u64>; 2],
    index: IndexReader,
    /// What was seen later does not count.
    until: Option<UnixMillis>,
}

/// A part of one stream that became visible between two looks of the shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// When it was seen; `None` where no index entry covers it.
    pub at: Option<Now>,
    /// Of which stream.
    pub stream: StreamName,
    /// Which bytes of its file.
    pub range: Range<u64>,
    /// They were printed and are gone, being older than the newest `output_bytes_max`.
    pub is_pruned: bool,
}

impl Output {
    /// Opens the output at `base`; missing files are empty streams. `bytes_max` is the bound
    /// that it was written under: only beyond it can a hole be pruned output.
    pub fn open(base: &Path, bytes_max: u64) -> io::Result<Self> {
        let mut files = [None, None];
        let mut kept = [0..0, 0..0];
        for (place, name) in StreamName::BOTH.into_iter().enumerate() {
            match regular::open(&name.path(base)) {
                Ok(file) => {
                    kept[place] = kept_range(&file, bytes_max)?;
                    files[place] = Some(file);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { files, kept, index: IndexReader::open(base)?, until: None })
    }

    /// As [`Self::open`], and only what was seen by a time.
    pub fn open_until(base: &Path, bytes_max: u64, until: UnixMillis) -> io::Result<Self> {
        let mut output = Self::open(base, bytes_max)?;
        let (mut index, mut lengths) = (IndexReader::open(base)?, [0; 2]);
        // A clock that goes back brings nothing back: the first later entry is the end.
        while let Some(entry) = index.next_entry()?.filter(|entry| entry.at.wall <= until) {
            lengths = entry.lengths;
        }
        for (kept, length) in output.kept.iter_mut().zip(lengths) {
            let end = kept.end.min(length);
            *kept = kept.start.min(end)..end;
        }
        output.until = Some(until);
        Ok(output)
    }

    /// As it is, where nothing is known of the oldest bytes of each stream.
    #[must_use]
    pub fn without(mut self, oldest: [u64; 2]) -> Self {
        for (kept, oldest) in self.kept.iter_mut().zip(oldest) {
            kept.start = kept.start.max(oldest).min(kept.end);
        }
        self
    }

    /// The bytes that are there of a stream, as offsets of its file; what is before is pruned.
    pub fn kept(&self, stream: StreamName) -> Range<u64> {
        self.kept[place(stream)].clone()
    }

    /// Reads from a stream at an offset of its file; 0 at its end.
    pub fn read_at(&self, stream: StreamName, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(file) = &self.files[place(stream)] else { return Ok(0) };
        let mut length = buffer.len();
        if self.until.is_some() {
            let left = self.kept[place(stream)].end.saturating_sub(offset);
            length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
        }
        file.read_at(&mut buffer[..length], offset)
    }

    /// All that is kept of a piece.
    pub fn bytes(&self, piece: &Piece) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if piece.is_pruned {
            return Ok(bytes);
        }
        let length = usize::try_from(piece.range.end - piece.range.start).unwrap_or(usize::MAX);
        bytes.resize(length, 0);
        let mut filled = 0;
        while filled < length {
            let offset = piece.range.start + filled as u64;
            match self.read_at(piece.stream, offset, &mut bytes[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Everything printed, in order; of the present also what the index lacks yet.
    pub fn pieces(&mut self) -> io::Result<Vec<Piece>> {
        let mut seen = [0_u64; 2];
        let mut pieces = Vec::new();
        while let Some(entry) = self.index.next_entry()? {
            if self.until.is_some_and(|until| entry.at.wall > until) {
                break;
            }
            self.step(&mut pieces, &mut seen, entry.lengths, Some(entry.at));
        }
        if self.until.is_none() {
            let ends = [self.kept[0].end, self.kept[1].end];
            self.step(&mut pieces, &mut seen, ends, None);
        }
        Ok(pieces)
    }

    /// Adds what lies between two lengths. A file that became shorter is seen from its new end.
    fn step(
        &self,
        pieces: &mut Vec<Piece>,
        seen: &mut [u64; 2],
        lengths: [u64; 2],
        at: Option<Now>,
    ) {
        for stream in StreamName::BOTH {
            let number = place(stream);
            let kept = &self.kept[number];
            let range = seen[number]..lengths[number].min(kept.end);
            seen[number] = lengths[number];
            let middle = kept.start.clamp(range.start, range.end.max(range.start));
            for (range, is_pruned) in [(range.start..middle, true), (middle..range.end, false)] {
                if range.start < range.end {
                    push(pieces, Piece { at, stream, range, is_pruned });
                }
            }
        }
    }
}

/// Pruned pieces in a row are one.
fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    let same = pieces.iter_mut().rev().take(2).find(|last| last.stream == piece.stream);
    match same {
        Some(last) if last.is_pruned && piece.is_pruned && last.range.end == piece.range.start => {
            last.range.end = piece.range.end;
        }
        _ => pieces.push(piece),
    }
}

fn place(stream: StreamName) -> usize {
    match stream {
        StreamName::Stdout => 0,
        StreamName::Stderr => 1,
    }
}

fn kept_range(file: &File, bytes_max: u64) -> io::Result<Range<u64>> {
    let length = file.metadata()?.len();
    if length <= bytes_max {
        return Ok(0..length);
    }
    match rustix::fs::seek(file, SeekFrom::Data(0)) {
        Ok(start) => Ok(start.min(length)..length),
        // ENXIO: nothing but a hole. EINVAL: the filesystem knows no holes.
        Err(rustix::io::Errno::NXIO) => Ok(length..length),
        Err(_) => Ok(0..length),
    }
}
