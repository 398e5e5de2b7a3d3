//! What is measured of a provider while it serves.

use std::sync::atomic::{AtomicU64, Ordering};

/// Live figures of one provider.
#[derive(Debug, Default)]
pub struct Live {
    in_flight: AtomicU64,
    /// Moving average of the time to the answer's head, in microseconds; 0 before the first.
    latency_us: AtomicU64,
}

impl Live {
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
