//! A process tree as its shim sees it: a cgroup leaf where one can be had, and always all that
//! descends from the shim, which is a subreaper.
//!
//! A member is proven: it is listed, a pidfd of it is opened, it is listed again, and the pidfd
//! still lives. Between two listings its number cannot have passed to somebody else unseen.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;

use super::cgroup::Leaf;
use super::confine::Confinement;
use super::pidfd::{Identity, ProcessFd};
use super::procfs::{self, Stat};
use super::wait;
use crate::model::event::Tracking;
use crate::model::{LimitsBy, ResourceLimits};

/// Everything that this process has started and that still lives.
#[derive(Debug)]
pub struct Tree {
    leaf: Option<Leaf>,
    /// The leaf has been killed, or has limits: the next start needs another, see [`Self::renew`].
    is_spent: Cell<bool>,
    /// The name of v1 groups; without one no cgroup is used.
    name: Option<String>,
    confinement: Confinement,
}

impl Tree {
    /// A tree in groups of that name, or without any.
    pub fn new(name: Option<String>) -> Self {
        let leaf = name.as_deref().and_then(Leaf::make);
        Self { leaf, is_spent: Cell::new(false), name, confinement: Confinement::default() }
    }

    /// The leaf.
    pub fn leaf(&self) -> Option<&Leaf> {
        self.leaf.as_ref()
    }

    /// Goes on without the leaf: the kernel let nothing be started in it.
    pub fn give_up_leaf(&mut self) {
        if let Some(leaf) = self.leaf.take() {
            leaf.remove().ok();
        }
    }

    /// Makes the empty leaf anew if it has ever been killed or given limits.
    ///
    /// Linux 6.18 compares the count of kills of the leaf with that of the *parent's* cgroup when
    /// it clones into a leaf, and takes a difference for a kill in flight: every later child in a
    /// leaf that was killed once would die of SIGKILL before its exec.
    pub fn renew(&mut self) {
        if self.is_spent.replace(false)
            && let Some(leaf) = self.leaf.take()
        {
            self.leaf = leaf.renewed();
        }
    }

    /// Sets limits up for what is started next, instead of those of before.
    pub fn confine(&mut self, limits: &ResourceLimits) {
        self.confinement.remove();
        if *limits != ResourceLimits::default() {
            self.confinement =
                Confinement::set_up(limits, self.leaf.as_ref(), self.name.as_deref());
        } else if self.confinement.by() != LimitsBy::default() {
            self.confinement = Confinement::default();
        }
        if self.confinement.is_in_leaf() {
            self.is_spent.set(true);
        }
    }

    /// What holds it to its limits.
    pub fn confinement(&self) -> &Confinement {
        &self.confinement
    }

    /// Removes what the limits needed, where nothing lives in it any more.
    pub fn release(&mut self) {
        self.confinement.remove();
    }

    /// How members are known.
    pub fn tracking(&self) -> Tracking {
        if self.leaf.is_some() { Tracking::Cgroup } else { Tracking::Subreaper }
    }

