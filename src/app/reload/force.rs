//! How a configuration that was made ready comes into force.

use std::collections::BTreeSet;
use std::sync::Arc;

use secrecy::ExposeSecret as _;

use super::Reloader;
use super::next::Next;
use crate::app::{anonymous, brake_limits, budgets, limits, policy};
use crate::config::Config;
use crate::gate::secret::KeyHash;
use crate::jobs::alerts::Deliverer;
use crate::state::Gateway;
use crate::store::{self, StoreError};

impl Reloader {
    /// Swaps everything. Requests that run have their snapshot, their key and their sender, and keep them.
    pub(super) async fn put_in_force(&mut self, next: Next, is_same: bool) {
        let gateway = Arc::clone(&self.gateway);
        if is_same {
            // It may have been read from other files.
            return gateway.config.store(Arc::new(next.config));
        }
        self.reloads += 1;
        let Next { config, snapshot, senders, receivers, keys, .. } = next;
        // Before anybody looks for them; the old ones stay for those who have.
        gateway.dispatcher.senders.rcu(|there| {
            let mut all = (**there).clone();
            all.extend(senders.iter().map(|(name, sender)| (Arc::clone(name), Arc::clone(sender))));
            all
        });
        let config = Arc::new(config);
        self.retire(&snapshot);
        snapshot.take_limits(gateway.clock().mono_ns());
        gateway.swap_snapshot(snapshot).await;
        gateway.config.store(Arc::clone(&config));
        settings(&gateway, &config);
        // Budgets before keys: a key does not work before its budget does.
        if gateway.readiness.database_was_up()
            && let Err(error) = declare(&gateway, &config).await
        {
            tracing::warn!(%error, "declared budgets could not be written yet: {error}");
            self.unwritten = Some(0);
        }
        let declared: BTreeSet<String> = keys.iter().map(|key| key.id.clone()).collect();
        gateway.keys.unpin_others(&declared.iter().map(String::as_str).collect());
        keys.into_iter().for_each(|key| gateway.keys.pin(key));
        if let Some(receivers) = receivers {
            gateway.alerts.store(Arc::new(receivers));
            self.start_tellers();
        }
    }

    /// Remembers the providers whose sender the new snapshot does not use.
    fn retire(&mut self, new: &crate::snapshot::Snapshot) {
        let used: BTreeSet<&str> = new.providers.values().map(|provider| &*provider.sender).collect();
        let current = self.gateway.snapshot.load_full();
        let gone = current.providers.values().filter(|old| !used.contains(&*old.sender));
        self.retired.extend(gone.map(|old| (Arc::downgrade(old), Arc::clone(&old.sender))));
    }

    /// One job for each receiver of alerts; those of receivers before end after what they are telling.
    pub(super) fn start_tellers(&mut self) {
        self.tellers.cancel();
        self.tellers = self.lifecycle.jobs_stop.child_token();
        for receiver in self.gateway.alerts.load().iter() {
            let deliverer = Deliverer::new(Arc::clone(&self.gateway), Arc::clone(receiver), self.outbox.clone());
            self.lifecycle.job(deliverer.run(self.tellers.clone()));
        }
    }
}

/// What is one value each.
fn settings(gateway: &Gateway, config: &Config) {
    gateway.dispatcher.policy.store(Arc::new(policy(config)));
    gateway.dispatcher.retries.set_percent(config.routing.retry_percent);
    for warning in config.chaos.warnings() {
        tracing::warn!("{warning}");
    }
    gateway.meter.metrics.chaos_active.set(i64::from(config.chaos.is_active()));
    gateway.meter.limits.set_rules(limits::rules(config));
    gateway.brake.set_limits(brake_limits(config));
    gateway.body_memory.set_most(config.server.max_body_memory);
    if let Some(key) = &config.auth.admin_key {
        gateway.admin.store(Some(Arc::new(KeyHash::of(key.expose_secret().trim()))));
    }
    match (config.auth.required, gateway.anonymous.load().is_some()) {
        (true, _) => gateway.anonymous.store(None),
        (false, true) => {}
        (false, false) => gateway.anonymous.store(Some(Arc::new(anonymous(gateway.clock())))),
    }
}

/// Makes the budgets of the database those that the configuration declares, and follows them.
///
/// # Errors
/// As any call to the store.
pub(super) async fn declare(gateway: &Gateway, config: &Config) -> Result<(), StoreError> {
    let now = gateway.clock().unix_ms();
    store::budgets::declare(&gateway.db, &budgets::declared(config, now), now).await?;
    gateway.follow_budgets().await
}
