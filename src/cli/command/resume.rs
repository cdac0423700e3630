//! `jr resume`.

use super::Runnable;
use super::pause::hold;
use crate::cli::context::{Context, asker, command_id};
use crate::cli::error::CommandError;
use crate::cli::report::gather::extent;
use crate::cli::table::{Cell, Medium, Style, Table};
use crate::cli::{exit, offline};
use crate::daemon::foresee::foresee_resumed;
use crate::daemon::machine;
use crate::daemon::offline::OfflineError;
use crate::daemon::protocol::{HoldReply, HoldRequest};
use crate::log::part::{Origin, Part};
use crate::log::{Lock, Sharing};
use crate::model::{Envelope, State};
use crate::projections::query::Query;
use crate::projections::view::{DecisionView, List, RunView};
use crate::projections::{RESUMED, decisions};

/// Below the options.
const HELP: &str = "\
Examples:
  jr resume              # after a crash or reboot: with all that was left
  jr resume --dry-run    # what that would do
  jr resume train        # this one only; also what is paused
  jr resume 'render-*'

Exit codes:
  0; 3 no such run; 4 nothing of what was named was held or delayed";

/// Go on: with runs that are held or delayed, or after a crash or reboot with all that was left
///
/// With runs: undoes `jr pause`, ends the wait before a retry, and releases what was interrupted.
/// Without: starts a daemon if none runs, which compares the log with what really lives, adopts
/// that, and ends what is lost; then all that was interrupted and waits to be asked for is queued.
/// Each decision is printed with its reason and its records. What was paused stays so.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct ResumeArgs {
    /// Run ids, names, globs, last, all, label:k=v
    #[arg(value_name = "SEL")]
    selectors: Vec<String>,
    /// Change nothing; print what would be decided
    #[arg(long, conflicts_with = "selectors")]
    dry_run: bool,
    /// Take over an environment that came from another machine, or is a copy of one here
    #[arg(long, conflicts_with_all = ["selectors", "dry_run"])]
    take_over: bool,
}

/// `--json`.
#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    dry_run: bool,
    /// The last record before.
    from_seq: u64,
    /// The last one after.
    head_seq: u64,
    items: Vec<DecisionView>,
}

impl Runnable for ResumeArgs {
    const NAME: &'static str = "resume";
    const LIVING: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        if !self.selectors.is_empty() {
            return hold(context, "/v1/resume", "jr.resume/1", self.selectors);
        }
        if self.take_over && !context.is_unused() {
            take_over(context)?;
        }
        refuse_elsewhere(context)?;
        let document = match self.dry_run {
            _ if context.is_unused() => nothing(self.dry_run),
            true => look(context)?,
            false => resume(context)?,
        };
        if context.ui.json {
            context.ui.json(&document);
            return Ok(exit::OK);
        }
        let text = table(&document.items, context.ui.medium());
        context.ui.data(&text);
        let words = match (document.items.len(), self.dry_run) {
            (0, _) => "nothing to do".to_owned(),
            (1, true) => "1 decision; nothing was changed".to_owned(),
            (count, true) => format!("{count} decisions; nothing was changed"),
            (_, false) => {
                format!("records {} to {}", document.from_seq + 1, document.head_seq)
            }
        };
        context.ui.status(&words);
        Ok(exit::OK)
    }
}

/// What would be refused is not foreseen either.
///
/// # Errors
/// The environment was used on another machine last.
pub(super) fn refuse_elsewhere(context: &Context) -> Result<(), CommandError> {
    let root = &context.place.root;
    match machine::elsewhere(&context.place) {
        Some(why) => Err(CommandError::elsewhere(root, why)),
        None => Ok(()),
    }
}

/// Nothing ever ran there.
fn nothing(dry_run: bool) -> Document {
    Document { schema: "jr.resume/1", dry_run, from_seq: 0, head_seq: 0, items: Vec::new() }
}

