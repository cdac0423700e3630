//! `jr` runs jobs and services and never forgets what happened to them.

pub mod bundle;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod limits;
pub mod log;
pub mod model;
pub mod mutants;
pub mod projections;
pub mod runners;
pub mod sys;
