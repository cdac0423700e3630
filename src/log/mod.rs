//! L1. What happened, on disk.
pub mod codec;
pub mod upcast;
pub mod versions;
