//! Asks providers how they are, those that say so in their `health.check`: at intervals that are spread a little, so
//! that replicas do not knock together, and at most so many at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::clock::MonoNs;
use crate::snapshot::ProviderDef;
use crate::snapshot::live::Unusable;
use crate::state::Shared;

/// How often it is looked whose turn it is.
const TICK: Duration = Duration::from_millis(100);
/// Providers that are asked at once; the others wait for their turn.
const AT_ONCE: usize = 16;

/// The job.
#[derive(Debug)]
pub struct HealthChecks {
    gateway: Shared,
    /// The providers that are asked, by name.
    turns: HashMap<Arc<str>, Turn>,
}

/// When a provider is asked next, and with which key.
#[derive(Debug)]
struct Turn {
    interval: Duration,
    due: MonoNs,
    is_running: bool,
    /// Rounds that were begun: keys take turns.
    rounds: usize,
}

/// Checks that are under way, of the providers of these names.
type Running = FuturesUnordered<BoxFuture<'static, Arc<str>>>;

impl HealthChecks {
    /// A job that has asked nobody.
    #[must_use]
    pub fn new(gateway: Shared) -> Self {
        Self { gateway, turns: HashMap::new() }
    }

    /// Runs until it is stopped; checks that are under way are left.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut running = Running::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => self.round(&running),
                Some(provider) = running.next(), if !running.is_empty() => self.ended(&provider),
            }
        }
    }

    /// Begins what is due.
    fn round(&mut self, running: &Running) {
        let snapshot = self.gateway.snapshot.load_full();
        let now = self.gateway.clock().mono_ns();
        self.turns.retain(|id, _| snapshot.providers.get(id).is_some_and(|provider| provider.check.is_some()));
        for provider in snapshot.providers.values() {
            let Some(check) = &provider.check else { continue };
            let spread = self.gateway.chance.unit();
            let turn =
                self.turns.entry(Arc::clone(&provider.id)).or_insert_with(|| Turn::first(check.interval, spread, now));
            turn.every(check.interval, now);
            if turn.is_running || turn.due > now || running.len() >= AT_ONCE {
                continue;
            }
            turn.is_running = true;
            turn.rounds = turn.rounds.wrapping_add(1);
            let keys = keys(provider, turn.rounds, now);
            running.push(ask(Arc::clone(&self.gateway), Arc::clone(provider), keys).boxed());
        }
    }

    fn ended(&mut self, provider: &Arc<str>) {
        let now = self.gateway.clock().mono_ns();
        if let Some(turn) = self.turns.get_mut(provider) {
            turn.is_running = false;
            turn.due = now.saturating_add(nanos(turn.interval.mul_f64(0.9 + 0.2 * self.gateway.chance.unit())));
        }
    }
}

impl Turn {
    /// The first one comes within an interval, whenever.
    fn first(interval: Duration, spread: f64, now: MonoNs) -> Self {
        let due = now.saturating_add(nanos(interval.mul_f64(spread)));
        Self { interval, due, is_running: false, rounds: 0 }
    }

    /// An interval that became shorter counts at once.
    fn every(&mut self, interval: Duration, now: MonoNs) {
        if self.interval != interval {
            self.interval = interval;
            self.due = self.due.min(now.saturating_add(nanos(interval)));
        }
    }
}

/// The keys of a round: one of those that may be used, and one of those that were refused, to see whether they are
/// taken again. None of those that were told to wait.
fn keys(provider: &ProviderDef, round: usize, now: MonoNs) -> Vec<usize> {
    let states: Vec<Option<Unusable>> = provider.credentials.iter().map(|key| key.health.peek(now)).collect();
    let pick = |wanted: Option<Unusable>| {
        let fit: Vec<usize> = (0..states.len()).filter(|n| states[*n] == wanted).collect();
        (!fit.is_empty()).then(|| fit[round % fit.len()])
    };
    pick(None).into_iter().chain(pick(Some(Unusable::Rejected))).collect()
}

async fn ask(gateway: Shared, provider: Arc<ProviderDef>, keys: Vec<usize>) -> Arc<str> {
    if let Some(check) = &provider.check {
        for key in keys {
            let metrics = &gateway.meter.metrics;
            gateway.dispatcher.check(&provider, check, key, gateway.clock(), metrics).await;
        }
    }
    Arc::clone(&provider.id)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn a_first_turn_comes_within_an_interval_and_a_shorter_one_counts_at_once() {
        let minute = Duration::from_secs(60);
        let mut turn = Turn::first(minute, 0.5, S);
        assert_eq!(turn.due, 31 * S);
        turn.every(Duration::from_secs(1), 2 * S);
        assert_eq!(turn.due, 3 * S);
        turn.every(minute, 2 * S);
        assert_eq!(turn.due, 3 * S, "a longer one with the next");
    }
}
