//! Directories and files: there, ours, private, complete.

use crate::daemon::doctor::facts::paths::{PathFacts, PathKind};
use crate::daemon::doctor::facts::place::PartFacts;
use crate::daemon::doctor::facts::{Facts, Kept};
use crate::daemon::doctor::finding::{Finding, count, move_away, quoted, quoted_all, take_over};

/// `$JR_HOME`.
pub(super) fn home(facts: &Facts) -> Vec<Finding> {
    let Some(place) = facts.place.known().filter(|_| facts.kept != Kept::Command) else {
        return Vec::new();
    };
    let home = &place.home;
    let path = &home.path;
    let whence = facts.host.known().map_or("", |host| match (&host.jr_home, &host.state_home) {
        (Some(_), _) => " (JR_HOME)",
        (None, Some(_)) => " (XDG_STATE_HOME)",
        (None, None) => " (default)",
    });
    let finding = if let Some(broken) = unusable("home", home, owner(facts)) {
        broken
    } else if !home.exists() {
        Finding::info("home", format!("{path}{whence} does not exist yet; the first run makes it"))
    } else if home.is_open_to_writers() {
        let message = format!(
            "{path} may be written by others (mode {:04o}), who could replace what is in it",
            home.mode
        );
        Finding::warning("home", message).fix(format!("chmod go-w {}", quoted(path)))
    } else {
        Finding::ok("home", format!("{path}{whence}"))
    };
    vec![described(finding, home)]
}

/// Where its log is, if it is not on disk.
pub(super) fn kept(facts: &Facts) -> Vec<Finding> {
    let id = &facts.environment;
    let message = match facts.kept {
        Kept::Disk => return Vec::new(),
        Kept::Memory if facts.is_served() => {
            format!("the log of {id} is in the memory of its daemon, and is gone with it")
        }
        Kept::Memory => {
            format!("the log of {id} is in the memory of its daemon: none runs, so there is none")
        }
        Kept::Command => {
            format!(
                "{id} is isolated: it lives for one command, without a daemon, and leaves nothing"
            )
        }
    };
    vec![Finding::info("kept", message)]
}

/// The environment's directory, of which a daemon demands more.
pub(super) fn root(facts: &Facts) -> Vec<Finding> {
    let Some(place) = facts.place.known().filter(|_| facts.kept != Kept::Command) else {
        return Vec::new();
    };
    let (root, id) = (&place.root, &facts.environment);
    let path = &root.path;
    if place.home.kind != PathKind::Directory {
        return Vec::new();
    }
    let finding = if let Some(broken) = unusable("environment", root, owner(facts)) {
        broken
    } else if !root.exists() {
        Finding::info("environment", format!("environment {id} has no state yet"))
    } else if owner(facts).is_some_and(|uid| uid != root.uid) {
        let message =
            format!("{path} belongs to user {}, so no daemon of yours serves it", root.uid);
        Finding::error("environment", message).fix(take_over(path))
    } else if root.is_open_to_writers() {
        let message = format!(
            "{path} may be written by others (mode {:04o}), so no daemon serves it",
            root.mode
        );
        Finding::error("environment", message).fix(format!("chmod 0700 {}", quoted(path)))
    } else if root.is_open() {
        let message = format!("{path} may be read by others (mode {:04o})", root.mode);
        Finding::warning("environment", message).fix(format!("chmod 0700 {}", quoted(path)))
    } else {
        Finding::ok("environment", format!("{id} in {path}"))
    };
    vec![described(finding, root)]
}

/// A copy, or what was moved: no daemon serves it.
pub(super) fn machine(facts: &Facts) -> Vec<Finding> {
    let Some((place, why)) = facts.place.known().and_then(|place| Some((place, place.elsewhere?)))
    else {
        return Vec::new();
    };
    let message = format!(
        "{} {why}: no daemon serves it; taken over, what lived is lost in it",
        place.root.path
    );
    vec![Finding::error("machine", message).fix(take_over_machine(facts))]
}

/// Makes it an environment of this machine.
pub(super) fn take_over_machine(facts: &Facts) -> String {
    format!("{} resume --take-over", facts.jr())
}

