//! Who holds the environment and who answers there.

use std::cmp::Ordering;

use crate::daemon::doctor::facts::paths::{PathFacts, PathKind};
use crate::daemon::doctor::facts::server::{Answer, LockFacts, LockState, Process, ServerFacts};
use crate::daemon::doctor::facts::{Facts, Kept};
use crate::daemon::doctor::finding::{Finding, duration, move_away, quoted, take_over};

/// `sun_path` of unix(7) less its NUL.
const SOCKET_PATH_BYTES: usize = 107;

/// This jr.
pub(super) fn build(facts: &Facts) -> Vec<Finding> {
    let Some(host) = facts.host.known() else { return Vec::new() };
    let machine = &host.machine;
    let message = format!(
        "jr {} ({}), Linux {} {}, {} cores, up {}",
        host.version,
        host.build,
        machine.kernel,
        machine.architecture,
        machine.cores,
        duration(machine.boottime_ms)
    );
    let finding = Finding::ok("version", message).with("version", host.version.as_str());
    let finding = finding.with("protocol", host.protocol).with("program", host.program.clone());
    vec![finding.with("xdg_runtime_dir", host.runtime_dir.clone()).with("uid", machine.uid)]
}

/// The lock, and the one of a start.
pub(super) fn lock(facts: &Facts) -> Vec<Finding> {
    let Some(server) = facts.server.known() else { return Vec::new() };
    let mut found = Vec::new();
    for lock in [&server.lock, &server.starting] {
        if let LockState::Failed(why) = &lock.state {
            let message = format!("{} cannot be tried: {why}", lock.path);
            let fix = if lock.is_no_file { move_away(&lock.path) } else { take_over(&lock.path) };
            found.push(Finding::error("lock", message).fix(fix));
        }
    }
    if found.is_empty() {
        let message = match (server.lock.is_held(), server.starting.is_held()) {
            (true, true) => format!("a daemon is starting{}", by(&server.starting)),
            (false, true) => format!("a daemon is about to start{}", by(&server.starting)),
            (true, false) => format!("held{}", by(&server.lock)),
            (false, false) => "free".to_owned(),
        };
        let holder = server.lock.holder.as_ref().map(|holder| holder.pid);
        found.push(Finding::ok("lock", format!("lock {message}")).with("holder_pid", holder));
    }
    found
}

fn by(lock: &LockFacts) -> String {
    lock.holder.as_ref().map(|holder| format!(" by pid {}", holder.pid)).unwrap_or_default()
}

/// The socket's file.
pub(super) fn socket(facts: &Facts) -> Vec<Finding> {
    let Some(server) = facts.server.known() else { return Vec::new() };
    let socket = &server.socket;
    let path = &socket.path;
    let owner = facts.host.known().map(|host| host.machine.uid);
    let finding = match socket.kind {
        PathKind::Missing => return Vec::new(),
        PathKind::Hidden => {
            let why = socket.problem.as_deref().unwrap_or("it cannot be seen");
            Finding::error("socket", format!("{path}: {why}")).fix(super::place::way_to(socket))
        }
        PathKind::File | PathKind::Directory | PathKind::DeadLink | PathKind::Other => {
            Finding::error("socket", format!("{path} is no socket, so no daemon can serve there"))
                .fix(move_away(path))
        }
        PathKind::Socket if owner.is_some_and(|uid| uid != socket.uid) => {
            let message = format!("{path} belongs to user {}, not to you", socket.uid);
            Finding::error("socket", message).fix(format!("rm {}", quoted(path)))
        }
        PathKind::Socket if socket.is_open() && socket.mode & 0o006 != 0 && !is_private(facts) => {
            let message = format!("{path} may be reached by others (mode {:04o})", socket.mode);
            Finding::warning("socket", message).fix(format!("chmod 0600 {}", quoted(path)))
        }
        PathKind::Socket if is_stale(server) => {
            let message =
                format!("{path} was left by a daemon that was killed; the next replaces it");
            Finding::info("socket", message).fix(format!("{} daemon start", facts.jr()))
        }
        PathKind::Socket if server.socket_path_bytes > SOCKET_PATH_BYTES => {
            let message = format!(
                "{path} has {} bytes: jr reaches it, but programs that connect to $JR_SOCKET by \
                 its path cannot",
                server.socket_path_bytes
            );
            Finding::info("socket", message)
        }
        PathKind::Socket => Finding::ok("socket", format!("socket {path}")),
    };
    vec![described(finding, socket).with("path_bytes", server.socket_path_bytes)]
}

