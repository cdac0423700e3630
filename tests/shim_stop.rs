//! Ending trees: grace and SIGKILL, timeouts without a daemon, strays, what tries to escape.
//! Each runs in a cgroup leaf and in the fallback without one.
#[path = "support/shim.rs"]
mod support;

use jr::model::event::Final;
use jr::model::{ExitStatus, Signal, Strays};
use jr::runners::protocol::FromShim;
use support::{Shim, exited, is_alive, pid_in, until, with_both};

/// A process that ignores TERM, in a session of its own, without its parent.
const ESCAPE: &str = "setsid sh -c 'trap \"\" TERM HUP; (sleep 600 & echo $! > ESCAPED; wait) &'";

fn escape_script(shim: &Shim) -> (String, std::path::PathBuf) {
    let path = shim.home.path().join(format!("escaped{}", shim.said.len()));
    (ESCAPE.replace("ESCAPED", path.to_str().expect("text")), path)
}

#[test]
fn what_ignores_the_first_signal_is_killed_after_its_grace() {
    with_both(|shim| {
        let start = shim.shell("trap '' TERM; echo ready; while :; do sleep 600; done");
        let id = shim.start(&start);
        shim.wait_started(id);
        until("trap", || (shim.stdout(id) == "ready\n").then_some(()));
        shim.stop(id, 100);
        let end = shim.wait_ended(id);
        assert_eq!(end.status, ExitStatus::Signalled(Signal::KILL));
        assert!(end.duration_ms.expect("measured") >= 100);
        assert!(end.survivors.is_empty());
        // The leaf serves again after a kill.
        let start = shim.shell("exit 4");
        assert_eq!(shim.run(&start).status, exited(4));
    });
}

#[test]
fn a_second_stop_shortens_the_grace() {
    with_both(|shim| {
        let start = shim.shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
        let id = shim.start(&start);
        until("trap", || {
            let text = std::fs::read(format!("{}.out", shim.base(id).display())).ok()?;
            (text == b"ready\n").then_some(())
        });
        shim.stop(id, 3_600_000);
        shim.stop(id, 0);
        assert_eq!(shim.wait_ended(id).status, ExitStatus::Signalled(Signal::KILL));
    });
}

#[test]
fn a_timeout_is_kept_without_a_daemon_and_wakes_what_is_stopped() {
    with_both(|shim| {
        let mut start = shim.shell("kill -STOP $$; sleep 600");
        start.timeout_ms = Some(300);
        start.grace_ms = 60_000;
        let id = shim.start(&start);
        shim.wait_started(id);
        shim.reconnect();
        let end = shim.wait_ended(id);
        assert_eq!(end.status, ExitStatus::TimedOut(Final::Signalled(Signal::TERM)));
        assert!(end.duration_ms.expect("measured") >= 300);
    });
}

#[test]
fn what_escapes_its_session_and_parent_ends_with_the_stop() {
    with_both(|shim| {
        let (escape, path) = escape_script(shim);
        let start = shim.shell(&format!("{escape}; sleep 600"));
        let id = shim.start(&start);
        let escaped = pid_in(&path);
        assert!(is_alive(escaped));
        shim.stop(id, 50);
        let end = shim.wait_ended(id);
        assert!(!is_alive(escaped));
        assert!(end.survivors.is_empty(), "{end:?}");
    });
}

#[test]
fn strays_are_killed_and_counted_before_the_next_attempt_begins() {
    with_both(|shim| {
        let (escape, path) = escape_script(shim);
        let wait = format!("while ! [ -s {} ]; do sleep 0.01; done", path.display());
        let first = shim.shell(&format!("{escape}; {wait}; exit 9"));
        let next = shim.shell(&format!("kill -0 $(cat {}) && exit 1; exit 0", path.display()));
        shim.start(&first);
        shim.start(&next);
        let end = shim.wait_ended(first.id);
        assert_eq!(end.status, exited(9));
        assert!(end.strays >= 1, "{end:?}");
        assert!(!is_alive(pid_in(&path)));
        shim.wait_ended(next.id);
    });
}

#[test]
fn kept_strays_live_on_and_hold_up_the_next_attempt() {
    with_both(|shim| {
        let (escape, path) = escape_script(shim);
        let wait = format!("while ! [ -s {} ]; do sleep 0.01; done", path.display());
        let mut first = shim.shell(&format!("{escape}; {wait}"));
        first.strays = Strays::Keep;
        let end = shim.run(&first);
        let stray = pid_in(&path);
        assert_eq!(end.status, exited(0));
        assert!(end.strays >= 1 && is_alive(stray));
        let next = shim.shell("exit 2");
        shim.start(&next);
        shim.query();
        assert!(
            !shim
                .said
                .iter()
                .any(|said| matches!(said, FromShim::Started(id, _) if *id == next.id))
        );
        let pid = i32::try_from(stray).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::KILL)
            .expect("the stray of this test, alive until now");
        // Its parent waits for it and goes too.
        assert_eq!(shim.wait_ended(next.id).status, exited(2));
    });
}
