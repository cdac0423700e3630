//! The shims thread: gives attempts to shims and reports what they see.
//!
//! A shim runs one attempt at a time. One that is free takes the next start; where none is, a new
//! one is made. The thread never waits for one shim: a mute or dead one is fenced by a thread of
//! its own.

mod fencing;
mod shim;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

use shim::{Shim, Standing};

use super::launch::{Given, Launcher};
use super::mailbox::Mailbox;
use super::message::{Order, ToEngine};
use super::orders::Orders;
use super::place::Place;
use super::ports::Finder;
use super::probing::Prober;
use super::protocol::RunLine;
use super::watching::Watching;
use crate::model::action::Watch;
use crate::model::event::{AttemptEnd, ExitStatus, SpawnError};
use crate::model::{Action, Observation, QueueName, RunId, RunSpec, Slots};
use crate::runners::linux::clock;
use crate::runners::ports::{self, Busy};
use crate::runners::process::{Setup, ShimHandle};
use crate::runners::protocol::{AttemptId, FromShim, Stop, ToShim};
use crate::runners::shim::args::Args;

/// Free shims that are kept; more are let go. Making one costs about a millisecond.
const SPARE: usize = 8;
/// How often silence is measured.
const TICK_MS: i64 = 1_000;
/// Orders between two looks at the shims.
const ORDERS_IN_A_ROW: usize = 16;
/// ESRCH: nothing there to get a signal.
const NO_PROCESS: i32 = 3;

/// The thread's state.
pub struct Pool {
    place: Place,
    engine: Mailbox<ToEngine>,
    orders: Orders,
    launcher: Launcher,
    finder: Finder,
    prober: Prober,
    watching: Watching,
    shims: BTreeMap<u32, Shim>,
    holders: BTreeMap<AttemptId, u32>,
    attaching: BTreeMap<RunId, mpsc::Sender<RunLine>>,
    /// Who begins when.
    slots: Slots<Begin>,
    seen: Vec<Observation>,
    next_shim: u32,
    /// Since a shim last said hello.
    stillborn: u32,
}

/// An attempt that is to begin.
struct Begin {
    id: AttemptId,
    spec: Arc<RunSpec>,
    given: Given,
    /// It says by itself when it is ready.
    notifies: bool,
}

impl Pool {
    /// A pool with the shims that recovery found alive, what each holds, and the slots that this
    /// takes.
    pub fn new(
        place: Place,
        engine: Mailbox<ToEngine>,
        orders: Orders,
        adopted: Vec<(u32, ShimHandle, Vec<AttemptId>)>,
        next_shim: u32,
        occupied: Vec<(AttemptId, QueueName)>,
    ) -> Self {
        let launcher = Launcher::new(place.clone());
        let finder = Finder::new(&place);
        let prober = Prober::new(place.clone(), engine.clone());
        let watching = Watching::new(&place.home, engine.clone());
        let mut pool = Self {
            place,
            engine,
            orders,
            launcher,
            finder,
            prober,
            watching,
            shims: BTreeMap::new(),
            holders: BTreeMap::new(),
            attaching: BTreeMap::new(),
            slots: Slots::new(),
            seen: Vec::new(),
            next_shim,
            stillborn: 0,
        };
        for (AttemptId { run, attempt }, queue) in occupied {
            pool.slots.occupy((run, attempt), queue);
        }
        for (id, handle, holds) in adopted {
            pool.holders.extend(holds.iter().map(|attempt| (*attempt, id)));
            let kept_for = holds.last().map(|attempt| attempt.run);
            let holds = holds.into_iter().collect();
            let (due_since_ms, state) = (None, Standing::Serving);
            let shim = Shim { handle, holds, due_since_ms, state, kept_for, fence_tries: 0 };
            pool.shims.insert(id, shim);
        }
        pool
    }

