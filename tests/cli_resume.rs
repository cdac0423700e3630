//! `jr resume` without runs: after each fault, what was left is dealt with, told, and once only.

#[path = "support/home.rs"]
mod home;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use home::{Home, code, kill, lives, text, until_so};
use rustix::process::Signal;
use serde_json::Value;

/// Names and decisions.
fn decisions(document: &Value) -> BTreeMap<String, String> {
    let items = document["items"].as_array().unwrap_or_else(|| panic!("{document}"));
    let word = |item: &Value, key: &str| item[key].as_str().expect("text").to_owned();
    items.iter().map(|item| (word(item, "name"), word(item, "decision"))).collect()
}

/// Names, decisions and reasons.
fn reasons(document: &Value) -> Vec<[Value; 3]> {
    let items = document["items"].as_array().unwrap_or_else(|| panic!("{document}"));
    let words = |item: &Value| ["name", "decision", "reason"].map(|key| item[key].clone());
    items.iter().map(words).collect()
}

fn expected(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, word)| ((*name).to_owned(), (*word).to_owned())).collect()
}

fn parent_of(pid: i32) -> i32 {
    let stat = String::from_utf8_lossy(&home::proc_file(pid, "stat")).into_owned();
    let rest = stat.rsplit_once(") ").expect("stat").1.to_owned();
    rest.split(' ').nth(1).and_then(|pid| pid.parse().ok()).expect("a parent")
}

/// A signal takes its time to be acted on.
fn kill_for_good(pid: i32) {
    kill(pid, Signal::KILL);
    until_so("it to be dead", || !lives(pid));
}

/// Each file with its bytes.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("reads").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap_or_default();
            found.insert(path.display().to_string(), bytes);
        }
    }
    found
}

#[test]
fn after_the_death_of_daemon_and_shims_each_run_is_decided_once() {
    let home = Home::new();
    home.ok(&["queue", "set", "default", "-j", "10"]);
    let go = home.path().join("go");
    let waits = format!("until [ -e {} ]; do sleep 0.02; done; exit 7", go.display());
    home.detach(&["--name", "live", "sleep", "300"]);
    home.detach(&["--name", "ends", "--", "sh", "-c", &waits]);
    for policy in ["fail", "requeue", "ask"] {
        home.detach(&["--name", policy, "--on-interrupt", policy, "sleep", "300"]);
    }
    home.detach(&["--name", "held", "sleep", "300"]);
    home.pid_of("held");
    home.ok(&["pause", "held"]);
    let pids: BTreeMap<&str, i32> =
        ["live", "ends", "fail", "requeue", "ask"].map(|name| (name, home.pid_of(name))).into();
    let ends_shim = parent_of(pids["ends"]);
    home.without_daemon();
    for name in ["fail", "requeue", "ask"] {
        kill_for_good(parent_of(pids[name]));
    }
    std::fs::write(&go, "").expect("writes");
    until_so("the exit record", || !lives(pids["ends"]));
    until_so("its shim to be idle", || lives(ends_shim) && home::state_of(ends_shim) == Some('S'));

    let before = files(&home.root());
    let all = expected(&[
        ("live", "adopted"),
        ("ends", "ended"),
        ("fail", "lost"),
        ("requeue", "lost"),
        ("ask", "resumed"),
        ("held", "adopted"),
    ]);
    // What is asked for is foreseen as what `jr resume` says then.
    let foreseen = home.json(&["resume", "--dry-run"]);
    assert_eq!((&foreseen["schema"], &foreseen["dry_run"]), (&"jr.resume/1".into(), &true.into()));
    assert_eq!(decisions(&foreseen), all);
    assert!(files(&home.root()) == before, "a dry run changes no byte");
    assert_eq!(home.daemons(), Vec::<i32>::new());

    let resumed = home.json(&["resume"]);
    assert_eq!(reasons(&resumed), reasons(&foreseen));
    check_decisions(&home, &resumed);
    assert_eq!(home.show("ends")["exit_code"], 7);
    for name in ["requeue", "ask"] {
        home.pid_of(name);
        assert_eq!(home.show(name)["attempt"], 2);
    }
    assert_eq!(home.show("held")["state"], "paused", "what was paused stays so");
    assert_eq!(home.show("live")["pid"], pids["live"]);

    let seq = home.json(&["log", "stat"])["seq"].clone();
    let again = home.json(&["resume"]);
    assert_eq!(again["items"].as_array().map(Vec::len), Some(0), "{again}");
    assert_eq!(home.json(&["log", "stat"])["seq"], seq, "twice in a row does nothing");
    assert_eq!(home.json(&["resume", "--dry-run"])["items"].as_array().map(Vec::len), Some(0));
    assert!(home.ok(&["log", "verify"]).starts_with("ok"));
}