/// What belongs into it.
pub(super) fn layout(facts: &Facts) -> Vec<Finding> {
    let Some(place) = facts.place.known() else { return Vec::new() };
    if place.root.kind != PathKind::Directory {
        return Vec::new();
    }
    let mut found = Vec::new();
    for part in &place.parts {
        found.extend(part_of(part, owner(facts)));
    }
    let run = &place.run;
    if let Some(broken) = unusable("layout", run, owner(facts)) {
        found.push(described(broken, run));
    } else if run.exists() && run.is_open_to_writers() {
        let message = format!("{} may be written by others, so no daemon serves it", run.path);
        let fix = format!("chmod 0700 {}", quoted(&run.path));
        found.push(described(Finding::error("layout", message).fix(fix), run));
    }
    let has = |name: &str| place.parts.iter().any(|part| part.name == name && part.found.exists());
    let without_lock = ["starting", "lock"].into_iter().find(|name| !has(name));
    if let Some(name) = without_lock.filter(|_| has("log")) {
        let message = format!("{}/{name} is missing; the next daemon makes it", place.root.path);
        found.push(Finding::warning("layout", message).fix(format!("{} daemon start", facts.jr())));
    }
    if !place.foreign.is_empty() {
        let message = format!("jr did not make: {}", place.foreign.join(", "));
        found.push(Finding::info("layout", message).with("names", place.foreign.clone()));
    }
    if found.is_empty() {
        let there = place.parts.iter().filter(|part| part.found.exists()).count();
        found.push(Finding::ok("layout", format!("{} in place", count(there, "part"))));
    }
    found
}

fn part_of(part: &PartFacts, owner: Option<u32>) -> Option<Finding> {
    let found = &part.found;
    if !found.exists() {
        return None;
    }
    let (is_wanted, wanted) = match part.wanted {
        PathKind::Directory => (found.kind == PathKind::Directory, "directory"),
        _ => (found.kind == PathKind::File, "file"),
    };
    let finding = if found.kind == PathKind::Hidden {
        unusable("layout", found, owner)?
    } else if !is_wanted {
        let message = format!("{} is no {wanted}", found.path);
        Finding::error("layout", message).fix(move_away(&found.path))
    } else if !found.readable || !found.writable {
        let may_not = if found.readable { "written" } else { "read" };
        let message = format!("{} may not be {may_not} by you", found.path);
        Finding::error("layout", message).fix(take_over(&found.path))
    } else {
        return None;
    };
    Some(described(finding, found))
}

/// Files under a name that only lasts while they are written.
pub(super) fn unfinished(facts: &Facts) -> Vec<Finding> {
    let Some(place) = facts.place.known() else { return Vec::new() };
    // A daemon may be at work on them.
    if !facts.is_unattended() {
        return Vec::new();
    }
    let mut found = Vec::new();
    if !place.unfinished.is_empty() {
        let number = count(place.unfinished.len(), "file");
        let message = format!("{number} half written by something that was killed");
        let fix = format!("rm -- {}", quoted_all(&place.unfinished));
        let finding = Finding::info("unfinished", message).fix(fix);
        found.push(finding.with("paths", place.unfinished.clone()));
    }
    if !place.unfinished_log.is_empty() {
        let number = count(place.unfinished_log.len(), "file");
        let message =
            format!("{number} of the log half written; the next daemon finishes or removes them");
        let fix = format!("{} daemon start", facts.jr());
        let finding = Finding::info("unfinished", message).fix(fix);
        found.push(finding.with("paths", place.unfinished_log.clone()));
    }
    found
}

/// Values of secrets are for their owner alone.
pub(super) fn secrets(facts: &Facts) -> Vec<Finding> {
    let Some(place) = facts.place.known() else { return Vec::new() };
    let directory = place.parts.iter().find(|part| part.name == "secrets");
    let directory = directory.map(|part| &part.found);
    let Some(directory) = directory.filter(|found| found.kind == PathKind::Directory) else {
        return Vec::new();
    };
    if directory.is_open() {
        let message = format!("{} is open to others (mode {:04o})", directory.path, directory.mode);
        let fix = format!("chmod -R go= {}", quoted(&directory.path));
        return vec![described(Finding::error("secrets_mode", message).fix(fix), directory)];
    }
    if let Some(first) = place.open_secrets.first() {
        let number = count(place.open_secrets.len(), "file");
        let message = format!("{number} with secrets open to others: {}", first.path);
        let fix = format!("chmod -R go= {}", quoted(&directory.path));
        return vec![described(Finding::error("secrets_mode", message).fix(fix), first)];
    }
    vec![Finding::ok("secrets_mode", "secrets are for you alone")]
}

