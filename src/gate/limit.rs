//! Token buckets with refunds: requests per minute, tokens per minute, concurrency.
//!
//! A bucket holds one minute's worth and refills evenly, so `retry-after` is exact: a caller that
//! waits as long as it says is admitted. Admission is all or nothing over the three limits.

use std::sync::Mutex;
use std::time::Duration;

use crate::clock::MonoNs;

/// Units of one request or token: a minute's nanoseconds, so that a bucket of `limit` per minute
/// refills by exactly `limit` units a nanosecond and nothing is ever rounded.
const UNIT: i128 = 60_000_000_000;

/// The limits of one key or upstream. `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests per minute.
    pub rpm: Option<u64>,
    /// Tokens per minute, input and output together.
    pub tpm: Option<u64>,
    /// Requests in flight at once.
    pub concurrency: Option<u64>,
}

impl Limits {
    /// Whether nothing is limited.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// Which limit refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Requests per minute.
    Requests,
    /// Tokens per minute.
    Tokens,
    /// Requests in flight.
    Concurrency,
}

impl Scope {
    /// Its name in metrics and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Concurrency => "concurrency",
        }
    }
}

/// A refusal: which limit, and how long until the same request would be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The limit that refused.
    pub scope: Scope,
    /// The limit's value.
    pub limit: u64,
    /// Exact wait; for concurrency a guess of one second, since it depends on the others' answers.
    pub retry_after: Duration,
}

/// What is left, for the `x-ratelimit-*` headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// The request bucket, when there is one.
    pub requests: Option<Level>,
    /// The token bucket, when there is one.
    pub tokens: Option<Level>,
}

/// One bucket's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The limit per minute.
    pub limit: u64,
    /// Whole units left now.
    pub remaining: u64,
    /// Until the bucket is full again.
    pub reset: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    limit: u64,
    /// In units; negative after a correction took more than was left.
    level: i128,
    at: MonoNs,
}

impl Bucket {
    fn full(limit: u64, now: MonoNs) -> Self {
        Self { limit, level: i128::from(limit) * UNIT, at: now }
    }

    fn capacity(&self) -> i128 {
        i128::from(self.limit) * UNIT
    }

    fn refill(&mut self, now: MonoNs) {
        let elapsed = i128::from(now.saturating_sub(self.at));
        self.at = self.at.max(now);
        self.level = (self.level + elapsed * i128::from(self.limit)).min(self.capacity());
    }

    /// How long until `amount` is there; `None` when it is there now.
    fn wait(&self, amount: u64) -> Option<Duration> {
        let missing = i128::from(amount.min(self.limit)) * UNIT - self.level;
        (missing > 0).then(|| self.time_for(missing))
    }

