//! Whether a directory is ready: its configuration, the programs that it names, the files and
//! variables that a start would need, the ports that its services want. It only looks.

mod ports;
mod programs;
mod starts;

use super::configuration::Configuration;
use crate::config::problem::{Problem, Severity as Weight};
use crate::config::source::Source;
use crate::daemon::doctor::{Finding, Severity};
use crate::daemon::place::Place;

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

/// Whether everything is there that the directory's jobs, services and tests need.
pub fn examine(configuration: &Configuration, place: &Place) -> Vec<Finding> {
    let mut findings = self::configuration(configuration);
    if let Ok((resolved, _)) = configuration.resolve() {
        let has_errors = findings.iter().any(|finding| finding.severity == Severity::Error);
        findings.extend(programs::examine(configuration, &resolved, has_errors));
        findings.extend(starts::examine(configuration, place));
        findings.extend(ports::examine(&resolved));
    }
    findings
}
