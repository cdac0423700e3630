//! The output of one run as `jr logs` reads it: what is there, then what comes.
//!
//! Files are opened for one look and closed after it, so thousands of runs can be followed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::context::Context;
use super::error::CommandError;
use super::output::{BLOCK_BYTES, LastLines, Printer};
use super::{text, time_arg};
use crate::limits;
use crate::model::UnixMillis;
use crate::projections::view::OutputView;
use crate::runners::capture::StreamName;
use crate::runners::capture::reader::{Output, Piece};

/// The output of an attempt, as it was at the moment that is looked at.
///
/// # Errors
/// A file cannot be read.
pub fn open_output(view: &OutputView) -> io::Result<Output> {
    let base = view.base();
    let opened = match view.until_ms {
        Some(until) => Output::open_until(base, limits::OUTPUT_BYTES_MAX, UnixMillis(until)),
        None => Output::open(base, limits::OUTPUT_BYTES_MAX),
    };
    opened.map(|output| output.without([view.stdout_left_out, view.stderr_left_out]))
}

/// Of output that was printed, where so much of it is there.
fn what_is_left(left: Option<u64>, absent: Option<&str>) -> String {
    match (left, absent) {
        (Some(left), _) => format!("{left} are left"),
        (None, Some(why)) => format!("which the bundle has not ({why})"),
        (None, None) => "which are gone".to_owned(),
    }
}

/// The last that both streams of an attempt have, for who looks for words in it.
pub fn tail(view: &OutputView, bytes_max: u64) -> String {
    let Ok(output) = open_output(view) else { return String::new() };
    let mut text = String::new();
    for stream in StreamName::BOTH {
        let kept = output.kept(stream);
        let start = kept.start.max(kept.end.saturating_sub(bytes_max));
        let mut bytes = vec![0; usize::try_from(kept.end - start).unwrap_or(0)];
        let count = output.read_at(stream, start, &mut bytes).unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        text.push('\n');
    }
    text
}

/// What of the output is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which streams.
    pub streams: &'static [StreamName],
    /// Only what was seen since, in Unix milliseconds.
    pub since: Option<i64>,
    /// Only so many lines of each run.
    pub lines: Option<usize>,
    /// Only lines that match, and how many lines counts these.
    pub has_pattern: bool,
}

/// One run.
#[derive(Debug)]
pub struct RunOutput {
    /// Its id.
    pub run_id: String,
    /// Its name.
    pub name: String,
    /// What becomes of its bytes.
    pub printer: Printer,
    attempts: BTreeMap<u32, OutputView>,
    /// How far each file is printed.
    printed: BTreeMap<(u32, StreamName), u64>,
    /// Attempts that are over and printed to their ends.
    closed: BTreeSet<u32>,
    /// Files whose loss was told.
    told: BTreeSet<(u32, StreamName)>,
}

impl RunOutput {
    /// Of these attempts of one run; `None` if there are none.
    pub fn new(views: Vec<OutputView>, printer: Printer) -> Option<Self> {
        let first = views.first()?;
        let (run_id, name) = (first.run_id.clone(), first.name.clone());
        let (printed, closed, told) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let attempts = BTreeMap::new();
        let mut run = Self { run_id, name, printer, attempts, printed, closed, told };
        run.refresh(views);
        Some(run)
    }

    /// Takes what is now known of its attempts; attempt 0 stands for none.
    pub fn refresh(&mut self, views: Vec<OutputView>) {
        self.attempts = views.into_iter().map(|view| (view.attempt, view)).collect();
    }

    /// It is gone: nothing more will come.
    pub fn close(&mut self) {
        for view in self.attempts.values_mut() {
            (view.open, view.run_open) = (false, false);
        }
    }

    /// The attempt that has begun or is about to, by the log.
    pub fn open_attempt(&self) -> Option<u32> {
        self.attempts.values().rfind(|view| view.open).map(|view| view.attempt)
    }

    /// Whether more may come.
    pub fn is_open(&self) -> bool {
        self.attempts.values().any(|view| view.open || view.run_open)
    }

