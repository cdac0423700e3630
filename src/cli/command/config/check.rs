//! `jr config check`: all that is wrong, at once.

use std::io::Read as _;
use std::path::Path;

use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::excerpt::Excerpts;
use crate::cli::exit;
use crate::config::document::StoredSource;
use crate::config::load::{FileKind, Loaded, load_bytes, load_file};
use crate::config::problem::{Problem, Severity};
use crate::config::resolve::resolve;
use crate::config::select::{declared, problems, select};
use crate::config::source::Layer;
use crate::limits;

use super::show::SourceView;

/// What a file is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    /// Anything that jr.toml may say
    Settings,
    /// The same, with at least one service
    Services,
    /// Host names and ports of services: a table for each
    Runtime,
}

impl Kind {
    fn of_file(self) -> FileKind {
        match self {
            Self::Settings | Self::Services => FileKind::Settings,
            Self::Runtime => FileKind::Runtime,
        }
    }
}

/// `--json`.
#[derive(Serialize)]
struct Checked {
    schema: &'static str,
    ok: bool,
    errors: usize,
    warnings: usize,
    files: Vec<SourceView>,
    environments: Vec<String>,
    items: Vec<Item>,
}

/// One mistake.
#[derive(Serialize)]
struct Item {
    severity: &'static str,
    code: &'static str,
    message: String,
    file: Option<String>,
    line: Option<usize>,
    column: Option<usize>,
    suggestion: Option<String>,
}

/// Mistakes that are shown; a document has all.
const SHOWN: usize = 100;
/// Mistakes that another file, read together with this one, may mend.
const OF_A_PART: [&str; 4] = ["no_type", "no_command", "unknown_service", "environment_not_found"];

pub(super) fn check(
    context: &mut Context,
    file: Option<&Path>,
    kind: Option<Kind>,
) -> Result<u8, CommandError> {
    let alone = file.map(|file| read(file, kind)).transpose()?;
    let loaded = alone.as_ref().unwrap_or_else(|| context.configuration.loaded());
    let mut found = all_problems(loaded);
    if let Some(file) = file {
        soften(&mut found, loaded, file);
    }
    if kind == Some(Kind::Services)
        && loaded.trees.iter().all(|tree| !tree.contains_key("services"))
    {
        let problem = Problem::error("no_services", "it declares no service");
        let place = loaded.sources.len().saturating_sub(1);
        found.push(problem.suggest("add: [services.NAME]").at(place, 0..0));
    }
    let count = |severity| found.iter().filter(|problem| problem.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let environments: Vec<String> =
        declared(&loaded.merged).into_iter().map(str::to_owned).collect();
    let files = loaded.sources.iter().filter(|source| source.layer != Layer::Packaged);
    let files: Vec<SourceView> =
        files.map(|source| SourceView::of(&StoredSource::of(source))).collect();
    if context.ui.json {
        let items = found.iter().map(|problem| Item::new(problem, loaded)).collect();
        let schema = "jr.config_check/1";
        let ok = errors == 0;
        context.ui.json(&Checked { schema, ok, errors, warnings, files, environments, items });
        return Ok(if ok { exit::OK } else { exit::USAGE });
    }
    let color = context.ui.medium().color;
    let mut excerpts = Excerpts::new(&loaded.sources, color);
    let shown = found.iter().take(SHOWN).map(|problem| excerpts.render(problem) + "\n");
    let shown: String = shown.collect();
    context.ui.data(&shown);
    if found.len() > SHOWN {
        context.ui.line(&format!("and {} more: jr config check --json", found.len() - SHOWN));
    }
    let counts =
        format!("{}, {}", number(files.len(), "file"), number(environments.len(), "environment"));
    let told = format!("{}, {}", number(errors, "error"), number(warnings, "warning"));
    if errors > 0 {
        let message = format!("{told} in {counts}");
        return Err(CommandError::new("bad_config", exit::USAGE, message));
    }
    let also =
        if warnings > 0 { format!("; {}", number(warnings, "warning")) } else { String::new() };
    // What was found stands before the sum of it.
    context.ui.flush()?;
    context.ui.status(&format!("ok: {counts}{also}"));
    Ok(exit::OK)
}

fn number(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn read(file: &Path, kind: Option<Kind>) -> Result<Loaded, CommandError> {
    let kind = kind.map(Kind::of_file);
    if file != Path::new("-") {
        return Ok(load_file(file, kind));
    }
    let mut bytes = Vec::new();
    // One byte more is enough to see that it is too much.
    let limit = limits::CONFIG_BYTES as u64 + 1;
    let read = std::io::stdin().lock().take(limit).read_to_end(&mut bytes);
    read.map_err(|error| CommandError::io("standard input", &error))?;
    Ok(load_bytes("<stdin>", bytes, kind))
}

/// Of the files, of the choice of an environment, and of each that is declared; each once, in the
/// order of the files.
fn all_problems(loaded: &Loaded) -> Vec<Problem> {
    let mut found = loaded.problems.clone();
    found.extend(problems(loaded));
    for id in declared(&loaded.merged) {
        if let Ok(selection) = select(loaded, Some(id), None) {
            let (_, own) = resolve(loaded, &selection);
            // What is shared by all environments is wrong in each.
            found.extend(own.into_iter().filter(|problem| !loaded.problems.contains(problem)));
        }
    }
    found.sort_by(|a, b| {
        let place = |problem: &Problem| (problem.source, problem.span.start, problem.code);
        place(a).cmp(&place(b)).then_with(|| a.message.cmp(&b.message))
    });
    found.dedup();
    found
}

/// A file that is only a part of something is not wrong where another one has to say more.
fn soften(found: &mut Vec<Problem>, loaded: &Loaded, file: &Path) {
    if !loaded.runtime.is_empty() {
        // It speaks of services that are declared elsewhere.
        found.retain(|problem| problem.code != "unknown_service");
    }
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
    if !name.is_some_and(|name| name.ends_with(".local.toml")) {
        return;
    }
    for problem in found.iter_mut().filter(|problem| OF_A_PART.contains(&problem.code)) {
        problem.severity = Severity::Warning;
        problem.suggestion = Some("all files together: jr config check".to_owned());
    }
}

impl Item {
    fn new(problem: &Problem, loaded: &Loaded) -> Self {
        let source = problem.source.and_then(|source| loaded.sources.get(source));
        let place = source.filter(|source| !source.text.is_empty());
        let place = place.map(|source| source.line_and_column(problem.span.start));
        Self {
            severity: problem.severity.word(),
            code: problem.code,
            message: problem.message.clone(),
            file: source.map(|source| source.name.clone()),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            suggestion: problem.suggestion.clone(),
        }
    }
}
