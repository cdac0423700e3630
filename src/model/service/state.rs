//! What is true of services: a function of the log, part of [`crate::model::State`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::spec::{AssignedPort, HookMoment, Role, ServiceSpec, UnwantedReason};
use crate::model::event::{Envelope, Event, Outcome};
use crate::model::id::{RunId, ServiceName};
use crate::model::phase::IllegalEvent;
use crate::model::run::Run;

/// All that were declared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Services {
    /// By name.
    pub known: BTreeMap<ServiceName, Service>,
    /// Live commands beside runs of theirs that need secrets, with whose file that is.
    pub hooks: BTreeMap<RunId, RunId>,
}

/// A declared service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// What it is to be.
    pub spec: Arc<ServiceSpec>,
    /// It is to be up.
    pub wanted: bool,
    /// Why it is not, where that was said.
    pub unwanted: Option<UnwantedReason>,
    /// It goes with its last run.
    pub forgotten: bool,
    /// What stands for it.
    pub replicas: BTreeMap<u32, Replica>,
}

/// One of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Replica {
    /// Live runs, oldest first: only the first may have a process.
    pub runs: Vec<Standing>,
    /// The latest run that ended.
    pub last: Option<Ended>,
    /// What it has, by name.
    pub ports: BTreeMap<String, AssignedPort>,
    /// Ports that were taken in a row, by name.
    pub tried: BTreeMap<String, u32>,
}

/// A live run of a replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Which.
    pub run: RunId,
    /// What was declared when it was admitted.
    pub spec: Arc<ServiceSpec>,
    /// Commands beside it that live.
    pub hooks: BTreeMap<RunId, HookMoment>,
    /// The attempt that its `before_start` has prepared.
    pub prepared: u32,
    /// Its `before_stop` is over.
    pub may_stop: bool,
}

/// A run of a replica that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Which.
    pub run: RunId,
    /// How.
    pub outcome: Outcome,
    /// Attempts that it had after its first.
    pub restarts: u32,
}

impl Services {
    /// Takes a record that is about services.
    ///
    /// # Errors
    /// [`IllegalEvent::OutOfPlace`]: it names a service that was not declared.
    pub(in crate::model) fn apply(&mut self, envelope: &Envelope) -> Result<(), IllegalEvent> {
        let event = envelope.event.kind_name();
        if let Event::ServiceDeclared { service, spec } = &envelope.event {
            self.declare(service, spec);
            return Ok(());
        }
        let name = envelope.event.service().ok_or(IllegalEvent::OutOfPlace { event })?;
        let service = self.known.get_mut(name).ok_or(IllegalEvent::OutOfPlace { event })?;
        match &envelope.event {
            Event::ServiceWanted { .. } => {
                (service.wanted, service.unwanted) = (true, None);
            }
            Event::ServiceUnwanted { reason, .. } => {
                (service.wanted, service.unwanted) = (false, Some(*reason));
            }
            Event::ServiceForgotten { .. } => {
                (service.wanted, service.forgotten) = (false, true);
                self.let_go();
            }
            Event::PortAssigned { replica, port, .. } => {
                let replica = service.replicas.entry(*replica).or_default();
                replica.ports.insert(port.name.clone(), port.clone());
            }
            Event::PortReleased { replica, name, reason, .. } => {
                let replica = service.replicas.entry(*replica).or_default();
                replica.ports.remove(name);
                if *reason == super::spec::PortRelease::Taken {
                    *replica.tried.entry(name.clone()).or_default() += 1;
                }
            }
            _ => return Err(IllegalEvent::OutOfPlace { event }),
        }
        Ok(())
    }

    fn declare(&mut self, name: &ServiceName, spec: &Arc<ServiceSpec>) {
        if let Some(service) = self.known.get_mut(name) {
            service.spec = Arc::clone(spec);
            service.forgotten = false;
            return;
        }
        let service = Service {
            spec: Arc::clone(spec),
            wanted: false,
            unwanted: None,
            forgotten: false,
            replicas: BTreeMap::new(),
        };
        self.known.insert(name.clone(), service);
    }

    /// Takes out what was forgotten and has no live run.
    fn let_go(&mut self) {
        self.known.retain(|_, service| !service.forgotten || service.lives());
    }

