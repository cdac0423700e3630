//! `jr debug-report`, `jr replay`, `jr debug last` and `--bundle`, from outside.

#[path = "support/home.rs"]
mod home;

use std::path::{Path, PathBuf};
use std::process::Output;

use home::{Home, code, document, text};
use serde_json::Value;

/// A canary that no rule knows by its shape.
const CANARY: &str = "c4nary-Zb7q+x.9";

/// The same command on another machine, as far as jr can tell: no home, no state, nobody's.
fn elsewhere(words: &[&str], bundle: &Path) -> Output {
    let nowhere = tempfile::tempdir().expect("makes");
    let bundle = bundle.to_str().expect("text");
    let words = [words, &["--bundle", bundle]].concat();
    let mut command = Home::command_at(&nowhere.path().join("absent"), &words);
    command.env("HOME", "/nonexistent").env("TMPDIR", nowhere.path());
    let output = command.output().expect("jr starts");
    let left: Vec<_> = std::fs::read_dir(nowhere.path()).expect("reads").flatten().collect();
    assert!(left.is_empty(), "{words:?} left {left:?}");
    output
}

fn report(home: &Home, words: &[&str]) -> PathBuf {
    PathBuf::from(home.ok(&[&["debug-report"], words].concat()))
}

/// How long what lives has lived depends on when somebody asks.
fn hide_ages(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("ended_at").is_some_and(Value::is_null) {
                fields.remove("duration_ms");
            }
            // Where output lies is told of each machine.
            fields.remove("base");
            fields.values_mut().for_each(hide_ages);
        }
        Value::Array(items) => items.iter_mut().for_each(hide_ages),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn told(output: &Output) -> String {
    let Ok(mut document) = serde_json::from_slice::<Value>(&output.stdout) else {
        return text(&output.stdout);
    };
    hide_ages(&mut document);
    document.to_string()
}

