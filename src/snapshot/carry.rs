//! What a new snapshot takes over of the one before it: all that is measured, counted and limited, by name.
//! Requests that run hold the old snapshot and go on counting into the same places.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
}

impl Before<'_> {
    /// Hands the state of the provider of that name on. Nothing of it changes yet: limits do with
    /// [`Snapshot::take_limits`], once it is sure that the new snapshot comes into force.
    pub(super) fn provider(&self, new: &mut ProviderDef, config: &Config) {
        let Some(old) = self.snapshot.providers.get(&new.id) else { return };
        new.live = Arc::clone(&old.live);
        new.turn = AtomicUsize::new(old.turn.load(Ordering::Relaxed));
        let mut left: Vec<&Credential> = old.credentials.iter().collect();
        for credential in &mut new.credentials {
            if let Some(i) = left.iter().position(|old| old.header == credential.header) {
                credential.limiter = Arc::clone(&left.remove(i).limiter);
            }
        }
        let id = &*new.id;
        if old.catalog_id == new.catalog_id && same_provider(self.config.providers.get(id), config.providers.get(id)) {
            new.sender = Arc::clone(&old.sender);
            // With the tokens that its signer was issued.
            new.secrets = Arc::clone(&old.secrets);
        } else {
            new.sender = next_sender(&old.sender, id);
        }
    }

    /// Whose turn it is at the route of that name.
    pub(super) fn turn(&self, route: &str) -> usize {
        self.snapshot.routes.get(route).map_or(0, |old| old.turn.load(Ordering::Relaxed))
    }
}

/// `openai`, `openai#2`, ...: requests that run go on with the old one.
fn next_sender(old: &str, id: &str) -> Arc<str> {
    let number = old.strip_prefix(id).and_then(|rest| rest.strip_prefix('#')?.parse::<u64>().ok()).unwrap_or(1);
    format!("{id}#{}", number.saturating_add(1)).into()
}

impl Snapshot {
    /// Puts the limits of its upstream keys into force. What was used of them stays used.
    pub fn take_limits(&self, now: MonoNs) {
        for credential in self.providers.values().flat_map(|provider| &provider.credentials) {
            credential.limiter.set_limits(credential.limits, now);
        }
    }
}

#[cfg(test)]
mod tests;
