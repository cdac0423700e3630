//! Version 2 of the kinds that have one. Frozen, as [`super::v1`] is.
//!
//! Each is what version 1 was, and after it what is new: payloads have no names, so that the bytes
//! of a struct within a struct are its fields, and what is added comes last.

mod commit;
mod hold;

pub use commit::{Commit, RunAdmitted, ServiceDeclared};
pub use hold::{QueuePaused, QueueUnpaused, RunQueued};