    /// Runs until told to end. Shims that hold something go on without us.
    pub fn run(mut self) {
        loop {
            self.wait();
            let orders = self.orders.take();
            self.take_back(&orders);
            for (place, order) in orders.into_iter().enumerate() {
                // Hundreds of starts take seconds: what has started meanwhile is told.
                if place % ORDERS_IN_A_ROW == ORDERS_IN_A_ROW - 1 {
                    self.listen();
                }
                match order {
                    Order::Act(action) => self.act(action),
                    Order::AwaitAttach { run, lines } => {
                        self.attaching.retain(|_, lines| !lines.is_closed());
                        self.attaching.insert(run, lines);
                    }
                    Order::Fenced { shim, reason, survivors } => {
                        self.fenced(shim, reason, survivors.as_deref());
                    }
                    Order::End => {
                        self.end();
                        self.prober.end();
                        self.watching.end();
                        return;
                    }
                }
            }
            self.listen();
            self.look_for_mute();
        }
    }

    /// What is not to begin gets no slot of those that end before its own order comes: of a batch
    /// that is stopped no further line begins.
    fn take_back(&mut self, orders: &[Order]) {
        for order in orders {
            if let Order::Act(
                Action::Stop { run, attempt, .. } | Action::Pause { run, attempt, .. },
            ) = order
                && self.slots.holds_back((*run, *attempt))
            {
                self.slots.free((*run, *attempt));
            }
        }
    }

    /// Hears the shims and passes on what they saw.
    fn listen(&mut self) {
        self.read_shims();
        self.fill_slots();
        if !self.seen.is_empty() {
            self.engine.post(ToEngine::Observed(std::mem::take(&mut self.seen)));
        }
    }

