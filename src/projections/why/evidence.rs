//! What a reason is made of: records of the run, of others, and words for them.

use crate::model::event::{
    Asker, AttemptEnd, Cause, Event, ExitStatus, Final, Outcome, StopReason,
};
use crate::model::{Run, RunId, State};
use crate::projections::moment::Moment;
use crate::projections::query::QueryError;
use crate::projections::run_view::kind_word;
use crate::projections::source::Stored;
use crate::projections::view::WhyItem;

/// A run with its records, and the way to those of others.
pub(super) struct Evidence<'a> {
    pub(super) run: &'a Run,
    moment: &'a Moment<'a>,
    records: Vec<Stored>,
}

impl<'a> Evidence<'a> {
    pub(super) fn new(run: &'a Run, moment: &'a Moment<'a>) -> Result<Self, QueryError> {
        let records = records_of(run.first_seq, moment)?;
        Ok(Self { run, moment, records })
    }

    /// Whether a record can still be looked at.
    pub(super) fn is_kept(&self, seq: u64) -> bool {
        let source = self.moment.source;
        // Of a pinned run also what came before.
        seq >= source.first_seq() || matches!(source.get(seq), Ok(Some(_)))
    }

    /// What lived at the moment that is looked at.
    pub(super) fn state(&self) -> Result<&State, QueryError> {
        Ok(self.moment.state()?)
    }

    /// The run's records, in order.
    pub(super) fn records(&self) -> &[Stored] {
        &self.records
    }

    /// The latest record that fits.
    pub(super) fn last(&self, fits: impl Fn(&Event) -> bool) -> Option<&Stored> {
        self.records.iter().rev().find(|stored| fits(&stored.envelope.event))
    }

    /// The first record that fits.
    pub(super) fn first(&self, fits: impl Fn(&Event) -> bool) -> Option<&Stored> {
        self.records.iter().find(|stored| fits(&stored.envelope.event))
    }

    /// The seq of the latest record that fits, as a list to rest on.
    pub(super) fn last_seq(&self, fits: impl Fn(&Event) -> bool) -> Vec<u64> {
        self.last(fits).map(|stored| stored.envelope.seq).into_iter().collect()
    }

    /// The seq of its admission.
    pub(super) fn admission(&self) -> u64 {
        self.run.first_seq
    }

    /// Another run, if it is known.
    pub(super) fn other(&self, run: RunId) -> Result<Option<Run>, QueryError> {
        Ok(self.moment.run(run)?)
    }

    /// The seq of the first record of another run that fits.
    pub(super) fn first_of(
        &self,
        run: &Run,
        fits: impl Fn(&Event) -> bool,
    ) -> Result<Option<u64>, QueryError> {
        let records = records_of(run.first_seq, self.moment)?;
        let found = records.iter().find(|stored| fits(&stored.envelope.event));
        Ok(found.map(|stored| stored.envelope.seq))
    }

    /// Since when another run has had a slot or a lock.
    pub(super) fn first_intent(&self, run: &Run) -> Result<Option<u64>, QueryError> {
        self.first_of(run, |event| matches!(event, Event::AttemptIntended { .. }))
    }

    /// The first lines of a batch that did not succeed, at most `limit`.
    pub(super) fn failed_lines(&self, limit: usize) -> Result<Vec<Run>, QueryError> {
        let mut failed = Vec::new();
        for (place, child) in self.moment.children(self.run.first_seq)? {
            if child.is_batch {
                continue;
            }
            let line = self.moment.row_of(place)?.run;
            if line.outcome.is_some_and(Outcome::is_failure) {
                failed.push(line);
            }
            if failed.len() >= limit {
                break;
            }
        }
        Ok(failed)
    }

    /// Why somebody stopped it, as the end of a sentence: of what was stopped together with what it
    /// belongs to, that one's story, and the records that are not its own.
    pub(super) fn stop_story(
        &self,
        reason: StopReason,
        cause: Option<Cause>,
        asker: Option<&Asker>,
    ) -> Result<(String, Vec<u64>), QueryError> {
        let plain = stop_words(reason, &who(cause, asker));
        let parent = self.run.spec.parent.filter(|_| reason == StopReason::ParentStopped);
        let Some(parent) = parent.map(|parent| self.other(parent)).transpose()?.flatten() else {
            return Ok((plain, Vec::new()));
        };
        let records = records_of(parent.first_seq, self.moment)?;
        let stop = records.iter().find(|stored| is_stop(&stored.envelope.event));
        let Some(stored) = stop else { return Ok((plain, Vec::new())) };
        let Event::StopRequested { reason, asker, .. } = &stored.envelope.event else {
            return Ok((plain, Vec::new()));
        };
        let kind = kind_word(parent.spec.kind);
        let story = stop_words(*reason, &who(stored.envelope.cause, asker.as_ref()));
        let words = format!("with {kind} {}, which was stopped {story}", name_of(&parent));
        Ok((words, vec![stored.envelope.seq]))
    }

