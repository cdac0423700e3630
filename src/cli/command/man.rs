//! `jr man`: manual pages, made from the tree that parses and helps.

use std::io;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use super::Runnable;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::{exit, tree};

/// Below the options.
const HELP: &str = "\
Examples:
  jr man run | man -l -
  jr man queue set
  jr man --dir ~/.local/share/man/man1

Exit codes:
  0; 2 no such command";

/// Section 1: commands.
const SECTION: &str = "1";
/// Where it stands what every command may end with.
const COMMAND_LINE: &str = include_str!("../../../docs/cli.md");
const EXIT_CODES: &str = "### Exit codes";

/// Print a manual page, or write all of them to a directory
///
/// Without a command it is the page of jr itself.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct ManArgs {
    /// Which command, and which of its subcommands [default: jr]
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write the pages of all commands to this directory
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

#[derive(serde::Serialize)]
struct PageDocument<'a> {
    schema: &'static str,
    name: &'a str,
    roff: &'a str,
}

#[derive(serde::Serialize)]
struct WrittenDocument {
    schema: &'static str,
    items: Vec<String>,
}

impl Runnable for ManArgs {
    const NAME: &'static str = "man";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let tree = built();
        if let Some(dir) = &self.dir {
            return write_all(context, &tree, dir);
        }
        let mut chain = vec![&tree];
        for word in &self.command {
            let found = chain.last().and_then(|command| command.find_subcommand(word));
            chain.push(found.ok_or_else(|| {
                let message = format!("there is no command jr {}", self.command.join(" "));
                CommandError::usage(message).hint("jr --help")
            })?);
        }
        let page = Page::new(&chain);
        let roff = page.roff().map_err(|error| CommandError::io(&page.file, &error))?;
        if context.ui.json {
            context.ui.json(&PageDocument { schema: "jr.man/1", name: &page.file, roff: &roff });
        } else {
            context.ui.data(&roff);
        }
        Ok(exit::OK)
    }
}

/// The whole tree, with names and usages of what is inside.
fn built() -> Command {
    let mut tree = tree(None).disable_help_subcommand(true);
    tree.build();
    tree
}

fn write_all(context: &mut Context, tree: &Command, dir: &Path) -> Result<u8, CommandError> {
    let fail = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| CommandError::io(path, &error)
    };
    std::fs::create_dir_all(dir).map_err(fail(dir))?;
    let mut items = Vec::new();
    for page in pages(&mut vec![tree]) {
        let path = dir.join(&page.file);
        let roff = page.roff().map_err(fail(&path))?;
        std::fs::write(&path, roff).map_err(fail(&path))?;
        items.push(path.display().to_string());
    }
    if context.ui.json {
        context.ui.json(&WrittenDocument { schema: "jr.man_dir/1", items });
    } else {
        context.ui.status(&format!("{} pages in {}", items.len(), dir.display()));
    }
    Ok(exit::OK)
}

/// Of the last of `chain` and of all that is below it.
fn pages(chain: &mut Vec<&Command>) -> Vec<Page> {
    let mut out = vec![Page::new(chain)];
    let below = chain.last().map(|command| command.get_subcommands()).into_iter().flatten();
    for command in below.filter(|command| !command.is_hide_set()) {
        chain.push(command);
        out.extend(pages(chain));
        chain.pop();
    }
    out
}

/// One page.
#[derive(Debug)]
struct Page {
    /// `jr-queue-set.1`.
    file: String,
    /// `jr queue set`.
    line: String,
    command: Command,
    sections: Sections,
}

/// What stands below the options of a help page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sections {
    examples: Vec<String>,
    exit_codes: Vec<String>,
    other: Vec<String>,
}

impl Sections {
    fn read(command: &Command) -> Self {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let mut found = Self::default();
        let (mut inside_examples, mut inside_codes) = (false, false);
        for line in text.lines() {
            let indented = line.strip_prefix("  ");
            match line {
                "Examples:" => (inside_examples, inside_codes) = (true, false),
                "Exit codes:" => (inside_examples, inside_codes) = (false, true),
                "" => {}
                _ => match indented {
                    Some(example) if inside_examples => found.examples.push(example.to_owned()),
                    Some(codes) if inside_codes => found.exit_codes.push(codes.to_owned()),
                    _ => found.other.push(line.to_owned()),
                },
            }
        }
        found
    }
}

/// The rows of the table in docs/cli.md: code and meaning.
fn every_exit_code() -> impl Iterator<Item = (&'static str, String)> {
    let below = COMMAND_LINE.split_once(EXIT_CODES).map_or("", |(_, below)| below);
    let table = below.lines().skip_while(|line| !line.starts_with('|'));
    let rows = table.take_while(|line| line.starts_with('|')).skip(2);
    rows.filter_map(|row| {
        let (code, meaning) = row.trim_matches('|').split_once('|')?;
        Some((code.trim(), meaning.trim().replace('`', "")))
    })
}

