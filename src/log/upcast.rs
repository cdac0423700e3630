//! Between stored payloads and today's events: the one file that knows which shape is current.
//!
//! A label that this jr does not know was written by a newer one; bytes that do not fit a known
//! label are damaged.

use super::codec::{self, DecodeError};
use super::versions::{self, is_known, v1, v2};
use crate::model::Event;

/// Which shape a payload has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// A number of [`super::versions::KINDS`].
    pub kind: u16,
    /// Version of that kind's payload, from 1.
    pub version: u16,
}

/// Why a payload is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpcastError {
    /// A newer jr wrote it.
    #[error("kind {} version {} is unknown here", .0.kind, .0.version)]
    Newer(Shape),
    /// The bytes do not fit their label.
    #[error(transparent)]
    Malformed(DecodeError),
}

/// The label that `event` gets today.
pub fn shape_of(event: &Event) -> Shape {
    let kind = match event {
        Event::EnvironmentCreated { .. } => 1,
        Event::DaemonStarted { .. } => 3,
        Event::DaemonStopped { .. } => 4,
        Event::RecoveryFinished { .. } => 5,
        Event::ClockJumped { .. } => 6,
        Event::ConfigResolved { .. } => 2,
        Event::ConfigRejected { .. } => 41,
        Event::RunAdmitted { .. } => 7,
        Event::AttemptIntended { .. } => 9,
        Event::AttemptStarted { .. } => 10,
        Event::AttemptEnded { .. } => 11,
        Event::RunEnded { .. } => 12,
        Event::StopRequested { .. } => 13,
        Event::SignalSent { .. } => 14,
        Event::OutputLost { .. } => 30,
        Event::SignalRequested { .. } => 31,
        Event::QueueSet { .. } => 32,
        Event::RunPaused { .. } => 15,
        Event::RunUnpaused { .. } => 16,
        Event::RestartScheduled { .. } => 19,
        Event::RunQueued { .. } => 33,
        Event::PauseRequested { .. } => 34,
        Event::UnpauseRequested { .. } => 35,
        Event::QueuePaused { .. } => 36,
        Event::QueueUnpaused { .. } => 37,
        Event::PruneRequested { .. } => 38,
        Event::RunsPruned { .. } => 39,
        Event::RunPinned { .. } => 40,
        Event::PortAssigned { .. } => 20,
        Event::PortReleased { .. } => 21,
        Event::ServiceWanted { .. } => 22,
        Event::ServiceUnwanted { .. } => 23,
        Event::HealthChanged { .. } => 24,
        Event::ServiceDeclared { .. } => 42,
        Event::ServiceForgotten { .. } => 43,
        Event::PortConflict { .. } => 44,
        Event::RestartRequested { .. } => 45,
    };
    // The last version of a kind is the one that is written.
    let version = versions::kind(kind).and_then(|line| line.versions.last()).copied();
    Shape { kind, version: version.unwrap_or(1) }
}

