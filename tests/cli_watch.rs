//! Services start again when files that they watch hold something else: once for each burst,
//! however an editor writes, and for nothing less.

#[path = "support/home.rs"]
mod home;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use home::{Home, until};

/// A project with one service `web` that watches.
struct Project {
    home: Home,
    directory: tempfile::TempDir,
    run: String,
    /// Restarts so far.
    restarts: usize,
}

impl Project {
    /// Its service is up, and stays.
    fn new(watch: &str) -> Self {
        let mut project = Self::with(&format!("command = [\"sleep\", \"600\"]\nwatch = {watch}\n"));
        project.jr(&["up", "--wait"]);
        let items = project.home.items(&["ps"]);
        items[0]["run_id"].as_str().expect("an id").clone_into(&mut project.run);
        project.until_attempt();
        project
    }

    fn with(web: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        fs::create_dir_all(root.join("src/deep")).expect("made");
        fs::create_dir(root.join(".git")).expect("made");
        fs::write(root.join(".gitignore"), "*.log\ntarget/\n").expect("written");
        fs::write(root.join("src/main.rs"), "fn main() {}\n").expect("written");
        fs::write(root.join("jr.toml"), format!("[services.web]\n{web}")).expect("written");
        Self { home: Home::new(), directory, run: String::new(), restarts: 0 }
    }

