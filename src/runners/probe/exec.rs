//! Commands: in the service's directory and environment, in a process group of their own.
//!
//! The child is a plain one of the standard library, its end is seen by a pidfd: nothing here takes
//! SIGCHLD or reaps what it did not start. However a question ends, [`Running`] ends what it began.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::fs::Access;
use tokio::io::AsyncReadExt as _;
use tokio::io::unix::AsyncFd;

use tokio::net::unix::pipe;

use super::{Target, text};
use crate::limits::{PROBE_KILL_MS, PROBE_TEXT_BYTES};
use crate::model::{ByteString, Signal};
use crate::runners::linux::pidfd::{ProcessFd, signal_group_of_child};
use crate::runners::linux::{procfs, signals, tree};

/// Where execvp(3) of glibc looks when there is no `PATH`.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";
/// ENOEXEC: neither a program nor a script that names one.
const NO_FORMAT: i32 = 8;
/// Looks for what left the group; something that makes processes all the time is stopped first.
const ROUNDS: usize = 4;
/// What is read at one time of what it says.
const READ_BYTES: usize = 4 << 10;
/// Reads after its end: what others still write into the pipe is not waited for.
const LAST_READS: usize = 16;

/// Is right if it exits with 0.
pub(super) async fn ask(
    command: &[ByteString],
    target: &Target,
    timeout: Duration,
) -> Result<(), String> {
    let name = command.first().map(ByteString::to_text).unwrap_or_default();
    let mut running = match Running::start(command, target) {
        Ok(running) => running,
        Err(error) => return Err(format!("cannot start {name}: {}", text::reason(&error))),
    };
    let wrong = match tokio::time::timeout(timeout, running.end()).await {
        Ok(Ok(status)) if status.success() => return Ok(()),
        Ok(Ok(status)) => format!("{name} {}", end_of(status)),
        Ok(Err(error)) => format!("{name} was lost sight of: {}", text::reason(&error)),
        Err(_) => {
            running.kill();
            // So that the next question finds nothing of this one. In state D it is left alone.
            let patience = Duration::from_millis(PROBE_KILL_MS);
            tokio::time::timeout(patience, running.end()).await.map(drop).ok();
            format!("{name} has not ended within {timeout:?}")
        }
    };
    let said = String::from_utf8_lossy(&running.said);
    match said.trim() {
        "" => Err(wrong),
        said => Err(newest(&wrong, said)),
    }
}

