//! `jr stats`.

use jiff::Zoned;

use super::read::ReadArgs;
use super::{Runnable, argument};
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::table::{Cell, Medium, Style, Table};
use crate::cli::{exit, time_arg};
use crate::projections::query::{Query, StatsQuery};
use crate::projections::view::{List, StatsView};

/// Rows on a terminal where none are asked for.
const TERMINAL_ROWS: usize = 100;
/// From the shortest to the longest.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The same where a terminal knows no others.
const ASCII_BARS: [char; 8] = ['_', '.', '-', ':', '=', '+', '*', '#'];

/// Below the options.
const HELP: &str = "\
Examples:
  jr stats
  jr stats 'test-*' --since -7d
  jr stats --name nightly --ascii

Exit codes:
  0; 2 a filter that means nothing";

/// Tell how the runs of each name did over time
///
/// Of runs that ended. The failure rate leaves out what was stopped, cancelled or skipped;
/// durations those that were lost. The trend sets the median of the newer half of the durations
/// against that of the older half; the bars are the last 20, from zero to the longest.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct StatsArgs {
    /// Name glob, or part of a name
    pattern: Option<String>,
    /// Exactly this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only this kind
    #[arg(long, value_parser = ["job", "batch", "service"])]
    kind: Option<String>,
    /// Only with this label; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = argument::label)]
    label: Vec<(String, String)>,
    /// Admitted at or after
    #[arg(long, value_name = "TIME", value_parser = argument::time, allow_hyphen_values = true)]
    since: Option<i64>,
    /// Admitted before
    #[arg(long, value_name = "TIME", value_parser = argument::time, allow_hyphen_values = true)]
    until: Option<i64>,
    /// Admitted today
    #[arg(long, conflicts_with = "since")]
    today: bool,
    /// At most N names, those that ended last [default on a terminal: 100]
    #[arg(short = 'n', long = "limit", value_name = "N")]
    limit: Option<usize>,
    /// Bars of plain letters [default: where the locale is not UTF-8]
    #[arg(long)]
    ascii: bool,
    #[command(flatten)]
    read: ReadArgs,
}

impl Runnable for StatsArgs {
    const NAME: &'static str = "stats";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.look(&self.read)?;
        let today = || argument::time("today").map_err(CommandError::usage);
        let since = if self.today { Some(today()?) } else { self.since };
        let for_terminal = context.ui.stdout_is_terminal() && !context.ui.json;
        let query = Query::Stats(StatsQuery {
            pattern: self.pattern,
            name: self.name,
            kind: self.kind,
            labels: self.label.into_iter().collect(),
            since,
            until: self.until,
            limit: self.limit.or(for_terminal.then_some(TERMINAL_ROWS)),
        });
        let document = context.read_bytes(&query)?;
        if context.ui.json {
            context.ui.document(&document);
            return Ok(exit::OK);
        }
        let list: List<StatsView> = parse(&document)?;
        if context.ui.quiet {
            for stats in &list.items {
                context.ui.line(&crate::cli::text::line(&stats.name));
            }
            return Ok(exit::OK);
        }
        let bars = if self.ascii || !context.ui.is_utf8() { ASCII_BARS } else { BARS };
        let text = table(&list.items, &bars, &time_arg::now(), context.ui.medium());
        context.ui.data(&text);
        if self.limit.is_none() && list.items.len() == TERMINAL_ROWS && for_terminal {
            context.ui.status("the 100 names that ended last; -n N shows more");
        }
        Ok(exit::OK)
    }
}

fn table(items: &[StatsView], bars: &[char; 8], now: &Zoned, medium: Medium) -> String {
    let mut table = Table::new(&[
        "NAME",
        "RUNS",
        "LIVE",
        "OK",
        "FAILED",
        "STOPPED",
        "FAILURES",
        "P50",
        "P95",
        "MAX",
        "TREND",
        "LAST",
        "ENDED",
        "DURATIONS",
    ])
    .optional(&[2, 5, 8, 12, 3, 10]);
    let none = || "-".to_owned();
    let duration = |millis: Option<u64>| millis.map_or_else(none, time_arg::show_duration);
    for stats in items {
        let failures = stats.failure_percent.map_or_else(none, |rate| format!("{rate:.1}%"));
        let trend = stats.trend_percent.map_or_else(none, |trend| format!("{trend:+.1}%"));
        let last = stats.last_outcome.as_deref();
        let style = match last {
            Some("succeeded") => Style::Good,
            Some("cancelled" | "skipped" | "stopped") | None => Style::Dim,
            Some(_) => Style::Bad,
        };
        let ended = stats.last_ended_at.as_deref();
        table.row(vec![
            stats.name.as_str().into(),
            stats.runs.to_string().into(),
            stats.live.to_string().into(),
            stats.succeeded.to_string().into(),
            stats.failed.to_string().into(),
            stats.stopped.to_string().into(),
            failures.into(),
            duration(stats.p50_ms).into(),
            duration(stats.p95_ms).into(),
            duration(stats.max_ms).into(),
            trend.into(),
            Cell::styled(last.unwrap_or("-"), style),
            ended.map_or_else(none, |at| time_arg::show(at, now)).into(),
            Some(sparkline(&stats.last_durations_ms, bars))
                .filter(|bars| !bars.is_empty())
                .unwrap_or_else(none)
                .into(),
        ]);
    }
    table.render(medium)
}

/// A bar for each value, from zero to the greatest of them.
fn sparkline(values: &[u64], bars: &[char; 8]) -> String {
    let most = values.iter().max().copied().unwrap_or(0).max(1);
    let bar = |value: &u64| {
        let eighths = u128::from(*value) * 7 / u128::from(most);
        bars[usize::try_from(eighths).unwrap_or(0).min(7)]
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_go_from_zero_to_the_longest() {
        assert_eq!(sparkline(&[0, 50, 100], &BARS), "▁▄█");
        assert_eq!(sparkline(&[0, 50, 100], &ASCII_BARS), "_:#");
        assert_eq!(sparkline(&[7, 7], &BARS), "██");
        assert_eq!(sparkline(&[0, 0], &BARS), "▁▁");
        assert_eq!(sparkline(&[u64::MAX, 1], &BARS), "█▁");
        assert_eq!(sparkline(&[], &BARS), "");
    }
}
