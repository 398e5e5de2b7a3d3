//! Limits at work: token buckets with refunds, and places in flight.
//!
//! A bucket holds one span's worth and refills evenly, so `retry-after` is exact: a caller that waits as
//! long as it says is admitted. Whoever is limited (a key, a team, an upstream key, ...) has a [`Limiter`];
//! a request has a [`Line`] of them and is admitted by all of them or takes from none. Where limits hold
//! for several replicas together, the line asks a [`Pool`] that all of them share.

mod bucket;
pub mod learn;
pub mod leased;
mod line;
pub mod pool;
mod rules;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use crate::limits::{Limits, Priority, Rate, Scope, Unit};
pub use line::{Line, Tokens};
pub use pool::Pool;
pub use rules::{Declared, EACH, Limiters, Rules};

use crate::clock::MonoNs;
use bucket::Bucket;

/// Whom a limiter is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Whose {
    /// What it is.
    pub scope: Scope,
    /// Which one.
    pub subject: Arc<str>,
    /// Whether the list `limits` declares it, as opposed to the key or the provider itself.
    pub declared: bool,
}

impl Whose {
    /// Someone with limits of his own.
    #[must_use]
    pub fn new(scope: Scope, subject: &str) -> Self {
        Self { scope, subject: subject.into(), declared: false }
    }
}

/// Which of someone's limits is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A rate.
    Rate(Rate),
    /// What an upstream has told of its own limit.
    Learned(Unit),
    /// Requests at a time.
    Concurrency,
    /// Not known: the limits are kept elsewhere, which does not answer.
    Unknown,
}

impl Kind {
    /// What it counts, as the label of a metric.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Rate(rate) => rate.unit.as_str(),
            Self::Learned(unit) => unit.as_str(),
            Self::Concurrency => "concurrency",
            Self::Unknown => "unknown",
        }
    }

    /// Its name in configuration and API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rate(rate) => rate.name,
            Self::Learned(Unit::Requests) => "learned_requests",
            Self::Learned(Unit::Tokens) => "learned_tokens",
            Self::Concurrency => "concurrency",
            Self::Unknown => "unknown",
        }
    }
}

/// A refusal: whose limit, which one, and how long until the same request would be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Whose limit.
    pub whose: Whose,
    /// Which one.
    pub kind: Kind,
    /// Its value.
    pub limit: u64,
    /// Exact wait; for concurrency a guess of one second, since it depends on the others' answers.
    pub retry_after: Duration,
}

impl Refused {
    /// What is said of the limit: `100 requests per minute`.
    #[must_use]
    pub fn described(&self) -> String {
        match self.kind {
            Kind::Rate(rate) => format!("{} {} per {}", self.limit, rate.unit.as_str(), rate.per),
            Kind::Learned(unit) => format!("{} {}, as the upstream told", self.limit, unit.as_str()),
            Kind::Concurrency => format!("{} requests at once", self.limit),
            Kind::Unknown => "an unknown number".to_owned(),
        }
    }
}

/// What a request asks of a limiter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Requests.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
    /// Places in flight.
    pub places: u64,
}

impl Ask {
    /// One request with a place, and so many tokens.
    #[must_use]
    pub fn request(tokens: u64) -> Self {
        Self { requests: 1, tokens, places: 1 }
    }

    /// Tokens of a request that was admitted before.
    #[must_use]
    pub fn tokens(tokens: u64) -> Self {
        Self { tokens, ..Self::default() }
    }

    fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::Tokens => self.tokens,
        }
    }
}

/// What becomes of what a request held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// What comes back.
    pub back: Ask,
    /// Tokens that were held until now.
    pub held: u64,
    /// Tokens that were used.
    pub used: u64,
}

/// What is left, for the `x-ratelimit-*` headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// The tightest request bucket, when there is one.
    pub requests: Option<Level>,
    /// The tightest token bucket, when there is one.
    pub tokens: Option<Level>,
}

impl Remaining {
    /// The tighter of both: where less is left, and of equals the one that takes longer to fill.
    #[must_use]
    pub fn tighter(self, other: Self) -> Self {
        let tighter = |a: Option<Level>, b: Option<Level>| match (a, b) {
            (Some(a), Some(b)) => Some(if b.is_tighter_than(&a) { b } else { a }),
            (a, b) => a.or(b),
        };
        Self { requests: tighter(self.requests, other.requests), tokens: tighter(self.tokens, other.tokens) }
    }
}

/// One bucket's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The limit.
    pub limit: u64,
    /// Whole units left now.
    pub remaining: u64,
    /// Until the bucket is full again.
    pub reset: Duration,
}

impl Level {
    fn is_tighter_than(&self, other: &Self) -> bool {
        (self.remaining, other.reset) < (other.remaining, self.reset)
    }
}

