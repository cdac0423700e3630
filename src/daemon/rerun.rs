//! `jr rerun`: the description of a run that is known, made into a fresh one.
//!
//! What was masked is not kept once nothing of the run can start any more: those values come from
//! the client's environment or from `--set`.

use std::collections::BTreeMap;

use super::place::Place;
use super::protocol::{BatchRequest, Common, RerunRequest, RunRequest};
use super::server::Refusal;
use crate::log::{Blobs, codec};
use crate::model::{ByteString, CommandId, QueueName, RunSpec, secret};
use hyper::StatusCode;

type Variables = Vec<(ByteString, ByteString)>;

/// The run once more.
///
/// # Errors
/// [`Refusal`]: a masked value is missing, or the variables cannot be read.
pub(super) fn run(
    place: &Place,
    spec: &RunSpec,
    asked: &RerunRequest,
    command_id: CommandId,
) -> Result<RunRequest, Refusal> {
    let marked = spec.command.iter().position(is_marked);
    if let Some(argument) = marked {
        let message = format!("the secret in argument {argument} of {:?} was not kept", spec.name);
        let hint = "give the command anew, with the secret in a variable; see it: jr repro RUN";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, 2, "secrets_gone", message).hint(hint));
    }
    Ok(RunRequest {
        command_id,
        name: Some(spec.name.clone()),
        command: spec.command.clone(),
        common: common(place, spec, asked)?,
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
pub(super) fn batch(
    place: &Place,
    spec: &RunSpec,
    lines: Vec<ByteString>,
    asked: &RerunRequest,
    command_id: CommandId,
) -> Result<BatchRequest, Refusal> {
    if let Some(line) = lines.iter().find(|line| is_marked(line)) {
        let message = format!("the secret in line {:?} was not kept", line.to_text());
        let hint = "give the lines anew, with the secret in a variable";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, 2, "secrets_gone", message).hint(hint));
    }
    Ok(BatchRequest {
        command_id,
        name: Some(spec.name.clone()),
        lines,
        jobs: asked.jobs,
        queue: spec.queue.clone(),
        fail_fast: spec.fail_fast,
        continued: None,
        common: common(place, spec, asked)?,
        wait: false,
    })
}

/// Where it waited before, unless that was a batch's own queue.
fn queue(spec: &RunSpec) -> QueueName {
    let of_batch = spec.parent.map(QueueName::of_batch);
    let queue = spec.queue.clone().filter(|queue| Some(queue) != of_batch.as_ref());
    queue.unwrap_or_else(QueueName::default_queue)
}

fn common(place: &Place, spec: &RunSpec, asked: &RerunRequest) -> Result<Common, Refusal> {
    Ok(Common {
        cwd: spec.cwd.clone(),
        umask: Some(spec.umask),
        variables: variables(place, spec, asked)?,
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
    })
}

/// As captured; what is masked from `--set` or the client, then `--set` on top.
fn variables(place: &Place, spec: &RunSpec, asked: &RerunRequest) -> Result<Variables, Refusal> {
    let captured: Variables = match spec.variables {
        None => Vec::new(),
        Some(digest) => {
            let bytes = Blobs::new(&place.blobs()).get(digest).ok();
            let decoded = bytes.and_then(|bytes| codec::decode(&bytes).ok());
            decoded.ok_or_else(|| {
                let message = format!("the variables of {:?} cannot be read", spec.name);
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, 1, "blob", message)
                    .hint("give the command anew: jr repro RUN")
            })?
        }
    };
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
        let message = format!("these secrets were not kept: {}", missing.join(", "));
        let hint = "export them here, or give each with --set VAR=VALUE";
        return Err(Refusal::new(StatusCode::BAD_REQUEST, 2, "secrets_gone", message).hint(hint));
    }
    variables.extend(set.into_iter().map(|(name, value)| (name.clone(), value.clone())));
    Ok(variables.into_iter().collect())
}

fn is_marked(text: &ByteString) -> bool {
    let marker = secret::MARKER.as_bytes();
    text.as_bytes().windows(marker.len()).any(|window| window == marker)
}
