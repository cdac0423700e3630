//! `jr __complete`: what the scripts of `jr completions` ask at every TAB.
//!
//! ```text
//! jr __complete bash LINE WORD        the line up to the cursor; what readline would replace
//! jr __complete zsh|fish WORD WORDS…  the word at the cursor; those before it, behind `jr`
//! ```
//! The first line of the answer says what it is: `words` (a candidate a line: value, TAB, what it
//! is), `files`, `dirs`, or `command N`: from N on it is another command's. docs/decisions/0008
//! says why this is ours. It must be cheap, so only one command's part of the tree is built, and
//! silent: whatever goes wrong, nothing is offered.

pub mod cursor;
mod values;
pub mod words;

use std::ffi::OsString;

use clap::{Arg, Command};

use super::command::{COMMANDS, Entry};
use super::context::Globals;
use super::exit;
use super::ui::{Color, Ui};
use super::{find, first_word, root, tree};
use cursor::{Cursor, Spot};
use words::Line;

/// The hidden word that the scripts say.
pub const WORD: &str = "__complete";

/// The command that takes declared jobs.
const RUN: &str = "run";

/// A word that may stand at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    value: String,
    about: String,
}

/// What a shell is told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Words(Vec<Candidate>),
    Files,
    Directories,
    /// From this word on, counted from `jr`.
    Command(usize),
}

/// Whose line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Answers one TAB; `words` are those behind [`WORD`].
pub fn main(words: &[OsString]) -> u8 {
    let words: Vec<String> = words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let mut ui = Ui::new(false, true, false, Color::Never);
    if let Some(text) = answer(&words) {
        ui.data(&text);
    }
    ui.flush().ok();
    exit::OK
}

fn answer(words: &[String]) -> Option<String> {
    let (shell, rest) = words.split_first()?;
    match (shell.as_str(), rest) {
        ("bash", [line, replaced]) => Some(for_bash(line, replaced)),
        ("zsh", [current, words @ ..]) => Some(plain(&offer(Shell::Zsh, words, current))),
        ("fish", [current, words @ ..]) => {
            let current = words::unquote(current).0;
            Some(plain(&offer(Shell::Fish, words, &current)))
        }
        _ => None,
    }
}

/// bash inserts what it is told as it is, in place of the end of the word from its last quote or
/// `:` or `=` on: so the answer is that end, quoted.
fn for_bash(line: &str, replaced: &str) -> String {
    let line = Line::read(line);
    let current = words::unquote(&line.current).0;
    match offer(Shell::Bash, line.words.get(1..).unwrap_or_default(), &current) {
        Answer::Words(candidates) => {
            let kept = line.current.strip_suffix(replaced).unwrap_or_default();
            let (kept, quote) = words::unquote(kept);
            let mut out = "words\n".to_owned();
            for candidate in candidates {
                let fits = candidate.value.starts_with(&current);
                if let Some(rest) = candidate.value.strip_prefix(&kept).filter(|_| fits) {
                    let mut rest = words::quote(rest, quote);
                    // readline closes the quote, unless it stands at the end already: as the
                    // last character of the value, or so it takes it.
                    if let Some(close) = quote.sign().filter(|close| rest.ends_with(*close)) {
                        rest.push(close);
                    }
                    out.push_str(&rest);
                    out.push('\n');
                }
            }
            out
        }
        // As a place in the line: bash counts words in its own way.
        Answer::Command(word) => {
            let start = line.starts.get(word).copied().unwrap_or_default();
            format!("command {start}\n")
        }
        other => plain(&other),
    }
}

fn plain(answer: &Answer) -> String {
    match answer {
        Answer::Words(candidates) => {
            let mut out = "words\n".to_owned();
            for Candidate { value, about } in candidates {
                out.push_str(value);
                if !about.is_empty() {
                    out.push('\t');
                    out.push_str(&super::text::line(about));
                }
                out.push('\n');
            }
            out
        }
        Answer::Files => "files\n".to_owned(),
        Answer::Directories => "dirs\n".to_owned(),
        Answer::Command(word) => format!("command {word}\n"),
    }
}

