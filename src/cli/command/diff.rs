//! `jr diff`.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde::Serialize;
use serde_json::Value;

use super::changes::moments;
use super::read::ReadArgs;
use super::repro::is_of_session;
use super::{Runnable, argument};
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::run_output::open_output;
use crate::cli::run_stream::{FirstDifference, RunStream, first_difference};
use crate::cli::table::Style;
use crate::cli::unified::{Line, unified};
use crate::cli::{exit, render, text, time_arg};
use crate::config::document::Document;
use crate::model::ByteString;
use crate::projections::query::{At, HistoryQuery, Query};
use crate::projections::view::{List, OutputView, RecordedView, RunView};
use crate::runners::capture::StreamName;

/// Of each stream, `--output` compares so much at most: it is held in memory.
const UNIFIED_BYTES: u64 = 16 << 20;

/// Below the options.
const HELP: &str = "\
Examples:
  jr diff test last             # what differs from the last time it ran
  jr diff @-1 last --output
  jr diff --from -1h            # what happened since
  jr diff --from 14:00 --to 15:00
  jr --json diff @-1 last

Exit codes:
  0 they are the same; 1 they differ; 2 a word could mean several runs;
  3 no such run";

/// Compare two runs: command, environment, commit, outcome, output; or two moments
///
/// Between two moments: the runs that something happened to, the queues that differ, and what the
/// configuration says otherwise.
/// Of two batches also what became of each line.
/// Ends with 0 if they are the same, with 1 if they differ. Ids, times and durations are shown,
/// and differ always; variables of a login or terminal are not compared.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct DiffArgs {
    /// Run id, unique prefix, name, last, @-1
    #[arg(value_name = "RUN", required_unless_present = "from")]
    old: Option<String>,
    /// The other one
    #[arg(value_name = "RUN", required_unless_present = "from")]
    new: Option<String>,
    /// What happened after this place or time of the log
    #[arg(long, value_name = "SEQ|TIME", value_parser = argument::at, allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["old", "output"])]
    from: Option<At>,
    /// Up to this one [default: the end]
    #[arg(long, value_name = "SEQ|TIME", value_parser = argument::at, allow_hyphen_values = true)]
    #[arg(requires = "from", conflicts_with = "at")]
    to: Option<At>,
    /// Print all that differs in what they printed, as diff -u does
    #[arg(long)]
    output: bool,
    #[command(flatten)]
    read: ReadArgs,
}

/// One thing in which they differ.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Difference {
    field: String,
    a: Value,
    b: Value,
}

/// `--json`.
#[derive(Serialize)]
struct DiffDocument<'a> {
    schema: &'static str,
    same: bool,
    a: &'a RunView,
    b: &'a RunView,
    duration_percent: Option<f64>,
    items: &'a [Difference],
    stdout: Option<FirstLine>,
    stderr: Option<FirstLine>,
    /// With `--output`.
    unified: Option<BTreeMap<&'static str, Vec<String>>>,
}

/// The first line that differs.
#[derive(Serialize)]
struct FirstLine {
    line: u64,
    a: Option<String>,
    b: Option<String>,
}

/// What two streams differ in.
struct Streams {
    name: &'static str,
    first: FirstDifference,
    /// With `--output`.
    lines: Vec<Line>,
}