fn end_of(status: ExitStatus) -> String {
    match (status.code(), status.signal().and_then(Signal::new)) {
        (Some(code), _) => format!("exited with {code}"),
        (None, Some(signal)) => format!("was ended by {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Both in one line; of what it said, the end: that is where it says why.
fn newest(wrong: &str, said: &str) -> String {
    let shown = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let shown = shown.collect::<Vec<_>>().join(" / ");
    let room = PROBE_TEXT_BYTES.saturating_sub(wrong.len() + 2);
    let start = shown.ceil_char_boundary(shown.len().saturating_sub(room));
    format!("{wrong}: {}", &shown[start..])
}

/// A command that runs, and everything that it has started.
struct Running {
    /// `None` once it is reaped.
    child: Option<Child>,
    process: Option<AsyncFd<ProcessFd>>,
    errors: Option<pipe::Receiver>,
    /// The newest bytes of its standard error.
    said: Vec<u8>,
}

impl Running {
    fn start(command: &[ByteString], target: &Target) -> io::Result<Self> {
        let mut child = spawn(command, target)?;
        let errors = child.stderr.take();
        let id = child.id();
        // From here on it is ended by Drop, whatever fails.
        let mut running =
            Self { child: Some(child), process: None, errors: None, said: Vec::new() };
        if let Some(errors) = errors {
            let errors = OwnedFd::from(errors);
            rustix::io::ioctl_fionbio(&errors, true)?;
            running.errors = Some(pipe::Receiver::from_owned_fd(errors)?);
        }
        // It is not reaped yet, so that the number is its own.
        let process = ProcessFd::open(id)?.ok_or(io::ErrorKind::NotFound)?;
        running.process = Some(process.into_async()?);
        Ok(running)
    }

    /// Waits until the command itself has ended, ends what it left in its group, and reaps it.
    async fn end(&mut self) -> io::Result<ExitStatus> {
        let Some(process) = &self.process else { return Err(io::ErrorKind::NotFound.into()) };
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let Some(errors) = &mut self.errors else {
                let _ended = process.readable().await?;
                break;
            };
            tokio::select! {
                ended = process.readable() => {
                    let _ended = ended?;
                    break;
                }
                read = errors.read(&mut buffer) => match read {
                    Ok(length @ 1..) => keep_newest(&mut self.said, &buffer[..length]),
                    Ok(0) | Err(_) => self.errors = None,
                },
            }
        }
        for _ in 0..LAST_READS {
            let read = self.errors.as_ref().map(|errors| errors.try_read(&mut buffer));
            let Some(Ok(length @ 1..)) = read else { break };
            keep_newest(&mut self.said, &buffer[..length]);
        }
        self.reap()
    }

    /// What it left in its group ends before the number of the group is free again.
    fn reap(&mut self) -> io::Result<ExitStatus> {
        let Some(child) = &mut self.child else { return Err(io::ErrorKind::NotFound.into()) };
        // ESRCH: nobody is left.
        signal_group_of_child(child.id(), Signal::KILL.number()).ok();
        let status = child.wait()?;
        self.child = None;
        Ok(status)
    }

    /// Ends all of it, those too that have left the group but still have their parents.
    fn kill(&self) {
        let Some(child) = &self.child else { return };
        let root = BTreeSet::from([child.id()]);
        // Nothing new is made while the others are looked for.
        signal_group_of_child(child.id(), Signal::STOP.number()).ok();
        let below = || {
            let stats = procfs::all().unwrap_or_default();
            let living = procfs::descendants(&stats, &root).into_iter();
            living.filter(|stat| !stat.is_zombie()).map(|stat| stat.pid).collect()
        };
        for _ in 0..ROUNDS {
            if tree::send_to_proven(below, Signal::KILL.number()).is_empty() {
                break;
            }
        }
        signal_group_of_child(child.id(), Signal::KILL.number()).ok();
        // It may have moved into another group of its session.
        if let Some(process) = &self.process {
            process.get_ref().send(Signal::KILL.number()).ok();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        let Some(mut child) = self.child.take() else { return };
        if matches!(child.try_wait(), Ok(None)) {
            // It dies in a moment; nobody waits for that here, and no zombie stays.
            let wait = move || child.wait().map(drop).ok();
            let waiter = std::thread::Builder::new().name("probe".to_owned());
            signals::all_blocked(|| waiter.spawn(wait)).map(drop).ok();
        }
    }
}

fn keep_newest(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    let excess = kept.len().saturating_sub(PROBE_TEXT_BYTES);
    kept.drain(..excess);
}

/// By posix_spawn, never fork: the size of this process does not matter.
#[expect(clippy::doc_markdown, reason = "the name of a function of POSIX")]
fn spawn(command: &[ByteString], target: &Target) -> io::Result<Child> {
    let Some((name, rest)) = command.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = Path::new(target.directory.as_os_str());
    let program = find(name.as_bytes(), directory, &target.variables)?;
    let prepare = |program: &Path| {
        let mut command = Command::new(program);
        let variables = target.variables.iter();
        command
            .env_clear()
            .envs(variables.map(|(name, value)| (name.as_os_str(), value.as_os_str())))
            .current_dir(directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    };
    let words = rest.iter().map(ByteString::as_os_str);
    let spawned = prepare(&program).arg0(name.as_os_str()).args(words.clone()).spawn();
    match spawned {
        // As execvp(3): a script without a first line is one of the shell.
        Err(error) if error.raw_os_error() == Some(NO_FORMAT) => {
            prepare(Path::new("/bin/sh")).arg(program).args(words).spawn()
        }
        spawned => spawned,
    }
}

/// As execvp(3) in the service's directory, with the service's `PATH`.
fn find(
    name: &[u8],
    directory: &Path,
    variables: &[(ByteString, ByteString)],
) -> io::Result<PathBuf> {
    if !directory.is_dir() {
        let what = format!("{} is no directory", directory.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    let path_of = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
    if name.contains(&b'/') {
        return Ok(directory.join(path_of(name)));
    }
    let path = variables.iter().find(|(key, _)| key.as_bytes() == b"PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value.as_bytes());
    let mut wrong = io::Error::new(io::ErrorKind::NotFound, "no such program in PATH");
    for place in path.split(|byte| *byte == b':') {
        let candidate = directory.join(path_of(place)).join(path_of(name));
        if !candidate.is_file() {
            continue;
        }
        match rustix::fs::access(&candidate, Access::EXEC_OK) {
            Ok(()) if !name.is_empty() => return Ok(candidate),
            Ok(()) => {}
            Err(errno) => wrong = errno.into(),
        }
    }
    Err(wrong)
}
