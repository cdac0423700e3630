//! `jr diff --from`: what became different between two moments.

use super::diff::{self, Difference};
use super::read::ReadArgs;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::table::{Cell, Medium, Style, Table};
use crate::cli::{exit, render, text, time_arg};
use crate::projections::query::{At, Query};
use crate::projections::view::{
    ChangesView, InForceView, QueueChange, QueueView, RunChange, RunView,
};

/// `--json`.
#[derive(serde::Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    changes: &'a ChangesView,
    /// What of the configuration in force differs.
    config: &'a [Difference],
}

/// Prints it; 0 if nothing became different, else 1.
///
/// # Errors
/// A moment that the log does not have.
pub fn moments(
    from: At,
    to: Option<At>,
    read: &ReadArgs,
    context: &mut Context,
) -> Result<u8, CommandError> {
    context.look(&ReadArgs { at: to.or(read.at), ..read.clone() })?;
    let mut changes: ChangesView = context.read(&Query::Changes { from })?;
    let config = configurations(from, to.or(read.at), context)?;
    changes.same &= config.is_empty();
    if context.ui.json {
        context.ui.json(&Document { changes: &changes, config: &config });
    } else if context.ui.quiet {
        for change in &changes.items {
            context.ui.line(&change.b.run_id);
        }
    } else {
        let text = told(&changes, context.ui.medium());
        context.ui.data(&text);
        diff::print(&config, context);
        let now = time_arg::now();
        let (from, to) = (&changes.from, &changes.to);
        let times = [from, to].map(|moment| {
            let time = moment.time.as_deref().map(|time| time_arg::show_exact(time, &now));
            time.unwrap_or_else(|| "before the first record".to_owned())
        });
        let nothing = ": nothing happened to runs, queues and the configuration";
        let news = if changes.same { nothing } else { "" };
        let [begin, end] = times;
        context.ui.status(&format!("seq {} ({begin}) to {} ({end}){news}", from.seq, to.seq));
    }
    Ok(if changes.same { exit::OK } else { exit::FAILED })
}

/// What the configuration in force at the one says otherwise than at the other: services and jobs
/// are declared in it.
fn configurations(
    from: At,
    to: Option<At>,
    context: &Context,
) -> Result<Vec<Difference>, CommandError> {
    let of = |at: Option<At>| -> Result<Option<String>, CommandError> {
        let view: InForceView = context.read_of(&Query::InForce, at)?;
        if let Some(error) = view.error {
            let words = format!("a configuration cannot be read, and is not compared: {error}");
            context.ui.warn(&words);
            return Ok(None);
        }
        Ok(Some(view.document.unwrap_or_default()))
    };
    match (of(Some(from))?, of(to)?) {
        (Some(old), Some(new)) => diff::of_configurations(&old, &new),
        _ => Ok(Vec::new()),
    }
}

fn told(changes: &ChangesView, medium: Medium) -> String {
    let mut out = String::new();
    if !changes.items.is_empty() {
        let mut table =
            Table::new(&["RUN", "NAME", "WAS", "IS", "ATTEMPT", "COMMAND"]).optional(&[4]);
        for RunChange { a, b } in &changes.items {
            let was = a.as_ref().map_or("-", word);
            table.row(vec![
                b.run_id.as_str().into(),
                b.name.as_str().into(),
                Cell::styled(was, Style::Dim),
                Cell::styled(word(b), render::style_of(b)),
                b.attempt.to_string().into(),
                text::command(&b.command).into(),
            ]);
        }
        out.push_str(&table.render(medium));
    }
    if !changes.queues.is_empty() {
        let mut table = Table::new(&["QUEUE", "WAS", "IS"]);
        for QueueChange { name, a, b } in &changes.queues {
            table.row(vec![
                name.as_str().into(),
                queue(a.as_ref()).into(),
                queue(b.as_ref()).into(),
            ]);
        }
        out.push_str(&table.render(medium));
    }
    out
}

fn word(run: &RunView) -> &str {
    run.outcome.as_deref().unwrap_or(&run.state)
}

fn queue(view: Option<&QueueView>) -> String {
    let Some(view) = view else { return "-".to_owned() };
    let paused = if view.paused { ", paused" } else { "" };
    format!("{} of {} running, {} queued{paused}", view.running, view.limit, view.queued)
}