#[test]
fn a_bundle_tells_elsewhere_what_is_told_here() {
    let home = Home::new();
    home.ok(&["run", "--name", "built", "--", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(
        code(&home.jr(&["run", "--name", "broken", "--", "sh", "-c", "echo bad; exit 4"])),
        4
    );
    assert_eq!(code(&home.jr(&["run", "--name", "absent", "--", "/no/such/program"])), 127);
    assert_eq!(code(&home.jr_with_input(&["batch"], b"true\nfalse\necho line\n")), 1);
    home.ok(&["queue", "set", "one", "-j", "1"]);
    home.detach(&["--name", "up", "--queue", "one", "--", "sh", "-c", "echo up; exec sleep 300"]);
    home.detach(&["--name", "waits", "--queue", "one", "true"]);
    home.pid_of("up");
    home.ok(&["pin", "built"]);
    home::until_so("its output to be seen", || home.ok(&["logs", "up"]) == "up");
    let path = home.path().join("r.jrb");
    let named = report(&home, &["--include-output", "-o", path.to_str().expect("text")]);
    assert_eq!(named, path);
    let mut commands = vec![
        vec!["--json", "ps"],
        vec!["--json", "ps", "-a"],
        vec!["--json", "history"],
        vec!["--json", "history", "--tree"],
        vec!["--json", "history", "--failed"],
        vec!["--json", "stats"],
        vec!["--json", "queue", "list"],
        vec!["--json", "pin"],
        vec!["--json", "events"],
        vec!["--json", "history", "--at", "12"],
        vec!["--json", "ps", "--at", "20"],
        vec!["logs"],
        vec!["logs", "-t", "built"],
        vec!["diff", "built", "broken"],
        vec!["--json", "diff", "--from", "5", "--to", "20"],
        vec!["show", "no-such-run"],
    ];
    for run in ["built", "broken", "absent", "batch", "up", "waits"] {
        commands.push(vec!["--json", "show", run]);
        commands.push(vec!["--json", "why", run]);
        commands.push(vec!["logs", run]);
    }
    commands.push(vec!["repro", "built", "--variables"]);
    for words in &commands {
        let (here, there) = (home.jr(words), elsewhere(words, &path));
        assert_eq!(code(&there), code(&here), "{words:?}: {}", text(&there.stderr));
        assert_eq!(told(&there), told(&here), "{words:?}");
    }
    let replayed = home.json(&["replay", path.to_str().expect("text")]);
    assert_eq!((&replayed["schema"], &replayed["ok"]), (&"jr.replay/1".into(), &true.into()));
    assert_eq!(replayed["projections"].as_array().map(Vec::len), Some(2));
    let until = home.json(&["replay", path.to_str().expect("text"), "--until", "5"]);
    assert_eq!(until["items"].as_array().map(Vec::len), Some(5));
    // With the daemon dead it is the same bundle, but for the facts.
    home.without_daemon();
    let again = home.path().join("again.jrb");
    for (path, words) in [(&path, "one"), (&again, "other")] {
        let path = path.to_str().expect("text");
        report(&home, &["--include-output", "--no-facts", "-o", path]);
        assert!(Path::new(path).is_file(), "{words}");
    }
    let bytes = |path: &Path| std::fs::read(path).expect("reads");
    assert!(bytes(&path) == bytes(&again), "the same log gives the same bytes");
    assert_eq!(home.daemons(), Vec::<i32>::new(), "reading starts no daemon");
}

#[test]
fn standard_tools_open_it() {
    let home = Home::new();
    home.ok(&["run", "--name", "x", "echo", "hello"]);
    let path = report(&home, &["--include-output"]);
    let bytes = std::fs::read(&path).expect("reads");
    // Decompressors skip the seal.
    let archive = zstd::stream::decode_all(&bytes[..]).expect("decompresses");
    let folder = tempfile::tempdir().expect("makes");
    let file = folder.path().join("x.tar");
    std::fs::write(&file, archive).expect("writes");
    let mut tar = std::process::Command::new("tar");
    let unpacked = tar.arg("-xf").arg(&file).arg("-C").arg(folder.path()).status();
    assert!(unpacked.expect("tar is there").success());
    let read = |name: &str| -> Value {
        let bytes = std::fs::read(folder.path().join(name)).expect("is there");
        serde_json::from_slice(&bytes).expect("JSON")
    };
    assert_eq!(read("bundle.json")["environment"], "local");
    assert!(read("facts/host.json")["made_at"].is_string());
    assert!(read("facts/doctor.json")["findings"].is_array());
    let id = home.show("x")["run_id"].as_str().expect("an id").to_owned();
    let output = std::fs::read(folder.path().join(format!("output/{id}.1.out"))).expect("is there");
    assert_eq!(output, b"hello\n");
}

#[test]
fn the_summary_names_failures_causes_and_the_next_command() {
    let home = Home::new();
    let refused = home.jr(&["debug-report"]);
    assert_eq!(code(&refused), 3, "nothing ever happened");
    assert_eq!(code(&home.jr(&["debug", "last"])), 3);
    home.ok(&["run", "--name", "fine", "true"]);
    let told = home.jr(&["debug-report"]);
    assert!(text(&told.stderr).contains("nothing failed"), "{}", text(&told.stderr));
    let newest = text(&told.stdout);
    assert_eq!(home.ok(&["debug", "last"]), newest);
    for (name, script, cause) in [
        ("port", "echo 'bind: Address already in use' >&2; exit 1", "port_taken"),
        ("disk", "echo 'write: No space left on device'; exit 2", "disk_full"),
        ("program", "no-such-program-here", "missing_program"),
        ("plain", "exit 7", "exit_code"),
        ("signal", "kill -SEGV $$", "signal"),
    ] {
        home.jr(&["run", "--name", name, "--", "sh", "-c", script]);
        let document = home.json(&["debug-report", name]);
        assert_eq!(document["schema"], "jr.debug_report/1");
        let item = &document["items"][0];
        assert_eq!(
            (&item["name"], &item["cause"]["code"]),
            (&name.into(), &cause.into()),
            "{item}"
        );
        assert!(item["cause"]["next"].as_str().is_some_and(|next| next.starts_with("jr ")));
    }
    home.jr(&["run", "--name", "absent", "--", "/no/such"]);
    home.jr(&["run", "--name", "slow", "--timeout", "50ms", "--", "sleep", "60"]);
    let all = home.json(&["debug-report"]);
    let codes: Vec<_> = all["items"].as_array().expect("a list").iter().collect();
    assert_eq!(codes[0]["cause"]["code"], "timeout");
    assert_eq!(codes[1]["cause"]["code"], "missing_program");
    // About one run: from its admission on.
    let slow = home.show("slow");
    let document = home.json(&["debug-report", "slow", "-o", "/dev/null/x.jrb"]);
    assert_eq!(document["error"]["code"], "bundle");
    let document = home.json(&["debug-report", "slow"]);
    assert_eq!(document["first_seq"], slow["first_seq"]);
    let path = PathBuf::from(document["path"].as_str().expect("a path"));
    assert_eq!(elsewhere(&["show", "slow"], &path).status.code(), Some(0));
    let gone = elsewhere(&["show", "port"], &path);
    assert_eq!(code(&gone), 3);
    assert!(text(&gone.stderr).contains("the bundle has records"), "{}", text(&gone.stderr));
    assert_eq!(code(&home.jr(&["debug-report", "nobody"])), 3);
    let since = home.json(&["debug-report", "--since", "5", "--at", "9"]);
    assert_eq!((&since["first_seq"], &since["head_seq"]), (&5.into(), &9.into()));
}

#[test]
fn failures_before_many_cancelled_runs_are_named_and_the_rest_counted() {
    let home = Home::new();
    assert_eq!(
        code(&home.jr_with_input(&["batch", "--keep-going"], b"exit 3\n".repeat(6).as_slice())),
        1
    );
    assert_eq!(code(&home.jr(&["run", "--name", "bad", "--", "sh", "-c", "exit 3"])), 3);
    home.ok(&["queue", "set", "held", "-j", "1"]);
    home.ok(&["queue", "pause", "held"]);
    for _ in 0..22 {
        home.detach(&["--queue", "held", "true"]);
    }
    home.ok(&["stop", "all"]);
    let document = home.json(&["debug-report"]);
    // Six lines, their batch, and one.
    assert_eq!(document["failed"], 8, "{document:#}");
    let items = document["items"].as_array().expect("a list");
    assert_eq!((items.len(), &items[0]["name"]), (5, &"bad".into()), "{items:#?}");
    let told = text(&home.jr(&["debug-report"]).stderr);
    assert!(told.contains("and 3 more that failed: jr history --failed"), "{told}");
    // A directory that is not there.
    home.jr(&["run", "--name", "nowhere", "--cwd", "/no/such", "true"]);
    let document = home.json(&["debug-report", "nowhere"]);
    assert_eq!(document["items"][0]["cause"]["code"], "missing_directory", "{document:#}");
}

#[test]
fn bundles_of_one_second_have_names_of_their_own_and_one_may_go_to_a_pipe() {
    let home = Home::new();
    home.ok(&["run", "true"]);
    let made: Vec<PathBuf> = (0..4).map(|_| report(&home, &["--no-facts"])).collect();
    let names: std::collections::BTreeSet<&PathBuf> = made.iter().collect();
    assert!(names.len() == 4 && made.iter().all(|path| path.is_file()), "{made:?}");
    let piped = home.jr(&["debug-report", "--no-facts", "-o", "-"]);
    assert_eq!(code(&piped), 0, "{}", text(&piped.stderr));
    let path = home.path().join("piped.jrb");
    std::fs::write(&path, &piped.stdout).expect("writes");
    home.ok(&["replay", path.to_str().expect("text")]);
    let left = std::fs::read_dir(home.root().join("debug")).expect("reads").count();
    assert_eq!(left, 5, "four and the note of the last");
    let both = home.json(&["debug-report", "-o", "-"]);
    assert_eq!(both["error"]["code"], "usage");
}

#[test]
fn of_a_long_stream_a_bundle_has_the_newest_and_says_so() {
    let home = Home::new();
    let script = "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end; echo bad >&2";
    home.ok(&["run", "--name", "long", "--", "sh", "-c", script]);
    let path = home.path().join("r.jrb");
    let document =
        home.json(&["debug-report", "--include-output", "-o", path.to_str().expect("text")]);
    let left = &document["redactions"]["left_out"][0];
    let gone = 20_000_009_u64 - (16 << 20);
    assert_eq!(left["bytes"], gone, "{left}");
    let printed = elsewhere(&["logs", "long", "--stdout"], &path);
    assert_eq!(printed.stdout.len(), 16 << 20);
    assert!(printed.stdout.ends_with(b"x\nthe end\n") && printed.stdout.starts_with(b"xxx"));
    let told = text(&printed.stderr);
    assert!(told.contains(&format!("the oldest {gone} bytes are not in the bundle")), "{told}");
    assert!(!told.contains("--include-output"), "{told}");
    let errors = elsewhere(&["logs", "long", "--stderr"], &path);
    assert_eq!(text(&errors.stdout), "bad");
    let last = elsewhere(&["logs", "long", "-n", "1"], &path);
    assert_eq!(text(&last.stdout).lines().count(), 1);
}

/// Every form in which a value may be found.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let hex: Vec<String> = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let utf16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        value.as_bytes().to_vec(),
        hex.concat().into_bytes(),
        hex.concat().to_uppercase().into_bytes(),
        value.replace('+', "%2B").replace('/', "%2F").into_bytes(),
        utf16,
        // printf %s "$CANARY" | base64, and what of it stays with one and two bytes before.
        b"YzRuYXJ5LVpiN3EreC45".to_vec(),
        b"M0bmFyeS1aYjdxK3guO".to_vec(),
        b"jNG5hcnktWmI3cSt4Lj".to_vec(),
    ]
}

