//! Starting programs: statuses, errors of exec, environment, descriptors, signals, idempotence.
#[path = "support/shim.rs"]
mod support;

use jr::model::event::{Final, SpawnError};
use jr::model::{ExitStatus, Signal};
use jr::runners::protocol::{FromShim, Holding, ToShim};
use jr::runners::shim::journal::{self, Entry};
use support::{Shim, bytes, exited, until};

#[test]
fn every_exit_code_arrives_as_it_was() {
    let mut shim = Shim::new();
    for code in 0..=255 {
        let (_, end) = shim.run_shell(&format!("exit {code}"));
        assert_eq!(end.status, exited(code));
        assert_eq!((end.strays, end.survivors.len()), (0, 0));
    }
}

#[test]
fn a_signal_that_ended_it_is_told_by_number() {
    let mut shim = Shim::new();
    for number in [1, 2, 6, 9, 11, 13, 15, 35] {
        let (_, end) = shim.run_shell(&format!("ulimit -c 0; kill -{number} $$"));
        let signal = Signal::new(number).expect("a signal");
        assert_eq!(end.status, ExitStatus::Signalled(signal));
        assert_eq!(end.status.last_word(), Some(Final::Signalled(signal)));
    }
}

#[test]
fn what_cannot_be_started_says_why_and_leaves_no_process() {
    let mut shim = Shim::new();
    let home = shim.home.path().to_owned();
    let plain = home.join("plain");
    std::fs::write(&plain, "not a program").expect("writes");
    let script = home.join("script");
    std::fs::write(&script, "echo \"$1:$0\"; exit 5\n").expect("writes");
    make_executable(&script);
    let huge = "x".repeat(3 << 20);
    let table = [
        (vec!["/no/such/program"], SpawnError::NotFound),
        (vec!["no-such-program-anywhere"], SpawnError::NotFound),
        (vec![""], SpawnError::NotFound),
        (vec![plain.to_str().expect("text")], SpawnError::NotExecutable),
        (vec!["/"], SpawnError::NotExecutable),
        (vec!["/bin/true", &huge], SpawnError::Errno(7)),
        (vec!["a\0b"], SpawnError::Errno(22)),
        (vec![], SpawnError::Errno(22)),
    ];
    for (command, error) in table {
        let start = shim.start_of(&command);
        let end = shim.run(&start);
        assert_eq!(end.status, ExitStatus::NotStarted(error), "{command:.40?}");
        assert_eq!((end.output, end.usage), (None, None));
    }
    let mut start = shim.start_of(&["/bin/true"]);
    start.cwd = bytes("/no/such/directory");
    assert_eq!(shim.run(&start).status, ExitStatus::NotStarted(SpawnError::Errno(2)));
    // A file without a magic number is a script of /bin/sh, as execvp(3) has it.
    let start = shim.start_of(&[script.to_str().expect("text"), "word"]);
    assert_eq!(shim.run(&start).status, exited(5));
    assert_eq!(shim.stdout(start.id), format!("word:{}\n", script.display()));
}

fn make_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("chmod");
}

#[test]
fn environment_directory_and_standard_input_are_exactly_what_was_asked() {
    let mut shim = Shim::new();
    let mut start = shim.start_of(&["env"]);
    start.variables.push((bytes("EMPTY"), bytes("")));
    start.variables.push((bytes("LINES"), bytes("a\nb")));
    assert_eq!(shim.run(&start).status, exited(0));
    let expected = "PATH=/usr/local/bin:/usr/bin:/bin\nEMPTY=\nLINES=a\nb\n";
    assert_eq!(shim.stdout(start.id), expected);
    let mut start = shim.shell("pwd; cat; umask");
    start.cwd = bytes("/usr/bin");
    start.umask = 0o027;
    let end = shim.run(&start);
    assert_eq!(end.status, exited(0));
    assert_eq!(shim.stdout(start.id), "/usr/bin\n0027\n");
    let output = end.output.expect("it ran");
    assert_eq!(output.stdout_bytes, 14);
    let digest = blake3::hash(shim.stdout(start.id).as_bytes());
    assert_eq!(output.stdout_digest.expect("short").0, *digest.as_bytes());
    assert_eq!(output.stderr_digest.expect("short").0, *blake3::hash(b"").as_bytes());
}

#[test]
fn a_child_gets_three_descriptors_and_untouched_signals() {
    let mut shim = Shim::new();
    let start = shim.start_of(&["/bin/ls", "/proc/self/fd"]);
    assert_eq!(shim.run(&start).status, exited(0));
    // The fourth is the directory that ls itself has open.
    assert_eq!(shim.stdout(start.id), "0\n1\n2\n3\n");
    let start = shim.start_of(&["/bin/cat", "/proc/self/status"]);
    assert_eq!(shim.run(&start).status, exited(0));
    let text = shim.stdout(start.id);
    for line in text.lines().filter(|line| line.starts_with("Sig") && !line.starts_with("SigQ")) {
        let (name, mask) = line.split_once(':').expect("a line of status");
        assert_eq!(mask.trim(), "0000000000000000", "{name}");
    }
    let (id, end) = shim.run_shell("cat /proc/$$/stat; ulimit -n");
    assert_eq!(end.status, exited(0));
    let text = shim.stdout(id);
    let fields: Vec<&str> = text.split(' ').collect();
    assert_eq!(fields[0], fields[4], "it leads its process group");
    assert_eq!(fields[5], shim.pid().to_string(), "in the shim's session");
}

