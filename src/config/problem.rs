//! What is wrong with a configuration, and where.

use std::ops::Range;

use super::source::Source;
use crate::model::ByteString;
use crate::model::secret::mask_line;
use crate::model::secret::spans::may_hold;

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
        let (severity, message) = (Severity::Error, told(message.into()));
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
        self.suggestion = Some(told(suggestion.into()));
        self
    }

    /// What it is, behind its place, on one line.
    pub fn line(&self, sources: &[Source]) -> String {
        match self.place(sources) {
            Some(place) => format!("{place}: {}", self.message),
            None => self.message.clone(),
        }
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

/// As it may be printed and stored: a text may quote what is secret (law 9), alone between its
/// quotes or with what stands before them.
fn told(text: String) -> String {
    if !may_hold(text.as_bytes()) {
        return bounded(text);
    }
    let masked = |text: &str| mask_line(ByteString::from(text)).values.to_text();
    let quoted: Vec<String> = text.split('"').map(masked).collect();
    bounded(masked(&quoted.join("\"")))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_in_no_message() {
        for message in [
            "\"password=hunter2\" is not a duration",
            "\"--token=hunter2\" is not a duration",
            "\"mysql --password hunter2\" is not a duration",
            "\"postgres://u:hunter2@h:5432/db\" is not a port",
            "unknown key \"API_KEY=hunter2\" in the file",
        ] {
            for problem in [
                Problem::error("bad_value", message),
                Problem::warning("bad_value", message),
                Problem::error("bad_value", "x").suggest(message),
            ] {
                assert!(!format!("{problem:?}").contains("hunter2"), "{problem:?}");
            }
        }
        let token = format!("\"AKIA{}\" is not a port", "A".repeat(16));
        assert_eq!(Problem::error("x", token).message, "\"[secret]\" is not a port");
        let plain = "\"1 fortnight\" is not a duration: see jr -e dev config check";
        assert_eq!(Problem::error("x", plain).message, plain);
        let long = Problem::error("x", "é".repeat(MESSAGE_CHARS + 1)).message;
        assert_eq!(long.chars().count(), MESSAGE_CHARS + 1);
    }
}
