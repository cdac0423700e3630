//! What every layer needs of the system.

pub mod regular;
