//! Looks each hour whether the books of the last day agree. One of the replicas does it for all.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::MonoNs;
use crate::events;
use crate::money::NanoUsd;
use crate::state::Gateway;
use crate::store::reconcile::{Mismatch, settled};
use crate::store::{StoreError, leases, outbox};

/// Between two looks at the clock.
const TICK: Duration = Duration::from_secs(10);
/// Between two looks at the books.
const EVERY: MonoNs = 3_600_000_000_000;
/// How far back it looks: a day, and what lies in it of budgets by the hour and the day.
const SPAN_MS: i64 = 25 * 60 * 60 * 1000;
/// A replica seen within this time is there.
const SEEN_MS: i64 = 30_000;

/// The job.
#[derive(Debug)]
pub struct Reconcile {
    gateway: Arc<Gateway>,
    last: MonoNs,
}

impl Reconcile {
    /// Its name in logs.
    pub const NAME: &'static str = "reconcile";

    /// A job that looks for the first time in an hour.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>) -> Self {
        let last = gateway.clock().mono_ns();
        Self { gateway, last }
    }

    /// Runs until it is stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(TICK) => {}
            }
            let now = self.gateway.clock().mono_ns();
            if now.saturating_sub(self.last) < EVERY {
                continue;
            }
            self.last = now;
            if let Err(error) = self.look().await {
                tracing::warn!(job = Self::NAME, %error, "the books could not be compared: {error}");
            }
        }
    }

    /// Compares, if it is this replica's turn; answers how many sums differ.
    ///
    /// # Errors
    /// As any call to the store.
    pub async fn look(&self) -> Result<usize, StoreError> {
        let gateway = &self.gateway;
        let now = gateway.clock().unix_ms();
        let own = gateway.meter.ledger.journal().folder().id();
        if leases::first_seen(&gateway.db, now - SEEN_MS).await?.is_some_and(|first| first != own) {
            return Ok(0);
        }
        let found = settled(&gateway.db, now - SPAN_MS, now).await?;
        gateway.meter.metrics.ledger_mismatches.set(i64::try_from(found.mismatches.len()).unwrap_or(i64::MAX));
        for Mismatch { what, expected, found, .. } in &found.mismatches {
            tracing::error!(
                job = Self::NAME,
                what,
                expected,
                found,
                "the books do not agree: {what} is {found} and should be {expected}"
            );
        }
        let money = found.mismatches.iter().filter(|mismatch| mismatch.money);
        let told = money.map(|m| events::ledger_mismatch(now, &m.what, NanoUsd(m.expected), NanoUsd(m.found)));
        outbox::put_now(&gateway.db, &told.collect::<Vec<_>>()).await?;
        Ok(found.mismatches.len())
    }
}
