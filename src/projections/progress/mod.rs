//! How far a run is, and how long it may still take: nothing of it is an event.
//!
//! ```text
//! newest output ──Tracker──▶ Printed ─┐
//! records ──begun──▶ time since start ├─▶ ProgressView ──estimate──▶ time left
//! runs that ended ──usual──▶ median ──┘
//! ```
//! [`begun`] and [`usual`] read the log's views; [`tracker`] and [`estimate`] are pure, and are
//! given output by whoever reads its files (docs/decisions/0012-progress-from-output.md).

pub(super) mod begun;
pub mod estimate;
mod fields;
pub(super) mod paused;
pub mod tracker;
pub(super) mod usual;

pub use estimate::estimate;
pub use tracker::{Bar, Printed, Tracker};
