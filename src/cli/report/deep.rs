//! What `jr debug-report --deep` looks at: the processes of what lives, as procfs and the kernel
//! tell of them. Whatever cannot be read is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::projections::view::RunView;

/// Processes of one run that are told.
const PROCESSES: usize = 200;
/// Open files of one process that are told.
const FILES: usize = 100;
/// Lines of the kernel's log that are told, the newest.
const KERNEL_LINES: usize = 50;
/// Counters of a cgroup (the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/).
const COUNTERS: [&str; 9] = [
    "memory.current",
    "memory.peak",
    "memory.max",
    "memory.events",
    "memory.usage_in_bytes",
    "memory.max_usage_in_bytes",
    "pids.current",
    "pids.max",
    "cpu.stat",
];
const MOUNTS: [&str; 5] = ["", "unified", "memory", "pids", "cpu"];

/// `facts/deep.json`.
#[derive(Debug, Serialize)]
pub struct Deep {
    runs: Vec<Living>,
    /// Lines of the kernel about memory that ran out.
    kernel: Vec<String>,
}

/// The processes of a run.
#[derive(Debug, Serialize)]
struct Living {
    run_id: String,
    name: String,
    processes: Vec<Process>,
    /// By file, of the cgroup of its main process.
    cgroup: BTreeMap<String, String>,
}

/// One process (proc(5)).
#[derive(Debug, Serialize)]
struct Process {
    pid: u32,
    parent: u32,
    state: String,
    name: String,
    threads: Option<u32>,
    rss: Option<String>,
    /// What it waits for in the kernel.
    waits_in: Option<String>,
    open_files: usize,
    files: Vec<String>,
}

impl Deep {
    /// Of these runs, as far as they live.
    pub fn of(runs: &[RunView]) -> Self {
        let children = children();
        let living = runs.iter().filter_map(|run| Some((run, run.pid?)));
        let runs = living.map(|(run, pid)| Living {
            run_id: run.run_id.clone(),
            name: run.name.clone(),
            processes: tree(pid, &children).into_iter().filter_map(process).collect(),
            cgroup: cgroup(pid),
        });
        Self { runs: runs.collect(), kernel: kernel() }
    }
}

/// All processes by their parents.
fn children() -> BTreeMap<u32, Vec<u32>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid
            && let Some((_, _, parent)) = stat(pid)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// A process and all below it, each once.
fn tree(root: u32, children: &BTreeMap<u32, Vec<u32>>) -> Vec<u32> {
    let (mut seen, mut open, mut found) = (BTreeSet::new(), vec![root], Vec::new());
    while let Some(pid) = open.pop() {
        if found.len() >= PROCESSES {
            break;
        }
        if seen.insert(pid) {
            found.push(pid);
            open.extend(children.get(&pid).into_iter().flatten().rev());
        }
    }
    found
}

/// Name, state and parent.
fn stat(pid: u32) -> Option<(String, String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may have blanks and parentheses of its own.
    let (before, after) = text.rsplit_once(") ")?;
    let name = before.split_once('(')?.1.to_owned();
    let mut fields = after.split(' ');
    let state = fields.next()?.to_owned();
    Some((name, state, fields.next()?.parse().ok()?))
}

fn process(pid: u32) -> Option<Process> {
    let (name, state, parent) = stat(pid)?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |wanted: &str| {
        let lines = status.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(name, _)| *name == wanted).map(|(_, value)| value.trim().to_owned()).next()
    };
    let waits_in = fs::read_to_string(format!("/proc/{pid}/wchan")).ok();
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links: Vec<String> = links
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|target| target.to_string_lossy().into_owned())
        .collect();
    Some(Process {
        pid,
        parent,
        state,
        name,
        threads: field("Threads").and_then(|count| count.parse().ok()),
        rss: field("VmRSS"),
        waits_in: waits_in.filter(|name| !name.is_empty() && name != "0"),
        open_files: links.len(),
        files: links.into_iter().take(FILES).collect(),
    })
}

/// Counters of the cgroups that a process is in.
fn cgroup(pid: u32) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    for path in own.lines().filter_map(|line| line.splitn(3, ':').nth(2)) {
        for mount in MOUNTS {
            let folder = Path::new("/sys/fs/cgroup").join(mount).join(path.trim_start_matches('/'));
            for counter in COUNTERS {
                let file = folder.join(counter);
                if let Ok(value) = fs::read_to_string(&file) {
                    found.insert(file.display().to_string(), value.trim().to_owned());
                }
            }
        }
    }
    found
}

/// What the kernel's log says of memory that ran out, as far as it may be read (dmesg(1)).
fn kernel() -> Vec<String> {
    let output = std::process::Command::new("dmesg").stdin(std::process::Stdio::null()).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let says = |line: &&str| {
        let line = line.to_lowercase();
        ["out of memory", "oom-kill", "oom_reaper", "killed process"]
            .iter()
            .any(|words| line.contains(words))
    };
    let lines: Vec<&str> = text.lines().filter(says).collect();
    let newest = &lines[lines.len().saturating_sub(KERNEL_LINES)..];
    newest.iter().map(|line| (*line).to_owned()).collect()
}
