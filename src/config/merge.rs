//! Deep merge: tables are merged, everything else is replaced, and each value keeps the place where
//! it was written.
//!
//! Merging is associative, and what stands in the last tree that has it wins
//! (`tests/config_merge.rs`).

use super::tree::{Node, Table, Value};

/// Lays `over` on top of `base`.
pub fn merge(base: &mut Table, over: Table) {
    for (key, node) in over {
        match base.get_mut(&key) {
            Some(Node { value: Value::Table(below), .. }) if node.table().is_some() => {
                if let Value::Table(above) = node.value {
                    merge(below, above);
                }
            }
            Some(below) => *below = node,
            None => {
                base.insert(key, node);
            }
        }
    }
}
