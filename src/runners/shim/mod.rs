//! The shim: a small process with one thread that starts attempts one after the other, sees
//! them end, and keeps what it saw in its journal, whether or not a daemon is there.
//!
//! ```text
//!            Start         claim, clone3            exec            reaped, tree empty
//! (unknown) ───────▶ held ──────────────▶ claimed ──────▶ running ─────────────────────▶ ended
//!     │ Stop           │ Stop                └──────── the program is not there ──────────▲
//!     └────────────────┴────▶ refused for ever
//! ```

pub mod args;
pub mod attach;
mod book;
mod bound;
mod connection;
pub mod journal;
mod ladder;
mod passed;
mod pause;
mod running;
mod server;
mod setup;
mod terminal;
pub mod terminal_modes;
mod terminal_replay;
mod terminal_sequences;
mod terminal_viewers;

use std::io::Write;
use std::process::ExitCode;

use crate::runners::linux::arena::ARENA;

/// `jr shim …`. Runs until nothing is held and nobody wants it any more.
pub fn main() -> ExitCode {
    ARENA.close();
    let outcome = args::Args::parse(std::env::args_os().skip(2))
        .map_err(|error| std::io::Error::other(error.to_string()))
        .and_then(|args| setup::prepare(&args))
        .and_then(|mut server| server.run());
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "jr shim: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
