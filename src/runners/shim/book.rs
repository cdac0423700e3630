//! What a shim knows of attempts, beside the one that runs: held, ended, refused, forgotten.
//! Pure; the server does what it says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{AttemptEnd, RunId};
use crate::runners::protocol::{AttemptId, Start};

/// Starts that wait behind the running one.
const HELD_MAX: usize = 3;
/// Forgotten attempts of which a late second start is still known.
const FORGOTTEN_MAX: usize = 1_024;

/// The attempts of a shim.
#[derive(Debug, Default)]
pub(super) struct Book {
    held: VecDeque<Start>,
    ended: BTreeMap<AttemptId, AttemptEnd>,
    refused: BTreeSet<AttemptId>,
    forgotten: VecDeque<AttemptId>,
}

/// What becomes of a start.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// It waits its turn.
    Held,
    /// It has ended already.
    Ended(AttemptEnd),
    /// It will never begin here. True where that is new and belongs in the journal.
    Refused { is_news: bool },
}

impl Book {
    /// A start that is not the running one.
    pub(super) fn start(&mut self, start: Start, is_busy: bool) -> Answer {
        let id = start.id;
        if let Some(end) = self.ended.get(&id) {
            return Answer::Ended(end.clone());
        }
        if self.refused.contains(&id) || self.forgotten.contains(&id) {
            return Answer::Refused { is_news: false };
        }
        if self.held.iter().any(|held| held.id == id) {
            return Answer::Held;
        }
        if self.held.len() + usize::from(is_busy) >= HELD_MAX {
            return Answer::Refused { is_news: self.refused.insert(id) };
        }
        self.held.push_back(start);
        Answer::Held
    }

    /// A stop of anything but the running one.
    pub(super) fn stop(&mut self, id: AttemptId) -> Answer {
        if let Some(end) = self.ended.get(&id) {
            return Answer::Ended(end.clone());
        }
        if crate::mutants::is_on("start_withdrawn") {
            return Answer::Refused { is_news: false };
        }
        self.held.retain(|held| held.id != id);
        let is_news = !self.forgotten.contains(&id) && self.refused.insert(id);
        Answer::Refused { is_news }
    }

    pub(super) fn end(&mut self, id: AttemptId, end: AttemptEnd) {
        self.ended.insert(id, end);
    }

    pub(super) fn forget(&mut self, id: AttemptId) {
        if self.ended.remove(&id).is_some() {
            self.forgotten.push_back(id);
            if self.forgotten.len() > FORGOTTEN_MAX {
                self.forgotten.pop_front();
            }
        }
    }

    pub(super) fn first(&self) -> Option<&Start> {
        self.held.front()
    }

    pub(super) fn take_first(&mut self) -> Option<Start> {
        self.held.pop_front()
    }

    pub(super) fn held(&self) -> impl Iterator<Item = AttemptId> {
        self.held.iter().map(|start| start.id)
    }

    /// Whether anything of a run waits, or has ended and is not forgotten.
    pub(super) fn has_any_of(&self, run: RunId) -> bool {
        self.held().chain(self.ended.keys().copied()).any(|id| id.run == run)
    }

    /// Gives up all that waits.
    pub(super) fn drop_held(&mut self) {
        self.held.clear();
    }

    pub(super) fn ended(&self) -> &BTreeMap<AttemptId, AttemptEnd> {
        &self.ended
    }

    /// Nothing waits.
    pub(super) fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExitStatus, UnixMillis};
    use crate::runners::protocol::tests::start;

    #[test]
    fn a_start_is_idempotent_and_what_was_given_back_never_begins() {
        let mut book = Book::default();
        assert_eq!(book.start(start(1), false), Answer::Held);
        assert_eq!(book.start(start(1), false), Answer::Held);
        assert_eq!(book.held().count(), 1);
        assert_eq!(book.stop(start(1).id), Answer::Refused { is_news: true });
        assert_eq!(book.stop(start(1).id), Answer::Refused { is_news: false });
        assert_eq!(book.start(start(1), false), Answer::Refused { is_news: false });
        // Never seen before.
        assert_eq!(book.stop(start(7).id), Answer::Refused { is_news: true });
        assert_eq!(book.start(start(7), false), Answer::Refused { is_news: false });
        assert!(book.holds_nothing());
    }

    #[test]
    fn an_end_is_repeated_until_forgotten_and_then_never_begins_again() {
        let mut book = Book::default();
        let id = start(1).id;
        let end = AttemptEnd::unmeasured(ExitStatus::Exited(0), UnixMillis(1));
        book.end(id, end.clone());
        assert_eq!(book.start(start(1), false), Answer::Ended(end.clone()));
        assert_eq!(book.stop(id), Answer::Ended(end));
        book.forget(id);
        assert_eq!(book.start(start(1), false), Answer::Refused { is_news: false });
    }

    #[test]
    fn two_starts_wait_behind_a_running_one_and_no_more() {
        let mut book = Book::default();
        assert_eq!(book.start(start(1), true), Answer::Held);
        assert_eq!(book.start(start(2), true), Answer::Held);
        assert_eq!(book.start(start(3), true), Answer::Refused { is_news: true });
    }
}
