//! `jr log`: asks the daemon that has the log open, or reads the files where none does.

use serde::de::DeserializeOwned;

use super::Runnable;
use super::events::EventsArgs;
use crate::cli::context::{Context, Waiting, parse};
use crate::cli::error::CommandError;
use crate::cli::offline::no_log;
use crate::cli::table::{Medium, Table};
use crate::cli::{exit, time_arg};
use crate::daemon::blobs::{self, BlobFacts};
use crate::daemon::client::{self, Start};
use crate::daemon::offline::{self, OfflineError};
use crate::daemon::protocol::{LogRebuilt, LogStat, LogVerified};
use crate::log::LogError;
use crate::log::stat::stat;
use crate::log::verify::{all_cores, verify_files};

/// Examples, and how every one of these commands ends.
macro_rules! below {
    ($examples:literal) => {
        concat!($examples, "\nExit codes:\n  0; 1 the log is damaged; 3 there is no log yet")
    };
}

/// Below the options.
const HELP: &str = below!(
    "\
Examples:
  jr log verify  # every record, hash and page
  jr log stat
  jr log export > log.jsonl
"
);

/// Check, measure, export the log, or rebuild what is derived from it
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct LogArgs {
    #[command(subcommand)]
    action: Action,
}

/// Below the options of that subcommand.
const VERIFY_HELP: &str = below!(
    "\
Examples:
  jr log verify
  jr log verify --json
"
);

/// Below the options of that subcommand.
const STAT_HELP: &str = below!(
    "\
Examples:
  jr log stat
  jr log stat --json
"
);

/// Below the options of that subcommand.
const EXPORT_HELP: &str = below!(
    "\
Examples:
  jr log export > log.jsonl
  jr log export | tail -n 1
"
);

/// Below the options of that subcommand.
const REBUILD_HELP: &str = below!(
    "\
Examples:
  jr log rebuild
  jr log rebuild -e build
"
);

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Check every record and hash, what they name by digest, and without a daemon every page; exit
    /// 1 at the first bad place
    #[command(after_help = VERIFY_HELP)]
    Verify,
    /// Print figures
    #[command(after_help = STAT_HELP)]
    Stat,
    /// Print all records, one a line
    #[command(after_help = EXPORT_HELP)]
    Export,
    /// Make the views, which are only derived, anew from the log
    #[command(after_help = REBUILD_HELP)]
    Rebuild,
}

#[derive(serde::Serialize)]
struct VerifyDocument {
    schema: &'static str,
    ok: bool,
    #[serde(flatten)]
    verified: LogVerified,
}

#[derive(serde::Serialize)]
struct StatDocument {
    schema: &'static str,
    segments: usize,
    file_bytes: u64,
    first_seq: u64,
    seq: u64,
    hash: String,
    record_bytes: u64,
    pruned: u64,
    first_time: Option<String>,
    last_time: Option<String>,
    items: Vec<crate::daemon::protocol::LogKindStat>,
}

#[derive(serde::Serialize)]
struct RebuildDocument {
    schema: &'static str,
    seq: u64,
}

impl Runnable for LogArgs {
    const NAME: &'static str = "log";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        match self.action {
            Action::Verify => {
                let verified = ask(context, "/v1/log/verify", |context| {
                    let look = offline::look(&context.place)?;
                    let (log, blobs) = (context.place.log(), context.place.blobs());
                    let verified = blobs::verify(&look.reader, &blobs, all_cores());
                    let verified = verified.and_then(|(verified, found)| {
                        verify_files(&log, &look.reader)?;
                        Ok(LogVerified::of(&verified, true, found))
                    });
                    Ok(verified)
                })?;
                return Ok(print_verified(context, verified));
            }
            Action::Stat => {
                let figures = ask(context, "/v1/log/stat", |context| {
                    let look = offline::look(&context.place)?;
                    Ok(stat(&look.reader).map(|stat| LogStat::of(&stat)))
                })?;
                print_stat(context, figures);
            }
            Action::Export => return EventsArgs::everything().run(context),
            Action::Rebuild => {
                let rebuilt = ask(context, "/v1/log/rebuild", |context| {
                    offline::rebuild(&context.place).map(|seq| Ok(LogRebuilt { seq }))
                })?;
                print_rebuilt(context, &rebuilt);
            }
        }
        Ok(exit::OK)
    }
}

