//! A circuit breaker: whether a target is asked at all.
//!
//! Closed, it lets everything through. Too many failures in a row, or too small a share of successes,
//! open it for a while; then it is half open: one request is let through as a probe, whose success closes
//! it and whose failure opens it for twice as long. Reads and writes are atomic and take no lock: two that
//! record at the same moment may open it twice over, which is the same as once.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::MonoNs;

/// Slots of the window of outcomes.
const SLOTS: usize = 10;
/// Longest an outcome is waited for before another probe may go.
const PROBE_LASTS: MonoNs = 60_000_000_000;
/// Most doublings of the time that it is open.
const DOUBLINGS: u32 = 16;

/// When it opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Failures in a row that open it; 0: they do not.
    pub failures: u32,
    /// The share of successes below which it opens; 0: it does not.
    pub success_rate: f64,
    /// Outcomes within the window before their share says anything.
    pub min_requests: u32,
    /// How far back outcomes count.
    pub window: Duration,
    /// How long it is open the first time; twice as long each time that a probe fails.
    pub open_for: Duration,
    /// The longest that it is open.
    pub max_open_for: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            failures: 5,
            success_rate: 0.5,
            min_requests: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            max_open_for: Duration::from_secs(120),
        }
    }
}

/// What it is at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It lets everything through.
    Closed,
    /// It lets nothing through until then.
    Open(MonoNs),
    /// It lets one probe through; `true` while one is under way.
    HalfOpen(bool),
}

impl State {
    /// Its name in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open(_) => "open",
            Self::HalfOpen(_) => "half_open",
        }
    }
}

/// The breaker of one target.
#[derive(Debug, Default)]
pub struct Breaker {
    /// 0: closed; else the end of the time that it is open.
    until: AtomicU64,
    /// 0: no probe is under way; else when it is given up.
    probe: AtomicU64,
    /// Failures in a row.
    failures: AtomicU32,
    /// How often it opened since it was closed last.
    opened: AtomicU32,
    /// Outcomes: the slot's number in time, successes, failures.
    slots: [AtomicU64; SLOTS],
}

impl Breaker {
    /// What it is now.
    #[must_use]
    pub fn state(&self, now: MonoNs) -> State {
        match self.until.load(Ordering::Acquire) {
            0 => State::Closed,
            until if until > now => State::Open(until),
            _ => State::HalfOpen(self.probe.load(Ordering::Acquire) > now),
        }
    }

    /// Lets a request through. Of a half-open one it is the probe if there is none: `Some(true)`, and
    /// whoever takes it ends it with an outcome or [`Breaker::leave`].
    #[must_use]
    pub fn enter(&self, now: MonoNs) -> Option<bool> {
        match self.state(now) {
            State::Closed => Some(false),
            State::Open(_) => None,
            State::HalfOpen(true) => None,
            State::HalfOpen(false) => {
                let old = self.probe.load(Ordering::Acquire);
                let taken = self.probe.compare_exchange(
                    old,
                    now.saturating_add(PROBE_LASTS),
                    Ordering::AcqRel,
                    Ordering::Acquire,
                );
                (old <= now && taken.is_ok()).then_some(true)
            }
        }
    }

    /// A probe ended without an outcome.
    pub fn leave(&self) {
        self.probe.store(0, Ordering::Release);
    }

    /// A request went well.
    pub fn succeeded(&self, policy: &Policy, now: MonoNs) {
        self.failures.store(0, Ordering::Relaxed);
        self.count(policy, now, 1 << 16);
        // Whoever was let through before it opened says nothing of how it is now.
        let until = self.until.load(Ordering::Acquire);
        if until != 0 && until <= now {
            self.opened.store(0, Ordering::Relaxed);
            self.forget();
            self.until.store(0, Ordering::Release);
            self.leave();
        }
    }

