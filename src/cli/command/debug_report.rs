//! `jr debug-report`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::read::ReadArgs;
use super::{Runnable, argument};
use crate::bundle::layout::{Header, Redactions};
use crate::bundle::redact::Redactor;
use crate::bundle::{BundleError, Writer, layout};
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::report::cause::Cause;
use crate::cli::report::configured::Configured;
use crate::cli::report::deep::Deep;
use crate::cli::report::facts::Host;
use crate::cli::report::failures::{Failure, failures};
use crate::cli::report::gather::{Extent, Gathered, extent, gather};
use crate::cli::report::known::Known;
use crate::cli::report::output;
use crate::cli::{exit, offline, text, time_arg, ui};
use crate::daemon::doctor::{self, Depth};
use crate::log::Blobs;
use crate::log::atomic;
use crate::model::RunId;
use crate::projections::query::{At, EventsQuery, PsQuery, Query};
use crate::projections::view::{EventView, List, RunView, ShowView};

/// Records of a bundle where nobody says from where on.
const RECORDS: u64 = 1_000_000;
/// Bundles of one second that get names.
const NAMES: u32 = 1_000;
/// What is copied at once.
const PIECE_BYTES: usize = 1 << 17;
/// Below the options.
const HELP: &str = "\
Examples:
  jr debug-report                        # one file to send
  jr debug-report last --include-output  # about this run
  jr debug-report --since -2h -o today.jrb
  jr history --bundle today.jrb          # read it, anywhere

Exit codes:
  0 the bundle is made, whatever it shows; 3 no such run, or nothing ever happened";

/// Write a debug bundle: the log, readable with any command on any machine
///
/// Says what failed, the probable cause, and what to do next. No secret is in it: the log has none,
/// and what looks like one is taken out of output and facts (redactions.json in it says where).
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct DebugReportArgs {
    /// About this run: from its admission on [default: the newest million records]
    #[arg(value_name = "RUN")]
    selector: Option<String>,
    /// Write it to FILE, or - for standard output [default: a new file in the environment's
    /// directory]
    #[arg(short, long, value_name = "FILE.jrb")]
    output: Option<PathBuf>,
    /// From then on
    #[arg(long, value_name = "SEQ|TIME", value_parser = argument::at, allow_hyphen_values = true)]
    since: Option<At>,
    /// Up to then
    #[arg(long, value_name = "SEQ|TIME", value_parser = argument::at, allow_hyphen_values = true)]
    at: Option<At>,
    /// Also what the runs printed, the newest 16 MiB of each stream, redacted
    #[arg(long)]
    include_output: bool,
    /// Also of runs whose secrets are not known here any more, so that they cannot be taken out
    #[arg(long, requires = "include_output")]
    unknown_secrets: bool,
    /// Nothing about this machine and this moment
    #[arg(long)]
    no_facts: bool,
    /// Also what costs more: the whole log verified, process trees, open files, counters of
    /// cgroups, what the kernel said of memory
    #[arg(long, conflicts_with = "no_facts")]
    deep: bool,
}

/// `--json`.
#[derive(serde::Serialize)]
struct Document<'a> {
    schema: &'static str,
    path: String,
    bytes: u64,
    environment: &'a str,
    first_seq: u64,
    head_seq: u64,
    records: u64,
    redactions: &'a Redactions,
    /// Runs that ended otherwise than they should; the last of them are the items.
    failed: u64,
    items: &'a [Failure],
}

impl Runnable for DebugReportArgs {
    const NAME: &'static str = "debug-report";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        self.refuse_terminal(context)?;
        let told = self.make(context);
        let told = told.map_err(|error| match &*error.code {
            // What a bundle is made of cannot be had.
            "log" | "protocol" => {
                let before =
                    error.hint.as_ref().map(|hint| format!("{hint}; ")).unwrap_or_default();
                error.hint(format!("{before}what can be told nevertheless: jr doctor --deep"))
            }
            _ => error,
        })?;
        tell(&told, context)?;
        if told.is_streamed {
            let copied = stream(&told.path);
            let gone = std::fs::remove_file(&told.path);
            let failed = |error| CommandError::io(told.path.display(), &error);
            copied.and(gone).map_err(failed)?;
        }
        Ok(exit::OK)
    }
}

