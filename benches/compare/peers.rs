//! What jr is measured beside. None of them records anything durable.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::measure::{Absent, Measured, call, read, timed};

/// The shortest job there is.
pub(crate) const TRUE: &str = "/bin/true";
/// Jobs at a time, for all of them.
const AT_A_TIME: usize = 2;

/// Two threads, each making process after process by `posix_spawn` and waiting for it: the floor.
pub(crate) fn spawn_loop(jobs: usize) -> Measured<f64> {
    let half = |count: usize| (0..count).try_for_each(|_| call(&mut Command::new(TRUE)));
    timed(|| {
        thread::scope(|scope| {
            let threads: Vec<_> =
                (0..AT_A_TIME).map(|_| scope.spawn(|| half(jobs / AT_A_TIME))).collect();
            let crashed = |_| Absent::Failed("a thread of the loop panicked".to_owned());
            threads.into_iter().try_for_each(|thread| thread.join().map_err(crashed)?)
        })
    })
}

/// One line a job, for `jr batch` and the peers that read such lines.
pub(crate) fn job_file(directory: &Path, jobs: usize) -> PathBuf {
    let path = directory.join(format!("{jobs}.jobs"));
    fs::write(&path, format!("{TRUE}\n").repeat(jobs)).expect("the scratch directory is writable");
    path
}

/// `xargs -P2 -n1`, which adds each line as an argument that `true` ignores.
pub(crate) fn xargs(jobs: &Path) -> Measured<f64> {
    let mut command = Command::new("xargs");
    command.arg("-a").arg(jobs).args(["-P2", "-n1", TRUE]);
    timed(|| call(&mut command))
}

/// GNU parallel, each line through its shell as it does by default.
pub(crate) fn parallel(jobs: &Path) -> Measured<f64> {
    installed("parallel")?;
    let mut command = Command::new("parallel");
    command.args(["--will-cite", "-j2", "-a"]).arg(jobs);
    timed(|| call(&mut command))
}

/// A task-spooler server of our own.
pub(crate) struct TaskSpooler {
    directory: PathBuf,
}

impl TaskSpooler {
    /// Starts with two slots, if it is installed.
    pub(crate) fn start(directory: &Path) -> Measured<Self> {
        installed("tsp")?;
        let own = Self { directory: directory.to_owned() };
        call(own.command().args(["-S", "2"]))?;
        Ok(own)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tsp");
        command.env("TS_SOCKET", self.directory.join("tsp.socket"));
        command.env("TMPDIR", &self.directory);
        command
    }

    /// One call a job, then until the last ones have ended.
    pub(crate) fn calls(&self, jobs: usize) -> Measured<f64> {
        let seconds = timed(|| {
            let mut last = [String::new(), String::new()];
            for job in 0..jobs {
                let id = read(self.command().arg(TRUE))?;
                last[job % 2] = id;
            }
            last.iter().try_for_each(|id| call(self.command().args(["-w", id])))
        })?;
        // The list of ended jobs makes later rounds slower; it is not what is compared.
        call(self.command().arg("-C"))?;
        Ok(seconds)
    }

    /// One job, submitted and waited for.
    pub(crate) fn one(&self) -> Measured<()> {
        call(self.command().args(["-f", TRUE]))
    }
}

impl Drop for TaskSpooler {
    fn drop(&mut self) {
        drop(call(self.command().arg("-K")));
    }
}

fn installed(program: &'static str) -> Measured<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    found.then_some(()).ok_or(Absent::NotInstalled(program))
}
