//! What becomes of runs that are tried again, wait for others, for a lock or for a person, and what
//! `jr why` says of it.

#[path = "support/home.rs"]
mod home;

use std::collections::BTreeMap;

use home::{Home, code, text};
use serde_json::Value;

/// The first reason of `jr why`, with the records that it rests on.
fn why(home: &Home, run: &str) -> (String, String, Vec<Value>) {
    let told = home.json(&["why", run]);
    let item = told["items"].as_array().and_then(|items| items.last().cloned());
    let item = item.unwrap_or_else(|| panic!("no reason: {told}"));
    let word = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let seqs = item["events"].as_array().expect("a list").iter();
    let seqs: Vec<u64> = seqs.map(|seq| seq.as_u64().expect("a number")).collect();
    let log = home.events(&[]);
    let records =
        log.into_iter().filter(|event| seqs.contains(&event["seq"].as_u64().unwrap_or(0)));
    (word("code"), word("message"), records.collect())
}

fn kinds(records: &[Value]) -> Vec<&str> {
    records.iter().filter_map(|record| record["kind"].as_str()).collect()
}

#[test]
fn the_foreground_shows_every_attempt_and_shares_its_input_among_them() {
    let home = Home::new();
    let script = "read word; echo $word; echo $JR_ATTEMPT >&2; test $word = c";
    let words = ["run", "--retries", "5", "--backoff", "0", "--", "sh", "-c", script];
    let output = home.jr_with_input(&words, b"a\nb\nc\nd\n");
    assert_eq!((code(&output), text(&output.stdout)), (0, "a\nb\nc".to_owned()), "{output:?}");
    assert_eq!(text(&output.stderr), "1\n2\n3");
    assert_eq!(text(&home.jr(&["logs", "last", "--stdout"]).stdout), "a\nb\nc");
    assert_eq!(home.show("last")["attempt"], 3);
}

#[test]
fn accepted_codes_are_a_success_and_still_the_commands_own() {
    let home = Home::new();
    let output =
        home.jr(&["run", "--ok", "3,10-12", "--retries", "9", "--", "sh", "-c", "exit 11"]);
    assert_eq!(code(&output), 11);
    let run = home.show("last");
    assert_eq!((&run["outcome"], &run["attempt"]), (&"succeeded".into(), &1.into()));
    for bad in [["--ok", "300"], ["--backoff", "soon"], ["--lock", "DB"], ["--on-interrupt", "cry"]]
    {
        let words = [&["run", "--retries", "1"], &bad[..], &["true"]].concat();
        assert_eq!(code(&home.jr(&words)), 2, "{bad:?}");
    }
}

#[test]
fn a_failure_skips_what_needed_a_success_and_why_names_it() {
    let home = Home::new();
    let first = home.detach(&["--name", "first", "--", "sh", "-c", "sleep 0.3; exit 5"]);
    home.detach(&["--name", "second", "--after", "first", "--", "true"]);
    home.detach(&["--name", "third", "--after", "second:any", "--", "true"]);
    let output = home.jr(&["run", "--name", "fourth", "--after", "second", "--", "true"]);
    assert_eq!(code(&output), 1, "skipped: {output:?}");
    assert_eq!(code(&home.jr(&["wait", "third"])), 0);
    let (reason, message, records) = why(&home, "second");
    assert_eq!(reason, "dependency_failed");
    assert!(message.contains(&first), "{message}");
    assert_eq!(kinds(&records), ["run_admitted", "run_ended", "run_ended"]);
    let output = home.jr(&["run", "--after", "nobody", "--", "true"]);
    assert_eq!(code(&output), 3, "{output:?}");
    assert_eq!(code(&home.jr(&["run", "--after", "first", "--", "true"])), 1, "it failed long ago");
    assert_eq!(code(&home.jr(&["run", "--after", "third:ok", "--", "true"])), 0);
}

#[test]
fn a_lock_is_waited_for_or_not() {
    let home = Home::new();
    let holder = home.detach(&["--lock", "db", "--", "sleep", "100"]);
    home.until_state(&holder, "running");
    let waiting = home.detach(&["--name", "waiting", "--lock", "db", "--", "true"]);
    assert_eq!(code(&home.jr(&["run", "--lock", "db:fail", "--", "true"])), 125);
    assert_eq!(code(&home.jr(&["run", "--lock", "db:skip", "--", "true"])), 1);
    let (reason, message, records) = why(&home, "waiting");
    assert_eq!((reason.as_str(), message.contains(&holder)), ("lock", true), "{message}");
    assert_eq!(kinds(&records), ["attempt_intended", "run_admitted"]);
    assert_eq!(records[0]["run_id"], holder.as_str());
    home.ok(&["stop", &holder]);
    assert_eq!(code(&home.jr(&["wait", &waiting])), 0);
}

#[test]
fn a_paused_run_stands_still_over_the_death_of_the_daemon_and_goes_on() {
    let home = Home::new();
    let run = home.detach(&["--timeout", "60", "--", "sleep", "0.5"]);
    home.until_state(&run, "running");
    home.ok(&["pause", &run]);
    assert_eq!(home.show(&run)["state"], "paused");
    for daemon in home.daemons() {
        let pid = rustix::process::Pid::from_raw(daemon).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    }
    home.ok(&["daemon", "start"]);
    assert_eq!(home.show(&run)["state"], "paused");
    let (reason, message, _) = why(&home, &run);
    assert!(reason == "paused" && message.contains(" pause "), "{message}");
    home.ok(&["resume", &run]);
    assert_eq!(code(&home.jr(&["wait", &run])), 0);
    let output = home.jr(&["resume", &run]);
    assert_eq!((code(&output), text(&output.stderr).contains("rerun")), (4, true), "{output:?}");
}

