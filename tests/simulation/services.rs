//! Services: what clients wish of them, what the world says of them, and what must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jr::model::action::Watch;
use jr::model::service::plan::Wish;
use jr::model::service::probe::{Probe, ProbePort, ProbeWay};
use jr::model::service::spec::{
    Health, HookMoment, PortWish, RestartPolicy, Role, ServiceCondition, ServiceDependency,
    ServiceSpec, Supervision,
};
use jr::model::{
    AttemptEnd, Backoff, ByteString, Command, CommandId, Digest, Event, ExitStatus, Input, Kind,
    Observation, OnInterrupt, RunId, RunSpec, ServiceName, SpawnError, State,
};

use super::World;
use super::chance::Chance;
use super::clients::commit;
use super::machine::Key;

/// Services that may be declared; each depends on earlier ones only.
const NAMES: [&str; 5] = ["db", "cache", "migrate", "web", "worker"];
/// Few ports, so that they collide.
const PORTS: u64 = 12;

fn name(place: usize) -> ServiceName {
    NAMES[place].parse().expect("a name")
}

fn small(chance: &mut Chance, below: u64) -> u32 {
    u32::try_from(chance.below(below)).expect("small")
}

/// What a client asks about services.
pub(crate) fn command(chance: &mut Chance) -> Command {
    let names = |chance: &mut Chance| -> Vec<ServiceName> {
        let all: Vec<usize> = (0..NAMES.len()).collect();
        (0..=chance.index(3)).filter_map(|_| chance.pick(&all)).map(name).collect()
    };
    match chance.below(8) {
        0 | 1 => {
            let services = (!chance.one_in(3)).then(|| names(chance));
            Command::Down { services, asker: None }
        }
        2 => {
            let wish = Wish { names: names(chance), anew: true, ..Wish::default() };
            Command::Up { wish, asker: None }
        }
        _ => {
            let declared: Vec<_> = (0..NAMES.len())
                .filter(|_| !chance.one_in(4))
                .collect::<Vec<_>>()
                .into_iter()
                .map(|place| (name(place), Arc::new(service(place, chance))))
                .collect();
            let names = declared.iter().map(|(name, _)| name.clone());
            let names = names.filter(|_| !chance.one_in(5)).collect();
            let wish = Wish {
                declared,
                names,
                with_dependencies: !chance.one_in(4),
                even_completed: chance.one_in(2),
                forget_others: chance.one_in(3),
                leave_running: chance.one_in(5),
                ..Wish::default()
            };
            Command::Up { wish, asker: None }
        }
    }
}

/// Where each is declared, another commit is checked out at each command.
pub(crate) fn check_out(command: &mut Command, id: CommandId) {
    let Command::Up { wish, .. } = command else { return };
    let bytes: [u8; 8] = id.to_bytes()[8..].try_into().expect("8 bytes");
    let numbers = u64::from_be_bytes(bytes) >> 8..;
    let names = wish.declared.iter().map(|(name, _)| name.clone());
    wish.commits =
        names.zip(numbers).filter_map(|(name, number)| Some((name, commit(number)?))).collect();
}

fn condition(chance: &mut Chance) -> ServiceCondition {
    match chance.below(7) {
        0 => ServiceCondition::Started,
        3 => ServiceCondition::Ended,
        1 => ServiceCondition::Completed,
        2 => ServiceCondition::Failed,
        _ => ServiceCondition::Ready,
    }
}