/// Appends the payload of `event` to `bytes`.
pub fn encode_payload(event: &Event, bytes: &mut Vec<u8>) -> Shape {
    match event {
        Event::EnvironmentCreated { id } => {
            codec::encode_into(&v1::EnvironmentCreated::from(id), bytes)
        }
        Event::DaemonStarted { pid, version, boot, cores } => {
            let (pid, version, cores) = (*pid, version.clone(), *cores);
            codec::encode_into(&v1::DaemonStarted { pid, version, boot: boot.0, cores }, bytes)
        }
        Event::DaemonStopped { reason } => {
            codec::encode_into(&v1::DaemonStopped { reason: (*reason).into() }, bytes)
        }
        &Event::RecoveryFinished { adopted, ended, lost, requeued } => {
            codec::encode_into(&v1::RecoveryFinished { adopted, ended, lost, requeued }, bytes)
        }
        &Event::ClockJumped { by_ms } => codec::encode_into(&v1::ClockJumped { by_ms }, bytes),
        Event::ConfigResolved { resolution } => {
            codec::encode_into(&v1::ConfigResolved::from(resolution), bytes)
        }
        Event::ConfigRejected { source, reason } => {
            let (source, reason) = (source.clone(), reason.clone());
            codec::encode_into(&v1::ConfigRejected { source, reason }, bytes)
        }
        Event::QueueSet { queue, limit } => {
            let queue = queue.as_str().to_owned();
            codec::encode_into(&v1::QueueSet { queue, limit: *limit }, bytes)
        }
        Event::QueuePaused { queue, asker } => {
            codec::encode_into(&v2::QueuePaused::of(queue, asker.clone()), bytes)
        }
        Event::QueueUnpaused { queue, asker } => {
            codec::encode_into(&v2::QueueUnpaused::of(queue, asker.clone()), bytes)
        }
        &Event::PruneRequested { before, keep_days, keep_runs } => {
            codec::encode_into(&v1::PruneRequested { before, keep_days, keep_runs }, bytes)
        }
        Event::RunsPruned { before, runs, events, bytes: freed, error } => {
            let (before, runs, events, freed) = (*before, *runs, *events, *freed);
            let error = error.clone();
            codec::encode_into(&v1::RunsPruned { before, runs, events, bytes: freed, error }, bytes)
        }
        &Event::RunPinned { run, pinned } => {
            codec::encode_into(&v1::RunPinned { run: run.to_u64(), pinned }, bytes)
        }
        Event::ServiceDeclared { .. }
        | Event::ServiceForgotten { .. }
        | Event::ServiceWanted { .. }
        | Event::ServiceUnwanted { .. }
        | Event::PortAssigned { .. }
        | Event::PortReleased { .. } => encode_of_service(event, bytes),
        Event::RunAdmitted { .. }
        | Event::AttemptIntended { .. }
        | Event::AttemptStarted { .. }
        | Event::AttemptEnded { .. }
        | Event::RunEnded { .. }
        | Event::StopRequested { .. }
        | Event::SignalSent { .. }
        | Event::OutputLost { .. }
        | Event::SignalRequested { .. }
        | Event::RestartScheduled { .. }
        | Event::RunQueued { .. }
        | Event::PauseRequested { .. }
        | Event::RunPaused { .. }
        | Event::UnpauseRequested { .. }
        | Event::PortConflict { .. }
        | Event::HealthChanged { .. }
        | Event::RestartRequested { .. }
        | Event::RunUnpaused { .. } => encode_of_run(event, bytes),
    };
    shape_of(event)
}

/// As [`encode_payload`] for what is about a run.
fn encode_of_run(event: &Event, bytes: &mut Vec<u8>) -> usize {
    let run = event.run().map_or(0, crate::model::RunId::to_u64);
    match event {
        Event::RunAdmitted { run, spec } => {
            codec::encode_into(&v2::RunAdmitted::of(*run, spec), bytes)
        }
        Event::AttemptIntended { attempt, ports, .. } => {
            let (attempt, ports) = (*attempt, ports.clone());
            codec::encode_into(&v1::AttemptIntended { run, attempt, ports }, bytes)
        }
        Event::AttemptStarted { attempt, process, .. } => {
            let (attempt, process) = (*attempt, process.into());
            codec::encode_into(&v1::AttemptStarted { run, attempt, process }, bytes)
        }
        Event::AttemptEnded { attempt, end, .. } => {
            let (attempt, end) = (*attempt, end.into());
            codec::encode_into(&v1::AttemptEnded { run, attempt, end }, bytes)
        }
        Event::RunEnded { outcome, .. } => {
            codec::encode_into(&v1::RunEnded { run, outcome: (*outcome).into() }, bytes)
        }
        Event::StopRequested { reason, signal, grace_ms, asker, .. } => {
            let (reason, signal, grace_ms) =
                ((*reason).into(), v1::signal_byte(*signal), *grace_ms);
            let asker = asker.clone().map(Into::into);
            codec::encode_into(&v1::StopRequested { run, reason, signal, grace_ms, asker }, bytes)
        }
        Event::RestartScheduled { .. }
        | Event::RunQueued { .. }
        | Event::PauseRequested { .. }
        | Event::RunPaused { .. }
        | Event::UnpauseRequested { .. }
        | Event::RunUnpaused { .. } => encode_of_hold(event, run, bytes),
        &Event::SignalSent { attempt, signal, errno, .. } => {
            let signal = v1::signal_byte(signal);
            codec::encode_into(&v1::SignalSent { run, attempt, signal, errno }, bytes)
        }
        &Event::OutputLost { attempt, bytes: lost, reason, .. } => {
            let reason = reason.into();
            codec::encode_into(&v1::OutputLost { run, attempt, bytes: lost, reason }, bytes)
        }
        Event::SignalRequested { attempt, signal, asker, .. } => {
            let (attempt, signal) = (*attempt, v1::signal_byte(*signal));
            let asker = asker.clone().map(Into::into);
            codec::encode_into(&v1::SignalRequested { run, attempt, signal, asker }, bytes)
        }
        Event::PortConflict { .. }
        | Event::HealthChanged { .. }
        | Event::RestartRequested { .. } => encode_of_watched(event, run, bytes),
        Event::EnvironmentCreated { .. }
        | Event::DaemonStarted { .. }
        | Event::DaemonStopped { .. }
        | Event::RecoveryFinished { .. }
        | Event::ClockJumped { .. }
        | Event::ConfigResolved { .. }
        | Event::ConfigRejected { .. }
        | Event::PruneRequested { .. }
        | Event::RunsPruned { .. }
        | Event::RunPinned { .. }
        | Event::QueueSet { .. }
        | Event::QueuePaused { .. }
        | Event::QueueUnpaused { .. }
        | Event::ServiceDeclared { .. }
        | Event::ServiceForgotten { .. }
        | Event::ServiceWanted { .. }
        | Event::ServiceUnwanted { .. }
        | Event::PortAssigned { .. }
        | Event::PortReleased { .. } => unreachable!("not about a run"),
    }
}

