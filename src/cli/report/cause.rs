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
    if let Some(cause) = not_begun(why, &events) {
        return cause;
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

/// Of a run that could not be started for another reason than its program.
fn not_begun(why: &WhyView, events: &str) -> Option<Cause> {
    let run = &why.run;
    let id = &run.run_id;
    let reason = run.reason.as_deref()?;
    let (code, message, next) = match reason {
        // Of what comes before the program is looked for, only the directory is a path.
        "spawn:ENOENT" | "spawn:ENOTDIR" => {
            let message = format!("its directory {} is not there", run.cwd);
            ("missing_directory", message, format!("mkdir -p, then jr rerun {id}"))
        }
        "spawn:EACCES" => {
            let message = format!("it may not enter its directory {}", run.cwd);
            ("permission", message, format!("jr show {id}  # its directory and user"))
        }
        "spawn:ENOMEM" | "spawn:EAGAIN" => {
            let message = "the machine had no memory or no process left for it".to_owned();
            ("resources", message, "jr doctor".to_owned())
        }
        "spawn:E2BIG" => {
            let message = "its words and variables are longer than the kernel takes".to_owned();
            ("too_long", message, format!("jr show {id}"))
        }
        reason => {
            let port = reason.strip_prefix("port_taken:")?;
            let message = format!("another process has its port {port}");
            ("port_taken", message, "jr ports  # which process that is".to_owned())
        }
    };
    Some(Cause { code, message, evidence: events.to_owned(), next })
}

/// The last line that says what went wrong.
fn sign(tail: &str) -> Option<(&'static str, &'static str, String)> {
    tail.lines().rev().find_map(|line| {
        let lower = line.to_lowercase();
        let found = SIGNS.iter().find(|(words, ..)| words.iter().any(|word| lower.contains(word)));
        found.map(|(_, code, message)| (*code, *message, line.trim().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run that failed for this reason before it began.
    fn cause_of(reason: &str) -> Cause {
        let why = serde_json::json!({
            "schema": "jr.why/1", "run_id": "aaaaaaaaaaaa", "name": "web", "kind": "service",
            "runner": "process", "environment": "local", "state": "ended", "outcome": "failed",
            "exit_code": null, "signal": null, "reason": reason, "attempt": 1,
            "command": ["web"], "cwd": "/srv/web", "labels": {}, "parent": null, "pid": null,
            "ports": {}, "health": null, "image": null, "created_at": "2026-11-20T14:00:00.000Z",
            "started_at": null, "ended_at": null, "duration_ms": null, "first_seq": 1,
            "last_seq": 4, "tty": false, "queue": null, "on_interrupt": "fail",
            "items": [{"code": "not_started", "message": "attempt 1", "events": [4]}],
        });
        let why = serde_json::from_value(why).expect("a view");
        probable(&why, None, "")
    }

    #[test]
    fn what_kept_a_run_from_beginning_is_told_by_its_kind() {
        for (reason, code, part) in [
            ("port_taken:8080", "port_taken", "its port 8080"),
            ("spawn:ENOENT", "missing_directory", "/srv/web is not there"),
            ("spawn:EACCES", "permission", "/srv/web"),
            ("spawn:EAGAIN", "resources", "no process left"),
            ("spawn:E2BIG", "too_long", "longer"),
        ] {
            let cause = cause_of(reason);
            assert_eq!(cause.code, code, "{reason}");
            assert!(cause.message.contains(part), "{}", cause.message);
            assert_eq!(cause.evidence, "events 4");
        }
        assert_eq!(cause_of("spawn:EIO").code, "unknown");
    }
}
