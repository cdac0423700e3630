//! Answers from a debug bundle instead of an environment.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::context::parse;
use super::error::CommandError;
use super::shell::quote;
use super::{exit, text};
use crate::bundle::layout::{OutputName, OutputPart};
use crate::bundle::{Bundle, BundleError};
use crate::log::codec;
use crate::model::{BootId, ByteString, Digest, Now, Run, RunId};
use crate::projections::query::{Document, Query, QueryError, Question, Scope};
use crate::projections::view::{List, OutputView, RunView};
use crate::projections::{BatchLineState, LogSource, Views, Where, answer};

/// Views of fewer records are folded in memory.
const RECORDS_IN_MEMORY: u64 = 100_000;

/// An open bundle with the views of it.
#[derive(Debug)]
pub struct Bundled {
    /// What was opened.
    pub bundle: Bundle,
    views: Views,
    /// Where output lies while it is read; made when it is asked for.
    output: OnceCell<Folder>,
    now: Now,
}

/// What is needed to do a run once more.
#[derive(Debug)]
pub struct Description {
    /// It.
    pub run: Run,
    /// Its variables, masked.
    pub variables: Vec<(ByteString, ByteString)>,
    /// Of a batch.
    pub lines: Vec<BatchLineState>,
}

/// A private directory that goes with its owner.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left over is in the directory for temporary files.
        let _left = fs::remove_dir_all(&self.0);
    }
}

