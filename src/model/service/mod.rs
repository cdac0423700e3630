//! Services: what is declared, what is wanted, and which runs stand for it. Pure.
//!
//! ```text
//! up ──declared, wanted──▶ a run for each replica, queued
//!                              │ the one before it is over · what it depends on is · it has ports
//!                              ▼
//!                          attempt ──ended──▶ restart policy ──▶ queued again, or over
//! down ──unwanted──▶ stop requested, once nobody who depends on it lives
//! ```
//! [`spec`] has the words, [`state`] what is true, [`plan`] what a command does, [`gate`] who may
//! begin, [`ending`] who is to stop, [`restart`] what follows an end, [`hook`] the commands
//! beside, [`ports`] and [`observe`] what the world says, [`sockets`] what one attempt leaves to
//! the next.

pub mod ending;
pub mod gate;
pub mod hook;
pub mod observe;
pub mod plan;
pub mod ports;
pub mod probe;
pub mod restart;
pub mod sockets;
pub mod spec;
pub mod state;