/// Each run once, with the records that say so.
fn check_decisions(home: &Home, resumed: &Value) {
    let items = resumed["items"].as_array().expect("a list");
    let told: BTreeMap<&str, &str> = items
        .iter()
        .map(|item| {
            (item["name"].as_str().expect("text"), item["decision"].as_str().expect("text"))
        })
        .collect();
    assert_eq!(told["ends"], "ended");
    assert_eq!((told["live"], told["held"]), ("adopted", "adopted"));
    assert_eq!((told["fail"], told["requeue"]), ("lost", "lost"));
    // Lost first, and then released: one decision has both records.
    assert_eq!(told["ask"], "resumed");
    let of = |name: &str| items.iter().find(|item| item["name"] == name).expect("is there");
    for (name, kinds) in [
        ("ends", vec!["attempt_ended", "run_ended"]),
        ("fail", vec!["attempt_ended", "run_ended"]),
        ("requeue", vec!["attempt_ended", "run_queued"]),
        ("ask", vec!["attempt_ended", "run_queued"]),
        ("live", vec![]),
    ] {
        let events = of(name)["events"].as_array().expect("a list");
        let kind_of = |seq: &Value| {
            let found = home.events(&["--from", &seq.to_string()]);
            found[0]["kind"].as_str().expect("a kind").to_owned()
        };
        assert_eq!(events.iter().map(kind_of).collect::<Vec<_>>(), kinds, "{name}");
    }
}

#[test]
fn where_nothing_ever_ran_there_is_nothing_to_do() {
    let home = Home::new();
    for words in [&["resume"][..], &["resume", "--dry-run"], &["resume", "--take-over"]] {
        let told = home.jr(words);
        assert_eq!(code(&told), 0, "{words:?}");
        assert!(text(&told.stderr).contains("nothing to do"), "{words:?}");
    }
    assert_eq!(std::fs::read_dir(home.path()).expect("reads").count(), 0, "not one file");
    assert_eq!(code(&home.jr(&["resume", "x", "--dry-run"])), 2);
}

const MACHINE: &str = "/etc/machine-id";
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// jr that reads this in the place of that file, in a mount namespace of its own; `None` where that
/// cannot be.
fn with_file(
    home: &Home,
    file: &str,
    content: &str,
    words: &[&str],
) -> Option<std::process::Output> {
    let other = home.path().join("other");
    // A shim that is being born may read it: never half a file.
    if std::fs::read_to_string(&other).ok().as_deref() != Some(content) {
        std::fs::write(&other, content).expect("writes");
    }
    let script = "mount --bind \"$1\" \"$2\" || exit 96; shift 2; exec \"$@\"";
    let jr = home.command(words);
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, "sh"]).arg(&other).arg(file).arg(jr.get_program());
    command.args(jr.get_args()).env_clear().current_dir("/");
    command.envs(jr.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().ok()?;
    (output.status.code() != Some(96) && !text(&output.stderr).contains("unshare:"))
        .then_some(output)
}

/// jr with another id of the machine.
fn on_another_machine(home: &Home, words: &[&str]) -> Option<std::process::Output> {
    with_file(home, MACHINE, "ffffffffffffffffffffffffffffffff\n", words)
}

/// jr in another boot, as far as it can tell.
fn after_a_reboot(home: &Home, words: &[&str]) -> Option<std::process::Output> {
    with_file(home, BOOT, "01234567-89ab-4cde-8f01-23456789abcd\n", words)
}

