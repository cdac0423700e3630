//! `jr doctor` in homes that are broken in many ways: it tells what is wrong and how to mend it,
//! changes no byte, starts nobody and ends nobody.

#[path = "support/home.rs"]
mod home;

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use home::{Home, JR, code, document, kill, lives, skipped, text, until, until_so};
use rustix::process::Signal;
use serde_json::Value;

/// Mode, size, time of the last change, and bytes, where it is a file.
type Traces = BTreeMap<PathBuf, (u32, u64, i64, i64, Vec<u8>)>;

/// All that lies below a directory.
fn traces(top: &Path) -> Traces {
    let mut found = Traces::new();
    let mut open = vec![top.to_owned()];
    while let Some(path) = open.pop() {
        let Ok(data) = std::fs::symlink_metadata(&path) else { continue };
        let kind = data.file_type();
        let bytes =
            if kind.is_file() { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
        if kind.is_dir() {
            open.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.path()));
        }
        let row = (data.mode(), data.len(), data.mtime(), data.mtime_nsec(), bytes);
        found.insert(path, row);
    }
    found
}

/// What it says, after seeing that the document is sound and fits the exit code.
fn judged(output: &Output) -> Value {
    let document = document(output);
    assert_eq!(document["schema"], "jr.doctor/1");
    let items = document["items"].as_array().expect("items");
    let severities = ["ok", "info", "warning", "error"];
    for item in items {
        assert!(item["check"].is_string() && item["group"].is_string(), "{item}");
        assert!(severities.iter().any(|severity| item["severity"] == *severity), "{item}");
        assert!(item["message"].is_string() && item["evidence"].is_object(), "{item}");
        assert!(item["fix"].is_string() || item["fix"].is_null(), "{item}");
        assert_ne!(item["check"], "check_failed", "{item}");
    }
    let ok = items.iter().all(|item| item["severity"] != "error");
    assert_eq!(document["ok"], ok);
    assert_eq!(code(output), i32::from(!ok), "{document}");
    document
}

/// What it says of a home, of which nothing may change.
fn doctor(home: &Path) -> Value {
    let before = traces(home);
    let output = Home::command_at(home, &["doctor", "--json"]).output().expect("jr starts");
    let after = traces(home);
    for (path, row) in &before {
        assert_eq!(after.get(path), Some(row), "{} changed", path.display());
    }
    assert_eq!(before.len(), after.len(), "something was made");
    judged(&output)
}

/// The findings of a check.
fn of<'a>(document: &'a Value, check: &str) -> Vec<&'a Value> {
    let items = document["items"].as_array().expect("items");
    items.iter().filter(|item| item["check"] == check).collect()
}

/// The one finding of a check that has this severity.
fn the<'a>(document: &'a Value, check: &str, severity: &str) -> &'a Value {
    let found = of(document, check);
    let mut fitting = found.iter().filter(|item| item["severity"] == severity);
    match (fitting.next(), fitting.next()) {
        (Some(item), None) => item,
        _ => panic!("{check} {severity}: {document:#}"),
    }
}

fn fix(item: &Value) -> &str {
    item["fix"].as_str().unwrap_or_else(|| panic!("no fix: {item}"))
}

/// A home with some history and nobody in it.
fn used() -> Home {
    let home = Home::new();
    home.ok(&["run", "--name", "a", "true"]);
    home.ok(&["run", "--name", "b", "echo", "hello"]);
    home.ok(&["daemon", "stop"]);
    home
}

#[test]
fn a_home_that_is_not_there_is_no_problem_and_is_not_made() {
    let top = tempfile::tempdir().expect("a directory");
    let home = top.path().join("not/yet");
    let found = doctor(&home);
    assert_eq!(found["ok"], true, "{found:#}");
    the(&found, "home", "info");
    the(&found, "daemon", "ok");
    assert!(!top.path().join("not").exists());
}

