//! The daemon is killed with SIGKILL again and again while people submit work: every run that
//! was acknowledged ends exactly once, with its own exit code and its own output.
//!
//! `JR_CRASH_RUNS` and `JR_CRASH_KILLS` raise the numbers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

#[path = "support/home.rs"]
mod home;

use home::{Home, text, until_so};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// xorshift64*, so that a failure can be looked at again with the same moments.
fn chance(seed: &mut u64) -> u64 {
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    seed.wrapping_mul(0x2545_F491_4F6C_DD1D)
}

fn items(output: &Output) -> Vec<serde_json::Value> {
    let document: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {} {}", text(&output.stdout), text(&output.stderr))
        });
    document["items"].as_array().expect("items").clone()
}

#[test]
fn no_kill_of_the_daemon_loses_or_invents_an_end() {
    let (runs, kills) = (number("JR_CRASH_RUNS", 150), number("JR_CRASH_KILLS", 12));
    let home = Home::new();
    let mut seed = 0x5EED_0001;
    let mut acknowledged = BTreeMap::new();
    let mut killed = 0;
    for run in 0..runs {
        let code = run % 200;
        let script = format!("echo out-{run}; exit {code}");
        let output = home.jr(&["run", "-d", "--", "sh", "-c", &script]);
        if output.status.success() {
            acknowledged.insert(text(&output.stdout), (code, format!("out-{run}\n")));
        }
        if killed < kills && chance(&mut seed) % runs < kills * 2 {
            // Some time after the acknowledgement, at no particular moment of what follows it.
            std::thread::sleep(Duration::from_micros(chance(&mut seed) % 8_000));
            killed += u64::try_from(home.kill_daemon()).expect("few");
        }
    }
    assert!(killed > 0, "no daemon was killed");
    assert!(acknowledged.len() as u64 >= runs - kills, "too few were acknowledged");
    let ids: Vec<&str> = acknowledged.keys().map(String::as_str).collect();
    for some in ids.chunks(50) {
        let waited = home.jr(&[&["wait", "--timeout", "120"], some].concat());
        assert!(waited.status.code().is_some_and(|code| code < 2), "{}", text(&waited.stderr));
    }
    let history = items(&home.jr(&["history", "--json"]));
    for (id, (code, printed)) in &acknowledged {
        let mine: Vec<_> = history.iter().filter(|run| run["run_id"] == *id.as_str()).collect();
        assert_eq!(mine.len(), 1, "run {id} is there once");
        assert_eq!(mine[0]["state"], "ended", "{}", mine[0]);
        assert_eq!(mine[0]["exit_code"], *code, "{}", mine[0]);
        assert_eq!(String::from_utf8_lossy(&home.jr(&["logs", id]).stdout), *printed, "run {id}");
    }
    one_end_each(&home);
    let verified = home.jr(&["log", "verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
}

/// From the raw events, apart from any projection: one end an attempt, one end a run.
fn one_end_each(home: &Home) {
    let events = home.jr(&["events", "--json", "--from", "1"]);
    let mut ends: BTreeMap<(String, u64), u32> = BTreeMap::new();
    for line in events.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let event: serde_json::Value = serde_json::from_slice(line).expect("a line of JSON");
        let run = event["run_id"].as_str().unwrap_or_default().to_owned();
        match event["kind"].as_str() {
            Some("attempt_ended") => {
                let attempt = event["attempt"].as_u64().expect("a number");
                *ends.entry((run, attempt)).or_default() += 1;
            }
            Some("run_ended") => *ends.entry((run, 0)).or_default() += 1,
            _ => {}
        }
    }
    assert!(!ends.is_empty());
    assert!(ends.values().all(|count| *count == 1), "{ends:?}");
}

/// Adds one line to a file per execution, so that a second one would be seen.
fn lines_of(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn every_line_of_a_batch_runs_once_however_often_the_daemon_dies() {
    let lines = number("JR_CRASH_RUNS", 150);
    let home = Home::new();
    let done: PathBuf = home.path().join("done");
    let script: Vec<String> = (0..lines)
        .map(|line| format!("echo line-{line:05} >> {}; test {} -ne 3", done.display(), line % 10))
        .collect();
    let file = home.path().join("lines");
    std::fs::write(&file, script.join("\n")).expect("written");
    let mut client = home.command(&["batch", "-j", "4", file.to_str().expect("UTF-8")]);
    let mut client = client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("jr starts");
    until_so("the batch to be admitted", || {
        !items(&home.jr(&["history", "--json", "--kind", "batch"])).is_empty()
    });
    let mut seed = 0x5EED_0002;
    for _ in 0..number("JR_CRASH_KILLS", 12) / 2 {
        std::thread::sleep(Duration::from_millis(20 + chance(&mut seed) % 60));
        home.kill_daemon();
        // Anybody who asks starts the next one.
        home.jr(&["daemon", "start"]);
    }
    let _status = client.wait().expect("the client ends");
    let waited = home.jr(&["wait", "last", "--timeout", "120"]);
    let batch = &items(&home.jr(&["history", "--json", "--kind", "batch"]))[0];
    assert_eq!(batch["state"], "ended", "{batch} {}", text(&waited.stderr));
    let expected: Vec<String> = (0..lines).map(|line| format!("line-{line:05}")).collect();
    assert_eq!(lines_of(&done), expected, "each line ran once");
    let history = items(&home.jr(&["history", "--json", "--kind", "job"]));
    assert_eq!(history.len() as u64, lines);
    let failed = history.iter().filter(|run| run["outcome"] == "failed").count();
    assert_eq!(failed as u64, lines.div_ceil(10));
    one_end_each(&home);
    assert!(home.jr(&["log", "verify"]).status.success());
}
