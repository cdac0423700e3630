//! `jr env`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::config::in_force;
use super::read::ReadArgs;
use super::{Runnable, daemon};
use crate::cli::configuration::Configuration;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::table::{Cell, Table as Columns};
use crate::cli::{exit, text};
use crate::config::mask::mask;
use crate::config::print;
use crate::config::problem::{Problem, did_you_mean, has_errors};
use crate::config::resolve::{Resolved, resolve};
use crate::config::select::{Chosen, Selection, declared, declared_by_project, select};
use crate::config::source::{Layer, place_of};
use crate::config::stored::StoredTree;
use crate::config::tree::{Node, Value, find};
use crate::daemon::known::{self, MoveError};
use crate::daemon::place::{Place, PlaceVariables};
use crate::projections::query::{PsQuery, Query};
use crate::projections::view::{List, RunView};

/// Below the options.
const HELP: &str = "\
Examples:
  jr env                  # the environment that is meant here, as TOML
  jr env -e ci --origin   # another one, and where each value is from
  jr env list             # all of this machine; * marks the default
  jr env --at yesterday   # what was in force then
  jr env move dev --from ~/old/place

Exit codes:
  0; 2 a file cannot be used; 3 no such environment";

/// Print environments as they hold: what all files together say
#[derive(clap::Args, Debug)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub struct EnvArgs {
    /// All that are declared
    #[arg(short, long)]
    all: bool,
    /// Behind each value, the file and line that it is from
    #[arg(long)]
    origin: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List all environments: declared here, or with state on this machine
    List {
        // Told why it cannot be, instead of as an unknown word.
        #[arg(long, hide = true, value_name = "SEQ|TIME", allow_hyphen_values = true)]
        at: Option<String>,
        #[arg(long, hide = true, value_name = "FILE.jrb")]
        bundle: Option<PathBuf>,
    },
    /// Tell about one, for people; of the past as `jr env --at` does
    Show {
        /// Its id
        #[arg(value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Print the directory of its state
    Path,
    /// Give this project the state of an environment that another directory's project had
    Move {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        /// The root of the project that had it, which may be gone
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
    },
}

/// Of one environment.
#[derive(Serialize)]
struct Shown {
    schema: &'static str,
    #[serde(flatten)]
    view: EnvironmentView,
}

/// Of all.
#[derive(Serialize)]
struct ShownAll {
    schema: &'static str,
    items: Vec<EnvironmentView>,
}

/// One environment, with its values.
#[derive(Serialize)]
struct EnvironmentView {
    environment: String,
    declared: Option<bool>,
    chosen_by: Option<&'static str>,
    project: Option<String>,
    path: Option<String>,
    values: serde_json::Value,
    origins: BTreeMap<String, String>,
}

/// A row of the list.
#[derive(Serialize)]
struct Row {
    id: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    default: bool,
    default_from: Option<String>,
    declared_in: Option<String>,
    project: Option<String>,
    project_gone: bool,
    path: String,
    has_state: bool,
}

impl Runnable for EnvArgs {
    const NAME: &'static str = "env";
    const APART: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        match self.action {
            None if self.read.is_of_the_past() => {
                print_then(context, &self.read, self.all, self.origin)
            }
            None => print(context, self.all, self.origin),
            Some(Action::List { at: None, bundle: None }) => list(context),
            Some(Action::List { .. }) => Err(no_list_then()),
            Some(Action::Show { id, read }) if read.is_of_the_past() => {
                show_then(context, &read, id.as_deref())
            }
            Some(Action::Show { id, .. }) => show(context, id.as_deref()),
            Some(Action::Path) => path(context),
            Some(Action::Move { id, from }) => move_here(context, &id, &from),
        }
    }
}

