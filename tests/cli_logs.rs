//! `jr logs`: lines that match, runs that come, attempts, and what became of files underneath.

#[path = "support/home.rs"]
mod home;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;

use home::{Client, Home, code, text, until, until_so};
use rustix::process::Signal;

/// The file of a stream of a run's first attempt.
fn file(home: &Home, run: &str, ending: &str) -> PathBuf {
    let id = home.show(run)["run_id"].as_str().expect("an id").to_owned();
    home.root().join("output").join(&id[..1]).join(format!("{id}.1.{ending}"))
}

/// A follower whose lines are read one by one.
struct Follower {
    client: Client,
    lines: BufReader<std::process::ChildStdout>,
}

impl Follower {
    fn new(home: &Home, words: &[&str]) -> Self {
        let mut client = home.spawn(&[&["logs"], words].concat());
        let lines = BufReader::new(client.child().stdout.take().expect("piped"));
        Self { client, lines }
    }

    fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.lines.read_until(b'\n', &mut line).expect("a line");
        text(&line)
    }

    fn rest(mut self) -> (i32, String, String) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("text");
        let output = self.client.output();
        (code(&output), rest, text(&output.stderr))
    }
}

#[test]
fn grep_prints_whole_lines_that_match_and_says_so_by_its_code() {
    let home = Home::new();
    let script = r"printf 'one err\ntwo\n\377\000 err three\nERR four\n'; printf 'err five' >&2";
    home.ok(&["run", "--name", "a", "sh", "-c", script]);
    home.ok(&["run", "--name", "b", "echo", "no err here"]);
    let grep = |words: &[&str]| {
        let output = home.jr(&[&["logs"], words].concat());
        (code(&output), output.stdout)
    };
    let (found, lines) = grep(&["a", "--grep", "err", "--stdout"]);
    assert_eq!((found, &lines[..]), (0, &b"one err\n\xff\0 err three\n"[..]));
    assert_eq!(
        grep(&["a", "-g", "err", "-i", "-n", "2", "--stdout"]).1,
        b"\xff\0 err three\nERR four\n"
    );
    assert_eq!(grep(&["a", "-g", "five$"]), (0, b"err five\n".to_vec()), "without a line end");
    assert_eq!(grep(&["a", "-g", "nothing"]), (1, Vec::new()));
    assert_eq!(grep(&["a", "-g", "err", "-n", "0"]).1, b"");
    let (found, lines) = grep(&["a", "b", "-g", "err$|here"]);
    assert_eq!((found, text(&lines)), (0, "a │ one err\nb │ no err here".to_owned()));
    let (found, lines) = grep(&["-g", "^no", "-t"]);
    assert!(found == 0 && text(&lines).starts_with("b │ 20"), "{lines:?}");
    assert_eq!(grep(&["a", "-g", "("]).0, 2);
    assert_eq!(home.json(&["logs", "a", "-g", "err"])["error"]["code"], "usage");
    home.without_daemon();
    assert_eq!(grep(&["b", "-g", "err", "-f"]), (0, b"no err here\n".to_vec()));
    assert_eq!(home.daemons(), Vec::<i32>::new(), "reading starts no daemon");
}

#[test]
fn following_a_glob_takes_the_runs_that_come_and_tells_them_apart() {
    let home = Home::new();
    let waits = "read line; echo over";
    let mut first =
        home.spawn(&["run", "--name", "api-1", "sh", "-c", &format!("echo up; {waits}")]);
    home.pid_of("api-1");
    home.ok(&["run", "--name", "other", "echo", "not asked for"]);
    let mut follower = Follower::new(&home, &["-f", "api-*"]);
    assert_eq!(follower.line(), "api-1 │ up");
    home.detach(&["--name", "api-2", "echo", "me too"]);
    assert_eq!(follower.line(), "api-2 │ me too");
    let twin = home.detach(&["--name", "api-1", "echo", "its twin"]);
    assert_eq!(follower.line(), format!("api-1-{twin} │ its twin"));
    let id = home.items(&["history", "--name", "api-1"])[1]["run_id"].clone();
    drop(first.child().stdin.take());
    let (code, rest, errors) = follower.rest();
    assert_eq!(rest, format!("api-1-{} │ over\n", id.as_str().expect("an id")));
    assert_eq!((code, errors), (0, String::new()), "it ends with the last of them");
}

