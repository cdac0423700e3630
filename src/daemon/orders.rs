//! The way to the shims thread: a mailbox and an eventfd(2) that wakes its poll(2).

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::mailbox::Mailbox;
use super::message::Order;

/// Both ends.
#[derive(Clone, Debug)]
pub struct Orders {
    waiting: Mailbox<Order>,
    wake: Arc<OwnedFd>,
}

impl Orders {
    /// An empty one.
    ///
    /// # Errors
    /// No file descriptor left.
    pub fn new() -> std::io::Result<Self> {
        let flags = rustix::event::EventfdFlags::NONBLOCK | rustix::event::EventfdFlags::CLOEXEC;
        let wake = Arc::new(rustix::event::eventfd(0, flags)?);
        Ok(Self { waiting: Mailbox::new(), wake })
    }

    /// Hands an order over.
    pub fn post(&self, order: Order) {
        self.post_all(vec![order]);
    }

    /// Hands over what was released together, to be taken together.
    pub fn post_all(&self, orders: Vec<Order>) {
        if orders.is_empty() {
            return;
        }
        self.waiting.post_all(orders);
        // A counter that is full has woken it already.
        let _full = rustix::io::write(&*self.wake, &1_u64.to_le_bytes());
    }

    /// Readable when orders wait.
    pub fn fd(&self) -> &OwnedFd {
        &self.wake
    }

    /// Takes all that wait.
    pub fn take(&self) -> Vec<Order> {
        let mut count = [0_u8; 8];
        let _empty = rustix::io::read(&*self.wake, &mut count);
        self.waiting.take_now()
    }
}