/// `[-n|--lines N]`, `-j|--jobs N` where it must be there, `SEL...` where there may be several.
fn usage(arg: &Arg) -> Vec<Inline> {
    let names = [
        arg.get_short().map(|short| format!("-{short}")),
        arg.get_long().map(|long| format!("--{long}")),
    ];
    let mut words = Vec::new();
    for name in names.into_iter().flatten() {
        if !words.is_empty() {
            words.push(roman("|"));
        }
        words.push(bold(name));
    }
    if arg.is_positional() || arg.get_action().takes_values() {
        if !words.is_empty() {
            words.push(roman(" "));
        }
        words.push(italic(value_name(arg)));
    }
    if !arg.is_required_set() {
        words.insert(0, roman("["));
        words.push(roman("]"));
    }
    if matches!(arg.get_action(), ArgAction::Append | ArgAction::Count) {
        words.push(roman("..."));
    }
    words
}

/// What stands for the value of an argument.
fn value_name(arg: &Arg) -> String {
    match arg.get_value_names() {
        Some(names) => names.join(" "),
        None => arg.get_id().as_str().to_uppercase(),
    }
}

impl Page {
    /// Of the last of `chain`; a subcommand without examples has those of the command above it
    /// that are about it.
    fn new(chain: &[&Command]) -> Self {
        let names: Vec<&str> = chain.iter().map(|command| command.get_name()).collect();
        let line = names.join(" ");
        let mut sections = Sections::default();
        for command in chain.iter().skip(usize::from(chain.len() > 1)) {
            let own = Sections::read(command);
            sections.other = own.other;
            if !own.examples.is_empty() {
                sections.examples = own.examples;
            }
            if !own.exit_codes.is_empty() {
                sections.exit_codes = own.exit_codes;
            }
        }
        if chain.len() > 2 {
            sections.examples.retain(|example| example.starts_with(&line));
        }
        let command = chain.last().map(|command| (*command).clone()).unwrap_or_default();
        Self { file: format!("{}.{SECTION}", names.join("-")), line, command, sections }
    }

    fn roff(&self) -> io::Result<String> {
        let source = concat!("jr ", env!("CARGO_PKG_VERSION"));
        let man = Man::new(self.command.clone());
        let mut preamble = Vec::new();
        Roff::new().to_writer(&mut preamble)?;
        let mut out = preamble.clone();
        // A page without a date needs the empty word in its place, which clap_mangen leaves out.
        let name = self.file.trim_end_matches(".1");
        out.extend(format!(".TH \"{name}\" \"{SECTION}\" \"\" \"{source}\" \"jr\"\n").bytes());
        let mut add = |render: &dyn Fn(&mut Vec<u8>) -> io::Result<()>| {
            let mut section = Vec::new();
            render(&mut section)?;
            // Once is enough.
            out.extend_from_slice(section.strip_prefix(preamble.as_slice()).unwrap_or(&section));
            Ok::<(), io::Error>(())
        };
        add(&|out| man.render_name_section(out))?;
        add(&|out| self.synopsis().to_writer(out))?;
        add(&|out| man.render_description_section(out))?;
        add(&|out| man.render_options_section(out))?;
        if self.command.has_subcommands() {
            add(&|out| man.render_subcommands_section(out))?;
        }
        add(&|out| self.below().to_writer(out))?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// The command with all that it takes, each option with its value: `clap_mangen` leaves
    /// those out.
    fn synopsis(&self) -> Roff {
        let mut line = vec![bold(&self.line)];
        let (positionals, options): (Vec<&Arg>, Vec<&Arg>) = self
            .command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set())
            .partition(|arg| arg.is_positional());
        for arg in options.into_iter().chain(positionals) {
            line.push(roman(" "));
            line.extend(usage(arg));
        }
        if self.command.has_subcommands() {
            line.extend([roman(" "), italic("COMMAND")]);
        }
        let mut roff = Roff::new();
        roff.control("SH", ["SYNOPSIS"]).text(line);
        roff
    }

