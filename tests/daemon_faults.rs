//! Deaths, floods, bad programs and bad clients, as the command line sees them.

#[path = "support/home.rs"]
mod home;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use home::{Home, code, kill, lives, proc_file, state_of, text, until, until_so};
use jr::daemon::client::monotonic_ms;
use rustix::process::Signal;

#[test]
fn a_killed_shim_ends_its_run_as_lost_and_its_tree_with_it() {
    // With the daemon there, and with nobody there to see it.
    for daemon_dies in [false, true] {
        let home = Home::new();
        let script = "setsid sleep 61 & echo $!; sleep 60";
        let id = home.detach(&["sh", "-c", script]);
        let main = home.pid_of(&id);
        let stray: i32 = until("the pid of the stray", || {
            let printed = text(&home.jr(&["logs", &id]).stdout);
            printed.parse().map_err(|_| printed)
        });
        if daemon_dies {
            home.without_daemon();
        }
        let shim = parent_of(main);
        assert!(home.processes("shim").contains(&shim), "the shim is the parent");
        kill(shim, Signal::KILL);
        let output = home.jr(&["wait", &id]);
        assert_eq!(code(&output), 125, "{output:?}");
        let run = home.show(&id);
        assert_eq!((&run["outcome"], &run["reason"]), (&"lost".into(), &"shim_died".into()));
        assert!(run["exit_code"].is_null() && run["signal"].is_null(), "nothing is invented");
        assert!(!lives(main) && !lives(stray), "its tree is gone");
        home.ok(&["run", "true"]);
    }
}

