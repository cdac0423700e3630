//! `jr config`.

mod check;
mod init;
mod schema;
mod wizard;

pub(super) use init::ask_for;

use std::path::PathBuf;

use super::Runnable;
use super::read::ReadArgs;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::config::document::Document;
use crate::config::mask::mask;
use crate::config::print::{self, Style};
use crate::config::source::{Source, place_of};
use crate::config::tree::{Node, Table, Value, each_leaf, table_to_json};
use crate::projections::query::Query;
use crate::projections::view::{InForceView, RecordedView};

/// Below the options.
const HELP: &str = "\
Examples:
  jr config show --origin    # every value, and the file and line it is from
  jr config show --run last  # what a run was asked for under
  jr config check services.toml
  jr config schema > jr.schema.json
  jr config init --set services.web.command='npm start'

Exit codes:
  0; 1 nothing was written; 2 a file cannot be used, or could not be";

/// Show, check and write configuration files
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct ConfigArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Print what holds, as TOML
    Show {
        /// Behind each value, the file and line that it is from
        #[arg(long)]
        origin: bool,
        /// Print what a run was asked for under instead
        #[arg(long, value_name = "RUN")]
        run: Option<String>,
        #[command(flatten)]
        read: ReadArgs,
    },
    /// Tell all mistakes at once, each with its place
    ///
    /// Without FILE: all files in use, and every environment that they declare.
    Check {
        /// That file alone, or `-` for standard input
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// What it is, where its content does not say so
        #[arg(long, value_enum, value_name = "KIND", requires = "file")]
        kind: Option<check::Kind>,
    },
    /// Print the JSON Schema of configuration files
    ///
    /// With `#:schema ./jr.schema.json` as the first line of a file, editors that know Taplo or
    /// Tombi complete keys and underline mistakes: jr config schema > jr.schema.json
    Schema,
    /// Write jr.toml: by questions at a terminal, else by --stdin-json or --set
    ///
    /// Comments and what is not asked for stay. The result is checked before it is saved, and saved
    /// whole or not at all.
    Init(init::InitArgs),
}

/// `show --json`.
#[derive(serde::Serialize)]
struct Shown {
    schema: &'static str,
    environment: Option<String>,
    default_mode: String,
    project: Option<String>,
    values: serde_json::Value,
    origins: serde_json::Map<String, serde_json::Value>,
    sources: Vec<SourceView>,
    problems: Vec<ProblemView>,
}

/// A file in use.
#[derive(serde::Serialize)]
struct SourceView {
    name: String,
    layer: &'static str,
    used: bool,
}

/// Something wrong.
#[derive(serde::Serialize)]
struct ProblemView {
    severity: &'static str,
    code: &'static str,
    message: String,
    place: Option<String>,
    suggestion: Option<String>,
}

impl Runnable for ConfigArgs {
    const NAME: &'static str = "config";
    const APART: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        match self.action {
            Action::Show { origin, run: Some(run), read } => {
                show_recorded(context, &read, &run, origin)
            }
            Action::Show { origin, run: None, read } if read.is_of_the_past() => {
                show_in_force(context, &read, origin)
            }
            Action::Show { origin, run: None, .. } => Ok(show(context, origin)),
            Action::Check { file, kind } => check::check(context, file.as_deref(), kind),
            Action::Schema => {
                schema::schema(context);
                Ok(exit::OK)
            }
            Action::Init(args) => init::init(context, &args),
        }
    }
}

/// The mode that holds where no option, variable or file says one.
const MODE_DEFAULT: &str = "main";