fn print(context: &mut Context, all: bool, origin: bool) -> Result<u8, CommandError> {
    let configuration = &context.configuration;
    let selections = if all {
        let ids = declared(configuration.merged()).into_iter().map(str::to_owned);
        ids.map(|id| selection_of(configuration, &id)).collect::<Result<Vec<_>, _>>()?
    } else {
        vec![configuration.selection()?]
    };
    let loaded = configuration.loaded();
    let (mut texts, mut views, mut problems) = (Vec::new(), Vec::new(), loaded.problems.clone());
    for selection in &selections {
        let (resolved, told) = resolve(loaded, selection);
        problems.extend(told);
        let view = view(configuration, selection, &resolved)?;
        texts.push(print::environment(&resolved.id, &view.tree, origin));
        views.push(view.shown());
    }
    warn(context, &problems);
    let code = if has_errors(&problems) { exit::USAGE } else { exit::OK };
    emit(context, all, &texts, views);
    Ok(code)
}

fn emit(context: &mut Context, all: bool, texts: &[String], mut views: Vec<EnvironmentView>) {
    if !context.ui.json {
        context.ui.data(&texts.join("\n"));
    } else if all {
        context.ui.json(&ShownAll { schema: "jr.env/1", items: views });
    } else if let Some(view) = views.pop() {
        context.ui.json(&Shown { schema: "jr.env/1", view });
    }
}

/// Each environment has a log of its own, and none says which others there were.
fn no_list_then() -> CommandError {
    let message = "which environments there were is not recorded: each has a log of its own";
    CommandError::usage(message).hint("of one: jr env -e ID --at TIME")
}

/// As it was at a moment, or is by a bundle: of the others nothing is recorded.
fn print_then(
    context: &mut Context,
    read: &ReadArgs,
    all: bool,
    origin: bool,
) -> Result<u8, CommandError> {
    let view = known_then(context, read, all)?;
    let text = print::environment(&view.environment, &view.tree, origin);
    emit(context, all, &[text], vec![view.shown()]);
    Ok(exit::OK)
}

/// The one that is meant here, or that a bundle is of.
fn show_then(context: &mut Context, read: &ReadArgs, id: Option<&str>) -> Result<u8, CommandError> {
    let view = known_then(context, read, false)?;
    if let Some(other) = id.filter(|id| *id != view.environment) {
        let message = format!("what was recorded here is of environment {}", view.environment);
        let error = CommandError::new("environment_not_found", exit::NOT_FOUND, message);
        let other = crate::cli::shell::quote(other.as_bytes());
        return Err(error.hint(format!("of another: jr env -e {other} --at TIME")));
    }
    if context.ui.json {
        context.ui.json(&Shown { schema: "jr.env_show/1", view: view.shown() });
    } else {
        context.ui.data(&print::environment(&view.environment, &view.tree, false));
    }
    Ok(exit::OK)
}

fn known_then(context: &mut Context, read: &ReadArgs, all: bool) -> Result<Known, CommandError> {
    let document = in_force(context, read)?;
    // With --all each is as if -e named it.
    let named = all.then_some(Chosen::Flag);
    let named = named.or_else(|| context.configuration.named_by(&document.environment));
    let chosen_by = named.as_ref().map(chosen_word).or_else(|| document.chosen_by());
    let project = document.own_project().cloned();
    let beside = document.shown;
    for problem in beside.iter().flat_map(|beside| &beside.problems) {
        context.ui.warn(&problem.line());
    }
    Ok(Known {
        declared: beside.as_ref().map(|beside| beside.declared),
        project,
        path: beside.as_ref().and_then(|beside| beside.path.clone()),
        environment: document.environment,
        chosen_by,
        // Read back elsewhere it is the same.
        tree: document.tree.with_absolute_paths(),
    })
}

/// As if `-e` named it.
fn selection_of(configuration: &Configuration, id: &str) -> Result<Selection, CommandError> {
    Ok(select(configuration.loaded(), Some(id), None)?)
}

/// What is known of an environment.
struct Known {
    environment: String,
    declared: Option<bool>,
    chosen_by: Option<&'static str>,
    project: Option<String>,
    path: Option<String>,
    tree: StoredTree,
}

impl Known {
    fn shown(self) -> EnvironmentView {
        let Self { environment, declared, chosen_by, project, path, tree } = self;
        let StoredTree { values, origins, .. } = tree;
        EnvironmentView { environment, declared, chosen_by, project, path, values, origins }
    }
}

