//! Places of runs by an index, newest first, read as far as somebody asks.

use std::collections::VecDeque;

use super::error::ViewsError;
use super::rows::Table;
use super::views::Views;

/// Places read at once, first and at most: few are enough for a page, many for a scan.
const CHUNKS: (usize, usize) = (128, 4_096);

/// What [`Table::Names`] or [`Table::Outcomes`] lists under one text.
pub(super) struct Listed<'a> {
    views: &'a Views,
    table: Table,
    text: String,
    from: u64,
    /// What is left to read; `None` after the end.
    to: Option<u64>,
    chunk: usize,
    read: VecDeque<u64>,
}

impl<'a> Listed<'a> {
    /// Those from one place to another.
    pub(super) fn new(views: &'a Views, table: Table, text: String, range: (u64, u64)) -> Self {
        let (from, to) = (range.0, Some(range.1));
        Self { views, table, text, from, to, chunk: CHUNKS.0, read: VecDeque::new() }
    }

    fn next(&mut self) -> Result<Option<u64>, ViewsError> {
        if self.read.is_empty()
            && let Some(to) = self.to
        {
            let read = self.views.listed(self.table, &self.text, to, self.chunk)?;
            let below = read.last().and_then(|last| last.checked_sub(1));
            self.to = below.filter(|_| read.len() == self.chunk);
            self.chunk = CHUNKS.1.min(self.chunk * 4);
            self.read = read.into();
        }
        Ok(self.read.pop_front().filter(|place| *place >= self.from))
    }
}

/// Descending places without repetition.
pub(super) enum Places<'a> {
    /// Known ones.
    These(VecDeque<u64>),
    /// Of one text.
    Listed(Listed<'a>),
    /// Of any of several texts that no run has two of, each with its next one.
    Any(Vec<(Listed<'a>, Option<u64>)>),
    /// Those that both have.
    Both(Box<(Places<'a>, Places<'a>)>),
}

impl Places<'_> {
    /// The next one.
    pub(super) fn next(&mut self) -> Result<Option<u64>, ViewsError> {
        match self {
            Self::These(places) => Ok(places.pop_front()),
            Self::Listed(listed) => listed.next(),
            Self::Any(lists) => {
                for (listed, next) in lists.iter_mut().filter(|(_, next)| next.is_none()) {
                    *next = listed.next()?;
                }
                let newest = lists.iter_mut().max_by_key(|(_, next)| *next);
                Ok(newest.and_then(|(_, next)| next.take()))
            }
            Self::Both(both) => {
                let (mut one, mut other) = (both.0.next()?, both.1.next()?);
                while let (Some(first), Some(second)) = (one, other) {
                    match first.cmp(&second) {
                        std::cmp::Ordering::Equal => return Ok(Some(first)),
                        std::cmp::Ordering::Greater => one = both.0.next()?,
                        std::cmp::Ordering::Less => other = both.1.next()?,
                    }
                }
                Ok(None)
            }
        }
    }
}
