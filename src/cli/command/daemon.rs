//! `jr daemon`.

use std::path::PathBuf;

use super::{Runnable, up};
use crate::cli::context::{Context, Waiting, parse};
use crate::cli::error::CommandError;
use crate::cli::{exit, time_arg};
use crate::daemon::client::ClientError;
use crate::daemon::place::Place;
use crate::daemon::protocol::{DaemonStopRequest, PlanReply, VersionReply};
use crate::daemon::{self, DaemonError, RunOptions, client};
use crate::limits;

/// Below the options.
const HELP: &str = "\
Examples:
  jr daemon status
  jr daemon stop               # what runs goes on
  jr daemon run --idle-exit 0  # in the foreground, for a service manager

Exit codes:
  0; 3 status: it does not run; 69 it cannot be had, or a newer one runs";

/// Run, start, stop or look at the environment's daemon
///
/// Commands that need a daemon start one, and it ends by itself when there is nothing left to do.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct DaemonArgs {
    #[command(subcommand)]
    action: Action,
}

/// Below the options of that subcommand.
const RUN_HELP: &str = "\
Examples:
  jr daemon run
  jr daemon run --idle-exit 0  # for a service manager

Exit codes:
  0; 69 it cannot be had, or a newer one runs";

/// Below the options of that subcommand.
const START_HELP: &str = "\
Examples:
  jr daemon start
  jr daemon start --runtime-config runtime.toml

Exit codes:
  0; 2 a bad configuration; 69 it cannot be had, or a newer one runs";

/// Below the options of that subcommand.
const STOP_HELP: &str = "\
Examples:
  jr daemon stop
  jr daemon stop -e build

Exit codes:
  0, also if none runs";

/// Below the options of that subcommand.
const STATUS_HELP: &str = "\
Examples:
  jr daemon status
  jr daemon status --json

Exit codes:
  0; 3 it does not run";

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// Be the daemon, in the foreground
    #[command(after_help = RUN_HELP)]
    Run {
        /// End after this time with nothing to do; 0 never ends [default: 60s]
        #[arg(long, value_name = "DURATION", value_parser = crate::model::notation::duration)]
        idle_exit: Option<u64>,
        /// Events of one segment of the log
        #[arg(long, value_name = "N", hide = true)]
        segment_events: Option<u64>,
    },
    /// Start it if it does not run; declares the services of the configuration, starts none
    #[command(after_help = START_HELP)]
    Start {
        /// Host names and ports on top of what is declared
        #[arg(long, value_name = "FILE")]
        runtime_config: Vec<PathBuf>,
    },
    /// End it; what runs goes on, and the next one takes it over
    #[command(after_help = STOP_HELP)]
    Stop,
    /// Tell whether it runs; exit 3 if not
    #[command(after_help = STATUS_HELP)]
    Status,
}

/// Of `status`.
#[derive(serde::Serialize)]
struct Status {
    schema: &'static str,
    running: bool,
    environment: String,
    version: Option<String>,
    protocol: Option<u32>,
    pid: Option<u32>,
    seq: Option<u64>,
    live: Option<usize>,
    uptime_ms: Option<u64>,
    socket: String,
}

impl Runnable for DaemonArgs {
    const NAME: &'static str = "daemon";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        if context.place.is_isolated() {
            let id = &context.place.id;
            let message = format!("environment {id} is isolated: it has no daemon");
            return Err(CommandError::new("isolated", exit::USAGE, message)
                .hint("it lives as long as one command: jr run -- CMD, jr batch FILE"));
        }
        match self.action {
            Action::Run { idle_exit, segment_events } => {
                // Not where it was known to be: what starts something wants to be told.
                context.enter()?;
                serve(&context.place, idle_exit, segment_events).map(|()| exit::OK)
            }
            Action::Start { runtime_config } => {
                context.enter()?;
                context.configuration.add(&runtime_config)?;
                let mut waiting = Waiting::new();
                let version = loop {
                    client::connect_or_start(&context.place)?;
                    // The one that took the connection may have died since.
                    match version(&context.place)? {
                        Some(version) => break version,
                        None => waiting.look_again()?,
                    }
                };
                declare(context)?;
                Ok(print(context, Some(&version)))
            }
            Action::Stop => stop(context),
            Action::Status => {
                let version = version(&context.place)?;
                Ok(print(context, version.as_ref()))
            }
        }
    }
}

