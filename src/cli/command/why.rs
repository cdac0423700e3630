//! `jr why`.

use super::Runnable;
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::{exit, render};
use crate::projections::query::Query;
use crate::projections::view::WhyView;

/// Tell why a run waits, runs, was started again or ended
///
/// Each reason names the records of the log that it rests on: see them with jr events --from SEQ.
#[derive(clap::Args, Debug)]
pub struct WhyArgs {
    /// Run id, unique prefix, name, last, @-1
    #[arg(value_name = "RUN")]
    selector: String,
}

impl Runnable for WhyArgs {
    const NAME: &'static str = "why";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let document = context.read_bytes(&Query::Why { selector: self.selector })?;
        if context.ui.json {
            context.ui.document(&document);
            return Ok(exit::OK);
        }
        let view: WhyView = parse(&document)?;
        let text = render::why(&view, context.ui.medium());
        context.ui.data(&text);
        Ok(exit::OK)
    }
}
