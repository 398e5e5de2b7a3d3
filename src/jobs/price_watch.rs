//! Follows the database's price revisions and the clock, so that a price acts on every replica within a
//! second. Requests look at the clock themselves: none is priced by what held before it came.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::trouble::Trouble;
use crate::state::Gateway;

/// How often the revision is asked for.
pub const INTERVAL: Duration = Duration::from_millis(250);

/// The watcher.
#[derive(Debug)]
pub struct PriceWatch {
    gateway: Arc<Gateway>,
    trouble: Trouble,
}

impl PriceWatch {
    /// Its name in logs.
    pub const NAME: &'static str = "price_watch";

    /// A watcher of this gateway's database.
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
                _ = tick.tick() => self.round().await,
            }
        }
    }

    async fn round(&mut self) {
        let outcome = self.gateway.follow_prices().await;
        self.trouble.note(
            Self::NAME,
            &outcome,
            "price changes are followed again",
            "price changes cannot be followed, known prices stay in force",
        );
    }
}
