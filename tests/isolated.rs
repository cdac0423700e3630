//! Environments that keep nothing, from outside: those that live within one command, and those
//! whose log is in the memory of their daemon (docs/decisions/0015).

#[path = "support/home.rs"]
mod home;
#[path = "support/screen.rs"]
mod screen;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use home::{Client, Home, code, document, keep, kill, lives, text, until, until_so};
use rustix::process::Signal;
use screen::Screen;

/// An isolated environment has nothing but a directory for temporary files.
struct Nothing {
    home: Home,
    tmp: tempfile::TempDir,
}

impl Nothing {
    fn new() -> Self {
        let tmp = tempfile::tempdir().expect("a temporary directory");
        Self { home: Home::keeping("isolated"), tmp }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(words);
        command.env("TMPDIR", self.tmp.path());
        command
    }

    fn jr(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("jr starts")
    }

    fn spawn(&self, words: &[&str]) -> Client {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Client::new(command.spawn().expect("jr starts"))
    }

    fn with_input(&self, words: &[&str], input: &[u8]) -> Output {
        let mut client = self.spawn(words);
        client.child().stdin.take().expect("piped").write_all(input).expect("it reads");
        client.output()
    }

    /// What lies among the temporary files.
    fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.tmp.path()).expect("readable");
        let mut left: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        left.retain(|path| path.file_name().is_some_and(|name| name != "own"));
        left
    }

    /// Where a test keeps something of its own.
    fn own(&self, name: &str) -> PathBuf {
        let own = self.tmp.path().join("own");
        std::fs::create_dir_all(&own).expect("made");
        own.join(name)
    }

    /// The number that a process of a run writes there.
    fn pid(&self, name: &str) -> i32 {
        let path = self.own(name);
        until(&format!("a pid in {name}"), || {
            let words = std::fs::read_to_string(&path).unwrap_or_default();
            if words.ends_with('\n') { words.trim().parse().map_err(|_| words) } else { Err(words) }
        })
    }

    /// Nothing in `JR_HOME`, no directory, no process of jr.
    #[track_caller]
    fn assert_nothing_left(&self) {
        assert_eq!(self.left(), Vec::<PathBuf>::new());
        assert_eq!(std::fs::read_dir(self.home.path()).expect("readable").count(), 0);
        assert_eq!(self.home.processes("shim"), Vec::<i32>::new());
        assert_eq!(self.home.processes("daemon"), Vec::<i32>::new());
    }

    /// As [`Self::assert_nothing_left`], when the shims are done with what they are at.
    fn until_nothing_left(&self) {
        until_so("all shims to end", || self.home.processes("shim").is_empty());
        until_so("the directory to go", || self.left().is_empty());
        self.assert_nothing_left();
    }
}

/// A script that says its number and waits for ever.
fn waiting(nothing: &Nothing, name: &str) -> String {
    format!("echo $$ > {}; while :; do sleep 1000; done", nothing.own(name).display())
}

#[test]
fn a_run_behaves_as_the_bare_command_and_leaves_nothing() {
    let nothing = Nothing::new();
    let script = "cat; echo problem >&2; exit 7";
    let output = nothing.with_input(&["run", "--", "sh", "-c", script], b"what is typed");
    assert_eq!(code(&output), 7, "{output:?}");
    assert_eq!((text(&output.stdout), text(&output.stderr)), words("what is typed", "problem"));
    for (words, expected) in [
        (&["run", "--", "true"][..], 0),
        (&["run", "--", "sh", "-c", "kill -USR1 $$"], 138),
        (&["run", "--", "no-such-program"], 127),
        (&["run", "--", "/etc/passwd"], 126),
        (&["run", "--ok", "3", "--", "sh", "-c", "exit 3"], 3),
    ] {
        assert_eq!(code(&nothing.jr(words)), expected, "{words:?}");
        nothing.assert_nothing_left();
    }
    let run = document(&nothing.jr(&["--json", "run", "--name", "n", "--", "false"]));
    assert_eq!((&run["schema"], &run["name"]), (&"jr.run/1".into(), &"n".into()));
    assert_eq!((&run["outcome"], &run["exit_code"]), (&"failed".into(), &1.into()));
    nothing.assert_nothing_left();
}

