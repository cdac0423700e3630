//! Holding trees still: nothing of them runs, nothing is lost, and every way out leads on.
//! Each runs in a cgroup leaf and in the fallback without one.
#[path = "support/shim.rs"]
mod support;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use jr::model::event::{Final, PausedBy, Tracking};
use jr::model::{ExitStatus, Signal, Strays};
use jr::runners::linux::{clock, procfs};
use jr::runners::process::{Fenced, fence};
use jr::runners::protocol::{AttemptId, FromShim, Holding, ToShim};
use support::{Shim, exited, is_alive, pid_in, until, with_both};

/// Grows a file for ever.
const COUNT: &str = "while :; do echo >> FILE; sleep 0.005; done";

fn count_into(path: &Path) -> String {
    COUNT.replace("FILE", path.to_str().expect("text"))
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn all_grow(paths: &[PathBuf]) {
    for path in paths {
        grows(path);
    }
}

fn grows(path: &Path) {
    let before = length(path);
    until("growth", || (length(path) > before + 2).then_some(()));
}

/// Somebody who goes on all the time: while it does many steps, others could have done some.
struct Witness(std::process::Child, PathBuf);

impl Witness {
    fn new(home: &Path) -> Self {
        let path = home.join("witness");
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", &count_into(&path)]).process_group(0);
        Self(command.spawn().expect("a process"), path)
    }

    /// Asserts that none of these files grows meanwhile.
    fn sees_no_growth(&self, files: &[PathBuf]) {
        let before: Vec<u64> = files.iter().map(|file| length(file)).collect();
        let start = length(&self.1);
        until("steps of the witness", || (length(&self.1) > start + 20).then_some(()));
        let after: Vec<u64> = files.iter().map(|file| length(file)).collect();
        assert_eq!(after, before);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.0.kill().expect("our own child");
        self.0.wait().expect("our own child");
    }
}

fn wait_paused(shim: &mut Shim, id: AttemptId) -> PausedBy {
    shim.wait_for("Paused", |message| match message {
        FromShim::Paused(of, by) if *of == id => Some(*by),
        _ => None,
    })
}

fn pause(shim: &mut Shim, id: AttemptId) -> PausedBy {
    shim.send(&ToShim::Pause(id));
    wait_paused(shim, id)
}

fn unpause(shim: &mut Shim, id: AttemptId) {
    shim.send(&ToShim::Unpause(id));
    wait_unpaused(shim, id);
}

fn wait_unpaused(shim: &mut Shim, id: AttemptId) {
    shim.wait_for("Unpaused", |message| {
        matches!(message, FromShim::Unpaused(of) if *of == id).then_some(())
    });
}

fn send_kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("of this test");
}

#[test]
fn a_tree_of_three_levels_stands_still_and_goes_on() {
    with_both(|shim| {
        let dir = tempfile::tempdir().expect("a directory");
        let files: Vec<PathBuf> =
            (0..3).map(|number| dir.path().join(number.to_string())).collect();
        let [top, middle, bottom] = [0, 1, 2].map(|place| count_into(&files[place]));
        // The last level has left session and parent.
        let script = format!("(setsid sh -c '{bottom}' & {middle}) & {top}");
        let start = shim.shell(&script);
        let id = shim.start(&start);
        let process = shim.wait_started(id);
        let by = match process.tracking {
            Tracking::Cgroup => PausedBy::Freezer,
            Tracking::Subreaper => PausedBy::Signal,
        };
        all_grow(&files);
        let witness = Witness::new(dir.path());
        for _ in 0..3 {
            // Both ways as often as anybody likes, always answered.
            assert_eq!(pause(shim, id), by);
            assert_eq!(pause(shim, id), by);
            assert_eq!(shim.query(), [(id, Holding::Paused(process.clone(), by))]);
            witness.sees_no_growth(&files);
            unpause(shim, id);
            unpause(shim, id);
            all_grow(&files);
            assert_eq!(shim.query(), [(id, Holding::Running(process.clone()))]);
        }
        shim.stop(id, 10_000);
        let end = shim.wait_ended(id);
        assert_eq!(end.status, ExitStatus::Signalled(Signal::TERM));
    });
}

