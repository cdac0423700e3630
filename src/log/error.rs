//! What can go wrong with a log, each with the place where it did.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::codec::DecodeError;
use super::upcast::Shape;
use crate::model::Digest;

/// Why the log could not be read or written. Never a reason to start empty or to skip a record.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Bytes are not what was written.
    #[error("{place}: {damage}")]
    Damaged {
        /// Where.
        place: Place,
        /// What is wrong.
        damage: Damage,
    },
    /// A newer jr wrote this; it must not be guessed at, nor written to.
    #[error("{place}: {newer}")]
    Newer {
        /// Where.
        place: Place,
        /// What is unknown here.
        newer: Newer,
    },
    /// The system refused.
    #[error("{operation} {}: {source}", .path.display())]
    Io {
        /// On what.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The disk or quota is full.
    #[error("{operation} {}: no space left", .path.display())]
    OutOfSpace {
        /// On what.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
    },
    /// Somebody else holds it.
    #[error("{} is in use by another process", .path.display())]
    Busy {
        /// What is held.
        path: PathBuf,
    },
    /// There is nothing there.
    #[error("{} does not exist", .path.display())]
    NotFound {
        /// What was looked for.
        path: PathBuf,
    },
    /// The log does not keep this seq any more, or not its payload.
    #[error("{place}: pruned")]
    Pruned {
        /// Where.
        place: Place,
    },
    /// An earlier error left the outcome of a write unknown: end, open again, read.
    #[error("{}: an earlier write failed, so nothing is written any more", .file.display())]
    Poisoned {
        /// The segment.
        file: PathBuf,
    },
    /// redb panicked, as it does on many damaged pages.
    #[error("{}: {operation}: redb panicked at {at}, as it does on damaged pages", .file.display())]
    Panicked {
        /// The segment.
        file: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// File and line of redb.
        at: String,
    },
    /// What was to be appended does not fit; nothing was written.
    #[error("{}: {refusal}", .file.display())]
    Refused {
        /// The segment.
        file: PathBuf,
        /// Why.
        refusal: Refusal,
    },
}

/// A place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Segment or other file.
    pub file: PathBuf,
    /// Record, where it is about one.
    pub seq: Option<u64>,
    /// Byte in that record's payload, where that is known.
    pub offset: Option<usize>,
}

impl Place {
    /// A whole file.
    pub fn of_file(file: &Path) -> Self {
        Self { file: file.to_owned(), seq: None, offset: None }
    }

