//! Deliberate bugs, with the feature `mutants` only, that the test suite must catch.
//!
//! One is chosen at a time, by name, for the calling thread: `docs/testing.md` lists them. A
//! process that a test starts takes the choice from the environment variable `JR_MUTANT`.

#[cfg(feature = "mutants")]
mod chosen {
    use std::cell::RefCell;

    thread_local! {
        static CHOSEN: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// Chooses the bug for this thread; `None` is a healthy jr.
    pub fn choose(name: Option<&str>) {
        CHOSEN.with(|chosen| *chosen.borrow_mut() = name.map(str::to_owned));
    }

    /// Whether the bug is chosen, by [`choose`] or by the environment variable `JR_MUTANT`.
    pub fn is_on(name: &str) -> bool {
        let here = CHOSEN.with(|chosen| chosen.borrow().as_deref() == Some(name));
        here || std::env::var_os("JR_MUTANT").is_some_and(|chosen| chosen == name)
    }
}

#[cfg(feature = "mutants")]
pub use chosen::{choose, is_on};

/// A jr as it is released has none.
#[cfg(not(feature = "mutants"))]
pub const fn is_on(_: &str) -> bool {
    false
}