#[test]
fn after_a_reboot_each_policy_is_followed_and_what_was_asked_for_waits() {
    let home = Home::new();
    home.ok(&["queue", "set", "default", "-j", "10"]);
    for policy in ["fail", "requeue", "ask"] {
        home.detach(&["--name", policy, "--on-interrupt", policy, "sleep", "300"]);
    }
    let pids = ["fail", "requeue", "ask"].map(|name| home.pid_of(name));
    home.without_daemon();
    for pid in pids {
        kill_for_good(parent_of(pid));
        kill_for_good(pid);
    }
    let Some(listed) = after_a_reboot(&home, &["--json", "resume", "--dry-run"]) else {
        println!("SKIPPED (no mount namespace can be made)");
        return;
    };
    // Whoever only reads is told that this was before.
    for words in [&["ps"][..], &["show", "ask"], &["why", "ask"], &["history"]] {
        let told = text(&after_a_reboot(&home, words).expect("runs").stderr);
        assert!(told.contains("was restarted") && told.contains("jr resume"), "{words:?}: {told}");
        let told = text(&home.jr(words).stderr);
        assert!(told.contains("no daemon runs") && !told.contains("restarted"), "{told}");
    }
    let foreseen: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let all = expected(&[("fail", "lost"), ("requeue", "lost"), ("ask", "resumed")]);
    assert_eq!(decisions(&foreseen), all, "{}", text(&listed.stderr));
    // Any command that needs a daemon recovers; what waits for an answer goes on waiting.
    after_a_reboot(&home, &["queue", "set", "other", "-j", "1"]).expect("runs");
    let state = |name: &str| home.show(name)["state"].as_str().expect("text").to_owned();
    assert_eq!(
        (home.show("fail")["reason"].clone(), state("ask")),
        ("reboot".into(), "delayed".into())
    );
    assert_ne!(state("requeue"), "ended");
    let resumed = after_a_reboot(&home, &["--json", "resume"]).expect("runs");
    let document: Value = serde_json::from_slice(&resumed.stdout).expect("JSON");
    assert_eq!(decisions(&document), expected(&[("ask", "resumed")]));
    let again = after_a_reboot(&home, &["--json", "resume"]).expect("runs");
    let document: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(decisions(&document), BTreeMap::new(), "twice in a row does nothing");
    home.pid_of("ask");
    let shown = home.show("ask");
    assert_eq!(shown["attempt"], 2, "{shown:#}");
    after_a_reboot(&home, &["stop", "all"]);
    after_a_reboot(&home, &["daemon", "stop"]);
}

/// Law 7: what runs belongs to the original.
#[test]
fn a_copy_on_the_same_machine_touches_nothing_of_the_original() {
    let home = Home::new();
    let run = home.detach(&["--name", "precious", "sleep", "300"]);
    let pid = home.pid_of("precious");
    let parent = tempfile::tempdir().expect("a directory");
    let copy = parent.path().join("copy");
    let copied = Command::new("cp").arg("-a").arg(home.path()).arg(&copy).status();
    assert!(copied.expect("cp runs").success());
    let there = |words: &[&str]| Home::command_at(&copy, words).output().expect("runs");
    for words in [&["run", "--", "true"][..], &["resume"], &["daemon", "start"]] {
        let refused = there(words);
        assert_eq!(code(&refused), 69, "{words:?}: {}", text(&refused.stderr));
        let told = text(&refused.stderr);
        assert!(told.contains("is a copy") && told.contains("--take-over"), "{told}");
    }
    assert_eq!(code(&there(&["show", &run])), 0, "it can be read");
    assert!(lives(pid), "nothing was touched");
    let taken = there(&["--json", "resume", "--take-over"]);
    let document: Value = serde_json::from_slice(&taken.stdout).expect("JSON");
    let lost = expected(&[("precious", "lost")]);
    assert_eq!(decisions(&document), lost, "{}", text(&taken.stderr));
    assert_eq!(code(&there(&["run", "--", "true"])), 0, "it is an environment of its own now");
    assert_eq!(code(&there(&["daemon", "stop"])), 0);
    assert!(lives(pid), "nothing was touched");
    assert_eq!(home.show("precious")["state"], "running");
    // What was moved is no copy: what runs is adopted.
    home.without_daemon();
    let root = home.path().join("envs");
    std::fs::rename(&root, home.path().join("elsewhere")).expect("moves");
    std::fs::rename(home.path().join("elsewhere"), &root).expect("moves");
    assert_eq!(decisions(&home.json(&["resume"])), expected(&[("precious", "adopted")]));
    home.ok(&["stop", "precious"]);
}

