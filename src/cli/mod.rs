//! L4. Words in, words out. One file per command under [`command`]; only [`ui`] prints.
//!
//! The first word decides which command's part of clap is built: the whole tree is for help and
//! for words that are no command.

pub mod attach;
pub mod bundled;
pub mod command;
pub mod complete;
pub mod configuration;
pub mod context;
pub mod copy;
pub mod declared;
pub mod error;
pub mod excerpt;
pub mod exit;
pub mod foreground;
pub mod keys;
pub mod limits;
pub mod mode;
pub mod offline;
pub mod output;
pub mod progress;
pub mod render;
pub mod repo;
pub mod report;
pub mod run_output;
pub mod run_stream;
pub mod services;
pub mod session;
pub mod shell;
pub mod shown;
pub mod table;
pub mod terminal;
pub mod text;
pub mod time_arg;
pub mod tree;
pub mod typing;
pub mod ui;
pub mod unified;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, FromArgMatches};

use command::{COMMANDS, Entry};
use context::{Context, Globals};
use error::CommandError;
use ui::{Color, Ui};

/// Below the commands and options.
const HELP: &str = "\
Examples:
  jr run -- make -j8          # behaves as make does, and is recorded
  jr run -d --name web -- ./serve
  jr logs -f web
  jr stop web
  jr history --failed --today

Every lifecycle action is in a durable log: jr history, jr show, jr events.";

/// `jr …`.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    exit::code(run(&words))
}

fn run(words: &[OsString]) -> u8 {
    if let [_, word, rest @ ..] = words
        && word == complete::WORD
    {
        return complete::main(rest);
    }
    if let [_, word] = words
        && (word == "--version" || word == "-V")
    {
        let mut ui = Ui::new(false, false, false, Color::Auto);
        ui.line(concat!("jr ", env!("CARGO_PKG_VERSION")));
        return finish(&mut ui, Ok(exit::OK));
    }
    if let [_, word] = words
        && word == "-h"
        && fits(Ui::columns())
    {
        let mut ui = Ui::new(false, false, false, Color::Auto);
        ui.styled(SUMMARY);
        return finish(&mut ui, Ok(exit::OK));
    }
    let entry = first_word(words).and_then(find);
    let matches = match tree(entry).try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => return explain(&error, words),
    };
    let globals = match Globals::from_arg_matches(&matches) {
        Ok(globals) => globals,
        Err(error) => return explain(&error, words),
    };
    let mut ui = Ui::new(globals.json, globals.quiet, globals.verbose, globals.color);
    let Some((entry, matches)) =
        matches.subcommand().and_then(|(name, matches)| Some((find(name)?, matches)))
    else {
        return finish(&mut ui, Err(CommandError::usage("no command").hint("jr --help")));
    };
    let context = match (entry.apart, entry.looks) {
        (true, _) => Context::apart,
        (false, true) => Context::as_known,
        (false, false) => Context::new,
    };
    match context(&globals, ui) {
        Ok(mut context) => {
            let result = (entry.run)(&mut context, matches);
            // Before an end that may take its time.
            let result = result.and_then(|code| context.ui.flush().map(|()| code));
            let closed = context.close();
            finish(&mut context.ui, result.and_then(|code| closed.map(|()| code)))
        }
        Err((error, mut ui)) => {
            let is_doctor = entry.name == command::doctor::NAME;
            let told = is_doctor.then(|| command::doctor::without_place(&error, &mut ui));
            finish(&mut ui, told.flatten().ok_or(error))
        }
    }
}

/// Prints what is left to print and gives the exit code.
fn finish(ui: &mut Ui, result: Result<u8, CommandError>) -> u8 {
    let result = result.and_then(|code| ui.flush().map(|()| code));
    result.unwrap_or_else(|error| {
        ui.error(&error);
        error.exit
    })
}

fn find(name: &str) -> Option<&'static Entry> {
    COMMANDS.iter().find(|entry| entry.name == name)
}

/// The command's name: the first word that is no global option and no value of one.
fn first_word(words: &[OsString]) -> Option<&str> {
    let mut words = words.iter().skip(1).map(|word| word.to_str());
    while let Some(word) = words.next().flatten() {
        match word {
            // Values of their own.
            "-e" | "--env" | "-C" | "--directory" | "--config" | "--mode" | "--color" => {
                let _value = words.next();
            }
            // Help is about everything unless a command came first.
            "--" | "-h" | "--help" | "help" => return None,
            option if option.starts_with('-') => {}
            word => return Some(word),
        }
    }
    None
}

/// The tree without a command.
fn root() -> clap::Command {
    let root = clap::Command::new("jr")
        .bin_name("jr")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(HELP)
        .subcommand_required(true)
        .arg_required_else_help(true);
    // After the globals: their own description is not jr's.
    Globals::augment_args(root)
        .about("Runs jobs and services, and never forgets what happened to them")
}

