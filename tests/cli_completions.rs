//! Completion in real shells: what they insert at a TAB is what the command then gets.

#[path = "support/home.rs"]
mod home;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use home::{Home, JR, skipped, until, until_so};

/// Texts that a shell would read as something else, if they were not quoted. Each name begins with
/// what makes it unique; no id of a run holds a zero.
const HOSTILE: [&str; 15] = [
    "00 a b",
    "01it's",
    "02say \"x\"",
    "03$(touch CANARY)",
    "04`touch CANARY`",
    "05;touch CANARY;",
    "06back\\slash",
    "07wow!!",
    "08co:lon:x",
    "09eq=ual=x",
    "0a~ ~x #no",
    "0b&|<>()",
    "0c漢字 é",
    "0d$HOME %1 ^x",
    "0e  two  blanks ",
];

/// What the shells see of `jr`: completion asks the real one, all else is only written down.
struct Desk {
    home: Home,
    place: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let (home, place) = (Home::new(), tempfile::tempdir().expect("a directory"));
        let bin = place.path().join("bin");
        std::fs::create_dir(&bin).expect("made");
        let script = format!(
            "#!/bin/sh\ncase $1 in\n__complete|completions) exec '{JR}' \"$@\" ;;\nesac\n\
             printf '%s\\0' \"$@\" > '{0}/said.tmp'\nmv '{0}/said.tmp' '{0}/said'\n",
            place.path().display()
        );
        std::fs::write(bin.join("jr"), script).expect("written");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(bin.join("jr"), mode).expect("executable");
        Self { home, place }
    }

    fn path(&self) -> &Path {
        self.place.path()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.path()).env("JR_HOME", self.home.path());
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path().join("bin").display()));
        command.env("LC_ALL", "C.UTF-8").env("TERM", "vt100").env("PS1", "READY> ");
        command.env("SHELL", "/bin/sh").current_dir(self.path());
        command
    }

    /// An interactive shell on a terminal of its own.
    fn shell(&self, line: &str, setup: &str) -> Terminal {
        let mut command = self.command("script");
        command.args(["-qfec", line, "/dev/null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("script(1) is there");
        let (keys, mut screen) = (child.stdin.take().expect("piped"), child.stdout.take());
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        std::thread::spawn(move || {
            let mut buffer = [0_u8; 4_096];
            let screen = screen.as_mut().expect("piped");
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                seen.lock().expect("whole").extend_from_slice(&buffer[..count]);
            }
        });
        let mut terminal = Terminal { child, keys, shown, said: self.path().join("said") };
        until_so("a prompt", || terminal.screen().contains("READY> "));
        terminal.keys(setup);
        terminal.keys("\rjr is-ready\r");
        assert_eq!(terminal.said(), ["is-ready"]);
        terminal
    }
}

/// What jr offers to a shell that quotes by itself; `<files>` and the like where it is the shell's.
fn offers(home: &Home, words: &[&str]) -> Vec<String> {
    let (current, before) = words.split_last().expect("a word");
    let output = home.jr(&[&["__complete", "zsh", current], before].concat());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("text");
    let mut lines = printed.lines();
    match lines.next() {
        Some("words") => {
            lines.map(|line| line.split('\t').next().expect("a value").to_owned()).collect()
        }
        other => vec![format!("<{}>", other.unwrap_or("nothing"))],
    }
}

/// A shell that somebody types into.
struct Terminal {
    child: Child,
    keys: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
    said: PathBuf,
}

