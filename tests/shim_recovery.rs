//! Deaths: of the daemon, of the shim, of a client; and who is taken for whom afterwards.
#[path = "support/shim.rs"]
mod support;

use std::io::Write;
use std::os::fd::AsFd;

use jr::model::{BootId, ExitStatus, Signal};
use jr::runners::linux::procfs;
use jr::runners::process::{Fenced, fence, remove, scan};
use jr::runners::protocol::{FromShim, Holding, ToShim};
use jr::runners::shim::attach::Attachment;
use jr::runners::shim::journal::{self, Entry, Journal, Opened};
use support::{Shim, bytes, exited, is_alive, pid_in, until};

#[test]
fn a_new_daemon_hears_of_what_runs_and_of_ends_until_it_forgets_them() {
    let mut shim = Shim::new();
    let start = shim.shell("sleep 0.2; echo done; exit 7");
    let id = shim.start(&start);
    let process = shim.wait_started(id);
    shim.reconnect();
    match shim.query().as_slice() {
        [(of, Holding::Running(running))] => assert_eq!((*of, running), (id, &process)),
        [(of, Holding::Ended(end))] => assert_eq!((*of, end.status), (id, exited(7))),
        other => panic!("{other:?}"),
    }
    let end = shim.wait_ended(id);
    assert_eq!((end.status, shim.stdout(id).as_str()), (exited(7), "done\n"));
    for _ in 0..3 {
        shim.reconnect();
        assert_eq!(shim.wait_ended(id), end);
    }
    shim.send(&ToShim::Forget(id));
    assert_eq!(shim.query(), []);
    shim.reconnect();
    assert_eq!(shim.query(), []);
}

#[test]
fn a_start_that_a_dying_daemon_sent_last_is_known_to_the_next_one() {
    for _ in 0..20 {
        let mut shim = Shim::new();
        until("socket", || shim.socket().exists().then_some(()));
        let start = shim.shell("sleep 600");
        let id = shim.start(&start);
        shim.reconnect();
        let known = shim.query();
        assert_eq!(known.first().map(|(of, _)| *of), Some(id), "{known:?}");
    }
}

#[test]
fn a_killed_shim_leaves_a_claim_without_an_end_and_the_fence_leaves_nothing() {
    for mut shim in [Shim::new(), Shim::with_subreaper()] {
        let path = shim.home.path().join("child");
        let script = format!("sleep 600 & echo $! > {}; wait", path.display());
        let start = shim.shell(&script);
        let id = shim.start(&start);
        let process = shim.wait_started(id);
        let child = pid_in(&path);
        shim.kill();
        let found = scan(shim.dir.parent().expect("a parent")).expect("scans");
        assert_eq!(found.len(), 1);
        assert!(!found[0].lock_held);
        assert_eq!(found[0].socket.as_deref(), Some(shim.socket().as_path()));
        let has = |fits: &dyn Fn(&Entry) -> bool| found[0].entries.iter().any(fits);
        assert!(has(&|entry| matches!(entry, Entry::Claim(claim) if claim.id == id)));
        assert!(has(&|entry| matches!(entry, Entry::Started(of, _) if *of == id)));
        assert!(!has(&|entry| matches!(entry, Entry::Ended(..))));
        assert!(is_alive(process.pid) && is_alive(child), "work outlives its shim until fenced");
        assert_eq!(fence(&shim.dir).expect("fences"), Fenced::Empty);
        assert!(!is_alive(process.pid) && !is_alive(child));
        assert!(remove(&shim.dir).expect("removes") && !shim.dir.exists());
    }
}

#[test]
fn a_mute_shim_is_proven_killed_and_its_tree_with_it() {
    let mut shim = Shim::new();
    let start = shim.shell("sleep 600");
    let id = shim.start(&start);
    let process = shim.wait_started(id);
    let pid = shim.pid();
    let raw = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(raw, rustix::process::Signal::STOP).expect("our own child");
    assert!(scan(shim.dir.parent().expect("a parent")).expect("scans")[0].lock_held);
    assert!(!remove(&shim.dir).expect("looks"), "it lives");
    assert_eq!(fence(&shim.dir).expect("fences"), Fenced::Empty);
    assert!(!is_alive(pid) && !is_alive(process.pid));
}

#[test]
fn a_shim_that_comes_after_its_fence_does_not_begin() {
    let home = tempfile::tempdir().expect("a directory");
    assert_eq!(fence(home.path()).expect("fences"), Fenced::Empty);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_jr"))
        .args(["shim", "--dir"])
        .arg(home.path())
        .output()
        .expect("runs");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("given up"), "{text}");
}

