//! What is measured: one function for each group of rows that share their rounds.

use std::fs::{self, File};
use std::io::Write as _;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::jr::{Jr, cpu, memory};
use crate::measure::{
    Absent, Figure, Measured, Probe, Rounds, call, median_call, now, timed, wait_until,
};
use crate::peers::{TRUE, TaskSpooler, job_file, parallel, spawn_loop, xargs};
use crate::report::{Bar, Row, Unit};

/// How much of everything.
pub(crate) struct Plan {
    /// The program.
    pub(crate) jr: PathBuf,
    /// On the disk whose syncs count.
    pub(crate) scratch: PathBuf,
    /// Short, for sockets.
    pub(crate) runtime: PathBuf,
    /// Generated homes, by the names in `main.rs`.
    pub(crate) env_dir: Option<PathBuf>,
    /// Interleaved rounds.
    pub(crate) rounds: usize,
    /// Jobs of a batch, and single submissions.
    pub(crate) jobs: usize,
    /// Calls whose median is one round's value.
    pub(crate) calls: usize,
    /// Runs before a daemon's memory is looked at.
    pub(crate) many_runs: usize,
    /// What the child of the capture row writes, in MiB.
    pub(crate) capture_mib: u32,
}

impl Plan {
    fn home(&self, name: &str) -> Jr {
        Jr::new(&self.jr, self.scratch.join(name), &self.runtime)
    }

    /// A generated home, if there is one of that name.
    fn generated(&self, name: &str) -> Measured<Jr> {
        let path = self.env_dir.as_ref().map(|directory| directory.join(name));
        let path = path.filter(|path| path.is_dir()).ok_or(Absent::Needs("--env-dir"))?;
        Ok(Jr::new(&self.jr, path, &self.runtime))
    }
}