    /// A request failed in a way that others would. Answers whether that opened it.
    pub fn failed(&self, policy: &Policy, now: MonoNs) -> bool {
        let in_a_row = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let (good, bad) = self.count(policy, now, 1);
        let until = self.until.load(Ordering::Acquire);
        let opens = match until {
            0 => {
                let too_many = policy.failures > 0 && in_a_row >= policy.failures;
                let enough = good + bad >= u64::from(policy.min_requests.max(1));
                #[expect(clippy::cast_precision_loss, reason = "16 bits each")]
                let share = good as f64 / (good + bad).max(1) as f64;
                too_many || (enough && share < policy.success_rate)
            }
            until => until <= now,
        };
        if opens {
            self.open(policy, now);
        }
        opens
    }

    /// Leaves it open until then at least, on another's word than a request's. Answers whether it was closed.
    pub fn hold(&self, until: MonoNs) -> bool {
        let before = self.until.fetch_max(until.max(1), Ordering::AcqRel);
        self.failures.store(0, Ordering::Relaxed);
        self.forget();
        self.leave();
        before == 0
    }

    /// Closes it as if nothing had been, on another's word than a request's. Answers whether it was not closed.
    pub fn heal(&self) -> bool {
        self.opened.store(0, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        self.forget();
        let before = self.until.swap(0, Ordering::AcqRel);
        self.leave();
        before != 0
    }

    fn open(&self, policy: &Policy, now: MonoNs) {
        let before = self.opened.fetch_add(1, Ordering::Relaxed).min(DOUBLINGS);
        let open = policy.open_for.saturating_mul(1 << before).min(policy.max_open_for);
        let open = u64::try_from(open.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.failures.store(0, Ordering::Relaxed);
        self.forget();
        self.until.store(now.saturating_add(open), Ordering::Release);
        self.leave();
    }

    fn forget(&self) {
        self.slots.iter().for_each(|slot| slot.store(0, Ordering::Relaxed));
    }

    /// Adds one outcome to the window; answers the successes and failures in it.
    fn count(&self, policy: &Policy, now: MonoNs, one: u64) -> (u64, u64) {
        let slot_ns = (u64::try_from(policy.window.as_nanos()).unwrap_or(u64::MAX) / SLOTS as u64).max(1);
        let number = now / slot_ns;
        // 32 bits of the number are enough to tell it from the last one in this place.
        let stamp = (number + 1) & 0xFFFF_FFFF;
        let here = &self.slots[usize::try_from(number % SLOTS as u64).unwrap_or(0)];
        let add = |old: u64| {
            let old = if old >> 32 == stamp { old } else { stamp << 32 };
            let full = old & 0xFFFF == 0xFFFF || (old >> 16) & 0xFFFF == 0xFFFF;
            if full { old } else { old + one }
        };
        let _ = here.fetch_update(Ordering::AcqRel, Ordering::Acquire, |old| Some(add(old)));
        let oldest = (number + 1).saturating_sub(SLOTS as u64 - 1);
        self.slots.iter().map(|slot| slot.load(Ordering::Acquire)).fold((0, 0), |(good, bad), slot| {
            let recent = slot != 0 && (oldest..=number + 1).any(|n| n & 0xFFFF_FFFF == slot >> 32);
            if recent { (good + ((slot >> 16) & 0xFFFF), bad + (slot & 0xFFFF)) } else { (good, bad) }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: MonoNs = 1_000_000_000;

    fn fail_five_times(breaker: &Breaker, now: MonoNs) {
        for _ in 0..5 {
            let _ = breaker.failed(&policy(), now);
        }
    }

    fn policy() -> Policy {
        Policy::default()
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_probe_closes_it() {
        let breaker = Breaker::default();
        for _ in 0..4 {
            assert!(!breaker.failed(&policy(), S));
        }
        breaker.succeeded(&policy(), S);
        for _ in 0..4 {
            assert!(!breaker.failed(&policy(), S));
        }
        assert_eq!(breaker.state(S), State::Closed);
        assert!(breaker.failed(&policy(), S));
        assert_eq!(breaker.state(S), State::Open(6 * S));
        assert_eq!(breaker.enter(5 * S), None);
        assert_eq!(breaker.enter(6 * S), Some(true));
        assert_eq!(breaker.state(6 * S), State::HalfOpen(true));
        assert_eq!(breaker.enter(6 * S), None, "one probe at a time");
        breaker.succeeded(&policy(), 7 * S);
        assert_eq!(breaker.enter(7 * S), Some(false));
    }

    #[test]
    fn a_probe_that_fails_doubles_the_time_up_to_the_bound() {
        let breaker = Breaker::default();
        let mut now = S;
        fail_five_times(&breaker, now);
        for seconds in [5, 10, 20, 40, 80, 120, 120] {
            assert_eq!(breaker.state(now), State::Open(now + seconds * S));
            now += seconds * S;
            assert_eq!(breaker.enter(now), Some(true));
            assert!(breaker.failed(&policy(), now));
        }
    }

    #[test]
    fn a_probe_that_was_left_makes_room_for_another() {
        let breaker = Breaker::default();
        fail_five_times(&breaker, 0);
        assert_eq!(breaker.enter(5 * S), Some(true));
        breaker.leave();
        assert_eq!(breaker.enter(5 * S), Some(true));
        assert_eq!(breaker.enter(64 * S), None);
        assert_eq!(breaker.enter(66 * S), Some(true), "one of which nothing was heard is given up");
    }

    #[test]
    fn whoever_started_before_it_opened_does_not_close_it() {
        let breaker = Breaker::default();
        fail_five_times(&breaker, 0);
        breaker.succeeded(&policy(), S);
        assert_eq!(breaker.state(S), State::Open(5 * S));
        assert!(!breaker.failed(&policy(), S), "nor does it make it longer");
        assert_eq!(breaker.state(S), State::Open(5 * S));
    }

    #[test]
    fn it_is_held_and_healed_on_anothers_word() {
        let breaker = Breaker::default();
        assert!(breaker.hold(10 * S));
        assert!(!breaker.hold(8 * S), "it is open already");
        assert_eq!(breaker.state(9 * S), State::Open(10 * S));
        breaker.succeeded(&policy(), 9 * S);
        assert_eq!(breaker.enter(10 * S), Some(true), "when nobody says so any more it is tried");
        breaker.leave();
        assert!(!breaker.hold(20 * S));
        assert_eq!(breaker.state(11 * S), State::Open(20 * S));
        assert_eq!((breaker.heal(), breaker.heal()), (true, false));
        assert_eq!(breaker.state(11 * S), State::Closed);
        fail_five_times(&breaker, 11 * S);
        assert_eq!(breaker.state(11 * S), State::Open(16 * S), "as if nothing had been");
    }

    #[test]
    fn a_small_share_of_successes_opens_it_within_the_window_alone() {
        let breaker = Breaker::default();
        let policy = Policy { failures: 0, ..policy() };
        for n in 0..19 {
            assert!(!breaker.failed(&policy, n * S / 10));
        }
        assert!(!breaker.failed(&policy, 60 * S), "what was a minute ago is forgotten");
        for n in 0..9 {
            breaker.succeeded(&policy, 60 * S);
            assert!(!breaker.failed(&policy, 60 * S + n), "{n}");
        }
        breaker.succeeded(&policy, 61 * S);
        assert!(breaker.failed(&policy, 61 * S), "10 of 21 went well");
    }

    proptest! {
        /// Whatever happens in whatever order: it opens only at a failure, lets at most one probe through
        /// at a time, and never stays open beyond its bound.
        #[test]
        fn it_always_comes_back(steps in prop::collection::vec((0u8..4, 0u64..3_000_000_000), 1..200)) {
            let breaker = Breaker::default();
            let policy = policy();
            let mut now = 1;
            let mut probing = false;
            for (what, pause) in steps {
                now += pause;
                let before = breaker.state(now);
                match what {
                    0 => breaker.succeeded(&policy, now),
                    1 => { breaker.failed(&policy, now); }
                    2 if probing => breaker.leave(),
                    _ => if breaker.enter(now) == Some(true) { probing = true },
                }
                let after = breaker.state(now);
                if let (State::Closed, State::Open(_)) = (before, after) {
                    prop_assert_eq!(what, 1);
                }
                if let State::Open(until) = after {
                    prop_assert!(until - now <= 120 * S);
                }
            }
            prop_assert!(breaker.enter(now + 200 * S).is_some());
        }
    }
}