    /// Prints what is there, in the order of its indexes; whether lines before were left out.
    ///
    /// # Errors
    /// A file cannot be read, or nobody reads on.
    pub fn print_kept(
        &mut self,
        wanted: &Wanted,
        context: &mut Context,
    ) -> Result<bool, CommandError> {
        let attempts: Vec<u32> = self.attempts.keys().copied().filter(|n| *n > 0).collect();
        let Some(lines) = wanted.lines else {
            for attempt in attempts {
                self.print_attempt(attempt, wanted, context)?;
            }
            return Ok(false);
        };
        if wanted.has_pattern {
            self.printer.hold(lines);
            for attempt in attempts {
                self.print_attempt(attempt, wanted, context)?;
            }
            return Ok(false);
        }
        let mut last = LastLines::new(lines);
        let mut kept = Vec::new();
        for attempt in attempts.into_iter().rev() {
            let (output, mut pieces) = self.open(attempt, wanted, context)?;
            last.keep(&output, &mut pieces).map_err(|error| self.failed(attempt, &error))?;
            kept.push((attempt, pieces));
        }
        for (attempt, pieces) in kept.into_iter().rev().filter(|(_, pieces)| !pieces.is_empty()) {
            let output = self.files(attempt)?;
            self.print_pieces(&output, &pieces, context)?;
        }
        Ok(last.is_done() && lines > 0)
    }

    fn print_attempt(
        &mut self,
        attempt: u32,
        wanted: &Wanted,
        context: &mut Context,
    ) -> Result<(), CommandError> {
        let (output, pieces) = self.open(attempt, wanted, context)?;
        self.print_pieces(&output, &pieces, context)
    }

    /// An attempt's files and what of them is wanted; what is new in them from now on is news.
    fn open(
        &mut self,
        attempt: u32,
        wanted: &Wanted,
        context: &Context,
    ) -> Result<(Output, Vec<Piece>), CommandError> {
        let mut output = self.files(attempt)?;
        let mut pieces = output.pieces().map_err(|error| self.failed(attempt, &error))?;
        for stream in StreamName::BOTH {
            self.printed.insert((attempt, stream), output.kept(stream).end);
        }
        let view = &self.attempts[&attempt];
        if !view.open {
            self.closed.insert(attempt);
        }
        for stream in wanted.streams {
            let printed = match stream {
                StreamName::Stdout => view.stdout_bytes,
                StreamName::Stderr => view.stderr_bytes,
            };
            let left = output.kept(*stream).end;
            if let Some(printed) = printed.filter(|printed| *printed > left) {
                let is_there = stream.path(view.base()).exists();
                let left = what_is_left(is_there.then_some(left), view.absent.as_deref());
                let words = format!("{printed} bytes were printed, {left}");
                context.ui.warn(&self.about(attempt, *stream, &words));
            }
        }
        let is_recent = |piece: &Piece| {
            let wall = piece.at.map(|at| at.wall.0);
            wanted.since.is_none_or(|since| wall.is_none_or(|wall| wall >= since))
        };
        pieces.retain(|piece| is_recent(piece) && wanted.streams.contains(&piece.stream));
        Ok((output, pieces))
    }

    fn files(&self, attempt: u32) -> Result<Output, CommandError> {
        open_output(&self.attempts[&attempt]).map_err(|error| self.failed(attempt, &error))
    }

    fn failed(&self, attempt: u32, error: &io::Error) -> CommandError {
        CommandError::io(self.attempts[&attempt].base().display(), error)
    }

    fn about(&self, attempt: u32, stream: StreamName, words: &str) -> String {
        let name = text::line(&self.name);
        let stream = match stream {
            StreamName::Stdout => "stdout",
            StreamName::Stderr => "stderr",
        };
        format!("{name} ({}), attempt {attempt}, {stream}: {words}", self.run_id)
    }

    fn print_pieces(
        &mut self,
        output: &Output,
        pieces: &[Piece],
        context: &mut Context,
    ) -> Result<(), CommandError> {
        for piece in pieces {
            if piece.is_pruned {
                let bytes = piece.range.end - piece.range.start;
                // Of what a bundle was made without, nobody knows whether it is still there.
                let what =
                    if context.printing().is_some() { "pruned" } else { "not in the bundle" };
                context.ui.status(&format!("the oldest {bytes} bytes are {what}"));
                continue;
            }
            let at = piece.at.map(|at| at.wall.0);
            self.print_range(output, piece.stream, piece.range.clone(), at, context).map_err(
                |error| error.unwrap_or_else(|error| CommandError::io("output", &error)),
            )?;
        }
        Ok(())
    }