#[test]
fn a_sound_environment_has_no_problem_with_and_without_its_daemon() {
    let home = Home::new();
    home.ok(&["run", "-d", "sleep", "60"]);
    home.until_state("sleep", "running");
    let output = home.jr(&["doctor", "--json"]);
    let found = judged(&output);
    assert_eq!(found["ok"], true, "{found:#}");
    assert_eq!(of(&found, "log_chain")[0]["severity"], "ok");
    assert!(the(&found, "daemon", "ok")["evidence"]["pid"].is_u64());
    assert_eq!(the(&found, "attempt", "ok")["evidence"]["live"], 1);
    assert!(the(&found, "shim", "ok")["message"].as_str().expect("text").contains("alive"));
    the(&found, "stray", "ok");
    the(&judged(&home.jr(&["doctor", "--deep", "--json"])), "log_chain", "ok");
    home.ok(&["stop", "all"]);
    home.ok(&["daemon", "stop"]);
    let found = doctor(home.path());
    assert_eq!(found["ok"], true, "{found:#}");
    the(&found, "log_chain", "ok");
    the(&found, "views", "ok");
    assert!(home.daemons().is_empty(), "it starts none");
    let deep = judged(&home.jr(&["doctor", "--deep", "--json"]));
    assert!(the(&deep, "log_chain", "ok")["message"].as_str().expect("text").contains("pages"));
}

#[test]
fn people_get_marks_and_fixes_and_quiet_shows_problems_only() {
    let home = used();
    std::fs::write(home.root().join("views.redb"), "rubbish").expect("written");
    let output = home.jr(&["doctor"]);
    assert_eq!(code(&output), 0);
    let (data, news) = (text(&output.stdout), text(&output.stderr));
    assert!(data.contains("\nlog\n  + ") && data.contains("      fix: jr log rebuild"), "{data}");
    assert!(news.starts_with("0 errors, ") && news.lines().count() == 1, "{news}");
    let output = home.jr(&["doctor", "-q"]);
    let quiet = text(&output.stdout);
    assert!(quiet.contains("  ! ") && !quiet.contains("  + "), "{quiet}");
    assert!(output.stderr.is_empty());
    let mut command = home.command(&["doctor", "--color", "always"]);
    let letters = text(&command.env("LANG", "C.UTF-8").output().expect("jr starts").stdout);
    assert!(letters.contains('✓') && letters.contains("\u{1b}["), "{letters}");
}

#[test]
fn an_environment_that_cannot_even_be_named_is_a_finding() {
    let run = |variables: &[(&str, &str)], words: &[&str]| {
        let mut command = Command::new(JR);
        command.args(words).env_clear().env("PATH", "/usr/bin:/bin");
        command.envs(variables.iter().copied()).output().expect("jr starts")
    };
    let found = judged(&run(&[], &["doctor", "--json"]));
    assert!(fix(the(&found, "environment", "error")).starts_with("export JR_HOME="));
    judged(&run(&[("JR_HOME", "relative")], &["doctor", "--json"]));
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path().to_str().expect("text");
    let found = judged(&run(&[("JR_HOME", home), ("JR_ENV", "NO NAME")], &["doctor", "--json"]));
    assert_eq!(fix(the(&found, "environment", "error")), "unset JR_ENV");
    let typed = run(&[("JR_HOME", home), ("JR_ENV", "x")], &["doctor", "-e", "NO NAME"]);
    assert_eq!(code(&typed), 2, "that is a mistake of usage");
}

#[test]
fn something_else_where_a_directory_or_file_belongs_is_named_with_the_way_out() {
    let cases: [(&str, &str); 7] = [
        ("", "environment"),
        ("log", "layout"),
        ("shims", "layout"),
        ("output", "layout"),
        ("secrets", "layout"),
        ("views.redb/", "layout"),
        ("lock/", "layout"),
    ];
    for (name, check) in cases {
        let home = used();
        let path = home.root().join(name.trim_end_matches('/'));
        let _other = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path));
        if name.ends_with('/') {
            std::fs::create_dir(&path).expect("made");
        } else {
            std::fs::write(path.to_str().expect("text").trim_end_matches('/'), "x").expect("made");
        }
        let found = doctor(home.path());
        assert!(fix(the(&found, check, "error")).starts_with("mv "), "{name}: {found:#}");
    }
    let top = tempfile::tempdir().expect("a directory");
    std::fs::write(top.path().join("file"), "").expect("made");
    the(&doctor(&top.path().join("file")), "home", "error");
    the(&doctor(&top.path().join("file/below")), "home", "error");
}

