//! Rules that every command keeps: words, streams, documents, errors, exit codes.

#[path = "support/home.rs"]
mod home;

use home::{Home, code, document, text, until};
use serde_json::Value;

/// Commands that read, in a form that needs no run.
const READERS: [&[&str]; 6] =
    [&["ps"], &["ps", "-a"], &["history"], &["logs"], &["queue", "list"], &["daemon", "status"]];

#[test]
fn options_stand_before_or_after_the_arguments() {
    let home = Home::new();
    home.ok(&["-e", "other", "run", "--name", "x", "true"]);
    for words in [
        ["--json", "-e", "other", "show", "x"],
        ["show", "--json", "--env=other", "--quiet", "x"],
        ["show", "x", "-e", "other", "--json"],
        ["-e", "other", "show", "x", "--json"],
    ] {
        assert_eq!(document(&home.jr(&words))["name"], "x", "{words:?}");
    }
}

#[test]
fn what_follows_the_command_is_never_parsed() {
    let home = Home::new();
    let words = ["--json", "-e", "nowhere", "--", "-h", "--help", "-d"];
    for before in [&["run", "--", "echo"][..], &["run", "echo"]] {
        let output = home.jr(&[before, &words].concat());
        assert_eq!(text(&output.stdout), words.join(" "));
    }
    assert_eq!(home.items(&["history"]).len(), 2, "both ran in the environment `local`");
}

#[test]
fn documents_carry_their_schema_and_no_key_is_missing() {
    let home = Home::new();
    home.ok(&["run", "--label", "k=v", "sh", "-c", "exit 0"]);
    let keys = [
        "run_id",
        "name",
        "kind",
        "runner",
        "environment",
        "state",
        "outcome",
        "exit_code",
        "signal",
        "reason",
        "attempt",
        "command",
        "cwd",
        "labels",
        "parent",
        "pid",
        "ports",
        "health",
        "image",
        "created_at",
        "started_at",
        "ended_at",
        "duration_ms",
        "first_seq",
        "last_seq",
    ];
    for (words, schema) in [
        (&["ps", "-a"][..], "jr.ps/1"),
        (&["history"], "jr.history/1"),
        (&["wait", "last"], "jr.wait/1"),
        (&["show", "last"], "jr.show/1"),
        (&["stop", "last"], "jr.stop/1"),
        (&["run", "true"], "jr.run/1"),
        (&["batch", "/dev/stdin"], "jr.batch/1"),
    ] {
        let words = [&["--json"], words].concat();
        let document = document(&home.jr_with_input(&words, b"true\n"));
        assert_eq!(document["schema"], schema);
        let run = document["items"].as_array().map_or(&document, |items| &items[0]);
        for key in keys {
            assert!(run.get(key).is_some(), "{schema} lacks {key}: {run}");
        }
        let created = run["created_at"].as_str().expect("a time");
        assert!(created.len() == 24 && created.ends_with('Z'), "{created}");
    }
    for (words, schema) in [
        (&["run", "-d", "true"][..], "jr.run/1"),
        (&["logs", "last"], "jr.logs/1"),
        (&["queue", "list"], "jr.queue/1"),
        (&["queue", "set", "q", "-j", "2"], "jr.queue_set/1"),
        (&["daemon", "status"], "jr.daemon_status/1"),
    ] {
        assert_eq!(home.json(words)["schema"], schema);
    }
    let event = &home.events(&["--run", "last"])[0];
    assert_eq!(event["kind"], "run_admitted");
    for key in ["seq", "time", "run_id", "hash"] {
        assert!(event.get(key).is_some(), "{key}: {event}");
    }
}

