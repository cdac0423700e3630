//! Mistakes in configuration files as compilers show them: the line, and a mark below the place.

use std::collections::BTreeMap;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::config::hidden::hidden;
use crate::config::problem::{Problem, Severity};
use crate::config::source::Source;
use crate::model::secret::MARKER;

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

/// Shows mistakes of some files.
pub struct Excerpts<'a> {
    sources: &'a [Source],
    /// What nobody is to read of each that was looked at.
    hidden: BTreeMap<usize, Vec<Range<usize>>>,
    renderer: Renderer,
}

impl<'a> Excerpts<'a> {
    /// Of these.
    pub fn new(sources: &'a [Source], color: bool) -> Self {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        Self { sources, hidden: BTreeMap::new(), renderer }
    }

    /// One mistake, with a line end.
    pub fn render(&mut self, problem: &Problem) -> String {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let message = text::line(&problem.message).into_owned();
        let title = level.primary_title(message).id(problem.code);
        let mut group = Group::with_title(title);
        if let Some(number) = problem.source
            && let Some(source) = self.sources.get(number)
        {
            let name = text::line(&source.name).into_owned();
            if source.text.is_empty() {
                group = group.element(Origin::path(name));
            } else {
                let (line, column) = source.line_and_column(problem.span.start);
                let ranges = self.hidden.entry(number).or_insert_with(|| hidden(&source.text));
                let excerpt = excerpt(&source.text, &problem.span, ranges);
                let shown = excerpt.text[..excerpt.mark.start].chars().count() + 1;
                let mark = AnnotationKind::Primary.span(excerpt.mark);
                let snippet = Snippet::source(excerpt.text).line_start(line).annotation(mark);
                // A snippet says where it begins; where something is left out that is another
                // place.
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
        let mut out = self.renderer.render(&[group]);
        out.push('\n');
        out
    }
}

/// The first line of a place, without what is secret in it and without what is far away.
fn excerpt(source: &str, span: &Range<usize>, hidden: &[Range<usize>]) -> Excerpt {
    let start = floor(source, span.start);
    let line_start = source[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = source[start..].find('\n').map_or(source.len(), |length| start + length);
    let line = source[line_start..line_end].trim_end_matches('\r');
    let start = (start - line_start).min(line.len());
    let end = floor(source, span.end).saturating_sub(line_start).clamp(start, line.len());
    // Only what is near is looked at: a line may be as long as a file.
    let from = line[..start].char_indices().rev().nth(BEFORE_CHARS - 1).map_or(0, |(at, _)| at);
    let to = line[start..].char_indices().nth(AFTER_CHARS).map_or(line.len(), |(at, _)| start + at);
    let hidden = within(hidden, &(line_start + from..line_start + to));
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
        match hidden.iter().find(|range| range.contains(&(line_start + at))) {
            Some(range) if line_start + at == range.start => out.text.push_str(MARKER),
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

/// The lines of a file, each as it may be shown.
pub fn without_secrets(source: &str) -> Vec<String> {
    let all = hidden(source);
    let mut start = 0;
    let mut lines = Vec::new();
    for line in source.split_inclusive('\n') {
        let shown = line.strip_suffix('\n').unwrap_or(line);
        let hidden = within(&all, &(start..start + shown.len()));
        let mut out = String::new();
        for (at, c) in shown.char_indices().map(|(at, c)| (start + at, c)) {
            match hidden.iter().find(|range| range.contains(&at)) {
                Some(range) if at == range.start => out.push_str(MARKER),
                Some(_) => {}
                None => out.push(c),
            }
        }
        lines.push(text::lines(&out).into_owned());
        start += line.len();
    }
    lines
}

/// What lies within a window, with what touches or overlaps as one.
fn within(ranges: &[Range<usize>], window: &Range<usize>) -> Vec<Range<usize>> {
    let mut out: Vec<Range<usize>> = Vec::new();
    // In the order of their beginnings.
    for range in ranges.iter().take_while(|range| range.start < window.end) {
        let range = range.start.max(window.start)..range.end.min(window.end);
        match out.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// The beginning of the character that a byte belongs to.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(source: &str, span: Range<usize>) -> Excerpt {
        excerpt(source, &span, &hidden(source))
    }

    fn shown(source: &str, marked: &str) -> (String, String) {
        let start = source.find(marked).expect("it is there");
        let excerpt = at(source, start..start + marked.len());
        let mark = excerpt.text[excerpt.mark.clone()].to_owned();
        (excerpt.text, mark)
    }

    #[test]
    fn a_line_is_shown_with_its_place() {
        let source = "a = 1\r\nprot = 80 # ö\r\nb = 2\r\n";
        assert_eq!(shown(source, "prot"), ("prot = 80 # ö".to_owned(), "prot".to_owned()));
        assert_eq!(shown(source, "80"), ("prot = 80 # ö".to_owned(), "80".to_owned()));
        assert_eq!(shown("a = [\n1,\n2]", "[\n1"), ("a = [".to_owned(), "[".to_owned()));
        let end = at("a = ", 4..4);
        assert_eq!((end.text.as_str(), end.mark), ("a = ", 4..4));
        let beyond = at("é", 1..9);
        assert_eq!((beyond.text.as_str(), beyond.mark), ("é", 0..2));
        assert_eq!(at("", 0..0), Excerpt { text: String::new(), mark: 0..0 });
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
        for (source, marked) in [
            ("command=[\"mysql\",\"--password\",\"hunter2\",1]", "1]"),
            ("[jobs.x.environment.NOTE]\nsecret = true\nvalue = [\"hunter2\"]", "[\"hunter2\"]"),
            ("password = \"\"\"a\nhunter3\"\"\" zz", "zz"),
        ] {
            let (text, _) = shown(source, marked);
            assert!(!text.contains("hunter"), "{text}");
            assert!(text.contains(MARKER), "{text}");
        }
        let lines = without_secrets("a = 1\npassword = '''x\ny''' # z\n\nb = 2");
        assert_eq!(lines, ["a = 1", "password = [secret]", "[secret] # z", "", "b = 2"]);
        let long = format!("password = \"{}", "hunter2 ".repeat(100));
        let excerpt = at(&long, 400..401);
        assert!(!excerpt.text.contains("hunter2"), "{}", excerpt.text);
        assert!(shown("ssh_key = \"~/.ssh/id\" bad", "bad").0.contains("~/.ssh/id"));
    }
}