#[test]
fn no_secret_is_in_a_bundle() {
    let home = Home::new();
    let script = "echo plain $API_TOKEN; printf %s $API_TOKEN | base64; \
                  printf x%s $API_TOKEN | base64; printf xx%s $API_TOKEN | base64; \
                  printf %s $API_TOKEN | od -An -tx1 | tr -d ' \\n'; echo; \
                  printf '%s//ada:%s@host/\\n' https: $API_TOKEN; \
                  echo '{\"password\": \"'$API_TOKEN'\"}'; \
                  printf 'DB_%s=%s\\n' PASSWORD $(echo 2retnuh2retnuh | rev)";
    let mut command = home.command(&["run", "--name", "leaky", "--", "sh", "-c", script]);
    command.env("API_TOKEN", CANARY);
    assert!(command.output().expect("runs").status.success());
    // Of an argument nobody knows later what it was.
    let url = format!("https://ada:{CANARY}@host/x");
    let token = format!("--token={CANARY}");
    home.ok(&["run", "--name", "argument", "--", "sh", "-c", "echo $0 $1", &url, &token]);
    let path = home.path().join("r.jrb");
    let mut command =
        home.command(&["debug-report", "--include-output", "-o", path.to_str().expect("text")]);
    command.env("API_TOKEN", CANARY);
    let report = command.output().expect("runs");
    assert!(report.status.success(), "{}", text(&report.stderr));
    let archive = zstd::stream::decode_all(&std::fs::read(&path).expect("reads")[..]);
    let archive = archive.expect("decompresses");
    for form in forms(CANARY).into_iter().chain([b"hunter2hunter2".to_vec()]) {
        let found = archive.windows(form.len()).any(|part| part == form);
        assert!(!found, "{}", String::from_utf8_lossy(&form));
    }
    let bare = home.path().join("bare.jrb");
    home.ok(&["debug-report", "-o", bare.to_str().expect("text")]);
    let told = text(&elsewhere(&["logs", "leaky"], &bare).stderr);
    assert!(told.contains("which the bundle has not"), "{told}");
    let printed = text(&elsewhere(&["logs", "leaky"], &path).stdout);
    assert!(printed.starts_with("plain [secret]"), "{printed}");
    let mut command = home.command(&["--json", "debug-report", "--include-output"]);
    let document = document(&command.env("API_TOKEN", CANARY).output().expect("runs"));
    let items = document["redactions"]["items"].as_array().expect("a list");
    assert!(items.iter().any(|item| item["found_by"] == "value"), "{items:?}");
    let left_out = |words: &[&str], variables: &[(&str, &str)]| -> Vec<String> {
        let words = [&["--json", "debug-report", "--include-output"], words].concat();
        let output = home.command(&words).envs(variables.iter().copied()).output().expect("runs");
        let left = home::document(&output)["redactions"]["left_out"].clone();
        let left = left.as_array().expect("a list").clone();
        left.iter().map(|left| left["why"].as_str().expect("text").to_owned()).collect()
    };
    let known = left_out(&[], &[("API_TOKEN", CANARY)]);
    assert!(known.len() == 1 && known[0].contains("in the command"), "{known:?}");
    let nobody_knows = left_out(&[], &[]);
    assert!(nobody_knows.iter().any(|why| why.contains("API_TOKEN")), "{nobody_knows:?}");
    assert_eq!(left_out(&["--unknown-secrets"], &[]), Vec::<String>::new());
    // What is shown live has the same markers.
    let shown = home.ok(&["show", "leaky", "--json"]);
    assert!(!shown.contains(CANARY) && shown.contains("[secret]"));
}

