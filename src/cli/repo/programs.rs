//! Whether the programs and directories are there that jobs, services and tests name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::cli::configuration::Configuration;
use crate::cli::services::preset;
use crate::config::resolve::{Resolved, absolute, base};
use crate::config::schema::probe::ExecWish;
use crate::config::schema::service::{Preset, Service};
use crate::config::schema::values::{Variable, Words};
use crate::config::tree::find;
use crate::daemon::doctor::Finding;
use crate::daemon::doctor::finding::quoted;
use crate::model::{ByteString, batch_line};

/// Each program and directory that is not there; where the configuration has errors, that not all
/// of them are known.
pub(super) fn examine(
    configuration: &Configuration,
    resolved: &Resolved,
    has_errors: bool,
) -> Vec<Finding> {
    Programs { configuration, resolved }.all(has_errors)
}

struct Programs<'a> {
    configuration: &'a Configuration,
    resolved: &'a Resolved,
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
    variables: Option<&'a BTreeMap<String, Variable>>,
}

impl Programs<'_> {
    fn named(&self) -> Vec<Named<'_>> {
        let environment = &self.resolved.environment;
        let jobs = environment.jobs.iter().flatten().filter_map(|(name, job)| {
            let (command, directory) = (job.command.as_ref()?, job.directory.as_deref());
            let (whose, path) = (format!("job {name}"), ["jobs", name]);
            let (has_args, variables) = (job.args.is_some(), job.environment.as_ref());
            Some(Named { whose, path, command, has_args, directory, variables })
        });
        let services = environment.services.iter().flatten().flat_map(|(name, service)| {
            let commands = commands_of(service).into_iter();
            commands.map(move |(what, command, has_args)| Named {
                whose: format!("{what}service {name}"),
                path: ["services", name],
                command,
                has_args,
                directory: service.directory.as_deref(),
                variables: service.environment.as_ref(),
            })
        });
        let tests = environment.tests.iter().flatten().filter_map(|(name, test)| {
            let (command, directory) = (test.command.as_ref()?, test.directory.as_deref());
            let (whose, path) = (format!("test {name}"), ["tests", name]);
            let (has_args, variables) = (test.args.is_some(), test.environment.as_ref());
            Some(Named { whose, path, command, has_args, directory, variables })
        });
        jobs.chain(services).chain(tests).collect()
    }

    fn all(&self, has_errors: bool) -> Vec<Finding> {
        let mut findings: Vec<Finding> =
            self.named().iter().filter_map(|named| self.program(named)).collect();
        findings.extend(self.presets());
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
            let own = named.variables.and_then(|variables| variables.get("PATH"));
            match own {
                Some(Variable::Text(path)) => is_in(path.as_ref(), &program),
                // Known when it starts.
                Some(_) => true,
                None => is_in(&std::env::var_os("PATH").unwrap_or_default(), &program),
            }
        };
        let missing = || {
            let message = format!("{} names {program}, which is not there", named.whose);
            Finding::error("program", message).fix(format!("command -v {}", quoted(&program)))
        };
        (!is_there).then(missing)
    }

    /// What a service without a command needs.
    fn presets(&self) -> Vec<Finding> {
        let services = self.resolved.environment.services.iter().flatten();
        let without = services.filter(|(_, s)| s.command.is_none() && s.enabled != Some(false));
        let missing = without.filter_map(|(name, service)| {
            let preset = service.preset.or_else(|| Preset::of_name(name))?;
            let (program, package) = preset::program(preset)?;
            let path = std::env::var_os("PATH").unwrap_or_default();
            if is_in(&path, program)
                || preset::directories(preset).any(|bin| is_executable(&bin.join(program)))
            {
                return None;
            }
            let message = format!("service {name} needs {program}, which is not there");
            Some(Finding::error("program", message).fix(format!("apt-get install {package}")))
        });
        missing.collect()
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
}

/// All commands of a service: what each is, and whether it has its arguments apart.
fn commands_of(service: &Service) -> Vec<(&'static str, &Words, bool)> {
    let mut found = Vec::new();
    let mut take = |what, command, has_args| {
        found.extend(Option::map(command, |command| (what, command, has_args)));
    };
    take("", service.command.as_ref(), service.args.is_some());
    take("stop_command of ", service.stop_command.as_ref(), false);
    for (what, probe) in [
        ("readiness probe of ", service.readiness.as_ref()),
        ("health probe of ", service.health.as_ref()),
    ] {
        match probe.and_then(|probe| probe.exec.as_ref()) {
            Some(ExecWish::Command(command)) => take(what, Some(command), false),
            Some(ExecWish::Table(exec)) => take(what, exec.command.as_ref(), exec.args.is_some()),
            None => {}
        }
    }
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

fn is_in(path: &OsStr, program: &str) -> bool {
    std::env::split_paths(path).any(|directory| is_executable(&directory.join(program)))
}

fn is_executable(path: &Path) -> bool {
    let data = std::fs::metadata(path);
    data.is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
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