#[test]
fn an_error_is_a_document_on_stdout_or_two_lines_on_stderr() {
    let home = Home::new();
    home.ok(&["run", "--key", "K", "true"]);
    let long = "x".repeat(300);
    for (words, exit, error) in [
        (&["show", "nope"][..], 3, "no_such_run"),
        (&["logs", "nope"], 3, "no_such_run"),
        (&["stop", "nope"], 3, "no_such_run"),
        (&["wait", "nope"], 3, "no_such_run"),
        (&["signal", "TERM", "nope"], 3, "no_such_run"),
        (&["events", "--run", "nope"], 3, "no_such_run"),
        (&["show", "@1"], 2, "bad_selector"),
        (&["ps", "--at", "99999"], 2, "beyond"),
        (&["run", "--key", "K", "false"], 2, "key_conflict"),
        (&["batch", "/nonexistent"], 2, "file"),
        (&["batch", "--continue"], 3, "no_such_batch"),
        (&["-e", "Not/a/name", "ps"], 2, "bad_environment"),
        (&["-C", "/nonexistent", "ps"], 2, "directory"),
        (&["nonsense"], 2, "usage"),
        (&["run"], 2, "usage"),
        (&["run", "--name", &long, "true"], 2, "usage"),
        (&["run", "--timeout", "soon", "true"], 2, "usage"),
        (&["history", "--since", "soon"], 2, "usage"),
        (&["ps", "--no-such-option"], 2, "usage"),
    ] {
        let output = home.jr(&[&["--json"], words].concat());
        assert_eq!(code(&output), exit, "{words:?} {output:?}");
        let body = &document(&output)["error"];
        assert_eq!(body["code"], error, "{words:?}");
        assert!(body["message"].is_string() && body.get("hint").is_some(), "{body}");
        assert_eq!(text(&output.stderr), "", "{words:?}");

        let output = home.jr(words);
        assert_eq!((code(&output), text(&output.stdout)), (exit, String::new()), "{words:?}");
        assert!(text(&output.stderr).starts_with("jr: "), "{output:?}");
    }
}

