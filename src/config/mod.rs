//! L1. What was asked for in files.
//!
//! ```text
//! locate ─▶ load (trusted? TOML? conforms?) ─▶ merge ─▶ select an environment ─▶ resolve
//! ```
//! [`commit`] reads what is checked out beside them.

pub mod check;
pub mod commit;
pub mod conform;
pub mod document;
pub mod edit;
pub mod env_file;
pub mod envctl;
pub mod hidden;
pub mod load;
pub mod locate;
pub mod mask;
pub mod merge;
pub mod parse;
pub mod print;
pub mod problem;
pub mod resolve;
pub mod save;
pub mod schema;
pub mod select;
pub mod shape;
pub mod source;
pub mod spelling;
pub mod stored;
pub mod tree;
pub mod watch;
