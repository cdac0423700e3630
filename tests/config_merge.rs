//! Merging, for any trees: associative; what stands in the last tree that has it wins, and says so.

use std::collections::BTreeMap;

use jr::config::merge::merge;
use jr::config::source::Origin;
use jr::config::tree::{Node, Table, Value, each_leaf, find};
use proptest::prelude::*;

/// A tree of few keys, so that trees meet.
fn tree(source: usize) -> impl Strategy<Value = Table> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        "[ab]{0,3}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Boolean),
        proptest::collection::vec(any::<bool>(), 0..3).prop_map(move |items| {
            Value::List(items.into_iter().map(|item| node(source, Value::Boolean(item))).collect())
        }),
    ];
    let value =
        leaf.prop_recursive(3, 24, 4, move |inner| table(source, inner).prop_map(Value::Table));
    table(source, value)
}

fn table(source: usize, value: impl Strategy<Value = Value>) -> impl Strategy<Value = Table> {
    proptest::collection::btree_map("[abc]", value, 0..4).prop_map(move |entries| {
        entries.into_iter().map(|(key, value)| (key, node(source, value))).collect()
    })
}

fn node(source: usize, value: Value) -> Node {
    Node { value, origin: Origin::new(source, 0..1, 2..3) }
}

fn merged(trees: &[&Table]) -> Table {
    let mut out = Table::new();
    for tree in trees {
        merge(&mut out, (*tree).clone());
    }
    out
}

/// Values with the tree that each is from; an empty table is a leaf of its own.
fn leaves(tree: &Table) -> BTreeMap<Vec<String>, (serde_json::Value, usize)> {
    let mut out = BTreeMap::new();
    each_leaf(tree, &mut Vec::new(), &mut |path, node| {
        out.insert(path.to_vec(), (node.to_json(), node.origin.source));
    });
    out
}

proptest! {
    #[test]
    fn merging_is_associative(a in tree(0), b in tree(1), c in tree(2)) {
        let left = merged(&[&merged(&[&a, &b]), &c]);
        let right = merged(&[&a, &merged(&[&b, &c])]);
        prop_assert_eq!(left, right);
    }

    #[test]
    fn nothing_on_top_and_nothing_below_change_nothing(a in tree(0)) {
        prop_assert_eq!(&merged(&[&a, &Table::new()]), &a);
        prop_assert_eq!(&merged(&[&Table::new(), &a]), &a);
        prop_assert_eq!(&merged(&[&a, &a]), &a);
    }

    #[test]
    fn a_value_is_from_the_last_tree_that_has_it(a in tree(0), b in tree(1), c in tree(2)) {
        let trees = [&a, &b, &c];
        for (path, (value, source)) in leaves(&merged(&trees)) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let has = |tree: &&&Table| find(tree, &path).is_some();
            let last = trees.iter().rfind(has).expect("somebody says it");
            let said = find(last, &path).expect("it has it");
            if said.table().is_none() {
                prop_assert_eq!(said.to_json(), value);
                prop_assert_eq!(said.origin.source, source);
            }
        }
    }

    #[test]
    fn tables_are_merged_and_all_else_is_replaced(a in tree(0), b in tree(1)) {
        let both = merged(&[&a, &b]);
        for (key, node) in &both {
            match (a.get(key), b.get(key)) {
                (Some(below), Some(above)) => {
                    if let (Some(below), Some(above)) = (below.table(), above.table()) {
                        prop_assert_eq!(node.table(), Some(&merged(&[below, above])));
                    } else {
                        prop_assert_eq!(&node.value, &above.value);
                        prop_assert_eq!(node.origin.source, above.origin.source);
                    }
                }
                (only, None) | (None, only) => prop_assert_eq!(Some(node), only),
            }
        }
    }
}