#[test]
fn a_shim_whose_stop_takes_longer_than_silence_may_is_not_taken_for_mute() {
    let home = Home::new();
    let id = home.detach(&["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]);
    until_so("the trap", || text(&home.jr(&["logs", &id]).stdout) == "ready");
    let grace_s = (jr::limits::SHIM_MUTE_MS / 1_000 + 2).to_string();
    home.ok(&["stop", &id, "--kill-after", &grace_s]);
    let run = home.show(&id);
    assert_eq!(run["outcome"], "stopped", "{run}");
}

fn parent_of(pid: i32) -> i32 {
    let status = String::from_utf8_lossy(&proc_file(pid, "status")).into_owned();
    let line = status.lines().find(|line| line.starts_with("PPid:")).expect("a parent");
    line[5..].trim().parse().expect("a number")
}

#[test]
fn environments_beside_each_other_never_touch_each_others_processes() {
    let homes = [Home::new(), Home::new()];
    // Shims of the same numbers, one after the other: the leaf of the first is empty by then.
    homes[0].ok(&["run", "true"]);
    let id = homes[1].detach(&["sleep", "60"]);
    let pid = homes[1].pid_of(&id);
    let own = homes[0].detach(&["sleep", "60"]);
    let killed = homes[0].pid_of(&own);
    kill(parent_of(killed), Signal::KILL);
    assert_eq!(code(&homes[0].jr(&["wait", &own])), 125);
    assert!(!lives(killed) && lives(pid), "each fence kills its own");
    homes[1].ok(&["stop", &id]);
    assert_eq!(homes[1].show(&id)["outcome"], "stopped");
}

#[test]
fn a_recovery_that_is_killed_again_and_again_starts_nothing_twice() {
    let home = Home::new();
    let done = home.path().join("done");
    let script = format!("echo $JR_RUN_ID >> {}; sleep 60", done.display());
    home.ok(&["queue", "set", "default", "-j", "4"]);
    let ids: Vec<String> = (0..6).map(|_| home.detach(&["sh", "-c", &script])).collect();
    let started = || std::fs::read_to_string(&done).unwrap_or_default().lines().count();
    until_so("four to run", || started() == 4);
    for pause in [0_u64, 1, 3, 6, 10, 15, 25, 40] {
        home.kill_daemon();
        let mut command = home.command(&["daemon", "run"]);
        let mut next = home::Client::new(command.spawn().expect("jr starts"));
        // Somewhere in its recovery, or just after.
        std::thread::sleep(Duration::from_millis(pause));
        next.signal(Signal::KILL);
        drop(next.output());
    }
    let stopped = home.items(&["stop", "all", "--kill-after", "5"]);
    assert_eq!(stopped.len(), 6, "all six were still known");
    assert_eq!(started(), 4, "each began once, and two never");
    for id in &ids {
        let outcome = home.show(id)["outcome"].clone();
        assert!(outcome == "stopped" || outcome == "cancelled", "{outcome}");
    }
    assert_eq!(code(&home.jr(&["daemon", "stop"])), 0);
    assert_eq!(code(&home.jr(&["log", "verify"])), 0);
}

#[test]
fn what_cannot_be_started_is_said_with_its_reason_and_exit_code() {
    let home = Home::new();
    let file = |name: &str, content: &str, mode: u32| {
        let path = home.path().join(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).expect("ours");
        path.to_str().expect("text").to_owned()
    };
    let no_format = file("noexec", "exit 5\n", 0o755);
    assert_eq!(code(&home.jr(&["run", &no_format])), 5, "sh reads it, as execvp(3) does");
    let no_interpreter = file("nointerpreter", "#!/no/such/interpreter\n", 0o755);
    let forbidden = file("forbidden", "#!/bin/sh\n", 0o644);
    let busy = home.path().join("busy");
    std::fs::copy("/bin/true", &busy).expect("copied");
    let writer = std::fs::OpenOptions::new().append(true).open(&busy).expect("ours");
    let busy = busy.to_str().expect("text");
    for (words, exit, reason) in [
        (&[no_interpreter.as_str()][..], 127, "not_found"),
        (&[&forbidden], 126, "not_executable"),
        (&["/usr"], 126, "not_executable"),
        (&["/no/such/program"], 127, "not_found"),
        (&[busy], 125, "spawn:ETXTBSY"),
    ] {
        let output = home.jr(&[&["run", "--"], words].concat());
        let run = home.show("last");
        assert_eq!((&run["outcome"], &run["reason"]), (&"failed".into(), &reason.into()));
        assert_eq!(code(&output), exit, "{reason}: {output:?}");
        assert!(run["exit_code"].is_null() && run["pid"].is_null(), "{run}");
        assert!(!text(&output.stderr).is_empty(), "{reason}");
    }
    drop(writer);
    home.ok(&["run", busy]);
    // One argument takes at most 128 KiB (execve(2)), also when no shell has passed it on.
    let line = format!("/bin/echo {}", "x".repeat(140 << 10));
    assert_eq!(code(&home.jr_with_input(&["batch"], line.as_bytes())), 1);
    assert_eq!(home.items(&["history", "-n", "1"])[0]["reason"], "spawn:E2BIG");
}

#[test]
fn hundreds_of_runs_at_once_are_all_seen_and_all_stopped() {
    let home = Home::new();
    let count = 200;
    let lines = "sleep 300\n".repeat(count);
    let file = home.path().join("lines");
    std::fs::write(&file, lines).expect("written");
    // More than a user has inotify instances (128), so some shims do without.
    let client = home.spawn(&["batch", "-j", "200", file.to_str().expect("text")]);
    until("all to run", || {
        let counts = home.show("last")["batch"]["running"].clone();
        if counts == count { Ok(()) } else { Err(counts.to_string()) }
    });
    let pids: Vec<i64> = home.items(&["ps"]).iter().filter_map(|run| run["pid"].as_i64()).collect();
    assert_eq!(pids.len(), count);
    home.ok(&["stop", "all"]);
    assert_eq!(code(&client.output()), 1);
    let left = pids.iter().filter(|pid| lives(i32::try_from(**pid).expect("a pid")));
    assert_eq!(left.count(), 0, "nothing lives");
    assert_eq!(home.items(&["ps"]).len(), 0);
    let ended = home.events(&["--kind", "attempt_ended"]).len();
    assert_eq!(ended, home.events(&["--kind", "attempt_started"]).len());
    assert_eq!(home.daemons().len(), 1);
}

#[test]
fn what_ignores_term_or_has_stopped_itself_is_stopped_nonetheless() {
    let home = Home::new();
    home.ok(&["queue", "set", "default", "-j", "4"]);
    let deaf = home.detach(&["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 0.1; done"]);
    let frozen = home.detach(&["sh", "-c", "kill -STOP $$; exit 0"]);
    let pids = [home.pid_of(&deaf), home.pid_of(&frozen)];
    until_so("it to stop itself", || state_of(pids[1]) == Some('T'));
    let stopping = home.spawn(&["stop", &deaf, "--kill-after", "0.4"]);
    until_so("`stopping` to show", || {
        let state = home.show(&deaf)["state"].clone();
        state == "stopping" || state == "ended"
    });
    assert_eq!(code(&stopping.output()), 0);
    home.ok(&["stop", &frozen]);
    assert_eq!(home.show(&deaf)["signal"], 9);
    assert_eq!(home.show(&frozen)["signal"], 15, "it is woken to hear the signal");
    assert!(pids.iter().all(|pid| !lives(*pid)));
}

#[test]
fn a_flood_is_bounded_by_what_is_read_and_complete_where_it_is_small_enough() {
    let home = Home::new();
    let megabytes = 64;
    let script = format!("head -c {megabytes}m /dev/zero");
    let mut client = home.spawn(&["run", "--name", "zeros", "sh", "-c", &script]);
    let mut output = client.child().stdout.take().expect("piped");
    let mut buffer = vec![0_u8; 1 << 20];
    let mut length = 0;
    loop {
        let count = output.read(&mut buffer).expect("readable");
        if count == 0 {
            break;
        }
        assert!(buffer[..count].iter().all(|byte| *byte == 0));
        length += count;
    }
    assert_eq!(length, megabytes << 20, "one line of NUL bytes, all of it");
    assert_eq!(code(&client.output()), 0);
    let kept = home.show("zeros")["attempts"][0]["stdout_bytes"].as_u64();
    assert_eq!(kept, Some(megabytes as u64 * (1 << 20)));
    // A flood that nobody reads holds up neither the daemon nor the stop.
    let id = home.detach(&["--name", "flood", "yes"]);
    home.pid_of(&id);
    until_so("some megabytes", || size_of(&home.root().join("output")) > 80 << 20);
    assert_eq!(home.items(&["ps"]).len(), 1);
    assert_eq!(home.ok(&["logs", "flood", "-n", "2"]), "y\ny");
    home.ok(&["stop", "flood"]);
}

fn size_of(directory: &Path) -> u64 {
    files_under(directory)
        .iter()
        .filter_map(|path| path.metadata().ok())
        .map(|data| data.len())
        .sum()
}

fn files_under(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { left.push(path) } else { files.push(path) }
        }
    }
    files
}

