//! `jr rerun`.

use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::Runnable;
use super::argument::variable;
use super::rerun_bundle::from_bundle;
use crate::cli::context::{Context, command_id, parse};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::daemon::protocol::{RerunItem, RerunReply, RerunRequest, WaitRequest};
use crate::model::ByteString;
use crate::projections::view::{List, RunView};

/// Below the options.
const HELP: &str = "\
Examples:
  jr rerun last
  jr rerun test --set RUST_LOG=debug --wait
  jr rerun nightly --failed              # the failed lines of a batch
  jr rerun --failed label:team=web
  jr rerun --bundle report.jrb test --wait

Exit codes:
  0; 2 a secret is missing; 3 no such run; 4 nothing failed; with --wait that of
  the run, or 1 if one of several failed";

/// Do again what was done: same command, directory and variables
///
/// A new run whose parent is the old one goes to its queue, and its id is printed. Secrets are not
/// kept: they come from this environment or from --set. From a debug bundle the recorded command is
/// run here, as far as it can be; what differs is told.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct RerunArgs {
    /// Run id, unique prefix, name, last, @-1; with --failed also globs, all, label:k=v
    #[arg(value_name = "RUN", required = true)]
    selectors: Vec<String>,
    /// Only what failed: of a batch its failed lines, else the failed ones of all that is named
    #[arg(long)]
    failed: bool,
    /// Set an environment variable
    #[arg(long = "set", value_name = "VAR=VALUE", value_parser = variable)]
    set: Vec<(String, String)>,
    /// Lines of a batch that run at a time [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// A run of a debug bundle: its command is done here
    #[arg(long, value_name = "FILE.jrb")]
    bundle: Option<PathBuf>,
    /// Wait for the end; the exit code is that of the run, or 1 if one of several failed
    #[arg(long)]
    wait: bool,
}

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    items: Vec<RerunItem>,
}

impl Runnable for RerunArgs {
    const NAME: &'static str = "rerun";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        if self.bundle.is_none() {
            context.must_have_runs(&self.selectors)?;
        }
        let variables = std::env::vars_os()
            .map(|(name, value)| (ByteString::from(name.into_vec()), ByteString::from(value)));
        let set =
            self.set.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
        let request = RerunRequest {
            command_id: command_id()?,
            selectors: self.selectors,
            failed: self.failed,
            set: set.collect(),
            variables: variables.collect(),
            jobs: self.jobs,
        };
        let reply: RerunReply = match &self.bundle {
            Some(path) => from_bundle(path, &request, context)?,
            None => context.post("/v1/rerun", &request)?,
        };
        if !context.ui.json {
            for item in &reply.items {
                context.ui.line(&item.run_id.to_string());
            }
        }
        let code = if self.wait { wait(context, &reply.items)? } else { exit::OK };
        if context.ui.json {
            context.ui.json(&Document { schema: "jr.rerun/1", items: reply.items });
        }
        Ok(code)
    }
}

fn wait(context: &mut Context, items: &[RerunItem]) -> Result<u8, CommandError> {
    context.ui.flush()?;
    let selectors = items.iter().map(|item| item.run_id.to_string()).collect();
    let request = WaitRequest { selectors, any: false, timeout_ms: None };
    let body = context.open("/v1/wait", &request)?.body()?;
    let list: List<RunView> = parse(&body)?;
    Ok(match list.items.as_slice() {
        [run] => exit::of_run(run),
        runs => {
            let failed = |run: &RunView| run.outcome.as_deref() != Some("succeeded");
            if runs.iter().any(failed) { exit::FAILED } else { exit::OK }
        }
    })
}
