//! A resolution as it is stored: the values that hold, secrets as markers, where each comes from,
//! the files that were read, and what else a command that shows it tells. Its blake3 is what a run
//! is pinned to.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::load::Loaded;
use super::locate::Search;
use super::mask::mask;
use super::problem::Problem;
use super::resolve::{Resolved, resolve};
use super::schema::SHARED;
use super::select::{Chosen, DEFAULT, Selection, declared_by_project, is_declared};
use super::source::{Layer, Source};
use super::stored::StoredTree;
use super::tree::{Node, Table, Value, find, table_to_json};
use crate::model::{ConfigSource, EnvironmentId, Resolution};

/// What is stored of one resolution. `serde_json` writes its maps sorted: equal contents are equal
/// bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// `jr.config/1`.
    pub schema: String,
    /// The environment's id.
    pub environment: String,
    /// Its values.
    #[serde(flatten)]
    pub tree: StoredTree,
    /// What is about the project.
    pub settings: serde_json::Value,
    /// The files in use, from low to high priority.
    pub sources: Vec<StoredSource>,
    /// Where was looked: enough to look again.
    pub search: StoredSearch,
    /// What jr did not store before it knew it.
    #[serde(default)]
    pub shown: Option<StoredBeside>,
}

/// What a command shows beside an environment's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredBeside {
    /// Whether any file declares the environment.
    pub declared: bool,
    /// Whether a project's does.
    pub declared_by_project: bool,
    /// The project's root.
    pub project: Option<String>,
    /// The directory of the environment's state.
    pub path: Option<String>,
    /// What is said for all environments, and about the project. Of the environments there is an
    /// empty table at most: only the one of the document is stored.
    pub said: StoredTree,
    /// Tables that are empty in `said`, since in the environment they are as they were said.
    pub same: Vec<String>,
    /// What is wrong, and harms nothing.
    pub problems: Vec<StoredProblem>,
}

/// A file in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSource {
    /// Path, `packaged`, a variable or an option.
    pub name: String,
    /// Its layer.
    pub layer: String,
    /// blake3 of its bytes; `None` of a file that is left out, since no key in it is jr's.
    pub digest: Option<String>,
}

/// Something wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "twins of the fields of a problem")]
pub struct StoredProblem {
    pub severity: String,
    pub code: String,
    pub message: String,
    pub place: Option<String>,
    pub suggestion: Option<String>,
}

/// What decides where to look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSearch {
    /// The directory of the command.
    pub directory: String,
    /// `--config` and `JR_CONFIG`.
    pub extra: Vec<String>,
    /// `JR_DEFAULT_MODE`.
    pub default_mode: Option<String>,
    /// `--mode`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// The word of the schema.
pub const SCHEMA: &str = "jr.config/1";

/// What a document is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The files.
    pub loaded: &'a Loaded,
    /// Where they were looked for.
    pub search: &'a Search,
    /// The environment.
    pub resolved: &'a Resolved,
    /// What is wrong with it, beside what is wrong with the files.
    pub problems: &'a [Problem],
    /// The directory of its state.
    pub path: Option<&'a Path>,
}

impl Document {
    /// Of a resolution.
    pub fn new(parts: &Parts<'_>) -> Self {
        let Parts { loaded, search, resolved, .. } = *parts;
        // The same from the same files is the same, from whatever directory they were found.
        let is_local = loaded.sources.iter().any(|source| source.layer >= Layer::Directory);
        let directory = if is_local { text(&search.directory) } else { "/".to_owned() };
        Self {
            schema: SCHEMA.to_owned(),
            environment: resolved.id.clone(),
            tree: StoredTree::of(&resolved.tree, &loaded.sources),
            settings: table_to_json(&mask(&resolved.settings)),
            sources: loaded.sources.iter().map(StoredSource::of).collect(),
            search: StoredSearch {
                directory,
                extra: search.extra.iter().map(|path| text(path)).collect(),
                default_mode: search.default_mode.clone(),
                mode: search.mode.clone(),
            },
            shown: Some(StoredBeside::of(parts)),
        }
    }

    /// What holds in an environment where no file says anything.
    pub fn packaged(id: &EnvironmentId, path: Option<&Path>) -> Self {
        let (loaded, search) = (Loaded::packaged(None), Search::default());
        let is_declared = is_declared(&loaded.merged, id.as_str());
        let by = Chosen::Local;
        let selection = Selection { id: id.clone(), by, is_declared, project: None };
        let (resolved, problems) = resolve(&loaded, &selection);
        let (loaded, search, resolved) = (&loaded, &search, &resolved);
        Self::new(&Parts { loaded, search, resolved, problems: &problems, path })
    }

