//! The laws under faults, deterministic from a seed (docs/simulation.md).
//!
//! `JR_SIM_SEEDS=N` runs N seeds, `JR_SIM_SEED=S` runs one with a trace.

#[path = "simulation/mod.rs"]
mod sim;

use std::sync::atomic::{AtomicU64, Ordering};

use sim::{Config, Report};

const SEEDS: u64 = 300;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Every seed below `seeds`, on two threads; the lowest that fails, and the sum of the others.
fn run_all(seeds: u64) -> Result<Report, String> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut sum = Report::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return Ok(sum);
            }
            match sim::run(Config { seed, ..Config::default() }) {
                Ok(report) => {
                    sum.events += report.events;
                    sum.jobs += report.jobs;
                    sum.lost += report.lost;
                    sum.daemons += report.daemons;
                    sum.reboots += report.reboots;
                }
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
    for sum in sums.into_iter().flatten() {
        total.events += sum.events;
        total.jobs += sum.jobs;
        total.lost += sum.lost;
        total.daemons += sum.daemons;
        total.reboots += sum.reboots;
    }
    Ok(total)
}

#[test]
fn the_laws_hold_whatever_breaks() {
    if let Some(seed) = number("JR_SIM_SEED") {
        match sim::run(Config { seed, traced: true, ..Config::default() }) {
            Ok(report) => println!("{report:#?}"),
            Err((broken, trace)) => panic!("{}\n{broken}", trace.join("\n")),
        }
        return;
    }
    let seeds = number("JR_SIM_SEEDS").unwrap_or(SEEDS);
    match run_all(seeds) {
        Err(broken) => panic!("{broken}"),
        Ok(total) => {
            println!("{seeds} seeds: {total:?}");
            assert!(total.jobs > 0 && total.lost > 0 && total.reboots > 0, "{total:?}");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..10 {
        let config = Config { seed, ..Config::default() };
        let (one, two) = (sim::run(config), sim::run(config));
        assert_eq!(one.expect("lawful"), two.expect("lawful"));
    }
}