fn resume(context: &Context) -> Result<Document, CommandError> {
    let from_seq = extent(context)?.last;
    let before = state_at(from_seq, context)?;
    let request =
        HoldRequest { command_id: command_id()?, selectors: Vec::new(), asker: Some(asker()) };
    let _resumed: HoldReply = context.post("/v1/resume", &request)?;
    let head_seq = extent(context)?.last;
    let records = records(from_seq, head_seq, context)?;
    let items = decisions(&before, &records);
    Ok(Document { schema: "jr.resume/1", dry_run: false, from_seq, head_seq, items })
}

/// What would be decided.
fn look(context: &Context) -> Result<Document, CommandError> {
    let (from_seq, items) = match foresee_resumed(&context.place) {
        Ok(foreseen) => {
            // By the same rule as what `jr resume` prints.
            let mut items = decisions(&foreseen.before, &foreseen.events);
            for item in &mut items {
                // Nothing of it is in the log.
                item.events.clear();
            }
            (foreseen.before.seq, items)
        }
        // It has recovered already.
        Err(OfflineError::DaemonLives) => {
            let waiting: List<RunView> = context.read(&Query::Interrupted)?;
            let items = waiting.items.into_iter().map(|run| resumed(run.run_id, run.name));
            (extent(context)?.last, items.collect())
        }
        Err(OfflineError::NoState(_)) => return Err(offline::no_log(&context.place)),
        Err(error) => {
            let error = CommandError::new("log", exit::FAILED, error.to_string());
            return Err(error.hint("jr log verify"));
        }
    };
    Ok(Document { schema: "jr.resume/1", dry_run: true, from_seq, head_seq: from_seq, items })
}

fn resumed(run_id: String, name: String) -> DecisionView {
    let (decision, reason) = ("resumed".to_owned(), RESUMED.to_owned());
    DecisionView { run_id, name, decision, reason, events: Vec::new() }
}

fn state_at(seq: u64, context: &Context) -> Result<State, CommandError> {
    let path = context.place.log();
    let origin = context.part(Part::Origin { first: seq + 1 })?;
    let origin = Origin::decode(&path, seq, &origin);
    let failed =
        |error: crate::log::LogError| CommandError::new("log", exit::FAILED, error.to_string());
    Ok(origin.map_err(failed)?.state)
}

fn records(after: u64, last: u64, context: &Context) -> Result<Vec<Envelope>, CommandError> {
    let (mut records, mut seq) = (Vec::new(), after);
    while seq < last {
        let frames = context.part(Part::Records { from: seq + 1, to: last })?;
        crate::cli::report::gather::each(&frames, &mut |stored| {
            seq = stored.envelope.seq;
            records.push(stored.envelope);
            Ok(())
        })?;
        if frames.is_empty() {
            break;
        }
    }
    Ok(records)
}

/// Nobody else may use it meanwhile.
fn take_over(context: &Context) -> Result<(), CommandError> {
    let place = &context.place;
    let busy = || {
        let message = "a daemon holds the environment: it is one of this machine already";
        CommandError::new("busy", exit::BUSY, message).hint("jr daemon status")
    };
    let _lock = Lock::attempt(&place.lock(), Sharing::Exclusive).map_err(|_| busy())?;
    machine::take_over(place)
        .map_err(|error| CommandError::new("io", exit::FAILED, error.to_string()))
}

fn table(items: &[DecisionView], medium: Medium) -> String {
    if items.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["RUN", "NAME", "DECISION", "EVENTS", "REASON"]).optional(&[3]);
    for item in items {
        let style = match item.decision.as_str() {
            "lost" => Style::Bad,
            "adopted" | "resumed" => Style::Good,
            _ => Style::Plain,
        };
        let events: Vec<String> = item.events.iter().map(ToString::to_string).collect();
        let events = if events.is_empty() { "-".to_owned() } else { events.join(", ") };
        table.row(vec![
            item.run_id.as_str().into(),
            item.name.as_str().into(),
            Cell::styled(&item.decision, style),
            events.into(),
            item.reason.as_str().into(),
        ]);
    }
    table.render(medium)
}