/// What was made.
struct Told {
    path: PathBuf,
    /// It goes to standard output, and is nowhere then.
    is_streamed: bool,
    wanted: Extent,
    redactions: Redactions,
    /// How many runs failed.
    failed: u64,
    /// The last of them.
    failures: Vec<Failure>,
}

impl DebugReportArgs {
    fn is_streamed(&self) -> bool {
        self.output.as_deref() == Some(Path::new("-"))
    }

    /// Bytes are for a file or a program.
    fn refuse_terminal(&self, context: &Context) -> Result<(), CommandError> {
        if !self.is_streamed() {
            return Ok(());
        }
        let message = if context.ui.stdout_is_terminal() {
            "a bundle is no text: standard output is a terminal"
        } else if context.ui.json {
            "the bundle and --json cannot both go to standard output"
        } else {
            return Ok(());
        };
        Err(CommandError::usage(message).hint("name a file: jr debug-report -o FILE.jrb"))
    }

    fn make(&self, context: &mut Context) -> Result<Told, CommandError> {
        let all = extent(context)?;
        if all.last == 0 {
            return Err(offline::no_log(&context.place));
        }
        context.look(&ReadArgs { at: self.at, bundle: None })?;
        let run = self.selector.as_ref().map(|selector| show(selector, context)).transpose()?;
        let run = run.as_ref();
        let wanted = self.extent(all, run, context)?;
        let writer = self.begin(wanted, run, context)?;
        let (path, is_streamed) = (writer.path().to_owned(), self.is_streamed());
        let (gathered, redactions) = self.write(writer, wanted, all.first, run, context)?;
        if !is_streamed {
            remember(&path, context)?;
        }
        let failures = failures(run, &gathered, context)?;
        let failed = match run {
            Some(_) => failures.len() as u64,
            None => gathered.failed.count,
        };
        Ok(Told { path, is_streamed, wanted, redactions, failed, failures })
    }

    /// Which records go into it.
    fn extent(
        &self,
        all: Extent,
        run: Option<&RunView>,
        context: &Context,
    ) -> Result<Extent, CommandError> {
        let last = self.at.map_or(Ok(all.last), |at| newest_seq(at, context))?;
        let first = match (self.since, run) {
            (Some(At::Seq(seq)), _) => seq,
            (Some(since), _) => newest_seq(since, context)?.saturating_add(1),
            (None, Some(run)) => run.first_seq,
            (None, None) => last.saturating_sub(RECORDS - 1),
        };
        if last < all.first {
            let message =
                format!("the log begins after that: what came before seq {} was pruned", all.first);
            return Err(CommandError::new("pruned", exit::USAGE, message).hint("see: jr log stat"));
        }
        Ok(Extent { first: first.clamp(all.first, last), last })
    }

    /// Where it is to be. Nothing that is there already goes, unless it was named.
    fn begin(
        &self,
        wanted: Extent,
        run: Option<&RunView>,
        context: &Context,
    ) -> Result<Writer, CommandError> {
        let header = Header {
            format: layout::FORMAT,
            jr: env!("CARGO_PKG_VERSION").to_owned(),
            environment: context.place.id.to_string(),
            first_seq: wanted.first,
            head_seq: wanted.last,
            run_id: run.map(|run| run.run_id.clone()),
            has_output: self.include_output,
        };
        if let Some(path) = self.output.as_ref().filter(|_| !self.is_streamed()) {
            let path = std::path::absolute(path)
                .map_err(|error| CommandError::io("the bundle's path", &error))?;
            return Writer::create(&path, &header)
                .map_err(|error| CommandError::of_bundle(&path, &error));
        }
        let folder = context.place.bundles();
        atomic::create_directory(&folder)
            .map_err(|error| CommandError::new("io", exit::FAILED, error.to_string()))?;
        let time = time_arg::now().strftime("%Y%m%dT%H%M%S").to_string();
        let about = run.map(|run| format!("-{}", run.run_id)).unwrap_or_default();
        let name = format!("{}{about}-{time}", context.place.id);
        create_next(&folder, &name, &header)
    }

