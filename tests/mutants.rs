//! Each deliberate bug of docs/testing.md is caught, and a healthy jr passes the same scenario.
#![cfg(feature = "mutants")]

#[path = "support/shim.rs"]
mod shim;
#[path = "simulation/mod.rs"]
mod sim;
#[path = "support/views_world.rs"]
mod world;

use std::io;
use std::path::PathBuf;

use jr::model::{BootId, Now, UnixMillis};
use jr::mutants;
use jr::projections::query::{Document, PsQuery, Query};
use jr::projections::{MemoryLog, Pace, Start, Views, Where, answer};
use jr::runners::linux::{clock, procfs};
use jr::runners::process::{Fenced, fence};
use jr::runners::shim::journal::{self, Entry, Journal, Opened};
use redb::StorageBackend as _;
use shim::{Shim, bytes, is_alive};

/// Seeds within which the simulation has to find each bug that it can see.
const SEEDS: u64 = 200;

/// What a suite says: nothing, or what is broken.
type Found = Result<(), String>;

/// A healthy jr passes; one with the bug does not, and `says` is in what is found.
fn must_catch(mutant: &str, says: &str, scenario: impl Fn() -> Found) {
    mutants::choose(None);
    if let Err(found) = scenario() {
        panic!("without {mutant}: {found}");
    }
    mutants::choose(Some(mutant));
    let found = scenario();
    mutants::choose(None);
    let found = found.expect_err(mutant);
    assert!(found.contains(says), "{mutant} was found by something else: {found}");
}

/// Seeds of the simulation until one breaks a law. The choice is this thread's, and so is a world.
fn simulate(bug: Option<&'static str>) -> Found {
    (0..SEEDS).try_for_each(|seed| {
        let config = sim::Config { seed, bug, ..sim::Config::default() };
        sim::run(config).map(|_| ()).map_err(|(broken, _)| broken)
    })
}

#[test]
fn acknowledging_before_the_commit_is_caught() {
    must_catch("ack_before_commit", "law 1", || simulate(None));
}

#[test]
fn forgetting_the_intent_is_caught() {
    must_catch("forget_intent", "law 2", || simulate(None));
}

#[test]
fn taking_an_unclaimed_intent_for_lost_is_caught() {
    must_catch("unclaimed_is_lost", "law 4", || simulate(None));
}

#[test]
fn a_second_run_of_a_replica_beside_the_first_is_caught() {
    must_catch("no_predecessor", "law 5", || simulate(None));
}

#[test]
fn a_service_that_does_not_wait_for_another_is_caught() {
    must_catch("no_dependency", "begins and", || simulate(None));
}

/// The same bugs in the simulated shell and shims: the judge has eyes for them.
#[test]
fn bugs_outside_the_engine_are_caught_in_the_simulation() {
    let bugs = [("start_withdrawn", "law 4"), ("skip_fence", "law 4"), ("reused_pid", "law 7")];
    for (bug, says) in bugs {
        let found = simulate(Some(bug)).expect_err(bug);
        assert!(found.contains(says), "{bug}: {found}");
    }
}

/// A start is held behind another and taken back; it must never run.
fn withdraw(mutant: Option<&str>) -> Found {
    let mut shim = Shim::with_variables(mutant.map(|name| ("JR_MUTANT", name)));
    let first = shim.shell("cat /dev/null; sleep 600");
    let second = shim.shell("exit 3");
    let third = shim.shell("exit 4");
    shim.start(&first);
    shim.wait_started(first.id);
    shim.start(&second);
    shim.stop(second.id, 0);
    shim.wait_withdrawn(second.id);
    shim.stop(first.id, 0);
    shim.wait_ended(first.id);
    shim.start(&third);
    shim.wait_ended(third.id);
    let entries = journal::read(&shim.dir.join(journal::FILE)).expect("reads");
    let claimed = |entry: &Entry| matches!(entry, Entry::Claim(claim) if claim.id == second.id);
    if entries.iter().any(claimed) {
        Err("it started what was withdrawn".to_owned())
    } else {
        Ok(())
    }
}

/// The shim is a process of its own, so the bug is chosen by its environment.
#[test]
fn starting_what_was_withdrawn_is_caught() {
    withdraw(None).expect("a healthy shim");
    withdraw(Some("start_withdrawn")).expect_err("it starts what was withdrawn");
}

