//! How files look, and that what they point to exists.

use std::collections::BTreeSet;

use crate::source::{File, Finding, tokens};

/// Longest line of Rust, in characters; rustfmt leaves literals and comments alone.
const LINE_CHARS: usize = 100;
/// Most lines of a file under `src` without its tests. Above `FILE_LINES_SOFT` it is told.
const FILE_LINES_HARD: usize = 600;
/// A file above this is due to be split.
pub(crate) const FILE_LINES_SOFT: usize = 500;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "stuff", "types"];

/// Notes to oneself do not go into the repository. Spelt so that this file holds none.
const NOTES: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Kinds of files that people write.
const WRITTEN: &[&str] = &["rs", "md", "toml", "sh", ""];

/// Every file under `src` begins by saying what it is.
pub(crate) fn headers(files: &[File]) -> Vec<Finding> {
    let headless = |file: &&File| {
        file.is_rust() && file.path.starts_with("src/") && !file.text.starts_with("//! ")
    };
    let complain = |file: &File| file.finding(1, "begin with `//!`: what is this file?");
    files.iter().filter(headless).map(complain).collect()
}

/// Lines without what is under `#[cfg(test)]`.
pub(crate) fn lines_without_tests(file: &File) -> usize {
    let (code, production) = (file.code(), file.production());
    let in_test = |(all, kept): &(&str, &str)| all.trim() != kept.trim();
    code.lines().count() - code.lines().zip(production.lines()).filter(in_test).count()
}

/// A file is one concept.
pub(crate) fn file_length(files: &[File]) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with("src/")) {
        let lines = lines_without_tests(file);
        if lines > FILE_LINES_HARD {
            out.push(file.finding(
                FILE_LINES_HARD,
                format!("{lines} lines without tests; the limit is {FILE_LINES_HARD}"),
            ));
        }
    }
    out
}

/// Lines fit a screen. A line with an address in it may be longer.
pub(crate) fn line_length(files: &[File]) -> Vec<Finding> {
    each_line(files, File::is_rust, |line| {
        let long = line.chars().count() > LINE_CHARS && !line.contains("://");
        long.then(|| format!("longer than {LINE_CHARS} characters"))
    })
}

/// No blanks at the end of a line, and a line feed at the end of a file.
pub(crate) fn whitespace(files: &[File]) -> Vec<Finding> {
    let mut out = each_line(files, is_written, |line| {
        line.ends_with([' ', '\t', '\r']).then(|| "blanks at the end of the line".to_owned())
    });
    for file in files.iter().filter(|file| is_written(file)) {
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            out.push(file.finding(file.text.lines().count(), "no line feed at the end"));
        }
    }
    out
}

/// No notes to oneself.
pub(crate) fn notes(files: &[File]) -> Vec<Finding> {
    each_line(files, is_written, |line| {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        let note = words.find(|word| NOTES.contains(word))?;
        Some(format!("{note}: do it, or write an issue"))
    })
}

/// Nothing unfinished, and no test switched off without its reason.
pub(crate) fn unfinished(files: &[File]) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let tokens = tokens(&file.code());
        for (at, token) in tokens.iter().enumerate() {
            let next = tokens.get(at + 1).map_or("", |token| token.text.as_str());
            let before = at.checked_sub(1).map_or("", |n| tokens[n].text.as_str());
            match token.text.as_str() {
                "todo" | "unimplemented" if next == "!" => {
                    out.push(file.finding(token.line, format!("{}!", token.text)));
                }
                "ignore" if matches!(before, "[" | ",") && matches!(next, "]" | ")") => {
                    out.push(file.finding(token.line, "#[ignore = \"the reason\"]"));
                }
                _ => {}
            }
        }
    }
    out
}

/// A module's name says what is inside.
pub(crate) fn names(files: &[File]) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let path = file.path.strip_suffix(".rs").unwrap_or(&file.path);
        if let Some(name) = path.split('/').find(|name| EMPTY_NAMES.contains(name)) {
            out.push(file.finding(1, format!("`{name}` says nothing: name what is inside")));
        }
    }
    out
}