    /// Prints these bytes of a file, or as many as are there.
    fn print_range(
        &mut self,
        output: &Output,
        stream: StreamName,
        range: std::ops::Range<u64>,
        at: Option<i64>,
        context: &mut Context,
    ) -> Result<u64, Result<CommandError, io::Error>> {
        let mut buffer = vec![0_u8; BLOCK_BYTES];
        let (mut out, mut from) = (Vec::new(), range.start);
        while from < range.end {
            let left = usize::try_from(range.end - from).unwrap_or(BLOCK_BYTES);
            let part = &mut buffer[..left.min(BLOCK_BYTES)];
            let count = output.read_at(stream, from, part).map_err(Err)?;
            if count == 0 {
                break;
            }
            self.printer.push(stream, &part[..count], at, &mut out);
            context.ui.raw(&out);
            out.clear();
            if context.ui.waiting() >= BLOCK_BYTES {
                context.ui.flush().map_err(Ok)?;
            }
            from += count as u64;
        }
        Ok(from)
    }

    /// Prints what has come since the last look.
    ///
    /// # Errors
    /// A file cannot be read, or nobody reads on.
    pub fn print_new(
        &mut self,
        streams: &[StreamName],
        context: &mut Context,
    ) -> Result<(), CommandError> {
        let open = self.attempts.values().filter(|view| view.attempt > 0);
        let open = open.filter(|view| !self.closed.contains(&view.attempt));
        let open: Vec<(u32, bool)> = open.map(|view| (view.attempt, view.open)).collect();
        for (attempt, is_open) in open {
            for stream in streams {
                self.print_new_of(attempt, *stream, context)?;
            }
            if !is_open {
                self.closed.insert(attempt);
            }
        }
        Ok(())
    }

    fn print_new_of(
        &mut self,
        attempt: u32,
        stream: StreamName,
        context: &mut Context,
    ) -> Result<(), CommandError> {
        let key = (attempt, stream);
        let printed = self.printed.get(&key).copied();
        let path = stream.path(self.attempts[&attempt].base());
        let length = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Before the start there is none; what was there does not go by itself.
                if printed.is_some_and(|printed| printed > 0) && self.told.insert(key) {
                    context.ui.warn(&self.about(attempt, stream, "its file is gone"));
                }
                return Ok(());
            }
            Err(error) => return Err(self.failed(attempt, &error)),
        };
        let mut from = printed.unwrap_or(0);
        if length == from {
            return Ok(());
        }
        if length < from {
            // A child may shorten its own output; what comes then is new.
            if self.told.insert(key) {
                let words = format!("cut from {from} to {length} bytes; what comes now is new");
                context.ui.warn(&self.about(attempt, stream, &words));
            }
            from = 0;
        }
        let output = self.files(attempt)?;
        let kept = output.kept(stream);
        if kept.start > from {
            let bytes = kept.start - from;
            context.ui.status(&format!("{bytes} bytes were pruned before they were read"));
            from = kept.start;
        }
        let now = Some(time_arg::now().timestamp().as_millisecond());
        let from = self
            .print_range(&output, stream, from..kept.end, now, context)
            .map_err(|error| error.unwrap_or_else(|error| self.failed(attempt, &error)))?;
        self.printed.insert(key, from);
        Ok(())
    }

    /// From now on each line is printed at once.
    pub fn go_on(&mut self, context: &mut Context) {
        let mut out = Vec::new();
        self.printer.release(&mut out);
        context.ui.raw(&out);
    }

    /// Prints what has no line end; gives the lines that matched.
    pub fn finish(&mut self, context: &mut Context) -> u64 {
        let mut out = Vec::new();
        self.printer.finish(None, &mut out);
        self.printer.release(&mut out);
        context.ui.raw(&out);
        self.printer.matched()
    }
}