/// One of a few: the same is often declared again.
fn service(place: usize, chance: &mut Chance) -> ServiceSpec {
    let version = chance.below(2);
    let mut fixed = Chance::new(place as u64 * 7 + version);
    let chance = &mut fixed;
    let on = (0..place).filter(|_| chance.one_in(2)).collect::<Vec<_>>();
    let depends_on = on
        .into_iter()
        .map(|other| ServiceDependency { service: name(other), condition: condition(chance) })
        .collect();
    let probe = || Probe {
        way: ProbeWay::Tcp { host: "localhost".to_owned(), port: ProbePort::Number(1) },
        initial_delay_ms: 0,
        interval_ms: 1,
        timeout_ms: 1,
        failure_threshold: 1,
        success_threshold: 1,
    };
    let passes = chance.one_in(3);
    let port = |name: &str, number| PortWish {
        name: name.to_owned(),
        number,
        host: None,
        pass_socket: name == "main" && passes,
        range: None,
    };
    let number = chance.one_in(3).then(|| 1 + u16::try_from(chance.below(PORTS)).expect("small"));
    let mut ports = vec![port("main", number), port("admin", None)];
    ports.truncate(chance.index(3));
    let moments = HookMoment::ALL.into_iter().filter(|_| chance.one_in(5));
    let hooks: BTreeMap<HookMoment, Vec<ByteString>> =
        moments.map(|moment| (moment, vec![ByteString::from("true")])).collect();
    let restart = match chance.below(4) {
        0 => RestartPolicy::Never,
        1 => RestartPolicy::OnFailure,
        2 => RestartPolicy::UnlessStopped,
        _ => RestartPolicy::Always,
    };
    let run = RunSpec {
        name: NAMES[place].to_owned(),
        kind: Kind::Service,
        command: vec![ByteString::from("serve")],
        secrets: chance.one_in(3).then(|| RunId::from_chance(1)),
        grace_ms: chance.below(2_000),
        output_bytes_max: 1,
        on_interrupt: OnInterrupt::Ask,
        ..RunSpec::default()
    };
    let supervision = Supervision {
        ports,
        depends_on,
        oneshot: restart == RestartPolicy::Never && chance.one_in(2),
        restart,
        max_restarts: chance.one_in(3).then(|| 1 + u32::try_from(chance.below(4)).expect("small")),
        backoff: Backoff { first_ms: chance.below(300), max_ms: 2_000, ..Backoff::DEFAULT },
        stable_ms: 1_000,
        readiness: chance.one_in(2).then(probe),
        health: chance.one_in(3).then(probe),
        startup_timeout_ms: 1_000,
        hooks,
        watch: if chance.one_in(3) { vec!["/p".into()] } else { Vec::new() },
    };
    ServiceSpec {
        title: None,
        hostname: None,
        run: Arc::new(run),
        replicas: 1 + small(chance, 2),
        supervision: Arc::new(supervision),
        digest: Digest([u8::try_from(version).expect("small"); 32]),
    }
}

/// Each time that it is sent, its secrets lie in other files.
pub(crate) fn renew_secrets(wish: &mut Wish, chance: &mut Chance) {
    for (_, spec) in &mut wish.declared {
        if spec.run.secrets.is_some() {
            let secrets = Some(RunId::from_chance(chance.next()));
            let run = Arc::new(RunSpec { secrets, ..(*spec.run).clone() });
            *spec = Arc::new(ServiceSpec { run, ..(**spec).clone() });
        }
    }
}

/// Those whom a daemon asks how they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched(BTreeSet<Key>);

impl Watched {
    pub(crate) fn watch(&mut self, watch: &Watch) {
        self.0.insert((watch.run, watch.attempt));
    }

    pub(crate) fn forget(&mut self, key: Key) {
        self.0.remove(&key);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of them answers, or its files change: anything may be said at any time.
    pub(crate) fn seen(&self, chance: &mut Chance) -> Option<Input> {
        let all: Vec<Key> = self.0.iter().copied().collect();
        let (run, attempt) = chance.pick(&all)?;
        let detail = Some("why".to_owned());
        let health = match chance.below(10) {
            0 => {
                return Some(Input::Observed(Observation::StartupOverdue { run, attempt, detail }));
            }
            1 | 2 => Health::Unhealthy,
            3..=6 => Health::Healthy,
            _ => Health::Ready,
        };
        Some(Input::Observed(Observation::HealthSeen { run, attempt, health, detail }))
    }
}

impl World {
    /// What the shell finds, when somebody else may have bound what it thought of.
    pub(crate) fn find_ports(
        &mut self,
        run: RunId,
        wishes: &[PortWish],
        avoid: &BTreeSet<u16>,
    ) -> Input {
        let mut taken = avoid.clone();
        let mut found = Vec::new();
        for wish in wishes {
            let free = (1..=2 * u16::try_from(PORTS).expect("small") + 20)
                .filter(|number| !taken.contains(number))
                .collect::<Vec<_>>();
            let number = self.chance.pick(&free).expect("there are more than services");
            taken.insert(number);
            found.push((wish.name.clone(), number));
        }
        Input::Observed(Observation::PortsFound { run, ports: found })
    }

