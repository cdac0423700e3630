//! The configuration that a command works under: found at once, read only where there is any.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::context::Globals;
use super::error::CommandError;
use super::exit;
use crate::config::commit::commit_at;
use crate::config::load::{Loaded, load_located};
use crate::config::locate::{Located, Search};
use crate::config::problem::{Problem, Severity};
use crate::config::resolve::{Resolved, resolve};
use crate::config::schema::environment::EnvironmentType;
use crate::config::select::{Chosen, DEFAULT, SelectError, Selection, select};
use crate::config::source::Layer;
use crate::config::tree::Table;
use crate::daemon::known;
use crate::daemon::place::{Base, Keeping, Place, PlaceError, PlaceVariables};
use crate::model::{ByteString, EnvironmentId, GitCommit};

/// What is wrong with a file as a whole; while that is so, nobody knows what it would have said.
const OF_A_FILE: [&str; 7] =
    ["syntax", "untrusted", "unreadable", "too_large", "not_utf8", "too_deep", "too_many_files"];

/// Files, and the environment that is meant.
#[derive(Debug)]
pub struct Configuration {
    /// Where was looked.
    pub search: Search,
    located: Located,
    flag: Option<String>,
    extra: Vec<PathBuf>,
    /// `-C` says where.
    is_moved: bool,
    loaded: OnceCell<Loaded>,
    resolved: OnceCell<(Resolved, Vec<Problem>)>,
}

impl Configuration {
    /// Looks which files there are.
    ///
    /// # Errors
    /// The working directory is gone.
    pub fn find(globals: &Globals) -> Result<Self, CommandError> {
        let moved = globals.directory.is_some();
        Self::of(globals.environment.as_deref(), globals.mode.said()?, &globals.config, moved)
    }

    fn of(
        environment: Option<&str>,
        mode: Option<&str>,
        extra: &[PathBuf],
        is_moved: bool,
    ) -> Result<Self, CommandError> {
        let search = Search::of_process(extra);
        let search = search.map_err(|error| CommandError::io("the working directory", &error))?;
        let search = Search { mode: mode.map(str::to_owned), ..search };
        let located = search.locate();
        let flag = environment.map(str::to_owned);
        let (extra, loaded, resolved) = (extra.to_vec(), OnceCell::new(), OnceCell::new());
        Ok(Self { search, located, flag, extra, is_moved, loaded, resolved })
    }

