//! Shims, and whether each attempt that the log has as alive has somebody who looks after it.
//!
//! It says what recovery would find (docs/recovery.md), without doing any of it.

use std::collections::BTreeMap;

use crate::daemon::doctor::facts::Facts;
use crate::daemon::doctor::facts::shims::{Course, ShimFacts};
use crate::daemon::doctor::finding::{Finding, count, quoted};
use crate::limits;

/// Who lives and answers.
pub(super) fn shims(facts: &Facts) -> Vec<Finding> {
    let Some(shims) = facts.shims.known() else { return Vec::new() };
    let mut found = Vec::new();
    for shim in shims {
        found.extend(broken(facts, shim));
    }
    let known = facts.log.known().filter(|log| log.trouble.is_none() && !facts.is_served());
    for shim in shims.iter().filter(|shim| shim.lives()) {
        let Some(log) = known.filter(|log| log.verified_from.is_some()) else { continue };
        let lives = |name: &str| {
            log.open.iter().any(|open| name == format!("{}.{}", open.run, open.attempt))
        };
        let open = shim.attempts.iter().filter(|(_, course)| **course != Course::Ended);
        for (name, _) in open.filter(|(name, _)| !lives(name)) {
            let message = format!("shim {} holds {name}, which does not live by the log", shim.id);
            let fix = format!("{} daemon start", facts.jr());
            found.push(Finding::warning("shim_unknown", message).fix(fix));
        }
    }
    let living = shims.iter().filter(|shim| shim.lives()).count();
    let dead = shims.len() - living;
    if found.is_empty() {
        let alive = match living {
            0 => "no shim lives".to_owned(),
            living => format!("{} alive, each answers", count(living, "shim")),
        };
        let ended = match dead {
            0 => String::new(),
            dead => format!("; {dead} ended, and the next daemon clears what they left"),
        };
        let finding = Finding::ok("shim", format!("{alive}{ended}"));
        found.push(finding.with("living", living).with("dead", dead));
    }
    found.truncate(limits::DOCTOR_LISTED);
    found
}

/// One that cannot do its work.
fn broken(facts: &Facts, shim: &ShimFacts) -> Option<Finding> {
    let pid = shim.pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let id = &shim.id;
    if let Some(problem) = &shim.problem {
        let message = format!("the journal of shim {id} cannot be read: {problem}");
        let fix = format!("ls -la {}", quoted(&shim.path));
        return Some(Finding::warning("shim", message).fix(fix));
    }
    let finding = if shim.lives() && shim.stopped {
        let message = format!("shim {id}{pid} is stopped; a daemon gives it up after 5 s");
        Finding::warning("shim", message).fix_if(shim.pid.map(|pid| format!("kill -CONT {pid}")))
    } else if shim.lives() && shim.answered == Some(false) {
        let message =
            format!("shim {id}{pid} does not answer; the next daemon ends it and its run");
        Finding::warning("shim", message).fix(format!("{} daemon start", facts.jr()))
    } else if !shim.lives() && shim.leaf.as_ref().is_some_and(|(_, populated)| *populated) {
        let message = format!("shim {id}{pid} is dead, and processes of its run live");
        Finding::warning("shim", message).fix(format!("{} daemon start", facts.jr()))
    } else {
        return None;
    };
    Some(finding.with("shim", id.as_str()).with("pid", shim.pid))
}

/// What recovery would find of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    LookedAfter,
    EndedUnseen,
    NeverBegan,
    LostByReboot,
    LostWithShim,
}

/// Attempts that live by the log, and runs that wait, while no daemon is there.
pub(super) fn attempts(facts: &Facts) -> Vec<Finding> {
    let (Some(log), Some(shims)) = (facts.log.known(), facts.shims.known()) else {
        return Vec::new();
    };
    if facts.is_served() {
        let message = format!("the daemon looks after {}", count(log.live, "live run"));
        return vec![Finding::ok("attempt", message).with("live", log.live)];
    }
    if !facts.is_unattended() || log.trouble.is_some() {
        return Vec::new();
    }
    let mut by_found: BTreeMap<Found, Vec<String>> = BTreeMap::new();
    for open in &log.open {
        let name = format!("{}.{}", open.run, open.attempt);
        let what = found_of(&name, open.of_older_boot, shims);
        by_found.entry(what).or_default().push(name);
    }
    let start = format!("{} daemon start", facts.jr());
    let mut found: Vec<Finding> = by_found
        .into_iter()
        .map(|(what, names)| {
            let number = count(names.len(), "attempt");
            let finding = match what {
                Found::LookedAfter => {
                    Finding::ok("attempt", format!("{number} running under their shims"))
                }
                Found::EndedUnseen => {
                    let message = format!("{number} ended while no daemon was there to record it");
                    Finding::info("attempt", message).fix(start.clone())
                }
                Found::NeverBegan => {
                    let message =
                        format!("{number} meant to begin and did not; back into the queue");
                    Finding::info("attempt", message).fix(start.clone())
                }
                Found::LostByReboot => {
                    let message = format!("{number} interrupted by a restart of the machine");
                    Finding::warning("attempt", message).fix(start.clone())
                }
                Found::LostWithShim => {
                    let message = format!("{number} lost: the shim died");
                    Finding::warning("attempt", message).fix(start.clone())
                }
            };
            let names: Vec<String> = names.into_iter().take(limits::DOCTOR_LISTED).collect();
            finding.with("attempts", names)
        })
        .collect();
    if log.waiting > 0 {
        let message = format!("{} for a daemon, and none runs", waits(log.waiting));
        found.push(
            Finding::warning("waiting", message).fix(start.clone()).with("waiting", log.waiting),
        );
    }
    if log.pruning {
        let message = "a prune is not done; the next daemon goes on with it";
        found.push(Finding::info("prune", message).fix(start));
    }
    found
}

