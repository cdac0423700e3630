//! What `up`, `start`, `restart` and `down` do, and why: the same steps are shown beforehand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::gate::{Gate, Waits, gate, is_ready};
use super::restart::is_crash_looping;
use super::spec::{
    Health, MAIN_PORT, PortRelease, PortWish, Role, ServiceSpec, Supervision, UnwantedReason,
};
use super::state::{Replica, Service};
use crate::model::command::Rejection;
use crate::model::commit::GitCommit;
use crate::model::event::{Asker, Event, Outcome, QueuedReason};
use crate::model::id::{RunId, ServiceName};
use crate::model::phase::Phase;
use crate::model::run::Run;
use crate::model::spec::RunSpec;
use crate::model::state::State;
use crate::model::time::UnixMillis;

/// What is asked for.
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// What services are from now on.
    pub declared: Vec<(ServiceName, Arc<ServiceSpec>)>,
    /// Host names and ports above what is declared.
    pub overrides: BTreeMap<ServiceName, Override>,
    /// What is checked out now where they run: it is of the runs that begin, and not of what a
    /// service is.
    #[serde(default)]
    pub commits: BTreeMap<ServiceName, GitCommit>,
    /// Those that are to be up.
    pub names: Vec<ServiceName>,
    /// And all that they depend on.
    pub with_dependencies: bool,
    /// What has ended as it should is run once more.
    pub even_completed: bool,
    /// What runs is stopped and run anew.
    pub anew: bool,
    /// What is neither declared nor named here is stopped and forgotten.
    pub forget_others: bool,
    /// Only what is not up gets what was declared: the rest stays as it is.
    pub leave_running: bool,
}

/// What a runtime configuration says of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Its name at the reverse proxy.
    pub hostname: Option<String>,
    /// Its main port.
    pub port: Option<u16>,
}

/// What is done about one replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub role: Role,
    /// What.
    pub verb: Verb,
    /// Why.
    pub because: Because,
    /// The run that stands for it afterwards, or did before.
    pub run: Option<RunId>,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// A run begins.
    Start,
    /// The run that was interrupted goes on with its next attempt.
    Resume,
    /// The run is stopped and another one begins.
    Restart,
    /// Nothing.
    Keep,
    /// The run is stopped.
    Stop,
    /// It is not known any more.
    Forget,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It was never up.
    New,
    /// It is not up.
    Down,
    /// Its latest run came to this end.
    Ended(Outcome),
    /// It is being stopped.
    Stopping,
    /// It is up: ready, where it says so.
    Up,
    /// It has begun, and does not say yet that it is ready.
    Starting,
    /// What has to come before it is not so far.
    Waiting,
    /// It runs and says that it is not well.
    Unhealthy,
    /// It is being ended, or has ended, to be started again.
    Restarting,
    /// Its starts do not last.
    CrashLooping,
    /// Somebody paused it.
    Paused,
    /// It was interrupted, and has waited to be asked for.
    Interrupted,
    /// It did what it was there for.
    Completed,
    /// It is declared otherwise.
    Changed,
    /// Somebody asks for it.
    Asked,
    /// Nobody lists it any more.
    NotListed,
    /// There are to be fewer of it.
    TooMany,
}

/// Steps, and the events that do them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In the order of dependencies.
    pub steps: Vec<Step>,
    /// In order.
    pub events: Vec<Event>,
}

/// Who wishes it, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Random, and the same for the same command.
    pub seed: u128,
    /// Who, as far as that is known.
    pub asker: Option<&'a Asker>,
    /// When.
    pub now: UnixMillis,
}

/// Works out what a wish comes to.
///
/// # Errors
/// [`Rejection::NoSuchService`]: nothing of that name is declared.
pub fn up(state: &State, wish: &Wish, asked: Asked<'_>) -> Result<Plan, Rejection> {
    let mut planner = Planner { state, wish, asked, drawn: 0, plan: Plan::default() };
    let specs = planner.specs();
    let wanted = wanted(&specs, wish)?;
    for (name, spec) in &specs {
        planner.declare(name, spec);
    }
    if wish.forget_others {
        planner.forget_others(&wanted);
    }
    for name in in_order(&specs, &wanted) {
        if let Some(spec) = specs.get(name) {
            planner.service(name, spec);
        }
    }
    Ok(planner.plan)
}

