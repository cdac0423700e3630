//! Attempts that run as somebody else. Only root can start them.
#[path = "support/shim.rs"]
mod support;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use jr::model::spec::WindowSize;
use jr::model::{Capture, ExitStatus, LimitBy, SpawnError};
use support::{Shim, exited};

/// Whether this is root; else it says what it could not do.
#[expect(clippy::print_stdout, reason = "it says what it could not do")]
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("SKIPPED (only root can start as somebody else)");
    }
    is_root
}

fn id_of(flags: &[&str]) -> String {
    let output = std::process::Command::new("id").args(flags).output().expect("id");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_user_has_its_numbers_and_groups_and_not_ours() {
    if !is_root() {
        return;
    }
    let mut shim = Shim::new();
    let uid = id_of(&["-u", "nobody"]);
    for user in ["nobody", uid.trim()] {
        let mut start = shim.shell("id -u; id -ru; id -g; id -G; cat /etc/shadow");
        start.user = Some(user.to_owned());
        let end = shim.run(&start);
        assert_eq!(end.status, exited(1), "it cannot read what is root's");
        let (gid, groups) = (id_of(&["-g", "nobody"]), id_of(&["-G", "nobody"]));
        assert_eq!(shim.stdout(start.id), format!("{uid}{uid}{gid}{groups}"));
    }
    let mut start = shim.start_of(&["/bin/cat", "/proc/self/status"]);
    start.user = Some("nobody".to_owned());
    assert_eq!(shim.run(&start).status, exited(0));
    for line in shim.stdout(start.id).lines().filter(|line| line.starts_with("Cap")) {
        let is_bound = line.starts_with("CapBnd");
        assert!(is_bound || line.ends_with("\t0000000000000000"), "{line}");
    }
}

#[test]
fn its_output_is_its_own_and_can_still_be_read() {
    if !is_root() {
        return;
    }
    let mut shim = Shim::new();
    let uid: u32 = id_of(&["-u", "nobody"]).trim().parse().expect("a number");
    for capture in [Capture::File, Capture::Pipe] {
        let mut start = shim.shell("echo one; echo two >> /dev/stdout; echo three >> /dev/stderr");
        start.user = Some("nobody".to_owned());
        start.capture = capture;
        let end = shim.run(&start);
        assert_eq!(end.status, exited(0));
        let output = end.output.expect("it ran");
        assert_eq!((output.stdout_bytes, output.stderr_bytes), (8, 6));
        assert_eq!(shim.stdout(start.id), "one\ntwo\n");
        let file = std::fs::metadata(format!("{}.out", shim.base(start.id).display()));
        let owner = file.expect("there").uid();
        assert_eq!(owner, if capture == Capture::File { uid } else { 0 });
    }
    let mut start = shim.shell("tty; echo there > $(tty)");
    start.user = Some("nobody".to_owned());
    start.tty = Some(WindowSize { rows: 24, columns: 80 });
    assert_eq!(shim.run(&start).status, exited(0));
    let text = shim.stdout(start.id);
    assert!(text.starts_with("/dev/pts/") && text.ends_with("there\r\n"), "{text:?}");
}

#[test]
fn rights_are_those_of_the_user_from_the_directory_on() {
    if !is_root() {
        return;
    }
    let mut shim = Shim::new();
    let private = shim.home.path().join("private");
    std::fs::create_dir(&private).expect("made");
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o700)).expect("chmod");
    let private = support::bytes(private.to_str().expect("text"));
    let mut start = shim.start_of(&["/bin/true"]);
    start.cwd = private.clone();
    assert_eq!(shim.run(&start).status, exited(0));
    let mut start = shim.start_of(&["/bin/true"]);
    (start.cwd, start.user) = (private, Some("nobody".to_owned()));
    assert_eq!(shim.run(&start).status, ExitStatus::NotStarted(SpawnError::Errno(13)));
    // What holds it to its limits is put on before.
    let mut start = shim.shell("id -u; ulimit -v");
    start.user = Some("nobody".to_owned());
    start.limits.memory_bytes = Some(512 << 20);
    let id = shim.start(&start);
    let by = shim.wait_started(id).limits_by.memory;
    assert_eq!(shim.wait_ended(id).status, exited(0));
    let limit = if by == Some(LimitBy::Rlimit) { "524288" } else { "unlimited" };
    assert_eq!(shim.stdout(id), format!("{}{limit}\n", id_of(&["-u", "nobody"])));
}

#[test]
fn a_user_that_is_not_here_is_named_and_our_own_is_no_change() {
    let mut shim = Shim::new();
    for user in ["no such user", "", "4294967000"] {
        let mut start = shim.start_of(&["/bin/true"]);
        start.user = Some(user.to_owned());
        let end = shim.run(&start);
        assert_eq!(end.status, ExitStatus::NotStarted(SpawnError::NoSuchUser), "{user:?}");
        assert!(!std::path::Path::new(&format!("{}.out", shim.base(start.id).display())).exists());
    }
    let mut start = shim.start_of(&["id", "-u"]);
    start.user = Some(id_of(&["-u"]).trim().to_owned());
    let end = shim.run(&start);
    // In a container we may be a number that has no name.
    if end.status != ExitStatus::NotStarted(SpawnError::NoSuchUser) {
        assert_eq!((end.status, shim.stdout(start.id)), (exited(0), id_of(&["-u"])));
    }
}
