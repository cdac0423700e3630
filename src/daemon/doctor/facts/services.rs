//! Services that are wanted, and how they are.

use serde::{Deserialize, Serialize};

use crate::daemon::client;
use crate::daemon::offline;
use crate::daemon::place::Place;
use crate::limits;
use crate::projections::query::{Query, Question};
use crate::projections::view::{List, ServiceView};

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceFacts {
    /// Its name, with the number of the replica.
    pub service: String,
    /// Its state, as `jr status` says it.
    pub state: String,
    /// Why it is in it.
    pub reason: Option<String>,
    /// Its newest run.
    pub run: Option<String>,
}

/// From a daemon that answers at once, or from the files if nobody holds them.
///
/// # Errors
/// Why neither answers; the groups of the daemon and the log say more.
pub fn gather(place: &Place) -> Result<Vec<ServiceFacts>, String> {
    let question = Question::from(Query::Services);
    let document = ask(place, &question)?;
    let list: List<ServiceView> =
        serde_json::from_slice(&document).map_err(|error| error.to_string())?;
    let facts = |view: ServiceView| ServiceFacts {
        service: view.service,
        state: view.state,
        reason: view.reason,
        run: view.run_id,
    };
    Ok(list.items.into_iter().filter(|view| view.wanted).map(facts).collect())
}

fn ask(place: &Place, question: &Question) -> Result<Vec<u8>, String> {
    let answered = client::begin(place, "/v1/read", question).map_err(|error| error.to_string())?;
    let Some(mut lines) = answered else {
        let document = offline::ask_soon(place, question).map_err(|error| error.to_string())?;
        return serde_json::to_vec(&document).map_err(|error| error.to_string());
    };
    lines
        .set_read_timeout(Some(limits::DOCTOR_ANSWER_MS))
        .and_then(|()| lines.body())
        .map_err(|error| error.to_string())
}
