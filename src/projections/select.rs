//! Selectors: the words by which people name runs.
//!
//! | typed | means |
//! |---|---|
//! | `last`, `@-N` | the newest run, the one N before it; lines of a batch count as their batch |
//! | `all` | what lives ([`Scope::Live`]), else every run |
//! | `name:TEXT` | the newest run of exactly this name |
//! | `state:WORD` | the state shown, or the outcome |
//! | `label:KEY=VALUE` | this label |
//! | with `*`, `?`, `[` or `{` | a glob over names |
//! | anything else | a whole id; else the newest run of that name; else a unique prefix of an id |
//!
//! A name wins over a prefix: it was chosen by somebody, a prefix is short for something.

use globset::{GlobBuilder, GlobMatcher};

use super::error::ViewsError;
use super::moment::Moment;
use super::query::{QueryError, Scope};
use super::rows::Row;
use super::view::{OUTCOMES, STATES};
use crate::model::{Run, RunId};

/// Candidates that an error names.
const CANDIDATES: usize = 10;

/// The runs that one selector means, newest first; never none.
///
/// # Errors
/// [`QueryError::NoSuchRun`], [`QueryError::NoneLives`] where all that match have ended,
/// [`QueryError::Ambiguous`] where one is needed, [`QueryError::BadSelector`].
pub(super) fn select_rows(
    moment: &Moment<'_>,
    selector: &str,
    scope: Scope,
) -> Result<Vec<Row>, QueryError> {
    let rows = find(moment, selector, scope)?;
    if rows.is_empty() {
        let selector = selector.to_owned();
        // Of what lives none is meant; somebody who looks for the word in history finds some.
        let has_ended = scope == Scope::Live && !find(moment, &selector, Scope::One)?.is_empty();
        return Err(if has_ended {
            QueryError::NoneLives { selector }
        } else {
            QueryError::NoSuchRun { selector }
        });
    }
    if scope == Scope::One && rows.len() > 1 {
        return Err(ambiguous(selector, &rows));
    }
    Ok(rows)
}

/// The row of the one run that the selector means.
pub(super) fn select_one(moment: &Moment<'_>, selector: &str) -> Result<Row, QueryError> {
    let row = select_rows(moment, selector, Scope::One)?.into_iter().next();
    row.ok_or_else(|| QueryError::NoSuchRun { selector: selector.to_owned() })
}

fn find(moment: &Moment<'_>, selector: &str, scope: Scope) -> Result<Vec<Row>, QueryError> {
    let bad =
        |why: &str| QueryError::BadSelector { selector: selector.to_owned(), why: why.into() };
    if let Some(back) = selector.strip_prefix('@') {
        let number = back.strip_prefix('-').and_then(|number| number.parse().ok());
        let number = number.ok_or_else(|| bad("after @ comes - and a number, as in @-1"))?;
        return one_row(moment, nth_newest(moment, number)?);
    }
    if let Some(name) = selector.strip_prefix("name:") {
        return one_row(moment, moment.named(name)?);
    }
    if let Some(word) = selector.strip_prefix("state:") {
        if !STATES.contains(&word) && !OUTCOMES.contains(&word) {
            let words = [STATES.join(", "), OUTCOMES.join(", ")].join(", ");
            return Err(bad(&format!("a state is one of {words}")));
        }
        return matching(moment, scope, &|row| is_in_state(row, word));
    }
    if let Some(label) = selector.strip_prefix("label:") {
        let (key, value) = label.split_once('=').ok_or_else(|| bad("write label:KEY=VALUE"))?;
        let labelled = |row: &Row| row.run.spec.labels.get(key).is_some_and(|found| found == value);
        return matching(moment, scope, &labelled);
    }
    match selector {
        "" => Err(bad("it is empty")),
        "last" => one_row(moment, nth_newest(moment, 0)?),
        "all" => matching(moment, scope, &|_| true),
        _ if has_glob(selector) => {
            let glob = glob(selector).map_err(|why| bad(&why))?;
            globbed(moment, scope, selector, &glob)
        }
        _ => plain(moment, selector, scope),
    }
}

/// Whether runs that are still to come can be meant as well: `all`, labels and globs.
pub fn is_open_ended(selector: &str) -> bool {
    open_ended(selector).is_some()
}

/// Whether a run is meant.
pub(super) type Fits = Box<dyn Fn(&Run) -> bool>;

/// What such a selector means; `None` for words that mean what is there.
pub(super) fn open_ended(selector: &str) -> Option<Fits> {
    if let Some(label) = selector.strip_prefix("label:") {
        let (key, value) = label.split_once('=')?;
        let (key, value) = (key.to_owned(), value.to_owned());
        return Some(Box::new(move |run| run.spec.labels.get(&key) == Some(&value)));
    }
    let means_one = selector.starts_with('@') || selector.starts_with("name:");
    if means_one || selector.starts_with("state:") {
        return None;
    }
    if selector == "all" {
        return Some(Box::new(|_| true));
    }
    let glob = has_glob(selector).then(|| glob(selector).ok()).flatten()?;
    Some(Box::new(move |run| glob.is_match(&run.spec.name)))
}

