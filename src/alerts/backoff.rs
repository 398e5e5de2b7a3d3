//! How long to wait before a delivery is tried again.

use std::time::Duration;

use crate::config::AlertRetry;

/// Longest that a receiver's own wish (`retry-after`) counts.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 3600);

/// The wait after `failed` tries, at least 1: a random part (`chance`, 0 to 1) of the first wait doubled for
/// each failure after the first, up to the longest; and never less than what the receiver asked for.
///
/// All of the wait is random ("full jitter"): of many events that failed together each comes at its own time.
#[must_use]
pub fn wait(retry: &AlertRetry, failed: u32, chance: f64, wish: Option<Duration>) -> Duration {
    let doubled = 1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX);
    let most = retry.backoff.saturating_mul(doubled).min(retry.max_backoff);
    most.mul_f64(chance.clamp(0.0, 1.0)).max(wish.unwrap_or_default().min(LONGEST_WISH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_random_in_whole() {
        let retry = AlertRetry::default();
        let most = |failed| wait(&retry, failed, 1.0, None).as_secs();
        assert_eq!([1, 2, 3, 10, 12, 13, 40, u32::MAX].map(most), [1, 2, 4, 512, 2048, 3600, 3600, 3600]);
        assert_eq!(wait(&retry, 5, 0.0, None), Duration::ZERO);
        assert_eq!(wait(&retry, 5, 0.5, None), Duration::from_secs(8));
    }

    #[test]
    fn a_receivers_wish_counts_within_a_day() {
        let retry = AlertRetry::default();
        assert_eq!(wait(&retry, 1, 1.0, Some(Duration::from_secs(90))).as_secs(), 90);
        assert_eq!(wait(&retry, 9, 1.0, Some(Duration::from_secs(90))).as_secs(), 256);
        assert_eq!(wait(&retry, 1, 1.0, Some(Duration::from_secs(1 << 40))).as_secs(), 86_400);
    }
}