#[test]
fn another_value_of_the_same_name_is_not_taken_for_the_one_that_a_run_had() {
    let home = Home::new();
    let folder = tempfile::tempdir().expect("makes");
    let configuration = "[jobs.declared]\ncommand = \"echo $NOTE\"\n\
         environment = { NOTE = { value = \"note-canary-7\", secret = true } }\n";
    std::fs::write(folder.path().join("jr.toml"), configuration).expect("writes");
    let jr = |words: &[&str], token: &str| {
        let mut command = home.command(words);
        command.current_dir(folder.path()).env("API_TOKEN", token).env("PIN_SECRET", "123");
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        output
    };
    let (old, new) = ("old-canary-7", "new-canary-7");
    jr(&["run", "--name", "ad-hoc", "--", "sh", "-c", "echo $API_TOKEN"], old);
    jr(&["run", "declared"], old);
    let path = home.path().join("r.jrb");
    let report = |token: &str| {
        let path = path.to_str().expect("text");
        let output = jr(&["--json", "debug-report", "--include-output", "-o", path], token);
        let archive = zstd::stream::decode_all(&std::fs::read(path).expect("reads")[..]);
        let archive = archive.expect("decompresses");
        let found = archive.windows(8).any(|part| part == &b"canary-7"[..]);
        assert!(!found, "{token}");
        document(&output)["redactions"].clone()
    };
    let redactions = report(new);
    let left = redactions["left_out"].as_array().expect("a list");
    let is_told = |left: &serde_json::Value| left["why"].to_string().contains("API_TOKEN");
    assert!(left.len() == 2 && left.iter().all(is_told), "{left:?}");
    assert_eq!(redactions["too_short"], 1);
    let redactions = report(old);
    assert_eq!(redactions["left_out"], serde_json::json!([]));
    assert!(text(&elsewhere(&["logs", "declared"], &path).stdout).starts_with("[secret]"));
}