    /// One record of it.
    pub fn of_record(file: &Path, seq: u64) -> Self {
        Self { file: file.to_owned(), seq: Some(seq), offset: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(seq) = self.seq {
            write!(f, ": record {seq}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", payload byte {offset}")?;
        }
        Ok(())
    }
}

/// What is wrong with damaged bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// redb finds its own structure broken; its words.
    #[error("the database is damaged: {0}")]
    Structure(String),
    /// The file has no bytes at all.
    #[error("the file is empty")]
    EmptyFile,
    /// A row that every segment has is missing.
    #[error("the row `{0}` is missing")]
    RowMissing(&'static str),
    /// A row that every segment has cannot be read.
    #[error("the row `{0}` is malformed")]
    RowMalformed(&'static str),
    /// The header names another first record than the file's name does.
    #[error("its header says that it begins at {0}")]
    WrongFirstSeq(u64),
    /// The header names another environment.
    #[error("it belongs to environment `{0}`")]
    WrongEnvironment(String),
    /// The segment does not continue the one before it.
    #[error("it does not continue the segment before it")]
    SegmentGap,
    /// The snapshot does not have its digest.
    #[error("the snapshot does not match its digest")]
    Snapshot,
    /// The head row says that this record exists.
    #[error("the record is missing")]
    RecordMissing,
    /// There is a record after the one that the head row names.
    #[error("a record lies after the head")]
    RecordAfterHead,
    /// The stored bytes are no record.
    #[error("the record is malformed: {0}")]
    Record(RecordFault),
    /// A value that holds pruned records is not what was stored.
    #[error("the pruned records from here on are damaged")]
    Span,
    /// `log/floor` is not what was stored.
    #[error("it is malformed")]
    Floor,
    /// `log/floor` names a record that is not there, or another hash before it.
    #[error("it does not fit the log beside it")]
    FloorMisplaced,
    /// The newest segment is sealed: there was one after it.
    #[error("the segment after it, from record {0} on, is missing")]
    NextMissing(u64),
    /// The record is not what its digest was made of.
    #[error("the record does not match its digest")]
    Digest,
    /// The record does not follow from the one before it.
    #[error("the chain is broken: the record does not continue its predecessor")]
    Chain,
    /// The head row names another hash than the last record has.
    #[error("the head row does not match the last record")]
    Head,
    /// The row of shapes in use lacks this one.
    #[error("the row of kinds lacks kind {} version {}", .0.kind, .0.version)]
    ShapeUnlisted(Shape),
    /// The payload does not fit its label.
    #[error("the payload is malformed: {0}")]
    Payload(DecodeError),
    /// It tells of something that cannot have happened after what came before.
    #[error("it does not follow from the state before it")]
    Illegal,
    /// A blob does not have the digest that names it.
    #[error("the blob does not match its digest {0}")]
    Blob(Digest),
}

/// What is wrong with the bytes of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Too short for what they claim to hold, or too long.
    #[error("its length does not fit")]
    Length,
    /// A flag or state byte is none.
    #[error("a flag is neither 0 nor 1")]
    Flag,
    /// It says another seq than the key that it lies under.
    #[error("it says that it is record {0}")]
    Seq(u64),
}

/// What a newer jr wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Newer {
    /// The layout of a segment.
    #[error("format {0} of a segment is unknown here")]
    SegmentFormat(u8),
    /// The layout of `log/floor`.
    #[error("format {0} of the floor is unknown here")]
    FloorFormat(u8),
    /// The shape of a saved state.
    #[error("version {0} of a saved state is unknown here")]
    Snapshot(u16),
    /// The layout of a record.
    #[error("format {0} of a record is unknown here")]
    RecordFormat(u8),
    /// The kind or version of a record.
    #[error("kind {} version {} is unknown here", .0.kind, .0.version)]
    Shape(Shape),
}

/// Why an append was refused before anything was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Seqs must be dense.
    #[error("record {found} was to be appended where {expected} comes next")]
    SeqGap {
        /// The next seq.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A batch was encoded for another head than the log has.
    #[error("the batch does not continue the head, record {head}")]
    WrongHead {
        /// The head.
        head: u64,
    },
    /// Above `limits::PAYLOAD_BYTES`.
    #[error("the payload of record {seq} has {bytes} bytes, too many")]
    PayloadTooLarge {
        /// Which.
        seq: u64,
        /// How many.
        bytes: usize,
    },
}

impl LogError {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        let hint = match self {
            Self::Damaged { place: Place { seq: Some(seq), .. }, .. } if *seq > 1 => {
                let before = seq - 1;
                return format!(
                    "jr log verify; what came before it: jr debug-report --at {before}"
                );
            }
            Self::Damaged { .. } | Self::Panicked { .. } => {
                "jr log verify names the first bad place; the file is left as it is"
            }
            Self::Newer { .. } => "use the newer jr that wrote it; this one changes nothing here",
            Self::Io { .. } => "check the disk and the permissions of the directory",
            Self::OutOfSpace { .. } => "free some space and try again; what was told is kept",
            Self::Busy { .. } => "another jr works on it; try again in a moment",
            Self::NotFound { .. } => "nothing was recorded there yet",
            Self::Pruned { .. } => "its payload was pruned; its place in the chain is kept",
            Self::Poisoned { .. } => "start again; what was told is kept",
            Self::Refused { .. } => "nothing was written; this is a defect of jr",
        };
        hint.to_owned()
    }

    /// The record that it is about.
    pub fn seq(&self) -> Option<u64> {
        match self {
            Self::Damaged { place, .. } | Self::Newer { place, .. } | Self::Pruned { place } => {
                place.seq
            }
            Self::Io { .. }
            | Self::OutOfSpace { .. }
            | Self::Busy { .. }
            | Self::NotFound { .. }
            | Self::Poisoned { .. }
            | Self::Panicked { .. }
            | Self::Refused { .. } => None,
        }
    }

    /// An error of a system call on `path`.
    pub(crate) fn io(path: &Path, operation: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::OutOfSpace { path, operation }
            }
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::ResourceBusy => Self::Busy { path },
            _ => Self::Io { path, operation, source },
        }
    }

    /// An error of redb in `file`.
    pub(crate) fn redb(file: &Path, operation: &'static str, error: redb::Error) -> Self {
        match error {
            redb::Error::Io(source) => match source.kind() {
                // Beyond the end of a cut file, and not redb's magic number.
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
                    Self::damaged(file, Damage::Structure(source.to_string()))
                }
                _ => Self::io(file, operation, source),
            },
            redb::Error::PreviousIo | redb::Error::DatabaseClosed => {
                Self::Poisoned { file: file.to_owned() }
            }
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                Self::Busy { path: file.to_owned() }
            }
            other => Self::damaged(file, Damage::Structure(other.to_string())),
        }
    }

    /// The same error, in a file that was not known where it was found.
    pub(crate) fn in_file(mut self, path: &Path) -> Self {
        if let Self::Damaged { place, .. } | Self::Newer { place, .. } | Self::Pruned { place } =
            &mut self
        {
            path.clone_into(&mut place.file);
        }
        self
    }

    /// Damage of a whole file.
    pub(crate) fn damaged(file: &Path, damage: Damage) -> Self {
        Self::Damaged { place: Place::of_file(file), damage }
    }

    /// Damage of one record.
    pub(crate) fn damaged_at(file: &Path, seq: u64, damage: Damage) -> Self {
        let offset = match &damage {
            Damage::Payload(error) => Some(error.offset),
            _ => None,
        };
        Self::Damaged { place: Place { offset, ..Place::of_record(file, seq) }, damage }
    }
}