    /// Examples, exit codes, and where to read on.
    fn below(&self) -> Roff {
        let mut roff = Roff::new();
        let Sections { examples, exit_codes, other } = &self.sections;
        if !examples.is_empty() {
            roff.control("SH", ["EXAMPLES"]).control("nf", []);
            for example in examples {
                roff.text([roman(example)]);
            }
            roff.control("fi", []);
        }
        if !other.is_empty() {
            roff.control("SH", ["NOTES"]);
            roff.text([roman(other.join(" "))]);
        }
        roff.control("SH", ["EXIT STATUS"]);
        if self.line == "jr" {
            for (code, meaning) in every_exit_code() {
                roff.control("TP", []).text([bold(code)]).text([roman(meaning)]);
            }
        } else {
            let own = exit_codes.join(" ");
            roff.text([roman(if own.is_empty() { "0".to_owned() } else { own })]);
            roff.control("PP", []);
            roff.text([roman("jr(1) has those of every command.")]);
            roff.control("SH", ["SEE ALSO"]).text([bold("jr"), roman("(1)")]);
        }
        roff
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command::COMMANDS;
    use crate::cli::{find, first_word};

    /// Every command, and jr itself.
    fn pages_with_help() -> Vec<Page> {
        let tree = built();
        let mut own = vec![Page::new(&[&tree])];
        own.extend(tree.get_subcommands().map(|command| Page::new(&[&tree, command])));
        own
    }

    #[test]
    fn every_command_has_examples_that_its_own_parser_takes() {
        for Page { line, sections, .. } in pages_with_help() {
            let examples = &sections.examples;
            assert!((2..=5).contains(&examples.len()), "{line}: {examples:?}");
            assert!(examples.iter().any(|example| example.starts_with(&line)), "{line}");
            for example in examples {
                assert!(example.chars().count() <= 78, "too wide for a terminal: {example}");
                // As far as the command goes: not what it is piped to.
                let words = shlex::split(example).unwrap_or_else(|| panic!("{example}"));
                let own = words.iter().take_while(|word| !matches!(word.as_str(), "|" | ">"));
                let own: Vec<std::ffi::OsString> = own.map(Into::into).collect();
                assert_eq!(own[0], "jr", "{example}");
                let entry = first_word(&own).and_then(find);
                assert!(entry.is_some(), "{example}: no such command");
                if let Err(error) = tree(entry).try_get_matches_from(&own) {
                    panic!("{example}: {error}");
                }
            }
        }
    }

    #[test]
    fn every_command_says_how_it_ends() {
        for Page { line, sections, .. } in pages_with_help().iter().skip(1) {
            assert!(!sections.exit_codes.is_empty(), "{line}: Exit codes:");
        }
    }

    #[test]
    fn the_exit_codes_are_those_of_the_documentation() {
        let codes: Vec<(&str, String)> = every_exit_code().collect();
        assert!(codes.len() > 10, "{codes:?}");
        assert!(codes.contains(&("0", "all is well".to_owned())), "{codes:?}");
        assert!(codes.iter().all(|(code, _)| !code.contains('-')), "{codes:?}");
    }

    /// The line below SYNOPSIS, as it is read.
    fn synopsis(roff: &str) -> String {
        let below = roff.split_once(".SH SYNOPSIS\n").map_or("", |(_, below)| below);
        let (line, _) = below.split_once("\n.SH ").unwrap_or((below, ""));
        ["\\fB", "\\fI", "\\fR", "\\"]
            .iter()
            .fold(line.to_owned(), |text, mark| text.replace(mark, ""))
    }

    #[test]
    fn a_synopsis_has_each_option_with_its_value() {
        let tree = built();
        for page in pages(&mut vec![&tree]) {
            let line = synopsis(&page.roff().expect("written to memory"));
            assert!(line.starts_with(&page.line), "{line}");
            let shown = page.command.get_arguments().filter(|arg| !arg.is_hide_set());
            for option in shown.filter(|arg| !arg.is_positional()) {
                let long = option.get_long().map(|long| format!("--{long}"));
                let name = long.or(option.get_short().map(|short| format!("-{short}")));
                let mut words = name.expect("an option has a name");
                if option.get_action().takes_values() {
                    words = format!("{words} {}", value_name(option));
                }
                let must = option.is_required_set();
                assert!(line.contains(&if must { words } else { format!("{words}]") }), "{line}");
            }
        }
        let line_of = |words: &[&str]| {
            let find = |command: &Command, word: &&str| command.find_subcommand(word).cloned();
            let last = words.iter().try_fold(tree.clone(), |at, word| find(&at, word));
            let page = Page::new(&[&tree, &last.expect("a command")]);
            synopsis(&page.roff().expect("written to memory"))
        };
        let wait = line_of(&["wait"]);
        assert!(wait.starts_with("jr wait "), "{wait}");
        assert!(wait.contains(" [--any] [--timeout DURATION] "), "{wait}");
        assert!(wait.ends_with(" SEL..."), "{wait}");
        assert!(line_of(&["queue"]).ends_with(" COMMAND"));
        assert!(line_of(&["queue", "set"]).contains(" -j|--jobs N "));
    }

    #[test]
    fn there_is_a_page_for_every_command_and_subcommand() {
        let tree = built();
        let pages = pages(&mut vec![&tree]);
        assert!(pages.len() > COMMANDS.len());
        for page in pages {
            let roff = page.roff().expect("written to memory");
            let title = page.file.trim_end_matches(".1");
            assert!(roff.contains(&format!(".TH \"{title}\" \"1\"")), "{roff}");
            for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS"] {
                assert!(roff.contains(section), "{title}: {section}");
            }
            let has_examples = roff.contains(".SH EXAMPLES");
            assert!(has_examples || page.line.matches(' ').count() > 1, "{title}");
            let rest = roff.lines().filter(|line| line.starts_with('.'));
            for line in rest {
                let request = line[1..].split(' ').next().unwrap_or_default();
                let known =
                    ["TH", "SH", "TP", "PP", "IP", "RS", "RE", "nf", "fi", "ie", "el", "br"];
                assert!(known.contains(&request), "{title}: {line}");
            }
        }
    }
}
