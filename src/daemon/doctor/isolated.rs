//! Looking at something that may hang or break, without being held up or broken by it: each look
//! is a thread of its own with a deadline. One that hangs (a dead network disk, a FIFO where a file
//! should be) is left behind and ends with the process.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::daemon::client::monotonic_ms;
use crate::log::quietly;

/// What a look gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gathered<T> {
    /// This.
    Known(T),
    /// Nothing.
    Unknown {
        /// Why.
        why: String,
    },
}

impl<T> Gathered<T> {
    /// What is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(known) => Some(known),
            Self::Unknown { .. } => None,
        }
    }

    /// Why nothing is.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown { why } => Some(why),
        }
    }
}

/// A look under way.
pub struct Pending<T> {
    result: Receiver<Result<T, String>>,
    deadline_ms: u64,
    limit_ms: u64,
}

/// Begins to look; what takes longer than `limit_ms` is not waited for.
pub fn begin<T: Send + 'static>(
    limit_ms: u64,
    look: impl FnOnce() -> T + Send + 'static,
) -> Pending<T> {
    let (sender, result) = sync_channel(1);
    let deadline_ms = monotonic_ms().saturating_add(limit_ms);
    let look = Arc::new(Mutex::new(Some(look)));
    let taken = Arc::clone(&look);
    let own = sender.clone();
    let thread = std::thread::Builder::new().name("jr-doctor".to_owned());
    if thread.spawn(move || perform(&taken, &own)).is_err() {
        // No thread can be had: that is for a check of limits to say.
        perform(&look, &sender);
    }
    Pending { result, deadline_ms, limit_ms }
}

fn perform<T, F: FnOnce() -> T>(look: &Mutex<Option<F>>, to: &SyncSender<Result<T, String>>) {
    let look = look.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(look) = look {
        // Nobody may wait for it any more.
        let _late = to.send(quietly(look).map_err(|at| format!("it failed at {at}")));
    }
}

impl<T> Pending<T> {
    /// A look that is not worth beginning.
    pub fn unknown(why: &str) -> Self {
        let (sender, result) = sync_channel(1);
        // There is room for one.
        let _sent = sender.send(Err(why.to_owned()));
        Self { result, deadline_ms: 0, limit_ms: 0 }
    }

    /// Waits for it, until its deadline at most.
    pub fn gathered(self) -> Gathered<T> {
        let left = Duration::from_millis(self.deadline_ms.saturating_sub(monotonic_ms()));
        match self.result.recv_timeout(left) {
            Ok(Ok(known)) => Gathered::Known(known),
            Ok(Err(why)) => Gathered::Unknown { why },
            Err(RecvTimeoutError::Timeout) => {
                Gathered::Unknown { why: format!("no answer within {} ms", self.limit_ms) }
            }
            Err(RecvTimeoutError::Disconnected) => {
                Gathered::Unknown { why: "its thread ended".to_owned() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_or_hangs_is_unknown_and_holds_nobody_up() {
        assert_eq!(begin(60_000, || 7).gathered(), Gathered::Known(7));
        let failed = begin(60_000, || -> i32 { panic!("secret") }).gathered();
        let why = failed.why().expect("it failed");
        assert!(why.starts_with("it failed at isolated.rs:") && !why.contains("secret"), "{why}");
        let (hold, held) = sync_channel::<()>(0);
        let hung = begin(20, move || held.recv().is_ok()).gathered();
        assert_eq!(hung.why(), Some("no answer within 20 ms"));
        drop(hold);
    }
}
