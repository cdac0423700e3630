//! Services that are to be up, and are not.

use crate::daemon::doctor::facts::Facts;
use crate::daemon::doctor::facts::services::ServiceFacts;
use crate::daemon::doctor::finding::{Finding, count};

/// Each of them. Where they cannot be asked for, the groups of the daemon and the log say why.
pub(super) fn services(facts: &Facts) -> Vec<Finding> {
    let Some(Ok(wanted)) = facts.services.known() else { return Vec::new() };
    let found: Vec<Finding> =
        wanted.iter().filter_map(|service| judge(service, &facts.jr())).collect();
    if found.is_empty() && !wanted.is_empty() {
        let message = format!("{} wanted, none in trouble", count(wanted.len(), "service"));
        return vec![Finding::ok("services", message)];
    }
    found
}

fn judge(service: &ServiceFacts, jr: &str) -> Option<Finding> {
    let why = service.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let message = format!("{} is {}{why}", service.service, service.state);
    let of_run = |verb: &str| service.run.as_ref().map(|run| format!("{jr} {verb} {run}"));
    let finding = match service.state.as_str() {
        "failed" | "crash_looping" => Finding::error("services", message).fix_if(of_run("logs")),
        "skipped" => Finding::error("services", message).fix_if(of_run("why")),
        "unhealthy" => Finding::warning("services", message).fix_if(of_run("why")),
        "interrupted" => Finding::warning("services", message).fix(format!("{jr} resume")),
        _ => return None,
    };
    Some(finding.with("service", service.service.clone()).with("run_id", service.run.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::sound::{facts, is, known, told};
    use super::*;

    fn service(name: &str, state: &str) -> ServiceFacts {
        let run = Some("r1".to_owned());
        ServiceFacts { service: name.to_owned(), state: state.to_owned(), reason: None, run }
    }

    #[test]
    fn what_is_not_up_is_told_with_the_command_that_shows_why() {
        let mut facts = facts();
        let states = ["ready", "crash_looping", "skipped", "unhealthy", "interrupted", "waiting"];
        *known(&mut facts.services) = Ok(states.map(|state| service("api", state)).to_vec());
        let expected = [
            is("services", "error", Some("jr logs r1")),
            is("services", "error", Some("jr why r1")),
            is("services", "warning", Some("jr why r1")),
            is("services", "warning", Some("jr resume")),
        ];
        assert_eq!(told(&services(&facts)), expected);
    }

    #[test]
    fn all_is_well_in_one_line_and_nothing_is_said_of_none() {
        let mut facts = facts();
        assert!(services(&facts).is_empty());
        *known(&mut facts.services) = Ok(vec![service("api", "ready"), service("db", "completed")]);
        assert_eq!(services(&facts)[0].message, "2 services wanted, none in trouble");
        *known(&mut facts.services) = Err("the daemon is ending".to_owned());
        assert!(services(&facts).is_empty());
    }
}
