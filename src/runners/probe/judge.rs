//! What answers come to: pure, with times from outside.
//!
//! ```text
//! not ready ──readiness right──▶ Ready ──health right──▶ Healthy ◀──right── Unhealthy
//!     │  └────health right, where nothing asks for readiness──▶ │ ──────wrong────▶ ▲
//!     └── startup timeout: Overdue, once                        └── as many in a row as thresholds
//! ```

use crate::limits::PROBE_INTERVAL_MIN_MS;
use crate::model::service::probe::Probe;
use crate::model::service::spec::{Health, Supervision};

/// Which of the two questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Is it ready for others?
    Readiness,
    /// Is it well?
    Health,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this at that time.
    Ask(Kind, u64),
    /// Nothing more will be asked.
    Nothing,
}

/// What has become of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is ready for others.
    Ready,
    /// It is well, and so ready.
    Healthy,
    /// It is not well; the last wrong answer.
    Unhealthy(String),
    /// It was not ready in time; the last wrong answer.
    Overdue(String),
}

/// One of the questions, and its answers in a row.
#[derive(Clone, Debug)]
struct Asked {
    interval_ms: u64,
    failures: u32,
    successes: u32,
    /// From then on it may be asked.
    next_ms: u64,
    right: u32,
    wrong: u32,
}

/// Judges one attempt. All times are on `CLOCK_BOOTTIME`, in milliseconds.
#[derive(Clone, Debug)]
pub struct Judge {
    readiness: Option<Asked>,
    health: Option<Asked>,
    state: Option<Health>,
    /// `None` once it was told, or does not matter any more.
    deadline_ms: Option<u64>,
    last_wrong: Option<String>,
}

impl Judge {
    /// A judge of an attempt whose process started at `started_ms`. `state` is how it last answered
    /// an earlier daemon. First questions come up to `spread_ms` later than asked for.
    ///
    /// Without a question there is nothing to judge: it is ready as soon as it runs. A startup
    /// timeout of 0 is none.
    pub fn new(
        supervision: &Supervision,
        started_ms: u64,
        state: Option<Health>,
        spread_ms: u64,
    ) -> Self {
        let asked = |probe: &Probe| Asked::new(probe, started_ms, spread_ms);
        let readiness = supervision.readiness.as_ref().map(asked);
        let health = supervision.health.as_ref().map(asked);
        let timeout_ms = Some(supervision.startup_timeout_ms).filter(|timeout| *timeout > 0);
        let is_waited_for = state.is_none() && supervision.is_asked();
        let deadline_ms =
            timeout_ms.filter(|_| is_waited_for).map(|timeout| started_ms.saturating_add(timeout));
        Self { readiness, health, state, deadline_ms, last_wrong: None }
    }

    /// Which is asked now.
    fn current(&self) -> Option<Kind> {
        match (self.state, &self.readiness, &self.health) {
            (None, Some(_), _) => Some(Kind::Readiness),
            (None | Some(_), _, Some(_)) => Some(Kind::Health),
            // Only an earlier daemon with other questions can have found that.
            (Some(Health::Unhealthy), Some(_), None) => Some(Kind::Readiness),
            (Some(_) | None, _, None) => None,
        }
    }

    fn asked(&mut self, kind: Kind) -> Option<&mut Asked> {
        match kind {
            Kind::Readiness => self.readiness.as_mut(),
            Kind::Health => self.health.as_mut(),
        }
    }

    /// What is to be asked, and when.
    pub fn next(&self) -> Next {
        let Some(kind) = self.current() else { return Next::Nothing };
        let asked = match kind {
            Kind::Readiness => &self.readiness,
            Kind::Health => &self.health,
        };
        asked.as_ref().map_or(Next::Nothing, |asked| Next::Ask(kind, asked.next_ms))
    }

    /// How it stands.
    pub fn state(&self) -> Option<Health> {
        self.state
    }

    /// When [`Self::tick`] has something to say.
    pub fn deadline_ms(&self) -> Option<u64> {
        self.deadline_ms
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: u64) -> Option<Change> {
        self.deadline_ms.filter(|deadline| *deadline <= now_ms)?;
        self.deadline_ms = None;
        let wrong = self.last_wrong.clone();
        Some(Change::Overdue(wrong.unwrap_or_else(|| "no answer yet".to_owned())))
    }

    /// An answer has come. One that makes it ready counts even where it comes late.
    pub fn answered(
        &mut self,
        kind: Kind,
        answer: Result<(), String>,
        now_ms: u64,
    ) -> Option<Change> {
        // It was asked before something else was to be: it says nothing any more.
        let is_current = self.current() == Some(kind);
        let asked = self.asked(kind)?;
        asked.next_ms = now_ms.saturating_add(asked.interval_ms);
        if !is_current {
            return None;
        }
        match answer {
            Ok(()) => {
                asked.wrong = 0;
                asked.right = asked.right.saturating_add(1);
                let is_enough = asked.right >= asked.successes;
                if is_enough { self.is_right(kind) } else { self.tick(now_ms) }
            }
            Err(text) => {
                asked.right = 0;
                asked.wrong = asked.wrong.saturating_add(1);
                let is_enough = asked.wrong >= asked.failures;
                self.last_wrong = Some(text.clone());
                match self.state {
                    None => self.tick(now_ms),
                    Some(Health::Ready | Health::Healthy) if is_enough => {
                        self.state = Some(Health::Unhealthy);
                        Some(Change::Unhealthy(text))
                    }
                    Some(Health::Ready | Health::Healthy | Health::Unhealthy) => None,
                }
            }
        }
    }

    fn is_right(&mut self, kind: Kind) -> Option<Change> {
        self.deadline_ms = None;
        let (state, change) = match kind {
            Kind::Readiness => (Health::Ready, Change::Ready),
            Kind::Health => (Health::Healthy, Change::Healthy),
        };
        let is_new = self.state != Some(state);
        self.state = Some(state);
        is_new.then_some(change)
    }
}

impl Asked {
    fn new(probe: &Probe, started_ms: u64, spread_ms: u64) -> Self {
        let interval_ms = probe.interval_ms.max(PROBE_INTERVAL_MIN_MS);
        let first_ms = started_ms.saturating_add(probe.initial_delay_ms);
        Self {
            interval_ms,
            failures: probe.failure_threshold.max(1),
            successes: probe.success_threshold.max(1),
            next_ms: first_ms.saturating_add(spread_ms.min(interval_ms)),
            right: 0,
            wrong: 0,
        }
    }
}