#[test]
fn what_forks_faster_than_it_is_listed_stands_still_too() {
    with_both(|shim| {
        let storm = "f() { while :; do (sleep 0.001; :) & wait $!; done; }; f & f & f & f";
        let start = shim.shell(storm);
        let id = shim.start(&start);
        shim.wait_started(id);
        let shim_pid = shim.pid();
        let tree = || {
            let stats = procfs::all().expect("readable");
            let mut below = procfs::descendants(&stats, &[shim_pid].into());
            below.retain(|stat| !stat.is_zombie());
            below.sort_by_key(|stat| stat.pid);
            below.into_iter().map(|stat| (stat.pid, stat.start_ticks)).collect::<Vec<_>>()
        };
        let dir = tempfile::tempdir().expect("a directory");
        let witness = Witness::new(dir.path());
        for _ in 0..5 {
            pause(shim, id);
            let before = tree();
            witness.sees_no_growth(&[]);
            assert_eq!(tree(), before, "nobody came and nobody went");
            unpause(shim, id);
            until("a change", || (tree() != before).then_some(()));
        }
        shim.stop(id, 0);
        shim.wait_ended(id);
    });
}

#[test]
fn paused_time_is_not_running_time() {
    with_both(|shim| {
        let mut start = shim.shell("sleep 600");
        start.timeout_ms = Some(500);
        let id = shim.start(&start);
        shim.wait_started(id);
        let began = clock::boottime_ms();
        pause(shim, id);
        until("twice the timeout", || (clock::boottime_ms() > began + 1_000).then_some(()));
        assert!(matches!(shim.query()[..], [(of, Holding::Paused(..))] if of == id));
        unpause(shim, id);
        let end = shim.wait_ended(id);
        assert_eq!(end.status, ExitStatus::TimedOut(Final::Signalled(Signal::TERM)));
        // From beginning to end, as the clock on the wall sees it.
        assert!(end.duration_ms.expect("measured") > 1_400, "{end:?}");
    });
}

#[test]
fn a_stop_reaches_what_is_paused_with_its_first_signal() {
    with_both(|shim| {
        let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.005; done";
        let start = shim.shell(script);
        let id = shim.start(&start);
        shim.wait_started(id);
        until("trap", || (shim.stdout(id) == "ready\n").then_some(()));
        pause(shim, id);
        shim.stop(id, 60_000);
        // It is told, so that nobody takes it for paused while its grace lasts.
        wait_unpaused(shim, id);
        assert_eq!(shim.wait_ended(id).status, exited(7));
        assert_eq!(shim.stdout(id), "ready\nbye\n");
        // The leaf serves again.
        let (_, end) = shim.run_shell("exit 3");
        assert_eq!(end.status, exited(3));
    });
}

#[test]
fn what_is_paused_and_ignores_its_stop_is_killed_and_a_pause_in_between_is_refused() {
    with_both(|shim| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("escaped");
        let script = format!(
            "trap '' TERM; setsid sh -c 'echo $$ > {}; while :; do sleep 600; done' & wait",
            path.display()
        );
        let start = shim.shell(&script);
        let id = shim.start(&start);
        let escaped = pid_in(&path);
        pause(shim, id);
        shim.stop(id, 3_600_000);
        wait_unpaused(shim, id);
        shim.send(&ToShim::Pause(id));
        wait_unpaused(shim, id);
        shim.stop(id, 0);
        let end = shim.wait_ended(id);
        assert_eq!(end.status, ExitStatus::Signalled(Signal::KILL));
        assert!(!is_alive(escaped) && end.survivors.is_empty());
    });
}

#[test]
fn what_has_not_begun_is_withdrawn_and_what_has_ended_says_so() {
    let mut shim = Shim::new();
    let first = shim.shell("sleep 600");
    let next = shim.shell("exit 1");
    shim.start(&first);
    shim.start(&next);
    shim.wait_started(first.id);
    shim.send(&ToShim::Pause(next.id));
    shim.wait_withdrawn(next.id);
    shim.start(&next);
    shim.wait_withdrawn(next.id);
    let unknown = shim.id();
    shim.send(&ToShim::Unpause(unknown));
    wait_unpaused(&mut shim, unknown);
    shim.send(&ToShim::Pause(unknown));
    shim.wait_withdrawn(unknown);
    shim.stop(first.id, 0);
    let end = shim.wait_ended(first.id);
    shim.send(&ToShim::Pause(first.id));
    assert_eq!(shim.wait_ended(first.id), end);
}

#[test]
fn a_pause_that_comes_with_the_start_finds_the_program() {
    with_both(|shim| {
        for _ in 0..20 {
            let start = shim.shell("exit 5");
            shim.send(&ToShim::Start(Box::new(start.clone())));
            shim.send(&ToShim::Pause(start.id));
            let is_paused = shim.wait_for("an answer", |message| match message {
                FromShim::Withdrawn(of) | FromShim::Unpaused(of) if *of == start.id => Some(false),
                FromShim::Ended(of, _) if *of == start.id => Some(false),
                FromShim::Paused(of, _) if *of == start.id => Some(true),
                _ => None,
            });
            if is_paused {
                shim.wait_started(start.id);
                unpause(shim, start.id);
                assert_eq!(shim.wait_ended(start.id).status, exited(5));
            }
        }
    });
}

