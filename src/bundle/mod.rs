//! L2. Debug bundles (`.jrb`): a part of a log with what belongs to it, readable anywhere.
//!
//! A tar archive, compressed with zstd, behind which a skippable frame has the blake3 of all bytes
//! before it (the seal). Standard tools open it. The reader takes exactly what the writer makes:
//! these members in this order, each with this header to the byte.
//!
//! ```text
//! bundle.json             what it is, whose log, from where to where        layout.rs
//! origin                  hash of the record before, and the state there    log/part.rs
//! kept/00000001 …         frames of records from before, of pinned runs
//! records/00000001 …      frames of records, as stored
//! blobs/00000001 …        digest 32 │ length 4 │ bytes, each
//! output/RUN.ATTEMPT.out  and .err, .idx; only where asked for, redacted
//! redactions.json         what was taken out where, and what was left out
//! facts/…                 of this machine and this moment; all else follows from the log
//! manifest.json           bytes and blake3 of each member before, digests of the projections
//! ```
//! docs/bundle-format.md has the format to the byte, docs/decisions/0013 the reasons.

pub mod error;
pub mod layout;
pub mod reader;
pub mod redact;
mod seal;
mod source;
mod spool;
mod tar;
pub mod writer;

pub use error::BundleError;
pub use layout::{Header, Manifest};
pub use reader::Bundle;
pub use writer::Writer;
