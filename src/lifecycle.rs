//! Soft stop, drain, hard stop; every task is tracked.
//!
//! On SIGTERM or SIGINT the gateway takes no new work and says so on `/health/ready`; requests in
//! flight and open streams finish within `server.drain_timeout`, and whoever connects meanwhile is
//! told to go elsewhere; then streams are ended with an error event and the listeners close; last of
//! all the ledger is written. A second signal skips the wait.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The stages of a stop, and the tasks to wait for.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// No new work.
    pub soft_stop: CancellationToken,
    /// Open streams end now.
    pub hard_stop: CancellationToken,
    /// No request is served any more: what requests left to be done is all that is left.
    pub served: CancellationToken,
    /// Nobody is waited for any more: the listeners close.
    pub drained: CancellationToken,
    /// Background jobs end; the ledger's writer writes what it has.
    pub jobs_stop: CancellationToken,
    connections: TaskTracker,
    latecomers: TaskTracker,
    streams: TaskTracker,
    left_over: TaskTracker,
    jobs: TaskTracker,
}

/// How long clients that are left after the drain may take to read their last bytes.
const LAST_BYTES: Duration = Duration::from_secs(2);

impl Lifecycle {
    /// Runs a connection's task.
    #[expect(clippy::disallowed_methods, reason = "this is the place that tracks tasks")]
    pub fn connection<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        tokio::spawn(self.connections.track_future(task));
    }

    /// Runs the task of a connection that came while others drain; a stop does not wait for it.
    #[expect(clippy::disallowed_methods, reason = "this is the place that tracks tasks")]
    pub fn latecomer<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        tokio::spawn(self.latecomers.track_future(task));
    }

    /// Runs a stream of a connection, which outlives it by moments only. A stop waits for the connection.
    #[expect(clippy::disallowed_methods, reason = "this is the place that tracks tasks")]
    pub fn stream<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        tokio::spawn(self.streams.track_future(task));
    }

    /// Runs a job that does what requests left to be done. It ends once that is done after [`Lifecycle::served`], and at
    /// [`Lifecycle::hard_stop`] at the latest; a stop waits for it as for a connection.
    #[expect(clippy::disallowed_methods, reason = "this is the place that tracks tasks")]
    pub fn left_over<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        tokio::spawn(self.left_over.track_future(task));
    }

    /// Runs a background job.
    #[expect(clippy::disallowed_methods, reason = "this is the place that tracks tasks")]
    pub fn job<F: Future<Output = ()> + Send + 'static>(&self, task: F) {
        tokio::spawn(self.jobs.track_future(task));
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Waits until no connection is open, at most so long.
    pub async fn wait_for_connections(&self, most: Duration) {
        self.connections.close();
        let _ = tokio::time::timeout(most, self.connections.wait()).await;
    }

    /// Stops in order. `hurry` resolves when the wait should end early (a second signal).
    pub async fn stop(&self, drain: Duration, hurry: impl Future<Output = ()>) {
        self.soft_stop.cancel();
        self.connections.close();
        self.left_over.close();
        let all = async {
            self.connections.wait().await;
            self.served.cancel();
            self.left_over.wait().await;
        };
        let drained = tokio::select! {
            () = all => true,
            () = tokio::time::sleep(drain) => false,
            () = hurry => false,
        };
        if !drained {
            tracing::warn!(
                open = self.connections.len(),
                left_over = self.left_over.len(),
                "{} connections are still open and are ended now{}",
                self.connections.len(),
                if self.left_over.is_empty() { "" } else { ", and what requests left to be done" }
            );
            self.hard_stop.cancel();
            self.served.cancel();
            // Long enough for the error events to be written; a client that does not read is cut.
            let last = async { tokio::join!(self.connections.wait(), self.left_over.wait()) };
            let _ = tokio::time::timeout(LAST_BYTES, last).await;
        }
        self.drained.cancel();
        self.latecomers.close();
        let _ = tokio::time::timeout(LAST_BYTES, self.latecomers.wait()).await;
        self.jobs_stop.cancel();
        self.jobs.close();
        if tokio::time::timeout(Duration::from_secs(30), self.jobs.wait()).await.is_err() {
            tracing::error!("background jobs did not end within 30 s");
        }
    }
}

/// The signals that the gateway heeds, from when this was made on.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When signals cannot be listened for.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal to stop, and answers its name. `hung_up` is called at each SIGHUP.
    pub async fn stop(&mut self, mut hung_up: impl FnMut()) -> &'static str {
        loop {
            tokio::select! {
                _ = self.term.recv() => return "SIGTERM",
                _ = self.int.recv() => return "SIGINT",
                _ = self.hup.recv() => hung_up(),
            }
        }
    }
}