#[test]
fn a_usage_error_names_the_next_command() {
    let home = Home::new();
    let errors = |words: &[&str]| text(&home.jr(words).stderr);
    insta::assert_snapshot!(errors(&["shwo"]), @r"
    jr: unrecognized subcommand 'shwo'

      tip: a similar subcommand exists: 'show'
    hint: jr --help
    ");
    insta::assert_snapshot!(errors(&["show"]), @r"
    jr: the following required arguments were not provided:
      <RUN>
    hint: jr show --help
    ");
    let error = errors(&["wait", "x", "--timeout", "1x"]);
    assert!(error.contains("\"1x\" is not a duration such as 90 (seconds), 1m30s"), "{error}");
    assert!(error.ends_with("hint: jr wait --help"), "{error}");
    insta::assert_snapshot!(errors(&["show", "x"]), @r#"
    jr: no run matches "x"
    hint: see what there is: jr history
    "#);
}

#[test]
fn into_a_pipe_there_is_no_colour_and_nothing_is_shortened() {
    let home = Home::new();
    let long = "a".repeat(400);
    home.ok(&["run", "--name", &long[..200], "--", "echo", &long]);
    for words in [&["ps", "-a"][..], &["history"], &["show", "last"]] {
        let mut command = home.command(words);
        let output = command.env("COLUMNS", "40").output().expect("jr starts");
        let text = text(&output.stdout);
        assert!(text.contains(&long), "{words:?}");
        assert!(!text.contains('\u{1b}') && !text.contains('…'), "{text}");
    }
    assert!(home.ok(&["--color", "always", "history"]).contains('\u{1b}'));
}

#[test]
fn data_goes_to_stdout_and_words_to_stderr() {
    let home = Home::new();
    for words in [&["daemon", "stop"][..], &["queue", "set", "q", "-j", "2"]] {
        let output = home.jr(words);
        assert_eq!(text(&output.stdout), "", "{words:?}");
        assert_ne!(text(&output.stderr), "", "{words:?}");
        assert_eq!(text(&home.jr(&[words, &["-q"]].concat()).stderr), "", "{words:?}");
    }
    let id = home.detach(&["true"]);
    home.ok(&["wait", &id]);
    assert_eq!(home.ok(&["history", "-q"]), id, "-q prints ids only");
    assert_eq!(home.ok(&["ps", "-a", "-q"]), id);
}

#[test]
fn reading_needs_no_environment_no_daemon_and_makes_nothing() {
    let home = Home::new();
    for words in READERS.iter().filter(|words| words[0] != "daemon") {
        let output = home.jr(&[&["-e", "any-id"], *words].concat());
        assert_eq!(code(&output), 0, "{words:?} {output:?}");
        let items = &home.json(&[&["-e", "any-id"], *words].concat())["items"];
        assert_eq!(items.as_array().map(Vec::len), Some(0), "{words:?}");
    }
    assert_eq!(code(&home.jr(&["daemon", "status"])), 3);
    assert_eq!(home.daemons(), Vec::<i32>::new());
    let made = std::fs::read_dir(home.path()).expect("the home").count();
    assert_eq!(made, 0, "not one file");
}

#[test]
fn the_environment_is_the_flag_then_the_variable_then_local() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    home.ok(&["-e", "flag", "run", "true"]);
    let of = |words: &[&str]| {
        let output = home.command(words).env("JR_ENV", "variable").output().expect("jr starts");
        document(&output)["items"][0]["environment"].clone()
    };
    home.command(&["run", "true"]).env("JR_ENV", "variable").output().expect("jr starts");
    assert_eq!(home.items(&["history"])[0]["environment"], "local");
    assert_eq!(of(&["history", "--json"]), "variable");
    assert_eq!(of(&["history", "--json", "-e", "flag"]), "flag");
    for environment in ["flag", "variable"] {
        home.ok(&["-e", environment, "daemon", "stop"]);
    }
}

#[test]
fn secrets_print_as_a_marker_everywhere_but_in_the_output_of_the_run() {
    let home = Home::new();
    let secret = "hunter2-hunter2-hunter2";
    let word = format!("--password={secret}");
    let url = format!("https://me:{secret}@example.org/x");
    let variable = format!("API_TOKEN={secret}");
    let script = "echo $API_TOKEN $*";
    let words = ["run", "--set", &variable, "--", "sh", "-c", script, "sh", &word, &url];
    let printed = home.ok(&words);
    assert_eq!(printed.matches(secret).count(), 3, "the run has its values: {printed}");
    assert_eq!(home.ok(&["logs", "last"]), printed, "output is printed as written");
    for words in [
        &["show", "last", "-v"][..],
        &["show", "last", "--json"],
        &["ps", "-a"],
        &["ps", "-a", "--json"],
        &["history", "--json"],
        &["events", "--json", "--from", "1"],
        &["events", "--from", "1"],
    ] {
        let text = home.ok(words);
        assert!(!text.contains(secret), "{words:?}: {text}");
        assert!(text.contains("[secret]"), "{words:?}: {text}");
    }
}

#[test]
fn a_secret_is_found_wherever_the_command_has_it_and_the_run_gets_it() {
    let home = Home::new();
    let secret = "hunter2xyz";
    let (json, dsn) = (format!("{{\"db\":{{\"password\":\"{secret}\"}}}}"), "h password=tiger9ab");
    let (label, name) = (format!("owner=me-{secret}"), format!("job-{secret}"));
    let script = "echo $1 $2 $CONFIG $DSN $COPY";
    let mut command = home.command(&["run", "--label", "token=llama7qq", "--label", &label]);
    command.args(["--name", &name, "--", "sh", "-c", script, "sh", secret, "/a/hunter2xyz/b"]);
    command.envs([
        ("API_TOKEN", secret),
        ("CONFIG", &json),
        ("DSN", dsn),
        ("COPY", "x:hunter2xyz"),
    ]);
    let printed = command.output().expect("runs");
    let wanted = format!("{secret} /a/{secret}/b {json} {dsn} x:{secret}\n");
    assert_eq!(String::from_utf8_lossy(&printed.stdout), wanted, "the run has its values");
    let shown =
        home.ok(&["show", "last", "--json"]) + &home.ok(&["events", "--from", "1", "--json"]);
    let mut stored = shown.into_bytes();
    for entry in std::fs::read_dir(home.root().join("blobs")).expect("blobs").flatten() {
        let folder = std::fs::read_dir(entry.path()).into_iter().flatten().flatten();
        for path in folder.map(|entry| entry.path()).chain([entry.path()]) {
            stored.extend(std::fs::read(path).unwrap_or_default());
        }
    }
    let found = |text: &str| stored.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(found("CONFIG") && found("job-[secret]"), "the right places are looked at");
    for text in [secret, "tiger9ab", "llama7qq"] {
        assert!(!found(text), "{text}");
    }
}

#[test]
fn a_name_cannot_steer_the_terminal_of_who_reads() {
    let home = Home::new();
    home.ok(&["run", "--", "sh", "-c", "true", "\u{1b}]0;owned\u{7}\u{202e}"]);
    for words in [&["ps", "-a"][..], &["history"], &["show", "last"], &["events"]] {
        let text = home.ok(words);
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{words:?} {text:?}");
    }
}

#[test]
fn help_pages() {
    let home = Home::new();
    let commands = home.ok(&["__complete", "zsh", ""]);
    let commands = commands.lines().skip(1).filter_map(|line| line.split('\t').next());
    for page in std::iter::once("").chain(commands.filter(|command| *command != "help")) {
        let words: Vec<&str> = [page, "-h"].into_iter().filter(|word| !word.is_empty()).collect();
        let output = home.jr(&words);
        assert_eq!(code(&output), 0, "{page}");
        let name = if page.is_empty() { "help".to_owned() } else { format!("help_{page}") };
        insta::assert_snapshot!(name, text(&output.stdout));
    }
    assert_eq!(home.ok(&["help", "run"]), home.ok(&["run", "--help"]));
    assert_eq!(home.ok(&["--version"]), format!("jr {}", env!("CARGO_PKG_VERSION")));
    let bare = home.jr(&[]);
    assert_eq!((code(&bare), text(&bare.stdout)), (2, String::new()));
}

#[test]
fn events_go_on_where_they_are_followed() {
    let home = Home::new();
    home.ok(&["run", "--name", "first", "true"]);
    let mut follower = home.spawn(&["events", "-f", "--json", "--kind", "run_admitted"]);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        follower.child().stdout.take().expect("piped"),
    ));
    let mut name = || -> Value {
        let line = lines.next().expect("a line").expect("text");
        serde_json::from_str::<Value>(&line).expect("JSON")["name"].clone()
    };
    assert_eq!(name(), "first");
    home.ok(&["run", "--name", "second", "true"]);
    assert_eq!(name(), "second");
    home.without_daemon();
    home.ok(&["run", "--name", "third", "true"]);
    assert_eq!(name(), "third", "across the death of a daemon");
}

#[test]
fn a_daemon_that_nobody_can_start_is_69_with_its_own_words() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    home.ok(&["daemon", "stop"]);
    let segment = std::fs::read_dir(home.root().join("log")).expect("a log").flatten().next();
    std::fs::write(segment.expect("a segment").path(), b"no log").expect("written");
    let output = home.jr(&["--json", "run", "true"]);
    assert_eq!(code(&output), 69, "{output:?}");
    assert_eq!(document(&output)["error"]["code"], "daemon_start");
    let words = document(&output)["error"]["message"].to_string();
    assert!(words.contains("log"), "it says what is wrong: {words}");
    // Reading says so too, and nothing starts anew beside it.
    let output = until("an answer", || Ok(home.jr(&["--json", "history"])));
    assert_eq!(code(&output), 1, "{output:?}");
}
