//! The views of one environment: a state, what is not written yet, and a file.
//!
//! They hold what is durable up to `applied`, no more. The file may be behind that, be missing or
//! be damaged: the log says everything again. See docs/projections.md for the order of steps.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use redb::StorageBackend;
use redb::backends::{FileBackend, InMemoryBackend};

use super::backend::{Lying, NoSync};
use super::delta::Delta;
use super::error::ViewsError;
use super::progress::paused::Paused;
use super::rows::{LATEST, META, Meta, NAME, Row, Table, VERSION, decode, encode};
use super::source::{Apply, LogSource, Stored};
use super::store::{Rows, Store};
use super::tally;
use crate::log::atomic::unnamed_file;
use crate::log::overlay::Overlay;
use crate::model::{BootId, Digest, Event, Run, RunId, State, UnixMillis};
use crate::sys::regular;

/// How often which row is written; the same for all that share a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Records between two checkpoints of the state, or twice what lives where that is more.
    pub checkpoint_records: u64,
    /// Records between two marks of the highest time.
    pub time_records: u64,
    /// Records folded at most before they are written, while the views catch up.
    pub flush_records: usize,
    /// Records of the log whose ends share rows of samples.
    pub sample_records: u64,
    /// The state is written with each flush while no more than this lives.
    pub latest_live_max: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            checkpoint_records: 10_000,
            time_records: 1_024,
            flush_records: 65_536,
            sample_records: 4_096,
            latest_live_max: 2_000,
        }
    }
}

/// Which bytes [`Views::open_with`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// What was written before, or nothing.
    Kept,
    /// Nothing: what was there is of no use.
    Anew,
}

/// Read models of one environment.
#[derive(Debug)]
pub struct Views {
    pub(super) store: Store,
    pub(super) delta: Delta,
    pub(super) state: State,
    /// What lives, by first seq.
    pub(super) live: BTreeMap<u64, RunId>,
    pub(super) pace: Pace,
    hash: Digest,
    boot: BootId,
    /// The first record of the history that they are of, and what tells it from others.
    floor: (u64, Digest),
    last_checkpoint: u64,
    /// What the file has: of what came later there is nothing in it.
    pub(super) flushed: u64,
    /// Marks stand at places of the kept history only.
    marking: bool,
    /// What `ps` asks for each time; in no file, for the log has it.
    pub(super) paused: Paused,
}

