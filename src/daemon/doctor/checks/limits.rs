//! What the machine grants to one user.

use crate::daemon::doctor::facts::Facts;
use crate::daemon::doctor::finding::{Finding, bytes};
use crate::runners::linux::machine::Limit;

/// Descriptors: a connection each for clients, one for each shim, files of the log.
const OPEN_FILES_WISHED: u64 = 1_024;
/// Below this a daemon and a few runs are refused.
const OPEN_FILES_NEEDED: u64 = 128;
/// Processes: a shim and its run for each slot, and what that starts.
const PROCESSES_WISHED: u64 = 512;
/// Numbers of processes: fewer are used again soon.
const PID_MAX_WISHED: u64 = 32_768;
/// Each shim that runs something has one.
const INOTIFY_INSTANCES_WISHED: u64 = 128;
/// Two for each run that lives.
const INOTIFY_WATCHES_WISHED: u64 = 8_192;
/// For a daemon, its shims and one small run.
const MEMORY_WISHED: u64 = 128 << 20;

/// `RLIMIT_NOFILE`.
pub(super) fn open_files(facts: &Facts) -> Vec<Finding> {
    let Some(machine) = facts.host.known().map(|host| &host.machine) else { return Vec::new() };
    let limit = machine.open_files;
    let fix = raise(limit, ("-n", "nofile"), 65_536);
    let finding = match limit.soft {
        Some(soft) if soft < OPEN_FILES_NEEDED => {
            Finding::error("open_files", format!("a process may open only {soft} files")).fix(fix)
        }
        Some(soft) if soft < OPEN_FILES_WISHED => {
            let message =
                format!("a process may open {soft} files: few clients and runs at a time");
            Finding::warning("open_files", message).fix(fix)
        }
        Some(soft) => Finding::ok("open_files", format!("a process may open {soft} files")),
        None => Finding::ok("open_files", "a process may open any number of files"),
    };
    vec![finding.with("soft", limit.soft).with("hard", limit.hard)]
}

/// Up to the hard limit anybody may raise one's own; beyond it root has to, for this shell.
fn raise(limit: Limit, (option, name): (&str, &str), to: u64) -> String {
    if limit.hard.is_none_or(|hard| hard >= to) {
        return format!("ulimit {option} {to}");
    }
    format!("sudo prlimit --pid $$ --{name}={to}:{to}")
}

/// `RLIMIT_NPROC` and the numbers that there are.
pub(super) fn processes(facts: &Facts) -> Vec<Finding> {
    let Some(machine) = facts.host.known().map(|host| &host.machine) else { return Vec::new() };
    let limit = machine.processes;
    let finding = if let Some(soft) = limit.soft.filter(|soft| *soft < PROCESSES_WISHED) {
        let message = format!("all your sessions together may have {soft} processes");
        let fix = raise(limit, ("-u", "nproc"), 4_096);
        Finding::warning("processes", message).fix(fix)
    } else if let Some(max) = machine.pid_max.filter(|max| *max < PID_MAX_WISHED) {
        let message = format!("only {max} process numbers, which are used again soon");
        Finding::warning("processes", message).fix("sudo sysctl kernel.pid_max=4194304")
    } else {
        let soft = limit.soft.map_or_else(|| "any number of".to_owned(), |soft| soft.to_string());
        Finding::ok("processes", format!("a user may have {soft} processes"))
    };
    vec![finding.with("soft", limit.soft).with("pid_max", machine.pid_max)]
}

/// Shims watch the growth of output by inotify(7).
pub(super) fn inotify(facts: &Facts) -> Vec<Finding> {
    let Some(machine) = facts.host.known().map(|host| &host.machine) else { return Vec::new() };
    let (instances, watches) = (machine.inotify_instances, machine.inotify_watches);
    let (Some(instances), Some(watches)) = (instances, watches) else { return Vec::new() };
    let finding = if instances < INOTIFY_INSTANCES_WISHED {
        let message = format!("{instances} inotify instances: so many runs at one time, no more");
        let fix = "sudo sysctl fs.inotify.max_user_instances=1024";
        Finding::warning("inotify", message).fix(fix)
    } else if watches < INOTIFY_WATCHES_WISHED {
        let message = format!("{watches} inotify watches: two for each run");
        Finding::warning("inotify", message).fix("sudo sysctl fs.inotify.max_user_watches=524288")
    } else {
        Finding::ok("inotify", format!("{instances} inotify instances, {watches} watches"))
    };
    vec![finding.with("instances", instances).with("watches", watches)]
}

/// Memory that is left.
pub(super) fn memory(facts: &Facts) -> Vec<Finding> {
    let Some(machine) = facts.host.known().map(|host| &host.machine) else { return Vec::new() };
    let Some(free) = machine.memory_available_bytes else { return Vec::new() };
    let all = machine.memory_bytes.unwrap_or(free);
    let message = format!("{} of {} of memory available", bytes(free), bytes(all));
    let finding = if free < MEMORY_WISHED {
        let message = format!("{message}: the kernel may end processes");
        Finding::warning("memory", message).fix("ps -eo pid,rss,args --sort=-rss | head")
    } else {
        Finding::ok("memory", message)
    };
    vec![finding.with("available_bytes", free)]
}

#[cfg(test)]
mod tests {
    use super::super::sound::{facts, is, known, only};
    use super::*;
    use crate::runners::linux::machine::Machine;

    fn with(change: impl Fn(&mut Machine)) -> Facts {
        let mut facts = facts();
        change(&mut known(&mut facts.host).machine);
        facts
    }

    #[test]
    fn few_descriptors_are_raised_as_far_as_they_can_be() {
        let of = |soft, hard| {
            only(&open_files(&with(|machine| machine.open_files = Limit { soft, hard })))
        };
        let fix = Some("sudo prlimit --pid $$ --nofile=65536:65536");
        assert_eq!(of(Some(64), Some(4_096)), is("open_files", "error", fix));
        assert_eq!(of(Some(256), None), is("open_files", "warning", Some("ulimit -n 65536")));
        assert_eq!(of(Some(1_024), None), is("open_files", "ok", None));
        assert_eq!(of(None, None), is("open_files", "ok", None));
    }

    #[test]
    fn few_processes_or_numbers_are_a_warning() {
        let few = with(|machine| machine.processes.soft = Some(100));
        assert_eq!(only(&processes(&few)), is("processes", "warning", Some("ulimit -u 4096")));
        let numbers = with(|machine| machine.pid_max = Some(1_000));
        assert_eq!(only(&processes(&numbers)).1, "warning");
        assert_eq!(only(&processes(&facts())), is("processes", "ok", None));
    }

    #[test]
    fn inotify_and_memory_have_bounds() {
        assert_eq!(only(&inotify(&facts())), is("inotify", "ok", None));
        assert_eq!(
            only(&inotify(&with(|machine| machine.inotify_instances = Some(8)))).1,
            "warning"
        );
        assert_eq!(only(&inotify(&with(|machine| machine.inotify_watches = Some(8)))).1, "warning");
        assert!(inotify(&with(|machine| machine.inotify_watches = None)).is_empty());
        assert_eq!(only(&memory(&facts())), is("memory", "ok", None));
        assert_eq!(
            only(&memory(&with(|machine| machine.memory_available_bytes = Some(1)))).1,
            "warning"
        );
    }
}