fn words(stdout: &str, stderr: &str) -> (String, String) {
    (stdout.to_owned(), stderr.to_owned())
}

#[test]
fn much_output_is_whole() {
    let nothing = Nothing::new();
    let output = nothing.jr(&["run", "--", "seq", "200000"]);
    assert_eq!(text(&output.stdout).lines().count(), 200_000);
    assert!(output.stdout.ends_with(b"\n200000\n"));
    nothing.assert_nothing_left();
}

/// A directory whose configuration keeps no run but the newest, with these services.
fn forgetful(nothing: &Nothing, services: &str) -> PathBuf {
    let directory = nothing.own("project");
    std::fs::create_dir_all(directory.join(".git")).expect("made");
    let text = format!("[retention]\nkeep_runs = 1\n{services}");
    std::fs::write(directory.join("jr.toml"), text).expect("written");
    directory
}

/// The one directory of an isolated command that lives.
fn directory_of(nothing: &Nothing) -> PathBuf {
    until("a directory", || {
        let left = nothing.left();
        let up = left.first().filter(|path| path.join("output").is_dir());
        up.cloned().ok_or_else(|| format!("{left:?}"))
    })
}

#[test]
fn a_batch_that_lives_is_whole_whatever_its_configuration_lets_go() {
    let nothing = Nothing::new();
    let project = forgetful(&nothing, "");
    let go = nothing.own("go");
    let last = format!("until [ -e {} ]; do sleep 0.01; done\n", go.display());
    let lines = "echo hello\n".repeat(29) + "exit 3\n" + &last;
    let words = ["-C", &project.display().to_string(), "batch", "-j2"];
    let mut client = nothing.spawn(&words);
    client.child().stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads");
    let hellos = || outputs(&nothing).iter().filter(|text| *text == "hello\n").count();
    directory_of(&nothing);
    until_so("all lines but the last", || hellos() == 29);
    // What nothing names goes last: then the prune is over.
    let blob = directory_of(&nothing).join("blobs/ab").join("c".repeat(62));
    std::fs::create_dir_all(blob.parent().expect("has one")).expect("made");
    std::fs::write(&blob, "named by nobody").expect("written");
    until_so("a prune", || !blob.exists());
    assert_eq!(hellos(), 29);
    std::fs::write(&go, "").expect("written");
    let output = client.output();
    let said = text(&output.stderr);
    assert_eq!(code(&output), 1, "{said}");
    assert!(said.contains("failed (3)  sh -c 'exit 3'"), "{said}");
    assert!(said.contains("31 lines, 30 succeeded, 1 failed"), "{said}");
    nothing.assert_nothing_left();
}

