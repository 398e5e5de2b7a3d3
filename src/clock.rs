//! The only source of time and chance. Everything else gets them from here, so that a test can
//! move the one and fix the other.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// Wall time in milliseconds since the Unix epoch, UTC.
pub type UnixMs = i64;

/// Monotonic time in nanoseconds since an arbitrary start. Limits and timings use it, because wall
/// time can jump.
pub type MonoNs = u64;

/// Tells the time: the machine's, or a test's.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System { start: Instant },
    Mock { now_ns: Arc<AtomicU64>, epoch_ms: Arc<AtomicI64> },
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn system() -> Self {
        Self(Kind::System { start: Instant::now() })
    }

    /// A clock that stands still at `epoch_ms` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn mock(epoch_ms: UnixMs) -> Self {
        Self(Kind::Mock { now_ns: Arc::new(AtomicU64::new(0)), epoch_ms: Arc::new(AtomicI64::new(epoch_ms)) })
    }

    /// Moves a mock clock forward; the system clock cannot be moved and ignores it.
    pub fn advance(&self, by: Duration) {
        if let Kind::Mock { now_ns, .. } = &self.0 {
            now_ns.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX), Ordering::SeqCst);
        }
    }

    /// Sets a mock clock's wall time ahead or back by so many milliseconds, as somebody sets a machine's; monotonic time
    /// knows nothing of it, nor does the system clock.
    pub fn set_ahead(&self, by_ms: i64) {
        if let Kind::Mock { epoch_ms, .. } = &self.0 {
            epoch_ms.fetch_add(by_ms, Ordering::SeqCst);
        }
    }

    /// Monotonic nanoseconds.
    #[must_use]
    pub fn mono_ns(&self) -> MonoNs {
        match &self.0 {
            Kind::System { start } => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Kind::Mock { now_ns, .. } => now_ns.load(Ordering::SeqCst),
        }
    }

    /// Wall time in milliseconds since the Unix epoch.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    pub fn unix_ms(&self) -> UnixMs {
        match &self.0 {
            Kind::System { .. } => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            Kind::Mock { now_ns, epoch_ms } => {
                epoch_ms.load(Ordering::SeqCst) + i64::try_from(now_ns.load(Ordering::SeqCst) / 1_000_000).unwrap_or(0)
            }
        }
    }
}

/// The source of chance: the operating system's, or a test's fixed sequence.
#[derive(Clone, Debug, Default)]
pub struct Entropy(Option<Arc<AtomicU64>>);

impl Entropy {
    /// The operating system's random source.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// A repeatable sequence. Never use it for keys outside tests.
    #[must_use]
    pub fn fixed(seed: u64) -> Self {
        Self(Some(Arc::new(AtomicU64::new(seed))))
    }

    /// Fills `out` with random bytes.
    ///
    /// # Panics
    /// When the operating system has no random source, which it cannot recover from.
    pub fn fill(&self, out: &mut [u8]) {
        match &self.0 {
            None => POOL.with_borrow_mut(|pool| pool.fill(out)),
            Some(state) => {
                for chunk in out.chunks_mut(8) {
                    let word = splitmix64(state.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst)).to_le_bytes();
                    chunk.copy_from_slice(&word[..chunk.len()]);
                }
            }
        }
    }

    /// A uniformly random number.
    #[must_use]
    pub fn u64(&self) -> u64 {
        let mut word = [0; 8];
        self.fill(&mut word);
        u64::from_le_bytes(word)
    }

    /// A number in `0.0..1.0`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
    pub fn unit(&self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A time-ordered id (UUID version 7) at wall time `now`.
    #[must_use]
    pub fn uuid(&self, now: UnixMs) -> Uuid {
        let mut random = [0; 10];
        self.fill(&mut random);
        uuid::Builder::from_unix_timestamp_millis(u64::try_from(now).unwrap_or(0), &random).into_uuid()
    }
}

/// Random bytes fetched ahead, a system call's worth at a time: every request needs a few for its id.
/// What was given out is overwritten, so that it cannot be read back from here.
struct Pool {
    bytes: [u8; 1024],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; 1024], used: 1024 }) };
}

impl Pool {
    fn fill(&mut self, out: &mut [u8]) {
        if out.len() > self.bytes.len() {
            return fill_from_system(out);
        }
        if self.bytes.len() - self.used < out.len() {
            fill_from_system(&mut self.bytes);
            self.used = 0;
        }
        let given = &mut self.bytes[self.used..self.used + out.len()];
        out.copy_from_slice(given);
        given.fill(0);
        self.used += out.len();
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine for chance")]
fn fill_from_system(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system has a random source");
}

/// SplitMix64 (Steele, Lea, Flood 2014): spreads a counter over all 64 bits.
fn splitmix64(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mock_clock_moves_only_when_told() {
        let clock = Clock::mock(1_700_000_000_000);
        assert_eq!((clock.mono_ns(), clock.unix_ms()), (0, 1_700_000_000_000));
        clock.advance(Duration::from_millis(1500));
        assert_eq!((clock.mono_ns(), clock.unix_ms()), (1_500_000_000, 1_700_000_001_500));
    }

    #[test]
    fn ids_are_ordered_by_time() {
        let chance = Entropy::system();
        assert!(chance.uuid(1_000) < chance.uuid(1_001));
    }

    #[test]
    fn fixed_entropy_repeats_itself() {
        assert_eq!(Entropy::fixed(7).u64(), Entropy::fixed(7).u64());
        assert_ne!(Entropy::fixed(7).u64(), Entropy::fixed(8).u64());
    }
}
