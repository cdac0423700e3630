//! What the next daemon would decide, without deciding it: the engine is given what is found, and
//! what it would append is not appended.

use super::configuring::resumes;
use super::error::DaemonError;
use super::offline::{self, OfflineError};
use super::place::Place;
use super::start::{beginning, document_in_force, jump_since_last};
use super::{recovery, upkeep};
use crate::log::part;
use crate::model::engine::Input;
use crate::model::event::QueuedReason;
use crate::model::{Command, Engine, Envelope, Event, Request, RunId, State};
use crate::runners::linux::clock;

/// What would be.
#[derive(Debug)]
pub struct Foreseen {
    /// The state at the end of the log.
    pub before: State,
    /// What would be appended to it.
    pub events: Vec<Envelope>,
    /// The state then.
    pub after: State,
    /// Whether the next daemon goes on by itself with what was interrupted.
    pub resumes: bool,
}

impl Foreseen {
    /// The runs that the next daemon lets go on by itself.
    pub fn resumed(&self) -> impl Iterator<Item = RunId> {
        self.events.iter().filter_map(|envelope| match envelope.event {
            Event::RunQueued { run, reason: QueuedReason::Resumed, .. } => Some(run),
            _ => None,
        })
    }
}

/// Looks at the log and the traces of shims, and changes nothing.
///
/// # Errors
/// [`OfflineError`]; also [`OfflineError::DaemonLives`]: then nothing is left to recover.
pub fn foresee(place: &Place) -> Result<Foreseen, OfflineError> {
    ahead(place, false)
}

/// As [`foresee`], with `jr resume` as the first thing that this daemon is asked.
///
/// # Errors
/// As [`foresee`].
pub fn foresee_resumed(place: &Place) -> Result<Foreseen, OfflineError> {
    ahead(place, true)
}

fn ahead(place: &Place, is_asked: bool) -> Result<Foreseen, OfflineError> {
    let look = offline::look(place)?;
    let failed = |error: crate::log::LogError| OfflineError::Files(DaemonError::from(error));
    let last = look.reader.head().map_err(failed)?.seq;
    let before = part::origin(&look.reader, last + 1).map_err(failed)?.state;
    let mut engine = Engine::new(before.clone());
    let findings = recovery::survey(place, &engine.to_find())?;
    let boot = clock::boot_id();
    let boot = boot.map_err(DaemonError::io("read the boot id for", &place.root))?;
    let mut events = Vec::new();
    let jump = jump_since_last(&engine, &look.reader, boot).map_err(failed)?;
    for input in beginning(place, boot, jump, findings) {
        let step = engine.step(input, clock::now());
        events.extend(step.map_err(|error| OfflineError::Files(DaemonError::Bug(error)))?);
    }
    // As the daemon: by what was in force, before anybody looks at the files again.
    let document = document_in_force(place, engine.state());
    let resumes = document.is_some_and(|document| resumes(&document));
    if resumes || is_asked {
        let asker = Some(upkeep::configured());
        let (cause, facts_seq) = (upkeep::own_cause(), engine.state().seq);
        let command = Command::ResumeInterrupted { asker };
        let input = Input::Command(Request { cause, facts_seq, command });
        let step = engine.step(input, clock::now());
        events.extend(step.map_err(|error| OfflineError::Files(DaemonError::Bug(error)))?);
    }
    Ok(Foreseen { before, events, after: engine.state().clone(), resumes })
}
