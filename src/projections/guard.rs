//! Keeps a `redb::Database` from taking the process with it: a panic becomes a typed error.
//!
//! On many damaged pages redb panics. After one, the database is leaked, never dropped: dropping
//! it would touch the same pages and could abort the process.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::ViewsError;

/// A thing of redb that is used only through [`Guarded::call`].
#[derive(Debug)]
pub(super) struct Guarded<T> {
    value: Option<T>,
    panicked: AtomicBool,
}

impl<T> Guarded<T> {
    /// Makes it by a call that may panic.
    pub(super) fn make(
        operation: &'static str,
        make: impl FnOnce() -> Result<T, redb::Error>,
    ) -> Result<Self, ViewsError> {
        let value = quietly(make).ok_or_else(|| panicked(operation))?;
        let value = value.map_err(|error| ViewsError::redb(operation, error))?;
        Ok(Self { value: Some(value), panicked: AtomicBool::new(false) })
    }

    /// Runs `call`, which keeps what it takes from redb in `ManuallyDrop` until it succeeded.
    pub(super) fn call<R>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&T) -> Result<R, ViewsError>,
    ) -> Result<R, ViewsError> {
        let Some(value) = self.value.as_ref().filter(|_| !self.has_panicked()) else {
            return Err(panicked(operation));
        };
        quietly(|| call(value)).unwrap_or_else(|| {
            self.panicked.store(true, Ordering::Release);
            Err(panicked(operation))
        })
    }

    fn has_panicked(&self) -> bool {
        self.panicked.load(Ordering::Acquire)
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else { return };
        if self.has_panicked() || std::thread::panicking() {
            std::mem::forget(value);
        } else if quietly(|| drop(value)).is_none() {
            self.panicked.store(true, Ordering::Release);
        }
    }
}

fn panicked(operation: &'static str) -> ViewsError {
    ViewsError::damaged(format!("redb panicked in {operation}"))
}

thread_local! {
    /// Whether this thread is inside [`quietly`].
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `call`; a panic prints nothing and gives `None`.
fn quietly<R>(call: impl FnOnce() -> R) -> Option<R> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    let outer = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    QUIET.set(outer);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_and_the_last_call() {
        let guarded = Guarded::make("open", || Ok(7)).expect("opens");
        assert_eq!(guarded.call("read", |value| Ok(*value)).expect("reads"), 7);
        assert!(guarded.call::<()>("read", |_| panic!("damaged")).is_err_and(|e| e.is_damage()));
        assert!(guarded.call("read", |value| Ok(*value)).is_err(), "it is not trusted again");
    }
}