    /// Waits until an order or a shim has something to say, or an answer is overdue.
    fn wait(&self) {
        let mut fds = vec![PollFd::new(self.orders.fd(), PollFlags::IN)];
        let listening = self.shims.values().filter(|shim| shim.state != Standing::Fencing);
        for shim in listening {
            let mut flags = PollFlags::IN;
            flags.set(PollFlags::OUT, shim.handle.wants_write());
            fds.push(PollFd::from_borrowed_fd(shim.handle.as_fd(), flags));
        }
        let due = self.shims.values().any(|shim| shim.due_since_ms.is_some());
        let tick = Timespec { tv_sec: TICK_MS / 1_000, tv_nsec: 0 };
        // EINTR and its like: the loop looks again.
        let _again = poll(&mut fds, due.then_some(&tick));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start { run, attempt, spec, ports, passed, notifies, main_pid, slot } => {
                let id = AttemptId { run, attempt };
                let given = Given { ports, passed, notify: None, main_pid };
                let begin = Begin { id, spec, given, notifies };
                match slot {
                    None => self.begin(begin),
                    Some(slot) => self.slots.offer((run, attempt), slot, begin),
                }
            }
            Action::Resize { queue, limit } => self.slots.resize(&queue, limit),
            Action::Watch(watch) => self.watch(*watch),
            Action::FindPorts { run, role, wishes, avoid } => {
                let ports = self.finder.find(&role, &wishes, avoid);
                self.see(Observation::PortsFound { run, ports });
            }
            Action::Stop { run, attempt, signal, grace_ms } => {
                let id = AttemptId { run, attempt };
                let stop = ToShim::Stop(Stop { id, signal, grace_ms });
                if !self.send_to_holder(id, &stop) {
                    // It never left this thread, and the engine starts nothing that stops.
                    self.see(Observation::StartWithdrawn { run, attempt });
                }
            }
            Action::Signal { run, attempt, signal } => {
                let id = AttemptId { run, attempt };
                if !self.send_to_holder(id, &ToShim::Signal(id, signal)) {
                    let errno = Some(NO_PROCESS);
                    self.see(Observation::SignalDelivered { run, attempt, signal, errno });
                }
            }
            Action::Pause { run, attempt } => {
                let id = AttemptId { run, attempt };
                if !self.send_to_holder(id, &ToShim::Pause(id)) {
                    // It never left this thread, and the engine starts nothing that is held.
                    self.see(Observation::StartWithdrawn { run, attempt });
                }
            }
            Action::Unpause { run, attempt } => {
                let id = AttemptId { run, attempt };
                self.send_to_holder(id, &ToShim::Unpause(id));
            }
            Action::Forget { run, attempt } => {
                let id = AttemptId { run, attempt };
                self.prober.forget(id);
                self.watching.forget(id);
                self.forget(id);
            }
            Action::DropSecrets { owner } => self.launcher.drop_secrets(owner),
            // The engine's thread keeps them from here.
            Action::Prune(_) | Action::TellPruned(_) => {}
        }
    }

    /// Begins what has a slot: what is over has given its own back.
    fn fill_slots(&mut self) {
        while let Some(begin) = self.slots.take_next() {
            self.begin(begin);
        }
    }

    fn begin(&mut self, begin: Begin) {
        let Begin { id, spec, mut given, notifies } = begin;
        let is_new = !self.holders.contains_key(&id);
        if let Some(role) = spec.role.as_ref().filter(|_| is_new) {
            self.watching.starts(&role.service);
        }
        let is_shared = spec.user.is_some();
        let notify = notifies && is_new;
        given.notify = notify.then(|| self.prober.make_socket(id, is_shared)).flatten();
        self.start(id, &spec, &given);
    }

    /// What goes to the engine. What is over gives back its slot.
    fn see(&mut self, observation: Observation) {
        if let Observation::ProcessEnded { run, attempt, .. }
        | Observation::StartWithdrawn { run, attempt }
        | Observation::ShimLost { run, attempt, .. } = observation
        {
            self.slots.free((run, attempt));
        }
        self.seen.push(observation);
    }

    fn watch(&mut self, watch: Watch) {
        self.watching.watch(&watch);
        if !watch.supervision.is_asked() {
            return;
        }
        let id = AttemptId { run: watch.run, attempt: watch.attempt };
        let given = Given { ports: watch.ports.clone(), ..Given::default() };
        // A secret file may be gone since: the probes are asked without it.
        let variables = self.launcher.environment(id, &watch.spec, &given).unwrap_or_default();
        let (supervision, hidden) = self.launcher.questions(&watch.spec, &watch.supervision);
        let watch = Watch { supervision: Arc::new(supervision), ..watch };
        self.prober.watch(watch, variables, hidden);
    }

    fn send_to_holder(&mut self, id: AttemptId, message: &ToShim) -> bool {
        let shim = self.holders.get(&id).and_then(|shim| self.shims.get_mut(shim));
        let Some(shim) = shim else { return false };
        // The end that a stop leads to may be hours away: the query is answered at once.
        shim.tell(message);
        shim.ask(&ToShim::Query);
        true
    }

    fn start(&mut self, id: AttemptId, spec: &Arc<RunSpec>, given: &Given) {
        if self.holders.contains_key(&id) {
            return;
        }
        let started = self.claim_ports(id, spec, given);
        let started = started.and_then(|()| self.launcher.prepare(id, spec, given));
        let started = started.and_then(|start| {
            let shim = self.free_shim(id.run).map_err(|error| not_started(&error))?;
            Ok((start, shim))
        });
        let (mut start, number) = match started {
            Ok(started) => started,
            Err(error) => {
                let now = clock::now().wall;
                let end = AttemptEnd::unmeasured(ExitStatus::NotStarted(error), now);
                let AttemptId { run, attempt } = id;
                self.see(Observation::ProcessEnded { run, attempt, end });
                return;
            }
        };
        // Nobody is there any more to hand over standard input.
        start.attached &= self.attaching.get(&id.run).is_none_or(|lines| !lines.is_closed());
        let Some(shim) = self.shims.get_mut(&number) else { return };
        shim.holds.insert(id);
        shim.kept_for = (!given.passed.is_empty()).then_some(id.run);
        if spec.strays == crate::model::Strays::Keep {
            shim.state = Standing::Leaving;
        }
        shim.ask(&ToShim::Start(Box::new(start)));
        self.holders.insert(id, number);
        self.tell_attaching(id, number);
    }

    /// Nobody else listens on the ports of a service: it would be asked instead of it.
    fn claim_ports(
        &mut self,
        id: AttemptId,
        spec: &RunSpec,
        given: &Given,
    ) -> Result<(), SpawnError> {
        // What its shim binds itself, it may have bound for the attempt before.
        let own = given.ports.iter().filter(|(name, _)| !given.is_passed(name));
        let own = own.filter(|_| spec.role.is_some());
        for (_, number) in own {
            if ports::is_free(None, *number) != Err(Busy::Taken(*number)) {
                continue;
            }
            let AttemptId { run, attempt } = id;
            let (number, holder) = (*number, ports::holder(*number));
            self.see(Observation::PortHeld { run, attempt, number, holder });
            return Err(SpawnError::PortTaken(number));
        }
        Ok(())
    }

    /// Tells the client where to connect, once the shim has said that it listens there.
    fn tell_attaching(&mut self, id: AttemptId, shim: u32) {
        if self.shims.get(&shim).is_none_or(|shim| shim.handle.hello().is_none()) {
            return;
        }
        let Some(lines) = self.attaching.get(&id.run) else { return };
        let socket = self.place.shim_socket(shim).to_string_lossy().into_owned();
        let output = self.place.output(id.run, id.attempt).to_string_lossy().into_owned();
        let attach = RunLine::Attach { socket, attempt: id.attempt, output };
        // A client that went away is waited for by the shim, for a while.
        let _gone = lines.try_send(attach);
    }

    /// A shim for the next attempt of a run: the one that has its sockets, or one without any.
    fn free_shim(&mut self, run: RunId) -> std::io::Result<u32> {
        let own = |shim: &Shim| {
            // What it has of that run is over, also where an earlier daemon heard so: law 5.
            let is_idle = shim.holds.iter().all(|held| held.run == run);
            is_idle && shim.state == Standing::Serving && shim.kept_for == Some(run)
        };
        let own = self.shims.iter().find(|(_, shim)| own(shim));
        if let Some((id, _)) = own.or_else(|| self.shims.iter().find(|(_, shim)| shim.is_free())) {
            return Ok(*id);
        }
        let id = self.next_shim;
        self.next_shim += 1;
        let directory = self.place.shim(id);
        std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
        let bound_to = self.place.is_isolated().then(|| self.place.root.clone());
        let args = Args { socket: self.place.shim_socket(id), bound_to, ..Args::new(directory) };
        let home = (OsString::from("JR_HOME"), self.place.home.clone().into_os_string());
        let setup = Setup { exe: PathBuf::from("/proc/self/exe"), args, variables: vec![home] };
        let handle = ShimHandle::spawn(&setup)?;
        let (holds, state) = (BTreeSet::new(), Standing::Serving);
        let (due_since_ms, kept_for, fence_tries) = (None, None, 0);
        let shim = Shim { handle, holds, due_since_ms, state, kept_for, fence_tries };
        self.shims.insert(id, shim);
        Ok(id)
    }

    fn forget(&mut self, id: AttemptId) {
        self.slots.free((id.run, id.attempt));
        let Some(number) = self.holders.remove(&id) else { return };
        self.let_go(number, id.run);
        let free = self.shims.values().filter(|shim| shim.is_free()).count();
        let Some(shim) = self.shims.get_mut(&number) else { return };
        shim.holds.remove(&id);
        if shim.state == Standing::Fencing {
            return;
        }
        // A connection that is gone is noticed where it is read.
        let _gone = shim.handle.send(&ToShim::Forget(id));
        // What a bound shim has spared lives as long as it does.
        let is_done = match shim.state {
            Standing::Leaving => !self.place.is_isolated(),
            Standing::Serving => free > SPARE,
            Standing::Fencing => false,
        };
        if shim.holds.is_empty() && is_done {
            shim.state = Standing::Leaving;
            let _gone = shim.handle.send(&ToShim::Exit);
        }
    }

    /// A shim that has nothing of a run any more has no sockets of it either.
    fn let_go(&mut self, number: u32, run: RunId) {
        let (first, last) = (AttemptId { run, attempt: 0 }, AttemptId { run, attempt: u32::MAX });
        let has_more = self.holders.range(first..=last).any(|(_, holder)| *holder == number);
        if let Some(shim) = self.shims.get_mut(&number) {
            shim.kept_for.take_if(|kept| *kept == run && !has_more);
        }
    }

    fn read_shims(&mut self) {
        let ids: Vec<u32> = self.shims.keys().copied().collect();
        for id in ids {
            let Some(shim) = self.shims.get_mut(&id) else { continue };
            if shim.state == Standing::Fencing {
                continue;
            }
            let written = shim.handle.on_writable();
            match shim.handle.on_readable().and_then(|messages| written.map(|()| messages)) {
                Ok(messages) => {
                    if !messages.is_empty() {
                        shim.due_since_ms = None;
                    }
                    for message in messages {
                        self.heard(id, message);
                    }
                }
                Err(_) => self.gone(id),
            }
        }
    }

    fn heard(&mut self, shim: u32, message: FromShim) {
        let observation = match message {
            FromShim::Started(AttemptId { run, attempt }, process) => {
                Observation::ProcessStarted { run, attempt, process }
            }
            FromShim::Ended(id, end) => {
                if let Some(shim) = self.shims.get_mut(&shim) {
                    // Free for the next start; the holder is remembered until it is forgotten.
                    shim.holds.remove(&id);
                }
                self.holders.insert(id, shim);
                let AttemptId { run, attempt } = id;
                Observation::ProcessEnded { run, attempt, end }
            }
            FromShim::Withdrawn(id) => {
                if let Some(shim) = self.shims.get_mut(&shim) {
                    shim.holds.remove(&id);
                }
                self.holders.remove(&id);
                self.let_go(shim, id.run);
                Observation::StartWithdrawn { run: id.run, attempt: id.attempt }
            }
            FromShim::SignalSent(AttemptId { run, attempt }, signal, errno) => {
                Observation::SignalDelivered { run, attempt, signal, errno }
            }
            FromShim::OutputMissing(AttemptId { run, attempt }, bytes, reason) => {
                Observation::OutputMissing { run, attempt, bytes, reason }
            }
            FromShim::Hello(_) => {
                self.stillborn = 0;
                let held = self.shims.get(&shim).map(|shim| shim.holds.clone());
                for id in held.into_iter().flatten() {
                    self.tell_attaching(id, shim);
                }
                return;
            }
            FromShim::Paused(AttemptId { run, attempt }, by) => {
                Observation::TreePaused { run, attempt, by }
            }
            FromShim::Unpaused(AttemptId { run, attempt }) => {
                Observation::TreeResumed { run, attempt }
            }
            FromShim::Held(_)
            | FromShim::State(_)
            | FromShim::Synced(_)
            | FromShim::Terminal(..)
            | FromShim::Output(..)
            | FromShim::Skipped(..)
            | FromShim::InputTaken(..)
            | FromShim::Halted(_) => return,
        };
        self.see(observation);
    }

    /// Free shims end now, the others when they are; bound ones with all that they have, which is
    /// waited for.
    fn end(&mut self) {
        if self.place.is_isolated() {
            let shims = std::mem::take(&mut self.shims).into_values();
            let farewell = |mut shim: Shim| {
                shim.tell(&ToShim::Exit);
                shim.handle.leave()
            };
            let children: Vec<Child> = shims.filter_map(farewell).collect();
            for mut child in children {
                // One that cannot be waited for is gone.
                let _gone = child.wait();
            }
            return;
        }
        for shim in self.shims.values_mut().filter(|shim| shim.is_free()) {
            let _gone = shim.handle.send(&ToShim::Exit);
        }
    }
}

fn not_started(error: &std::io::Error) -> SpawnError {
    SpawnError::Errno(error.raw_os_error().unwrap_or(0))
}
