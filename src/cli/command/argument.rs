//! Options that several commands share, and how their values are read.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::policy::PolicyArgs;
use crate::cli::error::CommandError;
use crate::cli::time_arg;
use crate::daemon::protocol::Common;
use crate::model::notation::{bytes, cpu_millis, duration};
use crate::model::{ByteString, Capture, ResourceLimits, Signal, Strays};
use crate::projections::query::At;

/// What runs and batches take.
#[derive(clap::Args, Debug, Clone)]
pub struct ProcessArgs {
    /// Working directory [default: here]
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Set an environment variable
    #[arg(long = "set", value_name = "VAR=VALUE", value_parser = variable)]
    set: Vec<(String, String)>,
    /// Attach a label to select by
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Stop it after this running time
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<u64>,
    /// First signal of a stop or timeout [default: TERM]
    #[arg(long, value_name = "SIGNAL")]
    signal: Option<Signal>,
    /// Time between that signal and KILL [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    kill_after: Option<u64>,
    /// What to do with processes that outlive the main one [default: kill]
    #[arg(long, value_name = "kill|keep", value_parser = strays)]
    strays: Option<Strays>,
    /// Let it write its files itself, or copy them from pipes: then the order of stdout and stderr
    /// is exact [default: file]
    #[arg(long, value_name = "file|pipe", value_parser = capture)]
    capture: Option<Capture>,
    /// Limit what its processes use together: cpu=1.5 (cores), memory=512M, pids=100
    #[arg(long = "limit", value_name = "cpu|memory|pids=VALUE", value_parser = limit)]
    limits: Vec<Limit>,
    #[command(flatten)]
    policy: PolicyArgs,
}

/// One `--limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    CpuMillis(u32),
    MemoryBytes(u64),
    Pids(u32),
}

impl ProcessArgs {
    /// As the daemon takes it: with this process's directory and environment, on top of what the
    /// configuration says.
    ///
    /// # Errors
    /// The directory is gone.
    pub fn to_common(&self, declared: Common) -> Result<Common, CommandError> {
        let here = || {
            let here = std::env::current_dir();
            here.map_err(|error| CommandError::io("the working directory", &error))
        };
        let cwd = match &self.cwd {
            Some(path) if path.is_absolute() => path.clone().into_os_string().into(),
            Some(path) => here()?.join(path).into_os_string().into(),
            None if declared.cwd.as_bytes().is_empty() => here()?.into_os_string().into(),
            None => declared.cwd,
        };
        let mut variables: BTreeMap<ByteString, ByteString> = std::env::vars_os()
            .map(|(name, value)| (ByteString::from(name.into_vec()), ByteString::from(value)))
            .collect();
        variables.extend(declared.variables);
        let mut variable_files = declared.variable_files;
        for (name, value) in &self.set {
            variable_files.retain(|(there, _)| there.as_bytes() != name.as_bytes());
            variables.insert(name.as_str().into(), value.as_str().into());
        }
        let mut labels = declared.labels;
        labels.extend(self.label.iter().cloned());
        let mut common = Common {
            cwd,
            umask: declared.umask.or_else(|| Some(umask())),
            variables: variables.into_iter().collect(),
            labels,
            timeout_ms: self.timeout.or(declared.timeout_ms),
            stop_signal: self.signal.or(declared.stop_signal),
            grace_ms: self.kill_after.or(declared.grace_ms),
            strays: self.strays.unwrap_or(declared.strays),
            capture: self.capture.unwrap_or(declared.capture),
            limits: self.limits(declared.limits),
            variable_files,
            ..declared
        };
        self.policy.apply(&mut common);
        Ok(common)
    }

    /// Variables that are set.
    pub fn set_names(&self) -> Vec<String> {
        self.set.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Of the same limit, the last counts.
    fn limits(&self, mut limits: ResourceLimits) -> ResourceLimits {
        for limit in &self.limits {
            match limit {
                Limit::CpuMillis(millis) => limits.cpu_millis = Some(*millis),
                Limit::MemoryBytes(bytes) => limits.memory_bytes = Some(*bytes),
                Limit::Pids(count) => limits.pids = Some(*count),
            }
        }
        limits
    }
}

/// Ours, which the command is to have. Reading it means setting it (umask(2)); no other thread is
/// there to make a file meanwhile.
fn umask() -> u32 {
    let own = rustix::process::umask(rustix::fs::Mode::empty());
    rustix::process::umask(own);
    own.as_raw_mode()
}

fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
}

