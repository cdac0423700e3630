//! A real shim with a real daemon's end of its socket, for tests that start real processes.
#![allow(dead_code, clippy::allow_attributes, reason = "not every test file uses every helper")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jr::limits;
use jr::model::event::{Process, Tracking};
use jr::model::{AttemptEnd, ByteString, ExitStatus, RunId, Signal, Strays};
use jr::runners::linux::{clock, procfs};
use jr::runners::process::{Setup, ShimHandle};
use jr::runners::protocol::{AttemptId, FromShim, Holding, Start, Stop, ToShim};
use jr::runners::shim::args::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// No wait of a test lasts longer; reaching it is a failure.
pub(crate) const DEADLINE_MS: u64 = 60_000;

/// A shim, its directory, and what it has said.
pub(crate) struct Shim {
    pub(crate) handle: ShimHandle,
    pub(crate) dir: PathBuf,
    pub(crate) home: tempfile::TempDir,
    pub(crate) said: Vec<FromShim>,
    next: u64,
}

static SHIMS: AtomicU64 = AtomicU64::new(0);

impl Shim {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// Without a cgroup, as where none can be had.
    pub(crate) fn with_subreaper() -> Self {
        Self::with(|args| args.no_cgroup = true)
    }

    pub(crate) fn with(change: impl FnOnce(&mut Args)) -> Self {
        Self::make(change, Vec::new())
    }

    /// With these in its own environment.
    pub(crate) fn with_variables<'a>(all: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let all = all.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self::make(|_| {}, all.collect())
    }

    fn make(change: impl FnOnce(&mut Args), variables: Vec<(OsString, OsString)>) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let number = SHIMS.fetch_add(1, Ordering::Relaxed);
        let dir = home.path().join(format!("shims/t{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let mut args = Args::new(dir.clone());
        change(&mut args);
        let exe = env!("CARGO_BIN_EXE_jr").into();
        let setup = Setup { exe, args, variables };
        let handle = ShimHandle::spawn(&setup).expect("a shim");
        Self { handle, dir, home, said: Vec::new(), next: 0 }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    pub(crate) fn id(&mut self) -> AttemptId {
        self.next += 1;
        AttemptId { run: RunId::from_chance(self.next), attempt: 1 }
    }

    /// A start of a command with a fresh id.
    pub(crate) fn start_of(&mut self, command: &[&str]) -> Start {
        let id = self.id();
        let path = ("PATH", "/usr/local/bin:/usr/bin:/bin");
        Start {
            id,
            command: command.iter().map(|word| bytes(word)).collect(),
            variables: vec![(bytes(path.0), bytes(path.1))],
            cwd: bytes("/"),
            timeout_ms: None,
            stop_signal: Signal::TERM,
            grace_ms: limits::GRACE_MS,
            strays: Strays::Kill,
            output: bytes(self.base(id).to_str().expect("text")),
            umask: 0o022,
            output_bytes_max: limits::OUTPUT_BYTES_MAX,
            capture: jr::model::Capture::File,
            limits: jr::model::ResourceLimits::default(),
            attached: false,
            tty: None,
            user: None,
            sockets: Vec::new(),
        }
    }

    pub(crate) fn shell(&mut self, script: &str) -> Start {
        self.start_of(&["/bin/sh", "-c", script])
    }

    pub(crate) fn base(&self, id: AttemptId) -> PathBuf {
        self.home.path().join(format!("output/{}.{}", id.run, id.attempt))
    }

    pub(crate) fn stdout(&self, id: AttemptId) -> String {
        let bytes = std::fs::read(format!("{}.out", self.base(id).display())).expect("output");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(crate) fn send(&mut self, message: &ToShim) {
        self.handle.send(message).expect("sends");
    }

    pub(crate) fn start(&mut self, start: &Start) -> AttemptId {
        self.send(&ToShim::Start(Box::new(start.clone())));
        start.id
    }

    pub(crate) fn stop(&mut self, id: AttemptId, grace_ms: u64) {
        self.send(&ToShim::Stop(Stop { id, signal: Signal::TERM, grace_ms }));
    }

    /// The first message that fits, of those not taken before.
    pub(crate) fn wait_for<T>(&mut self, what: &str, fits: impl Fn(&FromShim) -> Option<T>) -> T {
        let deadline = clock::boottime_ms() + DEADLINE_MS;
        loop {
            if let Some(place) = self.said.iter().position(|message| fits(message).is_some()) {
                return fits(&self.said.remove(place)).expect("it fitted");
            }
            let now = clock::boottime_ms();
            assert!(now < deadline, "no {what}; it said {:?}; {}", self.said, self.errors());
            let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            let mut flags = PollFlags::IN;
            if self.handle.wants_write() {
                self.handle.on_writable().ok();
                flags |= PollFlags::OUT;
            }
            poll(&mut [PollFd::new(&self.handle, flags)], Some(&timeout)).expect("polls");
            match self.handle.on_readable() {
                Ok(messages) => self.said.extend(messages),
                Err(error) => panic!("no {what}: {error}; {}", self.errors()),
            }
        }
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(self.dir.join("shim.err")).unwrap_or_default()
    }

    pub(crate) fn wait_started(&mut self, id: AttemptId) -> Process {
        self.wait_for("Started", |message| match message {
            FromShim::Started(of, process) if *of == id => Some(process.clone()),
            _ => None,
        })
    }

    pub(crate) fn wait_ended(&mut self, id: AttemptId) -> AttemptEnd {
        self.wait_for("Ended", |message| match message {
            FromShim::Ended(of, end) if *of == id => Some(end.clone()),
            _ => None,
        })
    }

    pub(crate) fn wait_withdrawn(&mut self, id: AttemptId) {
        self.wait_for("Withdrawn", |message| {
            matches!(message, FromShim::Withdrawn(of) if *of == id).then_some(())
        });
    }

    pub(crate) fn query(&mut self) -> Vec<(AttemptId, Holding)> {
        self.send(&ToShim::Query);
        self.wait_for("State", |message| match message {
            FromShim::State(holdings) => Some(holdings.clone()),
            _ => None,
        })
    }

    /// Starts it and waits for its end, which is forgotten.
    pub(crate) fn run(&mut self, start: &Start) -> AttemptEnd {
        let id = self.start(start);
        let end = self.wait_ended(id);
        self.send(&ToShim::Forget(id));
        end
    }

    pub(crate) fn run_shell(&mut self, script: &str) -> (AttemptId, AttemptEnd) {
        let start = self.shell(script);
        (start.id, self.run(&start))
    }

    /// The shim's process id.
    pub(crate) fn pid(&mut self) -> u32 {
        self.handle.child_pid().expect("started here")
    }

    /// Kills the shim itself, as `kill -9` would, and reaps it.
    pub(crate) fn kill(&mut self) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::KILL)
            .expect("our own child");
        until("the shim's end", || self.handle.try_reap().then_some(()));
    }

    /// A new daemon: another connection instead of the present one.
    pub(crate) fn reconnect(&mut self) {
        self.handle = until("a connection", || ShimHandle::connect(&self.socket()).ok());
        self.said.clear();
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        jr::runners::process::fence(&self.dir).ok();
        self.handle.try_reap();
    }
}

