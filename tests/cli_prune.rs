//! `jr prune`, `jr pin` and `jr unpin`.

#[path = "support/home.rs"]
mod home;

use std::process::Stdio;

use home::{Client, Home, code, document, text, until, until_so};
use rustix::process::Signal;

/// Starts a daemon whose segments are so short, and waits until it serves.
fn daemon(home: &Home, events: &str) -> Client {
    let mut command = home.command(&["daemon", "run", "--segment-events", events]);
    let said = home.path().join("said");
    let file = std::fs::File::create(&said).expect("a file");
    command.stdout(Stdio::null()).stderr(file);
    let daemon = Client::new(command.spawn().expect("jr starts"));
    until("a daemon", || {
        let output = home.jr(&["daemon", "status"]);
        let said = || std::fs::read_to_string(&said).unwrap_or_default();
        if output.status.success() { Ok(()) } else { Err(format!("{output:?}, {}", said())) }
    });
    daemon
}

/// So many runs, one after the other, oldest first: a run that ends after the next one began would
/// stay with it.
fn runs(home: &Home, count: usize) -> Vec<String> {
    let run = |number| {
        let name = format!("r{number}");
        let output = home.jr(&["run", "--json", "--name", &name, "--", "sh", "-c", "echo hi"]);
        document(&output)["run_id"].as_str().expect("an id").to_owned()
    };
    (0..count).map(run).collect()
}

fn names(home: &Home) -> Vec<String> {
    let items = home.items(&["history"]);
    items.iter().map(|run| run["name"].as_str().expect("a name").to_owned()).collect()
}

fn outputs(home: &Home) -> usize {
    let directories = std::fs::read_dir(home.root().join("output")).expect("there");
    directories.flatten().flat_map(|each| std::fs::read_dir(each.path()).expect("there")).count()
}

fn blobs(home: &Home) -> usize {
    let directories = std::fs::read_dir(home.root().join("blobs")).expect("there");
    directories.flatten().flat_map(|each| std::fs::read_dir(each.path()).expect("there")).count()
}

#[test]
fn old_runs_go_and_what_is_kept_is_as_it_was() {
    let home = Home::new();
    let _daemon = daemon(&home, "20");
    let all = runs(&home, 12);
    let kept = [home.show(&all[11]), home.show(&all[10])];
    let before = home.json(&["log", "verify"]);
    let seen = home.json(&["prune", "--keep-runs", "2", "--dry-run"]);
    assert_eq!((&seen["schema"], &seen["runs"]), (&"jr.prune/1".into(), &10.into()), "{seen}");
    assert_eq!(home.json(&["log", "verify"]), before, "a dry run changes nothing");
    assert_eq!(home.items(&["history"]).len(), 12);
    let done = home.json(&["prune", "--keep-runs", "2"]);
    assert_eq!((&done["runs"], &done["dry_run"]), (&10.into(), &false.into()), "{done}");
    assert_eq!(names(&home), ["r11", "r10"]);
    assert_eq!([home.show(&all[11]), home.show(&all[10])], kept);
    assert_eq!(home.ok(&["logs", &all[11]]), "hi");
    assert_eq!(outputs(&home), 6, "two runs have three files each");
    for words in [&["show", &all[3]][..], &["logs", &all[3]], &["wait", &all[3]]] {
        let output = home.jr(words);
        assert_eq!(code(&output), 3, "{words:?}: {output:?}");
        assert!(text(&output.stderr).contains("may have been pruned"), "{output:?}");
    }
    let first = done["kept_from"].as_u64().expect("a place");
    let output = home.jr(&["ps", "--json", "--at", &(first - 1).to_string()]);
    assert_eq!((code(&output), &document(&output)["error"]["code"]), (2, &"pruned".into()));
    assert!(
        document(&output)["error"]["message"].as_str().expect("text").contains(&first.to_string())
    );
    assert_eq!(code(&home.jr(&["ps", "--at", &first.to_string()])), 0);
    assert_eq!(home.events(&[])[0]["seq"], first, "records begin with what is kept");
    let again = home.json(&["prune", "--keep-runs", "2"]);
    assert_eq!((&again["runs"], &again["events"]), (&0.into(), &0.into()), "{again}");
    home.without_daemon();
    let verified = home.json(&["log", "verify"]);
    assert_eq!((&verified["ok"], &verified["pages_checked"]), (&true.into(), &true.into()));
    assert!(verified["pruned"].as_u64() > Some(20), "{verified}");
    assert_eq!(names(&home), ["r11", "r10"], "the files alone tell the same");
    home.ok(&["log", "rebuild"]);
    assert_eq!(names(&home), ["r11", "r10"]);
}