    /// As it was written.
    ///
    /// # Errors
    /// It is no such document, or a newer one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if read.schema == SCHEMA { Ok(read) } else { Err(format!("its schema is {}", read.schema)) }
    }

    /// What decisions rest on.
    pub fn resolution(&self) -> Resolution {
        let source = |source: &StoredSource| {
            let digest = source.digest.as_ref()?.parse().ok()?;
            Some(ConfigSource { name: source.name.clone(), digest })
        };
        let queues = self.tree.values.get("queues").and_then(serde_json::Value::as_object);
        let queue = |(name, queue): (&String, &serde_json::Value)| {
            let limit = u32::try_from(queue.get("limit")?.as_u64()?).ok()?;
            Some((name.parse().ok()?, limit))
        };
        Resolution {
            config: None,
            sources: self.sources.iter().filter_map(source).collect(),
            queues: queues.into_iter().flatten().filter_map(queue).collect(),
        }
    }

    /// All that the files say together, of the environments only this one.
    pub fn whole(&self) -> StoredTree {
        let of_project = || StoredTree { values: self.settings.clone(), ..StoredTree::default() };
        let shown = self.shown.as_ref();
        let mut whole = shown.map_or_else(of_project, |shown| shown.said.clone());
        for key in shown.map(|shown| shown.same.as_slice()).unwrap_or_default() {
            whole.graft(&[key], &self.tree, &[key]);
        }
        if shown.is_none_or(|shown| shown.declared) {
            let all = StoredTree { values: serde_json::json!({}), ..StoredTree::default() };
            if whole.values.get("environments").is_none() {
                whole.graft(&["environments"], &all, &[]);
            }
            whole.graft(&["environments", &self.environment], &self.tree, &[]);
        }
        whole
    }

    /// The root of the project whose file declares the environment.
    pub fn own_project(&self) -> Option<&String> {
        let shown = self.shown.as_ref().filter(|shown| shown.declared_by_project)?;
        shown.project.as_ref()
    }

    /// Who says that this is the environment where nobody names one; `None`: somebody named it.
    pub fn chosen_by(&self) -> Option<&'static str> {
        let is_default = self.tree.values.get("default").and_then(serde_json::Value::as_bool);
        let named = self.settings.pointer("/project/default_env");
        match named.and_then(serde_json::Value::as_str) {
            Some(id) => (id == self.environment).then_some("project"),
            None if is_default == Some(true) => Some("default"),
            None => (self.environment == DEFAULT).then_some("local"),
        }
    }

    /// Its bytes.
    ///
    /// # Panics
    /// Never: all its keys are strings.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("its keys are strings")
    }
}

impl StoredBeside {
    fn of(parts: &Parts<'_>) -> Self {
        let Parts { loaded, resolved, problems, path, .. } = *parts;
        let is_declared = is_declared(&loaded.merged, &resolved.id);
        let (said, same) = said(loaded, resolved, is_declared);
        let problems = loaded.problems.iter().chain(problems);
        Self {
            declared: is_declared,
            declared_by_project: declared_by_project(loaded, &resolved.id),
            project: loaded.project.as_deref().map(text),
            path: path.map(text),
            said: StoredTree::of(&said, &loaded.sources),
            same,
            problems: problems.map(|one| StoredProblem::of(one, &loaded.sources)).collect(),
        }
    }
}

/// What is said for all environments and about the project; the tables that hold in the environment
/// as they were said are empty, and named.
fn said(loaded: &Loaded, resolved: &Resolved, is_declared: bool) -> (Table, Vec<String>) {
    let (mut said, mut same) = (Table::new(), Vec::new());
    for (key, node) in &loaded.merged {
        let is_environments = key == "environments";
        let is_same = SHARED.contains(&key.as_str())
            && node.table().is_some()
            && find(&resolved.tree, &[key]) == Some(node);
        let origin = node.origin.clone();
        let node = if is_environments || is_same {
            Node { value: Value::Table(Table::new()), origin }
        } else {
            node.clone()
        };
        if is_same {
            same.push(key.clone());
        }
        if !is_environments || is_declared {
            said.insert(key.clone(), node);
        }
    }
    (said, same)
}

impl StoredSource {
    /// Of a file in use, or one that is left out.
    pub fn of(source: &Source) -> Self {
        Self {
            name: source.name.clone(),
            layer: source.layer.word().to_owned(),
            digest: (!source.is_foreign).then(|| source.digest.to_string()),
        }
    }
}

impl StoredProblem {
    /// Of a problem.
    pub fn of(problem: &Problem, sources: &[Source]) -> Self {
        Self {
            severity: problem.severity.word().to_owned(),
            code: problem.code.to_owned(),
            message: problem.message.clone(),
            place: problem.place(sources),
            suggestion: problem.suggestion.clone(),
        }
    }

    /// What it is, behind its place, on one line.
    pub fn line(&self) -> String {
        match &self.place {
            Some(place) => format!("{place}: {}", self.message),
            None => self.message.clone(),
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
