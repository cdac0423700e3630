//! Services that are to be up, and are not.

use crate::daemon::doctor::facts::Facts;
use crate::daemon::doctor::finding::{Finding, count};
use crate::projections::view::ServiceView;

/// Each of them.
pub(super) fn services(facts: &Facts) -> Vec<Finding> {
    let Some(wanted) = facts.services.known() else { return Vec::new() };
    let found: Vec<Finding> =
        wanted.iter().filter_map(|service| judge(service, &facts.jr())).collect();
    if found.is_empty() && !wanted.is_empty() {
        let message = format!("{} wanted, none in trouble", count(wanted.len(), "service"));
        return vec![Finding::ok("services", message)];
    }
    found
}

fn judge(service: &ServiceView, jr: &str) -> Option<Finding> {
    let message = format!("{} {}", service.service, service.plight());
    let of_run = |verb: &str| service.run_id.as_ref().map(|run| format!("{jr} {verb} {run}"));
    let finding = match service.state.as_str() {
        "failed" | "crash_looping" => Finding::error("services", message).fix_if(of_run("logs")),
        "skipped" => Finding::error("services", message).fix_if(of_run("why")),
        "unhealthy" => Finding::warning("services", message).fix_if(of_run("why")),
        "interrupted" => Finding::warning("services", message).fix(format!("{jr} resume")),
        _ => return None,
    };
    Some(finding.with("service", service.service.clone()).with("run_id", service.run_id.clone()))
}

#[cfg(test)]
mod tests {
    use super::super::sound::{facts, is, known, told};
    use super::*;

    fn service(name: &str, state: &str) -> ServiceView {
        let (service, state, run_id) = (name.to_owned(), state.to_owned(), Some("r1".to_owned()));
        ServiceView { service, state, run_id, wanted: true, ..ServiceView::default() }
    }

    #[test]
    fn what_is_not_up_is_told_with_the_command_that_shows_why() {
        let mut facts = facts();
        let states = ["ready", "crash_looping", "skipped", "unhealthy", "interrupted", "waiting"];
        *known(&mut facts.services) = states.map(|state| service("api", state)).to_vec();
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
        *known(&mut facts.services) = vec![service("api", "ready"), service("db", "completed")];
        assert_eq!(services(&facts)[0].message, "2 services wanted, none in trouble");
    }
}
