//! What follows the end of an attempt of a service.

use super::spec::{Health, PortRelease, RestartPolicy, RestartReason, Supervision};
use crate::limits;
use crate::model::event::{
    AttemptEnd, Due, Event, ExitStatus, LostReason, Outcome, QueuedReason, SpawnError,
};
use crate::model::phase::Phase;
use crate::model::run::Run;
use crate::model::state::State;
use crate::model::time::{Now, UnixMillis};

/// Whether its starts do not last: there were [`limits::CRASH_LOOP`] of them in a row, and the one
/// that lives is not stable at `now`. Who answers is counted on by what depends on it, whatever
/// was before.
pub fn is_crash_looping(run: &Run, supervision: &Supervision, now: UnixMillis) -> bool {
    let ran_ms = run.process.as_ref().map_or(0, |process| now.0.saturating_sub(process.at.0));
    let stable_ms = i64::try_from(supervision.stable_ms).unwrap_or(i64::MAX);
    let lasts = run.attempt_lives && ran_ms >= stable_ms;
    let answers = run.phase == Phase::Running && run.health.is_some_and(Health::is_ready);
    run.streak >= limits::CRASH_LOOP && !lasts && !answers
}

/// The next attempt by the policy, or the end. `run` is between attempts.
pub fn after_attempt(
    state: &State,
    run: &Run,
    end: &AttemptEnd,
    outcome: Outcome,
    now: Now,
) -> Vec<Event> {
    let over = vec![Event::RunEnded { run: run.id, outcome }];
    let Some(standing) = state.services.standing(run) else { return over };
    let supervision = &standing.spec.supervision;
    match end.status {
        // Whoever wants it back after a reboot says so: `jr resume`.
        ExitStatus::Lost(LostReason::Reboot) => return Vec::new(),
        ExitStatus::NotStarted(SpawnError::PortTaken(number)) => {
            if let Some(events) = other_port(state, run, supervision, number) {
                return events;
            }
        }
        ExitStatus::Exited(_)
        | ExitStatus::Signalled(_)
        | ExitStatus::TimedOut(_)
        | ExitStatus::NotStarted(_)
        | ExitStatus::NeverStarted
        | ExitStatus::Lost(_) => {}
    }
    match run.restart {
        Some(RestartReason::FilesChanged) => {
            return vec![Event::RunQueued {
                run: run.id,
                reason: QueuedReason::FilesChanged,
                asker: None,
            }];
        }
        Some(RestartReason::Unhealthy | RestartReason::StartupTimeout) | None => {}
    }
    let success = outcome.is_success() && run.restart.is_none();
    if !supervision.restart.restarts(success) {
        return over;
    }
    let was_stable = end.duration_ms.is_some_and(|ran_ms| ran_ms >= supervision.stable_ms);
    let streak = if was_stable { 1 } else { run.streak.saturating_add(1) };
    again(run, supervision, streak, outcome, now)
}

/// A command that was to come first failed: as if the attempt had.
pub fn not_prepared(state: &State, run: &Run, outcome: Outcome, now: Now) -> Vec<Event> {
    let Some(standing) = state.services.standing(run) else { return Vec::new() };
    let supervision = &standing.spec.supervision;
    match supervision.restart {
        RestartPolicy::Never => vec![Event::RunEnded { run: run.id, outcome }],
        RestartPolicy::Always | RestartPolicy::OnFailure | RestartPolicy::UnlessStopped => {
            again(run, supervision, run.streak.saturating_add(1), outcome, now)
        }
    }
}

/// The `streak`th start in a row comes after the backoff's wait; if that is one too many, the run
/// ends as its last attempt did.
fn again(
    run: &Run,
    supervision: &Supervision,
    streak: u32,
    outcome: Outcome,
    now: Now,
) -> Vec<Event> {
    if supervision.max_restarts.is_some_and(|most| streak > most) {
        return vec![Event::RunEnded { run: run.id, outcome }];
    }
    let wait_ms = supervision.backoff.delay_ms(run.id, streak);
    let at = UnixMillis(now.wall.0.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX)));
    let due = Due { at, boottime_ms: now.boottime_ms.saturating_add(wait_ms) };
    let (run, attempt) = (run.id, run.attempt);
    let scheduled = Event::RestartScheduled { run, attempt, due, streak };
    let at_once =
        (wait_ms == 0).then_some(Event::RunQueued { run, reason: QueuedReason::Due, asker: None });
    std::iter::once(scheduled).chain(at_once).collect()
}

/// A port that was any is another one from now on, `limits::PORT_TRIES` times.
fn other_port(
    state: &State,
    run: &Run,
    supervision: &Supervision,
    number: u16,
) -> Option<Vec<Event>> {
    let role = run.spec.role.as_ref()?;
    let (_, replica) = state.services.replica(role)?;
    let port = replica.ports.values().find(|port| port.number == number)?;
    let wish = supervision.ports.iter().find(|wish| wish.name == port.name)?;
    if wish.number.is_some() || port.retries >= limits::PORT_TRIES {
        return None;
    }
    let released = Event::PortReleased {
        service: role.service.clone(),
        replica: role.replica,
        name: port.name.clone(),
        number,
        reason: PortRelease::Taken,
    };
    Some(vec![
        released,
        Event::RunQueued { run: run.id, reason: QueuedReason::PortTaken, asker: None },
    ])
}