/// The tree with one command, or with all.
fn tree(only: Option<&Entry>) -> clap::Command {
    match only {
        Some(entry) => root().disable_help_subcommand(true).subcommand((entry.build)()),
        None => root().subcommands(COMMANDS.iter().map(|entry| (entry.build)())),
    }
}

/// What clap prints for `jr -h` where nothing narrower asks: all commands have to be built for it,
/// which takes longer than everything else. A test keeps it equal.
const SUMMARY: &str = include_str!("summary.ansi");
/// Columns that clap fills at most.
const SUMMARY_COLUMNS: usize = 100;

/// Whether [`SUMMARY`] has the right width for a terminal of so many columns, or for none.
fn fits(columns: Option<usize>) -> bool {
    columns.is_none_or(|columns| columns >= SUMMARY_COLUMNS)
}

/// Help goes to stdout; a mistake to stderr, or as a document with `--json`.
fn explain(error: &clap::Error, words: &[OsString]) -> u8 {
    let options = words.iter().take_while(|word| *word != "--");
    let json = options.clone().any(|word| word == "--json");
    let mut ui = Ui::new(json, false, false, color_of(words));
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            ui.help(&error.render(), true);
            finish(&mut ui, Ok(exit::OK))
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            ui.help(&error.render(), false);
            exit::USAGE
        }
        _ => {
            let text = error.render().to_string();
            let mut message = text.strip_prefix("error: ").unwrap_or(&text).trim();
            let usage = message.find("\n\nUsage:").or_else(|| message.find("\n\nFor more"));
            message = usage.map_or(message, |end| message[..end].trim_end());
            let hint = match first_word(words).and_then(find) {
                Some(entry) => format!("jr {} --help", entry.name),
                None => "jr --help".to_owned(),
            };
            finish(&mut ui, Err(CommandError::usage(message).hint(hint)))
        }
    }
}

/// What `--color` says where clap could not read the rest.
fn color_of(words: &[OsString]) -> Color {
    let mut words = words.iter().filter_map(|word| word.to_str());
    let value = words.find_map(|word| match word.strip_prefix("--color") {
        Some("") => Some(None),
        Some(value) => value.strip_prefix('=').map(Some),
        None => None,
    });
    match value.map(|value| value.or_else(|| words.next())) {
        Some(Some("always")) => Color::Always,
        Some(Some("never")) => Color::Never,
        _ => Color::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_first_word_is_found_behind_global_options() {
        for (line, expected) in [
            ("jr ps", Some("ps")),
            ("jr -e x ps", Some("ps")),
            ("jr --env=x --json -C /tmp ps -a", Some("ps")),
            ("jr -q run -- ps", Some("run")),
            ("jr --help ps", None),
            ("jr -- ps", None),
            ("jr", None),
            ("jr --color never history", Some("history")),
            ("jr --mode trees up", Some("up")),
            ("jr --trees up", Some("up")),
        ] {
            assert_eq!(first_word(&words(line)), expected, "{line}");
        }
    }

    /// `JR_BLESS=1` writes it.
    #[test]
    fn the_summary_is_what_clap_prints() {
        let words = ["jr", "-h"].map(OsString::from);
        let tree = tree(None).term_width(SUMMARY_COLUMNS);
        let help = tree.try_get_matches_from(words).expect_err("help").render();
        let help = help.ansi().to_string();
        if std::env::var_os("JR_BLESS").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/summary.ansi");
            std::fs::write(path, &help).expect("writes");
        } else {
            assert_eq!(SUMMARY, help, "JR_BLESS=1 cargo test --lib the_summary");
        }
        assert!(fits(None) && fits(Some(100)) && !fits(Some(99)));
    }

    #[test]
    fn the_whole_tree_and_each_part_of_it_are_sound() {
        tree(None).debug_assert();
        for entry in COMMANDS {
            assert_eq!((entry.build)().get_name(), entry.name);
            tree(Some(entry)).debug_assert();
        }
    }

    #[test]
    fn options_stand_before_or_after_and_are_read_the_same() {
        for line in [
            "jr -e x --json ps -a",
            "jr ps -a --json -e x",
            "jr ps --env=x -a --json",
            "jr --env x ps --json -a",
        ] {
            let line = words(line);
            let entry = first_word(&line).and_then(find).expect("a command");
            let matches = tree(Some(entry)).try_get_matches_from(&line).expect("valid");
            let globals = Globals::from_arg_matches(&matches).expect("valid");
            assert_eq!(globals.environment.as_deref(), Some("x"));
            assert!(globals.json);
        }
    }

    #[test]
    fn every_command_explains_itself() {
        for entry in COMMANDS {
            let command = (entry.build)();
            assert!(command.get_about().is_some(), "{}", entry.name);
        }
    }
}