fn show(context: &mut Context, origin: bool) -> u8 {
    let loaded = context.configuration.loaded();
    let tree = mask(&effective(context));
    let has_errors = loaded.has_errors();
    let code = if has_errors { exit::USAGE } else { exit::OK };
    if context.ui.json {
        let mode = tree.get("default_mode").and_then(Node::text).unwrap_or(MODE_DEFAULT);
        let mut origins = serde_json::Map::new();
        each_leaf(&tree, &mut Vec::new(), &mut |path, node| {
            origins.insert(path.join("."), place_of(&loaded.sources, &node.origin).into());
        });
        let shown = Shown {
            schema: "jr.config/1",
            environment: context.configuration.selection().ok().map(|chosen| chosen.id.to_string()),
            default_mode: mode.to_owned(),
            project: loaded.project.as_ref().map(|path| path.display().to_string()),
            values: table_to_json(&tree),
            origins,
            sources: loaded.sources.iter().map(SourceView::new).collect(),
            problems: problem_views(context),
        };
        context.ui.json(&shown);
        return code;
    }
    let style = Style { origins: origin.then_some(loaded.sources.as_slice()) };
    let text = print::file(&tree, style);
    let files: Vec<String> = loaded.sources.iter().map(SourceView::line).collect();
    let problems = problem_views(context);
    context.ui.status(&format!("from low to high priority: {}", files.join(", ")));
    for problem in problems {
        let place = problem.place.map(|place| format!("{place}: ")).unwrap_or_default();
        context.ui.warn(&format!("{place}{}", problem.message));
    }
    context.ui.data(&text);
    code
}

/// What a run was asked for under, as it was stored.
fn show_recorded(
    context: &mut Context,
    read: &ReadArgs,
    run: &str,
    origin: bool,
) -> Result<u8, CommandError> {
    context.enter()?;
    context.look(read)?;
    let recorded: RecordedView = context.read(&Query::Recorded { selector: run.to_owned() })?;
    let when = format!("when {} was asked for", recorded.run.run_id);
    print_stored(context, recorded.config_document, recorded.config_error, &when, origin)
}

/// What was in force at a moment, or is by a bundle.
///
/// # Errors
/// It cannot be read, or no file said anything.
pub(super) fn show_in_force(
    context: &mut Context,
    read: &ReadArgs,
    origin: bool,
) -> Result<u8, CommandError> {
    context.enter()?;
    context.look(read)?;
    let view: InForceView = context.read(&Query::InForce)?;
    print_stored(context, view.document, view.error, "then", origin)
}

fn print_stored(
    context: &mut Context,
    text: Option<String>,
    error: Option<String>,
    when: &str,
    origin: bool,
) -> Result<u8, CommandError> {
    if let Some(error) = error {
        let message = format!("the configuration that held {when} cannot be read: {error}");
        return Err(CommandError::new("config", exit::FAILED, message).hint("jr doctor"));
    }
    let Some(text) = text else {
        let message = format!("no file said anything {when}");
        return Err(CommandError::new("no_config", exit::NOTHING_TO_DO, message));
    };
    if context.ui.json {
        context.ui.document(text.as_bytes());
        return Ok(exit::OK);
    }
    let document = Document::parse(&text).map_err(|error| {
        CommandError::new("config", exit::FAILED, format!("it is not readable: {error}"))
    })?;
    let files: Vec<&str> = document.sources.iter().map(|source| source.name.as_str()).collect();
    context.ui.status(&format!("from low to high priority: {}", files.join(", ")));
    let text = print::stored(&document, origin);
    context.ui.data(&text);
    Ok(exit::OK)
}

/// All that holds: what is said for all environments, and the one that is meant with that applied.
fn effective(context: &Context) -> Table {
    let mut tree = context.configuration.merged().clone();
    let Ok((resolved, _)) = context.configuration.resolve() else { return tree };
    if let Some(Node { value: Value::Table(environments), .. }) = tree.get_mut("environments")
        && let Some(node) = environments.get_mut(&resolved.id)
    {
        node.value = Value::Table(resolved.tree);
    }
    tree
}

fn problem_views(context: &Context) -> Vec<ProblemView> {
    let loaded = context.configuration.loaded();
    let own = context.configuration.resolve().map(|(_, problems)| problems).unwrap_or_default();
    let view = |problem: &crate::config::problem::Problem| ProblemView {
        severity: problem.severity.word(),
        code: problem.code,
        message: problem.message.clone(),
        place: problem.place(&loaded.sources),
        suggestion: problem.suggestion.clone(),
    };
    loaded.problems.iter().chain(&own).map(view).collect()
}

impl SourceView {
    fn new(source: &Source) -> Self {
        Self { name: source.name.clone(), layer: source.layer.word(), used: !source.is_foreign }
    }

    fn line(source: &Source) -> String {
        if source.is_foreign {
            return format!("{} (left out: no key of jr's in it)", source.name);
        }
        source.name.clone()
    }
}
