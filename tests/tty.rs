//! Runs with a terminal, from outside: at a terminal, through pipes, left and come back to, with
//! daemon, client or shim killed.

#[path = "support/home.rs"]
mod home;
#[path = "support/screen.rs"]
mod screen;

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use home::{Home, code, document, kill, lives, text, until, until_so};
use rustix::process::Signal;
use screen::Screen;

/// A shell whose prompt is known.
const SHELL: [&str; 8] = ["run", "--name", "sh", "--set", "PS1=here> ", "--", "sh", "-i"];
const LEAVE: &str = "\x1d";
const CTRL_C: &str = "\x03";
const CTRL_Z: &str = "\x1a";

fn shell(home: &Home) -> Screen {
    let mut screen = Screen::jr(home, &SHELL);
    screen.expect("here> ");
    screen
}

fn leave(screen: &mut Screen) {
    screen.write(LEAVE);
    assert_eq!(screen.end_code(), 0);
}

#[test]
fn a_shell_in_the_foreground_has_job_control() {
    let home = Home::new();
    let mut screen = shell(&home);
    assert!(screen.is_raw(), "Ctrl-C is a byte");
    screen.write("sleep 100\r");
    screen.expect("sleep 100");
    until_so("the shell to wait for it", || text_of_children(&home).contains("sleep"));
    screen.write(CTRL_Z);
    screen.expect("Stopped");
    screen.expect("here> ");
    screen.write("fg\r");
    screen.expect("sleep 100");
    screen.write(CTRL_C);
    screen.expect("here> ");
    screen.write("trap 'echo got int' INT\r");
    screen.expect("here> ");
    screen.write("echo $TERM $JR_NAME; tty; exit 7\r");
    screen.expect("xterm sh");
    screen.expect("/dev/pts/");
    assert_eq!(screen.end_code(), 7);
    assert_eq!(home.show("sh")["exit_code"], 7);
    assert!(home.ok(&["logs", "sh"]).contains("xterm sh"), "recorded");
}

/// The command names of what runs in the session of the run `sh`.
fn text_of_children(home: &Home) -> String {
    let shell = u32::try_from(home.pid_of("sh")).expect("a pid");
    let stat = jr::runners::linux::procfs::stat(shell).expect("readable").expect("alive");
    let session = stat.session.to_string();
    let mut ps = std::process::Command::new("ps");
    let output = ps.args(["-o", "comm=", "-s", &session]).output().expect("ps");
    text(&output.stdout)
}

#[test]
fn a_key_that_stops_a_plain_command_stops_its_client_with_it() {
    let home = Home::new();
    // A shell at the terminal, as a person has it, and jr as its job.
    let mut screen = Screen::shell(&home);
    screen.expect("outer> ");
    screen.write("$JR run --name c -- sh -c 'echo up; sleep 0.2; read x; echo got $x; exit 3'\r");
    screen.expect("up");
    let pid = home.pid_of("c");
    screen.write(CTRL_Z);
    screen.expect("Stopped");
    screen.expect("outer> ");
    until_so("the command to be stopped", || home::state_of(pid) == Some('T'));
    screen.write("fg\r");
    until_so("the command to go on", || home::state_of(pid) == Some('S'));
    until_so("keys to be bytes again", || {
        screen.text();
        screen.is_raw()
    });
    screen.write("word\r");
    screen.expect("got word");
    screen.expect("outer> ");
    // One that handles the key, puts the screen back and stops itself, as top and vim do.
    let handles = "$SIG{TSTP} = sub { kill q(STOP), $$ }; print qq(up2\\n); <STDIN>; exit 4";
    screen.write(&format!("echo code $?; $JR run --name p -- perl -e '$| = 1; {handles}'\r"));
    screen.expect("code 3");
    screen.expect("up2\r");
    screen.write(CTRL_Z);
    screen.expect("Stopped");
    screen.expect("outer> ");
    screen.write("fg\r");
    until_so("keys to be bytes again", || {
        screen.text();
        screen.is_raw()
    });
    screen.write("\r");
    screen.expect("outer> ");
    screen.write("echo code $?; $JR run --name d -- sleep 100\r");
    screen.expect("code 4");
    let pid = home.pid_of("d");
    until_so("keys to be bytes again", || {
        screen.text();
        screen.is_raw()
    });
    screen.write(CTRL_Z);
    screen.expect("Stopped");
    until_so("the command to be stopped", || home::state_of(pid) == Some('T'));
    screen.write("kill -9 %1\r");
    until_so("the command to go on without its client", || home::state_of(pid) == Some('S'));
    // The shell may learn of the death later than the command does; it stays for stopped jobs.
    screen.write("while [ -n \"$(jobs -s)\" ]; do sleep 0.01; done; exit\r");
    screen.end();
    // Where no shell is, there is nobody who could let it go on.
    let mut screen = Screen::jr(&home, &["attach", "d"]);
    until_so("keys to be bytes", || {
        screen.text();
        screen.is_raw()
    });
    screen.write(CTRL_Z);
    screen.expect("^Z");
    leave(&mut screen);
    until_so("the command to go on", || home::state_of(pid) == Some('S'));
}

