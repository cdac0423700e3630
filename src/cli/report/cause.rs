//! The probable cause of a failure, and what to do next. Pure.

use serde::Serialize;

use crate::projections::view::WhyView;

/// What probably went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// A word for programs.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What it rests on: a line of output, or records of the log.
    pub evidence: String,
    /// The next command.
    pub next: String,
}

/// What a line of output says of a cause: its words in lower case, the code, a sentence.
const SIGNS: &[(&[&str], &str, &str)] = &[
    (
        &["address already in use", "eaddrinuse", "port is already allocated"],
        "port_taken",
        "another process has the port that it wants",
    ),
    (
        &["no space left on device", "enospc", "disk quota exceeded"],
        "disk_full",
        "the disk is full",
    ),
    (
        &[
            "out of memory",
            "cannot allocate memory",
            "outofmemoryerror",
            "heap out of memory",
            "memoryerror",
            "bad_alloc",
        ],
        "out_of_memory",
        "it wanted more memory than it got",
    ),
    (
        &["command not found", "executable file not found"],
        "missing_program",
        "a program that it calls is not installed, or not in its PATH",
    ),
    (
        &[
            "modulenotfounderror",
            "no module named",
            "cannot find module",
            "error while loading shared libraries",
            "classnotfoundexception",
        ],
        "missing_library",
        "a library that it needs is not there",
    ),
    (
        &["connection refused", "econnrefused", "could not connect", "no route to host"],
        "dependency_down",
        "something that it depends on does not answer",
    ),
    (
        &[
            "name or service not known",
            "temporary failure in name resolution",
            "could not resolve host",
        ],
        "name_unresolved",
        "a host's name could not be resolved",
    ),
    (
        &["permission denied", "eacces", "operation not permitted", "access denied"],
        "permission",
        "it was not allowed to do something",
    ),
    (
        &["too many open files", "emfile"],
        "too_many_files",
        "it has reached its limit of open files",
    ),
    (
        &["no such file or directory", "enoent", "filenotfounderror"],
        "missing_file",
        "a file that it needs is not there",
    ),
];

/// Of a run that ended otherwise than it should, with the last that it printed.
pub fn probable(why: &WhyView, oom_kills: Option<u32>, tail: &str) -> Cause {
    let run = &why.run;
    let id = &run.run_id;
    let item = why.items.last();
    let code = item.map_or("unknown", |item| item.code.as_str());
    let said = item.map_or_else(|| "nothing tells why".to_owned(), |item| item.message.clone());
    let events: Vec<String> =
        item.iter().flat_map(|item| &item.events).map(ToString::to_string).collect();
    let events = format!("events {}", events.join(", "));
    let of = |code: &'static str, next: String| Cause {
        code,
        message: said.clone(),
        evidence: events.clone(),
        next,
    };
    if oom_kills.is_some_and(|kills| kills > 0) {
        let message = "the kernel killed it for want of memory".to_owned();
        let next = format!("jr show {id}  # its limit and peak, then --limit memory=MORE");
        return Cause { code: "out_of_memory", message, evidence: events, next };
    }
    match code {
        "not_found" => return of("missing_program", format!("jr show {id}  # its PATH")),
        "not_executable" => return of("not_executable", format!("chmod +x, then jr rerun {id}")),
        "timeout" => return of("timeout", format!("jr logs {id}  # where it stood")),
        "dependency_failed" => return of("dependency_failed", format!("jr why {id}")),
        "lock_held" => return of("lock_held", format!("jr rerun {id}")),
        "lost" => return of("lost", format!("jr rerun {id}")),
        "lines" => return of("lines", format!("jr history --parent {id} --failed")),
        "stopped" | "cancelled" => return of("stopped", format!("jr rerun {id}")),
        _ => {}
    }
    if let Some((code, message, line)) = sign(tail) {
        let evidence = format!("its output: {line}");
        return Cause {
            code,
            message: message.to_owned(),
            evidence,
            next: format!("jr logs {id}"),
        };
    }
    // What shells exit with (POSIX.1-2017, XCU 2.8.2).
    match (code, run.exit_code) {
        ("exit_code", Some(127)) => return of("missing_program", format!("jr logs {id}")),
        ("exit_code", Some(126)) => return of("not_executable", format!("jr logs {id}")),
        _ => {}
    }
    match code {
        "signal" => of("signal", format!("jr why {id}")),
        "exit_code" => of("exit_code", format!("jr logs {id}")),
        _ => of("unknown", format!("jr show {id}")),
    }
}

/// The last line that says what went wrong.
fn sign(tail: &str) -> Option<(&'static str, &'static str, String)> {
    tail.lines().rev().find_map(|line| {
        let lower = line.to_lowercase();
        let found = SIGNS.iter().find(|(words, ..)| words.iter().any(|word| lower.contains(word)));
        found.map(|(_, code, message)| (*code, *message, line.trim().to_owned()))
    })
}