#[test]
fn what_is_costly_to_look_at_is_there_with_deep() {
    let home = Home::new();
    home.detach(&["--name", "up", "--", "sh", "-c", "sleep 300 & exec sleep 301"]);
    let pid = home.pid_of("up");
    let path = report(&home, &["--deep"]);
    let archive = zstd::stream::decode_all(&std::fs::read(&path).expect("reads")[..]);
    let archive = archive.expect("decompresses");
    let found = |words: &str| archive.windows(words.len()).any(|part| part == words.as_bytes());
    assert!(found("facts/deep.json") && found(&format!("\"pid\": {pid}")));
    assert!(found("open_files"));
    assert_eq!(code(&home.jr(&["debug-report", "--deep", "--no-facts"])), 2);
}

#[test]
fn a_recorded_run_is_done_here_again() {
    let home = Home::new();
    let folder = tempfile::tempdir().expect("makes");
    let cwd = folder.path().to_str().expect("text").to_owned();
    let script = "echo $GREETING $API_TOKEN in $PWD; exit 3";
    let words =
        ["run", "--name", "there", "--cwd", &cwd, "--set", "GREETING=hello", "--", "sh", "-c"];
    let mut command = home.command(&[&words[..], &[script]].concat());
    command.env("API_TOKEN", CANARY);
    assert_eq!(code(&command.output().expect("runs")), 3);
    assert_eq!(code(&home.jr_with_input(&["batch"], b"true\necho line\nfalse\n")), 1);
    let path = report(&home, &[]);
    let path = path.to_str().expect("text");
    drop(folder);
    let other = Home::new();
    // What only the other machine knows is left out, and that is told.
    let without = other.jr(&["rerun", "--bundle", path, "there", "--wait"]);
    let told = text(&without.stderr);
    assert_eq!(code(&without), 3, "{told}");
    assert!(told.contains("it runs without: API_TOKEN") && !told.contains("taken"), "{told}");
    assert_eq!(other.ok(&["logs", "there"]), "hello in /");
    let words = ["rerun", "--bundle", path, "there", "--set", "API_TOKEN=own", "--wait"];
    let again = other.jr(&words);
    assert_eq!(code(&again), 3, "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("is not here"), "{}", text(&again.stderr));
    let shown = other.show(&text(&again.stdout));
    assert_eq!((&shown["name"], &shown["command"][2]), (&"there".into(), &script.into()));
    assert_eq!(other.ok(&["logs", "there"]), "hello own in /");
    let batch = other.jr(&["rerun", "--bundle", path, "batch", "--failed", "--wait"]);
    assert_eq!(code(&batch), 1);
    assert_eq!(other.items(&["history", "--parent", "batch"]).len(), 1, "the failed line alone");
    let idle = other.jr(&[
        "rerun",
        "--bundle",
        path,
        "batch",
        "there",
        "--failed",
        "--set",
        "API_TOKEN=x",
    ]);
    assert_eq!(code(&idle), 0, "both had failed");
    assert_eq!(code(&other.jr(&["rerun", "--bundle", path, "nobody"])), 3);
}

#[test]
fn a_bundle_is_of_one_environment_and_its_output_lies_nowhere_else() {
    let home = Home::new();
    home.ok(&["run", "--name", "built", "echo", "out"]);
    let bundle = report(&home, &["--include-output"]);
    for words in [&["ps", "-a"][..], &["env"], &["config", "show"], &["diff", "last", "last"]] {
        let refused = elsewhere(&[words, &["-e", "other"]].concat(), &bundle);
        let told = text(&refused.stderr);
        assert_eq!(code(&refused), 3, "{words:?}: {told}");
        assert!(told.contains("is of environment local"), "{told}");
        assert!(told.contains("jr ps -a -e local --bundle"), "{told}");
        assert_eq!(code(&elsewhere(&[words, &["-e", "local"]].concat(), &bundle)), 0, "{words:?}");
    }
    let places = document(&elsewhere(&["--json", "logs", "built"], &bundle));
    assert_eq!(places["items"][0]["run_id"], home.show("built")["run_id"], "{places}");
    assert!(places["items"][0]["base"].is_null(), "{places}");
    assert!(home.json(&["logs", "built"])["items"][0]["base"].is_string());
}

#[test]
fn what_is_no_bundle_is_told() {
    let home = Home::new();
    let path = home.path().join("x");
    std::fs::write(&path, "hello").expect("writes");
    for words in [&["ps", "--bundle"][..], &["replay"]] {
        let refused = home.jr(&[words, &[path.to_str().expect("text")]].concat());
        assert_eq!(code(&refused), 1, "{words:?}");
        assert!(text(&refused.stderr).contains("no bundle"), "{}", text(&refused.stderr));
        let absent = home.jr(&[words, &["/no/such.jrb"]].concat());
        assert_eq!(code(&absent), 1);
    }
    for words in [&["logs", "-f"][..], &["events", "-f"], &["pin", "x"]] {
        let refused = home.jr(&[words, &["--bundle", path.to_str().expect("text")]].concat());
        assert_eq!(code(&refused), 2, "{words:?}");
    }
}
