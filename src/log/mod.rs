//! L1. What happened, on disk. The only truth.
//!
//! ```text
//! <environment>/lock, starting         lock.rs       who may work here
//!               log/<first seq>.redb   segments.rs   the highest is hot; the others are sealed
//!                 records: seq → bytes record.rs     label │ seq │ time │ cause │ payload │ hashes
//!                 spans: seq → bytes   span.rs       pruned records, several in a row
//!                 meta: 5 rows         segments.rs   header, snapshot, head, kinds, sealed
//!               log/floor              floor.rs      where the kept history begins, after a prune
//!               blobs/<2>/<62>         blobs.rs      what events refer to by digest
//!               secrets/<run>          secrets.rs    what must not be in an event
//!               secrets/key, proofs    secrets.rs    what tells later whether they are the same
//!
//! Envelope ──upcast, codec, record, chain──▶ Batch ──store──▶ one durable commit
//! Envelope ◀──upcast, codec────── Record (verified) ◀──reader, cursor── a file, open or as it lies
//! ```
//!
//! Every call into redb goes through `guard`; reading without a daemon through [`overlay`].
//! docs/log-format.md has the format to the byte.

pub mod atomic;
pub mod blobs;
pub mod chain;
pub mod codec;
mod cursor;
pub mod directory;
pub mod error;
pub mod floor;
mod guard;
pub mod lock;
mod memory;
pub mod overlay;
mod parallel;
pub mod part;
pub mod prune;
mod reader;
pub mod record;
pub mod secrets;
mod segment;
pub mod segments;
pub mod snapshot;
mod span;
pub mod stat;
mod store;
pub mod upcast;
pub mod verify;
pub mod versions;

pub use blobs::Blobs;
pub use chain::Head;
pub use cursor::{Cursor, Events};
pub use directory::{Directory, Folder};
pub use error::LogError;
pub use floor::Floor;
pub(crate) use guard::quietly;
pub use lock::{Lock, Sharing};
pub use memory::MemoryFolder;
pub use reader::{Look, Reader, Snapshot};
pub use secrets::Secrets;
pub use segments::SegmentHeader;
pub use store::{Batch, Store};