fn one_row(moment: &Moment<'_>, place: Option<u64>) -> Result<Vec<Row>, QueryError> {
    Ok(place.map(|place| moment.row_of(place)).transpose()?.into_iter().collect())
}

/// Whole id, else name, else unique prefix.
fn plain(moment: &Moment<'_>, text: &str, scope: Scope) -> Result<Vec<Row>, QueryError> {
    if let Ok(id) = text.parse::<RunId>()
        && let Some(seq) = moment.first_seq_of(id)?
    {
        return one_row(moment, Some(seq));
    }
    if let Some(place) = moment.named(text)? {
        return one_row(moment, Some(place));
    }
    let Some(range) = RunId::prefix_range(text) else { return Ok(Vec::new()) };
    let places = moment.ids_in(range, CANDIDATES + 1)?;
    let mut places: Vec<u64> = places.into_values().collect();
    places.sort_unstable_by(|a, b| b.cmp(a));
    places.truncate(CANDIDATES + 1);
    let rows = places.into_iter().map(|place| moment.row_of(place));
    let rows = rows.collect::<Result<Vec<Row>, ViewsError>>()?;
    // A prefix is short for one id, wherever several runs are welcome.
    if scope != Scope::One && rows.len() > 1 {
        return Err(ambiguous(text, &rows));
    }
    Ok(rows)
}

fn ambiguous(selector: &str, rows: &[Row]) -> QueryError {
    let shown = rows.iter().take(CANDIDATES);
    let mut candidates: Vec<String> =
        shown.map(|row| format!("{} ({})", row.run.id, row.run.spec.name)).collect();
    if rows.len() > CANDIDATES {
        candidates.push("…".to_owned());
    }
    QueryError::Ambiguous { selector: selector.to_owned(), candidates }
}

fn matching(
    moment: &Moment<'_>,
    scope: Scope,
    fits: &dyn Fn(&Row) -> bool,
) -> Result<Vec<Row>, QueryError> {
    let mut rows = Vec::new();
    if scope == Scope::Live {
        rows = moment.live()?;
        rows.retain(fits);
        return Ok(rows);
    }
    moment.each_row((0, u64::MAX), &mut |row| {
        if fits(&row) {
            rows.push(row);
        }
        // One more than can be named says that there are more.
        !(scope == Scope::One && rows.len() > CANDIDATES)
    })?;
    Ok(rows)
}

fn globbed(
    moment: &Moment<'_>,
    scope: Scope,
    text: &str,
    glob: &GlobMatcher,
) -> Result<Vec<Row>, QueryError> {
    if scope == Scope::Live {
        return matching(moment, scope, &|row| glob.is_match(&row.run.spec.name));
    }
    let plain = text.find(['*', '?', '[', '{', '\\']).unwrap_or(text.len());
    let mut places = moment.names_like(&text[..plain], &|name| glob.is_match(name))?;
    if scope == Scope::One {
        places.truncate(CANDIDATES + 1);
    }
    let rows = places.into_iter().map(|place| moment.row_of(place));
    Ok(rows.collect::<Result<_, ViewsError>>()?)
}

/// Whether the run is shown so, or ended so.
fn is_in_state(row: &Row, word: &str) -> bool {
    row.shown_state() == word || row.run.outcome.is_some_and(|outcome| outcome.word() == word)
}

pub(super) fn has_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

pub(super) fn glob(text: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(text).literal_separator(false).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|error| error.kind().to_string())
}

/// The place of the run that is `back` before the newest. The lines of a batch were admitted
/// together, directly after it, and nobody asked for one of them by itself.
fn nth_newest(moment: &Moment<'_>, back: u64) -> Result<Option<u64>, ViewsError> {
    let (mut to, mut back) = (u64::MAX, back);
    loop {
        let Some(run) = newest(moment, to)? else { return Ok(None) };
        let batch = run.spec.parent.filter(|_| run.spec.line.is_some());
        let batch = batch.map(|batch| moment.first_seq_of(batch)).transpose()?.flatten();
        if let Some(place) = batch.filter(|place| *place < run.first_seq) {
            to = place;
            continue;
        }
        if back == 0 {
            return Ok(Some(run.first_seq));
        }
        back -= 1;
        let Some(below) = run.first_seq.checked_sub(1) else { return Ok(None) };
        to = below;
    }
}

/// The newest run that was admitted by `to`.
fn newest(moment: &Moment<'_>, to: u64) -> Result<Option<Run>, ViewsError> {
    let mut found = None;
    moment.each_row((0, to), &mut |row| {
        found = Some(row.run);
        false
    })?;
    Ok(found)
}