/// What the runs of the one command that lives have written.
fn outputs(nothing: &Nothing) -> Vec<String> {
    let directories = std::fs::read_dir(directory_of(nothing).join("output")).expect("readable");
    let within = |directory: std::fs::DirEntry| std::fs::read_dir(directory.path()).ok();
    let files = directories.flatten().filter_map(within).flatten().flatten();
    let files =
        files.map(|file| file.path()).filter(|path| path.extension() == Some("out".as_ref()));
    files.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

#[test]
fn what_services_leave_behind_goes_while_they_live() {
    let nothing = Nothing::new();
    let services = "\
[services.flaps]
command = \"echo $JR_ATTEMPT >> attempts; exit 1\"
backoff = { initial = \"10ms\", max = \"10ms\" }
hooks = { before_start = \"echo hook $(wc -l < attempts)\" }
[services.stays]
command = \"echo stays; echo $$ > ../stays; while :; do sleep 1000; done\"
";
    let project = forgetful(&nothing, services);
    std::fs::write(project.join("attempts"), "").expect("written");
    let mut client = nothing.spawn(&["-C", &project.display().to_string(), "up"]);
    let stays = nothing.pid("stays");
    let has = |line: &str| outputs(&nothing).iter().any(|text| text == line);
    until_so("a hook", || has("hook 1\n"));
    until_so("its output to go", || !has("hook 1\n"));
    assert!(lives(stays) && has("stays\n"));
    let before = std::fs::metadata(project.join("attempts")).expect("there").len();
    until_so("another attempt", || {
        std::fs::metadata(project.join("attempts")).expect("there").len() > before
    });
    client.signal(Signal::INT);
    let output = client.output();
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(!lives(stays));
    nothing.assert_nothing_left();
}

#[test]
fn a_batch_counts_its_failures_and_can_fail_fast() {
    let nothing = Nothing::new();
    let output = nothing.with_input(&["batch", "-j2"], b"echo a\nfalse\nexit 3\ntrue\n");
    assert_eq!(code(&output), 1);
    let said = text(&output.stderr);
    assert!(said.contains("failed (3)  sh -c 'exit 3'"), "{said}");
    assert!(said.contains("4 lines, 2 succeeded, 2 failed"), "{said}");
    nothing.assert_nothing_left();
    let lines = format!("false\ntouch {}\n", nothing.own("never").display());
    let output = nothing.with_input(&["batch", "-j1", "--fail-fast"], lines.as_bytes());
    let said = text(&output.stderr);
    assert_eq!(code(&output), 1);
    assert!(said.contains("2 lines, 1 failed, 1 cancelled"), "{said}");
    assert!(!said.contains("--continue"), "{said}");
    assert!(!nothing.own("never").exists());
    let output = nothing.with_input(&["batch"], b"true\ntrue\n");
    assert_eq!(code(&output), 0);
    nothing.assert_nothing_left();
}

#[test]
fn limits_of_time_and_retries_hold() {
    let nothing = Nothing::new();
    let pid = nothing.own("pid");
    let script = format!("trap '' TERM; echo $$ > {}; while :; do sleep 1; done", pid.display());
    let words = ["run", "--timeout", "500ms", "--kill-after", "100ms", "--", "sh", "-c", &script];
    assert_eq!(code(&nothing.jr(&words)), 124);
    assert!(!lives(nothing.pid("pid")));
    nothing.assert_nothing_left();
    let tries = nothing.own("tries");
    let script = format!("echo x >> {0}; [ $(wc -l < {0}) = 3 ]", tries.display());
    let words = ["run", "--retries", "5", "--backoff", "1ms", "--", "sh", "-c", &script];
    assert_eq!(code(&nothing.jr(&words)), 0);
    assert_eq!(std::fs::read_to_string(&tries).expect("written"), "x\nx\nx\n");
    nothing.assert_nothing_left();
}

#[test]
fn signals_end_the_run_and_all_is_gone_before_the_command_is() {
    for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let nothing = Nothing::new();
        let script = waiting(&nothing, "pid");
        let mut client = nothing.spawn(&["run", "--", "sh", "-c", &script]);
        let pid = nothing.pid("pid");
        client.signal(signal);
        assert_eq!(code(&client.output()), expected);
        assert!(!lives(pid));
        nothing.assert_nothing_left();
    }
}

#[test]
fn a_signal_that_the_command_takes_for_itself_ends_nothing() {
    let nothing = Nothing::new();
    let pid = nothing.own("pid");
    let script = format!(
        "trap 'echo again' INT; trap 'echo bye; exit 5' TERM; echo $$ > {}; \
         while :; do sleep 0.01; done",
        pid.display()
    );
    let mut client = nothing.spawn(&["run", "--", "sh", "-c", &script]);
    nothing.pid("pid");
    client.signal(Signal::INT);
    let out = client.child().stdout.take().expect("piped");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
    assert_eq!(lines.next().expect("a line").expect("text"), "again");
    client.signal(Signal::TERM);
    assert_eq!(lines.next().expect("a line").expect("text"), "bye");
    assert_eq!(code(&client.output()), 5);
    nothing.assert_nothing_left();
}

#[test]
fn signals_end_a_batch_with_all_its_lines() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let nothing = Nothing::new();
        let lines: String =
            ["a", "b", "c"].map(|name| waiting(&nothing, name) + "\n").into_iter().collect();
        std::fs::write(nothing.own("lines"), lines).expect("written");
        let file = nothing.own("lines").display().to_string();
        let mut client = nothing.spawn(&["batch", "-j2", &file]);
        let pids = [nothing.pid("a"), nothing.pid("b")];
        client.signal(signal);
        let output = client.output();
        assert_eq!(code(&output), 1, "{output:?}");
        assert!(pids.iter().all(|pid| !lives(*pid)));
        assert!(!nothing.own("c").exists());
        nothing.assert_nothing_left();
    }
}