    fn time_for(&self, units: i128) -> Duration {
        if self.limit == 0 {
            return Duration::from_secs(60);
        }
        let per_ns = i128::from(self.limit);
        let ns = (units + per_ns - 1) / per_ns;
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    fn take(&mut self, amount: u64) {
        self.level -= i128::from(amount) * UNIT;
    }

    fn give_back(&mut self, amount: u64) {
        self.level = (self.level + i128::from(amount) * UNIT).min(self.capacity());
    }

    fn level(&self) -> Level {
        Level {
            limit: self.limit,
            remaining: u64::try_from(self.level.max(0) / UNIT).unwrap_or(u64::MAX),
            reset: self.time_to_full(),
        }
    }

    fn time_to_full(&self) -> Duration {
        let missing = self.capacity() - self.level;
        if missing <= 0 { Duration::ZERO } else { self.time_for(missing) }
    }

    fn adjust_limit(&mut self, limit: u64) {
        if limit != self.limit {
            let used = self.capacity() - self.level;
            self.limit = limit;
            self.level = self.capacity() - used;
        }
    }
}

#[derive(Debug, Default)]
struct State {
    limits: Limits,
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    in_flight: u64,
}

/// The live state of one holder's limits. Cheap: one uncontended lock, never held across an await.
#[derive(Debug, Default)]
pub struct Limiter(Mutex<State>);

impl Limiter {
    /// A limiter with full buckets.
    #[must_use]
    pub fn new(limits: Limits, now: MonoNs) -> Self {
        let limiter = Self::default();
        limiter.set_limits(limits, now);
        limiter
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic while holding this lock leaves plain numbers behind, all of them valid.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Changes the limits and keeps what was used.
    pub fn set_limits(&self, limits: Limits, now: MonoNs) {
        let mut state = self.state();
        state.limits = limits;
        set_bucket(&mut state.requests, limits.rpm, now);
        set_bucket(&mut state.tokens, limits.tpm, now);
    }

    /// Takes one request and one place in flight, or nothing at all.
    ///
    /// # Errors
    /// The limit that is exhausted, with the exact wait.
    pub fn admit_request(&self, now: MonoNs) -> Result<(), Refused> {
        let mut state = self.state();
        if let Some(limit) = state.limits.concurrency
            && state.in_flight >= limit
        {
            return Err(Refused { scope: Scope::Concurrency, limit, retry_after: Duration::from_secs(1) });
        }
        if let Some(bucket) = &mut state.requests {
            bucket.refill(now);
            check(bucket, 1, Scope::Requests)?;
            bucket.take(1);
        }
        state.in_flight += 1;
        Ok(())
    }

    /// Takes the estimated tokens of an admitted request. An estimate above the whole limit is held
    /// to the limit: it could otherwise never be admitted, and the correction afterwards is exact.
    ///
    /// # Errors
    /// When they are not there yet, with the exact wait.
    pub fn admit_tokens(&self, estimate: u64, now: MonoNs) -> Result<u64, Refused> {
        let mut state = self.state();
        let Some(bucket) = &mut state.tokens else { return Ok(0) };
        let amount = estimate.min(bucket.limit);
        bucket.refill(now);
        check(bucket, amount, Scope::Tokens)?;
        bucket.take(amount);
        Ok(amount)
    }

    /// Replaces the `taken` estimate by the `actual` tokens; the bucket may go into debt.
    pub fn correct_tokens(&self, taken: u64, actual: u64, now: MonoNs) {
        if let Some(bucket) = &mut self.state().tokens {
            bucket.refill(now);
            bucket.give_back(taken);
            bucket.take(actual);
        }
    }

    /// Gives back the request that was taken for a call that never reached a model.
    pub fn refund_request(&self, now: MonoNs) {
        if let Some(bucket) = &mut self.state().requests {
            bucket.refill(now);
            bucket.give_back(1);
        }
    }

    /// Frees the place in flight.
    pub fn leave(&self) {
        let mut state = self.state();
        state.in_flight = state.in_flight.saturating_sub(1);
    }

    /// What is left now.
    #[must_use]
    pub fn remaining(&self, now: MonoNs) -> Remaining {
        let mut state = self.state();
        let level = |bucket: &mut Option<Bucket>| {
            bucket.as_mut().map(|b| {
                b.refill(now);
                b.level()
            })
        };
        let State { requests, tokens, .. } = &mut *state;
        Remaining { requests: level(requests), tokens: level(tokens) }
    }

    /// Requests in flight now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.state().in_flight
    }

