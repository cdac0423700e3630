//! A debug bundle of an environment: gathers what belongs into it, and says what it shows.
//!
//! ```text
//! log ──parts──▶ gather ──▶ bundle::Writer ──▶ FILE.jrb.tmp ──fsync, rename──▶ FILE.jrb
//!                  └─▶ what each projection comes to, which blobs and outputs belong to it
//! ```
//! Whoever dies in between leaves a `.tmp` and no bundle.

pub mod cause;
pub mod configured;
pub mod deep;
pub mod facts;
pub mod failures;
pub mod gather;
pub mod known;
pub mod output;
