//! Asks one attempt as long as there is something to ask: a task of the daemon's runtime.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::{Change, Judge, Kind, Next, Question, Target};
use crate::limits::PROBE_SPREAD_MS;
use crate::model::RunId;
use crate::model::service::spec::{Health, Supervision};
use crate::runners::linux::clock;

/// Spreads what differs in a few bits over all of them (Knuth, TAOCP 6.4: Fibonacci hashing).
const FIBONACCI: u64 = 0x9e37_79b9_7f4a_7c15;

/// An attempt that is to be watched.
#[derive(Debug)]
pub struct Watched {
    /// Its run.
    pub run: RunId,
    /// What to ask, and when.
    pub supervision: Arc<Supervision>,
    /// Since when its process runs, on `CLOCK_BOOTTIME`.
    pub started_ms: u64,
    /// How it last answered an earlier daemon.
    pub state: Option<Health>,
    /// Who is asked.
    pub target: Target,
}

/// Tells each change, until nothing more is to be asked. May be dropped at any time: what a
/// question has started ends with it.
pub async fn watch(watched: Watched, mut tell: impl FnMut(Change)) {
    let Watched { run, supervision, started_ms, state, target } = watched;
    if state.is_some()
        && let Some(notices) = &target.notify
    {
        notices.assume_ready();
    }
    let mut judge = Judge::new(&supervision, started_ms, state, spread_ms(run));
    let mut readiness = supervision.readiness.as_ref().map(Asker::new);
    let mut health = supervision.health.as_ref().map(Asker::new);
    while let Next::Ask(kind, at_ms) = judge.next() {
        let asker = match kind {
            Kind::Readiness => &mut readiness,
            Kind::Health => &mut health,
        };
        let Some(asker) = asker else { return };
        let question = async {
            sleep_until(at_ms).await;
            asker.question.ask(&target, asker.timeout).await
        };
        let answer = in_time(question, &mut judge, &mut tell).await;
        if let Some(change) = judge.answered(kind, answer, clock::boottime_ms()) {
            tell(change);
        }
    }
}

/// A question, and how long an answer may take.
struct Asker {
    question: Question,
    timeout: Duration,
}

impl Asker {
    fn new(probe: &crate::model::service::probe::Probe) -> Self {
        let timeout = Duration::from_millis(probe.timeout_ms);
        Self { question: Question::new(&probe.way), timeout }
    }
}

/// Waits for an answer, and tells meanwhile if it is overdue.
async fn in_time<T>(
    question: impl Future<Output = T>,
    judge: &mut Judge,
    tell: &mut impl FnMut(Change),
) -> T {
    let mut question = pin!(question);
    while let Some(deadline_ms) = judge.deadline_ms() {
        tokio::select! {
            biased;
            answer = &mut question => return answer,
            () = sleep_until(deadline_ms) => {
                if let Some(change) = judge.tick(clock::boottime_ms()) {
                    tell(change);
                }
            }
        }
    }
    question.await
}

/// Sleeps until a time of `CLOCK_BOOTTIME`, which goes on while the machine is suspended.
async fn sleep_until(at_ms: u64) {
    loop {
        let rest_ms = at_ms.saturating_sub(clock::boottime_ms());
        if rest_ms == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(rest_ms)).await;
    }
}

/// Always the same for a run.
fn spread_ms(run: RunId) -> u64 {
    // The high bits are the well mixed ones.
    (run.to_u64().wrapping_mul(FIBONACCI) >> 32) % PROBE_SPREAD_MS
}
