//! How a target does: in flight, how long it takes, how often it fails, whether it is asked at all.
//!
//! Written by every request at its end and read by every plan; all of it is atomic, and of two who write
//! at the same moment one may win, which these figures bear.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::breaker::{Breaker, Policy, State};
use crate::clock::MonoNs;

/// How fast what was measured is forgotten.
const MEMORY: Duration = Duration::from_secs(10);
/// Buckets of the distribution: four for each power of two of microseconds, from 64 us to some 75 minutes.
const BUCKETS: usize = 104;
/// The distribution is halved when it holds so many, so that it follows what changes.
const HALVE_AT: u32 = 1000;
/// Fewer say nothing about a percentile.
const ENOUGH: u32 = 20;

/// An average that rises at once with a worse value and falls slowly with time: a slow target is noticed
/// by its first slow answer, and tried again after a while.
#[derive(Debug, Default)]
pub struct PeakEwma {
    value: AtomicU64,
    at: AtomicU64,
}

impl PeakEwma {
    /// Adds a measurement in microseconds.
    pub fn observe(&self, us: u64, now: MonoNs) {
        let old = self.value.load(Ordering::Relaxed);
        let new = if us >= old { us } else { mix(old, us, now.saturating_sub(self.at.load(Ordering::Relaxed))) };
        self.value.store(new.max(1), Ordering::Relaxed);
        self.at.store(now, Ordering::Relaxed);
    }

    /// It took at least so long, whatever it would have come to.
    pub fn at_least(&self, us: u64, now: MonoNs) {
        if us >= self.get(now) {
            self.value.store(us.max(1), Ordering::Relaxed);
            self.at.store(now, Ordering::Relaxed);
        }
    }

    /// The average in microseconds, faded since the last measurement; 0 before the first, so that it is
    /// tried.
    #[must_use]
    pub fn get(&self, now: MonoNs) -> u64 {
        let value = self.value.load(Ordering::Relaxed);
        if value == 0 { 0 } else { mix(value, 0, now.saturating_sub(self.at.load(Ordering::Relaxed))).max(1) }
    }
}

/// `old` fades towards `new` with the time since.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "microseconds, between two such"
)]
fn mix(old: u64, new: u64, since: MonoNs) -> u64 {
    let keep = (-(since as f64) / MEMORY.as_nanos() as f64).exp();
    (old as f64 * keep + new as f64 * (1.0 - keep)) as u64
}

/// A coarse distribution of times, of which percentiles are read.
#[derive(Debug)]
pub struct Times {
    buckets: [AtomicU32; BUCKETS],
    count: AtomicU32,
}

impl Default for Times {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU32::new(0)), count: AtomicU32::new(0) }
    }
}

impl Times {
    /// Adds a time in microseconds.
    pub fn observe(&self, us: u64) {
        self.buckets[bucket(us)].fetch_add(1, Ordering::Relaxed);
        if self.count.fetch_add(1, Ordering::Relaxed) + 1 == HALVE_AT {
            let halved = self.buckets.iter().map(|bucket| {
                let half = bucket.load(Ordering::Relaxed) / 2;
                bucket.store(half, Ordering::Relaxed);
                half
            });
            self.count.store(halved.sum(), Ordering::Relaxed);
        }
    }

    /// The time in microseconds within which this share of them is; `None` when there are too few.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<u64> {
        let counts: Vec<u32> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let all: u32 = counts.iter().sum();
        if all < ENOUGH {
            return None;
        }
        let mut left = f64::from(all) * share;
        let found = counts.iter().position(|count| {
            left -= f64::from(*count);
            left <= 0.0
        });
        Some(upper(found.unwrap_or(BUCKETS - 1)))
    }
}