    /// Readable by POLLPRI when the leaf has become empty.
    pub fn events(&self) -> Option<BorrowedFd<'_>> {
        self.leaf.as_ref().map(Leaf::events)
    }

    /// Whether nothing lives in it. All that ended must have been reaped before.
    pub fn is_empty(&self) -> bool {
        if fence_is_skipped() {
            return true;
        }
        let populated = self.leaf.as_ref().is_some_and(|leaf| leaf.is_populated().unwrap_or(true));
        !populated && !wait::has_children()
    }

    /// The living members.
    pub fn members(&self) -> BTreeSet<u32> {
        let mut pids = self.listed();
        pids.retain(|pid| procfs::stat(*pid).ok().flatten().is_some_and(|stat| !stat.is_zombie()));
        pids
    }

    /// The members that descend from this process, each with what tells it from a later one.
    pub fn identities(&self) -> Vec<Identity> {
        let living = descendants().into_iter().filter(|stat| !stat.is_zombie());
        living.map(|Stat { pid, start_ticks, .. }| Identity { pid, start_ticks }).collect()
    }

    /// Sends a signal to every member but those of `except`; gives back who got it.
    pub fn signal(&self, signal: i32, except: &BTreeSet<u32>) -> BTreeSet<u32> {
        let list = || {
            let mut pids = self.listed();
            pids.retain(|pid| !except.contains(pid));
            pids
        };
        send_to_proven(list, signal)
    }

    /// Sends SIGKILL to all.
    pub fn kill(&self) {
        let killed = self.leaf.as_ref().map(Leaf::kill);
        self.is_spent.set(true);
        // Without a leaf, or where a process has moved itself out of it.
        if !matches!(killed, Some(Ok(()))) || wait::has_children() {
            self.signal(libc::SIGKILL, &BTreeSet::new());
        }
    }

    /// Freezes the leaf; false where there is none or the kernel refuses.
    pub fn freeze(&self) -> bool {
        self.leaf.as_ref().is_some_and(|leaf| leaf.freeze().is_ok())
    }

    /// Lets the leaf run again.
    pub fn thaw(&self) {
        if let Some(leaf) = &self.leaf {
            leaf.thaw().ok();
        }
    }

    /// Whether nothing in the leaf runs any more.
    pub fn is_frozen(&self) -> bool {
        self.leaf.as_ref().is_none_or(|leaf| leaf.is_frozen().unwrap_or(true))
    }

    /// Sends SIGSTOP to every member that is not stopped yet, and adds it to `stopped`; those in
    /// a frozen leaf are left out. True if there was none: only two such looks in a row prove that
    /// all stand still, since a listing is not made in one moment.
    pub fn stop_all(&self, is_leaf_frozen: bool, stopped: &mut BTreeSet<u32>) -> bool {
        let moving = || {
            let frozen = match &self.leaf {
                Some(leaf) if is_leaf_frozen => leaf.processes(),
                Some(_) | None => Vec::new(),
            };
            let is_moving = |stat: &Stat| match stat.state {
                b'T' => false,
                // A zombie may have living threads; what a debugger holds may be let go by it.
                b'Z' | b't' => !stopped.contains(&stat.pid),
                _ => true,
            };
            let stats = descendants().into_iter().filter(is_moving);
            stats.map(|stat| stat.pid).filter(|pid| !frozen.contains(pid)).collect()
        };
        let sent = send_to_proven(moving, libc::SIGSTOP);
        let is_quiet = sent.is_empty();
        stopped.extend(sent);
        is_quiet
    }

    /// Sends SIGCONT to those members that [`Self::stop_all`] has stopped, and to no others: who
    /// had stopped by itself before stays so.
    pub fn continue_all(&self, stopped: &BTreeSet<u32>) {
        if !stopped.is_empty() {
            send_to_proven(|| &self.listed() & stopped, libc::SIGCONT);
        }
    }

    fn listed(&self) -> BTreeSet<u32> {
        let mut pids: BTreeSet<u32> = descendants().iter().map(|stat| stat.pid).collect();
        if let Some(leaf) = &self.leaf {
            pids.extend(leaf.processes());
        }
        pids
    }
}

/// All that descends from this process.
fn descendants() -> Vec<Stat> {
    let pids = procfs::below(std::process::id()).into_iter();
    pids.filter_map(|pid| procfs::stat(pid).ok().flatten()).collect()
}

/// Sends a signal to each process of a list that is proven as the module says.
pub fn send_to_proven(list: impl Fn() -> BTreeSet<u32>, signal: i32) -> BTreeSet<u32> {
    let held: Vec<ProcessFd> = list().iter().filter_map(|pid| opened(*pid)).collect();
    let again = list();
    let mut sent = BTreeSet::new();
    for process in held {
        if again.contains(&process.pid()) && !process.has_ended() && process.send(signal).is_ok() {
            sent.insert(process.pid());
        }
    }
    sent
}

fn opened(pid: u32) -> Option<ProcessFd> {
    let process: io::Result<Option<ProcessFd>> = ProcessFd::open(pid);
    process.ok().flatten()
}

/// A deliberate bug for the mutation suite.
pub fn fence_is_skipped() -> bool {
    crate::mutants::is_on("skip_fence")
}