#[test]
fn a_second_signal_kills_what_a_batch_has_left() {
    let nothing = Nothing::new();
    let line = format!("trap '' TERM; {}", waiting(&nothing, "pid"));
    std::fs::write(nothing.own("lines"), line).expect("written");
    let file = nothing.own("lines").display().to_string();
    let mut client = nothing.spawn(&["batch", "--kill-after", "1h", &file]);
    let pid = nothing.pid("pid");
    client.signal(Signal::INT);
    let err = client.child().stderr.take().expect("piped");
    let mut said = std::io::BufRead::lines(std::io::BufReader::new(err));
    assert!(said.next().expect("a line").expect("text").contains("kills what is left"));
    client.signal(Signal::INT);
    assert_eq!(code(&client.output()), 1);
    assert!(!lives(pid));
    nothing.assert_nothing_left();
}

#[test]
fn killed_it_is_cleaned_up_by_its_shims_with_the_usual_ladder() {
    let nothing = Nothing::new();
    let told = nothing.own("told");
    let script = format!(
        "trap 'echo told > {}; exit' TERM; sleep 1000 & echo $! > {}; echo $$ > {}; wait",
        told.display(),
        nothing.own("child").display(),
        nothing.own("pid").display(),
    );
    let mut client = nothing.spawn(&["run", "--", "sh", "-c", &script]);
    let pids = [nothing.pid("pid"), nothing.pid("child")];
    assert_eq!(nothing.left().len(), 1);
    client.signal(Signal::KILL);
    nothing.until_nothing_left();
    assert!(pids.iter().all(|pid| !lives(*pid)));
    assert_eq!(std::fs::read_to_string(&told).expect("it had time"), "told\n");
}

#[test]
fn killed_what_ignores_the_first_signal_is_killed_too() {
    let nothing = Nothing::new();
    let line = |name: &str| format!("trap '' TERM; {}\n", waiting(&nothing, name));
    let lines: String = ["a", "b", "c", "d"].map(line).into_iter().collect();
    std::fs::write(nothing.own("lines"), lines).expect("written");
    let file = nothing.own("lines").display().to_string();
    let mut client = nothing.spawn(&["batch", "-j3", "--kill-after", "300ms", &file]);
    let pids = ["a", "b", "c"].map(|name| nothing.pid(name));
    client.signal(Signal::KILL);
    nothing.until_nothing_left();
    assert!(pids.iter().all(|pid| !lives(*pid)));
    assert!(!nothing.own("d").exists(), "nothing begins any more");
}

#[test]
fn killed_with_all_its_shims_the_next_one_ends_what_is_left() {
    let nothing = Nothing::new();
    let script = waiting(&nothing, "pid");
    let mut client = nothing.spawn(&["run", "--", "sh", "-c", &script]);
    let pid = nothing.pid("pid");
    for shim in nothing.home.processes("shim") {
        kill(client.pid(), Signal::STOP);
        kill(shim, Signal::KILL);
        until_so("the shim to be gone", || !lives(shim));
    }
    client.signal(Signal::KILL);
    drop(client);
    assert_eq!(nothing.left().len(), 1);
    assert_eq!(code(&nothing.jr(&["run", "--", "true"])), 0);
    nothing.until_nothing_left();
    assert!(!lives(pid));
}

