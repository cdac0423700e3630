//! Project files of another process supervisor (process-compose), translated line by line, among
//! them those of its known failing cases: `issue_N` is its number there.

#[path = "support/home.rs"]
mod home;
#[path = "support/project.rs"]
mod project;

use home::{code, until_so};
use project::{Project, err, out};
use serde_json::Value;

/// One of the files in `tests/translated`.
fn translated(name: &str) -> Project {
    let path = format!("{}/tests/translated/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let project = Project::new("");
    project.write("jr.toml", &std::fs::read_to_string(path).expect("a file"));
    project
}

fn of(states: &[(&str, &str)]) -> Vec<(String, String)> {
    states.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect()
}

fn printed(project: &Project, service: &str) -> String {
    out(&project.jr(&["logs", service]))
}

#[test]
fn a_chain_with_errors_comes_to_an_end_everywhere() {
    let project = translated("chain-with-errors");
    let up = project.jr(&["up", "--wait"]);
    assert_eq!(code(&up), 1, "{}", err(&up));
    let expected = [
        ("process1", "skipped"),
        ("process2", "skipped"),
        ("process3", "failed"),
        ("process4", "completed"),
        ("process5", "failed"),
        ("process6", "completed"),
        ("process7", "completed"),
        ("process8", "completed"),
    ];
    assert_eq!(project.states(), of(&expected));
    assert_eq!((project.attempts("process5"), project.attempts("process6")), (2, 2));
    assert_eq!(project.item("process5")["restarts"], 1);
    assert!(err(&up).contains("process1 was skipped"), "{}", err(&up));
    assert_eq!(
        project.json(&["history", "--name", "process2"])["items"][0]["started_at"],
        Value::Null
    );
}

#[test]
fn who_depends_on_what_failed_never_begins_however_far_away() {
    let project = translated("transitive");
    assert_eq!(code(&project.jr(&["up", "--wait"])), 1);
    let expected = [("proca", "failed"), ("procb", "skipped"), ("procc", "skipped")];
    assert_eq!(project.states(), of(&expected));
    let project = translated("issue_111");
    assert_eq!(code(&project.jr(&["up", "--wait"])), 1);
    assert_eq!(project.states(), of(&expected));
    assert_eq!(printed(&project, "procb"), "");
}

#[test]
fn many_that_depend_on_one_begin_after_it() {
    let project = translated("one-for-many");
    assert_eq!(code(&project.jr(&["up", "--wait"])), 0);
    let history = project.json(&["history", "--kind", "service"]);
    let items = history["items"].as_array().expect("a list");
    let time = |item: &Value, key: &str| item[key].as_str().expect("a time").to_owned();
    let first = items.iter().find(|item| item["name"] == "process8").expect("it ran");
    let later = |item: &&Value| item["name"] != "process8";
    for item in items.iter().filter(later) {
        assert!(time(item, "started_at") >= time(first, "ended_at"), "{item}");
    }
    assert_eq!(items.len(), 8);
}

#[test]
fn issue_530_a_restart_while_it_waits_leaves_one_that_can_be_stopped() {
    let project = translated("issue_530");
    project.jr(&["up"]);
    project.until_state("b", "waiting");
    for _ in 0..5 {
        assert_eq!(code(&project.jr(&["restart", "b"])), 0);
    }
    assert_eq!(project.state("b"), "waiting");
    project.write("go", "");
    assert_eq!(code(&project.jr(&["up", "--wait"])), 0);
    let pid = project.item("b")["pid"].as_i64().expect("it runs");
    let marked = std::fs::read_to_string(project.path("started")).expect("it began");
    assert_eq!(marked, "b\n", "once");
    assert_eq!(code(&project.jr(&["down"])), 0);
    assert!(!home::lives(i32::try_from(pid).expect("fits")));
    assert_eq!(
        project.states(),
        of(&[("a", "stopped"), ("b", "stopped")])
            .into_iter()
            .map(|(name, _)| (name, "down".to_owned()))
            .collect::<Vec<_>>()
    );
}

#[test]
fn issue_347_restarts_at_once_start_each_time_once() {
    let project = translated("issue_347");
    assert_eq!(code(&project.jr(&["up", "--wait"])), 0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| project.jr(&["restart", "test1"]));
        }
    });
    assert_eq!(code(&project.jr(&["up", "--wait"])), 0);
    let live = project.json(&["ps"])["items"].as_array().expect("a list").len();
    assert_eq!(live, 2);
    assert_eq!((project.runs("test1"), project.runs("test2")), (9, 1));
}

