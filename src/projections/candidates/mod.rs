//! What a word of a command line may become, for shells that complete it.
//!
//! Bounded, however much there is: what lives, the newest runs, and what an index finds by the
//! beginning of the word. [`shortlist`] is most of it as a text that is made ahead.

pub mod shortlist;

use std::collections::BTreeSet;

use super::error::ViewsError;
use super::query::{Candidates, CandidatesQuery, QueryError};
use super::queues;
use super::rows::{Table, name_key, name_of};
use super::select::has_glob;
use super::store::Order;
use super::view::{CandidateView, List};
use super::views::Views;
use crate::limits;
use crate::model::{Run, RunId, State};

/// Characters of an id after which the index of all ids is asked.
const ID_BEGUN: usize = 4;
/// Before a name that would be read as something else.
const NAME: &str = "name:";

pub(super) fn candidates(
    query: &CandidatesQuery,
    views: &Views,
) -> Result<List<CandidateView>, QueryError> {
    Ok(Found::find(query.what, &query.begun, views)?.into_list())
}

/// What fits so far.
struct Found<'a> {
    begun: &'a str,
    items: Vec<CandidateView>,
    values: BTreeSet<String>,
}

impl<'a> Found<'a> {
    fn new(begun: &'a str) -> Self {
        Self { begun, items: Vec::new(), values: BTreeSet::new() }
    }

    fn find(what: Candidates, begun: &'a str, views: &Views) -> Result<Self, ViewsError> {
        let mut found = Self::new(begun);
        match what {
            Candidates::Living => found.living(views)?,
            Candidates::Runs => {
                found.living(views)?;
                found.kept(views)?;
            }
            Candidates::Names => found.names(views)?,
            Candidates::Labels => found.labels(views)?,
            Candidates::Queues => found.queues(views),
            Candidates::Services => {
                for (name, service) in &views.state.services.known {
                    let about = if service.wanted { "is to be up" } else { "is down" };
                    found.push(name.as_str(), about);
                }
            }
        }
        Ok(found)
    }

    fn into_list(self) -> List<CandidateView> {
        List { schema: "jr.candidates/1".to_owned(), items: self.items }
    }

    fn is_full(&self) -> bool {
        self.items.len() >= limits::CANDIDATES
    }

    /// Whether the word may become this; shells may be told to ignore case.
    fn fits(&self, value: &str) -> bool {
        let begun = self.begun.as_bytes();
        value.as_bytes().get(..begun.len()).is_some_and(|head| head.eq_ignore_ascii_case(begun))
    }

    fn push(&mut self, value: &str, about: &str) {
        if self.fits(value) && !self.is_full() && self.values.insert(value.to_owned()) {
            self.items.push(CandidateView { value: value.to_owned(), about: about.to_owned() });
        }
    }

    /// A name, as a selector means exactly that one.
    fn push_name(&mut self, name: &str, about: &str) {
        if is_plain(name) {
            self.push(name, about);
        }
        if !is_plain(name) || self.begun.starts_with(NAME) {
            self.push(&format!("{NAME}{name}"), about);
        }
    }

    fn push_id(&mut self, run: &Run, state: &State) {
        let about = format!("{}, {}", run.spec.name, word_of(run, state));
        self.push(&run.id.to_string(), &about);
    }

    /// What lives, newest first. Lines of a batch only where the word has begun: nobody asked for
    /// one of them by itself.
    fn living(&mut self, views: &Views) -> Result<(), ViewsError> {
        let runs = views.live.values().rev().filter_map(|id| views.state.runs.get(id));
        let offered = runs.filter(|run| run.spec.line.is_none() || !self.begun.is_empty());
        let offered: Vec<&Run> = offered.collect();
        for run in &offered {
            if self.is_full() {
                break;
            }
            // A name means its newest run, which may have ended.
            let name = &run.spec.name;
            let fits = self.fits(name) || self.fits(&format!("{NAME}{name}"));
            if fits && views.named(name, u64::MAX, 1)?.first() == Some(&run.first_seq) {
                self.push_name(name, word_of(run, views.state()));
            }
        }
        for run in offered {
            self.push_id(run, views.state());
        }
        Ok(())
    }

    /// The newest runs, and those that the indexes know by the beginning of their name or id.
    fn kept(&mut self, views: &Views) -> Result<(), ViewsError> {
        let newest = newest(views)?;
        for run in &newest {
            self.push_name(&run.spec.name, word_of(run, views.state()));
        }
        let begun = self.begun.strip_prefix(NAME).unwrap_or(self.begun);
        for name in indexed_names(views, begun)? {
            self.push_name(&name, "");
        }
        for run in &newest {
            self.push_id(run, views.state());
        }
        // Fewer characters begin too many ids to be of use.
        let range = RunId::prefix_range(self.begun).filter(|_| self.begun.len() >= ID_BEGUN);
        if let Some(range) = range {
            for place in views.ids_in(range, limits::CANDIDATE_ROWS)?.into_values() {
                self.push_id(&views.row(place)?.run, views.state());
            }
        }
        Ok(())
    }

