//! Mistakes in configuration files as compilers show them: the line, and a mark below the place.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::config::problem::{Problem, Severity};
use crate::config::source::Source;
use crate::model::secret::spans::of_output;
use crate::model::secret::{MARKER, is_secret_name};

use super::text;

/// Characters that are shown before the place, and from its beginning on.
const BEFORE_CHARS: usize = 60;
const AFTER_CHARS: usize = 80;
/// Where the line goes on.
const CUT: &str = "…";

/// A line as it may be shown, and the place in it.
#[derive(Debug, PartialEq, Eq)]
struct Excerpt {
    text: String,
    mark: Range<usize>,
}

/// One mistake, with a line end.
pub fn render(problem: &Problem, sources: &[Source], color: bool) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let message = text::line(&problem.message).into_owned();
    let title = level.primary_title(message).id(problem.code);
    let mut group = Group::with_title(title);
    if let Some(source) = problem.source.and_then(|source| sources.get(source)) {
        let name = text::line(&source.name).into_owned();
        if source.text.is_empty() {
            group = group.element(Origin::path(name));
        } else {
            let (line, column) = source.line_and_column(problem.span.start);
            let excerpt = excerpt(&source.text, &problem.span);
            let shown = excerpt.text[..excerpt.mark.start].chars().count() + 1;
            let mark = AnnotationKind::Primary.span(excerpt.mark);
            let snippet = Snippet::source(excerpt.text).line_start(line).annotation(mark);
            // A snippet says where it begins; where something is left out that is another place.
            group = if shown == column {
                group.element(snippet.path(name))
            } else {
                let origin = Origin::path(name).line(line).char_column(column);
                group.element(origin).element(snippet)
            };
        }
    }
    if let Some(suggestion) = &problem.suggestion {
        group = group.element(Level::HELP.message(text::line(suggestion).into_owned()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = renderer.render(&[group]);
    out.push('\n');
    out
}

/// The first line of a place, without what is secret in it and without what is far away.
fn excerpt(source: &str, span: &Range<usize>) -> Excerpt {
    let start = floor(source, span.start);
    let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = source[start..].find('\n').map_or(source.len(), |length| start + length);
    let line = source[line_start..line_end].trim_end_matches('\r');
    let start = (start - line_start).min(line.len());
    let end = floor(source, span.end).saturating_sub(line_start).clamp(start, line.len());
    // Only what is near is looked at: a line may be as long as a file.
    let from = line[..start].char_indices().rev().nth(BEFORE_CHARS - 1).map_or(0, |(at, _)| at);
    let to = line[start..].char_indices().nth(AFTER_CHARS).map_or(line.len(), |(at, _)| start + at);
    let hidden = hidden(line, &(from..to));
    let mut out = Excerpt { text: String::new(), mark: 0..0 };
    if from > 0 {
        out.text.push_str(CUT);
    }
    for (at, c) in line[from..to].char_indices().map(|(at, c)| (from + at, c)) {
        if at == start {
            out.mark.start = out.text.len();
        }
        if at == end {
            out.mark.end = out.text.len();
        }
        match hidden.iter().find(|range| range.contains(&at)) {
            Some(range) if at == range.start.max(from) => out.text.push_str(MARKER),
            Some(_) => {}
            None if c == '\t' => out.text.push(' '),
            None => out.text.push_str(&text::line(c.encode_utf8(&mut [0; 4]))),
        }
    }
    if start >= to {
        out.mark.start = out.text.len();
    }
    if end >= to {
        out.mark.end = out.text.len();
    }
    if to < line.len() {
        out.text.push_str(CUT);
    }
    out
}

/// A whole line of a file, as it may be shown.
pub fn without_secrets(line: &str) -> String {
    let mut out = String::new();
    let hidden = hidden(line, &(0..line.len()));
    for (at, c) in line.char_indices() {
        match hidden.iter().find(|range| range.contains(&at)) {
            Some(range) if at == range.start => out.push_str(MARKER),
            Some(_) => {}
            None => out.push(c),
        }
    }
    text::lines(&out).into_owned()
}

/// The beginning of the character that a byte belongs to.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// Bytes around a secret's beginning that are looked at for its name.
const NEAR_BYTES: usize = 4096;

/// What of a line nobody is to read: values whose name, or whose form, says so.
fn hidden(line: &str, window: &Range<usize>) -> Vec<Range<usize>> {
    let from = floor(line, window.start.saturating_sub(NEAR_BYTES));
    let near = &line[from..window.end];
    let mut ranges = of_output(near.as_bytes());
    ranges.extend(assigned(near));
    ranges.iter().map(|range| from + range.start..from + range.end).collect()
}

/// `password = "…"` and `TOKEN = { value = "…" }`, also where the quotes are missing.
fn assigned(line: &str) -> Vec<Range<usize>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let mut ranges = Vec::new();
    for (equals, _) in line.match_indices('=') {
        let key = line[..equals].trim_end().trim_end_matches(['"', '\'']);
        let name = &key[key.trim_end_matches(is_name).len()..];
        let is_value = name == "value" && (line.contains("secret") || !ranges.is_empty());
        // A path, as in `ssh_key`, is none; nor is the name of a variable.
        if name == "ssh_key" || !is_value && !is_secret_name(name.as_bytes()) {
            continue;
        }
        let rest = &line[equals + 1..];
        let start = equals + 1 + rest.len() - rest.trim_start().len();
        let value = &line[start..];
        let length = match value.chars().next() {
            Some('{') => match value.find("value") {
                Some(_) => value.find('}').unwrap_or(value.len()),
                None => continue,
            },
            Some(quote @ ('"' | '\'')) => {
                value[1..].find(quote).map_or(value.len(), |length| length + 2)
            }
            Some(_) | None => value.find([',', '}']).unwrap_or(value.len()),
        };
        ranges.push(start..start + length);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str, marked: &str) -> (String, String) {
        let start = source.find(marked).expect("it is there");
        let excerpt = excerpt(source, &(start..start + marked.len()));
        let mark = excerpt.text[excerpt.mark.clone()].to_owned();
        (excerpt.text, mark)
    }

    #[test]
    fn a_line_is_shown_with_its_place() {
        let source = "a = 1\r\nprot = 80 # ö\r\nb = 2\r\n";
        assert_eq!(shown(source, "prot"), ("prot = 80 # ö".to_owned(), "prot".to_owned()));
        assert_eq!(shown(source, "80"), ("prot = 80 # ö".to_owned(), "80".to_owned()));
        assert_eq!(shown("a = [\n1,\n2]", "[\n1"), ("a = [".to_owned(), "[".to_owned()));
        let end = excerpt("a = ", &(4..4));
        assert_eq!((end.text.as_str(), end.mark), ("a = ", 4..4));
        let beyond = excerpt("é", &(1..9));
        assert_eq!((beyond.text.as_str(), beyond.mark), ("é", 0..2));
        assert_eq!(excerpt("", &(0..0)), Excerpt { text: String::new(), mark: 0..0 });
    }

    #[test]
    fn a_line_as_long_as_a_file_is_cut() {
        let source = format!("{}é = 1 {}", "x".repeat(1 << 20), "y".repeat(1 << 20));
        let (text, mark) = shown(&source, "é = 1");
        assert_eq!(mark, "é = 1");
        assert!(text.chars().count() <= BEFORE_CHARS + AFTER_CHARS + 2, "{text}");
        assert!(text.starts_with(CUT) && text.ends_with(CUT), "{text}");
        let (text, mark) = shown(&source, &source[..]);
        assert!(text.len() < 200 && mark.len() < 200);
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let (text, mark) = shown("a = \"\u{1b}]0;x\u{7}\u{202e}\"\tb", "\u{1b}]0;x\u{7}");
        assert_eq!(mark, "\\x1b]0;x\\x07");
        assert!(!text.contains(char::is_control), "{text:?}");
    }

    #[test]
    fn secrets_are_not_shown() {
        for line in [
            "password = \"hunter2\"",
            "password = hunter2",
            "password = hunter2 \"hunter2",
            "env = { A = [], API_TOKEN = \"hunter2\", B = [] }",
            "API_TOKEN = { value = \"hunter2\", secret = treu }",
            "x = { value = \"hunter2\", secret = treu }",
            "url = \"postgres://me:hunter2@host/x\" bad",
            "\"db-password\"='hunter2' bad",
        ] {
            for marked in ["=", "hunter2"] {
                let (text, _) = shown(line, marked);
                assert!(!text.contains("hunter2"), "{line}: {text}");
                assert!(text.contains(MARKER), "{line}: {text}");
            }
        }
        let long = format!("password = \"{}", "hunter2 ".repeat(100));
        let excerpt = excerpt(&long, &(400..401));
        assert!(!excerpt.text.contains("hunter2"), "{}", excerpt.text);
        assert!(shown("ssh_key = \"~/.ssh/id\" bad", "bad").0.contains("~/.ssh/id"));
    }
}