#[test]
fn the_soft_limit_of_files_is_the_one_that_was_given() {
    let mut shim = Shim::with(|args| args.nofile = Some(99));
    let (id, _) = shim.run_shell("ulimit -n");
    assert_eq!(shim.stdout(id), "99\n");
}

#[test]
fn a_second_start_repeats_the_state_and_starts_nothing() {
    let mut shim = Shim::new();
    let start = shim.shell("read line < /dev/null; sleep 600");
    let id = shim.start(&start);
    let process = shim.wait_started(id);
    shim.start(&start);
    assert_eq!(shim.wait_started(id), process);
    assert_eq!(shim.query(), [(id, Holding::Running(process))]);
    shim.stop(id, 60_000);
    let end = shim.wait_ended(id);
    assert_eq!(end.status, ExitStatus::Signalled(Signal::TERM));
    shim.start(&start);
    assert_eq!(shim.wait_ended(id), end);
    shim.send(&ToShim::Forget(id));
    shim.start(&start);
    shim.wait_withdrawn(id);
    let entries = journal::read(&shim.dir.join(journal::FILE)).expect("reads");
    let claims = entries.iter().filter(|entry| matches!(entry, Entry::Claim(_))).count();
    assert_eq!(claims, 1);
}

#[test]
fn output_of_another_start_is_never_overwritten() {
    let mut shim = Shim::new();
    let start = shim.shell("echo mine");
    std::fs::create_dir_all(shim.home.path().join("output")).expect("a directory");
    let path = format!("{}.out", shim.base(start.id).display());
    std::fs::write(&path, "somebody's").expect("writes");
    assert_eq!(shim.run(&start).status, ExitStatus::NotStarted(SpawnError::Errno(17)));
    assert_eq!(std::fs::read_to_string(&path).expect("reads"), "somebody's");
}

#[test]
fn held_starts_follow_in_order_and_a_withdrawn_one_is_refused_for_ever() {
    let mut shim = Shim::new();
    let first = shim.shell("sleep 600");
    let second = shim.shell("echo second");
    let third = shim.shell("echo third");
    shim.start(&first);
    shim.wait_started(first.id);
    for start in [&second, &third] {
        shim.start(start);
        shim.wait_for("Held", |message| {
            matches!(message, FromShim::Held(id) if *id == start.id).then_some(())
        });
    }
    shim.stop(second.id, 0);
    shim.wait_withdrawn(second.id);
    let unknown = shim.shell("echo unknown");
    shim.stop(unknown.id, 0);
    shim.wait_withdrawn(unknown.id);
    for start in [&second, &unknown] {
        shim.start(start);
        shim.wait_withdrawn(start.id);
    }
    shim.stop(first.id, 60_000);
    shim.wait_ended(first.id);
    assert_eq!(shim.wait_ended(third.id).status, exited(0));
    assert!(!std::path::Path::new(&format!("{}.out", shim.base(second.id).display())).exists());
    let entries = journal::read(&shim.dir.join(journal::FILE)).expect("reads");
    for id in [second.id, unknown.id] {
        assert!(entries.contains(&Entry::Refused(id)));
    }
}

#[test]
fn a_signal_reaches_the_process_group_or_says_why_not() {
    let mut shim = Shim::new();
    let start =
        shim.shell("trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.01; done");
    let id = shim.start(&start);
    shim.wait_started(id);
    until("trap", || (shim.stdout(id) == "ready\n").then_some(()));
    let usr1 = Signal::new(10).expect("a signal");
    shim.send(&ToShim::Signal(id, usr1));
    let sent = |message: &FromShim| match message {
        FromShim::SignalSent(of, signal, errno) if *of == id => Some((*signal, *errno)),
        _ => None,
    };
    assert_eq!(shim.wait_for("SignalSent", sent), (usr1, None));
    shim.wait_ended(id);
    shim.send(&ToShim::Signal(id, usr1));
    assert_eq!(shim.wait_for("SignalSent", sent), (usr1, Some(3)));
}

#[test]
fn two_thousand_attempts_leave_no_descriptor_behind() {
    let mut shim = Shim::new();
    let start = shim.start_of(&["/bin/true"]);
    shim.run(&start);
    let pid = shim.pid();
    let count = || std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let before = count();
    for _ in 0..2_000 {
        let start = shim.start_of(&["/bin/true"]);
        assert_eq!(shim.run(&start).status, exited(0));
    }
    shim.query();
    assert_eq!(count(), before);
    let journal = std::fs::metadata(shim.dir.join(journal::FILE)).expect("there").len();
    assert!(journal < journal::TRUNCATE_ABOVE_BYTES + 4_096, "{journal} bytes");
}
