//! What shells are offered most, made ahead: a small text instead of a question.
//!
//! ```text
//! jr.shortlist/1 BOOT            the boot in which this was true
//! KIND whole|part JSON           a line a kind; the items offered where nothing is typed yet
//! ```
//! A `whole` line has all that any beginning of a word could find, so that the shell's end only
//! has to leave out what does not fit.

use super::{Found, distinct_names};
use crate::limits;
use crate::model::{BootId, RunId};
use crate::projections::error::ViewsError;
use crate::projections::query::{Candidates, CandidatesQuery};
use crate::projections::view::{CandidateView, List};
use crate::projections::views::Views;

const HEAD: &str = "jr.shortlist/1";
/// Every kind, with the word that its line begins with.
const KINDS: [(Candidates, &str); 6] = [
    (Candidates::Living, "living"),
    (Candidates::Runs, "runs"),
    (Candidates::Names, "newest-names"),
    (Candidates::Labels, "labels"),
    (Candidates::Queues, "queues"),
    (Candidates::Services, "services"),
];
/// All names that runs have, if they are few.
const ALL_NAMES: &str = "all-names";

/// The text of such a list.
///
/// # Errors
/// The views cannot be read.
pub fn write(views: &Views, boot: BootId) -> Result<String, ViewsError> {
    let mut text = format!("{HEAD} {boot}\n");
    // Lines of a batch are offered where their beginning is typed, and there may be very many.
    let lives_plainly = views.live.values().filter_map(|id| views.state.runs.get(id));
    let lives_plainly = lives_plainly.into_iter().all(|run| run.spec.line.is_none());
    for (what, word) in KINDS {
        let items = Found::find(what, "", views)?.items;
        let is_few = items.len() < limits::CANDIDATES;
        let has_lines = matches!(what, Candidates::Living | Candidates::Runs) && !lives_plainly;
        text += &line_of(word, is_few && !has_lines, &items);
    }
    let names = distinct_names(views, "", limits::SHORTLIST_NAMES)?;
    let is_few = names.len() < limits::SHORTLIST_NAMES;
    let names = names.into_iter().map(|value| CandidateView { value, about: String::new() });
    let names: Vec<CandidateView> = names.filter(|_| is_few).collect();
    text += &line_of(ALL_NAMES, is_few, &names);
    Ok(text)
}

fn line_of(word: &str, is_whole: bool, items: &[CandidateView]) -> String {
    let extent = if is_whole { "whole" } else { "part" };
    // Texts can always be written as JSON; a line without any is not believed.
    let json = serde_json::to_string(items).unwrap_or_default();
    format!("{word} {extent} {json}\n")
}

/// What such a text answers; `None` where the views have to be asked.
pub fn answer(text: &str, boot: BootId, query: &CandidatesQuery) -> Option<List<CandidateView>> {
    let (head, lines) = text.split_once('\n')?;
    if head.strip_prefix(HEAD)?.trim() != boot.to_string() {
        return None;
    }
    let begun = query.begun.as_str();
    let (_, word) = KINDS.into_iter().find(|(what, _)| *what == query.what)?;
    let (is_whole, items) = line(lines, word)?;
    let mut found = Found::new(begun);
    if begun.is_empty() {
        found.items = items;
    } else if !is_whole || asks_an_index(query) {
        return None;
    } else {
        for item in &items {
            found.push(&item.value, &item.about);
        }
        if matches!(query.what, Candidates::Runs | Candidates::Names) {
            let (true, names) = line(lines, ALL_NAMES)? else { return None };
            for CandidateView { value, .. } in &names {
                match query.what {
                    _ if !value.starts_with(begun) => {}
                    Candidates::Runs => found.push_name(value, ""),
                    _ => found.push(value, ""),
                }
            }
        }
    }
    Some(found.into_list())
}

/// Whether the beginning of an id, or of a name that is spelt out, is to be looked up.
fn asks_an_index(query: &CandidatesQuery) -> bool {
    let begun = query.begun.as_str();
    let of_runs = matches!(query.what, Candidates::Living | Candidates::Runs);
    let of_ids = query.what == Candidates::Runs && begun.len() >= super::ID_BEGUN;
    of_runs && begun.starts_with(super::NAME) || of_ids && RunId::prefix_range(begun).is_some()
}

/// The line of a kind, and whether it is whole.
fn line(lines: &str, word: &str) -> Option<(bool, Vec<CandidateView>)> {
    let line = lines.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '))?;
    let (extent, json) = line.split_once(' ')?;
    Some((extent == "whole", serde_json::from_str(json).ok()?))
}
