//! Limits: what is over them ends or is refused, it is told what holds them, and they end with
//! their attempt. By cgroups where they can be had, else by what is left.
#[path = "support/shim.rs"]
mod support;

use std::path::Path;

use jr::model::{AttemptEnd, ExitStatus, LimitBy, LimitsBy, ResourceLimits, Signal};
use jr::runners::process::{Fenced, fence};
use jr::runners::protocol::Start;
use jr::runners::shim::journal::{self, Entry};
use support::{Shim, exited, until, with_both};

/// Keeps more in memory than it is let.
fn glutton(shim: &mut Shim) -> Start {
    let mut start = shim.shell("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}");
    start.limits.memory_bytes = Some(32 << 20);
    start
}

fn run(shim: &mut Shim, start: &Start) -> (LimitsBy, AttemptEnd) {
    let id = shim.start(start);
    let by = shim.wait_started(id).limits_by;
    (by, shim.wait_ended(id))
}

fn groups(shim: &Shim) -> Vec<jr::model::ByteString> {
    let entries = journal::read(&shim.dir.join(journal::FILE)).expect("reads");
    let paths = entries.into_iter().filter_map(|entry| match entry {
        Entry::Groups(paths) => Some(paths),
        _ => None,
    });
    paths.flatten().collect()
}

#[test]
fn memory_over_the_limit_ends_it_and_the_reason_is_told() {
    with_both(|shim| {
        let start = glutton(shim);
        let (by, end) = run(shim, &start);
        let oom_kills = end.usage.expect("measured").oom_kills;
        match by.memory.expect("asked for") {
            LimitBy::Cgroup2 | LimitBy::Cgroup1 => {
                assert_eq!(end.status, ExitStatus::Signalled(Signal::KILL));
                assert!(oom_kills.is_some_and(|count| count >= 1), "{oom_kills:?}");
            }
            // It is told that there is no more, and gives up in its own way.
            LimitBy::Rlimit => {
                assert_ne!(end.status, exited(0));
                assert_eq!(oom_kills, None);
            }
            LimitBy::Nothing => panic!("setrlimit is always there"),
        }
        assert_eq!((by.cpu, by.pids), (None, None));
        // The next one does not inherit it, nor what it did.
        let next = shim.shell("head -c 100000000 /dev/zero | tail -c 90000000 | wc -c; ulimit -v");
        let (by, end) = run(shim, &next);
        assert_eq!((by, end.status), (LimitsBy::default(), exited(0)));
        assert_eq!(shim.stdout(next.id), "90000000\nunlimited\n");
        assert_eq!(end.usage.expect("measured").oom_kills, None);
    });
}

#[test]
fn processes_beyond_the_limit_are_refused() {
    with_both(|shim| {
        let script = "for i in 1 2 3 4 5 6 7 8; do sleep 600 & done; echo all; kill -9 0";
        let mut start = shim.shell(script);
        start.limits.pids = Some(4);
        let (by, end) = run(shim, &start);
        match by.pids.expect("asked for") {
            LimitBy::Cgroup2 | LimitBy::Cgroup1 => {
                assert!(matches!(end.status, ExitStatus::Exited(code) if code != 0), "{end:?}");
                assert_eq!(shim.stdout(start.id), "");
            }
            LimitBy::Nothing => assert_eq!(shim.stdout(start.id), "all\n"),
            LimitBy::Rlimit => panic!("RLIMIT_NPROC counts other runs too"),
        }
    });
}

#[test]
fn a_share_of_a_core_is_given_and_no_more() {
    let mut shim = Shim::new();
    let mut start = shim.shell("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    start.limits.cpu_millis = Some(200);
    let (by, end) = run(&mut shim, &start);
    assert_eq!(end.status, exited(0));
    let (usage, wall) = (end.usage.expect("measured"), end.duration_ms.expect("measured"));
    let used = usage.user_ms + usage.system_ms;
    match by.cpu.expect("asked for") {
        // Within twice the share, as one period more or less counts for much in so short a time.
        LimitBy::Cgroup2 | LimitBy::Cgroup1 => {
            assert!(used < 100 || used * 5 < wall * 2, "{used} ms of {wall} ms");
        }
        LimitBy::Nothing => {}
        LimitBy::Rlimit => panic!("there is no such limit"),
    }
}

#[test]
fn groups_go_with_their_attempt_and_with_their_shim() {
    let mut shim = Shim::new();
    let all =
        ResourceLimits { cpu_millis: Some(4_000), memory_bytes: Some(1 << 30), pids: Some(1_000) };
    for is_killed in [false, true] {
        let mut start = shim.shell("setsid sleep 600 & sleep 600");
        start.limits = all;
        let id = shim.start(&start);
        let by = shim.wait_started(id).limits_by;
        let made = groups(&shim);
        let by = [by.cpu, by.memory, by.pids];
        let by_v1 = by.iter().filter(|by| **by == Some(LimitBy::Cgroup1));
        assert!(made.len() >= by_v1.count());
        let is_there = || made.iter().any(|path| Path::new(path.as_os_str()).exists());
        assert!(made.is_empty() || is_there());
        if is_killed {
            shim.kill();
            assert_eq!(fence(&shim.dir).expect("fences"), Fenced::Empty);
            assert!(!is_there(), "{made:?}");
        } else {
            shim.stop(id, 0);
            shim.wait_ended(id);
            until("the end of the groups", || (!is_there()).then_some(()));
        }
    }
}
