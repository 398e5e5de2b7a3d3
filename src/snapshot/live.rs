//! What is measured of a provider while it serves, and of each model there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::check::Checked;
use super::health::Health;
use crate::clock::MonoNs;

/// Models whose figures are kept, for each provider. What callers make up beyond it has figures of its own
/// for one request.
const MAX_TARGETS: usize = 10_000;
/// How long a key that was refused is left alone before it is tried again.
pub const RECHECK: Duration = Duration::from_secs(300);

/// How one upstream key does.
#[derive(Debug, Default)]
pub struct KeyHealth {
    /// The upstream told it to wait until then.
    cool_until: AtomicU64,
    /// The upstream does not know it.
    rejected: AtomicBool,
    /// When it is tried again.
    recheck_at: AtomicU64,
    /// A check, too, was refused with it.
    check_refused: AtomicBool,
    /// It was refused, and nobody has been told.
    news: AtomicBool,
    /// It served since somebody began to watch for that.
    served: AtomicBool,
}

/// Why an upstream key is not used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The upstream told it to wait for so long.
    Cooling(Duration),
    /// The upstream refused it.
    Rejected,
}

impl KeyHealth {
    /// Why it is not used now, if so. A key that was refused is let through once in a while.
    #[must_use]
    pub fn unusable(&self, now: MonoNs) -> Option<Unusable> {
        if self.rejected.load(Ordering::Acquire) {
            let at = self.recheck_at.load(Ordering::Acquire);
            let next = now.saturating_add(nanos(RECHECK));
            let turn =
                at <= now && self.recheck_at.compare_exchange(at, next, Ordering::AcqRel, Ordering::Acquire).is_ok();
            return if turn { None } else { Some(Unusable::Rejected) };
        }
        let left = self.cool_until.load(Ordering::Acquire).saturating_sub(now);
        (left > 0).then(|| Unusable::Cooling(Duration::from_nanos(left)))
    }

    /// Why it is not used now, without taking the turn of a key that is to be tried again.
    #[must_use]
    pub fn blocked(&self, now: MonoNs) -> Option<Unusable> {
        let due = self.recheck_at.load(Ordering::Acquire) <= now;
        self.peek(now).filter(|why| *why != Unusable::Rejected || !due)
    }

    /// What it is now, for those who look.
    #[must_use]
    pub fn peek(&self, now: MonoNs) -> Option<Unusable> {
        if self.rejected.load(Ordering::Acquire) {
            return Some(Unusable::Rejected);
        }
        let left = self.cool_until.load(Ordering::Acquire).saturating_sub(now);
        (left > 0).then(|| Unusable::Cooling(Duration::from_nanos(left)))
    }

    /// The upstream said that it has had enough, for so long.
    pub fn cool(&self, wait: Duration, now: MonoNs) {
        self.cool_until.fetch_max(now.saturating_add(nanos(wait)), Ordering::AcqRel);
    }

    /// The upstream does not know it. Answers whether that is news.
    pub fn reject(&self, now: MonoNs) -> bool {
        self.recheck_at.store(now.saturating_add(nanos(RECHECK)), Ordering::Release);
        self.served.store(false, Ordering::Relaxed);
        let is_news = !self.rejected.swap(true, Ordering::AcqRel);
        if is_news {
            self.news.store(true, Ordering::Release);
        }
        is_news
    }

    /// It served a request.
    pub fn served(&self) {
        // Most of the time both are as they should be, and nothing is written.
        if self.rejected.load(Ordering::Relaxed) {
            self.check_refused.store(false, Ordering::Relaxed);
            self.rejected.store(false, Ordering::Release);
        }
        if !self.served.load(Ordering::Relaxed) {
            self.served.store(true, Ordering::Release);
        }
    }

    /// A check was refused with it.
    pub fn check_refused(&self) {
        self.check_refused.store(true, Ordering::Relaxed);
    }

    /// A check was good with it, which brings it back if one was refused before: what needs no key says nothing of
    /// keys. Answers whether it did.
    pub fn check_served(&self) -> bool {
        let back = self.check_refused.swap(false, Ordering::Relaxed);
        if back {
            self.served();
        }
        back
    }

    /// Whether it was refused since this was asked last.
    pub fn take_news(&self) -> bool {
        self.news.load(Ordering::Relaxed) && self.news.swap(false, Ordering::AcqRel)
    }

    /// What was taken could not be told.
    pub fn put_news_back(&self) {
        self.news.store(true, Ordering::Release);
    }

    /// From now on it counts whether it serves.
    pub fn watch(&self) {
        self.served.store(false, Ordering::Release);
    }

    /// Whether it served since that began to count, and is not refused now.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.served.load(Ordering::Acquire) && !self.rejected.load(Ordering::Acquire)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Live figures of one provider.
#[derive(Debug, Default)]
pub struct Live {
    in_flight: AtomicU64,
    /// Of each model there.
    targets: papaya::HashMap<Box<str>, Arc<Health>>,
    /// Moving average of the time to the answer's head, in microseconds; 0 before the first.
    latency_us: AtomicU64,
    /// What active checks came to.
    pub checked: Checked,
}

impl Live {
    /// How a model does there.
    #[must_use]
    pub fn target(&self, model: &str) -> Arc<Health> {
        let targets = self.targets.pin();
        if let Some(health) = targets.get(model) {
            return Arc::clone(health);
        }
        let health = Arc::new(Health::default());
        // A provider that is down is so for models of which nobody has asked yet, too.
        match self.checked.held_until() {
            0 => {}
            until => {
                health.breaker.hold(until);
            }
        }
        if targets.len() >= MAX_TARGETS {
            return health;
        }
        Arc::clone(targets.get_or_insert(model.into(), health))
    }

