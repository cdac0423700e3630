//! What was left behind.

use crate::daemon::doctor::facts::Facts;
use crate::daemon::doctor::finding::{Finding, bytes, count, duration, quoted_all};
use crate::limits;

/// Files that a fix names; more are found by their list.
const NAMED: usize = 3;

/// Processes of runs that do not live any more.
pub(super) fn strays(facts: &Facts) -> Vec<Finding> {
    let Some(left) = facts.left.known() else { return Vec::new() };
    if let Some(why) = &left.problem {
        let message = format!("processes could not be looked at: {why}");
        return vec![Finding::warning("stray", message).fix("sudo mount -t proc proc /proc")];
    }
    let Some(strays) = &left.strays else {
        let message = format!(
            "{} carry a run of this environment; which runs live is not known",
            count(left.carriers, "process").replace("processs", "processes")
        );
        return if left.carriers == 0 { Vec::new() } else { vec![Finding::info("stray", message)] };
    };
    let up = facts.host.known().map_or(0, |host| host.machine.boottime_ms);
    let mut found: Vec<Finding> = strays
        .iter()
        .take(limits::DOCTOR_LISTED)
        .map(|stray| {
            let age = duration(up.saturating_sub(stray.started_boottime_ms));
            let message = format!(
                "pid {} ({}) says that it is of run {}, which is over; it began {age} ago, and jr \
                 does not touch it (with --strays keep that is as asked)",
                stray.pid, stray.command, stray.run
            );
            let finding = Finding::warning("stray", message).fix(format!("kill {}", stray.pid));
            let finding = finding.with("pid", stray.pid).with("run_id", stray.run.as_str());
            finding.with("start_ticks", stray.start_ticks).with("command", stray.command.as_str())
        })
        .collect();
    if strays.len() > limits::DOCTOR_LISTED {
        let more = strays.len() - limits::DOCTOR_LISTED;
        found.push(Finding::warning("stray", format!("and {more} more of such processes")));
    }
    if found.is_empty() {
        let message = "no process of a run that is over";
        found.push(Finding::ok("stray", message).with("carriers", left.carriers));
    }
    found
}

/// Output of runs that the log does not know.
pub(super) fn outputs(facts: &Facts) -> Vec<Finding> {
    let pile = facts.left.known().and_then(|left| left.outputs.as_ref());
    let Some(pile) = pile.filter(|pile| pile.count > 0) else { return Vec::new() };
    let message = format!(
        "{} of output ({}) of runs that the log does not know",
        count(pile.count, "file"),
        bytes(pile.bytes)
    );
    let fix = (pile.count <= NAMED).then(|| format!("rm -- {}", quoted_all(&pile.paths)));
    let finding = Finding::info("output_left_over", message).fix_if(fix);
    vec![finding.with("count", pile.count).with("paths", pile.paths.clone())]
}

/// Secrets that no run needs any more.
pub(super) fn secrets(facts: &Facts) -> Vec<Finding> {
    let pile = facts.left.known().and_then(|left| left.secrets.as_ref());
    let Some(pile) = pile.filter(|pile| pile.count > 0 && facts.is_unattended()) else {
        return Vec::new();
    };
    let number = count(pile.count, "file");
    let message = format!("{number} with secrets of runs that are over or never began");
    let fix = format!("rm -- {}", quoted_all(&pile.paths));
    let finding = Finding::warning("secrets_left_over", message).fix(fix);
    vec![finding.with("count", pile.count).with("paths", pile.paths.clone())]
}

#[cfg(test)]
mod tests {
    use super::super::sound::{facts, is, known, only};
    use super::*;
    use crate::daemon::doctor::facts::left::{LeftFacts, Pile};
    use crate::runners::linux::carriers::Carrier;

    fn with(change: impl Fn(&mut LeftFacts)) -> Facts {
        let mut facts = facts();
        change(known(&mut facts.left));
        facts
    }

    fn pile(paths: &[&str]) -> Pile {
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        Pile { count: paths.len(), bytes: 7, paths }
    }

    #[test]
    fn a_stray_is_named_with_its_age_and_never_more_than_so_many() {
        assert_eq!(only(&strays(&facts())), is("stray", "ok", None));
        let stray = |pid| Carrier {
            pid,
            start_ticks: 5,
            started_boottime_ms: 3_540_000,
            command: "sleep 600".to_owned(),
            run: "abcdefghijkl".to_owned(),
            attempt: None,
        };
        let one = strays(&with(|left| left.strays = Some(vec![stray(9)])));
        assert_eq!(only(&one), is("stray", "warning", Some("kill 9")));
        assert!(one[0].message.contains("began 1 min 0 s ago"), "{}", one[0].message);
        let many = with(|left| left.strays = Some((1..=30).map(stray).collect()));
        assert_eq!(strays(&many).len(), limits::DOCTOR_LISTED + 1);
    }

    #[test]
    fn where_it_is_not_known_what_lives_nobody_is_accused() {
        let unknown = with(|left| (left.strays, left.carriers) = (None, 2));
        assert_eq!(only(&strays(&unknown)), is("stray", "info", None));
        let problem = with(|left| left.problem = Some("no /proc".to_owned()));
        assert_eq!(only(&strays(&problem)).1, "warning");
    }

    #[test]
    fn left_over_files_are_removed_by_name_if_they_are_few() {
        let few = with(|left| left.outputs = Some(pile(&["/o/a b", "/o/c"])));
        let fix = Some("rm -- '/o/a b' /o/c");
        assert_eq!(only(&outputs(&few)), is("output_left_over", "info", fix));
        let many = with(|left| left.outputs = Some(pile(&["1", "2", "3", "4"])));
        assert_eq!(only(&outputs(&many)), is("output_left_over", "info", None));
        assert!(outputs(&facts()).is_empty());
        let secret = with(|left| left.secrets = Some(pile(&["/s/x"])));
        assert_eq!(only(&secrets(&secret)), is("secrets_left_over", "warning", Some("rm -- /s/x")));
    }
}
