//! What becomes of runs that are tried again, wait for others, for a lock or for a person, and what
//! `jr why` says of it.

#[path = "support/home.rs"]
mod home;

use std::collections::BTreeMap;
use std::io::Write as _;

use home::{Home, code, text, until};
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

/// The record that the run moves again is there when the command comes back, and where its shim
/// does not answer, that is what is told.
#[test]
fn resume_comes_back_when_the_run_goes_on() {
    let home = Home::new();
    let run = home.detach(&["--name", "held", "sleep", "300"]);
    let pid = home.pid_of(&run);
    let shim = home::parent_of(pid).expect("a parent");
    for round in 1..=3 {
        home.ok(&["pause", "held"]);
        let said = home.items(&["resume", "held"]).remove(0);
        assert_eq!(said["result"], "resumed", "{said}");
        assert_eq!(home.show(&run)["state"], "running");
        assert_eq!(home.events(&["--kind", "run_unpaused"]).len(), round);
    }
    home.ok(&["pause", "held"]);
    home::kill(shim, rustix::process::Signal::STOP);
    let told = home.jr(&["resume", "held"]);
    assert_eq!(code(&told), 0, "{told:?}");
    assert!(text(&told.stderr).contains("jr doctor"), "{told:?}");
    assert_eq!(home.show(&run)["state"], "paused");
    home::kill(shim, rustix::process::Signal::CONT);
    home.until_state(&run, "running");
    home.ok(&["stop", "held"]);
}

/// The state of a run, and the counts of its lines, as each way of asking has them.
fn asked_in_every_way(home: &Home, run: &str, more: &[&str]) -> Vec<(Value, Value)> {
    let find = |items: Vec<Value>| items.into_iter().find(|item| item["run_id"] == run);
    let list = |words: &[&str]| find(home.items(&[words, more].concat())).expect("it is listed");
    let show = home.json(&[&["show", run][..], more].concat());
    let views = [show, list(&["ps"]), list(&["ps", "-a"]), list(&["history"])];
    views.iter().map(|view| (view["state"].clone(), view["batch"].clone())).collect()
}

