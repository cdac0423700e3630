//! `jr wait`.

use super::Runnable;
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::{exit, progress, render};
use crate::daemon::client::{self, Start, monotonic_ms};
use crate::daemon::protocol::WaitRequest;
use crate::limits;
use crate::projections::query::{PsQuery, Query, Scope};
use crate::projections::view::{List, RunView};

/// Between two looks at how far the runs are.
const TURN_MS: u64 = 1_000;

/// Below the options.
const HELP: &str = "\
Examples:
  jr wait last  # ends as that run did
  jr wait build test --timeout 10m
  jr wait --any label:team=web

Exit codes:
  one run: as jr run; several: 0 all succeeded, 1 any failed; 3 no such run;
  124 the time is over";

/// Wait until runs have ended
///
/// With one run, ends as that run did; with several, 1 if any failed. 124 when the time is over.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct WaitArgs {
    /// Run ids, names, globs, last, all, label:k=v
    #[arg(value_name = "SEL", required = true)]
    selectors: Vec<String>,
    /// The first end is enough
    #[arg(long)]
    any: bool,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", value_parser = crate::model::notation::duration)]
    timeout: Option<u64>,
}

impl Runnable for WaitArgs {
    const NAME: &'static str = "wait";
    const LIVING: bool = true;
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        let runs = if context.ui.shows_progress() {
            let runs = self.look_on(context);
            context.ui.end_progress();
            runs?
        } else {
            self.wait(context)?
        };
        let code = self.code(&runs);
        if context.ui.json {
            context.ui.json(&List { schema: "jr.wait/1".to_owned(), items: runs });
        } else {
            for run in &runs {
                context.ui.status(&render::ended_words(run));
            }
        }
        Ok(code)
    }
}

impl WaitArgs {
    /// A daemon is started only if something lives that it would have to see end; when one dies
    /// while it is waited for, the next one is asked.
    fn wait(&self, context: &Context) -> Result<Vec<RunView>, CommandError> {
        let until_ms = self.timeout.map(|limit| monotonic_ms().saturating_add(limit));
        loop {
            let request = WaitRequest {
                selectors: self.selectors.clone(),
                any: self.any,
                timeout_ms: until_ms.map(|until| until.saturating_sub(monotonic_ms())),
            };
            let answer = client::open(&context.place, Start::Never, "/v1/wait", &request)
                .and_then(|lines| lines.map(|mut lines| lines.body()).transpose());
            match answer {
                Ok(Some(body)) => return parse::<List<RunView>>(&body).map(|list| list.items),
                Ok(None) => {
                    let runs = context.resolve(&self.selectors, Scope::Live)?;
                    if self.is_enough(&runs) {
                        return Ok(runs);
                    }
                    client::connect_or_start(&context.place).map(drop)?;
                }
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// As [`Self::wait`], in turns: after each it draws how far they are.
    fn look_on(&self, context: &Context) -> Result<Vec<RunView>, CommandError> {
        let until_ms = self.timeout.map(|limit| monotonic_ms().saturating_add(limit));
        // Which runs are meant is settled once: a name may mean a newer one later.
        let runs = context.resolve(&self.selectors, Scope::Live)?;
        let ids: Vec<String> = runs.into_iter().map(|run| run.run_id).collect();
        if ids.is_empty() {
            return self.wait(context);
        }
        loop {
            let left = until_ms.map(|until| until.saturating_sub(monotonic_ms()));
            let (selectors, any) = (ids.clone(), self.any);
            let turn = Self { selectors, any, timeout: Some(left.unwrap_or(TURN_MS).min(TURN_MS)) };
            match turn.wait(context) {
                Err(error)
                    if error.exit == exit::TIMED_OUT && left.is_none_or(|ms| ms > TURN_MS) => {}
                ended => return ended,
            }
            context.ui.progress(&Self::words(context, &ids)?);
        }
    }

    /// How far they are; of very many only that they are.
    fn words(context: &Context, ids: &[String]) -> Result<String, CommandError> {
        if ids.len() > limits::PROGRESS_RUNS {
            return Ok(format!("waiting for {} runs", ids.len()));
        }
        let query = Query::Ps(PsQuery { only: ids.to_vec(), ..PsQuery::default() });
        let mut list: List<RunView> = context.read(&query)?;
        progress::read_all(context.printing(), &mut list.items);
        Ok(progress::waiting(&list.items, ids.len()))
    }

    fn is_enough(&self, runs: &[RunView]) -> bool {
        let mut ended = runs.iter().map(|run| run.outcome.is_some());
        if self.any {
            runs.is_empty() || ended.any(|ended| ended)
        } else {
            ended.all(|ended| ended)
        }
    }

    fn code(&self, runs: &[RunView]) -> u8 {
        if !self.is_enough(runs) {
            return exit::TIMED_OUT;
        }
        let mut ended = runs.iter().filter(|run| run.outcome.is_some());
        match (runs, self.any) {
            ([run], _) => exit::of_run(run),
            (_, true) => ended.next().map_or(exit::OK, exit::of_run),
            _ if ended.all(|run| run.outcome.as_deref() == Some("succeeded")) => exit::OK,
            _ => exit::FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::tests::view;

    fn run(outcome: Option<&str>, exit_code: Option<i32>) -> RunView {
        let mut run = view("aaaaaaaaaaaa", "x");
        run.outcome = outcome.map(str::to_owned);
        run.exit_code = exit_code;
        run
    }

    #[test]
    fn one_run_gives_its_code_and_several_tell_whether_any_failed() {
        let wait = |any| WaitArgs { selectors: Vec::new(), any, timeout: None };
        let good = run(Some("succeeded"), Some(0));
        let bad = run(Some("failed"), Some(7));
        let live = run(None, None);
        assert_eq!(wait(false).code(std::slice::from_ref(&bad)), 7);
        assert_eq!(wait(false).code(&[good.clone(), bad.clone()]), 1);
        assert_eq!(wait(false).code(&[good.clone(), good.clone()]), 0);
        assert_eq!(wait(false).code(&[good.clone(), live.clone()]), 124);
        assert_eq!(wait(true).code(&[live.clone(), bad]), 7);
        assert_eq!(wait(true).code(&[live.clone(), live]), 124);
        assert_eq!(wait(false).code(&[]), 0);
    }
}
