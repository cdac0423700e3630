//! Processes that carry certain variables in their environment (`proc_pid_environ(5)`). A process
//! inherits them and may change them, so this is a trace and no proof: nothing is done to anybody
//! because of it.

use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::procfs;
use crate::model::secret;
use crate::model::{ByteString, RunId};

/// Clock ticks of `proc_pid_stat(5)` in a second: part of the interface to user space (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;
/// What is read of an environment; the kernel allows 2 MiB for it and the arguments together.
const ENVIRON_BYTES: u64 = 2 << 20;
/// Tells a process which run it belongs to.
const RUN: &[u8] = b"JR_RUN_ID";
/// What is kept of a command line.
const COMMAND_CHARS: usize = 120;

/// A process of a run, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carrier {
    /// Its number now.
    pub pid: u32,
    /// Tells it from a later one of that number.
    pub start_ticks: u64,
    /// From boot to its start.
    pub started_boottime_ms: u64,
    /// What it runs.
    pub command: String,
    /// `JR_RUN_ID`.
    pub run: String,
    /// `JR_ATTEMPT`.
    pub attempt: Option<String>,
}

/// What a look at all processes gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carriers {
    /// Processes of runs of one environment.
    pub found: Vec<Carrier>,
    /// Processes whose environment may not be read.
    pub hidden: usize,
}

/// All processes that say that they belong to a run of that environment. This one is left out.
///
/// # Errors
/// There is no `/proc`.
pub fn of_environment(home: &Path, id: &str) -> io::Result<Carriers> {
    let mut carriers = Carriers::default();
    let stats = procfs::all()?;
    if stats.is_empty() {
        return Err(io::Error::other("/proc shows no process"));
    }
    for stat in stats {
        if stat.is_zombie() || stat.pid == std::process::id() {
            continue;
        }
        let Ok(bytes) = environ(stat.pid) else {
            carriers.hidden += 1;
            continue;
        };
        let Some((run, attempt)) = parse(&bytes, home, id) else { continue };
        carriers.found.push(Carrier {
            pid: stat.pid,
            start_ticks: stat.start_ticks,
            started_boottime_ms: stat.start_ticks.saturating_mul(1_000) / TICKS_PER_SECOND,
            command: command(stat.pid),
            run,
            attempt,
        });
    }
    Ok(carriers)
}

fn environ(pid: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(format!("/proc/{pid}/environ"))?;
    file.take(ENVIRON_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The run that a process says it belongs to, of whatever environment.
pub fn run_of(pid: u32) -> Option<RunId> {
    let bytes = environ(pid).ok()?;
    std::str::from_utf8(value(&bytes, RUN)?).ok()?.parse().ok()
}

/// What a variable of an environment is set to.
fn value<'a>(environ: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut variables = environ.split(|byte| *byte == 0);
    variables.find_map(|variable| variable.strip_prefix(name)?.strip_prefix(b"="))
}

/// Run and attempt, if it is of that environment.
fn parse(environ: &[u8], home: &Path, id: &str) -> Option<(String, Option<String>)> {
    let value = |name: &[u8]| value(environ, name);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let run = value(RUN)?;
    let is_there = value(b"JR_HOME") == Some(home.as_os_str().as_bytes());
    let is_its = value(b"JR_ENV") == Some(id.as_bytes());
    (is_there && is_its).then(|| (text(run), value(b"JR_ATTEMPT").map(text)))
}

/// The command line of a process, for messages; empty if there is none.
pub fn command(pid: u32) -> String {
    joined(&words(pid))
}

/// As [`command`], with markers in place of what looks secret.
pub fn masked_command(pid: u32) -> String {
    let mut words = words(pid);
    // A process that names itself anew leaves one text, with spaces.
    words = match <[ByteString; 1]>::try_from(words) {
        Ok([line]) => vec![secret::mask_line(line).values],
        Err(words) => secret::mask_command(words).values,
    };
    joined(&words)
}

fn words(pid: u32) -> Vec<ByteString> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| ByteString::from(word.to_vec())).collect()
}

fn joined(words: &[ByteString]) -> String {
    let words: Vec<String> = words.iter().map(ByteString::to_text).collect();
    words.join(" ").chars().take(COMMAND_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_of_that_very_environment_are_its() {
        let home = Path::new("/h");
        let all = b"A=1\0JR_RUN_ID=abc\0JR_HOME=/h\0JR_ENV=local\0JR_ATTEMPT=2\0";
        assert_eq!(parse(all, home, "local"), Some(("abc".to_owned(), Some("2".to_owned()))));
        assert_eq!(parse(all, home, "other"), None);
        assert_eq!(parse(all, Path::new("/h/x"), "local"), None);
        assert_eq!(parse(b"XJR_RUN_ID=abc\0JR_HOME=/h\0JR_ENV=local\0", home, "local"), None);
        assert_eq!(parse(b"", home, "local"), None);
    }

    #[test]
    fn a_process_that_carries_a_run_is_found_with_its_command() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("60")
            .env_clear()
            .envs([("JR_RUN_ID", "abc"), ("JR_HOME", "/h"), ("JR_ENV", "local")])
            .spawn()
            .expect("spawns");
        // It has its environment a moment after it has its program.
        let look = || {
            let carriers = of_environment(Path::new("/h"), "local").expect("procfs");
            let own = |carrier: &Carrier| carrier.pid == child.id();
            let found: Vec<Carrier> = carriers.found.into_iter().filter(own).collect();
            std::thread::sleep(std::time::Duration::from_millis(u64::from(found.is_empty())));
            found
        };
        let found = (0..5_000).map(|_| look()).find(|found| !found.is_empty()).unwrap_or_default();
        child.kill().expect("ours");
        child.wait().expect("ours");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].run.as_str(), found[0].command.as_str()), ("abc", "/bin/sleep 60"));
    }
}