    fn write(
        &self,
        mut writer: Writer,
        wanted: Extent,
        first_kept: u64,
        run: Option<&RunView>,
        context: &Context,
    ) -> Result<(Gathered, Redactions), CommandError> {
        let path = writer.path().to_owned();
        let failed = |error| CommandError::of_bundle(&path, &error);
        let gathered = gather(wanted, first_kept, &mut writer, context)?;
        let blobs = Blobs::new(&context.place.blobs());
        for digest in &gathered.blobs {
            // What is gone is told by whoever asks for it.
            if let Ok(bytes) = blobs.get(*digest) {
                writer.blob(*digest, &bytes).map_err(failed)?;
            }
        }
        let configured = Configured::of(&context.configuration);
        let mut known = Known::here(&context.place, configured, gathered.runs.values());
        if self.include_output {
            known.prove(&context.place, gathered.runs.values());
        }
        let redactor = Redactor::new(known.values.iter().map(Vec::as_slice));
        let mut redactions = Redactions::default();
        if self.include_output {
            let runs = match run.and_then(|run| run.run_id.parse::<RunId>().ok()) {
                Some(run) => gathered.family(run),
                None => gathered.runs.keys().copied().collect(),
            };
            let known = (!self.unknown_secrets).then_some(&known);
            let ways = (&context.place, &redactor);
            let copied = output::copy(&runs, &gathered, known, ways, &mut writer);
            redactions = copied.map_err(failed)?;
        }
        redactions.too_short = redactor.too_short();
        let facts = if self.no_facts {
            Vec::new()
        } else {
            facts(self.deep, &redactor, &mut redactions, context)?
        };
        writer.redactions(&redactions).map_err(failed)?;
        for (name, bytes) in facts {
            writer.facts(name, &bytes).map_err(failed)?;
        }
        writer.finish(gathered.head_hash, &gathered.projections).map_err(failed)?;
        Ok((gathered, redactions))
    }
}

/// The first name that is free: `NAME.jrb`, `NAME-2.jrb`, …
fn create_next(folder: &Path, name: &str, header: &Header) -> Result<Writer, CommandError> {
    for number in 1..=NAMES {
        let ending = if number == 1 { String::new() } else { format!("-{number}") };
        let path = folder.join(format!("{name}{ending}.jrb"));
        match Writer::create_new(&path, header) {
            Err(BundleError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => return made.map_err(|error| CommandError::of_bundle(&path, &error)),
        }
    }
    let message = format!("{} has {NAMES} bundles of this second", folder.display());
    Err(CommandError::new("busy", exit::BUSY, message).hint("name a file: -o FILE.jrb"))
}

/// Copies a bundle to standard output.
fn stream(path: &Path) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            count => ui::write_all(rustix::stdio::stdout(), &piece[..count])?,
        }
    }
}

