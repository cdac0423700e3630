//! Speed of jr beside its peers, measured in one run. Prints the table; asserts nothing.
//!
//! Run `benches/compare/run`, which builds the static release and installs peers where it may.
//!
//! ```text
//! --rounds N      interleaved rounds (7)
//! --quick         3 rounds of a fifth of the work
//! --only WORD     only groups whose name has WORD in it
//! --dir DIR       scratch on this disk (the build's temporary directory)
//! --env-dir DIR   generated homes: DIR/{runs-100,runs-1m,events-1m,events-10m}, each a JR_HOME
//!                 whose environment `local` holds so much; their daemons add a few events
//! --json FILE     the figures for machines
//! ```
//! `JR_BIN` names the program, else it is the one that cargo built beside this.

mod jr;
mod measure;
mod peers;
mod report;
mod rows;

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use measure::read;
use report::Row;
use rows::Plan;

/// A group of rows that share their rounds.
type Group = fn(&Plan) -> Vec<Row>;

const GROUPS: &[(&str, Group)] = &[
    ("batch", rows::batch),
    ("submissions", rows::submissions),
    ("calls", rows::calls),
    ("reading", rows::reading_grown),
    ("opening", rows::opening),
    ("time-travel", rows::time_travel),
    ("replay", rows::replay),
    ("memory", rows::memories),
    ("capture", rows::capture),
];

/// What was asked.
#[derive(Default)]
struct Options {
    rounds: Option<usize>,
    quick: bool,
    measure: bool,
    only: Option<String>,
    directory: Option<PathBuf>,
    env_dir: Option<PathBuf>,
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == "--write-child") {
        let mib = words.get(1).and_then(|word| word.to_str()?.parse().ok()).unwrap_or(0);
        let report = words.get(2).map_or(Path::new("/dev/null"), Path::new);
        return ExitCode::from(u8::from(rows::write_child(mib, report).is_err()));
    }
    match options(words).and_then(|options| compare(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            drop(writeln!(std::io::stderr(), "compare: {why}"));
            ExitCode::from(2)
        }
    }
}

fn options(words: Vec<OsString>) -> Result<Options, String> {
    let mut options = Options::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let name = word.to_string_lossy().into_owned();
        let mut value = || words.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--bench" => options.measure = true,
            "--quick" => options.quick = true,
            "--rounds" => {
                let number = value()?.to_string_lossy().parse().ok().filter(|n| *n > 0);
                options.rounds = Some(number.ok_or("--rounds needs a number from 1")?);
            }
            "--only" => options.only = Some(value()?.to_string_lossy().into_owned()),
            "--dir" => options.directory = Some(value()?.into()),
            "--env-dir" => options.env_dir = Some(value()?.into()),
            "--json" => options.json = Some(value()?.into()),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}

fn compare(options: &Options) -> Result<(), String> {
    if !options.measure {
        // `cargo test --all-targets` starts benchmarks too; nothing is to be measured then.
        return say("compare measures under `cargo bench` only; see benches/compare/run\n");
    }
    let told = |error: std::io::Error| error.to_string();
    let directory = options.directory.as_deref().unwrap_or(Path::new(env!("CARGO_TARGET_TMPDIR")));
    let directory = fs::canonicalize(directory).map_err(told)?;
    let scratch = tempfile::Builder::new().prefix("compare").tempdir_in(directory).map_err(told)?;
    let runtime = tempfile::Builder::new().prefix("jr").tempdir_in("/tmp").map_err(told)?;
    let (full, quick) = (|n: usize| n, |n: usize| n / 5);
    let share: fn(usize) -> usize = if options.quick { quick } else { full };
    let env_dir = options.env_dir.as_ref().map(fs::canonicalize).transpose().map_err(told)?;
    let program = std::env::var_os("JR_BIN").unwrap_or(env!("CARGO_BIN_EXE_jr").into());
    let plan = Plan {
        jr: fs::canonicalize(program).map_err(told)?,
        scratch: scratch.path().to_owned(),
        runtime: runtime.path().to_owned(),
        env_dir,
        rounds: options.rounds.unwrap_or(if options.quick { 3 } else { 7 }),
        jobs: share(1000),
        calls: share(50),
        many_runs: share(10_000),
        capture_mib: if options.quick { 64 } else { 256 },
    };
    let machine = machine(&plan);
    for (key, value) in &machine {
        say(&format!("{key}: {value}\n"))?;
    }
    let wanted = |name: &str| options.only.as_deref().is_none_or(|word| name.contains(word));
    let mut all = Vec::new();
    for (name, group) in GROUPS.iter().filter(|(name, _)| wanted(name)) {
        drop(writeln!(std::io::stderr(), "measuring: {name}"));
        all.extend(group(&plan));
    }
    say(&format!("\n{}\n{}\n", report::table(&all), summary(&all)))?;
    if let Some(path) = &options.json {
        fs::write(path, report::json(&machine, &all)).map_err(told)?;
    }
    Ok(())
}

fn say(text: &str) -> Result<(), String> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| error.to_string())
}

fn summary(rows: &[Row]) -> String {
    let count = |met: Option<bool>| rows.iter().filter(|row| row.is_met() == met).count();
    let (met, missed) = (count(Some(true)), count(Some(false)));
    let open = rows.iter().filter(|row| row.bar != report::Bar::None && row.is_met().is_none());
    format!("{met} met, {missed} missed, {} without a figure", open.count())
}

/// What the figures depend on.
fn machine(plan: &Plan) -> Vec<(&'static str, String)> {
    let version = read(Command::new(&plan.jr).arg("--version")).unwrap_or("unknown".to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let disk = read(Command::new("stat").args(["-f", "-c", "%T"]).arg(&plan.scratch));
    let mut disk = disk.unwrap_or("unknown".to_owned());
    if matches!(disk.as_str(), "tmpfs" | "ramfs") {
        disk.push_str(" (syncs cost nothing here: durable rows say nothing; give --dir)");
    }
    vec![
        ("jr", version),
        ("cores", cores.to_string()),
        ("kernel", kernel.trim().to_owned()),
        ("disk", disk),
        ("rounds", plan.rounds.to_string()),
    ]
}
