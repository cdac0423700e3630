//! `jr log`: the files themselves, without a daemon.

use std::io;
use std::path::Path;

use super::Runnable;
use super::events::EventsArgs;
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::table::{Medium, Table};
use crate::cli::{exit, time_arg};
use crate::daemon::client;
use crate::daemon::place::Place;
use crate::daemon::protocol::{DaemonStopRequest, VersionReply};
use crate::log::stat::{Stat, stat};
use crate::log::verify::{Verified, verify};
use crate::log::{Lock, LogError, Reader, Sharing};

/// Check, measure, export the log, or rebuild what is derived from it
///
/// A daemon with nothing to do is ended for it; one that has runs must be stopped first, and
/// takes them over when it is started again.
#[derive(clap::Args, Debug)]
pub struct LogArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Check every record, hash and page; exit 1 at the first bad place
    Verify,
    /// Print figures
    Stat,
    /// Print all records, one a line
    Export,
    /// Delete the views; they are made anew from the log
    Rebuild,
}

#[derive(serde::Serialize)]
struct VerifyDocument {
    schema: &'static str,
    ok: bool,
    segments: usize,
    records: u64,
    pruned: u64,
    seq: u64,
    hash: String,
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
    items: Vec<KindItem>,
}

#[derive(serde::Serialize)]
struct KindItem {
    kind: &'static str,
    records: u64,
    bytes: u64,
}

impl Runnable for LogArgs {
    const NAME: &'static str = "log";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        match self.action {
            Action::Verify => {
                let _lock = take(&context.place, Sharing::Shared)?;
                let verified = verify(&context.place.log()).map_err(|error| damage(&error))?;
                print_verified(context, &verified);
                Ok(exit::OK)
            }
            Action::Stat => {
                let _lock = take(&context.place, Sharing::Shared)?;
                let reader = Reader::open(&context.place.log());
                let stat =
                    reader.and_then(|reader| stat(&reader)).map_err(|error| damage(&error))?;
                print_stat(context, &stat);
                Ok(exit::OK)
            }
            Action::Export => EventsArgs::everything().run(context),
            Action::Rebuild => rebuild(context),
        }
    }
}

/// The environment's lock, once no daemon holds it.
fn take(place: &Place, sharing: Sharing) -> Result<Lock, CommandError> {
    if !place.log().exists() {
        let message = format!("environment {} has no log yet", place.id);
        return Err(CommandError::new("no_log", exit::NOT_FOUND, message));
    }
    match Lock::attempt(&place.lock(), sharing) {
        Err(LogError::Busy { .. }) => {}
        taken => return taken.map_err(|error| damage(&error)),
    }
    end_idle_daemon(place)?;
    match Lock::attempt(&place.lock(), sharing) {
        Err(error @ LogError::Busy { .. }) => {
            Err(CommandError::new("busy", exit::BUSY, error.to_string()).hint("jr daemon stop"))
        }
        taken => taken.map_err(|error| damage(&error)),
    }
}

/// Ends a daemon that waits for its idle exit anyway.
fn end_idle_daemon(place: &Place) -> Result<(), CommandError> {
    let version = client::ask_any_version(place, "GET", "/v1/version", b"")?;
    let version: Option<VersionReply> = version.map(|bytes| parse(&bytes)).transpose()?;
    match version {
        Some(version) if version.live > 0 => {
            let live = version.live;
            let message = format!("the daemon (pid {}) has the log, and {live} runs", version.pid);
            Err(CommandError::new("busy", exit::BUSY, message)
                .hint("jr daemon stop; what runs goes on, and jr daemon start takes it over"))
        }
        Some(_) => {
            let request = serde_json::to_vec(&DaemonStopRequest { upgrade: false });
            let request = request.map_err(|error| CommandError::usage(error.to_string()))?;
            client::ask_any_version(place, "POST", "/v1/daemon/stop", &request)?;
            Ok(client::wait_until_gone(place)?)
        }
        None => Ok(()),
    }
}

fn damage(error: &LogError) -> CommandError {
    let exit = match error {
        LogError::Busy { .. } => exit::BUSY,
        LogError::NotFound { .. } => exit::NOT_FOUND,
        _ => exit::FAILED,
    };
    CommandError::new("log", exit, error.to_string())
}

fn print_verified(context: &mut Context, verified: &Verified) {
    let Verified { segments, records, pruned, head } = *verified;
    if context.ui.json {
        let schema = "jr.log_verify/1";
        let (seq, hash) = (head.seq, head.hash.to_string());
        let document = VerifyDocument { schema, ok: true, segments, records, pruned, seq, hash };
        context.ui.json(&document);
    } else {
        context.ui.line(&format!(
            "ok: {records} records in {segments} segments, {pruned} of them pruned, up to {} {}",
            head.seq, head.hash
        ));
    }
}

fn print_stat(context: &mut Context, stat: &Stat) {
    let time = |at: Option<crate::model::UnixMillis>| at.and_then(|at| time_arg::rfc3339(at.0));
    let (first_time, last_time) = (time(stat.first_time), time(stat.last_time));
    let items: Vec<KindItem> = stat
        .kinds
        .iter()
        .map(|(kind, figures)| KindItem { kind, records: figures.records, bytes: figures.bytes })
        .collect();
    let document = StatDocument {
        schema: "jr.log_stat/1",
        segments: stat.segments,
        file_bytes: stat.file_bytes,
        first_seq: stat.first_seq,
        seq: stat.head.seq,
        hash: stat.head.hash.to_string(),
        record_bytes: stat.record_bytes,
        pruned: stat.pruned,
        first_time,
        last_time,
        items,
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
            item.kind.into(),
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

fn rebuild(context: &mut Context) -> Result<u8, CommandError> {
    let _lock = take(&context.place, Sharing::Exclusive)?;
    let views = context.place.views();
    let removed = remove(&views)?;
    if context.ui.json {
        context.ui.json(&serde_json::json!({ "schema": "jr.log_rebuild/1", "removed": removed }));
    } else {
        context.ui.status("the views are deleted; the next daemon makes them anew from the log");
    }
    Ok(exit::OK)
}

fn remove(path: &Path) -> Result<bool, CommandError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(CommandError::io(path.display(), &error)),
    }
}
