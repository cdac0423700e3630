//! Daemons come up exactly once, beside whatever lies in their way, and go away when nothing is
//! left to do.

#[path = "support/home.rs"]
mod home;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use home::{Client, Home, code, document, lives, skipped, text, until, until_so};
use rustix::process::Signal;

/// Clients that start at once.
const CLIENTS: usize = 50;

fn started_at_once(paths: &[&Path], words: &[&str]) -> Vec<Client> {
    let clients = (0..CLIENTS).map(|number| {
        let mut command = Home::command_at(paths[number % paths.len()], words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Client::new(command.spawn().expect("jr starts"))
    });
    clients.collect()
}

#[test]
fn clients_that_come_at_once_get_one_daemon_and_each_its_run() {
    let home = Home::new();
    let clients = started_at_once(&[home.path()], &["run", "-d", "true"]);
    let mut ids: Vec<String> = clients
        .into_iter()
        .map(|client| {
            let output = client.output();
            assert_eq!(code(&output), 0, "{output:?}");
            text(&output.stdout)
        })
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), CLIENTS, "each has a run of its own");
    until_so("one daemon", || home.daemons().len() == 1);
    let started = home.events(&["--kind", "daemon_started"]);
    assert_eq!(started.len(), 1, "and only one ever opened the log");
    home.ok(&[&["wait"][..], &ids.iter().map(String::as_str).collect::<Vec<_>>()].concat());
}

#[test]
fn daemons_that_race_leave_one_that_serves_and_touch_nothing() {
    let home = Home::new();
    for _ in 0..3 {
        let racers: Vec<Client> = (0..10)
            .map(|_| {
                let mut command = home.command(&["daemon", "run"]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped());
                Client::new(command.spawn().expect("jr starts"))
            })
            .collect();
        until_so("one that serves", || code(&home.jr(&["daemon", "status"])) == 0);
        let inode = std::fs::metadata(home.socket()).expect("a socket").ino();
        until("the others to leave", || match home.daemons() {
            pids if pids.len() == 1 => Ok(()),
            pids => Err(format!("{pids:?}")),
        });
        assert_eq!(std::fs::metadata(home.socket()).expect("a socket").ino(), inode);
        home.ok(&["run", "true"]);
        home.without_daemon();
        let killed = racers.into_iter().map(Client::output);
        let failed: Vec<_> = killed.filter(|output| output.status.code() != Some(0)).collect();
        assert!(failed.len() <= 1, "only the killed one failed: {failed:?}");
    }
    assert_eq!(home.events(&["--kind", "daemon_started"]).len(), 3);
    assert_eq!(code(&home.jr(&["log", "verify"])), 0);
}

#[test]
fn one_home_under_two_names_has_one_daemon_at_a_time() {
    let home = Home::new();
    let elsewhere = tempfile::tempdir().expect("a directory");
    let link = elsewhere.path().join("link");
    symlink(home.path(), &link).expect("a link");
    let words = ["run", "-d", "true"];
    for client in started_at_once(&[home.path(), &link], &words) {
        let output = client.output();
        assert_eq!(code(&output), 0, "{output:?}");
    }
    let daemons = home.daemons().len() + processes_of(&link);
    assert_eq!(daemons, 1, "one holds the lock");
    let runs = home.items(&["history"]).len();
    assert_eq!(runs, CLIENTS);
    Home::command_at(&link, &["daemon", "stop"]).output().expect("jr starts");
}

/// Daemons that were started for a home of this name.
fn processes_of(home: &Path) -> usize {
    let variable = format!("JR_HOME={}", home.display());
    let proc = std::fs::read_dir("/proc").expect("procfs");
    let pids = proc.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        let words = home::proc_file(*pid, "cmdline");
        let environ = home::proc_file(*pid, "environ");
        words.split(|byte| *byte == 0).any(|word| word == b"daemon")
            && environ.split(|byte| *byte == 0).any(|found| found == variable.as_bytes())
    })
    .count()
}

#[test]
fn what_a_dead_daemon_left_does_not_hinder_the_next() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    home.without_daemon();
    assert!(home.socket().exists(), "a stale socket");
    std::fs::write(home.run().join("d-0000ffff.tmp"), "").expect("written");
    std::fs::write(home.root().join("log/x.tmp"), "").expect("written");
    assert_eq!(code(&home.jr(&["daemon", "status"])), 3);
    home.ok(&["run", "true"]);
    assert_eq!(home.items(&["history"]).len(), 2);
}

/// What lies there, how it gets there, how it goes.
type Lay<'a> = (&'a str, &'a dyn Fn(), &'a dyn Fn());

