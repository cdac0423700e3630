//! Environments and configuration from outside: which one is meant, what holds there, what is put
//! in force when, and what declared jobs do.

#[path = "support/home.rs"]
mod home;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use home::{Home, code, text, until};
use serde_json::Value;

/// A project of its own, beside the state.
struct Project {
    home: Home,
    directory: tempfile::TempDir,
}

impl Project {
    fn new(jr_toml: &str) -> Self {
        let directory = tempfile::tempdir().expect("makes");
        let project = Self { home: Home::new(), directory };
        fs::create_dir(project.path().join(".git")).expect("makes");
        project.write("jr.toml", jr_toml);
        project
    }

    fn path(&self) -> PathBuf {
        self.directory.path().canonicalize().expect("is there")
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("has one")).expect("makes");
        fs::write(path, text).expect("writes");
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(words);
        command.current_dir(self.path());
        command
    }

    fn jr(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("jr starts")
    }

    fn ok(&self, words: &[&str]) -> String {
        let output = self.jr(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        text(&output.stdout)
    }

    fn json(&self, words: &[&str]) -> Value {
        let output = self.jr(&[&["--json"], words].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {output:?}"))
    }

    fn events(&self, kind: &str) -> Vec<Value> {
        let text = self.ok(&["events", "--json", "--kind", kind]);
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn daemon(&self) -> i64 {
        self.json(&["daemon", "status"])["pid"].as_i64().unwrap_or(0)
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // The state knows only the daemon of `local`.
        let _stopped = self.jr(&["daemon", "stop"]);
    }
}

fn error_of(output: &Output) -> (i32, String) {
    (code(output), text(&output.stderr))
}

const TWO: &str = "\
[project]
default_env = \"dev\"
[environments.dev]
type = \"local\"
[environments.ci]
type = \"local\"
";

#[test]
fn the_flag_goes_before_the_variable_before_the_project_before_the_default() {
    let project = Project::new(TWO);
    let meant = |command: &mut Command| text(&command.output().expect("starts").stdout);
    let id = |words: &[&str]| project.command(&[&["--json", "env"], words].concat());
    let environment = |mut command: Command| -> (String, String) {
        let shown: Value = serde_json::from_str(&meant(&mut command)).expect("JSON");
        let word = |key: &str| shown[key].as_str().unwrap_or_default().to_owned();
        (word("environment"), word("chosen_by"))
    };
    let pair = |id: &str, by: &str| (id.to_owned(), by.to_owned());
    let mut with_variable = id(&[]);
    with_variable.env("JR_ENV", "ci");
    let mut with_both = id(&["-e", "other"]);
    with_both.env("JR_ENV", "ci");
    assert_eq!(environment(with_both), pair("other", "flag"));
    assert_eq!(environment(with_variable), pair("ci", "variable"));
    assert_eq!(environment(id(&[])), pair("dev", "project"));
    project.write("jr.toml", "[environments.ci]\ntype = \"local\"\ndefault = true\n");
    assert_eq!(environment(id(&[])), pair("ci", "default"));
    project.write("jr.toml", "");
    assert_eq!(environment(id(&[])), pair("local", "local"));
}

#[test]
fn the_mode_is_the_option_then_the_variable_then_the_file_then_main() {
    let project = Project::new("default_mode = \"main\"\n");
    let shown = |variable: Option<&str>, words: &[&str]| -> (String, String) {
        let mut command = project.command(&[words, &["--json", "config", "show"]].concat());
        let output = command.envs(variable.map(|mode| ("JR_DEFAULT_MODE", mode))).output();
        let shown: Value = serde_json::from_slice(&output.expect("starts").stdout).expect("JSON");
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (word(&shown["default_mode"]), word(&shown["origins"]["default_mode"]))
    };
    let pair = |mode: &str, from: &str| (mode.to_owned(), from.to_owned());
    let file = project.path().join("jr.toml").display().to_string() + ":1";
    assert_eq!(shown(None, &[]), pair("main", &file));
    assert_eq!(shown(Some("trees"), &[]), pair("trees", "$JR_DEFAULT_MODE"));
    for words in [&["--mode", "main"][..], &["--mode=main"], &["--main"]] {
        assert_eq!(shown(Some("trees"), words), pair("main", "--mode"), "{words:?}");
    }
    assert_eq!(shown(Some("main"), &["--trees"]), pair("trees", "--mode"));
    assert_eq!(shown(None, &["--mode", "trees"]), pair("trees", "--mode"));
    let printed = project.ok(&["config", "show", "--origin", "--trees"]);
    assert!(printed.contains("default_mode = \"trees\"  # --mode\n"), "{printed}");
    project.write("jr.toml", "");
    assert_eq!(shown(None, &[]), pair("main", ""));
    for words in [
        &["--mode", "tree", "ps"][..],
        &["--main", "ps", "--trees"],
        &["ps", "--main", "--mode", "main"],
    ] {
        let (exit, told) = error_of(&project.jr(words));
        assert!(exit == 2 && told.contains("main") && told.contains("trees"), "{words:?}: {told}");
    }
}

#[test]
fn a_mode_of_the_line_outlives_a_change_of_the_files() {
    let project = Project::new("default_mode = \"main\"\n");
    project.ok(&["--trees", "run", "--", "true"]);
    let stored = |run: &str| project.json(&["config", "show", "--run", run]);
    let run = project.json(&["show", "last"])["run_id"].clone();
    let first = stored(run.as_str().expect("an id"));
    assert_eq!(first["settings"]["default_mode"], "trees", "{first}");
    assert_eq!(first["search"]["mode"], "trees", "{first}");
    project.write("jr.toml", "default_mode = \"main\"\nlabels = { a = \"b\" }\n");
    let event = until("the change to be in force", || {
        let events = project.events("config_resolved");
        events.get(1).cloned().ok_or_else(|| format!("{events:?}"))
    });
    let sources = event["sources"].as_array().expect("a list");
    assert!(sources.iter().any(|source| source["name"] == "--mode"), "{event}");
}

#[test]
fn a_default_must_be_declared_and_there_is_one() {
    let project =
        Project::new("[project]\ndefault_env = \"devv\"\n[environments.dev]\ntype = \"local\"\n");
    let (exit, told) = error_of(&project.jr(&["ps"]));
    assert_eq!(exit, 3, "{told}");
    for word in ["EnvironmentNotFound", "jr.toml:2", "dev, local", "did you mean \"dev\""] {
        assert!(told.contains(word), "{word}: {told}");
    }
    // Named, anything works.
    assert_eq!(project.ok(&["-e", "anything", "run", "--", "echo", "hello"]), "hello");
    project.ok(&["-e", "anything", "daemon", "stop"]);
    let one = |id: &str| format!("[environments.{id}]\ntype = \"local\"\ndefault = true\n");
    project.write("jr.toml", &(one("a") + &one("b")));
    let (exit, told) = error_of(&project.jr(&["ps"]));
    assert!(exit == 2 && told.contains("several") && told.contains("jr.toml:3"), "{told}");
    let (exit, told) = error_of(&project.jr(&["-e", "../x", "ps"]));
    assert!(exit == 2 && told.contains("../x"), "{told}");
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    let project = Project::new(TWO);
    project.write(
        "env.toml",
        "
labels = { team = \"a\" }
[[environment]]
id = \"dev\"
[environment.persistence]
params = { timeout = 5.0, at = 2026-11-20T14:00:00Z }
[environment.jobs.build]
command = [\"make\", \"-j\"]
environment = { A = 1, B = { file = \"x\" }, C = { env = \"D\" } }
[environment.services.web]
command = \"serve\"
health = { http = { path = \"/\" }, interval = \"2s\" }
",
    );
    let printed = project.ok(&["env"]);
    let other = tempfile::tempdir().expect("makes");
    fs::write(other.path().join("env.toml"), &printed).expect("writes");
    let mut again = project.home.command(&["env", "-e", "dev"]);
    let again = again.current_dir(other.path()).output().expect("starts");
    assert_eq!(text(&again.stdout), printed, "{again:?}");
    let origins = project.ok(&["env", "--origin"]);
    assert!(origins.contains("env.toml:2") && origins.contains("jr.toml:4"), "{origins}");
}

#[test]
fn secrets_are_nowhere_but_in_the_process() {
    let project = Project::new(
        "
[project]
default_env = \"dev\"
[environments.dev]
type = \"local\"
[environments.dev.services.postgres]
password = \"canary-one\"
[jobs.tell]
command = \"echo $LITERAL-$FROM_FILE-$FROM_VARIABLE | tr a-z n-za-m\"
[jobs.tell.environment]
LITERAL = { value = \"canary-two\", secret = true }
FROM_FILE = { file = \"hidden\" }
FROM_VARIABLE = { env = \"CANARY\" }
",
    );
    project.write("hidden", "canary-three\n");
    let output = project.command(&["run", "tell"]).env("CANARY", "canary-four").output();
    let output = output.expect("starts");
    assert_eq!(text(&output.stdout), "pnanel-gjb-pnanel-guerr-pnanel-sbhe", "{output:?}");
    // Whatever else runs gets the variable too.
    for words in [&["run", "--", "true"][..], &["run", "--name", "other", "--", "true"]] {
        let output = project.command(words).env("CANARY", "canary-four").output();
        assert!(output.expect("starts").status.success());
    }
    let shown = [
        project.ok(&["env"]),
        project.ok(&["config", "show"]),
        project.json(&["show", "last"]).to_string(),
        project.json(&["config", "show"]).to_string(),
        project.ok(&["events", "--json"]),
        project.ok(&["env", "show", "dev"]),
    ];
    for text in &shown {
        assert!(!text.contains("canary"), "{text}");
    }
    project.ok(&["daemon", "stop"]);
    let found = files_with(project.home.path(), b"canary");
    assert!(found.is_empty(), "{found:?}");
    let missing = error_of(&project.jr(&["run", "tell"]));
    assert!(missing.0 == 2 && missing.1.contains("CANARY"), "{missing:?}");
    assert_eq!(code(&project.jr(&["run", "--set", "FROM_VARIABLE=x", "tell"])), 0);
}

fn files_with(directory: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, needle));
        } else if fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(needle.len()).any(|w| w == needle))
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_secret_file_is_read_at_the_start_of_each_attempt() {
    let project = Project::new(
        "
[jobs.try]
command = \"cat hidden > seen.$JR_ATTEMPT; echo $S >> got; echo second > hidden; test $S = second\"
retries = 1
backoff = \"0s\"
environment = { S = { file = \"hidden\" } }
",
    );
    project.write("hidden", "first\n");
    project.ok(&["run", "try"]);
    let got = fs::read_to_string(project.path().join("got")).expect("reads");
    assert_eq!(got, "first\nsecond\n");
    fs::remove_file(project.path().join("hidden")).expect("removes");
    let output = project.jr(&["run", "--retries", "0", "try"]);
    assert_eq!(code(&output), 125, "{output:?}");
    assert_eq!(project.json(&["show", "last"])["reason"], "secret_unreadable");
    let why = project.ok(&["why", "last"]);
    assert!(why.contains("S from ") && why.contains("/hidden"), "{why}");
}

#[test]
fn a_declared_job_runs_by_its_name_and_options_go_before_it() {
    let project = Project::new(
        "
default_queue = \"slow\"
labels = { team = \"a\" }
limits = { pids = 100 }
[queues.slow]
limit = 1
[jobs.build]
command = \"printf '%s|' \\\"$X\\\" \\\"$@\\\"; pwd\"
environment = { X = \"from job\" }
timeout = \"10m\"
labels = { kind = \"build\" }
queue = \"gpu\"
[jobs.words]
command = [\"echo\", \"a b\"]
args = [\"c\"]
directory = \"sub\"
[jobs.true]
command = \"false\"
",
    );
    fs::create_dir(project.path().join("sub")).expect("makes");
    let here = project.path().display().to_string();
    assert_eq!(project.ok(&["run", "build", "one two"]), format!("from job|one two|{here}"));
    let run = project.json(&["show", "last"]);
    assert_eq!(run["name"], "build");
    assert_eq!(run["labels"], serde_json::json!({"team": "a", "kind": "build"}));
    assert_eq!((&run["timeout_ms"], &run["queue"]), (&600_000.into(), &"gpu".into()));
    assert_eq!(run["limits"]["pids"], 100);
    let words = ["run", "--name", "n", "--timeout", "5", "--queue", "q", "--set", "X=y", "build"];
    assert_eq!(project.ok(&words), format!("y|{here}"));
    let run = project.json(&["show", "last"]);
    assert_eq!(
        (&run["name"], &run["timeout_ms"], &run["queue"]),
        (&"n".into(), &5_000.into(), &"q".into())
    );
    assert_eq!(project.ok(&["run", "words", "d"]), "a b c d");
    assert_eq!(project.json(&["show", "last"])["cwd"], format!("{here}/sub"));
    // After `--` it is the program.
    assert_eq!(
        (code(&project.jr(&["run", "true"])), code(&project.jr(&["run", "--", "true"]))),
        (1, 0)
    );
    let id = project.ok(&["run", "-d", "--", "sleep", "0"]);
    assert_eq!(project.json(&["show", &id])["queue"], "slow");
    let queues = project.json(&["queue", "list"]);
    let slow = queues["items"].as_array().expect("a list").iter().find(|q| q["name"] == "slow");
    assert_eq!(slow.expect("declared")["limit"], 1);
}

#[test]
fn a_configuration_is_resolved_once_and_runs_are_pinned_to_theirs() {
    let project = Project::new(TWO);
    project.ok(&["run", "--", "true"]);
    project.ok(&["run", "--", "true"]);
    let resolved = project.events("config_resolved");
    assert_eq!(resolved.len(), 1);
    let first = resolved[0]["config"].as_str().expect("a digest").to_owned();
    assert_eq!(project.json(&["show", "last"])["config"], first);
    project.ok(&["daemon", "stop"]);
    project.write("jr.local.toml", "[environments.dev.labels]\nx = \"1\"\n");
    project.ok(&["run", "--", "true"]);
    let run = project.json(&["show", "last"]);
    assert!(run["config"] != first && run["labels"]["x"] == "1", "{run}");
    let old = project.json(&["show", "@-1"]);
    assert_eq!(old["config"], first);
    let again = project.json(&["rerun", "@-1"]);
    let again = again["items"][0]["run_id"].as_str().expect("an id").to_owned();
    project.ok(&["wait", &again]);
    assert_eq!(project.json(&["show", &again])["config"], first, "the same again");
}

#[test]
fn what_was_in_force_can_be_asked_of_any_moment_and_of_a_bundle() {
    let project =
        Project::new("[environments.local]\ntype = \"local\"\nlabels = { team = \"a\" }\n");
    project.ok(&["run", "true"]);
    let seq = project.json(&["log", "stat"])["seq"].to_string();
    project.write("jr.toml", "[environments.local]\ntype = \"local\"\nlabels = { team = \"b\" }\n");
    project.ok(&["run", "true"]);
    let first = project.jr(&["env", "--at", "1"]);
    assert!(text(&first.stderr).contains("no file had said anything"), "{first:?}");
    assert!(code(&first) == 0 && !text(&first.stdout).contains("team"), "{first:?}");
    for words in [["env", "--at", &seq], ["config", "show", "--at"]] {
        let words = if words[0] == "env" { words.to_vec() } else { [&words[..], &[&seq]].concat() };
        let shown = project.ok(&words);
        assert!(shown.contains("team = \"a\"") && !shown.contains("\"b\""), "{words:?}: {shown}");
    }
    let file = project.path().join("x.jrb").display().to_string();
    project.jr(&["debug-report", "-o", &file]);
    project.write("jr.toml", "[environments.local]\ntype = \"local\"\nlabels = { team = \"c\" }\n");
    let bundled = project.ok(&["env", "--bundle", &file]);
    assert!(bundled.contains("team = \"b\""), "{bundled}");
    for past in [["--at", &seq], ["--bundle", &file]] {
        let shown = project.ok(&[&["env"][..], &past].concat());
        for words in [&["env", "show"][..], &["env", "show", "local"]] {
            assert_eq!(project.ok(&[words, &past].concat()), shown, "{words:?} {past:?}");
        }
        let of_another = project.jr(&[&["env", "show", "other"][..], &past].concat());
        assert_eq!(code(&of_another), 3, "{of_another:?}");
        let (exit, told) = error_of(&project.jr(&[&["env", "list"][..], &past].concat()));
        assert!(exit == 2 && told.contains("not recorded") && told.contains("jr env"), "{told}");
    }
}

/// The document and the text of a command, here and of the past: both have to be as they were.
fn printed(project: &Project, words: &[&str], past: &[&str], is_elsewhere: bool) -> [String; 2] {
    [&["--json"][..], &[]].map(|more| {
        let all = [words, more, past].concat();
        let mut command = project.command(&all);
        if is_elsewhere {
            command.current_dir("/").env("JR_HOME", "/nonexistent/home");
        }
        let output = command.output().expect("starts");
        assert!(output.status.success(), "{all:?}: {output:?}");
        text(&output.stdout)
    })
}

#[test]
fn what_is_printed_of_the_past_is_what_was_printed_then() {
    let project = Project::new(
        "default_mode = \"main\"\n[project]\nname = \"p\"\n[queues.z]\nlimit = 2\n\
         [queues.a]\nlimit = 1\n[labels]\nteam = \"a\"\n\
         [environments.local]\ntype = \"local\"\n\
         [environments.local.persistence]\nparams = { until = 2026-11-20T14:00:00Z }\n\
         [jobs.b]\ncommand = \"b\"\ndirectory = \"sub\"\n[jobs.a]\ncommand = \"a\"\n",
    );
    project.write("tool-env.toml", "[tool]\nx = 1\n");
    project.ok(&["run", "true"]);
    let commands =
        [&["env"][..], &["env", "--origin"], &["config", "show"], &["config", "show", "--origin"]];
    let file = project.path().join("x.jrb").display().to_string();
    project.ok(&["debug-report", "-o", &file]);
    let head = project.json(&["log", "stat"])["seq"].to_string();
    let live = commands.map(|words| printed(&project, words, &[], false));
    assert!(live[2][0].contains("\"used\":false"), "{}", live[2][0]);
    project.write("jr.toml", "[environments.local]\ntype = \"local\"\n[jobs.c]\ncommand = \"c\"\n");
    project.ok(&["run", "true"]);
    for (words, live) in commands.into_iter().zip(live) {
        assert_eq!(printed(&project, words, &["--at", &head], false), live, "{words:?}");
        assert_eq!(printed(&project, words, &["--bundle", &file], true), live, "{words:?}");
    }
}

#[test]
fn without_files_the_past_is_what_jr_brings_along() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    let file = home.path().join("x.jrb").display().to_string();
    home.ok(&["debug-report", "-o", &file]);
    for words in [&["env"][..], &["config", "show"], &["--json", "config", "show"]] {
        for past in [["--at", "1"], ["--at", "-0s"], ["--bundle", &file]] {
            assert_eq!(home.ok(&[words, &past].concat()), home.ok(words), "{words:?} {past:?}");
        }
    }
    let (mut live, then) = (home.json(&["env"]), home.json(&["env", "--bundle", &file]));
    assert_eq!(home.json(&["env", "--at", "1"]), live);
    // Where it lies was in no document.
    live["path"] = Value::Null;
    assert_eq!(then, live);
}

#[test]
fn however_a_file_is_written_what_it_says_last_is_in_force() {
    let project = Project::new("");
    let file = project.path().join("jr.toml");
    let say = |n: usize| {
        format!(
            "[project]\ndefault_env = \"dev\"\n\
             [environments.dev]\ntype = \"local\"\n[queues.q]\nlimit = {n}\n"
        )
    };
    fs::write(&file, say(1)).expect("writes");
    project.ok(&["run", "--", "true"]);
    let daemon = project.daemon();
    let edits = 400;
    for n in 2..=edits {
        edit(&file, &say(n), n % 5);
        if n % 40 == 0 {
            fs::write(&file, "[queues.q\n").expect("writes");
            // Long enough to be seen, or not: both are lawful.
            std::thread::yield_now();
            fs::write(&file, say(n)).expect("writes");
        }
    }
    until("the last edit to be in force", || {
        let queues = project.json(&["queue", "list"]);
        let limit = queues["items"].as_array().into_iter().flatten().find(|q| q["name"] == "q");
        let limit = limit.map(|queue| queue["limit"].clone()).unwrap_or_default();
        if limit == edits { Ok(()) } else { Err(limit.to_string()) }
    });
    assert_eq!(project.daemon(), daemon, "no restart");
    let events = project.events("config_resolved").len() + project.events("config_rejected").len();
    assert!(events < 100, "{events} events of {edits} edits");
    fs::write(&file, say(3).replace("limit", "limitt")).expect("writes");
    let rejected = until("a rejection", || {
        project.home_events("config_rejected").pop().ok_or_else(|| "none yet".to_owned())
    });
    let (source, reason) = (rejected["source"].to_string(), rejected["reason"].to_string());
    assert!(source.contains("jr.toml:6:1") && reason.contains("limitt"), "{rejected}");
    fs::write(&file, say(4)).expect("writes");
    until("the mended file to be in force", || {
        let limit = project.events("queue_set").pop().map(|event| event["limit"].clone());
        if limit == Some(4.into()) { Ok(()) } else { Err(format!("{limit:?}")) }
    });
}

impl Project {
    /// Read while the file cannot be: the environment is named.
    fn home_events(&self, kind: &str) -> Vec<Value> {
        let mut command = self.command(&["events", "--json", "--kind", kind]);
        let output = command.output().expect("starts");
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("JSON")).collect()
    }
}

/// As different editors write.
fn edit(file: &Path, text: &str, habit: usize) {
    let beside = file.with_extension("toml~");
    match habit {
        0 => {
            fs::write(&beside, text).expect("writes");
            fs::rename(&beside, file).expect("renames");
        }
        1 => fs::write(file, text).expect("writes"),
        2 => {
            fs::rename(file, &beside).expect("renames");
            fs::write(file, text).expect("writes");
            fs::remove_file(&beside).expect("removes");
        }
        3 => {
            fs::write(file, "").expect("writes");
            fs::write(file, &text[..text.len() / 2]).expect("writes");
            fs::write(file, text).expect("writes");
        }
        _ => {
            fs::remove_file(file).expect("removes");
            fs::write(file, text).expect("writes");
        }
    }
}

#[test]
fn environments_of_projects_do_not_meet_and_are_listed() {
    let project = Project::new(TWO);
    project.ok(&["run", "--name", "here", "--", "true"]);
    assert_eq!(project.home.items(&["-e", "dev", "history"]), Vec::<Value>::new());
    let sub = project.path().join("a/b");
    fs::create_dir_all(&sub).expect("makes");
    let mut below = project.command(&["--json", "history"]);
    let below = below.current_dir(&sub).output().expect("starts");
    assert!(text(&below.stdout).contains("\"here\""), "{below:?}");
    let root = project.ok(&["env", "path"]);
    assert!(root.contains("/projects/") && root.ends_with("/dev"), "{root}");
    // A run finds its own environment from wherever it is.
    let nested = project.ok(&["run", "--name", "nested", "--cwd", "/", "--", home::JR, "history"]);
    assert!(nested.contains("nested"), "{nested}");
    // Unless somebody says where to look.
    let elsewhere = ["run", "--", home::JR, "-C", "/", "-e", "dev", "history"];
    let elsewhere = project.ok(&elsewhere);
    assert!(!elsewhere.contains("nested"), "{elsewhere}");
    let listed = project.json(&["env", "list"]);
    let row = |id: &str| {
        let mut items = listed["items"].as_array().expect("a list").iter();
        items.find(|row| row["id"] == id).cloned().expect("listed")
    };
    assert_eq!((&row("dev")["default"], &row("ci")["default"]), (&true.into(), &false.into()));
    assert_eq!((&row("dev")["has_state"], &row("ci")["has_state"]), (&true.into(), &false.into()));
}

#[test]
fn a_project_that_moved_takes_its_history_along() {
    let mut project = Project::new(TWO);
    project.ok(&["run", "--name", "before", "--", "true"]);
    let old = project.path();
    let new = tempfile::tempdir().expect("makes");
    let place = new.path().join("p");
    fs::rename(&old, &place).expect("renames");
    fs::create_dir(&old).expect("makes");
    let from = |words: &[&str]| {
        let mut command = project.home.command(words);
        command.current_dir(&place).output().expect("starts")
    };
    fs::remove_dir(&old).expect("removes");
    let listed = text(&from(&["env", "list"]).stdout);
    assert!(listed.contains("its project is gone"), "{listed}");
    let old_text = old.display().to_string();
    let moved = from(&["env", "move", "dev", "--from", &old_text]);
    assert_eq!(code(&moved), 0, "{moved:?}");
    assert!(text(&from(&["history"]).stdout).contains("before"));
    let twice = from(&["env", "move", "dev", "--from", &old_text]);
    assert_eq!(code(&twice), 3, "{twice:?}");
    let stopped = from(&["daemon", "stop"]);
    assert_eq!(code(&stopped), 0, "{stopped:?}");
    fs::create_dir(&old).expect("makes");
    project.directory = new;
}

#[test]
fn layout_and_database_put_an_environment_elsewhere() {
    let project = Project::new("");
    let there = tempfile::tempdir().expect("makes");
    let root = there.path().canonicalize().expect("is there");
    let layout =
        format!("[[environment]]\nid = \"local\"\n[environment.layout]\nroot_dir = {root:?}\n");
    project.write("env.toml", &layout);
    project.ok(&["run", "--name", "a", "--", "true"]);
    assert!(root.join("envs/local/log").is_dir() && root.join("run").is_dir());
    assert!(!project.home.root().join("log").exists());
    project.ok(&["daemon", "stop"]);
    let database = "[[environment]]\nid = \"local\"\npersistence = { database = \"data/x.db\" }\n";
    project.write("env.toml", database);
    project.ok(&["run", "--name", "b", "--", "true"]);
    let beside = project.path().join("data/x.db.jr");
    assert!(beside.join("envs/local/log").is_dir() && beside.join("run").is_dir());
    let history = project.ok(&["history"]);
    assert!(
        history.contains('b')
            && project.json(&["history"])["items"].as_array().map(Vec::len) == Some(1)
    );
    let listed = project.json(&["env", "list"]);
    let places =
        listed["items"].as_array().expect("a list").iter().filter(|row| row["id"] == "local");
    assert_eq!(places.count(), 2, "{listed}");
}

#[test]
fn what_others_can_write_is_refused_with_the_reason() {
    let project = Project::new(TWO);
    let file = project.path().join("jr.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("changes");
    let (exit, told) = error_of(&project.jr(&["run", "--", "true"]));
    assert_eq!(exit, 2, "{told}");
    assert!(told.contains("jr.toml") && told.contains("everybody can write it"), "{told}");
    let (exit, told) = error_of(&project.jr(&["ps"]));
    assert!(exit == 2 && told.contains("everybody"), "{told}");
    let doctor = project.json(&["doctor"]);
    assert!(doctor.to_string().contains("everybody can write it"), "{doctor}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("changes");
    project.ok(&["run", "--", "true"]);
}

#[test]
fn a_mistake_stops_what_would_run_and_not_what_reads() {
    let project = Project::new(&format!("{TWO}[jobs.x]\ncomand = \"true\"\n"));
    let (exit, told) = error_of(&project.jr(&["run", "--", "true"]));
    assert!(exit == 2 && told.contains("jr.toml:8:1") && told.contains("did you mean"), "{told}");
    assert_eq!(code(&project.jr(&["ps"])), 0);
    assert_eq!(code(&project.jr(&["history"])), 0);
    let error = project.json(&["run", "--", "true"]);
    assert_eq!(error["error"]["code"], "bad_config");
}

#[test]
fn a_file_that_cannot_be_parsed_hides_nothing_that_runs() {
    let project = Project::new(TWO);
    project.ok(&["run", "-d", "--name", "long", "--", "sleep", "600"]);
    project.write("jr.toml", "[environments.dev\n");
    for words in [&["ps"][..], &["-e", "dev", "ps"], &["history"], &["show", "long"]] {
        let output = project.jr(words);
        assert_eq!(code(&output), 0, "{words:?}: {output:?}");
        assert!(text(&output.stdout).contains("long"), "{words:?}: {output:?}");
        let told = text(&output.stderr);
        assert!(told.contains("jr.toml:1:") && told.contains("environment dev"), "{told}");
    }
    for words in [
        &["status"][..],
        &["logs", "long"],
        &["events"],
        &["env", "path"],
        &["daemon", "status"],
        &["stop", "long"],
        &["down"],
        &["debug-report"],
        &["daemon", "stop"],
    ] {
        let output = project.jr(words);
        assert_eq!(code(&output), 0, "{words:?}: {output:?}");
    }
    let starts =
        [&["run", "--", "true"][..], &["up"], &["batch", "/dev/null"], &["daemon", "start"]];
    for words in starts {
        let (exit, told) = error_of(&project.jr(words));
        assert!(exit == 2 && told.contains("jr.toml:1:"), "{words:?}: {told}");
    }
    // Which of two is meant nobody knows; their names are.
    project.write("jr.toml", TWO);
    project.ok(&["-e", "ci", "run", "--", "true"]);
    project.write("jr.toml", "[environments.dev\n");
    let (exit, told) = error_of(&project.jr(&["ps"]));
    assert!(exit == 2 && told.contains("-e ci or -e dev"), "{told}");
    assert_eq!(code(&project.jr(&["-e", "ci", "ps"])), 0);
    let (exit, _) = error_of(&project.jr(&["-e", "other", "ps"]));
    assert_eq!(exit, 2, "one that was never there");
    let _stopped = project.jr(&["-e", "ci", "daemon", "stop"]);
}

#[test]
fn a_broken_file_is_told_of_wherever_environments_are_shown() {
    let project = Project::new("[environments.dev\n");
    for words in [&["env", "list"][..], &["env", "show", "local"]] {
        let output = project.jr(words);
        assert_eq!(code(&output), 0, "{output:?}");
        assert!(text(&output.stderr).contains("jr.toml:1:"), "{output:?}");
    }
    project.write("jr.toml", "[project]\ndefault_env = \"dev\"\n");
    let output = project.jr(&["env", "list"]);
    let told = text(&output.stderr);
    assert!(told.contains("there is no default: EnvironmentNotFound"), "{told}");
}

#[test]
fn nothing_declared_is_nothing_to_do() {
    let project = Project::new("");
    let output = project.jr(&["explain"]);
    assert_eq!((code(&output), text(&output.stdout)), (0, String::new()), "{output:?}");
    assert!(text(&output.stderr).contains("no service is declared"), "{output:?}");
    let explained = project.json(&["explain"]);
    assert_eq!(explained["items"], serde_json::json!([]));
}

#[test]
fn a_program_that_is_not_there_may_be_a_job() {
    let project = Project::new("[jobs.build]\ncommand = \"true\"\n");
    let (exit, told) = error_of(&project.jr(&["run", "bild"]));
    assert!(exit == 127 && told.contains("did you mean the job \"build\"?"), "{told}");
    let (exit, told) = error_of(&project.jr(&["run", "no-such-program"]));
    assert!(exit == 127 && !told.contains("did you mean"), "{told}");
}

#[test]
fn a_file_of_variables_is_ones_own() {
    let project = Project::new("[jobs.j]\ncommand = \"echo $A\"\nenv_file = \"vars\"\n");
    project.write("vars", "A=one\n");
    assert_eq!(project.ok(&["run", "j"]).trim(), "one");
    let file = project.path().join("vars");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).expect("changes");
    let (exit, told) = error_of(&project.jr(&["run", "j"]));
    assert!(exit == 2 && told.contains("everybody can write it"), "{told}");
    fs::remove_file(&file).expect("removes");
    let (exit, told) = error_of(&project.jr(&["run", "j"]));
    assert!(exit == 2 && told.contains("vars") && told.contains("env_file"), "{told}");
}

#[test]
fn what_a_file_quotes_is_in_no_log() {
    let project = Project::new(TWO);
    project.ok(&["run", "--", "true"]);
    project.write("jr.toml", &format!("{TWO}[jobs.j]\ntimeout = \"password=hunter2\"\n"));
    let told = until("a rejection", || match project.events("config_rejected") {
        none if none.is_empty() => Err("none".to_owned()),
        some => Ok(some),
    });
    assert!(!format!("{told:?}").contains("hunter2"), "{told:?}");
    assert_eq!(files_with(project.home.path(), b"hunter2"), Vec::<PathBuf>::new());
}

#[test]
fn retention_is_what_a_prune_keeps() {
    let project = Project::new(&format!("{TWO}[retention]\nkeep_runs = 2\n"));
    for _ in 0..5 {
        project.ok(&["run", "--", "true"]);
    }
    project.ok(&["prune"]);
    let left = project.json(&["history"]);
    assert_eq!(left["items"].as_array().map(Vec::len), Some(2), "{left}");
    // What is in force stays readable, whatever was pruned.
    assert_eq!(project.events("config_resolved").len(), 0);
    project.ok(&["run", "--", "true"]);
    assert_eq!(project.events("config_resolved").len(), 0, "nothing changed");
}

#[test]
fn a_cluster_is_declared_and_nothing_runs_there_yet() {
    let project = Project::new(
        "[environments.hpc]\ntype = \"slurm\"\ngateway = \"hpc.example\"\nuser = \"me\"\n",
    );
    let (exit, told) = error_of(&project.jr(&["-e", "hpc", "run", "--", "true"]));
    assert!(exit == 2 && told.contains("cluster"), "{told}");
    let shown = project.ok(&["env", "show", "hpc"]);
    assert!(shown.contains("Type: slurm") && shown.contains("gateway: hpc.example"), "{shown}");
    project
        .write("jr.toml", "[environments.hpc]\ntype = \"slurm\"\ngateway = \"-oProxyCommand=x\"\n");
    let (exit, told) = error_of(&project.jr(&["-e", "hpc", "run", "--", "true"]));
    assert!(exit == 2 && told.contains("gateway"), "{told}");
}

#[test]
fn a_directory_is_ready_or_it_is_said_what_lacks() {
    let project = Project::new(&format!(
        "{TWO}[jobs.a]\ncommand = \"no-such-program x\"\n[jobs.b]\ncommand = \"true\"\n\
         [services.s]\ncommand = \"true\"\nport = 1\n"
    ));
    let report = project.json(&["doctor", "--repo", "."]);
    assert_eq!(report["ok"], false);
    let told = report.to_string();
    assert!(told.contains("job a names no-such-program") && !told.contains("job b"), "{told}");
    project.write("jr.toml", &format!("{TWO}[jobs.b]\ncommand = \"true\"\n"));
    assert_eq!(code(&project.jr(&["doctor", "--repo", "."])), 0);
}

/// Each of these lets `config check` pass and the start fail.
#[test]
fn what_a_start_would_be_refused_for_is_said_before() {
    let project = Project::new(&format!(
        "{TWO}[jobs.a]\ncommand = \"true\"\nenv_file = \"none.env\"\n\
         [jobs.b]\ncommand = \"true\"\nenvironment.X = {{ env = \"NOBODY_SETS_THIS\" }}\n\
         [jobs.c]\ncommand = \"true\"\nenvironment.S = {{ file = \"none.secret\" }}\n\
         [jobs.d]\ncommand = \"own x\"\nenvironment.PATH = \"{{HERE}}/bin:/usr/bin:/bin\"\n\
         [services.p]\ncommand = \"true\"\nreadiness.exec = \"no-such-probe x\"\n\
         [services.q]\ncommand = \"true\"\nhealth.exec = {{ command = \"no-such-health\" }}\n\
         [services.v]\ncommand = \"true\"\nenv_file = \"/dev/zero\"\n\
         [services.off]\npreset = \"atlas\"\nenabled = false\n[services.atlas]\n"
    ));
    let config = std::fs::read_to_string(project.path().join("jr.toml")).expect("read");
    let here = project.path().display().to_string();
    project.write("jr.toml", &config.replace("{HERE}", &here));
    std::fs::create_dir(project.path().join("bin")).expect("made");
    project.write("bin/own", "#!/bin/sh\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.path().join("bin/own"), executable).expect("changed");
    let report = project.json(&["doctor", "--repo", "."]);
    assert_eq!(report["ok"], false);
    let errors = report["items"].as_array().expect("items").iter();
    let errors = errors.filter(|item| item["severity"] == "error");
    let told: Vec<&str> = errors.filter_map(|item| item["message"].as_str()).collect();
    for wanted in [
        "job a: env_file of a",
        "job b: b needs the variable NOBODY_SETS_THIS",
        "job c: the file of its secret S",
        "readiness probe of service p names no-such-probe",
        "health probe of service q names no-such-health",
        "service v: env_file of v, /dev/zero: ",
        "service atlas: jr does not know how to start service atlas",
    ] {
        assert!(told.iter().any(|told| told.starts_with(wanted)), "{wanted}: {told:#?}");
    }
    assert_eq!(told.len(), 7, "{told:#?}");
}

#[test]
fn a_shell_is_offered_what_is_declared() {
    let jobs = "[jobs.build]\ncommand = \"true\"\ndescription = \"makes it\"\n";
    let project = Project::new(&format!("{TWO}{jobs}"));
    assert_eq!(project.ok(&["__complete", "zsh", "b", "run"]), "words\nbuild\tmakes it");
    let foreign = |words: &[&str]| project.ok(words).starts_with("command ");
    assert!(foreign(&["__complete", "zsh", "b", "run", "--"]));
    assert!(foreign(&["__complete", "zsh", "x", "run"]));
    for words in [["zsh", "", "--mode"], ["fish", "", "--mode"], ["bash", "jr up --mode ", ""]] {
        let offered = project.ok(&[&["__complete"], &words[..]].concat());
        assert_eq!(offered, "words\nmain\ntrees", "{words:?}");
    }
    let environments = project.ok(&["__complete", "zsh", "", "-e"]);
    assert!(environments.lines().any(|line| line == "ci"), "{environments}");
}
