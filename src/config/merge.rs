//! Deep merge: tables are merged, everything else is replaced, and each value keeps the place where
//! it was written. Keys that exclude each other ([`Alternative`](super::source::Alternative)) are
//! one thing in this: the later tree's take the place of the earlier one's, unless both chose the
//! same.
//!
//! Merging is associative, and what stands in the last tree that has it wins
//! (`tests/config_merge.rs`).

use std::collections::BTreeSet;

use super::tree::{Node, Table, Value};

/// Lays `over` on top of `base`.
pub fn merge(base: &mut Table, mut over: Table) {
    choose(base, &mut over);
    for (key, mut node) in over {
        let Some(below) = base.get_mut(&key) else {
            base.insert(key, node);
            continue;
        };
        match (&mut below.value, node.value) {
            (Value::Table(below), Value::Table(above)) if !node.origin.replaces => {
                merge(below, above);
            }
            (there, value) => {
                // Merged first with what is above it or first with what is below: the same.
                let is_table = matches!(value, Value::Table(_));
                node.origin.replaces |= is_table && !matches!(there, Value::Table(_));
                *below = Node { value, origin: node.origin };
            }
        }
    }
}

/// Takes the alternatives of `base` away where `over` chose otherwise. What replaced once replaces
/// for ever, as above: so `http` over `tcp` over `http` is the last of them, whichever two are
/// merged first.
fn choose(base: &mut Table, over: &mut Table) {
    let (below, above) = (Choice::of(base), Choice::of(over));
    if below.numbers.is_empty() || above.numbers.is_empty() {
        return;
    }
    let is_other = above.replaces || above.numbers != below.numbers;
    if is_other {
        base.retain(|_, node| node.origin.alternative.is_none());
    }
    for alternative in over.values_mut().filter_map(|node| node.origin.alternative.as_mut()) {
        alternative.replaces = is_other || below.replaces;
    }
}

/// Which alternatives a table chose; several only by mistake.
struct Choice {
    numbers: BTreeSet<usize>,
    replaces: bool,
}

impl Choice {
    fn of(table: &Table) -> Self {
        let chosen = || table.values().filter_map(|node| node.origin.alternative);
        let numbers = chosen().map(|alternative| alternative.number).collect();
        Self { numbers, replaces: chosen().any(|alternative| alternative.replaces) }
    }
}
