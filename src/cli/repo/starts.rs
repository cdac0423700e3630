//! What a start of each job and service would be refused for: files of variables, variables of
//! this shell, files of secrets, presets that jr does not know.

use std::path::Path;

use crate::cli::configuration::Configuration;
use crate::cli::declared::Declared;
use crate::cli::error::CommandError;
use crate::cli::services::declare;
use crate::daemon::doctor::Finding;
use crate::daemon::doctor::finding::quoted;
use crate::daemon::launch;
use crate::daemon::place::Place;
use crate::daemon::protocol::Common;

/// Asks for everything as a start would, up to the point where the daemon would be told.
pub(super) fn examine(configuration: &Configuration, place: &Place) -> Vec<Finding> {
    // Where there is none, it has been said why, or nothing is declared.
    let Ok(Some(declared)) = Declared::of(configuration, place) else { return Vec::new() };
    let jobs = declared.jobs().map(|(name, job)| {
        let asked = declared.ready(name, job, Vec::new(), &[]);
        (format!("job {name}"), asked.map(|asked| asked.common))
    });
    let services = declare::each(&declared)
        .map(|(name, asked)| (format!("service {name}"), asked.map(|asked| asked.common)));
    let mut findings: Vec<Finding> =
        jobs.chain(services).flat_map(|(whose, asked)| of(&whose, asked)).collect();
    if findings.is_empty() {
        findings.push(Finding::ok("starts", "the files and variables that starts need are there"));
    }
    findings.into_iter().map(|finding| Finding { group: "starts", ..finding }).collect()
}

fn of(whose: &str, asked: Result<Common, CommandError>) -> Vec<Finding> {
    let common = match asked {
        Ok(common) => common,
        Err(error) => {
            let message = format!("{whose}: {}", error.message);
            return vec![
                Finding::error("start", message).fix_if(error.hint).with("code", error.code),
            ];
        }
    };
    let unreadable =
        common.variable_files.iter().filter(|(_, path)| launch::secret_file(path).is_none());
    let told = unreadable.map(|(variable, path)| {
        let path = path.to_text();
        let why = match std::fs::metadata(&path) {
            Err(error) => error.to_string(),
            Ok(_) if Path::new(&path).is_file() => "it cannot be read, or is no short text".into(),
            Ok(_) => "not a regular file".to_owned(),
        };
        let message =
            format!("{whose}: the file of its secret {}, {path}: {why}", variable.to_text());
        Finding::error("secret_file", message).fix(format!("ls -l {}", quoted(&path)))
    });
    told.collect()
}
