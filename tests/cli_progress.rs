//! How far runs are: read from what they print and from what their name took before, in `ps`,
//! `show` and `wait`, with the daemon dead too, and in the terminal's tab.

#[path = "support/home.rs"]
mod home;
#[path = "support/screen.rs"]
mod screen;

use home::{Home, code, text, until, until_so};
use rustix::process::Signal;
use screen::Screen;
use serde_json::{Value, json};

/// A run that prints this as `printf` does, and goes on.
fn printing(home: &Home, name: &str, format: &str) {
    let script = format!("printf '{format}'; exec sleep 600");
    home.detach(&["--name", name, "--queue", "wide", "--", "sh", "-c", &script]);
}

/// A queue in which nothing waits.
fn wide() -> Home {
    let home = Home::new();
    home.ok(&["queue", "set", "wide", "-j", "20"]);
    home
}

/// The progress of a run once it is as wished.
fn progress(home: &Home, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    until(&format!("progress of {name}"), || {
        let progress = home.show(name)["progress"].clone();
        if is_it(&progress) { Ok(progress) } else { Err(progress.to_string()) }
    })
}

fn row(home: &Home, name: &str) -> String {
    let table = home.ok(&["ps"]);
    let row = table.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
    row.unwrap_or_else(|| panic!("{name} in {table}")).to_owned()
}

#[test]
fn counted_lines_are_told_in_ps_and_show() {
    let home = wide();
    let lines = "noise\\ncompleted=[3] total=[10] operation=[load]\\n";
    printing(&home, "load", lines);
    let told = progress(&home, "load", |told| told["completed"] == 3);
    assert_eq!((&told["total"], &told["percent"]), (&10.into(), &30.into()));
    assert_eq!((&told["operation"], &told["state"]), (&"load".into(), &Value::Null));
    assert_eq!((&told["eta_by"], &told["usual_ms"]), (&"progress".into(), &Value::Null));
    assert!(told["eta_ms"].is_u64() && told["eta_at"].is_string(), "{told}");
    let items = home.items(&["ps"]);
    assert_eq!(items[0]["progress"]["operation"], "load");
    assert!(home.ok(&["ps"]).lines().next().expect("a head").contains("PROGRESS"));
    assert!(row(&home, "load").contains("30% 3/10 load, ~"), "{}", row(&home, "load"));
    assert!(home.ok(&["show", "load"]).contains("progress    30% 3/10 load, ~"));
}

#[test]
fn the_bar_of_a_terminal_and_json_lines_are_understood() {
    let home = wide();
    printing(&home, "bar", "\\033]9;4;1;10\\007\\r\\033]9;4;2;42\\033\\\\\\\\");
    printing(
        &home,
        "json",
        "{\"operation\":\"pull\",\"completed\":2.5,\"total\":5,\"unit\":\"MB\"}\\n",
    );
    printing(&home, "ended", "operation=[x] failed=[no disk]\\n");
    let told = progress(&home, "bar", |told| told["percent"] == 42);
    assert_eq!((&told["state"], &told["completed"]), (&"error".into(), &Value::Null));
    let told = progress(&home, "json", |told| told["percent"] == 50);
    assert_eq!((&told["completed"], &told["unit"]), (&json!(2.5), &"MB".into()));
    let told = progress(&home, "ended", |told| told["failed"] == true);
    assert_eq!(told["result"], "no disk");
    assert!(row(&home, "ended").contains("failed: no disk"));
}

#[test]
fn it_is_read_with_the_daemon_dead_and_not_at_another_moment() {
    let home = wide();
    printing(&home, "load", "operation=[load] completed=[1] total=[4]\\n");
    progress(&home, "load", |told| told["completed"] == 1);
    let head = home.events(&[]).last().expect("records")["seq"].to_string();
    home.without_daemon();
    assert!(row(&home, "load").contains("25% 1/4 load"));
    assert_eq!(home.show("load")["progress"]["percent"], 25);
    assert_eq!(home.daemons(), Vec::<i32>::new(), "none was started for that");
    assert_eq!(home.items(&["ps", "--at", &head])[0]["progress"], Value::Null);
}

#[test]
fn a_bundle_tells_nothing_of_output_that_lies_here() {
    let home = wide();
    printing(&home, "load", "operation=[load] completed=[1] total=[4]\\n");
    progress(&home, "load", |told| told["completed"] == 1);
    let bundle = home.path().join("x.jrb");
    let bundle = bundle.to_str().expect("text");
    home.ok(&["debug-report", "-o", bundle]);
    assert_eq!(home.items(&["ps", "--bundle", bundle])[0]["progress"], Value::Null);
    assert_eq!(home.json(&["show", "load", "--bundle", bundle])["progress"], Value::Null);
}

