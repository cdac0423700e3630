//! Two people at once: of one service never more than one lives.

use std::collections::BTreeMap;
use std::process::{Child, Stdio};

use crate::home::{code, until_so};
use crate::project::{Project, is_asked_for};

const ROUNDS: u32 = 20;

/// Listens and answers nothing.
const SERVER: &str = "import os, socket
s = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))
while True: s.accept()";

fn services(round: u32) -> String {
    let service = |name: &str, on: &str| {
        format!(
            "[services.{name}]\ncommand = [\"python3\", \"-S\", \"-c\", \"\"\"{SERVER}\"\"\"]\n\
             port = \"auto\"\nenvironment = {{ ROUND = \"{round}\" }}\n\
             readiness = {{ tcp = {{}}, interval = \"20ms\" }}\ndepends_on = [{on}]\n"
        )
    };
    service("back", "") + &service("front", "\"back\"")
}

/// Both begin before either is waited for.
fn up_twice(project: &Project) {
    let start = || -> Child {
        let mut command = project.command(&["up", "--wait"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("jr starts")
    };
    let both = [start(), start()];
    for child in both {
        let output = child.wait_with_output().expect("jr ends");
        assert_eq!(code(&output), 0, "{output:?}");
    }
}

#[test]
fn two_that_bring_up_at_once_never_make_two_of_a_service() {
    if !is_asked_for() {
        return;
    }
    let project = Project::declaring(&services(0));
    for round in 1..=ROUNDS {
        up_twice(&project);
        let live = project.items(&["ps"]);
        let names: Vec<&str> =
            live.iter().map(|run| run["name"].as_str().expect("a name")).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, ["back", "front"], "round {round}");
        match round % 4 {
            // From nothing, with the daemon that is there.
            0 => drop(project.ok(&["down"])),
            // Declared otherwise: both ask for the same change.
            1 => project.write("jr.toml", &services(round)),
            // Without a daemon: both start one.
            2 => project.home.without_daemon(),
            _ => {
                project.ok(&["down"]);
                project.ok(&["daemon", "stop"]);
                until_so("no daemon", || project.home.daemons().is_empty());
            }
        }
    }
    project.ok(&["down"]);
    check_one_life_each(&project);
    project.check_log();
}

/// As the log has it: between the start of an attempt and its end no other one of that service
/// starts.
fn check_one_life_each(project: &Project) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut living: BTreeMap<String, String> = BTreeMap::new();
    let mut started = 0;
    for event in project.home.events(&[]) {
        let word = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
        let run = word("run_id");
        match event["kind"].as_str() {
            Some("run_admitted") => {
                names.insert(run, word("name"));
            }
            Some("attempt_started") => {
                let before = living.insert(names[&run].clone(), run);
                assert_eq!(before, None, "two live: {event}");
                started += 1;
            }
            Some("attempt_ended") => {
                living.remove(&names[&run]);
            }
            _ => {}
        }
    }
    assert_eq!(living, BTreeMap::new(), "nobody is left");
    // Both at each beginning and at each change.
    let beginnings = 1 + ROUNDS / 4 * 2;
    assert!(started >= 2 * beginnings, "{started}");
}
