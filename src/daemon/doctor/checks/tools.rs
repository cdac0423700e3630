//! Programs beside jr. None of them is needed to run commands.

use crate::daemon::doctor::facts::Facts;
use crate::daemon::doctor::facts::tools::ToolFacts;
use crate::daemon::doctor::finding::{Finding, quoted};

/// Each of them.
pub(super) fn tools(facts: &Facts) -> Vec<Finding> {
    facts.tools.known().into_iter().flatten().map(tool).collect()
}

fn tool(tool: &ToolFacts) -> Finding {
    let name = &tool.name;
    let check = format!("tool_{name}");
    let finding = match (&tool.path, &tool.version, &tool.problem) {
        (None, _, _) => {
            Finding::new(check, super::Severity::Info, format!("{name} is not in PATH"))
        }
        (Some(path), Some(version), _) => {
            Finding::new(check, super::Severity::Ok, format!("{path}: {version}"))
        }
        (Some(path), None, problem) => {
            let why = problem.as_deref().unwrap_or("it tells no version");
            let message = format!("{path}: {why}");
            Finding::new(check, super::Severity::Warning, message).fix(quoted(path))
        }
    };
    finding.with("path", tool.path.clone()).with("version", tool.version.clone())
}

#[cfg(test)]
mod tests {
    use super::super::sound::{facts, is, known, told};
    use super::*;

    #[test]
    fn what_is_missing_is_news_and_what_does_not_answer_a_warning() {
        let mut facts = facts();
        let of = |name: &str, path: Option<&str>, version: Option<&str>| ToolFacts {
            name: name.to_owned(),
            path: path.map(str::to_owned),
            version: version.map(str::to_owned),
            problem: None,
        };
        *known(&mut facts.tools) = vec![
            of("git", Some("/usr/bin/git"), Some("git 2")),
            of("crun", None, None),
            of("ssh", Some("/opt/x y/ssh"), None),
        ];
        let expected = [
            is("tool_git", "ok", None),
            is("tool_crun", "info", None),
            is("tool_ssh", "warning", Some("'/opt/x y/ssh'")),
        ];
        assert_eq!(told(&tools(&facts)), expected);
    }
}
