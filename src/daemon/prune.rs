//! The thread that takes away what a prune lets go: docs/decisions/0010 has the order.
//!
//! Everything here may be the last thing that this daemon does, and is done again by the next one:
//! the state says that a prune is under way until its end is durable.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio::sync::watch;

use super::admission::Admission;
use super::blobs;
use super::mailbox::Mailbox;
use super::message::ToEngine;
use super::place::Place;
use super::views_loop::Questions;
use crate::limits;
use crate::log::prune::{self, Cut, Taken};
use crate::log::{Blobs, LogError, Reader, Secrets, snapshot};
use crate::model::{BootId, Observation, Pruned, Pruning, RunId, State};
use crate::projections::query::QueryError;
use crate::projections::{SourceError, Views, ViewsError};

/// Records between two words of progress.
const TELL_RECORDS: u64 = 16_384;
/// Between two looks whether anybody still asks with blobs of before.
const LOOK: Duration = Duration::from_millis(20);
/// Looks after which the blobs wait for the next prune.
const LOOKS: u32 = 250;
/// What `st_blocks` counts in: stat(2).
const BLOCK: u64 = 512;
/// Files of one attempt.
const OUTPUT_ENDINGS: [&str; 3] = ["out", "err", "idx"];

/// To the thread.
#[derive(Debug)]
pub enum ToPruner {
    /// Do it, or go on with it.
    Prune(Pruning),
    /// Nothing more will come.
    End,
}