    /// A run was admitted for a replica; false if nothing of that name was declared.
    pub(in crate::model) fn admit(&mut self, run: &Run) -> bool {
        if let Some(owner) = run.spec.secrets.filter(|_| run.spec.hook.is_some()) {
            self.hooks.insert(run.id, owner);
        }
        let Some(role) = &run.spec.role else { return true };
        let Some(service) = self.known.get_mut(&role.service) else { return false };
        let spec = Arc::clone(&service.spec);
        let hooks = BTreeMap::new();
        let standing = Standing { run: run.id, spec, hooks, prepared: 0, may_stop: false };
        service.replicas.entry(role.replica).or_default().runs.push(standing);
        true
    }

    /// An attempt of it has a process: the ports are its own.
    pub(in crate::model) fn started(&mut self, role: &Role) {
        let service = self.known.get_mut(&role.service);
        if let Some(replica) = service.and_then(|service| service.replicas.get_mut(&role.replica)) {
            replica.tried.clear();
        }
    }

    /// A run of a replica has ended.
    pub(in crate::model) fn end(&mut self, role: &Role, ended: Ended) {
        let Some(service) = self.known.get_mut(&role.service) else { return };
        let Some(replica) = service.replicas.get_mut(&role.replica) else { return };
        replica.runs.retain(|standing| standing.run != ended.run);
        replica.last = Some(ended);
        // What is too many keeps nothing.
        if replica.runs.is_empty() && role.replica >= service.spec.replicas {
            service.replicas.remove(&role.replica);
        }
        self.let_go();
    }

    /// The replica that a role means.
    pub fn replica(&self, role: &Role) -> Option<(&Service, &Replica)> {
        let service = self.known.get(&role.service)?;
        Some((service, service.replicas.get(&role.replica)?))
    }

    /// What is known of a live run of a service.
    pub fn standing(&self, run: &Run) -> Option<&Standing> {
        let (_, replica) = self.replica(run.spec.role.as_ref()?)?;
        replica.runs.iter().find(|standing| standing.run == run.id)
    }

    pub(in crate::model) fn standing_mut(
        &mut self,
        role: &Role,
        run: RunId,
    ) -> Option<&mut Standing> {
        let replica = self.known.get_mut(&role.service)?.replicas.get_mut(&role.replica)?;
        replica.runs.iter_mut().find(|standing| standing.run == run)
    }

    /// Whose secrets are needed by what is declared, lives, or stands beside it.
    pub fn secret_owners(&self) -> impl Iterator<Item = RunId> {
        let specs = self.known.values().flat_map(|service| {
            let runs = service.replicas.values().flat_map(|replica| &replica.runs);
            std::iter::once(&service.spec).chain(runs.map(|standing| &standing.spec))
        });
        specs.filter_map(|spec| spec.run.secrets).chain(self.hooks.values().copied())
    }

    /// Whether a declared service, a live run of one, or a command beside one, needs the secrets of
    /// that owner.
    pub fn uses(&self, owner: RunId) -> bool {
        self.secret_owners().any(|known| known == owner)
    }

    /// Who has a port, and what for.
    pub fn owner_of(&self, number: u16) -> Option<(Role, &AssignedPort)> {
        self.ports().find(|(_, port)| port.number == number)
    }

    /// All assigned ports.
    pub fn ports(&self) -> impl Iterator<Item = (Role, &AssignedPort)> {
        let replicas = self.known.iter().flat_map(|(name, service)| {
            let role = |replica: &u32| Role { service: name.clone(), replica: *replica };
            service.replicas.iter().map(move |(number, replica)| (role(number), replica))
        });
        replicas.flat_map(|(role, replica)| {
            replica.ports.values().map(move |port| (role.clone(), port))
        })
    }
}

impl Service {
    /// Whether a run of it lives.
    pub fn lives(&self) -> bool {
        self.replicas.values().any(|replica| !replica.runs.is_empty())
    }

    /// A replica, where anything is known of it.
    pub fn replica(&self, number: u32) -> Option<&Replica> {
        self.replicas.get(&number)
    }
}

impl Replica {
    /// The run that is to stay.
    pub fn newest(&self) -> Option<&Standing> {
        self.runs.last()
    }
}