/// The same home elsewhere, for damage that would hold up those who tidy up.
fn copy_of(home: &Path) -> (tempfile::TempDir, PathBuf) {
    let top = tempfile::tempdir().expect("a directory");
    let place = top.path().join("h");
    let copied = Command::new("cp").arg("-a").args([home, &place]).status();
    assert!(copied.expect("cp").success());
    (top, place)
}

#[test]
fn a_fifo_where_a_file_belongs_holds_nobody_up() {
    let home = used();
    for name in ["lock", "starting", "views.redb", "daemon.log", "log/00000000000000000001.redb"] {
        let (_top, place) = copy_of(home.path());
        let path = place.join("envs/local").join(name);
        let _other = std::fs::remove_file(&path);
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
        let found = doctor(&place);
        assert_eq!(found["ok"], false, "{name}: {found:#}");
        assert!(std::fs::symlink_metadata(path).expect("there").file_type().is_fifo());
    }
}

/// A damaged record harms nothing that came before it, and the way there is said.
fn what_came_before_is_told(home: &Home, damaged: u64) {
    let refused = home.jr(&["debug-report"]);
    assert_eq!(code(&refused), 1);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    let way = format!("jr debug-report --at {}", damaged - 1);
    assert!(told.contains(&way) && told.contains("jr doctor --deep"), "{told}");
    let before = (damaged - 1).to_string();
    // With views and without.
    for words in [&["ps", "--all"][..], &["history"], &["events"], &["queue", "list"]] {
        home.ok(&[words, &["--at", &before]].concat());
    }
    let bundle = home.path().join("before.jrb");
    let bundle = bundle.to_str().expect("text");
    home.ok(&["debug-report", "--at", &before, "-o", bundle]);
    home.ok(&["replay", bundle]);
    if home.root().join("views.redb").exists() {
        std::fs::remove_file(home.root().join("views.redb")).expect("removed");
        what_came_before_is_told(home, damaged);
    }
}

#[test]
fn a_damaged_or_missing_or_newer_log_is_told_apart() {
    let segment = |home: &Home| home.root().join("log/00000000000000000001.redb");
    let cut = used();
    let bytes = std::fs::read(segment(&cut)).expect("there");
    std::fs::write(segment(&cut), &bytes[..bytes.len() / 2]).expect("written");
    let found = doctor(cut.path());
    let item = the(&found, "log", "error");
    assert!(fix(item).starts_with("cp -a ") && fix(item).ends_with("jr log verify"), "{item}");

    let flipped = used();
    let needle = b"hello";
    let mut bytes = std::fs::read(segment(&flipped)).expect("there");
    let places: Vec<usize> =
        (0..bytes.len()).filter(|place| bytes[*place..].starts_with(needle)).collect();
    assert!(!places.is_empty(), "the command is in a record");
    for place in places {
        bytes[place] ^= 1;
    }
    std::fs::write(segment(&flipped), bytes).expect("written");
    let found = doctor(flipped.path());
    let item = the(&found, "log", "error");
    let seq = item["evidence"]["seq"].as_u64().expect("the record is named");
    what_came_before_is_told(&flipped, seq);

    let empty = used();
    std::fs::write(segment(&empty), "").expect("written");
    the(&doctor(empty.path()), "log", "error");

    let gone = used();
    std::fs::remove_dir_all(gone.root().join("log")).expect("removed");
    let found = doctor(gone.path());
    assert!(fix(the(&found, "log", "error")).starts_with("mv "), "{found:#}");

    let newer = used();
    std::fs::write(newer.root().join("log/floor"), [200; 80]).expect("written");
    let found = doctor(newer.path());
    let item = the(&found, "log", "error");
    assert!(item["message"].as_str().expect("text").contains("newer jr"), "{item}");
}

#[test]
fn views_are_never_a_loss() {
    let damaged = used();
    std::fs::write(damaged.root().join("views.redb"), "rubbish").expect("written");
    let found = doctor(damaged.path());
    assert_eq!(fix(the(&found, "views", "warning")), "jr log rebuild");
    assert_eq!(found["ok"], true);
    damaged.ok(&["log", "rebuild"]);
    the(&doctor(damaged.path()), "views", "ok");
    std::fs::remove_file(damaged.root().join("views.redb")).expect("removed");
    the(&doctor(damaged.path()), "views", "info");
}

