//! Whether a directory is ready: its configuration, the programs that it names, the ports that its
//! services want. It only looks.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::configuration::Configuration;
use crate::config::problem::{Problem, Severity as Weight};
use crate::config::resolve::{Resolved, absolute, base};
use crate::config::schema::service::{Ports, Service};
use crate::config::schema::values::{Port, Words};
use crate::config::source::Source;
use crate::config::tree::find;
use crate::daemon::doctor::finding::quoted;
use crate::daemon::doctor::{Finding, Severity};
use crate::model::{ByteString, batch_line};

/// What the configuration comes to: each problem, or that there is none.
pub fn configuration(configuration: &Configuration) -> Vec<Finding> {
    let group = "configuration";
    if !configuration.has_files() {
        let none = Finding::info("config", "no configuration file; what jr brings along holds");
        return vec![Finding { group, ..none }];
    }
    let loaded = configuration.loaded();
    let own = match configuration.resolve() {
        Ok((_, problems)) => problems,
        Err(error) => vec![Problem::error("environment", error.message)],
    };
    let all = loaded.problems.iter().chain(&own);
    let mut findings: Vec<Finding> = all.map(|problem| of(problem, &loaded.sources)).collect();
    let files = loaded.sources.iter().filter(|source| source.path.is_some());
    let files: Vec<&str> = files.map(|source| source.name.as_str()).collect();
    if findings.is_empty() {
        findings.push(Finding::ok("config", format!("sound: {}", files.join(", "))));
    }
    findings.into_iter().map(|finding| Finding { group, ..finding }).collect()
}

fn of(problem: &Problem, sources: &[Source]) -> Finding {
    let severity = match problem.severity {
        Weight::Error => Severity::Error,
        Weight::Warning => Severity::Warning,
    };
    let place = problem.place(sources).map(|place| format!("{place}: ")).unwrap_or_default();
    let finding = Finding::new("config", severity, format!("{place}{}", problem.message));
    let suggestion = problem.suggestion.clone();
    let finding = finding.fix("jr config check").with("code", problem.code);
    match suggestion {
        Some(suggestion) => finding.with("suggestion", suggestion),
        None => finding,
    }
}

/// Whether everything is there that the directory's jobs, services and tests name.
pub fn examine(configuration: &Configuration) -> Vec<Finding> {
    let mut findings = self::configuration(configuration);
    if let Ok((resolved, _)) = configuration.resolve() {
        let repo = Repo { configuration, resolved };
        findings.extend(repo.programs());
        findings.extend(repo.ports());
    }
    findings
}

struct Repo<'a> {
    configuration: &'a Configuration,
    resolved: Resolved,
}

/// A command somewhere in the configuration.
struct Named<'a> {
    /// `job build`.
    whose: String,
    /// Where it stands.
    path: [&'a str; 2],
    command: &'a Words,
    has_args: bool,
    directory: Option<&'a str>,
}