#[test]
fn a_run_that_says_nothing_has_no_progress_and_no_column() {
    let home = wide();
    printing(&home, "quiet", "just a line\\n50%%\\nkey=value\\n");
    home.until_state("quiet", "running");
    assert_eq!(home.show("quiet")["progress"], Value::Null);
    assert!(!home.ok(&["ps"]).contains("PROGRESS"));
    home.ok(&["run", "--", "true"]);
    assert_eq!(home.show("true")["progress"], Value::Null, "it has ended");
}

#[test]
fn earlier_successes_of_the_name_say_how_long_it_takes() {
    let home = wide();
    home.ok(&["run", "--name", "job", "--", "sleep", "0.1"]);
    home.jr(&["run", "--name", "job", "--", "false"]);
    home.detach(&["--name", "job", "--queue", "wide", "--", "sleep", "600"]);
    home.detach(&["--name", "other", "--queue", "wide", "--", "sleep", "600"]);
    let told = progress(&home, "job", |told| told["overdue_ms"].is_u64());
    let usual = told["usual_ms"].as_u64().expect("known");
    assert!(usual >= 100, "that of the success: {told}");
    assert_eq!((&told["eta_ms"], &told["percent"]), (&Value::Null, &Value::Null));
    let (elapsed, over) = (told["elapsed_ms"].as_u64(), told["overdue_ms"].as_u64());
    assert_eq!(elapsed, Some(usual + over.expect("late")));
    assert!(row(&home, "job").contains(" over the usual "), "{}", row(&home, "job"));
    home.until_state("other", "running");
    assert_eq!(home.show("other")["progress"], Value::Null);
    // A name that took long has time left.
    home.ok(&["run", "--name", "slow", "--", "sleep", "3"]);
    home.detach(&["--name", "slow", "--queue", "wide", "--", "sleep", "600"]);
    let told = progress(&home, "slow", |told| told["eta_by"] == "history");
    assert!(told["eta_ms"].as_u64() <= told["usual_ms"].as_u64(), "{told}");
}

#[test]
fn paused_time_does_not_count() {
    let home = wide();
    printing(&home, "load", "operation=[load] completed=[1] total=[4]\\n");
    progress(&home, "load", |told| told["completed"] == 1);
    home.ok(&["pause", "load"]);
    let told = home.show("load")["progress"].clone();
    assert!(told["eta_ms"].is_u64() && told["eta_at"].is_null(), "{told}");
    let elapsed = told["elapsed_ms"].clone();
    let age = || home.show("load")["duration_ms"].as_u64().expect("it began");
    let begin = age();
    until_so("time to pass", || age() > begin + 300);
    assert_eq!(home.show("load")["progress"]["elapsed_ms"], elapsed);
    home.ok(&["resume", "load"]);
    // Also by a daemon that did not see it.
    home.ok(&["daemon", "stop"]);
    let later = home.show("load")["progress"]["elapsed_ms"].as_u64().expect("known");
    assert!(elapsed.as_u64() <= Some(later));
    assert!(home.show("load")["duration_ms"].as_u64().expect("it began") >= later + 300);
}

/// Of a batch too, whoever is asked: the daemon that saw it, another one, and nobody but the files.
#[test]
fn paused_time_of_a_batch_does_not_count() {
    let home = Home::new();
    let lines = home.path().join("lines");
    std::fs::write(&lines, "true\nsleep 600\n").expect("written");
    let client = home.spawn(&["batch", "--name", "some", "-j1", lines.to_str().expect("text")]);
    progress(&home, "some", |told| told["completed"] == 1);
    home.ok(&["pause", "some"]);
    let told = home.show("some")["progress"].clone();
    assert!(told["eta_ms"].is_u64() && told["eta_at"].is_null(), "{told}");
    let elapsed = told["elapsed_ms"].as_u64().expect("known");
    let age = || home.show("some")["duration_ms"].as_u64().expect("it began");
    let begin = age();
    until_so("time to pass", || age() > begin + 500);
    assert_eq!(home.show("some")["progress"]["elapsed_ms"], elapsed);
    home.ok(&["resume", "some"]);
    let goes_on = |more: &[&str]| {
        let shown = home.json(&[&["show", "some"][..], more].concat());
        let later = shown["progress"]["elapsed_ms"].as_u64().expect("known");
        let age = shown["duration_ms"].as_u64().expect("it began");
        assert!(elapsed <= later && age >= later + 500, "{more:?} {later} of {age}");
    };
    goes_on(&[]);
    let head = home.json(&["log", "stat"])["seq"].to_string();
    goes_on(&["--at", &head]);
    home.without_daemon();
    goes_on(&[]);
    home.ok(&["daemon", "start"]);
    goes_on(&[]);
    home.ok(&["stop", "some"]);
    drop(client);
}

