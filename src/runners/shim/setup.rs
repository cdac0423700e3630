//! From a fresh process to a shim: everything that is done once, in an order that matters.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::event::Timespec;
use rustix::fs::{FlockOperation, Mode};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getpid, getrlimit, setrlimit};

use super::args::Args;
use super::bound::Bound;
use super::journal::{self, Entry, Journal, Opened};
use super::server::{Parts, Server};
use crate::model::ByteString;
use crate::runners::bond::Bond;
use crate::runners::fence::{FENCED_FILE, LOCK_FILE};
use crate::runners::linux::tree::Tree;
use crate::runners::linux::{clock, fds, procfs, signals, sockets};
use crate::runners::protocol::Hello;
use crate::runners::wire::PROTOCOL;

/// Looks at the lock so often, 10 ms apart: somebody may be testing it for a moment.
const LOCK_TRIES: u32 = 200;

/// Makes this process a shim.
pub(super) fn prepare(args: &Args) -> io::Result<Server> {
    fds::close_from(3);
    signals::default_and_block_all();
    rustix::thread::set_name(c"jr shim").ok();
    // Fails where it leads a group already, as under a shell; then it keeps that session.
    rustix::process::setsid().ok();
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::set_child_subreaper(Some(getpid()))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    if let Some(soft) = args.nofile {
        let limit = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(soft), ..limit })?;
    }
    let control = take_control()?;
    rustix::process::chdir("/")?;
    let bound = args.bound_to.as_deref().map(Bond::join).transpose()?.map(Bound::new);
    let lock = lock(&args.dir)?;
    let hello = identify()?;
    let tree = Tree::new((!args.no_cgroup).then(|| leaf_name(&args.dir)));
    let mut journal = Journal::open(&args.dir.join(journal::FILE))?;
    let opened = Opened {
        boot: hello.boot,
        pid: hello.pid,
        start_ticks: hello.start_ticks,
        leaf: tree.leaf().map(|leaf| bytes_of(leaf.path())),
        socket: bytes_of(&args.socket),
    };
    journal.append(&Entry::Opened(opened.clone()))?;
    let listener = listen(&args.socket)?;
    let args = args.clone();
    Server::new(Parts { args, lock, hello, opened, journal, listener, control, tree, bound })
}

/// Numbers of shims begin anew in each environment, and all leaves of a user may lie side by side:
/// the whole path is in the name, so that nobody takes or kills the leaf of another environment.
fn leaf_name(dir: &Path) -> String {
    let digest = blake3::hash(dir.as_os_str().as_bytes()).to_hex();
    let number = dir.file_name().unwrap_or_default().to_string_lossy();
    format!("jr-{}-{number}", &digest[..16])
}

/// Standard input is the first connection where it is a socket; 0 and 1 become `/dev/null`.
fn take_control() -> io::Result<Option<OwnedFd>> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let stdin = rustix::stdio::stdin();
    let is_socket = rustix::net::sockopt::socket_type(stdin).is_ok();
    let control = if is_socket { Some(stdin.try_clone_to_owned()?) } else { None };
    if let Some(control) = &control {
        rustix::io::ioctl_fionbio(control, true)?;
    }
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(control)
}

/// Takes the lock that says "this shim lives". Never unlinked while somebody might hold it.
fn lock(dir: &Path) -> io::Result<File> {
    let path = dir.join(LOCK_FILE);
    let lock = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    let mut tries = 0;
    while let Err(errno) = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        tries += 1;
        if tries == LOCK_TRIES {
            return Err(errno.into());
        }
        let pause = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
        rustix::event::poll(&mut [], Some(&pause))?;
    }
    let is_in_place = std::fs::metadata(&path)
        .is_ok_and(|found| lock.metadata().is_ok_and(|own| own.ino() == found.ino()));
    // A daemon has looked for us, found nobody, and counts on nobody coming.
    if !is_in_place || dir.join(FENCED_FILE).exists() {
        return Err(io::Error::other("this shim was given up before it began"));
    }
    Ok(lock)
}

fn identify() -> io::Result<Hello> {
    let pid = std::process::id();
    let stat = procfs::stat(pid)?.ok_or_else(|| io::Error::other("no /proc"))?;
    let boot = clock::boot_id()?;
    Ok(Hello { protocol: PROTOCOL, pid, start_ticks: stat.start_ticks, boot })
}

/// Binds beside the name and renames, so that whoever finds the name finds a listener.
fn listen(path: &Path) -> io::Result<OwnedFd> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".t");
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = sockets::bind(Path::new(&temporary))?;
    rustix::fs::chmod(&temporary, Mode::RUSR | Mode::WUSR)?;
    std::fs::rename(&temporary, path)?;
    listener.set_nonblocking(true)?;
    listener.as_fd().try_clone_to_owned()
}

fn bytes_of(path: &Path) -> ByteString {
    ByteString::from(path.as_os_str().as_bytes().to_vec())
}
