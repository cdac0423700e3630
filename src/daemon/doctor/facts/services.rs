//! Services that are wanted, and how they are.

use crate::daemon::client;
use crate::daemon::offline;
use crate::daemon::place::Place;
use crate::limits;
use crate::projections::query::{Query, Question};
use crate::projections::view::{List, ServiceView};

/// From a daemon that answers at once, or from the files if nobody holds them. Where neither
/// answers there are none: the groups of the daemon and the log say why.
pub fn gather(place: &Place) -> Vec<ServiceView> {
    let list: Option<List<ServiceView>> =
        ask(place).and_then(|document| serde_json::from_slice(&document).ok());
    let views = list.into_iter().flat_map(|list| list.items);
    views.filter(|view| view.wanted).collect()
}

fn ask(place: &Place) -> Option<Vec<u8>> {
    let question = Question::from(Query::Services);
    match client::begin(place, "/v1/read", &question).ok()? {
        Some(mut lines) => {
            lines.set_read_timeout(Some(limits::DOCTOR_ANSWER_MS)).ok()?;
            lines.body().ok()
        }
        None => serde_json::to_vec(&offline::ask_soon(place, &question).ok()?).ok(),
    }
}
