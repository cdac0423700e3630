//! Where an environment lies: its directory, its socket, its output.
//!
//! ```text
//! $JR_HOME                      default $XDG_STATE_HOME/jr, else ~/.local/state/jr
//!   envs/<id>/                  starting lock log/ views.redb shortlist output/ blobs/ secrets/
//!                               shims/
//!   projects/<16 hex>/<id>/     the same, of an environment that a project's file declares
//!   run/<16 hex>/               daemon.sock s-<shim>.sock
//!   known/<16 hex>.json         where each environment lies: those elsewhere too
//! ```
//! The hexadecimal digits are of the blake3 of the project's or the environment's directory.
//! Sockets lie beside the state and nowhere else (docs/decisions/0005), unless `layout.root_dir`
//! moves them.
//!
//! `layout.root_dir = R` and `persistence.database = D` put an environment elsewhere: its state
//! into `D.jr/envs/<id>`, else `R/envs/<id>`; its sockets into `R/run/<16 hex>`, else
//! `D.jr/run/<16 hex>`.
//! One that keeps nothing ([`Keeping`]) lies elsewhere again (docs/decisions/0015).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::door::Door;
use crate::model::bytestring::to_hex;
use crate::model::{EnvironmentId, RunId};
use crate::runners::bond;

/// Below an environment's directory: what belongs to a log in memory.
const MEMORY: &str = "memory";

/// The directories of one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its name.
    pub id: EnvironmentId,
    /// `$JR_HOME`.
    pub home: PathBuf,
    /// The directory of its state.
    pub root: PathBuf,
    /// Directory of its sockets.
    pub run: PathBuf,
    /// The root of the project that it belongs to.
    pub project: Option<PathBuf>,
    /// What of it outlives what.
    pub keeping: Keeping,
    /// The way into it, if it is isolated.
    #[serde(skip)]
    pub door: Option<Door>,
}

/// What of an environment outlives what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keeping {
    /// Its log is on disk.
    #[default]
    Disk,
    /// Its log ends with its daemon.
    Memory,
    /// All of it ends with the command.
    Isolated,
}

/// What configuration says about where an environment lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The root of the project whose file declares it.
    pub project: Option<PathBuf>,
    /// `layout.root_dir`, absolute.
    pub root_dir: Option<PathBuf>,
    /// `persistence.database`, absolute.
    pub database: Option<PathBuf>,
    /// Whether it is kept.
    pub keeping: Keeping,
}

/// Why there is no place for an environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Nothing says where state lies.
    #[error("neither JR_HOME, XDG_STATE_HOME nor HOME is set")]
    NoHome,
    /// Relative paths mean something else to each process.
    #[error("{0} must be an absolute path")]
    Relative(&'static str),
}

/// The variables that decide it, as the caller read them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceVariables {
    /// `JR_HOME`.
    pub jr_home: Option<OsString>,
    /// `XDG_STATE_HOME`.
    pub state_home: Option<OsString>,
    /// `HOME`.
    pub home: Option<OsString>,
}

impl PlaceVariables {
    /// Reads them from this process.
    pub fn of_process() -> Self {
        let read = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self { jr_home: read("JR_HOME"), state_home: read("XDG_STATE_HOME"), home: read("HOME") }
    }

    /// `$JR_HOME` with its defaults.
    ///
    /// # Errors
    /// [`PlaceError::NoHome`] or [`PlaceError::Relative`].
    pub fn jr_home(&self) -> Result<PathBuf, PlaceError> {
        if let Some(path) = &self.jr_home {
            return absolute(path.into(), "JR_HOME");
        }
        if let Some(path) = &self.state_home {
            return absolute(Path::new(path).join("jr"), "XDG_STATE_HOME");
        }
        let home = self.home.as_ref().ok_or(PlaceError::NoHome)?;
        absolute(Path::new(home).join(".local/state/jr"), "HOME")
    }
}

fn absolute(path: PathBuf, name: &'static str) -> Result<PathBuf, PlaceError> {
    if path.is_absolute() { Ok(path) } else { Err(PlaceError::Relative(name)) }
}

/// One directory has one name, whatever links lead to it: the sockets are named by it.
pub(super) fn canonical(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        if let Ok(real) = existing.canonicalize() {
            // What is not there yet is no link.
            let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}

/// 16 hexadecimal digits that stand for a directory.
fn short_hash(path: &Path) -> String {
    to_hex(&blake3::hash(path.as_os_str().as_encoded_bytes()).as_bytes()[..8])
}

/// `database.db` is a file to others: jr's directory beside it.
fn with_suffix(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".jr");
    name.into()
}