/// A shim dies and its tree does not: the fence has to end it before it says so.
fn fence_a_dead_shim() -> Found {
    let mut shim = Shim::new();
    let start = shim.shell("sleep 600");
    let id = shim.start(&start);
    let process = shim.wait_started(id);
    shim.kill();
    let said = fence(&shim.dir).expect("fences");
    let lives = is_alive(process.pid);
    let chosen = mutants::is_on("skip_fence");
    mutants::choose(None);
    drop(shim);
    mutants::choose(chosen.then_some("skip_fence"));
    if said == Fenced::Empty && lives {
        return Err("the tree lives behind the fence".to_owned());
    }
    Ok(())
}

#[test]
fn skipping_the_fence_is_caught() {
    must_catch("skip_fence", "behind the fence", fence_a_dead_shim);
}

/// A process of somebody else has the number of a dead shim.
fn fence_beside_a_reused_pid() -> Found {
    let home = tempfile::tempdir().expect("a directory");
    let mut victim =
        std::process::Command::new("/bin/sleep").arg("600").spawn().expect("a process");
    let stat = procfs::stat(victim.id()).expect("reads").expect("alive");
    // Held, so that the fence believes the shim to live and looks for its process.
    let lock = std::fs::File::create(home.path().join("lock")).expect("creates");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("locks");
    let opened = Opened {
        boot: clock::boot_id().expect("Linux"),
        pid: victim.id(),
        start_ticks: stat.start_ticks + 1,
        leaf: None,
        socket: bytes("/nowhere"),
    };
    let mut journal = Journal::open(&home.path().join(journal::FILE)).expect("opens");
    journal.append(&Entry::Opened(opened)).expect("appends");
    // It cannot prove anything, and says so: nothing was touched.
    fence(home.path()).expect_err("nobody can take the lock");
    let spared = victim.try_wait().expect("our own child").is_none();
    victim.kill().expect("our own child");
    victim.wait().expect("our own child");
    if spared { Ok(()) } else { Err("a stranger was killed".to_owned()) }
}

#[test]
fn taking_a_reused_pid_for_ours_is_caught() {
    must_catch("reused_pid", "a stranger", fence_beside_a_reused_pid);
}

fn open(disk: &world::Disk, log: &MemoryLog) -> Views {
    let make = |start| {
        if start == Start::Anew {
            disk.clear();
        }
        Ok::<_, io::Error>(disk.clone())
    };
    Views::open_with(make, BootId([7; 16]), Pace::default(), log).expect("opens")
}

/// What `jr ps --all` prints; an error is an answer too.
fn printed(views: &Views, log: &MemoryLog) -> Option<Document> {
    let output = |run, attempt| PathBuf::from(format!("/output/{run}.{attempt}"));
    let variables = |_| Ok(Vec::new());
    let text = |_: jr::model::Digest| Err("gone".to_owned());
    let place = Where { environment: "local", output: &output, variables: &variables, text: &text };
    let query = Query::Ps(PsQuery { all: true, ..PsQuery::default() }).into();
    let now = Now { wall: UnixMillis(10_000_000), boottime_ms: 0 };
    answer(&query, views, log, &place, now).ok()
}

/// One bit of a run's name flips in the views.
fn flip_bits_of_rows() -> Found {
    const NAME: &[u8] = b"make";
    let mut log = MemoryLog::default();
    let script: Vec<u64> =
        (1..120).map(|step: u64| step.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    log.append(&world::World::play(&script));
    let disk = world::Disk::default();
    let mut views = open(&disk, &log);
    views.flush().expect("flushes");
    let expected = printed(&views, &log);
    drop(views);
    let mut image = vec![0; disk.len()];
    disk.read(0, &mut image).expect("reads");
    let places: Vec<usize> = image
        .windows(NAME.len())
        .enumerate()
        .filter(|(_, at)| *at == NAME)
        .map(|at| at.0)
        .collect();
    assert!(!places.is_empty(), "no row holds a name");
    for place in places {
        let damaged = world::Disk::default();
        damaged.set_len(image.len() as u64).expect("grows");
        damaged.write(0, &image).expect("writes");
        damaged.damage(&[(u32::try_from(place).expect("small"), 1)]);
        let found = printed(&open(&damaged, &log), &log);
        if found.is_some() && found != expected {
            return Err(format!("a row whose digest fails was printed: {found:?}"));
        }
    }
    Ok(())
}

#[test]
fn printing_a_row_whose_digest_fails_is_caught() {
    must_catch("ignore_digest", "was printed", flip_bits_of_rows);
}