/// How far a prune is, for who waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// The request.
    pub request: u64,
    /// Records looked at.
    pub done: u64,
    /// Records to be looked at.
    pub total: u64,
    /// What came of it, once that is durable.
    pub outcome: Option<Pruned>,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// The log says so.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The views say so.
    #[error(transparent)]
    Views(#[from] ViewsError),
    /// The views cannot be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The log does not fold.
    #[error("the log does not fold: {0}")]
    Illegal(#[from] crate::model::IllegalEvent),
    /// A file cannot be moved or removed.
    #[error("{0}")]
    Io(String),
    /// The daemon ends; the next one goes on.
    #[error("the daemon is ending")]
    Ending,
}

impl From<SourceError> for PruneError {
    fn from(error: SourceError) -> Self {
        Self::Views(error.into())
    }
}

/// What the thread works with.
pub struct Pruner {
    /// The environment.
    pub place: Place,
    /// This boot.
    pub boot: BootId,
    /// The log beside its writer.
    pub log: Reader,
    /// Who decides.
    pub engine: Mailbox<ToEngine>,
    /// Who knows the runs.
    pub questions: Questions,
    /// Who stores blobs.
    pub admission: Admission,
    /// Messages.
    pub inbox: Mailbox<ToPruner>,
    /// How far it is.
    pub news: watch::Sender<News>,
    /// The daemon ends.
    pub ending: Arc<AtomicBool>,
}

impl Pruner {
    /// One that nobody has asked for anything; a file that an earlier one was making goes.
    pub fn new(
        place: Place,
        boot: BootId,
        log: Reader,
        engine: Mailbox<ToEngine>,
        questions: Questions,
        admission: Admission,
    ) -> Self {
        let _absent = std::fs::remove_file(new_views(&place));
        let (news, _) = watch::channel(News::default());
        let (inbox, ending) = (Mailbox::new(), Arc::new(AtomicBool::new(false)));
        Self { place, boot, log, engine, questions, admission, inbox, news, ending }
    }

    /// Runs until told to end.
    pub fn run(self) {
        loop {
            for message in self.inbox.take() {
                let ToPruner::Prune(pruning) = message else { return };
                let before = pruning.before;
                let mut pruned = Pruned { before, ..Pruned::default() };
                match self.prune(&pruning, &mut pruned) {
                    Ok(()) => {}
                    // No outcome: the next daemon finds the request, and goes on.
                    Err(PruneError::Ending) => continue,
                    Err(error) => pruned.error = Some(error.to_string()),
                }
                let request = pruning.request;
                let seen = Observation::Pruned { request, pruned };
                self.engine.post(ToEngine::Observed(vec![seen]));
            }
        }
    }

    fn check_ending(&self) -> Result<(), PruneError> {
        if self.ending.load(Ordering::Relaxed) { Err(PruneError::Ending) } else { Ok(()) }
    }

    fn prune(&self, pruning: &Pruning, pruned: &mut Pruned) -> Result<(), PruneError> {
        let request = pruning.request;
        let bytes = self.log.file_bytes();
        let floor = self.log.floor();
        let from = floor.as_ref().map_or(self.log.first_seq(), |floor| floor.seq);
        let total = pruning.before.saturating_sub(from);
        self.news.send_replace(News { request, total, ..News::default() });
        let cut = match floor {
            // An earlier daemon came that far.
            Some(floor) if floor.request == request => {
                Cut { before: floor.seq, kept: floor.kept.clone(), hidden: None }
            }
            floor => {
                let asked = |named: &BTreeSet<RunId>, before: u64| {
                    self.questions.kept_before_now(named.clone(), before, &self.ending)
                };
                let (mut cut, state) = plan(&self.log, pruning, asked)?;
                cut.hidden = floor;
                self.check_ending()?;
                let lowered = cut.floor(&self.log, request, state)?;
                prune::lower(&self.log, lowered)?;
                cut
            }
        };
        self.seal_hot(&cut)?;
        let outputs = Outputs::of(&self.place);
        let mut freed = 0;
        for first_seq in prune::segments_before(&self.log, cut.before) {
            let taken = self.take_segment(first_seq, &cut, &outputs, &mut freed)?;
            pruned.runs += taken.runs;
            pruned.events += taken.events;
        }
        // A new hot segment and the floor may be more than what went of a small log.
        let kept = self.log.file_bytes();
        pruned.bytes = (bytes + freed).saturating_sub(kept);
        self.renew_views()?;
        freed += self.sweep_blobs()?;
        pruned.bytes = (bytes + freed).saturating_sub(kept);
        Ok(())
    }

    /// The hot segment is never rewritten: where enough of it goes, another becomes the hot one.
    fn seal_hot(&self, cut: &Cut) -> Result<(), PruneError> {
        if is_sealed_for(&self.log, cut.before)? {
            let (tell, told) = mpsc::channel();
            self.engine.post(ToEngine::Seal(tell));
            // Dropped if it could not be done: then that part waits for a later prune.
            while told.recv_timeout(LOOK) == Err(mpsc::RecvTimeoutError::Timeout) {
                self.check_ending()?;
            }
        }
        self.check_ending()
    }

    /// One segment: what it loses, its output files, then its bytes.
    fn take_segment(
        &self,
        first_seq: u64,
        cut: &Cut,
        outputs: &Outputs<'_>,
        freed: &mut u64,
    ) -> Result<Taken, PruneError> {
        let mut seen = 0_u64;
        let mut goes_on = || {
            seen += 1;
            if seen.is_multiple_of(TELL_RECORDS) {
                self.news
                    .send_modify(|news| news.done = (news.done + TELL_RECORDS).min(news.total));
            }
            !self.ending.load(Ordering::Relaxed)
        };
        if prune::is_hot(&self.log, first_seq) {
            let taken = prune::survey(&self.log, cut, Some(first_seq), goes_on)?;
            *freed += outputs.remove(&taken.attempts);
            self.check_ending()?;
            return Ok(taken);
        }
        let mut gone = |taken: &Taken| *freed += outputs.remove(&taken.attempts);
        let taken = prune::rewrite(&self.log, first_seq, cut, &mut gone, &mut goes_on)?;
        self.check_ending()?;
        Ok(taken.unwrap_or_default())
    }

    /// Views of what is kept, made beside the old ones, which answer meanwhile.
    fn renew_views(&self) -> Result<(), PruneError> {
        if self.place.is_in_memory() {
            let views = Views::in_memory(self.boot, &self.log)?;
            self.check_ending()?;
            return Ok(self.questions.renew_now(Box::new(views), None, &self.ending)?);
        }
        let path = new_views(&self.place);
        let failed = |error: std::io::Error| PruneError::Io(format!("{}: {error}", path.display()));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            Ok(()) | Err(_) => {}
        }
        let mut views = Views::open(&path, self.boot, &self.log)?;
        views.flush()?;
        self.check_ending()?;
        self.questions.renew_now(Box::new(views), Some(path), &self.ending)?;
        Ok(())
    }

    /// Blobs that no kept record names and that nobody has just stored; their bytes.
    fn sweep_blobs(&self) -> Result<u64, PruneError> {
        let found = Blobs::new(&self.place.blobs()).list()?;
        if found.is_empty() {
            return Ok(0);
        }
        // Who stored a blob before this has been answered, so its record is in the log.
        let asking = self.admission.begin_sweep();
        for _ in 0..LOOKS {
            if Arc::strong_count(&asking) == 1 {
                break;
            }
            self.check_ending()?;
            std::thread::sleep(LOOK);
        }
        if Arc::strong_count(&asking) > 1 {
            return Ok(0);
        }
        let named = blobs::named(&self.log)?;
        Secrets::new(&self.place.secrets()).retain_proofs(&named.owners)?;
        let named = named.blobs;
        let mut freed = 0;
        for (digest, bytes) in found.into_iter().filter(|(digest, _)| !named.contains(digest)) {
            self.check_ending()?;
            if self.admission.remove_blob(digest)? {
                freed += bytes;
            }
        }
        Ok(freed)
    }
}

