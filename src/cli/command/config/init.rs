//! `jr config init`: writes `jr.toml`, by questions or by what is given.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::config::edit::{Change, EditError, apply};
use crate::config::load::{Loaded, load_instead};
use crate::config::locate::{Found, Located, is_project_file};
use crate::config::problem::{Problem, Severity};
use crate::config::resolve::resolve;
use crate::config::save::{self, SaveError};
use crate::config::select::{declared, problems, select};
use crate::config::source::Layer;
use crate::limits;

use super::wizard::{self, Terminal};

/// What the schema's file is called beside a project's.
const SCHEMA_FILE: &str = "jr.schema.json";
/// The line by which editors find it.
const SCHEMA_LINE: &str = "#:schema ./jr.schema.json";
/// Mistakes of a result that are named.
const NAMED: usize = 5;

/// Options of `init`.
#[derive(clap::Args, Debug, Default)]
pub(super) struct InitArgs {
    /// Lay the JSON object that standard input holds on top
    #[arg(long)]
    stdin_json: bool,
    /// Set a key, as in services.web.port=8000; the value is TOML, else text
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Write FILE [default: the project's jr.toml, else jr.toml here]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Also write jr.schema.json beside it, and name that in its first line
    #[arg(long)]
    schema: bool,
    /// Print the result and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// `--json`.
#[derive(Serialize)]
struct Written {
    schema: &'static str,
    path: String,
    created: bool,
    changed: bool,
    dry_run: bool,
    text: String,
}

pub(super) fn init(context: &mut Context, args: &InitArgs) -> Result<u8, CommandError> {
    let path = target(context, args.file.as_deref());
    let before = save::read(&path)?;
    let old = match &before {
        Some(bytes) => std::str::from_utf8(bytes).map_err(|_| {
            let message = format!("{} is not UTF-8", path.display());
            CommandError::new("bad_config", exit::USAGE, message).hint("jr config check")
        })?,
        None => "",
    };
    let draft = Draft { path: &path, old, is_new: before.is_none(), with_schema: args.schema };
    let text = if args.stdin_json || !args.set.is_empty() {
        let text = draft.with(&given(args)?)?;
        draft.check(context, &text)?;
        text
    } else if Terminal::is_there() && !context.ui.json {
        let Some(text) = wizard::run(context, &draft)? else {
            context.ui.status("nothing is written");
            return Ok(exit::FAILED);
        };
        text
    } else {
        let message = "there is no terminal to ask at, and nothing is given that could be written";
        let hint = "jr config init --set default_mode=main, or --stdin-json; see --help";
        return Err(CommandError::new("no_input", exit::USAGE, message).hint(hint));
    };
    finish(context, args, &draft, before.as_deref(), &text)
}

/// For a command that cannot do without: the questions, if a person is there and no file of a
/// project. Whether one was written, and the environment is what it says.
pub(in crate::cli::command) fn ask_for(context: &mut Context) -> Result<bool, CommandError> {
    let is_new = target(context, None).symlink_metadata().is_err();
    if !is_new || !Terminal::is_there() || context.ui.json {
        return Ok(false);
    }
    context.ui.status("no service is declared here, and there is no jr.toml: a few questions");
    if init(context, &InitArgs::default())? != exit::OK {
        return Ok(false);
    }
    context.configuration = context.configuration.again()?;
    context.enter()?;
    Ok(true)
}

fn finish(
    context: &mut Context,
    args: &InitArgs,
    draft: &Draft<'_>,
    before: Option<&[u8]>,
    text: &str,
) -> Result<u8, CommandError> {
    let is_changed = text != draft.old;
    if !args.dry_run {
        if args.schema {
            let path = draft.path.with_file_name(SCHEMA_FILE);
            save::save(&path, save::read(&path)?.as_deref(), super::schema::text().as_bytes())?;
        }
        if is_changed {
            save::save(draft.path, before, text.as_bytes())?;
        }
    }
    if context.ui.json {
        context.ui.json(&Written {
            schema: "jr.config_init/1",
            path: draft.path.display().to_string(),
            created: draft.is_new && is_changed && !args.dry_run,
            changed: is_changed,
            dry_run: args.dry_run,
            text: text.to_owned(),
        });
        return Ok(exit::OK);
    }
    let path = draft.path.display();
    if args.dry_run {
        context.ui.data(text);
    } else if !is_changed {
        context.ui.status(&format!("{path} says so already"));
    } else if draft.is_new {
        context.ui.status(&format!("created {path}; see what holds: jr config show"));
    } else {
        context.ui.status(&format!("changed {path}; see what holds: jr config show"));
    }
    Ok(exit::OK)
}

/// The project's own file, or a new one here.
fn target(context: &Context, file: Option<&Path>) -> PathBuf {
    let search = &context.configuration.search;
    let project = context.configuration.loaded().project.clone();
    let there = project.map(|project| project.join("jr.toml")).filter(|path| path.is_file());
    match file {
        Some(file) => search.directory.join(file),
        None => there.unwrap_or_else(|| search.directory.join("jr.toml")),
    }
}

/// What the options say.
fn given(args: &InitArgs) -> Result<Vec<Change>, CommandError> {
    let mut changes = Vec::new();
    if args.stdin_json {
        let mut text = String::new();
        let limit = limits::CONFIG_BYTES as u64 + 1;
        let read = std::io::stdin().lock().take(limit).read_to_string(&mut text);
        read.map_err(|error| CommandError::io("standard input", &error))?;
        if text.len() > limits::CONFIG_BYTES {
            let message = format!("standard input: more than {} bytes", limits::CONFIG_BYTES);
            return Err(CommandError::usage(message));
        }
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
            let message = format!("standard input is no JSON: {error}");
            CommandError::usage(message)
                .hint("printf '{\"default_mode\":\"trees\"}' | jr config init --stdin-json")
        })?;
        changes = Change::from_json(&json)?;
    }
    for assignment in &args.set {
        changes.push(Change::assignment(assignment)?);
    }
    Ok(changes)
}

