//! L2. What people ask: read models folded from the log, deletable and rebuildable at any time.

pub mod query;
pub mod view;