    fn names(&mut self, views: &Views) -> Result<(), ViewsError> {
        for run in newest(views)? {
            self.push(&run.spec.name, "");
        }
        for name in indexed_names(views, self.begun)? {
            self.push(&name, "");
        }
        Ok(())
    }

    fn labels(&mut self, views: &Views) -> Result<(), ViewsError> {
        let living = views.live.values().rev().take(limits::CANDIDATES);
        let living = living.filter_map(|id| views.state.runs.get(id));
        let newest = newest(views)?;
        for run in living.chain(&newest) {
            for (key, value) in &run.spec.labels {
                self.push(&format!("{key}={value}"), "");
            }
        }
        Ok(())
    }

    fn queues(&mut self, views: &Views) {
        for queue in queues::queues(views.state()).items {
            let slots = if queue.limit == 1 { "slot" } else { "slots" };
            let about = format!("{} {slots}, {} queued", queue.limit, queue.queued);
            self.push(&queue.name, &about);
        }
    }
}

/// How it ended, or what it does.
fn word_of(run: &Run, state: &State) -> &'static str {
    run.outcome.map_or_else(|| state.shown_state(run), |outcome| outcome.word())
}

/// Whether a selector means the run of this name by the name alone.
fn is_plain(name: &str) -> bool {
    let other = ["@", "-", NAME, "state:", "label:"].iter().any(|begin| name.starts_with(begin));
    !other && !has_glob(name) && !matches!(name, "last" | "all") && name.parse::<RunId>().is_err()
}

/// The newest runs; instead of the lines of a batch, which were admitted directly behind it, the
/// batch.
fn newest(views: &Views) -> Result<Vec<Run>, ViewsError> {
    let (mut runs, mut to) = (Vec::new(), Some(u64::MAX));
    for _ in 0..limits::CANDIDATE_LOOKS {
        let Some(from_there) = to.take() else { break };
        let mut line_of = None;
        views.each_row_by(2, (0, from_there), &mut |row| {
            line_of = row.run.spec.parent.filter(|_| row.run.spec.line.is_some());
            if line_of.is_none() {
                runs.push(row.run);
            }
            line_of.is_none() && runs.len() < limits::CANDIDATE_ROWS
        })?;
        let batch = line_of.map(|batch| views.first_seq_of(batch)).transpose()?.flatten();
        to = batch.filter(|place| *place < from_there);
    }
    Ok(runs)
}

/// Names that begin so; none where nothing is typed, since any will do then.
fn indexed_names(views: &Views, begun: &str) -> Result<BTreeSet<String>, ViewsError> {
    let count_max = if begun.is_empty() { 0 } else { limits::CANDIDATE_ROWS };
    distinct_names(views, begun, count_max)
}

/// Names that begin so, each once, whatever number of runs has it: so many of those that are
/// stored, and so many of those that are not yet.
fn distinct_names(
    views: &Views,
    begun: &str,
    count_max: usize,
) -> Result<BTreeSet<String>, ViewsError> {
    let mut names = BTreeSet::new();
    // No name holds the byte 255: it is UTF-8.
    let end = [begun.as_bytes(), &[0xff]].concat();
    let mut from = begun.as_bytes().to_vec();
    while names.len() < count_max {
        let rows = views.store.scan(Table::Names, (&from, &end), Order::Ascending, 1)?;
        let Some((key, _)) = rows.first() else { break };
        let name = name_of(key)?;
        from = [&*name_key(name, u64::MAX), &[0]].concat();
        names.insert(name.to_owned());
    }
    let mut held = begun.to_owned();
    for _ in 0..count_max {
        let next = views.delta.names.range((held.clone(), 0)..).next();
        let Some((name, _)) = next.filter(|(name, _)| name.starts_with(begun)) else { break };
        names.insert(name.clone());
        // The next text after it.
        held = format!("{name}\0");
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_reads_as_something_else_is_spelt_out() {
        for name in ["web", "a b", "$(x)", "api:1", "lasting"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["all", "last", "@-1", "-rf", "api-*", "name:x", "state:failed", "label:a=b"] {
            assert!(!is_plain(name), "{name}");
        }
        assert!(!is_plain("aaaaaaaaaaaa"), "it could be the id of another run");
    }
}
