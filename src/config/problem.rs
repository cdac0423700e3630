//! What is wrong with a configuration, and where.

use std::ops::Range;

use super::source::Source;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot be used so.
    Error,
    /// It can, and may not do what was meant.
    Warning,
}

impl Severity {
    /// The word of `--json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// A word for scripts.
    pub code: &'static str,
    /// What and why.
    pub message: String,
    /// Index of the source, where it is in one.
    pub source: Option<usize>,
    /// Bytes of it; empty where the whole file is meant.
    pub span: Range<usize>,
    /// What to write instead.
    pub suggestion: Option<String>,
}

impl Problem {
    /// Something that cannot be used.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        let (severity, message) = (Severity::Error, bounded(message.into()));
        Self { severity, code, message, source: None, span: 0..0, suggestion: None }
    }

    /// Something that may not do what was meant.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// It stands there.
    #[must_use]
    pub fn at(mut self, source: usize, span: Range<usize>) -> Self {
        (self.source, self.span) = (Some(source), span);
        self
    }

    /// That would do.
    #[must_use]
    pub fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(bounded(suggestion.into()));
        self
    }

    /// `file:line:column`, as compilers print places; `None` where it has none.
    pub fn place(&self, sources: &[Source]) -> Option<String> {
        let source = sources.get(self.source?)?;
        if source.text.is_empty() {
            return Some(source.name.clone());
        }
        let (line, column) = source.line_and_column(self.span.start);
        Some(format!("{}:{line}:{column}", source.name))
    }
}

/// Characters of a message: what it quotes may be a file of its own.
const MESSAGE_CHARS: usize = 400;
/// Bytes of a word that may be a misspelt one.
const WORD_BYTES: usize = 64;

fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MESSAGE_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// The word that was probably meant.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    // Nobody meant a word so long, and comparing takes its time.
    if word.len() > WORD_BYTES {
        return None;
    }
    let word = word.to_lowercase();
    let near = |candidate: &&str| {
        let limit = (word.chars().count().max(candidate.chars().count()) / 3).max(1);
        strsim::damerau_levenshtein(&word, candidate) <= limit
    };
    let distance = |candidate: &&str| strsim::damerau_levenshtein(&word, candidate);
    known.into_iter().filter(near).min_by_key(distance).map(str::to_owned)
}

/// Whether anything of it cannot be used.
pub fn has_errors(problems: &[Problem]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}
