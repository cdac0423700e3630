//! `/proc`: who is whose child, and since when. A reading proves nothing by itself: pids are
//! reused; `pidfd` and `tree` say what does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

/// What `/proc/PID/stat` says of a process (`proc_pid_stat(5)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Process id.
    pub pid: u32,
    /// `R`, `S`, `D`, `T`, `Z` …
    pub state: u8,
    /// Parent.
    pub parent: u32,
    /// Process group.
    pub group: u32,
    /// Session.
    pub session: u32,
    /// Field 22: clock ticks from boot to its start.
    pub start_ticks: u64,
}

impl Stat {
    /// Whether a signal or a tracer holds it.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    /// Whether it has ended and only waits to be reaped.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

/// Reads one process; `None` if there is none.
pub fn stat(pid: u32) -> io::Result<Option<Stat>> {
    match read_stat(pid) {
        Ok(None) => Err(io::Error::other("bad stat line")),
        Ok(stat) => Ok(stat),
        // ESRCH: it went between open and read.
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                || error.raw_os_error() == Some(libc::ESRCH) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Longer than any such line.
const STAT_BYTES: usize = 2_048;

/// The line in one read: its size is not known beforehand, and looks at the whole of `/proc` are
/// frequent enough that growing a buffer costs.
fn read_stat(pid: u32) -> io::Result<Option<Stat>> {
    let mut text = [0; STAT_BYTES];
    let length = std::fs::File::open(format!("/proc/{pid}/stat"))?.read(&mut text)?;
    Ok(parse_stat(text.get(..length).unwrap_or_default()))
}

/// Whether a process ignores a signal (`SigIgn` of `proc_pid_status(5)`).
pub fn ignores(pid: u32, signal: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0);
    u32::try_from(signal - 1).is_ok_and(|bit| mask.checked_shr(bit).unwrap_or(0) & 1 == 1)
}

/// Reads every process that can be seen.
pub fn all() -> io::Result<Vec<Stat>> {
    let mut stats = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|text| text.parse().ok()) else { continue };
        if let Ok(Some(stat)) = stat(pid) {
            stats.push(stat);
        }
    }
    Ok(stats)
}

/// The processes below `root`, without it, at the cost of that tree alone where the kernel lists
/// children (`CONFIG_PROC_CHILDREN`). One that is being forked meanwhile may be missing.
pub fn below(root: u32) -> Vec<u32> {
    if !std::path::Path::new("/proc/thread-self/children").exists() {
        let stats = all().unwrap_or_default();
        return descendants(&stats, &BTreeSet::from([root])).iter().map(|stat| stat.pid).collect();
    }
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in children(parent) {
            found.push(child);
            open.push(child);
        }
    }
    found
}

/// The children of all threads of a process.
fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    for thread in threads.flatten() {
        let list = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        found.extend(list.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }
    found
}

/// The processes among `stats` whose chain of parents leads to one of `roots`; roots excluded.
pub fn descendants(stats: &[Stat], roots: &BTreeSet<u32>) -> Vec<Stat> {
    let mut children: BTreeMap<u32, Vec<Stat>> = BTreeMap::new();
    for stat in stats {
        children.entry(stat.parent).or_default().push(*stat);
    }
    let mut seen = roots.clone();
    let mut open: Vec<u32> = roots.iter().copied().collect();
    let mut found = Vec::new();
    while let Some(parent) = open.pop() {
        for stat in children.get(&parent).into_iter().flatten() {
            if seen.insert(stat.pid) {
                open.push(stat.pid);
                found.push(*stat);
            }
        }
    }
    found
}

/// The name may hold spaces, newlines and parentheses: what counts starts after the last `)`.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let close = text.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(text.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()?;
    let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // fields[0] is field 3, the state.
    Some(Stat {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runners::linux::clock;

    #[test]
    fn a_name_cannot_forge_the_fields_after_it() {
        let line = b"42 (a) Z 1 1\n (x) S 7 42 40 0 -1 4194560 1 0 0 0 1 2 3 4 20 0 1 0 9604 1 2\n";
        let stat = parse_stat(line).expect("a stat line");
        let Stat { pid, state, parent, group, session, start_ticks } = stat;
        assert_eq!((pid, state, parent, group, session), (42, b'S', 7, 42, 40));
        assert_eq!(start_ticks, 9604);
        assert!(parse_stat(b"42 (a").is_none());
        assert!(parse_stat(b"42 (a) S 1").is_none());
    }

    #[test]
    fn descendants_follow_the_chain_of_parents_and_end_on_a_loop() {
        let make = |pid, parent| Stat {
            pid,
            parent,
            state: b'S',
            group: pid,
            session: pid,
            start_ticks: 1,
        };
        let stats = [make(1, 0), make(2, 1), make(3, 2), make(4, 3), make(9, 1), make(5, 5)];
        let found = descendants(&stats, &BTreeSet::from([2]));
        assert_eq!(found.iter().map(|stat| stat.pid).collect::<Vec<_>>(), [3, 4]);
        assert!(descendants(&stats, &BTreeSet::from([5])).is_empty());
    }

    #[test]
    fn what_is_below_a_process_is_found_from_the_top() {
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", "sleep 60 & wait"]);
        let mut child = command.spawn().expect("spawns");
        let deadline_ms = clock::boottime_ms() + 60_000;
        let mut found = below(child.id());
        while found.is_empty() && clock::boottime_ms() < deadline_ms {
            std::thread::yield_now();
            found = below(child.id());
        }
        let stats = all().expect("readable");
        let expected = descendants(&stats, &BTreeSet::from([child.id()]));
        assert_eq!(found, expected.iter().map(|stat| stat.pid).collect::<Vec<_>>());
        assert_eq!(found.len(), 1);
        assert!(below(std::process::id()).contains(&found[0]));
        let sleeper = i32::try_from(found[0]).ok().and_then(rustix::process::Pid::from_raw);
        let kill = rustix::process::Signal::KILL;
        rustix::process::kill_process(sleeper.expect("a pid"), kill).expect("ours");
        child.wait().expect("ours");
    }

    #[test]
    fn this_process_is_there_and_pid_zero_is_not() {
        let own = stat(std::process::id()).expect("readable").expect("alive");
        assert_eq!(own.pid, std::process::id());
        assert!(own.start_ticks > 0);
        assert!(stat(0).expect("readable").is_none());
        assert!(all().expect("readable").contains(&own) || !own.is_zombie());
    }
}
