//! Where an environment lies: its directory, its socket, its output.
//!
//! ```text
//! $JR_HOME                      default $XDG_STATE_HOME/jr, else ~/.local/state/jr
//!   envs/<id>/                  starting lock log/ views.redb output/ blobs/ secrets/ shims/
//!   run/<16 hex>/               daemon.sock s-<shim>.sock
//! ```
//! The hexadecimal digits are of the blake3 of the environment's directory. Sockets lie beside the
//! state and nowhere else (docs/decisions/0005).

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::model::bytestring::to_hex;
use crate::model::{EnvironmentId, RunId};

/// The directories of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub id: EnvironmentId,
    /// `$JR_HOME`.
    pub home: PathBuf,
    /// `$JR_HOME/envs/<id>`.
    pub root: PathBuf,
    /// Directory of its sockets.
    pub run: PathBuf,
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
fn canonical(path: &Path) -> PathBuf {
    for existing in path.ancestors() {
        if let Ok(real) = existing.canonicalize() {
            // What is not there yet is no link.
            let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    path.to_owned()
}

impl Place {
    /// The place of a global environment.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn of(id: EnvironmentId, variables: &PlaceVariables) -> Result<Self, PlaceError> {
        let home = canonical(&variables.jr_home()?);
        let root = home.join("envs").join(id.as_str());
        let digest = blake3::hash(root.as_os_str().as_encoded_bytes());
        let short = to_hex(&digest.as_bytes()[..8]);
        let run = home.join("run").join(short);
        Ok(Self { id, home, root, run })
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
        self.root.join("shims")
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

    /// What a daemon that failed had to say.
    pub fn daemon_log(&self) -> PathBuf {
        self.root.join("daemon.log")
    }

    /// Output of an attempt: `<base>.out`, `<base>.err`, `<base>.idx`.
    pub fn output(&self, run: RunId, attempt: u32) -> PathBuf {
        let text = run.to_string();
        self.root.join("output").join(&text[..2]).join(format!("{text}.{attempt}"))
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
