//! Events of every kind for tests of the log: a fixed sample, and strategies for any.
#![allow(dead_code, clippy::allow_attributes, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;

use jr::log::SegmentHeader;
use jr::model::event::{
    Asker, DaemonStopReason, Due, Final, OutputLossReason, Process, QueuedReason, RejectReason,
    SkipReason, StopReason, Tracking,
};
use jr::model::service::probe::{HttpProbe, Probe, ProbePort, ProbeWay};
use jr::model::service::spec::{
    AssignedPort, Health, HookMoment, PortHolder, PortRelease, PortWish, RestartPolicy,
    RestartReason, Role, ServiceCondition, ServiceDependency, ServiceSpec, Supervision,
    UnwantedReason,
};
use jr::model::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

pub(crate) fn header() -> SegmentHeader {
    SegmentHeader::first("local".parse().expect("a name"))
}

pub(crate) fn run(number: u64) -> RunId {
    RunId::from_chance(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

pub(crate) fn spec(number: u64) -> RunSpec {
    RunSpec {
        name: format!("job-{number}"),
        command: vec![ByteString::from("/bin/echo"), ByteString::from(vec![0xff, 0x00])],
        cwd: ByteString::from("/home/user/project"),
        variables: Some(Digest([7; 32])),
        secrets: (number.is_multiple_of(5)).then(|| run(number)),
        labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        queue: Some(QueueName::default_queue()),
        attached: number.is_multiple_of(2),
        timeout_ms: (number.is_multiple_of(3)).then_some(60_000),
        parent: (number.is_multiple_of(7)).then(|| run(number / 7)),
        retry: number.is_multiple_of(4).then_some(retry(3, 1_000)),
        ok_codes: if number.is_multiple_of(6) { vec![3, 250] } else { Vec::new() },
        after: if number.is_multiple_of(9) { vec![after(number)] } else { Vec::new() },
        lock: number.is_multiple_of(11).then(lock),
        tty: number.is_multiple_of(13).then_some(WindowSize { rows: 24, columns: 300 }),
        limits: ResourceLimits { memory_bytes: Some(1 << 30), ..ResourceLimits::default() },
        commit: (!number.is_multiple_of(3)).then(|| commit(number)),
        ..RunSpec::default()
    }
}

/// SHA-256 where the number is even.
pub(crate) fn commit(number: u64) -> GitCommit {
    let byte = u8::try_from(number % 250).expect("small") + 1;
    let bytes = [byte; 32];
    let length = if number.is_multiple_of(2) { 32 } else { 20 };
    GitCommit::from_bytes(&bytes[..length]).expect("a commit")
}

fn retry(times: u32, first_ms: u64) -> Retry {
    let backoff = Backoff { first_ms, max_ms: 60_000, factor_percent: 200, jitter_percent: 10 };
    Retry { times, backoff }
}

fn after(number: u64) -> Dependency {
    Dependency { run: run(number / 9), condition: Condition::Any }
}

fn asker() -> Asker {
    Asker { pid: 4_711, command: "jr stop web".to_owned() }
}

fn limits_by() -> LimitsBy {
    let [cpu, memory, pids] = [LimitBy::Nothing, LimitBy::Cgroup1, LimitBy::Cgroup2].map(Some);
    LimitsBy { cpu, memory, pids }
}

fn lock() -> LockWish {
    LockWish { name: "disk".parse().expect("a name"), otherwise: LockBusy::Skip }
}

/// The events of one run that works, five of them, from seq `5 * number + 1` on.
pub(crate) fn life(number: u64) -> Vec<Envelope> {
    let (run, attempt, pid) = (run(number), 1, u32::try_from(number % 30_000).expect("fits"));
    let at = UnixMillis(1_700_000_000_000 + i64::try_from(number).expect("fits"));
    let process = Process {
        pid,
        start_ticks: number * 10,
        at,
        tracking: Tracking::Cgroup,
        limits_by: limits_by(),
        shim: 42,
    };
    let usage = Usage { user_ms: 1, system_ms: 2, max_rss_bytes: 3 << 20, oom_kills: Some(1) };
    let output = OutputEnd { stdout_bytes: number, ..OutputEnd::default() };
    let mut end = AttemptEnd::unmeasured(ExitStatus::Exited(0), at);
    (end.usage, end.output, end.duration_ms) = (Some(usage), Some(output), Some(12));
    let cause = Cause { command: CommandId::from_chance(u128::from(number) << 60), uid: 1_000 };
    let events = [
        (Some(cause), Event::RunAdmitted { run, spec: std::sync::Arc::new(spec(number)) }),
        (None, Event::AttemptIntended { run, attempt, ports: Vec::new() }),
        (None, Event::AttemptStarted { run, attempt, process }),
        (None, Event::AttemptEnded { run, attempt, end }),
        (None, Event::RunEnded { run, outcome: Outcome::Succeeded }),
    ];
    let envelope = |(seq, (cause, event))| Envelope { seq, time: at, cause, event };
    (5 * number + 1..).zip(events).map(envelope).collect()
}

/// The first `count` events of a log of working runs.
pub(crate) fn lives(count: usize) -> Vec<Envelope> {
    (0..).flat_map(life).take(count).collect()
}

/// A configuration with some files and queues.
fn resolution(number: u32) -> Resolution {
    let digest = Digest([u8::try_from(number % 256).expect("below"); 32]);
    Resolution {
        config: (!number.is_multiple_of(3)).then_some(digest),
        sources: vec![ConfigSource { name: format!("/p/{number}/jr.toml"), digest }],
        queues: [("gpu".parse().expect("a name"), number)].into_iter().collect(),
    }
}

fn service() -> ServiceName {
    "web".parse().expect("a name")
}

fn probe_ways() -> [ProbeWay; 4] {
    [
        ProbeWay::Tcp { host: "::1".into(), port: ProbePort::Number(5_432) },
        ProbeWay::Output { pattern: "ready$".into() },
        ProbeWay::Unix { path: "/run/x.sock".into() },
        ProbeWay::Notify,
    ]
}

/// A service with everything that one can have.
fn service_spec() -> ServiceSpec {
    let words = |text: &str| vec![ByteString::from(text)];
    let probe = |way| Probe {
        way,
        initial_delay_ms: 1,
        interval_ms: 2,
        timeout_ms: 3,
        failure_threshold: 4,
        success_threshold: 5,
    };
    let http = HttpProbe {
        host: "localhost".into(),
        port: ProbePort::Own("main".into()),
        path: "/health".into(),
        statuses: vec![200, 204],
        body: Some("ok".into()),
        headers: vec![("accept".into(), "*/*".into())],
    };
    let conditions = [
        ServiceCondition::Started,
        ServiceCondition::Ready,
        ServiceCondition::Completed,
        ServiceCondition::Failed,
        ServiceCondition::Ended,
    ];
    let supervision = Supervision {
        ports: vec![PortWish {
            name: "main".into(),
            number: Some(8_000),
            host: Some("::1".into()),
            pass_socket: true,
            range: Some((8_000, 8_099)),
        }],
        depends_on: conditions
            .map(|condition| ServiceDependency { service: service(), condition })
            .to_vec(),
        oneshot: true,
        restart: RestartPolicy::UnlessStopped,
        max_restarts: Some(9),
        backoff: retry(1, 500).backoff,
        stable_ms: 60_000,
        readiness: Some(probe(ProbeWay::Http(http))),
        health: Some(probe(ProbeWay::Exec { command: words("true") })),
        startup_timeout_ms: 9,
        hooks: HookMoment::ALL.map(|moment| (moment, words(moment.word()))).into(),
        watch: words("/p/src"),
    };
    let run = RunSpec {
        kind: Kind::Service,
        role: Some(Role { service: service(), replica: 3 }),
        hook: Some(HookMoment::BeforeStart),
        user: Some("nobody".into()),
        ..spec(4)
    };
    ServiceSpec {
        title: Some("Web".into()),
        hostname: Some("web.local".into()),
        run: std::sync::Arc::new(run),
        replicas: 2,
        supervision: std::sync::Arc::new(supervision),
        digest: Digest([3; 32]),
    }
}

/// What is said of services.
fn of_services(run: RunId, attempt: u32) -> Vec<Event> {
    let mut events = vec![
        Event::ServiceDeclared { service: service(), spec: std::sync::Arc::new(service_spec()) },
        Event::ServiceWanted { service: service(), asker: Some(asker()) },
        Event::PortAssigned {
            service: service(),
            replica: 1,
            port: AssignedPort {
                name: "main".into(),
                requested: Some(8_000),
                number: 8_001,
                retries: 2,
            },
        },
        Event::PortConflict {
            run,
            attempt,
            number: 8_001,
            holder: Some(PortHolder { pid: Some(9), command: "nc -l".into(), run: Some(run) }),
        },
        Event::HealthChanged {
            run,
            attempt,
            health: Health::Unhealthy,
            detail: Some("status 503".into()),
        },
    ];
    for health in [Health::Ready, Health::Healthy] {
        events.push(Event::HealthChanged { run, attempt, health, detail: None });
    }
    for reason in
        [RestartReason::Unhealthy, RestartReason::StartupTimeout, RestartReason::FilesChanged]
    {
        events.push(Event::RestartRequested { run, attempt, reason, detail: None });
    }
    for reason in [PortRelease::Taken, PortRelease::Unwanted] {
        let (service, name) = (service(), "main".to_owned());
        events.push(Event::PortReleased { service, replica: 0, name, number: 8_001, reason });
    }
    for reason in [UnwantedReason::Down, UnwantedReason::Removed, UnwantedReason::Stopped] {
        events.push(Event::ServiceUnwanted { service: service(), reason, asker: None });
    }
    for way in probe_ways() {
        let mut spec = service_spec();
        let mut supervision = (*spec.supervision).clone();
        supervision.health = supervision.health.map(|probe| Probe { way, ..probe });
        spec.supervision = std::sync::Arc::new(supervision);
        events.push(Event::ServiceDeclared { service: service(), spec: std::sync::Arc::new(spec) });
    }
    events.push(Event::RunAdmitted { run, spec: service_spec().run });
    events.push(Event::ServiceForgotten { service: service() });
    events
}

fn batch() -> RunSpec {
    RunSpec {
        kind: Kind::Batch,
        command: vec![],
        variables: None,
        queue: None,
        strays: Strays::Keep,
        key: Some("nightly".into()),
        line: Some(ByteString::from("echo ünï")),
        fail_fast: true,
        ..spec(3)
    }
}

/// One of each kind, and of each variant below it.
pub(crate) fn sample() -> Vec<Envelope> {
    let (run, attempt) = (run(1), 2);
    let at = UnixMillis(1_700_000_000_123);
    let mut events = vec![
        Event::EnvironmentCreated { id: "local".parse().expect("a name") },
        Event::DaemonStarted { pid: 7, version: "0.1.0".into(), boot: BootId([9; 16]), cores: 4 },
        Event::RecoveryFinished { adopted: 1, ended: 2, lost: 3, requeued: 300 },
        Event::ClockJumped { by_ms: -3_600_000 },
        Event::ConfigResolved { resolution: resolution(1) },
        Event::ConfigRejected { source: "/p/jr.toml:3:1".into(), reason: "unknown key".into() },
        Event::QueueSet { queue: QueueName::default_queue(), limit: 2 },
        Event::PruneRequested { before: 7, keep_days: Some(30), keep_runs: None },
        Event::RunsPruned { before: 7, runs: 1, events: 5, bytes: 900, error: Some("why".into()) },
        Event::RunPinned { run, pinned: true },
        Event::StopRequested {
            run,
            reason: StopReason::Asked,
            signal: Signal::INT,
            grace_ms: 1,
            asker: Some(asker()),
        },
        Event::SignalRequested { run, attempt, signal: Signal::HUP, asker: Some(asker()) },
        Event::PauseRequested { run, asker: Some(asker()) },
        Event::RunPaused { run, attempt, by: PausedBy::Freezer },
        Event::RunPaused { run, attempt, by: PausedBy::Signal },
        Event::UnpauseRequested { run, asker: None },
        Event::RunUnpaused { run, attempt },
        Event::RestartScheduled { run, attempt, due: Due { at, boottime_ms: 70_000 }, streak: 3 },
        Event::QueuePaused { queue: QueueName::default_queue(), asker: None },
        Event::QueueUnpaused { queue: QueueName::default_queue(), asker: None },
        Event::SignalSent { run, attempt, signal: Signal::HUP, errno: None },
        Event::SignalSent { run, attempt, signal: Signal::KILL, errno: Some(3) },
    ];
    for reason in [DaemonStopReason::Idle, DaemonStopReason::Asked, DaemonStopReason::Upgraded] {
        events.push(Event::DaemonStopped { reason });
    }
    for reason in [
        QueuedReason::Due,
        QueuedReason::Resumed,
        QueuedReason::Interrupted,
        QueuedReason::FilesChanged,
        QueuedReason::PortTaken,
    ] {
        events.push(Event::RunQueued { run, reason, asker: None });
    }
    events.extend(of_services(run, attempt));
    for reason in loss_reasons() {
        events.push(Event::OutputLost { run, attempt, bytes: Some(70_000), reason });
    }
    for status in statuses() {
        events.push(Event::AttemptEnded { run, attempt, end: AttemptEnd::unmeasured(status, at) });
    }
    for outcome in outcomes() {
        events.push(Event::RunEnded { run, outcome });
    }
    events.push(Event::RunAdmitted { run, spec: std::sync::Arc::new(batch()) });
    events.extend(life(5).into_iter().map(|envelope| envelope.event));
    let cause = Some(Cause { command: CommandId::from_chance(0xabcd), uid: 1_000 });
    let envelope = |(seq, event): (u64, Event)| {
        let cause = cause.filter(|_| seq % 3 == 0);
        Envelope { seq, time: UnixMillis(at.0 + i64::try_from(seq).expect("fits")), cause, event }
    };
    (1..).zip(events).map(envelope).collect()
}

fn loss_reasons() -> [OutputLossReason; 4] {
    use OutputLossReason::*;
    [FileGone, NoSpace, OverLimit, Truncated]
}

fn stop_reasons() -> [StopReason; 8] {
    use StopReason::*;
    [Asked, Interrupted, ParentStopped, FailFast, Down, Restarted, Changed, Removed]
}

fn lost_reasons() -> [LostReason; 3] {
    [LostReason::ShimDied, LostReason::ShimUnresponsive, LostReason::Reboot]
}

fn spawn_errors() -> [SpawnError; 7] {
    use SpawnError::*;
    [
        NotFound,
        NotExecutable,
        Errno(11),
        SecretsGone,
        SecretUnreadable,
        NoSuchUser,
        PortTaken(65_000),
    ]
}

fn statuses() -> Vec<ExitStatus> {
    let mut all = vec![
        ExitStatus::Exited(255),
        ExitStatus::Signalled(Signal::KILL),
        ExitStatus::TimedOut(Final::Exited(-1)),
        ExitStatus::TimedOut(Final::Signalled(Signal::TERM)),
        ExitStatus::NeverStarted,
    ];
    all.extend(spawn_errors().map(ExitStatus::NotStarted));
    all.extend(lost_reasons().map(ExitStatus::Lost));
    all
}

fn outcomes() -> Vec<Outcome> {
    let mut all = vec![
        Outcome::Succeeded,
        Outcome::Failed(RunReason::Code(3)),
        Outcome::Failed(RunReason::Lines(4)),
        Outcome::Failed(RunReason::Hook(run(11))),
        Outcome::Failed(RunReason::Unwell(RestartReason::StartupTimeout)),
        Outcome::Signalled(Signal::HUP),
        Outcome::TimedOut,
    ];
    all.extend(spawn_errors().map(|error| Outcome::Failed(RunReason::NotStarted(error))));
    all.extend(stop_reasons().map(Outcome::Stopped));
    all.extend(stop_reasons().map(Outcome::Cancelled));
    all.extend(lost_reasons().map(Outcome::Lost));
    all.push(Outcome::Skipped(SkipReason::DependencyFailed(run(8))));
    all.push(Outcome::Skipped(SkipReason::LockHeld(run(9))));
    all.push(Outcome::Rejected(RejectReason::LockHeld(run(10))));
    all
}

fn any_run() -> impl Strategy<Value = RunId> {
    any::<u64>().prop_map(RunId::from_chance)
}

fn any_signal() -> impl Strategy<Value = Signal> {
    (1..=64_i32).prop_map(|number| Signal::new(number).expect("in range"))
}

fn any_bytes() -> impl Strategy<Value = ByteString> {
    vec(any::<u8>(), 0..40).prop_map(ByteString::from)
}

fn any_digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn any_queue() -> impl Strategy<Value = QueueName> {
    "[a-z0-9][a-z0-9._-]{0,20}".prop_map(|name| name.parse().expect("a name"))
}

fn any_time() -> impl Strategy<Value = UnixMillis> {
    any::<i64>().prop_map(UnixMillis)
}

fn any_spawn_error() -> impl Strategy<Value = SpawnError> {
    let one = proptest::sample::select(spawn_errors().to_vec());
    prop_oneof![any::<i32>().prop_map(SpawnError::Errno), one]
}

fn any_final() -> impl Strategy<Value = Final> {
    prop_oneof![any::<i32>().prop_map(Final::Exited), any_signal().prop_map(Final::Signalled)]
}

fn any_status() -> impl Strategy<Value = ExitStatus> {
    prop_oneof![
        any::<i32>().prop_map(ExitStatus::Exited),
        any_signal().prop_map(ExitStatus::Signalled),
        any_final().prop_map(ExitStatus::TimedOut),
        any_spawn_error().prop_map(ExitStatus::NotStarted),
        proptest::sample::select(statuses()),
    ]
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        any::<i32>().prop_map(|code| Outcome::Failed(RunReason::Code(code))),
        any::<u32>().prop_map(|count| Outcome::Failed(RunReason::Lines(count))),
        any_spawn_error().prop_map(|error| Outcome::Failed(RunReason::NotStarted(error))),
        any_signal().prop_map(Outcome::Signalled),
        proptest::sample::select(outcomes()),
    ]
}

prop_compose! {
    fn any_process()(
        pid in any::<u32>(), start_ticks in any::<u64>(), at in any_time(), shim in any::<u32>(),
        cgroup in any::<bool>(), limited in any::<bool>(),
    ) -> Process {
        let tracking = if cgroup { Tracking::Cgroup } else { Tracking::Subreaper };
        let limits_by = if limited { limits_by() } else { LimitsBy::default() };
        Process { pid, start_ticks, at, tracking, limits_by, shim }
    }
}

prop_compose! {
    fn any_end()(
        status in any_status(),
        at in any_time(),
        duration_ms in any::<Option<u64>>(),
        usage in option::of(any::<(u64, u64, u64, Option<u32>)>()),
        strays in any::<u32>(),
        survivors in vec(any::<u32>(), 0..5),
        output in option::of((
            any::<(u64, u64)>(), option::of(any_digest()), option::of(any_digest()))),
    ) -> AttemptEnd {
        let usage = usage.map(|(user_ms, system_ms, max_rss_bytes, oom_kills)| {
            Usage { user_ms, system_ms, max_rss_bytes, oom_kills }
        });
        let output = output.map(|((stdout_bytes, stderr_bytes), stdout_digest, stderr_digest)| {
            OutputEnd { stdout_bytes, stderr_bytes, stdout_digest, stderr_digest }
        });
        AttemptEnd { status, at, duration_ms, usage, strays, survivors, output }
    }
}

prop_compose! {
    fn any_spec()(
        (name, batch, command, cwd, umask) in
            (".{1,40}", any::<bool>(), vec(any_bytes(), 0..6), any_bytes(), any::<u32>()),
        (variables, secrets, labels) in (
            option::of(any_digest()), option::of(any_run()), btree_map(".{0,9}", ".{0,9}", 0..4)),
        (queue, attached, timeout_ms) in
            (option::of(any_queue()), any::<bool>(), any::<Option<u64>>()),
        (stop_signal, grace_ms, keep, output_bytes_max) in
            (any_signal(), any::<u64>(), any::<bool>(), any::<u64>()),
        (key, parent, line, fail_fast) in (
            option::of(".{0,30}"), option::of(any_run()), option::of(any_bytes()), any::<bool>()),
        (retry, ok_codes, after, lock) in (
            option::of((any::<u32>(), any::<u64>())), vec(any::<u8>(), 0..3),
            vec(any_run(), 0..3), option::of(any_queue())),
        (on_interrupt, tty, pipe, memory_bytes) in (
            0..3_usize, option::of(any::<(u16, u16)>()), any::<bool>(), any::<Option<u64>>()),
    ) -> RunSpec {
        let kind = if batch { Kind::Batch } else { Kind::Job };
        let strays = if keep { Strays::Keep } else { Strays::Kill };
        RunSpec {
            name, kind, command, cwd, umask, variables, secrets, labels, queue, attached,
            timeout_ms, stop_signal, grace_ms, strays, output_bytes_max, key, parent, line,
            fail_fast,
            retry: retry.map(|(times, first_ms)| self::retry(times, first_ms)),
            ok_codes,
            after: after
                .into_iter()
                .map(|run| Dependency { run, condition: Condition::Ok })
                .collect(),
            lock: lock.map(|name| LockWish {
                name: name.as_str().parse().expect("the same rule"),
                otherwise: LockBusy::Wait,
            }),
            on_interrupt: [OnInterrupt::Fail, OnInterrupt::Requeue, OnInterrupt::Ask][on_interrupt],
            tty: tty.map(|(rows, columns)| WindowSize { rows, columns }),
            capture: if pipe { Capture::Pipe } else { Capture::File },
            limits: ResourceLimits { memory_bytes, ..ResourceLimits::default() },
            variable_files: variables
                .map(|_| (ByteString::from("PASSWORD"), ByteString::from("/run/secret")))
                .into_iter()
                .collect(),
            config: variables,
            commit: memory_bytes.map(commit),
            role: None,
            hook: None,
            user: None,
        }
    }
}

/// Any event of any kind.
pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    let at = || (any_run(), any::<u32>());
    prop_oneof![
        any_queue().prop_map(|id| Event::EnvironmentCreated {
            id: id.as_str().parse().expect("the same rule")
        }),
        (any::<u32>(), ".{0,20}", any::<[u8; 16]>(), any::<u32>()).prop_map(
            |(pid, version, boot, cores)| {
                Event::DaemonStarted { pid, version, boot: BootId(boot), cores }
            }
        ),
        proptest::sample::select(sample()).prop_map(|envelope| envelope.event),
        any::<[u32; 4]>().prop_map(|[adopted, ended, lost, requeued]| {
            Event::RecoveryFinished { adopted, ended, lost, requeued }
        }),
        any::<i64>().prop_map(|by_ms| Event::ClockJumped { by_ms }),
        any::<u32>().prop_map(|number| Event::ConfigResolved { resolution: resolution(number) }),
        (".{0,9}", ".{0,9}").prop_map(|(source, reason)| Event::ConfigRejected { source, reason }),
        (any_run(), any_spec())
            .prop_map(|(run, spec)| Event::RunAdmitted { run, spec: std::sync::Arc::new(spec) }),
        at().prop_map(|(run, attempt)| Event::AttemptIntended { run, attempt, ports: Vec::new() }),
        (at(), any_process()).prop_map(|((run, attempt), process)| Event::AttemptStarted {
            run,
            attempt,
            process
        }),
        (at(), any_end()).prop_map(|((run, attempt), end)| Event::AttemptEnded {
            run,
            attempt,
            end
        }),
        (any_run(), any_outcome()).prop_map(|(run, outcome)| Event::RunEnded { run, outcome }),
        (any_run(), proptest::sample::select(stop_reasons().to_vec()), any_signal(), any::<u64>())
            .prop_map(|(run, reason, signal, grace_ms)| Event::StopRequested {
                run,
                reason,
                signal,
                grace_ms,
                asker: Some(asker()),
            }),
        (at(), any_signal()).prop_map(|((run, attempt), signal)| Event::SignalRequested {
            run,
            attempt,
            signal,
            asker: None
        }),
        (at(), any_signal(), any::<Option<i32>>()).prop_map(|((run, attempt), signal, errno)| {
            Event::SignalSent { run, attempt, signal, errno }
        }),
        (any_queue(), any::<u32>()).prop_map(|(queue, limit)| Event::QueueSet { queue, limit }),
        (any::<u64>(), option::of(any::<u32>()), option::of(any::<u64>())).prop_map(
            |(before, keep_days, keep_runs)| Event::PruneRequested { before, keep_days, keep_runs }
        ),
        (any::<[u64; 4]>(), option::of(".*")).prop_map(|([before, runs, events, bytes], error)| {
            Event::RunsPruned { before, runs, events, bytes, error }
        }),
        (any_run(), any::<bool>()).prop_map(|(run, pinned)| Event::RunPinned { run, pinned }),
        (at(), any::<Option<u64>>(), proptest::sample::select(loss_reasons().to_vec())).prop_map(
            |((run, attempt), bytes, reason)| Event::OutputLost { run, attempt, bytes, reason }
        ),
    ]
}

/// Any event with any time and cause, at seq 1.
pub(crate) fn any_envelope() -> impl Strategy<Value = Envelope> {
    (any_event(), any_time(), any::<Option<(u128, u32)>>()).prop_map(|(event, time, cause)| {
        let cause =
            cause.map(|(command, uid)| Cause { command: CommandId::from_chance(command), uid });
        Envelope { seq: 1, time, cause, event }
    })
}
