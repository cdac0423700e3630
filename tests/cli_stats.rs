//! `jr stats`: how the runs of each name did, now and at any place of the log.

#[path = "support/home.rs"]
mod home;

use home::{Home, code, text};

#[test]
fn each_name_has_its_figures_and_they_need_no_daemon() {
    let home = Home::new();
    assert_eq!(home.items(&["-e", "nowhere", "stats"]).len(), 0);
    assert_eq!(std::fs::read_dir(home.path()).expect("the home").count(), 0, "not one file");
    for name in ["build", "build", "test"] {
        home.ok(&["run", "--name", name, "--label", "team=a", "true"]);
    }
    assert_eq!(code(&home.jr(&["run", "--name", "build", "--label", "team=b", "false"])), 1);
    let up = home.detach(&["--name", "up", "sleep", "60"]);
    home.pid_of(&up);
    let before = home.events(&[]).len().to_string();
    home.ok(&["stop", "up"]);
    home.without_daemon();
    let names = |words: &[&str]| {
        let items = home.items(&[&["stats"], words].concat());
        items.iter().map(|item| item["name"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["up", "build", "test"], "the last end first");
    assert_eq!(names(&["-n", "1"]), ["up"]);
    assert_eq!(names(&["b*"]), ["build"]);
    assert_eq!(names(&["es"]), ["test"]);
    assert_eq!(names(&["--name", "bui"]), Vec::<String>::new());
    assert_eq!(names(&["--label", "team=b"]), ["build"]);
    assert_eq!(names(&["--kind", "batch"]), Vec::<String>::new());
    assert_eq!(names(&["--until", "-1h"]), Vec::<String>::new());
    assert_eq!(names(&["--since", "-1h"]).len(), 3);
    let document = home.json(&["stats"]);
    assert_eq!(document["schema"], "jr.stats/1");
    let build = &document["items"][1];
    for (key, value) in [("runs", 3), ("succeeded", 2), ("failed", 1), ("stopped", 0), ("live", 0)]
    {
        assert_eq!(build[key], value, "{build}");
    }
    assert_eq!(build["failure_percent"], 33.3);
    assert_eq!(build["last_outcome"], "failed");
    assert_eq!(build["last_run_id"], home.show("build")["run_id"]);
    assert_eq!(build["last_durations_ms"].as_array().map(Vec::len), Some(3));
    assert!(build["trend_percent"].is_null(), "three are too few");
    assert_eq!(document["items"][0]["stopped"], 1);
    assert!(document["items"][0]["failure_percent"].is_null());
    let then = home.items(&["stats", "--name", "up", "--at", &before]);
    assert_eq!((&then[0]["live"], &then[0]["runs"]), (&1.into(), &0.into()));
    assert_eq!(code(&home.jr(&["stats", "--at", "99999"])), 2);
    assert_eq!(home.daemons(), Vec::<i32>::new(), "reading starts no daemon");
}

#[test]
fn bars_are_plain_where_the_locale_is() {
    let home = Home::new();
    home.ok(&["run", "--name", "x", "sleep", "0.01"]);
    let bars = |locale: &str, words: &[&str]| {
        let mut command = home.command(&[&["stats"], words].concat());
        let output = command.env("LC_ALL", locale).output().expect("jr starts");
        let text = text(&output.stdout);
        text.chars().last().expect("a bar")
    };
    assert_eq!(bars("C", &[]), '#');
    assert_eq!(bars("C.UTF-8", &[]), '█');
    assert_eq!(bars("C.UTF-8", &["--ascii"]), '#');
    assert!(home.ok(&["stats"]).starts_with("NAME  RUNS"));
    assert_eq!(home.ok(&["stats", "-q"]), "x");
}
