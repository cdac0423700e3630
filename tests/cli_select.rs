//! How people name runs and moments.

#[path = "support/home.rs"]
mod home;

use home::{Home, code, document, text, until};

fn names(home: &Home, words: &[&str]) -> Vec<String> {
    let items = home.items(words);
    items.iter().map(|run| run["name"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn one_run_is_named_by_id_prefix_name_or_age() {
    let home = Home::new();
    let mut ids = Vec::new();
    for name in ["api-1", "api-2", "last", "all"] {
        ids.push(home.detach(&["--name", name, "true"]));
        home.ok(&["wait", ids.last().expect("one")]);
    }
    let shown = |selector: &str| home.show(selector)["run_id"].as_str().map(str::to_owned);
    for (selector, place) in [
        (ids[1].as_str(), 1),
        (&ids[1][..8], 1),
        ("api-2", 1),
        ("name:last", 2),
        ("name:all", 3),
        ("last", 3),
        ("@-0", 3),
        ("@-1", 2),
        ("@-3", 0),
        ("*-2", 1),
    ] {
        assert_eq!(shown(selector), Some(ids[place].clone()), "{selector}");
    }
    let newer = home.detach(&["--name", "api-1", "true"]);
    assert_eq!(shown("api-1"), Some(newer), "a name means its newest run");
}

#[test]
fn what_could_mean_several_names_the_candidates() {
    let home = Home::new();
    // 33 ids have 32 first characters: two begin alike.
    let input = "true\n".repeat(33);
    assert_eq!(code(&home.jr_with_input(&["batch", "-"], input.as_bytes())), 0);
    let mut ids: Vec<String> = home
        .items(&["history"])
        .iter()
        .map(|run| run["run_id"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort();
    let pair = ids.windows(2).find(|pair| pair[0][..1] == pair[1][..1]).expect("a pair");
    for command in ["show", "wait", "stop", "logs"] {
        let output = home.jr(&[command, &pair[0][..1]]);
        assert_eq!(code(&output), 2, "{command} {output:?}");
        let words = text(&output.stderr);
        assert!(pair.iter().all(|id| words.contains(id.as_str())), "{words}");
    }
    assert_eq!(code(&home.jr(&["show", "t*"])), 2, "a glob where one is needed");
    assert_eq!(code(&home.jr(&["show", "zzz*"])), 3);
}

#[test]
fn globs_and_all_mean_what_lives_where_something_is_done() {
    let home = Home::new();
    home.ok(&["queue", "set", "default", "-j", "10"]);
    home.ok(&["run", "--name", "api-0", "true"]);
    for name in ["api-1", "api-2", "web"] {
        let id = home.detach(&["--name", name, "--label", &format!("name={name}"), "sleep", "60"]);
        home.pid_of(&id);
    }
    let stopped = |selector: &str| {
        let mut names = names(&home, &["stop", selector]);
        names.sort();
        names
    };
    assert_eq!(stopped("label:name=api-1"), ["api-1"]);
    assert_eq!(stopped("api-*"), ["api-2"], "not what has ended");
    assert_eq!(stopped("all"), ["web"]);
    assert_eq!(code(&home.jr(&["stop", "all"])), 3, "nothing lives");
    assert_eq!(code(&home.jr(&["stop", "web"])), 0, "to stop what has ended changes nothing");
    assert_eq!(code(&home.jr(&["signal", "TERM", "web"])), 3, "it does not run");
    assert_eq!(names(&home, &["logs", "all"]).len(), 4, "logs mean everything");
    assert_eq!(names(&home, &["logs", "state:stopped"]).len(), 3);
    assert_eq!(code(&home.jr(&["logs", "state:nonsense"])), 2);
}

#[test]
fn history_is_filtered_by_what_is_asked() {
    let home = Home::new();
    home.ok(&["run", "--name", "good", "--label", "team=a", "true"]);
    home.jr(&["run", "--name", "bad", "--label", "team=b", "sh", "-c", "exit 3"]);
    home.jr(&["run", "--name", "killed", "sh", "-c", "kill -9 $$"]);
    home.jr_with_input(&["batch", "--name", "many"], b"true\n");
    for (words, expected) in [
        (&["-n", "2"][..], &["true", "many"][..]),
        (&["--failed"], &["killed", "bad"]),
        (&["--ok", "--kind", "job"], &["true", "good"]),
        (&["--outcome", "signalled"], &["killed"]),
        (&["--name", "good"], &["good"]),
        (&["--kind", "batch"], &["many"]),
        (&["--label", "team=b"], &["bad"]),
        (&["k*"], &["killed"]),
        (&["exit 3"], &["bad"]),
        (&["--since", "-1h", "--name", "bad"], &["bad"]),
        (&["--until", "-1h"], &[]),
        (&["--since", "@4102444800"], &[]),
        (&["--today", "--name", "good"], &["good"]),
        (&["--parent", "many"], &["true"]),
    ] {
        assert_eq!(names(&home, &[&["history"], words].concat()), expected, "{words:?}");
    }
    let slowest = home.items(&["history", "--slowest"]);
    let durations = slowest.iter().map(|run| run["duration_ms"].as_i64());
    assert!(durations.rev().is_sorted(), "{slowest:?}");
    let seqs = home.items(&["history"]);
    assert!(seqs.iter().map(|run| run["first_seq"].as_u64()).rev().is_sorted());
}

#[test]
fn ps_and_history_show_any_moment_of_the_log() {
    let home = Home::new();
    let first = home.detach(&["--name", "first", "sleep", "60"]);
    home.pid_of(&first);
    let second = home.detach(&["--name", "second", "true"]);
    home.ok(&["wait", &second]);
    home.ok(&["stop", "first"]);
    let events = home.events(&["--from", "1"]);
    let of = |kind: &str, run: &str| {
        let event = events.iter().find(|event| event["kind"] == kind && event["run_id"] == run);
        event.unwrap_or_else(|| panic!("no {kind}")).clone()
    };
    let at =
        |seq: &serde_json::Value, command: &str| names(&home, &[command, "--at", &seq.to_string()]);
    let admitted = of("run_admitted", &second);
    assert_eq!(at(&admitted["seq"], "ps"), ["second", "first"]);
    assert_eq!(at(&of("run_ended", &second)["seq"], "ps"), ["first"]);
    assert_eq!(at(&of("run_admitted", &first)["seq"], "history"), ["first"]);
    assert_eq!(names(&home, &["ps"]), Vec::<String>::new());
    assert_eq!(names(&home, &["ps", "--at", "-1h"]), Vec::<String>::new());
    let time = of("run_ended", &first)["time"].as_str().expect("a time").to_owned();
    assert_eq!(names(&home, &["history", "--at", &time]).len(), 2);
    // The daemon's answer and that of the files are the same.
    let words = ["--json", "ps", "--at", &admitted["seq"].to_string()];
    let with_daemon = document(&home.jr(&words));
    home.without_daemon();
    assert_eq!(document(&home.jr(&words)), with_daemon);
}

#[test]
fn ps_shows_what_lives_and_with_a_what_ended() {
    let home = Home::new();
    home.ok(&["run", "--name", "over", "true"]);
    let id = home.detach(&["--name", "up", "sleep", "60"]);
    home.pid_of(&id);
    assert_eq!(names(&home, &["ps"]), ["up"]);
    assert_eq!(names(&home, &["ps", "-a"]), ["up", "over"]);
    assert_eq!(names(&home, &["ps", "-a", "-n", "1"]), ["up"]);
}

#[test]
fn logs_are_cut_followed_and_told_apart_as_asked() {
    let home = Home::new();
    home.ok(&["run", "--name", "a", "sh", "-c", "seq 1 5; echo err >&2"]);
    home.ok(&["run", "--name", "b", "echo", "of b"]);
    assert_eq!(home.ok(&["logs", "a", "--stdout", "-n", "2"]), "4\n5");
    assert_eq!(home.ok(&["logs", "a", "--stderr"]), "err");
    let both = home.ok(&["logs", "a", "b"]);
    assert!(both.contains("a │ 1\n") && both.contains("b │ of b"), "{both}");
    let timed = home.ok(&["logs", "b", "-t"]);
    assert!(timed.starts_with("20") && timed.ends_with(" of b"), "{timed}");
    assert_eq!(home.ok(&["logs", "b", "--since", "@4102444800"]), "");
    let script = "echo one; read line; echo two";
    let mut client = home.spawn(&["run", "--name", "c", "sh", "-c", script]);
    until("its first line", || match text(&home.jr(&["logs", "c"]).stdout) {
        line if line == "one" => Ok(()),
        other => Err(other),
    });
    let follower = home.spawn(&["logs", "-f", "c"]);
    drop(client.child().stdin.take());
    assert_eq!(text(&follower.output().stdout), "one\ntwo", "to the end of the run");
}

#[test]
fn a_tree_shows_what_came_from_what() {
    let home = Home::new();
    let lines = "true\nfalse\n".repeat(15);
    assert_eq!(code(&home.jr_with_input(&["batch", "--name", "first"], lines.as_bytes())), 1);
    assert_eq!(code(&home.jr(&["batch", "--continue", "--failed", "--name", "again"])), 1);
    home.ok(&["run", "--name", "alone", "true"]);
    let tree = home.ok(&["history", "--tree", "-n", "1", "first"]);
    // Behind the id and a gap.
    let names: Vec<&str> = tree.lines().skip(1).map(|line| &line[14..]).collect();
    assert_eq!(names.len(), 1 + 20 + 1 + 15, "twenty lines, the batch that goes on, its lines");
    for (place, name) in [
        (0, "first "),
        (1, "|- true "),
        (2, "|- false "),
        (21, "`- again "),
        (22, "   |- false "),
        (36, "   `- false "),
    ] {
        assert!(names[place].starts_with(name), "{name}: {tree}");
    }
    let items = home.items(&["history", "--tree", "-n", "1", "--name", "again"]);
    assert_eq!((&items[0]["name"], items.len()), (&"first".into(), 37), "from its first parent on");
    let alone = home.ok(&["history", "--tree", "alone"]);
    assert_eq!(alone.lines().count(), 2);
    let show = home.json(&["show", "first"]);
    let count = |key: &str| show[key].as_array().map(Vec::len);
    let counts = [count("lines"), count("continuations"), count("reruns")];
    assert_eq!(counts, [Some(30), Some(1), Some(0)]);
    let again = show["continuations"][0].as_str().expect("an id");
    assert!(home.ok(&["show", "first"]).contains(&format!("30 lines, 1 continuation {again}")));
    assert_eq!(home.show("again")["parent"], show["run_id"]);
}