impl Place {
    /// The place of a global environment that nothing puts elsewhere.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn of(id: EnvironmentId, variables: &PlaceVariables) -> Result<Self, PlaceError> {
        Self::resolve(id, variables, &Base::default())
    }

    /// The place of an environment.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn resolve(
        id: EnvironmentId,
        variables: &PlaceVariables,
        base: &Base,
    ) -> Result<Self, PlaceError> {
        let door = (base.keeping == Keeping::Isolated).then(Door::new);
        let home = match (variables.jr_home(), &door) {
            // It needs none; runs are told of it all the same.
            (Err(PlaceError::NoHome), Some(door)) => door.root().to_owned(),
            (home, _) => canonical(&home?),
        };
        let project = base.project.as_deref().map(canonical);
        let beside = base.database.as_deref().map(|path| canonical(&with_suffix(path)));
        let moved = base.root_dir.as_deref().map(canonical);
        let root = match (beside.as_ref().or(moved.as_ref()), &project) {
            (Some(base), _) => base.join("envs").join(id.as_str()),
            (None, Some(project)) => {
                home.join("projects").join(short_hash(project)).join(id.as_str())
            }
            (None, None) => home.join("envs").join(id.as_str()),
        };
        let root = match base.keeping {
            Keeping::Disk | Keeping::Isolated => root,
            // Beside what may be on disk, which is not touched.
            Keeping::Memory => root.join(MEMORY),
        };
        let run = moved.or(beside).unwrap_or_else(|| home.clone());
        let run = run.join("run").join(short_hash(&root));
        let place = Self { id, home, root, run, project, keeping: base.keeping, door: None };
        Ok(place.behind(door))
    }

    /// What is isolated lies in a directory of its own, wherever configuration would put it.
    fn behind(mut self, door: Option<Door>) -> Self {
        if let Some(door) = &door {
            door.root().clone_into(&mut self.root);
            self.run = self.root.join("run");
        }
        self.door = door;
        self
    }

    /// Whether its log is nowhere on disk.
    pub fn is_in_memory(&self) -> bool {
        match self.keeping {
            Keeping::Disk => false,
            Keeping::Memory | Keeping::Isolated => true,
        }
    }

    /// Whether it lives within one command.
    pub fn is_isolated(&self) -> bool {
        self.keeping == Keeping::Isolated
    }

    /// The variable that hands a place on where configuration would not lead there: to a daemon,
    /// and to runs of environments that lie elsewhere.
    pub const VARIABLE: &'static str = "JR_PLACE";

    /// As [`Self::VARIABLE`] has it. Paths that are not text cannot be handed on.
    pub fn hand_over(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// The place that was handed to this process, if it is of the environment that is named.
    pub fn handed_over(named: Option<&str>) -> Option<Self> {
        let text = std::env::var(Self::VARIABLE).ok()?;
        let place: Self = serde_json::from_str(&text).ok()?;
        let is_whole = place.root.is_absolute() && place.run.is_absolute();
        let is_meant = named.is_none_or(|name| name == place.id.as_str());
        // Nobody comes into one that is isolated: this is another.
        let door = place.is_isolated().then(Door::new);
        (is_whole && is_meant).then(|| place.behind(door))
    }

    /// Whether its name alone leads to it.
    pub fn is_plain(&self) -> bool {
        self.root == self.home.join("envs").join(self.id.as_str())
            && self.run == self.home.join("run").join(short_hash(&self.root))
            && self.keeping == Keeping::Disk
    }

    /// Taken by a daemon while it starts.
    pub fn starting(&self) -> PathBuf {
        self.root.join("starting")
    }

    /// Held by the daemon for life; taken shared by a reader for one look.
    pub fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Segments of the log.
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Read models; deletable.
    pub fn views(&self) -> PathBuf {
        self.root.join("views.redb")
    }

    /// What shells are offered most.
    pub fn shortlist(&self) -> PathBuf {
        self.root.join("shortlist")
    }

    /// Content-addressed things.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Values behind markers.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// A directory for each shim.
    pub fn shims(&self) -> PathBuf {
        self.root.join(bond::SHIMS)
    }

    /// Debug bundles that nobody gave another place.
    pub fn bundles(&self) -> PathBuf {
        self.root.join("debug")
    }

    /// Where the newest bundle lies, wherever that is.
    pub fn newest_bundle(&self) -> PathBuf {
        self.bundles().join("last")
    }

    /// Which machine its processes are on.
    pub fn machine(&self) -> PathBuf {
        self.root.join("machine")
    }

    /// What tells others where it lies.
    pub fn note(&self) -> PathBuf {
        self.home.join("known").join(format!("{}.json", short_hash(&self.root)))
    }

    /// What a daemon that failed had to say.
    pub fn daemon_log(&self) -> PathBuf {
        self.root.join("daemon.log")
    }

    /// Output of all attempts.
    pub fn outputs(&self) -> PathBuf {
        self.root.join("output")
    }

    /// Output of an attempt: `<base>.out`, `<base>.err`, `<base>.idx`.
    pub fn output(&self, run: RunId, attempt: u32) -> PathBuf {
        self.outputs().join(Self::output_folder(run)).join(format!("{run}.{attempt}"))
    }

    /// The folder in `output/` of a run: 32 in all. More would have to be made by most runs of a
    /// young environment, fewer get long.
    pub fn output_folder(run: RunId) -> String {
        run.to_string().chars().take(1).collect()
    }

    /// The daemon's socket.
    pub fn daemon_socket(&self) -> PathBuf {
        self.run.join("daemon.sock")
    }

    /// A shim's directory.
    pub fn shim(&self, shim: u32) -> PathBuf {
        self.shims().join(format!("{shim:08x}"))
    }

    /// The number behind the name of a shim's directory.
    pub fn shim_number(name: &str) -> Option<u32> {
        u32::from_str_radix(name, 16).ok().filter(|_| name.len() == 8)
    }

    /// A shim's socket.
    pub fn shim_socket(&self, shim: u32) -> PathBuf {
        self.run.join(format!("s-{shim:08x}.sock"))
    }
}