/// For clap: `VAR=value`.
///
/// # Errors
/// It has no name or no `=`.
pub fn variable(text: &str) -> Result<(String, String), String> {
    pair(text).ok_or_else(|| "it must be VAR=VALUE".to_owned())
}

/// For clap: `key=value`.
///
/// # Errors
/// It has no key or no `=`.
pub fn label(text: &str) -> Result<(String, String), String> {
    pair(text).ok_or_else(|| "it must be KEY=VALUE".to_owned())
}

fn capture(text: &str) -> Result<Capture, String> {
    match text {
        "file" => Ok(Capture::File),
        "pipe" => Ok(Capture::Pipe),
        _ => Err("it must be file or pipe".to_owned()),
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    match name {
        "cpu" => cpu_millis(value).map(Limit::CpuMillis).ok_or("cores, such as cpu=1.5"),
        "memory" => bytes(value).map(Limit::MemoryBytes).ok_or("bytes, such as memory=512M"),
        "pids" => {
            let count = value.parse().ok().filter(|count| *count > 0);
            count.map(Limit::Pids).ok_or("a number of processes, such as pids=100")
        }
        _ => Err("cpu=CORES, memory=BYTES or pids=N"),
    }
    .map_err(|wanted| format!("it must be {wanted}"))
}

fn strays(text: &str) -> Result<Strays, String> {
    match text {
        "kill" => Ok(Strays::Kill),
        "keep" => Ok(Strays::Keep),
        _ => Err("it must be kill or keep".to_owned()),
    }
}

/// For clap: a seq, or a time.
///
/// # Errors
/// What would have been understood.
pub fn at(text: &str) -> Result<At, String> {
    if let Ok(seq) = text.parse() {
        return Ok(At::Seq(seq));
    }
    time(text).map(At::Time)
}

/// For clap: a time, in Unix milliseconds.
///
/// # Errors
/// What would have been understood.
pub fn time(text: &str) -> Result<i64, String> {
    time_arg::moment(text, &time_arg::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_the_log_is_a_seq_or_a_time() {
        assert_eq!(at("4711"), Ok(At::Seq(4711)));
        assert_eq!(at("@1700000000"), Ok(At::Time(1_700_000_000_000)));
        assert!(at("soon").is_err());
    }

    #[test]
    fn a_limit_is_a_number_with_its_unit() {
        assert_eq!(limit("cpu=1.5"), Ok(Limit::CpuMillis(1_500)));
        assert_eq!(limit("cpu=0.05"), Ok(Limit::CpuMillis(50)));
        assert_eq!(limit("cpu=2"), Ok(Limit::CpuMillis(2_000)));
        assert_eq!(limit("memory=512M"), Ok(Limit::MemoryBytes(512 << 20)));
        assert_eq!(limit("memory=4096"), Ok(Limit::MemoryBytes(4_096)));
        assert_eq!(limit("memory=1gib"), Ok(Limit::MemoryBytes(1 << 30)));
        assert_eq!(limit("pids=100"), Ok(Limit::Pids(100)));
        for bad in [
            "",
            "cpu",
            "cpu=",
            "cpu=0",
            "cpu=-1",
            "cpu=1.",
            "cpu=.5",
            "cpu=0.0001",
            "cpu=1e3",
            "cpu=9999999999",
            "memory=",
            "memory=0",
            "memory=M",
            "memory=1.5G",
            "memory=1Q",
            "memory=99999999999T",
            "memory=-1",
            "pids=0",
            "pids=1.5",
            "disk=1",
        ] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pairs_need_a_name() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(variable("A="), Ok(("A".to_owned(), String::new())));
        assert!(variable("=x").is_err());
        assert!(label("x").is_err());
    }
}
