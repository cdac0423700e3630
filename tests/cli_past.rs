//! Every reading command in one environment with all there is in it: what is printed of its head
//! with `--at` and from a bundle elsewhere is what is printed live.

#[path = "support/home.rs"]
mod home;

use std::process::Output;

use home::{Home, code, text, until};
use serde_json::Value;

const PROJECT: &str = "\
default_mode = \"main\"
[project]
name = \"p\"
[environments.local]
type = \"local\"
[queues.q]
limit = 1
[labels]
team = \"a\"
[services.db]
command = [\"sleep\", \"1000\"]
[services.web]
command = [\"sleep\", \"1000\"]
depends_on = [\"db\"]
[services.once]
command = [\"true\"]
restart = \"never\"
[jobs.b]
command = \"exit 3\"
retries = 1
backoff = \"1h\"
";

const COMMANDS: [&str; 37] = [
    "ps",
    "ps -a",
    "history",
    "history --tree",
    "history --failed",
    "history --kind service",
    "stats",
    "status",
    "services status",
    "ports",
    "endpoints",
    "env",
    "env --origin",
    "env --all",
    "config show",
    "config show --origin",
    "config show --run b",
    "queue list",
    "pin",
    "show web",
    "show once",
    "show b",
    "show held",
    "show batch",
    "show x2",
    "why web",
    "why once",
    "why b",
    "why held",
    "why batch",
    "why x2",
    "logs ok",
    "logs -t",
    "events",
    "repro ok",
    "diff ok batch",
    "diff --from 5",
];

struct Project {
    home: Home,
    directory: tempfile::TempDir,
}

impl Project {
    fn jr(&self, words: &[&str]) -> Output {
        let mut command = self.home.command(words);
        command.current_dir(self.directory.path()).output().expect("jr starts")
    }

    fn ok(&self, words: &[&str]) -> String {
        let output = self.jr(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        text(&output.stdout)
    }

    fn json(&self, words: &[&str]) -> Value {
        home::document(&self.jr(&[&["--json"], words].concat()))
    }

    fn until_state(&self, run: &str, state: &str) {
        until(&format!("{run} to be {state}"), || {
            let shown = self.json(&["show", run]);
            if shown["state"] == state { Ok(()) } else { Err(shown.to_string()) }
        });
    }

    /// Services, queues, a batch, a retry, what is held, what waits and what has printed.
    fn new() -> Self {
        let project = Self { home: Home::new(), directory: tempfile::tempdir().expect("makes") };
        std::fs::write(project.directory.path().join("jr.toml"), PROJECT).expect("writes");
        project.ok(&["up", "--wait"]);
        project.ok(&["run", "-d", "b"]);
        project.ok(&["run", "-d", "--name", "held", "--", "sleep", "1000"]);
        project.until_state("b", "delayed");
        project.until_state("held", "running");
        for word in ["pause", "resume", "pause"] {
            project.ok(&[word, "held"]);
        }
        std::fs::write(project.directory.path().join("lines"), "true\nexit 2\n").expect("writes");
        assert_eq!(code(&project.jr(&["batch", "--keep-going", "lines"])), 1);
        project.ok(&["run", "-d", "--queue", "q", "--name", "x1", "--", "sleep", "1000"]);
        project.until_state("x1", "running");
        project.ok(&["run", "-d", "--queue", "q", "--name", "x2", "--", "sleep", "1000"]);
        project.ok(&["run", "--name", "ok", "--", "echo", "hi"]);
        project.ok(&["down", "once"]);
        project.ok(&["queue", "pause", "q"]);
        project
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        self.jr(&["down"]);
    }
}

/// What lives is older by now, and columns are as wide as ages.
fn without_ages(text: &str) -> String {
    let is_age = |word: &str| {
        let word = word.trim_matches(['(', ')', ',', ';']);
        let number = word.trim_end_matches(|c: char| c.is_ascii_lowercase());
        let is_number = number.chars().all(|c| c.is_ascii_digit() || c == '.' || c == 'm');
        let with_unit = number.len() < word.len() || number.contains('.');
        number.starts_with(|c: char| c.is_ascii_digit()) && is_number && with_unit
    };
    let words = |line: &str| {
        let words = line.split_whitespace().map(|word| if is_age(word) { "AGE" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(words).collect::<Vec<_>>().join("\n")
}

/// As [`without_ages`], of a document; also until when it tells, and where a bundle is unpacked.
fn hide(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let lives = fields.get("outcome").is_some_and(Value::is_null);
            for (key, value) in fields {
                if matches!(key.as_str(), "until_ms" | "base") || (lives && key == "duration_ms") {
                    *value = Value::Null;
                }
                hide(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::String(text) => *text = without_ages(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The exit code and the data of a command.
fn told(output: &Output, is_json: bool) -> String {
    let text = text(&output.stdout);
    let told = if is_json {
        let lines = text.lines().map(|line| {
            let mut value: Value = serde_json::from_str(line).unwrap_or_else(|_| line.into());
            hide(&mut value);
            format!("{value:#}")
        });
        lines.collect::<Vec<_>>().join("\n")
    } else {
        without_ages(&text)
    };
    format!("exit {}\n{told}", code(output))
}

#[test]
fn every_command_prints_of_the_past_what_it_prints_live() {
    let project = Project::new();
    let bundle = project.directory.path().join("x.jrb").display().to_string();
    let head = until("a moment in which nothing happens", || {
        project.ok(&["debug-report", "--include-output", "-o", &bundle]);
        let before = project.json(&["log", "stat"])["seq"].clone();
        let stat = project.json(&["replay", &bundle])["head_seq"].clone();
        if stat == before { Ok(before.to_string()) } else { Err(format!("{stat} {before}")) }
    });
    for command in COMMANDS {
        for mode in [&[][..], &["--json"]] {
            let words: Vec<&str> = mode.iter().copied().chain(command.split(' ')).collect();
            let live = told(&project.jr(&words), !mode.is_empty());
            let at = project.jr(&[&words[..], &["--at", &head]].concat());
            let mut elsewhere =
                project.home.command(&[&words[..], &["--bundle", &bundle]].concat());
            elsewhere.env("JR_HOME", "/nonexistent/home").current_dir("/");
            let elsewhere = elsewhere.output().expect("jr starts");
            assert_eq!(told(&at, !mode.is_empty()), live, "{words:?} --at {head}: {at:?}");
            let of_bundle = told(&elsewhere, !mode.is_empty());
            assert_eq!(of_bundle, live, "{words:?} --bundle: {elsewhere:?}");
        }
    }
}