/// Nobody but its owner gets into the directory.
fn is_private(facts: &Facts) -> bool {
    facts.place.known().is_some_and(|place| !place.run.is_open())
}

fn is_stale(server: &ServerFacts) -> bool {
    server.answer == Answer::Nobody && !server.lock.is_held() && !server.starting.is_held()
}

fn described(finding: Finding, socket: &PathFacts) -> Finding {
    finding.with("path", socket.path.as_str()).with("mode", format!("{:04o}", socket.mode))
}

/// The daemon.
pub(super) fn daemon(facts: &Facts) -> Vec<Finding> {
    let Some(server) = facts.server.known() else { return Vec::new() };
    let finding = match &server.answer {
        Answer::Version(_) => return serving(facts, server),
        Answer::Nobody if server.starting.is_held() => {
            Finding::info("daemon", format!("a daemon is starting{}", by(&server.starting)))
        }
        Answer::Nobody | Answer::Mute if server.lock.is_held() => mute(facts, server),
        Answer::Nobody if facts.kept == Kept::Command => {
            Finding::ok("daemon", "an isolated environment has none")
        }
        Answer::Nobody => {
            Finding::ok("daemon", "no daemon runs; a command that needs one starts it")
        }
        // No daemon starts while a client gets through to somebody.
        Answer::Mute => {
            let message = "somebody serves the socket and does not answer, without the lock";
            Finding::error("daemon", message).fix(format!("rm {}", quoted(&server.socket.path)))
        }
        Answer::Foreign { uid } => {
            let message = format!("the socket is served by user {uid}, not by you");
            Finding::error("daemon", message).fix(format!("rm {}", quoted(&server.socket.path)))
        }
        Answer::Failed(why) => {
            let finding = Finding::error("daemon", format!("it cannot be asked: {why}"));
            finding.fix(match &server.lock.holder {
                Some(holder) => format!("kill {}", holder.pid),
                None => format!("rm {}", quoted(&server.socket.path)),
            })
        }
    };
    let words = facts.place.known().and_then(|place| place.daemon_words.clone());
    vec![finding.with("last_words", words)]
}

/// It has the lock and says nothing. What runs does not need it.
fn mute(facts: &Facts, server: &ServerFacts) -> Finding {
    let Some(Process { pid, command, stopped, .. }) = &server.lock.holder else {
        let message = "a process holds the lock and does not answer";
        let fix = format!("fuser -v {}", quoted(&server.lock.path));
        return Finding::error("daemon", message).fix(fix);
    };
    let of = if command.is_empty() { String::new() } else { format!(" ({command})") };
    let finding = if *stopped {
        let message = format!("pid {pid}{of} holds the lock and is stopped");
        Finding::error("daemon", message).fix(format!("kill -CONT {pid}"))
    } else {
        let message = format!(
            "pid {pid}{of} holds the lock and does not answer; what runs goes on without it"
        );
        Finding::error("daemon", message)
            .fix(format!("kill -9 {pid} && {} daemon start", facts.jr()))
    };
    finding.with("pid", *pid).with("stopped", *stopped)
}

