//! One file per command: its options, what it asks, what it prints.

pub mod argument;
pub mod attach;
pub mod batch;
pub mod changes;
pub mod completions;
pub mod config;
pub mod daemon;
pub mod debug;
pub mod debug_report;
pub mod diff;
pub mod doctor;
pub mod down;
pub mod endpoints;
pub mod env;
pub mod events;
pub mod explain;
pub mod history;
pub mod log;
pub mod logs;
pub mod man;
pub mod pause;
pub mod pin;
pub mod policy;
pub mod ports;
pub mod prune;
pub mod ps;
pub mod queue;
pub mod read;
pub mod replay;
pub mod repro;
pub mod rerun;
pub mod rerun_bundle;
pub mod restart;
pub mod resume;
pub mod run;
pub mod services;
pub mod show;
pub mod signal;
pub mod start;
pub mod stats;
pub mod status;
pub mod stop;
pub mod up;
pub mod wait;
pub mod why;

use clap::{ArgMatches, Args, FromArgMatches};

use super::context::Context;
use super::error::CommandError;

/// A command: built and run by its name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The word.
    pub name: &'static str,
    /// Its part of the tree.
    pub build: fn() -> clap::Command,
    /// What it does; gives the exit code.
    pub run: fn(&mut Context, &ArgMatches) -> Result<u8, CommandError>,
    /// Whether the runs that it takes are those that live: what a shell offers then.
    pub living: bool,
    /// Whether it works whatever the configuration says: it is about the configuration.
    pub apart: bool,
    /// Whether it only looks at what runs, or stops it.
    pub looks: bool,
}

/// One that has options as a type.
trait Runnable: Args + FromArgMatches {
    /// The word.
    const NAME: &'static str;
    /// Whether it is about runs that live, and has nothing to do with those that ended.
    const LIVING: bool = false;
    /// Whether it works whatever the configuration says.
    const APART: bool = false;
    /// Whether it only looks at what runs, or stops it: a project's file that cannot be parsed does
    /// not keep anybody from that.
    const LOOKS: bool = false;

    /// Does it; gives the exit code.
    fn run(self, context: &mut Context) -> Result<u8, CommandError>;

    /// As a row of [`COMMANDS`].
    const ENTRY: Entry = Entry {
        name: Self::NAME,
        build: || Self::augment_args(clap::Command::new(Self::NAME)),
        run: |context, matches| {
            let args = Self::from_arg_matches(matches)
                .map_err(|error| CommandError::usage(error.to_string()))?;
            args.run(context)
        },
        living: Self::LIVING,
        apart: Self::APART,
        looks: Self::LOOKS,
    };
}

/// All of them, in the order of `jr --help`.
pub const COMMANDS: &[Entry] = &[
    run::RunArgs::ENTRY,
    batch::BatchArgs::ENTRY,
    rerun::RerunArgs::ENTRY,
    attach::AttachArgs::ENTRY,
    wait::WaitArgs::ENTRY,
    ps::PsArgs::ENTRY,
    show::ShowArgs::ENTRY,
    why::WhyArgs::ENTRY,
    logs::LogsArgs::ENTRY,
    repro::ReproArgs::ENTRY,
    diff::DiffArgs::ENTRY,
    history::HistoryArgs::ENTRY,
    stats::StatsArgs::ENTRY,
    events::EventsArgs::ENTRY,
    stop::StopArgs::ENTRY,
    signal::SignalArgs::ENTRY,
    pause::PauseArgs::ENTRY,
    resume::ResumeArgs::ENTRY,
    queue::QueueArgs::ENTRY,
    up::UpArgs::ENTRY,
    down::DownArgs::ENTRY,
    restart::RestartArgs::ENTRY,
    start::StartArgs::ENTRY,
    status::StatusArgs::ENTRY,
    ports::PortsArgs::ENTRY,
    endpoints::EndpointsArgs::ENTRY,
    explain::ExplainArgs::ENTRY,
    services::ServicesArgs::ENTRY,
    debug_report::DebugReportArgs::ENTRY,
    replay::ReplayArgs::ENTRY,
    debug::DebugArgs::ENTRY,
    prune::PruneArgs::ENTRY,
    pin::PinArgs::ENTRY,
    pin::UnpinArgs::ENTRY,
    log::LogArgs::ENTRY,
    env::EnvArgs::ENTRY,
    config::ConfigArgs::ENTRY,
    daemon::DaemonArgs::ENTRY,
    doctor::DoctorArgs::ENTRY,
    completions::CompletionsArgs::ENTRY,
    man::ManArgs::ENTRY,
];