    /// Whether forgetting this state would change nothing: nothing in flight, every bucket full.
    #[must_use]
    pub fn at_rest(&self, now: MonoNs) -> bool {
        let mut state = self.state();
        let State { requests, tokens, in_flight, .. } = &mut *state;
        *in_flight == 0
            && [requests, tokens].into_iter().flatten().all(|bucket| {
                bucket.refill(now);
                bucket.level >= bucket.capacity()
            })
    }
}

fn set_bucket(bucket: &mut Option<Bucket>, limit: Option<u64>, now: MonoNs) {
    match (bucket.as_mut(), limit) {
        (Some(bucket), Some(limit)) => bucket.adjust_limit(limit),
        (None, Some(limit)) => *bucket = Some(Bucket::full(limit, now)),
        (_, None) => *bucket = None,
    }
}

fn check(bucket: &Bucket, amount: u64, scope: Scope) -> Result<(), Refused> {
    match bucket.wait(amount) {
        Some(retry_after) => Err(Refused { scope, limit: bucket.limit, retry_after }),
        None if bucket.limit == 0 => Err(Refused { scope, limit: 0, retry_after: Duration::from_secs(60) }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: MonoNs = 1_000_000_000;

    fn limiter(rpm: Option<u64>, tpm: Option<u64>, concurrency: Option<u64>) -> Limiter {
        Limiter::new(Limits { rpm, tpm, concurrency }, 0)
    }

    #[test]
    fn the_wait_it_names_is_exact() {
        let limiter = limiter(Some(3), None, None);
        for _ in 0..3 {
            limiter.admit_request(0).unwrap();
        }
        let refused = limiter.admit_request(0).unwrap_err();
        let wait = u64::try_from(refused.retry_after.as_nanos()).unwrap();
        assert_eq!(wait, 20 * SECOND);
        assert_eq!(limiter.admit_request(wait - 1).unwrap_err().scope, Scope::Requests);
        limiter.admit_request(wait).unwrap();
    }

    #[test]
    fn a_refused_request_takes_nothing() {
        let limiter = limiter(Some(2), None, Some(1));
        limiter.admit_request(0).unwrap();
        assert_eq!(limiter.admit_request(0).unwrap_err().scope, Scope::Concurrency);
        assert_eq!(limiter.remaining(0).requests.unwrap().remaining, 1);
        limiter.leave();
        limiter.admit_request(0).unwrap();
        assert_eq!(limiter.in_flight(), 1);
    }

    #[test]
    fn tokens_are_corrected_after_the_answer() {
        let limiter = limiter(None, Some(1000), None);
        let taken = limiter.admit_tokens(600, 0).unwrap();
        assert_eq!(limiter.remaining(0).tokens.unwrap().remaining, 400);
        limiter.correct_tokens(taken, 100, 0);
        assert_eq!(limiter.remaining(0).tokens.unwrap().remaining, 900);
        let taken = limiter.admit_tokens(900, 0).unwrap();
        limiter.correct_tokens(taken, 1500, 0);
        let level = limiter.remaining(0).tokens.unwrap();
        assert_eq!(level.remaining, 0);
        assert_eq!(limiter.admit_tokens(1, 30 * SECOND).unwrap_err().scope, Scope::Tokens);
        limiter.admit_tokens(1, 37 * SECOND).unwrap();
    }

    #[test]
    fn an_estimate_above_the_limit_is_held_to_it() {
        let limiter = limiter(None, Some(100), None);
        assert_eq!(limiter.admit_tokens(5000, 0).unwrap(), 100);
        let refused = limiter.admit_tokens(5000, 0).unwrap_err();
        assert_eq!(refused.retry_after.as_secs(), 60);
    }

    #[test]
    fn a_limit_of_zero_admits_nothing() {
        assert!(limiter(Some(0), None, None).admit_request(0).is_err());
        assert!(limiter(None, Some(0), None).admit_tokens(0, 0).is_err());
        assert!(limiter(None, None, Some(0)).admit_request(0).is_err());
    }

    #[test]
    fn lowering_a_limit_keeps_what_was_used() {
        let limiter = limiter(Some(10), None, None);
        for _ in 0..4 {
            limiter.admit_request(0).unwrap();
        }
        limiter.set_limits(Limits { rpm: Some(5), ..Limits::default() }, 0);
        assert_eq!(limiter.remaining(0).requests.unwrap().remaining, 1);
        limiter.set_limits(Limits::default(), 0);
        assert_eq!(limiter.remaining(0), Remaining::default());
    }

    #[test]
    fn slow_buckets_refill_however_often_they_are_asked() {
        let limiter = limiter(Some(1), None, None);
        limiter.admit_request(0).unwrap();
        for tick in 1..60_000 {
            let _ = limiter.remaining(tick * 1_000_000);
        }
        assert!(limiter.admit_request(59 * SECOND).is_err());
        limiter.admit_request(61 * SECOND).unwrap();
    }
}
