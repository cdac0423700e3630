//! How far a run is, and how long it may still take: nothing of it is an event.
//!
//! ```text
//! newest output ──Tracker──▶ Printed ─┐
//! records ──begun──▶ time since start ├─▶ ProgressView ──estimate──▶ time left
//! runs that ended ──usual──▶ median ──┘
//! ```
//! `begun` and `usual` read the log's views; `tracker` and `estimate` are pure, and are
//! given output by whoever reads its files (docs/decisions/0012-progress-from-output.md).

pub(super) mod begun;
pub mod estimate;
mod fields;
pub(super) mod paused;
pub mod tracker;
pub(super) mod usual;

pub use estimate::estimate;
pub use tracker::{Bar, Printed, Tracker};

/// Whether some run in a document has progress to which its output may add: where none has, the
/// document need not be understood to be printed. In a string the quotes would stand behind
/// backslashes.
pub fn is_told_in(document: &[u8]) -> bool {
    memchr::memmem::find(document, b"\"progress\":{").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::view::ProgressView;

    #[test]
    fn only_an_object_is_progress() {
        let of = |progress: Option<ProgressView>, command: &str| {
            let document = serde_json::json!({ "command": command, "progress": progress });
            is_told_in(&serde_json::to_vec(&document).expect("text keys"))
        };
        assert!(of(Some(ProgressView::default()), ""));
        assert!(!of(None, ""));
        assert!(!of(None, "x\"progress\":{"));
    }
}
