//! Values of an argument, by what its help calls them: the word between `<` and `>` is its type.

use clap::Arg;

use super::cursor::Cursor;
use super::{Answer, Candidate};
use crate::cli::command::COMMANDS;
use crate::cli::context::{Context, Globals, parse};
use crate::cli::ui::{Color, Ui};
use crate::config::select::declared;
use crate::daemon::client;
use crate::daemon::offline;
use crate::daemon::shortlist;
use crate::limits;
use crate::model::{EnvironmentId, Signal};
use crate::projections::query::{Candidates, CandidatesQuery, Query, Question};
use crate::projections::view::{CandidateView, List, OUTCOMES, STATES};

/// What may stand for `arg`; `begun` is typed of it.
pub(super) fn of(
    arg: &Arg,
    cursor: &Cursor<'_>,
    living: bool,
    begun: &str,
    globals: &Globals,
) -> Answer {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let shown = possible.iter().filter(|value| !value.is_hide_set());
        let help = |value: &clap::builder::PossibleValue| {
            value.get_help().map(ToString::to_string).unwrap_or_default()
        };
        return Answer::Words(
            shown.map(|value| super::candidate(value.get_name(), help(value))).collect(),
        );
    }
    let ask = |what, begun: &str| context(globals).map(|context| ask(&context, what, begun));
    let runs = if living { Candidates::Living } else { Candidates::Runs };
    let name =
        arg.get_value_names().and_then(|names| names.first()).map(clap::builder::Str::as_str);
    // What may follow it, as in SEL[:ok|any], is typed by hand.
    let name = name.and_then(|name| name.split('[').next());
    let found = match name.unwrap_or_default() {
        "SEL" | "RUN" => selectors(runs, begun, name == Some("SEL"), ask),
        "FILE|BATCH" if cursor.given.iter().any(|(id, _)| id.as_str() == "continued") => {
            ask(Candidates::Runs, begun)
        }
        "FILE" | "PATH" | "FILE|BATCH" => return Answer::Files,
        "DIR" => return Answer::Directories,
        "ID" => context(globals).map(|context| environments(&context)),
        "NAME" | "PATTERN" => ask(Candidates::Names, begun),
        "QUEUE" => ask(Candidates::Queues, begun),
        "SVC" => context(globals).map(|context| services(&context, begun)),
        "KEY=VALUE" => ask(Candidates::Labels, begun),
        "COMMAND" => Some(commands(arg, cursor)),
        "SIGNAL" => Some(signals(begun)),
        "TIME" | "SEQ|TIME" => Some(words(["today", "yesterday"])),
        other => Some(words(other.split('|').filter(|word| is_literal(word)))),
    };
    Answer::Words(found.unwrap_or_default())
}

fn context(globals: &Globals) -> Option<Context> {
    Context::new(globals, Ui::new(false, true, false, Color::Never)).ok()
}

