//! One rate as a bucket that refills evenly.

use std::time::Duration;

use super::Level;
use crate::clock::MonoNs;
use crate::limits::{Rate, Unit};

/// A bucket of one rate: it holds one span's worth. Its level is counted in units of one request or
/// token times the span's nanoseconds, so that it refills by exactly `limit` units a nanosecond and
/// nothing is ever rounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// What is counted.
    pub(super) unit: Unit,
    /// The rate's name; of a learned one, which has no span of its own, none.
    pub(super) rate: Option<Rate>,
    pub(super) limit: u64,
    /// Within so many nanoseconds it fills.
    span: i128,
    /// In units; negative after a correction took more than was left.
    level: i128,
    at: MonoNs,
    /// A replica's part is one of so many.
    parts: i128,
}

impl Bucket {
    /// A full one.
    pub(super) fn full(rate: Rate, limit: u64, now: MonoNs) -> Self {
        let span = i128::try_from(rate.span.as_nanos()).unwrap_or(i128::MAX);
        let level = i128::from(limit) * span;
        Self { unit: rate.unit, rate: Some(rate), limit, span, level, at: now, parts: 1 }
    }

    /// One of which an upstream has told how much is left, and when it is full again.
    pub(super) fn told(unit: Unit, limit: u64, left: u64, full_in: Duration, now: MonoNs) -> Self {
        let missing = i128::from(limit.saturating_sub(left));
        let full_in = i128::try_from(full_in.as_nanos()).unwrap_or(i128::MAX).clamp(1, 86_400_000_000_000);
        // A minute is what providers count by; it matters to none who is told that it is full.
        let span = if missing == 0 { 60_000_000_000 } else { full_in * i128::from(limit) / missing };
        // Not slower than all of it in thirty days, so that numbers stay in their bounds.
        let span = span.clamp(1, 2_592_000_000_000_000);
        Self { unit, rate: None, limit, span, level: i128::from(left.min(limit)) * span, at: now, parts: 1 }
    }

    /// The part of one of so many replicas: as much of the rate, and of what it holds, though never less
    /// than one whole.
    pub(super) fn set_parts(&mut self, parts: u64, now: MonoNs) {
        let parts = i128::from(parts.max(1));
        if parts != self.parts {
            self.refill(now);
            self.level = self.level.saturating_mul(self.parts) / parts;
            self.parts = parts;
            self.level = self.level.min(self.capacity());
        }
    }

    fn capacity(&self) -> i128 {
        let whole = i128::from(self.limit) * self.span;
        (whole / self.parts).max(self.span.min(whole))
    }

    pub(super) fn refill(&mut self, now: MonoNs) {
        let elapsed = i128::from(now.saturating_sub(self.at));
        if elapsed > 0 {
            // Parts of a unit that a division loses are billionths of a token.
            let more = elapsed.saturating_mul(i128::from(self.limit)) / self.parts;
            self.level = self.level.saturating_add(more).min(self.capacity());
            self.at = now;
        }
    }

    /// How much a request that asks for `amount` takes: one above the whole limit could never be
    /// admitted, and is corrected afterwards.
    pub(super) fn held(&self, amount: u64) -> u64 {
        amount.min(self.limit)
    }

    /// How long until `amount` is there; `None` when it is there now.
    pub(super) fn wait(&self, amount: u64) -> Option<Duration> {
        if self.limit == 0 {
            return Some(Duration::from_nanos(u64::try_from(self.span).unwrap_or(u64::MAX)));
        }
        if amount == 0 {
            return None;
        }
        let wanted = (i128::from(self.held(amount)) * self.span).min(self.capacity());
        let missing = wanted.saturating_sub(self.level);
        (missing > 0).then(|| self.time_for(missing))
    }

    fn time_for(&self, units: i128) -> Duration {
        let per_ns = i128::from(self.limit.max(1));
        let ns = units.saturating_mul(self.parts).saturating_add(per_ns - 1) / per_ns;
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    pub(super) fn take(&mut self, amount: u64) {
        self.level = self.level.saturating_sub(i128::from(amount).saturating_mul(self.span));
    }

    pub(super) fn give_back(&mut self, amount: u64) {
        self.level = self.level.saturating_add(i128::from(amount).saturating_mul(self.span)).min(self.capacity());
    }

    /// Somebody who knows says what is left; may be negative.
    pub(super) fn set_left(&mut self, left: i64, now: MonoNs) {
        self.at = self.at.max(now);
        self.level = (i128::from(left) * self.span).min(self.capacity());
    }

    /// Not more than another one's, as a part of it.
    pub(super) fn not_above(&mut self, whole: &Self) {
        self.level = self.level.min(whole.level / self.parts);
    }

    pub(super) fn is_full(&self) -> bool {
        self.level >= self.capacity()
    }

    /// What is left, whole ones.
    pub(super) fn left(&self) -> u64 {
        u64::try_from(self.level.max(0) / self.span).unwrap_or(u64::MAX)
    }

    pub(super) fn level(&self) -> Level {
        let missing = self.capacity().saturating_sub(self.level);
        let reset = if missing <= 0 { Duration::ZERO } else { self.time_for(missing) };
        Level { limit: self.limit, remaining: self.left(), reset }
    }

    /// Another limit; what was used stays used.
    pub(super) fn adjust_limit(&mut self, limit: u64) {
        if limit != self.limit {
            let used = self.capacity().saturating_sub(self.level);
            self.limit = limit;
            self.level = self.capacity().saturating_sub(used);
        }
    }
}
