//! What a client declares of a service becomes what the log keeps of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::protocol::ServiceRequest;
use crate::model::secret::{Known, LineSecrets, Secrets};
use crate::model::service::probe::{Probe, ProbeWay};
use crate::model::service::spec::{HookMoment, ServiceSpec, Supervision};
use crate::model::{ByteString, Digest, Kind, OnInterrupt, RunId, RunSpec, secret};

/// Random bytes of an environment, beside its secrets: whether a secret has changed can be told
/// from what the log keeps, and nothing else of it.
pub type Key = [u8; 32];

/// Which words of a service, beside its command, hold secrets: their originals lie under an id of
/// their own in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// A command at a moment of its life.
    Hook(HookMoment),
    /// How its readiness is asked.
    Readiness,
    /// How its health is asked.
    Health,
}

impl Words {
    /// No run has so small an id but by a chance of one in 10^16.
    fn place(self) -> RunId {
        let moment = |moment| HookMoment::ALL.iter().position(|known| *known == moment);
        let number = match self {
            Self::Hook(of) => 1 + moment(of).unwrap_or(0),
            Self::Readiness => 11,
            Self::Health => 12,
        };
        RunId::from_chance(number as u64)
    }

    /// The words as they were.
    pub fn unmask(self, words: Vec<ByteString>, secrets: &Secrets) -> Vec<ByteString> {
        match secrets.lines.get(&self.place()) {
            Some(line) => secret::unmask_command(words, &line.arguments),
            None => words,
        }
    }
}

/// A declaration without its secrets, and these.
#[derive(Clone, Debug)]
pub struct Masked {
    /// With markers.
    pub request: ServiceRequest,
    /// What stands behind them, as a run's file keeps it.
    pub secrets: Secrets,
}

/// Takes the secrets out.
pub fn mask(request: &ServiceRequest) -> Masked {
    mask_and(request, &Known::default())
}

/// As [`mask`], and these values of the client's surroundings.
pub fn mask_and(request: &ServiceRequest, known: &Known) -> Masked {
    let mut request = request.clone();
    let variables = std::mem::take(&mut request.common.variables);
    let variables = secret::mask_variables_and(variables, &request.common.secret_names);
    let known = &variables.known().and(known);
    request.common.variables = variables.values;
    let command = secret::mask_command_and(std::mem::take(&mut request.command), known);
    request.command = command.values;
    let mut secrets = Secrets {
        variables: variables.secrets,
        arguments: command.secrets,
        lines: BTreeMap::new(),
    };
    for (moment, words) in &mut request.supervision.hooks {
        mask_words(Words::Hook(*moment), words, known, &mut secrets);
    }
    let probes = [
        (Words::Readiness, &mut request.supervision.readiness),
        (Words::Health, &mut request.supervision.health),
    ];
    for (of, probe) in probes {
        if let Some(probe) = probe {
            let mut words = words_of(probe);
            mask_words(of, &mut words, known, &mut secrets);
            put_words(probe, words);
        }
    }
    Masked { request, secrets }
}

fn mask_words(of: Words, words: &mut Vec<ByteString>, known: &Known, secrets: &mut Secrets) {
    let masked = secret::mask_command_and(std::mem::take(words), known);
    *words = masked.values;
    if !masked.secrets.is_empty() {
        let line = LineSecrets { line: None, arguments: masked.secrets };
        secrets.lines.insert(of.place(), line);
    }
}

/// The words of a question that may hold secrets: its command; its path and its headers.
fn words_of(probe: &Probe) -> Vec<ByteString> {
    match &probe.way {
        ProbeWay::Exec { command } => command.clone(),
        ProbeWay::Http(http) => {
            let headers = http.headers.iter().map(|(name, value)| format!("{name}: {value}"));
            let path = std::iter::once(http.path.clone());
            path.chain(headers).map(|word| ByteString::from(word.as_str())).collect()
        }
        ProbeWay::Tcp { .. }
        | ProbeWay::Output { .. }
        | ProbeWay::Unix { .. }
        | ProbeWay::Notify => Vec::new(),
    }
}

fn put_words(probe: &mut Probe, words: Vec<ByteString>) {
    match &mut probe.way {
        ProbeWay::Exec { command } => *command = words,
        ProbeWay::Http(http) => {
            let mut words = words.iter().map(ByteString::to_text);
            http.path = words.next().unwrap_or_default();
            for (header, word) in http.headers.iter_mut().zip(words) {
                let value = word.split_once(": ").map_or("", |(_, value)| value);
                value.clone_into(&mut header.1);
            }
        }
        ProbeWay::Tcp { .. }
        | ProbeWay::Output { .. }
        | ProbeWay::Unix { .. }
        | ProbeWay::Notify => {}
    }
}

/// The questions with their secrets, for who asks them.
pub fn unmask_probes(supervision: &mut Supervision, secrets: &Secrets) {
    let probes =
        [(Words::Readiness, &mut supervision.readiness), (Words::Health, &mut supervision.health)];
    for (of, probe) in probes {
        if let Some(probe) = probe {
            let words = of.unmask(words_of(probe), secrets);
            put_words(probe, words);
        }
    }
}

/// Tells one declaration from another. It is of what was configured: the client's surroundings are
/// left out, so that the same files in another shell are the same service.
pub fn digest(masked: &Masked, key: &Key) -> Digest {
    let mut bare = masked.request.clone();
    // Which file said something is no part of what it says.
    bare.common.config = None;
    // What is checked out belongs to a start of it.
    bare.common.commit = None;
    let mut hasher = blake3::Hasher::new_keyed(key);
    let secrets = &masked.secrets;
    let lines = secrets.lines.values().flat_map(|line| line.arguments.values());
    let values = secrets.variables.iter().map(|(_, value)| value);
    for value in values.chain(secrets.arguments.values()).chain(lines) {
        hasher.update(&(value.as_bytes().len() as u64).to_le_bytes());
        hasher.update(value.as_bytes());
    }
    let secrets = hasher.finalize();
    let text = serde_json::to_vec(&bare).unwrap_or_default();
    Digest(*blake3::Hasher::new().update(&text).update(secrets.as_bytes()).finalize().as_bytes())
}

/// The service, over what its runs are to be.
pub fn service(masked: &ServiceRequest, run: RunSpec, digest: Digest) -> ServiceSpec {
    let run = RunSpec {
        name: masked.service.to_string(),
        kind: Kind::Service,
        user: masked.user.clone(),
        on_interrupt: OnInterrupt::Ask,
        ..run
    };
    ServiceSpec {
        title: masked.title.clone(),
        hostname: masked.hostname.clone(),
        run: Arc::new(run),
        replicas: masked.replicas.max(1),
        supervision: Arc::new(masked.supervision.clone()),
        digest,
    }
}

/// What a client needs for a plan: nothing is stored.
pub fn sketch(request: &ServiceRequest, key: &Key) -> ServiceSpec {
    let masked = mask(request);
    let run = RunSpec {
        command: masked.request.command.clone(),
        cwd: masked.request.common.cwd.clone(),
        labels: masked.request.common.labels.clone(),
        ..RunSpec::default()
    };
    service(&masked.request, run, digest(&masked, key))
}

/// Variables of the client's that a service gets below its own.
pub fn surroundings(
    mut variables: Vec<(ByteString, ByteString)>,
    own: &[(ByteString, ByteString)],
) -> Vec<(ByteString, ByteString)> {
    variables.retain(|(name, _)| !own.iter().any(|(known, _)| known == name));
    variables.extend(own.iter().cloned());
    variables
}