impl Runnable for DiffArgs {
    const NAME: &'static str = "diff";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.look(&self.read)?;
        if let Some(from) = self.from {
            return moments(from, self.to, &self.read, context);
        }
        let recorded = |selector: &Option<String>| {
            let selector = selector.clone().unwrap_or_default();
            context.read(&Query::Recorded { selector })
        };
        let (old, new): (RecordedView, RecordedView) = (recorded(&self.old)?, recorded(&self.new)?);
        let mut items = differences(&old, &new)?;
        if (&*old.run.kind, &*new.run.kind) == ("batch", "batch") {
            let (old, new) = (lines(&old.run, context)?, lines(&new.run, context)?);
            compare_maps("lines", &old, &new, &mut |field, a, b| take(&mut items, field, a, b))?;
        }
        let places = |run: &RunView| -> Result<Vec<OutputView>, CommandError> {
            let query = Query::Outputs { selectors: vec![run.run_id.clone()], attempt: None };
            let mut outputs = context.read::<List<OutputView>>(&query)?.items;
            // A batch stands for its lines there; here for itself.
            outputs.retain(|view| view.run_id == run.run_id);
            Ok(outputs)
        };
        let (of_old, of_new) = (places(&old.run)?, places(&new.run)?);
        let mut streams = Vec::new();
        for (name, stream) in [("stdout", StreamName::Stdout), ("stderr", StreamName::Stderr)] {
            for views in [&of_old, &of_new] {
                tell_missing(views, stream, name, context)?;
            }
            streams.extend(self.compare(name, stream, &of_old, &of_new, context)?);
        }
        let same = items.is_empty() && streams.is_empty();
        if context.ui.json {
            print_document(&old.run, &new.run, &items, &streams, self.output, context);
        } else if !context.ui.quiet {
            let color = context.ui.medium().color;
            let escape = context.ui.stdout_is_terminal();
            let mut printer = Printer { out: Vec::new(), color, escape };
            printer.runs(&old.run, &new.run);
            for item in &items {
                printer.item(item);
            }
            for stream in &streams {
                printer.streams(stream, &old.run, &new.run);
            }
            context.ui.raw(&printer.out);
            if same {
                context.ui.status("they are the same");
            }
        }
        Ok(if same { exit::OK } else { exit::FAILED })
    }
}

impl DiffArgs {
    fn compare(
        &self,
        name: &'static str,
        stream: StreamName,
        old: &[OutputView],
        new: &[OutputView],
        context: &Context,
    ) -> Result<Option<Streams>, CommandError> {
        let open = |views| RunStream::new(views, stream);
        let fail = |error: std::io::Error| CommandError::io(format!("the {name} of a run"), &error);
        let first = first_difference(open(old), open(new)).map_err(fail)?;
        let Some(first) = first else { return Ok(None) };
        let mut lines = Vec::new();
        if self.output {
            let mut whole = [Vec::new(), Vec::new()];
            for (bytes, views) in whole.iter_mut().zip([old, new]) {
                open(views).take(UNIFIED_BYTES + 1).read_to_end(bytes).map_err(fail)?;
                if bytes.len() as u64 > UNIFIED_BYTES {
                    bytes.pop();
                    let mib = UNIFIED_BYTES >> 20;
                    context.ui.warn(&format!("only the first {mib} MiB of {name} are compared"));
                }
            }
            lines = unified(&whole[0], &whole[1]);
        }
        Ok(Some(Streams { name, first, lines }))
    }
}

/// Says so where less is there than was printed.
fn tell_missing(
    views: &[OutputView],
    stream: StreamName,
    name: &str,
    context: &Context,
) -> Result<(), CommandError> {
    for view in views {
        let printed = match stream {
            StreamName::Stdout => view.stdout_bytes,
            StreamName::Stderr => view.stderr_bytes,
        };
        let output =
            open_output(view).map_err(|error| CommandError::io(view.base().display(), &error))?;
        let kept = output.kept(stream);
        let left = kept.end - kept.start;
        if let Some(printed) = printed.filter(|printed| *printed > left) {
            let run = &view.run_id;
            let words = format!("{run}: of {printed} bytes of {name} {left} are left to compare");
            context.ui.warn(&words);
        }
    }
    Ok(())
}

