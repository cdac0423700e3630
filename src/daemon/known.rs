//! The environments of a machine: a note for each says where it lies, so that those elsewhere are
//! found too, and those whose project is gone.

use std::path::{Path, PathBuf};

use super::place::{Keeping, Place, PlaceError, PlaceVariables, canonical};
use crate::log::{Lock, LogError, Sharing, atomic};

/// Why an environment cannot be given to another project.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// There is none.
    #[error("{} has no environment {id}", project.display())]
    NoSuch {
        /// The project.
        project: PathBuf,
        /// The environment.
        id: String,
    },
    /// Both projects have one of that name.
    #[error("{} is there already", .0.display())]
    Taken(PathBuf),
    /// A daemon serves it, or something of it runs.
    #[error("environment {id} is in use")]
    InUse {
        /// The environment.
        id: String,
    },
    /// The system refuses.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Its files cannot be locked.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Writes an environment's note, if it is not there as it should be.
pub fn note(place: &Place) -> Result<(), LogError> {
    let (path, Some(text)) = (place.note(), place.hand_over()) else { return Ok(()) };
    if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(directory) = path.parent() {
        atomic::create_directory(directory)?;
    }
    atomic::atomic_write(&path, text.as_bytes())
}

/// All environments whose state is on this machine: by their notes, and by their directories where
/// a note is missing.
///
/// # Errors
/// Nothing says where state lies.
pub fn all(variables: &PlaceVariables) -> Result<Vec<Place>, PlaceError> {
    let home = variables.jr_home()?;
    let noted = entries(&home.join("known")).into_iter();
    let noted = noted.filter_map(|path| std::fs::read_to_string(path).ok());
    let mut places: Vec<Place> =
        noted.filter_map(|text| serde_json::from_str::<Place>(&text).ok()).collect();
    for path in entries(&home.join("envs")) {
        let id = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        if let Some(id) = id {
            places.push(Place::of(id, variables)?);
        }
    }
    places.retain(|place| place.root.is_dir() && place.keeping != Keeping::Isolated);
    places.sort_by(|a, b| (&a.id, &a.root).cmp(&(&b.id, &b.root)));
    places.dedup_by(|a, b| a.root == b.root);
    Ok(places)
}

/// The environments that a project had when its files could be read; where one is named, that one,
/// also if it belongs to everybody.
///
/// # Errors
/// Nothing says where state lies.
pub fn of_project(
    variables: &PlaceVariables,
    project: Option<&Path>,
    named: Option<&str>,
) -> Result<Vec<Place>, PlaceError> {
    let project = project.map(canonical);
    let mut places = all(variables)?;
    places.retain(|place| named.is_none_or(|name| name == place.id.as_str()));
    let is_own = |place: &&Place| place.project.is_some() && place.project == project;
    let own: Vec<Place> = places.iter().filter(is_own).cloned().collect();
    if own.is_empty() && named.is_some() {
        places.retain(|place| place.project.is_none());
        return Ok(places);
    }
    Ok(own)
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// Gives the state of an environment to another project: `to` is empty, nothing of `from` lives.
///
/// # Errors
/// [`MoveError`]: nothing was moved.
pub fn move_state(from: &Place, to: &Place) -> Result<(), MoveError> {
    let id = from.id.to_string();
    if !from.root.is_dir() {
        let project = from.project.clone().unwrap_or_else(|| from.root.clone());
        return Err(MoveError::NoSuch { project, id });
    }
    if to.root.exists() {
        return Err(MoveError::Taken(to.root.clone()));
    }
    let busy = |error: LogError| match error {
        LogError::Busy { .. } => MoveError::InUse { id: id.clone() },
        other => MoveError::Log(other),
    };
    let _starting = Lock::attempt(&from.starting(), Sharing::Exclusive).map_err(busy)?;
    let _lock = Lock::attempt(&from.lock(), Sharing::Exclusive).map_err(busy)?;
    let io = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| MoveError::Io { operation, path, source }
    };
    if let Some(parent) = to.root.parent() {
        atomic::create_directory(parent)?;
    }
    std::fs::rename(&from.root, &to.root).map_err(io("move", &from.root))?;
    note(to)?;
    // It names a directory that is gone: `all` leaves it out.
    let _stale = std::fs::remove_file(from.note());
    let _empty = from.root.parent().map(std::fs::remove_dir);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::place::Base;

    #[test]
    fn an_environment_is_found_by_its_project_and_its_name() {
        let home = tempfile::tempdir().expect("a directory");
        let variables = PlaceVariables {
            jr_home: Some(home.path().join("state").into()),
            ..PlaceVariables::default()
        };
        let make = |id: &str, project: Option<&str>| {
            let base =
                Base { project: project.map(|name| home.path().join(name)), ..Base::default() };
            let place =
                Place::resolve(id.parse().expect("an id"), &variables, &base).expect("placed");
            std::fs::create_dir_all(&place.root).expect("made");
            note(&place).expect("noted");
        };
        for project in ["one", "two"] {
            std::fs::create_dir(home.path().join(project)).expect("made");
        }
        make("dev", Some("one"));
        make("ci", Some("two"));
        make("dev", Some("two"));
        make("local", None);
        let found = |project: &str, named| {
            let project = home.path().join(project);
            let places = of_project(&variables, Some(&project), named).expect("read");
            let words = places.iter().map(|place| {
                let project = place.project.as_deref().and_then(Path::file_name);
                format!("{} {:?}", place.id, project.unwrap_or_default())
            });
            words.collect::<Vec<_>>().join(", ")
        };
        assert_eq!(found("one", None), "dev \"one\"");
        assert_eq!(found("two", None), "ci \"two\", dev \"two\"");
        assert_eq!(found("two", Some("dev")), "dev \"two\"");
        assert_eq!(found("one", Some("ci")), "", "another project's is not meant");
        assert_eq!(found("one", Some("local")), "local \"\"");
        assert_eq!(found("none", None), "");
    }
}