    fn jr(&self, words: &[&str]) {
        let root = self.directory.path().to_str().expect("text");
        self.home.ok(&[&["-C", root], words].concat());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    /// What was told of each restart.
    fn told(&self) -> Vec<String> {
        let events = self.home.events(&["--kind", "restart_requested"]);
        let told = events.iter().map(|event| {
            assert_eq!(event["reason"], "files_changed", "{event}");
            assert_eq!(event["run_id"], self.run.as_str(), "{event}");
            event["detail"].as_str().expect("a path").to_owned()
        });
        told.collect()
    }

    /// The attempt after all restarts runs, of the same run as ever.
    fn until_attempt(&self) {
        until("the next attempt", || {
            let view = self.home.show(&self.run);
            let attempt = view["attempts"].as_array().map_or(0, Vec::len);
            let runs = view["state"] == "running" && attempt == self.restarts + 1;
            if runs { Ok(()) } else { Err(format!("{view}: {:?}", self.told())) }
        });
    }

    /// Exactly one more restart than before, because of this file.
    fn restarts_for(&mut self, name: &str) {
        self.restarts += 1;
        until("a restart", || {
            let told = self.told();
            if told.len() >= self.restarts { Ok(()) } else { Err(format!("{name}: {told:?}")) }
        });
        self.until_attempt();
        let told = self.told();
        assert_eq!(told.len(), self.restarts, "{name}: {told:?}");
        assert_eq!(told.last().map(Path::new), Some(self.path(name).as_path()));
    }

    /// The files as they are then are what a daemon begins with, shortly after it knows that an
    /// attempt runs: writes until a change counts.
    fn prime(&mut self, name: &str) {
        let mut number = 0;
        until("the first change that counts", || {
            number += 1;
            if number % 300 == 1 {
                self.write(name, &format!("{name} {number} {}\n", self.restarts));
            }
            let told = self.told();
            if told.len() > self.restarts { Ok(()) } else { Err(format!("{told:?}")) }
        });
        self.restarts_for(name);
    }

    /// All that is no change.
    fn do_nothing(&self) {
        let main = self.path("src/main.rs");
        let text = fs::read(&main).expect("read");
        fs::write(&main, &text).expect("written");
        let file = fs::File::options().append(true).open(&main).expect("opened");
        file.set_modified(std::time::UNIX_EPOCH).expect("touched");
        for mode in [0o755, 0o600] {
            fs::set_permissions(&main, fs::Permissions::from_mode(mode)).expect("changed");
        }
        fs::create_dir_all(self.path("src/target/debug")).expect("made");
        for ignored in ["target/debug/x", "a.log", "main.rs~", ".main.rs.swp", "4913", ".#main.rs"]
        {
            self.write(&format!("src/{ignored}"), &format!("{}", self.restarts));
        }
        self.write("src/new", "gone at once");
        fs::remove_file(self.path("src/new")).expect("removed");
    }
}

#[test]
fn each_habit_of_editors_is_one_change() {
    let mut project = Project::new("[\"src\"]");
    project.prime("src/main.rs");
    let habits: [fn(&Path); 5] = [
        |file| fs::write(file, "rewritten\n").expect("written"),
        |file| {
            let beside = file.with_file_name("main.rs.tmp");
            fs::write(&beside, "renamed over\n").expect("written");
            fs::rename(&beside, file).expect("renamed");
        },
        |file| {
            let open = fs::File::options().write(true).open(file).expect("opened");
            open.set_len(0).expect("truncated");
            (&open).write_all(b"trunc").expect("written");
            (&open).write_all(b"ated\n").expect("written");
        },
        |file| {
            fs::rename(file, file.with_file_name("main.rs~")).expect("renamed");
            fs::write(file, "with a backup\n").expect("written");
        },
        |file| {
            let mut open = fs::File::options().append(true).open(file).expect("opened");
            open.write_all(b"appended\n").expect("written");
        },
    ];
    for habit in habits {
        project.do_nothing();
        habit(&project.path("src/main.rs"));
        project.restarts_for("src/main.rs");
    }
}

#[test]
fn files_that_come_and_go_are_changes() {
    let mut project = Project::new("[\"src\", \"conf/deep/app.toml\"]");
    project.prime("src/main.rs");
    fs::create_dir_all(project.path("src/other")).expect("made");
    project.write("src/other/a.rs", "");
    project.restarts_for("src/other/a.rs");
    project.write("src/other/a.rs", "in a directory that is new");
    project.restarts_for("src/other/a.rs");
    fs::create_dir_all(project.path("conf/deep")).expect("made");
    project.write("conf/deep/other", "nobody watches it");
    project.write("conf/deep/app.toml", "a = 1");
    project.restarts_for("conf/deep/app.toml");
    fs::remove_dir_all(project.path("conf")).expect("removed");
    project.restarts_for("conf/deep/app.toml");
    fs::remove_file(project.path("src/other/a.rs")).expect("removed");
    project.restarts_for("src/other/a.rs");
}

#[test]
fn many_changes_at_once_are_one() {
    let mut project = Project::new("[\"src\"]");
    project.prime("src/main.rs");
    for number in 0..300 {
        project.write(&format!("src/deep/{number}"), "x");
    }
    project.restarts_for("src/deep/0");
}

#[test]
fn the_next_daemon_watches_on() {
    let mut project = Project::new("[\"src\"]");
    project.prime("src/main.rs");
    project.home.without_daemon();
    project.write("src/main.rs", "while nobody looked");
    project.jr(&["daemon", "start"]);
    project.prime("src/deep/a");
    project.do_nothing();
    project.write("src/main.rs", "while somebody looks");
    project.restarts_for("src/main.rs");
}

#[test]
fn a_mended_file_is_tried_at_once() {
    let project = Project::with(
        "command = \"touch src/own; exit 1\"\nrestart = \"always\"\nwatch = [\"src\"]\n\
         backoff = { initial = \"10m\", max = \"10m\" }\n",
    );
    project.jr(&["up"]);
    let attempts = || {
        let items = project.home.items(&["ps"]);
        let run = items.first().map(|item| item["run_id"].as_str().expect("an id").to_owned());
        run.map_or(0, |run| project.home.show(&run)["attempts"].as_array().map_or(0, Vec::len))
    };
    let mut number = 0;
    until("the next attempt", || {
        number += 1;
        if number % 100 == 0 {
            project.write("src/main.rs", &format!("mended {number}"));
        }
        if attempts() > 1 { Ok(()) } else { Err("it waits".to_owned()) }
    });
}

#[test]
fn who_watches_nothing_costs_nothing() {
    let project = Project::new("[]");
    let threads = fs::read_dir(format!("/proc/{}/task", project.home.daemons()[0]));
    let names = threads.expect("a daemon").flatten().map(|thread| thread.path().join("comm"));
    let names: Vec<String> = names.filter_map(|path| fs::read_to_string(path).ok()).collect();
    assert!(!names.iter().any(|name| name.starts_with("jr-watch")), "{names:?}");
}
