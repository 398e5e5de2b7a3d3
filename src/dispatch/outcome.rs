//! What the outcome of a try says of those who took part: the target, and the upstream key.

use std::sync::Arc;
use std::time::Duration;

use super::Failed;
use crate::clock::MonoNs;
use crate::meter::prom::Metrics;
use crate::snapshot::live::RECHECK;
use crate::snapshot::{ProviderDef, Target};

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blame {
    /// The request's, the caller's or this gateway's: it says nothing of the target.
    #[default]
    Nobody,
    /// The target's: others would fail as well.
    Target,
    /// The target's, perhaps: it did not answer in the time that this request had, which is less than its provider has.
    Slow,
    /// The upstream key has had enough, for so long if the upstream said that.
    Throttled(Option<Duration>),
    /// The upstream does not know the key.
    Rejected,
    /// The upstream knows the key, and that it may not do this.
    Denied,
}

/// Who takes part in a try.
#[derive(Clone, Debug)]
pub struct Stake {
    /// Who is asked.
    pub target: Arc<Target>,
    /// With which of its provider's keys.
    pub key: usize,
    /// Since when.
    pub since: MonoNs,
}

impl Stake {
    /// A try failed.
    pub fn failed(&self, failed: &Failed, metrics: &Metrics, now: MonoNs) {
        let (target, provider) = (&self.target, &self.target.provider);
        let Some(key) = provider.credentials.get(self.key) else { return };
        match failed.blame {
            Blame::Nobody => {}
            Blame::Slow => target.health.waited(self.waited_us(now), now),
            Blame::Target => {
                target.health.waited(self.waited_us(now), now);
                if target.health.failed(&provider.breaker, now) {
                    opened(target);
                }
            }
            // One that does not say how long to wait may be asked again at once.
            Blame::Throttled(wait) => wait.into_iter().for_each(|wait| key.health.cool(wait, now)),
            Blame::Rejected => rejected(provider, self.key, metrics, now),
            Blame::Denied => {
                let until = now.saturating_add(u64::try_from(RECHECK.as_nanos()).unwrap_or(u64::MAX));
                target.health.deny(self.key, until);
                metrics.upstream_key_rejected(&provider.id);
                let number = self.key + 1;
                tracing::error!(target_model = %target.name, key = number, "{} refuses what upstream key number {number} asks for: the key is not used there for {} s", target.name, RECHECK.as_secs());
            }
        }
    }

    fn waited_us(&self, now: MonoNs) -> u64 {
        now.saturating_sub(self.since) / 1000
    }
}

/// Whose fault it is that nothing came within `waited`, where the provider may take `limit`. A caller who has less time
/// than that cannot have a target left alone for everybody.
#[must_use]
pub fn of_timeout(waited: Duration, limit: Duration) -> Blame {
    if waited >= limit { Blame::Target } else { Blame::Slow }
}

/// A provider does not know one of its keys.
pub(super) fn rejected(provider: &ProviderDef, key: usize, metrics: &Metrics, now: MonoNs) {
    if provider.credentials.get(key).is_some_and(|key| key.health.reject(now)) {
        metrics.upstream_key_rejected(&provider.id);
        let number = key + 1;
        tracing::error!(provider = %provider.id, key = number, "provider {} refuses its upstream key number {number}: it is not used until it is replaced, but for a try every {} s", provider.id, RECHECK.as_secs());
    }
}

/// Says that a target is left alone.
pub(super) fn opened(target: &Target) {
    tracing::warn!(target_model = %target.name, "{} fails and is left alone for a while", target.name);
}
