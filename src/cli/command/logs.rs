//! `jr logs`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Runnable, argument};
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::output::{BLOCK_BYTES, Printer, keep_last_lines};
use crate::cli::{exit, text, time_arg};
use crate::daemon::client::monotonic_ms;
use crate::limits;
use crate::projections::query::Query;
use crate::projections::view::{List, OutputView};
use crate::runners::capture::StreamName;
use crate::runners::capture::reader::{Output, Piece};

/// Lines of each run on a terminal where none are asked for.
const TERMINAL_LINES: usize = 50;
/// Between two looks at the files.
const LOOK_MS: u64 = 50;
/// Between two questions whether the runs have ended.
const ASK_MS: u64 = 250;

/// Below the options.
const HELP: &str = "\
Examples:
  jr logs last               # its bytes, as they were printed
  jr logs -f web
  jr logs -n 100 -t 'api-*'  # each line with name and time
  jr logs build --attempt 1 --stderr

Exit codes:
  0; 3 no such run";

/// Print what runs printed
///
/// Every attempt's output is kept. One run prints its raw bytes; several get their name before
/// each line.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct LogsArgs {
    /// Run ids, names, globs, last, all, label:k=v [default: all]
    #[arg(value_name = "SEL")]
    selectors: Vec<String>,
    /// Go on until the runs have ended
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines of each run, or all [default: all, on a terminal 50]
    #[arg(short = 'n', long, value_name = "N|all", value_parser = lines)]
    lines: Option<Lines>,
    /// Put the time before each line
    #[arg(short, long)]
    timestamps: bool,
    /// Only standard output
    #[arg(long)]
    stdout: bool,
    /// Only standard error
    #[arg(long, conflicts_with = "stdout")]
    stderr: bool,
    /// Only this attempt
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    /// Only what was printed since
    #[arg(long, value_name = "TIME", value_parser = argument::time, allow_hyphen_values = true)]
    since: Option<i64>,
    /// Control characters as they are, also on a terminal
    #[arg(long)]
    raw: bool,
}

#[derive(Clone, Copy, Debug)]
enum Lines {
    All,
    Last(usize),
}

fn lines(text: &str) -> Result<Lines, String> {
    match text {
        "all" => Ok(Lines::All),
        number => number.parse().map(Lines::Last).map_err(|_| "a number, or all".to_owned()),
    }
}

impl Runnable for LogsArgs {
    const NAME: &'static str = "logs";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let query = Query::Outputs { selectors: self.selectors.clone(), attempt: self.attempt };
        let document = context.read_bytes(&query)?;
        if context.ui.json {
            context.ui.document(&document);
            return Ok(exit::OK);
        }
        let list: List<OutputView> = parse(&document)?;
        let mut runs = self.by_run(&list.items, context);
        for run in &mut runs {
            self.print(run, context)?;
        }
        if self.follow {
            self.follow(&mut runs, context)?;
        }
        for run in &mut runs {
            let mut out = Vec::new();
            run.printer.finish(None, &mut out);
            context.ui.raw(&out);
        }
        Ok(exit::OK)
    }
}

/// One run whose output is printed.
#[derive(Debug)]
struct LoggedRun {
    views: Vec<OutputView>,
    printer: Printer,
    /// How far each file is printed.
    printed: BTreeMap<(u32, StreamName), u64>,
}

