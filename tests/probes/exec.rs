//! Commands: where they run, what they say, and that nothing of them stays.

use std::time::Duration;

use jr::model::service::probe::ProbeWay;
use jr::runners::probe::{self, Target};

use crate::fixture::{DEADLINE, SHORT, World, run, shell, until_gone, words};

fn asked(target: &Target, way: &ProbeWay) -> Result<(), String> {
    run(probe::ask(way, target, DEADLINE))
}

#[test]
fn a_command_runs_where_the_service_does() {
    let world = World::new();
    let mut target = world.target();
    target.variables.push(("COLOUR".into(), "red green".into()));
    let script = "read line; test -z \"$line\" && test \"$COLOUR\" = 'red green' && \
                  test -z \"$HOME\" && pwd -P > where && echo noise";
    assert_eq!(asked(&target, &shell(script)), Ok(()));
    let place = std::fs::read_to_string(world.dir.path().join("where")).expect("written");
    let real = world.dir.path().canonicalize().expect("there");
    assert_eq!(place.trim_end(), real.to_str().expect("text"));
}

#[test]
fn a_program_is_looked_for_as_the_service_would() {
    let world = World::new();
    let mut target = world.target();
    let script = world.dir.path().join("check");
    std::fs::write(&script, "test \"$1\" = one\n").expect("written");
    let check =
        |target: &_, name: &str| asked(target, &ProbeWay::Exec { command: words(&[name, "one"]) });
    let refused = check(&target, "./check").expect_err("not executable");
    assert_eq!(refused, "cannot start ./check: Permission denied");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, mode).expect("changed");
    assert_eq!(check(&target, "./check"), Ok(()));
    let missing = check(&target, "check").expect_err("not in PATH");
    assert_eq!(missing, "cannot start check: no such program in PATH");
    // An empty entry is the working directory.
    target.variables = vec![("PATH".into(), "/nowhere::/bin".into())];
    assert_eq!(check(&target, "check"), Ok(()));
    target.directory = "/nowhere".into();
    let homeless = check(&target, "/bin/true").expect_err("no directory");
    assert_eq!(homeless, "cannot start /bin/true: /nowhere is no directory");
}

#[test]
fn a_failure_says_what_the_command_said_last() {
    let world = World::new();
    let target = world.target();
    assert_eq!(asked(&target, &shell("exit 3")), Err("sh exited with 3".to_owned()));
    let script = "echo first >&2; printf 'no\\033 database\\n\\n' >&2; exit 2";
    let text = asked(&target, &shell(script)).expect_err("it fails");
    assert_eq!(text, "sh exited with 2: first / no\\u{1b} database");
    let text = asked(&target, &shell("kill -SEGV $$")).expect_err("it dies");
    assert_eq!(text, "sh was ended by SIGSEGV");
    let flood = "i=0; while [ $i -lt 5000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1";
    let text = asked(&target, &shell(flood)).expect_err("it fails");
    assert!(text.starts_with("sh exited with 1: ") && text.ends_with("line 4999"), "{text}");
    assert!(text.len() <= 200);
}

#[test]
fn what_a_command_leaves_in_its_group_ends_with_it() {
    let world = World::new();
    // It also keeps the pipe open.
    let script = "sleep 600 & echo $! > left; exit 0";
    assert_eq!(asked(&world.target(), &shell(script)), Ok(()));
    until_gone(world.pid("left"));
}

/// One in the group, one in a session of its own, and all deaf to what asks politely.
const TREE: &str = "trap '' TERM HUP INT; echo $$ > top; sleep 600 & echo $! > near; \
                    setsid sh -c 'echo $$ > far; exec sleep 600' & \
                    while :; do echo waiting >&2; sleep 0.01; done";

#[test]
fn a_command_that_does_not_end_is_ended_with_all_that_it_started() {
    let world = World::new();
    let target = world.target();
    // Long enough for all of them to be there.
    let mut timeout = SHORT;
    let text = loop {
        let text = run(probe::ask(&shell(TREE), &target, timeout)).expect_err("it hangs");
        if ["top", "near", "far"].iter().all(|name| world.dir.path().join(name).exists()) {
            break text;
        }
        timeout *= 2;
    };
    assert!(text.starts_with("sh has not ended within "), "{text}");
    assert!(text.ends_with("waiting"), "{text}");
    for name in ["top", "near", "far"] {
        until_gone(world.pid(name));
    }
}

#[test]
fn a_question_that_is_dropped_ends_its_command() {
    let world = World::new();
    let target = world.target();
    run(async {
        let task = tokio::spawn(async move { probe::ask(&shell(TREE), &target, DEADLINE).await });
        for name in ["top", "near", "far"] {
            while !world.dir.path().join(name).exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            world.pid(name);
        }
        task.abort();
        assert!(task.await.expect_err("aborted").is_cancelled());
    });
    for name in ["top", "near", "far"] {
        until_gone(world.pid(name));
    }
}

#[test]
fn a_command_that_stops_itself_is_ended_too() {
    let world = World::new();
    let script = shell("echo $$ > top; kill -STOP $$");
    let text = run(probe::ask(&script, &world.target(), SHORT)).expect_err("it stands still");
    assert_eq!(text, "sh has not ended within 200ms");
    until_gone(world.pid("top"));
}