/// As [`encode_payload`] for runs that are held back, and go on.
fn encode_of_hold(event: &Event, run: u64, bytes: &mut Vec<u8>) -> usize {
    match event {
        &Event::RestartScheduled { attempt, due, streak, .. } => {
            let due = due.into();
            codec::encode_into(&v1::RestartScheduled { run, attempt, due, streak }, bytes)
        }
        Event::RunQueued { run, reason, asker } => {
            codec::encode_into(&v2::RunQueued::of(*run, *reason, asker.clone()), bytes)
        }
        Event::PauseRequested { asker, .. } => {
            codec::encode_into(&v1::PauseRequested::of(run, asker.clone()), bytes)
        }
        &Event::RunPaused { attempt, by, .. } => {
            codec::encode_into(&v1::RunPaused { run, attempt, by: by.into() }, bytes)
        }
        Event::UnpauseRequested { asker, .. } => {
            codec::encode_into(&v1::UnpauseRequested::of(run, asker.clone()), bytes)
        }
        &Event::RunUnpaused { attempt, .. } => {
            codec::encode_into(&v1::RunUnpaused { run, attempt }, bytes)
        }
        _ => unreachable!("no hold of a run"),
    }
}

/// As [`encode_payload`] for what is seen of a service's run.
fn encode_of_watched(event: &Event, run: u64, bytes: &mut Vec<u8>) -> usize {
    match event {
        Event::PortConflict { attempt, number, holder, .. } => {
            let (attempt, number) = (*attempt, *number);
            let holder = holder.as_ref().map(Into::into);
            codec::encode_into(&v1::PortConflict { run, attempt, number, holder }, bytes)
        }
        Event::HealthChanged { attempt, health, detail, .. } => {
            let (attempt, health, detail) = (*attempt, (*health).into(), detail.clone());
            codec::encode_into(&v1::HealthChanged { run, attempt, health, detail }, bytes)
        }
        Event::RestartRequested { attempt, reason, detail, .. } => {
            let (attempt, reason, detail) = (*attempt, (*reason).into(), detail.clone());
            codec::encode_into(&v1::RestartRequested { run, attempt, reason, detail }, bytes)
        }
        _ => unreachable!("not seen of a service's run"),
    }
}

/// As [`encode_payload`] for what is about a service and no run of it.
fn encode_of_service(event: &Event, bytes: &mut Vec<u8>) -> usize {
    let service = event.service().map_or_else(String::new, |name| name.as_str().to_owned());
    match event {
        Event::ServiceDeclared { service, spec } => {
            codec::encode_into(&v2::ServiceDeclared::of(service, spec), bytes)
        }
        Event::ServiceWanted { asker, .. } => {
            let asker = asker.clone().map(Into::into);
            codec::encode_into(&v1::ServiceWanted { service, asker }, bytes)
        }
        Event::ServiceUnwanted { reason, asker, .. } => {
            let (reason, asker) = ((*reason).into(), asker.clone().map(Into::into));
            codec::encode_into(&v1::ServiceUnwanted { service, reason, asker }, bytes)
        }
        Event::PortAssigned { service, replica, port } => {
            codec::encode_into(&v1::PortAssigned::of(service, *replica, port), bytes)
        }
        Event::PortReleased { replica, name, number, reason, .. } => {
            let (replica, name) = (*replica, name.clone());
            let (number, reason) = (*number, (*reason).into());
            codec::encode_into(&v1::PortReleased { service, replica, name, number, reason }, bytes)
        }
        // What else is about a service.
        _ => codec::encode_into(&v1::ServiceForgotten { service }, bytes),
    }
}

