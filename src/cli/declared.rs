//! What the configuration says of a run before any option does: the environment's defaults, and a
//! job of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::configuration::Configuration;
use super::error::CommandError;
use super::exit;
use crate::config::document::{Document, Parts};
use crate::config::env_file;
use crate::config::problem::Problem;
use crate::config::resolve::{Resolved, absolute, base};
use crate::config::schema::environment::EnvironmentType;
use crate::config::schema::job::{self, Backoff as BackoffWish, Job};
use crate::config::schema::limits::Limits;
use crate::config::schema::service::Service;
use crate::config::schema::values::{Umask, Variable, Words};
use crate::config::source::Layer;
use crate::config::tree::find;
use crate::daemon::place::Place;
use crate::daemon::protocol::Common;
use crate::model::{
    Backoff, ByteString, Capture, GitCommit, LockWish, OnInterrupt, QueueName, ResourceLimits,
    Retry, Strays, batch_line, notation,
};

/// The environment that a run is asked for in.
#[derive(Debug)]
pub struct Declared<'a> {
    configuration: &'a Configuration,
    place: &'a Place,
    resolved: Resolved,
    /// What is wrong with it, and harms nothing.
    problems: Vec<Problem>,
}

/// A job, ready to be asked for.
#[derive(Debug)]
pub struct DeclaredJob {
    /// argv.
    pub command: Vec<ByteString>,
    /// Where it waits.
    pub queue: Option<QueueName>,
    /// What it holds.
    pub lock: Option<LockWish>,
    /// The rest.
    pub common: Common,
}

impl<'a> Declared<'a> {
    /// `None` where no file says anything.
    ///
    /// # Errors
    /// Something in a file cannot be used.
    pub fn of(
        configuration: &'a Configuration,
        place: &'a Place,
    ) -> Result<Option<Self>, CommandError> {
        if !configuration.has_files() {
            return Ok(None);
        }
        let (resolved, problems) = configuration.resolve_sound()?;
        if resolved.kind() == EnvironmentType::Slurm {
            let message =
                format!("environment {} is on a cluster: this jr runs nothing there", resolved.id);
            let hint = "name one of this machine: jr env list, then -e ID";
            return Err(CommandError::new("unsupported", exit::USAGE, message).hint(hint));
        }
        Ok(Some(Self { configuration, place, resolved, problems }))
    }

    /// The job of that name.
    pub fn job(&self, name: &str) -> Option<&Job> {
        self.resolved.environment.jobs.as_ref()?.get(name)
    }

    /// All jobs.
    pub fn jobs(&self) -> impl Iterator<Item = (&str, &Job)> {
        let jobs = self.resolved.environment.jobs.iter().flatten();
        jobs.map(|(name, job)| (name.as_str(), job))
    }

    /// Where ports are looked for that may be any.
    pub fn port_range(&self) -> Option<(u16, u16)> {
        self.resolved.settings().ports.and_then(|range| range.bounds())
    }

    /// The queue of detached runs.
    pub fn default_queue(&self) -> Option<QueueName> {
        self.resolved.environment.default_queue.as_ref()?.parse().ok()
    }

    /// What a daemon keeps of the configuration.
    pub fn config(&self) -> Option<String> {
        let document = Document::new(&Parts {
            loaded: self.configuration.loaded(),
            search: &self.configuration.search,
            resolved: &self.resolved,
            problems: &self.problems,
            path: Some(&self.place.root),
        });
        String::from_utf8(document.to_bytes()).ok()
    }

    /// Variables of this shell that something declared takes a secret from: they are secrets to
    /// every run, since each gets all of the shell's variables.
    pub fn secret_variables(&self) -> impl Iterator<Item = ByteString> {
        let environment = &self.resolved.environment;
        let jobs = environment.jobs.iter().flatten().map(|(_, job)| &job.environment);
        let services = environment.services.iter().flatten();
        let services = services.map(|(_, service)| &service.environment);
        let tests = environment.tests.iter().flatten().map(|(_, test)| &test.environment);
        let values = jobs.chain(services).chain(tests).flatten().flat_map(BTreeMap::values);
        values.filter_map(|value| match value {
            Variable::FromVariable(source) => Some(source.env.as_str().into()),
            _ => None,
        })
    }

    /// What holds for every run there; the configuration itself, which is large, is not in it.
    pub fn common(&self) -> Common {
        let environment = &self.resolved.environment;
        Common {
            labels: environment.labels.clone().unwrap_or_default(),
            limits: environment.limits.as_ref().map(limits).unwrap_or_default(),
            ..Common::default()
        }
    }

