//! What the facts mean. Each check is a pure function of all facts; docs/doctor.md has their names.

mod cgroups;
mod clocks;
mod disks;
mod left;
mod limits;
mod log;
mod place;
mod server;
mod services;
mod shims;
mod tools;

use super::facts::Facts;
use super::finding::{Finding, Severity};
use crate::log::quietly;

/// A check: it finds something about its group.
type Judge = fn(&Facts) -> Vec<Finding>;

/// All of them, by group, in the order of the report. Each group's name is what people see.
const CHECKS: &[(&str, &[Judge])] = &[
    ("jr", &[server::build]),
    (
        "environment",
        &[
            place::kept,
            place::home,
            place::root,
            place::machine,
            place::layout,
            place::unfinished,
            place::secrets,
        ],
    ),
    ("daemon", &[server::lock, server::socket, server::daemon]),
    ("log", &[log::log, log::chain, log::blobs, log::views]),
    ("disk", &[disks::kind, disks::space]),
    ("clock", &[clocks::wall, clocks::boot, clocks::jumps]),
    ("runs", &[shims::shims, shims::attempts, left::strays, left::outputs, left::secrets]),
    ("services", &[services::services]),
    ("cgroups", &[cgroups::leaf, cgroups::controllers, cgroups::left_over]),
    ("limits", &[limits::open_files, limits::processes, limits::inotify, limits::memory]),
    ("tools", &[tools::tools]),
];

/// Judges everything.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let is_root = facts.host.known().is_some_and(|host| host.machine.uid == 0);
    let is_elsewhere = facts.place.known().is_some_and(|place| place.elsewhere.is_some());
    let mut found = Vec::new();
    for (group, checks) in CHECKS {
        found.extend(unknown(facts, group).into_iter().map(|finding| Finding { group, ..finding }));
        for check in *checks {
            let mut judged = quietly(|| check(facts)).unwrap_or_else(|at| {
                let message = format!("a check failed at {at}: this is a defect of jr");
                vec![Finding::warning("check_failed", message)]
            });
            if is_root {
                judged.iter_mut().for_each(without_sudo);
            }
            if is_elsewhere {
                for finding in &mut judged {
                    taken_over_first(finding, facts);
                }
            }
            found.extend(judged.into_iter().map(|finding| Finding { group, ..finding }));
        }
    }
    found
}

/// Root needs no other leave, and often has no such program.
fn without_sudo(finding: &mut Finding) {
    if let Some(command) = finding.fix.as_deref().and_then(|fix| fix.strip_prefix("sudo ")) {
        finding.fix = Some(command.to_owned());
    }
}

/// A daemon is refused before that.
fn taken_over_first(finding: &mut Finding, facts: &Facts) {
    let jr = facts.jr();
    let refused = [format!("{jr} daemon start"), format!("{jr} resume")];
    if finding.fix.as_ref().is_some_and(|fix| refused.contains(fix)) {
        finding.fix = Some(place::take_over_machine(facts));
    }
}

/// Groups of facts about which nothing is known.
fn unknown(facts: &Facts, group: &str) -> Vec<Finding> {
    let (what, severity, why) = match group {
        "jr" => ("the machine", Severity::Warning, facts.host.why()),
        "environment" => ("the directories", Severity::Error, facts.place.why()),
        "daemon" => ("locks and socket", Severity::Error, facts.server.why()),
        "log" => ("the log", Severity::Warning, facts.log.why()),
        "disk" => ("the disks", Severity::Error, facts.disks.why()),
        "services" => ("services", Severity::Warning, facts.services.why()),
        "cgroups" => ("cgroups", Severity::Warning, facts.cgroups.why()),
        "tools" => ("other programs", Severity::Info, facts.tools.why()),
        "runs" => {
            let why = facts.shims.why().or(facts.left.why());
            ("shims and what runs left", Severity::Warning, why)
        }
        _ => return Vec::new(),
    };
    let Some(why) = why else { return Vec::new() };
    let finding = Finding::new(
        format!("{group}_unknown"),
        severity,
        format!("{what} could not be looked at: {why}"),
    );
    let log_takes_long = group == "log" && facts.place.known().is_some();
    vec![if log_takes_long { finding.fix(format!("{} log verify", facts.jr())) } else { finding }]
}

