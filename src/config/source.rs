//! Where configuration comes from: the files in use, from the lowest to the highest priority.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::Digest;

/// The place of a source in the order of priority; later ones win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// What jr brings along.
    Packaged,
    /// `/etc/jr/`.
    System,
    /// `$XDG_CONFIG_DIRS/jr/`, usually `/etc/xdg/jr/`.
    SystemXdg,
    /// `$XDG_CONFIG_HOME/jr/`, usually `~/.config/jr/`.
    User,
    /// `.jr/config/` and the directory itself.
    Directory,
    /// `jr.toml` (or `.metalab.toml`), found by walking up.
    Project,
    /// `jr.local.toml` (or `.metalab.local.toml`) beside it.
    ProjectLocal,
    /// `--config FILE`.
    Extra,
    /// An environment variable.
    Variable,
    /// An option.
    Flag,
}

impl Layer {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Packaged => "packaged",
            Self::System => "system",
            Self::SystemXdg => "system_xdg",
            Self::User => "user",
            Self::Directory => "directory",
            Self::Project => "project",
            Self::ProjectLocal => "project_local",
            Self::Extra => "extra",
            Self::Variable => "variable",
            Self::Flag => "flag",
        }
    }
}

/// A file, or what stands for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// How important it is.
    pub layer: Layer,
    /// Its path; `None` for what is no file.
    pub path: Option<PathBuf>,
    /// As people are told: the path, `packaged`, a variable or an option.
    pub name: String,
    /// Its text, without a byte order mark.
    pub text: Arc<str>,
    /// blake3 of its bytes.
    pub digest: Digest,
    /// Nothing in it is jr's: another tool's file whose name fits the pattern.
    pub is_foreign: bool,
}

impl Source {
    /// The line and column of a byte, both from 1; columns count characters.
    pub fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.split(|byte| *byte == b'\n').count();
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        (line, column)
    }
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Index of its source.
    pub source: usize,
    /// Bytes of its key, or of itself where it has none.
    pub key: Range<usize>,
    /// Bytes of the value.
    pub value: Range<usize>,
    /// It is a table that was laid over something else: of tables below that nothing shows through.
    pub replaces: bool,
    /// Of keys that exclude each other it is one.
    pub alternative: Option<Alternative>,
}

/// A key of a table in which keys exclude each other, such as `http` and `tcp` of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// Which of them it belongs to: keys of one number go together.
    pub number: usize,
    /// It was laid over another one: of alternatives below that none shows through.
    pub replaces: bool,
}

impl Origin {
    /// There.
    pub fn new(source: usize, key: Range<usize>, value: Range<usize>) -> Self {
        Self { source, key, value, replaces: false, alternative: None }
    }
}

/// `file:line`, or the name of what is no file.
pub fn place_of(sources: &[Source], origin: &Origin) -> String {
    match sources.get(origin.source) {
        Some(source) if source.path.is_some() => {
            format!("{}:{}", source.name, source.line_and_column(origin.key.start).0)
        }
        Some(source) => source.name.clone(),
        None => "unknown".to_owned(),
    }
}