/// Whether enough of the hot segment lies before a cut that it is sealed, so that it can be
/// rewritten.
fn is_sealed_for(log: &Reader, before: u64) -> Result<bool, LogError> {
    let head = log.head()?.seq;
    let hot = log.files().last().map_or(1, |(first_seq, _)| *first_seq);
    let goes = before.saturating_sub(hot);
    let half = (head + 1).saturating_sub(hot).div_ceil(2);
    Ok(goes > 0 && goes >= limits::PRUNE_SEAL_EVENTS.min(half))
}

/// Whether there is nothing to prune: the history begins there or later, and nothing before it.
pub fn is_done(log: &Reader, before: u64) -> bool {
    before <= log.kept_from() && log.floor().is_none_or(|floor| floor.kept.is_empty())
}

/// The file that new views are made in.
fn new_views(place: &Place) -> std::path::PathBuf {
    place.views().with_extension("redb.tmp")
}

/// What is to go, and the state before the cut.
///
/// # Errors
/// [`PruneError`]: nothing was changed.
pub fn plan(
    log: &Reader,
    pruning: &Pruning,
    kept_before: impl FnOnce(&BTreeSet<RunId>, u64) -> Result<BTreeSet<RunId>, QueryError>,
) -> Result<(Cut, Vec<u8>), PruneError> {
    let before = pruning.before.max(log.kept_from());
    let state = state_before(log, before)?;
    // What lived there has later records, which are kept, and is folded from all of them.
    let named: BTreeSet<RunId> = pruning.keep.iter().chain(state.runs.keys()).copied().collect();
    let kept = kept_before(&named, before)?;
    Ok((Cut { before, kept, hidden: log.floor() }, snapshot::encode(&state)))
}

/// The fold of all that lies before a place of the kept history.
fn state_before(log: &Reader, before: u64) -> Result<State, PruneError> {
    let saved = log.snapshot_before(before)?;
    let mut state = snapshot::decode(Path::new("snapshot"), &saved.bytes)?;
    if state.seq + 1 >= before {
        return Ok(state);
    }
    for envelope in log.events(state.seq + 1)? {
        let envelope = envelope?;
        if envelope.seq >= before {
            break;
        }
        state.apply(&envelope)?;
    }
    Ok(state)
}

