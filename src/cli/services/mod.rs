//! Services from configuration files, and what their commands have in common.

pub mod declare;
pub mod preset;
pub mod probes;
pub mod settle;
pub mod table;