    /// A job with what holds for every run, and more words for its command. Variables that are
    /// `given` elsewhere are not looked for.
    ///
    /// # Errors
    /// A file or variable that it names is not there.
    pub fn ready(
        &self,
        name: &str,
        job: &Job,
        more: Vec<ByteString>,
        given: &[String],
    ) -> Result<DeclaredJob, CommandError> {
        let mut common = self.common();
        common.labels.extend(job.labels.clone().unwrap_or_default());
        common.limits = merged(common.limits, job.limits.as_ref());
        common.cwd = self.directory(name, job).into_os_string().into();
        common.timeout_ms = job.timeout.map(|millis| millis.0);
        common.stop_signal = job.stop_signal.map(|signal| signal.0);
        common.grace_ms = job.kill_after.map(|millis| millis.0);
        common.ok_codes = job.ok.clone().map(|codes| codes.0).unwrap_or_default();
        common.umask = job.umask.as_ref().map(Umask::bits);
        common.on_interrupt = job.on_interrupt.map(on_interrupt).unwrap_or_default();
        common.strays = job.strays.map(strays).unwrap_or_default();
        common.capture = job.capture.map(capture).unwrap_or_default();
        let backoff = job.backoff.as_ref().map_or(Backoff::DEFAULT, backoff);
        let times = job.retries.filter(|times| *times > 0);
        common.retry = times.map(|times| Retry { times, backoff });
        let place = ["jobs", name];
        let environment = job.environment.as_ref();
        self.add_variables(place, job.env_file.as_ref(), environment, given, &mut common)?;
        let mut command = words(job.command.as_ref(), job.args.as_deref());
        if is_script(&command) && !more.is_empty() {
            // sh(1): the first word after the script is its name, the others are its "$@".
            command.push(name.into());
        }
        command.extend(more);
        Ok(DeclaredJob {
            command,
            queue: job.queue.as_ref().and_then(|queue| queue.parse().ok()),
            lock: job.lock.as_ref().and_then(|lock| notation::lock(&lock.0).ok()),
            common,
        })
    }

    /// What is checked out in a directory.
    pub(super) fn commit_at(&self, directory: &ByteString) -> Option<GitCommit> {
        self.configuration.commit_at(directory)
    }

    /// Where a value stands.
    pub(super) fn base_of(&self, path: &[&str]) -> (&Path, Layer) {
        let sources = &self.configuration.loaded().sources;
        match find(&self.resolved.tree, path) {
            Some(node) => {
                let layer = sources.get(node.origin.source).map_or(Layer::Packaged, |s| s.layer);
                (base(sources, node), layer)
            }
            None => (Path::new("/"), Layer::Packaged),
        }
    }

    /// Its directory; a project's job runs where its file lies, anybody else's where it is asked.
    fn directory(&self, name: &str, job: &Job) -> PathBuf {
        if let Some(directory) = &job.directory {
            return self.path_of(&["jobs", name, "directory"], directory);
        }
        match self.base_of(&["jobs", name, "command"]) {
            (base, Layer::Project | Layer::ProjectLocal | Layer::Directory) => base.to_owned(),
            _ => PathBuf::new(),
        }
    }

    /// A path that stands at that place: `~` is home, and what is relative is so to its file.
    pub(super) fn path_of(&self, place: &[&str], path: &str) -> PathBuf {
        absolute(path, self.base_of(place).0, self.configuration.home())
    }

    /// The services that are declared.
    pub(super) fn services(&self) -> impl Iterator<Item = (&String, &Service)> {
        self.resolved.environment.services.iter().flatten()
    }