#[test]
fn what_escapes_its_session_ends_with_the_run_and_is_counted() {
    let home = Home::new();
    let pid_file = home.path().join("pid");
    // setsid and a double fork, with its own streams closed.
    let script = format!(
        "setsid sh -c '(trap \"\" TERM; echo $$ > {0}; exec sleep 60) <&- >&- 2>&- & exit' & \
         while ! test -s {0}; do sleep 0.01; done",
        pid_file.display()
    );
    home.ok(&["run", "--name", "quick", "sh", "-c", &script]);
    let read = || std::fs::read_to_string(&pid_file).expect("written").trim().parse().expect("pid");
    let stray: i32 = read();
    until_so("the stray to be gone", || !lives(stray));
    let attempt = home.show("quick")["attempts"][0].clone();
    assert!(attempt["strays"].as_u64() > Some(0), "{attempt}");
    std::fs::remove_file(&pid_file).expect("there");
    let id = home.detach(&["sh", "-c", &format!("{script}; sleep 60")]);
    until_so("the stray", || std::fs::metadata(&pid_file).is_ok_and(|data| data.len() > 0));
    let stray: i32 = read();
    home.ok(&["stop", &id, "--kill-after", "0.3"]);
    assert!(!lives(stray), "a stop ends the whole tree");
}

