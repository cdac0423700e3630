//! Which environment is meant.
//!
//! `-e ID`, else `$JR_ENV`: named, it works without any configuration. Else `[project]
//! default_env`, else the one with `default = true`, else `local`: these have to be declared.

use std::path::PathBuf;

use super::load::Loaded;
use super::problem::{Problem, did_you_mean};
use super::source::{Layer, Origin, place_of};
use super::tree::{Node, Table, Value, find};
use crate::model::EnvironmentId;

/// The environment where nothing names one.
pub const DEFAULT: &str = "local";

/// Who says which environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// `-e`.
    Flag,
    /// `$JR_ENV`.
    Variable,
    /// `[project] default_env`.
    Project(Origin),
    /// `default = true`.
    Default(Origin),
    /// Nothing does, and `local` is declared.
    Local,
}

/// An environment, and why that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Its id.
    pub id: EnvironmentId,
    /// Who says so.
    pub by: Chosen,
    /// Whether any file declares it.
    pub is_declared: bool,
    /// The project whose file declares it; `None` where it belongs to everybody.
    pub project: Option<PathBuf>,
}

/// Why none can be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// It cannot be the name of one.
    #[error("{name:?} is {rule}")]
    BadName {
        /// As given.
        name: String,
        /// What it must be.
        rule: String,
    },
    /// No file declares it.
    #[error(
        "EnvironmentNotFound: no configuration for environment {name:?}, which {by}; \
         there is {available}"
    )]
    NotFound {
        /// As wanted.
        name: String,
        /// Who wants it.
        by: String,
        /// All that are declared.
        available: String,
        /// What was probably meant.
        near: Option<String>,
    },
    /// More than one is the default.
    #[error("several environments are the default: {0}")]
    SeveralDefaults(String),
}

/// The environment that is meant where `named` is what a flag says.
///
/// # Errors
/// [`SelectError`].
pub fn select(
    loaded: &Loaded,
    flag: Option<&str>,
    variable: Option<&str>,
) -> Result<Selection, SelectError> {
    let named = flag.map(|name| (name, Chosen::Flag));
    let named = named.or_else(|| variable.map(|name| (name, Chosen::Variable)));
    let (name, by) = match named {
        Some((name, by)) => (name.to_owned(), by),
        None => default(loaded)?,
    };
    let id: EnvironmentId = name.parse().map_err(|error: crate::model::BadName| {
        SelectError::BadName { name: name.clone(), rule: error.to_string() }
    })?;
    let is_declared = is_declared(&loaded.merged, &name);
    let is_named = matches!(by, Chosen::Flag | Chosen::Variable);
    if !is_declared && !is_named {
        return Err(not_found(loaded, &name, &by));
    }
    let project = loaded.project.clone().filter(|_| declared_by_project(loaded, &name));
    Ok(Selection { id, by, is_declared, project })
}

/// The environment where nobody names one.
fn default(loaded: &Loaded) -> Result<(String, Chosen), SelectError> {
    if let Some(node) = find(&loaded.merged, &["project", "default_env"])
        && let Some(name) = node.text()
    {
        return Ok((name.to_owned(), Chosen::Project(node.origin.clone())));
    }
    match defaults(&loaded.merged).as_slice() {
        [] => Ok((DEFAULT.to_owned(), Chosen::Local)),
        [(name, node)] => Ok(((*name).to_owned(), Chosen::Default(node.origin.clone()))),
        several => {
            let place = |node: &Node| place_of(&loaded.sources, &node.origin);
            let several = several.iter().map(|(name, node)| format!("{name} ({})", place(node)));
            Err(SelectError::SeveralDefaults(several.collect::<Vec<_>>().join(", ")))
        }
    }
}

/// All with `default = true`.
fn defaults(merged: &Table) -> Vec<(&str, &Node)> {
    let environments = merged.get("environments").and_then(Node::table);
    let all = environments.into_iter().flatten();
    all.filter_map(|(name, node)| {
        let default = node.table()?.get("default")?;
        (default.value == Value::Boolean(true)).then_some((name.as_str(), default))
    })
    .collect()
}

/// The ids of all that are declared.
pub fn declared(merged: &Table) -> Vec<&str> {
    let environments = merged.get("environments").and_then(Node::table);
    environments.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// Whether any file declares it.
pub fn is_declared(merged: &Table, name: &str) -> bool {
    find(merged, &["environments", name]).is_some()
}

/// Whether a file that was found by walking up declares it.
pub fn declared_by_project(loaded: &Loaded, name: &str) -> bool {
    let of_project = |layer| matches!(layer, Layer::Project | Layer::ProjectLocal);
    let mut trees = loaded.sources.iter().zip(&loaded.trees);
    trees.any(|(source, tree)| of_project(source.layer) && is_declared(tree, name))
}

fn not_found(loaded: &Loaded, name: &str, by: &Chosen) -> SelectError {
    let by = match by {
        Chosen::Project(origin) => {
            format!("[project] default_env names ({})", place_of(&loaded.sources, origin))
        }
        Chosen::Flag => "-e names".to_owned(),
        Chosen::Variable => "JR_ENV names".to_owned(),
        Chosen::Default(_) | Chosen::Local => "is meant where none is named".to_owned(),
    };
    let declared = declared(&loaded.merged);
    let near = did_you_mean(name, declared.iter().copied());
    let available = if declared.is_empty() { "none".to_owned() } else { declared.join(", ") };
    SelectError::NotFound { name: name.to_owned(), by, available, near }
}

/// What is wrong with the choice itself, for `jr config check`.
pub fn problems(loaded: &Loaded) -> Vec<Problem> {
    let mut problems = Vec::new();
    let defaults = defaults(&loaded.merged);
    if defaults.len() > 1 {
        for (name, node) in defaults {
            let message = format!("several environments are the default, {name:?} among them");
            let problem = Problem::error("several_defaults", message);
            problems.push(problem.at(node.origin.source, node.origin.key.clone()));
        }
    }
    if let Some(node) = find(&loaded.merged, &["project", "default_env"])
        && let Some(name) = node.text()
        && !is_declared(&loaded.merged, name)
    {
        let declared = declared(&loaded.merged);
        let message =
            format!("no environment {name:?} is declared; there is {}", declared.join(", "));
        let mut problem = Problem::error("environment_not_found", message);
        problem.suggestion =
            did_you_mean(name, declared).map(|near| format!("did you mean {near:?}?"));
        problems.push(problem.at(node.origin.source, node.origin.value.clone()));
    }
    problems
}
