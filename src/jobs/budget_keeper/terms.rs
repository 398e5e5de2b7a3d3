//! How much to lease of a budget.

use std::sync::Arc;
use std::time::Duration;

use crate::budget::Budget;
use crate::clock::UnixMs;
use crate::money::NanoUsd;
use crate::store::leases::Terms;

/// A lease holds at least so many of the largest requests.
const REQUESTS: i64 = 16;

/// What is needed of a window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Need {
    /// Nano-dollars a second, smoothed over some ten seconds.
    rate: i64,
    /// The largest demand that was met lately.
    largest: i64,
    /// Looks since more was asked for in vain.
    rested: u8,
}

impl Need {
    /// Requests wait for these.
    pub(super) fn demanded(&mut self, demands: &[NanoUsd]) {
        let largest = demands.iter().map(|demand| demand.0).max().unwrap_or(0);
        self.largest = self.largest.max(largest);
    }

    /// So much was held within so many nanoseconds.
    pub(super) fn measured(&mut self, held: i64, elapsed: u64) {
        let seconds = i64::try_from(elapsed / 1_000_000_000).unwrap_or(i64::MAX).max(1);
        let rate = held / seconds;
        // Up at once, down slowly.
        self.rate = if rate > self.rate { rate } else { self.rate - (self.rate - rate) / 8 };
        if held == 0 {
            self.largest -= self.largest / 8;
        }
        self.rested = self.rested.saturating_add(1);
    }

    /// What should be idle.
    pub(super) fn want(&self, autonomy: Duration) -> i64 {
        let seconds = i64::try_from(autonomy.as_secs()).unwrap_or(i64::MAX);
        if self.rate == 0 { 0 } else { self.rate.saturating_mul(seconds).max(self.largest.saturating_mul(REQUESTS)) }
    }

    /// Whether it is time to ask for more: not at every look, for there may be none.
    pub(super) fn may_ask(&mut self) -> bool {
        let may = self.rested >= 2 && self.rate > 0;
        if may {
            self.rested = 0;
        }
        may
    }
}

/// A budget's terms at this moment.
#[derive(Debug)]
pub(super) struct Now {
    pub(super) budget: Arc<Budget>,
    pub(super) need: Need,
    pub(super) now: UnixMs,
    pub(super) autonomy: Duration,
    pub(super) replicas: i64,
}

impl Terms for Now {
    fn allowance(&self, carried: NanoUsd) -> NanoUsd {
        // A deleted budget limits nobody; requests that were charged to it go on.
        if self.budget.deleted_at.is_some() {
            return NanoUsd(i64::MAX);
        }
        self.budget.allowance(carried, self.now)
    }

    fn carry(&self, before: Option<(NanoUsd, NanoUsd)>) -> NanoUsd {
        let (carried, spent) = before.unwrap_or_default();
        self.budget.carry(carried, spent)
    }

    /// No replica takes more than its part of half of what is left: the others need some, too, and what
    /// a replica has when it dies counts as spent until its journal was read.
    fn headroom(&self, left: NanoUsd) -> NanoUsd {
        let part = left.0 / 2 / self.replicas.max(1);
        let want = self.need.want(self.autonomy).max(self.need.largest.saturating_mul(REQUESTS));
        // A part that no request fits in would only be missing elsewhere.
        NanoUsd(if part < self.need.largest { 0 } else { part.min(want) })
    }
}
