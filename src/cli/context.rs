//! What every command has at hand: its environment and the ways to ask there.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::select::DEFAULT;
use crate::daemon::DaemonError;
use crate::daemon::client::{self, Lines, Start, monotonic_ms};
use crate::daemon::isolated::{self, Isolated};
use crate::daemon::machine::elsewhere;
use crate::daemon::offline::Answer;
use crate::daemon::place::{Keeping, Place, PlaceVariables};
use crate::log::part::Part;
use crate::model::CommandId;
use crate::projections::query::{At, Document, EventsQuery, Query, QueryError, Question, Scope};
use crate::projections::view::{EventView, List, RunView};

use super::bundled::Bundled;
use super::command::read::ReadArgs;
use super::configuration::Configuration;
use super::error::CommandError;
use super::exit;
use super::mode::ModeArgs;
use super::offline;
use super::ui::{Color, Ui};

/// While nobody writes to the log.
const STALE: &str = "no daemon runs: this is what the last one knew; jr resume";
/// Between a reboot and the next daemon.
const AFTER_REBOOT: &str = "no daemon runs, and the machine was restarted since the last one did: \
     this is the state before that, of which no process is left; jr resume";
/// A daemon that starts or ends may hold the files without an answer for so long.
const HANDOVER_MS: u64 = 30_000;
/// Between two looks at it.
const HANDOVER_TICK_MS: u64 = 10;

/// Options that every command takes, before or after its arguments.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct Globals {
    /// Environment [default: `$JR_ENV`, else as the configuration says, else local]
    #[arg(short = 'e', long = "env", value_name = "ID", global = true)]
    pub environment: Option<String>,
    /// Work as if started in DIR
    #[arg(short = 'C', long, value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// One more configuration file, on top of the others
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Vec<PathBuf>,
    #[command(flatten)]
    pub(super) mode: ModeArgs,
    /// Print one JSON document
    #[arg(long, global = true)]
    pub json: bool,
    /// When to colour
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", global = true)]
    pub color: Color,
    /// Print less: only ids, no news
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print more
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

impl Globals {
    /// As far as the place is concerned, where the rest of a line is not there yet.
    pub fn of_line(environment: Option<&str>, directory: Option<&str>) -> Self {
        Self {
            environment: environment.map(str::to_owned),
            directory: directory.map(PathBuf::from),
            config: Vec::new(),
            mode: ModeArgs::default(),
            json: false,
            color: Color::Never,
            quiet: true,
            verbose: false,
        }
    }
}

/// One invocation.
#[derive(Debug)]
pub struct Context {
    /// Where the environment lies.
    pub place: Place,
    /// Where words go.
    pub ui: Ui,
    /// What was asked for in files.
    pub configuration: Configuration,
    /// Of which moment questions are.
    at: Option<At>,
    /// What is read instead of the environment.
    bundled: Option<Box<Bundled>>,
    /// What lives in this process.
    isolated: RefCell<Option<Isolated>>,
    /// That nobody writes to the log is said once.
    is_told_stale: Cell<bool>,
}

impl Context {
    /// Finds the environment, as the flag, the variable or the configuration says.
    ///
    /// # Errors
    /// No such environment, a configuration that cannot be read, or nowhere to keep state.
    pub fn new(globals: &Globals, ui: Ui) -> Result<Self, (CommandError, Ui)> {
        match Self::find(globals) {
            Ok((place, configuration)) => Ok(Self::at(place, ui, configuration)),
            Err(error) => Err((error, ui)),
        }
    }