impl Views {
    /// Opens the file at `path`, or makes it (anew, if it is of another version, log or boot, or
    /// damaged), and takes what the log has beyond it. The caller holds the environment's lock.
    pub fn open(path: &Path, boot: BootId, source: &dyn LogSource) -> Result<Self, ViewsError> {
        let make = |start| {
            if start == Start::Anew {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            file_backend(regular::open_with(&mut options, path)?).map(NoSync)
        };
        Self::open_with(make, boot, Pace::default(), source)
    }

    /// As [`Self::open`], for a reader without a daemon: what the file lacks is folded in memory,
    /// and no byte of it changes. The caller holds the environment's lock, shared at least.
    pub fn open_readonly(
        path: &Path,
        boot: BootId,
        source: &dyn LogSource,
    ) -> Result<Self, ViewsError> {
        let make = |start| {
            let base = match (start, regular::open(path)) {
                (Start::Kept, Ok(file)) => Lying::File(file),
                (Start::Anew, _) => Lying::Nothing,
                (Start::Kept, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                    Lying::Nothing
                }
                (Start::Kept, Err(error)) => return Err(error),
            };
            Overlay::new(base)
        };
        Self::open_with(make, boot, Pace::default(), source)
    }

    /// As [`Self::open`], over any bytes.
    pub fn open_with<B: StorageBackend>(
        mut make: impl FnMut(Start) -> io::Result<B>,
        boot: BootId,
        pace: Pace,
        source: &dyn LogSource,
    ) -> Result<Self, ViewsError> {
        let mut bytes =
            |start| make(start).map_err(|source| ViewsError::Io { operation: "open", source });
        let kept = Store::open(bytes(Start::Kept)?);
        let kept = kept.and_then(|store| {
            if store.is_new()? {
                return Self::build(store, boot, pace, source).map(Some);
            }
            Self::load(store, boot, pace, source)
        });
        match kept {
            Ok(Some(views)) => Ok(views),
            Err(error) if !error.is_damage() => Err(error),
            Ok(None) | Err(_) => Self::build(Store::open(bytes(Start::Anew)?)?, boot, pace, source),
        }
    }

    /// Views that are in memory alone.
    pub fn in_memory(boot: BootId, source: &dyn LogSource) -> Result<Self, ViewsError> {
        let store = Store::open(InMemoryBackend::new())?;
        Self::build(store, boot, Pace::default(), source)
    }

    /// As [`Self::in_memory`], in a file without a name in that directory.
    pub fn unnamed(
        directory: &Path,
        boot: BootId,
        source: &dyn LogSource,
    ) -> Result<Self, ViewsError> {
        let file = unnamed_file(directory).and_then(file_backend);
        let file = file.map_err(|source| ViewsError::Io { operation: "make", source })?;
        Self::build(Store::open(NoSync(file))?, boot, Pace::default(), source)
    }

    /// What the file says, if it is of this version, log and boot; then the rest of the log.
    fn load(
        store: Store,
        boot: BootId,
        pace: Pace,
        source: &dyn LogSource,
    ) -> Result<Option<Self>, ViewsError> {
        let Some(meta) = Self::read_meta(&store)? else { return Ok(None) };
        let (head, _) = source.head()?;
        let floor = (source.first_seq(), source.floor());
        let fits = meta.name == NAME
            && meta.version == VERSION
            && meta.boot == boot
            && (meta.first_seq, meta.floor) == floor;
        if !fits || meta.applied > head || source.hash_at(meta.applied)? != Some(meta.hash) {
            return Ok(None);
        }
        let mut views = Self::empty(store, boot, pace, floor);
        views.last_checkpoint = match views.newest_checkpoint_seq(meta.applied)? {
            Some(seq) => seq,
            None => source.first_seq() - 1,
        };
        views.state = match views.newest_checkpoint(meta.applied)? {
            Some(state) => state,
            None => source.start()?.0,
        };
        (views.hash, views.flushed) = (meta.hash, meta.applied);
        views.refold(meta.applied, source)?;
        views.paused.since = meta.applied;
        views.note_live();
        views.catch_up(source)?;
        Ok(Some(views))
    }

    /// Its row is missing if the file was made and nothing was written to it yet.
    fn read_meta(store: &Store) -> Result<Option<Meta>, ViewsError> {
        let row = store.get(Table::Meta, META)?;
        row.map(|row| decode(Table::Meta, &row)).transpose()
    }

    fn build(
        store: Store,
        boot: BootId,
        pace: Pace,
        source: &dyn LogSource,
    ) -> Result<Self, ViewsError> {
        let tables = Table::ALL.into_iter().map(|table| (table, Rows::new()));
        store.commit(tables.collect())?;
        let floor = (source.first_seq(), source.floor());
        let mut views = Self::empty(store, boot, pace, floor);
        views.take_kept(source)?;
        let (state, hash) = source.start()?;
        (views.state, views.hash) = (state, hash);
        views.last_checkpoint = views.state.seq;
        views.paused.since = views.state.seq;
        views.note_live();
        let live: Vec<Run> = views.state.runs.values().cloned().collect();
        for run in live {
            if views.first_seq_of_row(run.id)?.is_none() {
                views.admit(&run)?;
            }
        }
        views.catch_up(source)?;
        Ok(views)
    }

    /// The runs that keep their records before the history: each is the fold of its own.
    fn take_kept(&mut self, source: &dyn LogSource) -> Result<(), ViewsError> {
        let mut result = Ok(());
        self.marking = false;
        source.scan_kept(&mut |stored| {
            result = self.take_by(&stored, State::apply_kept);
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        self.marking = true;
        self.live.clear();
        result
    }

    fn empty(store: Store, boot: BootId, pace: Pace, floor: (u64, Digest)) -> Self {
        let (delta, state, live) = (Delta::default(), State::default(), BTreeMap::new());
        let hash = Digest::default();
        let (last_checkpoint, marking, flushed) = (0, true, 0);
        Self {
            store,
            delta,
            state,
            live,
            pace,
            hash,
            boot,
            floor,
            last_checkpoint,
            flushed,
            marking,
            paused: Paused::default(),
        }
    }

    fn note_live(&mut self) {
        self.live = self.state.runs.values().map(|run| (run.first_seq, run.id)).collect();
    }

    /// Brings the state alone to `applied`: the rows up to there are in the file.
    fn refold(&mut self, applied: u64, source: &dyn LogSource) -> Result<(), ViewsError> {
        let mut result = Ok(());
        if self.state.seq < applied {
            source.scan(self.state.seq + 1..=applied, &mut |stored| {
                result = fold(&mut self.state, &stored);
                if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
        }
        result
    }

    /// Takes what the log has beyond `applied`.
    pub fn catch_up(&mut self, source: &dyn LogSource) -> Result<(), ViewsError> {
        let mut result = Ok(());
        source.scan(self.state.seq + 1..=u64::MAX, &mut |stored| {
            result = self.take(&stored);
            if result.is_ok() && self.delta.records >= self.pace.flush_records {
                result = self.flush();
            }
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result
    }

    /// Takes the next durable records.
    ///
    /// # Errors
    /// [`ViewsError::Illegal`] if they do not follow, [`ViewsError::Damaged`] if the file that
    /// they refer to is damaged. The views are of no use then: open them again.
    pub fn apply(&mut self, records: &[Stored]) -> Result<(), ViewsError> {
        records.iter().try_for_each(|stored| self.take(stored))
    }

    fn take(&mut self, stored: &Stored) -> Result<(), ViewsError> {
        self.take_by(stored, State::apply)
    }

    fn take_by(&mut self, stored: &Stored, apply: Apply) -> Result<(), ViewsError> {
        let envelope = &stored.envelope;
        let illegal = |source| ViewsError::Illegal { seq: envelope.seq, source };
        let ending = match &envelope.event {
            Event::RunEnded { run, .. } => self.state.runs.get(run).cloned(),
            _ => None,
        };
        let tally = ending.as_ref().and_then(|run| tally::of_live(&self.state, run.id));
        apply(&mut self.state, envelope).map_err(illegal)?;
        self.hash = stored.hash;
        self.delta.records += 1;
        self.paused.take(envelope);
        if let Some(id) = envelope.event.run() {
            let living = self.state.runs.get(&id).map(|run| run.first_seq);
            let first_seq = living.or(ending.as_ref().map(|run| run.first_seq));
            let seqs = self.delta.events.entry(first_seq.unwrap_or(envelope.seq)).or_default();
            seqs.push(envelope.seq);
            if matches!(envelope.event, Event::RunAdmitted { .. })
                && let Some(run) = self.state.runs.get(&id).cloned()
            {
                self.live.insert(run.first_seq, id);
                self.admit(&run)?;
            }
        } else if let Some(batch) = envelope.event.held_batch()
            && let Some(run) = self.state.runs.get(&batch)
        {
            // Its queue is there for it alone: what is done to that is done to the batch.
            self.delta.events.entry(run.first_seq).or_default().push(envelope.seq);
        }
        if let Some(mut run) = ending {
            run.apply(envelope).map_err(illegal)?;
            self.live.remove(&run.first_seq);
            self.sample(&run)?;
            self.note_usual(&run)?;
            self.delta.end(Row::ended(run, tally));
        }
        if self.marking {
            self.mark();
        }
        Ok(())
    }

    /// Puts a run that was just admitted into the indexes.
    fn admit(&mut self, run: &Run) -> Result<(), ViewsError> {
        let parent = run.spec.parent.map(|parent| self.first_seq_of(parent)).transpose()?;
        self.delta.admit(run, parent.flatten());
        Ok(())
    }

    /// Checkpoints and marks of time stand at places that follow from the log alone.
    fn mark(&mut self) {
        let seq = self.state.seq;
        if seq.is_multiple_of(self.pace.time_records) {
            self.delta.times.insert(seq, self.state.time_max.0);
        }
        let live = u64::try_from(self.state.runs.len()).unwrap_or(u64::MAX);
        let due = self.pace.checkpoint_records.max(live.saturating_mul(2));
        if seq - self.last_checkpoint >= due {
            self.delta.checkpoints.insert(seq, encode(&self.state));
            self.last_checkpoint = seq;
        }
    }

    /// Writes everything to the file, in one commit that a killed process leaves whole or not
    /// at all. Nothing waits for a disk.
    pub fn flush(&mut self) -> Result<(), ViewsError> {
        if self.delta.records == 0 {
            return Ok(());
        }
        let is_small = self.state.runs.len() <= self.pace.latest_live_max;
        let latest = if is_small { encode(&self.state) } else { Vec::new() };
        let (name, version) = (NAME.to_owned(), VERSION);
        let (applied, hash, boot) = (self.state.seq, self.hash, self.boot);
        let (first_seq, floor) = self.floor;
        let meta = encode(&Meta { name, version, applied, hash, first_seq, floor, boot });
        let mut tables = self.delta.tables();
        let meta = vec![(LATEST.to_vec(), latest), (META.to_vec(), meta)];
        tables.push((Table::Meta, meta));
        self.store.commit(tables)?;
        self.delta = Delta::default();
        self.flushed = self.state.seq;
        Ok(())
    }

    /// Records that are in memory only.
    pub fn dirty(&self) -> usize {
        self.delta.records
    }

    /// The state at [`Self::applied`].
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The last record that they have.
    pub fn applied(&self) -> u64 {
        self.state.seq
    }

    /// The chain's hash there.
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// The wall clock's highest value up to there.
    pub fn time_max(&self) -> UnixMillis {
        self.state.time_max
    }
}

fn fold(state: &mut State, stored: &Stored) -> Result<(), ViewsError> {
    let illegal = |source| ViewsError::Illegal { seq: stored.envelope.seq, source };
    state.apply(&stored.envelope).map_err(illegal)
}

fn file_backend(file: File) -> io::Result<FileBackend> {
    FileBackend::new(file).map_err(|error| match redb::Error::from(error) {
        redb::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde::Serialize;

    use super::*;
    use crate::model::outcome::SkipReason;
    use crate::model::{Envelope, Kind, Outcome, RunReason, RunSpec};
    use crate::projections::MemoryLog;
    use crate::projections::rows::one;

    const BOOT: BootId = BootId([7; 16]);

    /// A row as version 6 wrote it: of paused lines and batches it knows nothing.
    #[derive(Serialize)]
    struct RowOfSix {
        run: Run,
        tally: Option<TallyOfSix>,
    }

    #[derive(Serialize)]
    struct TallyOfSix {
        lines: u32,
        queued: u32,
        running: u32,
        succeeded: u32,
        failed: u32,
        cancelled: u32,
    }

    /// A batch, admitted at 1, of one line that was skipped.
    fn log_of_a_batch() -> MemoryLog {
        let (batch, line) = (RunId::from_chance(1), RunId::from_chance(2));
        let admitted = |run, kind, parent| {
            let spec = RunSpec { name: "made".to_owned(), kind, parent, ..RunSpec::default() };
            Event::RunAdmitted { run, spec: Arc::new(spec) }
        };
        let skipped = Outcome::Skipped(SkipReason::DependencyFailed(batch));
        let failed = Outcome::Failed(RunReason::Lines(1));
        let events = [
            admitted(batch, Kind::Batch, None),
            admitted(line, Kind::Job, Some(batch)),
            Event::RunEnded { run: line, outcome: skipped },
            Event::RunEnded { run: batch, outcome: failed },
        ];
        let mut log = MemoryLog::default();
        for (seq, event) in (1..).zip(events) {
            log.append(&[Envelope { seq, time: UnixMillis(0), cause: None, event }]);
        }
        log
    }

    /// Writes over what the file has: that version, and the batch as version 6 knew it.
    fn write_as_six(views: &Views, row: &Row, version: u32) {
        let tally = row.tally.map(|lines| TallyOfSix {
            lines: lines.lines,
            queued: lines.queued,
            running: lines.running,
            succeeded: lines.succeeded,
            failed: lines.failed,
            cancelled: lines.cancelled,
        });
        let older = encode(&RowOfSix { run: row.run.clone(), tally });
        let meta = Views::read_meta(&views.store).expect("reads").expect("was flushed");
        let meta = encode(&Meta { version, ..meta });
        let rows =
            vec![(Table::Runs, vec![(one(1), older)]), (Table::Meta, vec![(META.to_vec(), meta)])];
        views.store.commit(rows).expect("writes");
    }

    #[test]
    fn what_version_6_wrote_is_made_anew() {
        let log = log_of_a_batch();
        let directory = tempfile::tempdir().expect("makes");
        let path = directory.path().join("views.redb");
        let open = || Views::open(&path, BOOT, &log).expect("opens");
        let mut views = open();
        let fingerprint = views.fingerprint().expect("flushes");
        let row = views.row(1).expect("the batch");
        assert_eq!(row.tally.map(|tally| (tally.lines, tally.failed)), Some((1, 1)));
        write_as_six(&views, &row, 6);
        drop(views);
        let mut views = open();
        assert_eq!(views.row(1).expect("the batch"), row);
        assert_eq!(views.fingerprint().expect("flushes"), fingerprint);
        // It is the version that tells: under the present one such a row would be taken for damage.
        write_as_six(&views, &row, VERSION);
        drop(views);
        assert!(open().row(1).is_err());
    }
}