#[test]
fn one_shim_that_dies_is_told_and_the_rest_goes_on() {
    let nothing = Nothing::new();
    let script = waiting(&nothing, "pid");
    let client = nothing.spawn(&["run", "--", "sh", "-c", &script]);
    let pid = nothing.pid("pid");
    for shim in nothing.home.processes("shim") {
        kill(shim, Signal::KILL);
    }
    let output = client.output();
    assert_eq!(code(&output), 125, "{output:?}");
    assert!(text(&output.stderr).contains("shim_died"), "{output:?}");
    assert!(!lives(pid));
    nothing.assert_nothing_left();
}

#[test]
fn killed_at_any_step_it_leaves_nothing_that_runs() {
    for signal in [Signal::KILL, Signal::TERM] {
        for step in 0..4 {
            let nothing = Nothing::new();
            let script = waiting(&nothing, "pid");
            let mut client = nothing.spawn(&["run", "--", "sh", "-c", &script]);
            match step {
                0 => until_so("the directory", || !nothing.left().is_empty()),
                1 => until_so("a shim", || nothing.left().iter().any(|at| has_shim(at))),
                2 => until_so("its socket", || !nothing.home.processes("shim").is_empty()),
                _ => drop(nothing.pid("pid")),
            }
            client.signal(signal);
            drop(client.output());
            until_so("all shims to end", || nothing.home.processes("shim").is_empty());
            if nothing.own("pid").exists() {
                assert!(!lives(nothing.pid("pid")));
            }
            // An empty directory may stay where nobody was left who could remove it.
            assert_eq!(code(&nothing.jr(&["run", "--", "true"])), 0);
            let left = nothing.left();
            let is_empty = |at: &PathBuf| std::fs::read_dir(at).expect("there").count() == 0;
            assert!(left.iter().all(is_empty), "{left:?}");
        }
    }
}

fn has_shim(root: &std::path::Path) -> bool {
    std::fs::read_dir(root.join("shims")).is_ok_and(|shims| shims.count() > 0)
}

#[test]
fn two_at_once_do_not_meet() {
    let nothing = Nothing::new();
    let script = waiting(&nothing, "pid");
    let mut first = nothing.spawn(&["run", "--name", "n", "--key", "k", "--", "sh", "-c", &script]);
    let pid = nothing.pid("pid");
    let output = nothing.jr(&["run", "--name", "n", "--key", "k", "--", "echo", "second"]);
    assert_eq!((code(&output), text(&output.stdout)), (0, "second".to_owned()));
    let output = nothing.jr(&["stop", "n"]);
    assert_eq!(code(&output), 3, "another command sees nothing of it");
    assert!(lives(pid));
    assert_eq!(nothing.left().len(), 1);
    first.signal(Signal::TERM);
    drop(first.output());
    nothing.assert_nothing_left();
}

#[test]
fn a_run_with_a_terminal_ends_with_its_terminal() {
    let nothing = Nothing::new();
    let words = ["run", "--set", "PS1=here> ", "--", "sh", "-i"];
    let at_terminal = |command: &mut Command| {
        keep(command, "isolated");
        command.env("TMPDIR", nothing.tmp.path());
    };
    let mut screen = Screen::with(&nothing.home, &words, 24, 80, at_terminal);
    screen.expect("here> ");
    // Nobody is there to leave it to.
    screen.write("\x1d\x15");
    screen.write("test -t 0 && echo at a terminal; exit 7\r");
    screen.expect("at a terminal");
    assert_eq!(screen.end_code(), 7);
    nothing.assert_nothing_left();
    let script = waiting(&nothing, "pid");
    let words = ["run", "--", "sh", "-c", &script];
    let screen = Screen::with(&nothing.home, &words, 24, 80, at_terminal);
    let pid = nothing.pid("pid");
    // The window is closed.
    drop(screen);
    nothing.until_nothing_left();
    assert!(!lives(pid));
}

