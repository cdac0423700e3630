//! Merging, for any trees: associative; what stands in the last tree that has it wins, and says so;
//! keys that exclude each other are one thing in this.

use std::collections::{BTreeMap, BTreeSet};

use jr::config::merge::merge;
use jr::config::source::{Alternative, Origin};
use jr::config::tree::{Node, Table, Value, each_leaf, find};
use proptest::prelude::*;

/// Keys that exclude each other, `y` and `z` together.
const ALTERNATIVES: [(&str, usize); 4] = [("w", 0), ("x", 1), ("y", 2), ("z", 2)];

/// A tree of few keys, so that trees meet.
fn tree(source: usize) -> impl Strategy<Value = Table> {
    tree_of(source, "[abwxyz]")
}

/// One in which nothing excludes anything.
fn plain(source: usize) -> impl Strategy<Value = Table> {
    tree_of(source, "[abc]")
}

fn tree_of(source: usize, keys: &'static str) -> impl Strategy<Value = Table> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        "[ab]{0,3}".prop_map(Value::Text),
        any::<bool>().prop_map(Value::Boolean),
        proptest::collection::vec(any::<bool>(), 0..3).prop_map(move |items| {
            Value::List(items.into_iter().map(|item| node(source, Value::Boolean(item))).collect())
        }),
    ];
    let within = move |inner| table(source, keys, inner).prop_map(Value::Table);
    table(source, keys, leaf.prop_recursive(3, 24, 4, within))
}

fn table(
    source: usize,
    keys: &'static str,
    value: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Table> {
    let entry = move |(key, value): (String, Value)| {
        let mut node = node(source, value);
        node.origin.alternative =
            number_of(&key).map(|number| Alternative { number, replaces: false });
        (key, node)
    };
    proptest::collection::btree_map(keys, value, 0..4)
        .prop_map(move |entries| entries.into_iter().map(entry).collect())
}

fn number_of(key: &str) -> Option<usize> {
    ALTERNATIVES.iter().find(|(name, _)| *name == key).map(|(_, number)| *number)
}

fn node(source: usize, value: Value) -> Node {
    Node { value, origin: Origin::new(source, 0..1, 2..3) }
}

/// The alternatives that a table chose.
fn chosen(table: &Table) -> BTreeSet<usize> {
    table.keys().filter_map(|key| number_of(key)).collect()
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
    fn tables_are_merged_and_all_else_is_replaced(a in plain(0), b in plain(1)) {
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

    #[test]
    fn the_last_that_chose_an_alternative_has_chosen(a in tree(0), b in tree(1), c in tree(2)) {
        let trees = [&a, &b, &c];
        let all = merged(&trees);
        let last = trees.iter().rev().map(|tree| chosen(tree)).find(|chosen| !chosen.is_empty());
        prop_assert_eq!(chosen(&all), last.unwrap_or_default());
        // What is none stays.
        let shared = |tree: &Table| -> BTreeSet<String> {
            tree.keys().filter(|key| number_of(key).is_none()).cloned().collect()
        };
        let said: BTreeSet<String> = trees.iter().flat_map(|tree| shared(tree)).collect();
        prop_assert_eq!(shared(&all), said);
        // The same choice goes on with what is below, another one with nothing of it.
        let both = merged(&[&a, &b]);
        for (key, node) in both.iter().filter(|(key, _)| number_of(key).is_some()) {
            let goes_on = chosen(&b).is_empty() || chosen(&a) == chosen(&b);
            let of_a = a.get(key).filter(|_| goes_on);
            match (of_a.map(Node::to_json), b.get(key).map(Node::to_json)) {
                (Some(below), Some(above)) if !below.is_object() || !above.is_object() => {
                    prop_assert_eq!(node.to_json(), above);
                }
                (Some(_), Some(_)) => {
                    let tables = [a[key].table(), b[key].table()].map(|table| table.expect("one"));
                    prop_assert_eq!(node.table(), Some(&merged(&tables)));
                }
                (only, None) | (None, only) => prop_assert_eq!(Some(node.to_json()), only),
            }
        }
    }
}
