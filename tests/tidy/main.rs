//! The repository's own rules, as an ordinary test. Each rule is proved on bad samples beside it.

mod layers;
mod source;
mod text;

use std::fs;
use std::path::Path;

use source::{File, Finding};

/// A rule sees the whole repository and names what it dislikes.
type Rule = fn(&[File]) -> Vec<Finding>;

const RULES: &[(&str, Rule)] = &[
    ("layers", layers::layers),
    ("crates", layers::crates),
    ("purity", layers::purity),
    ("printing", layers::printing),
    ("unsafe code", layers::unsafe_code),
    ("headers", text::headers),
    ("file length", text::file_length),
    ("line length", text::line_length),
    ("whitespace", text::whitespace),
    ("notes", text::notes),
    ("unfinished", text::unfinished),
    ("names", text::names),
    ("links", text::links),
];

/// Directories that hold nothing written by hand. A dot's directory is skipped too, but `.ci`.
const SKIPPED: &[&str] = &["target", "golden", "snapshots", "proptest-regressions"];

#[test]
fn the_repository_is_tidy() {
    let files = repository();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the walk found no source");
    let mut complaints = Vec::new();
    for (name, rule) in RULES {
        for Finding { path, line, what } in rule(&files) {
            complaints.push(format!("{path}:{line}: {what} ({name})"));
        }
    }
    complaints.sort();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn files_due_to_be_split_are_told() {
    for file in repository().iter().filter(|file| file.path.starts_with("src/")) {
        let lines = text::lines_without_tests(file);
        if lines > text::FILE_LINES_SOFT {
            eprintln!("{}: {lines} lines without tests; due to be split", file.path);
        }
    }
}

/// Every text file of the working tree.
fn repository() -> Vec<File> {
    let mut files = Vec::new();
    walk(Path::new(env!("CARGO_MANIFEST_DIR")), "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn walk(directory: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in fs::read_dir(directory).expect("the repository can be read") {
        let entry = entry.expect("the repository can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("the repository can be read");
        let hidden = name.starts_with('.') && name != ".ci";
        if kind.is_dir() {
            if !hidden && !name.starts_with("target-") && !SKIPPED.contains(&name.as_str()) {
                walk(&entry.path(), &format!("{path}/"), files);
            }
        } else if let (true, Ok(text)) = (kind.is_file(), fs::read_to_string(entry.path())) {
            files.push(File { path, text });
        }
    }
}
