//! Answers from files, when no daemon lives: reading needs none and starts none.

use crate::daemon::offline::{self, Answer, OfflineError};
use crate::daemon::place::{Keeping, Place};
use crate::log::part::{self, Part};
use crate::model::State;
use crate::projections::query::{Document, FollowQuery, Query, QueryError, Question, Scope};
use crate::projections::services;
use crate::projections::view::{FollowView, InForceView, List};
use crate::runners::linux::clock;

use super::error::CommandError;
use super::exit;

/// The answer as of the last durable record; `None` if a daemon has come up: ask it.
///
/// # Errors
/// As the daemon would refuse it, or why the files cannot be read.
pub fn answer(place: &Place, question: &Question) -> Result<Option<Answer>, CommandError> {
    match offline::ask(place, question) {
        Ok(answer) => Ok(Some(answer)),
        Err(OfflineError::DaemonLives) => Ok(None),
        Err(OfflineError::NoState(_)) => {
            let document = nothing(place, &question.query)?;
            Ok(Some(Answer { document, is_of_other_boot: false }))
        }
        Err(OfflineError::Query(error)) => Err(error.into()),
        Err(OfflineError::Files(error)) => {
            let error = CommandError::new("log", exit::FAILED, error.to_string());
            Err(error.hint("jr log verify"))
        }
    }
}

/// A part of the log; `None` if a daemon has come up: ask it.
///
/// # Errors
/// There is no log, or it cannot be read.
pub fn part(place: &Place, part: Part) -> Result<Option<Vec<u8>>, CommandError> {
    let damaged = |message: String| CommandError::new("log", exit::FAILED, message);
    match offline::look(place) {
        Ok(look) => match part::take(&look.reader, part) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) => Err(damaged(error.to_string()).hint(error.hint())),
        },
        Err(OfflineError::DaemonLives) => Ok(None),
        Err(OfflineError::NoState(_)) => Err(no_log(place)),
        Err(error) => Err(damaged(error.to_string()).hint("jr log verify")),
    }
}

/// Nothing ever happened there.
pub fn no_log(place: &Place) -> CommandError {
    let message = match place.keeping {
        Keeping::Disk => format!("environment {} has no log yet", place.id),
        Keeping::Memory | Keeping::Isolated => nothing_kept(place),
    };
    let hint = match place.keeping {
        Keeping::Disk | Keeping::Memory => "it begins with the first run: jr run -- true",
        Keeping::Isolated => "what is to be looked at later is run in another: jr run -e local",
    };
    CommandError::new("no_log", exit::NOT_FOUND, message).hint(hint)
}

/// Why there is nothing in an environment that keeps nothing.
pub fn nothing_kept(place: &Place) -> String {
    let id = &place.id;
    match place.keeping {
        Keeping::Disk | Keeping::Memory => {
            format!("environment {id} keeps its log in the memory of its daemon, and none runs")
        }
        Keeping::Isolated => {
            format!("environment {id} is isolated: its log ends with the command that writes it")
        }
    }
}

/// What an environment answers in which nothing ever happened.
fn nothing(place: &Place, query: &Query) -> Result<Document, CommandError> {
    fn list<T>(schema: &str) -> List<T> {
        List { schema: schema.to_owned(), items: Vec::new() }
    }
    let no_such_run = |selector: &str| {
        Err(CommandError::from(QueryError::NoSuchRun { selector: selector.to_owned() }))
    };
    match query {
        Query::Ps(_) => Ok(Document::Runs(list("jr.ps/1"))),
        Query::History(_) => Ok(Document::Runs(list("jr.history/1"))),
        Query::Stats(_) => Ok(Document::Stats(list("jr.stats/1"))),
        Query::Show { selector } | Query::Why { selector } | Query::Recorded { selector } => {
            no_such_run(selector)
        }
        Query::InForce => Ok(Document::InForce(Box::new(InForceView {
            schema: "jr.in_force/1".to_owned(),
            environment: place.id.to_string(),
            document: None,
            error: None,
        }))),
        Query::Changes { .. } => Err(QueryError::Beyond { head: 0 }.into()),
        Query::Resolve { selectors, scope } => match selectors.first() {
            Some(selector) if *scope == Scope::One || selector != "all" => no_such_run(selector),
            _ => Ok(Document::Runs(list("jr.resolve/1"))),
        },
        Query::Outputs { selectors, .. } => match selectors.first() {
            Some(selector) if selector != "all" => no_such_run(selector),
            _ => Ok(Document::Outputs(list("jr.logs/1"))),
        },
        Query::Follow(FollowQuery { selectors, .. }) => match selectors.first() {
            Some(selector) if selector != "all" => no_such_run(selector),
            _ => {
                let (schema, seq, items) = ("jr.logs/1".to_owned(), 0, Vec::new());
                Ok(Document::Follow(FollowView { schema, seq, items }))
            }
        },
        Query::Events(_) => Ok(Document::Events(list("jr.events/1"))),
        Query::Pinned => Ok(Document::Runs(list("jr.pin/1"))),
        Query::Interrupted => Ok(Document::Runs(list("jr.interrupted/1"))),
        Query::Queues => Ok(Document::Queues(list("jr.queue/1"))),
        Query::Services => Ok(Document::Services(list("jr.status/1"))),
        Query::Ports => Ok(Document::Ports(list("jr.ports/1"))),
        Query::Plan(wish) => {
            let plan = services::plan(&State::default(), wish, clock::now().wall)?;
            Ok(Document::Plan(plan))
        }
        Query::Candidates(_) => Ok(Document::Candidates(list("jr.candidates/1"))),
    }
}