    /// Who paused a queue, by the record of that; nobody is named whose record is gone.
    pub(super) fn who_paused(&self, seq: u64) -> Result<String, QueryError> {
        let Some(stored) = self.record(seq)? else { return Ok(String::new()) };
        let Event::QueuePaused { asker, .. } = &stored.envelope.event else {
            return Ok(String::new());
        };
        Ok(format!(" by {}", who(stored.envelope.cause, asker.as_ref())))
    }

    /// One record of the log, if it is kept.
    pub(super) fn record(&self, seq: u64) -> Result<Option<Stored>, QueryError> {
        if seq < self.moment.source.first_seq() {
            return Ok(None);
        }
        Ok(self.moment.source.get(seq)?)
    }
}

fn records_of(first_seq: u64, moment: &Moment<'_>) -> Result<Vec<Stored>, QueryError> {
    let mut seqs = moment.seqs_of(first_seq)?;
    seqs.retain(|seq| *seq >= moment.source.first_seq());
    Ok(moment.source.get_many(&seqs)?)
}

/// One reason.
pub(super) fn item(code: &str, message: String, events: &[u64]) -> WhyItem {
    WhyItem { code: code.to_owned(), message, events: events.to_vec() }
}

/// `web (3tbwpsnkumiz)`.
pub(super) fn name_of(run: &Run) -> String {
    format!("{} ({})", run.spec.name, run.id)
}

/// How an attempt ended, as the end of a sentence that begins with it.
pub(in crate::projections) fn end_words(status: ExitStatus) -> String {
    match status {
        ExitStatus::Exited(code) => format!("exited with code {code}"),
        ExitStatus::Signalled(signal) => format!("was ended by {signal}"),
        ExitStatus::TimedOut(Final::Exited(code)) => {
            format!("was stopped at its time limit and exited with code {code}")
        }
        ExitStatus::TimedOut(Final::Signalled(signal)) => {
            format!("was ended by {signal} at its time limit")
        }
        ExitStatus::NotStarted(error) => format!("could not be started ({error})"),
        ExitStatus::NeverStarted => "was given back before it began".to_owned(),
        ExitStatus::Lost(reason) => format!("was lost ({})", reason.word()),
    }
}

/// What the kernel ended of it for want of memory; `None` where it did not, or nobody can tell.
pub(super) fn oom_words(end: &AttemptEnd) -> Option<String> {
    match end.usage.and_then(|usage| usage.oom_kills)? {
        0 => None,
        1 => Some("the kernel killed a process of it, since its memory was used up".to_owned()),
        count => {
            Some(format!("the kernel killed {count} processes of it, since its memory was used up"))
        }
    }
}

pub(super) fn is_stop(event: &Event) -> bool {
    matches!(event, Event::StopRequested { .. })
}

/// Who asked: what the socket and the client tell.
pub(super) fn who(cause: Option<Cause>, asker: Option<&Asker>) -> String {
    let uid = cause.map_or_else(|| "jr".to_owned(), |cause| format!("uid {}", cause.uid));
    match asker {
        Some(asker) if asker.command.is_empty() => format!("{uid}, pid {}", asker.pid),
        Some(asker) => format!("{uid}, pid {}, with `{}`", asker.pid, asker.command),
        None => uid,
    }
}

/// Why somebody stopped it, as the end of a sentence.
pub(super) fn stop_words(reason: StopReason, who: &str) -> String {
    match reason {
        StopReason::Asked => format!("by {who}"),
        StopReason::Interrupted => format!("by Ctrl-C at its client ({who})"),
        StopReason::ParentStopped => "because what it belongs to was stopped".to_owned(),
        StopReason::Down => format!("by jr down ({who})"),
        StopReason::Restarted => format!("by jr restart ({who}): another run follows"),
        StopReason::Changed => {
            format!("because its configuration changed ({who}): another run follows")
        }
        StopReason::Removed => format!("because its service is not listed any more ({who})"),
        StopReason::FailFast => "because another line of its --fail-fast batch failed".to_owned(),
    }
}
