//! `jr config show`: what all files say now, at another moment, or when a run was asked for.

use super::super::read::ReadArgs;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::config::document::{Document, StoredProblem, StoredSource};
use crate::config::print;
use crate::config::resolve::effective;
use crate::config::stored::StoredTree;
use crate::projections::query::Query;
use crate::projections::view::{InForceView, RecordedView};

/// The mode that holds where no option, variable or file says one.
const MODE_DEFAULT: &str = "main";

/// What is shown, whatever moment it is of.
struct Shown {
    environment: Option<String>,
    project: Option<String>,
    tree: StoredTree,
    sources: Vec<StoredSource>,
    problems: Vec<StoredProblem>,
}

/// `--json`.
#[derive(serde::Serialize)]
struct Printed<'a> {
    schema: &'static str,
    environment: &'a Option<String>,
    default_mode: &'a str,
    project: &'a Option<String>,
    values: &'a serde_json::Value,
    origins: &'a std::collections::BTreeMap<String, String>,
    sources: Vec<SourceView>,
    problems: &'a [StoredProblem],
}

/// A file in use.
#[derive(serde::Serialize)]
pub(super) struct SourceView {
    name: String,
    layer: String,
    used: bool,
}

/// As it is.
pub(super) fn now(context: &mut Context, origin: bool) -> u8 {
    let configuration = &context.configuration;
    let loaded = configuration.loaded();
    let (tree, own) = match configuration.resolve() {
        Ok((resolved, problems)) => (effective(loaded, &resolved), problems),
        Err(_) => (loaded.merged.clone(), Vec::new()),
    };
    let problems = loaded.problems.iter().chain(&own);
    let shown = Shown {
        environment: configuration.selection().ok().map(|chosen| chosen.id.to_string()),
        project: loaded.project.as_ref().map(|path| path.display().to_string()),
        tree: StoredTree::of(&tree, &loaded.sources),
        sources: loaded.sources.iter().map(StoredSource::of).collect(),
        problems: problems.map(|one| StoredProblem::of(one, &loaded.sources)).collect(),
    };
    let code = if loaded.has_errors() { exit::USAGE } else { exit::OK };
    print(context, &shown, origin);
    code
}

/// As it was at a moment, or is by a bundle.
pub(super) fn then(
    context: &mut Context,
    read: &ReadArgs,
    origin: bool,
) -> Result<u8, CommandError> {
    let document = in_force(context, read)?;
    let beside = document.shown.as_ref();
    let shown = Shown {
        project: beside.and_then(|shown| shown.project.clone()),
        tree: document.whole(),
        problems: beside.map(|shown| shown.problems.clone()).unwrap_or_default(),
        environment: Some(document.environment),
        sources: document.sources,
    };
    print(context, &shown, origin);
    Ok(exit::OK)
}

fn print(context: &mut Context, shown: &Shown, origin: bool) {
    let Shown { environment, project, tree, sources, problems } = shown;
    if context.ui.json {
        let mode = tree.values.get("default_mode").and_then(serde_json::Value::as_str);
        context.ui.json(&Printed {
            schema: "jr.config/1",
            environment,
            default_mode: mode.unwrap_or(MODE_DEFAULT),
            project,
            values: &tree.values,
            origins: &tree.origins,
            sources: sources.iter().map(SourceView::of).collect(),
            problems,
        });
        return;
    }
    let files: Vec<String> = sources.iter().map(line_of).collect();
    context.ui.status(&format!("from low to high priority: {}", files.join(", ")));
    for problem in problems {
        let place = problem.place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default();
        context.ui.warn(&format!("{place}{}", problem.message));
    }
    context.ui.data(&print::file(tree, origin));
}

/// What was in force at a moment, or is by a bundle; where no file had said anything, what jr
/// brings along.
///
/// # Errors
/// It cannot be read.
pub(in crate::cli::command) fn in_force(
    context: &mut Context,
    read: &ReadArgs,
) -> Result<Document, CommandError> {
    context.enter()?;
    context.look(read)?;
    let view: InForceView = context.read(&Query::InForce)?;
    if let Some(document) = stored(view.document.as_deref(), view.error, "then")? {
        return Ok(document);
    }
    context.ui.status("no file had said anything then: this is what jr brings along");
    let id = view.environment.parse().map_err(|_| unreadable("then", "it is of no environment"))?;
    // Where the state of a bundle's environment lies is not known then.
    let path = context.printing().map(|place| place.root.as_path());
    Ok(Document::packaged(&id, path))
}

/// What a run was asked for under, as it was stored.
pub(super) fn recorded(
    context: &mut Context,
    read: &ReadArgs,
    run: &str,
    origin: bool,
) -> Result<u8, CommandError> {
    context.enter()?;
    context.look(read)?;
    let recorded: RecordedView = context.read(&Query::Recorded { selector: run.to_owned() })?;
    let when = format!("when {} was asked for", recorded.run.run_id);
    let text = recorded.config_document;
    let Some(document) = stored(text.as_deref(), recorded.config_error, &when)? else {
        let message = format!("no file said anything {when}");
        return Err(CommandError::new("no_config", exit::NOTHING_TO_DO, message));
    };
    if context.ui.json {
        context.ui.document(text.unwrap_or_default().as_bytes());
        return Ok(exit::OK);
    }
    let files: Vec<String> = document.sources.iter().map(line_of).collect();
    context.ui.status(&format!("from low to high priority: {}", files.join(", ")));
    context.ui.data(&print::environment(&document.environment, &document.tree, origin));
    Ok(exit::OK)
}

fn stored(
    text: Option<&str>,
    error: Option<String>,
    when: &str,
) -> Result<Option<Document>, CommandError> {
    if let Some(error) = error {
        return Err(unreadable(when, &error));
    }
    let document = text.map(Document::parse).transpose();
    document.map_err(|error| unreadable(when, &error))
}

fn unreadable(when: &str, error: &str) -> CommandError {
    let message = format!("the configuration that held {when} cannot be read: {error}");
    CommandError::new("config", exit::FAILED, message).hint("jr doctor")
}

impl SourceView {
    pub(super) fn of(source: &StoredSource) -> Self {
        let StoredSource { name, layer, digest } = source.clone();
        Self { name, layer, used: digest.is_some() }
    }
}

fn line_of(source: &StoredSource) -> String {
    match source.digest {
        Some(_) => source.name.clone(),
        None => format!("{} (left out: no key of jr's in it)", source.name),
    }
}
