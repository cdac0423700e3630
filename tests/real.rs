//! Services with real components: Postgres, Redis, nginx and Python's server, as people run them.
//!
//! Only where it is asked for, since they have to be installed: `tests/real/setup`, then
//! `JR_REAL=1 cargo test --test real`. Then a missing program is a failure.
#[path = "real/files.rs"]
mod files;
#[path = "support/home.rs"]
mod home;
#[path = "real/ports.rs"]
mod ports;
#[path = "real/presets.rs"]
mod presets;
#[path = "real/project.rs"]
mod project;
#[path = "real/stack.rs"]
mod stack;
#[path = "real/twice.rs"]
mod twice;