/// Stops services; all that are wanted or live, where none is named.
///
/// # Errors
/// [`Rejection::NoSuchService`].
pub fn down(
    state: &State,
    names: Option<&[ServiceName]>,
    asker: Option<&Asker>,
) -> Result<Plan, Rejection> {
    let known = &state.services.known;
    if let Some(unknown) = names.into_iter().flatten().find(|name| !known.contains_key(name)) {
        return Err(Rejection::NoSuchService(unknown.clone()));
    }
    let is_meant = |name: &ServiceName| names.is_none_or(|names| names.contains(name));
    let specs = known.iter().map(|(name, service)| (name, Arc::clone(&service.spec))).collect();
    let meant = known.keys().filter(|name| is_meant(name)).collect();
    let mut plan = Plan::default();
    for name in in_order(&specs, &meant).into_iter().rev() {
        let Some(service) = known.get(name) else { continue };
        if service.wanted {
            let (service, reason) = (name.clone(), UnwantedReason::Down);
            plan.events.push(Event::ServiceUnwanted { service, reason, asker: asker.cloned() });
        }
        plan.steps.extend(stops(name, service, Because::Asked));
    }
    Ok(plan)
}

/// The stops of all live replicas; where none lives, one step that says so.
fn stops(name: &ServiceName, service: &Service, because: Because) -> Vec<Step> {
    let live = service.replicas.iter().filter_map(|(number, replica)| {
        let newest = replica.newest()?;
        let role = Role { service: name.clone(), replica: *number };
        Some(Step { role, verb: Verb::Stop, because, run: Some(newest.run) })
    });
    let mut steps: Vec<Step> = live.collect();
    if steps.is_empty() {
        let role = Role { service: name.clone(), replica: 0 };
        steps.push(Step { role, verb: Verb::Keep, because: Because::Down, run: None });
    }
    steps
}

type Specs<'a> = BTreeMap<&'a ServiceName, Arc<ServiceSpec>>;

/// Those that are to be up, with what they depend on where that is wished.
fn wanted<'a>(
    specs: &'a Specs<'_>,
    wish: &'a Wish,
) -> Result<BTreeSet<&'a ServiceName>, Rejection> {
    let mut open: Vec<&ServiceName> = wish.names.iter().collect();
    let mut wanted = BTreeSet::new();
    if let Some(unknown) = open.iter().find(|name| !specs.contains_key(**name)) {
        return Err(Rejection::NoSuchService((*unknown).clone()));
    }
    while let Some(name) = open.pop() {
        let Some(spec) = specs.get(name).filter(|_| wanted.insert(name)) else { continue };
        if wish.with_dependencies {
            let on = spec.supervision.depends_on.iter().map(|dependency| &dependency.service);
            open.extend(on.filter(|other| specs.contains_key(*other)));
        }
    }
    Ok(wanted)
}

/// What others depend on comes first, then by name. Cycles were refused where services are
/// declared; of one that came here nevertheless the rest follows by name.
fn in_order<'a>(specs: &Specs<'_>, meant: &BTreeSet<&'a ServiceName>) -> Vec<&'a ServiceName> {
    let mut open = meant.clone();
    let mut order = Vec::with_capacity(open.len());
    while !open.is_empty() {
        let is_free = |name: &&ServiceName| {
            let on = specs.get(*name).map(|spec| &spec.supervision.depends_on);
            on.into_iter().flatten().all(|other| !open.contains(&other.service))
        };
        let mut free: Vec<&ServiceName> = open.iter().copied().filter(is_free).collect();
        if free.is_empty() {
            free = open.iter().copied().collect();
        }
        open.retain(|name| !free.contains(name));
        order.extend(free);
    }
    order
}

