//! What the threads of the daemon say to each other. Mailboxes never block who posts
//! ([`super::mailbox`]); what may wait in them is bounded by permits.
//!
//! ```text
//!            Ask                       Batch                    Applied
//! server ──────────▶ engine thread ──────────▶ storage thread ──────────▶ views thread
//!    ▲                 ▲   │   ▲                    │                        ▲   │
//!    │ Reply           │   │   └──── Durable ───────┘                        │   │
//!    └─────────────────│───┘ Order                                 Question  │   │ answers
//!                      │     ▼                                               │   ▼
//!                      └── shims thread (pool) ◀── sockets of the shims   server
//! ```

use tokio::sync::{mpsc, oneshot};

use super::protocol::RunLine;
use crate::log::LogError;
use crate::model::event::{DaemonStopReason, LostReason};
use crate::model::{Action, Envelope, Observation, Reply, Request, RunId};

/// To the engine thread.
#[derive(Debug)]
pub enum ToEngine {
    /// A client's command; the reply comes when it is durable.
    Ask {
        /// What.
        request: Box<Request>,
        /// Where the reply goes.
        reply: oneshot::Sender<Reply>,
    },
    /// What the shims saw; nothing, where the engine is only to look at the clocks.
    Observed(Vec<Observation>),
    /// A client of the foreground waits to hand over its standard input to this run.
    AwaitAttach {
        /// Which run.
        run: RunId,
        /// Where the shim's address goes.
        lines: mpsc::Sender<RunLine>,
    },
    /// All up to this seq is on disk.
    Durable(u64),
    /// Seal the hot segment; tell when that is done.
    Seal(std::sync::mpsc::Sender<()>),
    /// It was sealed, and the next is due after this seq; or it could not be.
    SealOver {
        /// See above.
        next_at: u64,
    },
    /// The outcome of a commit is unknown: this daemon must end and the log be read again.
    StorageFailed(LogError),
    /// End in good order; answers `false` if something lives and the reason is `Idle`.
    End {
        /// Why.
        reason: DaemonStopReason,
        /// Answered when the last event is durable.
        done: oneshot::Sender<bool>,
    },
}

/// To the storage thread.
#[derive(Debug)]
pub enum ToStorage {
    /// Events of whole steps, which are never torn apart.
    Batch {
        /// In order.
        events: Vec<Envelope>,
        /// Somebody waits for them: they gather no others.
        waited_for: bool,
    },
    /// After what came before: begin the next segment with this state.
    Seal {
        /// The record that the state has last.
        at: u64,
        /// The state.
        snapshot: Vec<u8>,
        /// Who waits for it.
        tell: Option<std::sync::mpsc::Sender<()>>,
    },
    /// Nothing more will come.
    End,
}

/// To the shims thread.
#[derive(Debug)]
pub enum Order {
    /// Do it.
    Act(Action),
    /// When this run's attempt is with a shim, tell the client where.
    AwaitAttach {
        /// Which run.
        run: RunId,
        /// Where the address goes.
        lines: mpsc::Sender<RunLine>,
    },
    /// What a fence of a dead or mute shim came to.
    Fenced {
        /// Which shim.
        shim: u32,
        /// Why it was fenced.
        reason: LostReason,
        /// Processes that live on in spite of it; `None` if nothing could be done. Unless it is
        /// empty, it will be tried again.
        survivors: Option<Vec<u32>>,
    },
    /// Nothing more will come: let idle shims go.
    End,
}
