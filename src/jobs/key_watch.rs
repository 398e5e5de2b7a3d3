//! Follows the database's key revisions, so that a change on any replica acts on this one within a
//! second.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::trouble::Trouble;
use crate::state::{Gateway, key_data};
use crate::store::keys::{changed_since, current_rev};
use crate::store::{Db, StoreError};

/// How often the revision is asked for.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// Rows taken over at once.
const BATCH: u32 = 500;

/// The watcher.
#[derive(Debug)]
pub struct KeyWatch {
    gateway: Arc<Gateway>,
    seen: Option<i64>,
    trouble: Trouble,
}

impl KeyWatch {
    /// Its name in logs.
    pub const NAME: &'static str = "key_watch";

    /// A watcher that has seen nothing.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway, seen: None, trouble: Trouble::default() }
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
        let outcome = self.follow().await;
        self.trouble.note(
            Self::NAME,
            &outcome,
            "key changes are followed again",
            "key changes cannot be followed, cached keys go on working",
        );
    }

    /// Takes over what changed since the last round.
    ///
    /// # Errors
    /// When the database cannot be asked; what was seen so far stays.
    pub async fn follow(&mut self) -> Result<(), StoreError> {
        let db: &Db = &self.gateway.db;
        let current = current_rev(db).await?;
        // Nothing is cached from before the first round but what was read just now.
        let mut seen = self.seen.unwrap_or_default();
        while seen < current {
            let rows = changed_since(db, seen, BATCH).await?;
            let Some(last) = rows.last() else { break };
            seen = last.rev;
            for row in rows {
                let id = row.id.clone();
                match key_data(row) {
                    Ok(data) => self.gateway.keys.apply(data),
                    Err(why) => tracing::error!(key = %id, %why, "the stored key {id} is unusable: {why}"),
                }
            }
            self.seen = Some(seen);
        }
        self.seen = Some(current.max(seen));
        Ok(())
    }
}
