//! What no schema can say: keys that need or exclude each other, names that must be there.

use std::collections::{BTreeMap, BTreeSet};

use super::mask::text_of;
use super::problem::{Problem, did_you_mean};
use super::resolve::Resolved;
use super::schema::job::Job;
use super::schema::probe::Probe;
use super::schema::service::{Preset, Restart, Service};
use super::schema::values::Words;
use super::tree::{Node, find};

/// Everything about one environment. `declared` is where it stands; what is `left_out` could not be
/// used, and is told.
pub fn environment(
    resolved: &Resolved,
    declared: Option<&Node>,
    left_out: &BTreeSet<Vec<String>>,
) -> Vec<Problem> {
    let mut check = Check { resolved, left_out, problems: Vec::new() };
    let environment = &resolved.environment;
    if environment.kind.is_none()
        && !check.is_left_out(&["type"])
        && let Some(node) = declared
    {
        let message = format!("environment {:?} has no type in any file", resolved.id);
        let problem = Problem::error("no_type", message);
        let problem = problem.suggest("add: type = \"local\", \"isolated\" or \"slurm\"");
        check.problems.push(problem.at(node.origin.source, node.origin.key.clone()));
    }
    check.hosts();
    for (name, job) in environment.jobs.iter().flatten() {
        check.job(name, job);
    }
    let none = BTreeMap::new();
    let services = environment.services.as_ref().unwrap_or(&none);
    for (name, service) in services {
        check.service(name, service, services);
    }
    check.cycles(services);
    check.ports();
    for (name, test) in environment.tests.iter().flatten() {
        check.command(&["tests", name], test.command.as_ref());
        for (place, needed) in test.needs.iter().flatten().enumerate() {
            let place = place.to_string();
            check.known_service(&["tests", name, "needs", &place], needed, services);
        }
    }
    check.problems
}

struct Check<'a> {
    resolved: &'a Resolved,
    left_out: &'a BTreeSet<Vec<String>>,
    problems: Vec<Problem>,
}

