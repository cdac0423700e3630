//! Starting a program: clone3 into a cgroup, then exec as execvp(3) would.
//!
//! The parent has one thread, so the child may do what it likes before exec; it allocates nothing
//! all the same. What goes wrong there comes back over a pipe that exec closes:
//!
//! ```text
//! parent: clone3 ─▶ pid, pidfd, report      report: EOF = executed, 5 bytes = step, errno
//! child:  v1 groups, rlimit, setpgid, dup2 ×3 and more, umask, user, chdir, mask, execve …
//! ```
//!
//! A terminal is that of the parent's session, which the parent leads: so the group of the child,
//! put in its foreground, has a parent outside it that can let it go on when a key has stopped it
//! (no orphaned process group of POSIX).
#![expect(unsafe_code, reason = "clone3 and the steps between clone and exec")]

use std::cell::UnsafeCell;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::termios::tcsetpgrp;

use super::account::Account;
use super::confine::Confinement;
use super::{fds, signals};
use crate::model::ByteString;
use crate::model::event::SpawnError;

/// Where execvp(3) of glibc looks when there is no `PATH`.
const DEFAULT_PATH: &[u8] = b"/bin:/usr/bin";
/// Before exec, in a report.
const STEP_PREPARE: u8 = 0;
/// At exec, in a report.
const STEP_EXEC: u8 = 1;
/// Where what is passed begins (`SD_LISTEN_FDS_START` of `sd_listen_fds(3)`).
const FIRST_PASSED: RawFd = 3;
const CLONE_PIDFD: u64 = 0x1000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args` of clone3(2), with the cgroup field (88 bytes).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A command with everything worked out that a child could not do without memory of its own.
#[derive(Debug)]
pub struct Program {
    argv: Vec<CString>,
    variables: Vec<CString>,
    cwd: CString,
    /// Full paths to try, in order.
    candidates: Vec<CString>,
}

/// A child that was made. Whether it becomes the program says `report`.
#[derive(Debug)]
pub struct Spawned {
    /// Its number, ours until we reap it.
    pub pid: u32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
    /// For [`read_report`].
    pub report: OwnedFd,
}

/// Where a child reads and writes.
#[derive(Clone, Copy, Debug)]
pub enum Stdio<'a> {
    /// Standard input, output and error.
    Files([BorrowedFd<'a>; 3]),
    /// All three are this terminal, the controlling one of our session.
    Terminal(BorrowedFd<'a>),
}

/// How a child begins, besides its program.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    /// Where it reads and writes.
    pub stdio: Stdio<'a>,
    /// Bits that its files do not get.
    pub umask: Mode,
    /// Who it becomes; `None` is who we are.
    pub account: Option<&'a Account>,
    /// What it finds open from descriptor 3 on, with `LISTEN_PID` if it is anything.
    pub sockets: &'a [BorrowedFd<'a>],
}

/// What the child says before it is the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Nothing yet.
    Pending,
    /// It is the program now, or died on the way; its status will tell.
    Executed,
    /// It is not, and is about to exit.
    Failed(SpawnError),
}

impl Program {
    /// Prepares a command. `PATH` is that of `variables`.
    pub fn new(
        command: &[ByteString],
        variables: &[(ByteString, ByteString)],
        cwd: &ByteString,
    ) -> Result<Self, SpawnError> {
        let argv: Vec<CString> = command
            .iter()
            .map(|word| terminated(word.as_bytes().to_vec()))
            .collect::<Result<_, _>>()?;
        let Some(file) = argv.first() else { return Err(SpawnError::Errno(libc::EINVAL)) };
        let candidates = candidates(file, variables)?;
        let variables = variables
            .iter()
            .map(|(name, value)| terminated([name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<_, _>>()?;
        Ok(Self { cwd: terminated(cwd.as_bytes().to_vec())?, argv, variables, candidates })
    }
}

fn terminated(bytes: Vec<u8>) -> Result<CString, SpawnError> {
    CString::new(bytes).map_err(|_| SpawnError::Errno(libc::EINVAL))
}

fn candidates(
    file: &CStr,
    variables: &[(ByteString, ByteString)],
) -> Result<Vec<CString>, SpawnError> {
    let name = file.to_bytes();
    if name.is_empty() {
        return Err(SpawnError::NotFound);
    }
    if name.contains(&b'/') {
        return Ok(vec![file.to_owned()]);
    }
    let path = variables.iter().find(|(key, _)| key.as_bytes() == b"PATH");
    let path = path.map_or(DEFAULT_PATH, |(_, value)| value.as_bytes());
    path.split(|byte| *byte == b':')
        .map(|dir| {
            // An empty entry is the working directory.
            let dir = if dir.is_empty() { b"." } else { dir };
            terminated([dir, b"/", name].concat())
        })
        .collect()
}

/// What a child needs besides its program, for after clone.
struct Ground<'a> {
    stdio: [RawFd; 3],
    has_terminal: bool,
    umask: Mode,
    account: Option<&'a Account>,
    /// They lie above where the child gets them.
    sockets: &'a [OwnedFd],
    listen_pid: &'a ListenPid,
}

/// `LISTEN_PID=` and room for a number that only the child knows.
struct ListenPid(UnsafeCell<[u8; 22]>);

impl ListenPid {
    const NAME: usize = b"LISTEN_PID=".len();

    fn new() -> Self {
        Self(UnsafeCell::new(*b"LISTEN_PID=\0\0\0\0\0\0\0\0\0\0\0"))
    }

    fn pointer(&self) -> *const libc::c_char {
        self.0.get().cast_const().cast()
    }

    /// Writes the number; in the child, whose memory is its own.
    fn fill(&self, pid: u32) {
        let digits = pid.checked_ilog10().unwrap_or(0) as usize + 1;
        let mut rest = pid;
        // SAFETY: nobody else looks at it before exec, and no other reference to it lives.
        let text = unsafe { &mut *self.0.get() };
        for place in text.iter_mut().skip(Self::NAME).take(digits).rev() {
            *place = b"0123456789"[(rest % 10) as usize];
            rest /= 10;
        }
    }
}

/// Makes the child. It leads a process group of its own in our session, in the foreground of its
/// terminal.
pub fn spawn(
    program: &Program,
    conditions: &Conditions<'_>,
    cgroup: Option<BorrowedFd<'_>>,
    confinement: &Confinement,
) -> io::Result<Spawned> {
    let &Conditions { stdio, umask, account, sockets } = conditions;
    let (report, child_report) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&report, true)?;
    // Out of the way of what the child puts from 3 on.
    let child_report = above(child_report.as_fd(), sockets.len())?;
    let count = sockets.len();
    let sockets = sockets.iter().map(|socket| above(*socket, count));
    let sockets: Vec<OwnedFd> = sockets.collect::<Result<_, _>>()?;
    let listen_pid = ListenPid::new();
    let (stdio, has_terminal) = match stdio {
        Stdio::Files(files) => (files, false),
        Stdio::Terminal(terminal) => ([terminal; 3], true),
    };
    let stdio = stdio.map(|fd| fd.as_raw_fd());
    let (sockets, listen_pid) = (sockets.as_slice(), &listen_pid);
    let ground = Ground { stdio, has_terminal, umask, account, sockets, listen_pid };
    let argv = pointers(&program.argv);
    let mut variables = pointers(&program.variables);
    if !sockets.is_empty() {
        variables.insert(0, listen_pid.pointer());
    }
    // `/bin/sh script args…` for a file without a magic number; [0] and [1] are set in the child.
    let mut script = vec![c"/bin/sh".as_ptr(), std::ptr::null()];
    script.extend(argv.iter().skip(1));
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: CLONE_PIDFD,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
    }
    // SAFETY: without CLONE_VM the child has memory of its own, as after fork; this process has
    // one thread. The kernel reads `args` and writes `pidfd`, both alive.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, std::mem::size_of::<CloneArgs>()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid == 0 {
        let (step, errno) = match enter(confinement) {
            Ok(()) => become_program(program, &ground, &argv, &variables, &mut script),
            Err(errno) => (STEP_PREPARE, errno),
        };
        let [a, b, c, d] = errno.raw_os_error().to_le_bytes();
        rustix::io::write(&child_report, &[step, a, b, c, d]).ok();
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(127) };
    }
    let pid = u32::try_from(pid).map_err(|_| io::Error::other("pid out of range"))?;
    // SAFETY: the kernel has just given us this descriptor.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Spawned { pid, pidfd, report })
}

/// A second descriptor of the same thing that lies above the standard ones and `count` more.
fn above(fd: BorrowedFd<'_>, count: usize) -> io::Result<OwnedFd> {
    let first = RawFd::try_from(count).map_err(io::Error::other)?.saturating_add(FIRST_PASSED);
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, first)?)
}

/// Whether an error of [`spawn`] is the cgroup's fault, so that it may work without.
pub fn is_cgroup_refusal(error: &io::Error) -> bool {
    let refusals = [
        libc::EACCES,
        libc::EPERM,
        libc::EBUSY,
        libc::EOPNOTSUPP,
        libc::EINVAL,
        libc::ENOENT,
        libc::ENODEV,
        libc::E2BIG,
        libc::EBADF,
    ];
    error.raw_os_error().is_some_and(|errno| refusals.contains(&errno))
}

fn pointers(words: &[CString]) -> Vec<*const libc::c_char> {
    let mut list: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    list.push(std::ptr::null());
    list
}

/// Runs in the child: what it is held by counts before anything of the program does.
fn enter(confinement: &Confinement) -> Result<(), Errno> {
    for join in confinement.joins() {
        rustix::io::write(join, b"0")?;
    }
    if let Some(bytes) = confinement.address_space() {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        setrlimit(Resource::As, limit)?;
    }
    Ok(())
}

/// Runs in the child and returns only if it could not become the program.
fn become_program(
    program: &Program,
    ground: &Ground<'_>,
    argv: &[*const libc::c_char],
    variables: &[*const libc::c_char],
    script: &mut [*const libc::c_char],
) -> (u8, Errno) {
    if let Err(errno) = rustix::process::setpgid(None, None) {
        return (STEP_PREPARE, errno);
    }
    for (target, source) in (0..).zip(ground.stdio) {
        // SAFETY: the sources lie above 2, so that no step overwrites a later source.
        if unsafe { libc::dup2(source, target) } < 0 {
            return (STEP_PREPARE, last_errno());
        }
    }
    // All signals are blocked, SIGTTOU with them, which would stop us here.
    if ground.has_terminal
        && let Err(errno) = tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid())
    {
        return (STEP_PREPARE, errno);
    }
    if let Err(errno) = pass_sockets(ground) {
        return (STEP_PREPARE, errno);
    }
    rustix::process::umask(ground.umask);
    if let Some(account) = ground.account
        && let Err(errno) = put_on(account, ground)
    {
        return (STEP_PREPARE, errno);
    }
    // With the rights of who it is now.
    if let Err(errno) = rustix::process::chdir(program.cwd.as_c_str()) {
        return (STEP_PREPARE, errno);
    }
    signals::unblock_all();
    let mut last = Errno::NOENT;
    for file in &program.candidates {
        // SAFETY: both lists end with NULL and point to strings that are alive.
        unsafe { libc::execve(file.as_ptr(), argv.as_ptr(), variables.as_ptr()) };
        match last_errno() {
            Errno::NOEXEC => {
                script[1] = file.as_ptr();
                // SAFETY: as above.
                unsafe { libc::execve(script[0], script.as_ptr(), variables.as_ptr()) };
                return (STEP_EXEC, Errno::NOEXEC);
            }
            // As execvp(3): remember that something was there, and look further.
            Errno::ACCESS => last = Errno::ACCESS,
            Errno::NOENT | Errno::NOTDIR => {}
            errno => return (STEP_EXEC, errno),
        }
    }
    (STEP_EXEC, last)
}

/// Runs in the child: puts the sockets where they belong, and lets exec close all above them.
fn pass_sockets(ground: &Ground<'_>) -> Result<(), Errno> {
    let mut next = FIRST_PASSED;
    for socket in ground.sockets {
        // SAFETY: the sources lie above all targets; what lies there is used no more.
        if unsafe { libc::dup2(socket.as_raw_fd(), next) } < 0 {
            return Err(last_errno());
        }
        next += 1;
    }
    fds::close_from_on_exec(next.unsigned_abs());
    if !ground.sockets.is_empty() {
        ground.listen_pid.fill(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs());
    }
    Ok(())
}

/// Runs in the child: it becomes another user, who owns what it writes to, so that it can open
/// `/dev/stdout` or its terminal by name.
fn put_on(account: &Account, ground: &Ground<'_>) -> Result<(), Errno> {
    let uid = Some(account.uid());
    // A file system without owners is no hindrance.
    rustix::fs::fchown(rustix::stdio::stdout(), uid, None).ok();
    rustix::fs::fchown(rustix::stdio::stderr(), uid, None).ok();
    if ground.has_terminal {
        rustix::fs::fchown(rustix::stdio::stdin(), uid, None).ok();
    }
    account.put_on()
}

fn last_errno() -> Errno {
    let number = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
    Errno::from_raw_os_error(number)
}

/// What the child has said so far.
pub fn read_report(report: &OwnedFd) -> Report {
    let mut bytes = [0_u8; 5];
    match rustix::io::read(report, &mut bytes) {
        Err(Errno::AGAIN | Errno::INTR) => Report::Pending,
        Ok(5) => {
            let [step, errno @ ..] = bytes;
            Report::Failed(spawn_error(step, i32::from_le_bytes(errno)))
        }
        Ok(_) | Err(_) => Report::Executed,
    }
}

/// Only the program itself can be missing or not executable; a working directory is an errno.
fn spawn_error(step: u8, errno: i32) -> SpawnError {
    match errno {
        libc::ENOENT | libc::ENOTDIR if step == STEP_EXEC => SpawnError::NotFound,
        libc::EACCES | libc::ENOEXEC if step == STEP_EXEC => SpawnError::NotExecutable,
        errno => SpawnError::Errno(errno),
    }
}
