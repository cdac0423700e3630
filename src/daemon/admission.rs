//! Asks become commands: checked, named, masked, with their blobs and secrets on disk before the
//! engine hears of them. A crash in between leaves files that nothing refers to.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use hyper::StatusCode;

use super::declaration::{self, Key, surroundings};
use super::place::{Place, PlaceVariables};
use super::protocol::{BatchRequest, Common, Continue, RunRequest, ServiceRequest, UpRequest};
use super::server::Refusal;
use super::views_loop::Questions;
use crate::config::commit::commit_at;
use crate::config::document::Document;
use crate::limits;
use crate::log::secrets::proof;
use crate::log::{Blobs, LogError, Secrets as SecretFiles, codec};
use crate::model::command::BatchLine;
use crate::model::id::check_run_name;
use crate::model::secret::{self, Known as KnownSecrets, LineSecrets, Secrets};
use crate::model::service::spec::ServiceSpec;
use crate::model::{
    ByteString, Capture, Command, Dependency, Digest, GitCommit, Kind, Resolution, RunId, RunSpec,
    ServiceName, Signal, Strays, batch_line,
};
use crate::projections::BatchLineState;
use crate::projections::query::{Document as Answer, Query, Scope};

/// The way from a client's words to the engine's.
#[derive(Clone)]
pub struct Admission {
    place: Place,
    /// Variables that are known to be on disk: the same for most commands of a person.
    known: Arc<Mutex<Known>>,
    /// Read or made with the first secret.
    key: Arc<OnceLock<Key>>,
}

/// What is known of blobs, under one lock, so that none is removed while somebody stores it.
#[derive(Debug, Default)]
struct Known {
    digests: BTreeSet<Digest>,
    /// Held by everybody who asks, until the answer: who stored a blob since the last sweep began.
    asking: Arc<()>,
}

/// Variables, masked and stored, and what their markers stand for.
struct Stored {
    variables: Digest,
    secrets: Vec<(ByteString, ByteString)>,
    /// The values, wherever else the command has them.
    known: KnownSecrets,
}

impl Admission {
    /// The directory of the environment's state.
    pub(super) fn root(&self) -> &std::path::Path {
        &self.place.root
    }