/// All but the output, times and what names a run.
fn differences(old: &RecordedView, new: &RecordedView) -> Result<Vec<Difference>, CommandError> {
    let mut items = Vec::new();
    let mut compare = |field: &str, a: Value, b: Value| take(&mut items, field, a, b);
    let (a, b) = (&old.run, &new.run);
    compare("name", json(&a.name)?, json(&b.name)?);
    compare("kind", json(&a.kind)?, json(&b.kind)?);
    compare("runner", json(&a.runner)?, json(&b.runner)?);
    let argv = |run: &RecordedView| json(Some(&run.argv).filter(|argv| !argv.is_empty()));
    compare("command", argv(old)?, argv(new)?);
    compare("line", json(&old.line)?, json(&new.line)?);
    compare("cwd", json(&old.directory)?, json(&new.directory)?);
    let umask = |run: &RecordedView| json(format!("{:03o}", run.umask));
    compare("umask", umask(old)?, umask(new)?);
    compare("timeout_ms", json(old.timeout_ms)?, json(new.timeout_ms)?);
    compare("stop_signal", json(&old.stop_signal)?, json(&new.stop_signal)?);
    compare("grace_ms", json(old.grace_ms)?, json(new.grace_ms)?);
    for run in [old, new] {
        if let Some(error) = &run.variables_error {
            let message = format!("the variables of {} cannot be read: {error}", run.run.run_id);
            return Err(CommandError::new("variables", exit::FAILED, message));
        }
    }
    compare_maps("variables", &variables(old), &variables(new), &mut compare)?;
    compare_maps("config", &settings(old)?, &settings(new)?, &mut compare)?;
    compare("commit", json(&a.commit)?, json(&b.commit)?);
    compare_maps("labels", &a.labels, &b.labels, &mut compare)?;
    compare("attempt", json(a.attempt)?, json(b.attempt)?);
    compare("state", json(&a.state)?, json(&b.state)?);
    compare("outcome", json(&a.outcome)?, json(&b.outcome)?);
    compare("exit_code", json(a.exit_code)?, json(b.exit_code)?);
    compare("signal", json(a.signal)?, json(b.signal)?);
    compare("reason", json(&a.reason)?, json(&b.reason)?);
    Ok(items)
}

fn take(items: &mut Vec<Difference>, field: &str, a: Value, b: Value) {
    if a != b {
        items.push(Difference { field: field.to_owned(), a, b });
    }
}

/// How each line of a batch ended, by its command; of equal ones the later have a number.
fn lines(
    batch: &RunView,
    context: &Context,
) -> Result<BTreeMap<String, Option<String>>, CommandError> {
    let parent = Some(batch.run_id.clone());
    let query = HistoryQuery { parent, kind: Some("job".to_owned()), ..HistoryQuery::default() };
    let runs = context.read::<List<RunView>>(&Query::History(query))?.items;
    let (mut seen, mut lines) = (BTreeMap::new(), BTreeMap::new());
    for run in runs.into_iter().rev() {
        let command = text::command(&run.command);
        let count: &mut u32 = seen.entry(command.clone()).or_default();
        *count += 1;
        let name = if *count == 1 { command } else { format!("{command} #{count}") };
        lines.insert(name, run.outcome);
    }
    Ok(lines)
}

fn json(value: impl Serialize) -> Result<Value, CommandError> {
    serde_json::to_value(value).map_err(|error| {
        CommandError::new("internal", exit::FAILED, format!("cannot write JSON: {error}"))
    })
}

fn variables(run: &RecordedView) -> BTreeMap<String, &ByteString> {
    let own = run.variables.iter().filter(|(name, _)| !is_of_session(name.as_bytes()));
    own.map(|(name, value)| (name.to_text(), value)).collect()
}

/// What the configuration said that a run was asked for under, by dotted keys.
fn settings(run: &RecordedView) -> Result<BTreeMap<String, Value>, CommandError> {
    if let Some(error) = &run.config_error {
        let message = format!("the configuration of {} cannot be read: {error}", run.run.run_id);
        return Err(CommandError::new("config", exit::FAILED, message));
    }
    Ok(leaves(run.config_document.as_deref()))
}

/// What a stored configuration says, by dotted keys.
fn leaves(document: Option<&str>) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    if let Some(Ok(document)) = document.map(Document::parse) {
        flatten("", document.tree.values, &mut leaves);
    }
    leaves
}

/// What two stored configurations say otherwise.
///
/// # Errors
/// It cannot be written.
pub(super) fn of_configurations(old: &str, new: &str) -> Result<Vec<Difference>, CommandError> {
    let mut items = Vec::new();
    let mut compare = |field: &str, a: Value, b: Value| take(&mut items, field, a, b);
    compare_maps("config", &leaves(Some(old)), &leaves(Some(new)), &mut compare)?;
    Ok(items)
}