/// `kill|keep` names its values, `N|all` one of them.
fn is_literal(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<Candidate> {
    words.into_iter().map(|word| super::candidate(word, String::new())).collect()
}

/// Runs, and the other words that select some.
fn selectors(
    runs: Candidates,
    begun: &str,
    several: bool,
    ask: impl FnOnce(Candidates, &str) -> Option<Vec<Candidate>>,
) -> Option<Vec<Candidate>> {
    if let Some(label) = begun.strip_prefix("label:") {
        let mut labels = ask(Candidates::Labels, label)?;
        for label in &mut labels {
            label.value.insert_str(0, "label:");
        }
        return Some(labels);
    }
    if begun.starts_with("state:") {
        let ended = if runs == Candidates::Living { &[][..] } else { &OUTCOMES[..] };
        let states = STATES.iter().chain(ended).map(|state| format!("state:{state}"));
        return Some(states.map(|value| Candidate { value, about: String::new() }).collect());
    }
    let mut found = ask(runs, begun).unwrap_or_default();
    found.push(super::candidate("last", "the newest run".to_owned()));
    if several {
        let what = if runs == Candidates::Living { "all that lives" } else { "every run" };
        found.push(super::candidate("all", what.to_owned()));
    }
    Some(found)
}

/// From the list that is made ahead, else from the daemon if one lives, else from the files;
/// nothing rather than late.
fn ask(context: &Context, what: Candidates, begun: &str) -> Vec<Candidate> {
    let query = CandidatesQuery { what, begun: begun.to_owned() };
    if let Some(list) = shortlist::ask(&context.place, &query) {
        return offered(list);
    }
    let question = Question::from(Query::Candidates(query));
    let asked = client::begin(&context.place, "/v1/read", &question);
    let document = match asked {
        Ok(Some(mut lines)) => {
            let soon = lines.set_read_timeout(Some(limits::CANDIDATES_MS));
            soon.and_then(|()| lines.body()).ok()
        }
        Ok(None) => {
            let document = offline::ask_soon(&context.place, &question).ok();
            document.and_then(|document| serde_json::to_vec(&document).ok())
        }
        Err(_) => None,
    };
    let list = document.and_then(|document| parse::<List<CandidateView>>(&document).ok());
    list.map(offered).unwrap_or_default()
}

fn offered(list: List<CandidateView>) -> Vec<Candidate> {
    let items = list.items.into_iter();
    items.map(|item| Candidate { value: item.value, about: item.about }).collect()
}

/// Commands of jr, or behind one its subcommands.
fn commands(arg: &Arg, cursor: &Cursor<'_>) -> Vec<Candidate> {
    let Some(command) = cursor.value(arg.get_id().as_str()) else {
        return words(COMMANDS.iter().map(|entry| entry.name));
    };
    let entry = COMMANDS.iter().find(|entry| entry.name == command);
    let tree = entry.map(|entry| (entry.build)());
    let below = tree.iter().flat_map(clap::Command::get_subcommands);
    below.map(|command| super::candidate(command.get_name(), super::about(command))).collect()
}

/// Those that have a directory, and those that are declared.
fn environments(context: &Context) -> Vec<Candidate> {
    let entries = std::fs::read_dir(context.place.home.join("envs"));
    let names = entries.into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        name.parse::<EnvironmentId>().is_ok().then_some(name)
    });
    let mut names: Vec<String> = names.take(limits::CANDIDATES).collect();
    if context.configuration.has_files() {
        let declared = declared(context.configuration.merged());
        names.extend(declared.into_iter().map(str::to_owned));
    }
    names.sort_unstable();
    names.dedup();
    words(names.iter().map(String::as_str))
}

/// Declared jobs that begin so, with what they are for.
pub(super) fn jobs(globals: &Globals, begun: &str) -> Vec<Candidate> {
    let Some(context) = context(globals) else { return Vec::new() };
    if !context.configuration.has_files() {
        return Vec::new();
    }
    let Ok((resolved, _)) = context.configuration.resolve() else { return Vec::new() };
    let jobs = resolved.environment.jobs.into_iter().flatten();
    let jobs = jobs.filter(|(name, _)| name.starts_with(begun)).take(limits::CANDIDATES);
    jobs.map(|(name, job)| super::candidate(&name, job.description.unwrap_or_default())).collect()
}

/// Those that are known here, and those that are declared.
fn services(context: &Context, begun: &str) -> Vec<Candidate> {
    let mut found = ask(context, Candidates::Services, begun);
    if context.configuration.has_files()
        && let Ok((resolved, _)) = context.configuration.resolve()
    {
        let declared = resolved.environment.services.into_iter().flatten();
        for (name, service) in declared.filter(|(name, _)| name.starts_with(begun)) {
            if !found.iter().any(|known| known.value == name) {
                found.push(super::candidate(&name, service.title.unwrap_or_default()));
            }
        }
    }
    found.truncate(limits::CANDIDATES);
    found
}

/// Those with a name; without `SIG`, unless that is typed.
fn signals(begun: &str) -> Vec<Candidate> {
    let before = if begun.starts_with("SIG") { "" } else { "SIG" };
    let named = (1..32).filter_map(Signal::new).map(|signal| signal.to_string());
    let named = named.filter_map(|name| name.strip_prefix(before).map(str::to_owned));
    let mut named: Vec<String> = named.collect();
    named.sort_unstable();
    words(named.iter().map(String::as_str))
}