/// Links between pages, and pages named anywhere, exist; so do the headings that links aim at.
pub(crate) fn links(files: &[File]) -> Vec<Finding> {
    let paths: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let mut out = Vec::new();
    for file in files.iter().filter(|file| is_written(file)) {
        for (line, number) in outside_fences(file) {
            // In Rust only comments point to pages; literals may hold samples.
            if file.is_rust() && !line.trim_start().starts_with("//") {
                continue;
            }
            for page in named_pages(line).filter(|page| !paths.contains(page)) {
                out.push(file.finding(number, format!("there is no {page}")));
            }
            if file.extension() != "md" {
                continue;
            }
            for link in link_targets(line) {
                if let Err(what) = follow(files, &file.path, link) {
                    out.push(file.finding(number, what));
                }
            }
        }
    }
    out
}

/// Pages of `docs/` that a line names by their whole path.
fn named_pages(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric() && !"/.-_".contains(c));
    words.map(|word| word.trim_end_matches('.')).filter(|word| {
        let is_page = std::path::Path::new(word).extension().is_some_and(|end| end == "md");
        word.starts_with("docs/") && is_page
    })
}

/// Targets of `[text](target)` within the repository.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

fn follow(files: &[File], from: &str, link: &str) -> Result<(), String> {
    let (page, heading) = link.split_once('#').map_or((link, None), |(p, h)| (p, Some(h)));
    let target = if page.is_empty() { from.to_owned() } else { beside(from, page) };
    let is_directory = || files.iter().any(|file| file.path.starts_with(&format!("{target}/")));
    let Some(file) = files.iter().find(|file| file.path == target) else {
        return if is_directory() { Ok(()) } else { Err(format!("there is no {target}")) };
    };
    match heading {
        Some(heading) if !outside_fences(file).any(|(line, _)| slug(line) == heading) => {
            Err(format!("{target} has no heading #{heading}"))
        }
        _ => Ok(()),
    }
}

/// `page` as seen from the file `from`.
fn beside(from: &str, page: &str) -> String {
    let mut at: Vec<&str> = from.split('/').collect();
    at.pop();
    for word in page.trim_end_matches('/').split('/') {
        match word {
            "." => {}
            ".." => drop(at.pop()),
            _ => at.push(word),
        }
    }
    at.join("/")
}