#[test]
fn who_leaves_finds_everything_again() {
    let home = Home::new();
    let mut screen = shell(&home);
    screen.write("x=kept; echo one\r");
    screen.expect("one\r\nhere> ");
    leave(&mut screen);
    let id = home.show("sh")["run_id"].as_str().expect("an id").to_owned();
    assert!(screen.text().contains(&format!("jr attach {id}")), "{}", screen.text());
    assert_eq!(home.show("sh")["state"], "running");
    let mut screen = Screen::jr(&home, &["attach", "sh"]);
    screen.expect("one\r\nhere> ");
    screen.write("echo $x; exit 5\r");
    screen.expect("kept");
    assert_eq!(screen.end_code(), 5, "attach ends as the run does");
    assert_eq!(home.show("sh")["outcome"], "failed");
}

#[test]
fn a_session_needs_no_daemon() {
    let home = Home::new();
    let mut screen = shell(&home);
    home.without_daemon();
    screen.write("echo still $((1 + 1))\r");
    screen.expect("still 2");
    leave(&mut screen);
    // The client has had a daemon started, which is not needed either.
    home.kill_daemon();
    until_so("no daemon", || home.daemons().is_empty());
    let mut screen = Screen::jr(&home, &["attach", "sh"]);
    screen.expect("still 2");
    screen.write("echo more $((2 + 2))\r");
    screen.expect("more 4");
    assert!(home.daemons().is_empty(), "looking on starts none");
    screen.write("exit 9\r");
    assert_eq!(screen.end_code(), 9, "the shim knows the end");
    home.ok(&["queue", "list"]);
    assert_eq!(code(&home.jr(&["wait", "sh"])), 9);
    assert_eq!(home.show("sh")["attempt"], 1);
    assert!(home.ok(&["logs", "sh"]).contains("more 4"));
}

#[test]
fn two_see_the_same_in_the_smaller_of_their_windows() {
    let home = Home::new();
    let id = home.detach(&["--tty", "--set", "PS1=here> ", "--", "sh", "-i"]);
    let mut large = Screen::sized(&home, &["attach", &id], 50, 200);
    large.expect("here> ");
    large.write("stty size\r");
    large.expect("50 200");
    let mut small = Screen::sized(&home, &["attach", &id], 60, 90);
    small.expect("50 200");
    small.write("stty size\r");
    small.expect("50 90");
    large.expect("50 90");
    let mut looks = Screen::sized(&home, &["attach", "--read-only", &id], 5, 5);
    looks.expect("50 90");
    looks.write("echo never\r");
    large.write("stty size; echo from large\r");
    for screen in [&mut large, &mut small, &mut looks] {
        screen.expect("from large\r\n");
    }
    assert!(!looks.text().contains("never") && !looks.text().contains("5 5"));
    small.resize(20, 70);
    small.signal(Signal::WINCH);
    until("the smaller window", || {
        large.write("stty size\r");
        let seen = large.text();
        if seen.contains("20 70") { Ok(()) } else { Err(seen) }
    });
    leave(&mut small);
    until("the larger window alone", || {
        large.write("clear; stty size\r");
        let seen = large.text();
        if seen.rfind("50 200") > seen.rfind("20 70") { Ok(()) } else { Err(seen) }
    });
    leave(&mut looks);
    home.ok(&["stop", &id]);
    large.end();
    assert!(!large.is_raw());
}