#[test]
fn a_copy_on_another_machine_is_refused_until_it_is_taken_over() {
    let home = Home::new();
    if !Path::new(MACHINE).exists() {
        println!("SKIPPED (this machine has no /etc/machine-id)");
        return;
    }
    home.detach(&["--name", "there", "--on-interrupt", "ask", "sleep", "300"]);
    let pid = home.pid_of("there");
    home.without_daemon();
    let Some(refused) = on_another_machine(&home, &["resume"]) else {
        println!("SKIPPED (no mount namespace can be made)");
        return;
    };
    assert_eq!(code(&refused), 69, "{}", text(&refused.stderr));
    let words = text(&refused.stderr);
    assert!(words.contains("another machine") && words.contains("--take-over"), "{words}");
    for words in [&["--json", "resume", "--dry-run"][..], &["--json", "run", "-d", "true"]] {
        let refused = on_another_machine(&home, words).expect("runs");
        let error = home::document(&refused)["error"].clone();
        assert_eq!((code(&refused), &error["code"]), (69, &"other_machine".into()), "{words:?}");
        let parts = ["message", "hint"].map(|key| error[key].as_str().expect("text"));
        assert!(!parts[0].contains("jr") || !parts[0].contains("hint:"), "{parts:?}");
        assert!(parts[1].contains("jr resume --take-over"), "{parts:?}");
    }
    let doctor = on_another_machine(&home, &["--json", "doctor"]).expect("runs");
    let items = home::document(&doctor)["items"].as_array().expect("a list").clone();
    let machine = items.iter().find(|item| item["check"] == "machine").expect("it is told");
    assert_eq!(
        (&machine["severity"], &machine["fix"]),
        (&"error".into(), &"jr resume --take-over".into())
    );
    let refused = |item: &&Value| item["fix"] == "jr daemon start" || item["fix"] == "jr resume";
    assert_eq!(items.iter().find(refused), None);
    // Reading needs no machine.
    let shown = on_another_machine(&home, &["show", "there"]).expect("reads");
    assert_eq!(code(&shown), 0);
    assert!(lives(pid), "nothing was touched");
    // Here it goes on as if nothing had been.
    assert_eq!(decisions(&home.json(&["resume"])), expected(&[("there", "adopted")]));
    home.without_daemon();
    kill_for_good(parent_of(pid));
    kill_for_good(pid);
    let taken = on_another_machine(&home, &["--json", "resume", "--take-over"]).expect("runs");
    let document: Value = serde_json::from_slice(&taken.stdout).expect("JSON");
    assert_eq!(decisions(&document), expected(&[("there", "resumed")]), "{}", text(&taken.stderr));
    on_another_machine(&home, &["stop", "all"]);
    on_another_machine(&home, &["daemon", "stop"]);
}

#[test]
fn after_a_reboot_explain_says_what_up_and_resume_would_do_and_up_does_it() {
    let home = Home::new();
    let project = home.path().join("project");
    std::fs::create_dir(&project).expect("makes");
    let declared = "[services.web]\ncommand = [\"sleep\", \"300\"]\n";
    std::fs::write(project.join("jr.toml"), declared).expect("writes");
    let project = project.to_str().expect("text");
    home.ok(&["-C", project, "up", "--wait"]);
    let pid = home.pid_of("web");
    home.without_daemon();
    kill_for_good(parent_of(pid));
    kill_for_good(pid);
    let Some(told) = after_a_reboot(&home, &["-C", project, "--json", "explain"]) else {
        println!("SKIPPED (no mount namespace can be made)");
        return;
    };
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let run = home.show("web")["run_id"].clone();
    let item = &told["items"][0];
    let step = (&item["action"], &item["reason"], &item["run_id"]);
    assert_eq!(step, (&"start".into(), &"it was interrupted".into(), &run), "{told:#}");
    let resumed = &told["resume"][0];
    assert_eq!((&resumed["name"], &resumed["state"]), (&"web".into(), &"delayed".into()));
    assert_eq!(home.daemons(), Vec::<i32>::new(), "it only looks");
    // Any other command leaves it as it is.
    after_a_reboot(&home, &["queue", "set", "other", "-j", "1"]).expect("runs");
    assert_eq!(home.items(&["status"])[0]["state"], "interrupted");
    let up = ["-C", project, "--json", "up", "web", "--wait"];
    let up = after_a_reboot(&home, &up).expect("runs");
    assert_eq!(code(&up), 0, "{}", text(&up.stderr));
    let done: Value = serde_json::from_slice(&up.stdout).expect("JSON");
    assert_eq!(done["items"][0], *item, "as it was told");
    assert_eq!(done["services"][0]["state"], "ready", "{done:#}");
    assert_eq!(home.show("web")["attempt"], 2);
    after_a_reboot(&home, &["down"]);
    after_a_reboot(&home, &["daemon", "stop"]);
}