#[test]
fn what_a_killed_daemon_leaves_is_told_and_a_killed_shim_too() {
    let home = Home::new();
    home.ok(&["queue", "set", "default", "-j", "1"]);
    let id = home.detach(&["sleep", "60"]);
    let pid = home.pid_of(&id);
    home.detach(&["true"]);
    home.without_daemon();
    let found = doctor(home.path());
    the(&found, "socket", "info");
    assert_eq!(the(&found, "attempt", "ok")["evidence"]["attempts"][0], format!("{id}.1"));
    assert!(lives(pid), "it looked only");
    let open = of(&found, "waiting").len() + of(&found, "attempt").len();
    assert!(open >= 2, "the second run waits, or was meant to begin: {found:#}");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("alive");
    let shim = status.lines().find_map(|line| line.strip_prefix("PPid:")).expect("a parent");
    let shim: i32 = shim.trim().parse().expect("a number");
    kill(shim, Signal::STOP);
    until_so("the shim to be stopped", || home::state_of(shim) == Some('T'));
    let found = doctor(home.path());
    assert_eq!(fix(the(&found, "shim", "warning")), format!("kill -CONT {shim}"));
    kill(shim, Signal::KILL);
    until_so("the shim to be gone", || !lives(shim));
    let found = doctor(home.path());
    assert_eq!(fix(the(&found, "attempt", "warning")), "jr daemon start", "{found:#}");
    assert!(home.daemons().is_empty(), "it starts none");
    home.ok(&["daemon", "start"]);
    until_so("its end", || home.show(&id)["outcome"] == "lost");
    assert_eq!(judged(&home.jr(&["doctor", "--json"]))["ok"], true);
}

#[test]
fn a_daemon_that_is_stopped_is_told_within_its_time_and_woken_by_the_fix() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    let pid = home.daemons()[0];
    kill(pid, Signal::STOP);
    until_so("it to be stopped", || home::state_of(pid) == Some('T'));
    let found = doctor(home.path());
    let item = the(&found, "daemon", "error");
    assert_eq!(fix(item), format!("kill -CONT {pid}"));
    the(&found, "log", "info");
    kill(pid, Signal::CONT);
    the(&judged(&home.jr(&["doctor", "--json"])), "daemon", "ok");
}

#[test]
fn whoever_else_serves_the_socket_is_an_error() {
    let home = used();
    let listener = UnixListener::bind(home.socket()).expect("bound");
    let found = doctor(home.path());
    the(&found, "daemon", "error");
    let rubbish = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        // One for each time that it is asked.
        for stream in listener.incoming().take(8) {
            let mut stream = stream.expect("a client");
            let _asked = stream.read(&mut [0; 4096]);
            let _told = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        }
    });
    let output = home.jr(&["doctor", "--json"]);
    the(&judged(&output), "daemon", "error");
    drop(rubbish);
    std::fs::remove_file(home.socket()).expect("removed");
    std::fs::write(home.socket(), "").expect("written");
    let found = doctor(home.path());
    assert!(fix(the(&found, "socket", "error")).starts_with("mv "));
    std::fs::remove_file(home.socket()).expect("removed");
}

#[test]
fn a_process_that_outlived_its_run_is_named_and_left_alone() {
    let home = Home::new();
    let id = home.detach(&["--strays", "keep", "sh", "-c", "sleep 61 & echo $!"]);
    home.until_state(&id, "ended");
    let stray: i32 = until("the pid of the stray", || {
        let printed = text(&home.jr(&["logs", &id]).stdout);
        printed.parse().map_err(|_| printed)
    });
    for daemon in [true, false] {
        if !daemon {
            home.ok(&["daemon", "stop"]);
        }
        let found = judged(&home.jr(&["doctor", "--json"]));
        let item = the(&found, "stray", "warning");
        assert_eq!(
            (fix(item), &item["evidence"]["run_id"]),
            (&*format!("kill {stray}"), &id.clone().into())
        );
        assert!(lives(stray), "it is never touched");
    }
    kill(stray, Signal::KILL);
    until_so("it to be gone", || !lives(stray));
    the(&doctor(home.path()), "stray", "ok");
}