/// For people, as [`DiffArgs`] prints them.
pub(super) fn print(items: &[Difference], context: &mut Context) {
    let (color, escape) = (context.ui.medium().color, context.ui.stdout_is_terminal());
    let mut printer = Printer { out: Vec::new(), color, escape };
    for item in items {
        printer.item(item);
    }
    context.ui.raw(&printer.out);
}

fn flatten(path: &str, value: Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                let key = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(&key, value, leaves);
            }
        }
        value => drop(leaves.insert(path.to_owned(), value)),
    }
}

/// `labels.team`, one by one; what one of them lacks is null.
fn compare_maps<V: Serialize>(
    field: &str,
    old: &BTreeMap<String, V>,
    new: &BTreeMap<String, V>,
    compare: &mut impl FnMut(&str, Value, Value),
) -> Result<(), CommandError> {
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        compare(&format!("{field}.{name}"), json(old.get(name))?, json(new.get(name))?);
    }
    Ok(())
}

/// By how much the newer one took longer.
fn duration_percent(old: &RunView, new: &RunView) -> Option<f64> {
    let (old, new) = (old.duration_ms?, new.duration_ms?);
    let thousandths = new.checked_sub(old)?.checked_mul(1_000)?.checked_div(old)?;
    Some(f64::from(i32::try_from(thousandths).ok()?) / 10.0)
}

fn print_document(
    old: &RunView,
    new: &RunView,
    items: &[Difference],
    streams: &[Streams],
    output: bool,
    context: &mut Context,
) {
    let shown = |text: &Option<Vec<u8>>| {
        text.as_ref().map(|text| String::from_utf8_lossy(text).into_owned())
    };
    let first = |name: &str| {
        let stream = streams.iter().find(|stream| stream.name == name)?;
        let first = &stream.first;
        Some(FirstLine { line: first.line, a: shown(&first.old), b: shown(&first.new) })
    };
    let lines = |stream: &Streams| {
        let line = |line: &Line| {
            let text = String::from_utf8_lossy(&line.text);
            format!("{}{text}", char::from(line.sign))
        };
        (stream.name, stream.lines.iter().map(line).collect())
    };
    context.ui.json(&DiffDocument {
        schema: "jr.diff/1",
        same: items.is_empty() && streams.is_empty(),
        a: old,
        b: new,
        duration_percent: duration_percent(old, new),
        items,
        stdout: first("stdout"),
        stderr: first("stderr"),
        unified: output.then(|| streams.iter().map(lines).collect()),
    });
}

/// For people: `-` is the first run, `+` the second.
struct Printer {
    out: Vec<u8>,
    color: bool,
    escape: bool,
}

impl Printer {
    fn line(&mut self, style: Style, sign: &str, bytes: &[u8]) {
        // Into a pipe the output of runs goes as it was written.
        let painted = if self.escape {
            let (mut words, left) = text::output(bytes);
            words.push_str(&String::from_utf8_lossy(&bytes[bytes.len() - left..]));
            style.paint(&format!("{sign}{words}"), self.color).into_bytes()
        } else {
            let begin = style.paint(sign, self.color).into_bytes();
            [&begin, bytes].concat()
        };
        self.out.extend_from_slice(&painted);
        self.out.push(b'\n');
    }

    fn both(&mut self, old: Option<&[u8]>, new: Option<&[u8]>) {
        if let Some(old) = old {
            self.line(Style::Bad, "- ", old);
        }
        if let Some(new) = new {
            self.line(Style::Good, "+ ", new);
        }
    }

    fn runs(&mut self, old: &RunView, new: &RunView) {
        let now = time_arg::now();
        for (sign, style, run) in [("--- ", Style::Bad, old), ("+++ ", Style::Good, new)] {
            let created = time_arg::show_exact(&run.created_at, &now);
            let words = format!("{}  {}", render::ended_words(run), created);
            self.line(style, sign, text::line(&words).as_bytes());
        }
        let millis = |run: &RunView| run.duration_ms.and_then(|millis| u64::try_from(millis).ok());
        if let (Some(one), Some(other)) = (millis(old), millis(new)) {
            let (one, other) = (time_arg::show_duration(one), time_arg::show_duration(other));
            let percent = duration_percent(old, new);
            let percent = percent.map_or_else(String::new, |percent| format!(" ({percent:+.1}%)"));
            let words = format!("{one} -> {other}{percent}");
            self.line(Style::Plain, "duration  ", words.as_bytes());
        }
    }