/// A service with another name at the proxy, or another main port.
fn overridden(spec: &ServiceSpec, over: &Override) -> ServiceSpec {
    let mut spec = spec.clone();
    spec.hostname = over.hostname.clone().or(spec.hostname);
    if let Some(number) = over.port {
        let mut supervision = (*spec.supervision).clone();
        match supervision.ports.first_mut() {
            Some(main) => main.number = Some(number),
            None => supervision.ports.push(PortWish {
                name: MAIN_PORT.to_owned(),
                number: Some(number),
                host: None,
                pass_socket: false,
                range: None,
            }),
        }
        spec.supervision = Arc::new(supervision);
    }
    spec
}

struct Planner<'a> {
    state: &'a State,
    wish: &'a Wish,
    asked: Asked<'a>,
    drawn: u64,
    plan: Plan,
}

impl<'a> Planner<'a> {
    /// What each service is from now on.
    fn specs(&self) -> Specs<'a> {
        let (state, wish) = (self.state, self.wish);
        let known = state.services.known.iter().filter(|(_, service)| !service.forgotten);
        let known = known.map(|(name, service)| (name, Arc::clone(&service.spec)));
        let declared = wish.declared.iter().filter(|(name, _)| self.takes(name));
        let declared = declared.map(|(name, spec)| (name, Arc::clone(spec)));
        let mut specs: Specs<'a> = known.chain(declared).collect();
        // What is as it was keeps what belongs to it: its secrets lie where they lay.
        for (name, spec) in &mut specs {
            let known = state.services.known.get(*name).filter(|known| !known.forgotten);
            if let Some(known) = known.filter(|known| known.spec.is_same(spec)) {
                *spec = Arc::clone(&known.spec);
            }
        }
        for (name, over) in wish.overrides.iter().filter(|(name, _)| self.takes(name)) {
            if let Some(spec) = specs.get_mut(name) {
                *spec = Arc::new(overridden(spec, over));
            }
        }
        specs
    }

    /// Whether what is declared of it counts.
    fn takes(&self, name: &ServiceName) -> bool {
        let known = self.state.services.known.get(name);
        !self.wish.leave_running || known.is_none_or(|service| !service.wanted || !service.lives())
    }

    fn declare(&mut self, name: &ServiceName, spec: &Arc<ServiceSpec>) {
        let known = self.state.services.known.get(name);
        let is_known = known.is_some_and(|known| !known.forgotten && known.spec.is_same(spec));
        if is_known {
            return;
        }
        for (number, replica) in known.iter().flat_map(|service| &service.replicas) {
            self.release_ports(name, *number, replica, spec);
        }
        let (service, spec) = (name.clone(), Arc::clone(spec));
        self.plan.events.push(Event::ServiceDeclared { service, spec });
    }

    /// Ports that nobody asks for any more, or not so.
    fn release_ports(
        &mut self,
        name: &ServiceName,
        number: u32,
        replica: &Replica,
        spec: &ServiceSpec,
    ) {
        for port in replica.ports.values() {
            let mut wishes = spec.supervision.ports.iter();
            if !wishes.any(|wish| (&wish.name, wish.number) == (&port.name, port.requested)) {
                self.plan.events.push(Event::PortReleased {
                    service: name.clone(),
                    replica: number,
                    name: port.name.clone(),
                    number: port.number,
                    reason: PortRelease::Unwanted,
                });
            }
        }
    }

    /// All but what is declared, and what is to be up.
    fn forget_others(&mut self, wanted: &BTreeSet<&ServiceName>) {
        let asker = self.asked.asker;
        let declared = self.wish.declared.iter().map(|(name, _)| name);
        let declared: BTreeSet<&ServiceName> = declared.chain(wanted.iter().copied()).collect();
        let known = self.state.services.known.iter();
        let others = known.filter(|(name, known)| !declared.contains(name) && !known.forgotten);
        for (name, service) in others {
            if service.wanted {
                let (service, reason) = (name.clone(), UnwantedReason::Removed);
                let asker = asker.cloned();
                self.plan.events.push(Event::ServiceUnwanted { service, reason, asker });
            }
            self.plan.events.push(Event::ServiceForgotten { service: name.clone() });
            if service.lives() {
                self.plan.steps.extend(stops(name, service, Because::NotListed));
            }
            let role = Role { service: name.clone(), replica: 0 };
            let (verb, because, run) = (Verb::Forget, Because::NotListed, None);
            self.plan.steps.push(Step { role, verb, because, run });
        }
    }

    /// One service that is to be up.
    fn service(&mut self, name: &ServiceName, spec: &Arc<ServiceSpec>) {
        let asker = self.asked.asker;
        let known = self.state.services.known.get(name).filter(|service| !service.forgotten);
        let was_wanted = known.is_some_and(|service| service.wanted);
        if !was_wanted {
            let service = name.clone();
            self.plan.events.push(Event::ServiceWanted { service, asker: asker.cloned() });
        }
        for number in 0..spec.replicas {
            let role = Role { service: name.clone(), replica: number };
            let replica = known.and_then(|service| service.replica(number));
            let (verb, because) = self.about(name, spec, was_wanted, replica);
            let before = replica.and_then(|replica| {
                let last = replica.last.map(|last| last.run);
                replica.newest().map(|newest| newest.run).or(last)
            });
            let run = match verb {
                Verb::Start | Verb::Restart => Some(self.admit(&role, spec, before)),
                Verb::Resume => {
                    let resumed = |run| {
                        let (reason, asker) = (QueuedReason::Resumed, asker.cloned());
                        Event::RunQueued { run, reason, asker }
                    };
                    self.plan.events.extend(before.map(resumed));
                    before
                }
                Verb::Keep | Verb::Stop | Verb::Forget => before,
            };
            self.plan.steps.push(Step { role, verb, because, run });
        }
        let known = known.into_iter().flat_map(|service| &service.replicas);
        for (number, replica) in known.filter(|(number, _)| **number >= spec.replicas) {
            if let Some(newest) = replica.newest() {
                let role = Role { service: name.clone(), replica: *number };
                let (verb, because, run) = (Verb::Stop, Because::TooMany, Some(newest.run));
                self.plan.steps.push(Step { role, verb, because, run });
            }
        }
    }

    fn about(
        &self,
        name: &ServiceName,
        spec: &ServiceSpec,
        was_wanted: bool,
        replica: Option<&Replica>,
    ) -> (Verb, Because) {
        let Some(replica) = replica else { return (Verb::Start, Because::New) };
        if let Some(newest) = replica.newest() {
            let run = self.state.runs.get(&newest.run);
            if run.is_none_or(|run| run.phase == Phase::Stopping) {
                return (Verb::Restart, Because::Stopping);
            }
            let is_meant = self.wish.names.contains(name);
            return if self.wish.anew && is_meant {
                (Verb::Restart, Because::Asked)
            } else if newest.spec.is_same(spec) {
                match run {
                    Some(run) if run.awaits_answer() => (Verb::Resume, Because::Interrupted),
                    Some(run) => (Verb::Keep, self.kept(run, &newest.spec.supervision)),
                    None => (Verb::Keep, Because::Up),
                }
            } else {
                (Verb::Restart, Because::Changed)
            };
        }
        let Some(last) = replica.last else { return (Verb::Start, Because::New) };
        let known = self.state.services.known.get(name);
        let is_same = known.is_some_and(|known| known.spec.is_same(spec));
        let again = self.wish.even_completed && self.wish.names.contains(name);
        if !was_wanted {
            return (Verb::Start, Because::Down);
        }
        match last.outcome {
            Outcome::Succeeded if !again && !self.wish.anew && is_same => {
                (Verb::Keep, Because::Completed)
            }
            _ => (Verb::Start, Because::Ended(last.outcome)),
        }
    }

    /// How a live run is that stays: what is not up is not called so.
    fn kept(&self, run: &Run, supervision: &Supervision) -> Because {
        let loops = is_crash_looping(run, supervision, self.asked.now);
        match run.phase {
            Phase::Paused => Because::Paused,
            Phase::Queued => match gate(self.state, run) {
                Gate::Open if loops => Because::CrashLooping,
                Gate::Open | Gate::Waits(Waits::Hook(_) | Waits::Preparation | Waits::Ports) => {
                    Because::Starting
                }
                Gate::Never(_)
                | Gate::Waits(Waits::Unwanted | Waits::Predecessor(_) | Waits::Dependency(_)) => {
                    Because::Waiting
                }
            },
            Phase::Running if run.health == Some(Health::Unhealthy) => Because::Unhealthy,
            Phase::Starting | Phase::Running | Phase::Delayed if loops => Because::CrashLooping,
            Phase::Running if run.restart.is_some() => Because::Restarting,
            Phase::Running if is_ready(run, supervision) => Because::Up,
            Phase::Starting | Phase::Running => Because::Starting,
            Phase::Delayed => Because::Restarting,
            Phase::Stopping | Phase::Ended => Because::Stopping,
        }
    }

    fn admit(&mut self, role: &Role, spec: &ServiceSpec, parent: Option<RunId>) -> RunId {
        let run = loop {
            let run = RunId::drawn(self.asked.seed, self.drawn);
            self.drawn += 1;
            if self.state.is_fresh(run) {
                break run;
            }
        };
        let name = if spec.replicas > 1 { role.to_string() } else { role.service.to_string() };
        // Where a declaration does not count, it may be of another directory.
        let commit = self.wish.commits.get(&role.service).filter(|_| self.takes(&role.service));
        let (role, commit) = (Some(role.clone()), commit.copied());
        let parent = parent.filter(|parent| is_kept(self.state, *parent));
        let spec = Arc::new(RunSpec { name, parent, commit, role, ..(*spec.run).clone() });
        self.plan.events.push(Event::RunAdmitted { run, spec });
        run
    }
}

