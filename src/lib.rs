//! `jr` runs jobs and services and never forgets what happened to them.

pub mod cli;
pub mod daemon;
pub mod limits;
pub mod log;
pub mod model;
#[cfg(feature = "mutants")]
pub mod mutants;
pub mod projections;
pub mod runners;
