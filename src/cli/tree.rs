//! Which run came from which, drawn before their names: pure.

use std::collections::BTreeMap;

use crate::projections::view::RunView;

/// Branches of a drawn tree.
struct Branches {
    middle: &'static str,
    last: &'static str,
    through: &'static str,
    none: &'static str,
}

const LINES: Branches =
    Branches { middle: "├─ ", last: "└─ ", through: "│  ", none: "   " };
const ASCII: Branches = Branches { middle: "|- ", last: "`- ", through: "|  ", none: "   " };

/// Puts branches before the names of runs that stand in the order of a tree.
pub fn draw(runs: &mut [RunView], utf8: bool) {
    let branches = if utf8 { &LINES } else { &ASCII };
    let places: BTreeMap<String, usize> =
        runs.iter().enumerate().map(|(place, run)| (run.run_id.clone(), place)).collect();
    let parents: Vec<Option<usize>> =
        runs.iter().map(|run| places.get(run.parent.as_ref()?).copied()).collect();
    let mut last_child: BTreeMap<usize, usize> = BTreeMap::new();
    for (place, parent) in parents.iter().enumerate() {
        if let Some(parent) = parent {
            last_child.insert(*parent, place);
        }
    }
    // What stands before the children of each run.
    let mut stems: Vec<String> = Vec::with_capacity(runs.len());
    for (place, run) in runs.iter_mut().enumerate() {
        // A parent stands before its children.
        let Some(parent) = parents[place].filter(|parent| *parent < place) else {
            stems.push(String::new());
            continue;
        };
        let is_last = last_child.get(&parent) == Some(&place);
        let (branch, stem) = if is_last {
            (branches.last, branches.none)
        } else {
            (branches.middle, branches.through)
        };
        run.name = format!("{}{branch}{}", stems[parent], run.name);
        stems.push(format!("{}{stem}", stems[parent]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::tests::view;

    #[test]
    fn branches_lead_from_parents_to_children() {
        let of = |id: &str, parent: Option<&str>| {
            let mut run = view(id, id);
            run.parent = parent.map(str::to_owned);
            run
        };
        let mut runs = vec![
            of("a", None),
            of("b", Some("a")),
            of("c", Some("b")),
            of("d", Some("a")),
            of("e", Some("d")),
            of("f", Some("elsewhere")),
        ];
        let mut ascii = runs.clone();
        draw(&mut runs, true);
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["a", "├─ b", "│  └─ c", "└─ d", "   └─ e", "f"]);
        draw(&mut ascii, false);
        assert_eq!(ascii[2].name, "|  `- c");
    }
}
