//! The wall clock against the log, and the boot against that of the last daemon.

use crate::daemon::doctor::facts::Facts;
use crate::daemon::doctor::finding::{Finding, count, duration};
use crate::limits::CLOCK_JUMP_MS;

/// No clock that was set since says less: 2024-01-01.
const PLAUSIBLE_MS: i64 = 1_704_067_200_000;

/// The wall clock is not before what was recorded.
pub(super) fn wall(facts: &Facts) -> Vec<Finding> {
    let Some(host) = facts.host.known() else { return Vec::new() };
    let now = host.machine.wall_ms;
    let last = facts.log.known().and_then(|log| log.time_max_ms);
    let set = "sudo timedatectl set-ntp true";
    let finding = if now < PLAUSIBLE_MS {
        Finding::warning("clock", "the wall clock was never set").fix(set)
    } else if let Some(last) = last.filter(|last| now < last - CLOCK_JUMP_MS) {
        let back = duration(u64::try_from(last - now).unwrap_or(0));
        let message = format!(
            "the wall clock is {back} behind the last record; order is kept by number, but times \
             and --at TIME will mislead"
        );
        Finding::warning("clock", message).fix(set)
    } else if last.is_some() {
        Finding::ok("clock", "the wall clock is after the last record")
    } else {
        Finding::ok("clock", "the wall clock is set")
    };
    vec![finding.with("wall_ms", now).with("last_record_ms", last)]
}

/// Whether the machine was restarted under the runs.
pub(super) fn boot(facts: &Facts) -> Vec<Finding> {
    let (Some(host), Some(log)) = (facts.host.known(), facts.log.known()) else {
        return Vec::new();
    };
    let Some(own) = &host.machine.boot else {
        let message = "the kernel does not tell its boot id (/proc), which recovery needs";
        return vec![Finding::error("boot", message).fix("sudo mount -t proc proc /proc")];
    };
    match &log.boot {
        Some(last) if last != own => {
            let message = "the machine was restarted since the last daemon ran";
            let finding = Finding::info("boot", message).with("boot", own.as_str());
            vec![finding.with("last_boot", last.as_str())]
        }
        Some(_) => vec![Finding::ok("boot", "the same boot as the last daemon's")],
        None => Vec::new(),
    }
}

/// Jumps that daemons saw.
pub(super) fn jumps(facts: &Facts) -> Vec<Finding> {
    let Some(log) = facts.log.known() else { return Vec::new() };
    let largest = log.jumps_ms.iter().copied().max_by_key(|by| by.unsigned_abs());
    let Some(largest) = largest else { return Vec::new() };
    let sign = if largest < 0 { "back" } else { "ahead" };
    let message = format!(
        "the clock jumped {}, once {} {sign}",
        count(log.jumps_ms.len(), "time"),
        duration(largest.unsigned_abs())
    );
    let fix = format!("{} events --kind clock_jumped", facts.jr());
    let finding = Finding::info("clock_jumps", message).fix(fix);
    vec![finding.with("jumps", log.jumps_ms.len()).with("largest_ms", largest)]
}

#[cfg(test)]
mod tests {
    use super::super::sound::{NOW_MS, facts, is, known, only};
    use super::*;

    #[test]
    fn a_clock_that_went_back_or_was_never_set_is_a_warning() {
        let fix = Some("sudo timedatectl set-ntp true");
        let mut facts = facts();
        assert_eq!(only(&wall(&facts)), is("clock", "ok", None));
        known(&mut facts.log).time_max_ms = Some(NOW_MS + CLOCK_JUMP_MS);
        assert_eq!(only(&wall(&facts)), is("clock", "ok", None), "a small step");
        known(&mut facts.log).time_max_ms = Some(NOW_MS + 3_600_000);
        let found = wall(&facts);
        assert_eq!(only(&found), is("clock", "warning", fix));
        assert!(found[0].message.contains("1 h 0 min behind"), "{}", found[0].message);
        known(&mut facts.host).machine.wall_ms = 0;
        assert_eq!(only(&wall(&facts)), is("clock", "warning", fix));
    }

    #[test]
    fn another_boot_is_news_and_none_at_all_an_error() {
        let mut facts = facts();
        assert_eq!(only(&boot(&facts)), is("boot", "ok", None));
        known(&mut facts.log).boot = Some("22".repeat(16));
        assert_eq!(only(&boot(&facts)), is("boot", "info", None));
        known(&mut facts.host).machine.boot = None;
        assert_eq!(only(&boot(&facts)).1, "error");
    }

    #[test]
    fn jumps_are_counted_and_the_largest_is_named() {
        let mut facts = facts();
        assert!(jumps(&facts).is_empty());
        known(&mut facts.log).jumps_ms = vec![2_000, -7_200_000];
        let found = jumps(&facts);
        assert_eq!(only(&found), is("clock_jumps", "info", Some("jr events --kind clock_jumped")));
        assert_eq!(found[0].message, "the clock jumped 2 times, once 2 h 0 min back");
    }
}