/// Bytes of all files in some folders of the environment.
fn bytes_in(home: &Home, folders: &[&str]) -> u64 {
    fn of(path: &std::path::Path) -> u64 {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let size = |entry: std::fs::DirEntry| match entry.metadata() {
            Ok(data) if data.is_dir() => of(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        };
        entries.map(size).sum()
    }
    folders.iter().map(|folder| of(&home.root().join(folder))).sum()
}

/// Between a look and the prune the request is logged and the hot segment sealed: the database
/// may keep some pages more or less.
const PAGES: u64 = 3 * 4_096;

#[test]
fn a_dry_run_says_by_how_much_the_disk_will_have_more() {
    let home = Home::new();
    let counted = ["log", "output", "blobs"];
    for (events, keep) in [("200", "5"), ("40", "20"), ("1000000", "3")] {
        let mut daemon = daemon(&home, events);
        for number in 0..30 {
            let mut command = home.command(&["run", "--", "head", "-c", "60000", "/dev/zero"]);
            command.env("SOME", format!("{events} {number}"));
            assert!(command.output().expect("jr starts").status.success());
        }
        let prune = ["prune", "--keep-runs", keep];
        let dry = [&prune[..], &["--dry-run"]].concat();
        let foreseen = home.json(&dry);
        let before = bytes_in(&home, &counted);
        let done = home.json(&prune);
        let after = bytes_in(&home, &counted);
        for key in ["runs", "events", "kept_from"] {
            // What is about no run goes with the rest.
            assert_eq!(foreseen[key], done[key], "{key}: {foreseen} {done}");
        }
        let bytes = |document: &serde_json::Value| document["bytes"].as_u64().expect("a number");
        let (said, freed) = (bytes(&foreseen), bytes(&done));
        assert!(freed > 60_000, "{done}");
        assert!(said.abs_diff(freed) <= PAGES, "{foreseen} {done}");
        assert!((before - after).abs_diff(freed) <= PAGES, "{before} {after} {done}");
        let again = home.json(&dry);
        assert_eq!((&again["runs"], &again["bytes"]), (&0.into(), &0.into()), "{again}");
        home.ok(&["daemon", "stop"]);
        drop(daemon.child().wait());
        assert_eq!(home.json(&dry)["bytes"], 0, "by the files alone");
    }
}

#[test]
fn a_prune_says_what_it_needs_and_a_dry_run_starts_no_daemon() {
    let home = Home::new();
    let output = home.jr(&["prune"]);
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("--keep-days"), "{output:?}");
    assert_eq!(code(&home.jr(&["prune", "--keep-days", "1"])), 0, "there is nothing yet");
    assert!(!home.root().exists());
    runs(&home, 3);
    home.without_daemon();
    let output = home.ok(&["prune", "--keep-runs", "1", "--dry-run"]);
    assert!(output.starts_with("would remove 2 runs"), "{output}");
    assert_eq!(home.daemons(), [] as [i32; 0]);
    let seen = home.json(&["prune", "--keep-days", "1", "--dry-run"]);
    assert_eq!(seen["runs"], 0, "all of it is of today");
    let seen = home.json(&["prune", "--keep-days", "1", "--keep-runs", "1", "--dry-run"]);
    assert_eq!(seen["runs"], 0, "what either keeps stays");
}