/// Today's event for a stored payload of any known shape.
pub fn decode_payload(shape: Shape, bytes: &[u8]) -> Result<Event, UpcastError> {
    if !is_known(shape.kind, shape.version) {
        return Err(UpcastError::Newer(shape));
    }
    match shape.kind {
        1 => lift::<v1::EnvironmentCreated>(bytes),
        2 => lift::<v1::ConfigResolved>(bytes),
        3 => lift::<v1::DaemonStarted>(bytes),
        4 => lift::<v1::DaemonStopped>(bytes),
        5 => lift::<v1::RecoveryFinished>(bytes),
        6 => lift::<v1::ClockJumped>(bytes),
        7 if shape.version == 1 => lift::<v1::RunAdmitted>(bytes),
        7 => lift::<v2::RunAdmitted>(bytes),
        9 => lift::<v1::AttemptIntended>(bytes),
        10 => lift::<v1::AttemptStarted>(bytes),
        11 => lift::<v1::AttemptEnded>(bytes),
        12 => lift::<v1::RunEnded>(bytes),
        13 => lift::<v1::StopRequested>(bytes),
        14 => lift::<v1::SignalSent>(bytes),
        30 => lift::<v1::OutputLost>(bytes),
        31 => lift::<v1::SignalRequested>(bytes),
        32 => lift::<v1::QueueSet>(bytes),
        15 => lift::<v1::RunPaused>(bytes),
        16 => lift::<v1::RunUnpaused>(bytes),
        19 => lift::<v1::RestartScheduled>(bytes),
        33 if shape.version == 1 => lift::<v1::RunQueued>(bytes),
        33 => lift::<v2::RunQueued>(bytes),
        34 => lift::<v1::PauseRequested>(bytes),
        35 => lift::<v1::UnpauseRequested>(bytes),
        36 if shape.version == 1 => lift::<v1::QueuePaused>(bytes),
        36 => lift::<v2::QueuePaused>(bytes),
        37 if shape.version == 1 => lift::<v1::QueueUnpaused>(bytes),
        37 => lift::<v2::QueueUnpaused>(bytes),
        38 => lift::<v1::PruneRequested>(bytes),
        39 => lift::<v1::RunsPruned>(bytes),
        40 => lift::<v1::RunPinned>(bytes),
        41 => lift::<v1::ConfigRejected>(bytes),
        20 => lift::<v1::PortAssigned>(bytes),
        21 => lift::<v1::PortReleased>(bytes),
        22 => lift::<v1::ServiceWanted>(bytes),
        23 => lift::<v1::ServiceUnwanted>(bytes),
        24 => lift::<v1::HealthChanged>(bytes),
        42 if shape.version == 1 => lift::<v1::ServiceDeclared>(bytes),
        42 => lift::<v2::ServiceDeclared>(bytes),
        43 => lift::<v1::ServiceForgotten>(bytes),
        44 => lift::<v1::PortConflict>(bytes),
        45 => lift::<v1::RestartRequested>(bytes),
        _ => Err(UpcastError::Newer(shape)),
    }
}

/// Decodes a frozen shape and lifts it to today's.
fn lift<T>(bytes: &[u8]) -> Result<Event, UpcastError>
where
    T: serde::de::DeserializeOwned + TryInto<Event, Error: Into<BadMeaning>>,
{
    let stored: T = codec::decode(bytes).map_err(UpcastError::Malformed)?;
    stored.try_into().map_err(|error| {
        let BadMeaning(reason) = error.into();
        UpcastError::Malformed(DecodeError { offset: 0, reason })
    })
}

/// What a conversion refused; of a conversion that cannot refuse, nothing.
struct BadMeaning(codec::DecodeReason);

impl From<codec::DecodeReason> for BadMeaning {
    fn from(reason: codec::DecodeReason) -> Self {
        Self(reason)
    }
}

impl From<std::convert::Infallible> for BadMeaning {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}
