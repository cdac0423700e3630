//! `jr` runs jobs and services and never forgets what happened to them.

pub mod limits;
pub mod model;
pub mod runners;
