//! `jr replay`.

use std::path::PathBuf;

use super::Runnable;
use crate::bundle::Bundle;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::{exit, render, text, time_arg};
use crate::projections::event_view;
use crate::projections::view::EventView;

/// Below the options.
const HELP: &str = "\
Examples:
  jr replay report.jrb
  jr replay report.jrb --until 4711
  jr -q replay report.jrb    # only whether it is whole

Exit codes:
  0 it is whole, and folds to the same here; 1 it is not: the first difference is told";

/// Verify a debug bundle and print its timeline
///
/// Its seal, its members, the chain of its records, and what each projection comes to when they are
/// folded here. Every command that reads takes --bundle FILE.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct ReplayArgs {
    /// The bundle
    #[arg(value_name = "FILE.jrb")]
    file: PathBuf,
    /// Print the timeline up to this place of the log
    #[arg(long, value_name = "SEQ")]
    until: Option<u64>,
}

/// `--json`.
#[derive(serde::Serialize)]
struct Document<'a> {
    schema: &'static str,
    ok: bool,
    environment: &'a str,
    first_seq: u64,
    head_seq: u64,
    head_hash: &'a str,
    records: u64,
    projections: &'a [String],
    /// Written one by one: there may be millions.
    items: [EventView; 0],
}

impl Runnable for ReplayArgs {
    const NAME: &'static str = "replay";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let failed = |error| CommandError::of_bundle(&self.file, &error);
        let bundle = Bundle::open(&self.file).map_err(failed)?;
        let compared = bundle.check_projections().map_err(failed)?;
        let until = self.until.unwrap_or(u64::MAX);
        let header = &bundle.header;
        if context.ui.json {
            let head = Document {
                schema: "jr.replay/1",
                ok: true,
                environment: &header.environment,
                first_seq: header.first_seq,
                head_seq: header.head_seq,
                head_hash: &bundle.manifest.head_hash,
                records: bundle.len(),
                projections: &compared,
                items: [],
            };
            let mut items = context.ui.open_list(&head);
            let mut result = Ok(());
            bundle
                .each_until(until, &mut |stored| {
                    result = items.push(&event_view(&stored));
                    result.is_ok()
                })
                .map_err(failed)?;
            result?;
            items.close();
            return Ok(exit::OK);
        }
        if !context.ui.quiet {
            let now = time_arg::now();
            let mut result = Ok(());
            bundle
                .each_until(until, &mut |stored| {
                    context.ui.line(&render::event(&event_view(&stored), &now));
                    if context.ui.waiting() > 1 << 16 {
                        result = context.ui.flush();
                    }
                    result.is_ok()
                })
                .map_err(failed)?;
            result?;
        }
        let first = header.first_seq;
        let words = match compared.as_slice() {
            [] => "made by another jr: its projections were not compared".to_owned(),
            names => format!("same projections ({})", names.join(", ")),
        };
        let environment = text::line(&header.environment).into_owned();
        let (head, records) = (header.head_seq, bundle.len());
        context.ui.status(&format!(
            "ok: {records} records of environment {environment}, {first} to {head}; {words}"
        ));
        Ok(exit::OK)
    }
}