/// The name by which a link reaches a heading; empty for other lines.
fn slug(line: &str) -> String {
    let heading = line.trim_start_matches('#');
    if heading.len() == line.len() || !heading.starts_with(' ') {
        return String::new();
    }
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Lines with their numbers, without fenced blocks of a page.
fn outside_fences(file: &File) -> impl Iterator<Item = (&str, usize)> {
    let is_page = file.extension() == "md";
    let mut fenced = false;
    file.text.lines().zip(1..).filter(move |(line, _)| {
        let is_fence = is_page && line.trim_start().starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence
    })
}

fn is_written(file: &File) -> bool {
    WRITTEN.contains(&file.extension()) && !file.path.starts_with("LICENSE")
}

fn each_line(
    files: &[File],
    of: impl Fn(&File) -> bool,
    rule: impl Fn(&str) -> Option<String>,
) -> Vec<Finding> {
    let mut out = Vec::new();
    for file in files.iter().filter(|file| of(file)) {
        // Not `lines()`: it would swallow a carriage return.
        for (line, number) in file.text.split('\n').zip(1..) {
            out.extend(rule(line).map(|what| file.finding(number, what)));
        }
    }
    out
}

#[cfg(test)]
mod bad_samples {
    use super::*;

    fn bites(rule: fn(&[File]) -> Vec<Finding>, path: &str, text: &str) -> bool {
        !rule(&[File::new("docs/there.md", "# A heading, here\n"), File::new(path, text)])
            .is_empty()
    }

    #[test]
    fn headers_bite() {
        assert!(bites(headers, "src/log/mod.rs", "use std::fmt;\n"));
        assert!(!bites(headers, "src/log/mod.rs", "//! The log.\n"));
        assert!(!bites(headers, "tests/log.rs", "use std::fmt;\n"));
    }

    #[test]
    fn long_files_bite_and_tests_do_not_count() {
        let code = "fn f() {}\n".repeat(FILE_LINES_HARD);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "fn f() {}\n".repeat(300));
        assert!(!bites(file_length, "src/a.rs", &code));
        assert!(bites(file_length, "src/a.rs", &format!("{code}fn g() {{}}\n")));
        assert!(!bites(file_length, "src/a.rs", &format!("{code}{tests}")));
        assert_eq!(
            lines_without_tests(&File::new("src/a.rs", &format!("a\n\nb // c\n{tests}"))),
            3
        );
    }

    #[test]
    fn long_lines_bite() {
        assert!(bites(line_length, "src/a.rs", &format!("// {}\n", "x".repeat(98))));
        assert!(!bites(line_length, "src/a.rs", &format!("// {}\n", "→".repeat(97))));
        assert!(!bites(line_length, "src/a.rs", &format!("// http://{}\n", "x".repeat(98))));
        assert!(!bites(line_length, "docs/a.md", &"x".repeat(200)));
    }

    #[test]
    fn whitespace_bites() {
        assert!(bites(whitespace, "src/a.rs", "fn f() {}\x20\n"));
        assert!(bites(whitespace, "docs/a.md", "a\t\n"));
        assert!(bites(whitespace, ".ci/run", "a\r\n"));
        assert!(bites(whitespace, "README.md", "a"));
        assert!(!bites(whitespace, "README.md", "a\n\nb\n"));
        assert!(!bites(whitespace, "tests/golden/x.redb", "a \n"));
    }

    #[test]
    fn notes_bite() {
        for note in NOTES {
            assert!(bites(notes, "src/a.rs", &format!("// {note}: later\n")));
            assert!(bites(notes, "docs/a.md", &format!("({note})\n")));
        }
        assert!(!bites(notes, "src/a.rs", "// mktemp jr.XXXXXX, MASTODON\n"));
    }

    #[test]
    fn unfinished_code_bites() {
        assert!(bites(unfinished, "src/a.rs", "fn f() { todo!() }\n"));
        assert!(bites(unfinished, "tests/a.rs", "fn f() { unimplemented!(\"x\") }\n"));
        assert!(bites(unfinished, "tests/a.rs", "#[test]\n#[ignore]\nfn f() {}\n"));
        assert!(bites(unfinished, "tests/a.rs", "#[cfg_attr(miri, ignore)]\nfn f() {}\n"));
        assert!(!bites(unfinished, "tests/a.rs", "#[ignore = \"needs a cluster\"]\nfn f() {}\n"));
        assert!(!bites(unfinished, "src/a.rs", "// todo!()\nfn todo() { ignore(ignore) }\n"));
    }

    #[test]
    fn empty_names_bite() {
        assert!(bites(names, "src/utils.rs", ""));
        assert!(bites(names, "src/log/common/mod.rs", ""));
        assert!(bites(names, "tests/helpers.rs", ""));
        assert!(!bites(names, "src/log/commonly.rs", ""));
    }

    #[test]
    fn dangling_links_bite() {
        assert!(bites(links, "README.md", "[x](docs/gone.md)\n"));
        assert!(bites(links, "docs/a.md", "[x](gone.md)\n"));
        assert!(bites(links, "docs/a.md", "[x](there.md#no-such)\n"));
        assert!(bites(links, "src/a.rs", "// docs/gone.md says why\n"));
        assert!(bites(links, "Cargo.toml", "# (docs/gone.md).\n"));
        assert!(!bites(
            links,
            "README.md",
            "[x](docs/there.md), [y](https://a.b/c.md), [z](docs/)\n"
        ));
        assert!(!bites(links, "docs/a.md", "# Own\n[x](there.md#a-heading-here) [o](#own)\n"));
        assert!(!bites(links, "docs/b/a.md", "[x](../there.md)\n```\n[y](gone.md)\n```\n"));
        assert!(!bites(links, "src/a.rs", "// docs/there.md.\n"));
    }
}
