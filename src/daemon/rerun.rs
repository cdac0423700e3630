//! `jr rerun`: the description of a run that is known, made into a fresh one.
//!
//! What was masked is not kept once nothing of the run can start any more: those values come from
//! the client's environment or from `--set`.

use std::collections::BTreeMap;

use super::protocol::{BatchRequest, Common, RerunRequest, RunRequest};
use crate::model::secret::is_marked;
use crate::model::{ByteString, CommandId, QueueName, RunSpec};

/// Names and values.
pub type Variables = Vec<(ByteString, ByteString)>;

/// Why it cannot be done once more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RerunError {
    /// A secret stood there.
    #[error("the secret in argument {argument} of {name:?} was not kept")]
    Argument {
        /// Of which run.
        name: String,
        /// Which, from 0.
        argument: usize,
    },
    /// A secret stood there.
    #[error("the secret in line {line:?} was not kept")]
    Line {
        /// Which.
        line: String,
    },
    /// Nobody says what they are.
    #[error("these secrets were not kept: {}", names.join(", "))]
    Variables {
        /// Which.
        names: Vec<String>,
    },
}

impl RerunError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Argument { .. } => {
                "give the command anew, with the secret in a variable; see it: jr repro RUN"
            }
            Self::Line { .. } => "give the lines anew, with the secret in a variable",
            Self::Variables { .. } => "export them here, or give each with --set VAR=VALUE",
        }
    }
}

/// The run once more, with the variables that it had.
///
/// # Errors
/// A masked value is missing.
pub fn run(
    spec: &RunSpec,
    captured: Variables,
    asked: &RerunRequest,
    command_id: CommandId,
) -> Result<RunRequest, RerunError> {
    let name = spec.name.clone();
    if let Some(argument) = spec.command.iter().position(is_marked) {
        return Err(RerunError::Argument { name, argument });
    }
    Ok(RunRequest {
        command_id,
        name: Some(name),
        command: spec.command.clone(),
        common: common(spec, captured, asked)?,
        queue: Some(queue(spec)),
        attached: false,
        tty: spec.tty,
        key: None,
        after: Vec::new(),
        lock: spec.lock.clone(),
        wait: false,
    })
}

/// Lines of a batch once more, as a new batch.
///
/// # Errors
/// As [`run`].
pub fn batch(
    spec: &RunSpec,
    captured: Variables,
    lines: Vec<ByteString>,
    asked: &RerunRequest,
    command_id: CommandId,
) -> Result<BatchRequest, RerunError> {
    if let Some(line) = lines.iter().find(|line| is_marked(line)) {
        return Err(RerunError::Line { line: line.to_text() });
    }
    Ok(BatchRequest {
        command_id,
        name: Some(spec.name.clone()),
        lines,
        jobs: asked.jobs,
        queue: spec.queue.clone(),
        fail_fast: spec.fail_fast,
        continued: None,
        common: common(spec, captured, asked)?,
        wait: false,
    })
}

/// Where it waited before, unless that was a batch's own queue.
fn queue(spec: &RunSpec) -> QueueName {
    let of_batch = spec.parent.map(QueueName::of_batch);
    let queue = spec.queue.clone().filter(|queue| Some(queue) != of_batch.as_ref());
    queue.unwrap_or_else(QueueName::default_queue)
}

fn common(spec: &RunSpec, captured: Variables, asked: &RerunRequest) -> Result<Common, RerunError> {
    // What was hidden stays so.
    let hidden = captured.iter().filter(|(_, value)| is_marked(value));
    let secret_names = hidden.map(|(name, _)| name.clone()).collect();
    Ok(Common {
        cwd: spec.cwd.clone(),
        umask: Some(spec.umask),
        variables: variables(captured, asked)?,
        labels: spec.labels.clone(),
        timeout_ms: spec.timeout_ms,
        stop_signal: Some(spec.stop_signal),
        grace_ms: Some(spec.grace_ms),
        strays: spec.strays,
        output_bytes_max: Some(spec.output_bytes_max),
        retry: spec.retry,
        ok_codes: spec.ok_codes.clone(),
        on_interrupt: spec.on_interrupt,
        capture: spec.capture,
        limits: spec.limits,
        secret_names,
        variable_files: spec.variable_files.clone(),
        config: None,
        repeated_config: spec.config,
        // What is there now; the older run says what was.
        commit: None,
    })
}

/// As captured; what is masked from `--set` or the client, then `--set` on top.
fn variables(captured: Variables, asked: &RerunRequest) -> Result<Variables, RerunError> {
    let set: BTreeMap<&ByteString, &ByteString> =
        asked.set.iter().map(|(name, value)| (name, value)).collect();
    let theirs: BTreeMap<&ByteString, &ByteString> =
        asked.variables.iter().map(|(name, value)| (name, value)).collect();
    let mut variables: BTreeMap<ByteString, ByteString> = BTreeMap::new();
    let mut missing = Vec::new();
    for (name, value) in captured {
        if set.contains_key(&name) {
            continue;
        }
        if !is_marked(&value) {
            variables.insert(name, value);
        } else if let Some(value) = theirs.get(&name) {
            variables.insert(name, (*value).clone());
        } else {
            missing.push(name.to_text());
        }
    }
    if !missing.is_empty() {
        return Err(RerunError::Variables { names: missing });
    }
    variables.extend(set.into_iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(variables.into_iter().collect())
}
