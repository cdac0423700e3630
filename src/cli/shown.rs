//! What a table shows of a run, whichever form the answer has.

use std::collections::BTreeMap;

use jiff::Zoned;

use super::time_arg;
use crate::projections::brief_view::BriefView;
use crate::projections::view::{BatchView, RunView};

/// A run for a table.
pub trait Shown {
    /// Its id.
    fn id(&self) -> &str;
    /// Its name.
    fn name(&self) -> &str;
    /// Where it stands.
    fn state(&self) -> &str;
    /// How it ended.
    fn outcome(&self) -> Option<&str>;
    /// Exit code, signal and reason.
    fn end(&self) -> (Option<i32>, Option<i32>, Option<&str>);
    /// argv.
    fn command(&self) -> &[String];
    /// Labels.
    fn labels(&self) -> &BTreeMap<String, String>;
    /// When its first process began, as `now` says it.
    fn started(&self, now: &Zoned) -> Option<String>;
    /// How long it took.
    fn duration_ms(&self) -> Option<i64>;
    /// Its lines.
    fn batch(&self) -> Option<&BatchView>;
}

impl Shown for RunView {
    fn id(&self) -> &str {
        &self.run_id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> &str {
        &self.state
    }

    fn outcome(&self) -> Option<&str> {
        self.outcome.as_deref()
    }

    fn end(&self) -> (Option<i32>, Option<i32>, Option<&str>) {
        (self.exit_code, self.signal, self.reason.as_deref())
    }

    fn command(&self) -> &[String] {
        &self.command
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    fn started(&self, now: &Zoned) -> Option<String> {
        self.started_at.as_deref().map(|at| time_arg::show(at, now))
    }

    fn duration_ms(&self) -> Option<i64> {
        self.duration_ms
    }

    fn batch(&self) -> Option<&BatchView> {
        self.batch.as_ref()
    }
}

impl Shown for BriefView<'_> {
    fn id(&self) -> &str {
        &self.run_id
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn state(&self) -> &str {
        &self.state
    }

    fn outcome(&self) -> Option<&str> {
        self.outcome.as_deref()
    }

    fn end(&self) -> (Option<i32>, Option<i32>, Option<&str>) {
        (self.exit_code, self.signal, self.reason.as_deref())
    }

    fn command(&self) -> &[String] {
        &self.command
    }

    fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    fn started(&self, now: &Zoned) -> Option<String> {
        self.started_ms.map(|at| time_arg::show_millis(at, now))
    }

    fn duration_ms(&self) -> Option<i64> {
        self.duration_ms
    }

    fn batch(&self) -> Option<&BatchView> {
        self.batch.as_ref()
    }
}