impl Terminal {
    fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the shell reads");
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("whole")).into_owned()
    }

    /// The arguments with which the shell ran `jr`.
    fn said(&mut self) -> Vec<String> {
        let bytes =
            until("the shell to run jr", || std::fs::read(&self.said).map_err(|_| self.screen()));
        std::fs::remove_file(&self.said).expect("removed");
        let words = bytes.split(|byte| *byte == 0).map(|w| String::from_utf8_lossy(w).into_owned());
        let mut words: Vec<String> = words.collect();
        words.pop();
        words
    }

    /// What the command gets if somebody types this.
    fn types(&mut self, keys: &str) -> Vec<String> {
        self.keys(keys);
        self.keys("\r");
        self.said()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs with all the names, and no daemon.
fn hostile_desk() -> Desk {
    let desk = Desk::new();
    for name in HOSTILE {
        desk.home.ok(&["run", "--name", name, "--label", &format!("{name}k=v"), "true"]);
    }
    desk.home.ok(&["run", "--name", "glob* {a,b}[x]?", "true"]);
    desk.home.ok(&["run", "--name", "all", "true"]);
    desk.home.ok(&["queue", "set", "zz-queue", "-j", "2"]);
    desk.home.ok(&["-e", "zz-env", "run", "true"]);
    desk.home.ok(&["-e", "zz-env", "daemon", "stop"]);
    desk.home.ok(&["daemon", "stop"]);
    desk
}

/// Each name, from its beginning, without a quote and within each kind of them.
fn names_arrive_whole(desk: &Desk, shell: &mut Terminal) {
    for name in HOSTILE {
        for quote in ["", "'", "\""] {
            let got = shell.types(&format!("jr logs {quote}{}\t", &name[..2]));
            assert_eq!(got, ["logs", name], "after {quote}: {}", shell.screen());
        }
    }
    for (keys, words) in [
        ("jr logs 08co:l\t", &["logs", "08co:lon:x"][..]),
        ("jr logs 09eq=u\t", &["logs", "09eq=ual=x"]),
        ("jr logs name:gl\t", &["logs", "name:glob* {a,b}[x]?"]),
        ("jr logs name:al\t", &["logs", "name:all"]),
        ("jr history --label 03\t", &["history", "--label", "03$(touch CANARY)k=v"]),
        ("jr history --label=05\t", &["history", "--label=05;touch CANARY;k=v"]),
        ("jr logs label:08\t", &["logs", "label:08co:lon:xk=v"]),
        ("jr hist\t", &["history"]),
        ("jr history --fai\t", &["history", "--failed"]),
        ("jr queue se\t zz\t", &["queue", "set", "zz-queue"]),
        ("jr -e zz\t ps", &["-e", "zz-env", "ps"]),
        ("jr --env=zz\t ps", &["--env=zz-env", "ps"]),
        ("jr run --cwd bi\t", &["run", "--cwd", "bin"]),
    ] {
        let got = shell.types(keys);
        // zsh takes the slash back when the line ends there.
        let got: Vec<&str> = got.iter().map(|word| word.trim_end_matches('/')).collect();
        assert_eq!(got, words, "{keys:?}: {}", shell.screen());
    }
    assert!(!desk.path().join("CANARY").exists(), "a name was run: {}", shell.screen());
    assert_eq!(desk.home.daemons(), Vec::<i32>::new(), "a TAB started a daemon");
}

fn has(shell: &str) -> bool {
    let found =
        Path::new("/usr/bin").join(shell).exists() || Path::new("/bin").join(shell).exists();
    if !found {
        skipped(&format!("{shell} is not installed"));
    }
    found
}

#[test]
fn bash_inserts_names_so_that_they_arrive_whole() {
    let desk = hostile_desk();
    let mut shell = desk.shell("bash --norc --noprofile -i", "eval \"$(jr completions bash)\"");
    names_arrive_whole(&desk, &mut shell);
    // What follows is the command's, and completed as such.
    assert_eq!(shell.types("jr run -- mkfif\t xx"), ["run", "--", "mkfifo", "xx"]);
    assert_eq!(shell.types("jr run ls bi\t"), ["run", "ls", "bin/"]);
    assert_eq!(shell.types("jr run ls --na\t"), ["run", "ls", "--na"]);
    // bash-completion's own, where it is there, is told which word the command is; bash counts
    // `a`, `=` and `b` as words.
    shell.keys("_command_offset() { COMPREPLY=(\"at$1\"); }\r");
    assert_eq!(shell.types("jr run -- a\t"), ["run", "--", "at3"]);
    assert_eq!(shell.types("jr run --label a=b -- a\t")[3..], ["--", "at7"]);
    assert_eq!(shell.types("jr run --name 'x y' ls a\t")[3..], ["ls", "at4"]);
}

#[test]
fn zsh_inserts_names_so_that_they_arrive_whole() {
    if !has("zsh") {
        return;
    }
    let desk = hostile_desk();
    let setup = "autoload -Uz compinit; compinit -u -D; eval \"$(jr completions zsh)\"";
    let mut shell = desk.shell("zsh -f -i", setup);
    names_arrive_whole(&desk, &mut shell);
    assert_eq!(shell.types("jr run -- mkfif\t xx"), ["run", "--", "mkfifo", "xx"]);
}

#[test]
fn fish_inserts_names_so_that_they_arrive_whole() {
    if !has("fish") {
        return;
    }
    let desk = hostile_desk();
    let line = "fish --no-config -i -C 'function fish_prompt; echo -n \"READY> \"; end'";
    let mut shell = desk.shell(line, "jr completions fish | source");
    names_arrive_whole(&desk, &mut shell);
    assert_eq!(shell.types("jr run -- mkfif\t xx"), ["run", "--", "mkfifo", "xx"]);
}

/// How a daemon came to its end.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Stopped,
    Killed,
}

