//! `--at`: what every reading command prints of a moment is what it printed then.

#[path = "support/home.rs"]
mod home;

use std::process::Output;

use home::{Home, code, text, until};
use serde_json::Value;

/// What commands printed at a place of the log.
struct Moment {
    seq: u64,
    told: Vec<(Vec<String>, Output)>,
}

fn head(home: &Home) -> u64 {
    home.json(&["log", "stat"])["seq"].as_u64().expect("a place")
}

/// Asks everything while nothing happens, after an event of its own that comes after all output.
fn record(home: &Home, runs: &[&str]) -> Moment {
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["ps"],
        vec!["ps", "-a"],
        vec!["history"],
        vec!["history", "--tree"],
        vec!["history", "--failed"],
        vec!["stats"],
        vec!["queue", "list"],
        vec!["pin"],
        vec!["events"],
    ];
    for run in runs {
        commands.extend(["show", "why", "repro"].map(|word| vec![word, run]));
    }
    for words in &mut commands {
        words.insert(0, "--json");
    }
    commands.extend(runs.iter().map(|run| vec!["logs", run]));
    commands.push(vec!["logs", "-t"]);
    let mut slots = 100;
    until("a moment in which nothing happens", || {
        slots += 1;
        home.ok(&["queue", "set", "tick", "-j", &slots.to_string()]);
        let seq = head(home);
        let told: Vec<_> = commands.iter().map(|words| (owned(words), home.jr(words))).collect();
        // What was printed just now is seen by the shim a little later.
        let is_seen = runs.iter().all(|run| {
            let then = home.jr(&["logs", run, "--at", &seq.to_string()]);
            then.stdout == home.jr(&["logs", run]).stdout
        });
        if head(home) == seq && is_seen { Ok(Moment { seq, told }) } else { Err(seq.to_string()) }
    })
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The same commands of that moment, asked later.
fn check(home: &Home, moment: &Moment) {
    let at = moment.seq.to_string();
    for (words, then) in &moment.told {
        let words: Vec<&str> = words.iter().map(String::as_str).chain(["--at", &at]).collect();
        let now = home.jr(&words);
        assert_eq!(code(&now), code(then), "jr {words:?}: {}", text(&now.stderr));
        assert_eq!(without_ages(&now), without_ages(then), "jr {words:?}");
    }
}

/// How long what lives has lived, and waits yet, is measured against the record there.
fn without_ages(output: &Output) -> String {
    let Ok(mut document) = serde_json::from_slice::<Value>(&output.stdout) else {
        return text(&output.stdout);
    };
    hide(&mut document);
    serde_json::to_string_pretty(&document).expect("is JSON")
}

fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("ended_at").is_some_and(Value::is_null) {
                fields.remove("duration_ms");
            }
            if fields.get("code").is_some_and(|code| code == "retry") {
                fields.remove("message");
            }
            fields.values_mut().for_each(hide);
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_command_tells_of_a_moment_what_it_told_then() {
    let home = Home::new();
    let mut moments = Vec::new();
    home.ok(&["queue", "set", "one", "-j", "1"]);
    home.ok(&["run", "--name", "built", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(
        code(&home.jr(&["run", "--name", "broken", "--", "sh", "-c", "echo bad; exit 4"])),
        4
    );
    assert_eq!(code(&home.jr(&["run", "--name", "absent", "--", "/no/such/program"])), 127);
    moments.push(record(&home, &["built", "broken", "absent"]));

    let go = home.path().join("go");
    let script =
        format!("echo first; until [ -e {} ]; do sleep 0.02; done; echo second", go.display());
    home.detach(&[
        "--name", "talks", "--queue", "one", "--label", "a=b", "--", "sh", "-c", &script,
    ]);
    home.detach(&["--name", "waits", "--queue", "one", "true"]);
    home.detach(&["--name", "later", "--after", "talks", "true"]);
    home.detach(&["--name", "held", "sleep", "300"]);
    let retry = ["--name", "again", "--retries", "3", "--backoff", "1h", "--", "sh", "-c"];
    home.detach(&[&retry[..], &["echo attempt; exit 1"]].concat());
    home.pid_of("talks");
    home.pid_of("held");
    home.until_state("again", "delayed");
    home.ok(&["pause", "held"]);
    home.until_state("held", "paused");
    home.ok(&["pin", "built"]);
    let living = ["talks", "waits", "later", "held", "again"];
    moments.push(record(&home, &living));

    home.ok(&["queue", "pause", "one"]);
    home.ok(&["stop", "again"]);
    home.ok(&["resume", "held"]);
    std::fs::write(&go, "").expect("writes");
    home.ok(&["wait", "talks", "later"]);
    home.pid_of("held");
    moments.push(record(&home, &living));

    home.ok(&["queue", "unpause", "one"]);
    home.ok(&["wait", "waits"]);
    assert_eq!(code(&home.jr_with_input(&["batch"], b"true\nfalse\necho line\n")), 1);
    home.ok(&["stop", "held"]);
    home.ok(&["unpin", "built"]);
    home.ok(&["run", "--name", "talks", "--", "echo", "another of that name"]);
    moments.push(record(&home, &["batch", "held", "talks", "@-1"]));
    home.ok(&["run", "--name", "built", "--", "echo", "another of that name"]);
    for moment in &moments {
        check(&home, moment);
    }
    let printed = home.ok(&["logs", "talks", "--at", &moments[1].seq.to_string()]);
    assert_eq!(printed, "first", "what came later had not been printed");
    home.without_daemon();
    for moment in &moments {
        check(&home, moment);
    }
    assert_eq!(home.daemons(), Vec::<i32>::new(), "reading starts no daemon");
}

#[test]
fn two_moments_are_compared() {
    let home = Home::new();
    home.ok(&["run", "--name", "old", "true"]);
    home.detach(&["--name", "up", "sleep", "300"]);
    home.pid_of("up");
    let from = head(&home).to_string();
    assert_eq!(code(&home.jr(&["diff", "--from", &from])), 0, "nothing happened since");
    home.ok(&["run", "--name", "new", "true"]);
    home.ok(&["stop", "up"]);
    home.ok(&["queue", "set", "slow", "-j", "1"]);
    let to = head(&home).to_string();
    home.ok(&["run", "--name", "newer", "true"]);
    for words in
        [&["diff", "--from", &from, "--to", &to][..], &["diff", "--from", &from, "--at", &to]]
    {
        let changes = home.json(words);
        assert_eq!((&changes["schema"], &changes["same"]), (&"jr.diff/1".into(), &false.into()));
        assert_eq!(changes["from"]["seq"].to_string(), from);
        let items = changes["items"].as_array().expect("a list");
        let names: Vec<_> = items.iter().map(|item| item["b"]["name"].as_str()).collect();
        assert_eq!(names, [Some("up"), Some("new")]);
        assert_eq!(
            (&items[0]["a"]["state"], &items[0]["b"]["outcome"]),
            (&"running".into(), &"stopped".into())
        );
        assert!(items[1]["a"].is_null());
        let queues = changes["queues"].as_array().expect("a list");
        let names: Vec<_> = queues.iter().map(|queue| queue["name"].as_str()).collect();
        assert_eq!(names, [Some("default"), Some("slow")]);
        assert_eq!(
            (&queues[0]["a"]["running"], &queues[0]["b"]["running"]),
            (&1.into(), &0.into())
        );
        assert!(queues[1]["a"].is_null());
    }
    let told = home.jr(&["diff", "--from", &from, "--to", &to]);
    assert_eq!(code(&told), 1);
    assert!(text(&told.stdout).contains("running") && text(&told.stdout).contains("stopped"));
    assert_eq!(code(&home.jr(&["diff", "--from", &to, "--to", &from])), 2);
    assert_eq!(code(&home.jr(&["diff", "--from", "99999"])), 2);
    assert_eq!(code(&home.jr(&["diff", "old", "new", "--from", "1"])), 2);
    assert_eq!(code(&home.jr(&["diff", "--to", "1"])), 2);
}

#[test]
fn a_moment_that_the_log_does_not_have_is_told() {
    let home = Home::new();
    home.ok(&["run", "--name", "x", "true"]);
    for words in [
        &["show", "x"][..],
        &["why", "x"],
        &["logs", "x"],
        &["repro", "x"],
        &["diff", "x", "x"],
        &["queue", "list"],
        &["events"],
        &["pin"],
    ] {
        let refused = home.json(&[words, &["--at", "99999"]].concat());
        assert_eq!(refused["error"]["code"], "beyond", "{words:?}");
    }
    // Before its admission there was no such run.
    assert_eq!(code(&home.jr(&["show", "x", "--at", "1"])), 3);
    assert_eq!(code(&home.jr(&["logs", "-f", "x", "--at", "1"])), 2);
    assert_eq!(code(&home.jr(&["events", "-f", "--at", "1"])), 2);
    assert_eq!(code(&home.jr(&["pin", "x", "--at", "1"])), 2);
}

#[test]
fn ages_are_those_of_the_moment_and_not_of_who_asks() {
    let home = Home::new();
    home.detach(&["--name", "up", "sleep", "300"]);
    home.pid_of("up");
    home.ok(&["queue", "set", "held", "-j", "1"]);
    home.ok(&["queue", "pause", "held"]);
    home.detach(&["--name", "waits", "--queue", "held", "true"]);
    let place = head(&home).to_string();
    let bundle = home.path().join("r.jrb");
    let bundle = bundle.to_str().expect("text");
    home.ok(&["debug-report", "--no-facts", "-o", bundle]);
    home.ok(&["stop", "up"]);
    let asks = [vec!["ps", "--at", &place], vec!["ps", "--bundle", bundle]];
    let told = |words: &Vec<&str>| home.ok(words);
    let first: Vec<String> = asks.iter().map(told).collect();
    assert!(first[0].contains("waits") && first[0].contains("up"), "{}", first[0]);
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    assert_eq!(asks.iter().map(told).collect::<Vec<_>>(), first);
    assert_eq!(first[0], first[1], "the moment is the same");
}

#[test]
fn a_difference_backwards_is_refused_and_before_the_log_there_is_no_time() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    let refused = home.jr(&["diff", "--from", "5", "--to", "3"]);
    let told = text(&refused.stderr);
    assert_eq!(code(&refused), 2);
    assert!(told.contains("seq 5 comes after seq 3"), "{told}");
    assert!(told.contains("jr diff --from 3 --to 5"), "{told}");
    let told = text(&home.jr(&["diff", "--from", "0", "--to", "2"]).stderr);
    assert!(told.contains("before the first record") && !told.contains("1970"), "{told}");
    let document = home.json(&["diff", "--from", "0", "--to", "2"]);
    assert!(document["from"]["time"].is_null(), "{document}");
    assert_eq!(document["queues"], serde_json::json!([]), "nobody set a queue");
}
