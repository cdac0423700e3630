//! One entrance for every question, the same over a daemon and over the files alone.

use std::path::PathBuf;

use super::error::ViewsError;
use super::query::{Document, Query, QueryError};
use super::rows::Row;
use super::run_view::run_view;
use super::source::{LogSource, SourceError};
use super::view::RunView;
use super::views::Views;
use super::{
    candidates, events, history, moment::Moment, outputs, ps, queues, recorded, resolve, show,
    stats, why,
};
use crate::model::{ByteString, Digest, Now, RunId};

/// Environment variables as a blob holds them, or why it cannot be read.
pub type Variables = Result<Vec<(ByteString, ByteString)>, String>;

/// What an answer says of the world outside the log.
#[derive(Clone, Copy)]
pub struct Where<'a> {
    /// Id of the environment.
    pub environment: &'a str,
    /// Base of an attempt's output files.
    pub output: &'a dyn Fn(RunId, u32) -> PathBuf,
    /// Reads a blob of environment variables.
    pub variables: &'a dyn Fn(Digest) -> Variables,
}

/// Answers at [`Views::applied`].
///
/// # Errors
/// [`QueryError`]. After [`QueryError::Damaged`] the views are to be opened again and the
/// question asked once more.
pub fn answer(
    query: &Query,
    views: &Views,
    source: &dyn LogSource,
    place: &Where<'_>,
    now: Now,
) -> Result<Document, QueryError> {
    answer_plainly(query, views, source, place, now).map_err(|error| match error {
        QueryError::NoSuchRun { selector } if source.first_seq() > 1 => {
            QueryError::MaybePruned { selector }
        }
        error => error,
    })
}

fn answer_plainly(
    query: &Query,
    views: &Views,
    source: &dyn LogSource,
    place: &Where<'_>,
    now: Now,
) -> Result<Document, QueryError> {
    let wall = now.wall;
    match query {
        Query::Ps(query) => {
            let moment = Moment::new(views, source, query.at, wall)?;
            ps::ps(query, views, &moment, place).map(Document::Runs)
        }
        Query::History(query) => {
            let moment = Moment::new(views, source, query.at, wall)?;
            history::history(query, views, source, &moment, place).map(Document::Runs)
        }
        Query::Stats(query) => {
            let moment = Moment::new(views, source, query.at, wall)?;
            stats::stats(query, views, source, &moment).map(Document::Stats)
        }
        Query::Show { selector } => {
            let shown = show::show(selector, views, source, place, wall)?;
            Ok(Document::Show(Box::new(shown)))
        }
        Query::Why { selector } => {
            let told = why::why(selector, views, source, place, now)?;
            Ok(Document::Why(Box::new(told)))
        }
        Query::Recorded { selector } => {
            let recorded = recorded::recorded(selector, views, place, wall)?;
            Ok(Document::Recorded(Box::new(recorded)))
        }
        Query::Resolve { selectors, scope } => {
            resolve::resolve(selectors, *scope, views, place, wall).map(Document::Runs)
        }
        Query::Outputs { selectors, attempt } => {
            outputs::outputs(selectors, *attempt, views, place).map(Document::Outputs)
        }
        Query::Follow(query) => outputs::follow(query, views, place).map(Document::Follow),
        Query::Events(query) => events::events(query, views, source).map(Document::Events),
        Query::Candidates(query) => candidates::candidates(query, views).map(Document::Candidates),
        Query::Pinned => resolve::pinned(views, place, wall).map(Document::Runs),
        Query::Queues => Ok(Document::Queues(queues::queues(views.state()))),
    }
}

/// The run object of a row at a moment.
pub(super) fn view_at(row: &Row, moment: &Moment<'_>, place: &Where<'_>) -> RunView {
    run_view(&row.run, row.tally, place.environment, moment.now())
}

impl From<ViewsError> for QueryError {
    fn from(error: ViewsError) -> Self {
        let message = error.to_string();
        match error {
            ViewsError::Damaged { .. } => Self::Damaged { message },
            ViewsError::Log(error) => error.into(),
            ViewsError::Io { .. } | ViewsError::Illegal { .. } => Self::Log { message },
        }
    }
}

impl From<SourceError> for QueryError {
    fn from(error: SourceError) -> Self {
        Self::Log { message: error.to_string() }
    }
}
