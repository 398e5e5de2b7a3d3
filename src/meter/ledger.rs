//! The ledger's entrance: a bounded queue between requests and the batching writer.
//!
//! A request takes its place in the queue *before* it is admitted ([`Ledger::reserve`]), so that
//! settling it can never fail or wait. When the queue is full (the database is down for long), new
//! requests are refused with a 503 and nothing that ran is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use weir_wire::usage::Usage;

use super::count::CountJob;
use crate::price::Prices;
use crate::record::{Sunk, UsageRow};

/// Rows between requests and the writer, those of requests in flight included.
pub const QUEUE: usize = 65_536;

/// A settled request on its way to the database.
#[derive(Debug)]
pub struct Entry {
    /// The row; complete unless `count` is there.
    pub row: UsageRow,
    /// What the writer must count first, off the request's path.
    pub count: Option<Count>,
}

/// Tokens to count before a row is complete.
#[derive(Debug)]
pub struct Count {
    /// The texts.
    pub job: CountJob,
    /// What the provider did report.
    pub reported: Usage,
    /// What tries that failed had cost before.
    pub sunk: Option<Box<Sunk>>,
    /// The price to apply afterwards.
    pub price: Option<Arc<Prices>>,
    /// The answer's service tier.
    pub tier: Option<String>,
    /// The model's name in metrics.
    pub label: Arc<str>,
}

/// What the writer receives.
#[derive(Debug)]
pub enum Message {
    /// A settled request.
    Entry(Box<Entry>),
    /// Answer when everything before this is written.
    Flush(oneshot::Sender<()>),
}

/// The sending end.
#[derive(Clone, Debug)]
pub struct Ledger {
    queue: mpsc::Sender<Message>,
    pending: Arc<AtomicU64>,
    hurry: Arc<Notify>,
}

/// A place in the queue.
#[derive(Debug)]
pub struct Place {
    permit: mpsc::OwnedPermit<Message>,
    pending: Arc<AtomicU64>,
}

/// The ledger has no room: the database has been away for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Ledger {
    /// A ledger and the writer's end of it.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<Message>) {
        let (queue, receiver) = mpsc::channel(capacity);
        (Self { queue, pending: Arc::default(), hurry: Arc::default() }, receiver)
    }

    /// Takes a place for one request.
    ///
    /// # Errors
    /// When there is none left.
    pub fn reserve(&self) -> Result<Place, Full> {
        let permit = self.queue.clone().try_reserve_owned().map_err(|_| Full)?;
        Ok(Place { permit, pending: Arc::clone(&self.pending) })
    }

    /// Waits until everything settled so far is written, but no longer than `most`: while the
    /// database is away rows are held back. Returns at once when the writer is gone.
    pub async fn flush(&self, most: Duration) {
        let (done, wait) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Message::Flush(done)).await.is_ok() {
                self.hurry.notify_one();
                // An error means the writer has ended, after writing all it had.
                let _ = wait.await;
            }
        };
        // Whoever asks gets what is written so far, or the database's own failure.
        let _ = tokio::time::timeout(most, flushed).await;
    }

    /// For the writer: somebody waits for a flush.
    pub async fn flush_asked(&self) {
        self.hurry.notified().await;
    }

    /// Rows settled and not yet written.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// The writer says how many rows it has dealt with.
    pub fn written(&self, rows: u64) {
        self.pending.fetch_sub(rows, Ordering::Relaxed);
    }
}

impl Place {
    /// Hands the settled request over. Never waits, never fails.
    pub fn settle(self, entry: Box<Entry>) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.permit.send(Message::Entry(entry));
    }
}