#[test]
fn a_paused_queue_gives_no_starts() {
    let home = Home::new();
    home.ok(&["queue", "pause", "default"]);
    let run = home.detach(&["--", "true"]);
    assert_eq!(why(&home, &run).0, "queue_paused");
    let queue = home.items(&["queue", "list"]).remove(0);
    assert_eq!((&queue["paused"], &queue["queued"]), (&true.into(), &1.into()));
    home.ok(&["queue", "unpause", "default"]);
    assert_eq!(code(&home.jr(&["wait", &run])), 0);
    assert_eq!(code(&home.jr(&["queue", "pause", "nowhere"])), 3);
}

#[test]
fn a_rerun_is_a_child_of_what_it_repeats_and_asks_for_its_secrets() {
    let home = Home::new();
    let mut command = home.command(&["run", "--name", "said", "--", "sh", "-c", "echo $MY_TOKEN"]);
    assert_eq!(text(&command.env("MY_TOKEN", "hush").output().expect("runs").stdout), "hush");
    let output = home.jr(&["rerun", "said"]);
    assert_eq!((code(&output), text(&output.stderr).contains("MY_TOKEN")), (2, true), "{output:?}");
    let again = home.ok(&["rerun", "said", "--set", "MY_TOKEN=new", "--wait"]);
    let again = again.trim();
    let parent = home.show(again)["parent"].clone();
    assert_eq!(home.show(parent.as_str().expect("a parent"))["name"], "said");
    assert_eq!(text(&home.jr(&["logs", again]).stdout), "new");
    home.jr_with_input(&["batch", "--name", "lines"], b"true\nfalse\nexit 3\n");
    let output = home.jr(&["rerun", "--failed", "lines", "--wait"]);
    assert_eq!(code(&output), 1);
    assert_eq!(home.show(text(&output.stdout).trim())["batch"]["lines"], 2);
    assert_eq!(code(&home.jr(&["rerun", "--failed", "said"])), 4);
}

/// Many runs with everything at once and a daemon that dies: each reason is what the log says.
#[test]
fn every_reason_is_true_after_a_day_of_work() {
    let home = Home::new();
    home.ok(&["queue", "set", "etl", "-j", "2"]);
    home.ok(&["queue", "set", "late", "-j", "1"]);
    home.ok(&["queue", "pause", "late"]);
    let mut names: Vec<String> = Vec::new();
    for number in 0..60_usize {
        let name = format!("job-{number}");
        let mut words = vec!["--name".to_owned(), name.clone()];
        let mut option =
            |words_: &[&str]| words.extend(words_.iter().map(|word| (*word).to_owned()));
        option(&["--queue", ["default", "etl", "late"][number % 3]]);
        if number % 4 == 1 {
            option(&["--retries", "2", "--backoff", "50ms"]);
        }
        if number % 5 == 2 {
            option(&["--lock", ["table:wait", "table:skip", "table:fail"][number % 3]]);
        }
        if number % 7 == 3 {
            option(&["--after", &names[number - 2]]);
        }
        option(&["--", "sh", "-c", &format!("sleep 0.0{}; exit {}", number % 5, number % 6 / 4)]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        home.detach(&words);
        names.push(name);
        if number % 20 == 19 {
            for daemon in home.daemons() {
                let pid = rustix::process::Pid::from_raw(daemon).expect("a pid");
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
            }
        }
    }
    home.ok(&["queue", "unpause", "late"]);
    home.jr(&["wait", "all"]);
    let events = home.events(&[]);
    let mut ends: BTreeMap<&str, &Value> = BTreeMap::new();
    for event in events.iter().filter(|event| event["kind"] == "run_ended") {
        assert!(ends.insert(event["run_id"].as_str().expect("an id"), event).is_none(), "{event}");
    }
    assert_eq!(ends.len(), 60);
    for run in home.items(&["history", "-n", "100"]) {
        let id = run["run_id"].as_str().expect("an id");
        let (reason, message, records) = why(&home, id);
        let last = records.last().expect("it rests on something");
        assert_eq!(last["seq"], ends[id]["seq"], "{run}: {message}");
        let expected = match run["outcome"].as_str().expect("ended") {
            "succeeded" => "succeeded",
            "failed" => "exit_code",
            "skipped" if ends[id]["reason"].as_str().is_some_and(|why| why.starts_with("lock")) => {
                "lock_held"
            }
            "skipped" => "dependency_failed",
            "rejected" => "lock_held",
            other => panic!("{other}: {run}"),
        };
        assert_eq!(reason, expected, "{run}: {message}");
        let attempts = events.iter().filter(|event| {
            event["run_id"] == id
                && event["kind"] == "attempt_ended"
                && event["status"] != "never_started"
        });
        let codes: Vec<&Value> = attempts.map(|event| &event["exit_code"]).collect();
        if reason == "exit_code" {
            let retried = run["name"].as_str().expect("a name")["job-".len()..].parse::<usize>();
            let tries = if retried.expect("a number") % 4 == 1 { 3 } else { 1 };
            assert_eq!(codes.len(), tries, "{run}: {message}");
        }
    }
    assert_eq!(code(&home.jr(&["log", "verify"])), 0);
}
