//! `jr config check`, `schema` and `init`, from outside: at a terminal and without one.

#[path = "support/home.rs"]
mod home;
#[path = "support/screen.rs"]
mod screen;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Output, Stdio};

use home::{Home, code, document, text};
use rustix::process::Signal;
use screen::Screen;

struct Desk {
    home: Home,
    place: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { home: Home::new(), place: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("a file")
    }

    fn jr(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.home.command(words);
        command.current_dir(self.path()).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("jr starts");
        // One that does not read it is gone already.
        child.stdin.take().expect("piped").write_all(input.as_bytes()).ok();
        child.wait_with_output().expect("jr ends")
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).expect("a directory").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn wizard(&self) -> Screen {
        let path = self.path().to_owned();
        Screen::with(&self.home, &["config", "init"], 24, 80, |command| {
            command.current_dir(path);
        })
    }
}

#[test]
fn check_tells_all_at_once_with_places() {
    let desk = Desk::new();
    desk.write(
        "jr.toml",
        "[project]\nnmae = 1\n\n[services.web]\nport = 99999\npassword = hunter2\n",
    );
    let output = desk.jr(&["config", "check"], "");
    assert_eq!(code(&output), 2);
    assert!(!text(&output.stdout).contains("hunter2"), "{output:?}");
    desk.write("jr.toml", "[project]\nnmae = 1\n\n[services.web]\nport = 99999\n");
    let output = desk.jr(&["config", "check"], "");
    let shown = text(&output.stdout);
    for words in [
        "error[unknown_key]",
        "jr.toml:2:1",
        "2 | nmae = 1",
        "did you mean \"name\"?",
        "error[no_command]",
        "jr.toml:4:11",
        "error[out_of_range]",
        "jr.toml:5:8",
        "^^^^^",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no colour into a pipe");
    assert_eq!(text(&output.stderr), "jr: 3 errors, 0 warnings in 1 file, 1 environment");
    let output = desk.jr(&["config", "check", "--json"], "");
    assert_eq!((code(&output), text(&output.stderr).as_str()), (2, ""));
    let document = document(&output);
    assert_eq!(document["schema"], "jr.config_check/1");
    let item = &document["items"][0];
    assert_eq!((&item["severity"], &item["code"]), (&"error".into(), &"unknown_key".into()));
    assert_eq!((&item["line"], &item["column"]), (&2.into(), &1.into()));
    assert!(item["file"].as_str().is_some_and(|file| file.ends_with("/jr.toml")), "{item}");
    assert_eq!(item["suggestion"], "did you mean \"name\"?");
    assert!(text(&desk.jr(&["--color=always", "config", "check"], "").stdout).contains('\u{1b}'));
}

#[test]
fn check_takes_one_file_or_what_is_piped() {
    let desk = Desk::new();
    desk.write("jr.toml", "broken");
    desk.write("good.toml", "[services.web]\ncommand = \"x\"\n");
    desk.write("runtime.toml", "[web]\nport = 1\n");
    for words in [
        &["config", "check", "good.toml"][..],
        &["config", "check", "runtime.toml"],
        &["config", "check", "--kind", "services", "good.toml"],
    ] {
        let output = desk.jr(words, "");
        assert_eq!(code(&output), 0, "{output:?}");
        assert_eq!(text(&output.stderr), "ok: 1 file, 1 environment");
    }
    let kind = |kind: &str, input: &str| {
        let output = desk.jr(&["config", "check", "-", "--json", "--kind", kind], input);
        document(&output)["items"][0]["code"].as_str().map(str::to_owned)
    };
    assert_eq!(kind("services", "default_mode = \"main\"\n").as_deref(), Some("no_services"));
    assert_eq!(kind("runtime", "[web]\ncommand = \"x\"\n").as_deref(), Some("unknown_key"));
    assert_eq!(kind("settings", "[web]\nport = 1\n").as_deref(), Some("unknown_key"));
    assert_eq!(kind("runtime", "[web]\nport = 1\n"), None);
    let output = desk.jr(&["config", "check", "nowhere.toml"], "");
    assert_eq!(code(&output), 2);
    assert!(text(&output.stdout).contains("No such file"), "{output:?}");
    fs::remove_file(desk.path().join("jr.toml")).expect("removed");
    for words in [&["env"][..], &["env", "--all"], &["env", "--origin"], &["env", "-e", "other"]] {
        let printed = desk.jr(words, "");
        assert_eq!(code(&printed), 0, "{printed:?}");
        let output = desk.jr(&["config", "check", "-"], &text(&printed.stdout));
        assert_eq!(code(&output), 0, "{words:?} {output:?}");
    }
}

#[test]
fn the_schema_is_one_document() {
    let desk = Desk::new();
    let schema = document(&desk.jr(&["config", "schema"], ""));
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn init_writes_what_is_given_and_nothing_else() {
    let desk = Desk::new();
    let output = desk.jr(&["config", "init"], "");
    assert_eq!(code(&output), 2, "there is nobody to ask: {output:?}");
    assert!(text(&output.stderr).contains("no terminal"), "{output:?}");
    assert_eq!(desk.files(), [""; 0]);
    let output = desk.jr(&["config", "init", "--stdin-json"], "{\"default_mode\":\"trees\"}\n");
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(desk.read("jr.toml"), "default_mode = \"trees\"\n");
    desk.write("jr.toml", "# mine\n[project] # kept\nname = 'x'\n");
    fs::set_permissions(desk.path().join("jr.toml"), fs::Permissions::from_mode(0o600))
        .expect("set");
    let words = [
        "config",
        "init",
        "--set",
        "project.default_env=ci",
        "--set",
        "environments.ci.type=local",
    ];
    assert_eq!(
        text(&desk.jr(&[&words[..], &["--dry-run"]].concat(), "").stdout).lines().count(),
        7
    );
    assert_eq!(desk.read("jr.toml"), "# mine\n[project] # kept\nname = 'x'\n");
    assert_eq!(code(&desk.jr(&words, "")), 0);
    let expected = "# mine\n[project] # kept\nname = 'x'\ndefault_env = \"ci\"\n\n\
        [environments.ci]\ntype = \"local\"\n";
    assert_eq!(desk.read("jr.toml"), expected);
    let mode = fs::metadata(desk.path().join("jr.toml")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let document = document(&desk.jr(&[&words[..], &["--json"]].concat(), ""));
    assert_eq!(document["schema"], "jr.config_init/1");
    assert_eq!((&document["changed"], &document["created"]), (&false.into(), &false.into()));
    assert_eq!(desk.files(), ["jr.toml"], "nothing is left beside it");
}

#[test]
fn init_refuses_what_would_not_be_valid() {
    let desk = Desk::new();
    desk.write("jr.toml", "default_mode = \"main\"\n");
    for (words, input) in [
        (&["--set", "default_mode=tree"][..], ""),
        (&["--set", "defualt_mode=trees"], ""),
        (&["--set", "services.web.port=80"], ""),
        (&["--set", "project.default_env=nowhere"], ""),
        (&["--set", "nothing"], ""),
        (&["--set", "default_mode.x=1"], ""),
        (&["--stdin-json"], "[]"),
        (&["--stdin-json"], "{"),
        (&["--stdin-json"], ""),
        (&["--stdin-json"], "{\"default_mode\":7}"),
        (&["--stdin-json"], "{\"a..b\":7}"),
    ] {
        let output = desk.jr(&[&["config", "init"], words].concat(), input);
        assert_eq!(code(&output), 2, "{words:?} {output:?}");
        assert_eq!(desk.read("jr.toml"), "default_mode = \"main\"\n");
    }
    symlink("jr.toml", desk.path().join("link.toml")).expect("linked");
    let output =
        desk.jr(&["config", "init", "--file", "link.toml", "--set", "default_mode=trees"], "");
    assert_eq!(code(&output), 2);
    assert!(text(&output.stderr).contains("symbolic link to jr.toml"), "{output:?}");
    desk.write("jr.toml", "broken");
    assert_eq!(code(&desk.jr(&["config", "init", "--set", "default_mode=trees"], "")), 2);
    assert_eq!(desk.read("jr.toml"), "broken");
}

#[test]
fn the_schema_is_named_where_it_lies_or_is_asked_for() {
    let desk = Desk::new();
    assert_eq!(
        code(&desk.jr(&["config", "init", "--schema", "--set", "default_mode=main"], "")),
        0
    );
    let line = "#:schema ./jr.schema.json\n\n";
    assert_eq!(desk.read("jr.toml"), format!("{line}default_mode = \"main\"\n"));
    assert_eq!(desk.files(), ["jr.schema.json", "jr.toml"]);
    fs::remove_file(desk.path().join("jr.toml")).expect("removed");
    assert_eq!(code(&desk.jr(&["config", "init", "--set", "default_mode=main"], "")), 0);
    assert!(desk.read("jr.toml").starts_with(line));
}

#[test]
fn the_wizard_asks_in_seven_steps() {
    let desk = Desk::new();
    let envctl = "ENVCTL_DEFAULT_MODE=trees\nMAIN_REDIS_ENABLE=true\n\
        TREES_REDIS_ENABLE=true\nTREES_DIR_NAME=wt\n";
    desk.write(".envctl", envctl);
    let mut screen = desk.wizard();
    screen.expect("1/7 Source");
    screen.expect(".envctl: 3 of its values");
    screen.expect("2/7 Default mode");
    screen.expect("mode, main or trees [trees]: ");
    screen.write("neither\r");
    screen.expect("main or trees\r\n");
    screen.expect("[trees]: ");
    screen.write("\r");
    screen.expect("environment (local, or a new one) [local]: ");
    screen.write("ci\r");
    screen.expect("3/7 Components");
    screen.expect("components [redis]: ");
    screen.write("redis mysql\r");
    screen.expect("\"mysql\" is none of");
    screen.write("redis postgres\r");
    screen.expect("4/7 Long-running service");
    screen.expect("name of another one [-]: ");
    screen.write("web\r");
    screen.expect("command of web [-]: ");
    screen.write("npm start\r");
    screen.expect("name of another one [-]: ");
    screen.write("\r");
    screen.expect("5/7 Directories");
    screen.expect("worktrees [wt]: ");
    screen.write("\r");
    screen.expect("plans of worktrees [todo/plans]: ");
    screen.write("\r");
    screen.expect("of web [-]: ");
    screen.write("app\r");
    screen.expect("6/7 Ports");
    for (question, answer) in [
        ("of postgres", "\r"),
        ("of redis", "auto\r"),
        ("of web", "3000\r"),
        ("gives away", "\r"),
        ("spacing", "\r"),
    ] {
        screen.expect(question);
        screen.expect("]: ");
        screen.write(answer);
    }
    screen.expect("7/7 Review");
    screen.expect("command = \"npm start\"");
    screen.expect("yes, no, edit [yes]: ");
    assert_eq!(desk.files(), [".envctl"], "nothing is written yet");
    screen.write("\r");
    screen.expect("created");
    assert_eq!(screen.end_code(), 0);
    let expected = "default_mode = \"trees\"\n\n[directories]\ntrees = \"wt\"\n\n\
        [environments.ci]\ntype = \"local\"\n\n[project]\ndefault_env = \"ci\"\n\n\
        [services.postgres]\n\n[services.redis]\nport = \"auto\"\n\n\
        [services.web]\ncommand = \"npm start\"\ndirectory = \"app\"\nport = 3000\n";
    assert_eq!(desk.read("jr.toml"), expected);
    assert_eq!(code(&desk.jr(&["config", "check"], "")), 0);
}

#[test]
fn the_wizard_does_not_ask_about_a_file_with_mistakes() {
    let desk = Desk::new();
    let before = "[services.web]\ncommand = 1\n";
    desk.write("jr.toml", before);
    let mut screen = desk.wizard();
    screen.expect("has mistakes");
    screen.expect("jr.toml:2:");
    assert_eq!(screen.end_code(), 2);
    assert_eq!(desk.read("jr.toml"), before);
}

#[test]
fn the_wizard_proposes_what_is_there() {
    let desk = Desk::new();
    let before = "[services.postgres]\n\n[services.redis]\n\n[services.web]\n\
        command = \"npm start\"\n";
    desk.write("jr.toml", before);
    let mut screen = desk.wizard();
    for _ in 0..2 {
        screen.expect("]: ");
        screen.write("\r");
    }
    screen.expect("components [postgres redis]: ");
    screen.write("redis\r");
    screen.expect("command of web [npm start]: ");
    for _ in 0..9 {
        screen.write("\r");
    }
    screen.expect("7/7 Review");
    screen.expect("+enabled = false");
    screen.expect("edit [yes]: ");
    screen.write("n\r");
    assert_eq!(screen.end_code(), 1);
    assert_eq!(desk.read("jr.toml"), before);
}

#[test]
fn up_asks_what_is_to_be_where_nothing_is_declared() {
    let desk = Desk::new();
    let up = |desk: &Desk| {
        let path = desk.path().to_owned();
        Screen::with(&desk.home, &["up", "--wait"], 24, 80, |command| {
            command.current_dir(path);
        })
    };
    let mut screen = up(&desk);
    screen.expect("no service is declared here, and there is no jr.toml");
    screen.expect("mode, main or trees [main]: ");
    screen.write("\x04");
    assert_eq!(screen.end_code(), 1);
    assert_eq!(desk.files(), [""; 0]);
    let mut screen = up(&desk);
    for _ in 0..3 {
        screen.expect("]: ");
        screen.write("\r");
    }
    screen.expect("name of another one [-]: ");
    screen.write("web\r");
    screen.expect("command of web [-]: ");
    screen.write("exec sleep 600\r");
    for _ in 0..7 {
        screen.write("\r");
    }
    screen.expect("7/7 Review");
    screen.expect("yes, no, edit [yes]: ");
    screen.write("yes\r");
    screen.expect("created");
    screen.expect("start web");
    assert_eq!(screen.end_code(), 0);
    let status = document(&desk.jr(&["status", "--json"], ""));
    assert_eq!(status["items"][0]["state"], "ready", "{status}");
    desk.jr(&["down"], "");
    // A project that declares none is not asked again.
    desk.write("jr.toml", "[project]\nname = \"p\"\n");
    let mut screen = up(&desk);
    assert_eq!(screen.end_code(), 0, "web is known from before");
}

#[test]
fn who_leaves_the_wizard_leaves_nothing() {
    let desk = Desk::new();
    let mut screen = desk.wizard();
    screen.expect("mode, main or trees [main]: ");
    screen.write("\x04");
    screen.expect("nothing is written");
    assert_eq!(screen.end_code(), 1);
    let mut screen = desk.wizard();
    screen.expect("mode, main or trees [main]: ");
    screen.write("\x03");
    let status = screen.end();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::INT.as_raw()));
    assert_eq!(desk.files(), [""; 0]);
}
