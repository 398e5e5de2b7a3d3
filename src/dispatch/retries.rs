//! How many second tries there may be: a share of the requests, so that a provider in trouble is not asked
//! twice by everybody.

use std::sync::atomic::{AtomicI64, Ordering};

/// Tries that may be made before anything was earned, and what is kept beyond a share.
const RESERVE: i64 = 10;
/// Most that is saved up, in tries.
const MOST: i64 = 100;
/// The unit: a hundredth of a try, which is what a request earns for each percent.
const TRY: i64 = 100;

/// A budget of second tries.
#[derive(Debug)]
pub struct Budget {
    percent: AtomicI64,
    balance: AtomicI64,
}

impl Budget {
    /// So many in a hundred requests, and ten.
    #[must_use]
    pub fn new(percent: u64) -> Self {
        Self { percent: AtomicI64::new(share(percent)), balance: AtomicI64::new(RESERVE * TRY) }
    }

    /// Changes the share; what was saved up stays.
    pub fn set_percent(&self, percent: u64) {
        self.percent.store(share(percent), Ordering::Relaxed);
    }

    /// A request earns its share.
    pub fn earn(&self) {
        let balance = self.balance.load(Ordering::Relaxed);
        if balance < MOST * TRY {
            self.balance.fetch_add(self.percent.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Takes a try; `false` when there is none left.
    #[must_use]
    pub fn spend(&self) -> bool {
        let take = |balance: i64| (balance >= TRY).then_some(balance - TRY);
        self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

fn share(percent: u64) -> i64 {
    i64::try_from(percent.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_a_share_of_requests_and_ten() {
        let budget = Budget::new(20);
        let made = (0..1000)
            .filter(|_| {
                budget.earn();
                budget.spend()
            })
            .count();
        assert_eq!(made, 210);
        let idle = Budget::new(20);
        (0..100_000).for_each(|_| idle.earn());
        assert_eq!((0..1000).filter(|_| idle.spend()).count(), 100, "what is saved up is bounded");
        let none = Budget::new(0);
        assert_eq!(
            (0..100)
                .filter(|_| {
                    none.earn();
                    none.spend()
                })
                .count(),
            10
        );
    }
}