impl Repo<'_> {
    fn named(&self) -> Vec<Named<'_>> {
        let environment = &self.resolved.environment;
        let jobs = environment.jobs.iter().flatten().filter_map(|(name, job)| {
            let (command, directory) = (job.command.as_ref()?, job.directory.as_deref());
            let (whose, path) = (format!("job {name}"), ["jobs", name]);
            Some(Named { whose, path, command, has_args: job.args.is_some(), directory })
        });
        let services = environment.services.iter().flatten().filter_map(|(name, service)| {
            let (command, directory) = (service.command.as_ref()?, service.directory.as_deref());
            let (whose, path) = (format!("service {name}"), ["services", name]);
            Some(Named { whose, path, command, has_args: service.args.is_some(), directory })
        });
        let tests = environment.tests.iter().flatten().filter_map(|(name, test)| {
            let (command, directory) = (test.command.as_ref()?, test.directory.as_deref());
            let (whose, path) = (format!("test {name}"), ["tests", name]);
            Some(Named { whose, path, command, has_args: test.args.is_some(), directory })
        });
        jobs.chain(services).chain(tests).collect()
    }

    fn programs(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            self.named().iter().filter_map(|named| self.program(named)).collect();
        if findings.is_empty() {
            findings.push(Finding::ok("programs", "all programs that it names are there"));
        }
        findings.into_iter().map(|finding| Finding { group: "programs", ..finding }).collect()
    }

    /// Its program, where that is not there.
    fn program(&self, named: &Named<'_>) -> Option<Finding> {
        let program = program_of(named.command, named.has_args)?;
        let directory = self.directory(named);
        if named.directory.is_some() && !directory.is_dir() {
            let message =
                format!("{}: its directory {} is not there", named.whose, directory.display());
            let fix = format!("mkdir -p {}", quoted(&directory.display().to_string()));
            return Some(Finding::error("directory", message).fix(fix));
        }
        let is_there = if program.contains('/') {
            is_executable(&directory.join(&program))
        } else {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|directory| is_executable(&directory.join(&program)))
        };
        let missing = || {
            let message = format!("{} names {program}, which is not there", named.whose);
            Finding::error("program", message).fix(format!("command -v {}", quoted(&program)))
        };
        (!is_there).then(missing)
    }

    fn directory(&self, named: &Named<'_>) -> PathBuf {
        let sources = &self.configuration.loaded().sources;
        let node = find(&self.resolved.tree, &named.path);
        let base = node.map_or(Path::new("/"), |node| base(sources, node));
        match named.directory {
            Some(directory) => absolute(directory, base, self.configuration.home()),
            None => base.to_owned(),
        }
    }

    fn ports(&self) -> Vec<Finding> {
        let services = self.resolved.environment.services.iter().flatten();
        let wanted: Vec<(&String, u16)> = services
            .flat_map(|(name, service)| ports_of(service).map(move |p| (name, p)))
            .collect();
        let mut findings = Vec::new();
        for (place, (name, port)) in wanted.iter().enumerate() {
            if let Some((other, _)) = wanted[..place].iter().find(|(_, other)| other == port) {
                let message = format!("services {other} and {name} both want port {port}");
                findings.push(Finding::error("port", message).fix("jr config show --origin"));
            } else if let Some(family) = taken(*port) {
                let message = format!("port {port} of service {name} is taken ({family})");
                let fix = format!("ss -ltnp 'sport = :{port}'");
                findings.push(Finding::warning("port", message).fix(fix));
            }
        }
        if findings.is_empty() {
            findings.push(Finding::ok("ports", format!("{} wanted, all free", wanted.len())));
        }
        findings.into_iter().map(|finding| Finding { group: "ports", ..finding }).collect()
    }
}

/// The program of a command; a line with shell syntax is the shell's affair.
fn program_of(command: &Words, has_args: bool) -> Option<String> {
    let first = match command {
        Words::One(line) if !has_args => {
            batch_line::argv(&ByteString::from(line.as_str())).first()?.to_text()
        }
        words => words.as_slice().first()?.clone(),
    };
    (!first.is_empty()).then_some(first)
}

fn is_executable(path: &Path) -> bool {
    let data = std::fs::metadata(path);
    data.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

fn ports_of(service: &Service) -> impl Iterator<Item = u16> {
    let listed = service.ports.iter().flat_map(|ports| match ports {
        Ports::Named(named) => named.values().collect::<Vec<_>>(),
        Ports::List(list) => list.iter().collect(),
    });
    service.port.iter().chain(listed).filter_map(number).filter(|port| *port > 0)
}

fn number(port: &Port) -> Option<u16> {
    match port {
        Port::Fixed(port) => Some(*port),
        Port::Text(text) => text.rsplit(':').next()?.parse().ok(),
    }
}

/// The family in which somebody has the port.
fn taken(port: u16) -> Option<&'static str> {
    let is_taken = |result: std::io::Result<TcpListener>| {
        result.is_err_and(|error| error.kind() == std::io::ErrorKind::AddrInUse)
    };
    if is_taken(TcpListener::bind((Ipv4Addr::LOCALHOST, port))) {
        return Some("IPv4");
    }
    is_taken(TcpListener::bind((Ipv6Addr::LOCALHOST, port))).then_some("IPv6")
}