#[test]
fn what_would_outlive_the_command_is_refused() {
    let nothing = Nothing::new();
    for words in [
        &["run", "-d", "--", "true"][..],
        &["daemon", "start"],
        &["daemon", "run"],
        &["daemon", "status"],
        &["daemon", "stop"],
        &["queue", "set", "q", "-j2"],
    ] {
        let output = nothing.jr(words);
        let said = text(&output.stderr);
        assert_eq!(code(&output), 2, "{words:?}: {said}");
        assert!(said.contains("isolated") && said.contains("hint: "), "{words:?}: {said}");
        let refused = document(&nothing.jr(&[&["--json"], words].concat()));
        assert_eq!(refused["error"]["code"], "isolated", "{words:?}");
        nothing.assert_nothing_left();
    }
}

#[test]
fn another_command_sees_an_unused_environment() {
    let nothing = Nothing::new();
    let unused = Home::new();
    for words in [
        &["ps", "-a"][..],
        &["history"],
        &["events"],
        &["queue", "list"],
        &["stats"],
        &["show", "last"],
        &["logs", "x"],
        &["wait", "x"],
        &["stop", "x"],
        &["resume"],
        &["prune", "--keep-days", "1"],
        &["log", "verify"],
    ] {
        let words = [&["--json"], words].concat();
        let (here, there) = (nothing.jr(&words), unused.jr(&words));
        assert_eq!(code(&here), code(&there), "{words:?}: {here:?}");
        if here.status.success() {
            assert_eq!(text(&here.stdout), text(&there.stdout), "{words:?}");
        }
        nothing.assert_nothing_left();
    }
}

