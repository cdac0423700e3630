//! Makes an environment of any size through the real write path: the engine decides, the log
//! commits, the views fold. No process is started.
//!
//! `cargo run --release --example generate -- HOME EVENTS [ENVIRONMENT]`
//!
//! Runs have a few names, most succeed, some fail, some are signalled; times advance by a few
//! milliseconds per event, so that `--at` and `--since` have something to find.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use jr::daemon::place::{Place, PlaceVariables};
use jr::limits;
use jr::log::{SegmentHeader, Store, snapshot};
use jr::model::command::BatchLine;
use jr::model::event::{AttemptEnd, Cause, ExitStatus, OutputEnd, Process, Tracking, Usage};
use jr::model::{
    Action, BootId, ByteString, Command, CommandId, Engine, Envelope, EnvironmentId, Input, Kind,
    LimitsBy, Now, Observation, Release, Request, RunId, RunSpec, Signal, State, UnixMillis,
};
use jr::projections::Views;

/// Lines of each batch, at most.
const LINES: u64 = 500;
/// Events of a run that is a line of a batch.
const EVENTS_OF_A_RUN: u64 = 5;
/// Events between two words of progress.
const TELL_EVERY: u64 = 1_000_000;
/// Where the generated time begins: 2026-01-01T00:00:00Z.
const EPOCH_MS: i64 = 1_767_225_600_000;

/// Chance from a seed: xorshift64*.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// The world: a log, a clock and processes that end at once.
struct World {
    engine: Engine,
    store: Store,
    gathered: Vec<Envelope>,
    chance: Chance,
    now: Now,
}

impl World {
    fn step(&mut self, input: Input) -> Result<Vec<Release>, Box<dyn std::error::Error>> {
        self.now.boottime_ms += self.chance.next() % 5;
        self.now.wall.0 = EPOCH_MS + i64::try_from(self.now.boottime_ms)?;
        self.gathered.extend(self.engine.step(input, self.now)?);
        if self.gathered.len() >= limits::COMMIT_EVENTS {
            self.commit()?;
        }
        // Nobody waits here, so what is decided may go out before it is durable.
        let head = self.engine.head();
        Ok(self.engine.durable(head))
    }

    fn commit(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        self.store.append(&std::mem::take(&mut self.gathered))?;
        if self.store.hot_records() >= limits::SEGMENT_EVENTS {
            self.store.seal(&snapshot::encode(self.engine.state()))?;
        }
        Ok(())
    }

    fn batch(&mut self, lines: u64) -> Result<(), Box<dyn std::error::Error>> {
        let run = RunId::from_chance(self.chance.next());
        let names = ["build", "test", "lint", "fetch", "train", "report"];
        let lines = (0..lines).map(|line| {
            let name = names[usize::try_from(self.chance.next() % 6).unwrap_or(0)];
            let text = format!("{name} --part {line}");
            let command = text.split(' ').map(ByteString::from).collect();
            let run = RunId::from_chance(self.chance.next());
            BatchLine { run, name: name.to_owned(), command, line: ByteString::from(text) }
        });
        let lines = lines.collect();
        let command = Command::Batch { run, spec: Arc::new(spec()), jobs: 2, lines };
        let chance = (u128::from(self.chance.next()) << 64) | u128::from(self.chance.next());
        let cause = Cause { command: CommandId::from_chance(chance), uid: 0 };
        let mut releases = self.step(Input::Command(Request { cause, facts_seq: 0, command }))?;
        while let Some(release) = releases.pop() {
            if let Release::Act(Action::Start { run, attempt, .. }) = release {
                let at = self.now.wall;
                let (pid, start_ticks, shim) = (1_000 + attempt, self.now.boottime_ms / 10, 1);
                let (tracking, limits_by) = (Tracking::Cgroup, LimitsBy::default());
                let process = Process { pid, start_ticks, at, tracking, limits_by, shim };
                let started = Observation::ProcessStarted { run, attempt, process };
                releases.extend(self.step(Input::Observed(started))?);
                let end = self.end();
                let ended = Observation::ProcessEnded { run, attempt, end };
                releases.extend(self.step(Input::Observed(ended))?);
            }
        }
        Ok(())
    }

    fn end(&mut self) -> AttemptEnd {
        let duration_ms = self.chance.next() % 2_000;
        let status = match self.chance.next() % 50 {
            0 => ExitStatus::Exited(1),
            1 => ExitStatus::Signalled(Signal::KILL),
            _ => ExitStatus::Exited(0),
        };
        let at = UnixMillis(self.now.wall.0 + i64::try_from(duration_ms).unwrap_or(0));
        let (user_ms, max_rss_bytes) = (duration_ms / 3, 4 << 20);
        let usage = Usage { user_ms, system_ms: 2, max_rss_bytes, oom_kills: None };
        AttemptEnd {
            duration_ms: Some(duration_ms),
            usage: Some(usage),
            output: Some(OutputEnd { stdout_bytes: 120, ..OutputEnd::default() }),
            ..AttemptEnd::unmeasured(status, at)
        }
    }
}

fn spec() -> RunSpec {
    RunSpec {
        name: "generated".to_owned(),
        kind: Kind::Batch,
        cwd: ByteString::from("/tmp"),
        labels: [("origin".to_owned(), "generate".to_owned())].into(),
        ..RunSpec::default()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let usage = "usage: generate HOME EVENTS [ENVIRONMENT]";
    let (home, events) = (words.next().ok_or(usage)?, words.next().ok_or(usage)?.parse::<u64>()?);
    let id: EnvironmentId = words.next().as_deref().unwrap_or("local").parse()?;
    let variables = PlaceVariables { jr_home: Some(home.into()), ..PlaceVariables::default() };
    let place = Place::of(id.clone(), &variables)?;
    let store = Store::create(&place.log(), &SegmentHeader::first(id.clone()), &[])?;
    let engine = Engine::new(State::default());
    let (chance, now) = (Chance(0x9E37_79B9_7F4A_7C15), Now::default());
    let mut world = World { engine, store, gathered: Vec::new(), chance, now };
    let boot = BootId([7; 16]);
    world.step(Input::Observed(Observation::EnvironmentMade { id }))?;
    let (pid, version) = (1, env!("CARGO_PKG_VERSION").to_owned());
    world.step(Input::Observed(Observation::DaemonBegan { pid, version, boot, cores: 2 }))?;
    world.step(Input::RecoveryDone)?;
    let (mut told, lines) = (0, (events / EVENTS_OF_A_RUN).clamp(1, LINES));
    while world.engine.head() < events {
        world.batch(lines)?;
        if world.engine.head() >= told + TELL_EVERY {
            told = world.engine.head();
            tell(&format!("{told} of {events} events"))?;
        }
    }
    world.commit()?;
    tell("folding the views")?;
    let here = jr::runners::linux::clock::boot_id()?;
    let mut views = Views::open(&place.views(), here, &world.store.reader())?;
    views.flush()?;
    // Without them nobody ever worked here, and readers look no further.
    for lock in [place.lock(), place.starting()] {
        File::create(lock)?;
    }
    tell(&format!("{} events in {}", views.applied(), place.root.display()))
}

/// Progress, for who waits.
fn tell(what: &str) -> Result<(), Box<dyn std::error::Error>> {
    writeln!(std::io::stderr(), "generate: {what}")?;
    Ok(())
}
