//! `jr batch`, and waiting for, stopping and queueing many.

#[path = "support/home.rs"]
mod home;

use home::{Home, code, document, text, until_so};
use rustix::process::Signal;

fn batch(home: &Home, words: &[&str], lines: &str) -> std::process::Output {
    home.jr_with_input(&[&["batch"], words].concat(), lines.as_bytes())
}

#[test]
fn a_batch_runs_each_line_and_fails_if_one_failed() {
    let home = Home::new();
    let lines = "echo one\n\n# a comment\necho \"two words\"\necho three | tr a-z A-Z\n";
    let output = batch(&home, &["-j", "1"], lines);
    assert_eq!((code(&output), text(&output.stdout)), (0, String::new()), "{output:?}");
    let printed = home.ok(&["logs", "last"]);
    for line in ["one", "two words", "THREE"] {
        assert!(printed.lines().any(|found| found.ends_with(&format!("│ {line}"))), "{printed}");
    }
    let output = batch(&home, &["--json"], "true\nexit 3\n");
    assert_eq!(code(&output), 1);
    let run = document(&output);
    assert_eq!((&run["kind"], &run["outcome"]), (&"batch".into(), &"failed".into()));
    assert_eq!((&run["batch"]["succeeded"], &run["batch"]["failed"]), (&1.into(), &1.into()));
}

#[test]
fn a_line_without_shell_syntax_is_executed_directly() {
    let home = Home::new();
    batch(&home, &["-j", "1"], "echo a b\necho 'a b' $HOME\n");
    let lines = home.items(&["history", "--parent", "last"]);
    assert_eq!(lines[1]["command"], serde_json::json!(["echo", "a", "b"]));
    assert_eq!(lines[0]["command"], serde_json::json!(["sh", "-c", "echo 'a b' $HOME"]));
}

