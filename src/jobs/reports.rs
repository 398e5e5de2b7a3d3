//! Makes the configured reports when they are due: each once, whatever number of replicas does so, and
//! late rather than never.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::trouble::Trouble;
use crate::config::Report;
use crate::reports::schedule::{due, make};
use crate::state::Gateway;
use crate::store::StoreError;
use crate::store::reports::{last, publish};

/// How often it is looked whether a report is due.
pub const INTERVAL: Duration = Duration::from_secs(30);
/// Longest wait for rows that are on their way to the database.
const FLUSH: Duration = Duration::from_secs(2);

/// The job.
#[derive(Debug)]
pub struct Reports {
    gateway: Arc<Gateway>,
    trouble: Trouble,
}

impl Reports {
    /// Its name in logs.
    pub const NAME: &'static str = "reports";

    /// A job that has made nothing.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway, trouble: Trouble::default() }
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.round() => {}
            }
        }
    }

    async fn round(&mut self) {
        let outcome = self.make_all().await;
        self.trouble.note(Self::NAME, &outcome, "reports are made again", "reports cannot be made, and will be later");
    }

    /// Makes every report that is due; answers how many this replica made. One that cannot be made keeps
    /// none of the others back.
    ///
    /// # Errors
    /// The first error, after trying all.
    pub async fn make_all(&self) -> Result<usize, StoreError> {
        let (mut made, mut failed) = (0, None);
        for report in &self.gateway.config.load_full().reports {
            match self.make_due(report).await {
                Ok(count) => made += count,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(made), Err)
    }

    async fn make_due(&self, report: &Report) -> Result<usize, StoreError> {
        let (db, now) = (&self.gateway.db, self.gateway.clock().unix_ms());
        let mut made = 0;
        let periods = due(report, last(db, &report.name).await?, now);
        if !periods.is_empty() {
            self.gateway.meter.ledger.flush(FLUSH).await;
        }
        for period in periods {
            let snapshot = self.gateway.snapshot.load_full();
            let report = make(db, &snapshot, report, period, now).await?;
            if publish(db, &report).await? {
                made += 1;
                tracing::info!(job = Self::NAME, report = %report.name, "report {} was made", report.name);
            }
        }
        Ok(made)
    }
}