#[test]
fn an_output_file_that_is_deleted_breaks_nothing_and_is_told() {
    let home = Home::new();
    let mut client =
        home.spawn(&["run", "--name", "x", "sh", "-c", "echo a; read l; echo b; exit 4"]);
    until_so("its first line", || home.jr(&["logs", "x"]).stdout == b"a\n");
    let lost = files_under(&home.root().join("output"));
    for path in &lost {
        std::fs::remove_file(path).expect("there");
    }
    drop(client.child().stdin.take());
    assert_eq!(code(&client.output()), 4);
    assert!(!home.events(&["--kind", "output_lost", "--run", "x"]).is_empty(), "it is told");
    assert_eq!(code(&home.jr(&["logs", "x"])), 0);
}

/// The bytes of a request, as a client would send them.
fn request(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: jr\r\njr-protocol: 1\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn run_body(command_id: &str, key: &str) -> String {
    serde_json::json!({
        "command_id": command_id, "name": null, "command": ["true"], "cwd": "/", "variables": [],
        "labels": {}, "timeout_ms": null, "stop_signal": null, "grace_ms": null, "strays": "kill",
        "output_bytes_max": null, "queue": null, "attached": false, "key": key, "wait": false,
    })
    .to_string()
}

fn send(home: &Home, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(home.socket()).expect("a daemon");
    stream.write_all(bytes).expect("it reads");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    // Up to the end of the chunked answer; the connection stays open.
    while !answer.ends_with(b"0\r\n\r\n") {
        match stream.read(&mut buffer).expect("an answer") {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    let answer = String::from_utf8(answer).expect("text");
    let start = answer.find("\"run_id\":\"").unwrap_or_else(|| panic!("{answer}")) + 10;
    answer[start..start + 12].to_owned()
}

#[test]
fn a_client_that_dies_anywhere_in_its_request_acts_once_or_not_at_all() {
    let home = Home::new();
    home.ok(&["daemon", "start"]);
    let bytes = request("/v1/run", &run_body(&"0".repeat(32), "K"));
    for length in (0..bytes.len()).step_by(13) {
        let mut stream = UnixStream::connect(home.socket()).expect("a daemon");
        stream.write_all(&bytes[..length]).expect("it reads");
    }
    assert_eq!(home.items(&["history"]).len(), 0, "half a request does nothing");
    // A whole one whose answer nobody reads: it may be taken for a dead client's.
    let mut stream = UnixStream::connect(home.socket()).expect("a daemon");
    stream.write_all(&bytes).expect("it reads");
    drop(stream);
    let id = send(&home, &bytes);
    assert_eq!(home.show("last")["run_id"], id.as_str(), "the same command, the same answer");
    home.without_daemon();
    home.ok(&["daemon", "start"]);
    assert_eq!(send(&home, &bytes), id, "across the death of a daemon");
    let other = request("/v1/run", &run_body(&"1".repeat(32), "K"));
    assert_eq!(send(&home, &other), id, "the same key, in another command");
    home.ok(&["wait", &id]);
    assert_eq!(home.items(&["history"]).len(), 1);
    // The death of the daemon may have come before the first attempt was claimed.
    let ends = home.events(&["--kind", "attempt_ended"]);
    let began = ends.iter().filter(|end| end["status"] != "never_started").count();
    assert_eq!(began, 1, "{ends:?}");
}

#[test]
fn clients_that_never_read_or_never_finish_hold_nobody_up() {
    let home = Home::new();
    let lines: String = "true\n".repeat(300);
    let output = home.jr_with_input(&["batch"], lines.as_bytes());
    assert_eq!(code(&output), 0, "{output:?} {:?}", home.items(&["history", "--failed"]));
    // Followers from the first record on, whose answer is larger than a socket's buffer.
    let followers: Vec<UnixStream> = (0..20)
        .map(|_| {
            let mut stream = UnixStream::connect(home.socket()).expect("a daemon");
            stream.write_all(&request("/v1/events", r#"{"from":1}"#)).expect("it reads");
            stream
        })
        .collect();
    let halves: Vec<UnixStream> = (0..20)
        .map(|_| {
            let mut stream = UnixStream::connect(home.socket()).expect("a daemon");
            stream
                .write_all(b"POST /v1/run HTTP/1.1\r\ncontent-length: 500\r\n\r\n{")
                .expect("reads");
            stream
        })
        .collect();
    let [daemon] = home.daemons()[..] else { panic!("one daemon") };
    for _ in 0..5 {
        home.ok(&["run", "true"]);
    }
    assert!(own_kib(daemon) < 40 << 10, "{} KiB", own_kib(daemon));
    drop((followers, halves));
    assert_eq!(home.daemons(), [daemon]);
}

/// Memory that is the process's own: the pages of the program's file, near 30 MiB of a debug build,
/// say nothing of its clients.
fn own_kib(pid: i32) -> u64 {
    let status = String::from_utf8_lossy(&proc_file(pid, "status")).into_owned();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("memory");
    line[8..].trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Every file of a home with the digest of its bytes.
fn digests(home: &Home) -> BTreeMap<PathBuf, blake3::Hash> {
    let hash = |path: &PathBuf| std::fs::read(path).ok().map(|bytes| blake3::hash(&bytes));
    let files = files_under(home.path()).into_iter();
    files.filter_map(|path| hash(&path).map(|hash| (path, hash))).collect()
}

#[test]
fn reading_after_the_death_of_the_daemon_changes_no_byte_and_starts_none() {
    let home = Home::new();
    home.jr_with_input(&["batch"], "true\nexit 3\necho x\n".repeat(20).as_bytes());
    home.jr(&["run", "--name", "named", "sh", "-c", "echo out; exit 3"]);
    let id = home.detach(&["sleep", "60"]);
    home.pid_of(&id);
    let readers: [&[&str]; 9] = [
        &["ps"],
        &["ps", "-a", "--at", "20"],
        &["history"],
        &["history", "--failed", "--since", "-1h"],
        &["show", "named"],
        &["logs", "named"],
        &["events", "--from", "1"],
        &["queue", "list"],
        &["wait", "named"],
    ];
    let with_daemon: Vec<Vec<u8>> =
        readers[2..8].iter().map(|words| home.jr(words).stdout).collect();
    // Right after kill -9: the views lack what was not written yet.
    home.without_daemon();
    let before = digests(&home);
    assert!(before.len() > 5);
    let answers: Vec<_> = readers.iter().map(|words| home.jr(words)).collect();
    assert_eq!(digests(&home), before, "not one byte");
    assert_eq!(home.daemons(), Vec::<i32>::new());
    let ages = |text: &[u8]| -> String {
        // What lives grows older between two looks.
        let lines = String::from_utf8_lossy(text).into_owned();
        lines.lines().filter(|line| !line.contains(" sleep ")).collect::<Vec<_>>().join("\n")
    };
    for ((words, answer), expected) in readers[2..8].iter().zip(&answers[2..8]).zip(&with_daemon) {
        assert_eq!(code(answer), 0, "{words:?} {answer:?}");
        assert_eq!(ages(&answer.stdout), ages(expected), "{words:?}");
    }
    assert_eq!(code(&answers[8]), 3, "wait for what has ended needs no daemon");
}

#[test]
fn a_reused_process_number_is_left_alone() {
    let home = Home::new();
    let id = home.detach(&["sleep", "60"]);
    let pid = home.pid_of(&id);
    home.without_daemon();
    // Its process and its shim are gone; what has the number now is not ours to touch.
    kill(parent_of(pid), Signal::KILL);
    kill(pid, Signal::KILL);
    until_so("both to be gone", || !lives(pid));
    let bystander = home.spawn(&["daemon", "status"]);
    let output = home.jr(&["stop", &id]);
    assert_eq!(code(&output), 0, "{output:?}");
    let outcome = home.show(&id)["outcome"].clone();
    assert!(outcome == "lost" || outcome == "signalled", "{outcome}");
    drop(bystander.output());
}

/// F9: a machine that slept for an hour, as a daemon in a time namespace sees it
/// (`time_namespaces(7)`).
#[test]
fn an_hour_that_nobody_saw_pass_counts_for_a_retry() {
    let unshare = |words: &[&str]| {
        let mut command = std::process::Command::new("unshare");
        command.args(["--time", "--boottime", "3605", "--fork"]).args(words);
        command
    };
    if !unshare(&["true"]).output().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED (no time namespace can be made here)");
        return;
    }
    let home = Home::new();
    let id = home.detach(&[
        "--retries",
        "1",
        "--backoff",
        "1h,jitter=0",
        "--",
        "sh",
        "-c",
        "test $JR_ATTEMPT = 2",
    ]);
    home.until_state(&id, "delayed");
    home.without_daemon();
    let mut command = unshare(&[home::JR, "daemon", "run"]);
    let mut daemon = command.env("JR_HOME", home.path()).spawn().expect("starts");
    until_so("that daemon", || UnixStream::connect(home.socket()).is_ok());
    let waited = home.jr(&["wait", "--timeout", "60", &id]);
    assert_eq!(code(&waited), 0, "its second attempt came at once: {waited:?}");
    let run = home.show(&id);
    assert_eq!((&run["outcome"], &run["attempt"]), (&"succeeded".into(), &2.into()));
    for attempt in run["attempts"].as_array().expect("a list") {
        assert!(attempt["duration_ms"].as_i64().is_some_and(|took| took >= 0), "{attempt}");
    }
    home.ok(&["daemon", "stop"]);
    daemon.wait().expect("it ended");
}

#[test]
fn a_daemon_that_was_stopped_is_told_soon_with_what_to_type() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    let pid = home.daemons()[0];
    kill(pid, Signal::STOP);
    until_so("it to be stopped", || state_of(pid) == Some('T'));
    for words in [&["ps"][..], &["debug-report", "--deep"]] {
        let begun_ms = monotonic_ms();
        let told = home.jr(words);
        let words = text(&told.stderr);
        assert_eq!(code(&told), 75, "{words}");
        assert!(words.contains(&format!("kill -CONT {pid}")), "{words}");
        assert!(!words.contains("os error"), "{words}");
        let waited_ms = monotonic_ms() - begun_ms;
        assert!(waited_ms < 15_000, "{waited_ms} ms");
    }
    kill(pid, Signal::CONT);
    home.ok(&["ps"]);
}

#[test]
fn nobody_waits_for_the_other_end_of_what_should_be_a_file() {
    for name in ["log/00000000000000000001.redb", "starting", "views.redb", "lock"] {
        let home = Home::new();
        home.ok(&["run", "true"]);
        home.without_daemon();
        let path = home.root().join(name);
        let path = if name.starts_with("log/") {
            let mut files = std::fs::read_dir(home.root().join("log")).expect("a log").flatten();
            files
                .find(|file| file.path().extension().is_some_and(|end| end == "redb"))
                .expect("a segment")
                .path()
        } else {
            path
        };
        std::fs::remove_file(&path).expect("removes");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo").success());
        for words in [&["ps"][..], &["debug-report"]] {
            let begun_ms = monotonic_ms();
            let told = home.jr(words);
            assert!(monotonic_ms() - begun_ms < 20_000, "{name} {words:?}");
            // A bundle is made of the log alone.
            if name == "views.redb" && words == ["debug-report"] {
                assert_eq!(code(&told), 0, "{}", text(&told.stderr));
                continue;
            }
            assert_ne!(code(&told), 0, "{name} {words:?}: {}", text(&told.stdout));
            let words = text(&told.stderr);
            assert!(words.contains("not a regular file"), "{name}: {words}");
        }
    }
}