/// Facts of a machine and an environment on which nothing is to be said, for tests to break.
#[cfg(test)]
pub(super) mod sound {
    use crate::daemon::doctor::facts::disks::DiskFacts;
    use crate::daemon::doctor::facts::host::HostFacts;
    use crate::daemon::doctor::facts::log::{LogFacts, Source, ViewsFacts};
    use crate::daemon::doctor::facts::paths::{PathFacts, PathKind};
    use crate::daemon::doctor::facts::place::PlaceFacts;
    use crate::daemon::doctor::facts::server::{LockFacts, LockState, ServerFacts};
    use crate::daemon::doctor::facts::{Facts, Kept, cgroups::CgroupFacts, left::LeftFacts};
    use crate::daemon::doctor::finding::Finding;
    use crate::daemon::doctor::isolated::Gathered;
    use crate::daemon::filesystem::Kind;
    use crate::runners::linux::hierarchy::{Group, Hierarchy, Mode};
    use crate::runners::linux::machine::{Limit, Machine};

    /// Friday, 20 November 2026.
    pub(crate) const NOW_MS: i64 = 1_795_132_800_000;

    pub(crate) fn directory(path: &str) -> PathFacts {
        let path = path.to_owned();
        PathFacts {
            path,
            kind: PathKind::Directory,
            mode: 0o700,
            uid: 1000,
            readable: true,
            writable: true,
            ..PathFacts::default()
        }
    }

    fn machine() -> Machine {
        let many = Limit { soft: Some(65_536), hard: None };
        Machine {
            kernel: "6.1.0".to_owned(),
            uid: 1000,
            cores: 4,
            has_systemd: true,
            boot: Some("11".repeat(16)),
            boottime_ms: 3_600_000,
            wall_ms: NOW_MS,
            open_files: many,
            processes: many,
            pid_max: Some(4_194_304),
            inotify_watches: Some(524_288),
            inotify_instances: Some(1_024),
            memory_bytes: Some(8 << 30),
            memory_available_bytes: Some(4 << 30),
            ..Machine::default()
        }
    }

    fn disk() -> DiskFacts {
        DiskFacts {
            holds: vec!["state".to_owned(), "output".to_owned()],
            path: "/h".to_owned(),
            mount_point: Some("/".to_owned()),
            kind: Kind { name: "ext4".to_owned(), ..Kind::default() },
            bytes: 100 << 30,
            free_bytes: 50 << 30,
            inodes: 1_000_000,
            free_inodes: 900_000,
            ..DiskFacts::default()
        }
    }

    pub(crate) fn facts() -> Facts {
        let lock = |name: &str| LockFacts {
            path: format!("/h/envs/local/{name}"),
            state: LockState::Free,
            ..LockFacts::default()
        };
        let names = ["cpu", "memory", "pids"].map(str::to_owned).to_vec();
        let group = Group {
            path: "/sys/fs/cgroup/jr".to_owned(),
            writable: true,
            can_kill: true,
            controllers: names.clone(),
            delegated: names,
            populated: false,
        };
        let stamp = ViewsFacts::Stamp { applied: 9, is_current: true, is_of_this_boot: true };
        Facts {
            environment: "local".to_owned(),
            kept: Kept::Disk,
            host: Gathered::Known(HostFacts {
                version: "1.2.3".to_owned(),
                protocol: 1,
                build: "release".to_owned(),
                machine: machine(),
                ..HostFacts::default()
            }),
            place: Gathered::Known(PlaceFacts {
                home: directory("/h"),
                root: directory("/h/envs/local"),
                run: directory("/h/run/0"),
                ..PlaceFacts::default()
            }),
            disks: Gathered::Known(vec![disk()]),
            server: Gathered::Known(ServerFacts {
                lock: lock("lock"),
                starting: lock("starting"),
                ..ServerFacts::default()
            }),
            log: Gathered::Known(LogFacts {
                source: Source::Files,
                segments: 1,
                first_seq: 1,
                kept_from: 1,
                head: 9,
                verified_from: Some(1),
                time_max_ms: Some(NOW_MS - 1_000),
                boot: Some("11".repeat(16)),
                views: stamp,
                ..LogFacts::default()
            }),
            shims: Gathered::Known(Vec::new()),
            left: Gathered::Known(LeftFacts { strays: Some(Vec::new()), ..LeftFacts::default() }),
            services: Gathered::Known(Vec::new()),
            cgroups: Gathered::Known(CgroupFacts {
                hierarchy: Hierarchy {
                    mode: Mode::Unified,
                    groups: vec![group],
                    ..Hierarchy::default()
                },
                ..CgroupFacts::default()
            }),
            tools: Gathered::Known(Vec::new()),
        }
    }

