//! Keeps the outbox: gives numbers to events that are committed, remembers its receivers, forgets what is old.
//! Any number of replicas may do so.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::trouble::Trouble;
use crate::alerts::Receivers;
use crate::clock::UnixMs;
use crate::state::Shared;
use crate::store::outbox::deliveries::register;
use crate::store::outbox::prune::{MAX_EVENTS, prune};
use crate::store::outbox::{head, number};
use crate::store::{Db, StoreError};

/// How often new events are looked for.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// How often it is cleared, by the gateway's clock.
const CLEAR_EVERY: UnixMs = 60_000;
/// How often receivers are remembered anew.
const REMEMBER_EVERY: UnixMs = 3_600_000;

/// The keeper.
#[derive(Debug)]
pub struct OutboxKeeper {
    gateway: Shared,
    head: watch::Sender<i64>,
    /// Who was remembered, and when.
    remembered: Option<(Arc<Receivers>, UnixMs)>,
    cleared_at: UnixMs,
    trouble: Trouble,
}

impl OutboxKeeper {
    /// Its name in logs.
    pub const NAME: &'static str = "outbox";

    /// A keeper, and how far the numbers are as it goes on.
    #[must_use]
    pub fn new(gateway: Shared) -> (Self, watch::Receiver<i64>) {
        let (head, follow) = watch::channel(0);
        let cleared_at = gateway.clock().unix_ms();
        (Self { gateway, head, remembered: None, cleared_at, trouble: Trouble::default() }, follow)
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
        // Its tables are not there before.
        if !self.gateway.readiness.database_was_up() {
            return;
        }
        let outcome = self.keep().await;
        self.trouble.note(Self::NAME, &outcome, "events are sent on again", "events wait in the outbox");
    }

    async fn keep(&mut self) -> Result<(), StoreError> {
        let db: &Db = &self.gateway.db;
        let now = self.gateway.clock().unix_ms();
        // Before the first number is given, so that a new receiver is told of what is new.
        let receivers = self.gateway.alerts.load_full();
        let known =
            self.remembered.as_ref().filter(|(known, at)| Arc::ptr_eq(known, &receivers) && now - at < REMEMBER_EVERY);
        if known.is_none() {
            for receiver in receivers.iter() {
                register(db, &receiver.name, now).await?;
            }
            self.remembered = Some((receivers, now));
        }
        let mut seen = head(db).await?;
        while seen.unnumbered {
            number(db).await?;
            seen = head(db).await?;
        }
        self.head.send_if_modified(|head| std::mem::replace(head, seen.seq) != seen.seq);
        if now - self.cleared_at >= CLEAR_EVERY {
            self.cleared_at = now;
            let pruned = prune(db, now).await?;
            if pruned.lost > 0 {
                let events = pruned.lost;
                tracing::error!(
                    job = Self::NAME,
                    events,
                    "{events} events are gone that not everybody was told of: the outbox holds {MAX_EVENTS}"
                );
            }
        }
        Ok(())
    }
}
