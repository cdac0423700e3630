//! Commands at moments of a service's life. Each is a run of its own, a child of the service's.

use std::sync::Arc;

use super::spec::{HookMoment, Supervision};
use crate::model::event::Event;
use crate::model::id::RunId;
use crate::model::run::Run;
use crate::model::spec::{Kind, OnInterrupt, RunSpec};
use crate::model::state::State;

/// The run of a command of `run`, where it has one for that moment.
pub fn admission(state: &State, run: &Run, moment: HookMoment) -> Option<Event> {
    let standing = state.services.standing(run)?;
    let command = standing.spec.supervision.hooks.get(&moment)?.clone();
    let spec = RunSpec {
        name: format!("{}:{}", run.spec.name, moment.word()),
        kind: Kind::Job,
        command,
        parent: Some(run.id),
        hook: Some(moment),
        role: None,
        ok_codes: Vec::new(),
        timeout_ms: Some(limit_ms(run, &standing.spec.supervision, moment)),
        on_interrupt: OnInterrupt::Fail,
        ..(*run.spec).clone()
    };
    let id = fresh_id(state, run, moment)?;
    Some(Event::RunAdmitted { run: id, spec: Arc::new(spec) })
}

/// A command that hangs must not hold a service up, or its end.
fn limit_ms(run: &Run, supervision: &Supervision, moment: HookMoment) -> u64 {
    let limit_ms = match moment {
        HookMoment::BeforeStop | HookMoment::Stop | HookMoment::AfterStop => run.spec.grace_ms,
        HookMoment::BeforeStart | HookMoment::AfterReady => supervision.startup_timeout_ms,
    };
    limit_ms.max(1)
}

/// An id that follows from the run's own, which is random.
fn fresh_id(state: &State, run: &Run, moment: HookMoment) -> Option<RunId> {
    let place = HookMoment::ALL.iter().position(|known| *known == moment).unwrap_or(0) as u64;
    let seed = u128::from(run.id.to_u64()) << 64 | u128::from(run.attempt) << 32;
    let ids = (0..64).map(|draw| RunId::drawn(seed, place << 16 | draw));
    ids.into_iter().find(|id| state.is_fresh(*id))
}

/// What is known of a hook's service, while that run lives.
pub fn parent<'a>(state: &'a State, hook: &Run) -> Option<(HookMoment, &'a Run)> {
    let moment = hook.spec.hook?;
    let parent = state.runs.get(&hook.spec.parent?)?;
    Some((moment, parent))
}