/// What fits behind `words`, where `current` has begun.
fn offer(shell: Shell, words: &[String], current: &str) -> Answer {
    let line: Vec<OsString> =
        std::iter::once("jr").chain(words.iter().map(String::as_str)).map(Into::into).collect();
    let first = first_word(&line);
    let entry = first.and_then(find);
    // Without a command's name there is nothing to build but what stands before it.
    let mut tree = match entry {
        Some(_) => tree(entry),
        None if words.iter().any(|word| word == "help") => tree(None),
        None => root(),
    };
    tree.build();
    let cursor = Cursor::find(&tree, words, current);
    let mut answer = at(&cursor, entry, current, shell);
    // A declared job may stand where a program may, unless `--` says otherwise.
    let may_be_job = entry.is_some_and(|entry| entry.name == RUN)
        && answer == Answer::Command(words.len() + 1)
        && words.last().is_none_or(|last| last != "--");
    if may_be_job {
        let jobs = values::jobs(&globals(&cursor), current);
        answer = if jobs.is_empty() { answer } else { Answer::Words(jobs) };
    }
    if let Answer::Words(candidates) = &mut answer {
        candidates.retain(|candidate| words::is_showable(&candidate.value));
    }
    answer
}

fn at(cursor: &Cursor<'_>, entry: Option<&Entry>, current: &str, shell: Shell) -> Answer {
    match &cursor.spot {
        Spot::Unknown => Answer::Words(Vec::new()),
        Spot::Foreign(word) => Answer::Command(word + 1),
        Spot::Value { arg, prefix } => {
            let begun = current.strip_prefix(prefix.as_str()).unwrap_or_default();
            match value_of(arg, cursor, entry, begun) {
                Answer::Words(mut candidates) => {
                    for candidate in &mut candidates {
                        candidate.value.insert_str(0, prefix);
                    }
                    Answer::Words(candidates)
                }
                other => other,
            }
        }
        Spot::Word { command, .. } if current.starts_with('-') => {
            Answer::Words(options(command, cursor, current))
        }
        Spot::Word { command, arg } => {
            let mut found = subcommands(command, entry, shell);
            if let Some(arg) = arg {
                match value_of(arg, cursor, entry, current) {
                    Answer::Words(values) => found.extend(values),
                    other => return other,
                }
            }
            // Nothing else can stand here.
            if found.is_empty() && current.is_empty() {
                found = options(command, cursor, current);
            }
            Answer::Words(found)
        }
    }
}

fn subcommands(command: &Command, entry: Option<&Entry>, shell: Shell) -> Vec<Candidate> {
    if entry.is_none() && command.get_name() == "jr" {
        // Only who shows what they are about pays for building all of them.
        let about = |entry: &Entry| match shell {
            Shell::Bash => String::new(),
            Shell::Zsh | Shell::Fish => about(&(entry.build)()),
        };
        let names = COMMANDS.iter().map(|entry| candidate(entry.name, about(entry)));
        return names.chain([candidate("help", "Explain a command".to_owned())]).collect();
    }
    if command.get_name() == "jr" {
        return Vec::new();
    }
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.map(|command| candidate(command.get_name(), about(command))).collect()
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

fn candidate(value: &str, about: String) -> Candidate {
    Candidate { value: value.to_owned(), about }
}

/// Options that may still be given.
fn options(command: &Command, cursor: &Cursor<'_>, current: &str) -> Vec<Candidate> {
    let options = command.get_arguments().filter(|arg| !arg.is_positional() && !arg.is_hide_set());
    let mut out = Vec::new();
    for arg in options.filter(|arg| cursor::takes_several(arg) || !cursor.has(arg.get_id())) {
        let about = first_line(arg);
        if let Some(long) = arg.get_long() {
            out.push(candidate(&format!("--{long}"), about.clone()));
        }
        if let Some(short) = arg.get_short().filter(|_| current == "-") {
            out.push(candidate(&format!("-{short}"), about));
        }
    }
    out
}

fn first_line(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    help.lines().next().unwrap_or_default().to_owned()
}

fn globals(cursor: &Cursor<'_>) -> Globals {
    Globals::of_line(cursor.value("environment"), cursor.value("directory"))
}

fn value_of(arg: &Arg, cursor: &Cursor<'_>, entry: Option<&Entry>, begun: &str) -> Answer {
    let globals = globals(cursor);
    let living = entry.is_some_and(|entry| entry.living);
    values::of(arg, cursor, living, begun, &globals)
}