    /// For one environment.
    pub fn new(place: Place) -> Self {
        Self { place, known: Arc::default(), key: Arc::default() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be held from before an ask is admitted until it is answered.
    pub(super) fn hold(&self) -> Arc<()> {
        Arc::clone(&self.known().asking)
    }

    /// Forgets which blobs are on disk. Who asked before holds what is given back.
    pub(super) fn begin_sweep(&self) -> Arc<()> {
        let mut known = self.known();
        known.digests.clear();
        std::mem::take(&mut known.asking)
    }

    /// Removes a blob that no record names, unless somebody has just stored it again.
    pub(super) fn remove_blob(&self, digest: Digest) -> Result<bool, LogError> {
        let known = self.known();
        if known.digests.contains(&digest) {
            return Ok(false);
        }
        let removed = Blobs::new(&self.place.blobs()).remove(digest);
        drop(known);
        removed
    }

    /// The command of a run.
    pub(super) async fn run(
        &self,
        asked: RunRequest,
        after: Vec<Dependency>,
    ) -> Result<(RunId, Command), Refusal> {
        let this = self.clone();
        blocking(move || this.run_now(asked, after, None)).await
    }

    /// The command of a run that repeats `parent`.
    pub(super) async fn run_again(
        &self,
        mut asked: RunRequest,
        parent: RunId,
    ) -> Result<Command, Refusal> {
        let this = self.clone();
        let again = blocking(move || {
            asked.common.commit = commit_of(&asked.common.cwd);
            this.run_now(asked, Vec::new(), Some(parent))
        });
        let again = again.await?;
        Ok(again.1)
    }

    /// The command of a batch that repeats lines of `parent`.
    pub(super) async fn batch_again(
        &self,
        mut asked: BatchRequest,
        parent: RunId,
    ) -> Result<Command, Refusal> {
        let this = self.clone();
        blocking(move || {
            asked.common.commit = commit_of(&asked.common.cwd);
            this.batch_now(asked, Some(parent))
        })
        .await
    }

    fn run_now(
        &self,
        asked: RunRequest,
        after: Vec<Dependency>,
        parent: Option<RunId>,
    ) -> Result<(RunId, Command), Refusal> {
        let run = fresh_run_id();
        check_command(&asked.command)?;
        let name = asked.name.unwrap_or_else(|| file_name(&asked.command[0]));
        let stored = self.store_variables(&asked.common)?;
        let command = secret::mask_command_and(asked.command, &stored.known);
        let secrets = Secrets {
            variables: stored.secrets,
            arguments: command.secrets,
            lines: BTreeMap::new(),
        };
        let owner = self.store_secrets(run, &secrets)?;
        let spec = RunSpec {
            command: command.values,
            queue: asked.queue,
            attached: asked.attached,
            tty: asked.tty,
            key: asked.key,
            after,
            parent,
            lock: asked.lock,
            ..spec_of(name, Kind::Job, &asked.common, (stored.variables, &stored.known), owner)?
        };
        let (spec, key_holder, ended) = (Arc::new(spec), None, Vec::new());
        Ok((run, Command::Run { run, spec, key_holder, ended }))
    }

    /// The command of a batch, or of what an older one left.
    pub(super) async fn batch(
        &self,
        mut asked: BatchRequest,
        questions: &Questions,
    ) -> Result<Command, Refusal> {
        let mut parent = None;
        if let Some(continued) = asked.continued.take() {
            let (batch, lines) = left_of_batch(&continued, questions).await?;
            asked.lines = lines;
            parent = Some(batch);
        }
        let this = self.clone();
        blocking(move || this.batch_now(asked, parent)).await
    }

    /// The services of an ask, with what their runs need on disk.
    pub(super) async fn services(
        &self,
        asked: &UpRequest,
    ) -> Result<Vec<(ServiceName, Arc<ServiceSpec>)>, Refusal> {
        let (this, asked) = (self.clone(), asked.clone());
        blocking(move || {
            let key = this.key().map_err(|error| not_stored(&error))?;
            let service = |request: &ServiceRequest| this.service_now(&asked, request, &key);
            asked.services.iter().map(service).collect()
        })
        .await
    }

    /// What is checked out where services run.
    pub(super) async fn commits(
        &self,
        directories: BTreeMap<ServiceName, ByteString>,
    ) -> Result<BTreeMap<ServiceName, GitCommit>, Refusal> {
        blocking(move || {
            let mut looked: BTreeMap<ByteString, Option<GitCommit>> = BTreeMap::new();
            let commit = |(name, directory): (ServiceName, ByteString)| {
                let found = looked.entry(directory).or_insert_with_key(commit_of);
                Some((name, (*found)?))
            };
            Ok(directories.into_iter().filter_map(commit).collect())
        })
        .await
    }

    fn service_now(
        &self,
        asked: &UpRequest,
        request: &ServiceRequest,
        key: &Key,
    ) -> Result<(ServiceName, Arc<ServiceSpec>), Refusal> {
        check_command(&request.command)?;
        let digest = declaration::digest(&declaration::mask(request), key);
        let mut common = request.common.clone();
        common.variables = surroundings(asked.surroundings.clone(), &common.variables);
        common.config.clone_from(&asked.config);
        // It may be another one at each start.
        common.commit = None;
        let stored = self.store_variables(&common)?;
        let masked = declaration::mask_and(request, &stored.known);
        // Those of the surroundings are among them.
        let secrets = Secrets { variables: stored.secrets, ..masked.secrets };
        let owner = self.store_secrets(fresh_run_id(), &secrets)?;
        let name = request.service.to_string();
        let run = RunSpec {
            command: masked.request.command.clone(),
            ..spec_of(name, Kind::Service, &common, (stored.variables, &stored.known), owner)?
        };
        let spec = declaration::service(&masked.request, run, digest);
        Ok((request.service.clone(), Arc::new(spec)))
    }

    fn batch_now(&self, asked: BatchRequest, parent: Option<RunId>) -> Result<Command, Refusal> {
        if asked.lines.len() > limits::BATCH_LINES {
            let limit = limits::BATCH_LINES;
            let message = format!("{} lines; one batch takes {limit}", asked.lines.len());
            return Err(usage("too_many_lines", message));
        }
        let run = fresh_run_id();
        let stored = self.store_variables(&asked.common)?;
        let mut secrets = Secrets { variables: stored.secrets, ..Secrets::default() };
        let mut lines = Vec::with_capacity(asked.lines.len());
        for line in asked.lines {
            let id = fresh_run_id();
            let command = secret::mask_command_and(batch_line::argv(&line), &stored.known);
            let name = stored.known.mask_text(batch_line::name(&line));
            let line = secret::mask_line_and(line, &stored.known);
            let originals = LineSecrets { line: line.secrets, arguments: command.secrets };
            if !originals.is_empty() {
                secrets.lines.insert(id, originals);
            }
            lines.push(BatchLine { run: id, name, command: command.values, line: line.values });
        }
        let owner = self.store_secrets(run, &secrets)?;
        let name = asked.name.unwrap_or_else(|| "batch".to_owned());
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let jobs = asked.jobs.unwrap_or_else(|| u32::try_from(cores).unwrap_or(u32::MAX));
        let spec = RunSpec {
            queue: asked.queue,
            parent,
            fail_fast: asked.fail_fast,
            ..spec_of(name, Kind::Batch, &asked.common, (stored.variables, &stored.known), owner)?
        };
        Ok(Command::Batch { run, spec: Arc::new(spec), jobs, lines })
    }

    fn store_variables(&self, common: &Common) -> Result<Stored, Refusal> {
        let mut variables = common.variables.clone();
        variables.sort();
        variables.dedup_by(|later, earlier| later.0 == earlier.0);
        let masked = secret::mask_variables_and(variables, &common.secret_names);
        let bytes = codec::encode(&masked.values);
        let digest = self.store(&bytes)?;
        let known = masked.known();
        Ok(Stored { variables: digest, secrets: masked.secrets, known })
    }

    /// Stores a configuration, and gives what decisions need of it.
    pub(super) async fn configuration(&self, text: String) -> Result<Resolution, Refusal> {
        let this = self.clone();
        blocking(move || {
            let resolution = Document::parse(&text).map_err(|error| {
                usage("bad_config", format!("the configuration cannot be read: {error}"))
            })?;
            let digest = this.store(text.as_bytes())?;
            Ok(Resolution { config: Some(digest), ..resolution.resolution() })
        })
        .await
    }

    /// Stores a configuration that the daemon found by itself.
    pub(super) fn store_configuration(&self, bytes: &[u8]) -> Result<Digest, LogError> {
        // Whoever sweeps sees that it is asked for.
        let held = self.hold();
        let stored = self.put(bytes);
        drop(held);
        stored
    }

    /// Stores a blob, once.
    fn store(&self, bytes: &[u8]) -> Result<Digest, Refusal> {
        self.put(bytes).map_err(|error| not_stored(&error))
    }

    fn put(&self, bytes: &[u8]) -> Result<Digest, LogError> {
        let digest = Digest(*blake3::hash(bytes).as_bytes());
        // Held while it is written: two clients that bring the same would write the same file.
        let mut known = self.known();
        if !known.digests.contains(&digest) {
            Blobs::new(&self.place.blobs()).put(bytes)?;
            known.digests.insert(digest);
        }
        drop(known);
        Ok(digest)
    }

    /// Writes the originals, synced; `Some` where there are any.
    fn store_secrets(&self, owner: RunId, secrets: &Secrets) -> Result<Option<RunId>, Refusal> {
        if secrets.is_empty() {
            return Ok(None);
        }
        let files = SecretFiles::new(&self.place.secrets());
        files.write(owner, &codec::encode(secrets)).map_err(|error| not_stored(&error))?;
        if !secrets.variables.is_empty()
            && let Ok(key) = self.key()
        {
            // Without it a report leaves the output of this run out.
            let _unproven = files.prove(owner, proof(&key, &secrets.variables));
        }
        Ok(Some(owner))
    }

    /// The key of an environment, made where there is none.
    fn key(&self) -> Result<Key, LogError> {
        if let Some(key) = self.key.get() {
            return Ok(*key);
        }
        let key = key_of(&self.place)?;
        Ok(*self.key.get_or_init(|| key))
    }
}

/// The lines that a continuation has to do, as they were written.
async fn left_of_batch(
    continued: &Continue,
    questions: &Questions,
) -> Result<(RunId, Vec<ByteString>), Refusal> {
    let selector = continued.selector.clone().unwrap_or_else(|| "last".to_owned());
    let query = match &continued.selector {
        Some(selector) => {
            let selectors = vec![selector.clone()];
            Query::Resolve { selectors, scope: Scope::One }
        }
        None => Query::History(crate::projections::query::HistoryQuery {
            kind: Some("batch".to_owned()),
            limit: Some(1),
            ..Default::default()
        }),
    };
    let document =
        questions.ask(query).await.map_err(|error| super::server::refuse_query(&error))?;
    let batch = match document {
        Answer::Runs(runs) => runs.items.into_iter().next(),
        _ => None,
    };
    let Some(batch) = batch.filter(|run| run.kind == "batch") else {
        let message = format!("{selector:?} is not a batch");
        return Err(Refusal::new(StatusCode::NOT_FOUND, 3, "no_such_batch", message)
            .hint("see what there is: jr history --kind batch"));
    };
    if batch.state != "ended" {
        let message = format!("batch {} has not ended", batch.run_id);
        return Err(usage("batch_lives", message).hint("wait for it: jr wait, or end it: jr stop"));
    }
    let Ok(id) = batch.run_id.parse() else { return Err(Refusal::ending()) };
    let lines = questions.batch_lines(id).await;
    let lines = lines.map_err(|error| super::server::refuse_query(&error))?;
    let open = |line: &BatchLineState| line.is_to_do(continued.failed);
    let left = lines.unwrap_or_default().into_iter().filter(open);
    let left: Vec<ByteString> = left.map(|line| line.line).collect();
    if left.is_empty() {
        let message = format!("batch {} has nothing left to do", batch.run_id);
        let refusal = Refusal::new(StatusCode::CONFLICT, 4, "nothing_to_do", message);
        return Err(refusal.hint("to run what failed as well: --failed"));
    }
    if let Some(line) = left.iter().find(|line| line.to_text().contains(secret::MARKER)) {
        let message =
            format!("the secret in line {:?} was not kept beyond its batch", line.to_text());
        let hint = "give the lines anew, with the secret in a variable";
        return Err(usage("secrets_gone", message).hint(hint));
    }
    Ok((id, left))
}

fn spec_of(
    name: String,
    kind: Kind,
    common: &Common,
    (variables, known): (Digest, &KnownSecrets),
    secrets: Option<RunId>,
) -> Result<RunSpec, Refusal> {
    let name = known.mask_text(name);
    check_run_name(&name).map_err(|error| usage("bad_name", error.to_string()))?;
    if common.cwd.as_bytes().first() != Some(&b'/') {
        return Err(usage("bad_cwd", "the working directory must be an absolute path".to_owned()));
    }
    check_kept_strays(common)?;
    Ok(RunSpec {
        name,
        kind,
        cwd: common.cwd.clone(),
        variables: Some(variables),
        secrets,
        labels: masked_labels(&common.labels, known),
        timeout_ms: common.timeout_ms,
        stop_signal: common.stop_signal.unwrap_or(Signal::TERM),
        grace_ms: common.grace_ms.unwrap_or(limits::GRACE_MS),
        umask: common.umask.unwrap_or(limits::UMASK) & 0o777,
        strays: common.strays,
        output_bytes_max: common.output_bytes_max.unwrap_or(limits::OUTPUT_BYTES_MAX),
        retry: common.retry,
        ok_codes: common.ok_codes.clone(),
        on_interrupt: common.on_interrupt,
        capture: common.capture,
        limits: common.limits,
        variable_files: common.variable_files.clone(),
        config: config_of(common),
        commit: common.commit,
        ..RunSpec::default()
    })
}

/// Labels choose runs and are given to none: what looks secret in one is not kept.
fn masked_labels(
    labels: &BTreeMap<String, String>,
    known: &KnownSecrets,
) -> BTreeMap<String, String> {
    let pairs = labels.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
    let masked = secret::mask_variables(pairs.collect()).values;
    let label = |(name, value): (ByteString, ByteString)| {
        (name.to_text(), known.mask_text(value.to_text()))
    };
    masked.into_iter().map(label).collect()
}

/// What a run whose strays live on cannot have as well.
fn check_kept_strays(common: &Common) -> Result<(), Refusal> {
    if common.strays != Strays::Keep {
        return Ok(());
    }
    if common.capture == Capture::Pipe {
        let message = "what outlives the run would write into a pipe that nobody reads";
        return Err(usage("capture_and_strays", message.to_owned())
            .hint("with --strays keep take --capture file"));
    }
    if common.retry.is_some_and(|retry| retry.times > 0) {
        let message = "a process that outlives one attempt would live beside the next: a run with \
                       --strays keep takes no --retries";
        return Err(usage("retries_and_strays", message.to_owned())
            .hint("leave out --retries, or --strays keep; of an older run: jr repro RUN"));
    }
    Ok(())
}

/// The commit of what was described before: its directory is known here, and not to the client.
fn commit_of(directory: &ByteString) -> Option<GitCommit> {
    let home = PlaceVariables::of_process().home.map(PathBuf::from);
    commit_at(Path::new(OsStr::from_bytes(directory.as_bytes())), home.as_deref())
}

/// The digest of its document: what its blob is named by.
fn config_of(common: &Common) -> Option<Digest> {
    let given = common.config.as_ref();
    let given = given.map(|text| Digest(*blake3::hash(text.as_bytes()).as_bytes()));
    given.or(common.repeated_config)
}

/// The key of an environment's declarations and proofs, made where there is none.
fn key_of(place: &Place) -> Result<Key, LogError> {
    let files = SecretFiles::new(&place.secrets());
    if let Some(key) = files.key()? {
        return Ok(key);
    }
    let mut key = Key::default();
    // 32 bytes come whole, and block only before the kernel's pool was ever filled.
    while rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty()).is_err() {}
    files.key_or(key)
}

fn check_command(command: &[ByteString]) -> Result<(), Refusal> {
    if command.is_empty() || command[0].as_bytes().is_empty() {
        return Err(usage("no_command", "there is no command".to_owned()));
    }
    let bytes: usize = command.iter().map(|argument| argument.as_bytes().len() + 1).sum();
    if bytes > limits::COMMAND_BYTES {
        let limit = limits::COMMAND_BYTES;
        return Err(usage(
            "command_too_long",
            format!("{bytes} bytes of arguments; limit {limit}"),
        ));
    }
    if command.iter().any(|argument| argument.as_bytes().contains(&0)) {
        return Err(usage("bad_command", "an argument contains a NUL byte".to_owned()));
    }
    Ok(())
}

fn file_name(program: &ByteString) -> String {
    let text = program.to_text();
    let name = text.rsplit('/').find(|part| !part.is_empty()).unwrap_or("job");
    let tame = name.chars().filter(|char| !char.is_control()).take(50).collect::<String>();
    if tame.is_empty() { "job".to_owned() } else { tame }
}

fn fresh_run_id() -> RunId {
    let mut bytes = [0_u8; 8];
    // 8 bytes come whole, and block only before the kernel's pool was ever filled.
    while rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).is_err() {}
    RunId::from_chance(u64::from_le_bytes(bytes))
}

fn usage(code: &str, message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, 2, code, message)
}

fn not_stored(error: &LogError) -> Refusal {
    let code = if matches!(error, LogError::OutOfSpace { .. }) { "disk_full" } else { "io" };
    Refusal::new(StatusCode::INSUFFICIENT_STORAGE, 1, code, error.to_string())
        .hint("nothing was started; make room and ask again")
}

/// Runs what waits for the disk beside the thread of the sockets.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Refusal::ending()))
}
