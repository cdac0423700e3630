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
            // Without a question about health only an earlier daemon that asked another one can
            // have found it unhealthy.
            (None, Some(_), _) | (Some(Health::Unhealthy), Some(_), None) => Some(Kind::Readiness),
            (None | Some(_), _, Some(_)) => Some(Kind::Health),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::service::probe::ProbeWay;

    const START: u64 = 1_000_000;

    fn probe(failures: u32, successes: u32) -> Probe {
        Probe {
            way: ProbeWay::Notify,
            initial_delay_ms: 0,
            interval_ms: 100,
            timeout_ms: 50,
            failure_threshold: failures,
            success_threshold: successes,
        }
    }

    /// `h`: health, `r`: readiness.
    fn judge(probes: &str, state: Option<Health>) -> Judge {
        let supervision = Supervision {
            readiness: probes.contains('r').then(|| probe(3, 2)),
            health: probes.contains('h').then(|| probe(3, 2)),
            startup_timeout_ms: 1_000,
            ..Supervision::default()
        };
        Judge::new(&supervision, START, state, 0)
    }

    /// Answers whatever is next as soon as it may be asked: `+` is right, `-` wrong. Changes are
    /// told as R, H, U, O.
    fn play(judge: &mut Judge, answers: &str) -> String {
        let mut told = String::new();
        for (number, sign) in answers.chars().enumerate() {
            let Next::Ask(kind, at_ms) = judge.next() else { return told + "." };
            let answer = if sign == '+' { Ok(()) } else { Err(format!("wrong {number}")) };
            told.push(match judge.answered(kind, answer, at_ms) {
                None => '_',
                Some(Change::Ready) => 'R',
                Some(Change::Healthy) => 'H',
                Some(Change::Unhealthy(text)) => {
                    assert_eq!(text, format!("wrong {number}"));
                    'U'
                }
                Some(Change::Overdue(_)) => 'O',
            });
        }
        told
    }

    #[test]
    fn readiness_alone_is_final() {
        let mut judge = judge("r", None);
        assert_eq!(play(&mut judge, "-+-++"), "____R");
        assert_eq!((judge.next(), judge.state()), (Next::Nothing, Some(Health::Ready)));
        assert_eq!(judge.tick(u64::MAX), None);
    }

    #[test]
    fn health_alone_decides_both() {
        let mut judge = judge("h", None);
        // Wrong before it was ever right: not yet.
        assert_eq!(play(&mut judge, "----+++"), "_____H_");
        assert_eq!(judge.state(), Some(Health::Healthy));
        assert_eq!(judge.deadline_ms(), None);
    }

    #[test]
    fn health_is_asked_once_it_is_ready() {
        let mut judge = judge("rh", None);
        assert_eq!(judge.next(), Next::Ask(Kind::Readiness, START));
        assert_eq!(play(&mut judge, "---+"), "____");
        assert_eq!(play(&mut judge, "+"), "R");
        assert!(matches!(judge.next(), Next::Ask(Kind::Health, _)));
        assert_eq!(play(&mut judge, "++++"), "_H__");
        assert!(matches!(judge.next(), Next::Ask(Kind::Health, _)));
    }

    #[test]
    fn what_is_ready_and_never_well_is_sick() {
        let mut judge = judge("rh", None);
        assert_eq!(play(&mut judge, "++---"), "_R__U");
        assert_eq!(play(&mut judge, "---++"), "____H");
    }

    #[test]
    fn flapping_is_nothing_until_it_lasts() {
        let mut judge = judge("h", Some(Health::Healthy));
        assert_eq!(play(&mut judge, "--+--+--+-+-+"), "_".repeat(13));
        assert_eq!(play(&mut judge, "---"), "__U");
        // Once, however long it goes on.
        assert_eq!(play(&mut judge, "-----+-+-+-"), "_".repeat(11));
        assert_eq!(play(&mut judge, "++++---++"), "_H____U_H");
    }

    #[test]
    fn who_is_not_ready_in_time_is_overdue_once() {
        let mut judge = judge("r", None);
        assert_eq!(judge.deadline_ms(), Some(START + 1_000));
        assert_eq!(play(&mut judge, "-"), "_");
        assert_eq!(judge.tick(START + 999), None);
        let told = judge.tick(START + 1_000);
        assert_eq!(told, Some(Change::Overdue("wrong 0".to_owned())));
        assert_eq!((judge.tick(u64::MAX), judge.deadline_ms()), (None, None));
        // It may still get there.
        assert_eq!(play(&mut judge, "-----++"), "______R");
    }

    #[test]
    fn the_answer_at_the_deadline_says_it_too() {
        let mut judge = judge("h", None);
        assert_eq!(play(&mut judge, "----------"), "_".repeat(10));
        assert_eq!(play(&mut judge, "--"), "O_");
        let mut silent = self::judge("h", None);
        let told = silent.tick(START + 5_000);
        assert_eq!(told, Some(Change::Overdue("no answer yet".to_owned())));
        // One right answer of two is no readiness.
        let mut half = self::judge("r", None);
        let told = half.answered(Kind::Readiness, Ok(()), START + 2_000);
        assert!(matches!(told, Some(Change::Overdue(_))));
        // Ready at last, before anybody said otherwise.
        let mut late = self::judge("r", None);
        assert_eq!(late.answered(Kind::Readiness, Ok(()), START + 900), None);
        let told = late.answered(Kind::Readiness, Ok(()), START + 1_900);
        assert_eq!((told, late.tick(u64::MAX)), (Some(Change::Ready), None));
    }

    #[test]
    fn an_adopted_service_goes_on_where_it_was() {
        for (state, told) in
            [(Health::Ready, "_H__U"), (Health::Healthy, "____U"), (Health::Unhealthy, "_H__U")]
        {
            let mut judge = judge("rh", Some(state));
            assert_eq!(judge.deadline_ms(), None);
            assert!(matches!(judge.next(), Next::Ask(Kind::Health, _)));
            assert_eq!(play(&mut judge, "++---"), told, "{state:?}");
        }
        for state in [Health::Ready, Health::Healthy] {
            assert_eq!(judge("r", Some(state)).next(), Next::Nothing);
        }
        assert_eq!(play(&mut judge("r", Some(Health::Unhealthy)), "-++-"), "__R.");
    }

    #[test]
    fn questions_keep_their_distance() {
        let delayed = Probe { initial_delay_ms: 5_000, ..probe(1, 1) };
        let health = Some(Probe { interval_ms: 0, initial_delay_ms: 7_000, ..probe(0, 0) });
        let supervision =
            Supervision { readiness: Some(delayed), health, ..Supervision::default() };
        let mut judge = Judge::new(&supervision, START, None, 70);
        // Without a startup timeout there is no deadline.
        assert_eq!(judge.deadline_ms(), None);
        assert_eq!(judge.next(), Next::Ask(Kind::Readiness, START + 5_070));
        judge.answered(Kind::Readiness, Err("x".to_owned()), START + 5_500);
        assert_eq!(judge.next(), Next::Ask(Kind::Readiness, START + 5_600));
        // An answer to what is not asked now is no news.
        assert_eq!(judge.answered(Kind::Health, Ok(()), START + 5_600), None);
        let told = judge.answered(Kind::Readiness, Ok(()), START + 5_600);
        assert_eq!(told, Some(Change::Ready));
        let first = START + 5_600 + PROBE_INTERVAL_MIN_MS;
        assert_eq!(judge.next(), Next::Ask(Kind::Health, first));
        // A threshold of 0 is 1, an interval of 0 is not busy.
        let told = judge.answered(Kind::Health, Err("x".to_owned()), first);
        assert_eq!(told, Some(Change::Unhealthy("x".to_owned())));
        assert_eq!(judge.next(), Next::Ask(Kind::Health, first + PROBE_INTERVAL_MIN_MS));
        // The clock's end is the end.
        judge.answered(Kind::Health, Ok(()), u64::MAX);
        assert_eq!(judge.next(), Next::Ask(Kind::Health, u64::MAX));
    }

    #[test]
    fn nothing_to_ask_is_nothing_to_judge() {
        let mut judge = judge("", None);
        assert_eq!((judge.next(), judge.deadline_ms()), (Next::Nothing, None));
        assert_eq!((judge.tick(u64::MAX), judge.state()), (None, None));
    }
}