/// What lies in the log and in the views.
fn contents(root: &Path) -> Vec<Vec<u8>> {
    let log = std::fs::read_dir(root.join("log")).expect("a log").flatten();
    let files = log.map(|entry| entry.path()).chain([root.join("views.redb")]);
    files.map(|file| std::fs::read(file).unwrap_or_default()).collect()
}

#[test]
fn what_is_offered_fits_the_command() {
    let home = Home::new();
    home.ok(&["run", "--name", "gone", "--label", "team=x", "true"]);
    let living = home.detach(&["--name", "living", "--label", "team=y", "--", "sleep", "600"]);
    let older = home.detach(&["--name", "twice", "--", "sleep", "600"]);
    home.ok(&["run", "--name", "twice", "true"]);
    let gone = home.show("gone")["run_id"].as_str().expect("an id").to_owned();
    // Answered by the daemon, then from the files that it left, and that a killed one left.
    for end in [None, Some(End::Stopped), Some(End::Killed)] {
        match end {
            None => {}
            Some(End::Stopped) => drop(home.ok(&["daemon", "stop"])),
            Some(End::Killed) => {
                home.ok(&["run", "--name", "newest", "true"]);
                home.without_daemon();
                // Its last thread may hold the lock for a moment.
                until_so("the newest run to be offered", || {
                    offers(&home, &["logs", "n"]).contains(&"newest".to_owned())
                });
            }
        }
        let before = contents(&home.root());
        for command in [&["stop"][..], &["signal", "TERM"], &["wait"], &["pause"], &["attach"]] {
            let offered = offers(&home, &[command, &[""]].concat());
            for value in ["living", &living, &older, "last"] {
                assert!(offered.iter().any(|other| other == value), "{value}: {offered:?}");
            }
            // The name means the newest run, and that one has ended.
            for value in ["gone", &gone, "twice"] {
                assert!(!offered.iter().any(|other| other == value), "{value}: {offered:?}");
            }
        }
        for command in [&["logs"][..], &["show"], &["events", "--run"], &["history", "--parent"]] {
            let offered = offers(&home, &[command, &[""]].concat());
            for value in ["living", &living, "gone", &gone, "twice", &older] {
                assert!(offered.iter().any(|other| other == value), "{value}: {offered:?}");
            }
        }
        assert_eq!(offers(&home, &["history", "li"]), ["living"]);
        assert_eq!(offers(&home, &["history", "--label", "team=y"]), ["team=y"]);
        assert_eq!(offers(&home, &["run", "--label=team=x"]), ["--label=team=x"]);
        assert_eq!(offers(&home, &["stop", "label:team=y"]), ["label:team=y"]);
        assert_eq!(offers(&home, &["logs", &gone[..6]])[0], gone);
        assert_eq!(offers(&home, &["-e", ""]), ["local"]);
        assert_eq!(offers(&home, &["-e", "other", "logs", ""]), ["last", "all"]);
        assert_eq!(offers(&home, &["queue", "set", ""]), ["default"]);
        assert!(end.is_none() || contents(&home.root()) == before, "a TAB changed a file");
    }
    assert_eq!(home.daemons(), Vec::<i32>::new(), "a TAB started a daemon");
}

