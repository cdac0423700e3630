//! `jr why`.

use super::Runnable;
use super::read::ReadArgs;
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::table::{Medium, Style};
use crate::cli::{exit, render, text};
use crate::projections::query::Query;
use crate::projections::view::WhyView;

/// Below the options.
const HELP: &str = "\
Examples:
  jr why last
  jr why train        # why it waits, say
  jr --json why web
  jr why web --at yesterday

Exit codes:
  0; 2 the word could mean several runs; 3 no such run";

/// Tell why a run waits, runs, was started again or ended
///
/// Each reason names the records of the log that it rests on: see them with jr events --from SEQ.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct WhyArgs {
    /// Run id, unique prefix, name, last, @-1
    #[arg(value_name = "RUN")]
    selector: String,
    #[command(flatten)]
    read: ReadArgs,
}

impl Runnable for WhyArgs {
    const NAME: &'static str = "why";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.look(&self.read)?;
        let document = context.read_bytes(&Query::Why { selector: self.selector })?;
        if context.ui.json {
            context.ui.document(&document);
            return Ok(exit::OK);
        }
        let view: WhyView = parse(&document)?;
        let text = told(&view, context.ui.medium());
        context.ui.data(&text);
        Ok(exit::OK)
    }
}

/// The run, then a reason a line with the records that it rests on.
fn told(view: &WhyView, medium: Medium) -> String {
    let run = &view.run;
    let style = render::style_of(run);
    let state = style.paint(run.outcome.as_deref().unwrap_or(&run.state), medium.color);
    let mut out = format!("{}  {}  {state}\n", run.run_id, text::line(&run.name));
    for item in &view.items {
        let events: Vec<String> = item.events.iter().map(ToString::to_string).collect();
        let word = if events.len() == 1 { "event" } else { "events" };
        let events = format!("[{word} {}]", events.join(", "));
        out.push_str("  ");
        out.push_str(&text::line(&item.message));
        out.push_str("  ");
        out.push_str(&Style::Dim.paint(&events, medium.color));
        out.push('\n');
    }
    out
}
