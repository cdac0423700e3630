//! What came from what: the tree of runs, and a batch with the batches that continue it, as one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::error::ViewsError;
use super::moment::Moment;
use super::rows::Row;
use super::views::Views;
use crate::model::event::StopReason;
use crate::model::{ByteString, Kind, Outcome, Run, RunId};

/// Lines of a batch that a tree has, beside those that were asked for.
const TREE_LINES: usize = 20;

/// The runs with all that they came from and all that came from them: lines, continuations,
/// reruns. Each parent stands before its children, the oldest child first.
pub(super) fn tree(asked: Vec<Row>, moment: &Moment<'_>) -> Result<Vec<Row>, ViewsError> {
    let places: BTreeSet<u64> = asked.iter().map(|row| row.run.first_seq).collect();
    let (mut seen, mut rows) = (BTreeSet::new(), Vec::new());
    let mut root_of: BTreeMap<RunId, u64> = BTreeMap::new();
    for row in asked {
        let root = root(&row.run, moment, &mut root_of)?;
        let mut open = vec![root];
        while let Some(place) = open.pop() {
            if !seen.insert(place) {
                continue;
            }
            let row = moment.row_of(place)?;
            let mut lines = 0;
            let mut children = moment.children(place)?;
            children.retain(|(child, kind)| {
                let is_line = row.run.spec.kind == Kind::Batch && !kind.is_batch;
                lines += usize::from(is_line);
                !is_line || lines <= TREE_LINES || places.contains(child)
            });
            open.extend(children.iter().rev().map(|(child, _)| *child));
            rows.push(row);
        }
    }
    Ok(rows)
}

/// Where the first of a run's lineage was admitted.
fn root(
    run: &Run,
    moment: &Moment<'_>,
    known: &mut BTreeMap<RunId, u64>,
) -> Result<u64, ViewsError> {
    let (mut place, mut parent, mut passed) = (run.first_seq, run.spec.parent, Vec::new());
    while let Some(id) = parent {
        if let Some(root) = known.get(&id) {
            place = *root;
            break;
        }
        // What was pruned is the root of nothing.
        let Some(above) = moment.first_seq_of(id)?.filter(|above| *above < place) else { break };
        passed.push(id);
        place = above;
        parent = moment.row_of(above)?.run.spec.parent;
    }
    known.extend(passed.into_iter().map(|id| (id, place)));
    Ok(place)
}

/// A line of the first batch of a lineage, with the best that became of it since.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchLineState {
    /// As it was written, masked.
    pub line: ByteString,
    /// How many equal lines came before it.
    pub occurrence: u32,
    /// argv, masked.
    pub command: Vec<ByteString>,
    /// Name of its run.
    pub name: String,
    /// The run that `outcome` is of.
    pub run: RunId,
    /// How it ended: once succeeded it stays so, else the latest counts; `None` has not ended.
    pub outcome: Option<Outcome>,
}

impl BatchLineState {
    /// Whether a continuation takes it: it never ended, was cancelled, was interrupted together
    /// with its batch, or is lost; with `failed` also if it ended in another way than it should.
    pub fn is_to_do(&self, failed: bool) -> bool {
        match self.outcome {
            None | Some(Outcome::Cancelled(_) | Outcome::Lost(_)) => true,
            Some(Outcome::Stopped(reason)) => failed || reason != StopReason::Asked,
            Some(
                Outcome::Failed(_)
                | Outcome::Signalled(_)
                | Outcome::TimedOut
                | Outcome::Skipped(_)
                | Outcome::Rejected(_),
            ) => failed,
            Some(Outcome::Succeeded) => false,
        }
    }
}