/// What is declared is known from now on; nothing of it is started.
fn declare(context: &Context) -> Result<(), CommandError> {
    let request = up::declaration(context)?;
    if !request.services.is_empty() {
        context.post::<PlanReply>("/v1/up", &request)?;
    }
    Ok(())
}

fn serve(
    place: &Place,
    idle_exit_ms: Option<u64>,
    segment_events: Option<u64>,
) -> Result<(), CommandError> {
    let idle_exit_ms = idle_exit_ms.unwrap_or(limits::IDLE_EXIT_MS);
    let idle_exit_ms = if idle_exit_ms == 0 { u64::MAX } else { idle_exit_ms };
    let segment_events = segment_events.unwrap_or(limits::SEGMENT_EVENTS);
    daemon::run(place, RunOptions { idle_exit_ms, segment_events }).map_err(|error| {
        if let DaemonError::Elsewhere { root, why } = &error {
            return CommandError::elsewhere(root, *why);
        }
        let exit = match error {
            DaemonError::Io { ref source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                exit::NOT_PERMITTED
            }
            _ => exit::FAILED,
        };
        CommandError::new("daemon", exit, error.to_string()).hint("jr log verify")
    })
}

fn version(place: &Place) -> Result<Option<VersionReply>, CommandError> {
    // Any version may answer: who looks is not who wants it replaced.
    let answer = client::ask_any_version(place, "GET", "/v1/version", b"")?;
    answer.map(|bytes| parse(&bytes)).transpose()
}

fn print(context: &mut Context, version: Option<&VersionReply>) -> u8 {
    let running = version.is_some();
    if context.ui.json {
        let socket = context.place.daemon_socket().display().to_string();
        let environment = context.place.id.to_string();
        context.ui.json(&Status {
            schema: "jr.daemon_status/1",
            running,
            environment,
            version: version.map(|version| version.version.clone()),
            protocol: version.map(|version| version.protocol),
            pid: version.map(|version| version.pid),
            seq: version.map(|version| version.seq),
            live: version.map(|version| version.live),
            uptime_ms: version.map(|version| version.uptime_ms),
            socket,
        });
    } else if let Some(version) = version {
        context.ui.line(&format!(
            "{}: running, jr {}, pid {}, up {}, {} live, log at {}",
            version.environment,
            version.version,
            version.pid,
            time_arg::show_duration(version.uptime_ms),
            version.live,
            version.seq,
        ));
    } else {
        let id = context.place.id.clone();
        context.ui.line(&format!("{id}: not running"));
    }
    if running { exit::OK } else { exit::NOT_FOUND }
}

/// Ends the daemon of a place; whether there was one.
///
/// # Errors
/// It cannot be asked, or does not end.
pub(super) fn end(place: &Place) -> Result<bool, CommandError> {
    let request = serde_json::to_vec(&DaemonStopRequest { upgrade: false });
    let request = request.map_err(|error| CommandError::usage(error.to_string()))?;
    let answer = client::ask_any_version(place, "POST", "/v1/daemon/stop", &request)?;
    if answer.is_some() {
        loop {
            match client::wait_until_gone(place) {
                // It waits for what runs to end, which takes as long as that was given.
                Err(ClientError::Busy { .. }) if place.is_in_memory() => {}
                gone => break gone?,
            }
        }
    }
    Ok(answer.is_some())
}

fn stop(context: &mut Context) -> Result<u8, CommandError> {
    let was_running = end(&context.place)?;
    let words = match (was_running, context.place.is_in_memory()) {
        (true, false) => "stopped",
        (true, true) => "stopped, and all that ran with it; its log was in memory and is gone",
        (false, _) => "not running",
    };
    if context.ui.json {
        context.ui.json(&serde_json::json!({
            "schema": "jr.daemon_stop/1", "was_running": was_running,
        }));
    } else {
        context.ui.status(&format!("{}: {words}", context.place.id));
    }
    Ok(exit::OK)
}
