//! What a client declares of a service becomes what the log keeps of it.

use std::sync::Arc;

use super::protocol::ServiceRequest;
use crate::model::service::spec::ServiceSpec;
use crate::model::{ByteString, Digest, Kind, OnInterrupt, RunSpec, secret};

/// Random bytes of an environment, beside its secrets: whether a secret has changed can be told
/// from what the log keeps, and nothing else of it.
pub type Key = [u8; 32];

/// A service as it was declared, without what has to be stored for its runs.
///
/// Its digest is of what was configured. The client's surroundings are left out, so that the same
/// files in another shell are the same service.
pub fn digest(request: &ServiceRequest, key: &Key) -> Digest {
    let mut bare = request.clone();
    let variables = std::mem::take(&mut bare.common.variables);
    let masked = secret::mask_variables_and(variables, &request.common.secret_names);
    bare.common.variables = masked.values;
    let command = secret::mask_command(std::mem::take(&mut bare.command));
    bare.command = command.values;
    // Which file said something is no part of what it says.
    bare.common.config = None;
    let mut hasher = blake3::Hasher::new_keyed(key);
    let values = masked.secrets.iter().map(|(_, value)| value).chain(command.secrets.values());
    for value in values {
        hasher.update(&(value.as_bytes().len() as u64).to_le_bytes());
        hasher.update(value.as_bytes());
    }
    let secrets = hasher.finalize();
    let text = serde_json::to_vec(&bare).unwrap_or_default();
    Digest(*blake3::Hasher::new().update(&text).update(secrets.as_bytes()).finalize().as_bytes())
}

/// The service, over what its runs are to be.
pub fn service(request: &ServiceRequest, run: RunSpec, digest: Digest) -> ServiceSpec {
    let run = RunSpec {
        name: request.service.to_string(),
        kind: Kind::Service,
        user: request.user.clone(),
        on_interrupt: OnInterrupt::Ask,
        ..run
    };
    ServiceSpec {
        title: request.title.clone(),
        hostname: request.hostname.clone(),
        run: Arc::new(run),
        replicas: request.replicas.max(1),
        supervision: Arc::new(request.supervision.clone()),
        digest,
    }
}

/// What a client needs for a plan: nothing is stored.
pub fn sketch(request: &ServiceRequest, key: &Key) -> ServiceSpec {
    let run = RunSpec {
        command: secret::mask_command(request.command.clone()).values,
        cwd: request.common.cwd.clone(),
        labels: request.common.labels.clone(),
        ..RunSpec::default()
    };
    service(request, run, digest(request, key))
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
