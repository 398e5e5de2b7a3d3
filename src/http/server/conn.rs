//! What the parts of one connection share.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Context;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;
use weir_wire::http1::Refusal;

/// How long a connection waits for its client.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For a head, from its first byte on.
    pub header: Duration,
    /// For the next request.
    pub idle: Duration,
    /// For the client to read something.
    pub write: Duration,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    /// Who is at its other end, as far as is known without a request: the peer, or whom it speaks for.
    pub client: IpAddr,
    /// How long it waits.
    pub waits: Waits,
    /// Requests whose answer is not at its end.
    active: AtomicUsize,
    /// Whoever waits for a request while one is being answered.
    reader: AtomicWaker,
    /// Why its last request was refused, on the way from where that was seen to where it is told.
    pub refusal: OnceLock<Refusal>,
    /// Told once it had no request for too long.
    pub expired: Notify,
}

impl Conn {
    /// A new one.
    #[must_use]
    pub fn new(client: IpAddr, waits: Waits) -> Arc<Self> {
        Arc::new(Self {
            client,
            waits,
            active: AtomicUsize::new(0),
            reader: AtomicWaker::new(),
            refusal: OnceLock::new(),
            expired: Notify::new(),
        })
    }

    /// Whether a request is being answered.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire) > 0
    }

    /// Whether a request is being answered; if so the task is woken when none is any more.
    #[must_use]
    pub fn poll_active(&self, cx: &Context<'_>) -> bool {
        if !self.is_active() {
            return false;
        }
        self.reader.register(cx.waker());
        // It may have ended in between.
        self.is_active()
    }

    /// Counts a request until what is returned is dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::AcqRel);
        Active(Arc::clone(self))
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub struct Active(Arc<Conn>);

impl Drop for Active {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.reader.wake();
        }
    }
}
