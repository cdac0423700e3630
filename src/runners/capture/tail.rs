//! The newest bytes of one stream, at the least cost: a run that printed nothing costs one look at
//! its file's name.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use super::StreamName;

/// What was printed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// There is more before them.
    pub is_cut: bool,
    /// When they were written, in seconds and nanoseconds: tells which stream is newer.
    pub modified: (i64, i64),
}

/// At most `bytes_max` of a stream; `None` if nothing was printed there.
///
/// # Errors
/// The file is there, and cannot be read.
pub fn read(base: &Path, stream: StreamName, bytes_max: u64) -> io::Result<Option<Tail>> {
    let path = stream.path(base);
    let found = match std::fs::metadata(&path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = found.len();
    if length == 0 || !found.is_file() {
        return Ok(None);
    }
    let from = length.saturating_sub(bytes_max);
    let file = File::open(&path)?;
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            // It was cut meanwhile.
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(Some(Tail { bytes, is_cut: from > 0, modified: (found.mtime(), found.mtime_nsec()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_are_read() {
        let place = tempfile::tempdir().expect("a directory");
        let base = place.path().join("x.1");
        let read = |max| read(&base, StreamName::Stdout, max).expect("reads");
        assert_eq!(read(4), None, "no file");
        std::fs::write(place.path().join("x.1.out"), "").expect("written");
        assert_eq!(read(4), None, "nothing in it");
        std::fs::write(place.path().join("x.1.out"), "abcdef").expect("written");
        let of = |max| read(max).map(|tail| (tail.bytes, tail.is_cut));
        assert_eq!(of(4), Some((b"cdef".to_vec(), true)));
        assert_eq!(of(6), Some((b"abcdef".to_vec(), false)));
        assert_eq!(of(u64::MAX), Some((b"abcdef".to_vec(), false)));
    }
}
