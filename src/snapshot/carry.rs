//! What a new snapshot takes over of the one before it: all that is measured, counted and limited, by name.
//! Requests that run hold the old snapshot and go on counting into the same places.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::hedge::Budget;
use super::{Credential, ProviderDef, Snapshot};
use crate::clock::MonoNs;
use crate::config::{Config, same_provider};

/// What was in force.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// What it was made of.
    pub config: &'a Config,
    /// The snapshot.
    pub snapshot: &'a Snapshot,
    /// The number of this reload: providers that changed get a sender of that number, and requests that run go
    /// on with the old one.
    pub generation: u64,
}

impl Before<'_> {
    /// Hands the state of the provider of that name on. Nothing of it changes yet: limits do with
    /// [`Snapshot::take_limits`], once it is sure that the new snapshot comes into force.
    pub(super) fn provider(&self, new: &mut ProviderDef, config: &Config) {
        new.sender = format!("{}#{}", new.id, self.generation).into();
        let Some(old) = self.snapshot.providers.get(&new.id) else { return };
        if new.base_url == old.base_url {
            new.live = Arc::clone(&old.live);
        }
        new.turn = AtomicUsize::new(old.turn.load(Ordering::Relaxed));
        let mut left: Vec<&Credential> = old.credentials.iter().collect();
        for credential in &mut new.credentials {
            if let Some(i) = left.iter().position(|old| old.header == credential.header) {
                let old = left.remove(i);
                credential.limiter = Arc::clone(&old.limiter);
                credential.health = Arc::clone(&old.health);
            }
        }
        // Who waits there keeps the place.
        if new.queue == old.queue {
            new.queue.clone_from(&old.queue);
        }
        if same_provider(self.config.providers.get(&*new.id), config.providers.get(&*new.id)) {
            new.sender = Arc::clone(&old.sender);
            // With the tokens that its signer was issued.
            new.secrets = Arc::clone(&old.secrets);
        }
    }

    /// Whose turn it is at the route of that name, if there was one.
    pub(super) fn turn(&self, route: &str) -> Option<Arc<AtomicUsize>> {
        self.snapshot.routes.get(route).map(|old| Arc::clone(&old.turn))
    }

    /// What is left for hedges of the route of that name, if there was one.
    pub(super) fn hedges(&self, route: &str) -> Option<Arc<Budget>> {
        self.snapshot.routes.get(route)?.hedge.as_ref().map(|old| Arc::clone(&old.budget))
    }
}

impl Snapshot {
    /// Puts the limits of its upstream keys and of hedges into force. What was used of them stays used.
    pub fn take_limits(&self, now: MonoNs) {
        for credential in self.providers.values().flat_map(|provider| &provider.credentials) {
            credential.limiter.set_limits(credential.limits, now);
        }
        for (budget, percent) in
            self.routes.values().filter_map(|route| route.hedge.as_ref()).map(|h| (&h.budget, h.max_percent))
        {
            budget.set_percent(percent);
        }
    }
}

#[cfg(test)]
mod tests;
