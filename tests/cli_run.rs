//! `jr run` in the foreground behaves as the bare command, and is recorded; detached it only
//! says its id.

#[path = "support/home.rs"]
mod home;

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use home::{
    Home, code, document, kill, lives, proc_file, skipped, state_of, text, until, until_so,
};
use rustix::process::Signal;

#[test]
fn its_exit_code_is_that_of_the_command() {
    let home = Home::new();
    let not_executable = "/etc/passwd";
    for (words, exit, outcome, reason) in [
        (&["sh", "-c", "exit 0"][..], 0, "succeeded", None),
        (&["sh", "-c", "exit 7"], 7, "failed", None),
        (&["sh", "-c", "exit 255"], 255, "failed", None),
        (&["sh", "-c", "kill -9 $$"], 137, "signalled", None),
        (&["sh", "-c", "kill -TERM $$"], 143, "signalled", None),
        (&["no-such-program"], 127, "failed", Some("not_found")),
        (&[not_executable], 126, "failed", Some("not_executable")),
        (&["--cwd", "/nonexistent", "true"], 125, "failed", Some("spawn:ENOENT")),
        (&["--timeout", "0.1", "sleep", "60"], 124, "timed_out", None),
    ] {
        let output = home.jr(&[&["run"], words].concat());
        assert_eq!(code(&output), exit, "{words:?} {output:?}");
        let run = home.show("last");
        assert_eq!(run["outcome"], outcome, "{words:?}");
        if let Some(reason) = reason {
            assert_eq!(run["reason"], reason);
            assert!(run["exit_code"].is_null(), "an exit code is never invented: {run}");
        }
        assert_eq!(code(&home.jr(&["wait", "last"])), exit, "{words:?}");
    }
}

#[test]
fn a_stopped_run_ends_its_client_with_the_signal_and_a_cancelled_one_with_1() {
    let home = Home::new();
    let client = home.spawn(&["run", "--name", "x", "sleep", "60"]);
    home.pid_of("x");
    home.ok(&["stop", "x"]);
    assert_eq!(code(&client.output()), 143);
    home.ok(&["queue", "set", "one", "-j", "1"]);
    home.detach(&["--queue", "one", "sleep", "60"]);
    let client = home.spawn(&["run", "--queue", "one", "--name", "y", "true"]);
    until_so("y to be queued", || home.show("y")["state"] == "queued");
    home.ok(&["stop", "y"]);
    assert_eq!(code(&client.output()), 1);
    assert_eq!(home.show("y")["outcome"], "cancelled");
}

#[test]
fn both_streams_come_through_byte_by_byte() {
    let home = Home::new();
    let script = r"printf 'a\000\377b'; printf 'c\033d' >&2";
    let output = home.jr(&["run", "sh", "-c", script]);
    assert_eq!(output.stdout, b"a\0\xffb");
    assert_eq!(output.stderr, b"c\x1bd");
    let output = home.jr(&["logs", "last"]);
    assert_eq!(output.stdout.len(), 7, "one run prints raw bytes without prefix");
    assert_eq!(home.jr(&["logs", "last", "--stdout"]).stdout, b"a\0\xffb");
    assert_eq!(home.jr(&["logs", "last", "--stderr"]).stdout, b"c\x1bd");
}

#[test]
fn input_is_handed_over_from_the_very_first_run_on() {
    let home = Home::new();
    let input: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    // The first one needs a daemon and a shim that are still being made.
    for _ in 0..3 {
        assert!(home.jr_with_input(&["run", "cat"], &input).stdout == input);
    }
    let mut command = home.command(&["run", "cat"]);
    let file = std::fs::File::open("/proc/self/exe").expect("a file");
    let expected = std::fs::metadata("/proc/self/exe").expect("a file").len();
    let output = command.stdin(file).output().expect("jr starts");
    assert_eq!(output.stdout.len() as u64, expected, "from a file");
    assert_eq!(home.ok(&["run", "cat"]), "", "from /dev/null");
    let script = "exec 0<&-; exec \"$@\"";
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", script, "sh"]).arg(home::JR).args(["run", "sh", "-c", "cat; echo end"]);
    shell.env_clear().env("PATH", "/usr/bin:/bin").env("JR_HOME", home.path());
    let output = shell.output().expect("a shell");
    assert!(text(&output.stdout).ends_with("end"), "with input closed: {output:?}");
}

