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
//! begin and who is to stop.

pub mod probe;
pub mod spec;
