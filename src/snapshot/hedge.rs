//! When a route asks a second target beside the first, and how often at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::Target;
use crate::money::NanoUsd;

/// The unit of tries: a hundredth, which is what a request earns for each percent.
const TRY: i64 = 100;
/// Most that is saved up, in tries.
const MOST: i64 = 100;

/// How a route hedges.
#[derive(Clone, Debug)]
pub struct Hedge {
    /// After this time; otherwise after `percentile`.
    pub after: Option<Duration>,
    /// After the time within which this share of the target's answers comes.
    pub percentile: f64,
    /// How many in a hundred requests, and how much of their cost in percent, hedges may add.
    pub max_percent: u64,
    /// How much more may be asked and spent.
    pub budget: Arc<Budget>,
}

impl Hedge {
    /// How long to wait for a target's answer before another is asked; `None` while too little is known of it.
    #[must_use]
    pub fn wait(&self, target: &Target, stream: bool) -> Option<Duration> {
        let measured = || target.health.times(stream).percentile(self.percentile).map(Duration::from_micros);
        self.after.or_else(measured)
    }
}

/// What hedges may cost beyond the requests themselves: a share of the requests, and of their expected cost.
#[derive(Debug)]
pub struct Budget {
    percent: AtomicI64,
    tries: AtomicI64,
    nano_usd: AtomicI64,
}

impl Budget {
    /// So many in a hundred.
    #[must_use]
    pub fn new(percent: u64) -> Self {
        Self { percent: AtomicI64::new(share(percent)), tries: AtomicI64::new(0), nano_usd: AtomicI64::new(0) }
    }

    /// Changes the share; what was saved up stays.
    pub fn set_percent(&self, percent: u64) {
        self.percent.store(share(percent), Ordering::Relaxed);
    }

    /// The share.
    #[must_use]
    pub fn percent(&self) -> i64 {
        self.percent.load(Ordering::Relaxed)
    }

    /// A request that is expected to cost so much earns its share.
    pub fn earn(&self, cost: NanoUsd) {
        let percent = self.percent();
        if self.tries.load(Ordering::Relaxed) < MOST * TRY {
            self.tries.fetch_add(percent, Ordering::Relaxed);
        }
        if self.nano_usd.load(Ordering::Relaxed) < cost.0.saturating_mul(MOST) {
            let share = i128::from(cost.0) * i128::from(percent) / 100;
            self.nano_usd.fetch_add(i64::try_from(share).unwrap_or(i64::MAX / 1000), Ordering::Relaxed);
        }
    }

    /// Takes a try that is expected to cost so much; `false` when there is too little left.
    #[must_use]
    pub fn spend(&self, cost: NanoUsd) -> bool {
        let take = |of: &AtomicI64, amount: i64| {
            let less = |left: i64| (left >= amount).then_some(left - amount);
            of.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
        };
        if !take(&self.tries, TRY) {
            return false;
        }
        let paid = take(&self.nano_usd, cost.0.max(0));
        if !paid {
            self.tries.fetch_add(TRY, Ordering::Relaxed);
        }
        paid
    }
}

fn share(percent: u64) -> i64 {
    i64::try_from(percent.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(percent: u64, requests: usize, cost: i64, hedge: i64) -> usize {
        let budget = Budget::new(percent);
        let hedged = |_: &usize| {
            budget.earn(NanoUsd(cost));
            budget.spend(NanoUsd(hedge))
        };
        (0..requests).filter(hedged).count()
    }

    #[test]
    fn hedges_are_a_share_of_requests_and_of_what_they_cost() {
        assert_eq!(made(5, 1000, 1_000, 1_000), 50);
        assert_eq!(made(5, 1000, 1_000, 2_000), 25, "a dearer target may be asked half as often");
        assert_eq!(made(5, 1000, 1_000, 10), 50, "a cheaper one no more often");
        assert_eq!(made(0, 1000, 1_000, 0), 0);
        assert_eq!(made(100, 1000, 0, 0), 1000);
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let budget = Budget::new(50);
        (0..10_000).for_each(|_| budget.earn(NanoUsd(100)));
        assert_eq!((0..1000).filter(|_| budget.spend(NanoUsd(100))).count(), 100);
        (0..10).for_each(|_| budget.earn(NanoUsd(i64::MAX)));
        assert!(budget.spend(NanoUsd(1_000)), "no overflow");
    }
}
