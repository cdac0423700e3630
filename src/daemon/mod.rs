//! L3. The imperative shell: the engine's loop, its effects, recovery, timers and the socket.
//!
//! ```text
//! lifecycle   locks, socket, end                     start      opens, recovers, starts threads
//! server/     HTTP on the Unix socket                admission  asks ─▶ commands, secrets kept out
//! engine_loop the one owner of the engine            storage    the one writer of the log
//! pool        gives attempts to shims                launch     what a shim needs for a start
//! views_loop  the one owner of the views             recovery   what an earlier daemon left
//! probing     asks services how they are            watching/   and follows their files
//! prune       takes away what a prune lets go        blobs      are those that the log names there
//! client/     the blocking caller of the socket  http       the few lines of HTTP it needs
//! offline     the same answers without a daemon   shortlist  what shells are offered, made ahead
//! doctor/     is all as it should be, and if not, what to type
//! isolated    all of it within one command        door       the way in there
//! ```

pub mod admission;
pub mod blobs;
pub mod client;
mod clock_watch;
pub mod configuring;
pub mod declaration;
pub mod doctor;
pub mod door;
pub mod engine_loop;
pub mod error;
pub mod filesystem;
pub mod foresee;
pub mod http;
pub mod isolated;
pub mod known;
pub mod launch;
pub mod ledger;
pub mod lifecycle;
pub mod machine;
pub mod mailbox;
pub mod message;
pub mod offline;
pub mod orders;
pub mod place;
pub mod pool;
mod ports;
mod probing;
pub mod protocol;
pub mod prune;
pub mod recovery;
pub mod rerun;
pub mod server;
pub mod shortlist;
pub mod start;
pub mod storage;
pub mod upkeep;
pub mod views_loop;
mod watching;

pub use error::DaemonError;
pub use lifecycle::{RunOptions, run};
pub use place::Place;
