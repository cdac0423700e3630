//! What happened to a run before: why there was more than one attempt, and who let it go on.

use super::evidence::{Evidence, end_words, item, oom_words, who};
use crate::model::event::{Asker, Cause, Event, QueuedReason};
use crate::projections::view::WhyItem;

/// What happens now is told in full; of a long past, the latest.
const LATEST: usize = 5;

/// What is known of a run from the records that were looked at.
#[derive(Default)]
struct Past {
    /// The latest attempt, the record of its end, and words for that.
    ended: Option<(u32, u64, String)>,
    /// The record that gave the next attempt its time.
    scheduled: Option<u64>,
    /// The record of the wish to hold it, and whose it was.
    paused: Option<(u64, String)>,
    items: Vec<WhyItem>,
}

pub(super) fn items(evidence: &Evidence<'_>) -> Vec<WhyItem> {
    let mut past = Past::default();
    for stored in evidence.records() {
        past.note(stored.envelope.seq, stored.envelope.cause, &stored.envelope.event);
    }
    let from = past.items.len().saturating_sub(LATEST);
    past.items.split_off(from)
}

impl Past {
    fn note(&mut self, seq: u64, cause: Option<Cause>, event: &Event) {
        match event {
            Event::AttemptEnded { attempt, end, .. } => {
                let words = match (end_words(end.status), oom_words(end)) {
                    (words, Some(oom)) => format!("{words} ({oom})"),
                    (words, None) => words,
                };
                self.ended = Some((*attempt, seq, words));
                self.scheduled = None;
            }
            Event::AttemptIntended { attempt, .. } if *attempt > 1 => {
                let Some((before, ended, words)) = &self.ended else { return };
                let message = format!("attempt {attempt} followed attempt {before}, which {words}");
                self.items.push(item("restarted", message, &[*ended, seq]));
            }
            Event::RestartScheduled { .. } => self.scheduled = Some(seq),
            // Of a batch: its own queue.
            Event::PauseRequested { asker, .. } | Event::QueuePaused { asker, .. } => {
                self.paused = Some((seq, who(cause, asker.as_ref())));
            }
            Event::QueueUnpaused { asker, .. } | Event::UnpauseRequested { asker, .. } => {
                self.unpaused(seq, cause, asker.as_ref());
            }
            Event::RunQueued { reason: QueuedReason::Resumed, asker, .. } => {
                self.released(seq, cause, asker.as_ref());
            }
            _ => {}
        }
    }

    fn unpaused(&mut self, seq: u64, cause: Option<Cause>, asker: Option<&Asker>) {
        let who = who(cause, asker);
        let (message, rests_on) = match self.paused.take() {
            Some((pause, by)) => {
                (format!("resumed by {who}: it had been paused by {by}"), vec![pause, seq])
            }
            None => (format!("resumed by {who}: it had been paused"), vec![seq]),
        };
        self.items.push(item("resumed", message, &rests_on));
    }

    fn released(&mut self, seq: u64, cause: Option<Cause>, asker: Option<&Asker>) {
        let who = who(cause, asker);
        let mut rests_on: Vec<u64> = self.ended.iter().map(|(_, ended, _)| *ended).collect();
        rests_on.extend(self.scheduled);
        rests_on.push(seq);
        let waited = match self.scheduled {
            Some(_) => "and the time of its retry had not come",
            None => "and it waited to be asked for",
        };
        let message = match &self.ended {
            Some((attempt, _, words)) => {
                format!("resumed by {who}: attempt {attempt} {words}, {waited}")
            }
            None => format!("resumed by {who}: it was delayed"),
        };
        self.items.push(item("resumed", message, &rests_on));
    }
}
