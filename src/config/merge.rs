//! Deep merge: tables are merged, everything else is replaced, and each value keeps the place where
//! it was written.
//!
//! Merging is associative, and what stands in the last tree that has it wins
//! (`tests/config_merge.rs`).

use super::tree::{Node, Table, Value};

/// Lays `over` on top of `base`.
pub fn merge(base: &mut Table, over: Table) {
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