/// Prints where it is and what it shows.
fn tell(told: &Told, context: &mut Context) -> Result<(), CommandError> {
    let bytes = told.path.metadata().map(|data| data.len());
    let bytes = bytes.map_err(|error| CommandError::io(told.path.display(), &error))?;
    let Extent { first, last } = told.wanted;
    let shown = told.path.display().to_string();
    if context.ui.json {
        let environment = context.place.id.to_string();
        context.ui.json(&Document {
            schema: "jr.debug_report/1",
            path: shown,
            bytes,
            environment: &environment,
            first_seq: first,
            head_seq: last,
            records: last - first + 1,
            redactions: &told.redactions,
            failed: told.failed,
            items: &told.failures,
        });
        return Ok(());
    }
    if !told.is_streamed {
        context.ui.line(&shown);
        context.ui.flush()?;
    }
    if context.ui.quiet {
        return Ok(());
    }
    context.ui.status(&format!("records {first} to {last}, {}", text::size(bytes)));
    let taken: u64 = told.redactions.items.iter().map(|item| item.count).sum();
    if taken > 0 {
        context.ui.status(&format!("{taken} secrets taken out: redactions.json in it says where"));
    }
    let redactions = &told.redactions;
    if redactions.too_short > 0 {
        let count = redactions.too_short;
        context.ui.status(&format!("known secrets too short to be looked for: {count}"));
    }
    for left in &told.redactions.left_out {
        let much = match left.bytes {
            0 => String::new(),
            bytes => format!(" {} of", text::size(bytes)),
        };
        context.ui.status(&format!("left out{much} {}: {}", left.member, left.why));
    }
    tell_failures(told, context);
    Ok(())
}

fn tell_failures(told: &Told, context: &Context) {
    if told.failures.is_empty() {
        context.ui.status("nothing failed in it");
    }
    for failure in &told.failures {
        let name = text::line(&failure.name);
        let outcome = failure.outcome.as_deref().unwrap_or("-");
        context.ui.status(&format!("{name} ({}) {outcome}", failure.run_id));
        let Cause { message, evidence, next, .. } = &failure.cause;
        context.ui.status(&format!("  probable cause: {}", text::line(message)));
        context.ui.status(&format!("  {}", text::line(evidence)));
        context.ui.status(&format!("  next: {}", text::line(next)));
    }
    let more = told.failed.saturating_sub(told.failures.len() as u64);
    if more > 0 {
        context.ui.status(&format!("and {more} more that failed: jr history --failed"));
    }
}

fn show(selector: &str, context: &Context) -> Result<RunView, CommandError> {
    let query = Query::Show { selector: selector.to_owned() };
    context.read::<ShowView>(&query).map(|view| view.run)
}

/// The last record of a moment.
fn newest_seq(at: At, context: &Context) -> Result<u64, CommandError> {
    let query = Query::Events(EventsQuery { limit: Some(1), ..EventsQuery::default() });
    let newest: List<EventView> = context.read_of(&query, Some(at))?;
    Ok(newest.items.last().map_or(0, |event| event.seq))
}

/// What the doctor finds, and the machine; with `--deep` also what costs more to look at.
fn facts(
    is_deep: bool,
    redactor: &Redactor,
    redactions: &mut Redactions,
    context: &Context,
) -> Result<Vec<(&'static str, Vec<u8>)>, CommandError> {
    let (found, findings) = doctor::examine(&context.place, Depth { whole_log: is_deep });
    let mut facts =
        vec![("doctor.json", serde_json::json!({"facts": found, "findings": findings}))];
    if is_deep {
        let living = context.read::<List<RunView>>(&Query::Ps(PsQuery::default()))?.items;
        facts.push(("deep.json", serde_json::json!(Deep::of(&living))));
    }
    facts.push((Host::FILE, serde_json::json!(Host::here())));
    facts.sort_by_key(|(name, _)| *name);
    let mut written = Vec::new();
    for (name, mut document) in facts {
        let member = format!("facts/{name}");
        redactions.items.extend(redactor.redact_document(&member, &mut document));
        let json = serde_json::to_vec_pretty(&document);
        let failed = |error: serde_json::Error| {
            CommandError::new("internal", exit::FAILED, error.to_string())
        };
        written.push((name, json.map_err(failed)?));
    }
    Ok(written)
}

/// For `jr debug last`.
fn remember(path: &Path, context: &Context) -> Result<(), CommandError> {
    use std::os::unix::ffi::OsStrExt as _;

    let note = context.place.newest_bundle();
    let written = atomic::create_directory(&context.place.bundles())
        .and_then(|()| atomic::atomic_write(&note, path.as_os_str().as_bytes()));
    written.map_err(|error| CommandError::new("io", exit::FAILED, error.to_string()))
}