/// Runs a test with both ways to follow a tree.
#[expect(clippy::print_stdout, reason = "it says what it could not do")]
pub(crate) fn with_both(test: impl Fn(&mut Shim)) {
    let mut shim = Shim::with_subreaper();
    assert_eq!(tracking(&mut shim), Tracking::Subreaper);
    test(&mut shim);
    let mut shim = Shim::new();
    if tracking(&mut shim) == Tracking::Cgroup {
        test(&mut shim);
    } else {
        println!("SKIPPED (no cgroup v2 leaf can be made here)");
    }
}

pub(crate) fn tracking(shim: &mut Shim) -> Tracking {
    let start = shim.start_of(&["/bin/true"]);
    let id = shim.start(&start);
    let tracking = shim.wait_started(id).tracking;
    shim.wait_ended(id);
    shim.send(&ToShim::Forget(id));
    tracking
}

/// Looks again and again until something is there.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = clock::boottime_ms() + DEADLINE_MS;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock::boottime_ms() < deadline, "still no {what}");
        poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 5_000_000 })).expect("polls");
    }
}

pub(crate) fn bytes(text: &str) -> ByteString {
    ByteString::from(text.as_bytes().to_vec())
}

/// Whether that number is a living process (a zombie is not).
pub(crate) fn is_alive(pid: u32) -> bool {
    procfs::stat(pid).ok().flatten().is_some_and(|stat| !stat.is_zombie())
}

/// The number that a child has written into a file.
pub(crate) fn pid_in(path: &Path) -> u32 {
    until("pid file", || {
        let text = std::fs::read_to_string(path).ok()?;
        text.strip_suffix('\n')?.trim().parse().ok()
    })
}

pub(crate) fn exited(code: i32) -> ExitStatus {
    ExitStatus::Exited(code)
}
