//! A whole jr on one thread, deterministic from a seed: the real engine, a log, a clock, shims,
//! processes and clients; and what breaks them (docs/simulation.md).

mod chance;
mod clients;
mod daemon;
mod disk;
#[path = "../support/faulty.rs"]
mod faulty;
#[path = "../support/faulty_directory.rs"]
mod faulty_directory;
mod judge;
mod machine;
mod pause;
mod services;
mod store_disk;

use std::collections::BTreeSet;

use chance::Chance;
use clients::Clients;
use daemon::Daemon;
use disk::{Disk, MemoryDisk};
use judge::Judge;
use machine::{Done, Machine};
use store_disk::StoreDisk;

/// One simulation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Config {
    pub(crate) seed: u64,
    /// Keep one line per step.
    pub(crate) traced: bool,
    /// Over the real log, on a disk that fails, instead of a list in memory.
    pub(crate) stored: bool,
    /// A deliberate bug of the simulated shell or shims.
    pub(crate) bug: Option<&'static str>,
}

/// What a simulation did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    /// blake3 over all events.
    pub(crate) events_digest: String,
    pub(crate) events: usize,
    pub(crate) jobs: usize,
    pub(crate) lost: u32,
    pub(crate) brought_back: u32,
    pub(crate) daemons: u32,
    pub(crate) reboots: u32,
}

/// How often what breaks, of 10,000 steps: drawn per seed, and some not at all.
#[derive(Clone, Debug, Default)]
struct Rates {
    daemon_dies: u64,
    shim_dies: u64,
    shim_stalls: u64,
    reboot: u64,
    clock_jumps: u64,
    leaves: u64,
    /// Of commits, of messages, of starts.
    commit_fails: u64,
    duplicate: u64,
    reorder: u64,
    ahead: u64,
}

impl Rates {
    fn drawn(chance: &mut Chance) -> Self {
        let mut rate = |highest: u64| {
            if chance.one_in(2) { 0 } else { 1 + chance.below(highest) }
        };
        Self {
            daemon_dies: rate(400),
            shim_dies: rate(100),
            shim_stalls: rate(100),
            reboot: rate(20),
            clock_jumps: rate(50),
            leaves: rate(50),
            commit_fails: rate(800),
            duplicate: rate(3_000),
            reorder: rate(8_000),
            ahead: rate(9_000),
        }
    }

    /// Nothing breaks any more; messages stay as wild as they were.
    fn calm(&mut self) {
        self.daemon_dies = 0;
        self.shim_dies = 0;
        self.shim_stalls = 0;
        self.reboot = 0;
        self.clock_jumps = 0;
        self.leaves = 0;
        self.commit_fails = 0;
    }
}

/// All that there is.
struct World {
    chance: Chance,
    rates: Rates,
    machine: Machine,
    disk: Box<dyn Disk>,
    daemon: Option<Daemon>,
    clients: Clients,
    judge: Judge,
    generation: u32,
    killed_mute: BTreeSet<u32>,
    trace: Option<Vec<String>>,
}

/// Steps after which an accepted run must have ended, once nothing breaks any more.
const CALM_STEPS: u32 = 60_000;

/// Runs one simulation.
///
/// # Errors
/// What broke which law, with the trace if one was wanted.
pub(crate) fn run(config: Config) -> Result<Report, (String, Vec<String>)> {
    let mut chance = Chance::new(config.seed);
    let rates = Rates::drawn(&mut chance);
    let budget = 5 + u32::try_from(chance.below(30)).expect("small");
    let machine = Machine { bug: config.bug, wall_ms: 1_000_000, boot: 1, ..Machine::default() };
    let disk: Box<dyn Disk> =
        if config.stored { Box::new(StoreDisk::new()) } else { Box::new(MemoryDisk::default()) };
    let mut world = World {
        chance,
        rates,
        machine,
        disk,
        daemon: None,
        clients: Clients { budget, ..Clients::default() },
        judge: Judge::default(),
        generation: 0,
        killed_mute: BTreeSet::new(),
        trace: config.traced.then(Vec::new),
    };
    let result = world.live();
    let trace = world.trace.take().unwrap_or_default();
    match result {
        Ok(()) => Ok(world.report()),
        Err(broken) => Err((format!("seed {}: {broken}", config.seed), trace)),
    }
}

