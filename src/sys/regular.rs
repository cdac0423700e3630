//! Opening what should be a regular file. A FIFO or a device in its place would make who opens it
//! wait for the other end, which may never come, or give a process a terminal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading.
///
/// # Errors
/// The system refuses, or what is there is no regular file ([`io::ErrorKind::InvalidInput`]).
pub fn open(path: &Path) -> io::Result<File> {
    open_with(OpenOptions::new().read(true), path)
}

/// Opens a regular file as the options say.
///
/// # Errors
/// As [`open`].
pub fn open_with(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // These change nothing for a regular file (open(2)).
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = options.custom_flags(flags).open(path).map_err(|error| {
        // A FIFO that nobody reads, opened for writing, and a socket.
        match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::NXIO) => no_file(),
            _ => error,
        }
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_file_is_opened_and_nothing_waits() {
        let directory = tempfile::tempdir().expect("a directory");
        let fifo = directory.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a FIFO");
        for path in [fifo.as_path(), directory.path()] {
            let error = open(path).expect_err("no file");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
        let error = open_with(OpenOptions::new().write(true), &fifo).expect_err("no file");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        let file = directory.path().join("file");
        assert_eq!(open(&file).expect_err("nothing").kind(), io::ErrorKind::NotFound);
        std::fs::write(&file, b"x").expect("writes");
        assert!(open(&file).is_ok());
    }
}
