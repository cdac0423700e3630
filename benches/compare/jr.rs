//! jr as its users meet it: the program, a `JR_HOME` of its own, and the processes in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::measure::{Absent, Measured, call, read, wait_until};

/// How long a daemon may take to go.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// One `JR_HOME`. Its daemon is stopped at the end.
pub(crate) struct Jr {
    program: PathBuf,
    home: PathBuf,
    runtime: PathBuf,
}

/// Resident memory of a process, in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All that is resident.
    pub(crate) rss: f64,
    /// With shared pages divided among those who share them.
    pub(crate) pss: f64,
    /// Written by itself.
    pub(crate) dirty: f64,
}

impl Jr {
    /// jr with the home `home`; `runtime` must be short, sockets go there.
    pub(crate) fn new(program: &Path, home: PathBuf, runtime: &Path) -> Self {
        fs::create_dir_all(&home).expect("the scratch directory is writable");
        Self { program: program.to_owned(), home, runtime: runtime.to_owned() }
    }

    /// A call of jr.
    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).env("JR_HOME", &self.home).env("JR_ENV", "local");
        command.env("XDG_RUNTIME_DIR", &self.runtime).current_dir(&self.home);
        command
    }

    /// Calls it; nothing is read, nothing shown.
    pub(crate) fn call(&self, words: &[&str]) -> Measured<()> {
        call(&mut self.command(words))
    }

    /// Calls it and takes what it prints.
    pub(crate) fn read(&self, words: &[&str]) -> Measured<String> {
        read(&mut self.command(words))
    }

    /// The number that follows one of these keys in a `--json` answer.
    pub(crate) fn number(&self, words: &[&str], keys: &[&str]) -> Measured<u64> {
        let text = self.read(words)?;
        let number = |key: &&str| {
            let (_, rest) = text.split_once(&format!("\"{key}\":"))?;
            let rest = rest.trim_start();
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse().ok()
        };
        let missing = || Absent::Failed(format!("no {keys:?} in jr {}", words.join(" ")));
        keys.iter().find_map(number).ok_or_else(missing)
    }

    /// Its daemon.
    pub(crate) fn daemon(&self) -> Measured<Pid> {
        let is_daemon = |words: &[String]| words.ends_with(&["daemon".into(), "run".into()]);
        let gone = || Absent::Failed("no process `jr daemon run` has this JR_HOME".to_owned());
        self.processes(is_daemon).first().copied().ok_or_else(gone)
    }

    /// Its shims.
    pub(crate) fn shims(&self) -> Vec<Pid> {
        self.processes(|words| words.iter().any(|word| word == "shim"))
    }

    /// Processes with our home in their environment whose words fit.
    fn processes(&self, fit: impl Fn(&[String]) -> bool) -> Vec<Pid> {
        let ours = format!("JR_HOME={}", self.home.display());
        let mut out = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
            let words = |name: &str| -> Vec<String> {
                let bytes = fs::read(entry.path().join(name)).unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                text.split('\0').filter(|word| !word.is_empty()).map(str::to_owned).collect()
            };
            if words("environ").contains(&ours) && fit(&words("cmdline")) {
                out.extend(Pid::from_raw(pid));
            }
        }
        out
    }

    /// Kills the daemon without a warning and waits until it is gone.
    pub(crate) fn kill_daemon(&self) -> Measured<()> {
        let pid = self.daemon()?;
        let failed = |error: rustix::io::Errno| Absent::Failed(format!("kill: {error}"));
        kill_process(pid, Signal::KILL).map_err(failed)?;
        let gone = wait_until(STOP_LIMIT, || self.daemon().is_err());
        gone.then_some(()).ok_or_else(|| Absent::Failed("the killed daemon stays".to_owned()))
    }
}

impl Drop for Jr {
    fn drop(&mut self) {
        drop(self.call(&["daemon", "stop"]));
        if !wait_until(STOP_LIMIT, || self.daemon().is_err()) {
            drop(self.kill_daemon());
        }
    }
}

/// What a process has in memory.
pub(crate) fn memory(pid: Pid) -> Measured<Memory> {
    let field = |file: &str, key: &str| {
        let text = fs::read_to_string(format!("/proc/{}/{file}", pid.as_raw_nonzero())).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let kib: u32 = line.split_whitespace().next()?.parse().ok()?;
        Some(f64::from(kib) / 1024.0)
    };
    let all = || {
        let rss = field("status", "VmRSS")?;
        let pss = field("smaps_rollup", "Pss")?;
        Some(Memory { rss, pss, dirty: field("smaps_rollup", "Private_Dirty")? })
    };
    all().ok_or_else(|| Absent::Failed(format!("/proc/{} cannot be read", pid.as_raw_nonzero())))
}

/// CPU time that a process has used, in seconds.
pub(crate) fn cpu(pid: Pid) -> Measured<f64> {
    let all = || {
        let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        let (_, after_name) = text.rsplit_once(") ")?;
        // Fields 14 and 15 of proc(5), counted from the state, which is the third.
        let ticks: Vec<u32> =
            after_name.split(' ').skip(11).take(2).filter_map(|word| word.parse().ok()).collect();
        // A tick of /proc is a hundredth of a second on every Linux that Rust knows.
        Some(f64::from(ticks.iter().sum::<u32>()) / 100.0)
    };
    all().ok_or_else(|| Absent::Failed(format!("/proc/{} cannot be read", pid.as_raw_nonzero())))
}
