//! Which files configure: looked for, from the lowest to the highest priority.
//!
//! | priority | where |
//! |---|---|
//! | 1 | packaged |
//! | 2 | `/etc/jr/*env*.toml` |
//! | 3 | `$XDG_CONFIG_DIRS/jr/*env*.toml` (usually `/etc/xdg/jr/`), the first directory last |
//! | 4 | `$XDG_CONFIG_HOME/jr/*env*.toml` (usually `~/.config/jr/`) |
//! | 5 | `.jr/config/*env*.toml`, then `*env*.toml` of the directory itself |
//! | 6 | `.metalab.toml`, then `jr.toml`: the nearest directory upwards that has one |
//! | 7 | `.metalab.local.toml`, then `jr.local.toml` beside it |
//! | 8 | `$JR_CONFIG`, then `--config FILE`, in their order |
//!
//! The walk upwards ends after the repository's root, the home directory, or where another file
//! system begins.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::document::Document;
use super::source::Layer;

/// The names of a project's file and of the one that stays on a machine, from low to high.
const PROJECT_FILES: [&str; 2] = [".metalab.toml", "jr.toml"];
const LOCAL_FILES: [&str; 2] = [".metalab.local.toml", "jr.local.toml"];

/// What decides where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The directory that the command works in, absolute.
    pub directory: PathBuf,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `/etc`.
    pub etc: PathBuf,
    /// `XDG_CONFIG_DIRS`, in its order.
    pub config_dirs: Vec<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub config_home: Option<PathBuf>,
    /// `JR_CONFIG` and `--config`, absolute, in their order.
    pub extra: Vec<PathBuf>,
    /// `JR_ENV`.
    pub environment: Option<String>,
    /// `JR_DEFAULT_MODE`.
    pub default_mode: Option<String>,
    /// `--mode`, which goes before it.
    pub mode: Option<String>,
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How important.
    pub layer: Layer,
    /// Where.
    pub path: PathBuf,
}

/// All that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// From low to high; the packaged one is left out.
    pub files: Vec<Found>,
    /// The directory of the project's file.
    pub project: Option<PathBuf>,
}

impl Search {
    /// From this process: its directory and environment. The only place that reads them.
    ///
    /// # Errors
    /// The working directory is gone.
    pub fn of_process(extra: &[PathBuf]) -> std::io::Result<Self> {
        let read = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = |name| read(name).map(PathBuf::from);
        let text = |name| read(name).and_then(|value: OsString| value.into_string().ok());
        let directory = std::env::current_dir()?;
        let home = path("HOME").filter(|home| home.is_absolute());
        let listed = read("XDG_CONFIG_DIRS").unwrap_or_else(|| "/etc/xdg".into());
        let config_dirs = std::env::split_paths(&listed).filter(|path| path.is_absolute());
        let own = path("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        let config_home = own.or_else(|| home.as_ref().map(|home| home.join(".config")));
        let listed = read("JR_CONFIG").unwrap_or_default();
        let named = std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty());
        let extra = named.chain(extra.iter().cloned()).map(|path| directory.join(path)).collect();
        Ok(Self {
            config_dirs: config_dirs.collect(),
            directory,
            home,
            etc: "/etc".into(),
            config_home,
            extra,
            environment: text("JR_ENV"),
            default_mode: text("JR_DEFAULT_MODE"),
            mode: None,
        })
    }

    /// To look again where a document's files were found: places of the user and the system are
    /// this process's.
    #[must_use]
    pub fn again(document: &Document) -> Self {
        let stored = &document.search;
        let own = Self::of_process(&[]).unwrap_or_default();
        Self {
            directory: PathBuf::from(&stored.directory),
            extra: stored.extra.iter().map(PathBuf::from).collect(),
            default_mode: stored.default_mode.clone(),
            mode: stored.mode.clone(),
            environment: None,
            ..own
        }
    }

    /// Looks at every place. What has the name of a file of ours and cannot be read as one is told
    /// later; in the directory itself, where the names may be others', it is left out.
    pub fn locate(&self) -> Located {
        let mut files = Vec::new();
        let mut add = |layer, directory: &Path| {
            let found = environment_files(directory);
            files.extend(found.into_iter().map(|path| Found { layer, path }));
        };
        add(Layer::System, &self.etc.join("jr"));
        for directory in self.config_dirs.iter().rev() {
            add(Layer::SystemXdg, &directory.join("jr"));
        }
        if let Some(home) = &self.config_home {
            add(Layer::User, &home.join("jr"));
        }
        add(Layer::Directory, &self.directory.join(".jr/config"));
        let own = environment_files(&self.directory).into_iter().filter(|path| path.is_file());
        files.extend(own.map(|path| Found { layer: Layer::Directory, path }));
        let project = self.project();
        if let Some(project) = &project {
            let there = |layer, name: &str| {
                let path = project.join(name);
                is_there(&path).then_some(Found { layer, path })
            };
            files.extend(PROJECT_FILES.iter().filter_map(|name| there(Layer::Project, name)));
            files.extend(LOCAL_FILES.iter().filter_map(|name| there(Layer::ProjectLocal, name)));
        }
        let extra = self.extra.iter().cloned();
        files.extend(extra.map(|path| Found { layer: Layer::Extra, path }));
        Located { files, project }
    }

    /// The nearest directory upwards with a project's file.
    fn project(&self) -> Option<PathBuf> {
        for directory in upwards(&self.directory, self.home.as_deref()) {
            if PROJECT_FILES.iter().any(|name| is_there(&directory.join(name))) {
                return Some(directory.to_owned());
            }
            if directory.join(".git").exists() {
                return None;
            }
        }
        None
    }

    /// Every place that is looked at, with or without files: what is to be watched.
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut out = vec![self.etc.join("jr")];
        out.extend(self.config_dirs.iter().map(|directory| directory.join("jr")));
        out.extend(self.config_home.iter().map(|home| home.join("jr")));
        out.push(self.directory.join(".jr/config"));
        out.push(self.directory.clone());
        out.extend(self.project());
        out.sort();
        out.dedup();
        out
    }
}

/// A directory and those above it, up to home, or to where another file system begins.
pub(super) fn upwards<'a>(
    directory: &'a Path,
    home: Option<&'a Path>,
) -> impl Iterator<Item = &'a Path> {
    let (mut device, mut is_over) = (None, false);
    directory.ancestors().take_while(move |directory| {
        let here = std::fs::metadata(directory).map(|data| data.dev());
        let is_inside = here.is_ok_and(|here| *device.get_or_insert(here) == here);
        let goes_on = is_inside && !is_over;
        is_over = home == Some(*directory);
        goes_on
    })
}

/// Whether anything has that name: also what cannot be read, but no directory.
fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|data| !data.is_dir())
}

/// `*env*.toml` of a directory, sorted; hidden files are somebody else's.
fn environment_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let fits = |name: &str| is_environment_file(name);
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut paths: Vec<PathBuf> =
        names.filter(|name| fits(name)).map(|name| directory.join(name)).collect();
    paths.retain(|path| is_there(path));
    paths.sort();
    paths
}

/// Whether a file of that name is a project's.
pub fn is_project_file(name: &str) -> bool {
    PROJECT_FILES.contains(&name)
}

/// Whether a file of that name configures environments.
pub fn is_environment_file(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".toml") else { return false };
    stem.contains("env") && !name.starts_with('.')
}
