//! Is all as it should be, and if not, what to type.
//!
//! ```text
//! facts/   what is there: gathered once, each group by itself, nothing changed
//! checks/  what it means: pure functions of the facts
//! ```
//! A group that hangs, fails or is rubbish is a finding of its own, and the others go on.

pub mod checks;
pub mod facts;
pub mod finding;
pub mod isolated;

pub use facts::{Depth, Facts};
pub use finding::{Finding, Severity};

use crate::daemon::place::Place;

/// Looks at an environment and judges it, group after group.
pub fn examine(place: &Place, depth: Depth) -> (Facts, Vec<Finding>) {
    let facts = Facts::gather(place, depth);
    let findings = checks::judge(&facts);
    (facts, findings)
}