impl LogsArgs {
    fn streams(&self) -> &'static [StreamName] {
        match (self.stdout, self.stderr) {
            (true, _) => &[StreamName::Stdout],
            (_, true) => &[StreamName::Stderr],
            _ => &StreamName::BOTH,
        }
    }

    /// Oldest run first, each with its attempts.
    fn by_run(&self, views: &[OutputView], context: &Context) -> Vec<LoggedRun> {
        let mut order = Vec::new();
        let mut grouped: BTreeMap<&str, Vec<OutputView>> = BTreeMap::new();
        let mut ids_of_name: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for view in views {
            if !grouped.contains_key(view.run_id.as_str()) {
                order.push(view.run_id.as_str());
            }
            grouped.entry(&view.run_id).or_default().push(view.clone());
            ids_of_name.entry(&view.name).or_default().insert(&view.run_id);
        }
        let escape = context.ui.stdout_is_terminal() && !self.raw;
        let is_alone = order.len() == 1;
        let prefix = |view: &OutputView| {
            if is_alone {
                return String::new();
            }
            let name = text::line(&view.name);
            match ids_of_name[view.name.as_str()].len() {
                1 => format!("{name} │ "),
                _ => format!("{name}-{} │ ", view.run_id),
            }
        };
        let logged = |run_id: &str| {
            let views = grouped.remove(run_id)?;
            let zone = self.timestamps.then(time_arg::zone);
            let printer = Printer::new(prefix(views.first()?), zone, escape);
            Some(LoggedRun { views, printer, printed: BTreeMap::new() })
        };
        order.into_iter().filter_map(logged).collect()
    }

    /// Prints what is there of a run, in the order of its indexes.
    fn print(&self, run: &mut LoggedRun, context: &mut Context) -> Result<(), CommandError> {
        let mut outputs = Vec::new();
        let mut pieces: Vec<(usize, Piece)> = Vec::new();
        for view in &run.views {
            let fail = |error: io::Error| CommandError::io(&view.base, &error);
            let mut output =
                Output::open(Path::new(&view.base), limits::OUTPUT_BYTES_MAX).map_err(fail)?;
            for piece in output.pieces(None).map_err(fail)? {
                let end = run.printed.entry((view.attempt, piece.stream)).or_default();
                *end = piece.range.end.max(*end);
                if self.wants(&piece) {
                    pieces.push((outputs.len(), piece));
                }
            }
            outputs.push(output);
        }
        let for_terminal = context.ui.stdout_is_terminal();
        let default = if for_terminal { Lines::Last(TERMINAL_LINES) } else { Lines::All };
        let wanted = self.lines.unwrap_or(default);
        let all = pieces.first().map(|(_, piece)| piece.range.start);
        let count = pieces.len();
        if let Lines::Last(lines) = wanted {
            keep_last_lines(&outputs, &mut pieces, lines)
                .map_err(|error| CommandError::io("output", &error))?;
        }
        let is_cut = pieces.len() < count || pieces.first().map(|(_, p)| p.range.start) != all;
        if is_cut && self.lines.is_none() {
            let name = text::line(&run.views[0].name).into_owned();
            context
                .ui
                .status(&format!("{name}: the last {TERMINAL_LINES} lines; -n all shows all"));
        }
        for (output, piece) in pieces {
            print_piece(&outputs[output], &piece, &mut run.printer, context)?;
        }
        Ok(())
    }

    fn wants(&self, piece: &Piece) -> bool {
        let wall = piece.at.map(|at| at.wall.0);
        let is_recent = self.since.is_none_or(|since| wall.is_none_or(|wall| wall >= since));
        is_recent && self.streams().contains(&piece.stream)
    }

    /// Prints what comes, until no attempt is open and none can follow.
    fn follow(&self, runs: &mut [LoggedRun], context: &mut Context) -> Result<(), CommandError> {
        let mut ask_ms = 0;
        loop {
            let is_open = runs.iter().any(LoggedRun::is_open);
            for run in runs.iter_mut() {
                run.print_new(self.streams(), context)?;
            }
            context.ui.flush()?;
            if !is_open {
                return Ok(());
            }
            let now = monotonic_ms();
            if now >= ask_ms {
                ask_ms = now + ASK_MS;
                self.look_again(runs, context)?;
            }
            std::thread::sleep(Duration::from_millis(LOOK_MS));
        }
    }

    /// Asks which attempts there are now.
    fn look_again(&self, runs: &mut [LoggedRun], context: &Context) -> Result<(), CommandError> {
        let open = runs.iter().filter(|run| run.is_open());
        let selectors: Vec<String> = open.map(|run| run.views[0].run_id.clone()).collect();
        if selectors.is_empty() {
            return Ok(());
        }
        let query = Query::Outputs { selectors, attempt: self.attempt };
        let list: List<OutputView> = context.read(&query)?;
        for run in runs.iter_mut().filter(|run| run.is_open()) {
            let id = run.views[0].run_id.clone();
            let views = list.items.iter().filter(|view| view.run_id == id);
            let views: Vec<OutputView> = views.cloned().collect();
            if !views.is_empty() {
                run.views = views;
            }
        }
        Ok(())
    }
}

impl LoggedRun {
    fn is_open(&self) -> bool {
        self.views.iter().any(|view| view.open || view.run_open)
    }

    fn print_new(
        &mut self,
        streams: &[StreamName],
        context: &mut Context,
    ) -> Result<(), CommandError> {
        let now = Some(time_arg::now().timestamp().as_millisecond());
        let mut out = Vec::new();
        for view in &self.views {
            let output = Output::open(Path::new(&view.base), limits::OUTPUT_BYTES_MAX)
                .map_err(|error| CommandError::io(&view.base, &error))?;
            for stream in streams {
                let printed = self.printed.entry((view.attempt, *stream)).or_default();
                let kept = output.kept(*stream);
                // A child may shorten its own output; what comes then is new.
                if kept.end < *printed {
                    *printed = 0;
                }
                let mut buffer = vec![0_u8; BLOCK_BYTES];
                let mut from = (*printed).max(kept.start);
                while from < kept.end {
                    let count = output
                        .read_at(*stream, from, &mut buffer)
                        .map_err(|error| CommandError::io(&view.base, &error))?;
                    if count == 0 {
                        break;
                    }
                    self.printer.push(*stream, &buffer[..count], now, &mut out);
                    context.ui.raw(&out);
                    context.ui.flush()?;
                    out.clear();
                    from += count as u64;
                }
                *printed = from;
            }
        }
        Ok(())
    }
}

fn print_piece(
    output: &Output,
    piece: &Piece,
    printer: &mut Printer,
    context: &mut Context,
) -> Result<(), CommandError> {
    if piece.is_pruned {
        let bytes = piece.range.end - piece.range.start;
        context.ui.status(&format!("the oldest {bytes} bytes are pruned"));
        return Ok(());
    }
    let mut out = Vec::new();
    let mut buffer = vec![0_u8; BLOCK_BYTES];
    let mut from = piece.range.start;
    while from < piece.range.end {
        let left = usize::try_from(piece.range.end - from).unwrap_or(BLOCK_BYTES);
        let count = output
            .read_at(piece.stream, from, &mut buffer[..left.min(BLOCK_BYTES)])
            .map_err(|error| CommandError::io("output", &error))?;
        if count == 0 {
            break;
        }
        printer.push(piece.stream, &buffer[..count], piece.at.map(|at| at.wall.0), &mut out);
        context.ui.raw(&out);
        out.clear();
        if context.ui.waiting() >= BLOCK_BYTES {
            context.ui.flush()?;
        }
        from += count as u64;
    }
    Ok(())
}