impl Check<'_> {
    /// Whether something stands there that could not be used, in the environment or for all.
    fn is_left_out(&self, path: &[&str]) -> bool {
        let shared: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        let id = self.resolved.id.clone();
        let own = [vec!["environments".to_owned(), id], shared.clone()].concat();
        self.left_out.contains(&own) || self.left_out.contains(&shared)
    }

    fn tell(&mut self, path: &[&str], problem: Problem) {
        // The nearest thing that stands in a file.
        let node = (1..=path.len()).rev().find_map(|n| find(&self.resolved.tree, &path[..n]));
        self.tell_at(node, problem);
    }

    fn tell_at(&mut self, node: Option<&Node>, problem: Problem) {
        self.problems.push(match node {
            Some(node) => problem.at(node.origin.source, node.origin.key.clone()),
            None => problem,
        });
    }

    /// What reaches ssh, sbatch and the like is no option and no second word of one.
    fn hosts(&mut self) {
        let environment = &self.resolved.environment;
        let words = [
            ("gateway", &environment.gateway),
            ("user", &environment.user),
            ("partition", &environment.partition),
            ("account", &environment.account),
            ("time", &environment.time),
            ("memory", &environment.memory),
        ];
        let words = words.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let modules = environment.modules.iter().flatten().map(|name| ("modules", name));
        let conda = environment.conda_env.iter().map(|name| ("conda_env", name));
        let plain = |c: char| c.is_ascii_alphanumeric() || "._:%[]-@,+".contains(c);
        let is_word = |text: &str, more: &str| text.chars().all(|c| plain(c) || more.contains(c));
        let is_path = |text: &str| !text.chars().any(char::is_control);
        let words = words.map(|(key, text)| (key, text, is_word(text, "")));
        // Names of modules and places of environments are paths.
        let paths = modules.chain(conda).map(|(key, text)| (key, text, is_word(text, "/~")));
        let keys = environment.ssh_key.iter().map(|text| ("ssh_key", text, is_path(text)));
        let all = words.chain(paths).chain(keys);
        let bad =
            all.filter(|(_, text, is_good)| text.is_empty() || text.starts_with('-') || !is_good);
        let bad: Vec<(&str, String)> =
            bad.map(|(key, text, _)| (key, text_of(key, text))).collect();
        for (key, shown) in bad {
            let message = format!("{key} = {shown:?}: it goes to another program as a word");
            let problem = Problem::error("bad_value", message);
            let fix = match key {
                "ssh_key" => "the path of a key, no - at first",
                "modules" | "conda_env" => "letters, digits and . _ - : / only, no - at first",
                _ => "letters, digits and . _ - : only, no - at first",
            };
            self.tell(&[key], problem.suggest(fix));
        }
    }

    fn ports(&mut self) {
        let Some(range) = self.resolved.settings().ports else { return };
        if (range.first.is_some() || range.last.is_some()) && range.bounds().is_none() {
            let message = "no port is between ports.first and ports.last";
            let node = find(&self.resolved.settings, &["ports"]);
            self.tell_at(node, Problem::error("out_of_range", message));
        }
    }

    fn command(&mut self, path: &[&str], command: Option<&Words>) {
        let is_empty = command.is_none_or(|command| {
            command.as_slice().first().is_none_or(|word| word.trim().is_empty())
        });
        let table = path.strip_suffix(&["command"]).unwrap_or(path);
        if is_empty && !self.is_left_out(&[table, &["command"]].concat()) {
            let message = format!("{} has no command", path.join("."));
            let problem = Problem::error("no_command", message);
            self.tell(path, problem.suggest("add: command = \"…\""));
        }
    }

    fn job(&mut self, name: &str, job: &Job) {
        self.command(&["jobs", name], job.command.as_ref());
        for variable in job.environment.iter().flatten().map(|(name, _)| name) {
            self.variable(&["jobs", name, "environment", variable], variable);
        }
    }

    fn variable(&mut self, path: &[&str], name: &str) {
        if name.is_empty() || name.contains(['=', '\0']) {
            let message = format!("{name:?} cannot be the name of a variable");
            self.tell(path, Problem::error("bad_name", message));
        }
    }

    fn service(&mut self, name: &str, service: &Service, all: &BTreeMap<String, Service>) {
        let preset = service.preset.or_else(|| Preset::of_name(name));
        let is_told = ["command", "preset"];
        let is_told = is_told.iter().any(|key| self.is_left_out(&["services", name, key]));
        if preset.is_none() && service.command.is_none() && !is_told {
            let message = format!("service {name:?} has no command, and no preset has its name");
            let problem = Problem::error("no_command", message);
            let fix = "add a command, or: preset = \"postgres\", \"redis\", \"n8n\", \"supabase\" \
                       or \"atlas\"";
            self.tell(&["services", name], problem.suggest(fix));
        } else if service.command.is_some() {
            self.command(&["services", name, "command"], service.command.as_ref());
        }
        let never_ends = matches!(service.restart, Some(Restart::Always | Restart::UnlessStopped));
        if service.oneshot == Some(true) && never_ends {
            let problem =
                Problem::error("bad_value", "what is started again whenever it ends never ends");
            let problem = problem.suggest("restart = \"never\" or \"on_failure\"");
            self.tell(&["services", name, "restart"], problem);
        }
        for variable in service.environment.iter().flatten().map(|(name, _)| name) {
            self.variable(&["services", name, "environment", variable], variable);
        }
        for (key, probe) in [("health", &service.health), ("readiness", &service.readiness)] {
            if let Some(probe) = probe {
                self.probe(&["services", name, key], probe);
                self.pattern(&["services", name, key, "output"], probe);
            }
        }
        for other in service.depends_on.iter().flat_map(|wish| wish.names()) {
            self.known_service(&["services", name, "depends_on", other], other, all);
        }
    }

    fn probe(&mut self, path: &[&str], probe: &Probe) {
        let given = [
            ("http", probe.http.is_some()),
            ("tcp", probe.tcp.is_some()),
            ("exec", probe.exec.is_some()),
            ("output", probe.output.is_some()),
            ("unix", probe.unix.is_some()),
            ("notify", probe.notify == Some(true)),
        ];
        let given: Vec<&str> = given.iter().filter(|(_, is)| *is).map(|(key, _)| *key).collect();
        if given.len() != 1 {
            let found = if given.is_empty() { "none".to_owned() } else { given.join(" and ") };
            let message =
                format!("{} needs exactly one way to ask, and has {found}", path.join("."));
            let problem = Problem::error("bad_probe", message);
            self.tell(path, problem.suggest("one of http, tcp, exec, output, unix and notify"));
        }
    }

    fn pattern(&mut self, path: &[&str], probe: &Probe) {
        let Some(output) = &probe.output else { return };
        if let Err(error) = regex::Regex::new(output.pattern()) {
            let message = format!("{} is no regular expression: {error}", path.join("."));
            self.tell(path, Problem::error("bad_value", message));
        }
    }

    fn known_service(&mut self, path: &[&str], name: &str, all: &BTreeMap<String, Service>) {
        if !all.contains_key(name) && !self.is_left_out(&["services", name]) {
            let message = format!("service {name:?} is not declared");
            let mut problem = Problem::error("unknown_service", message);
            let near = did_you_mean(name, all.keys().map(String::as_str));
            problem.suggestion = near.map(|near| format!("did you mean {near:?}?"));
            self.tell(path, problem);
        }
    }

    /// Services that wait for one another would wait for ever.
    fn cycles(&mut self, all: &BTreeMap<String, Service>) {
        let mut seen = BTreeMap::new();
        for name in all.keys() {
            if let Some(cycle) = cycle(name, all, &mut seen) {
                let message = format!("services wait for one another: {}", cycle.join(" -> "));
                let problem = Problem::error("cycle", message);
                self.tell(&["services", cycle[0], "depends_on"], problem);
            }
        }
    }
}