#[test]
fn a_process_with_the_number_of_a_dead_shim_is_left_alone() {
    let home = tempfile::tempdir().expect("a directory");
    let mut victim =
        std::process::Command::new("/bin/sleep").arg("600").spawn().expect("a process");
    let stat = procfs::stat(victim.id()).expect("reads").expect("alive");
    let boot = jr::runners::linux::clock::boot_id().expect("Linux");
    let lock = std::fs::File::create(home.path().join("lock")).expect("creates");
    let other_boot = BootId([0; 16]);
    // Another start time in this boot; the same start time in another boot.
    for (boot, start_ticks) in [(boot, stat.start_ticks + 1), (other_boot, stat.start_ticks)] {
        std::fs::remove_file(home.path().join(journal::FILE)).ok();
        let mut journal = Journal::open(&home.path().join(journal::FILE)).expect("opens");
        let socket = bytes("/nowhere");
        let opened = Opened { boot, pid: victim.id(), start_ticks, leaf: None, socket };
        journal.append(&Entry::Opened(opened)).expect("appends");
        assert_eq!(fence(home.path()).expect("fences"), Fenced::Empty);
        assert!(is_alive(victim.id()));
    }
    // A lock whose holder cannot be proven: nothing is touched, and it is said.
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("locks");
    assert!(fence(home.path()).is_err());
    assert!(is_alive(victim.id()));
    victim.kill().expect("our own child");
    victim.wait().expect("our own child");
}

#[test]
fn a_left_shim_ends_by_itself_and_a_wanted_one_does_not() {
    let mut shim = Shim::with(|args| args.idle_exit_ms = 50);
    let start = shim.shell("sleep 0.3; exit 3");
    let id = shim.start(&start);
    shim.wait_started(id);
    shim.reconnect();
    let end = shim.wait_ended(id);
    // Dropping the connection leaves it alone.
    let socket = shim.socket();
    let (other, _peer) = std::os::unix::net::UnixStream::pair().expect("a pair");
    drop(other);
    shim.handle = {
        let idle = Shim::new();
        until("socket", || idle.socket().exists().then_some(()));
        jr::runners::process::ShimHandle::connect(&idle.socket()).expect("connects")
    };
    until("the end of the shim", || (!socket.exists()).then_some(()));
    let entries = journal::read(&shim.dir.join(journal::FILE)).expect("reads");
    assert!(entries.contains(&Entry::Ended(id, end)), "the exit record stays");
}

#[test]
fn a_client_hands_over_its_input_signals_and_hears_the_end() {
    let mut shim = Shim::new();
    until("socket", || shim.socket().exists().then_some(()));
    let mut start = shim.shell("trap 'exit 4' INT; cat; echo end; while :; do sleep 0.01; done");
    start.attached = true;
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let id = shim.start(&start);
    shim.wait_for("Held", |message| matches!(message, FromShim::Held(_)).then_some(()));
    let mut client =
        Attachment::connect(&shim.socket(), id, Some(reader.as_fd())).expect("attaches");
    drop(reader);
    writer.write_all(b"typed\n").expect("writes");
    drop(writer);
    shim.wait_started(id);
    until("output", || (shim.stdout(id) == "typed\nend\n").then_some(()));
    client.signal(Signal::INT).expect("sends");
    let mut ended = None;
    while ended.is_none() {
        if let Some(FromShim::Ended(of, end)) = client.receive().expect("receives") {
            ended = (of == id).then_some(end);
        }
    }
    assert_eq!(ended.expect("ended").status, exited(4));
    client.sync().expect("sends");
    let synced = client.receive().expect("receives");
    assert!(matches!(synced, Some(FromShim::Synced(None) | FromShim::SignalSent(..))));
}

#[test]
fn the_death_of_a_client_detaches_it_and_nothing_more() {
    let mut shim = Shim::new();
    until("socket", || shim.socket().exists().then_some(()));
    let mut start = shim.shell("cat; exit 6");
    start.attached = true;
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let client =
        Attachment::connect(&shim.socket(), start.id, Some(reader.as_fd())).expect("attaches");
    let id = shim.start(&start);
    shim.wait_started(id);
    drop(client);
    drop(reader);
    drop(writer);
    assert_eq!(shim.wait_ended(id).status, exited(6));
}

#[test]
fn a_reader_that_never_reads_holds_nobody_up() {
    let mut shim = Shim::new();
    until("socket", || shim.socket().exists().then_some(()));
    let _deaf = std::os::unix::net::UnixStream::connect(shim.socket()).expect("connects");
    let start = shim.shell("sleep 600");
    let id = shim.start(&start);
    shim.wait_started(id);
    for _ in 0..60_000 {
        shim.send(&ToShim::Signal(start.id, Signal::new(28).expect("WINCH")));
        shim.handle.on_readable().expect("reads");
    }
    shim.stop(id, 0);
    let end = shim.wait_ended(id);
    assert!(matches!(end.status, ExitStatus::Signalled(_)));
}