/// What bars the way is put aside or taken over.
pub(super) fn way_to(found: &PathFacts) -> String {
    match &found.barred_by {
        Some(above) if found.barred_by_file => move_away(above),
        Some(above) => take_over(above),
        None => format!("namei -l {}", quoted(&found.path)),
    }
}

/// Who looks, if that is known.
fn owner(facts: &Facts) -> Option<u32> {
    facts.host.known().map(|host| host.machine.uid)
}

/// A directory that cannot be used at all.
fn unusable(check: &'static str, found: &PathFacts, owner: Option<u32>) -> Option<Finding> {
    let path = &found.path;
    match found.kind {
        PathKind::Missing if found.writable => None,
        PathKind::Missing => {
            let message = format!("{path} does not exist and cannot be made");
            let user = owner.map_or_else(|| "$(id -u)".to_owned(), |uid| uid.to_string());
            let fix = format!("sudo install -d -m 0700 -o {user} {}", quoted(path));
            Some(Finding::error(check, message).fix(fix))
        }
        PathKind::Directory if !found.readable || !found.writable => {
            let may_not = if found.readable { "written" } else { "read" };
            let message = format!("{path} may not be {may_not} by you (mode {:04o})", found.mode);
            let is_own = owner == Some(found.uid);
            let fix =
                if is_own { format!("chmod u+rwx {}", quoted(path)) } else { take_over(path) };
            Some(Finding::error(check, message).fix(fix))
        }
        PathKind::Directory => None,
        PathKind::DeadLink => {
            let message = format!("{path} is a link that leads nowhere");
            Some(Finding::error(check, message).fix(format!("rm {}", quoted(path))))
        }
        PathKind::Hidden => {
            let why = found.problem.as_deref().unwrap_or("it cannot be seen");
            Some(Finding::error(check, format!("{path}: {why}")).fix(way_to(found)))
        }
        PathKind::File | PathKind::Socket | PathKind::Other => {
            let message = format!("{path} is no directory");
            Some(Finding::error(check, message).fix(move_away(path)))
        }
    }
}

fn described(finding: Finding, found: &PathFacts) -> Finding {
    let finding = finding.with("path", found.path.as_str()).with("uid", found.uid);
    finding.with("mode", format!("{:04o}", found.mode))
}

#[cfg(test)]
mod tests {
    use super::super::sound::{directory, facts, is, known, only};
    use super::*;

    fn with(change: impl Fn(&mut crate::daemon::doctor::facts::place::PlaceFacts)) -> Facts {
        let mut facts = facts();
        change(known(&mut facts.place));
        facts
    }

    #[test]
    fn a_home_that_is_not_there_is_made_if_it_can_be() {
        let missing =
            |writable| PathFacts { path: "/h".to_owned(), writable, ..PathFacts::default() };
        let of = |writable| only(&home(&with(|place| place.home = missing(writable))));
        assert_eq!(of(true), is("home", "info", None));
        assert_eq!(of(false), is("home", "error", Some("sudo install -d -m 0700 -o 1000 /h")));
    }

    #[test]
    fn a_home_that_is_something_else_is_an_error_with_the_way_out() {
        let of = |kind, problem: Option<&str>| {
            let problem = problem.map(str::to_owned);
            only(&home(&with(|place| {
                place.home.kind = kind;
                place.home.problem.clone_from(&problem);
            })))
        };
        assert_eq!(of(PathKind::File, None), is("home", "error", Some("mv /h /h.aside")));
        assert_eq!(of(PathKind::DeadLink, None), is("home", "error", Some("rm /h")));
        let hidden = of(PathKind::Hidden, Some("Not a directory"));
        assert_eq!(hidden, is("home", "error", Some("namei -l /h")));
        let barred = |is_file| {
            only(&home(&with(|place| {
                place.home.kind = PathKind::Hidden;
                place.home.barred_by = Some("/a".to_owned());
                place.home.barred_by_file = is_file;
            })))
        };
        assert_eq!(barred(true), is("home", "error", Some("mv /a /a.aside")));
        assert!(barred(false).2.is_some_and(|fix| fix.starts_with("sudo chown -R")));
    }