#[test]
fn what_lives_is_pinned_or_is_referred_to_stays() {
    let home = Home::new();
    let _daemon = daemon(&home, "20");
    let batch = home.jr_with_input(&["batch", "--json", "--name", "old"], b"true\nfalse\n");
    assert_eq!(code(&batch), 1);
    let pinned = home.detach(&["--name", "pinned", "--", "true"]);
    let other = home.detach(&["--name", "other", "--", "true"]);
    let living = home.detach(&["--name", "living", "--", "sleep", "60"]);
    assert_eq!(code(&home.jr(&["wait", &pinned, &other])), 0);
    home.until_state("living", "running");
    let file = home.path().join("lines");
    std::fs::write(&file, "sleep 61\n").expect("written");
    // The batch that continues it lives, and names it.
    let _client = home.spawn(&["batch", "--continue", "old", "--failed"]);
    until_so("the continuation", || home.items(&["ps"]).len() >= 2 || names(&home).len() > 7);
    home.ok(&["pin", "pinned"]);
    assert_eq!(home.items(&["pin"])[0]["name"], "pinned");
    home.json(&["prune", "--keep-runs", "0"]);
    let left = names(&home);
    for name in ["pinned", "living"] {
        assert!(left.contains(&name.to_owned()), "{left:?}");
    }
    assert!(!left.contains(&"other".to_owned()), "{left:?}");
    assert_eq!(home.show(&pinned)["timeline"].as_array().map(Vec::len), Some(5));
    home.ok(&["stop", "living"]);
    assert_eq!(home.show(&living)["outcome"], "stopped");
    home.ok(&["unpin", "pinned"]);
    assert_eq!(home.items(&["pin"]).len(), 0);
    home.json(&["prune", "--keep-runs", "0"]);
    assert!(!names(&home).contains(&"pinned".to_owned()));
    assert_eq!(code(&home.jr(&["pin", "pinned"])), 3);
}

#[test]
fn a_pruned_key_is_free_and_a_pruned_batch_is_not_continued() {
    let home = Home::new();
    let _daemon = daemon(&home, "20");
    let first = home.detach(&["--key", "k", "--", "true"]);
    assert_eq!(home.detach(&["--key", "k", "--", "true"]), first);
    home.jr_with_input(&["batch", "--name", "old"], b"false\n");
    assert_eq!(code(&home.jr(&["wait", &first])), 0);
    home.ok(&["prune", "--keep-runs", "0"]);
    let second = home.detach(&["--key", "k", "--", "false"]);
    assert_ne!(second, first);
    let output = home.jr(&["batch", "--continue", "old", "--failed"]);
    assert_eq!(code(&output), 3, "{output:?}");
}

#[test]
fn blobs_that_nothing_names_go() {
    let home = Home::new();
    let _daemon = daemon(&home, "20");
    for number in 0..4 {
        let mut command = home.command(&["run", "--", "true"]);
        command.env("SOME", number.to_string());
        assert!(command.output().expect("jr starts").status.success());
    }
    assert_eq!(blobs(&home), 4);
    home.ok(&["prune", "--keep-runs", "1"]);
    assert_eq!(blobs(&home), 1);
    assert_eq!(home.show("last")["variables"]["SOME"], "3");
}

/// `kill -9` in the middle of a prune, at any place: the next daemon goes on.
#[test]
fn a_daemon_that_dies_in_the_middle_is_followed_by_one_that_goes_on() {
    let home = Home::new();
    let mut daemons = vec![daemon(&home, "20")];
    for round in 0..6_u64 {
        let all = runs(&home, 6);
        let client = home.spawn(&["prune", "--keep-runs", "1"]);
        // A little later each time.
        let asked = || home.events(&["--kind", "prune_requested"]).len() as u64;
        if round > 0 {
            until_so("the request", || asked() > 0);
        }
        for _ in 0..round * 2 {
            std::fs::read_dir(home.root().join("log")).expect("there").count();
        }
        for daemon in &mut daemons {
            daemon.signal(Signal::KILL);
        }
        home.kill_daemon();
        drop((client, daemons.pop()));
        daemons.push(daemon(&home, "20"));
        // The one that was under way ends first.
        until_so("the prune", || home.jr(&["prune", "--keep-runs", "1"]).status.success());
        assert_eq!(names(&home), ["r5"], "round {round}");
        assert_eq!(home.show("last")["run_id"].as_str(), all.last().map(String::as_str));
        assert_eq!(home.json(&["log", "verify"])["ok"], true);
        let left: Vec<_> = std::fs::read_dir(home.root().join("log"))
            .expect("there")
            .flatten()
            .map(|entry| entry.file_name())
            .filter(|name| name.to_string_lossy().ends_with(".tmp"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