    /// As [`Self::new`], for commands that only look at what runs or stop it: they work also while
    /// the project's file cannot be parsed, where the environment was before.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn as_known(globals: &Globals, ui: Ui) -> Result<Self, (CommandError, Ui)> {
        let found = Self::go(globals).and_then(|variables| {
            let configuration = Configuration::find(globals)?;
            let (place, told) = match configuration.handed_over() {
                Some(place) => (place, None),
                None => configuration.place_as_known(&variables)?,
            };
            Ok((place, told, configuration))
        });
        match found {
            Ok((place, told, configuration)) => {
                if let Some(told) = told {
                    ui.warn(&told);
                }
                Ok(Self::at(place, ui, configuration))
            }
            Err(error) => Err((error, ui)),
        }
    }

    /// For commands about the configuration itself: whatever it says, the place is that of the
    /// global environment `local`.
    ///
    /// # Errors
    /// Nowhere to keep state, or the directory is gone.
    pub fn apart(globals: &Globals, ui: Ui) -> Result<Self, (CommandError, Ui)> {
        let found = Self::go(globals).and_then(|variables| {
            let id = DEFAULT.parse().map_err(|_| CommandError::usage("no environment"))?;
            let configuration = Configuration::find(globals)?;
            Ok((Place::of(id, &variables)?, configuration))
        });
        match found {
            Ok((place, configuration)) => Ok(Self::at(place, ui, configuration)),
            Err(error) => Err((error, ui)),
        }
    }

    /// From [`Self::apart`] into the environment that is meant.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn enter(&mut self) -> Result<(), CommandError> {
        self.place = match self.configuration.handed_over() {
            Some(place) => place,
            None => self.configuration.place(&PlaceVariables::of_process())?,
        };
        Ok(())
    }

    fn find(globals: &Globals) -> Result<(Place, Configuration), CommandError> {
        let variables = Self::go(globals)?;
        let configuration = Configuration::find(globals)?;
        if let Some(place) = configuration.handed_over() {
            return Ok((place, configuration));
        }
        Ok((configuration.place(&variables)?, configuration))
    }

    fn at(place: Place, ui: Ui, configuration: Configuration) -> Self {
        let (at, bundled, isolated) = (None, None, RefCell::default());
        let is_told_stale = Cell::new(false);
        Self { place, ui, configuration, at, bundled, isolated, is_told_stale }
    }

    /// Goes to the directory that `-C` names.
    fn go(globals: &Globals) -> Result<PlaceVariables, CommandError> {
        // Read before -C changes what a relative path would mean.
        let variables = PlaceVariables::of_process();
        if let Some(directory) = &globals.directory {
            std::env::set_current_dir(directory).map_err(|error| {
                let message = format!("-C {}: {error}", directory.display());
                CommandError::new("directory", exit::USAGE, message)
            })?;
        }
        Ok(variables)
    }

    /// Brings the environment up within this process, if it is isolated: for the commands that run
    /// something. [`Self::close`] ends it.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn bring_up(&self) -> Result<(), CommandError> {
        let mut isolated = self.isolated.borrow_mut();
        if isolated.is_none() {
            *isolated = isolated::start(&self.place).map_err(|error| {
                CommandError::new("isolated_start", exit::UNAVAILABLE, error.to_string())
                    .hint("it needs a directory of its own below TMPDIR, or /tmp")
            })?;
        }
        Ok(())
    }

    /// Stops all that an isolated environment has; there is nothing left of it then.
    ///
    /// # Errors
    /// Something is left.
    pub fn close(&self) -> Result<(), CommandError> {
        let Some(isolated) = self.isolated.take() else { return Ok(()) };
        let failed =
            |error: DaemonError| CommandError::new("isolated_end", exit::FAILED, error.to_string());
        isolated.end().map_err(failed)
    }

    /// From now on what is read is of that moment and that log.
    ///
    /// # Errors
    /// The bundle cannot be believed, or is of another environment than the one that is named.
    pub fn look(&mut self, read: &ReadArgs) -> Result<(), CommandError> {
        self.at = read.at;
        let bundled = read.bundle.as_ref().map(|path| Bundled::open(path)).transpose()?;
        if let (Some(bundled), Some(named)) = (&bundled, self.configuration.flag()) {
            bundled.must_be_of(named)?;
        }
        self.bundled = bundled.map(Box::new);
        Ok(())
    }

    /// Where what is asked about prints; what a bundle tells of printed elsewhere.
    pub fn printing(&self) -> Option<&Place> {
        self.bundled.is_none().then_some(&self.place)
    }

    /// When the moment was that is looked at, if it is not the present; `known` is that in Unix
    /// milliseconds, where an answer has told it already.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn then(&self, known: Option<i64>) -> Result<Option<Timestamp>, CommandError> {
        if self.at.is_none() && self.bundled.is_none() {
            return Ok(None);
        }
        if let Some(known) = known.and_then(|known| Timestamp::from_millisecond(known).ok()) {
            return Ok(Some(known));
        }
        let query = Query::Events(EventsQuery { limit: Some(1), ..EventsQuery::default() });
        let newest: List<EventView> = self.read(&query)?;
        Ok(newest.items.last().and_then(|event| event.time.parse().ok()))
    }

    /// Asks something that changes things; starts a daemon if none runs.
    ///
    /// # Errors
    /// Its refusal, or why it cannot be asked.
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CommandError> {
        let answer = client::ask(&self.place, Start::Allowed, path, body)?;
        parse(&answer.unwrap_or_default())
    }

    /// As [`Self::post`], for an answer in lines.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub fn open(&self, path: &str, body: &impl Serialize) -> Result<Lines, CommandError> {
        let lines = client::open(&self.place, Start::Allowed, path, body)?;
        lines.ok_or_else(|| {
            CommandError::new("daemon_unavailable", exit::UNAVAILABLE, "no daemon answers")
        })
    }

    /// The document that answers `query`: from the daemon if one lives, else from the files.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn read_bytes(&self, query: &Query) -> Result<Vec<u8>, CommandError> {
        self.answer(&Question { query: query.clone(), at: self.at })
    }

    /// As [`Self::read`], of another moment.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_of<T: DeserializeOwned>(
        &self,
        query: &Query,
        at: Option<At>,
    ) -> Result<T, CommandError> {
        parse(&self.answer(&Question { query: query.clone(), at })?)
    }

    fn answer(&self, question: &Question) -> Result<Vec<u8>, CommandError> {
        if let Some(bundled) = &self.bundled {
            return bundled.answer(question);
        }
        let mut waiting = Waiting::new();
        loop {
            if let Some(bytes) = client::ask(&self.place, Start::Never, "/v1/read", question)? {
                return Ok(bytes);
            }
            let answered = offline::answer(&self.place, question);
            if self.place.keeping == Keeping::Memory && !matches!(answered, Ok(None)) {
                self.ui.warn(&offline::nothing_kept(&self.place));
            }
            if let Some(answer) = answered? {
                self.tell_if_stale(question, &answer);
                return serde_json::to_vec(&answer.document).map_err(|error| {
                    let message = format!("cannot write JSON: {error}");
                    CommandError::new("internal", exit::FAILED, message)
                });
            }
            waiting.look_again()?;
        }
    }

    /// Without a daemon the log ends where the last one did: what lives by it may have ended since.
    fn tell_if_stale(&self, question: &Question, answer: &Answer) {
        let lives = |run: &RunView| run.outcome.is_none();
        let shows_living = match (&question.query, &answer.document) {
            (Query::Ps(_) | Query::History(_), Document::Runs(list)) => {
                list.items.iter().any(lives)
            }
            (_, Document::Lines(list)) => list.items.iter().any(|line| line.state != "ended"),
            (_, Document::Show(view)) => lives(&view.run),
            (_, Document::Why(view)) => lives(&view.run),
            (_, Document::Services(list)) => list.items.iter().any(|one| one.pid.is_some()),
            _ => false,
        };
        if shows_living && question.at.is_none() && !self.is_told_stale.replace(true) {
            let is_before = answer.is_of_other_boot && elsewhere(&self.place).is_none();
            self.ui.status(if is_before { AFTER_REBOOT } else { STALE });
        }
    }

    /// A part of the log as it is stored: from the daemon if one lives, else from the files.
    ///
    /// # Errors
    /// There is no log, or it cannot be read.
    pub fn part(&self, part: Part) -> Result<Vec<u8>, CommandError> {
        let mut waiting = Waiting::new();
        loop {
            if let Some(bytes) = client::ask(&self.place, Start::Never, "/v1/log/part", &part)? {
                return Ok(bytes);
            }
            if let Some(bytes) = offline::part(&self.place, part)? {
                return Ok(bytes);
            }
            waiting.look_again()?;
        }
    }

    /// As [`Self::read_bytes`], as a type.
    ///
    /// # Errors
    /// As [`Self::read_bytes`].
    pub fn read<T: DeserializeOwned>(&self, query: &Query) -> Result<T, CommandError> {
        parse(&self.read_bytes(query)?)
    }

    /// Which runs the selectors mean.
    ///
    /// # Errors
    /// No such run, or several where one is needed.
    pub fn resolve(
        &self,
        selectors: &[String],
        scope: Scope,
    ) -> Result<Vec<RunView>, CommandError> {
        let query = Query::Resolve { selectors: selectors.to_vec(), scope };
        self.read::<List<RunView>>(&query).map(|list| list.items)
    }

    /// Whether anything ever happened in this environment: what never lived cannot be stopped,
    /// and no daemon is started to find that out.
    pub fn is_unused(&self) -> bool {
        !self.place.root.exists()
    }

    /// What is to be done to runs needs an environment that has some.
    ///
    /// # Errors
    /// No run matches, since there never was one.
    pub fn must_have_runs(&self, selectors: &[String]) -> Result<(), CommandError> {
        match selectors.first().filter(|_| self.is_unused()) {
            Some(selector) => Err(QueryError::NoSuchRun { selector: selector.clone() }.into()),
            None => Ok(()),
        }
    }
}

