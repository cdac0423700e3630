//! A mailbox between threads that never blocks who posts, so that no cycle of threads can wait
//! for each other.
//!
//! It needs no bound of its own: clients hold one of `limits::ASKS` permits for each ask, shims
//! report only what they were given, and a commit is one message.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Both ends.
#[derive(Debug)]
pub struct Mailbox<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    waiting: Mutex<Vec<T>>,
    arrived: Condvar,
}

impl<T> Mailbox<T> {
    /// An empty one.
    pub fn new() -> Self {
        Self(Arc::new(Inner { waiting: Mutex::new(Vec::new()), arrived: Condvar::new() }))
    }

    /// Adds a message at the end.
    pub fn post(&self, message: T) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(message);
        drop(waiting);
        self.0.arrived.notify_one();
    }

    /// As [`Self::post`], but wakes the owner only if it had nothing: for messages that may gather.
    pub fn post_lazily(&self, message: T) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(message);
        let is_first = waiting.len() == 1;
        drop(waiting);
        if is_first {
            self.0.arrived.notify_one();
        }
    }

    /// Takes all messages in order; blocks until there is one, and while all of them may gather,
    /// for `patience` at most.
    pub fn gather(&self, patience: Duration, may_gather: impl Fn(&T) -> bool) -> Vec<T> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.is_empty() {
            waiting = self.0.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let all_may = |all: &mut Vec<T>| all.iter().all(&may_gather);
        let waited = self.0.arrived.wait_timeout_while(waiting, patience, all_may);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting)
    }

    /// Takes all messages in order; blocks until there is one.
    pub fn take(&self) -> Vec<T> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.is_empty() {
            waiting = self.0.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut *waiting)
    }

    /// Takes all messages in order; after `patience` without any, none.
    pub fn take_within(&self, patience: Duration) -> Vec<T> {
        let waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.arrived.wait_timeout_while(waiting, patience, |all| all.is_empty());
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting)
    }

    /// Takes what is there, perhaps nothing.
    pub fn take_now(&self) -> Vec<T> {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting)
    }
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