impl Bundled {
    /// Opens and checks it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn open(path: &Path) -> Result<Self, CommandError> {
        let bundle = Bundle::open(path).map_err(|error| CommandError::of_bundle(path, &error))?;
        let boot = BootId([0; 16]);
        let views = if bundle.len() <= RECORDS_IN_MEMORY {
            Views::in_memory(boot, &bundle)
        } else {
            Views::unnamed(&std::env::temp_dir(), boot, &bundle)
        };
        let views = views.map_err(QueryError::from)?;
        let head = bundle.get(bundle.header.head_seq).map_err(QueryError::from)?;
        let wall = head.map(|stored| stored.envelope.time).unwrap_or_default();
        let (output, now) = (OnceCell::new(), Now { wall, boottime_ms: 0 });
        Ok(Self { bundle, views, output, now })
    }

    /// A bundle is of one environment.
    ///
    /// # Errors
    /// Another one was named.
    pub fn must_be_of(&self, named: &str) -> Result<(), CommandError> {
        let environment = text::line(&self.bundle.header.environment);
        if environment == named {
            return Ok(());
        }
        let path = quote(self.bundle.path.as_os_str().as_encoded_bytes());
        let message = format!("{path} is of environment {environment}, and has nothing of {named}");
        let error = CommandError::new("environment_not_found", exit::NOT_FOUND, message);
        Err(error.hint(format!("jr ps -a -e {environment} --bundle {path}, or leave -e out")))
    }

    /// The document that answers a question; "now" is the time of its last record.
    ///
    /// # Errors
    /// As everywhere; or output cannot be unpacked.
    pub fn answer(&self, question: &Question) -> Result<Vec<u8>, CommandError> {
        let reads_output = matches!(question.query, Query::Outputs { .. });
        let folder = if reads_output { self.folder()? } else { Path::new("") };
        let output = |run: RunId, attempt: u32| folder.join(format!("{run}.{attempt}"));
        let variables = |digest: Digest| {
            let blob = self.bundle.blob(digest).map_err(|error| error.to_string())?;
            let blob = blob.ok_or_else(|| "the bundle does not have them".to_owned())?;
            codec::decode(&blob).map_err(|error| error.to_string())
        };
        let text = |digest: Digest| {
            let blob = self.bundle.blob(digest).map_err(|error| error.to_string())?;
            let blob = blob.ok_or_else(|| "the bundle does not have it".to_owned())?;
            String::from_utf8(blob).map_err(|error| error.to_string())
        };
        let place = Where {
            environment: &self.bundle.header.environment,
            output: &output,
            variables: &variables,
            text: &text,
        };
        let document = answer(question, &self.views, &self.bundle, &place, self.now);
        let mut document = document.map_err(|error| self.explain(error))?;
        let outputs = match &mut document {
            Document::Outputs(list) => list.items.as_mut_slice(),
            _ => &mut [],
        };
        for view in outputs {
            if let Ok(run) = view.run_id.parse() {
                self.unpack(run, view)?;
            }
        }
        serde_json::to_vec(&document).map_err(|error| {
            CommandError::new("internal", exit::FAILED, format!("cannot write JSON: {error}"))
        })
    }

    fn folder(&self) -> Result<&Path, CommandError> {
        if self.output.get().is_none() {
            let made =
                Folder::new().map_err(|error| CommandError::io("temporary files", &error))?;
            let _other = self.output.set(made);
        }
        Ok(self.output.get().map_or(Path::new(""), |folder| &folder.0))
    }

    /// What a run was given, to do it once more; of a batch also its lines.
    ///
    /// # Errors
    /// No such run, or its variables are not in the bundle.
    pub fn description(&self, selector: &str) -> Result<Description, CommandError> {
        let query = Query::Resolve { selectors: vec![selector.to_owned()], scope: Scope::One };
        let list: List<RunView> = parse(&self.answer(&query.into())?)?;
        let absent = || QueryError::NoSuchRun { selector: selector.to_owned() };
        let id = list.items.first().and_then(|run| run.run_id.parse().ok()).ok_or_else(absent)?;
        let run = self.views.run(id).map_err(QueryError::from)?.ok_or_else(absent)?;
        let lines = self.views.batch_lines(id).map_err(QueryError::from)?.unwrap_or_default();
        let variables = match run.spec.variables {
            Some(digest) => {
                let blob = self.bundle.blob(digest);
                let blob =
                    blob.map_err(|error| CommandError::of_bundle(&self.bundle.path, &error))?;
                let variables = blob.and_then(|blob| codec::decode(&blob).ok());
                variables.ok_or_else(|| {
                    let message = "the bundle does not have the variables of that run";
                    CommandError::new("variables", exit::FAILED, message)
                })?
            }
            None => Vec::new(),
        };
        Ok(Description { run, variables, lines })
    }

    /// What is not in a bundle may well be where it was made.
    fn explain(&self, error: QueryError) -> CommandError {
        let first = self.bundle.header.first_seq;
        let head = self.bundle.header.head_seq;
        let is_absent =
            matches!(error, QueryError::NoSuchRun { .. } | QueryError::MaybePruned { .. });
        let error = CommandError::from(error);
        if is_absent && first > 1 {
            return error.hint(format!("the bundle has records {first} to {head} only"));
        }
        error
    }

    fn unpack(&self, run: RunId, view: &mut OutputView) -> Result<(), CommandError> {
        let mut is_absent = true;
        for part in OutputPart::ALL {
            let path = view.base().with_added_extension(part.extension());
            let name = OutputName { run, attempt: view.attempt, part };
            let failed = |error: &BundleError| CommandError::of_bundle(&self.bundle.path, error);
            let bytes = self.bundle.output(name).map_err(|error| failed(&error))?;
            let Some(bytes) = bytes else { continue };
            is_absent = false;
            // An index without its oldest entries is one; bytes lie where they lay.
            let start = match part {
                OutputPart::Out => {
                    view.stdout_left_out = self.left_out(name);
                    view.stdout_left_out
                }
                OutputPart::Err => {
                    view.stderr_left_out = self.left_out(name);
                    view.stderr_left_out
                }
                OutputPart::Index => 0,
            };
            if !path.exists() {
                let written = File::create_new(&path).and_then(|mut file| {
                    file.seek(SeekFrom::Start(start))?;
                    file.write_all(&bytes)
                });
                written.map_err(|error| CommandError::io(path.display(), &error))?;
            }
        }
        let may_have_printed = self.has_begun(run, view.attempt)?;
        let is_absent = is_absent && may_have_printed;
        view.absent = is_absent.then(|| self.why_without(run, view.attempt));
        Ok(())
    }

    /// Whether an attempt had a process: what waits for its start has printed nothing.
    fn has_begun(&self, run: RunId, attempt: u32) -> Result<bool, CommandError> {
        let run = self.views.run(run).map_err(QueryError::from)?;
        Ok(run.is_none_or(|run| {
            run.attempt != attempt || !run.attempt_lives || run.process.is_some()
        }))
    }

    /// The oldest bytes that a member which is there has not.
    fn left_out(&self, name: OutputName) -> u64 {
        let member = name.member();
        let left = self.bundle.redactions.left_out.iter().find(|left| left.member == member);
        left.map_or(0, |left| left.bytes)
    }

    /// Why it has no output of an attempt.
    fn why_without(&self, run: RunId, attempt: u32) -> String {
        if !self.bundle.header.has_output {
            return "debug-report --include-output".to_owned();
        }
        let of_run = format!("output/{run}");
        let of_attempt = format!("output/{run}.{attempt}.");
        let mut left = self.bundle.redactions.left_out.iter();
        let left = left.find(|left| left.member == of_run || left.member.starts_with(&of_attempt));
        match (left, &self.bundle.header.run_id) {
            (Some(left), _) => text::line(&left.why).into_owned(),
            (None, Some(about)) => format!("it was made about {about}"),
            (None, None) => "it was gone when it was made".to_owned(),
        }
    }
}

impl Folder {
    fn new() -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for number in 0..100 {
            let path =
                std::env::temp_dir().join(format!("jr-bundle-{}-{number}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