    /// The sound facts with one group changed.
    pub(crate) fn known<T>(gathered: &mut Gathered<T>) -> &mut T {
        match gathered {
            Gathered::Known(known) => known,
            Gathered::Unknown { why } => panic!("{why}"),
        }
    }

    /// Check, severity as a word, and fix of each.
    pub(crate) fn told(findings: &[Finding]) -> Vec<(String, String, Option<String>)> {
        let told = |finding: &Finding| {
            let severity = format!("{:?}", finding.severity).to_lowercase();
            (finding.check.to_string(), severity, finding.fix.clone())
        };
        findings.iter().map(told).collect()
    }

    /// The only finding: check, severity, fix.
    pub(crate) fn only(findings: &[Finding]) -> (String, String, Option<String>) {
        assert_eq!(findings.len(), 1, "{findings:?}");
        told(findings).remove(0)
    }

    pub(crate) fn is(
        check: &str,
        severity: &str,
        fix: Option<&str>,
    ) -> (String, String, Option<String>) {
        (check.to_owned(), severity.to_owned(), fix.map(str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::super::isolated::Gathered;
    use super::*;
    use crate::daemon::machine::Elsewhere;

    #[test]
    fn on_a_sound_machine_there_is_no_problem() {
        let findings = judge(&sound::facts());
        let problems: Vec<&Finding> =
            findings.iter().filter(|finding| finding.severity > Severity::Info).collect();
        assert!(problems.is_empty(), "{problems:#?}");
        assert!(findings.iter().all(|finding| !finding.group.is_empty()));
    }

    #[test]
    fn where_nothing_is_known_every_group_says_so_and_nothing_fails() {
        fn gone<T>() -> Gathered<T> {
            Gathered::Unknown { why: "no answer within 4000 ms".to_owned() }
        }
        let facts = Facts {
            environment: "x".to_owned(),
            kept: super::super::facts::Kept::Disk,
            host: gone(),
            place: gone(),
            disks: gone(),
            server: gone(),
            log: gone(),
            shims: gone(),
            left: gone(),
            services: gone(),
            cgroups: gone(),
            tools: gone(),
        };
        let findings = judge(&facts);
        let names: Vec<&str> = findings.iter().map(|finding| finding.check.as_ref()).collect();
        let expected =
            ["jr", "environment", "daemon", "log", "disk", "runs", "services", "cgroups", "tools"];
        assert_eq!(names, expected.map(|group| format!("{group}_unknown")));
        assert!(findings.iter().all(|finding| finding.message.ends_with("within 4000 ms")));
    }

    #[test]
    fn root_is_not_told_to_become_root() {
        let mut facts = sound::facts();
        sound::known(&mut facts.host).machine.inotify_instances = Some(1);
        let fix = |facts: &Facts| judge(facts).into_iter().find_map(|finding| finding.fix);
        let sysctl = "sysctl fs.inotify.max_user_instances=1024";
        assert_eq!(fix(&facts), Some(format!("sudo {sysctl}")));
        sound::known(&mut facts.host).machine.uid = 0;
        sound::known(&mut facts.place).root.uid = 0;
        assert_eq!(fix(&facts).as_deref(), Some(sysctl));
    }

    #[test]
    fn of_another_machine_nothing_is_advised_that_is_refused() {
        let mut facts = sound::facts();
        sound::known(&mut facts.log).waiting = 1;
        let fixes = |facts: &Facts| -> Vec<String> {
            judge(facts).into_iter().filter_map(|finding| finding.fix).collect()
        };
        assert_eq!(fixes(&facts), ["jr daemon start"]);
        sound::known(&mut facts.place).elsewhere = Some(Elsewhere::OtherMachine);
        let told = judge(&facts).into_iter().find(|finding| finding.check == "machine");
        assert_eq!(told.expect("it is told").severity, Severity::Error);
        assert_eq!(fixes(&facts), ["jr resume --take-over"; 2]);
    }

    #[test]
    fn facts_can_be_kept_and_judged_again() {
        let facts = sound::facts();
        let text = serde_json::to_string(&facts).expect("JSON");
        let again: Facts = serde_json::from_str(&text).expect("the same");
        assert_eq!(again, facts);
        assert_eq!(judge(&again), judge(&facts));
    }
}
