//! What a shim needs for a start: the run's spec with its variables and secrets put together.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::declaration::{self, Words};
use super::place::Place;
use crate::limits;
use crate::log::{Blobs, Secrets as SecretFiles, codec};
use crate::model::event::SpawnError;
use crate::model::secret::{self, Secrets};
use crate::model::service::spec::Supervision;
use crate::model::{ByteString, Digest, RunId, RunSpec};
use crate::runners::protocol::{AttemptId, PassedSocket, Start};
use crate::sys::regular;

/// EIO: what must be there could not be read.
const IO_ERROR: i32 = 5;
/// Sets of variables, and of secrets, kept in memory; most runs share a few.
const KEPT: usize = 8;

/// The process of the service that a command is for, as in `systemd.exec(5)`.
const MAIN_PID: &str = "MAINPID";
/// Where a service says that it is ready (`sd_notify(3)`).
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// Tells a run where its daemon listens; one of an isolated environment has none.
const SOCKET: &str = "JR_SOCKET";

pub(super) type Variables = Vec<(ByteString, ByteString)>;

/// What an attempt of a service is given beside what its run says.
#[derive(Debug, Default)]
pub struct Given {
    /// By name, the main one first.
    pub ports: Vec<(String, u16)>,
    /// Names of those that its shim binds, each with its address.
    pub passed: Vec<(String, Option<String>)>,
    /// Where it says by itself how it is.
    pub notify: Option<PathBuf>,
    /// The process of the service that it is a command for.
    pub main_pid: Option<u32>,
}

impl Given {
    /// Whether its shim binds the port of that name.
    pub fn is_passed(&self, name: &str) -> bool {
        self.passed.iter().any(|(passed, _)| passed == name)
    }

    fn sockets(&self) -> Vec<PassedSocket> {
        let number = |name: &str| self.ports.iter().find(|(known, _)| known == name);
        let socket = |(name, host): &(String, Option<String>)| {
            let port = number(name)?.1;
            Some(PassedSocket { name: name.clone(), host: host.clone(), port })
        };
        self.passed.iter().filter_map(socket).collect()
    }
}

/// Puts starts together.
pub struct Launcher {
    place: Place,
    variables: BTreeMap<Digest, Arc<Variables>>,
    secrets: BTreeMap<RunId, Arc<Secrets>>,
}

impl Launcher {
    /// For one environment.
    pub fn new(place: Place) -> Self {
        Self { place, variables: BTreeMap::new(), secrets: BTreeMap::new() }
    }

    /// The start of an attempt.
    ///
    /// # Errors
    /// [`SpawnError`]: what the attempt ends with.
    pub fn prepare(
        &mut self,
        id: AttemptId,
        spec: &RunSpec,
        given: &Given,
    ) -> Result<Start, SpawnError> {
        let variables = self.environment(id, spec, given)?;
        let mut command = spec.command.clone();
        if let Some(owner) = spec.secrets {
            let secrets = self.secrets(owner)?;
            let arguments = match secrets.lines.get(&id.run) {
                Some(line) => &line.arguments,
                None => &secrets.arguments,
            };
            command = match spec.hook {
                Some(moment) => Words::Hook(moment).unmask(command, &secrets),
                None => secret::unmask_command(command, arguments),
            };
        }
        let output = self.place.output(id.run, id.attempt);
        if let Some(directory) = output.parent() {
            // Where it cannot be made, opening the files says why.
            let _opened_later = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        }
        Ok(Start {
            id,
            command,
            variables,
            cwd: spec.cwd.clone(),
            umask: spec.umask,
            timeout_ms: spec.timeout_ms,
            stop_signal: spec.stop_signal,
            grace_ms: spec.grace_ms,
            strays: spec.strays,
            output: output.into_os_string().into(),
            output_bytes_max: spec.output_bytes_max,
            capture: spec.capture,
            limits: spec.limits,
            attached: spec.attached,
            tty: spec.tty,
            user: spec.user.clone(),
            sockets: given.sockets(),
        })
    }