    /// Takes more files on top.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn add(&mut self, files: &[PathBuf]) -> Result<(), CommandError> {
        if !files.is_empty() {
            let extra = [self.extra.as_slice(), files].concat();
            let (flag, mode) = (self.flag.as_deref(), self.search.mode.as_deref());
            *self = Self::of(flag, mode, &extra, self.is_moved)?;
        }
        Ok(())
    }

    /// Looks again, from where the process is now.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub fn again(&self) -> Result<Self, CommandError> {
        Self::of(self.flag.as_deref(), self.search.mode.as_deref(), &self.extra, true)
    }

    /// The place that was handed to this process, if it is of what is named, and nobody says by a
    /// directory or a file of his own that another one is meant.
    pub fn handed_over(&self) -> Option<Place> {
        let named = self.flag.as_deref().or(self.search.environment.as_deref());
        Place::handed_over(named).filter(|_| !self.is_moved && self.extra.is_empty())
    }

    /// Whether any file, or a variable or option that stands for one, is in use.
    pub fn has_files(&self) -> bool {
        let said = self.search.default_mode.is_some() || self.search.mode.is_some();
        said || !self.located.files.is_empty()
    }

    /// What the files say.
    pub fn loaded(&self) -> &Loaded {
        self.loaded.get_or_init(|| load_located(&self.search, self.located.clone()))
    }

    /// The environment that is meant.
    ///
    /// # Errors
    /// [`SelectError`].
    pub fn selection(&self) -> Result<Selection, SelectError> {
        let (flag, variable) = (self.flag.as_deref(), self.search.environment.as_deref());
        if self.has_files() {
            return select(self.loaded(), flag, variable);
        }
        // What jr brings along declares `local` and no default: nothing needs to be read.
        let by = |by: Chosen| move |name| (name, by.clone());
        let named = flag.map(by(Chosen::Flag)).or_else(|| variable.map(by(Chosen::Variable)));
        let (name, by) = named.unwrap_or((DEFAULT, Chosen::Local));
        let id: EnvironmentId = name.parse().map_err(|error: crate::model::BadName| {
            SelectError::BadName { name: name.to_owned(), rule: error.to_string() }
        })?;
        Ok(Selection { id, by, is_declared: name == DEFAULT, project: None })
    }

    /// The environment that `-e` names.
    pub fn flag(&self) -> Option<&str> {
        self.flag.as_deref()
    }

    /// Who names this environment for the present command: an option or a variable.
    pub fn named_by(&self, id: &str) -> Option<Chosen> {
        match (self.flag.as_deref(), self.search.environment.as_deref()) {
            (Some(named), _) => (named == id).then_some(Chosen::Flag),
            (None, Some(named)) => (named == id).then_some(Chosen::Variable),
            (None, None) => None,
        }
    }

    /// The environment, complete, and what is wrong with it.
    ///
    /// # Errors
    /// There is none.
    pub fn resolve(&self) -> Result<(Resolved, Vec<Problem>), CommandError> {
        Ok(self.resolved()?.clone())
    }

    /// As [`Self::resolve`]: where it lies and what runs there ask for the same.
    fn resolved(&self) -> Result<&(Resolved, Vec<Problem>), SelectError> {
        let selection = self.selection()?;
        Ok(self.resolved.get_or_init(|| resolve(self.loaded(), &selection)))
    }

    /// The environment, if nothing in any file is an error, and what is wrong with it all the same.
    ///
    /// # Errors
    /// The first of what is wrong.
    pub fn resolve_sound(&self) -> Result<(Resolved, Vec<Problem>), CommandError> {
        let found = self.resolved()?;
        let all = self.loaded().problems.iter().chain(&found.1);
        self.refuse(all, |problem| problem.severity == Severity::Error)?;
        Ok(found.clone())
    }

    fn refuse<'a>(
        &self,
        problems: impl Iterator<Item = &'a Problem>,
        is_bad: impl Fn(&Problem) -> bool,
    ) -> Result<(), CommandError> {
        let bad: Vec<&Problem> = problems.filter(|problem| is_bad(problem)).collect();
        let Some(first) = bad.first() else { return Ok(()) };
        let place = first.place(&self.loaded().sources);
        let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
        let message = format!("{place}{}", first.message);
        let more = match bad.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let hint = match &first.suggestion {
            Some(suggestion) => format!("{suggestion}; see all of it: jr config check"),
            None => "see all of it: jr config check".to_owned(),
        };
        Err(CommandError::new("bad_config", exit::USAGE, message + &more).hint(hint))
    }

    /// Where the environment lies.
    ///
    /// # Errors
    /// There is no such environment, or a file that may say otherwise cannot be read.
    pub fn place(&self, variables: &PlaceVariables) -> Result<Place, CommandError> {
        if !self.has_files() {
            return Ok(Place::of(self.selection()?.id, variables)?);
        }
        let loaded = self.loaded();
        self.refuse(loaded.problems.iter(), |problem| OF_A_FILE.contains(&problem.code))?;
        let (resolved, _) = self.resolved()?;
        Ok(self.place_of(&self.selection()?, resolved, variables)?)
    }

    /// As [`Self::place`], and where a project's own file cannot be parsed, the place that the
    /// environment had before; then also what is to be said of that.
    ///
    /// # Errors
    /// As [`Self::place`]; none of the project is known, or several are and none is named.
    pub fn place_as_known(
        &self,
        variables: &PlaceVariables,
    ) -> Result<(Place, Option<String>), CommandError> {
        let refused = match self.place(variables) {
            Ok(place) => return Ok((place, None)),
            Err(refused) => refused,
        };
        if !self.is_of_the_project(&self.loaded().problems) {
            return Err(refused);
        }
        let named = self.flag.as_deref().or(self.search.environment.as_deref());
        let project = self.loaded().project.as_deref();
        match known::of_project(variables, project, named)?.as_slice() {
            [] => Err(refused),
            [place] => {
                let (id, root) = (&place.id, place.root.display());
                let why = &refused.message;
                let told = format!("{why}; this is environment {id} as it is known: {root}");
                Ok((place.clone(), Some(told)))
            }
            several => {
                let ids: Vec<String> =
                    several.iter().map(|place| format!("-e {}", place.id)).collect();
                let hint = format!(
                    "to look at what runs and to stop it, name what is known of this project: {}; \
                     what is wrong: jr config check",
                    ids.join(" or ")
                );
                Err(refused.hint(hint))
            }
        }
    }

    /// Whether nothing but the project's own files keeps us from knowing where environments lie, by
    /// a mistake of theirs: what others can write is not asked at all.
    fn is_of_the_project(&self, problems: &[Problem]) -> bool {
        let mistakes = ["syntax", "not_utf8", "too_large", "too_deep"];
        let mut bad =
            problems.iter().filter(|problem| OF_A_FILE.contains(&problem.code)).peekable();
        let is_own = |problem: &Problem| {
            let source = problem.source.and_then(|source| self.loaded().sources.get(source));
            source.is_some_and(|source| {
                matches!(source.layer, Layer::Project | Layer::ProjectLocal)
                    && mistakes.contains(&problem.code)
            })
        };
        bad.peek().is_some() && bad.all(is_own)
    }

    /// Where an environment lies that is resolved.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn place_of(
        &self,
        selection: &Selection,
        resolved: &Resolved,
        variables: &PlaceVariables,
    ) -> Result<Place, PlaceError> {
        let (sources, home) = (&self.loaded().sources, self.search.home.as_deref());
        let path = |keys: &[&str]| resolved.path(keys, sources, home);
        let base = Base {
            project: selection.project.clone(),
            root_dir: path(&["layout", "root_dir"]),
            database: path(&["persistence", "database"]),
            keeping: keeping(resolved),
        };
        Place::resolve(selection.id.clone(), variables, &base)
    }

    /// What is checked out where a run is asked for.
    pub fn commit_at(&self, directory: &ByteString) -> Option<GitCommit> {
        commit_at(Path::new(OsStr::from_bytes(directory.as_bytes())), self.home())
    }

    /// The home directory.
    pub fn home(&self) -> Option<&Path> {
        self.search.home.as_deref()
    }

    /// What all files together say, merged.
    pub fn merged(&self) -> &Table {
        &self.loaded().merged
    }
}

/// What outlives what.
fn keeping(resolved: &Resolved) -> Keeping {
    let persistence = resolved.environment.persistence.as_ref();
    match resolved.kind() {
        EnvironmentType::Isolated => Keeping::Isolated,
        _ if persistence.is_some_and(|wish| wish.enabled == Some(false)) => Keeping::Memory,
        EnvironmentType::Local | EnvironmentType::Slurm => Keeping::Disk,
    }
}

impl From<SelectError> for CommandError {
    fn from(error: SelectError) -> Self {
        let message = error.to_string();
        match error {
            SelectError::BadName { .. } => Self::new("bad_environment", exit::USAGE, message),
            SelectError::NotFound { near, .. } => {
                let hint = match near {
                    Some(near) => format!("did you mean {near:?}? see all: jr env list"),
                    None => "see all: jr env list".to_owned(),
                };
                Self::new("environment_not_found", exit::NOT_FOUND, message).hint(hint)
            }
            SelectError::SeveralDefaults(_) => Self::new("several_defaults", exit::USAGE, message)
                .hint("keep one of them, or name one: -e ID"),
        }
    }
}
