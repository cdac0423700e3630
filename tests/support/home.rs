//! A private `JR_HOME` and the real `jr` in it, for tests from outside.
#![allow(
    clippy::allow_attributes,
    clippy::disallowed_methods,
    dead_code,
    reason = "not every test file uses every helper, and a deadline needs a clock"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const JR: &str = env!("CARGO_BIN_EXE_jr");
/// No wait of a test lasts longer; reaching it is a failure.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// A private `JR_HOME`; whatever daemon serves it is ended with it.
pub(crate) struct Home {
    directory: tempfile::TempDir,
    keeping: Option<&'static str>,
}

/// Lets a command keep its log otherwise than on disk: `memory` or `isolated`.
pub(crate) fn keep(command: &mut Command, keeping: &str) {
    let file = format!("{}/tests/support/{keeping}.toml", env!("CARGO_MANIFEST_DIR"));
    command.env("JR_CONFIG", file);
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::of(None)
    }

    /// One whose environments keep their log so ([`keep`]).
    pub(crate) fn keeping(keeping: &'static str) -> Self {
        Self::of(Some(keeping))
    }

    fn of(keeping: Option<&'static str>) -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory"), keeping }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The state of the environment `local`.
    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("envs/local")
    }

    /// The one directory with sockets.
    pub(crate) fn run(&self) -> PathBuf {
        let entries = std::fs::read_dir(self.path().join("run")).expect("sockets");
        entries.flatten().next().expect("an environment").path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.run().join("daemon.sock")
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Self::command_at(self.path(), words);
        if let Some(keeping) = self.keeping {
            keep(&mut command, keeping);
        }
        command
    }

    /// As [`Self::command`], with the home under another name.
    pub(crate) fn command_at(home: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(JR);
        command.args(words).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
        command.env("TZ", "UTC").env("JR_HOME", home).stdin(Stdio::null()).current_dir("/");
        command
    }

    pub(crate) fn jr(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("jr starts")
    }

    /// With this on standard input.
    pub(crate) fn jr_with_input(&self, words: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("jr starts");
        child.stdin.take().expect("piped").write_all(input).expect("it reads");
        child.wait_with_output().expect("jr ends")
    }

    pub(crate) fn spawn(&self, words: &[&str]) -> Client {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Client(Some(command.spawn().expect("jr starts")))
    }

    /// The words of a command that has to succeed.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        let output = self.jr(words);
        assert!(output.status.success(), "jr {words:?}: {output:?}");
        text(&output.stdout)
    }

    /// The id of a detached run.
    pub(crate) fn detach(&self, words: &[&str]) -> String {
        self.ok(&[&["run", "-d"], words].concat())
    }

    /// The document of a command, however it ends.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        document(&self.jr(&[&["--json"], words].concat()))
    }

    pub(crate) fn items(&self, words: &[&str]) -> Vec<Value> {
        let document = self.json(words);
        document["items"].as_array().unwrap_or_else(|| panic!("{words:?}: {document}")).clone()
    }

    /// The run object.
    pub(crate) fn show(&self, run: &str) -> Value {
        self.json(&["show", run])
    }

    pub(crate) fn events(&self, words: &[&str]) -> Vec<Value> {
        let output = self.jr(&[&["events", "--json"], words].concat());
        let lines = output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("a line of JSON")).collect()
    }

    /// Waits until a run is in a state.
    pub(crate) fn until_state(&self, run: &str, state: &str) -> Value {
        until(&format!("{run} to be {state}"), || {
            let view = self.show(run);
            if view["state"] == state { Ok(view) } else { Err(view.to_string()) }
        })
    }

    pub(crate) fn pid_of(&self, run: &str) -> i32 {
        let view = self.until_state(run, "running");
        i32::try_from(view["pid"].as_i64().expect("a pid")).expect("a pid")
    }

    /// Processes of jr in this home, by the second word of their command line.
    pub(crate) fn processes(&self, word: &str) -> Vec<i32> {
        let proc = std::fs::read_dir("/proc").expect("procfs");
        let pids = proc.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| self.is_ours(*pid, word)).collect()
    }

    fn is_ours(&self, pid: i32, word: &str) -> bool {
        let words = proc_file(pid, "cmdline");
        let mut words = words.split(|byte| *byte == 0);
        let home = format!("JR_HOME={}", self.path().display());
        words.next().is_some_and(|first| first.ends_with(b"jr"))
            && words.any(|other| other == word.as_bytes())
            && proc_file(pid, "environ")
                .split(|byte| *byte == 0)
                .any(|variable| variable == home.as_bytes())
    }

    /// The daemons that live; more than one only in error.
    pub(crate) fn daemons(&self) -> Vec<i32> {
        let pids = self.processes("daemon");
        // A shim that it is about to execute still has its words.
        let is_own = |pid: &i32| !parent_of(*pid).is_some_and(|parent| pids.contains(&parent));
        pids.iter().copied().filter(|pid| !is_zombie(*pid)).filter(is_own).collect()
    }

    pub(crate) fn kill_daemon(&self) -> usize {
        let pids = self.processes("daemon");
        for pid in &pids {
            kill(*pid, Signal::KILL);
        }
        pids.len()
    }

    /// `kill -9` of the daemon. Nothing serves any more, unless somebody needs it.
    pub(crate) fn without_daemon(&self) {
        let pids = self.daemons();
        assert!(!pids.is_empty(), "there was no daemon");
        for pid in pids {
            kill(pid, Signal::KILL);
            until_so("the daemon to be gone", || !lives(pid));
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.jr(&["stop", "all", "--kill-after", "0"]);
        self.jr(&["daemon", "stop"]);
        self.kill_daemon();
        for pid in self.processes("shim") {
            kill(pid, Signal::KILL);
        }
    }
}

