//! The laws under faults, deterministic from a seed (docs/simulation.md).
//!
//! `JR_SIM_SEEDS=N` runs N seeds, `JR_SIM_SEED=S` runs one with a trace.

#[path = "simulation/mod.rs"]
mod sim;

use std::sync::atomic::{AtomicU64, Ordering};

use sim::{Config, Report};

const SEEDS: u64 = 300;
/// A commit of the real log costs milliseconds without optimization.
const STORED_SEEDS: u64 = 100;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn add(sum: &mut Report, report: &Report) {
    sum.events += report.events;
    sum.jobs += report.jobs;
    sum.lost += report.lost;
    sum.brought_back += report.brought_back;
    sum.daemons += report.daemons;
    sum.reboots += report.reboots;
}

/// Every seed below `seeds`, on two threads; the lowest that fails, or the sum of all.
fn run_all(seeds: u64, stored: bool) -> Result<Report, String> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return Ok(sum);
            }
            match sim::run(Config { seed, stored, ..Config::default() }) {
                Ok(report) => add(&mut sum, &report),
                Err((broken, _)) => return Err((seed, broken)),
            }
        }
    };
    let sums = std::thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.map(|thread| thread.join().expect("a seed panicked"))
    });
    let mut failures: Vec<_> = sums.iter().filter_map(|sum| sum.as_ref().err()).collect();
    failures.sort();
    if let Some((seed, broken)) = failures.first() {
        return Err(format!("{broken}\nagain, with a trace: JR_SIM_SEED={seed}"));
    }
    let mut total = Report::default();
    sums.iter().flatten().for_each(|sum| add(&mut total, sum));
    Ok(total)
}

#[expect(clippy::print_stdout, reason = "what a seed did, for who asks with --nocapture")]
fn laws_hold(stored: bool, seeds: u64) {
    if let Some(seed) = number("JR_SIM_SEED") {
        match sim::run(Config { seed, stored, traced: true, ..Config::default() }) {
            Ok(report) => println!("{report:#?}"),
            Err((broken, trace)) => panic!("{}\n{broken}", trace.join("\n")),
        }
        return;
    }
    let seeds = number("JR_SIM_SEEDS").unwrap_or(seeds);
    match run_all(seeds, stored) {
        Err(broken) => panic!("{broken}"),
        Ok(total) => {
            println!("{seeds} seeds: {total:?}");
            assert!(total.jobs > 0 && total.lost > 0 && total.reboots > 0, "{total:?}");
            assert!(total.brought_back > 0, "nobody came back by jr up: {total:?}");
        }
    }
}

#[test]
fn the_laws_hold_whatever_breaks() {
    laws_hold(false, SEEDS);
}

#[test]
fn the_laws_hold_over_the_real_log() {
    laws_hold(true, STORED_SEEDS);
}

#[test]
fn the_same_seed_is_the_same_world() {
    for (seed, stored) in [(0, false), (1, false), (2, false), (3, false), (0, true)] {
        let config = Config { seed, stored, ..Config::default() };
        let (one, two) = (sim::run(config), sim::run(config));
        assert_eq!(one.expect("lawful"), two.expect("lawful"));
    }
}