#[test]
fn what_is_no_socket_of_ours_is_never_replaced() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    home.ok(&["daemon", "stop"]);
    let socket = home.run().join("daemon.sock");
    let target = home.path().join("target");
    std::fs::write(&target, "precious").expect("written");
    let gone = || std::fs::remove_file(&socket).expect("it is there");
    let lays: [Lay<'_>; 3] = [
        ("a directory", &|| std::fs::create_dir(&socket).expect("made"), &|| {
            std::fs::remove_dir(&socket).expect("it is there");
        }),
        ("a file", &|| std::fs::write(&socket, "precious").expect("written"), &gone),
        ("a link", &|| symlink(&target, &socket).expect("linked"), &gone),
    ];
    for (what, lay, clear) in lays {
        lay();
        let output = home.jr(&["--json", "run", "true"]);
        assert_eq!(code(&output), 69, "{what}: {output:?}");
        let message = document(&output)["error"]["message"].to_string();
        assert!(message.contains("daemon.sock"), "{what}: {message}");
        assert!(std::fs::symlink_metadata(&socket).is_ok(), "{what} is still there");
        assert_eq!(std::fs::read_to_string(&target).expect("there"), "precious");
        assert_eq!(home.items(&["history"]).len(), 1, "reading goes on beside {what}");
        clear();
    }
    home.ok(&["run", "true"]);
}

#[test]
fn a_home_that_others_can_write_is_refused() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    home.ok(&["daemon", "stop"]);
    std::fs::set_permissions(home.run(), PermissionsExt::from_mode(0o777)).expect("ours");
    let output = home.jr(&["run", "true"]);
    assert_eq!(code(&output), 69, "{output:?}");
    assert!(text(&output.stderr).contains("only you can write"), "{output:?}");
    std::fs::set_permissions(home.run(), PermissionsExt::from_mode(0o700)).expect("ours");
}

#[test]
fn everything_it_makes_is_private() {
    let home = Home::new();
    home.ok(&["run", "--set", "API_TOKEN=hunter2-hunter2", "--", "sh", "-c", "echo x"]);
    let mut left = vec![home.path().to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).expect("readable").flatten() {
            let Ok(data) = entry.metadata() else { continue };
            assert_eq!(data.mode() & 0o077, 0, "{}", entry.path().display());
            if data.is_dir() {
                left.push(entry.path());
            }
        }
    }
}