fn serving(facts: &Facts, server: &ServerFacts) -> Vec<Finding> {
    let Some(version) = server.version() else { return Vec::new() };
    let mut found = Vec::new();
    let message = format!(
        "the daemon serves: pid {}, jr {}, up {}, {} live, log at {}",
        version.pid,
        version.version,
        duration(version.uptime_ms),
        version.live,
        version.seq
    );
    let stop = format!("{} daemon stop", facts.jr());
    let holder = server.lock.holder.as_ref();
    let finding = if !server.lock.is_held() {
        let message = format!(
            "pid {} serves and does not hold {}: that file was replaced, and a second daemon \
             could start",
            version.pid, server.lock.path
        );
        Finding::error("daemon", message).fix(stop.clone())
    } else if holder.is_some_and(|holder| holder.pid != version.pid) {
        let holder = holder.map_or(0, |holder| holder.pid);
        let message = format!("pid {} serves, and pid {holder} holds its lock", version.pid);
        Finding::error("daemon", message).fix(stop.clone())
    } else {
        Finding::ok("daemon", message)
    };
    found
        .push(finding.with("pid", version.pid).with("live", version.live).with("seq", version.seq));
    found.extend(facts.host.known().and_then(|host| {
        let of = format!("daemon {} (protocol {})", version.version, version.protocol);
        let own = format!("this jr is {} (protocol {})", host.version, host.protocol);
        let finding = match version.protocol.cmp(&host.protocol) {
            Ordering::Greater => {
                let message = format!("{of} is newer than what this jr understands; {own}");
                Finding::error("daemon_version", message).fix(stop.clone())
            }
            Ordering::Less => {
                let message = format!("{of} is older; the next command replaces it; {own}");
                Finding::info("daemon_version", message).fix(stop.clone())
            }
            Ordering::Equal if version.version != host.version => {
                Finding::info("daemon_version", format!("{of}; {own}")).fix(stop.clone())
            }
            Ordering::Equal if server.daemon.as_ref().is_some_and(|daemon| daemon.program_gone) => {
                let message = "the daemon runs a program whose file was replaced or removed";
                Finding::info("daemon_version", message).fix(stop.clone())
            }
            Ordering::Equal => return None,
        };
        Some(finding.with("version", version.version.as_str()).with("protocol", version.protocol))
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::super::sound::{facts, is, known, only, told};
    use super::*;
    use crate::daemon::protocol::VersionReply;

    fn with(change: impl Fn(&mut ServerFacts)) -> Facts {
        let mut facts = facts();
        change(known(&mut facts.server));
        facts
    }

    fn version(version: &str, protocol: u32) -> Answer {
        Answer::Version(VersionReply {
            version: version.to_owned(),
            protocol,
            pid: 77,
            environment: "local".to_owned(),
            seq: 9,
            live: 2,
            uptime_ms: 60_000,
        })
    }

    fn holder(pid: u32, stopped: bool) -> Process {
        Process { pid, command: "jr daemon run".to_owned(), stopped, program_gone: false }
    }

    fn serve(server: &mut ServerFacts, answer: Answer) {
        server.lock.state = LockState::Held;
        server.lock.holder = Some(holder(77, false));
        server.answer = answer;
    }

    #[test]
    fn without_a_daemon_all_is_well() {
        assert_eq!(only(&daemon(&facts())), is("daemon", "ok", None));
        assert_eq!(only(&lock(&facts())), is("lock", "ok", None));
        assert!(socket(&facts()).is_empty());
    }

    #[test]
    fn a_daemon_that_holds_its_lock_is_well_and_its_version_is_compared() {
        let of = |answer: &Answer| told(&daemon(&with(|server| serve(server, answer.clone()))));
        assert_eq!(of(&version("1.2.3", 1)), [is("daemon", "ok", None)]);
        let stop = Some("jr daemon stop");
        assert_eq!(of(&version("1.2.4", 1))[1], is("daemon_version", "info", stop));
        assert_eq!(of(&version("0.9.0", 0))[1], is("daemon_version", "info", stop));
        assert_eq!(of(&version("2.0.0", 2))[1], is("daemon_version", "error", stop));
    }

    #[test]
    fn a_daemon_without_its_lock_is_an_error() {
        let free = with(|server| server.answer = version("1.2.3", 1));
        assert_eq!(told(&daemon(&free))[0], is("daemon", "error", Some("jr daemon stop")));
        let two = with(|server| {
            serve(server, version("1.2.3", 1));
            server.lock.holder = Some(holder(78, false));
        });
        assert_eq!(told(&daemon(&two))[0], is("daemon", "error", Some("jr daemon stop")));
    }

    #[test]
    fn a_mute_daemon_is_woken_if_it_is_stopped_and_else_replaced() {
        let mute = |stopped| {
            only(&daemon(&with(|server| {
                serve(server, Answer::Mute);
                server.lock.holder = Some(holder(77, stopped));
            })))
        };
        assert_eq!(mute(true), is("daemon", "error", Some("kill -CONT 77")));
        let fix = "kill -9 77 && jr daemon start";
        assert_eq!(mute(false), is("daemon", "error", Some(fix)));
        let hidden = with(|server| {
            serve(server, Answer::Nobody);
            server.lock.holder = None;
        });
        let fix = Some("fuser -v /h/envs/local/lock");
        assert_eq!(only(&daemon(&hidden)), is("daemon", "error", fix));
    }

    #[test]
    fn one_that_starts_is_news_and_no_problem() {
        let starting = with(|server| {
            server.lock.state = LockState::Held;
            server.starting.state = LockState::Held;
            server.starting.holder = Some(holder(5, false));
        });
        assert_eq!(only(&daemon(&starting)), is("daemon", "info", None));
        assert_eq!(only(&lock(&starting)), is("lock", "ok", None));
    }

    #[test]
    fn a_socket_of_somebody_else_or_something_else_there_is_an_error() {
        let of = |kind, uid| {
            only(&socket(&with(|server| {
                server.socket.path = "/h/run/0/daemon.sock".to_owned();
                (server.socket.kind, server.socket.uid) = (kind, uid);
            })))
        };
        let fix = "mv /h/run/0/daemon.sock /h/run/0/daemon.sock.aside";
        assert_eq!(of(PathKind::File, 1000), is("socket", "error", Some(fix)));
        let fix = Some("rm /h/run/0/daemon.sock");
        assert_eq!(of(PathKind::Socket, 7), is("socket", "error", fix));
        assert_eq!(of(PathKind::Socket, 1000), is("socket", "info", Some("jr daemon start")));
        let foreign = with(|server| {
            server.socket.path = "/h/run/0/daemon.sock".to_owned();
            server.answer = Answer::Foreign { uid: 7 };
        });
        assert_eq!(only(&daemon(&foreign)), is("daemon", "error", fix));
    }

    #[test]
    fn a_lock_that_cannot_be_tried_is_an_error() {
        let of = |is_no_file| {
            only(&lock(&with(|server| {
                server.lock.state = LockState::Failed("why".to_owned());
                server.lock.is_no_file = is_no_file;
            })))
        };
        let aside = "mv /h/envs/local/lock /h/envs/local/lock.aside";
        assert_eq!(of(true), is("lock", "error", Some(aside)));
        assert!(of(false).2.is_some_and(|fix| fix.starts_with("sudo chown")));
    }

    #[test]
    fn a_long_path_of_a_socket_is_news_and_what_answers_rubbish_can_be_ended() {
        let long = with(|server| {
            server.socket.kind = PathKind::Socket;
            server.socket.uid = 1000;
            serve(server, version("1.2.3", 1));
            server.socket_path_bytes = 108;
        });
        assert_eq!(only(&socket(&long)), is("socket", "info", None));
        let rubbish = with(|server| serve(server, Answer::Failed("no HTTP".to_owned())));
        assert_eq!(only(&daemon(&rubbish)), is("daemon", "error", Some("kill 77")));
    }
}