#[test]
fn what_is_open_to_others_or_left_over_is_told() {
    let home = used();
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("ours");
    };
    let secrets = home.root().join("secrets");
    std::fs::create_dir_all(&secrets).expect("made");
    mode(&secrets, 0o755);
    assert!(fix(the(&doctor(home.path()), "secrets_mode", "error")).starts_with("chmod "));
    mode(&secrets, 0o700);
    std::fs::write(secrets.join("aaaaaaaaaaaa"), "x").expect("written");
    mode(&secrets.join("aaaaaaaaaaaa"), 0o644);
    the(&doctor(home.path()), "secrets_mode", "error");
    mode(&secrets.join("aaaaaaaaaaaa"), 0o600);
    let output = home.root().join("output/aa");
    std::fs::create_dir_all(&output).expect("made");
    std::fs::write(output.join("aaaaaaaaaaaa.1.out"), "lost").expect("written");
    std::fs::write(home.root().join("x.tmp"), "half").expect("written");
    let found = doctor(home.path());
    the(&found, "secrets_mode", "ok");
    let left = ["secrets_left_over", "output_left_over", "unfinished"];
    for (check, severity) in left.iter().zip(["warning", "info", "info"]) {
        assert!(fix(the(&found, check, severity)).starts_with("rm -- "), "{found:#}");
    }
    mode(&home.root(), 0o777);
    assert!(fix(the(&doctor(home.path()), "environment", "error")).starts_with("chmod 0700 "));
    mode(&home.root(), 0o700);
}

#[test]
fn another_user_is_told_that_it_is_not_theirs() {
    if !rustix::process::geteuid().is_root() {
        skipped("only root can become somebody else");
        return;
    }
    let home = used();
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).expect("ours");
    let mut command = home.command(&["doctor", "--json"]);
    match command.uid(65_534).gid(65_534).output() {
        Ok(output) => {
            let found = judged(&output);
            assert_eq!(found["ok"], false);
            assert!(fix(the(&found, "home", "error")).starts_with("sudo chown"), "{found:#}");
        }
        Err(error) => skipped(&format!("jr cannot be started as another user: {error}")),
    }
}

/// In a mount namespace of its own, after these commands of a shell; `None` where that cannot be.
fn in_namespace(home: &Home, script: &str) -> Option<Value> {
    let script = format!("{script} || exit 99; exec '{JR}' doctor --json");
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", &script])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("JR_HOME", home.path()).env("HOME", "/nonexistent");
    let output = command.output().ok()?;
    if output.stdout.is_empty() {
        skipped(&format!("no mounts can be made here: {}", text(&output.stderr)));
        return None;
    }
    Some(judged(&output))
}

#[test]
fn full_and_read_only_disks_and_a_machine_without_proc_or_cgroups_are_told() {
    let home = Home::new();
    let path = home.path().display();
    let full = format!("mount -t tmpfs -o size=1m none {path} && head -c 1m /dev/zero >{path}/x");
    if let Some(found) = in_namespace(&home, &full) {
        assert_eq!(the(&found, "disk_space", "error")["evidence"]["free_bytes"], 0);
        the(&found, "disk_kind", "warning");
    }
    if let Some(found) = in_namespace(&home, &format!("mount -t tmpfs -o ro none {path}")) {
        let fix = fix(the(&found, "disk_kind", "error"));
        assert_eq!(fix, format!("mount -o remount,rw {path}"));
        the(&found, "home", "error");
    }
    if let Some(found) = in_namespace(&home, "mount -t tmpfs none /proc") {
        the(&found, "stray", "warning");
    }
    if let Some(found) = in_namespace(&home, "mount -t tmpfs none /sys/fs/cgroup") {
        the(&found, "cgroup", "warning");
        assert_eq!(found["ok"], true, "{found:#}");
    }
}