#[test]
fn it_ends_when_nothing_is_left_to_do_and_not_before() {
    let home = Home::new();
    let mut command = home.command(&["daemon", "run", "--idle-exit", "0.4"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut daemon = Client::new(command.spawn().expect("jr starts"));
    let pid = daemon.pid();
    until_so("it to serve", || code(&home.jr(&["daemon", "status"])) == 0);
    home.ok(&["queue", "set", "one", "-j", "1"]);
    // Each is longer than the idle time, and the second only waits for most of it.
    home.detach(&["--queue", "one", "sleep", "0.8"]);
    let last = home.detach(&["--queue", "one", "sleep", "0.8"]);
    until("the last run to end under the same daemon", || {
        assert!(lives(pid), "it ended while something lived");
        match home.show(&last)["state"].as_str() {
            Some("ended") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    assert_eq!(code(&daemon.output()), 0, "then it ends by itself");
    assert!(!home.socket().exists());
    let reasons = home.events(&["--kind", "daemon_stopped"]);
    assert_eq!(reasons[0]["reason"], "idle");
    until_so("its shims to leave", || home.processes("shim").is_empty());
}

#[test]
fn a_stopped_daemon_leaves_what_runs_to_the_next_one() {
    let home = Home::new();
    let id = home.detach(&["sleep", "60"]);
    let pid = home.pid_of(&id);
    home.ok(&["daemon", "stop"]);
    until_so("its process to be gone", || home.daemons().is_empty());
    assert!(lives(pid));
    home.ok(&["daemon", "start"]);
    assert_eq!(home.pid_of(&id), pid, "adopted, not started again");
    home.ok(&["stop", &id]);
    assert_eq!(home.show(&id)["outcome"], "stopped");
}

#[test]
fn too_many_open_files_stop_no_daemon_and_no_run() {
    let home = Home::new();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 40; exec \"$0\" daemon run", home::JR]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("JR_HOME", home.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let _daemon = Client::new(command.spawn().expect("a shell"));
    until_so("it to serve", || code(&home.jr(&["daemon", "status"])) == 0);
    let id = home.detach(&["sleep", "60"]);
    let pid = home.pid_of(&id);
    let held: Vec<UnixStream> =
        (0..100).filter_map(|_| UnixStream::connect(home.socket()).ok()).collect();
    assert!(held.len() > 40, "more than it has room for");
    let waiting = home.spawn(&["run", "-d", "true"]);
    drop(held);
    assert_eq!(code(&waiting.output()), 0, "who waited is served");
    assert!(lives(pid));
    // A client that was turned away may have started one, which finds the first and goes.
    until_so("one daemon", || home.daemons().len() == 1);
}

#[test]
fn another_user_gets_no_answer_and_is_not_answered() {
    if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/setpriv").exists() {
        skipped("only root can become somebody else with setpriv");
        return;
    }
    let home = Home::new();
    home.ok(&["run", "true"]);
    let open = |mode| {
        for path in [home.path().to_owned(), home.path().join("run"), home.run(), home.socket()] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
        }
    };
    open(0o755);
    std::fs::set_permissions(home.socket(), PermissionsExt::from_mode(0o777)).expect("ours");
    // A copy, since the other user may not reach the one that was built.
    let copy = home.path().join("jr");
    std::fs::copy(home::JR, &copy).expect("copied");
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command.arg(&copy).args(["--json", "run", "-d", "true"]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("JR_HOME", home.path());
    let output = command.output().expect("setpriv");
    assert_eq!(code(&output), 77, "{output:?}");
    assert_eq!(document(&output)["error"]["code"], "not_permitted");
    open(0o700);
    assert_eq!(home.items(&["history"]).len(), 1);
}

/// Answers each connection as a daemon of another version would.
fn serve_as(socket: &Path, protocol: u32) -> std::thread::JoinHandle<Vec<String>> {
    let listener = UnixListener::bind(socket).expect("bind");
    std::thread::spawn(move || {
        let mut requests = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).expect("a request");
            let line = String::from_utf8_lossy(&request[..count]);
            let line = line.lines().next().unwrap_or_default().to_owned();
            let answer = format!(
                "HTTP/1.1 200 OK\r\njr-protocol: {protocol}\r\ncontent-length: 2\r\n\r\n{{}}"
            );
            stream.write_all(answer.as_bytes()).expect("it reads");
            let ends = line.contains("/v1/daemon/stop");
            requests.push(line);
            if ends {
                return requests;
            }
        }
    })
}

#[test]
fn an_older_daemon_is_asked_to_end_and_a_newer_one_is_left_alone() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    home.ok(&["daemon", "stop"]);
    let socket = home.run().join("daemon.sock");
    let server = serve_as(&socket, 0);
    home.ok(&["run", "true"]);
    let asked = server.join().expect("served");
    assert!(asked.last().is_some_and(|line| line.contains("/v1/daemon/stop")), "{asked:?}");
    assert_eq!(home.items(&["history"]).len(), 2);

    home.ok(&["daemon", "stop"]);
    let server = serve_as(&socket, 999);
    for words in [&["run", "true"][..], &["history"], &["stop", "all"]] {
        let output = home.jr(&[&["--json"], words].concat());
        assert_eq!(code(&output), 69, "{words:?} {output:?}");
        assert_eq!(document(&output)["error"]["code"], "daemon_newer");
    }
    home.jr(&["daemon", "stop"]);
    server.join().expect("served");
}

#[test]
fn an_upgrade_keeps_what_runs() {
    let home = Home::new();
    let id = home.detach(&["sleep", "60"]);
    let pid = home.pid_of(&id);
    let body = r#"{"upgrade":true}"#;
    let mut stream = UnixStream::connect(home.socket()).expect("a daemon");
    let length = body.len();
    let request = format!(
        "POST /v1/daemon/stop HTTP/1.1\r\nhost: jr\r\njr-protocol: 9\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("it answers");
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(stream);
    until_so("it to leave", || home.daemons().is_empty());
    assert_eq!(home.events(&["--kind", "daemon_stopped"])[0]["reason"], "upgraded");
    home.ok(&["daemon", "start"]);
    assert_eq!(home.pid_of(&id), pid);
}

#[test]
fn a_daemon_that_is_told_to_end_by_a_signal_says_so() {
    let home = Home::new();
    home.ok(&["daemon", "start"]);
    let [pid] = home.daemons()[..] else { panic!("one daemon") };
    home::kill(pid, Signal::TERM);
    until_so("it to leave", || !lives(pid));
    assert_eq!(home.events(&["--kind", "daemon_stopped"])[0]["reason"], "asked");
}

/// Law 8: never an empty answer in its place.
#[test]
fn a_log_that_is_gone_is_told_and_never_begun_anew() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    home.ok(&["daemon", "stop"]);
    let log = home.root().join("log");
    let kept = home.path().join("kept");
    std::fs::rename(&log, &kept).expect("moved");
    let output = home.jr(&["run", "-d", "true"]);
    assert_ne!(code(&output), 0);
    let said = text(&output.stderr);
    assert!(said.contains("there was a log"), "{said}");
    assert!(std::fs::read_dir(&log).map_or(true, |mut entries| entries.next().is_none()));
    assert!(!home.jr(&["history"]).status.success());
    // What it told to do helps.
    let _made_since = std::fs::remove_dir(&log);
    std::fs::rename(&kept, &log).expect("moved back");
    assert_eq!(home.items(&["history"]).len(), 1);
    home.ok(&["run", "true"]);
}
