//! Answers without a daemon: from the files alone, of which no byte changes.

use std::mem::ManuallyDrop;
use std::ops::{ControlFlow, RangeInclusive};
use std::os::unix::net::UnixStream;

use super::error::DaemonError;
use super::place::Place;
use super::prune;
use crate::limits;
use crate::log::{Blobs, Lock, LogError, Reader, Sharing, codec};
use crate::model::{Digest, Pruned, Pruning, RunId, State};
use crate::projections::query::{At, Document, QueryError, Question};
use crate::projections::{
    LogSource, Policy, SourceError, Stored, Views, ViewsError, Where, answer,
};
use crate::runners::linux::clock;

/// Why the files could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A daemon holds them, or is about to: ask it.
    #[error("a daemon holds the environment")]
    DaemonLives,
    /// There is no such environment.
    #[error("environment {0} has no state yet")]
    NoState(String),
    /// The question has no answer.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The files cannot be read.
    #[error(transparent)]
    Files(#[from] DaemonError),
}

/// The log as it lies there, and the lock that keeps a daemon from it for this look.
#[derive(Debug)]
pub struct Look {
    /// The log.
    pub reader: Reader,
    _lock: Lock,
}

/// Keeps daemons away for one look.
fn hold(place: &Place) -> Result<Lock, OfflineError> {
    let no_state = || OfflineError::NoState(place.id.to_string());
    match Lock::attempt(&place.starting(), Sharing::Shared) {
        Ok(_let_go) => {}
        Err(LogError::Busy { .. }) => return Err(OfflineError::DaemonLives),
        Err(LogError::NotFound { .. }) => return Err(no_state()),
        // Law 8: what cannot be looked at is not empty.
        Err(error) => return Err(OfflineError::Files(error.into())),
    }
    match Lock::attempt(&place.lock(), Sharing::Shared) {
        Ok(lock) => Ok(lock),
        Err(LogError::Busy { .. }) => Err(OfflineError::DaemonLives),
        Err(LogError::NotFound { .. }) => Err(no_state()),
        Err(error) => Err(OfflineError::Files(error.into())),
    }
}

/// Whether no daemon holds the environment, or is about to: nobody writes to its log.
pub fn nobody_serves(place: &Place) -> bool {
    // Locks that a starting daemon wants are not touched while one answers.
    UnixStream::connect(place.daemon_socket()).is_err() && hold(place).is_ok()
}

/// Takes one look at the files.
///
/// # Errors
/// [`OfflineError`].
pub fn look(place: &Place) -> Result<Look, OfflineError> {
    let no_state = || OfflineError::NoState(place.id.to_string());
    let lock = hold(place)?;
    match Reader::open(&place.log()) {
        Ok(reader) => Ok(Look { reader, _lock: lock }),
        // Views without a log are no empty environment: what they were folded from is gone.
        Err(LogError::NotFound { .. }) if !place.views().exists() => Err(no_state()),
        Err(error) => Err(OfflineError::Files(error.into())),
    }
}

/// Makes the views anew from the log; the seq that they then have.
///
/// # Errors
/// [`OfflineError`].
pub fn rebuild(place: &Place) -> Result<u64, OfflineError> {
    let no_state = || OfflineError::NoState(place.id.to_string());
    let _lock = match Lock::attempt(&place.lock(), Sharing::Exclusive) {
        Ok(lock) => lock,
        Err(LogError::Busy { .. }) => return Err(OfflineError::DaemonLives),
        Err(_) => return Err(no_state()),
    };
    let reader = Reader::open(&place.log()).map_err(DaemonError::from)?;
    let boot = clock::boot_id();
    let boot = boot.map_err(DaemonError::io("read the boot id for", &place.root))?;
    match std::fs::remove_file(place.views()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(DaemonError::io("delete", place.views())(error).into());
        }
        Ok(()) | Err(_) => {}
    }
    let mut views = Views::open(&place.views(), boot, &reader).map_err(DaemonError::from)?;
    views.flush().map_err(DaemonError::from)?;
    Ok(views.applied())
}

/// A part of a log: as if it ended at some record, so that damage of what comes later harms no
/// answer about what was before; or read only if little of it has to be.
#[derive(Debug)]
struct Part<'a> {
    reader: &'a Reader,
    last: u64,
    /// Records of one scan.
    scan_max: Option<u64>,
}

impl<'a> Part<'a> {
    fn upto(reader: &'a Reader, last: u64) -> Self {
        Self { reader, last, scan_max: None }
    }

    fn near(reader: &'a Reader) -> Self {
        Self { reader, last: u64::MAX, scan_max: Some(limits::CANDIDATE_RECORDS) }
    }
}