#[test]
fn a_conversation_through_pipes_needs_no_end_of_file() {
    let home = Home::new();
    let mut client = home.spawn(&["run", "cat"]);
    let child = client.child();
    let mut input = child.stdin.take().expect("piped");
    let mut output = child.stdout.take().expect("piped");
    for word in [b"one\n", b"two\n"] {
        input.write_all(word).expect("it reads");
        let mut answer = [0; 4];
        output.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, word);
    }
    drop(input);
    assert_eq!(code(&client.output()), 0);
}

#[test]
fn signals_of_the_client_reach_the_command() {
    let home = Home::new();
    for (signal, name, exit) in
        [(Signal::INT, "INT", 11), (Signal::TERM, "TERM", 12), (Signal::HUP, "HUP", 13)]
    {
        let script = format!(
            "trap 'echo got {name}; exit {exit}' {name}; echo up; while :; do sleep 0.1; done"
        );
        let mut client = home.spawn(&["run", "sh", "-c", &script]);
        let mut output = client.child().stdout.take().expect("piped");
        output.read_exact(&mut [0; 3]).expect("it is up");
        client.signal(signal);
        let mut rest = String::new();
        output.read_to_string(&mut rest).expect("text");
        assert_eq!(rest, format!("got {name}\n"));
        assert_eq!(code(&client.output()), exit);
    }
    let mut client = home.spawn(&["run", "--name", "plain", "sleep", "60"]);
    home.pid_of("plain");
    client.signal(Signal::INT);
    assert_eq!(code(&client.output()), 130, "as a shell shows Ctrl-C");
}

#[test]
fn a_suspended_client_suspends_the_command_and_both_go_on() {
    let home = Home::new();
    let mut client = home.spawn(&["run", "--name", "x", "sleep", "60"]);
    let pid = home.pid_of("x");
    client.signal(Signal::TSTP);
    let own = client.pid();
    for pid in [pid, own] {
        until_so("both to be stopped", || state_of(pid) == Some('T'));
    }
    client.signal(Signal::CONT);
    for pid in [pid, own] {
        until_so("both to go on", || state_of(pid) == Some('S'));
    }
    client.signal(Signal::TERM);
    assert_eq!(code(&client.output()), 143);
}

#[test]
fn a_killed_client_leaves_the_run_detached() {
    let home = Home::new();
    let script = "read line; echo after; exit 5";
    let mut client = home.spawn(&["run", "--name", "x", "sh", "-c", script]);
    home.pid_of("x");
    client.signal(Signal::KILL);
    drop(client);
    // Its end of the pipe is gone with it: the command reads the end of its input.
    assert_eq!(code(&home.jr(&["wait", "x"])), 5);
    assert_eq!(home.ok(&["logs", "x"]), "after");
}

#[test]
fn a_reader_that_leaves_ends_the_command_as_a_bare_pipe_does() {
    let home = Home::new();
    // The reader has left before there is anything to read, too.
    for bytes in [2, 0] {
        let mut client = home.spawn(&["run", "yes"]);
        let mut output = client.child().stdout.take().expect("piped");
        output.read_exact(&mut vec![0; bytes]).expect("it writes");
        drop(output);
        assert_eq!(code(&client.output()), 141);
        let run = home.show("last");
        assert_eq!((&run["outcome"], &run["signal"]), (&"signalled".into(), &13.into()));
    }
    let mut client = home.spawn(&["run", "sh", "-c", "read x; exit 3"]);
    drop(client.child().stdout.take());
    assert_eq!(code(&client.output()), 3, "who writes nothing is not killed");
}

#[test]
fn a_daemon_that_dies_while_a_run_is_attached_is_not_noticed() {
    let home = Home::new();
    let script = "echo before; read line; echo $line; exit 9";
    let mut client = home.spawn(&["run", "--name", "x", "sh", "-c", script]);
    let mut output = client.child().stdout.take().expect("piped");
    output.read_exact(&mut [0; 7]).expect("it is up");
    home.without_daemon();
    let mut input = client.child().stdin.take().expect("piped");
    input.write_all(b"still here\n").expect("it reads");
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    assert_eq!(rest, "still here\n");
    assert_eq!(code(&client.output()), 9);
    let run = home.until_state("x", "ended");
    assert_eq!((&run["exit_code"], &run["attempt"]), (&9.into(), &1.into()));
}