#[test]
fn hostile_output_steers_nothing() {
    let home = wide();
    printing(
        &home,
        "evil",
        "operation=[\\033[2Jwipe\\033]0;owned\\007] completed=[9] total=[4]\\n",
    );
    let script = "head -c 2000000 /dev/urandom; printf '\\033]9;4;1;'; tr '\\0' '[' < /dev/zero | \
                  head -c 1000000; echo; printf 'a=['; sleep 600";
    home.detach(&["--name", "noise", "--queue", "wide", "--", "sh", "-c", script]);
    let told = progress(&home, "evil", |told| told["completed"] == 9);
    assert_eq!(told["percent"], 100);
    until_so("the noise", || home.jr(&["logs", "noise"]).stdout.ends_with(b"a=["));
    for words in [&["ps"][..], &["show", "evil"], &["show", "noise"]] {
        let printed = home.ok(words);
        assert!(!printed.contains(['\u{1b}', '\u{7}']), "{printed:?}");
    }
    assert_eq!(home.show("noise")["progress"], Value::Null);
}

#[test]
fn only_the_newest_output_of_the_latest_attempt_counts() {
    let home = wide();
    let old = "printf 'completed=[1] total=[9]\\n'; seq 1 40000; exec sleep 600";
    home.detach(&["--name", "old", "--queue", "wide", "--", "sh", "-c", old]);
    let new = "seq 1 40000; printf 'completed=[2] total=[9]\\n'; exec sleep 600";
    home.detach(&["--name", "new", "--queue", "wide", "--", "sh", "-c", new]);
    let again = "if [ $JR_ATTEMPT = 1 ]; then echo 'completed=[8] total=[9]'; exit 1; fi; \
                 echo 'completed=[1] total=[9]'; exec sleep 600";
    let words = ["--name", "again", "--queue", "wide", "--retries", "1", "--backoff", "0"];
    home.detach(&[&words[..], &["--", "sh", "-c", again]].concat());
    progress(&home, "new", |told| told["completed"] == 2);
    progress(&home, "again", |told| told["completed"] == 1);
    until_so("all of it", || home.jr(&["logs", "old"]).stdout.ends_with(b"\n40000\n"));
    assert_eq!(home.show("old")["progress"], Value::Null);
}

#[test]
fn a_run_in_the_foreground_has_its_bar_untouched() {
    let home = Home::new();
    let bar = "\x1b]9;4;1;50\x07\x1b]9;4;0;0\x1b\\";
    let output = home.jr(&["run", "--", "printf", "%s", bar]);
    assert_eq!((code(&output), output.stdout.as_slice()), (0, bar.as_bytes()));
    let mut screen = Screen::jr(&home, &["run", "--", "printf", "%s", bar]);
    screen.expect(bar);
    assert_eq!(screen.end_code(), 0);
}

/// A batch of some lines at a terminal.
fn batch(home: &Home, lines: &str, words: &[&str], variables: &[(&str, &str)]) -> Screen {
    let file = home.path().join("lines");
    std::fs::write(&file, lines).expect("written");
    let words = [words, &["batch", "-j", "1", file.to_str().expect("text")]].concat();
    Screen::with(home, &words, 24, 80, |command| {
        command.envs(variables.iter().copied());
    })
}

#[test]
fn a_batch_shows_its_share_in_the_tab_and_takes_it_away() {
    let home = Home::new();
    let flag = |name: &str| home.path().join(name);
    let waits = |name| format!("until [ -e {} ]; do sleep 0.05; done", flag(name).display());
    let lines = format!("true\n{}\nfalse\n{}\n", waits("one"), waits("two"));
    let mut screen = batch(&home, &lines, &[], &[]);
    screen.expect("\x1b]9;4;1;25\x1b\\");
    screen.expect("left");
    std::fs::write(flag("one"), "").expect("written");
    screen.expect("\x1b]9;4;2;75\x1b\\");
    std::fs::write(flag("two"), "").expect("written");
    screen.expect("\x1b]9;4;0;0\x1b\\");
    assert_eq!(screen.end_code(), 1);
    assert!(!after_removal(&mut screen).contains("]9;4"));
    let row = home.items(&["history", "--kind", "batch"])[0].clone();
    assert_eq!(row["progress"], Value::Null, "it has ended");
}