/// A limiter as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Whose it is.
    pub whose: Whose,
    /// Its limits.
    pub limits: Limits,
    /// Each rate, and what is left of it.
    pub rates: Vec<(Kind, Level)>,
    /// Requests in flight here.
    pub in_flight: u64,
}

#[derive(Debug, Default)]
struct State {
    limits: Limits,
    /// One for each rate that is limited. Where the limits are shared, what the pool last said.
    buckets: Vec<Bucket>,
    /// This replica's part of each, for when the pool is away; nothing where limits are not shared.
    parts: Vec<Bucket>,
    /// What an upstream has told of its own limits.
    learned: Vec<Bucket>,
    in_flight: u64,
    /// Tokens that are held for requests in flight.
    reserved: u64,
}

/// The live state of one holder's limits. Cheap: one uncontended lock, never held across an await.
#[derive(Debug)]
pub struct Limiter {
    whose: Whose,
    state: Mutex<State>,
}

impl Limiter {
    /// A limiter with full buckets.
    #[must_use]
    pub fn new(whose: Whose, limits: Limits, now: MonoNs) -> Self {
        let limiter = Self { whose, state: Mutex::default() };
        limiter.set_limits(limits, now);
        limiter
    }

    /// Whose it is.
    #[must_use]
    pub fn whose(&self) -> &Whose {
        &self.whose
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while holding this lock leaves plain numbers behind, all of them valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the limits and keeps what was used.
    pub fn set_limits(&self, limits: Limits, now: MonoNs) {
        let state = &mut *self.state();
        if state.limits == limits && state.buckets.len() == limits.rates().count() {
            return;
        }
        state.limits = limits;
        let old = std::mem::take(&mut state.buckets);
        state.buckets = limits
            .rates()
            .map(|(rate, limit)| match old.iter().find(|bucket| bucket.rate == Some(rate)) {
                Some(bucket) => {
                    let mut bucket = *bucket;
                    bucket.refill(now);
                    bucket.adjust_limit(limit);
                    bucket
                }
                None => Bucket::full(rate, limit, now),
            })
            .collect();
        state.parts.clear();
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.state().limits
    }

    /// Takes all of what is asked for, or nothing at all.
    ///
    /// # Errors
    /// The limit that takes longest to have it, with the exact wait.
    pub fn take(&self, ask: Ask, now: MonoNs) -> Result<(), Refused> {
        let mut state = self.state();
        state.refill(now);
        let State { buckets, learned, .. } = &*state;
        match state.refusal(ask, state.limits.concurrency, buckets.iter().chain(learned)) {
            Some(refused) => Err(self.refused(refused)),
            None => {
                state.spend(ask, true);
                Ok(())
            }
        }
    }

    /// Why [`Limiter::take`] would take nothing now.
    #[must_use]
    pub fn check(&self, ask: Ask, now: MonoNs) -> Option<Refused> {
        let mut state = self.state();
        state.refill(now);
        let State { buckets, learned, .. } = &*state;
        state.refusal(ask, state.limits.concurrency, buckets.iter().chain(learned)).map(|refusal| self.refused(refusal))
    }

    fn refused(&self, (kind, limit, retry_after): Refusal) -> Refused {
        Refused { whose: self.whose.clone(), kind, limit, retry_after }
    }

    /// Takes a request with its place.
    ///
    /// # Errors
    /// As [`Limiter::take`].
    pub fn admit_request(&self, now: MonoNs) -> Result<(), Refused> {
        self.take(Ask::request(0), now)
    }

    /// Gives back what was taken for a call that never reached a model, or was only an estimate. An
    /// estimate is given back as it was taken: held to each limit.
    pub fn give_back(&self, ask: Ask, now: MonoNs) {
        self.settle(Settled { back: ask, held: ask.tokens, used: 0 }, now);
    }

    /// Puts what was used in the place of what was held; the buckets may go into debt.
    pub fn settle(&self, settled: Settled, now: MonoNs) {
        let Settled { back, held, used } = settled;
        let mut state = self.state();
        state.refill(now);
        state.in_flight = state.in_flight.saturating_sub(back.places);
        state.reserved = state.reserved.saturating_sub(held);
        let State { buckets, parts, learned, .. } = &mut *state;
        for bucket in buckets.iter_mut().chain(parts).chain(learned) {
            bucket.give_back(bucket.held(back.of(bucket.unit)));
            if bucket.unit == Unit::Tokens {
                bucket.take(used);
            }
        }
    }

    /// What is left now.
    #[must_use]
    pub fn remaining(&self, now: MonoNs) -> Remaining {
        let mut state = self.state();
        state.refill(now);
        let mut remaining = Remaining::default();
        for bucket in &state.buckets {
            let level = Some(bucket.level());
            remaining = remaining.tighter(match bucket.unit {
                Unit::Requests => Remaining { requests: level, tokens: None },
                Unit::Tokens => Remaining { requests: None, tokens: level },
            });
        }
        remaining
    }

    /// Everything of it.
    #[must_use]
    pub fn show(&self, now: MonoNs) -> Shown {
        let mut state = self.state();
        state.refill(now);
        let kind = |bucket: &Bucket| bucket.rate.map_or(Kind::Learned(bucket.unit), Kind::Rate);
        Shown {
            whose: self.whose.clone(),
            limits: state.limits,
            rates: state.buckets.iter().chain(&state.learned).map(|b| (kind(b), b.level())).collect(),
            in_flight: state.in_flight,
        }
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
        state.refill(now);
        state.in_flight == 0 && state.buckets.iter().chain(&state.parts).all(Bucket::is_full)
    }
}

/// What a limiter does where its limits are shared with other replicas.
impl Limiter {
    /// Why what the upstream has told forbids it: that is known here alone.
    fn check_learned(&self, ask: Ask, now: MonoNs) -> Option<Refused> {
        let mut state = self.state();
        state.refill(now);
        state.refusal(ask, None, state.learned.iter()).map(|refusal| self.refused(refusal))
    }