/// A batch beside what else runs a list of jobs, two at a time.
pub(crate) fn batch(plan: &Plan) -> Vec<Row> {
    let jobs = job_file(&plan.scratch, plan.jobs);
    let file = jobs.to_string_lossy();
    let jr = plan.home("batch");
    let ready = jr.call(&["run", TRUE]);
    let rounds = Rounds::run(
        plan.rounds,
        vec![
            ("loop", Box::new(|| spawn_loop(plan.jobs)) as Probe<'_>),
            ("xargs", Box::new(|| xargs(&jobs))),
            ("parallel", Box::new(|| parallel(&jobs))),
            (
                "jr",
                Box::new(|| {
                    ready.clone()?;
                    timed(|| jr.call(&["batch", "-j2", &file]))
                }),
            ),
        ],
    );
    let what = format!("{} × true, jr batch -j2", plan.jobs);
    vec![
        Row::ratio(what.clone(), "spawn loop", Bar::AtMost(1.6), rounds.ratio("jr", "loop")),
        Row::ratio(what, "xargs -P2", Bar::AtMost(0.95), rounds.ratio("jr", "xargs")),
        Row::ratio("  xargs -P2", "spawn loop", Bar::None, rounds.ratio("xargs", "loop")),
        Row::ratio("  GNU parallel", "spawn loop", Bar::None, rounds.ratio("parallel", "loop")),
    ]
}

/// One call a job, beside task-spooler.
pub(crate) fn submissions(plan: &Plan) -> Vec<Row> {
    let jr = plan.home("submissions");
    let tsp = TaskSpooler::start(&plan.scratch);
    // Two at a time for both; the default queue has as many slots as there are cores.
    let two_slots = || match std::thread::available_parallelism().map_or(0, NonZero::get) {
        2 => Ok(()),
        _ => jr.call(&["queue", "set", "default", "-j2"]),
    };
    let ready = jr.call(&["run", TRUE]).and_then(|()| two_slots());
    let rounds = Rounds::run(
        plan.rounds,
        vec![
            ("loop", Box::new(|| spawn_loop(plan.jobs)) as Probe<'_>),
            ("tsp", Box::new(|| tsp.as_ref().map_err(Clone::clone)?.calls(plan.jobs))),
            (
                "jr",
                Box::new(|| {
                    ready.clone()?;
                    timed(|| submit_all(&jr, plan.jobs))
                }),
            ),
        ],
    );
    let what = format!("{} × jr run -d, all ended", plan.jobs);
    vec![
        Row::ratio(what, "task-spooler", Bar::AtMost(1.7), rounds.ratio("jr", "tsp")),
        Row::ratio("  task-spooler", "spawn loop", Bar::None, rounds.ratio("tsp", "loop")),
    ]
}

/// Submits them one by one and waits for the last ones; the others ended before, in order.
fn submit_all(jr: &Jr, jobs: usize) -> Measured<()> {
    let mut last = [const { String::new() }; 4];
    for job in 0..jobs {
        last[job % 4] = jr.read(&["run", "-d", TRUE])?;
    }
    let ids = last.iter().map(String::as_str).filter(|id| !id.is_empty());
    jr.call(&["wait"].into_iter().chain(ids).collect::<Vec<_>>())
}

/// Single calls beside `/bin/true`.
pub(crate) fn calls(plan: &Plan) -> Vec<Row> {
    let (jr, hundred) = (plan.home("calls"), plan.home("hundred"));
    let tsp = TaskSpooler::start(&plan.scratch);
    let warm = jr.call(&["run", TRUE]);
    let filled = fill(plan, &hundred, 100);
    let n = plan.calls;
    let several = |jr: &Jr, words: &[&str]| median_call(n, || jr.call(words), || Ok(()));
    let submit = || {
        warm.clone()?;
        let mut id = String::new();
        let mut times = Vec::new();
        for _ in 0..n {
            times.push(timed(|| jr.read(&["run", "-d", TRUE]).map(|own| id = own))?);
            // What it started must not run beside the next call.
            jr.call(&["wait", &id])?;
        }
        Ok(crate::measure::median(&times))
    };
    let rounds = Rounds::run(
        plan.rounds,
        vec![
            (
                "true",
                Box::new(|| median_call(n, || call(&mut Command::new(TRUE)), || Ok(())))
                    as Probe<'_>,
            ),
            ("version", Box::new(|| several(&jr, &["--version"]))),
            ("submit", Box::new(submit)),
            ("run", Box::new(|| warm.clone().and_then(|()| several(&jr, &["run", TRUE])))),
            ("ps", Box::new(|| filled.clone().and_then(|()| several(&hundred, &["ps"])))),
            (
                "history",
                Box::new(|| {
                    filled.clone().and_then(|()| several(&hundred, &["history", "-n", "100"]))
                }),
            ),
            (
                "tsp",
                Box::new(|| {
                    let tsp = tsp.as_ref().map_err(Clone::clone)?;
                    median_call(n, || tsp.one(), || Ok(()))
                }),
            ),
        ],
    );
    let row = |what: &str, name: &str, bar| {
        Row::ratio(what, "/bin/true", bar, rounds.ratio(name, "true"))
    };
    vec![
        row("jr run -d true, durable", "submit", Bar::AtMost(2.2)),
        row("jr run true, ended and durable", "run", Bar::AtMost(4.5)),
        row("  tsp -f true, not durable", "tsp", Bar::None),
        row("jr ps", "ps", Bar::AtMost(1.3)),
        row("jr history -n 100", "history", Bar::AtMost(1.3)),
        row("jr --version", "version", Bar::AtMost(1.1)),
    ]
}

fn fill(plan: &Plan, jr: &Jr, runs: usize) -> Measured<()> {
    let jobs = job_file(&plan.scratch, runs);
    jr.call(&["batch", "-j2", &jobs.to_string_lossy()])
}

/// Reading at a million runs beside a hundred.
pub(crate) fn reading_grown(plan: &Plan) -> Vec<Row> {
    let grown = plan.generated("runs-1m");
    let small = plan.generated("runs-100").or_else(|_| {
        let jr = plan.home("small");
        fill(plan, &jr, 100).map(|()| jr)
    });
    // A daemon answers, as it does for whoever works in an environment.
    for jr in [&grown, &small].into_iter().flatten() {
        drop(jr.call(&["daemon", "start"]));
    }
    let probe = |jr: &Measured<Jr>, words: &[&str]| {
        let jr = jr.as_ref().map_err(Clone::clone)?;
        median_call(plan.calls, || jr.call(words), || Ok(()))
    };
    let history = ["history", "-n", "100"];
    // Without the grown home there is nothing to compare.
    let count = if grown.is_ok() { plan.rounds } else { 1 };
    let rounds = Rounds::run(
        count,
        vec![
            ("true", Box::new(|| timed(|| call(&mut Command::new(TRUE)))) as Probe<'_>),
            ("ps small", Box::new(|| probe(&small, &["ps"]))),
            ("ps grown", Box::new(|| probe(&grown, &["ps"]))),
            ("history small", Box::new(|| probe(&small, &history))),
            ("history grown", Box::new(|| probe(&grown, &history))),
        ],
    );
    let row = |what, grown, small| {
        Row::ratio(what, "100 runs", Bar::AtMost(1.2), rounds.ratio(grown, small))
    };
    vec![
        row("jr ps at 1,000,000 runs", "ps grown", "ps small"),
        row("jr history -n 100 at 1,000,000 runs", "history grown", "history small"),
    ]
}

/// A daemon's start after the last one was killed.
pub(crate) fn opening(plan: &Plan) -> Vec<Row> {
    let (small, big) = (plan.generated("events-1m"), plan.generated("events-10m"));
    let probe = |jr: &Measured<Jr>| {
        let jr = jr.as_ref().map_err(Clone::clone)?;
        jr.call(&["daemon", "start"])?;
        jr.kill_daemon()?;
        timed(|| jr.call(&["daemon", "start"]))
    };
    let rounds = Rounds::run(
        plan.rounds,
        vec![("small", Box::new(|| probe(&small)) as Probe<'_>), ("big", Box::new(|| probe(&big)))],
    );
    let what = "opening after kill -9, 10,000,000 events";
    vec![
        Row::ratio(what, "1,000,000 events", Bar::AtMost(2.0), rounds.ratio("big", "small")),
        Row::absolute(what, Bar::AtMost(100.0), Unit::Ms, rounds.figure("big").map(in_ms)),
    ]
}

/// The state at places drawn from all over ten million events; the slowest call counts.
pub(crate) fn time_travel(plan: &Plan) -> Vec<Row> {
    let worst = |words: &[&str]| -> Measured<Figure> {
        let jr = plan.generated("events-10m")?;
        let head = head(&jr)?;
        let mut times = Vec::new();
        let mut place: u64 = 0x9e37_79b9_7f4a_7c15;
        for _ in 0..plan.calls * plan.rounds {
            // Any spread will do, but it must be the same in each run: Knuth's multiplier.
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let seq = (1 + (place >> 16) % head).to_string();
            let words: Vec<&str> = words.iter().copied().chain(["--at", &seq]).collect();
            times.push(timed(|| jr.call(&words))? * 1000.0);
        }
        let high = times.iter().copied().fold(0.0, f64::max);
        let low = times.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(Figure { quiet: high, all: crate::measure::median(&times), low, high })
    };
    let row = |what: &str, bar, words: &[&str]| {
        Row::absolute(what, Bar::AtMost(bar), Unit::Ms, worst(words))
    };
    vec![
        row("jr ps --at, 10,000,000 events, slowest", 50.0, &["ps"]),
        row("jr history -n 100 --at, slowest", 10.0, &["history", "-n", "100"]),
    ]
}

/// Reading the whole log with every digest and the chain checked.
pub(crate) fn replay(plan: &Plan) -> Vec<Row> {
    let jr = plan.generated("events-1m");
    let head = jr.as_ref().map_err(Clone::clone).and_then(head);
    let probe = || {
        let (jr, head) = (jr.as_ref().map_err(Clone::clone)?, head.clone()?);
        let seconds = timed(|| jr.call(&["log", "verify"]))?;
        let events = u32::try_from(head).map_err(|_| Absent::Needs("fewer events"))?;
        Ok(f64::from(events) / seconds / 1e6)
    };
    let rounds = Rounds::run(plan.rounds, vec![("verify", Box::new(probe) as Probe<'_>)]);
    let what = "replay with hashes, jr log verify, 1,000,000 events";
    let figure = rounds.figure("verify");
    vec![Row::absolute(what, Bar::AtLeast(1.5), Unit::MillionsPerS, figure)]
}

fn head(jr: &Jr) -> Measured<u64> {
    jr.number(&["log", "stat", "--json"], &["seq"])
}

/// What daemon and shim keep in memory.
pub(crate) fn memories(plan: &Plan) -> Vec<Row> {
    let (idle, busy) = (plan.home("idle"), plan.home("many"));
    // Until they have let go of what only their work needed.
    let settle = || thread::sleep(Duration::from_secs(16));
    let daemon = |jr: &Jr| memory(jr.daemon()?);
    let after_one = idle.call(&["run", TRUE]).and_then(|()| {
        settle();
        daemon(&idle)
    });
    let shim = after_one.clone().and_then(|_| {
        idle.call(&["run", "-d", "sleep", "30"])?;
        let started = wait_until(Duration::from_secs(5), || !idle.shims().is_empty());
        let none = || Absent::Failed("no process `jr shim` has this JR_HOME".to_owned());
        let pid = started.then(|| idle.shims().first().copied()).flatten().ok_or_else(none)?;
        settle();
        memory(pid)
    });
    drop(idle.call(&["stop", "sleep"]));
    let after_many = fill(plan, &busy, plan.many_runs).and_then(|()| {
        settle();
        daemon(&busy)
    });
    let row = |what: String, bar, memory: Measured<crate::jr::Memory>| {
        let note = memory.as_ref().map(|memory| {
            format!("shared pages divided: {:.2} MiB; written: {:.2} MiB", memory.pss, memory.dirty)
        });
        let figure = memory.as_ref().map(|memory| Figure::single(memory.rss)).map_err(Clone::clone);
        let row = Row::absolute(what, Bar::AtMost(bar), Unit::Mib, figure);
        row.with_note(note.unwrap_or_default())
    };
    vec![
        row("daemon at rest, resident".to_owned(), 6.0, after_one),
        row(format!("daemon after {} runs", plan.many_runs), 16.0, after_many),
        row("shim at rest".to_owned(), 2.0, shim),
    ]
}

/// A child that writes much, under jr and straight to a file. It times itself.
pub(crate) fn capture(plan: &Plan) -> Vec<Row> {
    let jr = plan.home("capture");
    let (report, target) = (plan.scratch.join("seconds"), plan.scratch.join("direct"));
    let program = std::env::current_exe().expect("this program has a path");
    let words = [
        program.to_string_lossy().into_owned(),
        "--write-child".to_owned(),
        plan.capture_mib.to_string(),
        report.to_string_lossy().into_owned(),
    ];
    let told = || -> Measured<f64> {
        let text = fs::read_to_string(&report).unwrap_or_default();
        drop(fs::remove_file(&report));
        text.trim().parse().map_err(|_| Absent::Failed("the child told no time".to_owned()))
    };
    let warm = jr.call(&["run", TRUE]);
    let mut daemon_cpu = Ok(0.0);
    let rounds = Rounds::run(
        plan.rounds,
        vec![
            (
                "direct",
                Box::new(|| {
                    drop(fs::remove_file(&target));
                    let file = File::options().create(true).append(true).open(&target);
                    let mut command = Command::new(&words[0]);
                    command.args(&words[1..]).stdout(file.expect("scratch is writable"));
                    let ended = command.status().is_ok_and(|status| status.success());
                    drop(fs::remove_file(&target));
                    if ended { told() } else { Err(Absent::Failed("the child failed".to_owned())) }
                }) as Probe<'_>,
            ),
            (
                "jr",
                Box::new(|| {
                    warm.clone()?;
                    let before = cpu(jr.daemon()?)?;
                    let start =
                        ["run", "-d", "--"].into_iter().chain(words.iter().map(String::as_str));
                    let id = jr.read(&start.collect::<Vec<_>>())?;
                    jr.call(&["wait", &id])?;
                    daemon_cpu = cpu(jr.daemon()?).map(|after| after - before);
                    told()
                }),
            ),
        ],
    );
    let figure = rounds.ratio("direct", "jr");
    let note = figure.as_ref().ok().and(daemon_cpu.ok()).map(|seconds| {
        let ms = seconds * 1000.0;
        format!("CPU of the daemon meanwhile: {ms:.0} ms for {} MiB", plan.capture_mib)
    });
    let row = Row::ratio(
        "rate of a child's output under jr",
        "straight to a file",
        Bar::AtLeast(0.95),
        figure,
    );
    vec![row.with_note(note.unwrap_or_default())]
}

/// The child of `capture`: writes, and says how long that took.
pub(crate) fn write_child(mib: u32, report: &Path) -> std::io::Result<()> {
    let block = vec![b'x'; 64 * 1024];
    let mut out = std::io::stdout().lock();
    let start = now();
    for _ in 0..mib * 16 {
        out.write_all(&block)?;
    }
    out.flush()?;
    fs::write(report, start.elapsed().as_secs_f64().to_string())
}

fn in_ms(figure: Figure) -> Figure {
    let Figure { quiet, all, low, high } = figure;
    Figure { quiet: quiet * 1e3, all: all * 1e3, low: low * 1e3, high: high * 1e3 }
}