#[test]
fn nothing_of_jr_is_offered_behind_two_dashes_or_to_another_command() {
    let home = Home::new();
    home.ok(&["run", "--name", "gone", "true"]);
    for words in [&["logs", "--", ""][..], &["ps", "--", "-"], &["stop", "--", "--"]] {
        assert_eq!(offers(&home, words), Vec::<String>::new(), "{words:?}");
    }
    for (words, offered) in [
        (&["run", "--", ""][..], "<command 3>"),
        (&["run", "--", "ls", "--"], "<command 3>"),
        (&["run", "-d", "--name", "x", ""], "<command 5>"),
        (&["run", "ls", "-"], "<command 2>"),
        (&["run", "--label", "a=b", "--", "jr", "stop", ""], "<command 5>"),
        (&["run", "--cwd", ""], "<dirs>"),
        (&["-C", ""], "<dirs>"),
        (&["batch", ""], "<files>"),
    ] {
        assert_eq!(offers(&home, words), [offered], "{words:?}");
    }
}

#[test]
fn every_command_and_every_option_of_its_help_is_offered_and_no_other() {
    let home = Home::new();
    let commands = offers(&home, &[""]);
    assert!(commands.len() > 10 && commands.contains(&"help".to_owned()), "{commands:?}");
    for command in commands.iter().filter(|command| *command != "help") {
        let page = home.ok(&[command, "-h"]);
        let page = page.split("\nExamples:").next().expect("options");
        let words = page.lines().filter(|line| line.trim_start().starts_with('-'));
        let options =
            words.filter_map(|line| line.split([' ', ',', '=']).find(|w| w.starts_with("--")));
        let mut in_help: Vec<&str> = options.collect();
        let mut offered = offers(&home, &[command, "--"]);
        offered.retain(|word| word != "--version");
        in_help.sort_unstable();
        offered.sort_unstable();
        assert_eq!(offered, in_help, "{command}");
    }
    let given = offers(&home, &["ps", "--all", "-n", "5", "--"]);
    assert!(!given.contains(&"--all".to_owned()) && !given.contains(&"--limit".to_owned()));
    assert!(offers(&home, &["run", "--label", "a=b", "--"]).contains(&"--label".to_owned()));
    let below = offers(&home, &["queue", ""]);
    assert!(below.contains(&"set".to_owned()) && offers(&home, &["help", "queue", ""]) == below);
    assert_eq!(offers(&home, &["man", "queue", ""]), below);
}

#[test]
fn services_that_are_declared_or_known_are_offered() {
    let home = Home::new();
    let file = home.path().join("services.toml");
    std::fs::write(&file, "[services.web]\ncommand = \"exec sleep 600\"\n").expect("writes");
    let file = file.to_string_lossy().into_owned();
    home.ok(&["daemon", "start", "--config", &file]);
    for command in ["up", "down", "restart"] {
        assert_eq!(offers(&home, &[command, ""]), ["web"], "{command}");
    }
    assert_eq!(offers(&home, &["down", "x"]), Vec::<String>::new());
}