#[test]
fn inside_a_run_jr_is_an_environment_of_its_own() {
    let nothing = Nothing::new();
    let script = format!(
        "echo \"$JR_ENV $JR_HOME ${{JR_SOCKET-none}}\"; {jr} --json ps; {jr} run -- echo inner",
        jr = home::JR
    );
    let mut command = nothing.command(&["-e", "box", "run", "--", "sh", "-c", &script]);
    command.env("JR_SOCKET", "/somewhere/else");
    let output = command.output().expect("jr starts");
    let said = text(&output.stdout);
    let lines: Vec<&str> = said.lines().collect();
    let home = nothing.home.path().canonicalize().expect("there");
    assert_eq!(lines[0], format!("box {} none", home.display()));
    assert_eq!(lines[1..], [r#"{"schema":"jr.ps/1","items":[]}"#, "inner"]);
    nothing.assert_nothing_left();
}

#[test]
fn kept_strays_live_as_long_as_the_command_and_no_longer() {
    let nothing = Nothing::new();
    let stray = format!("sleep 1000 & echo $! > {}", nothing.own("stray").display());
    let second = format!(
        "kill -0 $(cat {}) && echo alive > {}",
        nothing.own("stray").display(),
        nothing.own("seen").display()
    );
    let lines = format!("{stray}\n{second}\n");
    let output = nothing.with_input(&["batch", "-j1", "--strays", "keep"], lines.as_bytes());
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(std::fs::read_to_string(nothing.own("seen")).expect("it lived"), "alive\n");
    assert!(!lives(nothing.pid("stray")));
    nothing.assert_nothing_left();
}

#[test]
fn it_needs_no_home_at_all() {
    let nothing = Nothing::new();
    let mut command = nothing.command(&["run", "--", "sh", "-c", "echo $JR_ENV"]);
    command.env_remove("JR_HOME").env_remove("HOME");
    let output = command.output().expect("jr starts");
    assert_eq!((code(&output), text(&output.stdout)), (0, "local".to_owned()), "{output:?}");
    nothing.assert_nothing_left();
}

#[test]
fn a_directory_that_cannot_be_had_is_told() {
    let nothing = Nothing::new();
    let file = nothing.own("file");
    std::fs::write(&file, "").expect("written");
    let mut command = nothing.command(&["run", "--", "true"]);
    let output = command.env("TMPDIR", &file).output().expect("jr starts");
    assert_eq!(code(&output), 69, "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains(&file.display().to_string()) && said.contains("TMPDIR"), "{said}");
}

#[test]
fn doctor_says_how_long_an_environment_lives() {
    let message = |document: &serde_json::Value| {
        let items = document["items"].as_array().expect("items").iter();
        let kept = items.clone().find(|item| item["check"] == "kept");
        let is_fine = items.clone().all(|item| item["severity"] != "error");
        (is_fine, kept.map(|item| item["message"].as_str().unwrap_or_default().to_owned()))
    };
    let nothing = Nothing::new();
    let (is_fine, said) = message(&document(&nothing.jr(&["--json", "doctor"])));
    assert!(is_fine && said.as_ref().is_some_and(|said| said.contains("one command")), "{said:?}");
    nothing.assert_nothing_left();
    let home = Home::keeping("memory");
    home.ok(&["run", "--", "true"]);
    let (is_fine, said) = message(&home.json(&["doctor"]));
    assert!(is_fine && said.as_ref().is_some_and(|said| said.contains("gone with it")), "{said:?}");
    home.ok(&["daemon", "stop"]);
    let (is_fine, said) = message(&home.json(&["doctor"]));
    assert!(is_fine && said.as_ref().is_some_and(|said| said.contains("none runs")), "{said:?}");
    assert_eq!(message(&Home::new().json(&["doctor"])).1, None);
}

#[test]
fn a_log_in_memory_is_there_while_its_daemon_lives_and_gone_after() {
    let home = Home::keeping("memory");
    let run = home.detach(&["--name", "a", "--", "sh", "-c", "echo said; exit 4"]);
    assert_eq!(code(&home.jr(&["wait", &run])), 4);
    assert_eq!(home.show(&run)["exit_code"], 4);
    assert_eq!(home.ok(&["logs", "a"]), "said");
    assert_eq!(home.items(&["history"]).len(), 1);
    assert_eq!(home.events(&[])[0]["seq"], 1);
    home.ok(&["log", "verify"]);
    home.ok(&["log", "rebuild"]);
    assert_eq!(home.items(&["history"]).len(), 1);
    let root = home.root().join("memory");
    assert!(!root.join("log").exists() && !root.join("views.redb").exists());
    assert!(!home.root().join("log").exists());
    let output = home.jr(&["daemon", "stop"]);
    assert!(text(&output.stderr).contains("its log was in memory and is gone"), "{output:?}");
    let output = home.jr(&["--json", "history"]);
    assert_eq!(document(&output)["items"].as_array().map(Vec::len), Some(0));
    assert!(text(&output.stderr).contains("in the memory of its daemon"), "{output:?}");
    let output = home.jr(&["show", &run]);
    assert_eq!(code(&output), 3);
    assert!(text(&output.stderr).contains("in the memory of its daemon"), "{output:?}");
    assert_eq!(home.daemons(), Vec::<i32>::new(), "reading starts none");
    // What is left of it refuses nobody, and is gone with the next one.
    let next = home.detach(&["--", "true"]);
    assert_eq!(home.items(&["history"]).len(), 1);
    assert_eq!(code(&home.jr(&["wait", &next])), 0);
    let outputs = std::fs::read_dir(root.join("output")).expect("there").count();
    assert_eq!(outputs, 1, "only of the run that is known");
}

#[test]
fn a_daemon_with_its_log_in_memory_never_exits_idle() {
    let (disk, memory) = (Home::new(), Home::keeping("memory"));
    let words = ["daemon", "run", "--idle-exit", "200ms"];
    let _memory = memory.spawn(&words);
    until_so("a daemon", || code(&memory.jr(&["daemon", "status"])) == 0);
    memory.ok(&["run", "--", "true"]);
    let disk = disk.spawn(&words);
    assert_eq!(code(&disk.output()), 0, "it was idle");
    assert_eq!(memory.items(&["history"]).len(), 1);
}

#[test]
fn stopping_a_daemon_with_its_log_in_memory_stops_what_runs() {
    let home = Home::keeping("memory");
    let told = home.path().join("told");
    let script = format!("trap 'echo told > {}; exit' TERM; sleep 1000 & wait", told.display());
    home.detach(&["--name", "a", "--", "sh", "-c", &script]);
    let pid = home.pid_of("a");
    let waiting = home.spawn(&["wait", "a"]);
    home.ok(&["daemon", "stop"]);
    assert!(!lives(pid));
    assert_eq!(std::fs::read_to_string(&told).expect("it had time"), "told\n");
    drop(waiting.output());
    assert_eq!(home.daemons(), Vec::<i32>::new());
}

#[test]
fn when_it_is_killed_jobs_go_on_and_the_next_daemon_ends_what_nobody_knows() {
    let home = Home::keeping("memory");
    home.detach(&["--name", "a", "--", "sleep", "1000"]);
    let pid = home.pid_of("a");
    let go = home.path().join("go");
    let script = format!("echo up; until [ -e {} ]; do sleep 0.01; done; exit 9", go.display());
    let client = home.spawn(&["run", "--name", "b", "--", "sh", "-c", &script]);
    home.until_state("b", "running");
    home.without_daemon();
    assert!(lives(pid), "no job is stopped");
    std::fs::write(&go, "").expect("written");
    let output = client.output();
    assert_eq!((code(&output), text(&output.stdout)), (9, "up".to_owned()), "{output:?}");
    assert_eq!(home.daemons(), Vec::<i32>::new(), "the client started none");
    assert!(lives(pid));
    home.ok(&["run", "--name", "c", "--", "true"]);
    assert!(!lives(pid), "nothing runs on that nobody knows");
    let names: Vec<String> = home
        .items(&["history"])
        .iter()
        .map(|run| run["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(names, ["c"]);
}

#[test]
fn a_log_in_memory_is_sealed_pruned_and_asked_about_the_past() {
    let home = Home::keeping("memory");
    let _daemon = home.spawn(&["daemon", "run", "--segment-events", "16"]);
    until_so("a daemon", || code(&home.jr(&["daemon", "status"])) == 0);
    for _ in 0..12 {
        home.ok(&["run", "--", "echo", "x"]);
    }
    let stat = home.json(&["log", "stat"]);
    assert!(stat["segments"].as_u64() > Some(1), "{stat}");
    let last = home.items(&["history"]);
    let seq = last[5]["last_seq"].to_string();
    assert_eq!(home.items(&["history", "--at", &seq]).len(), 7);
    let pruned = home.json(&["prune", "--keep-runs", "4"]);
    assert_eq!(pruned["runs"], 8, "{pruned}");
    assert_eq!(home.items(&["history"]).len(), 4);
    home.ok(&["log", "verify"]);
    assert_eq!(home.ok(&["logs", "last"]), "x");
    home.ok(&["run", "--", "true"]);
    assert_eq!(home.items(&["history"]).len(), 5);
}

#[test]
fn a_log_on_disk_and_one_in_memory_do_not_meet() {
    let home = Home::keeping("memory");
    home.ok(&["run", "--name", "m", "--", "true"]);
    let on_disk = |words: &[&str]| Home::command_at(home.path(), words).output().expect("starts");
    assert_eq!(code(&on_disk(&["run", "--name", "d", "--", "true"])), 0);
    let of = |output: &Output| document(output)["items"][0]["name"].clone();
    assert_eq!(of(&on_disk(&["--json", "history"])), "d");
    assert_eq!(of(&home.jr(&["--json", "history"])), "m");
    home.ok(&["daemon", "stop"]);
    home.ok(&["run", "--name", "n", "--", "true"]);
    assert_eq!(of(&on_disk(&["--json", "history"])), "d", "beginning anew is about memory only");
    assert_eq!(code(&on_disk(&["daemon", "stop"])), 0);
}