    /// The pool has taken what was asked for, and says what is left of each rate.
    fn granted(&self, ask: Ask, left: &pool::Left, replicas: pool::Replicas, now: MonoNs) {
        let mut state = self.state();
        state.share(replicas, now);
        state.spend(ask, false);
        state.tell(left, now);
    }

    /// The pool says what is left of each rate.
    fn told(&self, left: &pool::Left, now: MonoNs) {
        self.state().tell(left, now);
    }

    /// Takes it of this replica's part alone: the pool is away.
    fn take_part(&self, ask: Ask, replicas: pool::Replicas, now: MonoNs) -> Result<(), Refused> {
        let mut state = self.state();
        state.share(replicas, now);
        let State { buckets, parts, .. } = &mut *state;
        for (part, whole) in parts.iter_mut().zip(buckets) {
            part.not_above(whole);
        }
        let places = state.limits.concurrency.map(|limit| replicas.part(limit));
        match state.refusal(ask, places, state.parts.iter().chain(&state.learned)) {
            Some(refused) => Err(self.refused(refused)),
            None => {
                state.spend(ask, true);
                Ok(())
            }
        }
    }
}

/// Which limit refuses, its value, and for how long.
type Refusal = (Kind, u64, Duration);

impl State {
    fn refill(&mut self, now: MonoNs) {
        let Self { buckets, parts, learned, .. } = self;
        for bucket in buckets.iter_mut().chain(parts).chain(learned) {
            bucket.refill(now);
        }
    }

    /// The longest wait for what is asked, where there is one. What is not asked for is not looked at.
    fn refusal<'a>(&self, ask: Ask, places: Option<u64>, buckets: impl Iterator<Item = &'a Bucket>) -> Option<Refusal> {
        let rates = buckets.filter_map(|bucket| {
            // A limit of zero admits nothing that counts against it, though it asks for nothing.
            let concerns =
                ask.of(bucket.unit) > 0 || (bucket.limit == 0 && bucket.unit == Unit::Tokens && ask.requests == 0);
            let wait = bucket.wait(ask.of(bucket.unit)).filter(|_| concerns)?;
            Some((bucket.rate.map_or(Kind::Learned(bucket.unit), Kind::Rate), bucket.limit, wait))
        });
        let places = places.filter(|most| ask.places > 0 && self.in_flight.saturating_add(ask.places) > *most);
        let places = places.map(|limit| (Kind::Concurrency, limit, Duration::from_secs(1)));
        places.into_iter().chain(rates).max_by_key(|(_, _, wait)| *wait)
    }

    /// Keeps this replica's parts beside the whole.
    fn share(&mut self, replicas: pool::Replicas, now: MonoNs) {
        self.refill(now);
        if self.parts.len() != self.buckets.len() {
            self.parts.clone_from(&self.buckets);
        }
        for part in &mut self.parts {
            part.set_parts(replicas.count, now);
        }
    }

    fn tell(&mut self, left: &pool::Left, now: MonoNs) {
        for bucket in &mut self.buckets {
            if let Some(left) = bucket.rate.and_then(|rate| left.of(rate)) {
                bucket.set_left(left, now);
            }
        }
    }

    /// Takes it of everything, or of all but this replica's part, which is for when the pool is away.
    fn spend(&mut self, ask: Ask, of_part: bool) {
        self.in_flight += ask.places;
        self.reserved = self.reserved.saturating_add(ask.tokens);
        let Self { buckets, parts, learned, .. } = self;
        let parts = if of_part { parts.as_mut_slice() } else { &mut [] };
        for bucket in buckets.iter_mut().chain(parts).chain(learned) {
            bucket.take(bucket.held(ask.of(bucket.unit)));
        }
    }
}

#[cfg(test)]
mod tests;
