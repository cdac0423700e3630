//! A cgroup v2 leaf: the one fence that nothing escapes. Found on unified and hybrid systems.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// `CGROUP2_SUPER_MAGIC` of statfs(2).
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
/// Where the v2 tree is mounted: unified systems, then hybrid ones.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// A leaf of our own, held open.
#[derive(Debug)]
pub struct Leaf {
    path: PathBuf,
    dir: File,
    events: File,
}

impl Leaf {
    /// Makes a leaf beside or above where this process lives; `None` where none can be had.
    pub fn make(name: &str) -> Option<Self> {
        let mount = mount()?;
        let own = own_path("")?;
        let own = mount.join(own.strip_prefix("/").unwrap_or(&own));
        for parent in own.ancestors().take_while(|parent| parent.starts_with(&mount)) {
            let path = parent.join(name);
            match make(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return None,
                Err(_) => continue,
            }
            if let Ok(Some(leaf)) = Self::open(&path)
                && path.join("cgroup.kill").exists()
            {
                return Some(leaf);
            }
            std::fs::remove_dir(&path).ok();
        }
        None
    }

    /// Opens an existing leaf; `None` if it is gone.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let opened = File::open(path).and_then(|dir| {
            let events = File::open(path.join("cgroup.events"))?;
            Ok(Self { path: path.to_owned(), dir, events })
        });
        match opened {
            Ok(leaf) => Ok(Some(leaf)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory as clone3 takes it.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Shows POLLPRI when [`Self::is_populated`] has changed.
    pub fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Whether anything lives in it or below it; zombies do not.
    pub fn is_populated(&self) -> io::Result<bool> {
        match self.says(b"populated 0") {
            Ok(is_empty) => Ok(!is_empty),
            // The leaf was removed; only an empty one can be.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether all of it has come to a standstill after [`Self::freeze`].
    pub fn is_frozen(&self) -> io::Result<bool> {
        self.says(b"frozen 1")
    }

    /// Whether its events have that line.
    fn says(&self, line: &[u8]) -> io::Result<bool> {
        let mut buffer = [0_u8; 128];
        let length = self.events.read_at(&mut buffer, 0)?;
        Ok(buffer[..length].split(|byte| *byte == b'\n').any(|found| found == line))
    }

    /// Whether it has that controller, after asking for it where it lives.
    pub fn enable(&self, controller: &str) -> bool {
        let has = || {
            let text = std::fs::read_to_string(self.path.join("cgroup.controllers"));
            text.is_ok_and(|text| text.split_whitespace().any(|word| word == controller))
        };
        let ask = || -> io::Result<()> {
            let parent = self.path.parent().unwrap_or(&self.path);
            let mut file =
                File::options().write(true).open(parent.join("cgroup.subtree_control"))?;
            file.write_all(format!("+{controller}").as_bytes())
        };
        // The kernel refuses where processes live beside the leaf.
        has() || (ask().is_ok() && has())
    }

    /// Sends SIGKILL to all of it and all below it, forks in flight and what is frozen included.
    pub fn kill(&self) -> io::Result<()> {
        self.write("cgroup.kill", b"1")
    }

    /// Lets nothing in it or below it run any more. It takes effect by and by: when
    /// [`Self::is_frozen`] says so; what hangs in the kernel stops on its way out.
    pub fn freeze(&self) -> io::Result<()> {
        self.write("cgroup.freeze", b"1")
    }

    /// Lets it run again.
    pub fn thaw(&self) -> io::Result<()> {
        self.write("cgroup.freeze", b"0")
    }

    fn write(&self, name: &str, value: &[u8]) -> io::Result<()> {
        File::options().write(true).open(self.path.join(name))?.write_all(value)
    }

    /// The processes in it and below it.
    pub fn processes(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        collect(&self.path, &mut pids);
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// The same empty leaf, made anew; `None` if that cannot be done.
    pub fn renewed(self) -> Option<Self> {
        self.remove().ok()?;
        std::fs::create_dir(&self.path).ok()?;
        Self::open(&self.path).ok().flatten()
    }

    /// Removes it; an error while anything lives in it.
    pub fn remove(&self) -> io::Result<()> {
        remove(&self.path)
    }
}

/// Makes a group. One that was left by a shim of that name which was killed must be empty to be
/// ours: else the error says that it exists.
pub(super) fn make(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            std::fs::remove_dir(path).map_err(|_| error)?;
            std::fs::create_dir(path)
        }
        made => made,
    }
}

/// Removes a group of whatever version. A job may have made groups below its own: they go first.
pub fn remove(path: &Path) -> io::Result<()> {
    for below in subgroups(path) {
        remove(&below)?;
    }
    std::fs::remove_dir(path)
}

fn collect(path: &Path, pids: &mut Vec<u32>) {
    let mut text = String::new();
    if let Ok(mut file) = File::open(path.join("cgroup.procs")) {
        // EOPNOTSUPP in a threaded group: its processes are listed above.
        file.read_to_string(&mut text).ok();
    }
    pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid > 0));
    for below in subgroups(path) {
        collect(&below, pids);
    }
}

fn subgroups(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(path) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// Where the v2 tree is mounted.
pub(super) fn mount() -> Option<PathBuf> {
    MOUNTS.iter().map(PathBuf::from).find(|path| {
        rustix::fs::statfs(path).is_ok_and(|stat| {
            u64::try_from(stat.f_type).is_ok_and(|kind| kind == CGROUP2_SUPER_MAGIC)
        })
    })
}

/// Where this process is in the hierarchy of a controller, or in that of v2, which is listed with
/// none: `/proc/self/cgroup` has lines such as `4:cpu,cpuacct:/path` and `0::/path`.
pub(super) fn own_path(controller: &str) -> Option<PathBuf> {
    path_in(&std::fs::read_to_string("/proc/self/cgroup").ok()?, controller)
}

/// As [`own_path`], of the process that this text is of.
pub(super) fn path_in(text: &str, controller: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let is_its = fields.next()?.split(',').any(|word| word == controller);
        fields.next().filter(|_| is_its)
    })?;
    // `/..` stands for a place outside our cgroup namespace.
    (!path.contains("/..")).then(|| PathBuf::from(path))
}