/// Whether a run can be named by another one: no prune has taken it, or may be about to.
fn is_kept(state: &State, run: RunId) -> bool {
    let is_safe = |seq: u64| {
        let pruning = state.pruning.as_ref();
        seq > state.pruned_at && pruning.is_none_or(|pruning| seq >= pruning.before)
    };
    state.runs.contains_key(&run) || state.ended_lately(run).is_some_and(|run| is_safe(run.seq))
}

impl Verb {
    /// The word of `--json`: what is started is started, whichever run stands for it then.
    pub fn word(self) -> &'static str {
        match self {
            Self::Start | Self::Resume => "start",
            Self::Restart => "restart",
            Self::Keep => "keep",
            Self::Stop => "stop",
            Self::Forget => "forget",
        }
    }
}

impl Because {
    /// For people, and `--json`.
    pub fn text(self) -> String {
        match self {
            Self::New => "it is new".to_owned(),
            Self::Down => "it is down".to_owned(),
            Self::Ended(outcome) => match outcome.detail() {
                Some(detail) => format!("its last run {} ({detail})", outcome.word()),
                None => format!("its last run {}", outcome.word()),
            },
            Self::Stopping => "it is being stopped".to_owned(),
            Self::Up => "it is up".to_owned(),
            Self::Starting => "it is starting".to_owned(),
            Self::Waiting => "it waits for what has to come before it".to_owned(),
            Self::Unhealthy => "it is unhealthy".to_owned(),
            Self::Restarting => "it is restarting by itself".to_owned(),
            Self::CrashLooping => {
                "it is crash-looping: its starts do not last, and it is tried again".to_owned()
            }
            Self::Paused => "it is paused, until jr resume".to_owned(),
            Self::Interrupted => "it was interrupted".to_owned(),
            Self::Completed => "it has completed".to_owned(),
            Self::Changed => "its configuration changed".to_owned(),
            Self::Asked => "it was asked for".to_owned(),
            Self::NotListed => "it is not listed any more".to_owned(),
            Self::TooMany => "there are to be fewer of it".to_owned(),
        }
    }
}