    fn item(&mut self, item: &Difference) {
        self.line(Style::Plain, "", text::line(&item.field).as_bytes());
        let words = |value: &Value| {
            let words = match value {
                Value::Null => return None,
                Value::String(text) => text.clone(),
                Value::Array(_) if item.field == "command" => command_words(value),
                value => value.to_string(),
            };
            Some(text::line(&words).into_owned().into_bytes())
        };
        let (old, new) = (words(&item.a), words(&item.b));
        self.both(old.as_deref(), new.as_deref());
    }

    fn streams(&mut self, streams: &Streams, old: &RunView, new: &RunView) {
        let Streams { name, first, lines } = streams;
        if lines.is_empty() {
            self.line(Style::Plain, "", format!("{name}, line {}", first.line).as_bytes());
            if first.old == first.new {
                let without = "only one of them has an end of the line here";
                self.line(Style::Plain, "  ", without.as_bytes());
            }
            return self.both(first.old.as_deref(), first.new.as_deref());
        }
        for (sign, style, run) in [("--- ", Style::Bad, old), ("+++ ", Style::Good, new)] {
            self.line(style, sign, format!("{} {name}", run.run_id).as_bytes());
        }
        for line in lines {
            let (style, sign) = match line.sign {
                b'-' => (Style::Bad, "-"),
                b'+' => (Style::Good, "+"),
                b'@' => (Style::Busy, "@"),
                b'\\' => (Style::Dim, "\\"),
                _ => (Style::Plain, " "),
            };
            self.line(style, sign, &line.text);
        }
    }
}

/// As a shell reads it.
fn command_words(argv: &Value) -> String {
    let argv: Vec<ByteString> = serde_json::from_value(argv.clone()).unwrap_or_default();
    let words: Vec<String> =
        argv.iter().map(|word| crate::cli::shell::quote(word.as_bytes())).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::tests::view;

    fn recorded(words: &[&str]) -> RecordedView {
        RecordedView {
            schema: String::new(),
            run: view("aaaaaaaaaaaa", "x"),
            argv: words.iter().map(|word| ByteString::from(*word)).collect(),
            directory: ByteString::from("/"),
            umask: 0o022,
            variables: vec![("A".into(), "1".into()), ("TERM".into(), "x".into())],
            variables_error: None,
            line: None,
            has_secrets: false,
            timeout_ms: None,
            stop_signal: "SIGTERM".to_owned(),
            grace_ms: 1,
            config_document: None,
            config_error: None,
        }
    }

    #[test]
    fn what_differs_is_named_and_what_must_differ_is_not() {
        let old = recorded(&["a", "b"]);
        assert_eq!(differences(&old, &old).expect("compares"), []);
        let mut new = recorded(&["a", "c"]);
        new.run.run_id = "bbbbbbbbbbbb".to_owned();
        new.run.duration_ms = Some(3_000);
        new.run.labels.insert("k".to_owned(), "v".to_owned());
        new.run.exit_code = Some(1);
        new.variables =
            vec![("B".into(), ByteString::from(vec![0xff])), ("TERM".into(), "y".into())];
        let items = differences(&old, &new).expect("compares");
        let fields: Vec<&str> = items.iter().map(|item| item.field.as_str()).collect();
        assert_eq!(fields, ["command", "variables.A", "variables.B", "labels.k", "exit_code"]);
        assert!(items[1].b.is_null() && items[2].a.is_null());
        assert_eq!(duration_percent(&old.run, &new.run), Some(100.0));
        let mut bytes = recorded(&["a"]);
        bytes.argv = vec![ByteString::from(vec![0xff])];
        let mut others = recorded(&["a"]);
        others.argv = vec![ByteString::from(vec![0xfe])];
        assert_eq!(differences(&bytes, &others).expect("compares").len(), 1, "to the byte");
    }
}