fn after_removal(screen: &mut Screen) -> String {
    let text = screen.text();
    text.rsplit_once("\x1b]9;4;0;0\x1b\\").expect("taken away").1.to_owned()
}

#[test]
fn ctrl_c_takes_the_bar_away_too() {
    let home = Home::new();
    let mut screen = batch(&home, "sleep 600\n", &[], &[]);
    screen.expect("\x1b]9;4;1;0\x1b\\");
    until_so("a line to run", || home.items(&["ps"]).iter().any(|run| run["pid"].is_u64()));
    screen.signal(Signal::INT);
    screen.expect("\x1b]9;4;0;0\x1b\\");
    assert_eq!(screen.end_code(), 1);
    assert!(!after_removal(&mut screen).contains("]9;4"));
}

#[test]
fn who_wants_plain_text_gets_no_bar() {
    let home = Home::new();
    for (words, variable) in [
        (&["--color", "never"][..], None),
        (&["-q"], None),
        (&[], Some(("NO_COLOR", "1"))),
        (&[], Some(("TERM", "dumb"))),
        (&[], Some(("TERM_PROGRAM", "iTerm.app"))),
    ] {
        let mut screen = batch(&home, "true\n", words, variable.as_slice());
        assert_eq!(screen.end_code(), 0);
        assert!(!screen.text().contains("]9;4"), "{words:?} {variable:?}");
    }
    let output = home.jr_with_input(&["batch"], b"true\n");
    assert!(!text(&output.stderr).contains("]9;4"), "no terminal");
}

#[test]
fn a_batch_is_as_far_as_its_lines() {
    let home = Home::new();
    let file = home.path().join("lines");
    std::fs::write(&file, "true\ntrue\nsleep 600\nfalse\n").expect("written");
    let _client = home.spawn(&["batch", "-j", "1", "--name", "many", file.to_str().expect("text")]);
    until_so("the batch", || home.jr(&["show", "many"]).status.success());
    let told = progress(&home, "many", |told| told["completed"] == 2);
    assert_eq!((&told["total"], &told["unit"]), (&4.into(), &"lines".into()));
    assert_eq!((&told["percent"], &told["eta_by"]), (&50.into(), &"progress".into()));
    assert!(row(&home, "many").contains("50% 2/4 lines, ~"), "{}", row(&home, "many"));
    let head = home.json(&["log", "stat"])["seq"].to_string();
    let then = home.json(&["show", "many", "--at", &head])["progress"].clone();
    assert_eq!(
        (&then["completed"], &then["total"], &then["percent"]),
        (&2.into(), &4.into(), &50.into())
    );
}

#[test]
fn waiting_at_a_terminal_tells_how_far_it_is() {
    let home = wide();
    let flag = home.path().join("flag");
    let script = format!(
        "echo 'operation=[load] completed=[1] total=[4]'; until [ -e {} ]; do sleep 0.05; done",
        flag.display()
    );
    home.detach(&["--name", "load", "--queue", "wide", "--", "sh", "-c", &script]);
    let mut screen = Screen::jr(&home, &["wait", "load"]);
    screen.expect("waiting: load: 25% 1/4 load, ~");
    std::fs::write(flag, "").expect("written");
    screen.expect("succeeded");
    assert_eq!(screen.end_code(), 0);
    let mut late = Screen::jr(&home, &["wait", "load", "--timeout", "5"]);
    assert_eq!(late.end_code(), 0, "it has ended");
    home.detach(&["--name", "long", "--queue", "wide", "--", "sleep", "600"]);
    let mut late = Screen::jr(&home, &["wait", "long", "--timeout", "1.2"]);
    assert_eq!(late.end_code(), 124);
}

#[test]
fn a_table_shows_as_much_of_it_as_fits() {
    let home = wide();
    printing(&home, "load", "operation=[load] completed=[3] total=[10] unit=[files]\\n");
    progress(&home, "load", |told| told["completed"] == 3);
    let of = |columns| {
        let mut screen = Screen::sized(&home, &["--color", "never", "ps"], 24, columns);
        assert_eq!(screen.end_code(), 0);
        screen.text()
    };
    assert!(of(140).contains("30% 3/10 files load, ~"), "{}", of(140));
    let (middle, narrow) = (of(86), of(50));
    assert!(middle.contains("30% ~") && !middle.contains("3/10"), "{middle}");
    assert!(narrow.contains("30%") && !narrow.contains('~'), "{narrow}");
    for line in narrow.lines() {
        assert!(line.trim_end().chars().count() <= 50, "{line}");
    }
}
