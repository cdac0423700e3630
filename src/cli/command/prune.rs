//! `jr prune`: lets old history go, so that the disk shrinks.

use super::Runnable;
use crate::cli::context::{Context, Waiting, command_id, parse};
use crate::cli::error::CommandError;
use crate::cli::{exit, text};
use crate::daemon::client::{self, Start};
use crate::daemon::offline::{self, OfflineError};
use crate::daemon::protocol::{PruneLine, PruneReply, PruneRequest};
use crate::projections::Policy;

/// Below the options.
const HELP: &str = "\
Examples:
  jr prune --keep-days 90 --dry-run
  jr prune --keep-days 30
  jr prune --keep-runs 10000
  jr prune           # what the configuration's retention lets go

Exit codes:
  0; 2 nothing says what to keep; 75 busy, try again";

/// Remove old runs with their records and output, so that the disk shrinks
///
/// A run goes if all of it is older than what is to be kept; with both options, what either keeps
/// stays. What lives never goes, nor its batch, nor what it refers to, nor what is pinned (`jr
/// pin`). The chain of hashes stays whole: of a pruned record its digest is kept. Before the kept
/// part there is no `--at`. A pruned run's key is free again.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct PruneArgs {
    /// Keep runs that ended in the last N days
    #[arg(long, value_name = "N")]
    keep_days: Option<u32>,
    /// Keep the newest N runs, lines of batches counted one by one
    #[arg(long, value_name = "N")]
    keep_runs: Option<u64>,
    /// Only print what would go; changes nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    dry_run: bool,
    kept_from: u64,
    runs: u64,
    events: u64,
    bytes: u64,
}

impl Runnable for PruneArgs {
    const NAME: &'static str = "prune";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let this = self.or_configured(context)?;
        if this.keep_days.is_none() && this.keep_runs.is_none() {
            return Err(CommandError::usage("a prune needs to know what to keep")
                .hint("jr prune --keep-days 30, or --keep-runs 1000; --dry-run only looks"));
        }
        if context.is_unused() {
            print(context, &PruneReply { kept_from: 1, ..PruneReply::default() }, this.dry_run);
            return Ok(exit::OK);
        }
        let reply = if this.dry_run { this.look(context)? } else { this.prune(context)? };
        print(context, &reply, this.dry_run);
        match reply.error {
            None => Ok(exit::OK),
            Some(error) => {
                let message = format!("not all of it could be removed: {error}");
                Err(CommandError::new("prune", exit::FAILED, message)
                    .hint("what could not be removed is hidden; the next prune tries again"))
            }
        }
    }
}

impl PruneArgs {
    /// What the environment's `retention` keeps, where no option says anything.
    fn or_configured(self, context: &Context) -> Result<Self, CommandError> {
        let configuration = &context.configuration;
        if self.keep_days.is_some() || self.keep_runs.is_some() || !configuration.has_files() {
            return Ok(self);
        }
        let retention = configuration.resolve_sound()?.0.environment.retention.unwrap_or_default();
        let (keep_days, keep_runs) = (retention.keep_days, retention.keep_runs);
        Ok(Self { keep_days, keep_runs, ..self })
    }

    fn request(&self) -> Result<PruneRequest, CommandError> {
        let (keep_days, keep_runs, dry_run) = (self.keep_days, self.keep_runs, self.dry_run);
        Ok(PruneRequest { command_id: command_id()?, keep_days, keep_runs, dry_run })
    }

    fn prune(&self, context: &Context) -> Result<PruneReply, CommandError> {
        let mut answer = context.open("/v1/prune", &self.request()?)?;
        let ended = || {
            let message = "the daemon ended; the prune goes on when the next one starts";
            CommandError::new("daemon_unavailable", exit::UNAVAILABLE, message)
                .hint("jr daemon start; jr events --kind runs_pruned")
        };
        loop {
            while let Some(line) = answer.take() {
                match parse(&line)? {
                    PruneLine::Progress { done, total } => {
                        context.ui.progress(&format!("pruning: {done} of {total} records"));
                    }
                    PruneLine::Done(reply) => {
                        context.ui.progress("");
                        return Ok(reply);
                    }
                }
            }
            if answer.is_done() {
                return Err(ended());
            }
            match answer.fill() {
                Ok(_) => {}
                Err(error) if error.is_gone() => return Err(ended()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Looking starts no daemon.
    fn look(&self, context: &Context) -> Result<PruneReply, CommandError> {
        let request = self.request()?;
        let mut waiting = Waiting::new();
        loop {
            if let Some(mut answer) =
                client::open(&context.place, Start::Never, "/v1/prune", &request)?
            {
                let body = answer.body()?;
                return match parse(&body)? {
                    PruneLine::Done(reply) => Ok(reply),
                    PruneLine::Progress { .. } => Err(CommandError::new(
                        "protocol",
                        exit::UNAVAILABLE,
                        "the daemon's answer cannot be understood",
                    )),
                };
            }
            let policy = Policy { days: self.keep_days, runs: self.keep_runs };
            match offline::survey_prune(&context.place, policy) {
                Ok(pruned) => return Ok(PruneReply::of(pruned)),
                Err(OfflineError::DaemonLives) => waiting.look_again()?,
                Err(OfflineError::NoState(_)) => {
                    return Ok(PruneReply { kept_from: 1, ..PruneReply::default() });
                }
                Err(error) => {
                    return Err(CommandError::new("log", exit::FAILED, error.to_string())
                        .hint("jr log verify"));
                }
            }
        }
    }
}

fn print(context: &mut Context, reply: &PruneReply, dry_run: bool) {
    let PruneReply { kept_from, runs, events, bytes, .. } = *reply;
    if context.ui.json {
        if reply.error.is_none() {
            let schema = "jr.prune/1";
            context.ui.json(&Document { schema, dry_run, kept_from, runs, events, bytes });
        }
        return;
    }
    let size = text::size(bytes);
    let words = if dry_run {
        format!("would remove {runs} runs, {events} records, about {size}")
    } else if runs == 0 && events == 0 {
        "nothing to remove".to_owned()
    } else {
        format!("removed {runs} runs, {events} records, {size}; kept from record {kept_from}")
    };
    // What a dry run finds is what was asked for.
    if dry_run {
        context.ui.line(&words);
    } else {
        context.ui.status(&words);
    }
}
