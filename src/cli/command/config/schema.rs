//! `jr config schema`: what editors complete and check by.

use crate::cli::context::Context;
use crate::config::schema::published::published;

/// As a file has it.
pub(super) fn text() -> String {
    format!("{:#}\n", published())
}

pub(super) fn schema(context: &mut Context) {
    context.ui.data(&text());
}