#[test]
fn a_program_that_hangs_is_told_and_gone_afterwards() {
    let home = Home::new();
    let tools = tempfile::tempdir().expect("a directory");
    let pid = tools.path().join("pid");
    let script = format!("#!/bin/sh\necho $$ >{}\nexec sleep 600\n", pid.display());
    // Written by another process: what is forked here meanwhile must not have it open for writing.
    std::fs::write(tools.path().join("script"), script).expect("written");
    let mut install = Command::new("install");
    install.args(["-m", "755", "script", "git"]).current_dir(tools.path());
    let copied = install.status();
    assert!(copied.expect("install").success());
    let mut command = home.command(&["doctor", "--json"]);
    let search = format!("{}:/usr/bin:/bin", tools.path().display());
    let found = judged(&command.env("PATH", search).output().expect("jr starts"));
    the(&found, "tool_git", "warning");
    let pid: i32 = text(&std::fs::read(pid).expect("it began")).parse().expect("a pid");
    assert!(!lives(pid), "it ended with the question");
}

/// Numbers that look random, from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound.max(1)
    }
}

/// Breaks one thing; says what.
fn damage(home: &Path, chance: &mut Chance) -> String {
    let there: Vec<PathBuf> =
        traces(home).into_keys().filter(|path| path.as_path() != home).collect();
    let path = &there[chance.below(there.len())];
    let remove = || {
        let _file = std::fs::remove_dir_all(path).or_else(|_| std::fs::remove_file(path));
    };
    let what = chance.below(8);
    match what {
        0 => remove(),
        1 => {
            remove();
            std::fs::create_dir(path).expect("made");
        }
        2 => {
            remove();
            std::fs::write(path, "x").expect("made");
        }
        3 => {
            remove();
            std::os::unix::fs::symlink("nowhere", path).expect("made");
        }
        4 => {
            remove();
            assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
        }
        5 => {
            let _dead_link = std::fs::set_permissions(path, PermissionsExt::from_mode(0o777));
        }
        _ => {
            if !std::fs::symlink_metadata(path).is_ok_and(|data| data.is_file()) {
                return "nothing".to_owned();
            }
            let mut bytes = std::fs::read(path).expect("readable");
            if what == 6 {
                bytes.truncate(chance.below(bytes.len()));
            }
            for _ in 0..chance.below(64) {
                let place = chance.below(bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= u8::try_from(1 + chance.below(255)).expect("a byte");
                }
            }
            std::fs::write(path, bytes).expect("written");
        }
    }
    format!("{what} at {}", path.display())
}

#[test]
fn whatever_is_broken_it_ends_with_a_sound_document() {
    let home = Home::new();
    home.ok(&["run", "--name", "a", "--set", "API_TOKEN=x", "true"]);
    home.detach(&["sleep", "60"]);
    home.until_state("sleep", "running");
    home.without_daemon();
    for seed in 0..48 {
        let mut chance = Chance(seed);
        let (_top, place) = copy_of(home.path());
        let broken: Vec<String> =
            (0..=chance.below(3)).map(|_| damage(&place, &mut chance)).collect();
        let result = std::panic::catch_unwind(|| doctor(&place));
        assert!(result.is_ok(), "seed {seed}: {broken:?}");
    }
}

#[test]
fn what_records_name_is_looked_for_and_what_jr_made_is_known() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    home.ok(&["debug-report"]);
    home.without_daemon();
    let finding = |words: &[&str], check: &str| {
        home.items(words).into_iter().find(|item| item["check"] == check)
    };
    let layout = finding(&["doctor"], "layout").expect("it is looked at");
    assert_eq!(layout["severity"], "ok", "{layout}");
    assert_eq!(finding(&["doctor"], "blobs").expect("some are named")["severity"], "ok");
    home.ok(&["log", "verify"]);
    std::fs::remove_dir_all(home.root().join("blobs")).expect("removes");
    for words in [&["doctor"][..], &["doctor", "--deep"]] {
        let lost = finding(words, "blobs").expect("it is looked for");
        assert_eq!((&lost["severity"], &lost["fix"]), (&"warning".into(), &"jr log verify".into()));
    }
    let verified = home.jr(&["--json", "log", "verify"]);
    let document = document(&verified);
    assert_eq!((code(&verified), &document["ok"]), (1, &false.into()));
    let first = document["blobs"]["items"][0].as_str().expect("a digest");
    assert!(first.ends_with(" is missing"), "{document}");
}