#[test]
fn a_batch_is_continued_with_what_never_ended_or_also_with_what_failed() {
    let home = Home::new();
    let flag = home.path().join("flag");
    let fails_once = format!("test -e {}", flag.display());
    let lines = format!("true\n{fails_once}\necho never\necho never\n");
    let output = batch(&home, &["--fail-fast", "-j", "1"], &lines);
    assert_eq!(code(&output), 1);
    assert_eq!(home.show("batch")["batch"]["cancelled"], 2, "the rest was cancelled");
    let first = home.show("batch")["run_id"].clone();
    let output = home.jr(&["batch", "--continue", "--json"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let run = document(&output);
    assert_eq!((&run["batch"]["lines"], &run["parent"]), (&2.into(), &first));
    assert_eq!(home.ok(&["logs", "last"]).matches("never").count(), 2, "equal lines are two");
    let output = home.jr(&["batch", "--continue"]);
    assert_eq!(code(&output), 4, "nothing to do: {output:?}");
    std::fs::write(flag, "").expect("written");
    let output = home.jr(&["batch", "--continue", "--failed", "--json"]);
    assert_eq!((code(&output), &document(&output)["batch"]["lines"]), (0, &1.into()));
}

#[test]
fn a_killed_client_interrupts_no_batch_and_ctrl_c_stops_it() {
    let home = Home::new();
    let file = home.path().join("lines");
    std::fs::write(&file, "sleep 0.3\ntrue\n").expect("written");
    let file = file.to_str().expect("text");
    let mut client = home.spawn(&["batch", "-j", "1", file]);
    until_so("the batch", || !home.items(&["ps"]).is_empty());
    client.signal(Signal::KILL);
    drop(client);
    assert_eq!(code(&home.jr(&["wait", "last"])), 0);
    std::fs::write(file, "sleep 60\nsleep 61\n").expect("written");
    let mut client = home.spawn(&["batch", "-j", "1", file]);
    until_so("a line to run", || home.items(&["ps"]).iter().any(|run| run["pid"].is_u64()));
    client.signal(Signal::INT);
    let output = client.output();
    assert_eq!(code(&output), 1, "{output:?}");
    assert!(text(&output.stderr).contains("jr batch --continue"), "{output:?}");
    assert_eq!(home.show("last")["outcome"], "cancelled");
    assert_eq!(home.items(&["ps"]).len(), 0);
}

#[test]
fn a_batch_and_its_client_outlive_the_daemon() {
    let home = Home::new();
    let file = home.path().join("lines");
    std::fs::write(&file, "sleep 0.2; exit 1\nsleep 0.2\necho a\n").expect("written");
    let client = home.spawn(&["batch", "-j", "1", file.to_str().expect("text")]);
    until_so("a line to run", || home.items(&["ps"]).iter().any(|run| run["pid"].is_u64()));
    home.without_daemon();
    let output = client.output();
    assert_eq!(code(&output), 1, "{output:?}");
    assert_eq!(home.show("last")["batch"]["succeeded"], 2);
}

#[test]
fn waiting_gives_the_code_of_one_and_tells_of_several_whether_any_failed() {
    let home = Home::new();
    home.ok(&["queue", "set", "default", "-j", "10"]);
    let good = home.detach(&["true"]);
    let bad = home.detach(&["sh", "-c", "exit 7"]);
    let long = home.detach(&["sleep", "60"]);
    let wait = |words: &[&str]| code(&home.jr(&[&["wait"], words].concat()));
    assert_eq!(wait(&[&bad]), 7);
    assert_eq!(wait(&[&good]), 0);
    assert_eq!(wait(&[&good, &bad]), 1);
    assert_eq!(wait(&[&long, "--timeout", "0.1"]), 124);
    assert_eq!(wait(&[&long, &bad, "--any"]), 7);
    assert_eq!(wait(&[&long, "--any", "--timeout", "0.1"]), 124);
    let waiting = home.spawn(&["wait", &long]);
    home.ok(&["stop", &long]);
    assert_eq!(code(&waiting.output()), 143);
    home.without_daemon();
    assert_eq!(wait(&[&bad]), 7, "what has ended needs no daemon");
    assert!(home.daemons().is_empty());
}

#[test]
fn waiting_outlives_the_daemon() {
    let home = Home::new();
    let mut client = home.spawn(&["run", "--name", "x", "sh", "-c", "read line; exit 8"]);
    home.pid_of("x");
    let waiting = home.spawn(&["wait", "x"]);
    home.without_daemon();
    until_so("another daemon", || !home.daemons().is_empty());
    drop(client.child().stdin.take());
    assert_eq!(code(&waiting.output()), 8);
}

#[test]
fn a_stop_waits_for_the_end_and_says_how_it_came() {
    let home = Home::new();
    let id = home.detach(&["--name", "deaf", "sh", "-c", "trap '' TERM; sleep 60"]);
    home.pid_of(&id);
    let document = home.json(&["stop", "deaf", "--kill-after", "0.1"]);
    let run = &document["items"][0];
    assert_eq!((&run["outcome"], &run["signal"]), (&"stopped".into(), &9.into()), "{run}");
    assert_eq!((&run["result"], &run["survivors"]), (&"stopping".into(), &serde_json::json!([])));
    let again = home.json(&["stop", "deaf"]);
    assert_eq!(again["items"][0]["result"], "already_ended");
}

#[test]
fn a_queue_runs_so_many_at_a_time_and_the_rest_waits() {
    let home = Home::new();
    home.ok(&["queue", "set", "one", "-j", "1"]);
    let first = home.detach(&["--queue", "one", "sleep", "60"]);
    home.pid_of(&first);
    let second = home.detach(&["--queue", "one", "sleep", "60"]);
    let third = home.detach(&["--queue", "one", "true"]);
    let queues = home.items(&["queue", "list"]);
    let one = queues.iter().find(|queue| queue["name"] == "one").expect("it is there");
    assert_eq!((&one["limit"], &one["running"], &one["queued"]), (&1.into(), &1.into(), &2.into()));
    assert_eq!(home.show(&second)["state"], "queued");
    home.ok(&["stop", &second]);
    assert_eq!(home.show(&second)["outcome"], "cancelled", "it never began");
    home.ok(&["queue", "set", "one", "-j", "2"]);
    assert_eq!(code(&home.jr(&["wait", &third])), 0, "more slots start what waits");
}

/// More than one page of the question that the command line asks.
#[test]
fn all_records_are_printed_however_many_there_are() {
    let home = Home::new();
    let output = batch(&home, &["-j", "4"], &"true\n".repeat(1_050));
    assert_eq!(code(&output), 0, "{output:?}");
    home.ok(&["daemon", "stop"]);
    let stat = home.json(&["log", "stat"]);
    let seqs: Vec<u64> =
        home.events(&[]).iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
    assert!(seqs.len() > 5_250 && stat["seq"] == seqs.len(), "{} of {stat}", seqs.len());
    assert!(seqs.iter().zip(1..).all(|(seq, place)| *seq == place), "dense, from 1");
    let exported = home.ok(&["log", "export", "--json"]);
    assert_eq!(exported.lines().count(), seqs.len());
}