#[test]
fn a_client_that_dies_leaves_the_run_and_the_terminal() {
    let home = Home::new();
    let mut screen = shell(&home);
    screen.signal(Signal::HUP);
    assert_eq!(screen.end_code(), 129);
    for (signal, exit) in [(Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let mut screen = Screen::jr(&home, &["attach", "sh"]);
        screen.expect("here> ");
        assert!(screen.is_raw());
        screen.signal(signal);
        assert_eq!(screen.end_code(), exit);
    }
    let mut screen = Screen::jr(&home, &["attach", "sh"]);
    screen.expect("here> ");
    screen.signal(Signal::KILL);
    screen.end();
    // A terminal that is closed.
    let mut screen = Screen::jr(&home, &["attach", "sh"]);
    screen.expect("here> ");
    let pid = screen.pid();
    drop(screen);
    until_so("the client to be gone", || !lives(pid));
    assert_eq!(home.show("sh")["state"], "running");
}

#[test]
fn the_death_of_its_shim_is_told_and_the_terminal_restored() {
    let home = Home::new();
    let mut runs = shell(&home);
    let mut looks = Screen::jr(&home, &["attach", "sh"]);
    looks.expect("here> ");
    let pid = home.pid_of("sh");
    for shim in home.processes("shim") {
        kill(shim, Signal::KILL);
    }
    assert_eq!(runs.end_code(), 125);
    assert_eq!(looks.end_code(), 125);
    until_so("its shell to be gone", || !lives(pid));
    let run = home.until_state("sh", "ended");
    assert_eq!((&run["outcome"], &run["reason"]), (&"lost".into(), &"shim_died".into()));
}

#[test]
fn a_stop_ends_a_shell_at_its_prompt_at_once_and_gives_others_their_time() {
    let home = Home::new();
    let mut screen = Screen::jr(&home, &["run", "--name", "b", "--", "bash", "--norc", "-i"]);
    until_so("bash to ignore SIGTERM", || {
        jr::runners::linux::procfs::ignores(u32::try_from(home.pid_of("b")).expect("a pid"), 15)
    });
    home.ok(&["stop", "b", "--kill-after", "3600"]);
    assert_eq!(screen.end_code(), 129, "as its terminal's end");
    assert_eq!(home.show("b")["outcome"], "stopped");
    let script =
        "trap 'sleep 0.3; echo cleaned; exit 4' TERM; echo up; while :; do sleep 0.1; done";
    let mut screen = Screen::jr(&home, &["run", "--name", "t", "--", "sh", "-c", script]);
    screen.expect("up");
    home.ok(&["stop", "t", "--kill-after", "3600"]);
    screen.expect("cleaned");
    assert_eq!(screen.end_code(), 143);
}

#[test]
fn input_from_a_pipe_is_typed_and_then_at_its_end() {
    let home = Home::new();
    let words = ["run", "--tty", "--", "cat"];
    let output = home.jr_with_input(&words, b"x\n");
    assert_eq!((code(&output), text(&output.stdout)), (0, "x\r\nx".to_owned()));
    let output = home.jr_with_input(&words, b"no end");
    assert_eq!((code(&output), text(&output.stdout)), (0, "no endno end".to_owned()));
    assert_eq!(home.ok(&words), "", "from /dev/null");
    let script = "cat; cat; echo after";
    let output = home.jr_with_input(&["run", "--tty", "--", "sh", "-c", script], b"x\n");
    assert_eq!(text(&output.stdout), "x\r\nx\r\nafter", "each reader finds the end");
    let output =
        home.jr_with_input(&["run", "--tty", "--", "bash", "--norc", "-i"], b"echo $((3+4))\n");
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(text(&output.stdout).contains("7\r\n"));
    let lines: Vec<String> = (0..50_000).map(|number| format!("line {number}\n")).collect();
    let lines = lines.concat();
    let output = home.jr_with_input(&["run", "--tty", "--", "wc", "-c"], lines.as_bytes());
    let bytes = format!("\n{}", lines.len());
    assert!(text(&output.stdout).ends_with(&bytes), "none of {bytes} bytes is missing");
}

#[test]
fn all_output_comes_through_a_pipe_however_slow_its_reader_is() {
    let home = Home::new();
    let mut command = home.command(&["run", "--tty", "--", "seq", "300000"]);
    command.stdout(Stdio::piped());
    let child = command.spawn().expect("jr starts");
    home.until_state("seq", "ended");
    let output = child.wait_with_output().expect("jr ends");
    let expected: Vec<String> = (1..=300_000).map(|number| format!("{number}\r\n")).collect();
    let expected = expected.concat();
    assert!(output.stdout == expected.as_bytes(), "{} bytes", output.stdout.len());
    assert_eq!(home.jr(&["logs", "seq"]).stdout, expected.as_bytes());
}

#[test]
fn a_terminal_is_given_where_all_three_streams_are_one_and_on_demand() {
    let home = Home::new();
    let tty = ["sh", "-c", "test -t 0 && test -t 1 && test -t 2 && echo yes || echo no"];
    let run = |before: &[&'static str]| [&["run"], before, &["--"], &tty].concat();
    assert_eq!(home.ok(&run(&[])), "no");
    assert_eq!(home.ok(&run(&["--tty"])), "yes");
    assert_eq!(home.ok(&run(&["--tty", "--no-tty"])), "no", "the last word counts");
    for (words, answer) in [(run(&[]), "yes"), (run(&["--no-tty"]), "no")] {
        let mut screen = Screen::jr(&home, &words);
        screen.expect(answer);
        assert_eq!(screen.end_code(), 0);
    }
    let mut screen = Screen::with(&home, &run(&[]), 24, 80, |command| {
        command.stderr(Stdio::null());
    });
    screen.expect("no");
    assert_eq!(screen.end_code(), 0);
    let mut screen = Screen::jr(&home, &[&["--json"], run(&[]).as_slice()].concat());
    screen.expect("no");
    assert_eq!(screen.end_code(), 0, "a document is not mixed with a screen");
    let document = document(&home.jr(&[&["--json"], run(&["--tty"]).as_slice()].concat()));
    assert_eq!(document["outcome"], "succeeded");
    let id = home.detach(&[&["--tty", "--"], &tty[..]].concat());
    home.ok(&["wait", &id]);
    assert_eq!(home.ok(&["logs", &id]), "yes");
    let output = home.jr(&["run", "--tty", "--", "no-such-program"]);
    assert_eq!(code(&output), 127, "{output:?}");
}

#[test]
fn each_attempt_has_a_terminal_and_between_them_ctrl_c_is_for_jr() {
    let home = Home::new();
    let script = "tty; echo attempt $JR_ATTEMPT; test $JR_ATTEMPT = 2";
    let words = ["run", "--retries", "2", "--backoff", "100ms", "--", "sh", "-c", script];
    let mut screen = Screen::jr(&home, &words);
    for attempt in ["attempt 1", "/dev/pts/", "attempt 2"] {
        screen.expect(attempt);
    }
    assert_eq!(screen.end_code(), 0);
    let words = ["run", "--retries", "2", "--backoff", "1h", "--", "sh", "-c", "echo x; exit 1"];
    let mut screen = Screen::jr(&home, &words);
    home.until_state("last", "delayed");
    until_so("the terminal to be cooked", || {
        screen.text();
        !screen.is_raw()
    });
    screen.write(CTRL_C);
    assert_eq!(screen.end_code(), 143);
    assert_eq!(home.show("last")["outcome"], "stopped");
}

#[test]
fn a_run_without_a_terminal_is_followed() {
    let home = Home::new();
    let script = "echo first; while ! [ -e $0 ]; do sleep 0.05; done; echo last; exit 6";
    let flag = home.path().join("flag");
    let id = home.detach(&["--", "sh", "-c", script, flag.to_str().expect("text")]);
    until_so("some output", || home.ok(&["logs", &id]) == "first");
    let mut screen = Screen::jr(&home, &["attach", &id]);
    screen.expect("has no terminal");
    screen.expect("first");
    screen.signal(Signal::INT);
    assert_eq!(screen.end_code(), 0, "leaving is no failure");
    let mut client = home.spawn(&["attach", &id]);
    let mut output = client.child().stdout.take().expect("piped");
    output.read_exact(&mut [0; 6]).expect("what was printed before");
    std::fs::write(&flag, "").expect("a file");
    let mut rest = String::new();
    output.read_to_string(&mut rest).expect("text");
    assert_eq!((code(&client.output()), rest.as_str()), (6, "last\n"));
}

#[test]
fn what_cannot_be_attached_says_what_to_do() {
    let home = Home::new();
    let id = home.detach(&["true"]);
    home.ok(&["wait", &id]);
    let errors = |words: &[&str], exit| {
        let output = home.jr(words);
        assert_eq!(code(&output), exit, "{output:?}");
        text(&output.stderr)
    };
    let error = errors(&["attach", &id], 3);
    assert!(error.contains("has ended: succeeded"), "{error}");
    assert!(error.ends_with(&format!("hint: jr logs {id}")), "{error}");
    errors(&["attach", "nobody"], 3);
    errors(&["attach", &id, "--detach-keys", "password"], 2);
    home.ok(&["queue", "set", "none", "-j", "1"]);
    home.detach(&["--queue", "none", "sleep", "60"]);
    let waiting = home.detach(&["--queue", "none", "true"]);
    let error = errors(&["attach", &waiting], 3);
    assert!(error.contains("has no process now"), "{error}");
    assert_eq!(home.json(&["attach", &id])["error"]["code"], "ended");
    let own = home.jr(&["run", "--name", "own", "--", home::JR, "attach", "own"]);
    assert_eq!(code(&own), 2, "a mirror before a mirror");
    assert!(text(&own.stderr).contains("is run"), "{own:?}");
}

#[test]
fn who_only_pipes_into_it_neither_ends_it_nor_gets_lost() {
    let home = Home::new();
    let id = home.detach(&["--tty", "--name", "sh", "--set", "PS1=here> ", "--", "sh", "-i"]);
    let client = home.spawn(&["attach", &id]);
    drop(client);
    let mut typing = home.command(&["attach", &id]);
    let child = typing.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("jr starts");
    let mut client = home::Client::new(child);
    let mut input = client.child().stdin.take().expect("piped");
    input.write_all(b"echo $((40 + 2)); exit 8\n").expect("it reads");
    drop(input);
    let output = client.output();
    assert_eq!(code(&output), 8, "the end of a pipe is not the end of the shell: {output:?}");
    assert!(text(&output.stdout).contains("42"));
}

#[test]
fn other_keys_leave_it_and_the_screen_is_left_as_it_was() {
    let home = Home::new();
    let script = "printf '\\033[?1049h\\033[?25l\\033[?2004hfull'; cat";
    let words = ["run", "--detach-keys", "ctrl-p,ctrl-q", "--", "sh", "-c", script];
    let mut screen = Screen::jr(&home, &words);
    screen.expect("full");
    screen.write(LEAVE);
    screen.expect("^]");
    screen.write("\x10\x11");
    assert_eq!(screen.end_code(), 0);
    for undone in ["\x1b[?2004l", "\x1b[?1049l", "\x1b[?25h"] {
        assert!(screen.text().contains(undone), "{:?}", screen.text());
    }
    let mut screen = Screen::jr(&home, &["attach", "last"]);
    for done in ["\x1b[?1049h", "\x1b[?25l", "full"] {
        screen.expect(done);
    }
    leave(&mut screen);
}
