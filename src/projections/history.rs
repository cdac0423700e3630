//! `jr history`: live and ended runs, newest first. Without filters it reads what it prints.

use std::collections::BTreeMap;

use globset::GlobMatcher;

use super::answer::{Where, view_at};
use super::brief_view::brief_view;
use super::lineage;
use super::moment::{self, Moment};
use super::places::{Listed, Places};
use super::query::{Document, HistoryQuery, QueryError};
use super::rows::Row;
use super::run_view::{between, kind_word};
use super::select::{self, has_glob};
use super::view::{List, OUTCOMES};
use super::{error::ViewsError, query::Scope, rows::Table};
use crate::model::{ByteString, Run};

const KINDS: [&str; 5] = ["job", "service", "batch", "test", "instance"];
const SUCCEEDED: &str = "succeeded";

pub(super) fn history(
    query: &HistoryQuery,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Result<Document, QueryError> {
    let limit = query.limit.unwrap_or(usize::MAX);
    let filter = Filter::new(query, moment)?;
    let mut rows =
        Kept { slowest: query.slowest, limit, by_duration: BTreeMap::new(), newest: Vec::new() };
    let range = (oldest(query, moment)?, moment.seq());
    let mut take = |row: Row| {
        if filter.takes(&row.run) {
            rows.push(row, moment);
        }
        !rows.is_full()
    };
    if limit > 0 {
        match filter.places(query, moment, range)? {
            Some(mut places) => {
                while let Some(place) = places.next()? {
                    if !take(moment.row_of(place)?) {
                        break;
                    }
                }
            }
            None => moment.each_row_by(limit, range, &mut take)?,
        }
    }
    let mut rows = rows.into_vec();
    if query.tree {
        rows = lineage::tree(rows, moment)?;
    }
    let schema = "jr.history/1".to_owned();
    if query.brief {
        let items = rows.iter().map(|row| brief_view(row, moment.now())).collect();
        return Ok(Document::Lines(List { schema, items }));
    }
    let items = rows.iter().map(|row| view_at(row, moment, place)).collect();
    Ok(Document::Runs(List { schema, items }))
}

/// What was admitted earlier is older than `since`, whatever the clock did.
fn oldest(query: &HistoryQuery, moment: &Moment<'_>) -> Result<u64, ViewsError> {
    match query.since.and_then(|since| since.checked_sub(1)) {
        Some(before) => {
            let seq = moment::seq_at(moment.views, moment.source, before)?;
            Ok(seq.saturating_add(1))
        }
        None => Ok(0),
    }
}

/// The rows that are kept: the first ones, or those that took longest.
struct Kept {
    slowest: bool,
    limit: usize,
    by_duration: BTreeMap<(i64, u64), Row>,
    newest: Vec<Row>,
}

impl Kept {
    fn push(&mut self, row: Row, moment: &Moment<'_>) {
        if !self.slowest {
            self.newest.push(row);
            return;
        }
        // What never started took no time.
        let Some(start) = row.run.started_at else { return };
        let duration = between(start, row.run.ended_at.unwrap_or(moment.now()));
        self.by_duration.insert((duration, row.run.first_seq), row);
        if self.by_duration.len() > self.limit {
            self.by_duration.pop_first();
        }
    }

    fn is_full(&self) -> bool {
        self.newest.len() >= self.limit
    }

    fn into_vec(self) -> Vec<Row> {
        if self.slowest { self.by_duration.into_values().rev().collect() } else { self.newest }
    }
}

fn known(word: Option<&String>, words: &[&str], what: &str) -> Result<(), QueryError> {
    match word {
        Some(word) if !words.contains(&word.as_str()) => Err(QueryError::BadSelector {
            selector: word.clone(),
            why: format!("{what} is one of {}", words.join(", ")),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Refuses what is no kind.
pub(super) fn known_kind(kind: Option<&String>) -> Result<(), QueryError> {
    known(kind, &KINDS, "a kind")
}

/// Which runs are asked for.
struct Filter<'a> {
    query: &'a HistoryQuery,
    glob: Option<GlobMatcher>,
    /// First seq and id of the run whose lines and continuations are asked for.
    parent: Option<(u64, crate::model::RunId)>,
}

impl<'a> Filter<'a> {
    fn new(query: &'a HistoryQuery, moment: &Moment<'_>) -> Result<Self, QueryError> {
        known(query.outcome.as_ref(), &OUTCOMES, "an outcome")?;
        known_kind(query.kind.as_ref())?;
        let glob = query.pattern.as_ref().filter(|pattern| has_glob(pattern));
        let glob = glob.map(|pattern| {
            let bad = |why| QueryError::BadSelector { selector: pattern.clone(), why };
            select::glob(pattern).map_err(bad)
        });
        let parent = match &query.parent {
            Some(parent) => {
                let rows = select::select_rows(moment, parent, Scope::One)?;
                rows.first().map(|row| (row.run.first_seq, row.run.id))
            }
            None => None,
        };
        Ok(Self { query, glob: glob.transpose()?, parent })
    }

    /// Newest first, if an index leads straight to all that can fit.
    fn places<'v>(
        &self,
        query: &HistoryQuery,
        moment: &Moment<'v>,
        range: (u64, u64),
    ) -> Result<Option<Places<'v>>, ViewsError> {
        if let Some((parent, _)) = &self.parent {
            let children = moment.children(*parent)?.into_iter().rev().map(|(place, _)| place);
            let children = children.filter(|place| (range.0..=range.1).contains(place));
            return Ok(Some(Places::These(children.collect())));
        }
        let named = query.name.as_ref().map(|name| {
            Places::Listed(Listed::new(moment.views, Table::Names, name.clone(), range))
        });
        let outcomes: Vec<&str> = match &query.outcome {
            Some(word) if word != SUCCEEDED => vec![word],
            None if query.failed => {
                OUTCOMES.into_iter().filter(|word| *word != SUCCEEDED).collect()
            }
            Some(_) | None => Vec::new(),
        };
        let outcomes = outcomes
            .into_iter()
            .map(|word| (Listed::new(moment.views, Table::Outcomes, word.to_owned(), range), None));
        let outcomes: Vec<_> = outcomes.collect();
        let outcomes = (!outcomes.is_empty()).then_some(Places::Any(outcomes));
        Ok(match (named, outcomes) {
            (Some(one), Some(other)) => Some(Places::Both(Box::new((one, other)))),
            (one, other) => one.or(other),
        })
    }

    fn takes(&self, run: &Run) -> bool {
        let query = self.query;
        let outcome = run.outcome;
        let spec = &run.spec;
        (!query.failed || outcome.is_some_and(|outcome| !outcome.is_success()))
            && (!query.ok || outcome.is_some_and(crate::model::Outcome::is_success))
            && query
                .outcome
                .as_ref()
                .is_none_or(|word| outcome.is_some_and(|outcome| outcome.word() == word))
            && query.name.as_ref().is_none_or(|name| *name == spec.name)
            && query.kind.as_ref().is_none_or(|kind| kind == kind_word(spec.kind))
            && query.labels.iter().all(|(key, value)| spec.labels.get(key) == Some(value))
            && self.parent.is_none_or(|(_, parent)| spec.parent == Some(parent))
            && query.since.is_none_or(|since| run.created_at.0 >= since)
            && query.until.is_none_or(|until| run.created_at.0 < until)
            && self.fits_pattern(run)
    }

    /// A glob over the name, or a part of the name or of the command line.
    fn fits_pattern(&self, run: &Run) -> bool {
        let Some(pattern) = &self.query.pattern else { return true };
        let name = &run.spec.name;
        if self.glob.as_ref().is_some_and(|glob| glob.is_match(name)) || name.contains(pattern) {
            return true;
        }
        let words: Vec<String> = run.spec.command.iter().map(ByteString::to_text).collect();
        let line = run.spec.line.as_ref().map(ByteString::to_text);
        words.join(" ").contains(pattern) || line.is_some_and(|line| line.contains(pattern))
    }
}