/// As if it were asked for there.
fn at<'a>(project: &'a str, words: &[&'a str]) -> Vec<&'a str> {
    [&["-C", project], words].concat()
}

#[test]
fn with_resume_on_start_explain_and_why_say_who_lets_interrupted_work_go_on() {
    let home = Home::new();
    let project = home.path().join("project");
    std::fs::create_dir(&project).expect("makes");
    let declared = "[environments.local]\ntype = \"local\"\nresume_on_start = true\n\
                    [services.web]\ncommand = [\"sleep\", \"300\"]\n\
                    [jobs.ask]\ncommand = [\"sleep\", \"300\"]\non_interrupt = \"ask\"\n";
    std::fs::write(project.join("jr.toml"), declared).expect("writes");
    let project = project.to_str().expect("text");
    let ok = |words: &[&str]| home.ok(&at(project, words));
    ok(&["up", "--wait"]);
    ok(&["run", "-d", "ask"]);
    let pid_of = |name: &str| {
        let shown = home::until(&format!("{name} to run"), || {
            let shown = home.json(&at(project, &["show", name]));
            if shown["state"] == "running" { Ok(shown) } else { Err(shown.to_string()) }
        });
        i32::try_from(shown["pid"].as_i64().expect("a pid")).expect("fits")
    };
    let pids = ["web", "ask"].map(pid_of);
    home.without_daemon();
    for pid in pids {
        kill_for_good(parent_of(pid));
        kill_for_good(pid);
    }
    let told = home.json(&at(project, &["resume", "--dry-run"]));
    assert!(decisions(&told).get("ask").is_some_and(|word| word == "resumed"), "{told:#}");
    let words = at(project, &["--json", "explain"]);
    let Some(told) = after_a_reboot(&home, &words) else {
        println!("SKIPPED (no mount namespace can be made)");
        return;
    };
    let told: Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let reason = told["items"][0]["reason"].as_str().expect("text");
    assert!(!reason.contains("waits") && reason.contains("resume_on_start"), "{told:#}");
    assert_eq!(told["resume_on_start"], true);
    let names: Vec<_> =
        told["resume"].as_array().expect("a list").iter().map(|run| run["name"].clone()).collect();
    assert_eq!(names, ["web", "ask"], "{told:#}");
    let text = after_a_reboot(&home, &at(project, &["explain"])).expect("runs");
    let text = home::text(&text.stdout);
    assert!(!text.contains("jr resume lets") && text.contains("as soon as a daemon"), "{text}");
    // It is what happens.
    after_a_reboot(&home, &at(project, &["queue", "set", "other", "-j", "1"])).expect("runs");
    for name in ["web", "ask"] {
        pid_of(name);
        let why = home.json(&at(project, &["why", name]));
        let is_told = |item: &Value| {
            item["code"] == "resumed" && item["message"].to_string().contains("resume_on_start")
        };
        assert!(why["items"].as_array().is_some_and(|items| items.iter().any(is_told)), "{why:#}");
    }
    after_a_reboot(&home, &at(project, &["down"]));
    after_a_reboot(&home, &at(project, &["stop", "all"]));
    after_a_reboot(&home, &at(project, &["daemon", "stop"]));
}