#[test]
fn the_command_finds_its_run_its_directory_its_umask_and_the_environment_of_the_client() {
    let home = Home::new();
    let script = "pwd; env | sort";
    let mut command = home.command(&["run", "--name", "n", "--set", "B=set", "sh", "-c", script]);
    command.env("A", "x y").env("B", "own").env("JR_ATTEMPT", "77").current_dir("/usr");
    let printed = text(&command.output().expect("jr starts").stdout);
    let run = home.show("n");
    let id = run["run_id"].as_str().expect("an id");
    let has = |line: &str| assert!(printed.lines().any(|found| found == line), "{line}: {printed}");
    for line in ["/usr", "A=x y", "B=set", "JR_NAME=n", "JR_ATTEMPT=1", "JR_ENV=local"] {
        has(line);
    }
    has(&format!("JR_RUN_ID={id}"));
    has(&format!("JR_HOME={}", home.path().display()));
    has(&format!("JR_SOCKET={}", home.socket().display()));
    assert!(!printed.contains("JR_TOKEN"));
    assert_eq!(run["cwd"], "/usr");
    assert_eq!(home.ok(&["-C", "/usr", "run", "pwd"]), "/usr");
    assert_eq!(home.ok(&["run", "--cwd", "/usr/bin", "pwd"]), "/usr/bin");
}

#[test]
fn a_run_can_ask_jr_about_itself() {
    let home = Home::new();
    let script = "$0 show $JR_RUN_ID --json";
    let output = home.jr(&["run", "--name", "me", "sh", "-c", script, home::JR]);
    let state = document(&output)["state"].clone();
    assert!(state == "running" || state == "starting", "{output:?}");
}

#[test]
fn the_same_key_never_starts_a_second_run() {
    let home = Home::new();
    let words = ["--key", "nightly", "sh", "-c", "echo once"];
    let id = home.detach(&words);
    assert_eq!(home.detach(&words), id);
    home.ok(&["wait", &id]);
    home.without_daemon();
    assert_eq!(home.detach(&words), id, "across the death of a daemon");
    assert_eq!(code(&home.jr(&[&["run"], &words[..]].concat())), 0, "the foreground waits for it");
    assert_eq!(code(&home.jr(&["run", "--key", "nightly", "true"])), 2, "another command");
    assert_eq!(home.items(&["history"]).len(), 1);
    assert_eq!(
        home.json(&["run", "-d", "--key", "nightly", "sh", "-c", "echo once"])["existing"],
        true
    );
}

#[test]
fn with_json_the_document_is_all_of_stdout() {
    let home = Home::new();
    let output = home.jr(&["run", "--json", "sh", "-c", "echo data; exit 4"]);
    assert_eq!((code(&output), text(&output.stderr)), (4, "data".to_owned()));
    let run = document(&output);
    assert_eq!((&run["exit_code"], &run["state"]), (&4.into(), &"ended".into()));
}

#[test]
fn a_detached_run_is_durable_when_its_id_is_printed() {
    let home = Home::new();
    let id = home.detach(&["--label", "team=x", "sleep", "60"]);
    assert_eq!(id.len(), 12);
    assert!(id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{id}");
    let pid = home.pid_of(&id);
    home.without_daemon();
    let run = home.show(&id);
    assert_eq!((&run["labels"]["team"], &run["queue"]), (&"x".into(), &"default".into()));
    assert!(lives(pid), "the daemon's death stops no job");
    assert!(!proc_file(pid, "environ").is_empty());
    home.ok(&["stop", &id]);
    assert!(!lives(pid));
}

#[test]
fn on_a_terminal_tables_fit_colours_show_and_typing_reaches_the_command() {
    let home = Home::new();
    if !std::path::Path::new("/usr/bin/script").exists() {
        skipped("there is no script(1) to make a terminal");
        return;
    }
    home.ok(&["run", "--name", &"n".repeat(100), "echo", &"x".repeat(200), "\u{1b}[31m"]);
    let on_terminal = |line: &str, variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new("/usr/bin/script");
        command.args([
            "-qec",
            &format!("stty cols 60 2>/dev/null; {} {line}", home::JR),
            "/dev/null",
        ]);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("JR_HOME", home.path());
        command.env("TERM", "xterm").envs(variables.iter().copied()).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("script starts");
        child.stdin.take().expect("piped").write_all(b"typed\n\x04").expect("it reads");
        let output = child.wait_with_output().expect("script ends");
        String::from_utf8_lossy(&output.stdout).replace('\r', "")
    };
    let table = on_terminal("history", &[("NO_COLOR", "1")]);
    let rows: Vec<&str> = table.lines().filter(|line| line.contains("succeeded")).collect();
    assert!(!rows.is_empty(), "{table:?}");
    assert!(rows.iter().all(|row| row.chars().count() <= 60), "{table:?}");
    assert!(!table.contains('\u{1b}'), "NO_COLOR is honoured: {table:?}");
    assert!(on_terminal("history", &[]).contains("\u{1b}[32m"));
    assert!(!on_terminal("logs last", &[]).contains("\u{1b}[31m"), "output cannot steer it");
    let typed = on_terminal("run --no-tty head -n 1", &[]);
    // Once as the terminal's echo, once from the command.
    assert_eq!(typed.matches("typed").count(), 2, "{typed:?}");
}

