//! Shims that hold their trees still: time does not pass for what is paused.

use jr::model::event::{Final, PausedBy};
use jr::model::{Observation, Signal};

use super::machine::{FromShim, Key, Machine, Running, Step};

impl Running {
    /// Whether it is over by now. What is held still ends only by SIGKILL.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        let killed = self.last_word == Final::Signalled(Signal::KILL);
        self.ends_at.is_some_and(|at| at <= now) && (self.paused_at.is_none() || killed)
    }

    fn go_on(&mut self, now: u64) {
        let Some(since) = self.paused_at.take() else { return };
        self.ends_at = self.ends_at.map(|at| at + (now - since));
    }
}

impl Machine {
    /// `None`: the shim has claimed it and makes the process first.
    pub(crate) fn pause(&mut self, id: u32, key: Key) -> Option<Vec<FromShim>> {
        let now = self.boottime_ms;
        let (run, attempt) = key;
        let mut sent = Vec::new();
        let shim = self.shim(id);
        if let Some(current) = shim.current.as_mut().filter(|current| current.start.key == key) {
            if current.step == Step::Claimed {
                return None;
            }
            if current.status.is_none() && current.stop.is_none() && !current.timed_out {
                current.paused_at = current.paused_at.or(Some(now));
                let ticks = current.ticks;
                let by = PausedBy::Freezer;
                sent.push(FromShim::Saw(Observation::TreePaused { run, attempt, by }));
                if let Some(process) = self.processes.get_mut(&ticks) {
                    process.paused_at = process.paused_at.or(Some(now));
                }
            }
        } else if let Some(end) = shim.ended.get(&key).cloned() {
            sent.push(FromShim::Saw(Observation::ProcessEnded { run, attempt, end }));
        } else {
            shim.held.retain(|held| held.key != key);
            shim.refused.insert(key);
            sent.push(FromShim::Saw(Observation::StartWithdrawn { run, attempt }));
        }
        Some(sent)
    }

    /// Lets the tree go on, if it is this shim's and held.
    pub(crate) fn unpause(&mut self, id: u32, key: Key) -> Vec<FromShim> {
        let now = self.boottime_ms;
        let shim = self.shim(id);
        let current = shim.current.as_mut().filter(|current| current.start.key == key);
        let Some(current) = current else { return Vec::new() };
        let Some(since) = current.paused_at.take() else { return Vec::new() };
        current.timeout_at = current.timeout_at.map(|at| at + (now - since));
        let ticks = current.ticks;
        if let Some(process) = self.processes.get_mut(&ticks) {
            process.go_on(now);
        }
        let (run, attempt) = key;
        vec![FromShim::Saw(Observation::TreeResumed { run, attempt })]
    }
}
