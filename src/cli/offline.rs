//! Answers from files, when no daemon lives: reading needs none and starts none.
//!
//! SEAM: [`answer`] is to call `projections::answer` over the log's overlay reader, with
//! `place.lock()` held shared for this one look (and go back to the socket if `starting` is
//! taken). Until then only the environment that was never used can be read.

use crate::daemon::place::Place;
use crate::projections::query::{Document, Query, QueryError, Scope};
use crate::projections::view::List;

use super::error::CommandError;
use super::exit;

/// The answer to `query` as of the last durable record.
///
/// # Errors
/// As the daemon would refuse it, or why the files cannot be read.
pub fn answer(place: &Place, query: &Query) -> Result<Document, CommandError> {
    if !place.log().exists() {
        return nothing(query);
    }
    let message = "no daemon runs, and this build does not read the log by itself";
    Err(CommandError::new("daemon_unavailable", exit::UNAVAILABLE, message).hint("jr daemon start"))
}

/// What an environment answers in which nothing ever happened.
fn nothing(query: &Query) -> Result<Document, CommandError> {
    fn list<T>(schema: &str) -> List<T> {
        List { schema: schema.to_owned(), items: Vec::new() }
    }
    let no_such_run = |selector: &str| {
        Err(CommandError::from(QueryError::NoSuchRun { selector: selector.to_owned() }))
    };
    match query {
        Query::Ps(_) => Ok(Document::Runs(list("jr.ps/1"))),
        Query::History(_) => Ok(Document::Runs(list("jr.history/1"))),
        Query::Show { selector } => no_such_run(selector),
        Query::Resolve { selectors, scope } => match selectors.first() {
            Some(selector) if *scope == Scope::One || selector != "all" => no_such_run(selector),
            _ => Ok(Document::Runs(list("jr.resolve/1"))),
        },
        Query::Outputs { selectors, .. } => match selectors.first() {
            Some(selector) if selector != "all" => no_such_run(selector),
            _ => Ok(Document::Outputs(list("jr.logs/1"))),
        },
        Query::Events(_) => Ok(Document::Events(list("jr.events/1"))),
        Query::Queues => Ok(Document::Queues(list("jr.queue/1"))),
    }
}