#[test]
fn a_paused_batch_is_called_paused_wherever_it_is_asked_for() {
    let home = Home::new();
    let mut client = home.spawn(&["batch", "-j", "2", "--name", "lines", "-"]);
    let lines = b"sleep 0.4\nsleep 0.4\ntrue\nfalse\n";
    client.child().stdin.take().expect("piped").write_all(lines).expect("it reads");
    let batch = until("two lines to run", || {
        let items = home.items(&["ps"]);
        let batch = items.iter().find(|item| item["kind"] == "batch").cloned();
        batch.filter(|batch| batch["batch"]["running"] == 2).ok_or_else(|| format!("{items:?}"))
    });
    let batch = batch["run_id"].as_str().expect("an id");
    let before = home.events(&[]).last().expect("a record")["seq"].to_string();
    let said = home.items(&["pause", "lines"]).remove(0);
    assert_eq!(said["result"], "paused", "{said}");
    let held = |more: &[&str]| {
        for (state, lines) in asked_in_every_way(&home, batch, more) {
            assert_eq!(state, "paused", "{more:?}");
            let [running, paused, queued] =
                ["running", "paused", "queued"].map(|key| lines[key].as_u64().expect("a count"));
            // What was given ahead of a slot is held by itself.
            let is_so = running == 0 && paused >= 2 && paused + queued == 4;
            assert!(is_so, "{more:?} {lines}");
        }
    };
    held(&[]);
    let text_of = |words: &[&str]| text(&home.jr(words).stdout);
    assert!(text_of(&["ps"]).lines().any(|line| line.contains("lines") && line.contains("paused")));
    assert!(text_of(&["show", "lines"]).contains(" paused"));
    assert_eq!(why(&home, "lines").0, "paused");
    let named = home.items(&["pause", "state:paused"]);
    assert!(named.iter().any(|run| run["run_id"] == batch), "{named:?}");
    let head = home.events(&[]).last().expect("a record")["seq"].to_string();
    home.without_daemon();
    held(&[]);
    held(&["--at", &head]);
    for (state, _) in asked_in_every_way(&home, batch, &["--at", &before]) {
        assert_eq!(state, "running");
    }
    let bundle = home.path().join("held.jrb");
    let bundle = bundle.to_str().expect("text");
    home.ok(&["debug-report", "-o", bundle]);
    held(&["--bundle", bundle]);
    home.ok(&["resume", "lines"]);
    assert_ne!(home.show(batch)["state"], "paused");
    assert_eq!(code(&home.jr(&["wait", batch])), 1, "a line of it failed");
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

#[test]
fn the_sender_of_a_signal_is_the_one_of_this_attempt() {
    let home = Home::new();
    let script = "trap : USR1; test $JR_ATTEMPT = 1 || kill -USR1 $$; \
                  test $JR_ATTEMPT = 1 || { trap - USR1; kill -USR1 $$; }; \
                  i=0; while [ $i -lt 20 ]; do i=$((i+1)); sleep 0.05; done; exit 1";
    let retry = ["--name", "x", "--retries", "1", "--backoff", "0"];
    let run = home.detach(&[&retry[..], &["--", "sh", "-c", script]].concat());
    home.until_state(&run, "running");
    home.ok(&["signal", "USR1", &run]);
    assert_eq!(code(&home.jr(&["wait", &run])), 128 + 10);
    let (reason, message, records) = why(&home, &run);
    assert!(reason == "signal" && message.contains("did not send"), "{message}");
    assert!(!kinds(&records).contains(&"signal_requested"), "{records:?}");
    let mut client = home.spawn(&["run", "--name", "fg", "sleep", "100"]);
    home.until_state("fg", "running");
    client.signal(rustix::process::Signal::TERM);
    assert_eq!(code(&client.output()), 128 + 15);
    let (_, message, records) = why(&home, "fg");
    assert!(message.contains("passed on"), "{message}");
    assert!(kinds(&records).contains(&"signal_sent"), "{records:?}");
    assert_eq!(home.json(&["why", "fg"])["items"][0]["code"], "asked");
}

#[test]
fn between_two_records_nobody_is_said_to_have_to_act() {
    let home = Home::new();
    home.jr(&["run", "false"]);
    let ends = home.events(&["--kind", "attempt_ended"]);
    let seq = ends[0]["seq"].to_string();
    let told = home.json(&["why", "last", "--at", &seq]);
    let message = told["items"][0]["message"].as_str().expect("text");
    assert!(message.contains("exited with code 1") && !message.contains("ask"), "{told}");
}

#[test]
fn who_has_the_slots_of_a_queue_is_counted_and_named() {
    let home = Home::new();
    home.ok(&["queue", "set", "two", "-j", "2"]);
    let holders: Vec<String> =
        (0..2).map(|_| home.detach(&["--queue", "two", "--", "sleep", "100"])).collect();
    let waiting = home.detach(&["--queue", "two", "--", "true"]);
    for holder in &holders {
        home.until_state(holder, "running");
    }
    home.ok(&["pause", &holders[0]]);
    let (_, message, _) = why(&home, &waiting);
    assert!(message.starts_with("the 2 slots of queue two are taken by"), "{message}");
    assert!(message.contains(&format!("({}) (paused)", holders[0])), "{message}");
    home.ok(&["queue", "set", "two", "-j", "3"]);
    assert_eq!(code(&home.jr(&["wait", &waiting])), 0);
    home.ok(&["stop", "all"]);
}

/// The message of a reason, which rests on as many records as it names.
fn told_of(home: &Home, run: &str, code: &str, records: usize) -> String {
    let why = home.json(&["why", run]);
    let items = why["items"].as_array().expect("a list");
    let item = items.iter().find(|item| item["code"] == code);
    let item = item.unwrap_or_else(|| panic!("{code}: {why:#}"));
    assert_eq!(item["events"].as_array().map(Vec::len), Some(records), "{item}");
    item["message"].as_str().expect("text").to_owned()
}

#[test]
fn why_names_who_held_a_run_and_who_let_it_go_on() {
    let home = Home::new();
    let uid = format!("uid {}, pid ", rustix::process::geteuid().as_raw());
    let run = home.detach(&["--name", "held", "sleep", "300"]);
    home.pid_of(&run);
    home.ok(&["pause", &run]);
    home.ok(&["resume", "held"]);
    home.until_state(&run, "running");
    let told = told_of(&home, &run, "resumed", 2);
    for part in [&format!("resumed by {uid}"), "jr resume held`", &format!("paused by {uid}")] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(told.contains(&format!("jr pause {run}`")), "{told}");
    home.ok(&["stop", &run]);
    assert_eq!(told_of(&home, &run, "resumed", 2), told, "also when it has ended");
    // A retry that nobody waited for.
    let again = home.detach(&["--name", "again", "--retries", "1", "--backoff", "1h", "false"]);
    home.until_state(&again, "delayed");
    home.ok(&["resume", "again"]);
    home.until_state(&again, "ended");
    let told = told_of(&home, &again, "resumed", 3);
    assert!(told.contains("jr resume again`") && told.contains("exited with code 1"), "{told}");
    // What holds a queue holds what waits there.
    home.ok(&["queue", "pause", "default"]);
    let waits = home.detach(&["true"]);
    let told = told_of(&home, &waits, "queue_paused", 1);
    assert!(told.contains(&uid) && told.contains("jr queue pause default`"), "{told}");
    home.ok(&["queue", "unpause", "default"]);
    let unpaused = home.events(&["--kind", "queue_unpaused"]).pop().expect("one");
    let asker = unpaused["asker"]["command"].as_str().expect("text");
    assert!(asker.ends_with("jr queue unpause default"), "{unpaused}");
}

#[test]
fn why_of_a_batch_names_its_lines_and_of_a_line_who_stopped_its_batch() {
    let home = Home::new();
    home.jr_with_input(
        &["batch", "--name", "bad", "--keep-going"],
        b"true\nsh -c 'exit 3'\nfalse\n",
    );
    let (reason, message, records) = why(&home, "bad");
    assert_eq!(reason, "lines");
    assert!(message.contains("exited with code 3"), "{message}");
    assert_eq!(kinds(&records), ["run_ended", "run_ended", "run_ended"]);
    let lines = home.path().join("lines");
    std::fs::write(&lines, "sleep 100\nsleep 101\n").expect("written");
    let lines = lines.to_str().expect("text");
    let client = home.spawn(&["batch", "-j2", "--name", "long", lines]);
    let batch = home.until_state("long", "running")["run_id"].as_str().expect("an id").to_owned();
    let items = home.items(&["ps"]);
    let line = items.iter().find(|run| run["parent"] == batch.as_str()).expect("a line");
    let line = line["run_id"].as_str().expect("an id").to_owned();
    home.until_state(&line, "running");
    home.ok(&["pause", &batch]);
    let told = told_of(&home, &batch, "paused", 1);
    assert!(told.contains("pid ") && told.contains(&format!("jr pause {batch}`")), "{told}");
    let (reason, message, _) = why(&home, &batch);
    assert_eq!(reason, "paused", "{message}");
    home.ok(&["resume", &batch]);
    let told = told_of(&home, &batch, "resumed", 2);
    let parts = ["it had been paused by uid ", &format!("jr resume {batch}`")];
    assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    let kinds = |words: &[&str]| {
        let events = home.events(words).into_iter();
        events.map(|event| event["kind"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&["--run", &batch]), ["run_admitted"]);
    home.ok(&["stop", &batch]);
    assert_eq!(told_of(&home, &batch, "resumed", 2), told, "also when it has ended");
    let (_, message, _) = why(&home, &batch);
    assert!(message.contains("with `") && !message.contains("attempt 0"), "{message}");
    let (_, message, records) = why(&home, &line);
    assert!(message.contains(&format!("with batch long ({batch}), which was stopped by uid")));
    let stops = records.iter().filter(|record| record["kind"] == "stop_requested");
    assert_eq!(stops.count(), 2, "its own and that of the batch: {message}");
    drop(client);
}

#[test]
fn what_several_match_is_ambiguous_and_what_has_ended_is_told_so() {
    let home = Home::new();
    for name in ["k1", "k2"] {
        home.jr(&["run", "--name", name, "--label", "k=1", "false"]);
    }
    for selector in ["label:k=1", "k*", "state:failed"] {
        let output = home.jr(&["run", "--after", selector, "true"]);
        assert_eq!(code(&output), 2, "{selector}: {output:?}");
        assert!(text(&output.stderr).contains("(k1)"), "{selector}: {output:?}");
        let output = home.jr(&["stop", selector]);
        assert_eq!(code(&output), 3, "{selector}: {output:?}");
        assert!(text(&output.stderr).contains("have ended"), "{selector}: {output:?}");
    }
    let output = home.jr(&["run", "--after", "k1:failed", "true"]);
    assert_eq!(code(&output), 3, "{output:?}");
    assert!(text(&output.stderr).contains("k1:any"), "{output:?}");
    let output = home.jr(&["events", "--kind", "zzz"]);
    assert_eq!((code(&output), text(&output.stderr).contains("jr events --help")), (2, true));
    let output = home.jr(&["logs", "k1", "--attempt", "9"]);
    assert_eq!((code(&output), text(&output.stderr).contains("attempt 9")), (3, true));
}

#[test]
fn what_a_rerun_has_mended_is_not_done_again() {
    let home = Home::new();
    let good = home.root().join("good");
    let good = good.to_str().expect("text");
    home.jr(&["run", "--name", "x", "--", "test", "-e", good]);
    for _ in 0..2 {
        assert_eq!(code(&home.jr(&["rerun", "--failed", "state:failed", "--wait"])), 1);
    }
    assert_eq!(home.items(&["history", "--name", "x"]).len(), 3, "one copy each time");
    std::fs::write(good, "").expect("written");
    assert_eq!(code(&home.jr(&["rerun", "--failed", "state:failed", "--wait"])), 0);
    assert_eq!(code(&home.jr(&["rerun", "--failed", "state:failed"])), 4, "it is mended");
}

#[test]
fn without_a_daemon_what_may_have_ended_is_told_as_that() {
    let home = Home::new();
    let run = home.detach(&["--name", "x", "--", "sh", "-c", "echo a; sleep 0.5; echo b; exit 3"]);
    home.until_state(&run, "running");
    let daemons = home.daemons();
    for daemon in &daemons {
        let pid = rustix::process::Pid::from_raw(*daemon).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    }
    let followed = home.jr(&["logs", "-f", &run]);
    assert_eq!((code(&followed), text(&followed.stdout)), (0, "a\nb".to_owned()), "{followed:?}");
    assert!(text(&followed.stderr).contains("jr resume"), "{followed:?}");
    for words in [&["ps"][..], &["history"], &["why", &run], &["show", &run]] {
        assert!(text(&home.jr(words).stderr).contains("no daemon runs"), "{words:?}");
        let quiet = home.jr(&[&["-q"], words].concat());
        assert_eq!(text(&quiet.stderr), "", "{words:?}");
    }
    let attached = home.jr(&["attach", &run]);
    assert_eq!((code(&attached), text(&attached.stderr).contains("has ended")), (3, true));
    home.ok(&["resume"]);
    assert_eq!(home.show(&run)["exit_code"], 3);
    assert_eq!(text(&home.jr(&["ps"]).stderr), "");
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