    /// Somebody else was quicker: the start is not given to any shim.
    pub(crate) fn port_is_stolen(
        &mut self,
        (run, attempt): Key,
        spec: &RunSpec,
        ports: &[(String, u16)],
    ) -> Option<[Input; 2]> {
        let number = ports.first().map(|(_, number)| *number)?;
        let steals = self.rates.reorder > 0 && self.chance.one_in(6);
        if spec.role.is_none() || !steals {
            return None;
        }
        self.machine.truth.entry((run, attempt)).or_default().spawn_failed = true;
        let held = Observation::PortHeld { run, attempt, number, holder: None };
        let status = ExitStatus::NotStarted(SpawnError::PortTaken(number));
        let end = AttemptEnd::unmeasured(status, self.machine.wall());
        let ended = Observation::ProcessEnded { run, attempt, end };
        Some([Input::Observed(held), Input::Observed(ended)])
    }

    /// Files that some service watches have changed.
    pub(crate) fn files_changed_of_service(&mut self) -> Input {
        let service = name(self.chance.index(NAMES.len()));
        Input::Observed(Observation::FilesChanged { service, path: "/p/main.rs".to_owned() })
    }
}

/// What an attempt of a service depends on is so far, in the state before its intent.
pub(crate) fn may_begin(state: &State, event: &Event) -> Result<(), String> {
    let Event::AttemptIntended { run, ports, .. } = event else { return Ok(()) };
    let Some(live) = state.runs.get(run) else { return Ok(()) };
    let Some(role) = &live.spec.role else { return Ok(()) };
    let Some((service, replica)) = state.services.replica(role) else {
        return Err(format!("{run} begins for {role}, which nobody declared"));
    };
    let Some(standing) = replica.runs.iter().find(|standing| standing.run == *run) else {
        return Err(format!("{run} begins and does not stand for {role}"));
    };
    if !service.wanted {
        return Err(format!("{run} begins for {role}, which nobody wants"));
    }
    let others = replica.runs.iter().filter(|other| other.run != *run);
    let lives = |run: &RunId| state.runs.get(run).is_some_and(|run| run.attempt_lives);
    if let Some(other) = others.map(|other| other.run).find(lives) {
        return Err(format!("law 5: {run} begins beside {other}, both for {role}"));
    }
    if ports.len() != standing.spec.supervision.ports.len() {
        return Err(format!("{run} begins with ports {ports:?}"));
    }
    for on in &standing.spec.supervision.depends_on {
        if let Some(other) = state.services.known.get(&on.service) {
            for number in 0..other.spec.replicas {
                let role = Role { service: on.service.clone(), replica: number };
                if !is_so_far(state, &role, on.condition) {
                    return Err(format!("{run} begins and {role} is not {:?}", on.condition));
                }
            }
        }
    }
    Ok(())
}

fn is_so_far(state: &State, role: &Role, condition: ServiceCondition) -> bool {
    let Some((_, replica)) = state.services.replica(role) else { return false };
    let live = replica.runs.last().and_then(|last| Some((last, state.runs.get(&last.run)?)));
    let succeeded = replica.last.map(|last| last.outcome.is_success());
    match (condition, live) {
        (ServiceCondition::Failed, None) => succeeded == Some(false),
        (ServiceCondition::Ended, None) => succeeded.is_some(),
        (
            ServiceCondition::Completed | ServiceCondition::Failed | ServiceCondition::Ended,
            Some(_),
        ) => false,
        (_, None) => succeeded == Some(true),
        (ServiceCondition::Started, Some((_, run))) => run.attempt_lives && run.process.is_some(),
        (ServiceCondition::Ready, Some((standing, run))) => {
            let asked = standing.spec.supervision.readiness.is_some()
                || standing.spec.supervision.health.is_some();
            let well = matches!(run.health, Some(Health::Ready | Health::Healthy));
            let oneshot = standing.spec.supervision.oneshot;
            run.attempt_lives && run.process.is_some() && (well || !asked && !oneshot)
        }
    }
}

/// At most one live process stands for each replica.
pub(crate) fn one_each<'a>(specs: impl Iterator<Item = &'a RunSpec>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for role in specs.filter_map(|spec| spec.role.as_ref()) {
        if !seen.insert(role) {
            return Err(format!("law 5: {role} has two live processes"));
        }
    }
    Ok(())
}
