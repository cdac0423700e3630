//! One entrance for every question, the same over a daemon and over the files alone.

use std::path::PathBuf;

use super::error::ViewsError;
use super::query::{Document, Query, QueryError, Question};
use super::rows::Row;
use super::run_view::run_view;
use super::source::{LogSource, SourceError};
use super::view::RunView;
use super::views::Views;
use super::{
    candidates, changes, events, history, moment::Moment, outputs, ps, queues, recorded, resolve,
    services, show, stats, why,
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
    /// Reads a blob of text.
    pub text: &'a dyn Fn(Digest) -> Result<String, String>,
}

/// Answers at [`Views::applied`].
///
/// # Errors
/// [`QueryError`]. After [`QueryError::Damaged`] the views are to be opened again and the
/// question asked once more.
pub fn answer(
    question: &Question,
    views: &Views,
    source: &dyn LogSource,
    place: &Where<'_>,
    now: Now,
) -> Result<Document, QueryError> {
    answer_plainly(question, views, source, place, now).map_err(|error| match error {
        QueryError::NoSuchRun { selector } if source.first_seq() > 1 => {
            QueryError::MaybePruned { selector }
        }
        error => error,
    })
}

fn answer_plainly(
    question: &Question,
    views: &Views,
    source: &dyn LogSource,
    place: &Where<'_>,
    now: Now,
) -> Result<Document, QueryError> {
    let moment = &Moment::new(views, source, question.at, now.wall)?;
    Ok(match &question.query {
        Query::Ps(query) => Document::Runs(ps::ps(query, moment, place)?),
        Query::History(query) => history::history(query, moment, place)?,
        Query::Stats(query) => Document::Stats(stats::stats(query, moment)?),
        Query::Show { selector } => Document::Show(Box::new(show::show(selector, moment, place)?)),
        Query::Why { selector } => Document::Why(Box::new(why::why(selector, moment, place)?)),
        Query::Recorded { selector } => {
            Document::Recorded(Box::new(recorded::recorded(selector, moment, place)?))
        }
        Query::InForce => Document::InForce(Box::new(recorded::in_force(moment.state()?, place))),
        Query::Changes { from } => {
            let from = Moment::new(views, source, Some(*from), now.wall)?;
            Document::Changes(Box::new(changes::changes(&from, moment, place)?))
        }
        Query::Resolve { selectors, scope } => {
            Document::Runs(resolve::resolve(selectors, *scope, moment, place)?)
        }
        Query::Outputs { selectors, attempt } => {
            Document::Outputs(outputs::outputs(selectors, *attempt, moment, place)?)
        }
        Query::Follow(query) => Document::Follow(outputs::follow(query, moment, place)?),
        Query::Events(query) => Document::Events(events::events(query, moment)?),
        // A shell completes what is typed now.
        Query::Candidates(query) => Document::Candidates(candidates::candidates(query, views)?),
        Query::Pinned => Document::Runs(resolve::pinned(moment, place)?),
        Query::Interrupted => Document::Runs(resolve::interrupted(moment, place)?),
        Query::Services => Document::Services(services::services(moment.state()?, moment.now())),
        Query::Ports => Document::Ports(services::ports(moment.state()?)),
        Query::Plan(wish) => Document::Plan(services::plan(moment.state()?, wish, moment.now())?),
        Query::Queues => Document::Queues(queues::queues(moment.state()?)),
    })
}

/// The run object of a row at a moment.
pub(super) fn view_at(row: &Row, moment: &Moment<'_>, place: &Where<'_>) -> RunView {
    run_view(&row.run, row.shown_state(), row.tally, place.environment, moment.now())
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