#[test]
fn a_client_in_the_background_of_a_dead_terminal_does_no_harm() {
    let home = Home::new();
    let mut client =
        home.spawn(&["run", "--name", "x", "sh", "-c", "trap '' HUP; sleep 0.2; exit 6"]);
    home.pid_of("x");
    client.signal(Signal::HUP);
    kill(client.pid(), Signal::HUP);
    assert_eq!(code(&client.output()), 6);
    until("the end", || match home.show("x")["exit_code"].as_i64() {
        Some(6) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn with_capture_pipe_both_streams_read_back_in_the_order_of_their_writes() {
    let home = Home::new();
    let script = "for i in 1 2 3 4; do echo o$i; echo e$i >&2; done";
    let output = home.jr(&["run", "--capture", "pipe", "sh", "-c", script]);
    assert_eq!(text(&output.stdout), "o1\no2\no3\no4");
    assert_eq!(text(&output.stderr), "e1\ne2\ne3\ne4");
    let logs = home.jr(&["logs", "last"]);
    assert_eq!(text(&logs.stdout), "o1\ne1\no2\ne2\no3\ne3\no4\ne4");
    assert_eq!(home.show("last")["capture"], "pipe");
    let refused = home.jr(&["--json", "run", "--capture", "pipe", "--strays", "keep", "true"]);
    assert_eq!(code(&refused), 2);
    assert_eq!(document(&refused)["error"]["code"], "capture_and_strays");
    let kept = ["--strays", "keep", "--retries", "1"];
    for refused in [
        home.jr(&[&["--json", "run"], &kept[..], &["true"]].concat()),
        home.jr(&[&["--json", "run", "-d"], &kept[..], &["true"]].concat()),
        home.jr_with_input(&[&["--json", "batch"], &kept[..]].concat(), b"true\n"),
    ] {
        assert_eq!(code(&refused), 2, "one attempt would live beside the next: {refused:?}");
        assert_eq!(document(&refused)["error"]["code"], "retries_and_strays");
    }
    assert_eq!(code(&home.jr(&["run", "--strays", "keep", "--retries", "0", "true"])), 0);
}

#[test]
fn limits_are_told_together_with_what_holds_them_and_what_they_ended() {
    let home = Home::new();
    let script = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}";
    let limits = ["--limit", "memory=32M", "--limit", "cpu=2.5", "--limit", "pids=50"];
    let output = home.jr(&[&["run"], &limits[..], &["sh", "-c", script]].concat());
    assert_ne!(code(&output), 0, "{output:?}");
    let run = home.show("last");
    let expected = serde_json::json!({"cpu_millis": 2_500, "memory_bytes": 32 << 20, "pids": 50});
    assert_eq!(run["limits"], expected);
    let attempt = &run["attempts"][0];
    let by = |name: &str| attempt["limits_by"][name].as_str().expect("told").to_owned();
    assert!(["cgroup2", "cgroup1", "none"].contains(&by("cpu").as_str()));
    assert!(["cgroup2", "cgroup1", "none"].contains(&by("pids").as_str()));
    if by("memory") == "rlimit" {
        assert!(attempt["oom_kills"].is_null());
    } else {
        assert_eq!((run["outcome"].as_str(), code(&output)), (Some("signalled"), 137));
        assert!(attempt["oom_kills"].as_u64() >= Some(1), "{attempt}");
        assert!(text(&home.jr(&["show", "last"]).stdout).contains("oom kills"));
        let why = home.json(&["why", "last"]);
        let reason = why["items"].as_array().and_then(|items| items.last()).expect("a reason");
        assert_eq!(reason["code"], "out_of_memory", "{why}");
        assert!(reason["message"].as_str().is_some_and(|words| words.contains("32 MiB")), "{why}");
    }
    assert_eq!(code(&home.jr(&["run", "--limit", "memory=lots", "true"])), 2);
}