/// A file, and what it may become.
pub(super) struct Draft<'a> {
    /// Where it lies.
    pub(super) path: &'a Path,
    /// What it holds; nothing where it is not there.
    pub(super) old: &'a str,
    /// It is not there.
    pub(super) is_new: bool,
    /// `--schema`.
    with_schema: bool,
}

impl Draft<'_> {
    /// Its text with these changes.
    pub(super) fn with(&self, changes: &[Change]) -> Result<String, CommandError> {
        let beside = self.path.with_file_name(SCHEMA_FILE);
        let has_line = self.old.lines().any(|line| line.starts_with("#:schema"));
        let wants_line = self.with_schema || self.is_new && beside.is_file() && !changes.is_empty();
        let base = match wants_line && !has_line {
            true if self.old.is_empty() => format!("{SCHEMA_LINE}\n"),
            true => format!("{SCHEMA_LINE}\n\n{}", self.old),
            false => self.old.to_owned(),
        };
        Ok(apply(&base, changes)?)
    }

    /// What would hold if that were its text.
    pub(super) fn loaded(&self, context: &Context, text: &str) -> Loaded {
        let search = &context.configuration.search;
        load_instead(search, self.located(search.locate()), Some((self.path, text)))
    }

    /// The files that would be in use with it.
    fn located(&self, mut located: Located) -> Located {
        if located.files.iter().any(|found| found.path == self.path) {
            return located;
        }
        let is_project =
            self.path.file_name().and_then(|name| name.to_str()).is_some_and(is_project_file);
        let layer = if is_project { Layer::Project } else { Layer::Extra };
        let directory = self.path.parent().map(Path::to_owned);
        if is_project && located.project != directory {
            // The nearest one is the project's, from then on.
            let of_project = |layer| matches!(layer, Layer::Project | Layer::ProjectLocal);
            located.files.retain(|found| !of_project(found.layer));
            located.project = directory;
        }
        located.files.push(Found { layer, path: self.path.to_owned() });
        located.files.sort_by_key(|found| found.layer);
        located
    }

    /// Whether it could be used.
    ///
    /// # Errors
    /// It could not; what is wrong.
    pub(super) fn check(&self, context: &Context, text: &str) -> Result<(), CommandError> {
        let message = format!("{} would not be valid; nothing is written", self.path.display());
        let told = self.told(context, text, message);
        told.map_err(|error| error.hint("see: jr config schema"))
    }

    /// Whether it can be used as it is.
    ///
    /// # Errors
    /// It cannot; what is wrong.
    pub(super) fn check_old(&self, context: &Context) -> Result<(), CommandError> {
        let message = format!("{} has mistakes, which no answer mends", self.path.display());
        let told = self.told(context, self.old, message);
        told.map_err(|error| error.hint("mend them, then: jr config init; see jr config check"))
    }

    /// All that is wrong with a text of it, below a message.
    fn told(&self, context: &Context, text: &str, mut message: String) -> Result<(), CommandError> {
        let loaded = self.loaded(context, text);
        let bad = self.errors(&loaded);
        if bad.is_empty() {
            return Ok(());
        }
        for problem in bad.iter().take(NAMED) {
            let place = problem.place(&loaded.sources).map(|place| format!("{place}: "));
            message.push_str("\n  ");
            message.push_str(&(place.unwrap_or_default() + &problem.message));
            if let Some(suggestion) = &problem.suggestion {
                message = format!("{message} ({suggestion})");
            }
        }
        if bad.len() > NAMED {
            message = format!("{message}\n  and {} more", bad.len() - NAMED);
        }
        Err(CommandError::new("bad_config", exit::USAGE, message))
    }

    /// Errors of this file; those of others were there before.
    fn errors(&self, loaded: &Loaded) -> Vec<Problem> {
        let mut found = loaded.problems.clone();
        found.extend(problems(loaded));
        for id in declared(&loaded.merged) {
            if let Ok(selection) = select(loaded, Some(id), None) {
                found.extend(resolve(loaded, &selection).1);
            }
        }
        let own =
            loaded.sources.iter().position(|source| source.path.as_deref() == Some(self.path));
        let is_own = |problem: &Problem| problem.source.is_none() || problem.source == own;
        found.retain(|problem| problem.severity == Severity::Error && is_own(problem));
        found.dedup();
        found
    }
}

impl From<EditError> for CommandError {
    fn from(error: EditError) -> Self {
        let message = error.to_string();
        match error {
            EditError::Syntax(_) => Self::new("bad_config", exit::USAGE, message)
                .hint("mend the file first: jr config check"),
            EditError::NoAssignment(_)
            | EditError::BadKey(_)
            | EditError::NotATable(_)
            | EditError::NoObject
            | EditError::BadNumber(_) => Self::usage(message).hint("jr config init --help"),
        }
    }
}

impl From<SaveError> for CommandError {
    fn from(error: SaveError) -> Self {
        let message = error.to_string();
        match error {
            SaveError::Link { target, .. } => Self::new("link", exit::USAGE, message)
                .hint(format!("to change that one: --file {}", target.display())),
            SaveError::Unreadable { suggestion, .. } => {
                let error = Self::new("unreadable", exit::USAGE, message);
                match suggestion {
                    Some(suggestion) => error.hint(suggestion),
                    None => error,
                }
            }
            SaveError::Changed(_) => Self::new("changed", exit::BUSY, message)
                .hint("nothing is written; look at it and try again"),
            SaveError::Io { .. } => Self::new("io", exit::FAILED, message),
        }
    }
}
