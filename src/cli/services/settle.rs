//! Waits until services have come to what was asked of them, and says how.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::daemon::client::monotonic_ms;
use crate::daemon::protocol::WaitRequest;
use crate::projections::query::Query;
use crate::projections::view::{List, RunView, ServiceView};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// How far a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is up, or has done what it was there for.
    Settled,
    /// It is on its way.
    Underway,
    /// It will not get there by itself.
    Failed,
}

/// How far a replica of a wanted service is.
pub fn standing(view: &ServiceView) -> Standing {
    match view.state.as_str() {
        "ready" | "completed" => Standing::Settled,
        "failed" | "skipped" | "crash_looping" | "stopped" | "down" | "interrupted" => {
            Standing::Failed
        }
        _ => Standing::Underway,
    }
}

/// All services as they are.
///
/// # Errors
/// There is no answer.
pub fn look(context: &Context) -> Result<Vec<ServiceView>, CommandError> {
    let bytes = context.read_bytes(&Query::Services)?;
    parse::<List<ServiceView>>(&bytes).map(|list| list.items)
}

/// Waits until all of `names` are settled, or have failed, or wait for what has failed, or the time
/// is over (in milliseconds): how they are then, and whether the time was over.
///
/// # Errors
/// There is no answer.
pub fn settle(
    context: &Context,
    names: &BTreeSet<String>,
    timeout_ms: Option<u64>,
    mut tell: impl FnMut(&[ServiceView]),
) -> Result<(Vec<ServiceView>, bool), CommandError> {
    let deadline = timeout_ms.map(|timeout_ms| monotonic_ms().saturating_add(timeout_ms));
    loop {
        let mut views = look(context)?;
        views.retain(|view| names.contains(&view.service));
        tell(&views);
        if all_decided(&views) {
            return Ok((views, false));
        }
        if deadline.is_some_and(|deadline| monotonic_ms() >= deadline) {
            return Ok((views, true));
        }
        std::thread::sleep(LOOK);
    }
}

/// Whether nobody is on the way any more but those that wait in vain: for one that has failed, or
/// for one that waits so itself.
fn all_decided(views: &[ServiceView]) -> bool {
    let failed = views.iter().filter(|view| standing(view) == Standing::Failed);
    let mut hopeless: BTreeSet<&str> = failed.map(|view| view.service.as_str()).collect();
    let mut open: Vec<&ServiceView> =
        views.iter().filter(|view| standing(view) == Standing::Underway).collect();
    loop {
        let before = open.len();
        open.retain(|view| {
            let mut on = view.depends_on.iter();
            let is_vain = view.state == "waiting" && on.any(|on| hopeless.contains(on.as_str()));
            if is_vain {
                hopeless.insert(&view.service);
            }
            !is_vain
        });
        if open.len() == before {
            return open.is_empty();
        }
    }
}

/// Waits until these runs are over.
///
/// # Errors
/// There is no answer, or the time is over (in milliseconds).
pub fn wait_for_ends(
    context: &Context,
    runs: Vec<String>,
    timeout_ms: Option<u64>,
) -> Result<Vec<RunView>, CommandError> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let request = WaitRequest { selectors: runs, any: false, timeout_ms };
    let body = context.open("/v1/wait", &request)?.body()?;
    parse::<List<RunView>>(&body).map(|list| list.items)
}