fn view(
    configuration: &Configuration,
    selection: &Selection,
    resolved: &Resolved,
) -> Result<Known, CommandError> {
    let variables = PlaceVariables::of_process();
    let place = configuration.place_of(selection, resolved, &variables)?;
    let sources = &configuration.loaded().sources;
    Ok(Known {
        environment: resolved.id.clone(),
        declared: Some(selection.is_declared),
        chosen_by: Some(chosen_word(&selection.by)),
        project: place.project.as_deref().map(display),
        path: Some(display(&place.root)),
        // Read back elsewhere it is the same.
        tree: StoredTree::of(&resolved.tree, sources).with_absolute_paths(),
    })
}

fn chosen_word(by: &Chosen) -> &'static str {
    match by {
        Chosen::Flag => "flag",
        Chosen::Variable => "variable",
        Chosen::Project(_) => "project",
        Chosen::Default(_) => "default",
        Chosen::Local => "local",
    }
}

/// What is wrong, each with its place.
fn warn<'a>(context: &Context, problems: impl IntoIterator<Item = &'a Problem>) {
    for problem in problems {
        context.ui.warn(&problem.line(&context.configuration.loaded().sources));
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

fn list(context: &mut Context) -> Result<u8, CommandError> {
    let rows = rows(&context.configuration)?;
    warn(context, &context.configuration.loaded().problems);
    let variable = context.configuration.search.environment.as_deref();
    if let Err(error) = select(context.configuration.loaded(), None, variable) {
        context.ui.warn(&format!("there is no default: {error}"));
    }
    if context.ui.json {
        #[derive(Serialize)]
        struct Listed {
            schema: &'static str,
            items: Vec<Row>,
        }
        context.ui.json(&Listed { schema: "jr.env_list/1", items: rows });
        return Ok(exit::OK);
    }
    let mut table = Columns::new(&["NAME", "TYPE", "DEFAULT", "DECLARED IN", "STATE"]).flexible(4);
    for row in &rows {
        let state = match (row.has_state, row.project_gone) {
            (_, true) => format!("{} (its project is gone: {})", row.path, project_of(row)),
            (true, false) => row.path.clone(),
            (false, false) => "-".to_owned(),
        };
        let default = if row.default { "*" } else { "" };
        table.row(vec![
            Cell::from(row.id.as_str()),
            Cell::from(row.kind.as_deref().unwrap_or("-")),
            Cell::from(default),
            Cell::from(row.declared_in.as_deref().unwrap_or("-").to_owned()),
            Cell::from(state),
        ]);
    }
    let rendered = table.render(context.ui.medium());
    context.ui.data(&rendered);
    // What it explains stands above it.
    context.ui.flush()?;
    if let Some(from) = rows.iter().find_map(|row| row.default_from.as_ref()) {
        context.ui.status(&format!("* = default ({from})"));
    }
    Ok(exit::OK)
}

fn project_of(row: &Row) -> &str {
    row.project.as_deref().unwrap_or_default()
}

/// What is declared here, then what has state elsewhere.
fn rows(configuration: &Configuration) -> Result<Vec<Row>, CommandError> {
    let loaded = configuration.loaded();
    let variables = PlaceVariables::of_process();
    let default = select(loaded, None, configuration.search.environment.as_deref()).ok();
    let mut rows = Vec::new();
    let mut places = known::all(&variables)?;
    for id in declared(&loaded.merged) {
        let selection = selection_of(configuration, id)?;
        let (resolved, _) = resolve(loaded, &selection);
        let place = configuration.place_of(&selection, &resolved, &variables)?;
        let is_default = default.as_ref().filter(|default| default.id == selection.id);
        let has_state = place.root.is_dir();
        places.retain(|known| known.root != place.root);
        let declared = find(&loaded.merged, &["environments", id]);
        rows.push(Row {
            id: id.to_owned(),
            kind: find(&resolved.tree, &["type"]).and_then(Node::text).map(str::to_owned),
            default: is_default.is_some(),
            default_from: is_default.map(|default| chosen_words(configuration, &default.by)),
            declared_in: declared.map(|node| declared_in(configuration, id, node)),
            project: place.project.as_deref().map(display),
            project_gone: false,
            path: display(&place.root),
            has_state,
        });
    }
    rows.extend(places.into_iter().map(|place| row_of(&place)));
    Ok(rows)
}

/// An environment that nothing declares here.
fn row_of(place: &Place) -> Row {
    let project = place.project.as_deref();
    Row {
        id: place.id.to_string(),
        kind: None,
        default: false,
        default_from: None,
        declared_in: project.map(display),
        project: project.map(display),
        project_gone: project.is_some_and(|project| !project.is_dir()),
        path: display(&place.root),
        has_state: true,
    }
}

/// The project's file, else the one with the highest priority.
fn declared_in(configuration: &Configuration, id: &str, node: &Node) -> String {
    let loaded = configuration.loaded();
    let with = loaded.sources.iter().zip(&loaded.trees);
    let with: Vec<_> =
        with.filter(|(_, tree)| find(tree, &["environments", id]).is_some()).collect();
    let of_project = with.iter().find(|(source, _)| source.layer == Layer::Project);
    let found = of_project.or(with.last());
    found.map_or_else(|| place_of(&loaded.sources, &node.origin), |(source, _)| source.name.clone())
}

fn chosen_words(configuration: &Configuration, by: &Chosen) -> String {
    let place = |origin| place_of(&configuration.loaded().sources, origin);
    match by {
        Chosen::Flag => "-e".to_owned(),
        Chosen::Variable => "JR_ENV".to_owned(),
        Chosen::Project(origin) => format!("set via [project] default_env, {}", place(origin)),
        Chosen::Default(origin) => format!("default = true, {}", place(origin)),
        Chosen::Local => "nothing names another".to_owned(),
    }
}

fn show(context: &mut Context, id: Option<&str>) -> Result<u8, CommandError> {
    let configuration = &context.configuration;
    let selection = match id {
        Some(id) => selection_of(configuration, id)?,
        None => configuration.selection()?,
    };
    let loaded = configuration.loaded();
    let id = selection.id.as_str();
    let (resolved, problems) = resolve(loaded, &selection);
    let shown = view(configuration, &selection, &resolved)?;
    warn(context, loaded.problems.iter().chain(&problems));
    let has_state = shown.path.as_deref().is_some_and(|path| Path::new(path).is_dir());
    if !selection.is_declared && !has_state {
        let known: Vec<String> = rows(configuration)?.into_iter().map(|row| row.id).collect();
        let message = format!("unknown environment {id:?}; known are: {}", known.join(", "));
        let near = did_you_mean(id, known.iter().map(String::as_str));
        let hint = near.map_or("jr env list".to_owned(), |near| format!("jr env show {near}"));
        return Err(CommandError::new("environment_not_found", exit::NOT_FOUND, message).hint(hint));
    }
    if context.ui.json {
        context.ui.json(&Shown { schema: "jr.env_show/1", view: shown.shown() });
        return Ok(exit::OK);
    }
    let words = about(&resolved, &shown, declared_by_project(loaded, id));
    context.ui.data(&words);
    Ok(exit::OK)
}

/// What has a line of its own there.
const OWN_LINE: [&str; 5] = ["type", "file_root", "services", "jobs", "tests"];

/// An environment for people, in the order of its file.
fn about(resolved: &Resolved, shown: &Known, is_projects: bool) -> String {
    let tree = mask(&resolved.tree);
    let text_of = |key: &str| tree.get(key).and_then(Node::text).map(str::to_owned);
    let mut lines = vec![format!("Environment: {}", resolved.id)];
    lines.push(format!("  Type: {}", text_of("type").unwrap_or_else(|| "local".to_owned())));
    if let Some(root) = text_of("file_root") {
        lines.push(format!("  File root: {}", text::line(&root)));
    }
    if is_projects && let Some(project) = &shown.project {
        lines.push(format!("  Project: {}", text::line(project)));
    }
    if let Some(path) = &shown.path {
        lines.push(format!("  State: {}", text::line(path)));
    }
    let mut rest: Vec<(&String, &Node)> =
        tree.iter().filter(|(key, _)| !OWN_LINE.contains(&key.as_str())).collect();
    rest.sort_by_key(|(_, node)| (node.origin.source, node.origin.key.start));
    if !rest.is_empty() {
        lines.push("  Config:".to_owned());
        lines.extend(rest.iter().map(|(key, node)| format!("    {key}: {}", value_words(node))));
    }
    for (key, title) in [("services", "Services"), ("jobs", "Jobs"), ("tests", "Tests")] {
        let Some(Node { value: Value::Table(items), .. }) = tree.get(key) else { continue };
        lines.push(format!("  {title}:"));
        let mut items: Vec<(&String, &Node)> = items.iter().collect();
        items.sort_by_key(|(_, node)| (node.origin.source, node.origin.key.start));
        lines.extend(items.iter().map(|(name, node)| format!("    {name}: {}", value_words(node))));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// A value on one line.
fn value_words(node: &Node) -> String {
    match node.text() {
        Some(word) => text::line(word).into_owned(),
        None => text::line(&node.to_json().to_string()).into_owned(),
    }
}

fn path(context: &mut Context) -> Result<u8, CommandError> {
    let variables = PlaceVariables::of_process();
    let (place, told) = context.configuration.place_as_known(&variables)?;
    if let Some(told) = told {
        context.ui.warn(&told);
    }
    if context.ui.json {
        #[derive(Serialize)]
        struct Lies {
            schema: &'static str,
            environment: String,
            path: String,
        }
        let (environment, path) = (place.id.to_string(), display(&place.root));
        context.ui.json(&Lies { schema: "jr.env_path/1", environment, path });
    } else {
        context.ui.line(&display(&place.root));
    }
    Ok(exit::OK)
}

fn move_here(context: &mut Context, id: &str, from: &Path) -> Result<u8, CommandError> {
    let configuration = &context.configuration;
    let selection = selection_of(configuration, id)?;
    let variables = PlaceVariables::of_process();
    let (resolved, _) = resolve(configuration.loaded(), &selection);
    let to = configuration.place_of(&selection, &resolved, &variables)?;
    if to.project.is_none() {
        let message = format!("no project file here declares environment {id:?}");
        let hint = format!("go to the project, or declare it in jr.toml: [environments.{id}]");
        return Err(CommandError::usage(message).hint(hint));
    }
    let old = configuration.search.directory.join(from);
    let base = crate::daemon::place::Base { project: Some(old), ..Default::default() };
    let from = Place::resolve(selection.id.clone(), &variables, &base)?;
    leave(context, &from)?;
    known::move_state(&from, &to).map_err(|error| {
        let (code, exit, hint) = match &error {
            MoveError::NoSuch { .. } => ("environment_not_found", exit::NOT_FOUND, "jr env list"),
            MoveError::Taken(_) => ("taken", exit::FAILED, "jr env list"),
            MoveError::InUse { .. } => ("in_use", exit::BUSY, "try again in a moment"),
            MoveError::Io { .. } | MoveError::Log(_) => ("io", exit::FAILED, "jr doctor"),
        };
        CommandError::new(code, exit, error.to_string()).hint(hint)
    })?;
    if context.ui.json {
        #[derive(Serialize)]
        struct Moved {
            schema: &'static str,
            environment: String,
            path: String,
        }
        let (environment, path) = (id.to_owned(), display(&to.root));
        context.ui.json(&Moved { schema: "jr.env_move/1", environment, path });
    } else {
        context.ui.status(&format!("environment {id} is this project's now"));
    }
    Ok(exit::OK)
}

/// What is moved must not live: its daemon is ended, if nothing runs.
fn leave(context: &mut Context, from: &Place) -> Result<(), CommandError> {
    let own = std::mem::replace(&mut context.place, from.clone());
    let live = context.read::<List<RunView>>(&Query::Ps(PsQuery::default()));
    context.place = own;
    if !live?.items.is_empty() {
        let message =
            format!("something runs in environment {} of {}", from.id, from.root.display());
        let error = CommandError::new("in_use", exit::BUSY, message);
        let root = from.project.as_deref().unwrap_or(&from.root);
        let hint = format!("stop it from there: jr -C {} -e {} stop all", root.display(), from.id);
        return Err(error.hint(hint));
    }
    daemon::end(from).map(drop)
}
