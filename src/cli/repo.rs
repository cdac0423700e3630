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
        let has_errors = findings.iter().any(|finding| finding.severity == Severity::Error);
        findings.extend(repo.programs(has_errors));
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
        let services = environment.services.iter().flatten().flat_map(|(name, service)| {
            let commands = commands_of(service).into_iter();
            commands.map(move |(what, command, has_args)| Named {
                whose: format!("{what}service {name}"),
                path: ["services", name],
                command,
                has_args,
                directory: service.directory.as_deref(),
            })
        });
        let tests = environment.tests.iter().flatten().filter_map(|(name, test)| {
            let (command, directory) = (test.command.as_ref()?, test.directory.as_deref());
            let (whose, path) = (format!("test {name}"), ["tests", name]);
            Some(Named { whose, path, command, has_args: test.args.is_some(), directory })
        });
        jobs.chain(services).chain(tests).collect()
    }

    fn programs(&self, has_errors: bool) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            self.named().iter().filter_map(|named| self.program(named)).collect();
        if has_errors {
            let message = "what the configuration names is not all known: it has errors";
            findings.push(Finding::info("programs", message).fix("jr config check"));
        } else if findings.is_empty() {
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
            let path = directory.join(&program);
            if path.is_file() && !is_executable(&path) {
                let path = path.display().to_string();
                let message = format!("{} names {program}, which is not executable", named.whose);
                let fix = format!("chmod +x {}", quoted(&path));
                return Some(Finding::error("program", message).fix(fix));
            }
            is_executable(&path)
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

/// All commands of a service: whose each is, and whether it has its arguments apart.
fn commands_of(service: &Service) -> Vec<(&'static str, &Words, bool)> {
    let mut found = Vec::new();
    let mut take = |what, command, has_args| {
        found.extend(Option::map(command, |command| (what, command, has_args)));
    };
    take("", service.command.as_ref(), service.args.is_some());
    take("stop_command of ", service.stop_command.as_ref(), false);
    if let Some(hooks) = &service.hooks {
        take("hook before_start of ", hooks.before_start.as_ref(), false);
        take("hook after_ready of ", hooks.after_ready.as_ref(), false);
        take("hook before_stop of ", hooks.before_stop.as_ref(), false);
        take("hook after_stop of ", hooks.after_stop.as_ref(), false);
    }
    found
}

/// The program of a command. Of a line with shell syntax the first word, where that can only be a
/// program: the rest is the shell's affair.
fn program_of(command: &Words, has_args: bool) -> Option<String> {
    let first = match command {
        Words::One(line) if !has_args => {
            let argv = batch_line::argv(&ByteString::from(line.as_str()));
            match argv.as_slice() {
                [_, _, text] if text.to_text() == *line => first_program(line)?,
                argv => argv.first()?.to_text(),
            }
        }
        words => words.as_slice().first()?.clone(),
    };
    (!first.is_empty()).then_some(first)
}

/// What a shell looks for first, if that is plain.
fn first_program(line: &str) -> Option<String> {
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"./_+-".contains(&byte);
    for word in line.split_ascii_whitespace() {
        match word.split_once('=') {
            // It would be looked for elsewhere.
            Some(("PATH", _)) => return None,
            // A quoted blank would make the next word a part of this one.
            Some((name, value))
                if is_name(name) && !value.contains(['\'', '"', '\\', '$', '`']) => {}
            None if word == "exec" => {}
            None if word.bytes().all(is_plain) && !batch_line::is_of_shell(word) => {
                return Some(word.to_owned());
            }
            _ => return None,
        }
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_line_is_known_where_it_can_only_be_that() {
        for (line, program) in [
            ("nosuch -x", Some("nosuch")),
            ("exec nosuch -p 1", Some("nosuch")),
            ("nosuch -p $PORT", Some("nosuch")),
            ("FOO=1 BAR=x nosuch", Some("nosuch")),
            ("exec ./bin/serve \"$@\"", Some("./bin/serve")),
            ("nosuch | sort", Some("nosuch")),
            ("cd x && nosuch", None),
            ("if true; then nosuch; fi", None),
            ("$PROGRAM x", None),
            ("PATH=/x nosuch", None),
            ("A='x y' nosuch", None),
            ("f() { nosuch; }; f", None),
            ("(nosuch)", None),
            ("", None),
        ] {
            let found = program_of(&Words::One(line.to_owned()), false);
            assert_eq!(found.as_deref(), program, "{line}");
        }
    }
}