    #[test]
    fn what_may_not_be_read_or_written_is_an_error() {
        let own = with(|place| place.home.writable = false);
        assert_eq!(only(&home(&own)), is("home", "error", Some("chmod u+rwx /h")));
        let other = with(|place| {
            place.home.readable = false;
            place.home.uid = 7;
        });
        let fix = "sudo chown -R \"$(id -u)\" /h && chmod -R u+rwX,go= /h";
        assert_eq!(only(&home(&other)), is("home", "error", Some(fix)));
    }

    #[test]
    fn others_who_may_write_are_refused_by_the_daemon_and_told_here() {
        let open = with(|place| {
            place.home.mode = 0o777;
            place.root.mode = 0o770;
        });
        assert_eq!(only(&home(&open)), is("home", "warning", Some("chmod go-w /h")));
        let fix = Some("chmod 0700 /h/envs/local");
        assert_eq!(only(&root(&open)), is("environment", "error", fix));
        let readable = with(|place| place.root.mode = 0o755);
        assert_eq!(only(&root(&readable)), is("environment", "warning", fix));
        let foreign = with(|place| place.root.uid = 0);
        assert_eq!(only(&root(&foreign)).1, "error");
    }

    #[test]
    fn a_part_of_the_wrong_kind_is_named() {
        let part = |name: &str, wanted, kind| PartFacts {
            name: name.to_owned(),
            wanted,
            found: PathFacts { kind, ..directory(&format!("/h/envs/local/{name}")) },
        };
        let of = |parts: Vec<PartFacts>| layout(&with(|place| place.parts.clone_from(&parts)));
        let log = of(vec![part("log", PathKind::Directory, PathKind::File)]);
        let fix = Some("mv /h/envs/local/log /h/envs/local/log.aside");
        assert_eq!(super::super::sound::told(&log)[0], is("layout", "error", fix));
        let socket = of(vec![part("lock", PathKind::File, PathKind::Other)]);
        assert_eq!(only(&socket).1, "error");
        let complete = of(vec![
            part("lock", PathKind::File, PathKind::File),
            part("starting", PathKind::File, PathKind::File),
            part("log", PathKind::Directory, PathKind::Directory),
        ]);
        assert_eq!(only(&complete), is("layout", "ok", None));
        let without = of(vec![part("log", PathKind::Directory, PathKind::Directory)]);
        assert_eq!(only(&without), is("layout", "warning", Some("jr daemon start")));
    }

    #[test]
    fn half_written_files_are_told_unless_somebody_may_be_writing_them() {
        let mut facts = with(|place| {
            place.unfinished = vec!["/h/a b.tmp".to_owned()];
            place.unfinished_log = vec!["/h/log/1.tmp".to_owned()];
        });
        let found = super::super::sound::told(&unfinished(&facts));
        assert_eq!(found[0], is("unfinished", "info", Some("rm -- '/h/a b.tmp'")));
        assert_eq!(found[1], is("unfinished", "info", Some("jr daemon start")));
        known(&mut facts.server).lock.state = crate::daemon::doctor::facts::server::LockState::Held;
        assert!(unfinished(&facts).is_empty());
    }

    #[test]
    fn secrets_that_others_may_read_are_an_error() {
        let secret = |mode| PartFacts {
            name: "secrets".to_owned(),
            wanted: PathKind::Directory,
            found: PathFacts { mode, ..directory("/h/secrets") },
        };
        let fix = Some("chmod -R go= /h/secrets");
        let open = with(|place| place.parts = vec![secret(0o750)]);
        assert_eq!(only(&secrets(&open)), is("secrets_mode", "error", fix));
        let file = with(|place| {
            place.parts = vec![secret(0o700)];
            place.open_secrets = vec![directory("/h/secrets/x")];
        });
        assert_eq!(only(&secrets(&file)), is("secrets_mode", "error", fix));
        let sound = with(|place| place.parts = vec![secret(0o700)]);
        assert_eq!(only(&secrets(&sound)), is("secrets_mode", "ok", None));
    }
}