#[test]
fn issue_280_down_while_all_wait_ends_at_once() {
    let project = translated("issue_280");
    project.jr(&["up"]);
    project.until_state("process3", "ready");
    assert_eq!(project.state("process2"), "waiting");
    assert_eq!(code(&project.jr(&["down"])), 0);
    assert!(project.json(&["ps"])["items"].as_array().is_some_and(Vec::is_empty));
    for name in ["process0", "process1", "process2"] {
        assert_eq!(printed(&project, name), "", "{name} never began");
    }
}

#[test]
fn issue_258_what_was_stopped_while_it_starts_stays_stopped() {
    let project = translated("issue_258");
    project.jr(&["up"]);
    project.until_state("postgresql", "starting");
    assert_eq!(code(&project.jr(&["stop", "postgresql"])), 0);
    assert_eq!(code(&project.jr(&["resume"])), 0);
    assert_ne!(project.item("postgresql")["wanted"], true);
    assert!(project.json(&["ps"])["items"].as_array().is_some_and(Vec::is_empty));
    assert!(project.path("stopped").exists(), "by its own command");
}

#[test]
fn issue_102_a_probe_may_read_what_the_service_writes() {
    let project = translated("issue_102");
    assert_eq!(code(&project.jr(&["up", "wait4it", "--wait"])), 0);
    assert_eq!(printed(&project, "wait4it"), "watcher is healthy\n");
}

#[test]
fn issue_107_a_liveness_probe_that_fails_restarts() {
    let project = translated("issue_107");
    project.jr(&["up"]);
    until_so("a restart", || project.attempts("frail") > 1);
}

#[test]
fn issues_57_191_449_output_is_whole_whatever_it_is() {
    let project = translated("issue_449");
    assert_eq!(code(&project.jr(&["up", "--wait"])), 0);
    let expected = "this will print [butThisWont] and this also should: [with spaces]\n";
    assert_eq!(printed(&project, "but"), expected);
    assert_eq!(printed(&project, "chatty").len(), 200_000 + 3);
    assert_eq!(printed(&project, "noisy").lines().count(), 20_000);
}

#[test]
fn issue_49_a_script_that_cannot_run_is_told() {
    let project = translated("issue_49");
    let up = project.jr(&["up", "--wait"]);
    assert_eq!(code(&up), 1);
    assert_eq!(project.state("bad_script"), "failed");
    let shown = project.json(&["show", "bad_script"]);
    assert_eq!((&shown["outcome"], &shown["reason"]), (&"failed".into(), &"not_found".into()));
}

#[test]
fn issue_156_commands_of_several_lines() {
    let project = translated("issue_156");
    assert_eq!(code(&project.jr(&["up", "--wait"])), 0);
    assert_eq!(printed(&project, "block_folded"), "1\n2\n3\n");
    assert_eq!(printed(&project, "block_literal"), "4\n5\n");
    assert_eq!(printed(&project, "flow_plain"), "11\n12 13\n");
}

#[test]
fn issue_420_each_replica_has_its_number_and_its_own_output() {
    let project = translated("issue_420");
    assert_eq!(code(&project.jr(&["up", "--wait"])), 0);
    for number in 0..3 {
        assert_eq!(printed(&project, &format!("test.{number}")), format!("[{number}]\n"));
    }
}

#[test]
fn they_stop_in_the_reverse_order() {
    let project = translated("shutdown-in-order");
    assert_eq!(code(&project.jr(&["up", "--wait"])), 0);
    assert_eq!(code(&project.jr(&["down"])), 0);
    let order = std::fs::read_to_string(project.path("order")).expect("they stopped");
    assert_eq!(order, "C: exiting\nB: exiting\n");
}
