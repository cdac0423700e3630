//! Times, interleaved rounds, and what is made of them.
//!
//! The machine is noisy, so no absolute time is judged: in each round everything is measured once,
//! in turning order, and a ratio is taken within its round. Load from outside flatters a daemon
//! against the bare loop, so the median is that of the quiet half: the rounds in which the
//! reference was fastest. The median of all rounds and the range stand beside it.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Why there is no figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// The peer is not on this machine.
    NotInstalled(&'static str),
    /// This jr does not know the command: it exits 2.
    NoCommand,
    /// What the row needs was not given.
    Needs(&'static str),
    /// It went wrong.
    Failed(String),
}

/// A figure, or why there is none.
pub(crate) type Measured<T> = Result<T, Absent>;

/// One thing to measure: seconds, or whatever its row compares.
pub(crate) type Probe<'a> = Box<dyn FnMut() -> Measured<f64> + 'a>;

/// A judged figure and its surroundings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    /// The median of the quiet rounds: what the bar is held against.
    pub(crate) quiet: f64,
    /// The median of all rounds.
    pub(crate) all: f64,
    /// The smallest of all rounds.
    pub(crate) low: f64,
    /// The largest of all rounds.
    pub(crate) high: f64,
}

impl Figure {
    /// Of something that is measured once.
    pub(crate) fn single(value: f64) -> Self {
        Self { quiet: value, all: value, low: value, high: value }
    }

    fn of(values: &[f64], quiet: &[usize]) -> Self {
        let quiet: Vec<f64> = quiet.iter().map(|&round| values[round]).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self { quiet: median(&quiet), all: median(values), low, high }
    }
}

/// What interleaved rounds gave, by name.
pub(crate) struct Rounds {
    reference: &'static str,
    series: BTreeMap<&'static str, Measured<Vec<f64>>>,
}

impl Rounds {
    /// Measures each probe once a round, each round beginning with another one.
    ///
    /// The first probe is the reference that tells quiet rounds. What fails once is left out.
    pub(crate) fn run(count: usize, mut probes: Vec<(&'static str, Probe<'_>)>) -> Self {
        let reference = probes.first().map_or("", |(name, _)| name);
        let empty = |(name, _): &(&'static str, Probe<'_>)| (*name, Ok(Vec::new()));
        let mut series: BTreeMap<&'static str, Measured<Vec<f64>>> =
            probes.iter().map(empty).collect();
        for round in 0..count {
            for turn in 0..probes.len() {
                let which = (round + turn) % probes.len();
                let (name, probe) = &mut probes[which];
                let Some(Ok(values)) = series.get_mut(name) else { continue };
                match probe() {
                    Ok(value) => values.push(value),
                    Err(absent) => drop(series.insert(name, Err(absent))),
                }
            }
        }
        Self { reference, series }
    }

    /// Times of `top` over those of `base`, round by round.
    pub(crate) fn ratio(&self, top: &str, base: &str) -> Measured<Figure> {
        let (top, base) = (self.values(top)?, self.values(base)?);
        let ratios: Vec<f64> = top.iter().zip(base).map(|(top, base)| top / base).collect();
        Ok(Figure::of(&ratios, &self.quiet_rounds()?))
    }

    /// The values of one probe.
    pub(crate) fn figure(&self, name: &str) -> Measured<Figure> {
        Ok(Figure::of(self.values(name)?, &self.quiet_rounds()?))
    }

    fn values(&self, name: &str) -> Measured<&[f64]> {
        match self.series.get(name) {
            Some(Ok(values)) if !values.is_empty() => Ok(values),
            Some(Err(absent)) => Err(absent.clone()),
            _ => Err(Absent::Failed(format!("{name} was not measured"))),
        }
    }

    fn quiet_rounds(&self) -> Measured<Vec<usize>> {
        let values = self.values(self.reference)?;
        let mut rounds: Vec<usize> = (0..values.len()).collect();
        rounds.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        rounds.truncate(values.len().div_ceil(2).max(3));
        Ok(rounds)
    }
}

/// The middle one, or the mean of the middle two.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// The clock of the benchmark.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock; jr does not")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds that `work` takes, if it succeeds.
pub(crate) fn timed(work: impl FnOnce() -> Measured<()>) -> Measured<f64> {
    let start = now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Runs a command to its end without input and output.
pub(crate) fn call(command: &mut Command) -> Measured<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().map_err(|error| failed(command, &error.to_string()))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(2) => Err(Absent::NoCommand),
        _ => Err(failed(command, &status.to_string())),
    }
}

/// Runs a command and takes what it prints, less white space around it.
pub(crate) fn read(command: &mut Command) -> Measured<String> {
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().map_err(|error| failed(command, &error.to_string()))?;
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Some(2) => Err(Absent::NoCommand),
        _ => Err(failed(command, &output.status.to_string())),
    }
}

/// The median time of so many calls in a row, `after` each of which is not timed.
pub(crate) fn median_call(
    count: usize,
    mut timed_call: impl FnMut() -> Measured<()>,
    mut after: impl FnMut() -> Measured<()>,
) -> Measured<f64> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        times.push(timed(&mut timed_call)?);
        after()?;
    }
    Ok(median(&times))
}

/// Asks until it is so or the time is over.
pub(crate) fn wait_until(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let start = now();
    while start.elapsed() < limit {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    is_so()
}

fn failed(command: &Command, why: &str) -> Absent {
    let arguments: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or_default();
    let mut line = arguments.join(" ");
    line.truncate(line.char_indices().nth(40).map_or(line.len(), |(at, _)| at));
    Absent::Failed(format!("{program} {line}: {why}"))
}
