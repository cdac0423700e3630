//! Deliberate bugs, compiled only with the feature `mutants`, that the test suite must catch.
//!
//! One is chosen at a time, by name, for the calling thread: `docs/testing.md` lists them.

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