impl LogSource for Part<'_> {
    fn head(&self) -> Result<(u64, Digest), SourceError> {
        let head = LogSource::head(self.reader)?;
        if head.0 <= self.last {
            return Ok(head);
        }
        let hash = LogSource::hash_at(self.reader, self.last)?;
        hash.map(|hash| (self.last, hash)).ok_or(SourceError::Missing { seq: self.last })
    }

    fn first_seq(&self) -> u64 {
        LogSource::first_seq(self.reader)
    }

    fn start(&self) -> Result<(State, Digest), SourceError> {
        LogSource::start(self.reader)
    }

    fn floor(&self) -> Digest {
        LogSource::floor(self.reader)
    }

    fn scan_kept(
        &self,
        take: &mut dyn FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        LogSource::scan_kept(self.reader, take)
    }

    fn get(&self, seq: u64) -> Result<Option<Stored>, SourceError> {
        if seq > self.last { Ok(None) } else { LogSource::get(self.reader, seq) }
    }

    fn scan(
        &self,
        range: RangeInclusive<u64>,
        take: &mut dyn FnMut(Stored) -> ControlFlow<()>,
    ) -> Result<(), SourceError> {
        let (first, last) = (*range.start(), self.last.min(*range.end()));
        if let Some(most) = self.scan_max
            && self.head()?.0.min(last).saturating_sub(first) > most
        {
            let message = "the views are far behind the log".to_owned();
            return Err(SourceError::Log { message });
        }
        LogSource::scan(self.reader, first..=last, take)
    }
}

/// As [`ask`], for somebody who waits at a prompt: rather no answer than a late one. Only for a
/// process that ends then: closing the files writes to memory what nobody will read, which takes as
/// long as opening them, so they are not closed.
///
/// # Errors
/// [`OfflineError`]; also if the views would have to be made anew.
pub fn ask_soon(place: &Place, question: &Question) -> Result<Document, OfflineError> {
    let boot = clock::boot_id();
    let boot = boot.map_err(DaemonError::io("read the boot id for", &place.root))?;
    let Look { reader, _lock } = look(place)?;
    let reader = ManuallyDrop::new(reader);
    let near = Part::near(&reader);
    let views = Views::open_readonly(&place.views(), boot, &near).map_err(DaemonError::from)?;
    let views = ManuallyDrop::new(views);
    Ok(with_world(place, |world| answer(question, &views, &near, world, clock::now()))?)
}

/// What the files say.
#[derive(Debug)]
pub struct Answer {
    /// To the question.
    pub document: Document,
    /// The latest daemon ran in another boot than this one: of what lives by the log no process is
    /// left.
    pub is_of_other_boot: bool,
}

/// Answers one question from the files.
///
/// # Errors
/// [`OfflineError`].
pub fn ask(place: &Place, question: &Question) -> Result<Answer, OfflineError> {
    let Look { reader, _lock } = look(place)?;
    let boot = clock::boot_id();
    let boot = boot.map_err(DaemonError::io("read the boot id for", &place.root))?;
    let with = |views: &Views, log: &dyn LogSource| {
        let ask = |world: &Where<'_>| answer(question, views, log, world, clock::now());
        let is_of_other_boot = views.state().boot != boot;
        with_world(place, ask).map(|document| Answer { document, is_of_other_boot })
    };
    let opened = Views::open_readonly(&place.views(), boot, &reader);
    if let (Err(ViewsError::Log(_)), Some(At::Seq(last))) = (&opened, question.at) {
        let upto = Part::upto(&reader, last);
        let views = Views::in_memory(boot, &upto).map_err(DaemonError::from)?;
        return Ok(with(&views, &upto)?);
    }
    let views = opened.map_err(DaemonError::from)?;
    let answered = with(&views, &reader);
    if !matches!(answered, Err(QueryError::Damaged { .. })) {
        return Ok(answered?);
    }
    // The log has everything; the next daemon makes the file anew.
    let views = Views::in_memory(boot, &reader).map_err(DaemonError::from)?;
    Ok(with(&views, &reader)?)
}

/// What a prune would take away, by the files.
///
/// # Errors
/// [`OfflineError`].
pub fn survey_prune(place: &Place, policy: Policy) -> Result<Pruned, OfflineError> {
    let Look { reader, _lock } = look(place)?;
    let boot = clock::boot_id();
    let boot = boot.map_err(DaemonError::io("read the boot id for", &place.root))?;
    let views = Views::open_readonly(&place.views(), boot, &reader).map_err(DaemonError::from)?;
    let before = views.prune_before(&reader, policy, clock::now().wall);
    let (before, keep) = (before.map_err(DaemonError::from)?, views.state().to_keep());
    let pruning = Pruning { request: 0, before, keep };
    let surveyed = prune::survey(place, &reader, &pruning, |named, before| {
        views.kept_before(named, before).map_err(QueryError::from)
    });
    surveyed.map_err(|error| OfflineError::Query(QueryError::Log { message: error.to_string() }))
}

/// What answers say of the world outside the log.
pub fn with_world<R>(place: &Place, ask: impl FnOnce(&Where<'_>) -> R) -> R {
    let output = |run: RunId, attempt: u32| place.output(run, attempt);
    let variables = |digest: Digest| {
        let bytes = Blobs::new(&place.blobs()).get(digest).map_err(|error| error.to_string())?;
        codec::decode(&bytes).map_err(|error| error.to_string())
    };
    let text = |digest: Digest| {
        let bytes = Blobs::new(&place.blobs()).get(digest).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| error.to_string())
    };
    let environment = place.id.as_str();
    ask(&Where { environment, output: &output, variables: &variables, text: &text })
}