/// The services of a cycle that `name` leads to; `seen` are those that were followed already, with
/// no call within a call: a chain may be as long as a file.
fn cycle<'a>(
    name: &'a str,
    all: &'a BTreeMap<String, Service>,
    seen: &mut BTreeMap<&'a str, bool>,
) -> Option<Vec<&'a str>> {
    let waits_for = |name: &str| {
        let wishes = all.get(name).and_then(|service| service.depends_on.as_ref());
        let mut names = wishes.map(|wishes| wishes.names()).unwrap_or_default();
        names.reverse();
        names
    };
    if seen.contains_key(name) {
        return None;
    }
    let mut path = vec![(name, waits_for(name))];
    let mut found = None;
    seen.insert(name, true);
    while let Some((name, pending)) = path.last_mut() {
        let Some(next) = pending.pop().filter(|_| found.is_none()) else {
            seen.insert(name, false);
            path.pop();
            continue;
        };
        let Some((next, _)) = all.get_key_value(next) else { continue };
        match seen.get(next.as_str()) {
            None => {
                seen.insert(next, true);
                path.push((next, waits_for(next)));
            }
            Some(true) => {
                let names = path.iter().map(|(name, _)| *name);
                let around = names.skip_while(|name| name != next).chain([next.as_str()]);
                found = Some(around.collect());
            }
            Some(false) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::service::Dependencies;

    fn found(wishes: &[(&str, &[&str])]) -> Vec<String> {
        let service = |names: &[&str]| Service {
            depends_on: Some(Dependencies::Names(names.iter().map(ToString::to_string).collect())),
            ..Service::default()
        };
        let all: BTreeMap<String, Service> =
            wishes.iter().map(|(name, on)| ((*name).to_owned(), service(on))).collect();
        let mut seen = BTreeMap::new();
        let cycles = all.keys().filter_map(|name| cycle(name, &all, &mut seen));
        cycles.map(|cycle| cycle.join(" ")).collect()
    }

    #[test]
    fn each_cycle_is_found_once() {
        assert_eq!(found(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]), [""; 0]);
        assert_eq!(found(&[("a", &["a"])]), ["a a"]);
        assert_eq!(found(&[("a", &["b"]), ("b", &["c", "x"]), ("c", &["b"])]), ["b c b"]);
        let two: [(&str, &[&str]); 4] =
            [("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"])];
        assert_eq!(found(&two), ["a b a", "c d c"]);
    }
}