#[test]
fn what_is_offered_comes_from_the_list_that_is_made_ahead_unless_the_log_is_newer() {
    let home = Home::new();
    let living = home.detach(&["--name", "living", "--", "sleep", "600"]);
    let list = home.root().join("shortlist");
    let is_listed = |word: &str| {
        let text = std::fs::read_to_string(&list).map_err(|error| error.to_string())?;
        if text.contains(word) { Ok(()) } else { Err(text) }
    };
    // Written when nothing happens for a moment.
    until("the list", || is_listed("living"));
    home.ok(&["daemon", "stop"]);
    let views = home.root().join("views.redb");
    let kept = std::fs::read(&views).expect("views");
    std::fs::write(&views, "not asked").expect("written");
    for words in [&["stop", ""][..], &["stop", "l"], &["logs", ""], &["logs", "li"]] {
        let offered = offers(&home, words);
        assert!(offered.contains(&"living".to_owned()), "{words:?}: {offered:?}");
    }
    assert!(offers(&home, &["stop", ""]).contains(&living));
    assert!(!offers(&home, &["stop", "x"]).contains(&"living".to_owned()));
    std::fs::write(&views, kept).expect("written");
    // Nobody believes a list that is damaged, or older than the log.
    let text = std::fs::read_to_string(&list).expect("a list");
    for damaged in [&text[..text.len() / 3], "", "jr.shortlist/1 x\nliving whole []\n"] {
        std::fs::write(&list, damaged).expect("written");
        home.ok(&["daemon", "start"]);
        assert!(offers(&home, &["stop", ""]).contains(&living));
        home.ok(&["daemon", "stop"]);
        assert!(offers(&home, &["stop", ""]).contains(&living));
    }
    let stale = text.replace("living", "invented");
    home.ok(&["daemon", "start"]);
    home.without_daemon();
    std::fs::write(&list, &stale).expect("written");
    let mut log = std::fs::read_dir(home.root().join("log")).expect("a log").flatten();
    let segment = log.next().expect("a segment").metadata().expect("readable");
    let file = std::fs::File::options().write(true).open(&list).expect("a list");
    file.set_modified(segment.modified().expect("a time")).expect("set");
    assert!(offers(&home, &["stop", ""]).contains(&"living".to_owned()));
}

#[test]
fn what_cannot_be_seen_is_not_offered_and_a_batch_does_not_flood() {
    let home = Home::new();
    home.ok(&["run", "--name", "\u{202e}turned", "--label", "k=a\nb", "--label", "k=ok", "true"]);
    home.ok(&["queue", "set", "none", "-j", "1"]);
    home.detach(&["--queue", "none", "--", "sleep", "600"]);
    let batch = "sleep 601\n".repeat(50);
    let mut client = home.spawn(&["batch", "--name", "many", "-"]);
    let mut stdin = client.child().stdin.take().expect("piped");
    stdin.write_all(batch.as_bytes()).expect("it reads");
    drop(stdin);
    let mut offered = Vec::new();
    until("the batch to live", || {
        offered = offers(&home, &["stop", ""]);
        if offered.contains(&"many".to_owned()) { Ok(()) } else { Err(format!("{offered:?}")) }
    });
    assert!(offered.len() < 10, "its lines are not offered by themselves: {offered:?}");
    assert_eq!(offers(&home, &["history", "--label", "k="]), ["k=ok"]);
    assert!(!offers(&home, &["logs", ""]).iter().any(|value| value.contains("turned")));
    drop(client);
}

#[test]
fn completing_where_nothing_ever_happened_makes_nothing() {
    let home = Home::new();
    for words in [&["stop", ""][..], &["-e", ""], &["logs", "x"], &["queue", "set", ""], &[""]] {
        offers(&home, words);
    }
    for words in [&["__complete"][..], &["__complete", "tcsh", ""], &["__complete", "bash"]] {
        let output = home.jr(words);
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    }
    let made = std::fs::read_dir(home.path()).expect("the home").count();
    assert_eq!(made, 0, "not one file");
    assert_eq!(home.daemons(), Vec::<i32>::new());
}