/// Of the daemon, or of the files; whichever of them can be asked first.
fn ask<T: DeserializeOwned>(
    context: &Context,
    route: &str,
    files: impl Fn(&Context) -> Result<Result<T, LogError>, OfflineError>,
) -> Result<T, CommandError> {
    let mut waiting = Waiting::new();
    loop {
        let asked = client::ask(&context.place, Start::Never, route, &serde_json::json!({}))?;
        if let Some(bytes) = asked {
            return parse(&bytes);
        }
        match files(context) {
            Ok(read) => return read.map_err(|error| damage(&error.to_string())),
            Err(OfflineError::DaemonLives) => waiting.look_again()?,
            Err(OfflineError::NoState(_)) => return Err(no_log(&context.place)),
            Err(error) => return Err(damage(&error.to_string())),
        }
    }
}

fn damage(message: &str) -> CommandError {
    CommandError::new("log", exit::FAILED, message)
        .hint("keep a copy of the environment's directory before anything else")
}

fn print_verified(context: &mut Context, verified: LogVerified) -> u8 {
    let ok = verified.blobs.lost == 0;
    let code = if ok { exit::OK } else { exit::FAILED };
    if context.ui.json {
        context.ui.json(&VerifyDocument { schema: "jr.log_verify/1", ok, verified });
        return code;
    }
    let LogVerified { segments, records, pruned, seq, hash, pages_checked, blobs } = verified;
    let word = if ok { "ok" } else { "records ok, not what they name" };
    context.ui.line(&format!(
        "{word}: {records} records in {segments} segments, {pruned} of them pruned, up to {seq} \
         {hash}"
    ));
    if !pages_checked {
        context.ui.status("a daemon writes: the pages of its files are checked when it has ended");
    }
    if !ok {
        let BlobFacts { named, lost, items } = blobs;
        for item in &items {
            context.ui.line(&format!("blob {item}"));
        }
        let more = if lost > items.len() as u64 { ", the first are listed" } else { "" };
        context.ui.warn(&format!(
            "{lost} of {named} blobs that records name are missing or damaged{more}: runs with \
             them can be read, and not be started again; put blobs/ back from a copy"
        ));
    }
    code
}

fn print_stat(context: &mut Context, figures: LogStat) {
    let time = |at: Option<i64>| at.and_then(time_arg::rfc3339);
    let document = StatDocument {
        schema: "jr.log_stat/1",
        segments: figures.segments,
        file_bytes: figures.file_bytes,
        first_seq: figures.first_seq,
        seq: figures.seq,
        hash: figures.hash,
        record_bytes: figures.record_bytes,
        pruned: figures.pruned,
        first_time: time(figures.first_time),
        last_time: time(figures.last_time),
        items: figures.items,
    };
    if context.ui.json {
        context.ui.json(&document);
    } else {
        let text = stat_text(&document, context.ui.medium());
        context.ui.data(&text);
    }
}

fn stat_text(stat: &StatDocument, medium: Medium) -> String {
    let mut table = Table::new(&["KIND", "RECORDS", "BYTES"]);
    for item in &stat.items {
        table.row(vec![
            item.kind.as_str().into(),
            item.records.to_string().into(),
            item.bytes.to_string().into(),
        ]);
    }
    let between = stat.first_time.as_deref().zip(stat.last_time.as_deref());
    let between = between.map(|(first, last)| format!(", {first} to {last}")).unwrap_or_default();
    format!(
        "records {} to {}{between}\n{} bytes of records in {} segments of {} bytes\nhead {}\n\n{}",
        stat.first_seq,
        stat.seq,
        stat.record_bytes,
        stat.segments,
        stat.file_bytes,
        stat.hash,
        table.render(medium)
    )
}

fn print_rebuilt(context: &mut Context, rebuilt: &LogRebuilt) {
    let LogRebuilt { seq } = *rebuilt;
    if context.ui.json {
        context.ui.json(&RebuildDocument { schema: "jr.log_rebuild/1", seq });
    } else {
        context.ui.status(&format!("the views are made anew, up to record {seq}"));
    }
}
