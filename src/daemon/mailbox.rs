//! A mailbox between threads that never blocks who posts, so that no cycle of threads can wait
//! for each other.
//!
//! It needs no bound of its own: clients hold one of `limits::ASKS` permits for each ask, shims
//! report only what they were given, and a commit is one message.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Both ends.
#[derive(Debug)]
pub struct Mailbox<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    waiting: Mutex<Waiting<T>>,
    arrived: Condvar,
}

#[derive(Debug)]
struct Waiting<T> {
    messages: Vec<T>,
    /// Its owner sleeps until the next one: else a wake would be a system call for nothing.
    asleep: bool,
}

impl<T> Mailbox<T> {
    /// An empty one.
    pub fn new() -> Self {
        let waiting = Waiting { messages: Vec::new(), asleep: false };
        Self(Arc::new(Inner { waiting: Mutex::new(waiting), arrived: Condvar::new() }))
    }

    /// Adds a message at the end.
    pub fn post(&self, message: T) {
        self.add(message, false);
    }

    /// Adds messages that are taken together.
    pub fn post_all(&self, messages: Vec<T>) {
        let mut waiting = self.lock();
        waiting.messages.extend(messages);
        let wakes = waiting.asleep && !waiting.messages.is_empty();
        drop(waiting);
        if wakes {
            self.0.arrived.notify_one();
        }
    }

    /// As [`Self::post`], but wakes the owner only if it had nothing: for messages that may gather.
    pub fn post_lazily(&self, message: T) {
        self.add(message, true);
    }

    fn add(&self, message: T, lazily: bool) {
        let mut waiting = self.lock();
        waiting.messages.push(message);
        let wakes = waiting.asleep && (waiting.messages.len() == 1 || !lazily);
        drop(waiting);
        if wakes {
            self.0.arrived.notify_one();
        }
    }

    /// Takes all messages in order; blocks until there is one, and while all of them may gather,
    /// for `patience` at most.
    pub fn gather(&self, patience: Duration, may_gather: impl Fn(&T) -> bool) -> Vec<T> {
        let waiting = self.sleep_while(self.lock(), None, Vec::is_empty);
        let all_may = |all: &Vec<T>| all.iter().all(&may_gather);
        let mut waiting = self.sleep_while(waiting, Some(patience), all_may);
        std::mem::take(&mut waiting.messages)
    }

    /// Takes all messages in order; blocks until there is one.
    pub fn take(&self) -> Vec<T> {
        let mut waiting = self.sleep_while(self.lock(), None, Vec::is_empty);
        std::mem::take(&mut waiting.messages)
    }

    /// Takes all messages in order; after `patience` without any, none.
    pub fn take_within(&self, patience: Duration) -> Vec<T> {
        let mut waiting = self.sleep_while(self.lock(), Some(patience), Vec::is_empty);
        std::mem::take(&mut waiting.messages)
    }

    /// Takes what is there, perhaps nothing.
    pub fn take_now(&self) -> Vec<T> {
        std::mem::take(&mut self.lock().messages)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps while the messages are as `still` says, without `patience` for ever.
    fn sleep_while<'a>(
        &self,
        mut waiting: MutexGuard<'a, Waiting<T>>,
        patience: Option<Duration>,
        still: impl Fn(&Vec<T>) -> bool,
    ) -> MutexGuard<'a, Waiting<T>> {
        waiting.asleep = true;
        let still = |waiting: &mut Waiting<T>| still(&waiting.messages);
        let arrived = &self.0.arrived;
        let mut waiting = match patience {
            None => arrived.wait_while(waiting, still).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => {
                let waited = arrived.wait_timeout_while(waiting, patience, still);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        waiting.asleep = false;
        waiting
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
