//! Every call into redb goes through here: a panic in it becomes a typed error.
//!
//! On many damaged pages redb panics. The panic is caught without a word on standard error, and a
//! `Database` in which one happened is never dropped, nor what it lends from then on: dropping it
//! would touch the same pages and could abort the process.

use std::cell::{Cell, RefCell};
use std::ops::{Deref, DerefMut};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use super::error::LogError;

/// Watches over one open file.
#[derive(Debug)]
pub(crate) struct Guard {
    file: PathBuf,
    panicked: AtomicBool,
}

impl Guard {
    pub(crate) fn new(file: &Path) -> Arc<Self> {
        Arc::new(Self { file: file.to_owned(), panicked: AtomicBool::new(false) })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Runs `call`, which may call into redb and must own nothing of it whose drop does work.
    pub(crate) fn call<R>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> Result<R, redb::Error>,
    ) -> Result<R, LogError> {
        match quietly(call) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(LogError::redb(&self.file, operation, error)),
            Err(at) => {
                self.panicked.store(true, Ordering::Release);
                Err(LogError::Panicked { file: self.file.clone(), operation, at })
            }
        }
    }

    pub(crate) fn has_panicked(&self) -> bool {
        self.panicked.load(Ordering::Acquire)
    }
}

/// A thing of redb: dropped quietly, or leaked if redb panicked before.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    value: Option<T>,
    guard: Arc<Guard>,
}

impl<T> Kept<T> {
    pub(crate) fn new(value: T, guard: &Arc<Guard>) -> Self {
        Self { value: Some(value), guard: Arc::clone(guard) }
    }

    /// Takes it out, to be consumed by redb.
    pub(crate) fn into_inner(mut self) -> T {
        self.value.take().expect("held until it is dropped")
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("held until it is dropped")
    }
}

impl<T> DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("held until it is dropped")
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        let Some(value) = self.value.take() else { return };
        if self.guard.has_panicked() || std::thread::panicking() {
            std::mem::forget(value);
        } else if quietly(|| drop(value)).is_err() {
            self.guard.panicked.store(true, Ordering::Release);
        }
    }
}

thread_local! {
    /// Whether this thread is inside [`quietly`].
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// Where the last quiet panic was.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `call`; a panic prints nothing and becomes the file and line where it was.
pub(crate) fn quietly<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    install_hook();
    let outer = QUIET.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    QUIET.set(outer);
    result.map_err(|_| PLACE.take())
}

/// Lets the panic hook be silent inside [`quietly`], and as it was everywhere else.
fn install_hook() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                return before(info);
            }
            // Not the message: it may quote what it found in the file.
            let place = info.location().map_or_else(String::new, |location| {
                let file = Path::new(location.file()).file_name().unwrap_or_default();
                format!("{}:{}", file.display(), location.line())
            });
            PLACE.set(place);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Loud<'a>(&'a AtomicBool);

    impl Drop for Loud<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }

    #[test]
    fn a_panic_is_an_error_with_its_place() {
        let guard = Guard::new(Path::new("some.redb"));
        let error = guard.call::<()>("read", || panic!("secret")).expect_err("it panicked");
        let text = error.to_string();
        assert!(text.starts_with("some.redb: read: redb panicked at guard.rs:"), "{text}");
        assert!(!text.contains("secret"));
    }

    #[test]
    fn after_a_panic_nothing_is_dropped() {
        for panics in [false, true] {
            let dropped = AtomicBool::new(false);
            let guard = Guard::new(Path::new("some.redb"));
            let kept = Kept::new(Loud(&dropped), &guard);
            if panics {
                assert!(guard.call::<()>("read", || panic!("damaged")).is_err());
            }
            drop(kept);
            assert_eq!(dropped.load(Ordering::Acquire), !panics);
        }
    }
}
