//! A resolution as it is stored: the values that hold, secrets as markers, where each comes from,
//! and the files that were read. Its blake3 is what a run is pinned to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::load::Loaded;
use super::locate::Search;
use super::mask::mask;
use super::resolve::Resolved;
use super::source::{Layer, Source};
use super::tree::table_to_json;
use crate::model::{ConfigSource, Resolution};

/// What is stored of one resolution. `serde_json` writes its maps sorted: equal contents are equal
/// bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// `jr.config/1`.
    pub schema: String,
    /// The environment's id.
    pub environment: String,
    /// Its values.
    pub values: serde_json::Value,
    /// What is about the project.
    pub settings: serde_json::Value,
    /// Dotted key and `file:line`.
    pub origins: BTreeMap<String, String>,
    /// The files in use, from low to high priority.
    pub sources: Vec<StoredSource>,
    /// Where was looked: enough to look again.
    pub search: StoredSearch,
}

/// A file in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSource {
    /// Path, `packaged`, a variable or an option.
    pub name: String,
    /// Its layer.
    pub layer: String,
    /// blake3 of its bytes.
    pub digest: String,
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

impl Document {
    /// Of a resolution.
    pub fn new(loaded: &Loaded, search: &Search, resolved: &Resolved) -> Self {
        let used = loaded.sources.iter().filter(|source| !source.is_foreign);
        let stored = |source: &Source| StoredSource {
            name: source.name.clone(),
            layer: source.layer.word().to_owned(),
            digest: source.digest.to_string(),
        };
        let text = |path: &std::path::Path| path.display().to_string();
        // The same from the same files is the same, from whatever directory they were found.
        let is_local = loaded.sources.iter().any(|source| source.layer >= Layer::Directory);
        let directory = if is_local { text(&search.directory) } else { "/".to_owned() };
        Self {
            schema: SCHEMA.to_owned(),
            environment: resolved.id.clone(),
            values: table_to_json(&mask(&resolved.tree)),
            settings: table_to_json(&mask(&resolved.settings)),
            origins: resolved.origins(&loaded.sources).into_iter().collect(),
            sources: used.map(stored).collect(),
            search: StoredSearch {
                directory,
                extra: search.extra.iter().map(|path| text(path)).collect(),
                default_mode: search.default_mode.clone(),
                mode: search.mode.clone(),
            },
        }
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
            let digest = source.digest.parse().ok()?;
            Some(ConfigSource { name: source.name.clone(), digest })
        };
        let queues = self.values.get("queues").and_then(serde_json::Value::as_object);
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

    /// Its bytes.
    ///
    /// # Panics
    /// Never: all its keys are strings.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("its keys are strings")
    }
}
