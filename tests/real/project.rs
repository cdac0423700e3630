//! A directory with a `jr.toml` and a home of its own. Whatever became of a test, nothing that it
//! started is left.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::home::{Client, Home, document, kill, lives, proc_file, skipped, text, until, until_so};

/// What these tests start, by its path: the PATH of a service is theirs.
const PROGRAMS: [&str; 4] =
    ["/usr/bin/redis-server", "/usr/bin/psql", "/usr/sbin/nginx", "/usr/bin/python3"];

/// Whether these tests are to run.
///
/// # Panics
/// They are, and a program is missing.
pub(crate) fn is_asked_for() -> bool {
    if std::env::var_os("JR_REAL").is_none_or(|value| value != "1") {
        skipped("JR_REAL is not set: tests/real/setup, then JR_REAL=1 cargo test --test real");
        return false;
    }
    for program in PROGRAMS {
        assert!(Path::new(program).exists(), "there is no {program}: run tests/real/setup");
    }
    true
}

pub(crate) struct Project {
    pub(crate) home: Home,
    directory: tempfile::TempDir,
}

impl Project {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // Postgres runs as another user and has its data in here.
        let mode = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(directory.path(), mode).expect("ours");
        Self { home: Home::new(), directory }
    }

    /// With this `jr.toml`.
    pub(crate) fn declaring(services: &str) -> Self {
        let project = Self::new();
        project.write("jr.toml", services);
        project
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path().join(name), content).expect("written");
    }

    /// jr with these words in the directory.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(words);
        command.current_dir(self.path());
        command
    }

    pub(crate) fn jr(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("jr starts")
    }

    /// What it says on both streams, of a command that has to succeed.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let output = self.jr(words);
        assert!(output.status.success(), "jr {words:?}: {output:?}");
        text(&output.stdout) + &text(&output.stderr)
    }

    pub(crate) fn items(&self, words: &[&str]) -> Vec<Value> {
        let document = document(&self.jr(&[&["--json"], words].concat()));
        document["items"].as_array().unwrap_or_else(|| panic!("{words:?}: {document}")).clone()
    }

    /// `jr status`, by name.
    pub(crate) fn services(&self) -> BTreeMap<String, Value> {
        let name = |item: &Value| item["service"].as_str().expect("a name").to_owned();
        self.items(&["status"]).into_iter().map(|item| (name(&item), item)).collect()
    }

    pub(crate) fn service(&self, name: &str) -> Value {
        self.services().remove(name).unwrap_or_else(|| panic!("no service {name}"))
    }

    /// Waits until a service is in a state.
    pub(crate) fn until_state(&self, name: &str, state: &str) -> Value {
        until(&format!("{name} to be {state}"), || {
            let view = self.service(name);
            if view["state"] == state { Ok(view) } else { Err(view.to_string()) }
        })
    }

    /// The line of `jr ports` for the main port of a service.
    pub(crate) fn port(&self, name: &str) -> Value {
        let found = self.items(&["ports"]).into_iter().find(|item| item["service"] == name);
        found.unwrap_or_else(|| panic!("no port of {name}"))
    }

    /// The records of a kind.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let mut events = self.home.events(&[]);
        events.retain(|event| event["kind"] == kind);
        events
    }

    pub(crate) fn check_log(&self) {
        let told = self.ok(&["log", "verify"]);
        assert!(told.starts_with("ok"), "{told}");
    }

    /// Processes of services and of their commands: those that carry this home, or work in this
    /// directory, since Postgres writes over its variables.
    pub(crate) fn carriers(&self) -> Vec<i32> {
        let home = format!("JR_HOME={}", self.home.path().display());
        let is_ours = |pid: i32| {
            let environ = proc_file(pid, "environ");
            let mut variables = environ.split(|byte| *byte == 0);
            let carries = variables.any(|variable| variable == home.as_bytes());
            let place = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            carries || place.starts_with(self.path())
        };
        let machinery = [self.home.processes("daemon"), self.home.processes("shim")].concat();
        let proc = std::fs::read_dir("/proc").expect("procfs").flatten();
        let pids = proc.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let pids = pids.filter(|pid| !machinery.contains(pid) && is_ours(*pid));
        // Our own clients carry it as well; they are waited for elsewhere.
        pids.filter(|pid| lives(*pid) && !is_client(*pid)).collect()
    }

    /// What a loss of power leaves: nothing that runs.
    pub(crate) fn kill_all(&self) {
        until_so("all to be dead", || {
            let machinery = [self.home.processes("daemon"), self.home.processes("shim")].concat();
            let all: Vec<i32> =
                machinery.into_iter().filter(|pid| lives(*pid)).chain(self.carriers()).collect();
            for pid in &all {
                kill(*pid, Signal::KILL);
            }
            all.is_empty()
        });
    }
}

fn is_client(pid: i32) -> bool {
    std::fs::read_link(format!("/proc/{pid}/exe"))
        .is_ok_and(|exe| exe == Path::new(crate::home::JR))
}

impl Drop for Project {
    fn drop(&mut self) {
        self.jr(&["down"]);
        self.jr(&["daemon", "stop"]);
        self.kill_all();
    }
}

/// Somebody else's program: a script of Python that says one line when it is so far.
pub(crate) fn stranger(script: &str, words: &[&str]) -> (Client, String) {
    use std::io::BufRead as _;
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", script]).args(words).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child: Child = command.spawn().expect("python3 starts");
    let output = child.stdout.take().expect("piped");
    let client = Client::new(child);
    let mut line = String::new();
    std::io::BufReader::new(output).read_line(&mut line).expect("reads");
    (client, line.trim().to_owned())
}

/// The newest programs of Postgres, which Debian keeps out of the PATH.
pub(crate) fn postgres() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |entry: &std::fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let newest = versions.filter_map(|entry| version(&entry)).max();
    let newest = newest.expect("there is no /usr/lib/postgresql: run tests/real/setup");
    PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))
}
