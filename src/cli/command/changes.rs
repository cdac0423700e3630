//! `jr diff --from`: what became different between two moments.

use super::read::ReadArgs;
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::table::{Cell, Medium, Style, Table};
use crate::cli::{exit, render, text, time_arg};
use crate::projections::query::{At, Query};
use crate::projections::view::{ChangesView, QueueChange, QueueView, RunChange, RunView};

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
    let document = context.read_bytes(&Query::Changes { from })?;
    let changes: ChangesView = parse(&document)?;
    if context.ui.json {
        context.ui.document(&document);
    } else if context.ui.quiet {
        for change in &changes.items {
            context.ui.line(&change.b.run_id);
        }
    } else {
        let text = told(&changes, context.ui.medium());
        context.ui.data(&text);
        let now = time_arg::now();
        let (from, to) = (&changes.from, &changes.to);
        let times = [from, to].map(|moment| {
            let time = moment.time.as_deref().map(|time| time_arg::show_exact(time, &now));
            time.unwrap_or_else(|| "before the first record".to_owned())
        });
        let news = if changes.same { ": nothing happened to runs and queues" } else { "" };
        let [begin, end] = times;
        context.ui.status(&format!("seq {} ({begin}) to {} ({end}){news}", from.seq, to.seq));
    }
    Ok(if changes.same { exit::OK } else { exit::FAILED })
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
