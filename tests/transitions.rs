//! The lifecycle as one table: every phase against every event.

use std::fmt::Write as _;
use std::sync::Arc;

use jr::model::event::{
    DaemonStopReason, Due, Final, OutputLossReason, PausedBy, Process, QueuedReason, StopReason,
    Tracking,
};
use jr::model::phase::{self, IllegalEvent};
use jr::model::service::spec::{Health, RestartReason};
use jr::model::{
    AttemptEnd, BootId, Event, ExitStatus, LostReason, Outcome, Phase, RunId, RunSpec, Signal,
    SpawnError, UnixMillis,
};

fn spec() -> RunSpec {
    RunSpec { grace_ms: 1, output_bytes_max: 1, ..RunSpec::default() }
}

/// Each event once; the end of an attempt once for each status.
fn events() -> Vec<(String, Event)> {
    let (run, attempt, at) = (RunId::from_chance(1), 1, UnixMillis(0));
    let (signal, errno) = (Signal::TERM, None);
    let tracking = Tracking::Cgroup;
    let process = Process {
        pid: 2,
        start_ticks: 1,
        at,
        tracking,
        limits_by: jr::model::LimitsBy::default(),
        shim: 1,
    };
    let statuses = [
        ("exited", ExitStatus::Exited(0)),
        ("signalled", ExitStatus::Signalled(signal)),
        ("timed_out", ExitStatus::TimedOut(Final::Exited(0))),
        ("not_started", ExitStatus::NotStarted(SpawnError::NotFound)),
        ("never_started", ExitStatus::NeverStarted),
        ("lost", ExitStatus::Lost(LostReason::ShimDied)),
    ];
    let ends = statuses.map(|(word, status)| {
        let end = AttemptEnd::unmeasured(status, at);
        (format!("attempt_ended: {word}"), Event::AttemptEnded { run, attempt, end })
    });
    let (bytes, reason) = (None, OutputLossReason::NoSpace);
    let (boot, version) = (BootId([1; 16]), String::new());
    let others = [
        Event::RunAdmitted { run, spec: Arc::new(spec()) },
        Event::AttemptIntended { run, attempt, ports: Vec::new() },
        Event::AttemptStarted { run, attempt, process },
        Event::StopRequested { run, reason: StopReason::Asked, signal, grace_ms: 1, asker: None },
        Event::SignalRequested { run, attempt, signal, asker: None },
        Event::SignalSent { run, attempt, signal, errno },
        Event::RestartScheduled { run, attempt, due: Due { at, boottime_ms: 1 }, streak: 1 },
        Event::HealthChanged { run, attempt, health: Health::Ready, detail: None },
        Event::RestartRequested { run, attempt, reason: RestartReason::Unhealthy, detail: None },
        Event::PortConflict { run, attempt, number: 8_000, holder: None },
        Event::RunQueued { run, reason: QueuedReason::Due, asker: None },
        Event::PauseRequested { run, asker: None },
        Event::RunPaused { run, attempt, by: PausedBy::Freezer },
        Event::UnpauseRequested { run, asker: None },
        Event::RunUnpaused { run, attempt },
        Event::OutputLost { run, attempt, bytes, reason },
        Event::RunEnded { run, outcome: Outcome::Succeeded },
        Event::EnvironmentCreated { id: "local".parse().expect("a name") },
        Event::DaemonStarted { pid: 1, version, boot, cores: 1 },
        Event::DaemonStopped { reason: DaemonStopReason::Idle },
        Event::RecoveryFinished { adopted: 0, ended: 0, lost: 0, requeued: 0 },
        Event::ClockJumped { by_ms: 1 },
        Event::ConfigResolved { resolution: jr::model::Resolution::default() },
        Event::ConfigRejected { source: "f".to_owned(), reason: "r".to_owned() },
        Event::QueueSet { queue: "q".parse().expect("a name"), limit: 1 },
        Event::QueuePaused { queue: "q".parse().expect("a name"), asker: None },
        Event::QueueUnpaused { queue: "q".parse().expect("a name"), asker: None },
        Event::PruneRequested { before: 1, keep_days: None, keep_runs: Some(1) },
        Event::RunsPruned { before: 1, runs: 0, events: 0, bytes: 0, error: None },
        Event::RunPinned { run, pinned: true },
    ];
    let others = others.into_iter().map(|event| (event.kind_name().to_owned(), event));
    others.chain(ends).collect()
}

#[test]
fn every_phase_against_every_event() {
    let mut table = format!("{:<30}", "event");
    for phase in Phase::ALL {
        write!(table, "{:<10}", phase.word()).expect("a string takes text");
    }
    for (name, event) in events() {
        table.truncate(table.trim_end().len());
        write!(table, "\n{name:<30}").expect("a string takes text");
        for phase in Phase::ALL {
            let word = phase::next(phase, &event).map_or("·", Phase::word);
            write!(table, "{word:<10}").expect("a string takes text");
        }
    }
    insta::assert_snapshot!(table.trim_end());
}

/// What is illegal names both sides of the clash.
#[test]
fn an_illegal_event_names_the_phase_and_itself() {
    for (_, event) in events() {
        for phase in Phase::ALL {
            let Err(illegal) = phase::next(phase, &event) else { continue };
            let event = event.kind_name();
            assert_eq!(illegal, IllegalEvent::Phase { phase, event });
            let text = illegal.to_string();
            assert!(text.contains(event) && text.contains(phase.word()), "{text}");
        }
    }
}

#[test]
fn what_has_ended_never_lives_again() {
    for (name, event) in events() {
        phase::next(Phase::Ended, &event).expect_err(&name);
    }
}