    /// Leaves all its models alone until then. Answers how many were not before.
    pub fn hold(&self, until: MonoNs) -> usize {
        self.targets.pin().values().filter(|health| health.breaker.hold(until)).count()
    }

    /// Lets all its models be asked again. Answers how many were left alone.
    pub fn heal(&self) -> usize {
        self.targets.pin().values().filter(|health| health.heal()).count()
    }

    /// Does something with each model.
    pub fn each(&self, mut f: impl FnMut(&str, &Health)) {
        self.targets.pin().iter().for_each(|(model, health)| f(model, health));
    }

    /// How each model that was asked for does.
    #[must_use]
    pub fn targets(&self) -> Vec<(String, Arc<Health>)> {
        let targets = self.targets.pin();
        let mut all: Vec<_> = targets.iter().map(|(model, health)| (model.to_string(), Arc::clone(health))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Average latency in microseconds; 0 when nothing was measured, so that it is tried.
    #[must_use]
    pub fn latency_us(&self) -> u64 {
        self.latency_us.load(Ordering::Relaxed)
    }

    /// One more in flight, until [`Live::leave`].
    pub fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// One fewer in flight.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Adds a measurement: a tenth of the new value, but at once when it is worse, so that a slow
    /// provider is noticed by its first slow answer (peak-sensitive average).
    pub fn observe(&self, latency_us: u64) {
        let old = self.latency_us();
        let new = if latency_us > old { latency_us } else { old - (old - latency_us) / 10 };
        self.latency_us.store(new, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: MonoNs = 1_000_000_000;

    #[test]
    fn a_key_waits_for_what_it_was_told() {
        let key = KeyHealth::default();
        key.cool(Duration::from_secs(3), S);
        key.cool(Duration::from_secs(1), S);
        assert_eq!(key.unusable(2 * S), Some(Unusable::Cooling(Duration::from_secs(2))));
        assert_eq!(key.unusable(4 * S), None);
    }

    #[test]
    fn a_rejected_key_is_tried_once_in_a_while() {
        let key = KeyHealth::default();
        assert!(key.reject(S));
        assert!(!key.reject(S), "that is no news");
        assert_eq!(key.unusable(300 * S), Some(Unusable::Rejected));
        assert_eq!((key.blocked(300 * S), key.blocked(301 * S)), (Some(Unusable::Rejected), None));
        assert_eq!((key.unusable(301 * S), key.unusable(301 * S)), (None, Some(Unusable::Rejected)));
        key.served();
        assert_eq!(key.unusable(302 * S), None);
    }

    #[test]
    fn a_check_brings_back_only_what_a_check_was_refused() {
        let key = KeyHealth::default();
        key.reject(S);
        assert!(!key.check_served(), "what needs no key says nothing of keys");
        assert_eq!(key.peek(S), Some(Unusable::Rejected));
        key.check_refused();
        assert!(key.check_served());
        assert_eq!(key.peek(S), None);
    }

    #[test]
    fn a_refusal_is_news_once_and_what_serves_is_seen() {
        let key = KeyHealth::default();
        assert!(!key.take_news());
        key.served();
        key.reject(S);
        key.reject(S);
        assert_eq!((key.take_news(), key.take_news(), key.serves()), (true, false, false));
        key.put_news_back();
        assert!(key.take_news());
        key.served();
        assert!(key.serves());
        key.watch();
        assert!(!key.serves());
    }

    #[test]
    fn models_nobody_asked_for_yet_are_left_alone_as_well() {
        use super::super::breaker::State;
        use super::super::check::{Check, Outcome, Report};
        let (live, interval) = (Live::default(), Duration::from_secs(1));
        let uri = http::Uri::from_static("http://h/models");
        let check = Check { interval, timeout: interval, uri, failures: 1, successes: 1 };
        let failed = Report { outcome: Outcome::Failed, at: 0, took: interval, status: None, key: 0, error: None };
        live.checked.note(&check, failed.clone(), S);
        assert_eq!(live.target("m").state(S), State::Open(4 * S));
        live.checked.note(&check, Report { outcome: Outcome::Ok, ..failed }, S);
        assert_eq!((live.heal(), live.target("m").state(S)), (1, State::Closed));
        assert_eq!(live.target("n").state(S), State::Closed);
    }

    #[test]
    fn one_model_has_one_health() {
        let live = Live::default();
        assert!(Arc::ptr_eq(&live.target("m"), &live.target("m")));
        assert_eq!(live.targets().len(), 1);
    }

    #[test]
    fn a_slow_answer_counts_at_once_and_fades() {
        let live = Live::default();
        live.observe(100);
        assert_eq!(live.latency_us(), 100);
        live.observe(1000);
        assert_eq!(live.latency_us(), 1000);
        live.observe(0);
        assert_eq!(live.latency_us(), 900);
    }
}
