//! Programs beside jr: where they are, and what they call their version.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, access};
use serde::{Deserialize, Serialize};

use crate::daemon::client::monotonic_ms;
use crate::limits;
use crate::runners::linux::pidfd;

/// Names, and how each is asked for its version.
const TOOLS: [(&str, &str); 5] = [
    ("runc", "--version"),
    ("crun", "--version"),
    ("sbatch", "--version"),
    ("ssh", "-V"),
    ("git", "--version"),
];
/// What is read of an answer.
const ANSWER_BYTES: usize = 4 << 10;
/// What is kept of it.
const VERSION_CHARS: usize = 80;
/// SIGKILL.
const KILL: i32 = 9;

/// One program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolFacts {
    /// Its name.
    pub name: String,
    /// Where it was found.
    pub path: Option<String>,
    /// The first line of what it says.
    pub version: Option<String>,
    /// Why it says nothing.
    pub problem: Option<String>,
}

/// Looks for them in `PATH` and asks all at once.
pub fn gather() -> Vec<ToolFacts> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let threads = TOOLS.map(|(name, option)| {
        let path = find(name, &search);
        let asked = path.clone();
        let question = move |path: PathBuf| {
            let mut command = Command::new(path);
            command.arg(option);
            ask(command)
        };
        (name, path, std::thread::spawn(move || asked.map(question)))
    });
    let told = threads.map(|(name, path, thread)| {
        let answer = thread.join().unwrap_or_else(|_| Some(Err("it failed".to_owned())));
        let (version, problem) = match answer {
            Some(Ok(version)) => (Some(version), None),
            Some(Err(problem)) => (None, Some(problem)),
            None => (None, None),
        };
        let path = path.map(|path| path.display().to_string());
        ToolFacts { name: name.to_owned(), path, version, problem }
    });
    told.into()
}

/// The first one that can be executed. Relative entries are left out: what lies in some directory
/// is not run because somebody stands in it.
fn find(name: &str, search: &OsStr) -> Option<PathBuf> {
    let places = std::env::split_paths(search).filter(|place| place.is_absolute());
    let mut found = places.map(|place| place.join(name));
    found.find(|path| path.is_file() && access(path, Access::EXEC_OK).is_ok())
}

/// The first line that it says, or why there is none. It has a process group of its own, which
/// ends with the question.
fn ask(mut command: Command) -> Result<String, String> {
    command.current_dir("/").process_group(0).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let answer = hear(&mut child);
    // Not reaped yet, so the group is its.
    let _gone = pidfd::signal_group_of_child(child.id(), KILL);
    let _reaped = child.wait();
    let text = String::from_utf8_lossy(&answer?).into_owned();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let line = line.ok_or_else(|| "it says nothing".to_owned())?;
    Ok(line.chars().take(VERSION_CHARS).collect())
}

/// What it says on either stream until both are closed, or so much, or so long.
fn hear(child: &mut Child) -> Result<Vec<u8>, String> {
    let (Some(mut out), Some(mut errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("it has no output".to_owned());
    };
    let deadline_ms = monotonic_ms() + limits::DOCTOR_TOOL_MS;
    let (mut said, mut complained) = (Vec::new(), Vec::new());
    let mut is_open = [true, true];
    while is_open.contains(&true) && said.len() + complained.len() < ANSWER_BYTES {
        let left = deadline_ms.saturating_sub(monotonic_ms());
        if left == 0 {
            return Err(format!("it says nothing within {} ms", limits::DOCTOR_TOOL_MS));
        }
        let flags = |open| if open { PollFlags::IN } else { PollFlags::empty() };
        let mut fds = [
            PollFd::from_borrowed_fd(out.as_fd(), flags(is_open[0])),
            PollFd::from_borrowed_fd(errors.as_fd(), flags(is_open[1])),
        ];
        let tv_sec = i64::try_from(left / 1_000).unwrap_or(0);
        let tv_nsec = i64::try_from(left % 1_000).unwrap_or(0) * 1_000_000;
        let _again = poll(&mut fds, Some(&Timespec { tv_sec, tv_nsec }));
        let ready = fds.map(|fd| !fd.revents().is_empty());
        let mut buffer = [0; 1024];
        if is_open[0] && ready[0] {
            let length = out.read(&mut buffer).unwrap_or(0);
            is_open[0] = length > 0;
            said.extend_from_slice(&buffer[..length]);
        }
        if is_open[1] && ready[1] {
            let length = errors.read(&mut buffer).unwrap_or(0);
            is_open[1] = length > 0;
            complained.extend_from_slice(&buffer[..length]);
        }
    }
    Ok(if said.is_empty() { complained } else { said })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn shell(script: &str) -> Result<String, String> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        ask(command)
    }

    #[test]
    fn a_version_is_the_first_line_of_either_stream() {
        assert_eq!(shell("echo; echo tool 1.2; echo more").as_deref(), Ok("tool 1.2"));
        assert_eq!(shell("echo Tool_9 >&2").as_deref(), Ok("Tool_9"));
        assert_eq!(shell("exit 1"), Err("it says nothing".to_owned()));
        assert_eq!(shell("yes | head -c 100000000").map(|text| text.len()), Ok(1));
    }

    #[test]
    fn one_that_hangs_is_ended_with_all_that_it_started() {
        let problem = shell("sleep 600 & sleep 600").expect_err("it says nothing");
        assert!(problem.contains("within"), "{problem}");
    }

    #[test]
    fn only_absolute_places_are_searched() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("tool");
        std::fs::write(&path, "").expect("written");
        assert_eq!(find("tool", directory.path().as_os_str()), None, "it cannot be executed");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("ours");
        assert_eq!(find("tool", directory.path().as_os_str()), Some(path));
        assert_eq!(find("tool", OsStr::new(".:")), None);
        assert_eq!(find("tool", OsStr::new("")), None);
    }
}