#[test]
fn following_waits_for_what_has_not_begun_and_for_ever_where_asked() {
    let home = Home::new();
    home.ok(&["queue", "set", "one", "-j", "1"]);
    let slow = home.detach(&["--queue", "one", "sleep", "60"]);
    home.pid_of(&slow);
    let queued = home.detach(&["--queue", "one", "--name", "q", "echo", "at last"]);
    let follower = Follower::new(&home, &["-f", &queued]);
    let mut forever = Follower::new(&home, &["-F", "label:k=v"]);
    home.ok(&["stop", &slow]);
    assert_eq!(follower.rest(), (0, "at last\n".to_owned(), String::new()));
    for word in ["one", "two"] {
        home.ok(&["run", "--name", word, "--label", "k=v", "echo", word]);
        assert_eq!(forever.line(), format!("{word} │ {word}"), "it goes on where none lives");
    }
    drop(forever.lines);
    until_so("it to see that nobody reads", || {
        forever.client.child().try_wait().expect("a child").is_some()
    });
    let cancelled = home.detach(&["--queue", "one", "--name", "c", "sleep", "60"]);
    home.pid_of(&cancelled);
    let never = home.detach(&["--queue", "one", "true"]);
    let follower = Follower::new(&home, &["-f", &never]);
    home.ok(&["stop", &never]);
    assert_eq!(follower.rest().0, 0, "what is cancelled has nothing to follow");
}

#[test]
fn from_now_on_nothing_older_is_printed() {
    let home = Home::new();
    home.ok(&["run", "--name", "over", "echo", "older"]);
    let script = "echo old; while :; do echo tick; sleep 0.1; done";
    let id = home.detach(&["--name", "x", "sh", "-c", script]);
    until("its first tick", || match text(&home.jr(&["logs", &id]).stdout) {
        found if found.contains("tick") => Ok(()),
        other => Err(other),
    });
    for selector in [None, Some("x"), Some("label:no=body")] {
        let words = [&["-F", "-n", "0"][..], selector.as_slice()].concat();
        let mut follower = Follower::new(&home, &words);
        match selector {
            None => assert_eq!(follower.line(), "x │ tick"),
            Some("x") => assert_eq!(follower.line(), "tick"),
            Some(_) => follower.client.signal(Signal::TERM),
        }
    }
}

#[test]
fn what_became_of_the_files_is_told_and_the_rest_is_printed() {
    let home = Home::new();
    home.ok(&["run", "--name", "cut", "sh", "-c", "echo 123456789; echo err >&2"]);
    std::fs::File::options()
        .write(true)
        .open(file(&home, "cut", "out"))
        .expect("a file")
        .set_len(3)
        .expect("shorter");
    std::fs::remove_file(file(&home, "cut", "err")).expect("a file");
    let output = home.jr(&["logs", "cut"]);
    assert_eq!((code(&output), text(&output.stdout)), (0, "123".to_owned()));
    let errors = text(&output.stderr);
    assert!(errors.contains("stdout: 10 bytes were printed, 3 are left"), "{errors}");
    assert!(errors.contains("stderr: 4 bytes were printed, which are gone"), "{errors}");
    let script = "echo one; read line; : > /proc/self/fd/1; echo two; read line; echo three";
    let mut client = home.spawn(&["run", "--name", "live", "sh", "-c", script]);
    until("its first line", || match text(&home.jr(&["logs", "live"]).stdout) {
        line if line == "one" => Ok(()),
        other => Err(other),
    });
    let mut follower = Follower::new(&home, &["-f", "live"]);
    assert_eq!(follower.line(), "one");
    let mut input = client.child().stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, b"\n").expect("it reads");
    until_so("it to be cut and to grow again", || {
        std::fs::read(file(&home, "live", "out")).is_ok_and(|bytes| bytes == b"two\n")
    });
    std::fs::remove_file(file(&home, "live", "err")).expect("a file");
    drop(input);
    let (code, rest, _) = follower.rest();
    // The cut file has grown to its old length again: what cannot be seen is not told.
    assert!(code == 0 && rest.ends_with("three\n"), "{rest}");
}