/// A daemon starts or ends: it holds the files, and does not answer for this moment.
#[derive(Debug)]
pub struct Waiting {
    deadline_ms: u64,
}

impl Waiting {
    /// Begins now.
    #[expect(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Self {
        Self { deadline_ms: monotonic_ms() + HANDOVER_MS }
    }

    /// Sleeps until it is worth to ask again.
    ///
    /// # Errors
    /// It has lasted too long.
    pub fn look_again(&mut self) -> Result<(), CommandError> {
        if monotonic_ms() > self.deadline_ms {
            let message = "a daemon holds the environment, and does not answer";
            return Err(CommandError::new("busy", exit::BUSY, message).hint("jr daemon status"));
        }
        std::thread::sleep(Duration::from_millis(HANDOVER_TICK_MS));
        Ok(())
    }
}

/// Reads what the daemon said.
///
/// # Errors
/// It cannot be understood.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CommandError> {
    let refuse = |error: &dyn std::fmt::Display| {
        let message = format!("the daemon's answer cannot be understood: {error}");
        CommandError::new("protocol", exit::UNAVAILABLE, message).hint("jr daemon status")
    };
    // Looked at as text once, not string by string.
    let text = std::str::from_utf8(bytes).map_err(|error| refuse(&error))?;
    serde_json::from_str(text).map_err(|error| refuse(&error))
}

/// This command as it was typed, for `jr why`.
pub fn asker() -> String {
    let words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    words.join(" ")
}

/// A fresh id for a command that acts once however often it is sent.
pub fn command_id() -> Result<CommandId, CommandError> {
    let mut bytes = [0_u8; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(CommandError::io("random numbers", &errno.into())),
        }
    }
    Ok(CommandId::from_bytes(bytes))
}