#[test]
fn what_is_killed_while_paused_has_ended_and_the_next_attempt_is_not_born_paused() {
    with_both(|shim| {
        let start = shim.shell("sleep 600 & sleep 600");
        let id = shim.start(&start);
        let process = shim.wait_started(id);
        pause(shim, id);
        send_kill(process.pid);
        let end = shim.wait_ended(id);
        assert_eq!(end.status, ExitStatus::Signalled(Signal::KILL));
        assert!(end.survivors.is_empty(), "{end:?}");
        let (_, end) = shim.run_shell("exit 4");
        assert_eq!(end.status, exited(4));
    });
}

#[test]
fn kept_strays_of_a_paused_tree_go_on_when_its_main_process_is_gone() {
    with_both(|shim| {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("stray");
        let mut start = shim.shell(&format!("({}) & sleep 600", count_into(&file)));
        start.strays = Strays::Keep;
        let id = shim.start(&start);
        let process = shim.wait_started(id);
        grows(&file);
        pause(shim, id);
        send_kill(process.pid);
        let end = shim.wait_ended(id);
        assert!(end.strays >= 1, "{end:?}");
        grows(&file);
    });
}

#[test]
fn a_new_daemon_finds_what_was_paused_and_lets_it_go() {
    with_both(|shim| {
        let dir = tempfile::tempdir().expect("a directory");
        let files = [dir.path().join("file")];
        let start = shim.shell(&count_into(&files[0]));
        let id = shim.start(&start);
        let process = shim.wait_started(id);
        grows(&files[0]);
        let by = pause(shim, id);
        let witness = Witness::new(dir.path());
        shim.reconnect();
        witness.sees_no_growth(&files);
        assert_eq!(shim.query(), [(id, Holding::Paused(process.clone(), by))]);
        shim.send(&ToShim::Start(Box::new(start)));
        assert_eq!(shim.wait_started(id), process, "a start of it that comes again");
        unpause(shim, id);
        grows(&files[0]);
        // A pause that its daemon did not live to hear of.
        shim.send(&ToShim::Pause(id));
        shim.reconnect();
        until("the pause", || matches!(shim.query()[..], [(_, Holding::Paused(..))]).then_some(()));
        shim.stop(id, 10_000);
        assert_eq!(shim.wait_ended(id).status, ExitStatus::Signalled(Signal::TERM));
    });
}

#[test]
fn the_fence_of_a_dead_or_mute_shim_leaves_nothing_of_a_paused_tree() {
    for is_mute in [false, true] {
        for mut shim in [Shim::new(), Shim::with_subreaper()] {
            let path = shim.home.path().join("child");
            let script = format!(
                "setsid sh -c 'trap \"\" TERM; echo $$ > {}; sleep 600 & wait' & wait",
                path.display()
            );
            let start = shim.shell(&script);
            let id = shim.start(&start);
            let process = shim.wait_started(id);
            let child = pid_in(&path);
            pause(&mut shim, id);
            if is_mute {
                let pid = i32::try_from(shim.pid()).ok().and_then(rustix::process::Pid::from_raw);
                rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::STOP)
                    .expect("our own child");
            } else {
                shim.kill();
            }
            // What only SIGSTOP holds gets SIGHUP from the kernel when nobody can continue it.
            let is_frozen = process.tracking == Tracking::Cgroup;
            assert!(!is_frozen || (is_alive(process.pid) && is_alive(child)));
            assert_eq!(fence(&shim.dir).expect("fences"), Fenced::Empty);
            assert!(!is_alive(process.pid) && !is_alive(child));
        }
    }
}

#[test]
fn a_signal_to_a_paused_tree_arrives_when_it_goes_on_and_none_lets_it_go() {
    with_both(|shim| {
        let dir = tempfile::tempdir().expect("a directory");
        let files = [dir.path().join("file")];
        let count = count_into(&files[0]);
        let start = shim.shell(&format!("trap 'echo usr1' USR1; {count}"));
        let id = shim.start(&start);
        shim.wait_started(id);
        grows(&files[0]);
        pause(shim, id);
        let witness = Witness::new(dir.path());
        for signal in [Signal::new(10), Signal::new(18)] {
            let signal = signal.expect("USR1, CONT");
            shim.send(&ToShim::Signal(id, signal));
            shim.wait_for("SignalSent", |message| {
                matches!(message, FromShim::SignalSent(_, sent, None) if *sent == signal)
                    .then_some(())
            });
        }
        witness.sees_no_growth(&files);
        assert_eq!(shim.stdout(id), "");
        unpause(shim, id);
        until("the signal", || (shim.stdout(id) == "usr1\n").then_some(()));
        grows(&files[0]);
        shim.stop(id, 0);
        shim.wait_ended(id);
    });
}