#[test]
fn a_run_that_dies_with_its_follower_costs_nothing_and_many_cost_few_files() {
    let home = Home::new();
    let lines: Vec<String> =
        (0..120).map(|n| format!("sh -c 'echo line {n}; sleep 0.2'")).collect();
    let lines = lines.join("\n") + "\n";
    let batch = home.jr_with_input(&["--json", "batch", "-j", "4", "-"], b"true\n");
    assert_eq!(code(&batch), 0);
    let mut command = home.command(&["batch", "-j", "60", "--name", "many", "-"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    command.stderr(std::process::Stdio::null());
    let mut batch = Client::new(command.spawn().expect("jr starts"));
    let mut input = batch.child().stdin.take().expect("piped");
    std::io::Write::write_all(&mut input, lines.as_bytes()).expect("it reads");
    drop(input);
    until_so("the batch to be there", || code(&home.jr(&["show", "many"])) == 0);
    // 120 runs have 360 files; a follower that held them open would meet this limit.
    let mut follower = std::process::Command::new("/bin/sh");
    let script = "ulimit -n 24; exec \"$0\" logs -f many";
    follower.args(["-c", script, home::JR]).env_clear().env("JR_HOME", home.path());
    let output = follower.output().expect("a shell");
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let mut found: Vec<String> = text(&output.stdout)
        .lines()
        .map(|line| line.rsplit("line ").next().expect("a number").to_owned())
        .collect();
    found.sort_by_key(|number| number.parse::<u32>().expect("a number"));
    let expected: Vec<String> = (0..120).map(|number: u32| number.to_string()).collect();
    assert_eq!(found, expected, "each line once");
    batch.child().wait().expect("it ends");
}

#[test]
fn one_attempt_is_followed_to_its_end() {
    let home = Home::new();
    let mut client = home.spawn(&["run", "--name", "x", "sh", "-c", "echo first; read line"]);
    home.pid_of("x");
    let mut follower = Follower::new(&home, &["-f", "--attempt", "1", "x"]);
    assert_eq!(follower.line(), "first");
    client.signal(Signal::TERM);
    drop(client.child().stdin.take());
    assert_eq!(follower.rest().0, 0);
    assert_eq!(home.ok(&["logs", "x", "--attempt", "1"]), "first");
    assert_eq!(code(&home.jr(&["logs", "x", "--attempt", "2"])), 3, "there is none");
    let follower = Follower::new(&home, &["-f", "--attempt", "2", "x"]);
    assert_eq!(follower.rest(), (0, String::new(), String::new()), "it never came");
}

#[test]
fn a_follower_goes_on_from_attempt_to_attempt() {
    let home = Home::new();
    let script = "echo attempt $JR_ATTEMPT; test $JR_ATTEMPT = 3";
    let retries = ["--retries", "5", "--backoff", "300ms"];
    let words = [&["--name", "x"], &retries[..], &["--", "sh", "-c", script]].concat();
    let id = home.detach(&words);
    let follower = Follower::new(&home, &["-f", &id]);
    let expected = "attempt 1\nattempt 2\nattempt 3\n";
    assert_eq!(follower.rest(), (0, expected.to_owned(), String::new()));
    assert_eq!(home.ok(&["logs", &id, "-n", "2"]), "attempt 2\nattempt 3");
    assert_eq!(home.ok(&["logs", &id, "--attempt", "2"]), "attempt 2");
    assert_eq!(home.ok(&["logs", &id, "-g", "[12]$", "-n", "1"]), "attempt 2");
    let again = home.detach(&words);
    let follower = Follower::new(&home, &["-f", "--attempt", "2", &again]);
    assert_eq!(follower.rest(), (0, "attempt 2\n".to_owned(), String::new()));
    assert_eq!(home.items(&["stats", "--name", "x"]).len(), 1);
}