    /// The variables of what stands at `place`, a table and a name in it.
    pub(super) fn add_variables(
        &self,
        [table, name]: [&str; 2],
        env_file: Option<&Words>,
        environment: Option<&BTreeMap<String, Variable>>,
        given: &[String],
        common: &mut Common,
    ) -> Result<(), CommandError> {
        let home = self.configuration.home();
        for file in env_file.into_iter().flat_map(Words::as_slice) {
            let (base, _) = self.base_of(&[table, name, "env_file"]);
            let path = absolute(file, base, home);
            for (variable, value) in env_file::read(&path).map_err(|problem| {
                let message =
                    format!("env_file of {name}, {}: {}", path.display(), problem.message);
                let error = CommandError::new("bad_env_file", exit::USAGE, message);
                problem.suggestion.iter().fold(error, CommandError::hint)
            })? {
                set(common, &variable, &value);
            }
        }
        let wanted = environment.into_iter().flatten();
        for (variable, value) in wanted.filter(|(variable, _)| !given.contains(variable)) {
            match value {
                Variable::Text(text) => set(common, variable, text),
                Variable::Integer(number) => set(common, variable, &number.to_string()),
                Variable::Boolean(boolean) => set(common, variable, &boolean.to_string()),
                Variable::Secret(literal) => {
                    set(common, variable, &literal.value);
                    if literal.secret {
                        common.secret_names.push(variable.as_str().into());
                    }
                }
                Variable::FromVariable(source) => {
                    let value = std::env::var_os(&source.env).ok_or_else(|| {
                        let message =
                            format!("{name} needs the variable {}, which is not set", source.env);
                        let hint = format!("export {}=…, or: --set {variable}=…", source.env);
                        CommandError::new("variable_missing", exit::USAGE, message).hint(hint)
                    })?;
                    common.variables.push((variable.as_str().into(), value.into()));
                    // By both names: the run gets all of the caller's environment.
                    common.secret_names.push(variable.as_str().into());
                    common.secret_names.push(source.env.as_str().into());
                }
                Variable::FromFile(source) => {
                    let (base, _) = self.base_of(&[table, name, "environment", variable]);
                    let path = absolute(&source.file, base, home).into_os_string().into();
                    common.variable_files.push((variable.as_str().into(), path));
                }
            }
        }
        Ok(())
    }
}

fn set(common: &mut Common, name: &str, value: &str) {
    common.variables.push((name.into(), value.into()));
}

/// The words of its command: a line alone is read as a batch's is.
pub(super) fn words(command: Option<&Words>, args: Option<&[String]>) -> Vec<ByteString> {
    let args = args.unwrap_or_default();
    let mut words: Vec<ByteString> = match command {
        Some(Words::One(line)) if args.is_empty() => batch_line::argv(&line.as_str().into()),
        Some(words) => words.as_slice().iter().map(|word| word.as_str().into()).collect(),
        None => Vec::new(),
    };
    words.extend(args.iter().map(|word| ByteString::from(word.as_str())));
    words
}

/// `sh -c LINE`, as a line with shell syntax becomes.
fn is_script(command: &[ByteString]) -> bool {
    command.len() == 3 && command[0].as_bytes() == b"sh" && command[1].as_bytes() == b"-c"
}

fn limits(wish: &Limits) -> ResourceLimits {
    ResourceLimits {
        cpu_millis: wish.cpu.map(|cores| cores.0),
        memory_bytes: wish.memory.map(|bytes| bytes.0),
        pids: wish.pids,
    }
}

pub(super) fn merged(below: ResourceLimits, above: Option<&Limits>) -> ResourceLimits {
    let above = above.map(limits).unwrap_or_default();
    ResourceLimits {
        cpu_millis: above.cpu_millis.or(below.cpu_millis),
        memory_bytes: above.memory_bytes.or(below.memory_bytes),
        pids: above.pids.or(below.pids),
    }
}

fn backoff(wish: &BackoffWish) -> Backoff {
    backoff_over(wish, Backoff::DEFAULT)
}

/// What is not said is as in `default`.
pub(super) fn backoff_over(wish: &BackoffWish, default: Backoff) -> Backoff {
    let table = match wish {
        BackoffWish::Text(text) => return notation::backoff(text).unwrap_or(default),
        BackoffWish::Table(table) => table,
    };
    let first_ms = table.initial.map_or(default.first_ms, |millis| millis.0);
    let percent = |part: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the schema bounds it to 10,000"
        )]
        let percent = (part * 100.0).round() as u32;
        percent
    };
    Backoff {
        first_ms,
        max_ms: table.max.map_or(default.max_ms, |millis| millis.0).max(first_ms),
        factor_percent: table.multiplier.map_or(default.factor_percent, percent),
        jitter_percent: table
            .jitter
            .map_or(default.jitter_percent, |part| u8::try_from(percent(part)).unwrap_or(100)),
    }
}

fn on_interrupt(wish: job::OnInterrupt) -> OnInterrupt {
    match wish {
        job::OnInterrupt::Fail => OnInterrupt::Fail,
        job::OnInterrupt::Requeue => OnInterrupt::Requeue,
        job::OnInterrupt::Ask => OnInterrupt::Ask,
    }
}

fn strays(wish: job::Strays) -> Strays {
    match wish {
        job::Strays::Kill => Strays::Kill,
        job::Strays::Keep => Strays::Keep,
    }
}

fn capture(wish: job::Capture) -> Capture {
    match wish {
        job::Capture::File => Capture::File,
        job::Capture::Pipe => Capture::Pipe,
    }
}