fn bucket(us: u64) -> usize {
    let us = us.max(64);
    let power = 63 - u64::from(us.leading_zeros());
    let quarter = (us >> (power - 2)) & 3;
    usize::try_from((power - 6) * 4 + quarter).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The end of a bucket in microseconds.
fn upper(bucket: usize) -> u64 {
    let (power, quarter) = (bucket / 4 + 6, bucket as u64 % 4);
    (1 << power) + ((quarter + 1) << (power - 2))
}

/// Live figures of one target: a model at a provider.
#[derive(Debug, Default)]
pub struct Health {
    in_flight: AtomicU32,
    /// To the head of a good answer.
    pub latency: PeakEwma,
    /// To the first event or the whole of a good answer.
    pub first_token: PeakEwma,
    /// The distribution of the same: of whole answers, and of streams.
    times: [Times; 2],
    /// Good answers of the last ones, in millionths.
    failure_rate: PeakRate,
    /// Whether it is asked.
    pub breaker: Breaker,
    /// The upstream keys that may not use this model, by their number (64 at most).
    denied: AtomicU64,
    /// Until when.
    denied_until: AtomicU64,
    /// The upstream keys of whose refusal nobody has been told, by their number.
    denied_news: AtomicU64,
    /// The upstream keys that served since somebody began to watch for that, by their number.
    served_by: AtomicU64,
    /// Whether it served since somebody began to watch for that.
    served: AtomicBool,
}

/// A share that fades with each outcome, in millionths.
#[derive(Debug, Default)]
struct PeakRate(AtomicU32);

impl PeakRate {
    /// Each outcome counts for a twentieth.
    fn observe(&self, failed: bool) {
        let old = self.0.load(Ordering::Relaxed);
        let new = old - old / 20 + if failed { 50_000 } else { 0 };
        self.0.store(new.min(1_000_000), Ordering::Relaxed);
    }
}

impl Health {
    /// Requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The share of failures of late, from 0 to 1.
    #[must_use]
    pub fn failure_rate(&self) -> f64 {
        f64::from(self.failure_rate.0.load(Ordering::Relaxed)) / 1e6
    }

    /// What the next request may expect: the average time, once for itself and once for each in flight.
    #[must_use]
    pub fn load(&self, now: MonoNs) -> u64 {
        self.latency.get(now).saturating_mul(u64::from(self.in_flight()) + 1)
    }

    /// A request goes there; it ends with the ticket. `None`: the breaker is open.
    #[must_use]
    pub fn enter(self: &Arc<Self>, now: MonoNs) -> Option<Ticket> {
        let probe = self.breaker.enter(now)?;
        Some(self.ticket(probe))
    }

    /// A request goes there whatever the breaker says: there is nowhere better.
    #[must_use]
    pub fn force(self: &Arc<Self>) -> Ticket {
        self.ticket(false)
    }

    fn ticket(self: &Arc<Self>, probe: bool) -> Ticket {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Ticket { health: Arc::clone(self), probe, told: false }
    }

    /// A good answer began, after so long.
    pub fn answered(&self, us: u64, now: MonoNs) {
        self.latency.observe(us, now);
    }

    /// It was waited for so long, in vain. Without this a target that never answers would seem as quick as it was when
    /// it did, and quicker the longer that is ago.
    pub fn waited(&self, us: u64, now: MonoNs) {
        self.latency.at_least(us, now);
    }

    /// Its first event, or all of it, was there after so long.
    pub fn first_event(&self, us: u64, stream: bool, now: MonoNs) {
        self.first_token.observe(us, now);
        self.times(stream).observe(us);
    }

    /// An answer that another target's came before took longer than that.
    pub fn outpaced(&self, us: u64, stream: bool, now: MonoNs) {
        self.latency.observe(us, now);
        self.times(stream).observe(us);
    }

    /// The distribution of the times to the first event of a stream, or to a whole answer.
    #[must_use]
    pub fn times(&self, stream: bool) -> &Times {
        &self.times[usize::from(stream)]
    }

    /// A request failed by the target's fault. Answers whether that opened the breaker.
    pub fn failed(&self, policy: &Policy, now: MonoNs) -> bool {
        self.failure_rate.observe(true);
        self.breaker.failed(policy, now)
    }

    /// An upstream key may not use this model, as far as is known, until then.
    pub fn deny(&self, key: usize, until: MonoNs) {
        if key < 64 {
            self.served_by.fetch_and(!(1 << key), Ordering::Relaxed);
            self.denied_news.fetch_or(1 << key, Ordering::Release);
            self.denied.fetch_or(1 << key, Ordering::Relaxed);
            self.denied_until.store(until, Ordering::Relaxed);
        }
    }

    /// An upstream key served a request here.
    pub fn served(&self, key: usize) {
        // Most of the time both are as they should be, and nothing is written.
        if key < 64 && self.served_by.load(Ordering::Relaxed) & (1 << key) == 0 {
            self.served_by.fetch_or(1 << key, Ordering::Release);
        }
        if !self.served.load(Ordering::Relaxed) {
            self.served.store(true, Ordering::Release);
        }
    }

    /// Closes the breaker on a check's word. Answers whether it was not closed.
    pub fn heal(&self) -> bool {
        let healed = self.breaker.heal();
        if healed {
            self.served.store(true, Ordering::Release);
        }
        healed
    }

    /// The upstream keys that were refused here since this was asked last, by their number.
    pub fn take_denied_news(&self) -> u64 {
        if self.denied_news.load(Ordering::Relaxed) == 0 { 0 } else { self.denied_news.swap(0, Ordering::AcqRel) }
    }

    /// What was taken could not be told.
    pub fn put_denied_news_back(&self, keys: u64) {
        self.denied_news.fetch_or(keys, Ordering::AcqRel);
    }

    /// From now on it counts whether it serves, with this key or (`None`) with any.
    pub fn watch(&self, key: Option<usize>) {
        match key {
            Some(key) if key < 64 => {
                self.served_by.fetch_and(!(1 << key), Ordering::AcqRel);
            }
            Some(_) => {}
            None => self.served.store(false, Ordering::Release),
        }
    }

    /// Whether it served since that began to count, with this key or (`None`) with any.
    #[must_use]
    pub fn serves(&self, key: Option<usize>) -> bool {
        match key {
            Some(key) => key < 64 && self.served_by.load(Ordering::Acquire) & (1 << key) != 0,
            None => self.served.load(Ordering::Acquire),
        }
    }

    /// Whether an upstream key may not use this model.
    #[must_use]
    pub fn denies(&self, key: usize, now: MonoNs) -> bool {
        let mask = self.denied.load(Ordering::Relaxed);
        if mask == 0 || key >= 64 {
            return false;
        }
        if self.denied_until.load(Ordering::Relaxed) <= now {
            self.denied.store(0, Ordering::Relaxed);
            return false;
        }
        mask & (1 << key) != 0
    }

    /// The breaker's state.
    #[must_use]
    pub fn state(&self, now: MonoNs) -> State {
        self.breaker.state(now)
    }
}

/// One request at a target. Dropped without an outcome it says nothing about the target: its client left,
/// or it was refused for what it asked.
#[derive(Debug)]
pub struct Ticket {
    health: Arc<Health>,
    probe: bool,
    told: bool,
}

impl Ticket {
    /// The answer was good to its end.
    pub fn succeeded(&mut self, policy: &Policy, now: MonoNs) {
        if !std::mem::replace(&mut self.told, true) {
            self.health.failure_rate.observe(false);
            self.health.breaker.succeeded(policy, now);
        }
    }

    /// It failed, or broke off, by the target's fault. Answers whether that opened the breaker.
    pub fn failed(&mut self, policy: &Policy, now: MonoNs) -> bool {
        !std::mem::replace(&mut self.told, true) && self.health.failed(policy, now)
    }

    /// The target.
    #[must_use]
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.health.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.probe && !self.told {
            self.health.breaker.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: MonoNs = 1_000_000_000;

    #[test]
    fn a_slow_answer_counts_at_once_and_fades() {
        let average = PeakEwma::default();
        assert_eq!(average.get(S), 0);
        average.observe(100, S);
        average.observe(1000, S);
        assert_eq!(average.get(S), 1000);
        average.observe(100, 11 * S);
        assert!((430..435).contains(&average.get(11 * S)), "{}", average.get(11 * S));
        assert!(average.get(60 * S) < 10, "who was not asked for a minute is tried again");
    }

    #[test]
    fn waiting_in_vain_counts_where_it_is_worse_than_what_was_measured() {
        let health = Health::default();
        health.answered(1000, S);
        health.waited(10, S);
        assert_eq!(health.latency.get(S), 1000, "a quick failure makes nobody quick");
        health.waited(2_000_000, 2 * S);
        assert_eq!(health.latency.get(2 * S), 2_000_000);
        assert!(health.latency.get(120 * S) < 100, "it fades all the same");
    }

    #[test]
    fn percentiles_are_a_quarter_of_a_power_of_two_off_at_most() {
        let times = Times::default();
        (0..19).for_each(|_| times.observe(1000));
        assert_eq!(times.percentile(0.95), None);
        (1..=100).for_each(|n| times.observe(n * 1000));
        let p95 = times.percentile(0.95).unwrap();
        assert!((93_000..=125_000).contains(&p95), "{p95}");
        for us in [0, 63, 64, 65, 1000, 1_000_000, u64::MAX] {
            let upper = upper(bucket(us));
            assert!(
                bucket(us) == BUCKETS - 1 || (upper >= us && upper <= us.max(64) + us.max(64) / 4 + 1),
                "{us}: {upper}"
            );
        }
        (0..2000).for_each(|_| times.observe(50));
        assert!(times.percentile(0.95).unwrap() < 100, "it follows what changes");
    }

    #[test]
    fn a_ticket_is_in_flight_and_ends_a_probe() {
        let health = Arc::new(Health::default());
        let policy = Policy::default();
        for _ in 0..5 {
            let _ = health.failed(&policy, 0);
        }
        assert!(health.enter(S).is_none());
        let probe = health.enter(6 * S).unwrap();
        assert_eq!((health.in_flight(), health.enter(6 * S).is_none()), (1, true));
        drop(probe);
        let mut probe = health.enter(6 * S).unwrap();
        probe.succeeded(&policy, 7 * S);
        drop(probe);
        assert_eq!((health.in_flight(), health.state(7 * S)), (0, State::Closed));
    }

    #[test]
    fn what_is_denied_is_news_once_and_what_serves_is_seen() {
        let health = Health::default();
        health.served(3);
        health.deny(3, S);
        health.deny(5, S);
        assert_eq!((health.take_denied_news(), health.take_denied_news()), (0b10_1000, 0));
        health.put_denied_news_back(1 << 5);
        assert_eq!(health.take_denied_news(), 1 << 5);
        assert!(health.serves(None) && !health.serves(Some(3)) && !health.serves(Some(64)));
        health.served(3);
        assert!(health.serves(Some(3)));
        health.watch(Some(3));
        health.watch(None);
        assert!(!health.serves(Some(3)) && !health.serves(None));
    }

    #[test]
    fn a_key_is_denied_for_a_while() {
        let health = Health::default();
        health.deny(3, 10 * S);
        assert_eq!((health.denies(3, 9 * S), health.denies(2, 9 * S), health.denies(100, 0)), (true, false, false));
        assert!(!health.denies(3, 10 * S));
    }
}
