//! What one check says.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing has to be done.
    Info,
    /// jr works, with less than it could have, or something waits for a hand.
    Warning,
    /// jr cannot work here, or what it keeps is in danger.
    Error,
}

/// One finding of one check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The check's name, the same for ever.
    pub check: Cow<'static, str>,
    /// What it is about.
    pub group: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub message: String,
    /// What to type.
    pub fix: Option<String>,
    /// The figures behind it.
    pub evidence: BTreeMap<&'static str, Value>,
}

impl Finding {
    /// A finding; its group is that of the check.
    pub fn new(
        check: impl Into<Cow<'static, str>>,
        severity: Severity,
        message: impl Into<String>,
    ) -> Self {
        let (check, message) = (check.into(), message.into());
        Self { check, group: "", severity, message, fix: None, evidence: BTreeMap::new() }
    }

    /// All is well.
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Severity::Ok, message)
    }

    /// Worth knowing.
    pub fn info(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Severity::Info, message)
    }

    /// Less than could be.
    pub fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Severity::Warning, message)
    }

    /// Broken.
    pub fn error(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Severity::Error, message)
    }

    /// What to type.
    #[must_use]
    pub fn fix(mut self, command: impl Into<String>) -> Self {
        self.fix = Some(command.into());
        self
    }

    /// The same, where there may be nothing to type.
    #[must_use]
    pub fn fix_if(mut self, command: Option<String>) -> Self {
        self.fix = command;
        self
    }

    /// A figure.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.evidence.insert(name, value.into());
        self
    }

    /// Whether it is more than news.
    pub fn is_problem(&self) -> bool {
        self.severity >= Severity::Warning
    }
}

/// A word as a POSIX shell reads it back.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Several words.
pub fn quoted_all(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// Puts something aside that lies where something else belongs.
pub fn move_away(path: &str) -> String {
    format!("mv {} {}", quoted(path), quoted(&format!("{path}.aside")))
}

/// Makes a path one's own again.
pub fn take_over(path: &str) -> String {
    format!("sudo chown -R \"$(id -u)\" {0} && chmod -R u+rwX,go= {0}", quoted(path))
}

/// Bytes as people say them.
pub fn bytes(count: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.into_iter().find(|(_, bits)| count >> bits >= 10);
    unit.map_or_else(
        || format!("{count} bytes"),
        |(name, bits)| format!("{} {name}", count >> bits),
    )
}

/// A time as people say it: the two largest units that count.
pub fn duration(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// `1 run`, `2 runs`.
pub fn count(number: usize, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {one}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_one_word_of_a_shell() {
        assert_eq!(quoted("/a/b-c.1"), "/a/b-c.1");
        assert_eq!(quoted("/a b/$(x)"), "'/a b/$(x)'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("~"), "'~'");
    }

    #[test]
    fn figures_have_units() {
        assert_eq!((bytes(9), bytes(10 << 10), bytes(3 << 30)), {
            ("9 bytes".to_owned(), "10 KiB".to_owned(), "3072 MiB".to_owned())
        });
        let texts = [5, 61_000, 7_200_000, 180_000_000].map(duration);
        assert_eq!(texts, ["5 ms", "1 min 1 s", "2 h 0 min", "2 days 2 h"]);
        assert_eq!((count(1, "run"), count(0, "run")), ("1 run".to_owned(), "0 runs".to_owned()));
    }

    #[test]
    fn severities_are_ordered_by_how_bad_they_are() {
        assert!(Severity::Ok < Severity::Info && Severity::Warning < Severity::Error);
        assert!(!Finding::info("x", "").is_problem() && Finding::warning("x", "").is_problem());
    }
}