/// A client that runs beside the test; killed with it.
pub(crate) struct Client(Option<Child>);

impl Client {
    pub(crate) fn new(child: Child) -> Self {
        Self(Some(child))
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        self.0.as_mut().expect("not waited for")
    }

    pub(crate) fn pid(&mut self) -> i32 {
        i32::try_from(self.child().id()).expect("a pid")
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        kill(self.pid(), signal);
    }

    pub(crate) fn output(mut self) -> Output {
        self.0.take().expect("once").wait_with_output().expect("jr ends")
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// A signal to a process that this test started.
pub(crate) fn kill(pid: i32, signal: Signal) {
    let _gone = kill_process(Pid::from_raw(pid).expect("positive"), signal);
}

/// Whether a process with this number lives; a zombie does not.
pub(crate) fn lives(pid: i32) -> bool {
    !proc_file(pid, "stat").is_empty() && !is_zombie(pid)
}

pub(crate) fn is_zombie(pid: i32) -> bool {
    state_of(pid) == Some('Z')
}

/// The letter of proc(5).
pub(crate) fn state_of(pid: i32) -> Option<char> {
    let stat = String::from_utf8_lossy(&proc_file(pid, "stat")).into_owned();
    stat.rsplit_once(") ")?.1.chars().next()
}

pub(crate) fn parent_of(pid: i32) -> Option<i32> {
    let stat = String::from_utf8_lossy(&proc_file(pid, "stat")).into_owned();
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

pub(crate) fn proc_file(pid: i32, name: &str) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default()
}

/// Asks again and again until it is so. At the deadline it says what was seen last.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if begin.elapsed() > DEADLINE => panic!("waited for {what}: {seen}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// As [`until`], for what is only so or not.
pub(crate) fn until_so(what: &str, mut is_so: impl FnMut() -> bool) {
    until(what, || if is_so() { Ok(()) } else { Err("it is not so".to_owned()) });
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("ended by a signal: {output:?}"))
}

pub(crate) fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout) + &text(&output.stderr)))
}

/// Says on standard error that a test could not be done here, and why.
#[expect(clippy::print_stderr, reason = "cargo shows it with --nocapture and in CI's log")]
pub(crate) fn skipped(reason: &str) {
    eprintln!("SKIPPED ({reason})");
}