/// What a prune would take, nothing being changed.
///
/// # Errors
/// [`PruneError`].
pub fn survey(
    place: &Place,
    log: &Reader,
    pruning: &Pruning,
    kept_before: impl FnOnce(&BTreeSet<RunId>, u64) -> Result<BTreeSet<RunId>, QueryError>,
) -> Result<Pruned, PruneError> {
    if is_done(log, pruning.before) {
        return Ok(Pruned { before: pruning.before, ..Pruned::default() });
    }
    let (cut, state) = plan(log, pruning, kept_before)?;
    let mut pruned = Pruned { before: cut.before, ..Pruned::default() };
    let outputs = Outputs::of(place);
    // What is in memory alone is never rewritten.
    let has_files = !place.is_in_memory();
    let is_sealed = has_files && is_sealed_for(log, cut.before)?;
    let (mut freed, mut smaller) = (0, 0);
    for first_seq in prune::segments_before(log, cut.before) {
        let taken = if prune::is_hot(log, first_seq) && !is_sealed {
            prune::survey(log, &cut, Some(first_seq), || true)?
        } else {
            let (taken, bytes) = prune::foresee(log, first_seq, &cut)?.unwrap_or_default();
            smaller += bytes;
            taken
        };
        pruned.runs += taken.runs;
        pruned.events += taken.events;
        freed += outputs.size(&taken.attempts);
    }
    if is_sealed {
        let head = log.head()?;
        let state = snapshot::encode(&state_before(log, head.seq + 1)?);
        smaller -= prune::size_of_next(log, head, &state)?;
    }
    freed += unnamed_blobs(place, log, &cut, &state)?;
    if has_files {
        let floor = log.floor().map_or(0, |floor| floor.size()).cast_signed();
        smaller += floor - cut.floor(log, 0, state)?.size().cast_signed();
    }
    pruned.bytes = u64::try_from(smaller + freed.cast_signed()).unwrap_or(0);
    Ok(pruned)
}

/// Bytes of the blobs that nothing would name after a cut; `state` is that before it, encoded.
fn unnamed_blobs(place: &Place, log: &Reader, cut: &Cut, state: &[u8]) -> Result<u64, PruneError> {
    let found = Blobs::new(&place.blobs()).list()?;
    if found.is_empty() {
        return Ok(0);
    }
    let state = snapshot::decode(Path::new("snapshot"), state)?;
    let named = blobs::named_after(log, cut, &state)?.blobs;
    Ok(found.iter().filter(|(digest, _)| !named.contains(digest)).map(|(_, bytes)| bytes).sum())
}

/// Bytes that a file has on the disk: what was punched out of it is no part of them.
fn held(data: &Metadata) -> u64 {
    data.len().min(data.blocks() * BLOCK)
}

/// The output files of an environment.
struct Outputs<'a> {
    place: &'a Place,
    /// Directories that are there: most runs of a large log have none.
    there: BTreeSet<String>,
}

impl<'a> Outputs<'a> {
    fn of(place: &'a Place) -> Self {
        let entries = std::fs::read_dir(place.outputs()).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        Self { place, there: names.collect() }
    }

    fn each(&self, attempts: &[(RunId, u32)], visit: &mut dyn FnMut(&Path)) {
        for (run, attempt) in attempts {
            if !self.there.contains(&Place::output_folder(*run)) {
                continue;
            }
            let base = self.place.output(*run, *attempt);
            for ending in OUTPUT_ENDINGS {
                let mut path = base.clone().into_os_string();
                path.push(".");
                path.push(ending);
                visit(Path::new(&path));
            }
        }
    }

    fn size(&self, attempts: &[(RunId, u32)]) -> u64 {
        let mut bytes = 0;
        self.each(attempts, &mut |path| {
            bytes += std::fs::metadata(path).map_or(0, |data| held(&data));
        });
        bytes
    }

    /// What cannot be removed stays, and is found by nobody; its bytes do not count.
    fn remove(&self, attempts: &[(RunId, u32)]) -> u64 {
        let mut bytes = 0;
        self.each(attempts, &mut |path| {
            let size = std::fs::metadata(path).map_or(0, |data| held(&data));
            if std::fs::remove_file(path).is_ok() {
                bytes += size;
            }
        });
        bytes
    }
}