impl World {
    fn trace(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    fn live(&mut self) -> Result<(), String> {
        let steps = 300 + self.chance.below(1_500);
        for _ in 0..steps {
            self.step()?;
        }
        self.rates.calm();
        self.trace(|| "CALM".to_owned());
        self.clients.budget = 0;
        self.calm_down()?;
        self.judge.finished()
    }

    fn step(&mut self) -> Result<(), String> {
        self.break_something()?;
        match self.chance.below(20) {
            0..=8 => {
                if self.daemon.is_some() || self.chance.one_in(4) {
                    self.daemon_step()?;
                }
            }
            9..=15 => {
                let shims = self.machine.living_shims();
                if let Some(shim) = self.chance.pick(&shims) {
                    self.shim_step(shim)?;
                }
            }
            16 | 17 => {
                let ms = if self.chance.one_in(3) { 200 } else { 10 };
                let ms = 1 + self.chance.below(ms);
                self.machine.pass(ms);
            }
            _ => self.client_step(),
        }
        Ok(())
    }

    fn shim_step(&mut self, shim: u32) -> Result<bool, String> {
        let done = self.machine.shim_step(shim, &mut self.chance);
        let worked = done.worked;
        self.after_shim(shim, done)?;
        Ok(worked)
    }

    fn after_shim(&mut self, shim: u32, done: Done) -> Result<(), String> {
        if let Some(key) = done.forked {
            self.trace(|| format!("shim {shim} forks {key:?}"));
            let head = self.daemon.as_ref().map(|daemon| daemon.engine.state());
            self.judge.forked(key, &self.machine, head)?;
        }
        for message in &done.sent {
            self.trace(|| format!("shim {shim} sends {message:?}"));
        }
        self.deliver(shim, done.sent);
        Ok(())
    }

    fn break_something(&mut self) -> Result<(), String> {
        let rates = self.rates.clone();
        if self.chance.hits(rates.daemon_dies) {
            self.daemon_gone(false);
        }
        if self.chance.hits(rates.leaves) {
            self.leave_in_order()?;
        }
        let shims = self.machine.living_shims();
        if self.chance.hits(rates.shim_dies)
            && let Some(shim) = self.chance.pick(&shims)
        {
            self.trace(|| format!("SHIM {shim} dies"));
            self.machine.kill_shim(shim);
        }
        if self.chance.hits(rates.shim_stalls)
            && let Some(shim) = self.chance.pick(&shims)
        {
            let ms = if self.chance.one_in(2) { 500 } else { 1_000_000 };
            self.trace(|| format!("SHIM {shim} stalls for {ms}"));
            self.machine.stall_shim(shim, ms);
        }
        if self.chance.hits(rates.reboot) {
            self.trace(|| "REBOOT".to_owned());
            self.daemon_gone(true);
            self.machine.reboot(&mut self.chance);
        }
        if self.chance.hits(rates.clock_jumps) {
            let by_ms = i64::try_from(self.chance.below(7_200_000)).expect("small") - 3_600_000;
            self.machine.wall_ms += by_ms;
            self.clock_jumped(by_ms)?;
        }
        if let Some(shim) = self.chance.pick(&shims)
            && self.machine.is_idle(shim)
            && self.chance.one_in(200)
        {
            // Its idle time was over: whatever was sent to it meanwhile nobody reads.
            self.machine.kill_shim(shim);
        }
        Ok(())
    }

    /// Time runs and nothing breaks: everything comes to its end.
    fn calm_down(&mut self) -> Result<(), String> {
        let mut stopped = false;
        for step in 0..CALM_STEPS {
            let mut worked = self.daemon_step()?;
            let shims = self.machine.living_shims();
            if let Some(shim) = self.chance.pick(&shims) {
                worked |= self.shim_step(shim)?;
            }
            if self.chance.one_in(4) {
                self.client_step();
            }
            if worked {
                continue;
            }
            let mut busy = false;
            for shim in shims {
                busy |= self.shim_step(shim)?;
            }
            if busy || self.daemon.is_none() {
                continue;
            }
            let head = self.daemon.as_ref().map(|daemon| daemon.engine.state());
            let ended = head.is_some_and(|state| state.runs.is_empty());
            if ended && !self.is_asked() && self.machine.processes.is_empty() {
                return Ok(());
            }
            let services = head.is_some_and(|state| !state.services.known.is_empty());
            if stopped && services && self.chance.one_in(20) {
                self.stop_all();
            }
            // What is to stay up has timers without end.
            if !stopped && services && step > 1_000 {
                stopped = true;
                self.stop_all();
            }
            match self.next_moment() {
                Some(moment) => self.machine.pass(moment - self.machine.boottime_ms),
                None if !stopped => {
                    stopped = true;
                    self.stop_all();
                }
                None => self.machine.pass(1_000),
            }
            if step > CALM_STEPS / 2 && !stopped {
                stopped = true;
                self.stop_all();
            }
        }
        let head = self.daemon.as_ref().map(|daemon| daemon.engine.state().runs.clone());
        let live = &self.machine.processes;
        Err(format!("law 6: after {CALM_STEPS} calm steps: {head:#?}\n{live:#?}"))
    }

    /// The next moment at which something happens by itself: in the world, or by a timer.
    fn next_moment(&self) -> Option<u64> {
        let due = self.daemon.as_ref().and_then(|daemon| daemon.engine.next_due_ms(self.now()));
        let due = due.map(|wait| self.machine.boottime_ms + wait);
        self.machine.next_moment().into_iter().chain(due).min()
    }

    fn report(&self) -> Report {
        let text = format!("{:?}", self.judge.log);
        Report {
            events_digest: blake3::hash(text.as_bytes()).to_hex().to_string(),
            events: self.judge.log.len(),
            jobs: self.judge.jobs(),
            lost: self.judge.lost,
            brought_back: self.judge.brought_back,
            daemons: self.generation,
            reboots: u32::from(self.machine.boot) - 1,
        }
    }
}