    /// The environment of an attempt.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn environment(
        &mut self,
        id: AttemptId,
        spec: &RunSpec,
        given: &Given,
    ) -> Result<Variables, SpawnError> {
        let variables = match spec.variables {
            Some(digest) => self.variables(digest)?,
            None => Arc::default(),
        };
        let mut variables = Variables::clone(&variables);
        if let Some(owner) = spec.secrets {
            let secrets = self.secrets(owner)?;
            variables = secret::unmask_variables(variables, &secrets.variables);
        }
        add_from_files(spec, &mut variables)?;
        add_ports(spec, &given.ports, &mut variables);
        if let Some(socket) = &given.notify {
            variables.retain(|(name, _)| name.as_bytes() != NOTIFY_SOCKET.as_bytes());
            let path = ByteString::from(socket.clone().into_os_string());
            variables.push((NOTIFY_SOCKET.into(), path));
        }
        if let Some(pid) = given.main_pid {
            variables.retain(|(name, _)| name.as_bytes() != MAIN_PID.as_bytes());
            variables.push((MAIN_PID.into(), pid.to_string().as_str().into()));
        }
        self.add_own(id, spec, &mut variables);
        Ok(variables)
    }

    /// The questions to a service with their secrets, and all secrets that an answer must not
    /// bring into the log.
    pub fn questions(
        &mut self,
        spec: &RunSpec,
        supervision: &Supervision,
    ) -> (Supervision, Vec<ByteString>) {
        let mut supervision = supervision.clone();
        let mut hidden = Vec::new();
        let secrets = spec.secrets.and_then(|owner| self.secrets(owner).ok());
        if let Some(secrets) = secrets {
            declaration::unmask_probes(&mut supervision, &secrets);
            hidden.extend(secrets.variables.iter().map(|(_, value)| value.clone()));
            hidden.extend(Secrets::clone(&secrets).pieces().into_iter().map(ByteString::from));
        }
        let files = spec.variable_files.iter();
        hidden.extend(files.filter_map(|(_, path)| secret_file(path)));
        // What is contained in another one is not left over.
        hidden.sort_by_key(|value| std::cmp::Reverse(value.as_bytes().len()));
        (supervision, hidden)
    }

    /// What every run finds in its environment.
    fn add_own(&self, id: AttemptId, spec: &RunSpec, variables: &mut Variables) {
        let path = |path: &std::path::Path| ByteString::from(path.as_os_str().to_owned());
        let mut own = vec![
            ("JR_RUN_ID", ByteString::from(id.run.to_string())),
            ("JR_NAME", ByteString::from(spec.name.as_str())),
            ("JR_ATTEMPT", ByteString::from(id.attempt.to_string())),
            ("JR_ENV", ByteString::from(self.place.id.as_str())),
            ("JR_HOME", path(&self.place.home)),
        ];
        if !self.place.is_isolated() {
            own.push((SOCKET, path(&self.place.daemon_socket())));
        }
        // Nothing leads there by its name alone; into an isolated one nothing leads, so that what
        // is handed on is that it is one.
        let place = self.place.hand_over().filter(|_| !self.place.is_plain());
        let is_own = |name: &ByteString| {
            [SOCKET, Place::VARIABLE].iter().any(|known| known.as_bytes() == name.as_bytes())
                || own.iter().any(|(known, _)| known.as_bytes() == name.as_bytes())
        };
        variables.retain(|(name, _)| !is_own(name));
        variables.extend(place.map(|place| (Place::VARIABLE.into(), place.as_str().into())));
        variables.extend(own.into_iter().map(|(name, value)| (ByteString::from(name), value)));
    }

    fn variables(&mut self, digest: Digest) -> Result<Arc<Variables>, SpawnError> {
        if let Some(known) = self.variables.get(&digest) {
            return Ok(Arc::clone(known));
        }
        let bytes = Blobs::new(&self.place.blobs()).get(digest);
        let bytes = bytes.map_err(|_| SpawnError::Errno(IO_ERROR))?;
        let read: Variables = codec::decode(&bytes).map_err(|_| SpawnError::Errno(IO_ERROR))?;
        if self.variables.len() >= KEPT {
            self.variables.clear();
        }
        Ok(Arc::clone(self.variables.entry(digest).or_insert(Arc::new(read))))
    }

    fn secrets(&mut self, owner: RunId) -> Result<Arc<Secrets>, SpawnError> {
        if let Some(known) = self.secrets.get(&owner) {
            return Ok(Arc::clone(known));
        }
        let bytes = SecretFiles::new(&self.place.secrets()).read(owner);
        let bytes = bytes.map_err(|_| SpawnError::SecretsGone)?;
        let read: Secrets = codec::decode(&bytes).map_err(|_| SpawnError::SecretsGone)?;
        if self.secrets.len() >= KEPT {
            self.secrets.clear();
        }
        Ok(Arc::clone(self.secrets.entry(owner).or_insert(Arc::new(read))))
    }

    /// No run can need them any more.
    pub fn drop_secrets(&mut self, owner: RunId) {
        self.secrets.remove(&owner);
        // A file that stays is found by `jr doctor`; it hinders nothing.
        let _stays = SecretFiles::new(&self.place.secrets()).remove(owner);
    }
}

/// `PORT` and `JR_PORT_<NAME>` of a service, and which of its replicas it is.
fn add_ports(spec: &RunSpec, ports: &[(String, u16)], variables: &mut Variables) {
    let main = ports.first().map(|(_, port)| ("PORT".to_owned(), port.to_string()));
    let named = ports.iter().map(|(name, port)| (port_variable(name), port.to_string()));
    let role = spec.role.iter().flat_map(|role| {
        let (service, replica) = (role.service.to_string(), role.replica.to_string());
        [("JR_SERVICE".to_owned(), service), ("JR_REPLICA".to_owned(), replica)]
    });
    for (name, value) in main.into_iter().chain(named).chain(role) {
        variables.retain(|(there, _)| there.as_bytes() != name.as_bytes());
        variables.push((name.as_str().into(), value.as_str().into()));
    }
}

/// `JR_PORT_<NAME>`, in capitals; what cannot stand in a variable's name is `_`.
pub fn port_variable(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("JR_PORT_{}", name.chars().map(plain).collect::<String>())
}

/// Variables whose values lie in files: read now, and kept nowhere.
fn add_from_files(spec: &RunSpec, variables: &mut Variables) -> Result<(), SpawnError> {
    for (name, path) in &spec.variable_files {
        let value = secret_file(path).ok_or(SpawnError::SecretUnreadable)?;
        variables.retain(|(there, _)| there != name);
        variables.push((name.clone(), value));
    }
    Ok(())
}

/// What a file says, without the end of its last line. Not blocking: a FIFO in its place must not
/// hold up everybody's starts.
pub fn secret_file(path: &ByteString) -> Option<ByteString> {
    let file = regular::open(Path::new(OsStr::from_bytes(path.as_bytes()))).ok()?;
    let mut bytes = Vec::new();
    let limit = limits::SECRET_FILE_BYTES + 1;
    file.take(limit).read_to_end(&mut bytes).ok()?;
    let fits = (bytes.len() as u64) < limit && !bytes.contains(&0);
    let value = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    fits.then(|| ByteString::from(value.to_vec()))
}