fn waits(number: usize) -> String {
    if number == 1 { "1 run waits".to_owned() } else { format!("{number} runs wait") }
}

fn found_of(name: &str, of_older_boot: bool, shims: &[ShimFacts]) -> Found {
    let mut held = shims.iter().filter_map(|shim| Some((shim, shim.attempts.get(name)?)));
    match held.next_back() {
        Some((_, Course::Ended)) => Found::EndedUnseen,
        Some((shim, _)) if shim.lives() => Found::LookedAfter,
        Some((shim, _)) if shim.of_this_boot => Found::LostWithShim,
        _ if of_older_boot => Found::LostByReboot,
        Some(_) => Found::LostByReboot,
        None => Found::NeverBegan,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sound::{facts, is, known, only, told};
    use super::*;
    use crate::daemon::doctor::facts::log::OpenAttempt;
    use crate::daemon::doctor::facts::server::{Answer, LockState};
    use crate::model::RunId;

    fn shim(lock: LockState, course: Option<Course>) -> ShimFacts {
        let run = RunId::from_chance(1);
        ShimFacts {
            id: "00000001".to_owned(),
            path: "/h/shims/00000001".to_owned(),
            lock,
            pid: Some(50),
            stopped: false,
            of_this_boot: true,
            answered: Some(true),
            fenced: false,
            leaf: None,
            attempts: course.map(|course| (format!("{run}.1"), course)).into_iter().collect(),
            problem: None,
        }
    }

    const RUNNING: Course = Course::Started { pid: 51, lives: true };

    fn with(shims: Vec<ShimFacts>, of_older_boot: bool) -> Facts {
        let mut facts = facts();
        let open = OpenAttempt { run: RunId::from_chance(1), attempt: 1, of_older_boot };
        let log = known(&mut facts.log);
        (log.open, log.live) = (vec![open], 1);
        *known(&mut facts.shims) = shims;
        facts
    }

    #[test]
    fn an_attempt_falls_into_the_row_that_recovery_would_find() {
        let of = |shims, of_older_boot| only(&attempts(&with(shims, of_older_boot)));
        let start = Some("jr daemon start");
        let (held, free) = (
            |course| shim(LockState::Held, Some(course)),
            |course| shim(LockState::Free, Some(course)),
        );
        assert_eq!(of(vec![held(RUNNING)], false), is("attempt", "ok", None));
        assert_eq!(of(vec![held(Course::Claimed)], false), is("attempt", "ok", None));
        assert_eq!(of(vec![free(Course::Ended)], false), is("attempt", "info", start));
        assert_eq!(of(vec![free(Course::Ended)], true), is("attempt", "info", start));
        assert_eq!(of(vec![free(RUNNING)], false), is("attempt", "warning", start));
        assert_eq!(of(vec![free(Course::Claimed)], false), is("attempt", "warning", start));
        assert_eq!(of(Vec::new(), false), is("attempt", "info", start));
        assert_eq!(of(Vec::new(), true), is("attempt", "warning", start));
    }

    #[test]
    fn with_a_daemon_or_a_log_that_cannot_be_read_nothing_is_guessed() {
        let mut facts = with(Vec::new(), false);
        known(&mut facts.server).lock.state = LockState::Held;
        assert!(attempts(&facts).is_empty());
        known(&mut facts.server).answer = Answer::Version(crate::daemon::protocol::VersionReply {
            version: String::new(),
            protocol: 1,
            pid: 1,
            environment: String::new(),
            seq: 1,
            live: 1,
            uptime_ms: 1,
        });
        assert_eq!(only(&attempts(&facts)), is("attempt", "ok", None));
    }

    #[test]
    fn what_waits_without_a_daemon_is_a_warning() {
        let mut facts = facts();
        known(&mut facts.log).waiting = 2;
        let found = attempts(&facts);
        assert_eq!(only(&found), is("waiting", "warning", Some("jr daemon start")));
        assert_eq!(found[0].message, "2 runs wait for a daemon, and none runs");
    }

    #[test]
    fn shims_that_are_mute_stopped_or_survived_by_their_run_are_told() {
        let start = Some("jr daemon start");
        let of = |change: &dyn Fn(&mut ShimFacts), lock: LockState| {
            let mut one = shim(lock, Some(RUNNING));
            change(&mut one);
            told(&shims(&with(vec![one], false))).remove(0)
        };
        let held = || LockState::Held;
        assert_eq!(of(&|_| {}, held()), is("shim", "ok", None));
        assert_eq!(of(&|shim| shim.answered = Some(false), held()), is("shim", "warning", start));
        let stopped = of(&|shim| shim.stopped = true, held());
        assert_eq!(stopped, is("shim", "warning", Some("kill -CONT 50")));
        let leaf = |shim: &mut ShimFacts| shim.leaf = Some(("/sys/x".to_owned(), true));
        assert_eq!(of(&leaf, LockState::Free), is("shim", "warning", start));
        let problem = |shim: &mut ShimFacts| shim.problem = Some("EIO".to_owned());
        let fix = Some("ls -la /h/shims/00000001");
        assert_eq!(of(&problem, held()), is("shim", "warning", fix));
    }

    #[test]
    fn a_shim_that_holds_what_the_log_does_not_know_is_told() {
        let mut facts = with(vec![shim(LockState::Held, Some(RUNNING))], false);
        known(&mut facts.log).open.clear();
        assert_eq!(told(&shims(&facts))[0], is("shim_unknown", "warning", Some("jr daemon start")));
        let facts = with(vec![shim(LockState::Free, Some(Course::Ended))], false);
        assert_eq!(only(&shims(&facts)), is("shim", "ok", None));
    }
}