impl Views {
    /// The lines of a batch and of all that it continues, in the order of the first of them;
    /// `None` if there is no such batch.
    pub fn batch_lines(&self, batch: RunId) -> Result<Option<Vec<BatchLineState>>, ViewsError> {
        let Some(mut run) = self.run(batch)?.filter(is_batch) else { return Ok(None) };
        let mut lineage = vec![run.first_seq];
        while let Some(parent) = run.spec.parent {
            let older = self.run(parent)?.filter(is_batch);
            let Some(older) = older.filter(|older| older.first_seq < run.first_seq) else { break };
            lineage.push(older.first_seq);
            run = older;
        }
        let mut lines = Vec::new();
        for first_seq in lineage.into_iter().rev() {
            take_generation(&mut lines, self.lines_of(first_seq)?);
        }
        Ok(Some(lines))
    }

    /// The newest of the runs that repeat what this one did, over reruns and continuations; itself
    /// where nothing does.
    ///
    /// # Errors
    /// The views are damaged.
    pub fn newest_generation(&self, run: &Run) -> Result<Run, ViewsError> {
        let mut oldest = run.clone();
        while let Some(parent) = oldest.spec.parent.filter(|_| oldest.spec.line.is_none()) {
            let older = self.run(parent)?.filter(|older| older.spec.kind == oldest.spec.kind);
            let Some(older) = older.filter(|older| older.first_seq < oldest.first_seq) else {
                break;
            };
            oldest = older;
        }
        let (mut newest, mut open) = (oldest.clone(), vec![oldest]);
        while let Some(run) = open.pop() {
            for (place, _) in self.children(run.first_seq)? {
                let child = self.row(place)?.run;
                if child.spec.line.is_none() && child.spec.kind == run.spec.kind {
                    open.push(child);
                }
            }
            if run.first_seq > newest.first_seq {
                newest = run;
            }
        }
        Ok(newest)
    }

    /// The lines of one batch, in their order.
    fn lines_of(&self, batch_seq: u64) -> Result<Vec<Run>, ViewsError> {
        let children = self.children(batch_seq)?;
        let mut places = children.iter().filter(|(_, child)| !child.is_batch).map(|(seq, _)| *seq);
        let Some(first) = places.next() else { return Ok(Vec::new()) };
        let last = places.next_back().unwrap_or(first);
        let batch = self.row(batch_seq)?.run.id;
        let mut lines = Vec::new();
        self.each_row_by(children.len(), (first, last), &mut |row| {
            if row.run.spec.parent == Some(batch) && row.run.spec.line.is_some() {
                lines.push(row.run);
            }
            true
        })?;
        lines.reverse();
        Ok(lines)
    }
}

fn is_batch(run: &Run) -> bool {
    run.spec.kind == Kind::Batch
}

/// Which of several equal lines a continuation meant cannot be seen; they are the same command.
/// Those that it must have taken come first, then those that it took if it took failed ones too.
fn take_generation(known: &mut Vec<BatchLineState>, lines: Vec<Run>) {
    let is_first = known.is_empty();
    let mut open: BTreeMap<ByteString, VecDeque<usize>> = BTreeMap::new();
    for failed in [false, true] {
        for (place, state) in known.iter().enumerate() {
            if state.is_to_do(failed) && (!failed || !state.is_to_do(false)) {
                open.entry(state.line.clone()).or_default().push_back(place);
            }
        }
    }
    let mut seen: BTreeMap<ByteString, u32> = BTreeMap::new();
    for state in known.iter() {
        *seen.entry(state.line.clone()).or_default() += 1;
    }
    for run in lines {
        let line = run.spec.line.clone().unwrap_or_default();
        match open.get_mut(&line).and_then(VecDeque::pop_front) {
            Some(place) => (known[place].run, known[place].outcome) = (run.id, run.outcome),
            // It succeeded meanwhile in the older batch as well.
            None if !is_first && seen.contains_key(&line) => {}
            None => {
                let count = seen.entry(line.clone()).or_default();
                let occurrence = *count;
                *count += 1;
                let (command, name) = (run.spec.command.clone(), run.spec.name.clone());
                let (run, outcome) = (run.id, run.outcome);
                known.push(BatchLineState { line, occurrence, command, name, run, outcome });
            }
        }
    }
}
